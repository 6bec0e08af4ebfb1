package realtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/bus/bustest"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/realtime"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// The chaos test: many writers append to several streams in concurrent
// transactions, some of which are rolled back; hints are lost, doubled and
// reordered; clients come, go and come back, losing what was under way to them.
// Each client must have seen, of every whole-stream room of its, exactly the log.

const (
	chaosWriters = 6
	chaosCommits = 40
	chaosClients = 6
	chaosStreams = 6
)

// chaotic loses, doubles and reorders hints.
func chaotic(b bus.Bus, seed uint64) bus.Bus {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
	var later []bus.Hint
	return filtered{Bus: b, through: func(h bus.Hint, hand func(bus.Hint)) {
		mu.Lock()
		defer mu.Unlock()
		switch random.IntN(10) {
		case 0, 1:
		case 2:
			h.Envelope = nil
			hand(h)
		case 3:
			hand(h)
			later = append(later, h)
		case 4, 5:
			later = append(later, h)
		default:
			hand(h)
		}
		for len(later) > 0 && random.IntN(3) == 0 {
			i := random.IntN(len(later))
			hand(later[i])
			later = append(later[:i], later[i+1:]...)
		}
	}}
}

// node is a process of the installation under test.
type node struct {
	hub *realtime.Hub
	log *event.Log
}

func TestChaosOneHub(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	b := bus.NewMemory()
	bustest.Start(t, b)
	chaos(t, db, []node{startNode(t, db, b, chaotic(b, 1))})
}

func TestChaosTwoHubsOverPostgres(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	var nodes []node
	for i := range 2 {
		b := bus.NewPostgres(db, bus.PostgresOptions{})
		bustest.Start(t, b)
		nodes = append(nodes, startNode(t, db, b, chaotic(b, uint64(i+2))))
	}
	chaos(t, db, nodes)
}

func TestTwoHubsOverPostgresNeedNoSweep(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	var bundles []*bundle
	for range 2 {
		b := bus.NewPostgres(db, bus.PostgresOptions{})
		bustest.Start(t, b)
		hub, _ := startHub(t, realtime.Options{DB: db, Bus: b, Encode: encode, Authorize: allowAll, SweepInterval: time.Hour})
		bundles = append(bundles, &bundle{db: db, bus: b, hub: hub, log: event.NewLog(b, time.Now)})
	}
	c := bundles[1].connect(t, "s1")
	c.subscribe(t, m{"rooms": []string{"task:1"}})
	for i := range 20 {
		bundles[0].commit(t, "task:1")
		c.expect(t, "task:1", int64(i+1))
	}
	require.Zero(t, bundles[1].hub.Status().FromLog)
}

func startNode(t *testing.T, db *postgres.DB, b, heard bus.Bus) node {
	t.Helper()
	hub, _ := startHub(t, realtime.Options{
		DB: db, Bus: heard, Encode: encode, Authorize: allowAll, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		SweepInterval: 50 * time.Millisecond, PositionInterval: 20 * time.Millisecond, CursorIdle: 30 * time.Millisecond,
		PageEvents: 7,
	})
	return node{hub: hub, log: event.NewLog(b, time.Now)}
}

func chaos(t *testing.T, db *postgres.DB, nodes []node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var written atomic.Bool
	var clients, writers sync.WaitGroup
	all := make([]*wanderer, chaosClients)
	var ready sync.WaitGroup
	for i := range all {
		all[i] = newWanderer(uint64(i), nodes)
		ready.Add(1)
		clients.Go(func() { all[i].wander(ctx, sync.OnceFunc(ready.Done), db, &written) })
	}
	ready.Wait() // everyone sees the log from its beginning
	for i := range chaosWriters {
		writers.Go(func() { write(ctx, uint64(i), db, nodes) })
	}
	writers.Wait()
	written.Store(true)
	clients.Wait()
	reconnects := 0
	for _, w := range all {
		require.NoError(t, w.err, "client %d", w.number)
		reconnects += w.connections
	}
	require.Greater(t, reconnects, chaosClients, "somebody came back")
	require.NoError(t, ctx.Err())
}

