package chaos

import (
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/llmtest"
)

// allEnded waits until every accepted run has ended and gives how, by state.
func (s *studio) allEnded(db *pgxpool.Pool, accepted []int64) map[string]int {
	s.t.Helper()
	states := map[string]int{}
	require.Eventually(s.t, func() bool {
		clear(states)
		rows, err := db.Query(s.t.Context(), `SELECT status, count(*) FROM flowchart_run WHERE id = ANY($1) GROUP BY status`, accepted)
		if err != nil {
			return false
		}
		var status string
		var n int
		_, err = pgx.ForEachRow(rows, []any{&status, &n}, func() error { states[status] = n; return nil })
		return err == nil && states["succeeded"]+states["failed"]+states["cancelled"] == len(accepted)
	}, 2*patience, 200*time.Millisecond, "states: %v", states)
	var all int
	require.NoError(s.t, db.QueryRow(s.t.Context(), `SELECT count(*) FROM flowchart_run`).Scan(&all))
	require.Equal(s.t, len(accepted), all, "a run that nobody was told of")
	return states
}

// noneFailedBut looks for runs that ended badly for another reason than the given one: a
// node that lost its worker too often may fail, nothing else.
func (s *studio) noneFailedBut(db *pgxpool.Pool, code string) {
	s.t.Helper()
	rows, err := db.Query(s.t.Context(), `SELECT id::text || ': ' || coalesce(error::text, '') FROM flowchart_run
		WHERE status <> 'succeeded' AND (status <> 'failed' OR error->>'code' <> $1)`, code)
	require.NoError(s.t, err)
	odd, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(s.t, err)
	require.Empty(s.t, odd)
}

// noNodeTwice: a node that succeeded did so once, in its last attempt, and the model
// was asked at most once for each attempt.
func (s *studio) noNodeTwice(db *pgxpool.Pool, llm *llmtest.Server) {
	s.t.Helper()
	var twice int
	require.NoError(s.t, db.QueryRow(s.t.Context(), `
		SELECT count(*) FROM node_run n WHERE n.status = 'succeeded' AND n.kind NOT IN ('start', 'end', 'decision') AND (
			(SELECT count(*) FROM node_attempt a WHERE a.node_run_id = n.id AND a.status = 'succeeded') <> 1
			OR EXISTS (SELECT 1 FROM node_attempt a WHERE a.node_run_id = n.id AND a.claimed_at > n.finished_at)
			OR EXISTS (SELECT 1 FROM node_attempt a WHERE a.node_run_id = n.id AND a.number > n.attempt))`).Scan(&twice))
	require.Zero(s.t, twice, "nodes that were worked after they had succeeded")
	calls := map[string]int{}
	for _, r := range llm.Requests() {
		var node string
		var run int64
		if _, err := fmt.Sscanf(r.Prompt, "%s of run %d;", &node, &run); err == nil {
			calls[fmt.Sprint(node, run)]++
		}
	}
	rows, err := db.Query(s.t.Context(), `SELECT upper(flowchart_node_id) || flowchart_run_id, attempt FROM node_run WHERE kind = 'task'`)
	require.NoError(s.t, err)
	var name string
	var attempts int
	_, err = pgx.ForEachRow(rows, []any{&name, &attempts}, func() error {
		require.LessOrEqual(s.t, calls[name], attempts, "calls for %s", name)
		return nil
	})
	require.NoError(s.t, err)
}

// streamsWhole: every stream is 1, 2, 3, ... to its last number.
func (s *studio) streamsWhole(db *pgxpool.Pool) {
	s.t.Helper()
	var broken, streams int
	require.NoError(s.t, db.QueryRow(s.t.Context(), `
		SELECT count(*), count(*) FILTER (WHERE c.n <> s.last_sequence OR c.low <> 1 OR c.high <> s.last_sequence)
		FROM event_stream s JOIN LATERAL
			(SELECT count(*) AS n, min(sequence) AS low, max(sequence) AS high FROM event e WHERE e.stream = s.name) c ON true`).
		Scan(&streams, &broken))
	require.Positive(s.t, streams)
	require.Zero(s.t, broken, "streams with a gap")
}

// harm is what was done to a process.
type harm struct {
	pid  int
	kind string
	at   time.Time
}

// recoveries gives how long each lost attempt's work was without a worker: from the
// harm to the claim of the next attempt.
func (s *studio) recoveries(db *pgxpool.Pool, harms []harm) []time.Duration {
	s.t.Helper()
	rows, err := db.Query(s.t.Context(), `
		SELECT w.pid, a.claimed_at, a.finished_at, coalesce(b.claimed_at, a.finished_at)
		FROM node_attempt a JOIN worker_process w ON w.id = a.worker_process_id
		LEFT JOIN node_attempt b ON b.node_run_id = a.node_run_id AND b.number = a.number + 1
		WHERE a.status = 'lost'`)
	require.NoError(s.t, err)
	var out []time.Duration
	var pid int
	var claimed, finished, next time.Time
	_, err = pgx.ForEachRow(rows, []any{&pid, &claimed, &finished, &next}, func() error {
		var last time.Time
		for _, h := range harms {
			// The database keeps microseconds, and a frozen worker's claim may be on its way.
			if h.pid == pid && h.at.Before(finished) {
				last = h.at
			}
		}
		require.False(s.t, last.IsZero(), "an attempt of process %d was lost although nobody harmed it", pid)
		if claimed.After(last) {
			last = claimed
		}
		out = append(out, next.Sub(last))
		return nil
	})
	require.NoError(s.t, err)
	slices.Sort(out)
	return out
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
