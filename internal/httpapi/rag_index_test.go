package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
)

// indexedSource is a source whose visible index has three files, one of which nothing
// reads and one of which has three chunks.
func (b *testBundle) indexedSource(t *testing.T) string {
	t.Helper()
	var id int64
	require.NoError(t, b.db.QueryRow(t.Context(), `INSERT INTO rag_source (name, kind, config, index_revision) VALUES ('docs', 'git', '{}', 3) RETURNING id`).Scan(&id))
	_, err := b.db.Exec(t.Context(), `INSERT INTO rag_file (rag_source_id, path, from_revision, to_revision, fingerprint, signature, content_hash, size, kind, language, chunks)
		VALUES ($1, 'a.go', 1, 3, 'f', 's', 'h', 5, 'code', 'go', 0), ($1, 'a.go', 3, NULL, 'f', 's', 'h', 7, 'code', 'go', 3), ($1, 'b/Ä.md', 1, NULL, 'f', 's', 'h', 9, 'markdown', '', 0),
		       ($1, 'c.bin', 1, NULL, 'f', 's', 'h', 9, 'binary', '', 0), ($1, 'd.md', 4, NULL, 'f', 's', 'h', 9, 'markdown', '', 0)`, id)
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `INSERT INTO rag_chunk (rag_source_id, rag_file_id, key, ordinal, text, context, heading, line_start, line_end, content_hash)
		SELECT $1, f.id, 'k' || n, n, 'text ' || n, 'a.go > F', '{F}', n, n + 1, 'h' FROM rag_file f, generate_series(0, 2) n WHERE f.path = 'a.go' AND f.from_revision = 3`, id)
	require.NoError(t, err)
	return fmt.Sprint(id)
}

func TestASourceIsIndexedByANode(t *testing.T) {
	t.Parallel()
	b := setup(t)
	source := b.indexedSource(t)
	path := "/api/rag/sources/" + source + "/index"
	b.do(t, http.MethodPost, path, `{"mode":"delta"}`).problem(t, http.StatusUnauthorized, "unauthenticated", "auth.required")
	b.do(t, http.MethodPost, path, `{"mode":"delta"}`, b.as(auth.Viewer)).problem(t, http.StatusForbidden, "forbidden", "auth.forbidden")
	b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, path, `{"mode":"quick"}`).problem(t, http.StatusUnprocessableEntity, "invalid", "request.invalid")
	b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, path, `{"mode":"delta","only_failed_of":7}`).
		problem(t, http.StatusUnprocessableEntity, "invalid", "rag.invalid_index_request")
	b.admin(t, http.StatusNotFound, http.MethodPost, "/api/rag/sources/99/index", `{"mode":"delta"}`).problem(t, http.StatusNotFound, "not_found", "rag.source_not_found")

	first := b.do(t, http.MethodPost, path, `{"mode":"delta","plan_first":true}`, b.as(auth.Editor), header{"Idempotency-Key", "k"})
	require.Equal(t, http.StatusAccepted, first.status, first.raw)
	require.Equal(t, first.raw, b.do(t, http.MethodPost, path, `{"mode":"delta","plan_first":true}`, b.as(auth.Editor), header{"Idempotency-Key", "k"}).raw)
	b.do(t, http.MethodPost, path, `{"mode":"fresh"}`, b.as(auth.Editor), header{"Idempotency-Key", "k"}).problem(t, http.StatusConflict, "conflict", "idempotency.mismatch")
	require.Equal(t, "delta_indexing", first.at(t, "task", "execution_mode"))
	require.Equal(t, "llmctl_studio.rag.git", first.at(t, "task", "queue"))
	require.Equal(t, "queued", first.at(t, "index_run", "status"))
	node, run := first.id(t, "task", "id"), first.id(t, "index_run", "id")
	require.Contains(t, b.audited(t), "rag_index_run.started "+run)

	busy := b.admin(t, http.StatusConflict, http.MethodPost, path, `{"mode":"fresh"}`)
	busy.problem(t, http.StatusConflict, "conflict", "rag.source_active")
	require.Equal(t, "node_id", busy.at(t, "errors", 0, "location"))
	require.Equal(t, node, busy.at(t, "errors", 0, "message"))
	require.Equal(t, run, busy.at(t, "errors", 1, "message"))

	detail := b.admin(t, http.StatusOK, http.MethodGet, "/api/nodes/"+node, nil)
	require.Equal(t, []any{json.Number(run)}, detail.at(t, "index_run_ids"))
	require.Equal(t, "RAG Delta Indexing", detail.at(t, "stages", 4, "label"))
	require.Equal(t, run, b.admin(t, http.StatusOK, http.MethodGet, "/api/rag/index-runs?status=queued&source_id="+source, nil).id(t, "items", 0, "id"))
	none, _ := b.admin(t, http.StatusOK, http.MethodGet, "/api/rag/index-runs?status=failed", nil).at(t, "items").([]any)
	require.Empty(t, none)
	require.Equal(t, "docs", b.do(t, http.MethodGet, "/api/rag/index-runs/"+run, nil, b.as(auth.Viewer)).at(t, "source_name"))
	require.Equal(t, []string{"rag:source:updated"}, b.events(t, "rag_source:"+source))
}

