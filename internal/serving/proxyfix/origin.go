package proxyfix

import (
	"context"
	"net"
	"net/http"
	"net/netip"
)

// Schemes of an [Origin].
const (
	HTTP  = "http"
	HTTPS = "https"
)

// Origin is where a request came from and to whom it was sent, as far as that is
// to be believed.
type Origin struct {
	// Client made the request. It is not valid for a peer on a Unix socket that no
	// believed header says more about.
	Client netip.Addr
	// Peer opened the connection; not valid on a Unix socket.
	Peer netip.Addr
	// Scheme is "http" or "https", as the browser used it.
	Scheme string
	// Host is what the browser sent it to: host or host:port.
	Host string
	// Prefix is where the application is mounted: "" or a path such as "/studio".
	Prefix string
	// Forwarded is the believed part of X-Forwarded-For, outermost first, for a proxy
	// that passes the request on.
	Forwarded string
}

// Path gives the address of one of the application's own paths, as a browser needs it.
func (o Origin) Path(own string) string { return o.Prefix + own }

// URL gives the absolute address of one of the application's own paths.
func (o Origin) URL(own string) string { return o.Scheme + "://" + o.Host + o.Path(own) }

// ClientIP is the address of the client, or "" when it is unknown.
func (o Origin) ClientIP() string {
	if !o.Client.IsValid() {
		return ""
	}
	return o.Client.String()
}

// Pass writes the forwarded headers for a server behind us: the peer is appended to
// the believed chain, as every proxy does, so that server counts one hop more for
// X-Forwarded-For than we do; the others say what the browser used, in one value.
func (o Origin) Pass(h http.Header) {
	set := func(name, value string) {
		h.Del(name)
		if value != "" {
			h.Set(name, value)
		}
	}
	peer := "unknown" // keeps the chain's length
	if o.Peer.IsValid() {
		peer = o.Peer.WithZone("").String()
	}
	switch {
	case o.Forwarded != "":
		peer = o.Forwarded + ", " + peer
	case !o.Peer.IsValid():
		peer = ""
	}
	set(For, peer)
	set(Proto, o.Scheme)
	set(Host, o.Host)
	set(Port, o.port())
	set(Prefix, o.Prefix)
}

// port is the one that the browser used.
func (o Origin) port() string {
	switch _, port, ok := splitHost(o.Host); {
	case ok && port != "":
		return port
	case o.Scheme == HTTPS:
		return "443"
	default:
		return "80"
	}
}

type originKey struct{}

// From gives the origin that [Fix.Wrap] found; for a request that went through
// none, what the connection says.
func From(r *http.Request) Origin {
	if o, ok := of(r.Context()); ok {
		return o
	}
	return connection(r)
}

func of(ctx context.Context) (Origin, bool) {
	o, ok := ctx.Value(originKey{}).(Origin)
	return o, ok
}

// connection is what is known without any forwarded header.
func connection(r *http.Request) Origin {
	o := Origin{Scheme: HTTP, Host: r.Host}
	if r.TLS != nil {
		o.Scheme = HTTPS
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		if addr, err := netip.ParseAddr(host); err == nil {
			o.Client, o.Peer = addr.Unmap(), addr.Unmap()
		}
	}
	return o
}
