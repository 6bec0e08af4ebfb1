package run_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func large(n int) run.Result {
	return ok(`{"stdout":"` + strings.Repeat("x", n) + `","exit_code":0}`)
}

func (b *bundle) nodeRun(t *testing.T, runID int64, node string) run.NodeRun {
	t.Helper()
	var id int64
	require.NoError(t, b.db.QueryRow(t.Context(),
		`SELECT id FROM node_run WHERE flowchart_run_id = $1 AND flowchart_node_id = $2 ORDER BY id DESC LIMIT 1`, runID, node).Scan(&id))
	d, err := b.engine.GetNode(t.Context(), id)
	require.NoError(t, err)
	return d.NodeRun
}

const largeFlow = "start->a a->pick pick->b pick->c b->end c->end"

func largeNodes() map[string]string {
	return map[string]string{
		"start": "start", "a": script(""), "end": "end", "c": script(""),
		"pick": `decision {"conditions":[{"edge_id":"pick-b","expression":"size(upstream.stdout) == size(nodes.a.stdout) && size(nodes.a.stdout) > 100000"}],"default_edge_id":"pick-c"}`,
		"b":    script(`"stdin":"{{ size(nodes.a.stdout) }} {{ upstream.matched_edge_ids[0] }} {{ size(input.text) }}"`),
	}
}

func TestALargeOutputLiesInABlobAndIsReadEverywhere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.flowchart(t, largeNodes(), largeFlow)
	text := strings.Repeat("t", 100_000)
	r := b.start(t, id, fmt.Sprintf(`{"text":%q}`, text))
	b.work(t, true, func(n run.NodeRun, w run.Work) run.Result {
		if n.FlowchartNodeID == "b" {
			require.Contains(t, string(w.Config), "200000 pick-b 100000")
			return large(300_000)
		}
		return large(200_000)
	})
	got, nodes := b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)
	require.Equal(t, []string{"succeeded"}, nodes["b"], "the decision saw the whole output")
	require.Len(t, string(got.Output), 300_000+len(`{"stdout":"","exit_code":0}`), "the run's output is given whole")

	for _, node := range []string{"start", "a", "b", "end"} {
		n := b.nodeRun(t, r.ID, node)
		require.Nil(t, n.OutputState, node)
		require.NotNil(t, n.OutputBlob, node)
		content, err := b.engine.OpenOutput(t.Context(), n.ID)
		require.NoError(t, err)
		raw, err := io.ReadAll(content)
		require.NoError(t, err)
		require.Len(t, raw, int(*n.OutputBytes))
		require.Len(t, raw, int(content.Size))
		require.NoError(t, b.engine.FillOutput(t.Context(), &n))
		require.JSONEq(t, string(raw), string(n.OutputState))
	}
	require.Equal(t, b.nodeRun(t, r.ID, "b").OutputBlob, b.nodeRun(t, r.ID, "end").OutputBlob, "the end refers to what it was given")
	var blobs int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM blob`).Scan(&blobs))
	require.Equal(t, 3, blobs, "the input, a's output and b's output, each once")

	listed, err := b.engine.ListNodes(t.Context(), run.NodeFilter{RunID: &r.ID, Limit: 10})
	require.NoError(t, err)
	for _, n := range listed {
		require.LessOrEqual(t, len(n.OutputState), 64<<10)
	}
	// What is shown as the input names the large output and does not copy it.
	require.Less(t, len(b.nodeRun(t, r.ID, "b").InputContext), 8<<10)
	for _, e := range b.requireStream(t, r.ID) {
		require.Less(t, len(e.Envelope.Payload), 16<<10)
	}
}

func TestTheLimitOfAnOutput(t *testing.T) {
	t.Parallel()
	const frame = len(`{"stdout":"","exit_code":0}`)
	for name, c := range map[string]struct {
		res  run.Result
		code string
	}{
		"64 KiB stay in the row": {res: large(64<<10 - frame)},
		"32 MiB are kept":        {res: large(32<<20 - frame)},
		"one byte more is not":   {res: large(32<<20 - frame + 1), code: "too_large"},
		"not JSON":               {res: ok(`{"stdout":`), code: "output"},
		"a NUL":                  {res: ok(`{"stdout":"a\\\u0000"}`), code: "output"},
		"a written-out NUL":      {res: ok(`{"stdout":"a\\u0000"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			r := b.start(t, b.flowchart(t, map[string]string{"start": "start", "a": script(""), "end": "end"}, "start->a a->end"), `{}`)
			b.work(t, true, func(run.NodeRun, run.Work) run.Result { return c.res })
			got, _ := b.statuses(t, r.ID)
			n := b.nodeRun(t, r.ID, "a")
			if c.code != "" {
				require.Equal(t, run.Failed, got.Status)
				require.Contains(t, string(n.Error), `"`+c.code+`"`)
				return
			}
			require.Equal(t, run.Succeeded, got.Status, string(got.Error))
			require.Equal(t, len(c.res.Output) > 64<<10, n.OutputBlob != nil)
		})
	}
}

func TestEvaluationsAreBoundedTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.start(t, b.flowchart(t, map[string]string{
		"start": "start", "a": script(""), "b": script(""), "c": script(""), "d": script(`"stdin":"{{ size(nodes) }}"`), "end": "end",
	}, "start->a a->b b->c c->d d->end"), `{}`)
	i := 0
	b.work(t, true, func(run.NodeRun, run.Work) run.Result {
		i++
		return ok(fmt.Sprintf(`{"exit_code":%d,"stdout":"`, i) + strings.Repeat("x", 24<<20) + `"}`)
	})
	got, _ := b.statuses(t, r.ID)
	require.Equal(t, run.Failed, got.Status)
	require.Contains(t, string(got.Error), "too_large")
	require.Equal(t, 3, i, "d was not started")
}

func TestNoBlobIsWrittenWhileAnOlderWorkerLives(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.newWorker(t)
	_, err := b.db.Exec(t.Context(), `UPDATE worker_process SET level = 1 WHERE id = $1`, old)
	require.NoError(t, err)
	id := b.flowchart(t, map[string]string{"start": "start", "a": script(""), "end": "end"}, "start->a a->end")
	r := b.start(t, id, `{}`)
	b.work(t, true, func(run.NodeRun, run.Work) run.Result { return large(200_000) })
	n := b.nodeRun(t, r.ID, "a")
	require.Nil(t, n.OutputBlob)
	require.Greater(t, len(n.OutputState), 200_000)

	r = b.start(t, id, `{}`)
	b.work(t, true, func(run.NodeRun, run.Work) run.Result { return large(5 << 20) })
	got, _ := b.statuses(t, r.ID)
	require.Contains(t, string(got.Error), "older release")

	_, err = b.db.Exec(t.Context(), `UPDATE worker_process SET stopped_at = now() WHERE id = $1`, old)
	require.NoError(t, err)
	r = b.start(t, id, `{}`)
	b.work(t, true, func(run.NodeRun, run.Work) run.Result { return large(200_000) })
	require.NotNil(t, b.nodeRun(t, r.ID, "a").OutputBlob)
}

func TestABlobThatWasCollectedTooEarlyIsStoredAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.start(t, b.flowchart(t, map[string]string{"start": "start", "a": script(""), "end": "end"}, "start->a a->end"), `{}`)
	j, ok := b.jobs.take()
	require.True(t, ok)
	claim, err := b.engine.Claim(t.Context(), j.NodeRunID, b.worker)
	require.NoError(t, err)
	tries := 0
	collect := func() error { // what the clean-up would do if this took longer than its age
		_, err := b.db.Exec(t.Context(), `DELETE FROM blob`)
		return err
	}
	_, err = b.engine.Finish(t.Context(), claim.NodeRun.ID, claim.Attempt, large(100_000), run.FinishOptions{
		Before: func(context.Context, *postgres.Tx) error {
			tries++
			if tries == 1 {
				return collect()
			}
			return nil
		},
	})
	require.NoError(t, err)
	require.Equal(t, 2, tries)
	got, _ := b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)
	require.NotNil(t, got.Output)
}

