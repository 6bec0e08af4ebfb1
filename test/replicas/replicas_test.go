package replicas

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func transports() []string { return []string{"websocket", "polling", "polling,websocket"} }

// bundle is two replicas with two workers each behind a round robin.
type bundle struct {
	database string
	one, two *replica
	balancer *balancer
	base     string
	admin    *api
	chart    int64
	sequence int64
}

func setup(t *testing.T, second ...string) *bundle {
	t.Helper()
	return setupWith(t, pgtest.URI(t), nil, second)
}

func setupWith(t *testing.T, database string, first, second []string) *bundle {
	t.Helper()
	b := &bundle{database: database}
	b.one = serve(t, b.database, first...)
	b.two = serve(t, b.database, second...)
	b.balancer = &balancer{replicas: []*replica{b.one, b.two}}
	b.base = b.balancer.serve(t)
	b.admin = signIn(t, b.base)
	var made struct {
		ID int64 `json:"id"`
	}
	b.admin.call(http.StatusCreated, http.MethodPost, "/api/flowcharts", `{"name":"followed"}`, &made)
	b.chart = made.ID
	b.sequence = b.newest(t)
	return b
}

func (b *bundle) stream() string { return fmt.Sprintf("flowchart:%d", b.chart) }

func (b *bundle) newest(t *testing.T) int64 {
	t.Helper()
	db, err := pgx.Connect(t.Context(), b.database)
	require.NoError(t, err)
	defer func() { _ = db.Close(t.Context()) }()
	var n int64
	require.NoError(t, db.QueryRow(t.Context(), `SELECT coalesce(max(sequence), 0) FROM event WHERE stream = $1`, b.stream()).Scan(&n))
	return n
}

// write makes n events on the stream, each at whichever replica is next.
func (b *bundle) write(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		b.admin.call(http.StatusOK, http.MethodPatch, fmt.Sprintf("/api/flowcharts/%d", b.chart), fmt.Sprintf(`{"name":"n%d-%d"}`, b.sequence, i), nil)
	}
	b.sequence = b.newest(t)
}

type connection struct {
	SID       string   `json:"sid"`
	Worker    string   `json:"worker"`
	Transport string   `json:"transport"`
	Rooms     []string `json:"rooms"`
	Via       string   `json:"via"`
	User      struct {
		Email string `json:"email"`
	} `json:"user"`
	Streams []struct {
		Stream string `json:"stream"`
		Cursor int64  `json:"cursor"`
	} `json:"streams"`
}

type connections struct {
	Items      []connection `json:"items"`
	NextCursor *string      `json:"next_cursor"`
	Mute       []struct{ Worker, Reason string }
}

type status struct {
	Ready   bool `json:"ready"`
	Workers []struct {
		Worker     string `json:"worker"`
		PID        int    `json:"pid"`
		Mute       string `json:"mute"`
		Reason     string `json:"reason"`
		AnsweredBy bool   `json:"answered_by"`
		Hub        struct {
			Bus string `json:"bus"`
		} `json:"hub"`
	} `json:"workers"`
	Totals struct {
		Connections struct{ Websocket, Polling int }
		Latency     struct {
			Count int64   `json:"count"`
			P99   float64 `json:"p99_ms"`
		} `json:"latency"`
	} `json:"totals"`
	Rooms []struct {
		Room    string `json:"room"`
		Members int    `json:"members"`
	} `json:"rooms"`
}

func (b *bundle) status() status {
	b.admin.t.Helper()
	var s status
	b.admin.call(http.StatusOK, http.MethodGet, "/api/realtime/status", "", &s)
	return s
}

// asks are so many that each worker is asked: the replicas take turns, and in a replica
// the kernel chooses. One that has just begun knows those that began after it only with
// its next look at the list.
const asks = 24

// awaitWorkers waits until every worker knows of n workers.
func (b *bundle) awaitWorkers(t *testing.T, n int) status {
	t.Helper()
	var s status
	require.Eventually(t, func() bool {
		for range asks {
			if s = b.status(); len(s.Workers) != n || !s.Ready {
				return false
			}
		}
		return true
	}, patience, 100*time.Millisecond, "%+v", &s)
	return s
}

func TestSessionsNeedNoStickyRoutingBetweenReplicas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.admin.newKey()
	var all []*follower
	for range 2 {
		for _, transport := range transports() {
			all = append(all, follow(t, b.base, key, transport, b.stream()))
		}
	}
	for _, f := range all {
		f.subscribed()
	}
	before := b.sequence
	b.write(t, 20)
	for _, f := range all {
		f.hears(before+1, b.sequence)
		require.Zero(t, f.breaks, "%s client", f.transport)
		for n, times := range f.heard {
			require.Equal(t, 1, times, "%s client, event %d", f.transport, n)
		}
		if f.transport == "polling,websocket" && !f.upgraded {
			f.until("upgrade", func(line) bool { return f.upgraded })
		}
	}
	b.tellsEverything(t, all)
	b.staysWholeWhenAReplicaIsKilled(t, all)
}

