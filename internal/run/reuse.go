package run

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// reuse copies what a replay keeps of an old run into this one, which has just
// begun, and brings its marking to where the replay ends.
func (c *change) reuse(ctx context.Context, h *history, replayed *flowchart.Replayed) error {
	// New ids in the order of the old ones: the newest output of a node is the one
	// with the highest id.
	order := make(map[int64]int32, len(replayed.Kept))
	for i, id := range replayed.Kept {
		order[id] = int32(i) + 1
	}
	sources := slices.Sorted(slices.Values(replayed.Kept))
	ids, err := c.e.q.TakeNodeRunIDs(ctx, c.tx, int32(len(sources)))
	if err != nil {
		return fmt.Errorf("take ids for %d node runs: %w", len(sources), err)
	}
	slices.Sort(ids)
	renamed := make(map[int64]int64, len(ids))
	for i, id := range sources {
		renamed[id] = ids[i]
	}
	now := c.e.Now()
	p := dbsqlc.CopyNodeRunsParams{
		FlowchartRunID: &c.run.ID, RequestID: c.run.RequestID, CorrelationID: c.run.CorrelationID, Now: now, Ids: ids, Sources: sources,
	}
	c.marking.Executions = map[string]int32{}
	for _, id := range sources {
		row := &h.rows[h.at[id]]
		triggers, err := json.Marshal(renameTriggers(h.used[h.at[id]], renamed))
		if err != nil {
			return fmt.Errorf("encode triggers: %w", err)
		}
		node, _ := c.graph.Node(row.FlowchartNodeID)
		c.marking.Executions[node.ID]++
		if row.Status == Cancelled {
			c.marking.Cancelled++
		}
		p.Titles = append(p.Titles, node.Title)
		p.ExecutionIndexes = append(p.ExecutionIndexes, c.marking.Executions[node.ID])
		p.Triggers = append(p.Triggers, triggers)
		p.FinishOrders = append(p.FinishOrders, order[id])
	}
	c.marking.Ended = int32(len(sources))
	if err := c.copyRows(ctx, h, p, now); err != nil {
		return err
	}
	c.marking.Flow = replayed.Marking
	c.marking.Flow.Rename(renamed)
	for i := range replayed.Open {
		for j, t := range replayed.Open[i].Triggers {
			replayed.Open[i].Triggers[j].Ref = renamed[t.Ref]
		}
	}
	return c.reuseOutput(ctx, h, replayed.Kept)
}

func renameTriggers(in []Trigger, renamed map[int64]int64) []Trigger {
	out := make([]Trigger, len(in))
	for i, t := range in {
		t.NodeRunID = renamed[t.NodeRunID]
		out[i] = t
	}
	return out
}

func (c *change) copyRows(ctx context.Context, h *history, p dbsqlc.CopyNodeRunsParams, now time.Time) error {
	rows, err := c.e.q.CopyNodeRuns(ctx, c.tx, p)
	if err != nil {
		return fmt.Errorf("copy node runs of run %d: %w", h.runID, err)
	}
	err = c.e.q.CopyArtifacts(ctx, c.tx, dbsqlc.CopyArtifactsParams{FlowchartRunID: &c.run.ID, Ids: p.Ids, Sources: p.Sources})
	if err != nil {
		return fmt.Errorf("copy artifacts of run %d: %w", h.runID, err)
	}
	copied := make(map[int64]*dbsqlc.CopyNodeRunsRow, len(rows))
	for i := range rows {
		copied[rows[i].ID] = &rows[i]
	}
	for i, id := range p.Ids {
		row, to := &h.rows[h.at[p.Sources[i]]], copied[id]
		if to == nil {
			return fmt.Errorf("node run %d of run %d was not copied", p.Sources[i], h.runID)
		}
		n := NodeRun{
			ID: id, ProjectID: c.run.ProjectID, FlowchartRunID: &c.run.ID, FlowchartID: &c.run.FlowchartID, FlowchartNodeID: row.FlowchartNodeID,
			Kind: row.Kind, Title: p.Titles[i], Status: row.Status, ExecutionIndex: p.ExecutionIndexes[i], ReusedFrom: to.ReusedFrom, ExecutionMode: to.ExecutionMode,
			RequestID: c.run.RequestID, CorrelationID: c.run.CorrelationID, CreatedAt: now, StartedAt: &now, FinishedAt: &now,
		}
		payload := PayloadOf(&n, "reused")
		payload.OutputOmitted = to.HasOutput != nil && *to.HasOutput
		if err := c.e.announce(c.tx, &n, nil, payload); err != nil {
			return err
		}
	}
	return nil
}

// reuseOutput gives the run the output of the last end node that is reused.
func (c *change) reuseOutput(ctx context.Context, h *history, kept []int64) error {
	for _, id := range slices.Backward(kept) {
		row := &h.rows[h.at[id]]
		if row.Kind != string(flowchart.KindEnd) || row.Status == Cancelled {
			continue
		}
		outputs, err := c.e.q.OutputsOf(ctx, c.tx, []int64{row.ID})
		if err != nil {
			return fmt.Errorf("load output of node run %d: %w", row.ID, err)
		}
		if len(outputs) != 1 {
			return fmt.Errorf("node run %d of run %d is gone", row.ID, h.runID)
		}
		o := outputs[0]
		c.run.Output, c.run.OutputBlob, c.run.OutputBytes = o.OutputState, o.OutputBlob, o.OutputBytes
		return nil
	}
	return nil
}
