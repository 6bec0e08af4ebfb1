package uplink_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/executor/uplink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// studio stands for the API: it takes events as the contract says, unless the test
// wants something else.
type studio struct {
	t      *testing.T
	server *httptest.Server

	mu      sync.Mutex
	n       int64
	events  []executor.Event
	answers []func(w http.ResponseWriter) // for the next requests, instead of the usual
	cancel  bool
	came    chan int // numbers of events of each request that was taken
}

func newStudio(t *testing.T) *studio {
	t.Helper()
	s := &studio{t: t, came: make(chan int, 1000)}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

func (s *studio) next(answers ...func(w http.ResponseWriter)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = append(s.answers, answers...)
}

func problem(status int, reason string) func(w http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"reason": reason, "detail": "It says " + reason + "."})
	}
}

func (s *studio) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer token" || r.Header.Get("X-Executor-Pod") != "pod" {
		problem(http.StatusUnauthorized, "executor.unknown_token")(w)
		return
	}
	if len(s.answers) > 0 {
		answer := s.answers[0]
		s.answers = s.answers[1:]
		if answer != nil {
			answer(w)
			return
		}
	}
	if r.Method == http.MethodPut {
		_, _ = io.WriteString(w, "{}")
		return
	}
	count := 0
	sc := bufio.NewScanner(strings.NewReader(string(body)))
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		var e executor.Event
		if json.Unmarshal(sc.Bytes(), &e) != nil || e.N != s.n+1 {
			problem(http.StatusConflict, "executor.event_gap")(w)
			return
		}
		s.n, count = e.N, count+1
		s.events = append(s.events, e)
	}
	s.came <- count
	_, _ = fmt.Fprintf(w, `{"accepted_n":%d,"cancel":%t}`, s.n, s.cancel)
}

func (s *studio) seen() []executor.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]executor.Event(nil), s.events...)
}

func (s *studio) uplink(change func(o *uplink.Options)) *uplink.Uplink {
	s.t.Helper()
	o := uplink.Options{
		URL: s.server.URL + "/", Token: "token", PodUID: "pod", Client: s.server.Client(),
		Every: time.Millisecond, FirstPause: time.Millisecond, LastPause: 5 * time.Millisecond, Patience: 30 * time.Second,
	}
	if change != nil {
		change(&o)
	}
	u, err := uplink.New(o)
	require.NoError(s.t, err)
	return u
}

func event(n int64, text string) executor.Event {
	e := executor.Event{V: executor.Version, N: n, Type: executor.EventDelta, Text: text}
	if n == 1 {
		e.Type = executor.EventStarted
	}
	return e
}

func last(t *testing.T, s *studio) executor.Event {
	t.Helper()
	events := s.seen()
	require.NotEmpty(t, events)
	e := events[len(events)-1]
	require.Equal(t, executor.EventResult, e.Type)
	return e
}

func TestEventsComeInOrderAndTheResultLast(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	u := s.uplink(nil)
	require.NoError(t, u.Start(t.Context(), event(1, "")))
	for n := range int64(500) {
		require.NoError(t, u.Report(t.Context(), event(n+2, "word ")))
	}
	require.NoError(t, u.End(t.Context(), executor.Success("x")))
	require.Len(t, s.seen(), 502)
	require.EqualValues(t, 502, last(t, s).N)
	require.NoError(t, u.Why())
	require.Error(t, u.Report(t.Context(), event(503, "late")))
}

func TestOnlyFinalAnswersEndTheWork(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	cut := func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
	s.next(problem(http.StatusServiceUnavailable, "executor.busy"), problem(http.StatusNotFound, "request.unknown_path"), cut,
		problem(http.StatusUnauthorized, ""), problem(http.StatusConflict, ""), problem(http.StatusInternalServerError, "internal"),
		problem(http.StatusTooManyRequests, ""))
	var told []string
	u := s.uplink(func(o *uplink.Options) { o.Log = func(text string) { told = append(told, text) } })
	require.NoError(t, u.Start(t.Context(), event(1, "")))
	require.Len(t, told, 2, "once that it is away, once that it is back")
	s.next(problem(http.StatusConflict, "executor.attempt_closed"))
	require.NoError(t, u.Report(t.Context(), event(2, "")))
	<-u.Stop()
	require.ErrorIs(t, u.Why(), executor.ErrRefused)
	require.ErrorIs(t, u.End(t.Context(), executor.Success("x")), executor.ErrRefused)
}

func TestNothingBeginsUnlessItMay(t *testing.T) {
	t.Parallel()
	for status, reason := range map[int]string{
		http.StatusConflict: "executor.superseded_pod", http.StatusUnauthorized: "executor.unknown_token", http.StatusGone: "",
	} {
		s := newStudio(t)
		s.next(problem(status, reason))
		u := s.uplink(nil)
		require.ErrorIs(t, u.Start(t.Context(), event(1, "")), executor.ErrRefused)
		require.ErrorIs(t, u.End(t.Context(), executor.Success("x")), executor.ErrRefused)
		require.Empty(t, s.seen())
	}
}

