package socketio

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

func raw(values ...string) []json.RawMessage {
	out := []json.RawMessage{}
	for _, v := range values {
		out = append(out, json.RawMessage(v))
	}
	return out
}

func TestDecodePacket(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]packet{
		`0`:                     {kind: packetConnect, namespace: "/"},
		`0{"a":1}`:              {kind: packetConnect, namespace: "/", auth: json.RawMessage(`{"a":1}`)},
		`0/rt`:                  {kind: packetConnect, namespace: "/rt"},
		`0/rt,{"a":1}`:          {kind: packetConnect, namespace: "/rt", auth: json.RawMessage(`{"a":1}`)},
		`1`:                     {kind: packetDisconnect, namespace: "/"},
		`1/rt,`:                 {kind: packetDisconnect, namespace: "/rt"},
		`2["e"]`:                {kind: packetEvent, namespace: "/", name: "e", args: raw()},
		`2/rt,12["e",1,[2],{}]`: {kind: packetEvent, namespace: "/rt", id: 12, hasID: true, name: "e", args: raw("1", "[2]", "{}")},
		`2[""]`:                 {kind: packetEvent, namespace: "/", args: raw()},
		`2["\u00e9 \n"]`:        {kind: packetEvent, namespace: "/", name: "é \n", args: raw()},
		`30[]`:                  {kind: packetAck, namespace: "/", hasID: true, args: raw()},
		`3/rt,7["x"]`:           {kind: packetAck, namespace: "/rt", id: 7, hasID: true, args: raw(`"x"`)},
		`52-/rt,3["e"]`:         {kind: packetBinaryEvent, attachments: 2, namespace: "/rt", id: 3, hasID: true, name: "e", args: raw()},
		`61-4[1]`:               {kind: packetBinaryAck, attachments: 1, namespace: "/", id: 4, hasID: true, args: raw("1")},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, err := decodePacket([]byte(text), 16)
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
	for _, text := range []string{
		``, `9`, `a`, `0"x"`, `0[]`, `0{`, `00`, `1x`, `1{}`, `2`, `2{}`, `2[]`, `2[1]`, `2[null]`, `2["e"`, `2["e"]x`, `2x["e"]`,
		`2["disconnect"]`, `3[]`, `31`, `31{}`, `4{}`, `5["e"]`, `5-["e"]`, `5a-["e"]`, `517-["e"]`, `599999999999999999999-["e"]`,
		`2` + strings.Repeat("1", 19) + `["e"]`, `0/` + strings.Repeat("n", 300),
	} {
		t.Run("not "+text[:min(len(text), 20)], func(t *testing.T) {
			t.Parallel()
			_, err := decodePacket([]byte(text), 16)
			require.Error(t, err)
		})
	}
}

func TestNewMessage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		namespace, event string
		args             []json.RawMessage
		want             string
	}{
		{"/", "e", nil, `42["e"]`},
		{"/rt", `quote " and <tag>`, raw("1", `{"a":[]}`), `42/rt,["quote \" and <tag>",1,{"a":[]}]`},
	} {
		m, err := NewMessage(tc.namespace, tc.event, tc.args...)
		require.NoError(t, err)
		require.Equal(t, tc.want, string(m.frames[0].payload()))
		require.Equal(t, tc.namespace, m.Namespace())
		require.Equal(t, tc.event, m.Event())
		require.Equal(t, len(tc.want)+2, m.Size())
	}
	for name, build := range map[string]func() (*Message, error){
		"argument is not JSON":       func() (*Message, error) { return NewMessage("/", "e", json.RawMessage(`{`)) },
		"argument is missing":        func() (*Message, error) { return NewMessage("/", "e", nil) },
		"reserved name":              func() (*Message, error) { return NewMessage("/", "disconnect") },
		"namespace without slash":    func() (*Message, error) { return NewMessage("rt", "e") },
		"namespace with a comma":     func() (*Message, error) { return NewMessage("/a,b", "e") },
		"namespace with a separator": func() (*Message, error) { return NewMessage("/a\x1e", "e") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := build()
			require.Error(t, err)
		})
	}
}

func TestFramesAreWhatAnyReaderExpects(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 125, 126, 65_535, 65_536} {
		f := newFrame(ws.OpBinary, bytes.Repeat([]byte{7}, size))
		header, err := ws.ReadHeader(bytes.NewReader(f.data))
		require.NoError(t, err)
		require.Equal(t, ws.Header{Fin: true, OpCode: ws.OpBinary, Length: int64(size)}, header)
		require.Len(t, f.payload(), size)
		require.Len(t, f.appendPolling(nil), f.pollingSize())
	}
}

