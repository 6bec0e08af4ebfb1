package run_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// memoryJobs is a queue in memory: it keeps what was committed.
type memoryJobs struct {
	mu   sync.Mutex
	jobs []run.Job
}

func (m *memoryJobs) InsertNodes(_ context.Context, tx *postgres.Tx, jobs []run.Job) error {
	tx.AfterCommit(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.jobs = append(m.jobs, jobs...)
	})
	return nil
}

func (m *memoryJobs) take() (run.Job, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.jobs) == 0 {
		return run.Job{}, false
	}
	j := m.jobs[0]
	m.jobs = m.jobs[1:]
	return j, true
}

type bundle struct {
	db      *postgres.DB
	engine  *run.Engine
	jobs    *memoryJobs
	worker  uuid.UUID
	signals []int64
}

func (b *bundle) SignalCancel(ids []int64) { b.signals = append(b.signals, ids...) }

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{db: pgtest.DB(t), jobs: &memoryJobs{}}
	b.engine = run.NewEngine(run.Options{
		DB: b.db, Log: event.NewLog(nil, time.Now), Jobs: b.jobs, Signaller: b,
		ExecutorFor: func(string) string { return "inline" }, Now: time.Now,
	})
	b.worker = b.newWorker(t)
	return b
}

func (b *bundle) newWorker(t *testing.T) uuid.UUID {
	t.Helper()
	id := uuid.New()
	_, err := b.db.Exec(t.Context(), `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues, level)
		VALUES ($1, 'test', 'host', 1, 'test', 4, '{}', $2)`, id, postgres.BinaryLevel)
	require.NoError(t, err)
	return id
}

// flowchart stores a graph given as "a->b c->d" plus configs and returns its id.
func (b *bundle) flowchart(t *testing.T, nodes map[string]string, edges string) int64 {
	t.Helper()
	type node struct {
		ID     string          `json:"id"`
		Kind   string          `json:"kind"`
		Title  string          `json:"title"`
		Config json.RawMessage `json:"config"`
	}
	type edge struct {
		ID     string `json:"id"`
		Source string `json:"source"`
		Target string `json:"target"`
		Mode   string `json:"mode"`
	}
	var g struct {
		Nodes []node `json:"nodes"`
		Edges []edge `json:"edges"`
	}
	for _, id := range slices.Sorted(maps.Keys(nodes)) {
		kind, config, _ := strings.Cut(nodes[id], " ")
		if config == "" {
			config = "{}"
		}
		g.Nodes = append(g.Nodes, node{ID: id, Kind: kind, Title: id, Config: json.RawMessage(config)})
	}
	for pair := range strings.FieldsSeq(edges) {
		from, to, _ := strings.Cut(pair, "->")
		g.Edges = append(g.Edges, edge{ID: from + "-" + to, Source: from, Target: to, Mode: "solid"})
	}
	raw, err := json.Marshal(g)
	require.NoError(t, err)
	var id int64
	require.NoError(t, b.db.QueryRow(t.Context(), `INSERT INTO flowchart (name, version) VALUES ('f', 1) RETURNING id`).Scan(&id))
	_, err = b.db.Exec(t.Context(), `INSERT INTO flowchart_version (flowchart_id, number, graph, node_count) VALUES ($1, 1, $2, $3)`, id, raw, len(g.Nodes))
	require.NoError(t, err)
	return id
}

func script(extra string) string {
	if extra == "" {
		return `script {"script":"true"}`
	}
	return `script {"script":"true",` + extra + `}`
}

// work claims and finishes until nothing is queued; handler decides each result.
func (b *bundle) work(t *testing.T, chain bool, handler func(n run.NodeRun, w run.Work) run.Result) {
	t.Helper()
	for {
		j, ok := b.jobs.take()
		if !ok {
			return
		}
		claim, err := b.engine.Claim(t.Context(), j.NodeRunID, b.worker)
		require.NoError(t, err)
		for claim != nil {
			claim = b.attempt(t, claim, chain, handler)
		}
	}
}

func (b *bundle) attempt(t *testing.T, claim *run.Claim, chain bool, handler func(n run.NodeRun, w run.Work) run.Result) *run.Claim {
	t.Helper()
	w, failure, err := b.engine.Prepare(t.Context(), claim)
	require.NoError(t, err)
	res := run.Result{Status: run.Failed, Error: failure}
	if failure == nil {
		res = handler(claim.NodeRun, w)
	}
	o := run.FinishOptions{}
	if chain {
		o.Next = &b.worker
	}
	next, err := b.engine.Finish(t.Context(), claim.NodeRun.ID, claim.Attempt, res, o)
	require.NoError(t, err)
	return next
}

