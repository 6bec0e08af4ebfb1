package socketio

import (
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

func probe(t *testing.T, url string, p *poller) *peer {
	t.Helper()
	w := dial(t, url, "?EIO=4&transport=websocket&sid="+p.sid)
	w.send("2probe")
	require.Equal(t, "3probe", w.text())
	return w
}

func transportOf(s *Server, sid string) string {
	if c := s.lookup(sid); c != nil {
		return c.transport()
	}
	return ""
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	s, url := serve(t, Options{}, echoEngine)

	t.Run("a waiting poll is ended, and the session moves", func(t *testing.T) {
		t.Parallel()
		p := openPolling(t, url)
		waiting := p.poll(t.Context(), s)
		w := probe(t, url, p)
		require.Equal(t, "6", receive(t, waiting).body)
		w.send("5", "4hello")
		require.Equal(t, "4hello", w.text())
		require.Equal(t, TransportWebSocket, transportOf(s, p.sid))
	})
	t.Run("a poll after the probe is ended", func(t *testing.T) {
		t.Parallel()
		p := openPolling(t, url)
		probe(t, url, p)
		require.Equal(t, "6", p.get().body)
		require.Equal(t, TransportPolling, transportOf(s, p.sid))
	})
	t.Run("what is queued leaves on the websocket, in order", func(t *testing.T) {
		t.Parallel()
		p := openPolling(t, url)
		w := probe(t, url, p)
		require.Equal(t, http.StatusOK, p.post("4one\x1ebAg==\x1e4three").status)
		w.send("5", "4four")
		require.Equal(t, "4one", w.text())
		require.Equal(t, []byte{2}, w.binary())
		require.Equal(t, "4three", w.text())
		require.Equal(t, "4four", w.text())
	})
	t.Run("polling is over afterwards", func(t *testing.T) {
		t.Parallel()
		p := openPolling(t, url)
		w := probe(t, url, p)
		w.send("5", "4hello")
		require.Equal(t, "4hello", w.text())
		require.Equal(t, http.StatusBadRequest, p.get().status)
		require.Equal(t, http.StatusBadRequest, p.post("4x").status)
		w.send("4alive")
		require.Equal(t, "4alive", w.text())
	})
	t.Run("a poll that is held when the session moves is refused", func(t *testing.T) {
		t.Parallel()
		p := openPolling(t, url)
		w := probe(t, url, p)
		waiting := p.poll(t.Context(), s)
		w.send("5")
		// The hold may just have ended before the packet came.
		if got := receive(t, waiting); got.status == http.StatusOK {
			require.Equal(t, "6", got.body)
		} else {
			require.Equal(t, http.StatusBadRequest, got.status)
		}
		w.send("4hello")
		require.Equal(t, "4hello", w.text())
	})
	t.Run("a second websocket is closed, the first lives", func(t *testing.T) {
		t.Parallel()
		p := openPolling(t, url)
		w := probe(t, url, p)
		early := dial(t, url, "?EIO=4&transport=websocket&sid="+p.sid)
		require.Equal(t, ws.StatusPolicyViolation, early.closed())
		w.send("5", "4hello")
		require.Equal(t, "4hello", w.text())
		late := dial(t, url, "?EIO=4&transport=websocket&sid="+p.sid)
		require.Equal(t, ws.StatusPolicyViolation, late.closed())
		w.send("4alive")
		require.Equal(t, "4alive", w.text())
	})
	for name, texts := range map[string][]string{
		"wrong probe":             {"2prob"},
		"message before upgrade":  {"2probe", "4hello"},
		"upgrade without a probe": {"5"},
	} {
		t.Run(name+" leaves polling alone", func(t *testing.T) {
			t.Parallel()
			p := openPolling(t, url)
			w := dial(t, url, "?EIO=4&transport=websocket&sid="+p.sid)
			w.send(texts...)
			w.closed()
			require.Equal(t, http.StatusOK, p.post("4hello").status)
			require.Equal(t, "4hello", p.get().body)
			require.Equal(t, "4again", func() string {
				next := probe(t, url, p)
				next.send("5", "4again")
				return next.text()
			}())
		})
	}
	t.Run("unknown session", func(t *testing.T) {
		t.Parallel()
		_, err := tryDial(t, url, "?EIO=4&transport=websocket&sid=nobody", nil)
		require.Error(t, err)
	})
	t.Run("session that ends meanwhile", func(t *testing.T) {
		t.Parallel()
		p := openPolling(t, url)
		w := probe(t, url, p)
		require.Equal(t, http.StatusOK, p.post("1").status)
		w.closed()
	})
}

// TestTheTimeForOneWriteIsNotLeftToTheNextOnes: what answers the probe has a deadline, and a socket keeps the deadline that
// it was given for writes that set none.
func TestTheTimeForOneWriteIsNotLeftToTheNextOnes(t *testing.T) {
	t.Parallel()
	const limit = 100 * time.Millisecond
	_, url := serve(t, Options{WriteTimeout: limit}, echoEngine)
	p := openPolling(t, url)
	w := probe(t, url, p)
	w.send("5", "4moved")
	require.Equal(t, "4moved", w.text())
	<-time.After(2 * limit)
	w.send("4later")
	require.Equal(t, "4later", w.text())
}

func TestUpgradeTimeout(t *testing.T) {
	t.Parallel()
	s, url := serve(t, Options{UpgradeTimeout: 50 * time.Millisecond}, echoEngine)
	p := openPolling(t, url)
	w := probe(t, url, p)
	w.closed()
	eventually(t, "failure is counted", func() bool { return s.Stats().UpgradeFailures == 1 })
	require.Equal(t, http.StatusOK, p.post("4hello").status)
	require.Equal(t, "4hello", p.get().body)
}
