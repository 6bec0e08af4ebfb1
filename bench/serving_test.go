package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// The benchmark of serving starts each server by itself on the same database and has
// wrk ask for one flowchart over kept-alive connections, in several rounds one after
// the other, so that what else the machine does meets all of them.
const (
	rounds      = 4
	roundTime   = 4 * time.Second
	connections = 32
)

// contestant is a server that answers GET /api/flowcharts/1.
type contestant struct {
	name    string
	command []string
	environ []string
	address string

	process *os.Process
	cpu     time.Duration // spent over all rounds
	asked   int
	took    time.Duration
}

func BenchmarkServing(b *testing.B) {
	for _, program := range []string{"wrk", "gunicorn"} {
		if _, err := exec.LookPath(program); err != nil {
			b.Skipf("%s is not installed: make bench installs it", program)
		}
	}
	uri := pgtest.URI(b)
	key := seed(b, uri)
	all := contestants(b, uri)
	for _, c := range all {
		c.start(b, key)
	}
	for b.Loop() {
		for range rounds {
			for _, c := range all {
				c.measure(b, key, func() {})
			}
		}
	}
	floor := all[0].perMillion()
	for _, c := range all {
		b.ReportMetric(c.perMillion(), c.name+"-cpu-s/M")
		b.ReportMetric(c.perMillion()/floor, c.name+"-x-bare")
		b.ReportMetric(float64(c.asked)/c.took.Seconds(), c.name+"-req/s")
	}
}

// BenchmarkReload asks the Studio while it reloads all the time, against without.
func BenchmarkReload(b *testing.B) {
	if _, err := exec.LookPath("wrk"); err != nil {
		b.Skip("wrk is not installed: make bench installs it")
	}
	uri := pgtest.URI(b)
	key := seed(b, uri)
	quiet, busy := studioOn(b, uri, 2), studioOn(b, uri, 2)
	quiet.start(b, key)
	busy.start(b, key)
	reloads := 0
	for b.Loop() {
		for range rounds {
			quiet.measure(b, key, func() {})
			busy.measure(b, key, func() {
				for range 4 {
					require.NoError(b, busy.process.Signal(syscall.SIGHUP))
					reloads++
					<-time.After(roundTime / 5)
				}
			})
		}
	}
	b.ReportMetric(float64(reloads), "reloads")
	b.ReportMetric((float64(busy.asked)/busy.took.Seconds())/(float64(quiet.asked)/quiet.took.Seconds()), "share-of-req/s")
}

func contestants(b *testing.B, uri string) []*contestant {
	b.Helper()
	bare := filepath.Join(b.TempDir(), "bare")
	out, err := exec.CommandContext(b.Context(), "go", "build", "-o", bare, "./peers/bare").CombinedOutput()
	require.NoError(b, err, string(out))
	at := free(b)
	flask := free(b)
	return []*contestant{
		{name: "bare", address: at, command: []string{bare, at, uri}},
		studioOn(b, uri, 1),
		studioOn(b, uri, 2),
		{
			name: "flask", address: flask,
			command: []string{"gunicorn", "--chdir", "peers", "-b", flask, "-w", "2", "-k", "gthread", "--threads", "8", "--access-logfile", "/dev/null", "flask_app:app"},
			environ: []string{"BENCH_DATABASE_URI=" + alchemy(b, uri)},
		},
	}
}

// studioOn is llmctl serve.
func studioOn(b *testing.B, uri string, workers int) *contestant {
	b.Helper()
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	at := free(b)
	return &contestant{
		name: fmt.Sprintf("llmctl-%d", workers), address: at, command: []string{"../bin/llmctl", "serve"},
		environ: []string{
			"GUNICORN_BIND=" + at, fmt.Sprintf("GUNICORN_WORKERS=%d", workers), "LLMCTL_STUDIO_INTERNAL_BIND=off", "GUNICORN_CONTROL_SOCKET_DISABLE=true",
			"GUNICORN_ACCESS_LOG=/dev/null", "LLMCTL_STUDIO_DATABASE_URI=" + uri, "LLMCTL_STUDIO_DATA_DIR=" + b.TempDir(),
			"LLMCTL_STUDIO_SECRET_KEY=" + base64.StdEncoding.EncodeToString(secret),
		},
	}
}

