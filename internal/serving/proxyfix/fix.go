package proxyfix

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
)

// The headers that can be trusted.
const (
	For    = "X-Forwarded-For"
	Proto  = "X-Forwarded-Proto"
	Host   = "X-Forwarded-Host"
	Port   = "X-Forwarded-Port"
	Prefix = "X-Forwarded-Prefix"
)

// Hops is how many proxies in front add a value to each header; 0: not trusted.
type Hops struct{ For, Proto, Host, Port, Prefix int }

// Options configures a [Fix].
type Options struct {
	Hops Hops
	// Own are paths that the application serves itself, such as "/api". A prefix that
	// is one of them, or above one, could not be told from it and is ignored.
	Own []string
	// Logger gets one warning for each header that is ignored.
	Logger *slog.Logger
}

// Fix is the middleware; see the package comment.
type Fix struct {
	opts    Options
	headers [5]counter
	hinted  atomic.Bool
}

// counter counts what was ignored of one header.
type counter struct {
	name      string
	hops      int
	malformed atomic.Uint64
	short     atomic.Uint64
	warned    atomic.Bool
}

// Indices of Fix.headers.
const (
	iFor = iota
	iProto
	iHost
	iPort
	iPrefix
)

// New makes the middleware. With no hops at all it only removes forwarded headers.
func New(o Options) *Fix {
	f := &Fix{opts: o}
	h := o.Hops
	for i, c := range []struct {
		name string
		hops int
	}{{For, h.For}, {Proto, h.Proto}, {Host, h.Host}, {Port, h.Port}, {Prefix, h.Prefix}} {
		f.headers[i].name, f.headers[i].hops = c.name, c.hops
	}
	return f
}

// Ignored is how often a trusted header was given but not believed.
type Ignored struct {
	Malformed uint64 // its value cannot be what it claims to be
	Short     uint64 // it has fewer values than there are trusted hops
}

// Ignored gives the counts by header.
func (f *Fix) Ignored() map[string]Ignored {
	out := map[string]Ignored{}
	for i := range f.headers {
		h := &f.headers[i]
		out[h.name] = Ignored{Malformed: h.malformed.Load(), Short: h.short.Load()}
	}
	return out
}

// Wrap gives next the request as the browser sent it. A request that went through
// a Fix already is passed on as it is.
func (f *Fix) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, done := of(r.Context()); !done {
			r = f.apply(r)
		}
		next.ServeHTTP(w, r)
	})
}

// apply builds the request that the application sees.
func (f *Fix) apply(r *http.Request) *http.Request {
	o := connection(r)
	given := take(r.Header)
	f.hint(r, given)
	peer := r.RemoteAddr
	u := *r.URL
	u.Scheme, u.Host = "", "" // an absolute request line is the client's word
	f.applyFor(r, given[iFor], &o, &peer)
	if value, ok := f.believe(r, iProto, given[iProto], scheme, "is none of http, https, ws, wss"); ok {
		o.Scheme, u.Scheme = value, value
	}
	f.applyHost(r, given, &o)
	if value, ok := f.believe(r, iPrefix, given[iPrefix], f.prefix, "is not a path such as /studio, or is a path of the application itself"); ok {
		o.Prefix = value
		stripPrefix(&u, value)
	}
	out := r.WithContext(context.WithValue(r.Context(), originKey{}, o))
	out.RemoteAddr, out.Host, out.URL = peer, o.Host, &u
	return out
}

// applyFor finds the client's address.
func (f *Fix) applyFor(r *http.Request, given string, o *Origin, peer *string) {
	values, ok := f.values(r, iFor, given)
	if !ok || values[0] == "" {
		return
	}
	addr, port, ok := address(values[0])
	if !ok {
		f.ignore(r, iFor, values[0], "is not an IP address")
		return
	}
	o.Client, *peer = addr, remote(addr, port)
	r.Header[For] = []string{addr.String()}
	for i, v := range values {
		if a, _, ok := address(v); ok {
			values[i] = a.String()
		} else {
			values[i] = "unknown" // the chain keeps its length
		}
	}
	o.Forwarded = strings.Join(values, ", ")
}

// applyHost finds what the browser sent the request to.
func (f *Fix) applyHost(r *http.Request, given [5]string, o *Origin) {
	if value, ok := f.believe(r, iHost, given[iHost], host, "is not a host name or address, with or without a port"); ok {
		o.Host = value
	}
	port := func(value string) (string, bool) { return value, validPort(value) }
	if value, ok := f.believe(r, iPort, given[iPort], port, "is not a port"); ok && o.Host != "" {
		o.Host = withPort(o.Host, value)
	}
	o.Host = withoutDefaultPort(o.Host, o.Scheme)
}

