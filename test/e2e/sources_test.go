package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSourcesInABrowser adds a folder of documents, indexes it, plans and applies a
// change, and asks in the playground, in Chromium.
func TestSourcesInABrowser(t *testing.T) {
	t.Parallel()
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
	require.Equal(t, "ok\n", inBrowser(t, nil, "sources.mjs", s.url+"/web/setup?token="+s.setup, documents))
}
