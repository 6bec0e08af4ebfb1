package socketio

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// party connects clients by name and gives them with their sockets.
func party(t *testing.T, opts Options, names ...string) (s *Server, peers map[string]*peer, sockets map[string]*Socket) {
	t.Helper()
	r := newRecorder()
	s, url := serve(t, opts, r.mount)
	peers, sockets = map[string]*peer{}, map[string]*Socket{}
	for _, name := range names {
		peers[name], _ = openWebSocket(t, url)
		peers[name].connectNamespace("")
		sockets[name] = receive(t, r.connected)
	}
	return s, peers, sockets
}

func named(t *testing.T, event string) *Message {
	t.Helper()
	m, err := NewMessage("/", event)
	require.NoError(t, err)
	return m
}

func TestBroadcastReachesItsAudienceOnce(t *testing.T) {
	t.Parallel()
	s, peers, sockets := party(t, Options{}, "a", "b", "c")
	require.NoError(t, sockets["a"].Join("x", "y"))
	require.NoError(t, sockets["b"].Join("y", "z"))
	for _, tc := range []struct {
		name     string
		audience Audience
		who      string
	}{
		{"all", Audience{}, "abc"},
		{"one room", Audience{Rooms: []string{"x"}}, "a"},
		{"rooms that overlap", Audience{Rooms: []string{"x", "y", "z"}}, "ab"},
		{"a socket's own room", Audience{Rooms: []string{sockets["c"].ID()}}, "c"},
		{"except a room", Audience{Except: []string{"x"}}, "bc"},
		{"except a socket", Audience{Rooms: []string{"y"}, Except: []string{sockets["b"].ID()}}, "a"},
		{"an empty room", Audience{Rooms: []string{"nobody"}}, ""},
	} {
		require.Equal(t, len(tc.who), s.Broadcast(named(t, tc.name), tc.audience), tc.name)
		for name := range peers {
			require.NoError(t, sockets[name].Emit("end"))
			if strings.Contains(tc.who, name) {
				require.Equal(t, `42["`+tc.name+`"]`, peers[name].text())
			}
			require.Equal(t, `42["end"]`, peers[name].text(), tc.name)
		}
	}
}

func TestRoomsAreLeftAndForgotten(t *testing.T) {
	t.Parallel()
	s, peers, sockets := party(t, Options{MaxRooms: 2}, "a")
	a := sockets["a"]
	require.NoError(t, a.Join("x", "y", "x", a.ID()))
	require.Equal(t, []string{a.ID(), "x", "y"}, a.Rooms())
	require.ErrorIs(t, a.Join("z"), ErrTooManyRooms)
	require.Error(t, a.Join(""))
	require.Error(t, a.Join(strings.Repeat("r", 513)))
	require.ElementsMatch(t, []string{a.ID(), "x", "y"}, s.Rooms("/"))
	a.Leave("x", a.ID(), "never")
	require.Equal(t, []string{a.ID(), "y"}, a.Rooms())
	require.False(t, s.HasRoom("/", "x"))
	require.True(t, s.HasRoom("/", "y"))
	require.True(t, s.HasRoom("/", a.ID()))
	require.False(t, s.HasRoom("/elsewhere", "y"))
	peers["a"].send("41")
	eventually(t, "rooms are empty", func() bool { return len(s.Rooms("/")) == 0 && !s.HasRoom("/", "y") })
	require.ErrorIs(t, a.Join("x"), ErrClosed)
	require.Empty(t, a.Rooms())
	require.Zero(t, s.Broadcast(named(t, "e"), Audience{}))
}

func TestVolatileIsDroppedWhenItCannotGoOutAtOnce(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	s, url := serve(t, Options{}, r.mount)
	p := openPolling(t, url)
	require.Equal(t, "ok", p.post("40").body)
	socket := receive(t, r.connected)
	require.Zero(t, s.BroadcastVolatile(named(t, "lost"), Audience{}), "the reply to the connect is still queued")
	require.Contains(t, p.get().body, "40{")
	require.Zero(t, s.BroadcastVolatile(named(t, "lost"), Audience{}), "no poll waits")
	answer := p.poll(t.Context(), s)
	require.Equal(t, 1, s.BroadcastVolatile(named(t, "heard"), Audience{}))
	require.Equal(t, `42["heard"]`, receive(t, answer).body)
	require.Equal(t, uint64(2), s.Stats().VolatileDrops)
	socket.Disconnect(true)
	_, err := socket.SendVolatile(named(t, "late"))
	require.ErrorIs(t, err, ErrClosed)
}