func (f *Fix) prefix(value string) (string, bool) {
	p, ok := prefix(value)
	if !ok || p == "" {
		return p, ok
	}
	for _, own := range f.opts.Own {
		if own == p || strings.HasPrefix(own, p+"/") {
			return "", false
		}
	}
	return p, true
}

// believe reads the trusted value of a header and leaves it, and only it, there.
func (f *Fix) believe(r *http.Request, i int, given string, read func(string) (string, bool), fault string) (string, bool) {
	values, ok := f.values(r, i, given)
	if !ok || values[0] == "" {
		return "", false
	}
	value, ok := read(values[0])
	if !ok {
		f.ignore(r, i, values[0], fault)
		return "", false
	}
	r.Header[f.headers[i].name] = []string{value}
	return value, true
}

// values gives the trusted values of a header, outermost first.
func (f *Fix) values(r *http.Request, i int, given string) ([]string, bool) {
	h := &f.headers[i]
	if h.hops == 0 || given == "" {
		return nil, false
	}
	if len(given) > maxHeader {
		f.ignore(r, i, given, "is longer than 8 KiB")
		return nil, false
	}
	all := list(given)
	if len(all) < h.hops {
		h.short.Add(1)
		return nil, false
	}
	return all[len(all)-h.hops:], true
}

// hint says once that there seems to be a proxy that nobody told us of.
func (f *Fix) hint(r *http.Request, given [5]string) {
	if f.opts.Hops != (Hops{}) || given == [5]string{} || f.opts.Logger == nil || !f.hinted.CompareAndSwap(false, true) {
		return
	}
	f.opts.Logger.InfoContext(r.Context(), "a request has forwarded headers and no proxy is trusted, so they are removed; "+
		"if a proxy of yours stands in front, say so with LLMCTL_STUDIO_PROXY_FIX_ENABLED", "peer", r.RemoteAddr)
}

// ignore counts a value that was not believed, and warns of the first.
func (f *Fix) ignore(r *http.Request, i int, value, fault string) {
	h := &f.headers[i]
	h.malformed.Add(1)
	if f.opts.Logger == nil || !h.warned.CompareAndSwap(false, true) {
		return
	}
	const shown = 100
	if len(value) > shown {
		value = value[:shown] + "…"
	}
	f.opts.Logger.WarnContext(r.Context(), "a forwarded header is ignored, as are further ones like it",
		"header", h.name, "value", value, "fault", fault, "peer", r.RemoteAddr)
}

// take removes every header that claims where a request came from, and gives the
// values of those that can be trusted, several lines joined.
func take(h http.Header) [5]string {
	var out [5]string
	for name, lines := range h {
		switch name {
		case For:
			out[iFor] = strings.Join(lines, ",")
		case Proto:
			out[iProto] = strings.Join(lines, ",")
		case Host:
			out[iHost] = strings.Join(lines, ",")
		case Port:
			out[iPort] = strings.Join(lines, ",")
		case Prefix:
			out[iPrefix] = strings.Join(lines, ",")
		}
		if claims(name) {
			delete(h, name)
		}
	}
	return out
}

// claims tells whether a header says where a request came from, in any of the
// spellings that proxies and frameworks know. Names are canonical, as net/http reads
// them.
func claims(name string) bool {
	if strings.IndexByte(name, '_') >= 0 { // CGI and WSGI take it for a hyphen
		name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	}
	if strings.HasPrefix(name, "X-Forwarded") {
		return true
	}
	switch name {
	case "Forwarded", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Original-Forwarded-For",
		"X-Original-Host", "X-Original-Url", "X-Rewrite-Url", "X-Url-Scheme", "X-Scheme", "X-Script-Name":
		return true
	default:
		return false
	}
}

// stripPrefix removes the prefix from a path whose proxy has kept it.
func stripPrefix(u *url.URL, prefix string) {
	path, ok := cutPath(u.Path, prefix)
	if !ok {
		return
	}
	if u.RawPath != "" {
		raw, ok := cutPath(u.RawPath, prefix)
		if !ok {
			return // the prefix itself is encoded: nobody's address
		}
		u.RawPath = raw
	}
	u.Path = path
}

func cutPath(path, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(path, prefix)
	switch {
	case ok && rest == "":
		return "/", true
	case ok && rest[0] == '/':
		return rest, true
	default:
		return path, false
	}
}
