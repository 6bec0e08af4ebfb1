package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

const (
	benchEmail    = "bench@example.org"
	benchPassword = "a password for the bench"
)

// BenchmarkCommitToClient is the way of an event from its append (before the
// commit) to the official JavaScript client: the built program, a client in a
// process of its own, all on this machine. Runs come one at a time and twenty at
// once; the bus is the one in memory, or Postgres.
func BenchmarkCommitToClient(b *testing.B) {
	for _, bus := range []string{"memory", "postgres"} {
		for _, parallel := range []int{1, 20} {
			b.Run(fmt.Sprintf("bus=%s/runs=%d", bus, parallel), func(b *testing.B) {
				db := pgtest.DB(b)
				p := startProgram(b, bus)
				var sum latencies
				n := 0
				for b.Loop() {
					sum.add(p.measure(b, 20*min(parallel, 3), parallel))
					n++
				}
				commit := commitMillis(b, db)
				b.ReportMetric(sum.Median/float64(n), "ms-median")
				b.ReportMetric(sum.P95/float64(n), "ms-p95")
				b.ReportMetric(sum.P99/float64(n), "ms-p99")
				b.ReportMetric(sum.Median/float64(n)/commit, "commits-median")
				b.ReportMetric(commit, "ms/commit")
			})
		}
	}
}

type latencies struct {
	Events           int
	Median, P95, P99 float64
}

func (l *latencies) add(o latencies) {
	l.Events += o.Events
	l.Median, l.P95, l.P99 = l.Median+o.Median, l.P95+o.P95, l.P99+o.P99
}

// commitMillis is the median of what a transaction that changes one row takes on the same
// machine, with nothing else going on.
func commitMillis(b *testing.B, db *postgres.DB) float64 {
	b.Helper()
	took := make([]float64, 201)
	for i := range took {
		began := time.Now()
		require.NoError(b, db.InTx(b.Context(), func(ctx context.Context, tx *postgres.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE schema_level SET level = level`)
			return err
		}))
		took[i] = time.Since(began).Seconds() * 1000
	}
	slices.Sort(took)
	return took[len(took)/2] // a disk has hiccups
}

// program is a running `llmctl up --demo` with an API key.
type program struct{ url, key, flowchart string }

func startProgram(b *testing.B, bus string) *program {
	b.Helper()
	binary, err := filepath.Abs("../bin/llmctl")
	require.NoError(b, err)
	require.FileExists(b, binary, "make build makes it")
	args := []string{"up", "--no-browser", "--demo", "--bind", "127.0.0.1:0", "--data-dir", b.TempDir()}
	if bus == "postgres" {
		args = append(args, "--database-uri", pgtest.URI(b))
	}
	cmd := exec.Command(binary, args...)
	for _, pair := range os.Environ() { // a server for tests is not this program's
		if !strings.HasPrefix(pair, "LLMCTL_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	cmd.Env = append(cmd.Env, "LLMCTL_STUDIO_ADMIN_EMAIL="+benchEmail, "LLMCTL_STUDIO_ADMIN_PASSWORD="+benchPassword)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	p := &program{}
	for lines := bufio.NewScanner(out); p.url == "" && lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "ready: "); ok {
			p.url = strings.TrimSuffix(text, "/web")
		}
	}
	require.NotEmpty(b, p.url, "llmctl up ended before it was ready")
	p.signIn(b)
	p.findSample(b)
	return p
}

func (p *program) signIn(b *testing.B) {
	b.Helper()
	res := p.call(b, http.MethodPost, "/api/auth/login", map[string]string{"email": benchEmail, "password": benchPassword}, nil, nil)
	require.Len(b, res.Cookies(), 1)
	var made struct {
		Key string `json:"key"`
	}
	p.call(b, http.MethodPost, "/api/api-keys", map[string]string{"name": "bench"}, &made, res.Cookies()[0])
	p.key = made.Key
}

// findSample takes the demo's first flowchart: a question to the demo model.
func (p *program) findSample(b *testing.B) {
	b.Helper()
	var list struct {
		Items []struct {
			ID   int64  `json:"id"`
			Name string `json:"name"`
		} `json:"items"`
	}
	p.call(b, http.MethodGet, "/api/flowcharts", nil, &list, nil)
	for _, f := range list.Items {
		if strings.Contains(f.Name, "summarise") {
			p.flowchart = fmt.Sprint(f.ID)
		}
	}
	require.NotEmpty(b, p.flowchart)
}

func (p *program) call(b *testing.B, method, path string, body, out any, cookie *http.Cookie) *http.Response {
	b.Helper()
	raw, err := json.Marshal(body)
	require.NoError(b, err)
	req, err := http.NewRequestWithContext(b.Context(), method, p.url+path, bytes.NewReader(raw))
	require.NoError(b, err)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if cookie != nil {
		req.AddCookie(cookie)
	}
	if p.key != "" {
		req.Header.Set("Authorization", "Bearer "+p.key)
	}
	res, err := (&http.Client{}).Do(req)
	require.NoError(b, err)
	defer func() { _ = res.Body.Close() }()
	require.Less(b, res.StatusCode, 300, "%s %s", method, path)
	if out != nil {
		require.NoError(b, json.NewDecoder(res.Body).Decode(out))
	}
	return res
}

// measure starts runs and lets the client hear of them.
func (p *program) measure(b *testing.B, runs, parallel int) latencies {
	b.Helper()
	client := filepath.Join("..", "test", "socketio")
	if _, err := os.Stat(filepath.Join(client, "node_modules", "socket.io-client")); err != nil {
		install := exec.CommandContext(b.Context(), "npm", "ci", "--no-audit", "--no-fund")
		install.Dir = client
		out, err := install.CombinedOutput()
		require.NoError(b, err, "%s", out)
	}
	cmd := exec.CommandContext(b.Context(), "node", "latency.mjs", p.url, p.key, p.flowchart, fmt.Sprint(runs), fmt.Sprint(parallel))
	cmd.Dir = client
	out, err := cmd.Output()
	require.NoError(b, err, "%s", out)
	var l latencies
	require.NoError(b, json.Unmarshal(out, &l))
	return l
}
