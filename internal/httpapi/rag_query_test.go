package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/testkit/ragtest"
)

func TestSourcesAreAsked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	viewer := b.as(auth.Viewer)
	require.Equal(t, "unconfigured", b.do(t, http.MethodGet, "/api/rag/health", nil, viewer).at(t, "status"))
	b.do(t, http.MethodPost, "/api/rag/query", map[string]any{"question": "why"}, viewer).problem(t, http.StatusServiceUnavailable, "unavailable", "rag.unconfigured")

	docs := ragtest.NewSource(t, b.db, "Docs")
	docs.Write(t,
		ragtest.File{Path: "a.md", Chunks: []ragtest.Chunk{{Text: "Certificates are rotated every night."}}},
		ragtest.File{Path: "b.md", Chunks: []ragtest.Chunk{{Text: "Nothing of interest."}}})
	docs.Show(t)
	require.Equal(t, "configured_healthy", b.do(t, http.MethodGet, "/api/rag/health", nil, viewer).at(t, "status"))
	a := b.do(t, http.MethodPost, "/api/rag/query", map[string]any{"question": "When are certificates rotated?", "explain": true, "synthesize": true}, b.as(auth.Editor))
	require.Equal(t, http.StatusOK, a.status, a.raw)
	require.Equal(t, "a.md", a.at(t, "results", 0, "path"))
	require.Equal(t, "a.md", a.at(t, "lists", "lexical", 0, "path"))
	require.Equal(t, "lexical", a.at(t, "stats", "mode"))
	require.Equal(t, "no_model", a.at(t, "synthesis_error", "code"))

	b.do(t, http.MethodPost, "/api/rag/query", map[string]any{"question": "x", "synthesize": true}, viewer).
		problem(t, http.StatusForbidden, "forbidden", "rag.models_need_editor")
	b.do(t, http.MethodGet, "/api/rag/retrievals", nil, viewer).problem(t, http.StatusForbidden, "forbidden", "auth.forbidden")
	list := b.do(t, http.MethodGet, "/api/rag/retrievals?origin=api", nil, b.as(auth.Admin))
	require.Equal(t, "When are certificates rotated?", list.at(t, "items", 0, "question"))
	one := b.do(t, http.MethodGet, "/api/rag/retrievals/"+list.id(t, "items", 0, "id"), nil, b.as(auth.Admin))
	require.Equal(t, "a.md", one.at(t, "results", 0, "path"))
	require.Equal(t, false, one.at(t, "results", 0, "cited"))
	b.do(t, http.MethodGet, "/api/rag/retrievals/999", nil, b.as(auth.Admin)).problem(t, http.StatusNotFound, "not_found", "rag.retrieval_not_found")
	b.do(t, http.MethodGet, "/api/rag/retrievals/1", nil, viewer).problem(t, http.StatusForbidden, "forbidden", "auth.forbidden")
	require.Empty(t, b.do(t, http.MethodGet, "/api/rag/retrievals?since=2100-01-01T00:00:00Z", nil, b.as(auth.Admin)).at(t, "items"))
	b.do(t, http.MethodGet, "/api/rag/retrievals?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", nil, b.as(auth.Admin)).
		problem(t, http.StatusUnprocessableEntity, "invalid", "rag.empty_period")
	require.Equal(t, "Docs", b.do(t, http.MethodGet, "/api/rag/collections", nil, viewer).at(t, "items", 0, "name"))

	for body, location := range map[string]string{
		`{"question":""}`: "body.question", `{"question":"x","top_k":51}`: "body.top_k", `{"question":"x","mode":"magic"}`: "body.mode",
	} {
		a := b.do(t, http.MethodPost, "/api/rag/query", body, viewer)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, a.raw)
		require.Equal(t, location, a.at(t, "errors", 0, "location"), a.raw)
	}
	b.do(t, http.MethodPost, "/api/rag/query", map[string]any{"question": "x", "source_ids": []int64{99}}, viewer).
		problem(t, http.StatusNotFound, "not_found", "rag.source_not_found")
}
