package server_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/testkit/ragtest"
)

func TestSourcesAreListedAndSearched(t *testing.T) {
	t.Parallel()
	r := setup(t)
	s := r.as(t, auth.Viewer)
	require.Equal(t, "rag.unconfigured", call(t, s, "llmctl_search_sources", map[string]any{"question": "why"}).reason(t))

	docs := ragtest.NewSource(t, r.db, "Docs")
	docs.Write(t,
		ragtest.File{Path: "a.md", Kind: "markdown", Chunks: []ragtest.Chunk{{Text: "Certificates are rotated every night.", LineStart: 3, LineEnd: 4}}},
		ragtest.File{Path: "b.go", Kind: "code", Language: "go", Chunks: []ragtest.Chunk{{Text: "certificates rotated"}}})
	docs.Show(t)
	list := ok(t, s, "llmctl_list_sources", map[string]any{})
	require.Contains(t, list.text(t), `"name":"Docs"`)

	found := ok(t, s, "llmctl_search_sources", map[string]any{"question": "When are certificates rotated?", "paths": []string{"*.md"}})
	passages, isList := found.body["passages"].([]any)
	require.True(t, isList)
	require.Len(t, passages, 1)
	require.Contains(t, found.text(t), "every night")
	require.Equal(t, "lexical", found.body["mode"])
	require.True(t, call(t, s, "llmctl_search_sources", map[string]any{"question": "x", "top_k": 99}).IsError)
}
