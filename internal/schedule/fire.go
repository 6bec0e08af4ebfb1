package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/schedule/dbsqlc"
)

// Starter starts a run as part of a transaction.
type Starter interface {
	StartTx(ctx context.Context, tx *postgres.Tx, req run.StartRequest) (run.Run, error)
}

// IndexStarter starts an index run as part of a transaction, and gives its node run. Error
// of reason rag.source_active: the source is being indexed.
type IndexStarter interface {
	StartIndexTx(ctx context.Context, tx *postgres.Tx, sourceID int64, mode string, by Origin) (nodeRunID int64, err error)
}

// Origin is on whose behalf a schedule starts something.
type Origin struct {
	UserID        *int64
	CorrelationID string
}

// Firer fires schedules whose time has come.
type Firer struct {
	store   *Store
	starter Starter
	indexer IndexStarter
	log     *slog.Logger
	fired   func(outcome string, late time.Duration) // for figures; nil: nobody counts
	// retries counts how often a start failed for no fault of the schedule's, by
	// schedule and due time. Only one round at a time uses it.
	retries map[string]int
}

// NewFirer makes a firer. A Firer's methods are for one goroutine; any number of
// firers, here and elsewhere, may work side by side.
func NewFirer(store *Store, starter Starter, log *slog.Logger, fired func(outcome string, late time.Duration)) *Firer {
	if fired == nil {
		fired = func(string, time.Duration) {}
	}
	return &Firer{store: store, starter: starter, log: log, fired: fired, retries: map[string]int{}}
}

// Indexing has the schedules of sources start index runs; without it they fail.
func (f *Firer) Indexing(i IndexStarter) *Firer {
	f.indexer = i
	return f
}

const (
	// maxRound bounds the firings of one round, so that a round ends.
	maxRound = 1000
	// maxRetries is how often a start is tried that fails inside; then it is
	// written down as failed, lest it keep the schedule for ever.
	maxRetries = 5
)

var errNothingDue = errors.New("nothing is due")

// FireDue fires everything whose time has come; it gives how many firings were
// written. An error leaves the schedules that it names as they were: the next
// round tries them again.
func (f *Firer) FireDue(ctx context.Context) (int, error) {
	var failures []error
	skip := []int64{}
	for n := range maxRound {
		id, err := f.fireOne(ctx, skip, n%2 == 1)
		switch {
		case errors.Is(err, errNothingDue):
			return n, errors.Join(failures...)
		case err != nil && (id == 0 || ctx.Err() != nil):
			return n, errors.Join(append(failures, err)...)
		case err != nil:
			skip = append(skip, id)
			failures = append(failures, fmt.Errorf("fire schedule %d: %w", id, err))
		}
	}
	return maxRound, errors.Join(failures...)
}

// startError is that the run could not be started; the transaction is rolled back
// because of it.
type startError struct {
	at    overdue
	cause error
}

// Error implements error.
func (e *startError) Error() string { return "start: " + e.cause.Error() }

// Unwrap gives the cause.
func (e *startError) Unwrap() error { return e.cause }

// claim takes the next schedule that is due, of sources first or last: neither kind keeps
// the other from its turn.
func (f *Firer) claim(ctx context.Context, tx *postgres.Tx, skip []int64, sourcesFirst bool) (Row, time.Time, error) {
	for _, sources := range []bool{sourcesFirst, !sourcesFirst} {
		var claimed dbsqlc.ClaimDueRow
		var err error
		if sources {
			var c dbsqlc.ClaimDueSourceRow
			c, err = f.store.q.ClaimDueSource(ctx, tx, skip)
			claimed = dbsqlc.ClaimDueRow(c)
		} else {
			claimed, err = f.store.q.ClaimDue(ctx, tx, skip)
		}
		if postgres.NotFound(err) {
			continue
		}
		if err != nil {
			return Row{}, time.Time{}, fmt.Errorf("take a due schedule: %w", err)
		}
		ownTimes(&claimed.Schedule)
		return claimed.Schedule, claimed.DbNow, nil
	}
	return Row{}, time.Time{}, errNothingDue
}

