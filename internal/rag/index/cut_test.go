package index_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/document"
	"github.com/llmctl/studio/internal/rag/chunk"
	"github.com/llmctl/studio/internal/rag/index"
)

func TestFilesAreCutWithTheStudiosParsers(t *testing.T) {
	t.Parallel()
	d := index.Documents{Parser: document.InProcess{}, Options: chunk.Options{TargetTokens: 50, MaxTokens: 100}}
	cut, err := d.Cut(t.Context(), "docs/a.md", []byte("# Harbour\n\nShips lie here.\n"))
	require.NoError(t, err)
	require.Equal(t, []any{"markdown", "Harbour", false}, []any{cut.Kind, cut.Title, cut.Binary})
	require.Len(t, cut.Chunks, 1)
	require.Contains(t, cut.Chunks[0].Context, "docs/a.md")
	require.Equal(t, cut.Chunks[0].Context+"\n\n"+cut.Chunks[0].Text, index.Text(cut.Chunks[0]), "where it stands is embedded, too")

	cut, err = d.Cut(t.Context(), "blob", []byte("\x00\x01\x02\xff\xfe\x00\x00"))
	require.NoError(t, err)
	require.True(t, cut.Binary)

	_, err = d.Cut(t.Context(), "docs/broken.pdf", []byte("%PDF-1.7\nnothing"))
	var failed *index.FileError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, document.Unreadable, failed.Code)
	require.Contains(t, failed.Message, "broken.pdf ")

	require.NotEqual(t, d.Signature(), index.Documents{Parser: document.InProcess{}, Options: chunk.Options{TargetTokens: 60, MaxTokens: 100}}.Signature())
}
