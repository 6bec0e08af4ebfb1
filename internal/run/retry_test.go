package run_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

func (b *bundle) retry(t *testing.T, runID, from int64, version int32) (run.Run, error) {
	t.Helper()
	var out run.Run
	err := b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		out, err = b.engine.Retry(ctx, tx, runID, run.RetryRequest{From: from, Version: version})
		return err
	})
	return out, err
}

// version stores another version of a flowchart: its current graph with one text
// replaced.
func (b *bundle) version(t *testing.T, flowchart int64, from, to string) {
	t.Helper()
	var graph string
	var number int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT v.graph::text, v.number FROM flowchart f
		JOIN flowchart_version v ON v.flowchart_id = f.id AND v.number = f.version WHERE f.id = $1`, flowchart).Scan(&graph, &number))
	require.Contains(t, graph, from)
	_, err := b.db.Exec(t.Context(), `INSERT INTO flowchart_version (flowchart_id, number, graph, node_count) VALUES ($1, $2, $3, 1)`,
		flowchart, number+1, strings.Replace(graph, from, to, 1))
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `UPDATE flowchart SET version = $2 WHERE id = $1`, flowchart, number+1)
	require.NoError(t, err)
}

// executed runs what is queued and lists the nodes that a worker executed.
func (b *bundle) executed(t *testing.T, handler func(run.NodeRun, run.Work) run.Result) []string {
	t.Helper()
	nodes := []string{}
	b.work(t, true, func(n run.NodeRun, w run.Work) run.Result {
		nodes = append(nodes, n.FlowchartNodeID)
		return handler(n, w)
	})
	return nodes
}

// fold is a deterministic node: what it gives depends on what it got.
func fold(n run.NodeRun, w run.Work) run.Result {
	var c struct {
		Stdin string `json:"stdin"`
	}
	if json.Unmarshal(w.Config, &c) != nil {
		return run.Result{Status: run.Failed}
	}
	return ok(fmt.Sprintf(`{"stdout":%q,"n":%d}`, n.FlowchartNodeID+"("+c.Stdin+")", n.ExecutionIndex))
}

func (b *bundle) loopChart(t *testing.T) int64 {
	t.Helper()
	return b.flowchart(t, map[string]string{
		"start": "start", "side": script(""), "body": script(`"stdin":"{{ input.x }}"`),
		"again": `decision {"conditions":[{"edge_id":"again-body","expression":"upstream.n < 3"},{"edge_id":"again-join","expression":"upstream.n >= 3"}]}`,
		"join":  script(`"stdin":"{{ nodes.body.stdout }}{{ nodes.body.n }}+{{ nodes.side.stdout }}"`), "last": script(`"stdin":"{{ nodes.join.stdout }}"`), "end": "end",
	}, "start->side start->body body->again again->body again->join side->join join->last last->end")
}

func TestRetryFromAnyNodeGivesTheOutputOfTheWholeRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.start(t, b.loopChart(t), `{"x":"y"}`)
	whole := b.executed(t, fold)
	require.Len(t, whole, 6)
	first, _ := b.statuses(t, old.ID)
	require.Equal(t, run.Succeeded, first.Status)
	d, err := b.engine.Get(t.Context(), old.ID)
	require.NoError(t, err)
	for _, from := range d.NodeRuns { //nolint:paralleltest // they share the queue
		t.Run(fmt.Sprintf("%s %d", from.FlowchartNodeID, from.ExecutionIndex), func(t *testing.T) {
			r, err := b.retry(t, old.ID, from.ID, 0)
			require.NoError(t, err)
			require.Equal(t, old.ID, *r.RetryOf)
			require.Equal(t, from.ID, *r.RetryFrom)
			executed := b.executed(t, fold)
			got, err := b.engine.Get(t.Context(), r.ID)
			require.NoError(t, err)
			require.Equal(t, run.Succeeded, got.Run.Status)
			require.JSONEq(t, string(first.Output), string(got.Run.Output))
			require.Len(t, got.NodeRuns, len(d.NodeRuns))
			reused := 0
			for _, n := range got.NodeRuns {
				if n.ReusedFrom == nil || n.Kind != "script" {
					continue
				}
				reused++
				require.Zero(t, n.Attempt, "a reused node has no attempt")
				require.Nil(t, n.Usage, "and is not billed")
				require.NotEqual(t, from.ID, *n.ReusedFrom)
			}
			require.Len(t, executed, len(whole)-reused, "no reused node is executed")
			if from.FlowchartNodeID == "last" {
				require.Equal(t, []string{"last"}, executed)
			}
			b.requireStream(t, r.ID)
		})
	}
	again, err := b.engine.Get(t.Context(), old.ID)
	require.NoError(t, err)
	require.Len(t, again.RetriedBy, len(d.NodeRuns))
}

func TestRetryOfAFailedRunFinishesWhatHadNot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{
		"start": "start", "a": script(""), "bad": script(`"stdin":"{{ nodes.a.stdout }}"`), "slow": script(""), "join": script(`"stdin":"{{ nodes.bad.stdout }}"`), "end": "end",
	}, "start->a a->bad start->slow bad->join slow->join join->end")
	r := b.start(t, id, `{}`)
	slow := b.claim(t, r.ID, "slow")
	b.work(t, true, func(n run.NodeRun, w run.Work) run.Result {
		if n.FlowchartNodeID == "bad" {
			return run.Result{Status: run.Failed, Error: &run.Failure{Code: "x", Message: "no"}}
		}
		return fold(n, w)
	})
	b.finish(t, slow, run.Result{Status: run.Cancelled})
	got, _ := b.statuses(t, r.ID)
	require.Equal(t, run.Failed, got.Status)
	again, err := b.retry(t, r.ID, b.nodeRunID(t, r.ID, "bad"), 0)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"slow", "bad", "join"}, b.executed(t, fold), "a is reused")
	got, _ = b.statuses(t, again.ID)
	require.Equal(t, run.Succeeded, got.Status)

	// The retry can be retried; what it reused points at who did the work.
	third, err := b.retry(t, again.ID, b.nodeRunID(t, again.ID, "join"), 0)
	require.NoError(t, err)
	require.Equal(t, []string{"join"}, b.executed(t, fold))
	a, err := b.engine.GetNode(t.Context(), b.nodeRunID(t, third.ID, "a"))
	require.NoError(t, err)
	require.Equal(t, b.nodeRunID(t, r.ID, "a"), *a.NodeRun.ReusedFrom)
	require.Empty(t, a.Attempts)
}

func TestRetryReusesLargeOutputsAndArtifacts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{
		"start": "start", "a": script(""), "b": script(`"stdin":"{{ size(nodes.a.stdout) }}"`),
		"pick": `decision {"conditions":[{"edge_id":"pick-c","expression":"size(nodes.a.stdout) > 1000 && upstream.n == 1"}]}`, "c": script(""), "end": "end",
	}, "start->a a->b b->pick pick->c c->end")
	r := b.start(t, id, `{}`)
	large := func(n run.NodeRun, w run.Work) run.Result {
		if n.FlowchartNodeID != "a" {
			return fold(n, w)
		}
		res := ok(fmt.Sprintf(`{"stdout":%q}`, strings.Repeat("x", 200_000)))
		res.Artifacts = []run.NewArtifact{{Name: "report.txt", Data: []byte("kept")}}
		return res
	}
	b.work(t, true, large)
	again, err := b.retry(t, r.ID, b.nodeRunID(t, r.ID, "pick"), 0)
	require.NoError(t, err)
	require.Equal(t, []string{"c"}, b.executed(t, large), "the decision is evaluated again, with the output that lies in a blob")
	got, _ := b.statuses(t, again.ID)
	require.Equal(t, run.Succeeded, got.Status)
	a := b.nodeRunID(t, again.ID, "a")
	detail, err := b.engine.GetNode(t.Context(), a)
	require.NoError(t, err)
	require.NotNil(t, detail.NodeRun.OutputBlob)
	artifacts, err := b.engine.Artifacts(t.Context(), a)
	require.NoError(t, err)
	require.Len(t, artifacts, 1)
	require.Equal(t, "report.txt", artifacts[0].Name)
}

func TestRetryOnANewerVersion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{
		"start": "start", "a": script(`"stdin":"first"`), "b": script(`"stdin":"second"`), "side": script(`"stdin":"beside"`), "c": script(`"stdin":"{{ nodes.b.stdout }}"`), "end": "end",
	}, "start->a a->b b->c start->side side->c c->end")
	r := b.start(t, id, `{}`)
	b.work(t, true, fold)
	c := b.nodeRunID(t, r.ID, "c")

	b.version(t, id, `nodes.b.stdout`, `nodes.b.n`) // version 2: c itself
	b.version(t, id, `"beside"`, `"next to it"`)    // version 3: side as well
	b.version(t, id, `"second"`, `"2nd"`)           // version 4: b as well
	next, err := b.retry(t, r.ID, c, 2)
	require.NoError(t, err)
	require.Equal(t, int32(2), next.Version)
	require.Equal(t, []string{"c"}, b.executed(t, fold))
	got, _ := b.statuses(t, next.ID)
	require.JSONEq(t, `{"stdout":"c(1)","n":1}`, string(got.Output))

	next, err = b.retry(t, r.ID, b.nodeRunID(t, r.ID, "b"), 3)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"b", "side", "c"}, b.executed(t, fold), "what changed beside the way is not reused")
	got, _ = b.statuses(t, next.ID)
	require.Equal(t, run.Succeeded, got.Status)

	_, err = b.retry(t, r.ID, c, 4)
	require.True(t, errs.HasReason(err, "run.changed_before"), "%v", err)
	require.ErrorContains(t, err, `"b"`)
	require.ErrorContains(t, err, "config")
	require.ErrorContains(t, err, `"side"`)
	_, err = b.retry(t, r.ID, b.nodeRunID(t, r.ID, "b"), 4)
	require.NoError(t, err, "from the node that changed itself it may begin")
	b.work(t, true, fold)
	_, err = b.retry(t, r.ID, c, 5)
	require.True(t, errs.HasReason(err, "run.unknown_version"), "%v", err)
	_, err = b.retry(t, next.ID, b.nodeRunID(t, next.ID, "c"), 1)
	require.True(t, errs.HasReason(err, "run.unknown_version"), "%v", err)
}

func TestRetryRefusesWhatItCannotBeginAt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{
		"start": "start", "pick": `decision {"conditions":[{"edge_id":"pick-a","expression":"true"},{"edge_id":"pick-b","expression":"false"}]}`,
		"a": script(""), "b": script(""), "end": "end",
	}, "start->pick pick->a pick->b a->end b->end")
	r := b.start(t, id, `{}`)
	_, err := b.retry(t, r.ID, b.nodeRunID(t, r.ID, "a"), 0)
	require.True(t, errs.HasReason(err, "run.not_finished"), "%v", err)
	b.work(t, true, fold)
	_, err = b.retry(t, r.ID, b.nodeRunID(t, r.ID, "b"), 0)
	require.True(t, errs.HasReason(err, "node.skipped"), "%v", err)
	other := b.start(t, id, `{}`)
	b.work(t, true, fold)
	_, err = b.retry(t, r.ID, b.nodeRunID(t, other.ID, "a"), 0)
	require.True(t, errs.HasReason(err, "run.not_its_node"), "%v", err)
	_, err = b.retry(t, 999_999, 0, 0)
	require.True(t, errs.Is(err, errs.NotFound))
}

func TestRetryReplaysNodesThatWereCancelledSingly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{"start": "start", "a": script(""), "b": script(""), "join": script(""), "end": "end"},
		"start->a start->b a->join b->join join->end")
	r := b.start(t, id, `{}`)
	_, err := b.cancelNode(t, b.nodeRunID(t, r.ID, "a"))
	require.NoError(t, err)
	b.work(t, true, fold)
	again, err := b.retry(t, r.ID, b.nodeRunID(t, r.ID, "join"), 0)
	require.NoError(t, err)
	require.Equal(t, []string{"join"}, b.executed(t, fold))
	got, nodes := b.statuses(t, again.ID)
	require.Equal(t, run.Succeeded, got.Status)
	require.Equal(t, []string{"cancelled"}, nodes["a"])
	again, err = b.retry(t, r.ID, b.nodeRunID(t, r.ID, "a"), 0)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"a", "join"}, b.executed(t, fold))
	got, _ = b.statuses(t, again.ID)
	require.Equal(t, run.Succeeded, got.Status)
}
