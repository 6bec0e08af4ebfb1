package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

const (
	engine      = "/?EIO=4&transport="
	pollRounds  = 4
	maxFrame    = 64 << 10
	openTimeout = 10 * time.Second
)

// origin is what a browser on the page would send.
func (e *examination) origin() string { return e.page.Scheme + "://" + e.page.Host }

// polling opens a session by long polling and uses it over connections of their
// own, which a balancer may send to other servers.
func (e *examination) polling(ctx context.Context) {
	const name = "long polling"
	address := e.at(e.socket) + engine + "polling"
	a, err := e.do(ctx, request{url: address, header: map[string]string{"Origin": e.origin()}})
	if err != nil {
		e.report.find(name, explain(err, e.page))
		return
	}
	sid, f := e.session(a)
	if f != nil {
		e.report.find(name, *f)
		return
	}
	if sid == "" {
		e.report.skip(name, "the server does not offer it (LLMCTL_STUDIO_SOCKETIO_TRANSPORTS)")
		return
	}
	address += "&sid=" + url.QueryEscape(sid)
	for range pollRounds {
		// A heartbeat asks for nothing, but a server that does not know the session refuses it.
		a, err := e.do(ctx, request{method: http.MethodPost, url: address, body: bytes.NewReader([]byte("3")), header: map[string]string{"Origin": e.origin(), "Content-Type": "text/plain;charset=UTF-8"}})
		if err != nil {
			e.report.find(name, explain(err, e.page))
			return
		}
		if a.status != http.StatusOK {
			e.report.find(name, Finding{
				ID: "polling.sticky", Severity: Error, Seen: fmt.Sprintf("a session that was opened by polling is unknown to the next request (%s)", a.shown()),
				Fix:     "Several servers answer in turn. Send a client to the same one (sticky sessions), or offer WebSocket only: LLMCTL_STUDIO_SOCKETIO_TRANSPORTS=websocket.",
				Snippet: snippetSticky,
			})
			return
		}
	}
	// "1" closes the session.
	_, _ = e.do(ctx, request{method: http.MethodPost, url: address, body: bytes.NewReader([]byte("1")), header: map[string]string{"Origin": e.origin()}})
	e.report.pass(name, fmt.Sprintf("a session holds over %d connections", pollRounds+1))
}

// session reads the answer that opens a session; no id: polling is not offered.
func (e *examination) session(a *answer) (sid string, f *Finding) {
	var open struct {
		SID string `json:"sid"`
	}
	if a.status == http.StatusOK && len(a.body) > 1 && a.body[0] == '0' && json.Unmarshal(a.body[1:], &open) == nil && open.SID != "" {
		return open.SID, nil
	}
	var refused struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if a.json(&refused) && refused.Message != "" {
		if a.status == http.StatusForbidden || refused.Code == 4 {
			return "", e.originRefused(refused.Message)
		}
		return "", nil
	}
	return "", &Finding{
		ID: "prefix.socket", Severity: Error, Seen: "there is no realtime endpoint at " + e.prefix + e.socket + "/: " + a.shown(),
		Fix:     "Let the proxy pass " + e.prefix + e.socket + "/ to the Studio; it lies below the API.",
		Snippet: snippetRoutes(e.prefix),
	}
}

func (e *examination) originRefused(why string) *Finding {
	return &Finding{
		ID: "host.origin", Severity: Error, Seen: "the server refuses sockets of pages at " + e.origin() + " (" + why + ")",
		Fix: "Let the proxy keep the host that the browser used, and trust X-Forwarded-Proto and -Host (LLMCTL_STUDIO_PROXY_FIX_ENABLED=true), " +
			"or list the origin in LLMCTL_STUDIO_SOCKETIO_CORS_ALLOWED_ORIGINS.",
		Snippet: snippetHost + "\n" + snippetProto,
	}
}

// websocket checks that an upgrade gets through.
func (e *examination) websocket(ctx context.Context) {
	const name = "WebSocket"
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	status, err := e.upgrade(ctx)
	if err == nil {
		e.report.pass(name, "the upgrade gets through")
		return
	}
	f := Finding{
		ID: "websocket.upgrade", Severity: Error,
		Seen:    fmt.Sprintf("an upgrade to WebSocket was answered with status %d instead of 101; pages fall back to polling", status),
		Fix:     "Let the proxy speak HTTP/1.1 to the Studio and pass Upgrade and Connection.",
		Snippet: snippetUpgrade,
	}
	switch status {
	case http.StatusForbidden:
		f = *e.originRefused("status 403")
	case 0:
		f.ID, f.Seen = "websocket.cut", "an upgrade to WebSocket got no usable answer: "+plain(err)
	}
	e.report.find(name, f)
}

// upgrade opens a WebSocket and waits for the first packet of the server.
func (e *examination) upgrade(ctx context.Context) (status int, err error) {
	target, err := url.Parse(e.at(e.socket) + engine + "websocket")
	if err != nil {
		return 0, err
	}
	target.Scheme = map[string]string{"http": "ws", "https": "wss"}[target.Scheme]
	config := e.tls()
	config.NextProtos = []string{"http/1.1"}
	dialer := ws.Dialer{
		TLSConfig: config, NetDial: e.dial, Timeout: openTimeout,
		Header: ws.HandshakeHeaderHTTP{"Origin": {e.origin()}, "User-Agent": {userAgent}},
	}
	conn, buffered, _, err := dialer.Dial(ctx, target.String())
	if err != nil {
		if e, ok := errors.AsType[ws.StatusError](err); ok {
			return int(e), err
		}
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return 0, err
		}
	}
	var r io.Reader = conn
	if buffered != nil {
		r = io.MultiReader(buffered, conn)
	}
	header, err := ws.ReadHeader(r)
	if err != nil {
		return 0, fmt.Errorf("no packet of the server came: %w", err)
	}
	if header.Length > maxFrame {
		return 0, errors.New("the first packet is too large")
	}
	packet := make([]byte, header.Length)
	if _, err := io.ReadFull(r, packet); err != nil {
		return 0, fmt.Errorf("no packet of the server came: %w", err)
	}
	if len(packet) == 0 || packet[0] != '0' {
		return 0, fmt.Errorf("the first packet is %.40q", packet)
	}
	_ = wsutil.WriteClientText(conn, []byte("1")) // close; the server may be faster
	return http.StatusSwitchingProtocols, nil
}
