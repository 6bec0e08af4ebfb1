package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/run"
)

type listNodesInput struct {
	PageInput
	FlowchartRunID int64    `json:"flowchart_run_id,omitempty" min:"1" jsonschema:"Only node runs of this run"`
	Status         []string `json:"status,omitempty" enum:"pending,queued,running,waiting,cancelling,succeeded,degraded,failed,cancelled,skipped" max:"10" jsonschema:"Only node runs in one of these states"`
	Kind           []string `json:"kind,omitempty" max:"20" jsonschema:"Only nodes of these kinds, for example task"`
}

type logsInput struct {
	ID    int64  `json:"id" min:"1" jsonschema:"Id of the node run"`
	Stage string `json:"stage,omitempty" max:"40" jsonschema:"Only lines of this stage, for example llm_query"`
	After int64  `json:"after,omitempty" min:"0" jsonschema:"last of the answer before; absent: from the beginning"`
	Limit int    `json:"limit,omitempty" jsonschema:"How many pieces at most"`
}

type nodeIDInput struct {
	ID int64 `json:"id" min:"1" jsonschema:"Id of the node run, as llmctl_get_flowchart_run gives it"`
}

type artifactInput struct {
	ID int64 `json:"id" min:"1" jsonschema:"Id of the artifact, as llmctl_list_node_artifacts gives it"`
}

// NodeDetail is a node run with its attempts.
type NodeDetail struct {
	NodeRun
	ExecutionMode *string         `json:"execution_mode"`
	Input         json.RawMessage `json:"input" jsonschema:"What it was given; null when that is large"`
	Output        json.RawMessage `json:"output" jsonschema:"null when there is none, or when it is large"`
	OutputURI     string          `json:"output_uri,omitempty" jsonschema:"The resource to read a large output from"`
	OutputBytes   int64           `json:"output_bytes,omitempty"`
	Usage         json.RawMessage `json:"usage" jsonschema:"Tokens, of nodes that asked a model"`
	Attempts      []Attempt       `json:"attempts" jsonschema:"Oldest first"`
	title         string
}

func (n NodeDetail) links() []*mcp.ResourceLink {
	if n.OutputURI == "" {
		return nil
	}
	return []*mcp.ResourceLink{{
		URI: n.OutputURI, Name: fmt.Sprintf("node-%d-output", n.ID), Title: "Output of " + n.title, MIMEType: jsonType, Size: &n.OutputBytes,
	}}
}

// Attempt is one try of a node run.
type Attempt struct {
	Number int32           `json:"number"`
	Status string          `json:"status"`
	Worker string          `json:"worker" jsonschema:"Host that worked it"`
	Error  json.RawMessage `json:"error"`
}

// Logs are what a node run said.
type Logs struct {
	Text string `json:"text" jsonschema:"Stage logs and the model's words, in order"`
	Last int64  `json:"last" jsonschema:"Give it as after to go on from here"`
	More bool   `json:"more" jsonschema:"true: there is more already"`
}

// Artifacts are the files that a node run left behind.
type Artifacts struct {
	Items []Artifact `json:"items"`
}

// Artifact is a file that a node run left behind.
type Artifact struct {
	ID        int64  `json:"id"`
	NodeRunID int64  `json:"node_run_id"`
	Attempt   int32  `json:"attempt"`
	Name      string `json:"name"`
	MediaType string `json:"media_type"`
	Size      int64  `json:"size"`
	SHA256    string `json:"sha256"`
	URI       string `json:"uri" jsonschema:"The resource to read its content from"`
}

// ArtifactContent is a small text artifact, or where a larger or binary one is.
type ArtifactContent struct {
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	MediaType string `json:"media_type"`
	Size      int64  `json:"size"`
	Text      string `json:"text,omitempty" jsonschema:"Its content, when that is text and small enough"`
	URI       string `json:"uri" jsonschema:"The resource to read its content from"`
}

func (a ArtifactContent) links() []*mcp.ResourceLink {
	return []*mcp.ResourceLink{{URI: a.URI, Name: a.Name, MIMEType: a.MediaType, Size: &a.Size}}
}