func TestAnIndexRunTakesOrders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	source := b.indexedSource(t)
	started := b.admin(t, http.StatusAccepted, http.MethodPost, "/api/rag/sources/"+source+"/index", `{"mode":"delta"}`)
	run := "/api/rag/index-runs/" + started.id(t, "index_run", "id")
	order := func(what string) answer { return b.do(t, http.MethodPost, run+"/"+what, nil, b.as(auth.Editor)) }
	order("apply").problem(t, http.StatusConflict, "conflict", "rag.no_plan")
	order("resume").problem(t, http.StatusConflict, "conflict", "rag.not_paused")
	require.Equal(t, true, order("pause").at(t, "index_run", "pause_requested"))
	require.Equal(t, false, order("resume").at(t, "index_run", "pause_requested"))
	b.do(t, http.MethodPost, run+"/cancel", nil, b.as(auth.Viewer)).problem(t, http.StatusForbidden, "forbidden", "auth.forbidden")
	require.Equal(t, http.StatusAccepted, order("cancel").status)
	require.Equal(t, "cancelled", b.admin(t, http.StatusOK, http.MethodGet, "/api/nodes/"+started.id(t, "task", "id"), nil).at(t, "task", "status"))
	b.admin(t, http.StatusNotFound, http.MethodPost, "/api/rag/index-runs/99/cancel", nil).problem(t, http.StatusNotFound, "not_found", "rag.index_run_not_found")
	for _, action := range []string{"paused", "resumed", "cancelled"} {
		require.Contains(t, b.audited(t), "rag_index_run."+action+" "+started.id(t, "index_run", "id"))
	}
}

