package index

import (
	"context"
	"sync/atomic"
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
	hash         []byte        // of what is indexed of the file
	signature    string        // likewise
	tries        int32         // how often it was in hand before
	stored       chan struct{} // closed when it is; nil: nobody waits for that
}

// product is what became of a task; the writer stores it.
type product struct {
	task
	began    time.Time
	weighs   int64 // its share of inFlight
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
	return a.eachUntilPaused(ctx, CodeInfra, func(ctx context.Context, t *target) error {
		n := newNotes(a, t)
		a.notes.Store(n)
		defer a.notes.Store(nil)
		p := &pipeline{a: a, t: t, gate: newGate(a, n), bytes: semaphore.NewWeighted(inFlight), hand: hand{before: map[string]int32{}}}
		if err := p.countDeadly(ctx); err != nil {
			return err
		}
		err := p.run(ctx)
		if err != nil && !isSilent(err) {
			p.letGo(ctx)
		}
		return err
	})
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
	hand  hand

	deadly int // files that took their workers down
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
	side(g, set.Parallel, func() { close(cut) }, func() error { return p.prepare(ctx, tasks, cut) })
	side(g, set.Embeds, func() { close(ready) }, func() error { return p.embed(ctx, cut, ready) })
	w, over := newWriter(p), make(chan struct{})
	g.Go(func() error {
		defer close(over)
		return w.run(ctx, ready)
	})
	g.Go(func() error { return p.gate.notes.run(ctx, over) })
	err := g.Wait()
	p.t.run = w.row // nobody reads it meanwhile but for what does not change
	return err
}

// side does f n times side by side, and then what the last one leaves to do. They are of
// one group with all others: one that fails ends them all, also those that wait.
func side(g *errgroup.Group, n int, last func(), f func() error) {
	var left atomic.Int32
	left.Store(int32(n))
	for range n {
		g.Go(func() error {
			defer func() {
				if left.Add(-1) == 0 {
					last()
				}
			}()
			return f()
		})
	}
}

// lines gives the open lines to f, in the order of their paths, a page at a time.
func (p *pipeline) lines(ctx context.Context, suspects bool, f func(tasks []task) error) error {
	for after := ""; ; {
		var rows []dbsqlc.NextPendingRow
		err := p.a.s.persist(ctx, "read the journal", func(ctx context.Context) (err error) {
			rows, err = p.a.s.q.NextPending(ctx, p.a.s.o.DB, dbsqlc.NextPendingParams{
				RagSourceID: p.t.source.ID, Visible: p.t.source.IndexRevision, RagIndexRunID: p.t.run.ID, After: after, Suspects: suspects, MaxRows: pageSize,
			})
			return err
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		tasks := make([]task, len(rows))
		for i := range rows {
			tasks[i] = taskOf(&rows[i])
		}
		if err := f(tasks); err != nil || len(rows) < pageSize {
			return err
		}
		after = rows[len(rows)-1].Path
	}
}

func taskOf(r *dbsqlc.NextPendingRow) task {
	t := task{
		path: r.Path, action: r.Action, hash: r.ContentHash, signature: r.Signature, tries: r.Tries,
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