func ok(output string) run.Result {
	return run.Result{Status: run.Succeeded, Output: json.RawMessage(output)}
}

func echo(n run.NodeRun, _ run.Work) run.Result {
	return ok(fmt.Sprintf(`{"stdout":%q,"exit_code":0}`, n.FlowchartNodeID))
}

func (b *bundle) start(t *testing.T, flowchart int64, input string) run.Run {
	t.Helper()
	r, err := b.engine.Start(t.Context(), run.StartRequest{FlowchartID: flowchart, Input: json.RawMessage(input)})
	require.NoError(t, err)
	return r
}

// statuses gives "node=status" of every node run, sorted by activation.
func (b *bundle) statuses(t *testing.T, runID int64) (run.Run, map[string][]string) {
	t.Helper()
	d, err := b.engine.Get(t.Context(), runID)
	require.NoError(t, err)
	out := map[string][]string{}
	for _, n := range d.NodeRuns {
		out[n.FlowchartNodeID] = append(out[n.FlowchartNodeID], n.Status)
	}
	return d.Run, out
}

// requireStream checks that a run's stream is 1..n and ends with the run's end.
func (b *bundle) requireStream(t *testing.T, runID int64) []event.Stored {
	t.Helper()
	events, err := event.ReadStream(t.Context(), b.db, run.StreamOfRun(runID), 0, 10_000)
	require.NoError(t, err)
	for i, e := range events {
		require.Equal(t, int64(i+1), e.Envelope.Sequence)
	}
	return events
}

func TestRunTakesTheRightBranchAndJoins(t *testing.T) {
	t.Parallel()
	for _, chain := range []bool{false, true} {
		t.Run(fmt.Sprintf("chain=%v", chain), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := b.flowchart(t, map[string]string{
				"start": "start", "a": script(""), "b": script(""), "long": script(""), "short": script(""),
				"pick": `decision {"conditions":[{"edge_id":"pick-long","expression":"size(input.text) > 5"}],"default_edge_id":"pick-short"}`,
				"join": script(`"stdin":"{{ nodes.a.stdout }}+{{ input.text }}"`), "end": "end",
			}, "start->a start->pick pick->long pick->short a->join long->join short->join join->end b->join start->b")
			r := b.start(t, id, `{"text":"a long text"}`)
			require.Equal(t, run.Queued, r.Status)
			b.work(t, chain, func(n run.NodeRun, w run.Work) run.Result {
				if n.FlowchartNodeID == "join" {
					var c struct {
						Stdin string `json:"stdin"`
					}
					require.NoError(t, json.Unmarshal(w.Config, &c))
					return ok(fmt.Sprintf(`{"stdout":%q}`, c.Stdin))
				}
				return echo(n, w)
			})
			got, nodes := b.statuses(t, r.ID)
			require.Equal(t, run.Succeeded, got.Status)
			require.JSONEq(t, `{"stdout":"a+a long text"}`, string(got.Output))
			require.Equal(t, map[string][]string{
				"start": {"succeeded"}, "a": {"succeeded"}, "b": {"succeeded"}, "pick": {"succeeded"}, "long": {"succeeded"},
				"short": {"skipped"}, "join": {"succeeded"}, "end": {"succeeded"},
			}, nodes)
			events := b.requireStream(t, r.ID)
			require.Equal(t, "flowchart:run:updated", events[0].Envelope.EventType)
			require.Equal(t, "flowchart:run:updated", events[len(events)-1].Envelope.EventType)
		})
	}
}

func TestRunOfControlNodesEndsInItsStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{"start": "start", "end": "end"}, "start->end")
	r := b.start(t, id, `{"x":1}`)
	require.Equal(t, run.Succeeded, r.Status)
	require.JSONEq(t, `{"x":1}`, string(r.Output))
}

func TestManyControlNodesGoOnInAnotherTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	nodes, edges := map[string]string{"start": "start", "end": "end"}, "start->d0"
	for i := range 100 {
		nodes[fmt.Sprintf("d%d", i)] = fmt.Sprintf(`decision {"conditions":[{"edge_id":"d%d-%s","expression":"true"}]}`, i, next(i, 100))
		edges += fmt.Sprintf(" d%d->%s", i, next(i, 100))
	}
	r := b.start(t, b.flowchart(t, nodes, edges), `{}`)
	require.Equal(t, run.Queued, r.Status)
	b.work(t, false, echo)
	got, _ := b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)
}

func next(i, n int) string {
	if i == n-1 {
		return "end"
	}
	return fmt.Sprintf("d%d", i+1)
}

