package socketio

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, time.Millisecond, what)
}

// webClient makes requests on connections of its own.
func webClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

type reply struct {
	status int
	body   string
	header http.Header
}

func request(ctx context.Context, client *http.Client, method, url, body string, header http.Header) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	maps.Copy(req.Header, header)
	resp, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, string(text), resp.Header}, err
}

func do(t *testing.T, method, url, body string) reply {
	t.Helper()
	got, err := request(t.Context(), webClient(t), method, url, body, nil)
	require.NoError(t, err)
	return got
}

type terms struct {
	SID          string   `json:"sid"`
	Upgrades     []string `json:"upgrades"`
	PingInterval int      `json:"pingInterval"`
	PingTimeout  int      `json:"pingTimeout"`
	MaxPayload   int      `json:"maxPayload"`
}

func parseOpen(t *testing.T, packet string) terms {
	t.Helper()
	require.True(t, strings.HasPrefix(packet, "0"), packet)
	var got terms
	dec := json.NewDecoder(strings.NewReader(packet[1:]))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&got))
	return got
}

// poller is a polling client.
type poller struct {
	t      *testing.T
	client *http.Client
	url    string
	sid    string
}

func openPolling(t *testing.T, url string) *poller {
	t.Helper()
	p := &poller{t: t, client: webClient(t), url: url + "?EIO=4&transport=polling"}
	got := p.get()
	require.Equal(t, http.StatusOK, got.status, got.body)
	p.sid = parseOpen(t, got.body).SID
	p.url += "&sid=" + p.sid
	return p
}

func (p *poller) get() reply {
	p.t.Helper()
	got, err := request(p.t.Context(), p.client, http.MethodGet, p.url, "", nil)
	require.NoError(p.t, err)
	return got
}

func (p *poller) post(body string) reply {
	p.t.Helper()
	got, err := request(p.t.Context(), p.client, http.MethodPost, p.url, body, nil)
	require.NoError(p.t, err)
	return got
}

// poll starts a GET and returns when the server holds it.
func (p *poller) poll(ctx context.Context, s *Server) <-chan reply {
	p.t.Helper()
	answered := make(chan reply, 1)
	go func() {
		got, err := request(ctx, p.client, http.MethodGet, p.url, "", nil)
		if err != nil {
			got.body = err.Error()
		}
		answered <- got
	}()
	eventually(p.t, "poll is held", func() bool {
		c := s.lookup(p.sid)
		if c == nil {
			return false
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.poll != nil
	})
	return answered
}

func (p *poller) gone(s *Server) {
	p.t.Helper()
	eventually(p.t, "session is gone", func() bool { return s.lookup(p.sid) == nil })
	require.Equal(p.t, http.StatusBadRequest, p.get().status)
}

func receive[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		require.Fail(t, "nothing came")
		panic("unreachable")
	}
}

// peer is a raw WebSocket client.
type peer struct {
	t      *testing.T
	conn   net.Conn
	reader *bufio.Reader
}

func dial(t *testing.T, url, query string) *peer {
	t.Helper()
	p, err := tryDial(t, url, query, nil)
	require.NoError(t, err)
	return p
}

func tryDial(t *testing.T, url, query string, header http.Header) (*peer, error) {
	t.Helper()
	dialer := ws.Dialer{Timeout: patience, Header: ws.HandshakeHeaderHTTP(header)}
	conn, early, _, err := dialer.Dial(t.Context(), strings.Replace(url, "http", "ws", 1)+query)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	reader := bufio.NewReader(conn)
	if early != nil {
		reader = bufio.NewReader(io.MultiReader(early, conn))
	}
	return &peer{t: t, conn: conn, reader: reader}, nil
}

// openWebSocket returns a client that has read the open packet.
func openWebSocket(t *testing.T, url string) (*peer, terms) {
	t.Helper()
	p := dial(t, url, "?EIO=4&transport=websocket")
	return p, parseOpen(t, p.text())
}

func (p *peer) frame(f ws.Frame) {
	p.t.Helper()
	var buf bytes.Buffer
	require.NoError(p.t, ws.WriteFrame(&buf, ws.MaskFrame(f)))
	_, err := p.conn.Write(buf.Bytes())
	require.NoError(p.t, err)
}

func (p *peer) send(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		p.frame(ws.NewTextFrame([]byte(text)))
	}
}

func (p *peer) sendBinary(data ...byte) {
	p.t.Helper()
	p.frame(ws.NewBinaryFrame(data))
}

func (p *peer) next() (ws.OpCode, []byte, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, nil, err
	}
	header, err := ws.ReadHeader(p.reader)
	if err != nil {
		return 0, nil, err
	}
	body := make([]byte, header.Length)
	_, err = io.ReadFull(p.reader, body)
	return header.OpCode, body, err
}

func (p *peer) text() string {
	p.t.Helper()
	op, body, err := p.next()
	require.NoError(p.t, err)
	require.Equal(p.t, ws.OpText, op, "%q", body)
	return string(body)
}

func (p *peer) binary() []byte {
	p.t.Helper()
	op, body, err := p.next()
	require.NoError(p.t, err)
	require.Equal(p.t, ws.OpBinary, op, "%q", body)
	return body
}

// closed reads until the connection ends and returns the code of the close frame, 0 without one.
func (p *peer) closed() ws.StatusCode {
	p.t.Helper()
	var code ws.StatusCode
	for {
		op, body, err := p.next()
		if err != nil {
			timeout, ok := err.(net.Error) //nolint:errorlint // straight from the connection
			require.False(p.t, ok && timeout.Timeout(), "connection was not closed")
			return code
		}
		if op == ws.OpClose {
			code, _ = ws.ParseCloseFrameData(body)
			_ = ws.WriteFrame(p.conn, ws.MaskFrame(ws.NewCloseFrame(body))) // the other side may have gone
		}
	}
}

// connectNamespace connects and returns the socket's id.
func (p *peer) connectNamespace(prefix string) string {
	p.t.Helper()
	p.send("40" + prefix)
	got := p.text()
	require.True(p.t, strings.HasPrefix(got, "40"+prefix+"{"), got)
	var body struct {
		SID string `json:"sid"`
	}
	require.NoError(p.t, json.Unmarshal([]byte(got[2+len(prefix):]), &body))
	require.NotEmpty(p.t, body.SID)
	return body.SID
}

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }
