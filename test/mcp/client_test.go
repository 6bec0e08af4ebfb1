package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/egress"
	"github.com/llmctl/studio/internal/mcp/client"
)

func failed(t *testing.T, err error) *client.Error {
	t.Helper()
	e, ok := errors.AsType[*client.Error](err)
	require.True(t, ok, "%v", err)
	return e
}

func TestServersOfTheOfficialSDKAreUnderstood(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *client.Pool, spec client.Spec) {
		t.Helper()
		s := session(t, p, spec)
		info, err := s.Info(t.Context())
		require.NoError(t, err)
		require.Equal(t, "scripted", info.Name)
		require.Equal(t, "7.1.0", info.Version)
		require.Equal(t, "Ask for echo.", info.Instructions)
		require.NotEmpty(t, info.ProtocolVersion)
		tools, err := s.Tools(t.Context())
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(tools), 8)
		require.Equal(t, "echo", tools[0].Name)
		require.True(t, tools[0].ReadOnly)
		require.Contains(t, string(tools[0].Input), `"text"`)

		require.Equal(t, "echo: grüß dich", call(t, s, "echo", `{"text":"grüß dich"}`).Text)
		require.Equal(t, "5", call(t, s, "add", `{"a":2,"b":3}`).Text)
		bad := call(t, s, "fail", `{}`)
		require.True(t, bad.IsError)
		require.Equal(t, "it went wrong", bad.Text)
		require.Len(t, call(t, s, "big", `{"bytes":3000000}`).Text, 3_000_000)
		refused := call(t, s, "add", `{"a":"two"}`)
		require.True(t, refused.IsError, "the server checks arguments as well")

		r, err := p.Probe(t.Context(), spec)
		require.NoError(t, err)
		require.Equal(t, info.ProtocolVersion, r.Info.ProtocolVersion)
		require.Len(t, r.Tools, len(tools))
	})
}

func TestManyCallsShareOneSession(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *client.Pool, spec client.Spec) {
		t.Helper()
		s := session(t, p, spec)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				res, err := s.Call(t.Context(), "echo", json.RawMessage(fmt.Sprintf(`{"text":"%d"}`, i)), nil)
				if err != nil || res.Text != fmt.Sprintf("echo: %d", i) {
					t.Errorf("%d: %v %v", i, res.Text, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestACallTellsItsProgressAndIsCancelledAtTheServer(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *client.Pool, spec client.Spec) {
		t.Helper()
		s := session(t, p, spec)
		note := filepath.Join(t.TempDir(), "note")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		told := make(chan client.Progress, 10)
		ended := make(chan error, 1)
		go func() {
			_, err := s.Call(ctx, "slow", json.RawMessage(fmt.Sprintf(`{"path":%q}`, note)), func(p client.Progress) { told <- p })
			ended <- err
		}()
		select {
		case got := <-told:
			require.Equal(t, client.Progress{Done: 1, Total: 4, Message: "a quarter"}, got)
		case err := <-ended:
			t.Fatalf("ended early: %v", err)
		case <-time.After(20 * time.Second):
			t.Fatal("no progress")
		}
		cancel()
		e := failed(t, <-ended)
		require.Equal(t, client.KindCancelled, e.Kind)
		require.True(t, e.Sent)
		require.Eventually(t, func() bool {
			raw, _ := os.ReadFile(note)
			return string(raw) == "cancelled\n"
		}, 10*time.Second, 10*time.Millisecond, "the server was not told")
		require.Equal(t, "echo: on", call(t, s, "echo", `{"text":"on"}`).Text, "the session goes on")
	})
}

func TestATimeOutIsObeyed(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *client.Pool, spec client.Spec) {
		t.Helper()
		s := session(t, p, spec)
		_, err := s.Info(t.Context())
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err = s.Call(ctx, "slow", json.RawMessage(`{}`), nil)
		require.Equal(t, client.KindTimeout, failed(t, err).Kind)
		require.Less(t, time.Since(began), 5*time.Second)
	})
}

