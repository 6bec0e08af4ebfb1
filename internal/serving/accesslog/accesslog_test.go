package accesslog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// sink keeps what is written and can be waited for.
type sink struct {
	mu     sync.Mutex
	text   bytes.Buffer
	pieces []int
	gate   chan struct{} // when set, each write waits for it
	fail   error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pieces = append(s.pieces, len(p))
	if s.fail != nil {
		return 0, s.fail
	}
	return s.text.Write(p)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// testBundle is a log whose clock moves by a second and a half at each look.
type testBundle struct {
	log     *Log
	out     *sink
	program *sink
	stop    func()
}

func setup(t *testing.T, format string, change ...func(o *Options)) *testBundle {
	t.Helper()
	b := &testBundle{out: &sink{}, program: &sink{}}
	var mu sync.Mutex
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600))
	o := Options{Out: b.out, Logger: slog.New(slog.NewTextHandler(b.program, nil)), Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(1500*time.Millisecond + 250*time.Microsecond)
		return now
	}}
	if format != "" {
		f, err := Compile(format)
		require.NoError(t, err)
		o.Format = f
	}
	for _, f := range change {
		f(&o)
	}
	b.log = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- b.log.Run(ctx, func() { close(ready) }) }()
	<-ready
	b.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(b.stop)
	return b
}

func request(target string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.RemoteAddr = "192.0.2.7:4242"
	r.RequestURI = target
	r.Header.Set("User-Agent", `curl/8 "x"`)
	r.Header.Set("Referer", "http://example.org/?token=hunter2&a=1#frag")
	r.Header.Set("X-Forwarded-For", "10.0.0.1")
	return r
}

func hello(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("X-Request-ID", "req-1")
	w.Header().Set("X-Correlation-ID", "corr-1")
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, "hello")
}

func TestFormatHasGunicornsAtoms(t *testing.T) {
	t.Parallel()
	pid := fmt.Sprintf("<%d>", os.Getpid())
	for format, want := range map[string]string{
		Default:                       `192.0.2.7 - - [01/Mar/2026:12:00:03 +0100] "GET /a%20b?x=1&token=*** HTTP/1.1" 201 5 "http://example.org/?token=***&a=1" "curl/8 \"x\""`,
		"%(m)s %(U)s %(q)s %(H)s":     "GET /a b x=1&token=*** HTTP/1.1",
		"%(T)s %(M)s %(D)d %(L)s":     "1 1500 1500250 1.500250",
		"%(B)s %(b)s %(s)d 100%%":     "5 5 201 100%",
		"%(p)s":                       pid,
		"%(request_id)s":              "req-1",
		"%(correlation_id)s":          "corr-1",
		"%({X-Forwarded-For}i)s":      "10.0.0.1",
		"%({host}i)s %({none}i)s":     "example.com -",
		"%({content-type}o)s":         "text/plain",
		"%({none}o)s":                 "-",
		"%({REMOTE_PORT}e)s":          "4242",
		"%({http_user_agent}e)s":      `curl/8 \"x\"`,
		"%({wsgi.url_scheme}e)s":      "http",
		"%({referer}i)s":              "http://example.org/?token=***&a=1",
		"plain":                       "plain",
		"%({query_string}e)s":         "x=1&token=***",
		"%({http_x_forwarded_for}e)s": "10.0.0.1",
	} {
		b := setup(t, format)
		b.log.Middleware(http.HandlerFunc(hello)).ServeHTTP(httptest.NewRecorder(), request("/a%20b?x=1&token=hunter2"))
		b.stop()
		require.Equal(t, want+"\n", b.out.String(), format)
	}
}

