package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

const waitingNode = `{"nodes":[{"id":"a","kind":"start"},
	{"id":"h","kind":"http","title":"Call","config":{"method":"GET","url":"http://192.0.2.1/"}},{"id":"b","kind":"end"}],
	"edges":[{"id":"e","source":"a","target":"h","mode":"solid"},{"id":"f","source":"h","target":"b","mode":"solid"}]}`

// waitingRun is a run whose only node waits for a worker that never comes.
func (b *testBundle) waitingRun(t *testing.T) (runPath, nodePath string) {
	t.Helper()
	path := b.flowchart(t, "x")
	b.admin(t, http.StatusOK, http.MethodPut, path+"/graph", waitingNode)
	id := b.admin(t, http.StatusAccepted, http.MethodPost, path+"/runs", `{}`).id(t, "flowchart_run", "id")
	list := b.admin(t, http.StatusOK, http.MethodGet, "/api/nodes?kind=http&flowchart_run_id="+id, nil)
	return "/api/flowchart-runs/" + id, "/api/nodes/" + list.id(t, "items", 0, "id")
}

func TestPauseAndResumeAnswerWithTheState(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path, node := b.waitingRun(t)
	for range 2 {
		require.Equal(t, "paused", b.admin(t, http.StatusAccepted, http.MethodPost, path+"/pause", nil).at(t, "flowchart_run", "status"))
	}
	require.Equal(t, "pending", b.admin(t, http.StatusOK, http.MethodGet, node, nil).at(t, "task", "status"))
	for range 2 {
		res := b.admin(t, http.StatusAccepted, http.MethodPost, path+"/resume", nil)
		require.Equal(t, "queued", res.at(t, "flowchart_run", "status"))
		require.Nil(t, res.at(t, "flowchart_run", "paused_at"))
	}
	require.Contains(t, b.audited(t), "run.paused "+path[len("/api/flowchart-runs/"):])
	b.admin(t, http.StatusAccepted, http.MethodPost, path+"/cancel", nil)
	b.admin(t, http.StatusConflict, http.MethodPost, path+"/pause", nil).problem(t, http.StatusConflict, "conflict", "run.finished")
	b.admin(t, http.StatusNotFound, http.MethodPost, "/api/flowchart-runs/4711/resume", nil).problem(t, http.StatusNotFound, "not_found", "run.not_found")
}

func TestCancelAnswersWithReceipts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path, node := b.waitingRun(t)
	cancelled := b.admin(t, http.StatusAccepted, http.MethodPost, path+"/cancel", nil)
	for _, a := range []answer{cancelled, b.admin(t, http.StatusOK, http.MethodGet, path, nil)} {
		require.Equal(t, "never began", a.at(t, "flowchart_run", "cancellation", "receipts", 0, "how"))
		require.NotNil(t, a.at(t, "flowchart_run", "cancellation", "receipts", 0, "confirmed_at"))
		require.Nil(t, a.at(t, "flowchart_run", "cancellation", "receipts", 0, "worker"))
	}
	require.Equal(t, "never began", b.admin(t, http.StatusOK, http.MethodGet, node, nil).at(t, "task", "cancellation", "how"))

	path, node = b.waitingRun(t)
	single := b.admin(t, http.StatusAccepted, http.MethodPost, node+"/cancel", nil)
	require.Equal(t, "cancelled", single.at(t, "task", "status"))
	require.Equal(t, "never began", single.at(t, "cancellation", "how"))
	run := b.admin(t, http.StatusOK, http.MethodGet, path, nil)
	require.Equal(t, "cancelled", run.at(t, "flowchart_run", "status"))
	require.Equal(t, "node_cancelled", run.at(t, "flowchart_run", "error", "code"))
	b.admin(t, http.StatusConflict, http.MethodPost, node+"/cancel", nil).problem(t, http.StatusConflict, "conflict", "node.finished")
	require.Contains(t, b.audited(t), "node.cancelled "+node[len("/api/nodes/"):])
}

func TestRetryBeginsAtANodeRun(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path, node := b.waitingRun(t)
	id := node[len("/api/nodes/"):]
	body := `{"from_node_run_id":` + id + `}`
	b.admin(t, http.StatusConflict, http.MethodPost, path+"/retry", body).problem(t, http.StatusConflict, "conflict", "run.not_finished")
	b.admin(t, http.StatusAccepted, http.MethodPost, path+"/cancel", nil)
	first := b.admin(t, http.StatusAccepted, http.MethodPost, path+"/retry", body, header{"Idempotency-Key", "k"})
	again := b.admin(t, http.StatusAccepted, http.MethodPost, path+"/retry", body, header{"Idempotency-Key", "k"})
	require.Equal(t, first.id(t, "flowchart_run", "id"), again.id(t, "flowchart_run", "id"))
	require.Equal(t, id, first.id(t, "flowchart_run", "retry_from"))
	next := b.admin(t, http.StatusOK, http.MethodGet, "/api/flowchart-runs/"+first.id(t, "flowchart_run", "id"), nil)
	require.NotNil(t, next.at(t, "node_runs", 0, "reused_from"), "the start node is reused")
	require.Nil(t, next.at(t, "node_runs", 1, "reused_from"))
	reused := b.admin(t, http.StatusOK, http.MethodGet, "/api/nodes/"+next.id(t, "node_runs", 0, "id"), nil)
	require.Equal(t, path, "/api/flowchart-runs/"+reused.id(t, "task", "reused_from_run_id"))
	require.Equal(t, first.id(t, "flowchart_run", "id"),
		b.admin(t, http.StatusOK, http.MethodGet, path, nil).id(t, "flowchart_run", "retried_by", 0))

	res := b.admin(t, http.StatusAccepted, http.MethodPost, node+"/retry", `{}`)
	require.Equal(t, id, res.id(t, "flowchart_run", "retry_from"))
	b.admin(t, http.StatusAccepted, http.MethodPost, node+"/retry", nil)
	b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, node+"/retry", `{"version":9}`).
		problem(t, http.StatusUnprocessableEntity, "invalid", "run.unknown_version")
	b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, path+"/retry", `{"from_node_run_id":999999}`).
		problem(t, http.StatusUnprocessableEntity, "invalid", "run.not_its_node")
	b.admin(t, http.StatusNotFound, http.MethodPost, "/api/nodes/999999/retry", nil).problem(t, http.StatusNotFound, "not_found", "node.not_found")
}
