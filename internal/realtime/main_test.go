package realtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/bus/bustest"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/realtime"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func TestMain(m *testing.M) {
	// A test server of this process's own ends with the process.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/llmctl/studio/internal/postgres/embedded.startBound.func1"))
}

// item is what a client gets: an event, or the answer to a request.
type item struct {
	name string // "ack" for answers
	arg  json.RawMessage
}

func (i item) envelope(t *testing.T) event.Envelope {
	t.Helper()
	var e event.Envelope
	require.NoError(t, json.Unmarshal(i.arg, &e), "%s", i.arg)
	return e
}

func encode(name string, args ...json.RawMessage) (realtime.Frame, error) {
	if len(args) != 1 {
		return nil, errors.New("an event has one argument")
	}
	return item{name: name, arg: args[0]}, nil
}

// pipe is a connection that keeps all it is sent, in order.
type pipe struct {
	id     string
	limit  int
	mu     sync.Mutex
	items  []item
	more   chan struct{}
	closed chan string
}

func newPipe(id string) *pipe {
	return &pipe{id: id, more: make(chan struct{}, 1), closed: make(chan string, 1)}
}

func (p *pipe) ID() string { return p.id }

func (p *pipe) Send(f realtime.Frame) error {
	i, ok := f.(item)
	if !ok {
		return errors.New("foreign frame")
	}
	return p.push(i)
}

func (p *pipe) push(i item) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limit > 0 && len(p.items) >= p.limit {
		return errors.New("full")
	}
	p.items = append(p.items, i)
	select {
	case p.more <- struct{}{}:
	default:
	}
	return nil
}

func (p *pipe) Close(reason string) { p.closed <- reason }

func (p *pipe) ack(answer any) {
	raw, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	_ = p.push(item{name: "ack", arg: raw})
}

// next takes the next item, waiting for it.
func (p *pipe) next(t *testing.T) item {
	t.Helper()
	deadline := time.After(bustest.Patience)
	for {
		if i, ok := p.take(); ok {
			return i
		}
		select {
		case <-p.more:
		case <-deadline:
			require.FailNow(t, "nothing came")
		}
	}
}

func (p *pipe) take() (item, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.items) == 0 {
		return item{}, false
	}
	i := p.items[0]
	p.items = p.items[1:]
	return i, true
}

// nextNot skips items of that name.
func (p *pipe) nextNot(t *testing.T, skip string) item {
	t.Helper()
	for {
		if i := p.next(t); i.name != skip {
			return i
		}
	}
}

type answer struct {
	OK       bool     `json:"ok"`
	Rooms    []string `json:"rooms"`
	Denied   []struct{ Room, Reason string }
	Position string   `json:"position"`
	Resync   []string `json:"resync"`
	Error    struct{ Code, Reason, Message string }
}

// bundle is a hub with its database, bus and log.
type bundle struct {
	db  *postgres.DB
	bus bus.Bus
	log *event.Log
	hub *realtime.Hub
	end func()
}

func allowAll(context.Context, any, string) error { return nil }

func allowMost(_ context.Context, principal any, room string) error {
	if room == "task:13" {
		return errs.E(errs.Forbidden, "task.forbidden", "Not yours.")
	}
	if principal == "nobody" {
		return errs.E(errs.NotFound, "room.not_found", "There is no such thing.")
	}
	return nil
}

// setup starts a hub on a database of its own. Sweeps come only on request,
// unless change says otherwise.
func setup(t *testing.T, change func(*realtime.Options)) *bundle {
	t.Helper()
	b := &bundle{db: pgtest.DB(t), bus: bus.NewMemory()}
	bustest.Start(t, b.bus)
	o := realtime.Options{
		DB: b.db, Bus: b.bus, Encode: encode, Authorize: allowAll, SweepInterval: time.Hour,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&o)
	}
	b.bus = o.Bus
	b.log = event.NewLog(o.Bus, time.Now)
	b.hub, b.end = startHub(t, o)
	return b
}

func startHub(t *testing.T, o realtime.Options) (hub *realtime.Hub, end func()) {
	t.Helper()
	hub, err := realtime.New(o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- hub.Run(ctx, func() { close(ready) }) }()
	bustest.Receive(t, ready)
	end = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, bustest.Receive(t, done))
	})
	t.Cleanup(end)
	return hub, end
}

// commit appends one event per stream named, all in one transaction. The rooms
// of a stream are the stream's own name and those given for it.
func (b *bundle) commit(t *testing.T, streams ...string) {
	t.Helper()
	b.commitTo(t, nil, streams...)
}

func (b *bundle) commitTo(t *testing.T, rooms []string, streams ...string) {
	t.Helper()
	require.NoError(t, b.db.InTx(t.Context(), func(_ context.Context, tx *postgres.Tx) error {
		for _, s := range streams {
			if err := b.log.Append(tx, draft(s, rooms...)); err != nil {
				return err
			}
		}
		return nil
	}))
}

func draft(stream string, rooms ...string) event.Draft {
	return event.Draft{
		Stream: stream, Type: "flowchart:run:updated", EntityKind: "flowchart_run", EntityID: "1",
		Rooms: append([]string{stream}, rooms...), Payload: map[string]any{"text": "<b>"},
	}
}

type client struct {
	*pipe
	session *realtime.Session
}

func (b *bundle) connect(t *testing.T, id string) *client {
	t.Helper()
	c := &client{pipe: newPipe(id)}
	var err error
	c.session, err = b.hub.Attach(c.pipe, "somebody", "websocket")
	require.NoError(t, err)
	hello := c.next(t)
	require.Equal(t, "rt.connected", hello.name)
	return c
}

func (c *client) request(t *testing.T, name string, arg any) {
	t.Helper()
	raw, err := json.Marshal(arg)
	require.NoError(t, err)
	c.session.Event(name, []json.RawMessage{raw}, c.ack)
}

type m map[string]any

// subscribe subscribes and gives the answer, which must come next.
func (c *client) subscribe(t *testing.T, arg m) answer {
	t.Helper()
	c.request(t, "rt.subscribe", arg)
	return c.answer(t)
}

func (c *client) answer(t *testing.T) answer {
	t.Helper()
	i := c.next(t)
	require.Equal(t, "ack", i.name, "%s", i.arg)
	var a answer
	require.NoError(t, json.Unmarshal(i.arg, &a))
	return a
}

// expect takes the next events, which must be these, in order.
func (c *client) expect(t *testing.T, stream string, sequences ...int64) {
	t.Helper()
	for _, sequence := range sequences {
		i := c.nextNot(t, "rt.position")
		e := i.envelope(t)
		require.Equal(t, stream, e.SequenceStream, "%s", i.arg)
		require.Equal(t, sequence, e.Sequence, "%s", i.arg)
	}
}

// nothing proves that nothing is on its way: what the client asks next is
// answered next.
func (c *client) nothing(t *testing.T) {
	t.Helper()
	c.request(t, "rt.unsubscribe", m{"rooms": []string{"task:999"}})
	require.Equal(t, "ack", c.nextNot(t, "rt.position").name)
}

// filtered is a bus whose hints pass a filter on their way to a subscriber.
type filtered struct {
	bus.Bus
	through func(h bus.Hint, hand func(bus.Hint))
}

func (f filtered) Subscribe(handler func(bus.Hint)) (cancel func()) {
	return f.Bus.Subscribe(func(h bus.Hint) { f.through(h, handler) })
}

// deaf lets no hint through.
func deaf(b bus.Bus) bus.Bus {
	return filtered{Bus: b, through: func(bus.Hint, func(bus.Hint)) {}}
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}
