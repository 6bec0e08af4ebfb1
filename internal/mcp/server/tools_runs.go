package server

import (
	"context"
	"encoding/json"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

type runFlowchartInput struct {
	KeyInput
	ID          int64           `json:"id" min:"1" jsonschema:"Id of the flowchart"`
	Input       json.RawMessage `json:"input,omitempty" jsonschema:"An object that fits the start node's input_schema; absent: {}"`
	StartNodeID string          `json:"start_node_id,omitempty" max:"64" jsonschema:"Begin at this node of the graph instead of the start node"`
	WaitSeconds int             `json:"wait_seconds,omitempty" min:"0" max:"300" jsonschema:"Wait so long for the run's end; 0 or absent: answer at once with its id"`
}

type waitRunInput struct {
	ID          int64 `json:"id" min:"1" jsonschema:"Id of the run"`
	WaitSeconds int   `json:"wait_seconds,omitempty" min:"1" max:"300" jsonschema:"At most so long; absent: 60"`
}

type listRunsInput struct {
	PageInput
	FlowchartID int64    `json:"flowchart_id,omitempty" min:"1" jsonschema:"Only runs of this flowchart"`
	Status      []string `json:"status,omitempty" enum:"queued,running,pausing,paused,cancelling,succeeded,failed,cancelled" max:"8" jsonschema:"Only runs in one of these states"`
}

type retryRunInput struct {
	KeyInput
	ID            int64 `json:"id" min:"1" jsonschema:"Id of the run"`
	FromNodeRunID int64 `json:"from_node_run_id,omitempty" min:"1" jsonschema:"Begin at this node run of it and reuse what was before; absent: everything anew"`
}

type startedRun struct {
	ID int64 `json:"id"`
}

// RunDetail is a run with its nodes.
type RunDetail struct {
	Run
	Input        json.RawMessage `json:"input" jsonschema:"null when it is large"`
	Output       json.RawMessage `json:"output" jsonschema:"null unless it succeeded, or when it is large"`
	OutputURI    string          `json:"output_uri,omitempty" jsonschema:"The resource to read a large output from"`
	OutputBytes  int64           `json:"output_bytes,omitempty"`
	Error        json.RawMessage `json:"error" jsonschema:"Why it failed, and at which node"`
	NodeRuns     []NodeRun       `json:"node_runs" jsonschema:"In the order in which they came to be, at most 500"`
	NodeRunCount int             `json:"node_run_count"`
	Next         string          `json:"next,omitempty"`
}

func (r RunDetail) links() []*mcp.ResourceLink {
	return RunResult{RunID: r.ID, OutputURI: r.OutputURI, OutputBytes: r.OutputBytes}.links()
}

const maxNodeRunsShown = 500

func runTools(r *registry) {
	add(r, spec{
		name: "llmctl_run_flowchart", title: "Run a flowchart", permission: auth.Write, effect: executes, waits: true,
		about: "Starts a run of a flowchart's current version. With wait_seconds it waits for the end, reports progress, and gives the output; if the run takes longer, finished is false and llmctl_wait_flowchart_run waits on. llmctl_get_flowchart_graph shows which input it takes.",
	}, runFlowchart)
	add(r, spec{
		name: "llmctl_wait_flowchart_run", title: "Wait for a run", permission: auth.Read, effect: reads, waits: true,
		about: "Waits for the end of a run, at most wait_seconds, and gives its status and output. It may be called again and again: when finished is false, the run goes on.",
	}, func(ctx context.Context, c *call, in waitRunInput) (RunResult, error) {
		const usual = 60
		if in.WaitSeconds == 0 {
			in.WaitSeconds = usual
		}
		return c.waitFor(ctx, in.ID, time.Duration(min(in.WaitSeconds, maxWait))*time.Second)
	})
	add(r, spec{
		name: "llmctl_list_flowchart_runs", title: "List runs", permission: auth.Read, effect: reads,
		about: "Lists runs, newest first, of all flowcharts or of one, with their states. Inputs and outputs are left out.",
	}, listRuns)
	add(r, spec{
		name: "llmctl_get_flowchart_run", title: "Get a run", permission: auth.Read, effect: reads,
		about: "Gives a run with its input, output, error and the state of each of its node runs. Use it to see where a run is, or at which node it failed; the ids of node runs are what llmctl_get_node_run and llmctl_get_node_logs take.",
	}, getRun)
	add(r, spec{
		name: "llmctl_cancel_flowchart_run", title: "Cancel a run", permission: auth.Write, effect: changes,
		about: "Asks a run to stop. It is cancelling until everything that it does has stopped, then cancelled. A run that has ended stays as it is.",
	}, controlRun("run.cancelled", func(e *run.Engine) controller { return e.CancelTx }))
	add(r, spec{
		name: "llmctl_pause_flowchart_run", title: "Pause a run", permission: auth.Write, effect: changes,
		about: "Holds a run between its nodes: what runs ends by itself, nothing else begins until llmctl_resume_flowchart_run.",
	}, controlRun("run.paused", func(e *run.Engine) controller { return e.PauseTx }))
	add(r, spec{
		name: "llmctl_resume_flowchart_run", title: "Resume a run", permission: auth.Write, effect: changes,
		about: "Lets a paused run go on.",
	}, controlRun("run.resumed", func(e *run.Engine) controller { return e.ResumeTx }))
	add(r, spec{
		name: "llmctl_retry_flowchart_run", title: "Run again", permission: auth.Write, effect: executes,
		about: "Runs a run again on the same input, as a new run: anew, or from one of its node runs on, reusing what was before. Use it after a failure that may pass, or after the cause is repaired.",
	}, retryRun)
}

// start begins a run as the HTTP API does.
func (c *call) start(ctx context.Context, key string, req run.StartRequest) (startedRun, error) {
	body := []any{req.FlowchartID, req.Input, req.StartNodeID}
	return repeatable(ctx, c, key, body, func(ctx context.Context, tx *postgres.Tx) (startedRun, error) {
		r, err := c.Engine.StartTx(ctx, tx, c.by(req))
		if err != nil {
			return startedRun{}, err
		}
		return startedRun{ID: r.ID}, c.audit(ctx, tx, "run.started", "flowchart_run", r.ID)
	})
}

func (c *call) by(req run.StartRequest) run.StartRequest {
	user := c.user.UserID
	req.UserID, req.RequestID, req.CorrelationID = &user, c.ids.request, c.ids.correlation
	return req
}

func runFlowchart(ctx context.Context, c *call, in runFlowchartInput) (RunResult, error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if string(in.Input) == "null" {
		in.Input = nil
	}
	started, err := c.start(limited, in.IdempotencyKey, run.StartRequest{FlowchartID: in.ID, Input: in.Input, StartNodeID: in.StartNodeID})
	if err != nil {
		return RunResult{}, err
	}
	return c.waitFor(ctx, started.ID, time.Duration(in.WaitSeconds)*time.Second)
}

func listRuns(ctx context.Context, c *call, in listRunsInput) (PageOutput[Run], error) {
	before, err := in.before()
	if err != nil {
		return PageOutput[Run]{}, err
	}
	f := run.Filter{Statuses: in.Status, BeforeID: before, Limit: in.rows(c.limits)}
	if in.FlowchartID != 0 {
		f.FlowchartID = &in.FlowchartID
	}
	rows, err := c.Engine.List(ctx, f)
	if err != nil {
		return PageOutput[Run]{}, err
	}
	return paged(rows, in.size(c.limits), func(r *run.Listed) int64 { return r.FlowchartRun.ID }, func(r *run.Listed) Run {
		return viewRun(&r.FlowchartRun, r.FlowchartName)
	}), nil
}

func getRun(ctx context.Context, c *call, in IDInput) (RunDetail, error) {
	d, err := c.Engine.Get(ctx, in.ID)
	if err != nil {
		return RunDetail{}, err
	}
	f, err := c.Flowcharts.Get(ctx, d.Run.FlowchartID)
	if err != nil {
		return RunDetail{}, err
	}
	out := RunDetail{
		Run: viewRun(&d.Run, f.Flowchart.Name), Input: orNull(d.Run.Input), Error: orNull(d.Run.Error),
		NodeRunCount: len(d.NodeRuns), Next: nextOfRun(d.Run.ID, d.Run.Status),
	}
	if d.Run.Status == run.Failed {
		out.Next = "llmctl_get_node_logs with the id of the node run that failed shows what it said."
	}
	if len(out.Input) > maxInlineJSON {
		out.Input = orNull(nil)
	}
	out.Output, out.OutputURI, out.OutputBytes = shown(d.Run.Output, d.Run.OutputBytes, d.Run.OutputBlob != nil, runOutputURI(d.Run.ID))
	shownNodes := d.NodeRuns[:min(len(d.NodeRuns), maxNodeRunsShown)]
	out.NodeRuns = make([]NodeRun, len(shownNodes))
	for i := range shownNodes {
		out.NodeRuns[i] = viewNodeRun(&shownNodes[i])
	}
	return out, nil
}

type controller = func(ctx context.Context, tx *postgres.Tx, runID int64) (run.Run, error)

// controlRun is the tool of a change to a run that needs nothing but its id.
func controlRun(action string, do func(e *run.Engine) controller) func(ctx context.Context, c *call, in IDInput) (RunResult, error) {
	return func(ctx context.Context, c *call, in IDInput) (RunResult, error) {
		_, err := change(ctx, c, action, "flowchart_run", in.ID, func(ctx context.Context, tx *postgres.Tx) (run.Run, error) {
			return do(c.Engine)(ctx, tx, in.ID)
		})
		if err != nil {
			return RunResult{}, err
		}
		return c.result(ctx, in.ID)
	}
}

func retryRun(ctx context.Context, c *call, in retryRunInput) (RunResult, error) {
	started, err := repeatable(ctx, c, in.IdempotencyKey, []any{in.ID, in.FromNodeRunID}, func(ctx context.Context, tx *postgres.Tx) (startedRun, error) {
		r, err := c.Engine.Retry(ctx, tx, in.ID, run.RetryRequest{From: in.FromNodeRunID, StartRequest: c.by(run.StartRequest{})})
		if err != nil {
			return startedRun{}, err
		}
		return startedRun{ID: r.ID}, c.audit(ctx, tx, "run.retried", "flowchart_run", r.ID)
	})
	if err != nil {
		return RunResult{}, err
	}
	return c.result(ctx, started.ID)
}
