package schedule

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/schedule/dbsqlc"
)

const (
	// reasonActive is that of an index run that is not started because another one goes on.
	reasonActive = "rag.source_active"
	// reasonOverlap is that of a firing that is skipped for it.
	reasonOverlap = "schedule.overlap"
)

// SourceSchedule is when a source is indexed; a source has one schedule at most.
type SourceSchedule struct {
	ID           int64
	Cron         string // or
	EverySeconds *int32
	TimeZone     string
	Mode         string
	Enabled      bool
	NextDueAt    *time.Time
}

// sourceInput is the input of a source's schedule.
type sourceInput struct {
	Mode string `json:"mode"`
}

// ModeOf is how a source's schedule indexes it.
func ModeOf(r *Row) string {
	var in sourceInput
	if json.Unmarshal(r.Input, &in) != nil || in.Mode != rag.Fresh {
		return rag.Delta
	}
	return in.Mode
}

// SetForSource stores a source's schedule under the source's name; nil removes it. Errors:
// invalid, with details at body.schedule.
func (s *Store) SetForSource(ctx context.Context, tx *postgres.Tx, sourceID int64, name string, want *SourceSchedule, user *int64) error {
	has, err := s.q.LockOfSource(ctx, tx, &sourceID)
	there := err == nil
	if err != nil && !postgres.NotFound(err) {
		return fmt.Errorf("lock schedule of source %d: %w", sourceID, err)
	}
	switch {
	case want == nil && !there:
		return nil
	case want == nil:
		return s.SetDeleted(ctx, tx, has.ID, 0, true)
	case want.Mode != rag.Fresh && want.Mode != rag.Delta:
		return errs.E(errs.Invalid, "schedule.invalid", "The schedule cannot be saved like this.", errs.Detail{
			Location: "body.schedule.mode", Message: fmt.Sprintf("is %q; accepted are %s and %s", want.Mode, rag.Fresh, rag.Delta),
		})
	}
	input, err := json.Marshal(sourceInput{Mode: want.Mode})
	if err != nil {
		return fmt.Errorf("encode schedule: %w", err)
	}
	apply := func(f *Fields) {
		f.Name, f.SourceID, f.Input, f.Cron, f.EverySeconds = name, sourceID, input, want.Cron, want.EverySeconds
		f.TimeZone, f.Enabled = want.TimeZone, want.Enabled
	}
	if there {
		return underSchedule(s.Update(ctx, tx, has.ID, 0, apply))
	}
	f := Defaults()
	apply(&f)
	_, err = s.Create(ctx, tx, f, user)
	return underSchedule(err)
}

// underSchedule moves details from the body to its member schedule.
func underSchedule(err error) error {
	if !errs.Is(err, errs.Invalid) {
		return err
	}
	e := *errs.As(err)
	e.Details = append([]errs.Detail(nil), e.Details...)
	for i := range e.Details {
		if member, ok := strings.CutPrefix(e.Details[i].Location, "body."); ok {
			e.Details[i].Location = "body.schedule." + member
		}
	}
	return &e
}

// OfSources gives the schedules of sources, by source.
func (s *Store) OfSources(ctx context.Context, q postgres.Querier, ids []int64) (map[int64]SourceSchedule, error) {
	rows, err := s.q.OfSources(ctx, q, ids)
	if err != nil {
		return nil, fmt.Errorf("load schedules of sources: %w", err)
	}
	out := make(map[int64]SourceSchedule, len(rows))
	for i := range rows {
		r := &rows[i]
		ownTimes(r)
		out[*r.RagSourceID] = SourceSchedule{
			ID: r.ID, Cron: r.Cron, EverySeconds: r.EverySeconds, TimeZone: r.TimeZone, Mode: ModeOf(r), Enabled: r.Enabled, NextDueAt: r.NextDueAt,
		}
	}
	return out, nil
}

// SuspendSource puts the schedule of a source aside that is deleted in this transaction.
func (s *Store) SuspendSource(ctx context.Context, tx *postgres.Tx, sourceID int64) error {
	has, err := s.q.LockOfSource(ctx, tx, &sourceID)
	if postgres.NotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("lock schedule of source %d: %w", sourceID, err)
	}
	return s.SetDeleted(ctx, tx, has.ID, 0, true)
}

// ResumeSource takes the schedule back that was put aside at a time, with its source.
func (s *Store) ResumeSource(ctx context.Context, tx *postgres.Tx, sourceID int64, suspendedAt time.Time) error {
	id, err := s.q.PutAside(ctx, tx, dbsqlc.PutAsideParams{RagSourceID: &sourceID, DeletedAt: &suspendedAt})
	if postgres.NotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find schedule of source %d: %w", sourceID, err)
	}
	return s.SetDeleted(ctx, tx, id, 0, false)
}

func (s *Store) checkSource(ctx context.Context, q postgres.Querier, f *Fields) error {
	state, err := s.q.SourceState(ctx, q, f.SourceID)
	if err != nil && !postgres.NotFound(err) {
		return fmt.Errorf("load source %d: %w", f.SourceID, err)
	}
	if err != nil || state.DeletedAt != nil {
		return errs.E(errs.Invalid, "schedule.invalid", "The schedule cannot be saved like this.",
			errs.Detail{Location: "body.rag_source_id", Message: fmt.Sprintf("is %d; there is no such source", f.SourceID)})
	}
	return nil
}

// startIndex starts the index run of a firing that is written already.
func (f *Firer) startIndex(ctx context.Context, tx *postgres.Tx, row *Row, due time.Time) error {
	if f.indexer == nil {
		return errs.E(errs.Conflict, "schedule.no_indexer", "This scheduler starts no index runs.")
	}
	node, err := f.indexer.StartIndexTx(ctx, tx, *row.RagSourceID, ModeOf(row), Origin{UserID: row.AppUserID, CorrelationID: correlation(row, due)})
	if err != nil {
		return err
	}
	if err := f.store.q.SetFiringNode(ctx, tx, dbsqlc.SetFiringNodeParams{ScheduleID: row.ID, DueAt: due, NodeRunID: &node}); err != nil {
		return fmt.Errorf("note node run %d: %w", node, err)
	}
	return nil
}

// checkRestorable refuses to bring a schedule back whose source is deleted, or has
// another one by now.
func (s *Store) checkRestorable(ctx context.Context, tx *postgres.Tx, row *Row) error {
	state, err := s.q.SourceState(ctx, tx, *row.RagSourceID)
	if err != nil {
		return fmt.Errorf("load source %d: %w", *row.RagSourceID, err)
	}
	if state.DeletedAt != nil {
		return errs.Ef(errs.Conflict, "rag.source_deleted", "The source %q is deleted. Restore it first.", state.Name)
	}
	_, err = s.q.LockOfSource(ctx, tx, row.RagSourceID)
	if err == nil {
		return errs.Ef(errs.Conflict, "schedule.source_scheduled", "The source %q has another schedule by now. Change that one.", state.Name)
	}
	if !postgres.NotFound(err) {
		return fmt.Errorf("lock schedule of source %d: %w", *row.RagSourceID, err)
	}
	return nil
}
