package schedule

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/schedule/dbsqlc"
)

// Store keeps schedules. Every change of what decides the next time computes it
// anew, from the database's now.
type Store struct {
	db  *postgres.DB
	log *event.Log
	q   *dbsqlc.Queries
}

// NewStore makes a store.
func NewStore(db *postgres.DB, log *event.Log) *Store {
	return &Store{db: db, log: log, q: dbsqlc.New()}
}

func notFound(id int64) error {
	return errs.Ef(errs.NotFound, "schedule.not_found", "There is no schedule %d.", id)
}

// List gives the schedules that are not deleted, newest first; flowchart and source nil:
// of all.
func (s *Store) List(ctx context.Context, flowchart, source *int64, before int64, limit int32) ([]Item, error) {
	rows, err := s.q.ListSchedules(ctx, s.db, dbsqlc.ListSchedulesParams{FlowchartID: flowchart, RagSourceID: source, BeforeID: before, MaxRows: limit})
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	out := make([]Item, len(rows))
	for i, r := range rows {
		out[i] = Item(r)
		ownTimes(&out[i].Schedule)
	}
	return out, nil
}

// Get gives a schedule, deleted or not, as q sees it. Error: not_found.
func (s *Store) Get(ctx context.Context, q postgres.Querier, id int64) (Item, error) {
	row, err := s.q.GetSchedule(ctx, q, id)
	if postgres.NotFound(err) {
		return row, notFound(id)
	}
	if err != nil {
		return row, fmt.Errorf("load schedule %d: %w", id, err)
	}
	ownTimes(&row.Schedule)
	return row, nil
}

// Planned gives the schedules that are going to fire, the next one first.
func (s *Store) Planned(ctx context.Context, limit int32) ([]Row, error) {
	rows, err := s.q.ListEnabled(ctx, s.db, limit)
	if err != nil {
		return nil, fmt.Errorf("list planned schedules: %w", err)
	}
	for i := range rows {
		ownTimes(&rows[i])
	}
	return rows, nil
}

// Firings gives what became of a schedule's times, newest first. Error: not_found.
func (s *Store) Firings(ctx context.Context, id, before int64, limit int32) ([]Firing, error) {
	if _, err := s.Get(ctx, s.db, id); err != nil {
		return nil, err
	}
	rows, err := s.q.ListFirings(ctx, s.db, dbsqlc.ListFiringsParams{ScheduleID: id, BeforeID: before, MaxRows: limit})
	if err != nil {
		return nil, fmt.Errorf("list firings of schedule %d: %w", id, err)
	}
	return rows, nil
}

// Create makes a schedule. Errors: invalid (schedule.invalid), with all faulty
// fields.
func (s *Store) Create(ctx context.Context, tx *postgres.Tx, f Fields, user *int64) (int64, error) {
	if err := s.check(ctx, tx, &f, true); err != nil {
		return 0, err
	}
	kind, flowchart, source := f.target()
	row, err := s.q.InsertSchedule(ctx, tx, dbsqlc.InsertScheduleParams{
		Name: f.Name, TargetKind: kind, FlowchartID: flowchart, RagSourceID: source, Input: f.Input, Cron: f.Cron, EverySeconds: f.EverySeconds, TimeZone: f.TimeZone,
		JitterSeconds: f.JitterSeconds, MissedPolicy: f.MissedPolicy, CatchUpLimit: f.CatchUpLimit, OverlapPolicy: f.OverlapPolicy,
		Enabled: f.Enabled, AppUserID: user,
	})
	if err != nil {
		return 0, fmt.Errorf("insert schedule: %w", err)
	}
	now, err := s.now(ctx, tx)
	if err != nil {
		return 0, err
	}
	if err := s.plan(ctx, tx, &row, now); err != nil {
		return 0, err
	}
	return row.ID, s.announce(tx, row.ID, "created", nil)
}

// now is the database's clock.
func (s *Store) now(ctx context.Context, q postgres.Querier) (time.Time, error) {
	at, err := s.q.ClockNow(ctx, q)
	if err != nil {
		return at, fmt.Errorf("read the database's clock: %w", err)
	}
	return at, nil
}

