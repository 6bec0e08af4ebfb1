package chat_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/document"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/registry"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/llmtest"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// testBundle is the domain with a scripted model; turns are worked by the workers
// that a test starts.
type testBundle struct {
	db      *postgres.DB
	log     *event.Log
	service *chat.Service
	server  *llmtest.Server
	client  *publisher
	jobs    chan int64
	later   chan chat.Pointer // that are not due yet
	now     func() time.Time
	modelID int64

	retrieve chat.Retriever
	calls    chat.ToolCalls
	known    chat.Selectables

	mu      sync.Mutex
	workers []*chat.Worker
}

// publisher passes on what was committed.
type publisher struct {
	mu     sync.Mutex
	events []event.Stored
	news   chan struct{}
}

func (p *publisher) Publish(events []event.Stored) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, events...)
	close(p.news)
	p.news = make(chan struct{})
}

// await waits for an event that fits.
func (p *publisher) await(t *testing.T, what string, fits func(e *event.Envelope) bool) event.Envelope {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for at := 0; ; {
		p.mu.Lock()
		for ; at < len(p.events); at++ {
			if e := p.events[at].Envelope; fits(&e) {
				p.mu.Unlock()
				return e
			}
		}
		news := p.news
		p.mu.Unlock()
		select {
		case <-news:
		case <-limit.C:
			require.Fail(t, "nothing happened", "waited for %s", what)
		}
	}
}

type sqlModels struct{}

func (sqlModels) Model(ctx context.Context, q postgres.Querier, id int64) (chat.Model, error) {
	var m chat.Model
	err := q.QueryRow(ctx, `SELECT m.id, m.name, p.kind, p.name, m.model, m.config, m.config ->> 'purpose' IS NOT DISTINCT FROM 'embedding' FROM model m JOIN provider p ON p.id = m.provider_id WHERE m.id = $1`, id).
		Scan(&m.ID, &m.Name, &m.ProviderKind, &m.ProviderName, &m.Model, &m.Config, &m.Embeds)
	if postgres.NotFound(err) {
		return m, errs.E(errs.NotFound, "model.not_found", "no such model")
	}
	return m, err
}

// Enqueue implements chat.Enqueuer.
func (b *testBundle) Enqueue(_ context.Context, tx *postgres.Tx, pointers []chat.Pointer) error {
	tx.AfterCommit(func() {
		for _, p := range pointers {
			if p.At.IsZero() {
				b.jobs <- p.ID
			} else {
				b.later <- p
			}
		}
	})
	return nil
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	b := &testBundle{
		db: pgtest.DB(t), server: llmtest.New(t), client: &publisher{news: make(chan struct{})}, jobs: make(chan int64, 10_000), later: make(chan chat.Pointer, 100), now: time.Now,
	}
	b.log = event.NewLog(b.client, time.Now)
	b.service = b.with(nil)
	b.modelID = b.model(t, "scripted", map[string]any{"context_window_tokens": 32000})
	return b
}

func (b *testBundle) with(known chat.Selectables) *chat.Service {
	b.known = known
	return b.on(b.db)
}

// on is the service with connections of its own.
func (b *testBundle) on(db *postgres.DB) *chat.Service {
	known := b.known
	return chat.New(chat.Options{
		DB: db, Log: b.log, Queue: b, Signal: b.cancel, Models: sqlModels{}, Selectables: known, ToolCalls: b.calls, Documents: document.InProcess{}, Now: func() time.Time { return b.now() },
		Logger: slog.New(slog.DiscardHandler),
	})
}

func (b *testBundle) cancel(id int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.workers {
		w.Cancel(id)
	}
}

func (b *testBundle) model(t *testing.T, name string, config map[string]any) int64 {
	t.Helper()
	raw, err := json.Marshal(config)
	require.NoError(t, err)
	var id int64
	err = b.db.QueryRow(t.Context(), `WITH p AS (INSERT INTO provider (name, kind, base_url) VALUES ($1, 'openai', $2) RETURNING id)
		INSERT INTO model (name, provider_id, model, config) SELECT $1, p.id, 'scripted-model', $3 FROM p RETURNING id`, name, b.server.OpenAIURL(), raw).Scan(&id)
	require.NoError(t, err)
	return id
}

// direct answers by the scripted server.
func (b *testBundle) direct() chat.Answerer {
	client := llm.NewClient(llm.ClientOptions{})
	return chat.Direct{Open: func(context.Context, int64) (llm.Provider, error) {
		return registry.New(registry.Spec{Kind: "openai", Name: "scripted", BaseURL: b.server.OpenAIURL(), APIKey: "k"}, client)
	}}
}

// process is a worker process of a test.
type process struct {
	b      *testBundle
	id     uuid.UUID
	worker *chat.Worker
	kill   func()             // as when the machine dies: nothing is written any more
	leave  context.CancelFunc // takes no more jobs
	dead   chan struct{}
}

