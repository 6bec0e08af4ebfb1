package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/llmctl/studio/internal/testkit/kubetest"
)

// executors selects what is made for nodes.
const executors = "app.kubernetes.io/name=llmctl-executor"

// allEnded waits until every accepted run has ended.
func (s *studio) allEnded(accepted []int64, z size) {
	s.t.Helper()
	kubetest.Eventually(s.t, z.deadline, "the end of all runs", func(ctx context.Context) error {
		var open int
		err := s.db.QueryRow(ctx, `SELECT count(*) FROM flowchart_run WHERE status NOT IN ('succeeded', 'failed', 'cancelled')`).Scan(&open)
		if err == nil && open > 0 {
			err = fmt.Errorf("%d of %d have not", open, len(accepted))
		}
		return err
	})
	var all int
	require.NoError(s.t, s.db.QueryRow(s.t.Context(), `SELECT count(*) FROM flowchart_run`).Scan(&all))
	require.Equal(s.t, len(accepted), all, "a run that nobody was told of")
}

// node is what the API says of a node run.
type node struct {
	Task struct {
		Status  string          `json:"status"`
		Attempt int             `json:"attempt"`
		Output  json.RawMessage `json:"output_state"`
		Error   json.RawMessage `json:"error"`
	} `json:"task"`
}

// allRight asks for the second node of each run: its number is the run's, passed on twice.
func (s *studio) allRight(ids []int64) {
	s.t.Helper()
	for _, id := range ids {
		rows, err := s.db.Query(s.t.Context(), `SELECT id, flowchart_node_id FROM node_run WHERE flowchart_run_id = $1 AND kind IN ('http', 'script') ORDER BY id`, id)
		require.NoError(s.t, err)
		nodes := map[string]int64{}
		var nodeID int64
		var name string
		_, err = pgx.ForEachRow(rows, []any{&nodeID, &name}, func() error { nodes[name] = nodeID; return nil })
		require.NoError(s.t, err)
		require.Len(s.t, nodes, 2, "run %d", id)
		for name, more := range map[string]int64{"first": 1, "second": 2} {
			var n node
			s.call(http.StatusOK, http.MethodGet, fmt.Sprintf("/api/nodes/%d", nodes[name]), nil, &n)
			require.Equal(s.t, "succeeded", n.Task.Status, "run %d, %s: %s", id, name, n.Task.Error)
			require.Equal(s.t, 1, n.Task.Attempt, "run %d, %s", id, name)
			var out struct {
				JSON struct {
					Value int64 `json:"value"`
				} `json:"json"`
			}
			require.NoError(s.t, json.Unmarshal(n.Task.Output, &out), "%s", n.Task.Output)
			require.Equal(s.t, id+more, out.JSON.Value, "run %d, %s", id, name)
		}
	}
	var bad int
	require.NoError(s.t, s.db.QueryRow(s.t.Context(), `SELECT count(*) FROM flowchart_run WHERE status <> 'succeeded'`).Scan(&bad))
	require.Zero(s.t, bad, "runs that did not succeed")
}

// onceEach: the ledger has each node of each run once, and nothing else.
func (s *studio) onceEach(ids []int64, l *ledger) {
	s.t.Helper()
	want := map[string]int{}
	for _, id := range ids {
		want[fmt.Sprintf("first/%d", id)], want[fmt.Sprintf("second/%d", id)] = 1, 1
	}
	require.Equal(s.t, want, l.entries())
}

// noneLost: a pod outlives its worker, so that no attempt is lost and no second one is made.
func (s *studio) noneLost() {
	s.t.Helper()
	rows, err := s.db.Query(s.t.Context(), `SELECT format('node run %s, attempt %s: %s, %s', node_run_id, number, status, dispatch_status)
		FROM node_attempt WHERE executor = 'kubernetes' AND (status <> 'succeeded' OR number <> 1 OR dispatch_status <> 'dispatch_confirmed')`)
	require.NoError(s.t, err)
	odd, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(s.t, err)
	require.Empty(s.t, odd)
}

// adopted is how many attempts ended with another worker than the one that was given
// their first job, or with one that is dead.
func (s *studio) adopted() int {
	s.t.Helper()
	var n int
	require.NoError(s.t, s.db.QueryRow(s.t.Context(), `SELECT count(*) FROM node_attempt a JOIN worker_process w ON w.id = a.worker_process_id
		WHERE a.executor = 'kubernetes' AND w.started_at > a.claimed_at`).Scan(&n))
	return n
}

// streamsWhole: every stream is 1, 2, 3, ... to its last number.
func (s *studio) streamsWhole() {
	s.t.Helper()
	var broken, streams int
	require.NoError(s.t, s.db.QueryRow(s.t.Context(), `
		SELECT count(*), count(*) FILTER (WHERE c.n <> s.last_sequence OR c.low <> 1 OR c.high <> s.last_sequence)
		FROM event_stream s JOIN LATERAL
			(SELECT count(*) AS n, min(sequence) AS low, max(sequence) AS high FROM event e WHERE e.stream = s.name) c ON true`).
		Scan(&streams, &broken))
	require.Positive(s.t, streams)
	require.Zero(s.t, broken, "streams with a gap")
}

// nothingLeft waits until the cluster has nothing of the runs any more, and says how
// long that took.
func (s *studio) nothingLeft() time.Duration {
	s.t.Helper()
	begun := time.Now()
	kubetest.Eventually(s.t, jobTTL+patience, "the end of Jobs, pods and Secrets", func(ctx context.Context) error {
		chosen := metav1.ListOptions{LabelSelector: executors}
		jobs, err := s.cluster.Client.BatchV1().Jobs(s.namespace).List(ctx, chosen)
		if err != nil {
			return err
		}
		pods, err := s.cluster.Client.CoreV1().Pods(s.namespace).List(ctx, chosen)
		if err != nil {
			return err
		}
		secrets, err := s.cluster.Client.CoreV1().Secrets(s.namespace).List(ctx, chosen)
		if err != nil {
			return err
		}
		if len(jobs.Items)+len(pods.Items)+len(secrets.Items) > 0 {
			return fmt.Errorf("%d Jobs, %d pods, %d Secrets", len(jobs.Items), len(pods.Items), len(secrets.Items))
		}
		return nil
	})
	return time.Since(begun)
}
