package download

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/download/hub"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/internal/testkit/hubtest"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// queued notes what is enqueued.
type queued struct {
	mu   sync.Mutex
	list []Pointer
}

func (q *queued) Enqueue(_ context.Context, tx *postgres.Tx, pointers []Pointer) error {
	tx.AfterCommit(func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.list = append(q.list, pointers...)
	})
	return nil
}

func (q *queued) take() []Pointer {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.list
	q.list = nil
	return out
}

type bench struct {
	db    *postgres.DB
	hub   *hubtest.Hub
	s     *Service
	queue *queued
	log   *event.Log
	dir   string
	now   func() time.Time
}

func bundle(t *testing.T, change func(o *Options), repos ...*hubtest.Repo) *bench {
	t.Helper()
	b := &bench{db: pgtest.DB(t), hub: hubtest.New(repos...), queue: &queued{}, dir: t.TempDir(), now: time.Now}
	t.Cleanup(b.hub.Close)
	b.log = event.NewLog(nil, b.now)
	box, err := secret.New(make([]byte, secret.KeySize))
	require.NoError(t, err)
	o := Options{
		DB: b.db, Log: b.log, Queue: b.queue, Seal: box, Fingerprint: secret.Fingerprint, Hub: clientFor(t, b.hub.URL), DataDir: b.dir,
		Reserve: 1, Now: b.now, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	b.s = New(o)
	return b
}

func clientFor(t *testing.T, endpoint string) *hub.Client {
	t.Helper()
	c, err := hub.New(hub.Options{Endpoint: endpoint, UserAgent: "test", Now: time.Now, Stall: 5 * time.Second})
	require.NoError(t, err)
	return c
}

// worker registers a worker process.
func (b *bench) worker(t *testing.T) *Worker {
	t.Helper()
	id := uuid.New()
	_, err := b.db.Exec(t.Context(), `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues) VALUES ($1, 'test', $2, 1, 'test', 4, '{}')`,
		id, "host-"+id.String()[:4])
	require.NoError(t, err)
	return NewWorker(b.s, WorkerOptions{
		ID: id, Fresh: func() bool { return true }, Every: 20 * time.Millisecond, Patience: 50 * time.Millisecond,
		Backoff: func(int) time.Duration { return time.Millisecond }, Logger: slog.New(slog.DiscardHandler),
	})
}

func (b *bench) create(t *testing.T, r Request) (Job, bool) {
	t.Helper()
	j, created, err := b.tryCreate(t, r)
	require.NoError(t, err)
	return j, created
}

func (b *bench) tryCreate(t *testing.T, r Request) (j Job, created bool, err error) {
	t.Helper()
	p, err := b.s.Prepare(t.Context(), r)
	if err != nil {
		return Job{}, false, err
	}
	err = b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		j, created, err = b.s.CreateTx(ctx, tx, p, Origin{})
		return err
	})
	return j, created, err
}

func (b *bench) get(t *testing.T, id int64) Detail {
	t.Helper()
	d, err := b.s.Get(t.Context(), id)
	require.NoError(t, err)
	return d
}

// order gives an order and returns what the job is then.
func (b *bench) order(t *testing.T, f func(ctx context.Context, tx *postgres.Tx, id, revision int64) (Job, error), id int64) Job {
	t.Helper()
	var j Job
	require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		j, err = f(ctx, tx, id, 0)
		return err
	}))
	return j
}

// until waits for a job to be as the condition says.
func (b *bench) until(t *testing.T, id int64, what string, ok func(d Detail) bool) Detail {
	t.Helper()
	var d Detail
	require.Eventually(t, func() bool {
		d = b.get(t, id)
		return ok(d)
	}, 20*time.Second, 10*time.Millisecond, what)
	return d
}

func (b *bench) target(parts ...string) string {
	return filepath.Join(append([]string{b.dir, "models"}, parts...)...)
}

// same compares what is on the disk with what the hub has.
func (b *bench) same(t *testing.T, target string, repo *hubtest.Repo) {
	t.Helper()
	for _, f := range repo.Files {
		info, err := os.Stat(b.target(target, f.Path))
		require.NoError(t, err)
		requireSame(t, b.target(target, f.Path), &f, info.Size())
	}
}

func requireSame(t *testing.T, name string, f *hubtest.File, size int64) {
	t.Helper()
	file, err := os.Open(name)
	require.NoError(t, err)
	defer file.Close()
	got, want := sha256.New(), sha256.New()
	_, err = io.Copy(got, file)
	require.NoError(t, err)
	n, err := io.Copy(want, f.Reader())
	require.NoError(t, err)
	require.Equal(t, n, size, f.Path)
	require.Equal(t, want.Sum(nil), got.Sum(nil), f.Path)
}