func TestArtifactsAreKeptWithTheEndOfTheirAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.start(t, b.flowchart(t, map[string]string{
		"start": "start", "a": script(`"retry":{"max_attempts":2}`), "end": "end",
	}, "start->a a->end"), `{}`)
	b.work(t, false, func(n run.NodeRun, _ run.Work) run.Result {
		res := ok(`{}`)
		if n.Attempt == 1 {
			res = run.Result{Status: run.Failed, Error: &run.Failure{Code: "x", Message: "no", Retryable: true}}
		}
		res.Artifacts = []run.NewArtifact{
			{Name: "out/report.html", MediaType: "text/html", Data: []byte("<p>" + strings.Repeat("long ", 50_000))},
			{Name: "empty"},
		}
		return res
	})
	n := b.nodeRun(t, r.ID, "a")
	rows, err := b.engine.Artifacts(t.Context(), n.ID)
	require.NoError(t, err)
	require.Len(t, rows, 4, "of both attempts")
	require.Equal(t, "empty", rows[0].Name)
	require.Equal(t, "application/octet-stream", rows[0].MediaType)
	require.Equal(t, int32(2), rows[3].Attempt)
	a, content, err := b.engine.OpenArtifact(t.Context(), rows[3].ID)
	require.NoError(t, err)
	require.Equal(t, "text/html", a.MediaType)
	raw, err := io.ReadAll(content)
	require.NoError(t, err)
	require.Len(t, raw, int(a.Size))

	var persisted []event.Stored
	for _, e := range b.requireStream(t, r.ID) {
		if e.Envelope.EventType == "flowchart:node_artifact:persisted" {
			persisted = append(persisted, e)
		}
	}
	require.Len(t, persisted, 4)
	var p struct {
		ArtifactID int64 `json:"artifact_id"`
		Artifact   struct {
			Name string `json:"name"`
			Size int64  `json:"size"`
		} `json:"artifact"`
	}
	require.NoError(t, json.Unmarshal(persisted[2].Envelope.Payload, &p))
	require.Equal(t, "out/report.html", p.Artifact.Name)
	require.Contains(t, persisted[2].Envelope.RoomKeys, fmt.Sprintf("task:%d", n.ID))
}

// sqlTrace notes the statements of each connection in their order.
type sqlTrace struct {
	mu     sync.Mutex
	by     map[uint32][]string
	finish func(sql string) // called before a statement is sent
}

func (s *sqlTrace) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	pid := conn.PgConn().PID()
	s.by[pid] = append(s.by[pid], data.SQL)
	s.mu.Unlock()
	if s.finish != nil {
		s.finish(data.SQL)
	}
	return ctx
}

func (s *sqlTrace) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// underLock gives the statements that were sent while a run was locked.
func (s *sqlTrace) underLock() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, statements := range s.by {
		locked := false
		for _, sql := range statements {
			switch lower := strings.ToLower(sql); {
			case strings.Contains(lower, "from flowchart_run where id = $1 for update"):
				locked = true
			case lower == "commit" || lower == "rollback":
				locked = false
			case locked:
				out = append(out, sql)
			}
		}
	}
	return out
}

func (b *bundle) traced(t *testing.T) *sqlTrace {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(pgtest.URI(t))
	require.NoError(t, err)
	trace := &sqlTrace{by: map[uint32][]string{}}
	cfg.ConnConfig.Tracer = trace
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	b.db = &postgres.DB{Pool: pool}
	b.engine = run.NewEngine(run.Options{
		DB: b.db, Log: event.NewLog(nil, time.Now), Jobs: b.jobs, Signaller: b,
		ExecutorFor: func(string) string { return "inline" }, Now: time.Now,
	})
	b.worker = b.newWorker(t)
	return trace
}

