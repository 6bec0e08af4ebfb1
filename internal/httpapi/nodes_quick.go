package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

type quickNodeInput struct {
	IdempotencyKey string `header:"Idempotency-Key"`
	Body           quickNodeBody
}

// quickNodeBody is the config of a task node, without templates, and how it is run.
type quickNodeBody struct {
	Prompt         string          `json:"prompt" minLength:"1" maxLength:"200000" doc:"What the model is asked, as it is: no templates"`
	ModelID        int64           `json:"model_id" minimum:"1"`
	System         string          `json:"system,omitempty" maxLength:"200000"`
	Params         map[string]any  `json:"params,omitempty" doc:"For the model: temperature, max_tokens, ..."`
	OutputSchema   json.RawMessage `json:"output_schema,omitempty" doc:"JSON Schema of the answer"`
	MCPServerIDs   []int64         `json:"mcp_server_ids,omitempty" maxItems:"50" doc:"Servers whose tools the model may use"`
	Title          string          `json:"title,omitempty" maxLength:"200" doc:"Absent: the beginning of the prompt"`
	TimeoutSeconds float64         `json:"timeout_seconds,omitempty" minimum:"1" maximum:"86400" doc:"Of an attempt; absent: the setting for nodes"`
}

type quickNodeOutput struct {
	Body struct {
		Task listedNodeView `json:"task"`
	}
}

func viewListedNode(n run.NodeRun) listedNodeView {
	return listedNodeView{
		NodeRunView: viewNodeRun(n), FlowchartID: n.FlowchartID, FlowchartRunID: n.FlowchartRunID,
		ExecutionMode: n.ExecutionMode, Queue: n.Queue, RetryOf: n.RetryOf,
	}
}

func (s *server) registerQuickNodes() {
	handle(s, route{
		method: http.MethodPost, path: "/nodes", id: "create-node", tag: "nodes", permission: auth.Write, audit: true, idempotent: true,
		summary: "Run a task node on its own, outside of any flowchart", status: http.StatusAccepted, body: 1 << 20,
	}, s.createNode)
}

func (s *server) createNode(ctx context.Context, in *quickNodeInput) (*quickNodeOutput, error) {
	config, err := in.Body.config()
	if err != nil {
		return nil, err
	}
	return idempotent(ctx, s, "create-node", in.IdempotencyKey, in.Body, func(ctx context.Context, tx *postgres.Tx) (*quickNodeOutput, error) {
		m, _, err := s.deps.Catalog.GetModelIn(ctx, tx, in.Body.ModelID)
		if errs.Is(err, errs.NotFound) {
			return nil, errs.Ef(errs.Invalid, "node.unknown_model", "model_id: there is no model %d.", in.Body.ModelID)
		}
		if err != nil {
			return nil, err
		}
		if catalog.Embeds(m.Config) {
			return nil, errs.Ef(errs.Invalid, "node.embedding_model",
				"model_id: model %d (%s) makes vectors for retrieval and cannot answer. Choose another one.", m.ID, m.Name)
		}
		by, ids := user(ctx).UserID, idsFrom(ctx)
		n, err := s.deps.Engine.StartNode(ctx, tx, run.NodeRequest{
			Kind: string(flowchart.KindTask), Title: in.Body.title(), Config: config, TimeoutSeconds: in.Body.TimeoutSeconds,
			RequestID: ids.Request, CorrelationID: ids.Correlation, UserID: &by,
		})
		if err != nil {
			return nil, err
		}
		out := &quickNodeOutput{}
		out.Body.Task = viewListedNode(n)
		return out, s.audit(ctx, tx, "node.started", "task", n.ID)
	})
}

// config is the request as the config of a task node, checked like one of a flowchart.
func (b *quickNodeBody) config() (json.RawMessage, error) {
	if strings.TrimSpace(b.Prompt) == "" {
		return nil, errs.E(errs.Invalid, "node.empty_prompt", "prompt: it is blank; say what the model is to do.")
	}
	config := map[string]any{"prompt": b.Prompt, "model_id": b.ModelID}
	if b.System != "" {
		config["system"] = b.System
	}
	if b.Params != nil {
		config["params"] = b.Params
	}
	if b.OutputSchema != nil {
		config["output_schema"] = b.OutputSchema
	}
	if len(b.MCPServerIDs) > 0 {
		config["mcp_server_ids"] = b.MCPServerIDs
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	_, err = flowchart.DecodeTask(raw)
	return raw, err
}

// maxPromptTitle is how much of a prompt names a node.
const maxPromptTitle = 80

// title is what lists call the node.
func (b *quickNodeBody) title() string {
	if title := strings.TrimSpace(b.Title); title != "" {
		return title
	}
	line, _, _ := strings.Cut(strings.TrimSpace(b.Prompt), "\n")
	line = strings.TrimSpace(line)
	if runes := []rune(line); len(runes) > maxPromptTitle {
		line = string(runes[:maxPromptTitle-1]) + "…"
	}
	return line
}