func TestWrongFormatsAreExplained(t *testing.T) {
	t.Parallel()
	list := "accepted are h l u t r m U q H s B b f a T D M L p request_id correlation_id, {header}i of the request, {header}o of the answer and {variable}e"
	for format, want := range map[string]string{
		"%(z)s":                `known atoms; "%(z)s" is none; ` + list,
		"a %h":                 `%(atom)s after the % at character 3, or %% for the sign itself; ` + list,
		"%(h":                  "after the % at character 1",
		"%(h)":                 "after the % at character 1",
		"100%":                 "after the % at character 4",
		"%(h)-15s":             "after the % at character 1",
		"%(h)d":                "%(h)s: it is a text, so d does not fit",
		"%({}i)s":              "known atoms",
		"%({a}x)s":             "{a}i, {a}o or {a}e; got {a}x",
		"%({a b}i)s":           "the name of a header in {a b}i",
		"%({path}e)s":          "a variable of the request in {path}e: content_length",
		"%({Authorization}i)s": "no header that carries credentials; authorization does",
		"%({http_cookie}e)s":   "no header that carries credentials; cookie does",
		"%({Set-Cookie}o)s":    "no header that carries credentials",
		"a\nb":                 "a single line",
	} {
		_, err := Compile(format)
		var e *FormatError
		require.ErrorAs(t, err, &e, format)
		require.Contains(t, e.Want, want, format)
	}
}

func TestLineIsJSONWithoutAFormat(t *testing.T) {
	t.Parallel()
	b := setup(t, "")
	b.log.Middleware(http.HandlerFunc(hello)).ServeHTTP(httptest.NewRecorder(), request("/a%20b?x=1&token=hunter2"))
	b.stop()
	require.JSONEq(t, fmt.Sprintf(`{"time":"2026-03-01T11:00:03.000Z","level":"INFO","msg":"request","method":"GET","path":"/a b","query":"x=1&token=***",
		"status":201,"bytes":5,"duration":1500250000,"request_id":"req-1","correlation_id":"corr-1","remote_addr":"192.0.2.7","host":"example.com",
		"protocol":"HTTP/1.1","referer":"http://example.org/?token=***&a=1","user_agent":"curl/8 \"x\"","pid":%d}`, os.Getpid()), b.out.String())
}

func TestClientsCannotForgeLines(t *testing.T) {
	t.Parallel()
	evil := "\" 200 5\n127.0.0.1 - \\ \r\x00\x1b[31m\u2028\xff ж"
	for _, format := range []string{"", Default + ` "%({x-evil}i)s" "%(U)s"`} {
		b := setup(t, format)
		r := request("/")
		r.URL.Path, r.URL.RawQuery, r.Method = "/"+evil, evil, "GET"
		r.Header.Set("User-Agent", evil)
		r.Header["X-Evil"] = []string{evil, evil}
		r.RequestURI = "/" + evil
		b.log.Middleware(http.HandlerFunc(hello)).ServeHTTP(httptest.NewRecorder(), r)
		b.stop()
		line := b.out.String()
		require.Equal(t, 1, strings.Count(line, "\n"))
		require.True(t, strings.HasSuffix(line, "\n"))
		require.True(t, utf8.ValidString(line))
		require.NotRegexp(t, `[\x00-\x09\x0b-\x1f\x7f\x{2028}]`, line)
		require.Contains(t, line, "ж")
		if format == "" {
			var got map[string]any
			require.NoError(t, json.Unmarshal([]byte(line), &got))
			require.Equal(t, strings.ReplaceAll(evil, "\xff", "\ufffd"), got["user_agent"])
		} else {
			require.Contains(t, line, `\" 200 5\x0a127.0.0.1 - \\ \x0d\x00\x1b[31m\xe2\x80\xa8\xff ж`)
		}
	}
}

func FuzzEscapesKeepTheirQuotes(f *testing.F) {
	f.Add("a\"b\\c\n\xff\u2028ж", 10)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = min(max(limit, 0), 2000)
		text := string(appendText(nil, s, limit))
		require.True(t, utf8.ValidString(text))
		require.Regexp(t, `^([^"\\]|\\["\\]|\\x[0-9a-f]{2})*$`, text)
		require.NotContains(t, text, "\n")
		raw := appendJSON(nil, s, limit)
		var got string
		require.NoError(t, json.Unmarshal(raw, &got))
		if len(s) <= limit {
			require.Equal(t, strings.ToValidUTF8(string([]rune(s)), "\ufffd"), got)
		}
		require.NotContains(t, string(raw), "\n")
	})
}

func FuzzCompile(f *testing.F) {
	f.Add(Default)
	f.Add("%({x-y}i)s %%%(T)d")
	r := request("/a?b=c")
	f.Fuzz(func(t *testing.T, format string) {
		compiled, err := Compile(format)
		if err != nil {
			var e *FormatError
			require.ErrorAs(t, err, &e)
			return
		}
		e := describe(r, http.Header{}, compiled.extra)
		require.Equal(t, strings.Contains(format, "\n"), bytes.ContainsRune(compiled.append(nil, &e, 10), '\n'))
	})
}