// fireOne does the next schedule that is due. It gives its id, 0 if none was
// reached.
func (f *Firer) fireOne(ctx context.Context, skip []int64, sourcesFirst bool) (int64, error) {
	var row Row
	var done []firing
	err := f.store.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		row, done = Row{}, nil
		claimed, now, err := f.claim(ctx, tx, skip, sourcesFirst)
		if err != nil {
			return err
		}
		row = claimed
		done, err = f.fire(ctx, tx, &row, now, func(at overdue) (firing, error) { return f.start(ctx, tx, &row, at) })
		return err
	})
	if failed, ok := errors.AsType[*startError](err); ok {
		return row.ID, f.failed(ctx, &row, failed)
	}
	if err == nil {
		f.report(ctx, &row, done)
	}
	return row.ID, err
}

// firing is what is written of a time.
type firing struct {
	overdue
	origin, outcome, reason, message string
	missed                           int
	late                             time.Duration
}

// fire does what the plan says, as part of the transaction that holds the row; one
// writes the firing of a time.
func (f *Firer) fire(ctx context.Context, tx *postgres.Tx, row *Row, now time.Time, one func(at overdue) (firing, error)) ([]firing, error) {
	m, err := timingOf(row)
	if err != nil {
		return f.unreadable(ctx, tx, row, err)
	}
	p := planOf(row, m, now)
	var done []firing
	if p.missed > 0 {
		w := firing{
			overdue: overdue{due: p.lastMissed, missed: true}, origin: OriginDue, outcome: OutcomeMissed, missed: p.missed, reason: "schedule.missed",
			message: missedMessage(p.missed),
		}
		if _, err := f.write(ctx, tx, row, w); err != nil {
			return nil, err
		}
		done = append(done, w)
	}
	if p.fire != nil {
		w, err := one(*p.fire)
		if err != nil {
			return nil, err
		}
		w.late = now.Sub(w.due)
		done = append(done, w)
	}
	return done, f.setNext(ctx, tx, row.ID, p.due, p.next)
}

func (f *Firer) setNext(ctx context.Context, tx *postgres.Tx, id int64, due, fire time.Time) error {
	nextDue, nextFire := stored(due, fire)
	return f.store.setNext(ctx, tx, id, nextDue, nextFire)
}

// unreadable ends a schedule whose expression or zone is not understood any more
// (a time zone that was abolished), so that people see it.
func (f *Firer) unreadable(ctx context.Context, tx *postgres.Tx, row *Row, cause error) ([]firing, error) {
	known := errs.As(cause)
	w := firing{overdue: overdue{due: *row.NextDueAt}, origin: OriginDue, outcome: OutcomeFailed, reason: known.Reason, message: messageOf(known)}
	if _, err := f.write(ctx, tx, row, w); err != nil {
		return nil, err
	}
	return []firing{w}, f.setNext(ctx, tx, row.ID, time.Time{}, time.Time{})
}

func missedMessage(n int) string {
	if n == 1 {
		return "No scheduler ran at this time."
	}
	return fmt.Sprintf("No scheduler ran at this and the %d times before it.", n-1)
}

// write inserts a firing; false: the time has one already.
func (f *Firer) write(ctx context.Context, tx *postgres.Tx, row *Row, w firing) (bool, error) {
	n, err := f.store.q.InsertFiring(ctx, tx, dbsqlc.InsertFiringParams{
		ScheduleID: row.ID, DueAt: w.due, Origin: w.origin, Outcome: w.outcome, Missed: int32(w.missed), Reason: w.reason, Message: w.message,
	})
	if err != nil {
		return false, fmt.Errorf("write firing: %w", err)
	}
	if n == 0 || w.outcome == OutcomeStarted {
		return n == 1, nil
	}
	return true, f.store.announce(tx, row.ID, "updated", &firingNote{DueAt: w.due, Outcome: w.outcome, Reason: w.reason, Message: w.message})
}

