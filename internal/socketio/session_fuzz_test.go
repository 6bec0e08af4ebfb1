package socketio

import (
	"net/http/httptest"
	"testing"
	"time"
)

// FuzzSession lets a client say anything over polling: text, attachments in any order, connects, acknowledgements. The
// session may end, but neither panic nor keep more than its limits.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"40", "40/rt,{\"a\":1}", "40\x1e42[\"e\",1]\x1e41", "40\x1e452-[\"e\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]\x1ebAQ==\x1ebAg==",
		"40\x1e451-[\"e\",{\"_placeholder\":true,\"num\":0}]\x1e42[\"x\"]", "bAQ==", "40\x1e451-7[\"e\",{\"_placeholder\":true,\"num\":9}]\x1ebAQ==", "40\x1e430[1]",
		"40\x1e461-0[{\"_placeholder\":true,\"num\":0}]\x1ebAQ==", "40/rt\x1e41/rt\x1e40/rt\x1e42/rt,[\"e\"]", "3\x1e6\x1e40\x1e1", "440{}", "40\x1e40", "42[\"e\"]",
		"40\x1e4517-[\"e\"]", "40\x1e450-[\"e\"]", "40\x1e42[\"connect\"]", "40/\x00,", "5", "0", "\x1e\x1e",
	} {
		f.Add([]byte(seed))
	}
	opts := Options{
		InboxBytes: 4096, InboxEvents: 8, QueueBytes: 4096, QueueFrames: 16, MaxAttachments: 4, MaxNamespaces: 2,
		PingInterval: time.Hour, PingTimeout: time.Hour, ConnectTimeout: time.Hour,
	}
	s, err := New(opts)
	if err != nil {
		f.Fatal(err)
	}
	for _, namespace := range []string{"/", "/rt", "/x"} {
		s.Namespace(namespace, echoHandler())
	}
	f.Cleanup(func() { _ = s.Shutdown(f.Context()) })
	f.Fuzz(func(t *testing.T, body []byte) {
		c := newConn(s, "fuzz", httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
		if !s.remember(c) {
			t.Fatal("no room")
		}
		c.start()
		err := c.receivePayload(body)
		c.mu.Lock()
		if c.partial != nil && c.partial.size > opts.InboxBytes+len(body) {
			t.Errorf("%d bytes of attachments are kept", c.partial.size)
		}
		if len(c.spaces) > 3 || c.bytes > opts.QueueBytes+64 || c.frames > opts.QueueFrames+1 {
			t.Errorf("%d namespaces, %d bytes, %d frames", len(c.spaces), c.bytes, c.frames)
		}
		c.mu.Unlock()
		if err != nil && c.isOpen() {
			c.shut(ReasonParseError, endNotify)
		}
		c.shut(ReasonTransportClose, endAbort)
		if s.lookup("fuzz") != nil {
			t.Error("the session does not end")
		}
	})
}
