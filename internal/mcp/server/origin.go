package server

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Browsers say which page a request comes from, other clients do not. A page may
// use the server only if it is named, or if it is one of this machine and comes
// over loopback. The Host header decides nothing: a page that had its name
// resolved to us (DNS rebinding) chooses it, but cannot choose its Origin.

// allowedOrigin reports whether the request's page, if any, may use the server.
func allowedOrigin(r *http.Request, named []string) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	if slices.Contains(named, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && isLoopbackName(u.Hostname()) && overLoopback(r)
}

func isLoopbackName(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func overLoopback(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	host, _, err := net.SplitHostPort(local.String())
	return err == nil && isLoopbackName(host)
}

// cors tells the browser of an allowed page what it may send and read.
func cors(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Mcp-Session-Id, WWW-Authenticate, Retry-After, X-Request-ID")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "POST")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept, Last-Event-ID, Mcp-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name, X-Request-ID, X-Correlation-ID")
		h.Set("Access-Control-Max-Age", "600")
	}
}

// OriginOf gives the origin of an address, "" if it has none.
func OriginOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}
