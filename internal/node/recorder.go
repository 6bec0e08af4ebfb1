package node

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// flushEvery is how long text waits for company.
const flushEvery = 50 * time.Millisecond

// Recorder writes what the attempts of this process report, grouped.
type Recorder struct {
	db    *postgres.DB
	log   *event.Log
	slog  *slog.Logger
	q     *dbsqlc.Queries
	mu    sync.Mutex
	dirty map[*attempt]struct{}
	wake  chan struct{}
}

// NewRecorder makes a recorder; Run flushes.
func NewRecorder(db *postgres.DB, log *event.Log, logger *slog.Logger) *Recorder {
	return &Recorder{db: db, log: log, slog: logger, q: dbsqlc.New(), dirty: map[*attempt]struct{}{}, wake: make(chan struct{}, 1)}
}

// Name names the service.
func (r *Recorder) Name() string { return "node recorder" }

// touched notes that an attempt has something to write.
func (r *Recorder) touched(a *attempt) {
	r.mu.Lock()
	r.dirty[a] = struct{}{}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run flushes until ctx ends. It sleeps while nothing is reported.
func (r *Recorder) Run(ctx context.Context, ready func()) error {
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		timer := time.NewTimer(flushEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if err := r.flush(ctx); err != nil && ctx.Err() == nil {
			r.slog.WarnContext(ctx, "could not record node progress, will try again", "error", err)
		}
	}
}

func (r *Recorder) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	r.mu.Lock()
	attempts := make([]*attempt, 0, len(r.dirty))
	for a := range r.dirty {
		attempts = append(attempts, a)
	}
	clear(r.dirty)
	r.mu.Unlock()
	var all []taken
	for _, a := range attempts {
		t, ok, err := a.take()
		if err != nil {
			return err
		}
		if ok {
			all = append(all, t)
		}
	}
	if len(all) == 0 {
		return nil
	}
	// Row locks in the order of ids, as everywhere.
	slices.SortFunc(all, func(a, b taken) int { return cmp.Compare(a.a.claim.NodeRun.ID, b.a.claim.NodeRun.ID) })
	err := r.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		for _, t := range all {
			if err := r.write(ctx, tx, t); err != nil {
				return err
			}
		}
		return nil
	})
	for _, t := range all {
		if err == nil {
			t.written()
			continue
		}
		t.giveBack()
		r.touched(t.a)
	}
	return err
}

// write stores one attempt's progress if the attempt still is the open one.
func (r *Recorder) write(ctx context.Context, tx *postgres.Tx, t taken) error {
	c := &t.a.claim
	held, err := r.q.SaveStage(ctx, tx, dbsqlc.SaveStageParams{ID: c.NodeRun.ID, Attempt: c.Attempt, CurrentStage: t.current, InputContext: t.input})
	if err != nil {
		return fmt.Errorf("save stage of node run %d: %w", c.NodeRun.ID, err)
	}
	if held == 0 {
		t.a.close()
		return nil
	}
	_, err = r.q.SaveProgress(ctx, tx, dbsqlc.SaveProgressParams{
		NodeRunID: c.NodeRun.ID, Number: c.Attempt, Stages: t.stages, StartedAt: t.started, FirstTokenAt: t.firstToken,
		ProviderDispatchID: t.dispatchID, DispatchStatus: "dispatch_confirmed",
	})
	if err != nil {
		return fmt.Errorf("save progress of node run %d: %w", c.NodeRun.ID, err)
	}
	return r.announce(tx, t)
}

func (r *Recorder) announce(tx *postgres.Tx, t taken) error {
	for _, d := range t.drafts() {
		if err := r.log.Append(tx, d); err != nil {
			return err
		}
	}
	if !t.stageDirty {
		return nil
	}
	n := t.a.claim.NodeRun
	n.CurrentStage = t.current
	p := run.PayloadOf(&n, "stage")
	p.Stages = t.stages
	executor := t.a.claim.Executor
	if err := r.log.Append(tx, event.Draft{
		Stream: run.StreamOfNode(&n), Type: "node:task:stage_updated", EntityKind: "task", EntityID: strconv.FormatInt(n.ID, 10),
		Rooms: run.RoomsOfNode(&n), RequestID: n.RequestID, CorrelationID: n.CorrelationID, Runtime: run.RuntimeOf(&n, nil, executor), Payload: p,
	}); err != nil {
		return fmt.Errorf("announce stage of node run %d: %w", n.ID, err)
	}
	return nil
}

// finish writes what is left of an attempt inside the transaction that ends it.
func (r *Recorder) finish(tx *postgres.Tx, t taken) error {
	for _, d := range t.drafts() {
		if err := r.log.Append(tx, d); err != nil {
			return err
		}
	}
	return nil
}
