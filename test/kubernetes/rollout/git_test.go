package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cgi"
	"os/exec"
	"path/filepath"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/kubetest"
)

// gitSource indexes a repository that this machine serves, with the git of the images.
func (s *studio) gitSource() {
	address := "http://" + serve(s.t, s.cluster, s.repository("notes")) + "/notes"
	body := map[string]any{"name": "Notes", "kind": "git", "url": address}
	s.call(http.StatusOK, http.MethodPost, "/api/rag/sources/check", body, nil) // by the backend
	var source struct {
		ID int64 `json:"id"`
	}
	s.call(http.StatusCreated, http.MethodPost, "/api/rag/sources", body, &source)
	var started struct {
		Run struct {
			ID int64 `json:"id"`
		} `json:"index_run"`
	}
	s.call(http.StatusAccepted, http.MethodPost, fmt.Sprintf("/api/rag/sources/%d/index", source.ID), map[string]any{"mode": "fresh"}, &started)
	kubetest.Eventually(s.t, patience, "the index", func(ctx context.Context) error {
		status, raw, err := s.try(ctx, http.MethodGet, fmt.Sprintf("/api/rag/index-runs/%d", started.Run.ID), nil)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("status %d: %s %w", status, raw, err)
		}
		var run struct {
			Status string `json:"status"`
		}
		if err := json.Unmarshal(raw, &run); err != nil {
			return err
		}
		require.NotContains(s.t, []string{"failed", "cancelled"}, run.Status, "%s", raw)
		if run.Status != "succeeded" {
			return fmt.Errorf("it is %s", run.Status)
		}
		return nil
	})
	status, raw, err := s.try(s.t.Context(), http.MethodPost, "/api/rag/query", map[string]any{"question": "Where do herons breed?"})
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, status, "%s", raw)
	require.Contains(s.t, string(raw), "birds.md")
}

// repository makes one with a file and gives what serves it.
func (s *studio) repository(name string) http.Handler {
	s.t.Helper()
	root := s.t.TempDir()
	dir := filepath.Join(root, name)
	command(s.t, root, "git", "init", "--quiet", "--initial-branch=main", dir)
	write(s.t, filepath.Join(dir, "birds.md"), "# Herons\n\nHerons breed in colonies high up in trees.\n")
	command(s.t, dir, "git", "add", ".")
	command(s.t, dir, "git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "--quiet", "-m", "Begin")
	git, err := exec.LookPath("git")
	require.NoError(s.t, err)
	return &cgi.Handler{Path: git, Args: []string{"http-backend"}, Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"}}
}