// start writes the firing of a time and starts its run, unless the last one still
// runs and that matters.
func (f *Firer) start(ctx context.Context, tx *postgres.Tx, row *Row, at overdue) (firing, error) {
	w := firing{overdue: at, origin: OriginDue, outcome: OutcomeStarted}
	if at.missed {
		w.origin = OriginCatchUp
	}
	if row.OverlapPolicy == OverlapSkip {
		if err := f.overlap(ctx, tx, row, &w); err != nil {
			return w, err
		}
	}
	fresh, err := f.write(ctx, tx, row, w)
	if err != nil || !fresh || w.outcome != OutcomeStarted {
		return w, err
	}
	if row.RagSourceID != nil {
		err = f.startIndex(ctx, tx, row, at.due)
	} else {
		_, err = f.store.startRun(ctx, tx, f.starter, row, at.due, row.AppUserID)
	}
	if err != nil {
		return w, &startError{at: at, cause: err}
	}
	return w, nil
}

// overlap makes a firing one that is skipped, if what the schedule started goes on.
func (f *Firer) overlap(ctx context.Context, tx *postgres.Tx, row *Row, w *firing) error {
	if row.RagSourceID != nil {
		live, err := f.store.q.LiveIndexRun(ctx, tx, row.ID)
		if err != nil {
			return fmt.Errorf("look for the last index run: %w", err)
		}
		if live != 0 {
			w.outcome, w.reason = OutcomeSkipped, reasonOverlap
			w.message = fmt.Sprintf("The index run of this schedule (node %d) had not ended.", live)
		}
		return nil
	}
	live, err := f.store.q.LiveRun(ctx, tx, &row.ID)
	if err != nil {
		return fmt.Errorf("look for the last run: %w", err)
	}
	if live != 0 {
		w.outcome, w.reason = OutcomeSkipped, "schedule.previous_run_live"
		w.message = fmt.Sprintf("Run %d of this schedule had not ended.", live)
	}
	return nil
}

// startRun starts the run of a firing that is written already.
func (s *Store) startRun(ctx context.Context, tx *postgres.Tx, starter Starter, row *Row, due time.Time, user *int64) (run.Run, error) {
	version, err := s.version(ctx, tx, row)
	if err != nil {
		return run.Run{}, err
	}
	r, err := starter.StartTx(ctx, tx, run.StartRequest{
		FlowchartID: *row.FlowchartID, VersionID: version, Input: row.Input, UserID: user, ScheduleID: &row.ID, DueAt: &due,
		CorrelationID: correlation(row, due),
	})
	if err != nil {
		return r, err
	}
	err = s.q.SetFiringRun(ctx, tx, dbsqlc.SetFiringRunParams{ScheduleID: row.ID, DueAt: due, FlowchartRunID: &r.ID})
	if err != nil {
		return r, fmt.Errorf("note run %d: %w", r.ID, err)
	}
	return r, nil
}

func correlation(row *Row, due time.Time) string {
	return "schedule-" + strconv.FormatInt(row.ID, 10) + "-" + due.UTC().Format("20060102T150405Z")
}

// version gives the newest version that runs.
func (s *Store) version(ctx context.Context, q postgres.Querier, row *Row) (int64, error) {
	v, err := s.q.NewestValidVersion(ctx, q, *row.FlowchartID)
	if err == nil {
		return v.ID, nil
	}
	if !postgres.NotFound(err) {
		return 0, fmt.Errorf("find version of flowchart %d: %w", *row.FlowchartID, err)
	}
	state, err := s.q.FlowchartState(ctx, q, *row.FlowchartID)
	if err != nil {
		return 0, fmt.Errorf("load flowchart %d: %w", *row.FlowchartID, err)
	}
	if state.DeletedAt != nil {
		return 0, errs.Ef(errs.Conflict, "flow.deleted", "Flowchart %d (%s) is deleted. Restore it, or choose another one for the schedule.", *row.FlowchartID, state.Name)
	}
	return 0, errs.Ef(errs.Invalid, "flow.invalid", "No version of flowchart %d (%s) is free of problems. Open it in the editor to see them.", *row.FlowchartID, state.Name)
}