// tellsEverything asks any worker about all.
func (b *bundle) tellsEverything(t *testing.T, all []*follower) {
	t.Helper()
	s := b.awaitWorkers(t, 4)
	require.Equal(t, len(all), s.Totals.Connections.Websocket+s.Totals.Connections.Polling)
	require.Equal(t, 2, s.Totals.Connections.Polling)
	require.GreaterOrEqual(t, s.Totals.Latency.Count, int64(20*len(all)))
	require.Positive(t, s.Totals.Latency.P99)
	require.Equal(t, b.stream(), s.Rooms[0].Room)
	require.Equal(t, len(all), s.Rooms[0].Members)

	found, cursor := map[string]connection{}, ""
	for pages := 0; ; pages++ {
		var page connections
		b.admin.call(http.StatusOK, http.MethodGet, "/api/realtime/connections?limit=4&room="+b.stream()+"&cursor="+cursor, "", &page)
		require.Empty(t, page.Mute)
		for _, c := range page.Items {
			require.NotContains(t, found, c.SID)
			found[c.SID] = c
		}
		if page.NextCursor == nil {
			require.Equal(t, 1, pages)
			break
		}
		cursor = *page.NextCursor
	}
	for _, f := range all {
		c := found[f.sid]
		require.Equal(t, []string{b.stream()}, c.Rooms)
		require.Equal(t, email, c.User.Email)
		require.Equal(t, "api_key", c.Via)
		require.Equal(t, b.stream(), c.Streams[0].Stream)
		require.Equal(t, b.sequence, c.Streams[0].Cursor)
	}
	b.disconnects(t, all[0])
}

func (b *bundle) disconnects(t *testing.T, f *follower) {
	t.Helper()
	path, sid := "/api/realtime/connections/"+f.sid, f.sid
	b.admin.call(http.StatusOK, http.MethodGet, path, "", nil)
	b.admin.call(http.StatusNoContent, http.MethodPost, path+"/disconnect", "", nil)
	f.until("return", func(line) bool { return f.sid != sid })
	require.True(t, f.reasons["disconnected"])
	f.subscribed()
	path, sid = "/api/realtime/connections/"+f.sid, f.sid
	b.admin.call(http.StatusNoContent, http.MethodPost, path+"/disconnect", `{"reconnect":false}`, nil)
	f.until("DISCONNECT", func(l line) bool { return l.Disconnect == "io server disconnect" })
	f.until("return", func(line) bool { return f.sid != sid })
	f.subscribed()
	b.admin.call(http.StatusNotFound, http.MethodGet, path, "", nil)
	var audit struct {
		Items []struct {
			EntityID string `json:"entity_id"`
		} `json:"items"`
	}
	b.admin.call(http.StatusOK, http.MethodGet, "/api/audit-events?action=realtime.connection_disconnected", "", &audit)
	require.Len(t, audit.Items, 2)
	require.Equal(t, sid, audit.Items[0].EntityID)
}

func (b *bundle) staysWholeWhenAReplicaIsKilled(t *testing.T, all []*follower) {
	t.Helper()
	before := b.sequence
	b.write(t, 5)
	killed := time.Now()
	b.one.kill()
	b.admin.base = "http://" + b.two.address // a write that met the kill would fail, as it should
	b.write(t, 20)
	for _, f := range all {
		f.hears(before+1, b.sequence)
	}
	t.Logf("all clients heard everything %s after the kill", time.Since(killed).Round(time.Millisecond))
	// The workers of the dead one leave the list, or are told of as mute until they do.
	var s status
	require.Eventually(t, func() bool {
		s = b.status()
		alive := 0
		for _, w := range s.Workers {
			if w.Mute == "" {
				alive++
			}
		}
		return alive == 2 && s.Totals.Connections.Websocket+s.Totals.Connections.Polling >= len(all)
	}, patience, 200*time.Millisecond, "%+v", &s)
}