func TestLoopEndsAtItsCap(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{
		"start": "start", "work": script(""), "again": `decision {"conditions":[{"edge_id":"again-work","expression":"true"},{"edge_id":"again-end","expression":"false"}]}`, "end": "end",
	}, "start->work work->again again->work again->end")
	_, err := b.db.Exec(t.Context(), `UPDATE flowchart SET max_node_executions = 10 WHERE id = $1`, id)
	require.NoError(t, err)
	r := b.start(t, id, `{}`)
	b.work(t, true, echo)
	got, nodes := b.statuses(t, r.ID)
	require.Equal(t, run.Failed, got.Status)
	require.Contains(t, string(got.Error), "max_node_executions")
	require.Len(t, nodes["work"], 5)
	b.requireStream(t, r.ID)
}

func TestFailingNodeIsRetriedThenFailsTheRunAndStopsTheRest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{
		"start": "start", "bad": script(`"retry":{"max_attempts":2,"backoff_seconds":0}`), "other": script(""), "end": "end",
	}, "start->bad start->other bad->end other->end")
	r := b.start(t, id, `{}`)
	// other is claimed first and keeps running while bad fails for good.
	d, err := b.engine.Get(t.Context(), r.ID)
	require.NoError(t, err)
	var other *run.Claim
	for _, n := range d.NodeRuns {
		if n.FlowchartNodeID == "other" {
			other, err = b.engine.Claim(t.Context(), n.ID, b.worker)
			require.NoError(t, err)
		}
	}
	tries := 0
	b.work(t, false, func(run.NodeRun, run.Work) run.Result {
		tries++
		return run.Result{Status: run.Failed, Error: &run.Failure{Code: "boom", Message: "no", Retryable: true}}
	})
	require.Equal(t, 2, tries)
	got, nodes := b.statuses(t, r.ID)
	require.Equal(t, run.Cancelling, got.Status)
	require.Equal(t, []string{"cancelling"}, nodes["other"])
	require.Equal(t, []int64{other.NodeRun.ID}, b.signals)

	_, err = b.engine.Finish(t.Context(), other.NodeRun.ID, other.Attempt, run.Result{Status: run.Cancelled}, run.FinishOptions{})
	require.NoError(t, err)
	got, nodes = b.statuses(t, r.ID)
	require.Equal(t, run.Failed, got.Status)
	require.Contains(t, string(got.Error), "boom")
	require.Equal(t, []string{"cancelled"}, nodes["other"])
}

func TestCancelEndsWhenTheHolderConfirms(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{"start": "start", "a": script(""), "b": script(""), "end": "end"}, "start->a a->b b->end")
	r := b.start(t, id, `{}`)
	j, _ := b.jobs.take()
	claim, err := b.engine.Claim(t.Context(), j.NodeRunID, b.worker)
	require.NoError(t, err)
	got, err := b.engine.Cancel(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, run.Cancelling, got.Status)
	_, err = b.engine.Finish(t.Context(), claim.NodeRun.ID, claim.Attempt, run.Result{Status: run.Cancelled}, run.FinishOptions{})
	require.NoError(t, err)
	got, _ = b.statuses(t, r.ID)
	require.Equal(t, run.Cancelled, got.Status)
	_, err = b.engine.Cancel(t.Context(), r.ID)
	require.True(t, errs.Is(err, errs.Conflict))
	_, err = b.engine.Cancel(t.Context(), 999_999)
	require.True(t, errs.Is(err, errs.NotFound))
}

func TestLostAttemptIsTakenUpAndTheLateWriterIsFenced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{"start": "start", "a": script(""), "end": "end"}, "start->a a->end")
	r := b.start(t, id, `{}`)
	j, _ := b.jobs.take()
	late, err := b.engine.Claim(t.Context(), j.NodeRunID, b.worker)
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `UPDATE worker_process SET tombstone_at = now() WHERE id = $1`, b.worker)
	require.NoError(t, err)
	again, err := b.engine.Claim(t.Context(), j.NodeRunID, b.worker)
	require.NoError(t, err)
	require.Nil(t, again, "a dead worker claims nothing")

	n, err := b.engine.Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	b.worker = b.newWorker(t)
	b.work(t, false, echo)
	got, _ := b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)

	_, err = b.engine.Finish(t.Context(), late.NodeRun.ID, late.Attempt, ok(`{"stdout":"late"}`), run.FinishOptions{})
	require.ErrorIs(t, err, run.ErrSuperseded)
	after, err := b.engine.Get(t.Context(), r.ID)
	require.NoError(t, err)
	require.JSONEq(t, `{"stdout":"a","exit_code":0}`, string(after.Run.Output))
}