// requireNoReading fails if an output, an input or a blob was read under a run's
// lock. Rows that are locked or inserted come back with what is in the row.
func (s *sqlTrace) requireNoReading(t *testing.T) {
	t.Helper()
	statements := s.underLock()
	require.NotEmpty(t, statements)
	for _, sql := range statements {
		require.NotContains(t, sql, "blob WHERE", "a blob was touched under the lock")
		require.NotContains(t, sql, "INTO blob", "a blob was stored under the lock")
		require.NotContains(t, sql, "name: OutputsOf", "an output was read under the lock")
		require.NotContains(t, sql, "name: GetRunInput", "the input was read under the lock")
	}
}

func TestNothingLargeIsReadWhileARunIsLocked(t *testing.T) {
	t.Parallel()
	b := &bundle{jobs: &memoryJobs{}}
	trace := b.traced(t)
	r := b.start(t, b.flowchart(t, largeNodes(), largeFlow), `{"text":"t"}`)
	b.work(t, true, func(run.NodeRun, run.Work) run.Result { return large(200_000) })
	got, nodes := b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status)
	require.Equal(t, []string{"succeeded"}, nodes["b"])
	trace.requireNoReading(t)
}

func TestAnOutputThatComesBetweenLoadingAndLockIsLoadedWithoutTheLock(t *testing.T) {
	t.Parallel()
	b := &bundle{jobs: &memoryJobs{}}
	trace := b.traced(t)
	r := b.start(t, b.flowchart(t, map[string]string{
		"start": "start", "a": script(""), "other": script(""), "b": script(""), "c": script(""), "end": "end",
		"pick": `decision {"conditions":[{"edge_id":"pick-b","expression":"has(nodes.other) && size(nodes.other.stdout) > 100000"}],"default_edge_id":"pick-c"}`,
	}, "start->a start->other a->pick pick->b pick->c b->end c->end other->end"), `{}`)
	claims := map[string]*run.Claim{}
	for range 2 {
		j, ok := b.jobs.take()
		require.True(t, ok)
		claim, err := b.engine.Claim(t.Context(), j.NodeRunID, b.worker)
		require.NoError(t, err)
		claims[claim.NodeRun.FlowchartNodeID] = claim
	}
	// The other node ends after a's end has looked for what its decision reads, and
	// before it has locked the run.
	looked := false
	trace.finish = func(sql string) {
		if looked || !strings.Contains(sql, "name: GetRunInput") {
			return
		}
		looked = true
		c := claims["other"]
		_, err := b.engine.Finish(t.Context(), c.NodeRun.ID, c.Attempt, large(200_000), run.FinishOptions{})
		require.NoError(t, err)
	}
	c := claims["a"]
	_, err := b.engine.Finish(t.Context(), c.NodeRun.ID, c.Attempt, large(10), run.FinishOptions{})
	require.NoError(t, err)
	require.True(t, looked)
	trace.finish = nil
	b.work(t, true, echo)
	got, nodes := b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status, string(got.Error))
	require.Equal(t, []string{"succeeded"}, nodes["b"], "the decision saw what was there when it was taken")
	b.requireStream(t, r.ID)
	trace.requireNoReading(t)
}

func TestALoopReadsTheNewestOutput(t *testing.T) {
	t.Parallel()
	b := &bundle{jobs: &memoryJobs{}}
	trace := b.traced(t)
	r := b.start(t, b.flowchart(t, map[string]string{
		"start": "start", "a": script(`"fan_in":"any"`), "end": "end",
		"again": `decision {"conditions":[{"edge_id":"again-a","expression":"size(nodes.a.stdout) < 300000"}],"default_edge_id":"again-end"}`,
	}, "start->a a->again again->a again->end"), `{}`)
	b.work(t, true, func(n run.NodeRun, _ run.Work) run.Result { return large(int(n.ExecutionIndex) * 100_000) })
	got, nodes := b.statuses(t, r.ID)
	require.Equal(t, run.Succeeded, got.Status, string(got.Error))
	require.Len(t, nodes["a"], 3)
	trace.requireNoReading(t)
}
