package httpapi

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/serving/proxyfix"
)

// FrontDeps are what a process needs that serves the page and has everything below
// the API prefix from a backend.
type FrontDeps struct {
	Page    PageOptions
	Backend http.Handler // gets /api/*, and nothing else
	Health  http.Handler // of this process itself, at /healthz
	Proxy   *proxyfix.Fix
	Logger  *slog.Logger
	Now     func() time.Time
	// AccessLog is as in Deps.
	AccessLog func(http.Handler) http.Handler
}

// NewFront gives the handler of such a process: the same route contract as [New],
// with the operations elsewhere.
func NewFront(d FrontDeps) http.Handler {
	o := d.Page
	mux := http.NewServeMux()
	secure := func(h http.Handler) http.Handler { return withSecurityHeaders(o.APIPrefix, h) }
	mux.Handle(o.APIPrefix+"/", withIDsPassedOn(d.Backend))
	mux.Handle("GET /healthz", secure(d.Health))
	mux.Handle("GET /{$}", secure(redirectTo(o.WebPrefix+"/")))
	page := secure(newPage(o))
	mux.Handle(o.WebPrefix, page)
	mux.Handle(o.WebPrefix+"/", page)
	nothing := secure(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := proxyfix.From(r)
		writeProblem(w, r, http.StatusNotFound, "There is nothing at "+at.Path(r.URL.Path)+". The page is at "+
			at.Path(o.WebPrefix+"/")+", the API below "+at.Path(o.APIPrefix+"/")+".")
	}))
	mux.Handle(o.APIPrefix, nothing)
	mux.Handle("/", nothing)
	return around(d.Proxy, d.AccessLog, untraced, d.Logger, d.Now, withCanonicalPath(mux))
}

// withIDsPassedOn lets the backend use the ids of this request.
func withIDsPassedOn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := idsFrom(r.Context())
		r.Header.Set("X-Request-ID", v.Request)
		r.Header.Set("X-Correlation-ID", v.Correlation)
		next.ServeHTTP(w, r)
	})
}

// Fail answers with a problem whose status is not the usual one of its code.
func Fail(w http.ResponseWriter, r *http.Request, status int, e *errs.Error) {
	if e.After > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(e.After.Seconds())+1))
	}
	p := fromError(e)
	p.Status, p.Title = status, http.StatusText(status)
	if status >= http.StatusInternalServerError {
		noteError(r.Context(), e)
	}
	send(w, r, p)
}
