package index

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/index/dbsqlc"
)

// pageSize is how many lines of the journal are read at once.
const pageSize = 256

// task is a line of the journal that is open.
type task struct {
	path, action string
	item         fetch.Item
	hash         []byte // of what is indexed of the file
	signature    string // likewise
}

// product is what became of a task; the writer stores it.
type product struct {
	task
	began    time.Time
	size     int64
	hash     []byte
	cut      Cut
	carried  bool // its content is the indexed one
	failed   *FileError
	texts    []string // of the chunks, that are embedded
	hashes   [][]byte // of the chunks
	embedded int32
	cached   int32
	tokens   int64
	took     time.Duration
}

// files works the open lines of the plans.
func (a *attempt) files(ctx context.Context) error {
	return a.each(ctx, CodeInfra, func(ctx context.Context, t *target) error {
		// Somebody may ask for a pause; what is begun then is not stored.
		working, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		done := make(chan struct{})
		go func() {
			defer close(done)
			a.watch(working, t, func() { stop(errPaused) })
		}()
		p := &pipeline{a: a, t: t, gate: newGate(a, t), bytes: semaphore.NewWeighted(inFlight)}
		err := p.run(working)
		stop(nil)
		<-done
		if errors.Is(context.Cause(working), errPaused) && ctx.Err() == nil && !errors.Is(err, errFenced) {
			t.waits = true
			a.report.logf("Paused: %d of %d files are done.", t.run.Done+t.run.Failed, t.run.Added+t.run.Changed+t.run.Removed)
			return a.status(ctx, t, Paused, nil)
		}
		return err
	})
}

// watchEvery is how soon a pause is noticed.
const watchEvery = time.Second

// watch looks whether somebody asks for a pause, until ctx ends.
func (a *attempt) watch(ctx context.Context, t *target, pause func()) {
	for {
		wanted, err := a.s.q.PauseRequested(ctx, a.s.o.DB, t.run.ID)
		if asked, ok := wanted.(bool); err == nil && ok && asked {
			pause()
			return
		}
		if !sleep(ctx, watchEvery) {
			return
		}
	}
}

// inFlight bounds what the files have in bytes that are read and not yet stored; a file
// that is larger goes alone.
const inFlight = 96 << 20

// pipeline works the open lines of one source: they are read and cut side by side,
// embedded in batches, and stored by one writer.
type pipeline struct {
	a     *attempt
	t     *target
	gate  *gate
	bytes *semaphore.Weighted
}

// weight is a task's share of inFlight.
func (t *task) weight() int64 { return min(max(t.item.Size, 1<<10), inFlight) }

func (p *pipeline) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	set := &p.a.setup
	tasks := make(chan task, 2*set.Parallel)
	cut := make(chan *product, set.Batch/2)
	ready := make(chan *product, set.Batch)
	g.Go(func() error {
		defer close(tasks)
		return p.feed(ctx, tasks)
	})
	g.Go(func() error {
		defer close(cut)
		return side(ctx, set.Parallel, func(ctx context.Context) error { return p.prepare(ctx, tasks, cut) })
	})
	g.Go(func() error {
		defer close(ready)
		return side(ctx, set.Embeds, func(ctx context.Context) error { return p.embed(ctx, cut, ready) })
	})
	w := newWriter(p)
	g.Go(func() error { return w.run(ctx, ready) })
	err := g.Wait()
	p.t.run = w.row // nobody reads it meanwhile but for what does not change
	return err
}

// side does f in n goroutines.
func side(ctx context.Context, n int, f func(ctx context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for range n {
		g.Go(func() error { return f(ctx) })
	}
	return g.Wait()
}

// feed gives the open lines, in the order of their paths.
func (p *pipeline) feed(ctx context.Context, out chan<- task) error {
	for after := ""; ; {
		var rows []dbsqlc.NextPendingRow
		err := p.a.s.persist(ctx, "read the journal", func(ctx context.Context) (err error) {
			rows, err = p.a.s.q.NextPending(ctx, p.a.s.o.DB, dbsqlc.NextPendingParams{
				RagSourceID: p.t.source.ID, Visible: p.t.source.IndexRevision, RagIndexRunID: p.t.run.ID, After: after, MaxRows: pageSize,
			})
			return err
		})
		if err != nil {
			return err
		}
		for i := range rows {
			if err := send(ctx, out, taskOf(&rows[i])); err != nil {
				return err
			}
		}
		if len(rows) < pageSize {
			return nil
		}
		after = rows[len(rows)-1].Path
	}
}

func taskOf(r *dbsqlc.NextPendingRow) task {
	t := task{
		path: r.Path, action: r.Action, hash: r.ContentHash, signature: r.Signature,
		item: fetch.Item{Path: r.Path, Size: r.Size, Fingerprint: r.Fingerprint},
	}
	if r.ModifiedAt != nil {
		t.item.ModifiedAt = *r.ModifiedAt
	}
	return t
}

func send[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
