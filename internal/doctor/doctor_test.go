package doctor_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/doctor"
	"github.com/llmctl/studio/internal/errs"
)

// fake answers as a Studio would as far as a test needs it; overrides come first.
func fake(t *testing.T, overrides map[string]http.HandlerFunc) string {
	t.Helper()
	problem := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"status":404}`)
	}
	text := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
	}
	mux := http.NewServeMux()
	for path, h := range map[string]http.HandlerFunc{
		"/": problem, "/{$}": http.RedirectHandler("/web/", http.StatusFound).ServeHTTP, "/web": http.RedirectHandler("/web/", http.StatusFound).ServeHTTP,
		"/web/":       text(`<script>window.__STUDIO__={"basePath":"/web","apiBase":"/api","socketPath":"/api/socket.io"}</script>`),
		"/api/health": text(`{"ok":true,"version":"1"}`), "/api/ready": text(`{"ready":true,"reasons":[]}`),
		"/api/socket.io/": text(`{"code":0,"message":"Transport unknown"}`),
	} {
		if o := overrides[path]; o != nil {
			h = o
		}
		mux.HandleFunc(path, h)
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL + "/web/"
}

func examine(t *testing.T, o doctor.Options) (ids []string, r *doctor.Report) {
	t.Helper()
	r, err := doctor.Examine(t.Context(), o)
	require.NoError(t, err)
	for _, f := range r.Findings {
		ids = append(ids, f.ID)
	}
	return ids, r
}

func TestClockThatIsWrongIsFound(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{2 * time.Minute, -2 * time.Minute} {
		ids, _ := examine(t, doctor.Options{URL: fake(t, nil), Now: func() time.Time { return time.Now().Add(off) }})
		require.Contains(t, ids, "clock.skew")
	}
	ids, _ := examine(t, doctor.Options{URL: fake(t, nil)})
	require.NotContains(t, ids, "clock.skew")
}

func TestServerThatIsNotReadyIsFound(t *testing.T) {
	t.Parallel()
	ids, r := examine(t, doctor.Options{URL: fake(t, map[string]http.HandlerFunc{"/api/ready": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"ready":false,"reasons":["the database does not answer"]}`)
	}})})
	require.Contains(t, ids, "server.not_ready")
	require.Contains(t, r.Findings[0].Seen, "the database does not answer")
}

func TestBusThatIsDownIsFound(t *testing.T) {
	t.Parallel()
	ids, _ := examine(t, doctor.Options{APIKey: "k", URL: fake(t, map[string]http.HandlerFunc{"/": func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/realtime/status" {
			_, _ = io.WriteString(w, `{"workers":[{"worker":"A","mute":"silent"},{"worker":"B","ready":false,"reason":"bus: no canary","hub":{"bus":"postgres"}}]}`)
			return
		}
		if r.URL.Path == "/api/doctor/request" {
			_, _ = io.WriteString(w, `{"scheme":"http","host":"`+r.Host+`","client":"127.0.0.1"}`)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
	}})})
	require.Contains(t, ids, "bus.down")
	require.NotContains(t, ids, "forwarded.host")
}

func TestChecksThatNeedAKeySaySo(t *testing.T) {
	t.Parallel()
	_, r := examine(t, doctor.Options{URL: fake(t, nil)})
	skipped := map[string]string{}
	for _, c := range r.Checks {
		if c.State == doctor.Skipped {
			skipped[c.Name] = c.Detail
		}
	}
	for _, name := range []string{"forwarded headers", "realtime bus", "streaming", "body size"} {
		require.Contains(t, skipped[name], "LLMCTL_STUDIO_DOCTOR_API_KEY")
	}
	require.Contains(t, skipped["silent connection"], "--long")
}

func TestWrongAddressIsUsage(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"", "studio.example.com/web", "ftp://x/web", "http://", "http://x/web?a=b"} {
		_, err := doctor.Examine(t.Context(), doctor.Options{URL: u})
		require.True(t, errs.HasReason(err, "doctor.url"), "%q: %v", u, err)
	}
}