func TestSecretsInQueriesAreHidden(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"":                            "",
		"a=1&b=2":                     "a=1&b=2",
		"token=x":                     "token=***",
		"Token=x&a=1;API_KEY=y&sid=z": "Token=***&a=1;API_KEY=***&sid=***",
		"token=&token&a=token=5":      "token=&token&a=token=5",
		"&&=&token=a=b&":              "&&=&token=***&",
	} {
		require.Equal(t, want, hide(query), query)
	}
	require.Equal(t, "/x?sid=***", hideInURL("/x?sid=1#a"))
	require.Equal(t, "::no url%%?", hideInURL("::no url%%?"))
}

func TestLongValuesAreCutSoThatALineStaysWhole(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"", Default} {
		b := setup(t, format)
		long := strings.Repeat("ж\x01", 5000)
		r := request("/")
		r.URL.Path, r.RequestURI = "/"+long, "/"+long
		r.Header.Set("User-Agent", long)
		b.log.Middleware(http.HandlerFunc(hello)).ServeHTTP(httptest.NewRecorder(), r)
		b.stop()
		require.LessOrEqual(t, len(b.out.String()), pieceBytes)
		require.Contains(t, b.out.String(), cutMark)
		require.True(t, utf8.ValidString(b.out.String()))
	}
}

func TestStatusIsWhatTheClientGot(t *testing.T) {
	t.Parallel()
	for want, handler := range map[string]http.HandlerFunc{
		"200 0": func(http.ResponseWriter, *http.Request) {},
		"200 2": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("ok"))
			w.WriteHeader(http.StatusTeapot)
		},
		"404 0": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusNotFound)
		},
		"- 0":   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"200 1": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")); panic(http.ErrAbortHandler) },
	} {
		b := setup(t, "%(s)s %(b)s")
		func() {
			defer func() { _ = recover() }()
			b.log.Middleware(handler).ServeHTTP(httptest.NewRecorder(), request("/"))
		}()
		b.stop()
		require.Equal(t, want+"\n", b.out.String())
	}
}

func TestStreamsAreWrittenAtTheirEnd(t *testing.T) {
	t.Parallel()
	b := setup(t, "%(s)s %(b)s")
	finish := make(chan struct{})
	server := httptest.NewServer(b.log.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-finish
	})))
	defer server.Close()
	answer, err := server.Client().Get(server.URL)
	require.NoError(t, err)
	defer answer.Body.Close()
	got := make([]byte, 5)
	_, err = io.ReadFull(answer.Body, got)
	require.NoError(t, err)
	require.Zero(t, b.log.Counts().Lines, "it goes on")
	close(finish)
	_, err = io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return b.log.Counts().Lines == 1 }, 30*time.Second, time.Millisecond)
	b.stop()
	require.Equal(t, "200 5\n", b.out.String())
}

func TestConnectionsTakenOverAreWrittenWhenTheyClose(t *testing.T) {
	t.Parallel()
	for first, want := range map[string]string{
		"HTTP/1.1 101 Switching Protocols\r\n\r\n": "101 43 /socket?sid=***",
		"HTTP/1.1 400 Bad Request\r\n\r\n":         "400 35 /socket?sid=***",
	} {
		b := setup(t, "%(s)s %(b)s %({raw_uri}e)s")
		conns := make(chan net.Conn, 1)
		server := httptest.NewServer(b.log.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = buffered.WriteString(first)
			_ = buffered.Flush()
			conns <- conn // what serves it outlives the handler
		})))
		client, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		_, err = io.WriteString(client, "GET /socket?sid=1 HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		conn := <-conns
		_, err = io.WriteString(conn, "1234567")
		require.NoError(t, err)
		head, err := bufio.NewReader(client).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, first[:len(head)], head)
		require.Zero(t, b.log.Counts().Lines)
		half, ok := conn.(interface{ CloseWrite() error })
		require.True(t, ok)
		require.NoError(t, half.CloseWrite())
		require.NoError(t, conn.Close())
		require.Error(t, conn.Close(), "a second time tells nothing new")
		b.stop()
		require.Equal(t, want+"\n", b.out.String())
		_ = client.Close()
		server.Close()
	}
}

