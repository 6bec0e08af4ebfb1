package index

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/index/dbsqlc"
)

// What a file may do to the workers. A line of the journal is marked before its file is
// read, and is unmarked when the attempt lets go of it; a mark that is found by a later
// attempt is what a death has left.
const (
	maxDeaths = 2  // of workers that had the file in hand; then it is left out
	maxDeadly = 20 // such files in one run: then it is no fault of theirs
	takeGroup = 16 // files that are marked together
	letGoTime = 5 * time.Second
)

// hand is what is taken from the journal and not yet stored.
type hand struct {
	mu     sync.Mutex
	before map[string]int32 // how often each had been taken before
}

func (h *hand) add(tasks []task) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range tasks {
		h.before[tasks[i].path] = tasks[i].tries
	}
}

func (h *hand) remove(batch []*product) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range batch {
		delete(h.before, m.path)
	}
}

// take marks lines of the journal as in hand. What is removed is not read, and cannot
// harm.
func (p *pipeline) take(ctx context.Context, tasks []task) error {
	tasks = slices.DeleteFunc(slices.Clone(tasks), func(t task) bool { return t.action == actionRemove })
	if len(tasks) == 0 {
		return nil
	}
	marks := dbsqlc.SetTriesParams{RagIndexRunID: p.t.run.ID}
	for i := range tasks {
		marks.Paths, marks.Tries = append(marks.Paths, tasks[i].path), append(marks.Tries, tasks[i].tries+1)
	}
	p.hand.add(tasks)
	return p.setTries(ctx, marks)
}

func (p *pipeline) setTries(ctx context.Context, marks dbsqlc.SetTriesParams) error {
	return p.a.fenced(ctx, "mark files", func(ctx context.Context, tx *postgres.Tx) error {
		if err := p.a.s.q.SetTries(ctx, tx, marks); err != nil {
			return fmt.Errorf("mark files of index run %d: %w", marks.RagIndexRunID, err)
		}
		return nil
	})
}

// letGo unmarks what is in hand: the attempt ends, but no file is to blame. What cannot
// be unmarked is worked alone by the next attempt, which costs time and nothing else.
func (p *pipeline) letGo(ctx context.Context) {
	p.hand.mu.Lock()
	marks := dbsqlc.SetTriesParams{RagIndexRunID: p.t.run.ID}
	for path, tries := range p.hand.before {
		marks.Paths, marks.Tries = append(marks.Paths, path), append(marks.Tries, tries)
	}
	p.hand.mu.Unlock()
	if len(marks.Paths) == 0 {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), letGoTime)
	defer stop()
	if err := p.setTries(ctx, marks); err != nil {
		p.a.s.o.Logger.WarnContext(ctx, "files in hand were not let go of", "index_run_id", marks.RagIndexRunID, "files", len(marks.Paths), "error", err)
	}
}

// feed gives the open lines, in the order of their paths: first, one at a time, those
// that were in hand when a worker died, so that it shows which of them it is.
func (p *pipeline) feed(ctx context.Context, out chan<- task) error {
	told := false
	err := p.lines(ctx, true, func(tasks []task) error {
		if !told {
			told = true
			p.a.report.logf("A worker died while it had files in hand; those are worked one at a time, before the others.")
		}
		return p.feedAlone(ctx, tasks, out)
	})
	if err != nil {
		return err
	}
	return p.lines(ctx, false, func(tasks []task) error {
		for group := range slices.Chunk(tasks, takeGroup) {
			if err := p.take(ctx, group); err != nil {
				return err
			}
			for i := range group {
				if err := send(ctx, out, group[i]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (p *pipeline) feedAlone(ctx context.Context, tasks []task, out chan<- task) error {
	for i := range tasks {
		t := tasks[i]
		t.stored = make(chan struct{})
		if t.deadly() {
			if p.deadly++; p.deadly > maxDeadly {
				return failf(CodeDeadly, "More than %d files took their workers down, %s the last of them. What is wrong is no single file: look at the log and the memory of the workers.",
					maxDeadly, t.path)
			}
		} else if err := p.take(ctx, tasks[i:i+1]); err != nil {
			return err
		}
		if err := send(ctx, out, t); err != nil {
			return err
		}
		select {
		case <-t.stored:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// deadly reports whether a file has taken down as many workers as it may.
func (t *task) deadly() bool { return t.action != actionRemove && t.tries >= maxDeaths }

// diedOn is the error of such a file.
func diedOn(tries int32) *FileError {
	return &FileError{FileDeadly, fmt.Sprintf(
		"The worker died %d times while it had this file in hand, most likely for want of memory. The file is left out, and what was indexed of it before stays. "+
			"The next delta tries it again when it has changed; to try it as it is, try the failed files again.", tries)}
}

// countDeadly loads how many files of the run were found deadly before.
func (p *pipeline) countDeadly(ctx context.Context) error {
	return p.a.s.persist(ctx, "count files", func(ctx context.Context) error {
		n, err := p.a.s.q.CountDeadly(ctx, p.a.s.o.DB, dbsqlc.CountDeadlyParams{RagIndexRunID: p.t.run.ID, ErrorCode: FileDeadly})
		if err != nil {
			return fmt.Errorf("count files of index run %d: %w", p.t.run.ID, err)
		}
		p.deadly = int(n)
		return nil
	})
}