func TestAWorkerThatDoesNotAnswerIsToldOf(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stopped := b.awaitWorkers(t, 4).Workers[3]
	require.NoError(t, syscall.Kill(stopped.PID, syscall.SIGSTOP))
	defer func() { require.NoError(t, syscall.Kill(stopped.PID, syscall.SIGCONT)) }()
	since := time.Now()
	s := b.status()
	require.Less(t, time.Since(since), 5*time.Second)
	require.False(t, s.Ready)
	require.Len(t, s.Workers, 4)
	for _, w := range s.Workers {
		if w.Worker == stopped.Worker {
			require.NotEmpty(t, w.Mute)
		} else {
			require.Empty(t, w.Mute)
		}
	}
	var page connections
	b.admin.call(http.StatusOK, http.MethodGet, "/api/realtime/connections", "", &page)
	require.Len(t, page.Mute, 1)
	require.Equal(t, stopped.Worker, page.Mute[0].Worker)
	b.admin.call(http.StatusServiceUnavailable, http.MethodGet, "/api/realtime/connections/unknown", "", nil)
}

func TestAReplicaWithoutAMasterTakesPart(t *testing.T) {
	t.Parallel()
	b := setup(t, "LLMCTL_STUDIO_USE_GUNICORN=false")
	key := b.admin.newKey()
	var all []*follower
	for range 3 {
		for _, transport := range transports() {
			all = append(all, follow(t, b.base, key, transport, b.stream()))
		}
	}
	for _, f := range all {
		f.subscribed()
	}
	before := b.sequence
	b.write(t, 5)
	for _, f := range all {
		f.hears(before+1, b.sequence)
		require.Zero(t, f.breaks, "%s client", f.transport)
	}
	b.awaitWorkers(t, 3)
}

func TestAccessEndsOnEveryReplicaWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	followers := func(key string) []*follower {
		var out []*follower
		for range 2 {
			for _, transport := range transports() {
				f := follow(t, b.base, key, transport, b.stream())
				f.subscribed()
				out = append(out, f)
			}
		}
		return out
	}
	ends := func(list []*follower, since time.Time, within time.Duration) {
		t.Helper()
		for _, f := range list {
			f.until("DISCONNECT", func(l line) bool { return l.Disconnect == "io server disconnect" })
			require.Less(t, time.Since(since), within, "%s client", f.transport)
			require.True(t, f.reasons["revoked"])
			l := f.until("refusal", func(l line) bool { return l.ConnectError != "" })
			require.Equal(t, "unauthenticated", l.Data.Code)
			require.Less(t, time.Since(since), within, "%s client, until it is refused", f.transport)
		}
	}
	told, kept := followers(b.keyOf()), followers(b.keyOf())
	var keys struct {
		Items []struct {
			ID int64 `json:"id"`
		} `json:"items"`
	}
	b.admin.call(http.StatusOK, http.MethodGet, "/api/api-keys", "", &keys)
	require.Len(t, keys.Items, 2)
	since := time.Now()
	b.admin.call(http.StatusNoContent, http.MethodDelete, fmt.Sprintf("/api/api-keys/%d", keys.Items[1].ID), "", nil)
	ends(told, since, 5*time.Second)

	unheard := followers(b.keyOf())
	db, err := pgx.Connect(t.Context(), b.database)
	require.NoError(t, err)
	defer func() { _ = db.Close(t.Context()) }()
	since = time.Now()
	done, err := db.Exec(t.Context(), `UPDATE api_key SET revoked_at = now() WHERE id = (SELECT max(id) FROM api_key)`) // nobody says so
	require.NoError(t, err)
	require.EqualValues(t, 1, done.RowsAffected())
	ends(unheard, since, 5*time.Second)

	before := b.sequence
	b.write(t, 3)
	for _, f := range kept {
		f.hears(before+1, b.sequence)
		require.Zero(t, f.breaks, "whose key counts stays")
	}
}

func (b *bundle) keyOf() string {
	key := b.admin.newKey()
	return key
}

func TestTheInternalListenerTakesNoForwardsOfStrangers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	worker := b.awaitWorkers(t, 4).Workers[0].Worker
	a := &api{t: t, client: b.admin.client}
	for _, r := range []*replica{b.one, b.two} {
		a.base = "http://" + r.internal
		for _, path := range []string{"/realtime/status", "/sessions/?EIO=4&transport=polling", "/debug/pprof/cmdline"} {
			code, raw := a.try(http.MethodGet, "/relay/"+worker+path, "")
			require.Equal(t, http.StatusUnauthorized, code, "%s", raw)
		}
	}
	// A session of nobody is unknown everywhere, at once.
	since := time.Now()
	code, raw := b.admin.try(http.MethodGet, "/api/socket.io/?EIO=4&transport=polling&sid="+strings.Repeat("A", 12)+".x", "")
	require.Equal(t, http.StatusBadRequest, code)
	var answer struct {
		Code int `json:"code"`
	}
	require.NoError(t, json.Unmarshal(raw, &answer))
	require.Equal(t, 1, answer.Code)
	require.Less(t, time.Since(since), 5*time.Second)
}