func TestWritesAreOfWholeLinesThatFitAPipe(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	b := setup(t, "%(U)s", func(o *Options) { o.Out.(*sink).gate = gate })
	handler := b.log.Middleware(http.HandlerFunc(hello))
	for i := range 400 {
		handler.ServeHTTP(httptest.NewRecorder(), request("/"+strings.Repeat("x", i%300)))
	}
	close(gate)
	b.stop()
	require.Equal(t, 400, strings.Count(b.out.String(), "\n"))
	end := 0
	for _, n := range b.out.pieces {
		require.LessOrEqual(t, n, pieceBytes)
		end += n
		require.Equal(t, byte('\n'), b.out.String()[end-1])
	}
	require.Less(t, len(b.out.pieces), 100, "lines travel together")
}

func TestSlowLogDropsLinesAndSaysSo(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	b := setup(t, "%(U)s", func(o *Options) { o.Out.(*sink).gate, o.Buffer = gate, 100 })
	handler := b.log.Middleware(http.HandlerFunc(hello))
	const requests = 200
	for range requests { // none of them waits
		handler.ServeHTTP(httptest.NewRecorder(), request("/123456789"))
	}
	counts := b.log.Counts()
	require.Equal(t, int64(requests), counts.Lines+counts.Dropped)
	require.GreaterOrEqual(t, counts.Dropped, int64(requests-19), "a buffer being written and one that fills")
	close(gate)
	b.stop()
	require.Equal(t, int(counts.Lines), strings.Count(b.out.String(), "\n"))
	require.Contains(t, b.program.String(), fmt.Sprintf("dropped_lines=%d", counts.Dropped))
	handler.ServeHTTP(httptest.NewRecorder(), request("/late"))
	require.Equal(t, counts.Dropped+1, b.log.Counts().Dropped, "nobody would write it")
}

func TestFailedWritesAreToldAndDoNotStopTheLog(t *testing.T) {
	t.Parallel()
	b := setup(t, "%(U)s", func(o *Options) { o.Out.(*sink).fail = errors.New("disk full") })
	b.log.Middleware(http.HandlerFunc(hello)).ServeHTTP(httptest.NewRecorder(), request("/a"))
	require.Eventually(t, func() bool { return strings.Contains(b.program.String(), "disk full") }, 30*time.Second, time.Millisecond)
	b.out.mu.Lock()
	b.out.fail = nil
	b.out.mu.Unlock()
	b.log.Middleware(http.HandlerFunc(hello)).ServeHTTP(httptest.NewRecorder(), request("/b"))
	b.stop()
	require.Equal(t, "/b\n", b.out.String())
	require.Equal(t, int64(1), b.log.Counts().Failed)
}

func TestStuckLogDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	defer close(gate)
	var program sink
	log := New(Options{Out: &sink{gate: gate}, Logger: slog.New(slog.NewTextHandler(&program, nil)), Now: time.Now})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- log.Run(ctx, func() {}) }()
	log.Middleware(http.HandlerFunc(hello)).ServeHTTP(httptest.NewRecorder(), request("/"))
	cancel()
	require.NoError(t, <-done)
	require.Contains(t, program.String(), "not written to its end")
}

func TestManyRequestsAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, "")
	handler := b.log.Middleware(http.HandlerFunc(hello))
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 200 {
				handler.ServeHTTP(httptest.NewRecorder(), request("/x"))
			}
		})
	}
	group.Wait()
	b.stop()
	count := 0
	for line := range strings.Lines(b.out.String()) {
		require.True(t, json.Valid([]byte(line)))
		count++
	}
	require.Equal(t, 1600, count)
}

func BenchmarkMiddleware(b *testing.B) {
	for _, format := range []string{"", Default} {
		name := "json"
		o := Options{Out: io.Discard, Logger: slog.New(slog.DiscardHandler), Now: time.Now}
		if format != "" {
			name = "gunicorn"
			o.Format, _ = Compile(format)
		}
		b.Run(name, func(b *testing.B) {
			log := New(o)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- log.Run(ctx, func() {}) }()
			handler := log.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
			r, w := request("/api/flowcharts/7"), httptest.NewRecorder()
			b.ReportAllocs()
			for b.Loop() {
				handler.ServeHTTP(w, r)
			}
			cancel()
			<-done
		})
	}
}
