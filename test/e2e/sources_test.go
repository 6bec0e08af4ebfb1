package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/llmtest"
)

// TestSourcesInABrowser adds a folder of documents, indexes it, plans and applies a
// change, asks in the playground and in a thread, and follows both to the chunks, in Chromium.
func TestSourcesInABrowser(t *testing.T) {
	t.Parallel()
	model := llmtest.New(t)
	model.On("zebra", llmtest.Reply{Text: "Crossings are striped [1]."})
	documents := filepath.Join(t.TempDir(), "documents")
	require.NoError(t, os.Mkdir(documents, 0o755))
	files, err := filepath.Glob("../../docs/operations/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(documents, filepath.Base(f)), text, 0o600))
	}
	s := newStudioWith(t, []string{"LLMCTL_STUDIO_RAG_LOCAL_ROOTS=" + documents})
	require.Equal(t, "ok\n", inBrowserWith(t, nil, []string{"MODEL=" + model.OpenAIURL()}, "sources.mjs", s.url+"/web/setup?token="+s.setup, documents))
}