var errRollback = errors.New("rolled back on purpose") //nolint:gochecknoglobals // a sentinel

func write(ctx context.Context, seed uint64, db *postgres.DB, nodes []node) {
	random := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // a test
	for range chaosCommits {
		log := nodes[random.IntN(len(nodes))].log
		err := db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
			// An early id, so that transactions end in another order than they began.
			if _, err := tx.Exec(ctx, `SELECT pg_current_xact_id(), pg_sleep($1)`, float64(random.IntN(10))/1000); err != nil {
				return err
			}
			for range 1 + random.IntN(3) {
				run := 1 + random.IntN(chaosStreams)
				if err := log.Append(tx, draft(fmt.Sprintf("flowchart_run:%d", run), fmt.Sprintf("flowchart:%d", run%2+1), "studio")); err != nil {
					return err
				}
			}
			if random.IntN(5) == 0 {
				return errRollback
			}
			return nil
		})
		if err != nil && !errors.Is(err, errRollback) {
			return // the clients will miss what was to be written and say so
		}
	}
}

// wanderer is a client as the contract wants it: it remembers a position per
// room and the last number per stream, and comes back with them.
type wanderer struct {
	number      uint64
	nodes       []node
	random      *rand.Rand
	rooms       []string
	position    map[string]string // by room: up to where it was served
	last        map[string]int64  // by stream
	connections int
	err         error

	// of the current connection
	pipe    *pipe
	session *realtime.Session
	joined  map[string]bool
	got     map[string]bool // stream/number; nothing may come twice
	again   bool            // a room was left and joined again here, so things may
}

func newWanderer(number uint64, nodes []node) *wanderer {
	w := &wanderer{
		number: number, nodes: nodes, random: rand.New(rand.NewPCG(number, 3)), //nolint:gosec // a test
		position: map[string]string{}, last: map[string]int64{},
	}
	// Rooms of a client share no stream, so that each can be checked by itself.
	if number%2 == 0 {
		w.rooms = []string{"flowchart:1", "flowchart_run:1", "flowchart_run:3"}
	} else {
		w.rooms = []string{"flowchart:2", "flowchart_run:2"}
	}
	return w
}

// roomOf gives the client's room that brings e: runs with an even number are in
// flowchart:1, the others in flowchart:2.
func (w *wanderer) roomOf(e event.Envelope) string {
	for _, room := range w.rooms {
		for _, key := range e.RoomKeys {
			if key == room {
				return room
			}
		}
	}
	return ""
}

func (w *wanderer) wander(ctx context.Context, ready func(), db *postgres.DB, written *atomic.Bool) {
	defer ready() // in case of an error
	for w.err == nil && ctx.Err() == nil {
		if w.err = w.connect(); w.err != nil {
			return
		}
		done := w.stay(ctx, ready, db, written)
		w.session.Detach() // whatever is under way is lost
		if done {
			return
		}
	}
	if w.err == nil {
		w.err = fmt.Errorf("not complete in time: %v", w.last)
	}
}

func (w *wanderer) connect() (err error) {
	w.connections++
	w.pipe = newPipe(fmt.Sprintf("%d-%d", w.number, w.connections))
	w.joined, w.got, w.again = map[string]bool{}, map[string]bool{}, false
	w.session, err = w.nodes[w.random.IntN(len(w.nodes))].hub.Attach(w.pipe, nil, "websocket")
	if err != nil {
		return err
	}
	for _, room := range w.rooms {
		w.join(room)
	}
	return nil
}

// join asks for one room; the answer comes between the events.
func (w *wanderer) join(room string) {
	arg := m{"rooms": []string{room}}
	old, known := w.position[room]
	if known {
		arg["position"] = old
	}
	if known && w.random.IntN(2) == 0 {
		after := map[string]int64{}
		for stream, n := range w.last {
			after[stream] = n
		}
		arg["after"] = after
	}
	raw, err := json.Marshal(arg)
	if err != nil {
		panic(err)
	}
	pipe := w.pipe // the answer may come when it is gone
	w.session.Event("rt.subscribe", []json.RawMessage{raw}, func(a any) {
		raw, err := json.Marshal(m{"room": room, "first": !known, "answer": a})
		if err != nil {
			panic(err)
		}
		_ = pipe.push(item{name: "joined", arg: raw})
	})
}