// target gives the kind of what a schedule starts, and which it is.
func (f *Fields) target() (kind string, flowchart, source *int64) {
	if f.SourceID != 0 {
		return TargetSource, nil, &f.SourceID
	}
	return TargetFlowchart, &f.FlowchartID, nil
}

// check looks at the fields, and at the target if it was chosen just now.
func (s *Store) check(ctx context.Context, q postgres.Querier, f *Fields, chosen bool) error {
	if err := f.check(); err != nil || !chosen {
		return err
	}
	if f.SourceID != 0 {
		return s.checkSource(ctx, q, f)
	}
	state, err := s.q.FlowchartState(ctx, q, f.FlowchartID)
	if err != nil && !postgres.NotFound(err) {
		return fmt.Errorf("load flowchart %d: %w", f.FlowchartID, err)
	}
	if err != nil || state.DeletedAt != nil {
		return errs.E(errs.Invalid, "schedule.invalid", "The schedule cannot be saved like this.",
			errs.Detail{Location: "body.flowchart_id", Message: fmt.Sprintf("is %d; there is no such flowchart", f.FlowchartID)})
	}
	return nil
}

// plan sets the next time after now.
func (s *Store) plan(ctx context.Context, tx *postgres.Tx, r *Row, now time.Time) error {
	due, fire, err := upcoming(r, now)
	if err != nil {
		return err
	}
	return s.setNext(ctx, tx, r.ID, due, fire)
}

func (s *Store) setNext(ctx context.Context, tx *postgres.Tx, id int64, due, fire *time.Time) error {
	if err := s.q.SetNext(ctx, tx, dbsqlc.SetNextParams{ID: id, DueAt: due, FireAt: fire}); err != nil {
		return fmt.Errorf("set next time of schedule %d: %w", id, err)
	}
	return nil
}

// ownTimes puts the times of a source's schedule where those of all others are. They are
// stored apart: see SetNext.
func ownTimes(r *Row) {
	if r.RagSourceID == nil {
		return
	}
	r.NextDueAt, r.NextFireAt = nil, nil
	if r.Enabled && r.DeletedAt == nil { // an older release that ends it leaves its times
		r.NextDueAt, r.NextFireAt = r.IndexDueAt, r.IndexFireAt
	}
}

// stored gives null for times that do not come.
func stored(due, fire time.Time) (nextDue, nextFire *time.Time) {
	if due.IsZero() {
		return nil, nil
	}
	return &due, &fire
}

func (s *Store) lock(ctx context.Context, tx *postgres.Tx, id, revision int64) (Row, time.Time, error) {
	l, err := s.q.LockSchedule(ctx, tx, id)
	if postgres.NotFound(err) {
		return Row{}, time.Time{}, notFound(id)
	}
	if err != nil {
		return Row{}, time.Time{}, fmt.Errorf("lock schedule %d: %w", id, err)
	}
	if revision != 0 && l.Schedule.Revision != revision {
		return Row{}, time.Time{}, errs.E(errs.Precondition, "schedule.stale",
			"Somebody saved this schedule in the meantime. Load it again, then repeat your change.")
	}
	ownTimes(&l.Schedule)
	return l.Schedule, l.DbNow, nil
}

func (s *Store) live(ctx context.Context, tx *postgres.Tx, id, revision int64) (Row, time.Time, error) {
	r, now, err := s.lock(ctx, tx, id, revision)
	if err == nil && r.DeletedAt != nil {
		err = errs.Ef(errs.Conflict, "schedule.deleted", "Schedule %d is deleted. Restore it first.", id)
	}
	return r, now, err
}

