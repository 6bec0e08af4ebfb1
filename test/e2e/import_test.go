package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/llmtest"
	"github.com/llmctl/studio/internal/testkit/sqlitetest"
)

// importSQLite runs the command and gives what it printed and its exit code.
func importSQLite(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), append([]string{"db", "import-sqlite"}, args...)...)
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "LLMCTL_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	err := cmd.Run()
	if cmd.ProcessState == nil {
		require.NoError(t, err)
	}
	return out.String(), problem.String(), cmd.ProcessState.ExitCode()
}

// The original's file is copied into the database of `llmctl up`; what came of it
// opens in the editor's API, and its flowchart runs.
func TestImportedFlowchartOpensAndRuns(t *testing.T) {
	t.Parallel()
	llm := llmtest.New(t)
	llm.On("CLASSIFY", llmtest.Reply{Text: "URGENT: it burns"})
	llm.On("ESCALATE", llmtest.Reply{Text: "Escalated."})
	path := filepath.Join(t.TempDir(), "llmctl-studio.sqlite3")
	sqlitetest.Write(t, path, sqlitetest.Options{ModelURL: strings.TrimSuffix(llm.OpenAIURL(), "/v1"), Ugly: true})
	s := newStudio(t)
	s.signIn()
	s.flowchart(sixNodes(s.model(llm.OpenAIURL())))
	_, problem, code := importSQLite(t, "--sqlite-path", path, "--data-dir", s.dir, "--truncate-target")
	require.Equal(t, 1, code)
	require.Contains(t, problem, "is in use by another llmctl")
	s.end(syscall.SIGTERM)

	_, problem, code = importSQLite(t, "--sqlite-path", path, "--data-dir", s.dir)
	require.Equal(t, 1, code)
	require.Contains(t, problem, "flowchart (1)")
	out, problem, code := importSQLite(t, "--sqlite-path", path, "--data-dir", s.dir, "--truncate-target", "--dry-run")
	require.Equal(t, 0, code, problem)
	require.Contains(t, out, "the target is as it was")
	out, problem, code = importSQLite(t, "--sqlite-path", path, "--data-dir", s.dir, "--truncate-target", "--json", "--quiet")
	require.Equal(t, 0, code, problem)
	var report struct {
		DryRun bool `json:"dry_run"`
		Tables []struct {
			Table         string
			Read, Written int64
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.False(t, report.DryRun)
	require.Len(t, report.Tables, len(sqlitetest.Tables())+1)

	s.start()
	var graph struct {
		Nodes      []struct{ ID, Kind string }
		Validation struct {
			Valid  bool
			Errors []struct{ Reason, Message string }
		}
	}
	require.Equal(t, 200, s.call("GET", "/api/flowcharts/1/graph", nil, &graph)) // the key still signs in
	require.True(t, graph.Validation.Valid, "%v", graph.Validation.Errors)
	require.Equal(t, 200, s.call("GET", "/api/flowcharts/2/graph", nil, &graph))
	require.Equal(t, "unsupported_kind", graph.Validation.Errors[0].Reason)
	require.Equal(t, 200, s.call("GET", "/api/flowcharts/3/graph", nil, &graph))
	require.False(t, graph.Validation.Valid)
	require.Equal(t, 422, s.call("POST", "/api/flowcharts/3/runs", map[string]any{}, nil))

	var started runBody
	require.Equal(t, 202, s.call("POST", "/api/flowcharts/1/runs", map[string]any{"input": map[string]any{}}, &started))
	require.Greater(t, started.Run.ID, int64(5003), "ids go on above those of the original")
	r := s.await(started.Run.ID)
	require.Equal(t, "succeeded", r.Run.Status, "%s", r.Run.Error)
	require.Contains(t, string(r.Run.Output), "Escalated.")
	require.Equal(t, 1, llm.Count("keep {{ placeholders }} as they are."), "braces of the original are no template")
	require.Equal(t, 1, llm.Count("You work in support."), "the agent's instructions")
	require.Equal(t, 1, llm.Count("Output of \"Classify\":\nURGENT: it burns"), "what went before")

	// History reads like any other.
	require.Equal(t, "failed", s.run(2).Run.Status)
	for _, path := range []string{"/api/flowcharts", "/api/flowchart-runs", "/api/flowchart-runs/5001", "/api/flowchart-runs/1/timeline", "/api/nodes", "/api/nodes/2", "/api/nodes/2/status", "/api/nodes/10000", "/api/models", "/api/providers"} {
		require.Equal(t, 200, s.call("GET", path, nil, nil), path)
	}
	var logs struct {
		Items []struct{ Text, Stage string }
	}
	require.Equal(t, 200, s.call("GET", "/api/nodes/2/logs?stage=llm_query", nil, &logs))
	require.Equal(t, "line one\nline two\n", logs.Items[0].Text)
	require.Equal(t, 409, s.call("POST", "/api/flowchart-runs/5001/cancel", nil, nil), "an imported run has ended")
}

func TestImportRefusesWrongUse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "llmctl-studio.sqlite3")
	sqlitetest.Write(t, path, sqlitetest.Options{Runs: 1})
	for name, c := range map[string]struct {
		args    []string
		code    int
		message string
	}{
		"batch size":      {[]string{"--sqlite-path", path, "--batch-size", "0"}, 2, "at least 1"},
		"batch size text": {[]string{"--sqlite-path", path, "--batch-size", "many"}, 2, "batch-size"},
		"time zone":       {[]string{"--sqlite-path", path, "--timezone", "Mars/Olympus"}, 2, "Europe/Berlin"},
		"unknown flag":    {[]string{"--sqlite", path}, 2, "unknown flag"},
		"no database":     {[]string{"--sqlite-path", path}, 2, "LLMCTL_STUDIO_DATABASE_URI"},
		"two databases":   {[]string{"--sqlite-path", path, "--data-dir", t.TempDir(), "--database-uri", "postgresql://h/d"}, 2, "give one of them"},
		"no file":         {[]string{"--sqlite-path", path + ".gone"}, 1, "There is no file"},
		"sqlite target":   {[]string{"--sqlite-path", path, "--database-uri", "sqlite:///x"}, 2, "PostgreSQL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problem, code := importSQLite(t, c.args...)
			require.Equal(t, c.code, code, problem)
			require.Contains(t, problem, c.message)
		})
	}
}
