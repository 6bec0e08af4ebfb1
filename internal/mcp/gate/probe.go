package gate

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	// handshakeVersion is the newest protocol version whose handshake is
	// initialize; servers answer with the one that they prefer.
	handshakeVersion = "2025-11-25"

	maxAnswer   = 1 << 20
	goodbye     = time.Second // for the DELETE that ends a session
	headerLimit = 64 << 10
)

// newTransport makes one connection per try, so that a try tells how a fresh
// client fares. Proxies of the environment do not apply: the endpoints are
// neighbours.
func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{}).DialContext,
		DisableKeepAlives:      true,
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: headerLimit,
	}
}

// initialize performs the handshake and gives what the server says it is.
func initialize(ctx context.Context, endpoint, version string) (string, error) {
	transport := newTransport()
	defer transport.CloseIdleConnections()
	client := mcp.NewClient(&mcp.Implementation{Name: "llmctl wait-mcp", Version: version}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint:             endpoint,
		HTTPClient:           &http.Client{Transport: &observer{try: ctx, next: transport}},
		MaxRetries:           -1, // the gate itself tries again
		DisableStandaloneSSE: true,
		MaxEventSize:         maxAnswer,
	}, &mcp.ClientSessionOptions{ProtocolVersion: handshakeVersion})
	if err != nil {
		return "", err
	}
	answer := session.InitializeResult()
	_ = session.Close() // the server may keep the session; it is ready all the same
	name := "a server without a name"
	if answer.ServerInfo != nil && answer.ServerInfo.Name != "" {
		name = strings.TrimSpace(answer.ServerInfo.Name + " " + answer.ServerInfo.Version)
	}
	return fmt.Sprintf("%.100s, protocol %.20s", name, answer.ProtocolVersion), nil
}

// anyHTTP asks for any answer at all, as the original's gate did.
func anyHTTP(ctx context.Context, endpoint string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		return "", err
	}
	transport := newTransport()
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	_ = response.Body.Close()
	return "answers with status " + response.Status, nil
}

// observer sees every answer before the SDK does, and turns those that cannot be
// of an MCP server into a reason that says what they are. It also keeps requests
// that follow a failed try (cancellations, the end of a session) from taking time.
type observer struct {
	try  context.Context //nolint:containedctx // the try is what this round tripper is bound to
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (o *observer) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := o.try.Err(); err != nil {
		return nil, err
	}
	if r.Method == http.MethodDelete {
		ctx, cancel := context.WithTimeout(o.try, goodbye)
		defer cancel()
		response, err := o.next.RoundTrip(r.WithContext(ctx))
		if err != nil {
			return nil, err
		}
		_ = response.Body.Close()
		response.Body = http.NoBody
		return response, nil
	}
	response, err := o.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if why := refuse(response); why != "" {
		_ = response.Body.Close()
		return nil, &notMCPError{why}
	}
	response.Body = &limited{Reader: io.LimitReader(response.Body, maxAnswer), Closer: response.Body}
	return response, nil
}

// limited bounds what is read of an answer.
type limited struct {
	io.Reader
	io.Closer
}

// refuse says why an answer cannot be of an MCP server, or nothing.
func refuse(r *http.Response) string {
	switch code := r.StatusCode; {
	case code >= 300 && code < 400:
		return redirected(r)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fmt.Sprintf("it wants credentials (status %s); the gate has none, let it pass without or use --any-http", r.Status)
	case code == http.StatusNotFound || code == http.StatusMethodNotAllowed:
		return fmt.Sprintf("there is no MCP endpoint at this path (status %s); check the path, usually /mcp", r.Status)
	case code == http.StatusBadGateway || code == http.StatusServiceUnavailable || code == http.StatusGatewayTimeout:
		return fmt.Sprintf("a proxy or the server itself says that it is not ready (status %s)", r.Status)
	case code < 200 || code >= 300:
		if isJSON(r) {
			return "" // it may carry a JSON-RPC error, which says more
		}
		return failed(r)
	case code == http.StatusAccepted || code == http.StatusNoContent:
		return ""
	}
	switch kind := mediaType(r); {
	case kind == "text/html":
		return "it answered with a web page (HTML), not as an MCP server; check host, port and path"
	case kind == "text/event-stream" || isJSON(r):
		return ""
	default:
		return fmt.Sprintf("it answered with %q; an MCP server answers with application/json or text/event-stream", kind)
	}
}

// failed also knows the words with which servers answer HTTP on a port for TLS.
func failed(r *http.Response) string {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<10)) // what cannot be read says nothing
	if r.StatusCode == http.StatusBadRequest && strings.Contains(strings.ToUpper(string(body)), "HTTPS") {
		return "it speaks TLS there; use https:// instead of http://"
	}
	return "it answered with status " + r.Status
}

func redirected(r *http.Response) string {
	target, err := r.Location()
	if err != nil {
		return "it redirects (status " + r.Status + ") to nowhere"
	}
	return fmt.Sprintf("it redirects (status %s) to %s; name the final address instead", r.Status, target.Redacted())
}

func mediaType(r *http.Response) string {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return r.Header.Get("Content-Type")
	}
	return kind
}

func isJSON(r *http.Response) bool { return mediaType(r) == "application/json" }