// start starts a worker that takes jobs until it is killed or the test ends.
func (b *testBundle) start(t *testing.T, answerer chat.Answerer) *process {
	t.Helper()
	p := &process{b: b, id: uuid.New(), dead: make(chan struct{})}
	_, err := b.db.Exec(t.Context(), `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues, level)
		VALUES ($1, $2, 'host', 1, 'v', 4, '{}', 1)`, p.id, p.id.String())
	require.NoError(t, err)
	ctx, kill := context.WithCancel(t.Context())
	wire := &cable{}
	cfg := b.db.Pool.Config().Copy()
	cfg.MaxConns, cfg.ConnConfig.DialFunc = 4, wire.dial
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	db := &postgres.DB{Pool: pool}
	recorder := chat.NewRecorder(db, b.log, slog.New(slog.DiscardHandler))
	// The connections go first, so that nothing of the process's end is written.
	p.kill = func() {
		wire.cut()
		kill()
	}
	takes, leave := context.WithCancel(ctx)
	p.leave = leave
	p.worker = chat.NewWorker(b.on(db), chat.WorkerOptions{
		ID: p.id, Fresh: func() bool { return ctx.Err() == nil }, Answerer: answerer, Retrieve: b.retrieve, Recorder: recorder, Logger: slog.New(slog.DiscardHandler),
	})
	b.mu.Lock()
	b.workers = append(b.workers, p.worker)
	b.mu.Unlock()
	var all sync.WaitGroup
	all.Go(func() { _ = recorder.Run(ctx, func() {}) })
	all.Go(func() {
		for {
			select {
			case <-takes.Done():
				return
			case id := <-b.jobs:
				all.Go(func() { p.worker.Work(ctx, id) })
			}
		}
	})
	go func() { all.Wait(); close(p.dead) }()
	t.Cleanup(func() { kill(); <-p.dead; db.Close() })
	return p
}

// cable is a process's way to the database, which can be cut.
type cable struct {
	mu    sync.Mutex
	conns []net.Conn
	isCut bool
}

func (c *cable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		return nil, errors.New("cut")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

// cut ends all connections for ever.
func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// bury has the sweep find a worker dead.
func (b *testBundle) bury(t *testing.T, p *process) {
	t.Helper()
	p.leave()
	_, err := b.db.Exec(t.Context(), `UPDATE worker_process SET tombstone_at = now() WHERE id = $1`, p.id)
	require.NoError(t, err)
	_, err = b.service.Recover(t.Context())
	require.NoError(t, err)
}

func in[T any](t *testing.T, b *testBundle, f func(ctx context.Context, tx *postgres.Tx) (T, error)) (T, error) {
	t.Helper()
	var out T
	err := b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		out, err = f(ctx, tx)
		return err
	})
	return out, err
}

func (b *testBundle) thread(t *testing.T, f chat.ThreadFields) chat.Thread {
	t.Helper()
	if f.ModelID == nil {
		f.ModelID = &b.modelID
	}
	out, err := in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Thread, error) {
		return b.service.CreateTx(ctx, tx, f, chat.Origin{})
	})
	require.NoError(t, err)
	return out
}

func (b *testBundle) try(t *testing.T, threadID int64, p chat.Post) (chat.Posted, error) {
	t.Helper()
	return in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Posted, error) {
		return b.service.PostTx(ctx, tx, threadID, p, chat.Origin{RequestID: "r1"})
	})
}

func (b *testBundle) post(t *testing.T, threadID int64, p chat.Post) chat.Posted {
	t.Helper()
	out, err := b.try(t, threadID, p)
	require.NoError(t, err)
	return out
}

// ended waits for the end of a turn.
func (b *testBundle) ended(t *testing.T, threadID, turnID int64) chat.TurnView {
	t.Helper()
	b.client.await(t, fmt.Sprintf("the end of turn %d", turnID), func(e *event.Envelope) bool {
		return e.EventType == "thread:turn:completed" && e.EntityID == fmt.Sprint(turnID)
	})
	return b.turn(t, threadID, turnID)
}

func (b *testBundle) turn(t *testing.T, threadID, turnID int64) chat.TurnView {
	t.Helper()
	d, err := b.service.GetTurn(t.Context(), threadID, turnID)
	require.NoError(t, err)
	return chat.ViewTurn(&d.Turn)
}

// said sends a message and waits for its answer.
func (b *testBundle) said(t *testing.T, threadID int64, message string) (chat.TurnView, chat.MessageView) {
	t.Helper()
	p := b.post(t, threadID, chat.Post{Message: message})
	v := b.ended(t, threadID, p.Turn.ID)
	return v, b.message(t, threadID, v.AssistantMessageID)
}

func (b *testBundle) message(t *testing.T, threadID, id int64) chat.MessageView {
	t.Helper()
	page, err := b.service.Messages(t.Context(), threadID, chat.Window{Limit: 200})
	require.NoError(t, err)
	for _, m := range page.Items {
		if m.ID == id {
			return m
		}
	}
	require.Fail(t, "no such message", "%d", id)
	return chat.MessageView{}
}

// streamed gives the text that the events of an attempt make, which must fit together.
func (b *testBundle) streamed(t *testing.T, turnID int64, attempt int32) string {
	t.Helper()
	rows, err := event.ReadStream(t.Context(), b.db, chat.TurnStream(turnID), 0, 100_000)
	require.NoError(t, err)
	text := ""
	for _, r := range rows {
		var p struct {
			Attempt int32  `json:"attempt"`
			Offset  int64  `json:"offset"`
			Text    string `json:"text"`
		}
		require.NoError(t, json.Unmarshal(r.Envelope.Payload, &p))
		if p.Attempt != attempt {
			continue
		}
		require.EqualValues(t, len([]rune(text)), p.Offset, "pieces follow each other")
		text += p.Text
	}
	return text
}

func (b *testBundle) settings(t *testing.T, change func(s *chat.Settings)) {
	t.Helper()
	_, err := in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Settings, error) {
		s, _, err := chat.SaveSettings(ctx, tx, 0, change)
		return s, err
	})
	require.NoError(t, err)
}
