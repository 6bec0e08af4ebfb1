package run

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// RetryRequest says what of a run is to be done again.
type RetryRequest struct {
	From    int64 // node run that the new run begins at; 0: the whole run
	Version int32 // 0: the version of the old run
	StartRequest
}

// Retry runs a finished run again on the same input, as a new run. With From it
// begins there and reuses what was done before and beside it. Errors: not_found;
// conflict (run.not_finished, node.skipped, run.changed_before: the version
// differs in what would be reused); invalid (run.unknown_version,
// run.not_its_node), and those of StartTx.
func (e *Engine) Retry(ctx context.Context, tx *postgres.Tx, runID int64, req RetryRequest) (Run, error) {
	old, err := e.q.GetRun(ctx, tx, runID)
	if postgres.NotFound(err) {
		return Run{}, errs.Ef(errs.NotFound, "run.not_found", "There is no run %d.", runID)
	}
	if err != nil {
		return Run{}, fmt.Errorf("load run %d: %w", runID, err)
	}
	if old.FinishedAt == nil {
		return Run{}, errs.Ef(errs.Conflict, "run.not_finished", "Run %d is still %s. Cancel it or wait for its end.", runID, old.Status)
	}
	start := req.StartRequest
	start.FlowchartID, start.Input, start.StartNodeID, start.RetryOf = old.FlowchartID, old.Input, old.StartNodeID, &old.ID
	if start.VersionID, err = e.versionToRetry(ctx, tx, &old, req.Version); err != nil {
		return Run{}, err
	}
	if req.From == 0 {
		return e.StartTx(ctx, tx, start)
	}
	start.RetryFrom = &req.From
	return e.retryFrom(ctx, tx, &old, start)
}

// RetryNode is Retry of a node run's run from that node run; of a quick node it is that
// node run once more (see retryQuick).
func (e *Engine) RetryNode(ctx context.Context, tx *postgres.Tx, nodeRunID int64, req RetryRequest) (Retried, error) {
	n, err := e.q.GetNodeRun(ctx, tx, nodeRunID)
	if postgres.NotFound(err) {
		return Retried{}, errs.Ef(errs.NotFound, "node.not_found", "There is no node run %d.", nodeRunID)
	}
	if err != nil {
		return Retried{}, fmt.Errorf("load node run %d: %w", nodeRunID, err)
	}
	if n.FlowchartRunID == nil {
		again, err := e.retryQuick(ctx, tx, &n, req)
		return Retried{NodeRun: &again}, err
	}
	req.From = nodeRunID
	r, err := e.Retry(ctx, tx, *n.FlowchartRunID, req)
	return Retried{Run: &r}, err
}

func (e *Engine) versionToRetry(ctx context.Context, tx *postgres.Tx, old *Run, number int32) (int64, error) {
	if number == 0 || number == old.Version {
		return old.FlowchartVersionID, nil
	}
	if number < old.Version {
		return 0, errs.Ef(errs.Invalid, "run.unknown_version",
			"version: %d is older than the run's own (%d). Give that one or a newer one.", number, old.Version)
	}
	id, err := e.q.GetVersionByNumber(ctx, tx, dbsqlc.GetVersionByNumberParams{FlowchartID: old.FlowchartID, Number: number})
	if postgres.NotFound(err) {
		return 0, errs.Ef(errs.Invalid, "run.unknown_version", "version: flowchart %d has no version %d.", old.FlowchartID, number)
	}
	if err != nil {
		return 0, fmt.Errorf("find version %d of flowchart %d: %w", number, old.FlowchartID, err)
	}
	return id, nil
}

func (e *Engine) retryFrom(ctx context.Context, tx *postgres.Tx, old *Run, start StartRequest) (Run, error) {
	h, err := e.history(ctx, tx, old.ID)
	if err != nil {
		return Run{}, err
	}
	from, err := h.find(*start.RetryFrom)
	if err != nil {
		return Run{}, err
	}
	before, err := e.compiled(ctx, tx, old.FlowchartVersionID)
	if err != nil {
		return Run{}, err
	}
	now, err := e.compiled(ctx, tx, start.VersionID)
	if err != nil {
		return Run{}, err
	}
	if err := h.markChanged(before, now, from); err != nil {
		return Run{}, err
	}
	replayed, err := flowchart.Replay(now, old.StartNodeID, h.past(from))
	if err != nil {
		return Run{}, err
	}
	if len(replayed.Kept) == 0 {
		return e.StartTx(ctx, tx, start)
	}
	c, err := e.begin(ctx, tx, &start)
	if err != nil {
		return Run{}, err
	}
	if err := c.reuse(ctx, h, &replayed); err != nil {
		return Run{}, err
	}
	// Control nodes get jobs: what they read is loaded without a lock, and the copies
	// are not committed yet.
	c.control = maxControlPerTx
	if err := c.follow(ctx, flowchart.Step{Activations: replayed.Open, Skipped: replayed.Skipped}); err != nil {
		return Run{}, err
	}
	if err := c.save(ctx); err != nil {
		return Run{}, err
	}
	return c.run, nil
}

// history is what a finished run did, in the order of the ends.
type history struct {
	runID int64
	rows  []dbsqlc.ListHistoryRow
	at    map[int64]int // by node run
	used  [][]Trigger   // triggers, by row
	redo  map[string]bool
}