// failed writes down that a time's run could not be started, and why. What is no
// fault of the schedule's (the database went away) is tried again first.
func (f *Firer) failed(ctx context.Context, row *Row, e *startError) error {
	known := errs.As(e.cause)
	if known.Reason == run.ReasonOldWorker {
		if waits, err := f.postpone(ctx, row, e.at.due); waits || err != nil {
			return err
		}
	}
	key := strconv.FormatInt(row.ID, 10) + "@" + e.at.due.String()
	switch known.Code {
	case errs.Internal, errs.Unavailable, errs.Timeout, errs.RateLimited:
		if f.retries[key]++; f.retries[key] < maxRetries || ctx.Err() != nil {
			return e
		}
	default:
	}
	clear(f.retries) // those of others begin anew, which only means more patience
	w := firing{overdue: e.at, origin: OriginDue, outcome: OutcomeFailed, reason: known.Reason, message: messageOf(known)}
	if known.Reason == reasonActive {
		w.outcome, w.reason = OutcomeSkipped, reasonOverlap // somebody else indexes the source
	}
	if e.at.missed {
		w.origin = OriginCatchUp
	}
	err := f.store.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		again, now, err := f.store.lock(ctx, tx, row.ID, 0)
		if err != nil {
			return err
		}
		if again.NextDueAt == nil || !again.NextDueAt.Equal(*row.NextDueAt) {
			return nil // somebody else had it in the meantime
		}
		_, err = f.fire(ctx, tx, &again, now, func(at overdue) (firing, error) {
			if !at.due.Equal(e.at.due) {
				return w, errNothingDue // time has passed, and another one comes first; the next round does it
			}
			_, err := f.write(ctx, tx, &again, w)
			return w, err
		})
		return err
	})
	if errors.Is(err, errNothingDue) {
		return e
	}
	if err != nil {
		return fmt.Errorf("write down a failed firing: %w", err)
	}
	if w.outcome == OutcomeFailed {
		f.log.WarnContext(ctx, "a scheduled run could not be started", "schedule_id", row.ID, "due_at", e.at.due, "error", e.cause)
	}
	f.fired(w.outcome, 0)
	return nil
}

// messageOf is what people read: with the first faulty places.
func messageOf(e *errs.Error) string {
	parts := []string{e.Message}
	for _, d := range e.Details[:min(len(e.Details), 3)] {
		parts = append(parts, d.Location+" "+d.Message+".")
	}
	return strings.Join(parts, " ")
}

func (f *Firer) report(ctx context.Context, row *Row, done []firing) {
	for _, w := range done {
		f.fired(w.outcome, w.late)
		f.log.InfoContext(ctx, "schedule fired", "schedule_id", row.ID, "due_at", w.due, "origin", w.origin, "outcome", w.outcome, "missed", w.missed)
	}
}

// FireNow starts a schedule's run at once, whatever its times and its policies; a
// disabled one too. Errors: not_found, conflict when it is deleted, and those of a
// start.
func (s *Store) FireNow(ctx context.Context, tx *postgres.Tx, starter Starter, id int64, user *int64) (run.Run, error) {
	row, _, err := s.live(ctx, tx, id, 0)
	if err != nil {
		return run.Run{}, err
	}
	if row.RagSourceID != nil {
		return run.Run{}, errs.Ef(errs.Conflict, "schedule.source_target", "Schedule %d indexes source %d. Start an index run of that source.", id, *row.RagSourceID)
	}
	at, err := s.now(ctx, tx)
	if err != nil {
		return run.Run{}, err
	}
	n, err := s.q.InsertFiring(ctx, tx, dbsqlc.InsertFiringParams{ScheduleID: id, DueAt: at, Origin: OriginManual, Outcome: OutcomeStarted})
	if err != nil {
		return run.Run{}, fmt.Errorf("write firing: %w", err)
	}
	if n == 0 {
		return run.Run{}, errs.E(errs.Conflict, "schedule.fired", "The schedule fired in this very moment.")
	}
	return s.startRun(ctx, tx, starter, &row, at, user)
}
