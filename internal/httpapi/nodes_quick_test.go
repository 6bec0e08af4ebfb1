package httpapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

const quickAsk = `{"prompt":"Say {{ hello }}\nand more","model_id":1,"system":"Be short","params":{"temperature":0.5},"timeout_seconds":20}`

func TestAQuickNodeIsStartedListedAndShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.withModel(t)
	first := b.do(t, http.MethodPost, "/api/nodes", quickAsk, b.as(auth.Editor), header{"Idempotency-Key", "k"})
	require.Equal(t, http.StatusAccepted, first.status, first.raw)
	again := b.do(t, http.MethodPost, "/api/nodes", quickAsk, b.as(auth.Editor), header{"Idempotency-Key", "k"})
	require.Equal(t, first.raw, again.raw)
	b.do(t, http.MethodPost, "/api/nodes", `{"prompt":"other","model_id":1}`, b.as(auth.Editor), header{"Idempotency-Key", "k"}).
		problem(t, http.StatusConflict, "conflict", "idempotency.mismatch")
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM node_run`))

	id := first.id(t, "task", "id")
	require.Equal(t, "queued", first.at(t, "task", "status"))
	require.Equal(t, "Say {{ hello }}", first.at(t, "task", "title"))
	require.Equal(t, "llmctl_studio", first.at(t, "task", "queue"))
	require.Nil(t, first.at(t, "task", "flowchart_run_id"))
	require.Contains(t, b.audited(t), "node.started "+id)

	d := b.admin(t, http.StatusOK, http.MethodGet, "/api/nodes/"+id, nil)
	require.Equal(t, "Say {{ hello }}\nand more", d.at(t, "task", "input_context", "config", "prompt"), "nothing is a template")
	require.Equal(t, json.Number("0.5"), d.at(t, "task", "input_context", "config", "params", "temperature"))
	require.Nil(t, d.at(t, "task", "input_context", "flowchart"))
	require.NotNil(t, d.at(t, "task", "input_context", "requested_by", "user_id"))
	require.Equal(t, "task:"+id, d.at(t, "as_of", "stream"))
	require.Equal(t, []string{"node:task:updated"}, b.events(t, "task:"+id))
	b.admin(t, http.StatusOK, http.MethodGet, "/api/nodes/"+id+"/logs", nil)
	for query, want := range map[string]int{
		"": 1, "?quick=true": 1, "?quick=false": 0, "?kind=task&status=queued": 1, "?kind=script": 0, "?quick=true&status=running": 0,
	} {
		items, _ := b.admin(t, http.StatusOK, http.MethodGet, "/api/nodes"+query, nil).at(t, "items").([]any)
		require.Len(t, items, want, query)
	}
}

func TestAQuickNodeIsRefusedForWhatIsWrongWithIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.withModel(t)
	b.do(t, http.MethodPost, "/api/nodes", quickAsk).problem(t, http.StatusUnauthorized, "unauthenticated", "auth.required")
	b.do(t, http.MethodPost, "/api/nodes", quickAsk, b.as(auth.Viewer)).problem(t, http.StatusForbidden, "forbidden", "auth.forbidden")
	_, err := b.db.Exec(t.Context(), `INSERT INTO model (name, provider_id, model, config) SELECT 'vectors', provider_id, 'v', '{"purpose":"embedding"}' FROM model`)
	require.NoError(t, err)
	for body, reason := range map[string]string{
		`{"prompt":"x","model_id":2}`:                                    "node.embedding_model",
		`{"prompt":"x","model_id":4711}`:                                 "node.unknown_model",
		`{"prompt":" \n ","model_id":1}`:                                 "node.empty_prompt",
		`{"prompt":"a\u0000b","model_id":1}`:                             "node.invalid_request",
		`{"prompt":"x","model_id":1,"timeout_seconds":0.5}`:              "request.invalid",
		`{"prompt":"x"}`:                                                 "request.invalid",
		`{"prompt":"x","model_id":1,"surprise":1}`:                       "request.invalid",
		`{"prompt":"` + strings.Repeat("é", 180_000) + `","model_id":1}`: "node.invalid_request",
	} {
		b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/nodes", body).problem(t, http.StatusUnprocessableEntity, "invalid", reason)
	}
	require.Zero(t, b.count(t, `SELECT count(*) FROM node_run`))
}

func TestAQuickNodeIsCancelledAndRetriedByTheSameOperations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.withModel(t)
	id := b.admin(t, http.StatusAccepted, http.MethodPost, "/api/nodes", quickAsk).id(t, "task", "id")
	path := "/api/nodes/" + id
	b.admin(t, http.StatusConflict, http.MethodPost, path+"/retry", nil).problem(t, http.StatusConflict, "conflict", "node.not_finished")
	cancelled := b.admin(t, http.StatusAccepted, http.MethodPost, path+"/cancel", nil)
	require.Equal(t, "cancelled", cancelled.at(t, "task", "status"))
	require.Equal(t, "never began", cancelled.at(t, "cancellation", "how"))
	b.admin(t, http.StatusConflict, http.MethodPost, path+"/cancel", nil).problem(t, http.StatusConflict, "conflict", "node.finished")

	first := b.admin(t, http.StatusAccepted, http.MethodPost, path+"/retry", `{}`, header{"Idempotency-Key", "k"})
	again := b.admin(t, http.StatusAccepted, http.MethodPost, path+"/retry", `{}`, header{"Idempotency-Key", "k"})
	require.Equal(t, first.raw, again.raw)
	require.NotContains(t, first.body, "flowchart_run")
	require.Equal(t, id, first.id(t, "task", "retry_of"))
	next := first.id(t, "task", "id")
	require.NotEqual(t, id, next)
	require.Equal(t, id, b.admin(t, http.StatusOK, http.MethodGet, "/api/nodes/"+next, nil).id(t, "task", "retry_of"))
	require.Subset(t, b.audited(t), []string{"node.cancelled " + id, "node.retried " + next})
	b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, path+"/retry", `{"version":1}`).
		problem(t, http.StatusUnprocessableEntity, "invalid", "node.no_version")
}

func TestADeadQuickNodeIsRetriedOnceFromItsQueue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.withModel(t)
	id := b.admin(t, http.StatusAccepted, http.MethodPost, "/api/nodes", quickAsk).id(t, "task", "id")
	_, err := b.db.Exec(t.Context(), `UPDATE node_run SET status = 'failed', finished_at = now(), error = '{"code":"exit","message":"no"}'`)
	require.NoError(t, err)
	path := "/api/queues/llmctl_studio/dead"
	require.Nil(t, b.admin(t, http.StatusOK, http.MethodGet, path+"?pending=true", nil).at(t, "items", 0, "retried_by_node_run"))
	body := map[string]any{"ids": []string{"node_run-" + id}}
	first := b.admin(t, http.StatusOK, http.MethodPost, path+"/retry", body)
	require.Equal(t, "retried", first.at(t, "items", 0, "outcome"))
	require.Nil(t, first.at(t, "items", 0, "flowchart_run_id"))
	next := first.id(t, "items", 0, "node_run_id")
	again := b.admin(t, http.StatusOK, http.MethodPost, path+"/retry", body)
	require.Equal(t, "already_retried", again.at(t, "items", 0, "outcome"))
	require.Equal(t, next, again.id(t, "items", 0, "node_run_id"))
	require.Equal(t, next, b.admin(t, http.StatusOK, http.MethodGet, path, nil).id(t, "items", 0, "retried_by_node_run"))
	require.Empty(t, b.admin(t, http.StatusOK, http.MethodGet, path+"?pending=true", nil).at(t, "items"))
	require.Contains(t, b.audited(t), "node.retried "+next)
}

func TestTheExecutionModeIsInDetailStatusAndEventsAndNamesTheStage(t *testing.T) {
	t.Parallel()
	var engine *run.Engine
	b := setup(t, func(_ *testBundle, d *httpapi.Deps) { engine = d.Engine })
	worker := uuid.New()
	_, err := b.db.Exec(t.Context(), `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues, level)
		VALUES ($1, 'test', 'box', 7, 'v1', 4, '{}', $2)`, worker, postgres.BinaryLevel)
	require.NoError(t, err)
	labels := map[string]map[string]string{
		"rag":       {"": "LLM Query", "query": "LLM Query", "indexing": "RAG Indexing", "delta_indexing": "RAG Delta Indexing"},
		"rag_index": {"": "LLM Query", "query": "LLM Query", "indexing": "RAG Indexing", "delta_indexing": "RAG Delta Indexing"},
		"task":      {"": "LLM Query", "query": "LLM Query", "indexing": "LLM Query", "delta_indexing": "LLM Query"},
	}
	for kind, modes := range labels {
		for mode, label := range modes {
			id := startedNode(t, b, engine, worker, run.NodeRequest{Kind: kind, ExecutionMode: mode, Config: json.RawMessage(`{}`)})
			var want any
			if mode != "" {
				want = mode
			}
			path := "/api/nodes/" + id
			d := b.admin(t, http.StatusOK, http.MethodGet, path, nil)
			s := b.admin(t, http.StatusOK, http.MethodGet, path+"/status", nil)
			require.Equal(t, want, d.at(t, "task", "execution_mode"), kind)
			require.Equal(t, want, d.at(t, "task", "runtime", "execution_mode"), kind)
			require.Equal(t, want, s.at(t, "execution_mode"), kind)
			require.Equal(t, want, s.at(t, "runtime", "execution_mode"), kind)
			for _, a := range []answer{d, s} {
				require.Equal(t, []string{
					"integration Integration", "pre_init Pre Init", "init Init", "post_init Post Init", "llm_query " + label, "post_run Post Run",
				}, stageLabels(t, a.at(t, "stages")), "%s %s", kind, mode)
			}
			require.Contains(t, stageLabels(t, d.at(t, "task", "attempts", 0, "stages")), "llm_query "+label)
			events := b.admin(t, http.StatusOK, http.MethodGet, "/api/events?stream=task:"+id, nil)
			items, _ := events.at(t, "items").([]any)
			require.Len(t, items, 2)
			for i := range items {
				require.Equal(t, want, events.at(t, "items", i, "runtime", "execution_mode"))
				require.Equal(t, want, events.at(t, "items", i, "payload", "execution_mode"))
				runtime, _ := events.at(t, "items", i, "runtime").(map[string]any)
				require.Len(t, runtime, 12)
			}
		}
	}
}

// startedNode starts a quick node and has a worker claim it.
func startedNode(t *testing.T, b *testBundle, engine *run.Engine, worker uuid.UUID, req run.NodeRequest) string {
	t.Helper()
	var n run.NodeRun
	require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		n, err = engine.StartNode(ctx, tx, req)
		return err
	}))
	claim, err := engine.Claim(t.Context(), n.ID, worker)
	require.NoError(t, err)
	require.NotNil(t, claim)
	return strconv.FormatInt(n.ID, 10)
}

// stageLabels gives "key label" of each stage.
func stageLabels(t *testing.T, stages any) []string {
	t.Helper()
	list, ok := stages.([]any)
	require.True(t, ok)
	out := make([]string, len(list))
	for i, s := range list {
		m, _ := s.(map[string]any)
		key, _ := m["key"].(string)
		label, _ := m["label"].(string)
		out[i] = key + " " + label
	}
	return out
}