func (w *wanderer) leave(room string) {
	raw, err := json.Marshal(m{"rooms": []string{room}})
	if err != nil {
		panic(err)
	}
	pipe := w.pipe
	w.session.Event("rt.unsubscribe", []json.RawMessage{raw}, func(any) {
		_ = pipe.push(item{name: "left", arg: json.RawMessage(`"` + room + `"`)})
	})
}

// stay listens for a while; true means that all is read that will ever be.
func (w *wanderer) stay(ctx context.Context, ready func(), db *postgres.DB, written *atomic.Bool) (done bool) {
	patience := 5 + w.random.IntN(150) // items
	check := time.NewTicker(20 * time.Millisecond)
	defer check.Stop()
	for ctx.Err() == nil {
		i, ok := w.pipe.take()
		if !ok {
			select {
			case <-w.pipe.more:
			case <-check.C:
				if written.Load() && w.complete(ctx, db) {
					return true
				}
			case <-w.pipe.closed:
				return false
			case <-ctx.Done():
			}
			continue
		}
		if w.err = w.take(i); w.err != nil {
			return true
		}
		if len(w.position) == len(w.rooms) {
			ready()
		}
		if patience--; patience < 0 && !written.Load() {
			return false
		}
		if room := w.rooms[w.random.IntN(len(w.rooms))]; w.joined[room] && w.random.IntN(30) == 0 && !written.Load() {
			w.joined[room], w.again = false, true
			w.leave(room)
		}
	}
	return false
}

func (w *wanderer) take(i item) error {
	switch i.name {
	case "rt.connected", "left":
		if i.name == "left" {
			var room string
			if err := json.Unmarshal(i.arg, &room); err != nil {
				return err
			}
			w.join(room)
		}
		return nil
	case "joined":
		var a struct {
			Room   string
			First  bool
			Answer answer
		}
		if err := json.Unmarshal(i.arg, &a); err != nil {
			return err
		}
		if !a.Answer.OK || len(a.Answer.Resync) > 0 {
			return fmt.Errorf("answer %s", i.arg)
		}
		if a.First {
			w.position[a.Room] = a.Answer.Position
		}
		w.joined[a.Room] = true
		return nil
	case "rt.position":
		var p struct{ Position string }
		if err := json.Unmarshal(i.arg, &p); err != nil {
			return err
		}
		for room, in := range w.joined {
			if in {
				w.position[room] = p.Position
			}
		}
		return nil
	case "flowchart:run:updated":
		return w.event(i)
	}
	return fmt.Errorf("unexpected %s %s", i.name, i.arg)
}

func (w *wanderer) event(i item) error {
	var e event.Envelope
	if err := json.Unmarshal(i.arg, &e); err != nil {
		return err
	}
	key := fmt.Sprintf("%s/%d", e.SequenceStream, e.Sequence)
	if w.got[key] && !w.again {
		return fmt.Errorf("%s came twice on connection %s", key, w.pipe.id)
	}
	w.got[key] = true
	if w.roomOf(e) == "" {
		return fmt.Errorf("%s is for none of the rooms", key)
	}
	switch last := w.last[e.SequenceStream]; {
	case e.Sequence <= last: // known from before the position
		return nil
	case e.Sequence == last+1:
		w.last[e.SequenceStream] = e.Sequence
		return nil
	default:
		return fmt.Errorf("%s came after %d", key, last)
	}
}

// complete compares what was seen with the log.
func (w *wanderer) complete(ctx context.Context, db *postgres.DB) bool {
	for run := 1; run <= chaosStreams; run++ {
		stream := fmt.Sprintf("flowchart_run:%d", run)
		if w.roomOf(event.Envelope{RoomKeys: []string{stream, fmt.Sprintf("flowchart:%d", run%2+1)}}) == "" {
			continue
		}
		head, err := event.ReadHead(ctx, db, stream)
		if err != nil || head.Last == 0 || w.last[stream] != head.Last {
			return false
		}
	}
	return true
}