func TestTheJournalOfAnIndexRunIsListedByPath(t *testing.T) {
	t.Parallel()
	b := setup(t)
	source := b.indexedSource(t)
	started := b.admin(t, http.StatusAccepted, http.MethodPost, "/api/rag/sources/"+source+"/index", `{"mode":"delta"}`)
	run := "/api/rag/index-runs/" + started.id(t, "index_run", "id")
	_, err := b.db.Exec(t.Context(), `INSERT INTO rag_index_file (rag_index_run_id, path, action, status, error_code, error)
		SELECT $1, 'd/' || n || '.md', CASE WHEN n % 2 = 0 THEN 'add' ELSE 'change' END, CASE WHEN n < 3 THEN 'failed' ELSE 'done' END,
		       CASE WHEN n < 3 THEN 'unreadable' END, CASE WHEN n < 3 THEN 'It is damaged.' END FROM generate_series(1, 9) n`, started.id(t, "index_run", "id"))
	require.NoError(t, err)
	var paths []any
	for query := "?limit=4"; query != ""; {
		page := b.admin(t, http.StatusOK, http.MethodGet, run+"/files"+query, nil)
		items, _ := page.at(t, "items").([]any)
		require.LessOrEqual(t, len(items), 4)
		for i := range items {
			paths = append(paths, page.at(t, "items", i, "path"))
		}
		query = ""
		if next, ok := page.at(t, "next_cursor").(string); ok {
			query = "?limit=4&cursor=" + next
		}
	}
	require.Equal(t, []any{"d/1.md", "d/2.md", "d/3.md", "d/4.md", "d/5.md", "d/6.md", "d/7.md", "d/8.md", "d/9.md"}, paths)
	for query, want := range map[string]int{"?status=failed": 2, "?action=change": 5, "?q=D/5": 1, "?status=failed&action=add": 1} {
		items, _ := b.admin(t, http.StatusOK, http.MethodGet, run+"/files"+query, nil).at(t, "items").([]any)
		require.Len(t, items, want, query)
	}
	require.Equal(t, "It is damaged.", b.admin(t, http.StatusOK, http.MethodGet, run+"/files?status=failed", nil).at(t, "items", 0, "error", "message"))
	groups := b.admin(t, http.StatusOK, http.MethodGet, run+"/errors", nil)
	require.Equal(t, json.Number("2"), groups.at(t, "items", 0, "count"))
	require.Equal(t, []any{"d/1.md", "d/2.md"}, groups.at(t, "items", 0, "paths"))
	for _, cursor := range []string{"x", "p!", "bAA"} {
		b.admin(t, http.StatusUnprocessableEntity, http.MethodGet, run+"/files?cursor="+cursor, nil).problem(t, http.StatusUnprocessableEntity, "invalid", "request.invalid_cursor")
	}
	b.admin(t, http.StatusNotFound, http.MethodGet, "/api/rag/index-runs/99/files", nil)
	b.admin(t, http.StatusNotFound, http.MethodGet, "/api/rag/index-runs/99/errors", nil)
}

func TestWhatIsIndexedIsShownAsSearchesSeeIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	source := b.indexedSource(t)
	files := b.do(t, http.MethodGet, "/api/rag/sources/"+source+"/files", nil, b.as(auth.Viewer))
	items, _ := files.at(t, "items").([]any)
	require.Len(t, items, 2, "%s", files.raw)
	require.Equal(t, "a.go", files.at(t, "items", 0, "path"))
	require.Equal(t, json.Number("7"), files.at(t, "items", 0, "size"), "the one that searches see")
	for query, want := range map[string]string{"?language=go": "a.go", "?kind=binary": "c.bin", "?q=%C3%A4.MD": "b/Ä.md", "?kind=markdown": "b/Ä.md"} {
		a := b.admin(t, http.StatusOK, http.MethodGet, "/api/rag/sources/"+source+"/files"+query, nil)
		require.Equal(t, want, a.at(t, "items", 0, "path"), query)
	}
	b.admin(t, http.StatusNotFound, http.MethodGet, "/api/rag/sources/99/files", nil).problem(t, http.StatusNotFound, "not_found", "rag.source_not_found")

	path := "/api/rag/files/" + files.id(t, "items", 0, "id") + "/chunks"
	page := b.admin(t, http.StatusOK, http.MethodGet, path+"?limit=2", nil)
	require.Equal(t, "text 1", page.at(t, "items", 1, "text"))
	require.Equal(t, []any{"F"}, page.at(t, "items", 1, "position", "heading"))
	require.Equal(t, false, page.at(t, "items", 1, "has_vector"))
	cursor, _ := page.at(t, "next_cursor").(string)
	page = b.admin(t, http.StatusOK, http.MethodGet, path+"?limit=2&cursor="+cursor, nil)
	require.Equal(t, "text 2", page.at(t, "items", 0, "text"))
	require.Nil(t, page.at(t, "next_cursor"))
	b.admin(t, http.StatusUnprocessableEntity, http.MethodGet, path+"?cursor="+strings.Repeat("z", 9), nil).problem(t, http.StatusUnprocessableEntity, "invalid", "request.invalid_cursor")
	b.admin(t, http.StatusNotFound, http.MethodGet, "/api/rag/files/99999/chunks", nil).problem(t, http.StatusNotFound, "not_found", "rag.file_not_found")
}
