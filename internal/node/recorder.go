package node

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/event/grouped"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// Recorder writes what the attempts of this process report, grouped.
type Recorder struct {
	group *grouped.Group[*attempt, taken]
	log   *event.Log
	q     *dbsqlc.Queries
}

// NewRecorder makes a recorder; Run flushes.
func NewRecorder(db *postgres.DB, log *event.Log, logger *slog.Logger) *Recorder {
	r := &Recorder{log: log, q: dbsqlc.New()}
	r.group = grouped.New[*attempt](grouped.Options[taken]{Name: "node recorder", DB: db, Write: r.writeAll, Logger: logger})
	return r
}

// Name names the service.
func (r *Recorder) Name() string { return r.group.Name() }

// Run flushes until ctx ends. It sleeps while nothing is reported.
func (r *Recorder) Run(ctx context.Context, ready func()) error { return r.group.Run(ctx, ready) }

// touched notes that an attempt has something to write.
func (r *Recorder) touched(a *attempt) { r.group.Touch(a) }

// writeAll stores what attempts reported.
func (r *Recorder) writeAll(ctx context.Context, tx *postgres.Tx, all []taken) error {
	// Row locks in the order of ids, as everywhere.
	slices.SortFunc(all, func(a, b taken) int { return cmp.Compare(a.a.claim.NodeRun.ID, b.a.claim.NodeRun.ID) })
	for _, t := range all {
		if err := r.write(ctx, tx, t); err != nil {
			return err
		}
	}
	return nil
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