func TestToolsThatChangeAreListedAnew(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *client.Pool, spec client.Spec) {
		t.Helper()
		s := session(t, p, spec)
		names := func() string {
			tools, err := s.Tools(t.Context())
			require.NoError(t, err)
			var out []string
			for _, tool := range tools {
				out = append(out, tool.Name)
			}
			return strings.Join(out, " ")
		}
		require.NotContains(t, names(), "grown")
		call(t, s, "grow", `{}`)
		require.Eventually(t, func() bool { return strings.Contains(names(), "grown") }, 10*time.Second, 20*time.Millisecond)
		require.Equal(t, "grown up", call(t, s, "grown", `{}`).Text)
	})
}

func TestAServerThatDiesInACallLeavesItsOutcomeOpen(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, p *client.Pool, spec client.Spec) {
		t.Helper()
		s := session(t, p, spec)
		note := filepath.Join(t.TempDir(), "note")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err := s.Call(ctx, "die", json.RawMessage(fmt.Sprintf(`{"path":%q}`, note)), nil)
		e := failed(t, err)
		require.FileExists(t, note, "it had begun")
		require.True(t, e.Sent, "%v", e)
		require.Contains(t, []client.Kind{client.KindClosed, client.KindUnreachable}, e.Kind, "%v", e)
		if spec.Transport == client.Stdio {
			require.Contains(t, e.Message, "exit status 3")
			require.Equal(t, "echo: new", call(t, s, "echo", `{"text":"new"}`).Text, "the program is started anew")
		}
	})
}

func TestASessionIsMadeAnewWhenItsServerWasRestarted(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"http", "sse"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			first := startServer(t, mode, 0)
			s := session(t, pool(t), first.spec())
			require.Equal(t, "echo: a", call(t, s, "echo", `{"text":"a"}`).Text)
			first.kill()
			_, err := s.Call(t.Context(), "echo", json.RawMessage(`{"text":"b"}`), nil)
			e := failed(t, err)
			require.Contains(t, []client.Kind{client.KindClosed, client.KindUnreachable}, e.Kind, "%v", e)
			startServer(t, mode, first.port)
			require.Eventually(t, func() bool {
				res, err := s.Call(t.Context(), "echo", json.RawMessage(`{"text":"c"}`), nil)
				return err == nil && res.Text == "echo: c"
			}, 30*time.Second, 50*time.Millisecond)
		})
	}
}

func TestARestartBetweenTwoCallsIsKnownNotToHaveReachedTheServer(t *testing.T) {
	t.Parallel()
	first := startServer(t, "http", 0)
	s := session(t, pool(t), first.spec())
	require.Equal(t, "echo: a", call(t, s, "echo", `{"text":"a"}`).Text)
	first.kill()
	startServer(t, "http", first.port)
	res, err := s.Call(t.Context(), "echo", json.RawMessage(`{"text":"b"}`), nil)
	if err != nil {
		e := failed(t, err)
		require.False(t, e.Sent, "the new server knows no such session and did nothing: %v", e)
		res = call(t, s, "echo", `{"text":"b"}`)
	}
	require.Equal(t, "echo: b", res.Text)
}

func TestHeadersAndTokensAreSent(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"http", "sse"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			spec := startServer(t, mode, 0, "TOKEN=open-sesame").spec()
			p := pool(t)
			_, err := session(t, p, spec).Info(t.Context())
			e := failed(t, err)
			require.Equal(t, client.KindUnauthorized, e.Kind, "%v", e)
			require.Contains(t, e.Message, "401")
			spec.Revision, spec.Headers = 2, map[string]string{"Authorization": "Bearer open-sesame"}
			require.Equal(t, "echo: a", call(t, session(t, p, spec), "echo", `{"text":"a"}`).Text)
			spec.Revision, spec.Headers = 3, nil
			spec.Token = func(context.Context) (string, error) { return "open-sesame", nil }
			require.Equal(t, "echo: b", call(t, session(t, p, spec), "echo", `{"text":"b"}`).Text)
		})
	}
}