// seed stores a user with an API key and a flowchart with a run, and gives the key.
func seed(b *testing.B, uri string) string {
	b.Helper()
	db, err := postgres.Open(b.Context(), postgres.Options{URI: uri})
	require.NoError(b, err)
	defer db.Close()
	key := "llmctl_" + rand.Text()
	sum := sha256.Sum256([]byte(key))
	for _, statement := range []struct {
		sql  string
		args []any
	}{
		{`INSERT INTO app_user (email, password_hash, role) VALUES ('bench@example.com', '', 'admin')`, nil},
		{`INSERT INTO api_key (app_user_id, name, prefix, key_hash) SELECT id, 'bench', 'llmctl_', $1 FROM app_user`, []any{sum[:]}},
		{`INSERT INTO flowchart (name, description, version) VALUES ('Bench', 'One flowchart', 1)`, nil},
		{`INSERT INTO flowchart_version (flowchart_id, number, graph, node_count) VALUES (1, 1, '{"nodes":[],"edges":[]}', 6)`, nil},
	} {
		_, err := db.Exec(b.Context(), statement.sql, statement.args...)
		require.NoError(b, err)
	}
	return key
}

// alchemy is the address as SQLAlchemy's driver wants it.
func alchemy(b *testing.B, uri string) string {
	b.Helper()
	dsn, err := postgres.ParseURI(uri)
	require.NoError(b, err)
	return "postgresql+psycopg2://" + dsn[strings.Index(dsn, "://")+3:]
}

func free(b *testing.B) string {
	b.Helper()
	ln, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

func (c *contestant) start(b *testing.B, key string) {
	b.Helper()
	cmd := exec.CommandContext(context.Background(), c.command[0], c.command[1:]...)
	cmd.Env = append(os.Environ(), c.environ...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = nil, nil
	if testing.Verbose() {
		cmd.Stdout, cmd.Stderr = &said, &said
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(b, cmd.Start())
	c.process = cmd.Process
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	client := &http.Client{Timeout: 5 * time.Second}
	require.Eventually(b, func() bool {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+c.address+"/api/flowcharts/1", nil)
		require.NoError(b, err)
		req.Header.Set("Authorization", "Bearer "+key)
		res, err := client.Do(req)
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	}, 30*time.Second, 50*time.Millisecond, "%s does not answer: %s", c.name, &said)
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in ([\d.]+)(ms|s)`)
	wrkFailures = regexp.MustCompile(`Socket errors.*|Non-2xx.*`)
)

// measure asks for a round; meanwhile does what disturbs.
func (c *contestant) measure(b *testing.B, key string, meanwhile func()) {
	b.Helper()
	before := cpuOf(b, c.process.Pid)
	var out bytes.Buffer
	wrk := exec.CommandContext(b.Context(), "wrk", "-t", "1", "-c", strconv.Itoa(connections), "-d", roundTime.String(),
		"-H", "Authorization: Bearer "+key, "http://"+c.address+"/api/flowcharts/1")
	wrk.Stdout = &out
	require.NoError(b, wrk.Start())
	meanwhile()
	require.NoError(b, wrk.Wait())
	require.Empty(b, wrkFailures.FindString(out.String()), c.name)
	m := wrkRequests.FindStringSubmatch(out.String())
	require.NotNil(b, m, out.String())
	n, err := strconv.Atoi(m[1])
	require.NoError(b, err)
	c.asked += n
	c.took += roundTime
	c.cpu += cpuOf(b, c.process.Pid) - before
}

// perMillion is the CPU time of the server, all of its processes, per million
// requests, in seconds.
func (c *contestant) perMillion() float64 { return c.cpu.Seconds() / float64(c.asked) * 1e6 }

// cpuOf is the time that a process, its descendants and those that it has reaped
// have spent.
func cpuOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	const tickPerSecond = 100
	children := map[int][]int{}
	ticks := map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		id, _ := strconv.Atoi(strings.Split(path, "/")[2])
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], id)
		for _, f := range fields[11:15] { // own and reaped, user and system
			n, _ := strconv.Atoi(f)
			ticks[id] += n
		}
	}
	var sum func(pid int) int
	sum = func(pid int) int {
		n := ticks[pid]
		for _, child := range children[pid] {
			n += sum(child)
		}
		return n
	}
	return time.Duration(sum(pid)) * time.Second / tickPerSecond
}