func TestNamespacePanicsOnMisuse(t *testing.T) {
	t.Parallel()
	s, err := New(Options{})
	require.NoError(t, err)
	s.Namespace("/rt", Handler{})
	require.Panics(t, func() { s.Namespace("/rt", Handler{}) })
	require.Panics(t, func() { s.Namespace("rt", Handler{}) })
}

func TestMountAtTheRoot(t *testing.T) {
	t.Parallel()
	s, err := New(Options{})
	require.NoError(t, err)
	echoEngine(s)
	mux := http.NewServeMux()
	s.Mount(mux, "/")
	url := listen(t, &http.Server{Handler: mux, ReadHeaderTimeout: patience})
	t.Cleanup(func() { require.NoError(t, s.Shutdown(context.Background())) })
	openPolling(t, url)
	require.Equal(t, http.StatusNotFound, do(t, http.MethodGet, url+"x?EIO=4&transport=polling", "").status)
}

func FuzzDecodePacket(f *testing.F) {
	for _, seed := range []string{
		`0`, `0/rt,{"a":1}`, `1/rt`, `2["e",1]`, `2/rt,12["e",{}]`, `30[]`, `52-/rt,3["e",{"_placeholder":true,"num":0}]`, `61-4[1]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := decodePacket(text, 4)
		if err != nil {
			return
		}
		if p.attachments > 4 || len(p.namespace) > maxNamespaceLength || p.namespace[0] != '/' {
			t.Fatalf("limits are not kept: %+v", p)
		}
		for _, arg := range p.args {
			if !json.Valid(arg) {
				t.Fatalf("argument %q is not JSON", arg)
			}
		}
		if p.kind != packetEvent || checkNamespace(p.namespace) != nil {
			return
		}
		// What was understood can be said again and is understood the same way.
		frames, err := encodeEvent(packet{kind: p.kind, namespace: p.namespace, id: p.id, hasID: p.hasID}, p.name, p.args, nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodePacket(frames[0].payload()[1:], 4)
		if err != nil || again.name != p.name || again.id != p.id || len(again.args) != len(p.args) {
			t.Fatalf("%+v became %+v: %v", p, again, err)
		}
	})
}

func FuzzDecodePayload(f *testing.F) {
	for _, seed := range []string{"4hello", "4a\x1ebAQIDBA==\x1e3", "", "\x1e", "b", "b=", "1", "6"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var frames []frame
		for p, err := range decodePayload(body) {
			if err != nil {
				return
			}
			if p.binary {
				frames = append(frames, newFrame(ws.OpBinary, p.data))
			} else {
				frames = append(frames, newFrame(ws.OpText, []byte{p.kind}, p.data))
			}
		}
		var again int
		for _, err := range decodePayload(joinPolling(frames)) {
			if err != nil {
				t.Fatalf("own payload of %q: %v", body, err)
			}
			again++
		}
		if again != len(frames) {
			t.Fatalf("%d packets became %d", len(frames), again)
		}
	})
}

func FuzzInlineAttachments(f *testing.F) {
	f.Add([]byte(`[{"_placeholder":true,"num":0}]`))
	f.Add([]byte(`{"_placeholder":true,"num":1.5}`))
	f.Fuzz(func(t *testing.T, arg []byte) {
		if !json.Valid(arg) {
			return
		}
		out, err := inlineAttachments([]json.RawMessage{arg}, [][]byte{{1}})
		if err == nil && !json.Valid(out[0]) {
			t.Fatalf("%q became %q", arg, out[0])
		}
	})
}

// FuzzDecodeWebSocket feeds raw bytes to the frame reader, which must neither panic nor exceed its limit.
func FuzzDecodeWebSocket(f *testing.F) {
	var buf bytes.Buffer
	_ = ws.WriteFrame(&buf, ws.MaskFrame(ws.NewTextFrame([]byte("4hello"))))
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		l := &link{source: source{ready: data, conn: spent{}}, limit: 100, received: new(atomic.Uint64)}
		for {
			_, message, err := l.next()
			if err != nil {
				return
			}
			if len(message) > 125 {
				t.Fatalf("message of %d bytes", len(message))
			}
		}
	})
}

// spent is a connection whose peer has gone.
type spent struct{ net.Conn }

func (spent) Read([]byte) (int, error) { return 0, io.EOF }
