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
			o.Client = addr.Unmap()
		}
	}
	return o
}