func TestTheHandlerWaitsWhileTooMuchIsUnanswered(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	u := s.uplink(func(o *uplink.Options) { o.Buffer = 4 << 10 })
	require.NoError(t, u.Start(t.Context(), event(1, "")))
	gate := make(chan struct{})
	s.next(func(w http.ResponseWriter) {
		s.mu.Unlock() // the tests go on meanwhile
		<-gate
		s.mu.Lock()
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	var at atomic.Int64
	all := make(chan error, 1)
	go func() {
		for n := int64(2); n < 100; n++ {
			at.Store(n)
			if err := u.Report(context.Background(), event(n, strings.Repeat("x", 200))); err != nil {
				all <- err
				return
			}
		}
		all <- nil
	}()
	select {
	case <-all:
		require.Fail(t, "98 events of 200 bytes fit into 4 KiB")
	case <-time.After(200 * time.Millisecond): // it waits
	}
	require.Less(t, at.Load(), int64(30))
	close(gate)
	require.NoError(t, <-all)
	require.NoError(t, u.End(t.Context(), executor.Success("x")))
	require.EqualValues(t, 100, last(t, s).N)
}

func TestAWaitingHandlerIsLetGoByTheEndOfItsContext(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	u := s.uplink(func(o *uplink.Options) { o.Buffer = 1; o.Patience = 50 * time.Millisecond })
	require.NoError(t, u.Start(t.Context(), event(1, "")))
	s.server.CloseClientConnections()
	s.server.Close() // away for good
	require.NoError(t, u.Report(t.Context(), event(2, "one is always taken")))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(executor.ErrCancelled)
	require.ErrorIs(t, u.Report(ctx, event(3, "")), executor.ErrCancelled)
	err := u.End(t.Context(), executor.Success("x"))
	require.ErrorContains(t, err, "does not answer", "its patience has an end")
}

func TestAFaultOfWhatWasSentBecomesTheResult(t *testing.T) {
	t.Parallel()
	t.Run("of an event", func(t *testing.T) {
		t.Parallel()
		s := newStudio(t)
		u := s.uplink(nil)
		require.NoError(t, u.Start(t.Context(), event(1, "")))
		s.next(problem(http.StatusUnprocessableEntity, "executor.event"))
		require.NoError(t, u.Report(t.Context(), event(2, "")))
		<-u.Stop()
		require.ErrorContains(t, u.Why(), "It says executor.event.")
		require.NoError(t, u.End(t.Context(), executor.Success("x")))
		e := last(t, s)
		require.EqualValues(t, 2, e.N, "the number of what was not taken")
		require.Equal(t, executor.Failed, e.Result.Status)
		require.Contains(t, e.Result.Error.Message, "It says executor.event.")
	})
	t.Run("of the result", func(t *testing.T) {
		t.Parallel()
		s := newStudio(t)
		u := s.uplink(nil)
		require.NoError(t, u.Start(t.Context(), event(1, "")))
		s.next(problem(http.StatusRequestEntityTooLarge, "request.too_large"))
		require.NoError(t, u.End(t.Context(), executor.Success("x")))
		require.Equal(t, executor.CodeTooLarge, last(t, s).Result.Error.Code)
	})
	t.Run("of a file", func(t *testing.T) {
		t.Parallel()
		s := newStudio(t)
		u := s.uplink(nil)
		require.NoError(t, u.Start(t.Context(), event(1, "")))
		res := executor.Success("kept")
		res.Artifacts = []executor.Artifact{{Name: "a", Data: make([]byte, 100_000)}}
		s.next(problem(http.StatusRequestEntityTooLarge, "executor.uploads"))
		require.NoError(t, u.End(t.Context(), res))
		e := last(t, s)
		require.Equal(t, executor.CodeArtifacts, e.Result.Error.Code)
		require.JSONEq(t, `"kept"`, string(e.Result.OutputState))
	})
}

func TestASilentAttemptAsksWhetherItIsToStop(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	u := s.uplink(func(o *uplink.Options) { o.Ask = 5 * time.Millisecond })
	require.NoError(t, u.Start(t.Context(), event(1, "")))
	require.Equal(t, 1, <-s.came)
	require.Zero(t, <-s.came)
	s.mu.Lock()
	s.cancel = true
	s.mu.Unlock()
	<-u.Stop()
	require.ErrorIs(t, u.Why(), executor.ErrCancelled)
	require.NoError(t, u.End(t.Context(), executor.Result{Status: executor.Cancelled}))
	require.Equal(t, executor.Cancelled, last(t, s).Result.Status, "what is cancelled still reports")
}

func TestALargeFileGoesAheadOfTheResult(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	u := s.uplink(nil)
	require.NoError(t, u.Start(t.Context(), event(1, "")))
	res := executor.Success("x")
	res.Artifacts = []executor.Artifact{{Name: "a/ b", Data: make([]byte, 100_000)}, {Name: "empty"}}
	require.NoError(t, u.End(t.Context(), res))
	got := last(t, s).Result.Artifacts
	require.Len(t, got, 2)
	require.Empty(t, got[0].Data)
	require.EqualValues(t, 100_000, got[0].Size)
	require.Equal(t, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", got[1].SHA256)
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]uplink.Options{
		"http://":   {URL: "studio", Token: "t", PodUID: "p"},
		"the token": {URL: "http://x", PodUID: "p"},
		"the pod":   {URL: "http://x", Token: "t"},
	} {
		_, err := uplink.New(o)
		require.ErrorContains(t, err, strings.TrimPrefix(want, "the "))
	}
}