func TestWhatIsWrongWithAServerIsSaid(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/page":
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<html>hello</html>"))
		case "/broken":
			http.Error(w, `{"error":{"message":"out of memory"}}`, http.StatusInternalServerError)
		case "/away":
			http.Redirect(w, r, "http://example.com/mcp", http.StatusTemporaryRedirect)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(page.Close)
	p := pool(t)
	probe := func(spec client.Spec) *client.Error {
		_, err := p.Probe(t.Context(), spec)
		return failed(t, err)
	}
	at := func(path string) client.Spec {
		return client.Spec{Key: "page", Transport: client.StreamableHTTP, URL: page.URL + path}
	}
	require.Equal(t, client.KindProtocol, probe(at("/page")).Kind)
	require.Contains(t, probe(at("/nowhere")).Message, "There is no MCP endpoint")
	broken := probe(at("/broken"))
	require.Equal(t, client.KindUnreachable, broken.Kind)
	require.Contains(t, broken.Message, "out of memory")
	require.Contains(t, probe(at("/away")).Message, "redirects to another origin")
	closed := probe(client.Spec{Key: "gone", Transport: client.SSE, URL: "http://127.0.0.1:1/sse"})
	require.Equal(t, client.KindUnreachable, closed.Kind)
	require.Contains(t, closed.Message, "connection refused")
	require.Contains(t, probe(client.Spec{Key: "x", Transport: client.Stdio, Command: "no-such-program"}).Message, "is not in /usr")
	require.Contains(t, probe(client.Spec{Key: "x", Transport: client.Stdio, Command: "sh", Args: []string{"-c", "echo oh no >&2; exit 4"}}).Message, "exit status 4")

	allow, err := egress.New(nil)
	require.NoError(t, err)
	strict := pool(t, func(o *client.Options) {
		o.HTTP, o.Programs = client.NewHTTPClient(allow), client.Programs{Root: t.TempDir()}
	})
	_, err = strict.Probe(t.Context(), at("/page"))
	require.Equal(t, client.KindBlocked, failed(t, err).Kind)
	_, err = strict.Probe(t.Context(), program(t, nil))
	require.Equal(t, client.KindNotAllowed, failed(t, err).Kind)
}

func TestAServerThatDoesNotAnswerIsLeftAloneForAWhile(t *testing.T) {
	t.Parallel()
	s := session(t, pool(t), client.Spec{ID: 1, Key: "gone", Transport: client.StreamableHTTP, URL: "http://127.0.0.1:1/mcp"})
	_, err := s.Info(t.Context())
	require.NotContains(t, failed(t, err).Message, "tried again in")
	began := time.Now()
	_, err = s.Info(t.Context())
	require.Contains(t, failed(t, err).Message, "tried again in")
	require.Less(t, time.Since(began), 100*time.Millisecond, "the second one is not kept waiting")
}

func TestProgramsSeeNothingOfTheWorkerAndEndWithTheirLease(t *testing.T) {
	t.Parallel()
	p, mark := pool(t, func(o *client.Options) { o.Programs.Max = 1 }), uuid.NewString()
	spec := program(t, map[string]string{"MARK": mark, "CHILD": "1"})
	lease := p.Lease()
	s, err := lease.Session(spec)
	require.NoError(t, err)
	var seen struct {
		Env map[string]string `json:"env"`
		Cwd string            `json:"cwd"`
	}
	require.NoError(t, json.Unmarshal([]byte(call(t, s, "environment", `{}`).Text), &seen))
	require.Equal(t, mark, seen.Env["MARK"])
	require.Equal(t, seen.Cwd, seen.Env["HOME"])
	for name := range seen.Env {
		require.Contains(t, []string{"PATH", "HOME", "TMPDIR", "LANG", "MARK", "CHILD"}, name)
	}
	require.Eventually(t, func() bool { return marked(mark) == 2 }, 10*time.Second, 20*time.Millisecond, "the server and what it started")

	second := p.Lease()
	spec.ID = 2
	_, err = second.Session(spec)
	require.Equal(t, client.KindBusy, failed(t, err).Kind)

	lease.Close()
	require.Eventually(t, func() bool { return marked(mark) == 0 }, 10*time.Second, 20*time.Millisecond)
	require.NoDirExists(t, seen.Cwd)
	s, err = second.Session(spec)
	require.NoError(t, err, "there is room again")
	call(t, s, "echo", `{"text":"x"}`)
	second.Close()
}

// marked counts the processes that were started with a mark in their environment.
func marked(mark string) int {
	entries, _ := filepath.Glob("/proc/[0-9]*/environ")
	n := 0
	for _, e := range entries {
		if raw, err := os.ReadFile(e); err == nil && strings.Contains(string(raw), "MARK="+mark) {
			n++
		}
	}
	return n
}
