package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/llmctl/studio/internal/run"
)

// Pace of waiting. Hints make it fast; they may be lost, so it also looks by itself.
const (
	lookEvery   = 2 * time.Second
	reportEvery = 5 * time.Second
	maxWait     = 300 // seconds
)

// RunResult is a run as a caller who wants its output sees it.
type RunResult struct {
	RunID         int64           `json:"run_id"`
	FlowchartID   int64           `json:"flowchart_id"`
	Status        string          `json:"status" jsonschema:"queued, running, pausing, paused, cancelling; or ended: succeeded, failed, cancelled"`
	Finished      bool            `json:"finished" jsonschema:"false: it still runs, see next"`
	Output        json.RawMessage `json:"output" jsonschema:"What the flowchart gave; null unless it succeeded"`
	OutputURI     string          `json:"output_uri,omitempty" jsonschema:"Of a large output: the resource to read it from; output is null then"`
	OutputBytes   int64           `json:"output_bytes,omitempty"`
	Error         json.RawMessage `json:"error" jsonschema:"Why it failed, and at which node; null if it did not"`
	NodesFinished int64           `json:"nodes_finished"`
	NodesOpen     int64           `json:"nodes_open"`
	Next          string          `json:"next,omitempty" jsonschema:"What to do next"`
}

func (r RunResult) links() []*mcp.ResourceLink {
	if r.OutputURI == "" {
		return nil
	}
	return []*mcp.ResourceLink{{
		URI: r.OutputURI, Name: fmt.Sprintf("run-%d-output", r.RunID), Title: fmt.Sprintf("Output of run %d", r.RunID),
		MIMEType: "application/json", Size: &r.OutputBytes,
	}}
}

// runResultSchema is the output schema of all tools that run a flowchart.
func runResultSchema() json.RawMessage {
	raw, err := outputSchema[RunResult]()
	if err != nil {
		return json.RawMessage(`{"type":"object"}`) // a test holds that this never happens
	}
	return raw
}

// waitFor waits for the end of a run, at most so long, telling how far it is, and
// gives what there is then.
func (c *call) waitFor(ctx context.Context, id int64, most time.Duration) (RunResult, error) {
	err := c.waitOn(ctx, run.StreamOfRun(id), most, func(ctx context.Context) (standing, error) {
		p, err := c.Engine.Progress(ctx, id)
		return standing{
			over:  p.Ended() || p.Status == run.Paused,
			state: fmt.Sprintf("The run is %s: %d nodes finished, %d open.", p.Status, p.Finished, p.Open),
		}, err
	})
	if err != nil {
		return RunResult{}, err
	}
	return c.result(ctx, id)
}

// standing is how what is waited for stands.
type standing struct {
	over  bool // there is nothing to wait for any more
	state string
}

// waitOn waits until look says that it is over, at most so long, telling how it stands.
// stream is the one that changes with it. It ends early when the client is gone, when the
// process is about to end, and when too many wait already: that is no error, what is
// waited for goes on.
func (c *call) waitOn(ctx context.Context, stream string, most time.Duration, look func(ctx context.Context) (standing, error)) error {
	now, err := limited(ctx, look)
	if err != nil || most <= 0 || now.over {
		return err
	}
	select {
	case c.server.waits <- struct{}{}:
		defer func() { <-c.server.waits }()
		return c.await(ctx, stream, most, look)
	default: // too many
		return nil
	}
}

func limited(ctx context.Context, look func(ctx context.Context) (standing, error)) (standing, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return look(ctx)
}

func (c *call) await(ctx context.Context, stream string, most time.Duration, look func(ctx context.Context) (standing, error)) error {
	changed := make(chan struct{}, 1)
	if c.Hints != nil {
		defer c.Hints(func(s string) {
			if s == stream {
				select {
				case changed <- struct{}{}:
				default:
				}
			}
		})()
	}
	over := time.NewTimer(most)
	tick, report := time.NewTicker(lookEvery), time.NewTicker(reportEvery)
	defer func() { over.Stop(); tick.Stop(); report.Stop() }()
	began, gone := time.Now(), goneFrom(ctx)
	told := ""
	for {
		now, err := limited(ctx, look)
		if err != nil || now.over {
			return err
		}
		if now.state != told {
			c.report(ctx, now.state, time.Since(began), most)
			told = now.state
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-report.C:
			told = "" // so that connections on the way see that this one lives
		case <-over.C:
			return nil
		case <-c.server.leave:
			return nil
		case <-gone:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// report tells a client that asked for it how far it is. The number is the time: it
// always grows, whatever happens.
func (c *call) report(ctx context.Context, state string, waited, most time.Duration) {
	token := c.req.Params.GetProgressToken()
	if token == nil {
		return
	}
	err := c.req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
		ProgressToken: token, Progress: waited.Seconds(), Total: most.Seconds(), Message: state,
	})
	if err != nil {
		c.server.o.Logger.DebugContext(ctx, "mcp progress", "error", err)
	}
}

func (c *call) result(ctx context.Context, id int64) (RunResult, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	p, err := c.Engine.Progress(ctx, id)
	if err != nil {
		return RunResult{}, err
	}
	r, err := c.Engine.Summary(ctx, id)
	if err != nil {
		return RunResult{}, err
	}
	out := RunResult{
		RunID: r.ID, FlowchartID: r.FlowchartID, Status: r.Status, Finished: run.Progress{Status: r.Status}.Ended(),
		Error: orNull(r.Error), NodesFinished: p.Finished, NodesOpen: p.Open, Next: nextOfRun(r.ID, r.Status),
	}
	out.Output, out.OutputURI, out.OutputBytes = shown(r.Output, r.OutputBytes, r.OutputBlob != nil, runOutputURI(r.ID))
	return out, nil
}

// shown is an output within an answer, or where it is when it is large.
func shown(inline json.RawMessage, size *int64, elsewhere bool, uri string) (out json.RawMessage, at string, bytes int64) {
	if len(inline) > 0 && len(inline) <= maxInlineJSON {
		return inline, "", 0
	}
	if len(inline) > 0 {
		return orNull(nil), uri, int64(len(inline))
	}
	if elsewhere && size != nil {
		return orNull(nil), uri, *size
	}
	return orNull(nil), "", 0
}

func orNull(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("null")
	}
	return raw
}

func nextOfRun(id int64, status string) string {
	n := strconv.FormatInt(id, 10)
	switch status {
	case run.Succeeded:
		return ""
	case run.Failed:
		return "llmctl_get_flowchart_run with id " + n + " shows which node failed; llmctl_get_node_logs what it said."
	case run.Cancelled:
		return "It was cancelled. llmctl_retry_flowchart_run with id " + n + " runs it again."
	case run.Paused, run.Pausing:
		return "It is paused; llmctl_resume_flowchart_run with id " + n + " lets it go on."
	default:
		return "It goes on. Call llmctl_wait_flowchart_run with id " + n + " to wait for its output."
	}
}
