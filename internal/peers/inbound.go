package peers

import (
	"log/slog"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/serving"
)

// relayPrefix begins the paths of the internal listener that lead to a worker.
const relayPrefix = "/relay/"

// RelayPattern is where the internal listener takes requests of other replicas.
const RelayPattern = relayPrefix + "{worker}/{rest...}"

// Inbound takes requests of other replicas and hands them to the worker that they
// are for.
type Inbound struct {
	Signer *Signer
	Log    *slog.Logger
	// Paths are what may be asked for of a worker, each with what is below it. Profiles
	// are not among it: they are for people who can reach the listener themselves.
	Paths []string
	// Deliver gives the way to a worker of this replica; nil: there is none of the name.
	Deliver func(name string) http.Handler
}

// ServeHTTP implements http.Handler for [RelayPattern].
func (in *Inbound) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if no := in.Signer.check(r); no != nil {
		in.Log.WarnContext(r.Context(), "a request between replicas was refused", "reason", no.why, "remote", r.RemoteAddr)
		http.Error(w, no.why, no.status)
		return
	}
	name, path := r.PathValue("worker"), "/"+r.PathValue("rest")
	var to http.Handler
	if serving.ValidName(name) && in.allowed(path) {
		if to = in.Deliver(name); to == nil {
			w.Header().Set(headerGone, name)
		}
	}
	if to == nil {
		http.Error(w, "this replica has no such worker", http.StatusNotFound)
		return
	}
	w.Header().Set(headerOwner, name)
	to.ServeHTTP(w, r)
}

func (in *Inbound) allowed(path string) bool {
	for _, p := range in.Paths {
		if strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

// ToPrivate delivers to the private sockets in a folder.
func ToPrivate(dir string, patience time.Duration) func(name string) http.Handler {
	return func(name string) http.Handler {
		if !serving.HasPrivateSocket(dir, name) {
			return nil
		}
		return &httputil.ReverseProxy{
			Transport: serving.PrivateTransport(dir, name, patience), FlushInterval: -1,
			Rewrite: func(p *httputil.ProxyRequest) {
				p.Out.URL.Scheme, p.Out.URL.Host = "http", "worker"
				p.Out.URL.Path, p.Out.URL.RawPath = strings.TrimPrefix(p.In.URL.Path, relayPrefix+name), ""
				p.Out.Host = p.In.Host
			},
			ErrorHandler: func(w http.ResponseWriter, r *http.Request, _ error) {
				if r.Context().Err() == nil {
					w.Header().Del(headerOwner) // it is not the worker who says so
					w.WriteHeader(http.StatusBadGateway)
				}
			},
		}
	}
}
