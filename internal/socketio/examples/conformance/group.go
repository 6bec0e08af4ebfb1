package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

const (
	dialTimeout = time.Second
	// answerTimeout is longer than any poll is held.
	answerTimeout = 30 * time.Second
)

// group knows which server a session belongs to: its id begins with the address.
type group struct {
	prefix string
	peers  map[string]*httputil.ReverseProxy // by prefix, without this one
}

func newGroup(own string, addresses []string) (*group, error) {
	prefix, err := prefixOf(own)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	g := &group{prefix: prefix, peers: map[string]*httputil.ReverseProxy{}}
	for _, address := range addresses {
		address = strings.TrimSpace(address)
		prefix, err := prefixOf(address)
		if err != nil {
			return nil, fmt.Errorf("--peers: %w", err)
		}
		if prefix != g.prefix {
			g.peers[prefix] = newProxy(address)
		}
	}
	return g, nil
}

// prefixOf makes the beginning of session ids out of an address. It ends with a letter
// that no address has, so that none is the beginning of another.
func prefixOf(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" {
		return "", fmt.Errorf("want HOST:PORT, got %q", address)
	}
	return strings.NewReplacer(":", "x", "-", "h", "_", "u").Replace(host+"."+port) + "Z", nil
}

// newProxy passes requests on to the server at address, WebSockets among them. One
// that does not answer is answered for: without it the session is gone, and clients
// make a new one at once.
func newProxy(address string) *httputil.ReverseProxy {
	target := &url.URL{Scheme: "http", Host: address}
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &httputil.ReverseProxy{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, addr)
			},
			// A connection of its own for each request: the end of one tells the owner that
			// its client has gone.
			DisableKeepAlives: true, ResponseHeaderTimeout: answerTimeout, DisableCompression: true,
		},
		FlushInterval: -1,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.Out.Host = p.In.Host
			p.Out.Header.Del("Origin") // it was judged here
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, _ error) {
			if r.Context().Err() != nil {
				return // the client has gone; there is nobody to answer
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"code":1,"message":"Session ID unknown"}`)) // the peer may be gone
		},
	}
}

func (g *group) forward(w http.ResponseWriter, r *http.Request, sid string) bool {
	for prefix, proxy := range g.peers {
		if strings.HasPrefix(sid, prefix) {
			proxy.ServeHTTP(w, r)
			return true
		}
	}
	return false
}