func (e *Engine) history(ctx context.Context, tx *postgres.Tx, runID int64) (*history, error) {
	const limit = maxReused + flowchart.MaxNodes // executions, and skipped nodes
	rows, err := e.q.ListHistory(ctx, tx, dbsqlc.ListHistoryParams{FlowchartRunID: &runID, MaxRows: limit + 1})
	if err != nil {
		return nil, fmt.Errorf("load history of run %d: %w", runID, err)
	}
	if len(rows) > limit {
		return nil, errs.Ef(errs.Conflict, "run.too_long",
			"Run %d has more than %d node runs; so many are not reused. Retry the whole run.", runID, limit)
	}
	h := &history{runID: runID, rows: rows, at: make(map[int64]int, len(rows)), used: make([][]Trigger, len(rows)), redo: map[string]bool{}}
	for i, r := range rows {
		h.at[r.ID] = i
		if err := json.Unmarshal(r.Triggers, &h.used[i]); err != nil {
			return nil, fmt.Errorf("read triggers of node run %d: %w", r.ID, err)
		}
	}
	return h, nil
}

func (h *history) find(id int64) (*dbsqlc.ListHistoryRow, error) {
	i, ok := h.at[id]
	if !ok {
		return nil, errs.Ef(errs.Invalid, "run.not_its_node", "from_node_run_id: %d is not a node run of run %d.", id, h.runID)
	}
	r := &h.rows[i]
	if r.Status == Skipped {
		return nil, errs.Ef(errs.Conflict, "node.skipped",
			"Node %q did not run in run %d, so there is nothing to begin at. Retry from the node that led past it.", r.Title, h.runID)
	}
	return r, nil
}

// builtOn lists the nodes that a node run came from, over all its triggers.
func (h *history) builtOn(id int64) map[string]bool {
	nodes, seen := map[string]bool{}, map[int64]bool{id: true}
	for todo := []int64{id}; len(todo) > 0; {
		i, ok := h.at[todo[0]]
		todo = todo[1:]
		if !ok {
			continue
		}
		for _, t := range h.used[i] {
			if !seen[t.NodeRunID] {
				seen[t.NodeRunID] = true
				nodes[t.Source] = true
				todo = append(todo, t.NodeRunID)
			}
		}
	}
	return nodes
}

// markChanged compares the versions. What from builds on must be the same;
// what changed beside it is done again.
func (h *history) markChanged(before, now *flowchart.Compiled, from *dbsqlc.ListHistoryRow) error {
	if before == now {
		return nil
	}
	if _, ok := now.Node(from.FlowchartNodeID); !ok {
		return errs.Ef(errs.Conflict, "run.changed_before",
			"The version has no node %q any more. Retry from a node that it has, or the whole run.", from.FlowchartNodeID)
	}
	var ids []string
	for _, r := range h.rows {
		if r.Status != Skipped && !slices.Contains(ids, r.FlowchartNodeID) {
			ids = append(ids, r.FlowchartNodeID)
		}
	}
	base := h.builtOn(from.ID)
	var details []errs.Detail
	var named []string
	for _, d := range flowchart.Differences(before, now, ids) { // in the order of the ends
		h.redo[d.NodeID] = true
		if base[d.NodeID] {
			details = append(details, errs.Detail{Location: d.NodeID, Message: changedHow(d.What)})
			named = append(named, fmt.Sprintf("%q (%s)", d.NodeID, changedHow(d.What)))
		}
	}
	if len(details) == 0 {
		return nil
	}
	const shown = 5
	if more := len(named) - shown; more > 0 {
		named = append(named[:shown], fmt.Sprintf("%d more", more))
	}
	return errs.E(errs.Conflict, "run.changed_before", fmt.Sprintf(
		"The version differs before %q, in what would be reused: %s. Retry from the first of them, or on the run's own version.",
		from.FlowchartNodeID, strings.Join(named, ", ")), details...)
}

func changedHow(what string) string {
	switch what {
	case "missing":
		return "it is not there any more"
	case "edges":
		return "other edges lead to it"
	default:
		return "its " + what + " is another one"
	}
}

// past is what may be reused, but for from.
func (h *history) past(from *dbsqlc.ListHistoryRow) []flowchart.Past {
	out := make([]flowchart.Past, 0, len(h.rows))
	for i := range h.rows {
		r := &h.rows[i]
		taken, done := takenBy(r)
		if !done {
			continue
		}
		p := flowchart.Past{Ref: r.ID, NodeID: r.FlowchartNodeID, Taken: taken, Redo: r.ID == from.ID || h.redo[r.FlowchartNodeID]}
		for _, t := range h.used[i] {
			p.Triggers = append(p.Triggers, flowchart.Trigger{EdgeID: t.EdgeID, SourceNodeID: t.Source, Ref: t.NodeRunID})
		}
		out = append(out, p)
	}
	return out
}

// takenBy gives the edges that the end of a node run followed (nil: all); done is
// false for one after which nothing followed, because it or its run was stopped.
func takenBy(r *dbsqlc.ListHistoryRow) (taken []string, done bool) {
	switch r.Status {
	case Succeeded, Degraded:
	case Cancelled:
		var s struct {
			Taken []string `json:"taken"`
		}
		// Only one that was cancelled by itself says what it took: nothing.
		if r.RoutingState == nil || json.Unmarshal(r.RoutingState, &s) != nil || s.Taken == nil {
			return nil, false
		}
		return s.Taken, true
	default:
		return nil, false
	}
	if r.Kind != string(flowchart.KindDecision) {
		return nil, true
	}
	var d flowchart.Decision
	if json.Unmarshal(r.Decision, &d) != nil {
		return nil, false
	}
	return append([]string{}, d.MatchedEdgeIDs...), true
}
