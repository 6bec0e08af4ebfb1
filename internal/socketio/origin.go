package socketio

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// SameOrigin accepts an origin whose host and port are those the request was sent to. TLS may end at a proxy, so the
// scheme is compared only where someone who knows it has set it in the request's URL.
func SameOrigin(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) && (r.URL.Scheme == "" || strings.EqualFold(u.Scheme, r.URL.Scheme))
}

// AllowOrigins accepts the listed origins, such as "https://studio.example", besides the same origin. "*" accepts all.
func AllowOrigins(origins ...string) func(r *http.Request, origin string) bool {
	origins = slices.Clone(origins)
	for i, o := range origins {
		origins[i] = strings.ToLower(strings.TrimSuffix(o, "/"))
	}
	all := slices.Contains(origins, "*")
	return func(r *http.Request, origin string) bool {
		return all || SameOrigin(r, origin) || slices.Contains(origins, strings.ToLower(origin))
	}
}

// checkOrigin applies the policy to a request and sets the CORS headers of its answer. A request without an Origin is
// not from another site's script: browsers send one with every cross-origin request and every WebSocket.
func (s *Server) checkOrigin(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h.Add("Vary", "Origin")
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	origin := origins[0]
	if len(origins) > 1 || !s.opts.AllowOrigin(r, origin) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	if s.opts.AllowCredentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	return true
}

// preflight answers the question that a browser asks before a request with headers of its own.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Max-Age", "600")
	if want := r.Header.Get("Access-Control-Request-Headers"); want != "" {
		h.Add("Vary", "Access-Control-Request-Headers")
		h.Set("Access-Control-Allow-Headers", want)
	}
	w.WriteHeader(http.StatusNoContent)
}
