package realtime

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// studio is the whole program under measurement: `llmctl serve` with its workers on a
// database. Events come from the benchmark's own process, which appends them to the log
// and hints at them over the bus, as an executor does.
type studio struct {
	address string
	process *process
	key     string
	db      *postgres.DB
	log     *event.Log
	uri     string
	environ []string // of each of its processes
}

const (
	studioEmail    = "bench@example.org"
	studioPassword = "a password for the bench"
	studioRoom     = "flowchart_run:1"
	// studioPad makes an envelope of some 600 bytes.
	studioPad = 200
)

const studioBinary = "../../bin/llmctl"

// startStudio starts the program; its figures and profiles are on internal.
func startStudio(b *testing.B, workers int, environ ...string) (s *studio, internal string) {
	b.Helper()
	s = &studio{uri: pgtest.URI(b), environ: environ}
	internal = free(b)
	s.process, s.address = launch(b, s.command(b, "serve", internal,
		"LLMCTL_STUDIO_ADMIN_EMAIL="+studioEmail, "LLMCTL_STUDIO_ADMIN_PASSWORD="+studioPassword, "GUNICORN_CONTROL_SOCKET_DISABLE=true",
		fmt.Sprint("GUNICORN_WORKERS=", workers), "GUNICORN_BIND=127.0.0.1:0", "GUNICORN_ACCESS_LOG=/dev/null"))
	s.signIn(b)
	s.openLog(b, s.uri)
	return s, internal
}

// command is a role of the program on the database of s.
func (s *studio) command(b *testing.B, role, internal string, environ ...string) *exec.Cmd {
	b.Helper()
	binary, err := filepath.Abs(studioBinary)
	require.NoError(b, err)
	require.FileExists(b, binary, "make build makes it")
	cmd := exec.Command(binary, role)
	for _, pair := range os.Environ() { // what is set for tests is not for this program
		if !strings.HasPrefix(pair, "LLMCTL_") && !strings.HasPrefix(pair, "GUNICORN_") && !strings.HasPrefix(pair, "CELERY_") {
			cmd.Env = append(cmd.Env, pair)
		}
	}
	cmd.Env = append(cmd.Env,
		"LLMCTL_STUDIO_DATABASE_URI="+s.uri, "LLMCTL_STUDIO_DATA_DIR="+b.TempDir(),
		"LLMCTL_STUDIO_SECRET_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "LLMCTL_STUDIO_INTERNAL_BIND="+internal)
	cmd.Env = append(cmd.Env, s.environ...)
	cmd.Env = append(cmd.Env, environ...)
	return cmd
}

// launch waits until the program says that it is ready.
func launch(b *testing.B, cmd *exec.Cmd) (p *process, address string) {
	b.Helper()
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if b.Failed() {
			b.Log("llmctl serve said:", said.String())
		}
	})
	lines := bufio.NewScanner(out)
	for address == "" && lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "ready: http://"); ok {
			address = strings.TrimSuffix(text, "/api")
		}
	}
	require.NotEmpty(b, address, "llmctl serve ended before it was ready")
	return &process{pid: cmd.Process.Pid}, address
}

// signIn gets an API key.
func (s *studio) signIn(b *testing.B) {
	b.Helper()
	post := func(path string, body map[string]string, cookies []*http.Cookie, out any) []*http.Cookie {
		raw, err := json.Marshal(body)
		require.NoError(b, err)
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://"+s.address+path, bytes.NewReader(raw))
		require.NoError(b, err)
		req.Header.Set("Content-Type", "application/json")
		for _, c := range cookies {
			req.AddCookie(c)
		}
		res, err := (&http.Client{}).Do(req)
		require.NoError(b, err)
		defer func() { _ = res.Body.Close() }()
		require.Less(b, res.StatusCode, 300, path)
		require.NoError(b, json.NewDecoder(res.Body).Decode(out))
		return res.Cookies()
	}
	var ignored json.RawMessage
	cookies := post("/api/auth/login", map[string]string{"email": studioEmail, "password": studioPassword}, nil, &ignored)
	var made struct {
		Key string `json:"key"`
	}
	post("/api/api-keys", map[string]string{"name": "bench"}, cookies, &made)
	require.NotEmpty(b, made.Key)
	s.key = made.Key
}

// profile writes a CPU profile of the first worker, taken while the benchmark goes on,
// to the file that BENCH_REALTIME_PROFILE names.
func (s *studio) profile(b *testing.B, internal string, lasts time.Duration) (wait func()) {
	b.Helper()
	file := os.Getenv("BENCH_REALTIME_PROFILE")
	if file == "" {
		return func() {}
	}
	return profileOf(b, fmt.Sprintf("http://%s/workers/%s/debug/pprof/profile", internal, s.process.family(b)[1]), file, lasts)
}

func profileOf(b *testing.B, url, file string, lasts time.Duration) (wait func()) {
	b.Helper()
	done := make(chan error, 1)
	go func() {
		res, err := (&http.Client{Timeout: lasts + answerWait}).Get(fmt.Sprintf("%s?seconds=%d", url, int(lasts.Seconds())))
		if err != nil {
			done <- err
			return
		}
		raw, err := io.ReadAll(res.Body)
		done <- errors.Join(err, res.Body.Close(), os.WriteFile(file, raw, 0o600))
	}()
	return func() { require.NoError(b, <-done) }
}

// openLog makes this process one that writes events.
func (s *studio) openLog(b *testing.B, uri string) {
	b.Helper()
	var err error
	s.db, err = postgres.Open(b.Context(), postgres.Options{URI: uri, MaxConns: 4})
	require.NoError(b, err)
	b.Cleanup(s.db.Close)
	hints := bus.NewPostgres(s.db, bus.PostgresOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- hints.Run(ctx, func() { close(ready) }) }()
	b.Cleanup(func() {
		cancel()
		require.NoError(b, <-ended)
	})
	<-ready
	s.log = event.NewLog(hints, time.Now)
}

// append commits o.Count events in one transaction.
func (s *studio) append(b *testing.B, stream string, o order) {
	b.Helper()
	require.NoError(b, s.db.InTx(b.Context(), func(_ context.Context, tx *postgres.Tx) error {
		for range o.Count {
			err := s.log.Append(tx, event.Draft{
				Stream: stream, Type: "flowchart:run:updated", EntityKind: "flowchart_run", EntityID: "1", Rooms: []string{studioRoom},
				Payload: map[string]any{"stamp": o.Stamp, "pad": strings.Repeat("x", studioPad)},
			})
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// studioWire is Socket.IO with the sign-in and the requests of the Studio.
type studioWire struct {
	socketIO

	key string
}

func (studioWire) path() string { return "/api/socket.io/?EIO=4&transport=websocket" }

func (w studioWire) enter(c *client, room string) error {
	if err := c.expect("0{"); err != nil {
		return err
	}
	if err := c.exchange(fmt.Sprintf(`40/rt,{"token":%q}`, w.key), "40/rt,{"); err != nil {
		return err
	}
	if err := c.expect(`42/rt,["rt.connected"`); err != nil {
		return err
	}
	if room == "" {
		return nil
	}
	return c.exchange(fmt.Sprintf(`42/rt,0["rt.subscribe",{"rooms":[%q]}]`, studioRoom), `43/rt,0[{"ok":true,"rooms":["`)
}
