package retention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/postgres"
)

// Removed is told, in the transaction that removes events, the youngest
// transaction that wrote one of them.
type Removed func(ctx context.Context, q postgres.Querier, xid uint64) error

// Cleaner removes what is old enough.
type Cleaner struct {
	db      *postgres.DB
	removed Removed
	batch   int // runs a transaction
	events  int // events a transaction
}

// The sizes of a transaction. Deleting is about 10 µs a row here, and other work goes
// on beside it.
const (
	runBatch   = 100
	eventBatch = 5000
)

// workerDays is for how long an ended worker is kept that nothing refers to. It is no
// setting: its row says nothing that anybody would look for.
const workerDays = 30

// New makes a cleaner.
func New(db *postgres.DB, removed Removed) *Cleaner {
	return &Cleaner{db: db, removed: removed, batch: runBatch, events: eventBatch}
}

// Report says what a round removed.
type Report struct {
	Events  int64 `json:"events"`  // of runs, downloads and sources, and of deleted threads
	Text    int64 `json:"text"`    // pieces of streamed text
	Firings int64 `json:"firings"` // of schedules
	Runs    int64 `json:"runs"`    // and quick nodes
	Calls   int64 `json:"calls"`   // rounds of tool calls, of turns that are gone
	Workers int64 `json:"workers"` // that ended and that nothing refers to
	Done    bool  `json:"done"`    // false: time was up, the next round goes on
}

// Clean removes what is old enough, until that is done or ctx ends.
func (c *Cleaner) Clean(ctx context.Context) (Report, error) {
	var rep Report
	s, _, err := Load(ctx, c.db)
	if err != nil {
		return rep, err
	}
	steps := []struct {
		days *int32
		step func(ctx context.Context, age time.Duration) (int64, bool, error)
		to   *int64
	}{
		{s.RunDays, c.runs, &rep.Runs},
		{s.RunDays, c.quickNodes, &rep.Runs},
		{s.EventDays, c.streams("run_events", runEvents), &rep.Events},
		{s.EventDays, c.streams("quick_events", quickEvents), &rep.Events},
		{s.EventDays, c.streams("download_events", downloadEvents), &rep.Events},
		{s.EventDays, c.goneDownloads, &rep.Events},
		{s.EventDays, c.goneThreads, &rep.Events},
		{s.EventDays, c.sourceEvents, &rep.Events},
		{s.EventDays, c.goneSources, &rep.Events},
		{s.TextDays, c.streams("run_text", runText), &rep.Text},
		{s.TextDays, c.streams("quick_text", quickText), &rep.Text},
		{s.TextDays, c.streams("turn_text", turnText), &rep.Text},
		{s.TextDays, c.goneTurns, &rep.Text},
		{s.FiringDays, c.firings, &rep.Firings},
		{new(int32(0)), c.goneTurnCalls, &rep.Calls}, // nobody can undo what removed their turns
		{new(int32(workerDays)), c.workers, &rep.Workers},
	}
	var failures []error
	for _, step := range steps {
		if step.days == nil {
			continue
		}
		if err := repeat(ctx, time.Duration(*step.days)*24*time.Hour, step.step, step.to); err != nil {
			failures = append(failures, err) // what the others remove does not depend on it
		}
	}
	if ctx.Err() != nil {
		return rep, nil //nolint:nilerr // time that is up is no failure: the next round goes on
	}
	rep.Done = len(failures) == 0
	return rep, errors.Join(failures...)
}

func repeat(ctx context.Context, age time.Duration, step func(ctx context.Context, age time.Duration) (int64, bool, error), total *int64) error {
	for ctx.Err() == nil {
		n, more, err := step(ctx, age)
		*total += n
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func (c *Cleaner) firings(ctx context.Context, age time.Duration) (removed int64, more bool, err error) {
	// The last firing of a schedule stays: it is what the list shows of it.
	tag, err := c.db.Exec(ctx, `DELETE FROM schedule_firing WHERE id IN (
		SELECT f.id FROM schedule_firing f WHERE f.fired_at < now() - make_interval(secs => $1)
		  AND EXISTS (SELECT FROM schedule_firing n WHERE n.schedule_id = f.schedule_id AND n.id > f.id)
		ORDER BY f.fired_at LIMIT $2)`, age.Seconds(), c.events)
	if err != nil {
		return 0, false, fmt.Errorf("remove firings: %w", err)
	}
	return tag.RowsAffected(), tag.RowsAffected() == int64(c.events), nil
}

// workers removes ended workers, some at a time. One that an attempt names stays as long
// as the attempt does.
func (c *Cleaner) workers(ctx context.Context, age time.Duration) (removed int64, more bool, err error) {
	// An ended worker gets no new work: its claims are refused. Should one come in between, the foreign key keeps the row.
	tag, err := c.db.Exec(ctx, `DELETE FROM worker_process WHERE id IN (
		SELECT w.id FROM worker_process w WHERE coalesce(w.tombstone_at, w.stopped_at) < now() - make_interval(secs => $1)
		  AND NOT EXISTS (SELECT FROM node_attempt a WHERE a.worker_process_id = w.id)
		  AND NOT EXISTS (SELECT FROM download_attempt a WHERE a.worker_process_id = w.id)
		  AND NOT EXISTS (SELECT FROM download_job j WHERE j.worker_process_id = w.id)
		  AND NOT EXISTS (SELECT FROM turn_attempt a WHERE a.worker_process_id = w.id)
		  AND NOT EXISTS (SELECT FROM turn t WHERE t.worker_process_id = w.id)
		ORDER BY w.id LIMIT $2 FOR UPDATE SKIP LOCKED)`, age.Seconds(), c.batch)
	if err != nil {
		return 0, false, fmt.Errorf("remove ended workers: %w", err)
	}
	return tag.RowsAffected(), tag.RowsAffected() == int64(c.batch), nil
}