// Update changes a schedule. Errors: not_found, precondition when it is not at
// revision any more (0: whatever it is), conflict when it is deleted, invalid.
func (s *Store) Update(ctx context.Context, tx *postgres.Tx, id, revision int64, change func(*Fields)) error {
	row, now, err := s.live(ctx, tx, id, revision)
	if err != nil {
		return err
	}
	before := fieldsOf(&row)
	f := before
	change(&f)
	if before.SourceID != f.SourceID || (before.SourceID != 0 && f.FlowchartID != 0) {
		return errs.Ef(errs.Conflict, "schedule.source_target", "Schedule %d indexes source %d, which cannot be changed. Make another schedule.", id, before.SourceID)
	}
	if err := s.check(ctx, tx, &f, f.FlowchartID != before.FlowchartID); err != nil {
		return err
	}
	_, flowchart, _ := f.target()
	p := dbsqlc.UpdateScheduleParams{
		ID: id, Name: f.Name, FlowchartID: flowchart, Input: f.Input, Cron: f.Cron, EverySeconds: f.EverySeconds, TimeZone: f.TimeZone, JitterSeconds: f.JitterSeconds,
		MissedPolicy: f.MissedPolicy, CatchUpLimit: f.CatchUpLimit, OverlapPolicy: f.OverlapPolicy, Enabled: f.Enabled,
	}
	row.Cron, row.EverySeconds, row.TimeZone, row.JitterSeconds, row.Enabled = f.Cron, f.EverySeconds, f.TimeZone, f.JitterSeconds, f.Enabled
	replan := f.Cron != before.Cron || !same(f.EverySeconds, before.EverySeconds) || f.TimeZone != before.TimeZone ||
		f.JitterSeconds != before.JitterSeconds || f.Enabled != before.Enabled
	if replan { // one that is disabled must have no times when that is stored
		if err := s.setNext(ctx, tx, id, nil, nil); err != nil {
			return err
		}
	}
	if err := s.q.UpdateSchedule(ctx, tx, p); err != nil {
		return fmt.Errorf("update schedule %d: %w", id, err)
	}
	if replan {
		if err := s.plan(ctx, tx, &row, now); err != nil {
			return err
		}
	}
	return s.announce(tx, id, "updated", nil)
}

func same(a, b *int32) bool { return a == b || (a != nil && b != nil && *a == *b) }

// upcoming gives the next time after now, null where there is none.
func upcoming(r *Row, now time.Time) (due, fire *time.Time, err error) {
	if !r.Enabled || r.DeletedAt != nil {
		return nil, nil, nil
	}
	m, err := timingOf(r)
	if err != nil {
		return nil, nil, err
	}
	due, fire = stored(m.after(now))
	return due, fire, nil
}

// SetDeleted deletes a schedule or takes that back; where that is so already
// nothing happens. Its firings and runs stay. Errors: as Update.
func (s *Store) SetDeleted(ctx context.Context, tx *postgres.Tx, id, revision int64, deleted bool) error {
	if !deleted {
		if err := s.q.LockSourceOf(ctx, tx, id); err != nil {
			return fmt.Errorf("lock source of schedule %d: %w", id, err)
		}
	}
	row, now, err := s.lock(ctx, tx, id, revision)
	if err != nil || deleted == (row.DeletedAt != nil) {
		return err
	}
	p := dbsqlc.SetDeletedParams{ID: id}
	row.DeletedAt = nil
	change := "created"
	if deleted {
		row.DeletedAt, p.DeletedAt = &now, &now
		change = "deleted"
	}
	if !deleted && row.RagSourceID != nil {
		if err := s.checkRestorable(ctx, tx, &row); err != nil {
			return err
		}
	}
	if err := s.q.SetDeleted(ctx, tx, p); err != nil {
		return fmt.Errorf("delete schedule %d: %w", id, err)
	}
	if !deleted {
		if err := s.plan(ctx, tx, &row, now); err != nil {
			return err
		}
	}
	return s.announce(tx, id, change, nil)
}

// firingNote is what an event says of a firing that started nothing.
type firingNote struct {
	DueAt   time.Time `json:"due_at"`
	Outcome string    `json:"outcome"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
}

func (s *Store) announce(tx *postgres.Tx, id int64, change string, note *firingNote) error {
	text := strconv.FormatInt(id, 10)
	payload := map[string]any{"schedule_id": id}
	if note != nil {
		payload["firing"] = note
	}
	return s.log.Append(tx, event.Draft{
		Stream: "config:schedule:" + text, Type: "config:schedule:" + change, EntityKind: "schedule", EntityID: text,
		Rooms: []string{"studio"}, Payload: payload,
	})
}