func nodeTools(r *registry) {
	add(r, spec{
		name: "llmctl_list_node_runs", title: "List node runs", permission: auth.Read, effect: reads,
		about: "Lists node runs, newest first: of one run, or by state and kind over all. To see one run's nodes, llmctl_get_flowchart_run is simpler.",
	}, listNodes)
	add(r, spec{
		name: "llmctl_get_node_run", title: "Get a node run", permission: auth.Read, effect: reads,
		about: "Gives one node run in full: what it was given, its output, error, tokens and attempts.",
	}, getNode)
	add(r, spec{
		name: "llmctl_get_node_logs", title: "Read a node run's log", permission: auth.Read, effect: reads,
		about: "Gives what a node run said: its stages' logs and the model's words as they came. Read on with after. Use it to find out why a node failed, or what it is doing.",
	}, getLogs)
	add(r, spec{
		name: "llmctl_list_node_artifacts", title: "List a node run's artifacts", permission: auth.Read, effect: reads,
		about: "Lists the files that a node run left behind. llmctl_get_node_artifact reads a text; resources/read with uri reads any.",
	}, func(ctx context.Context, c *call, in nodeIDInput) (Artifacts, error) {
		rows, err := c.Engine.Artifacts(ctx, in.ID)
		if err != nil {
			return Artifacts{}, err
		}
		out := Artifacts{Items: make([]Artifact, len(rows))}
		for i := range rows {
			v := run.ViewArtifact(&rows[i])
			out.Items[i] = Artifact{
				ID: v.ID, NodeRunID: v.TaskID, Attempt: v.Attempt, Name: v.Name, MediaType: v.MediaType, Size: v.Size, SHA256: v.SHA256, URI: artifactURI(v.ID),
			}
		}
		return out, nil
	})
	add(r, spec{
		name: "llmctl_get_node_artifact", title: "Read an artifact", permission: auth.Read, effect: reads,
		about: "Gives the content of a text artifact up to 256 KiB. Larger and binary ones are read as the resource that uri names.",
	}, getArtifact)
}

func listNodes(ctx context.Context, c *call, in listNodesInput) (PageOutput[NodeRun], error) {
	before, err := in.before()
	if err != nil {
		return PageOutput[NodeRun]{}, err
	}
	f := run.NodeFilter{Statuses: in.Status, Kinds: in.Kind, BeforeID: before, Limit: in.rows(c.limits)}
	if in.FlowchartRunID != 0 {
		f.RunID = &in.FlowchartRunID
	}
	rows, err := c.Engine.ListNodes(ctx, f)
	if err != nil {
		return PageOutput[NodeRun]{}, err
	}
	return paged(rows, in.size(c.limits), func(n *run.NodeRun) int64 { return n.ID }, viewNodeRun), nil
}

func getNode(ctx context.Context, c *call, in nodeIDInput) (NodeDetail, error) {
	d, err := c.Engine.GetNode(ctx, in.ID)
	if err != nil {
		return NodeDetail{}, err
	}
	n := &d.NodeRun
	out := NodeDetail{
		NodeRun: viewNodeRun(n), ExecutionMode: n.ExecutionMode, Input: orNull(n.InputContext), Usage: orNull(n.Usage),
		Attempts: make([]Attempt, len(d.Attempts)), title: n.Title,
	}
	if len(out.Input) > maxInlineJSON {
		out.Input = orNull(nil)
	}
	out.Output, out.OutputURI, out.OutputBytes = shown(n.OutputState, n.OutputBytes, n.OutputBlob != nil, nodeOutputURI(n.ID))
	for i := range d.Attempts {
		a := &d.Attempts[i]
		out.Attempts[i] = Attempt{Number: a.Number, Status: a.Status, Worker: a.Worker.Hostname, Error: orNull(a.Error)}
	}
	return out, nil
}

func getLogs(ctx context.Context, c *call, in logsInput) (Logs, error) {
	if _, err := c.Engine.GetNode(ctx, in.ID); err != nil {
		return Logs{}, err
	}
	size := PageInput{Limit: in.Limit}.size(c.limits)
	events, err := event.ReadStream(ctx, c.DB, run.StreamOfLog(in.ID), in.After, size+1)
	if err != nil {
		return Logs{}, err
	}
	out := Logs{Last: in.After}
	var text strings.Builder
	for i, e := range events {
		if i == size || text.Len() > maxInlineJSON {
			out.More = true
			break
		}
		var p struct {
			Text  string `json:"text"`
			Stage string `json:"stage"`
		}
		if err := json.Unmarshal(e.Envelope.Payload, &p); err != nil {
			return Logs{}, fmt.Errorf("read log of node run %d: %w", in.ID, err)
		}
		if in.Stage == "" || in.Stage == p.Stage {
			text.WriteString(p.Text)
		}
		out.Last = e.Envelope.Sequence
	}
	out.Text = text.String()
	return out, nil
}

func getArtifact(ctx context.Context, c *call, in artifactInput) (ArtifactContent, error) {
	a, content, err := c.Engine.OpenArtifact(ctx, in.ID)
	if err != nil {
		return ArtifactContent{}, err
	}
	out := ArtifactContent{ID: a.ID, Name: a.Name, MediaType: a.MediaType, Size: content.Size, URI: artifactURI(a.ID)}
	if content.Size > maxInlineJSON || !isText(a.MediaType) {
		return out, nil
	}
	k := kinds()[0]
	contents, err := k.read(ctx, c.Domains, in.ID)
	if err != nil {
		return out, err
	}
	out.Text = contents.Text
	return out, nil
}