func TestNodeThatKillsItsWorkerFailsAfterThreeLosses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{"start": "start", "a": script(""), "end": "end"}, "start->a a->end")
	r := b.start(t, id, `{}`)
	for range 3 {
		j, found := b.jobs.take()
		require.True(t, found)
		claim, err := b.engine.Claim(t.Context(), j.NodeRunID, b.worker)
		require.NoError(t, err)
		require.NotNil(t, claim)
		_, err = b.db.Exec(t.Context(), `UPDATE worker_process SET stopped_at = now() WHERE id = $1`, b.worker)
		require.NoError(t, err)
		_, err = b.engine.Recover(t.Context())
		require.NoError(t, err)
		b.worker = b.newWorker(t)
	}
	got, _ := b.statuses(t, r.ID)
	require.Equal(t, run.Failed, got.Status)
	require.Contains(t, string(got.Error), "died 3 times")
}

func TestHandOverIsNotCountedAsALoss(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{"start": "start", "a": script(""), "end": "end"}, "start->a a->end")
	r := b.start(t, id, `{}`)
	for range 5 {
		j, found := b.jobs.take()
		require.True(t, found)
		claim, err := b.engine.Claim(t.Context(), j.NodeRunID, b.worker)
		require.NoError(t, err)
		_, err = b.engine.Finish(t.Context(), claim.NodeRun.ID, claim.Attempt,
			run.Result{Status: run.Lost, Error: &run.Failure{Code: run.CodeHandedOver}}, run.FinishOptions{})
		require.NoError(t, err)
	}
	b.work(t, false, echo)
	got, _ := b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)
}

func TestMaxParallelNodesHoldsNodesBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	nodes, edges := map[string]string{"start": "start", "end": "end"}, ""
	for i := range 6 {
		nodes[fmt.Sprintf("n%d", i)] = script("")
		edges += fmt.Sprintf(" start->n%d n%d->end", i, i)
	}
	id := b.flowchart(t, nodes, edges)
	_, err := b.db.Exec(t.Context(), `UPDATE flowchart SET max_parallel_nodes = 2 WHERE id = $1`, id)
	require.NoError(t, err)
	r := b.start(t, id, `{}`)
	require.Len(t, b.jobs.jobs, 2)
	b.work(t, false, echo)
	got, _ := b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)
}

func TestEndingsAreImmutable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.start(t, b.flowchart(t, map[string]string{"start": "start", "end": "end"}, "start->end"), `{}`)
	_, err := b.db.Exec(t.Context(), `UPDATE flowchart_run SET status = 'cancelled' WHERE id = $1`, r.ID)
	require.True(t, postgres.IsFinalState(err), "%v", err)
	_, err = b.db.Exec(t.Context(), `UPDATE node_run SET status = 'queued', finished_at = NULL WHERE flowchart_run_id = $1`, r.ID)
	require.True(t, postgres.IsFinalState(err), "%v", err)
}

func TestStartRefusesWhatCannotRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, map[string]string{
		"start": `start {"input_schema":{"type":"object","required":["text"],"properties":{"text":{"type":"string"}}}}`, "end": "end",
	}, "start->end")
	_, err := b.engine.Start(t.Context(), run.StartRequest{FlowchartID: id, Input: json.RawMessage(`{"text":3}`)})
	require.True(t, errs.HasReason(err, "flow.invalid_input"), "%v", err)
	_, err = b.engine.Start(t.Context(), run.StartRequest{FlowchartID: id, Input: json.RawMessage(`{"text":"x"}`), StartNodeID: "nope"})
	require.True(t, errs.HasReason(err, "flow.unknown_start"), "%v", err)
	_, err = b.engine.Start(t.Context(), run.StartRequest{FlowchartID: 999_999})
	require.True(t, errs.Is(err, errs.NotFound))
	_, err = b.db.Exec(t.Context(), `UPDATE flowchart_version SET findings = '[{"reason":"x"}]' WHERE flowchart_id = $1`, id)
	require.NoError(t, err)
	_, err = b.engine.Start(t.Context(), run.StartRequest{FlowchartID: id, Input: json.RawMessage(`{"text":"x"}`)})
	require.True(t, errs.HasReason(err, "flow.invalid"), "%v", err)
}

func TestStatesFitTheDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for table, states := range map[string]run.Transitions{
		"flowchart_run": run.FlowchartRuns(), "node_run": run.NodeRuns(), "node_attempt": run.Attempts(),
	} {
		var check string
		require.NoError(t, b.db.QueryRow(t.Context(), `SELECT string_agg(pg_get_constraintdef(oid), ' ') FROM pg_constraint
			WHERE conrelid = $1::regclass AND contype = 'c' AND conname = $2`, table, table+"_status_check").Scan(&check))
		for s, next := range states {
			require.Contains(t, check, "'"+s+"'", table)
			for _, n := range next {
				require.Contains(t, states, n)
			}
		}
		require.Equal(t, len(states), strings.Count(check, "'::text"), "%s: %s", table, check)
	}
}
