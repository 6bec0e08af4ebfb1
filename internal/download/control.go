package download

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/download/dbsqlc"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// What is asked of a job that somebody works reaches the worker with the answer to
// its next progress, twice a second. Until the worker confirms, the job says what
// was asked.

// lock gives a job for a change. revision 0: whatever it is.
func (s *Service) lock(ctx context.Context, tx *postgres.Tx, id, revision int64) (Job, error) {
	j, err := s.q.LockJob(ctx, tx, id)
	if postgres.NotFound(err) || err == nil && j.DeleteRequestedAt != nil {
		return j, notFound(id)
	}
	if err != nil {
		return j, fmt.Errorf("lock download %d: %w", id, err)
	}
	if revision != 0 && j.RevisionNumber != revision {
		return j, errs.E(errs.Precondition, "download.stale", "This download has changed in the meantime. Load it again.")
	}
	return j, nil
}

func ended(j *Job) error {
	return errs.Ef(errs.Conflict, "download.finished", "Download %d has ended already (%s).", j.ID, j.Status)
}

// PauseTx asks a job to pause. One that nobody works pauses at once; a worker
// confirms within a second, and what it has stays on the disk. Errors: not_found,
// conflict when it has ended or is being cancelled.
func (s *Service) PauseTx(ctx context.Context, tx *postgres.Tx, id, revision int64) (Job, error) {
	j, err := s.lock(ctx, tx, id, revision)
	if err != nil {
		return j, err
	}
	switch {
	case j.FinishedAt != nil:
		return j, ended(&j)
	case j.Status == Cancelling:
		return j, errs.Ef(errs.Conflict, "download.cancelling", "Download %d is being cancelled.", id)
	case j.PauseRequestedAt != nil:
		return j, nil // asked already
	}
	if j, err = s.q.RequestPause(ctx, tx, id); err != nil {
		return j, fmt.Errorf("ask download %d to pause: %w", id, err)
	}
	if j.Status == Queued {
		return s.settle(ctx, tx, j, settlement{status: Paused, keep: true})
	}
	return j, s.announce(ctx, tx, &j, nil)
}

// ResumeTx lets a paused job go on; a pause that is not confirmed yet is withdrawn.
// Errors: not_found, conflict when it is not paused.
func (s *Service) ResumeTx(ctx context.Context, tx *postgres.Tx, id, revision int64) (Job, error) {
	j, err := s.lock(ctx, tx, id, revision)
	if err != nil {
		return j, err
	}
	switch {
	case j.FinishedAt != nil:
		return j, errs.Ef(errs.Conflict, "download.finished",
			"Download %d has ended already (%s). Start it anew: what is on the disk is not fetched again.", id, j.Status)
	case j.Status == Paused:
		return s.settle(ctx, tx, j, settlement{status: Queued})
	case j.PauseRequestedAt == nil:
		return j, errs.Ef(errs.Conflict, "download.not_paused", "Download %d is %s, not paused.", id, j.Status)
	}
	if j, err = s.q.WithdrawPause(ctx, tx, id); err != nil {
		return j, fmt.Errorf("withdraw the pause of download %d: %w", id, err)
	}
	return j, s.announce(ctx, tx, &j, nil)
}

// CancelTx asks a job to stop for good. One that nobody works is cancelled at once,
// else its worker confirms. What it has fetched is removed. Errors: not_found,
// conflict when it has ended.
func (s *Service) CancelTx(ctx context.Context, tx *postgres.Tx, id, revision int64) (Job, error) {
	j, err := s.lock(ctx, tx, id, revision)
	if err != nil {
		return j, err
	}
	switch j.Status {
	case Cancelling:
		return j, nil
	case Queued, Paused:
		if err := s.q.NoteCancel(ctx, tx, id); err != nil {
			return j, fmt.Errorf("cancel download %d: %w", id, err)
		}
		return s.settle(ctx, tx, j, settlement{status: Cancelled, cleanup: partialsOf(&j)})
	}
	if j.FinishedAt != nil {
		return j, ended(&j)
	}
	if j, err = s.q.RequestCancel(ctx, tx, id); err != nil {
		return j, fmt.Errorf("ask download %d to stop: %w", id, err)
	}
	return j, s.announce(ctx, tx, &j, nil)
}

// What a worker has to remove.
const (
	cleanPartials = "partials"
	cleanFiles    = "files"
)

// partialsOf tells whether a job may have left something on a disk.
func partialsOf(j *Job) *string {
	if j.Attempt == 0 {
		return nil
	}
	what := cleanPartials
	return &what
}

// Deleted is what became of the wish to delete a job.
type Deleted struct {
	Bytes   int64 // that go with it
	Removed bool  // done already; else a worker does it
}

// DeleteTx removes a job that has ended from the lists, and with files also what
// it brought. What lies on a disk is removed by a worker that has the disk.
// Errors: not_found, conflict while it has not ended, or while another job writes
// the same target.
func (s *Service) DeleteTx(ctx context.Context, tx *postgres.Tx, id, revision int64, files bool) (Deleted, error) {
	j, err := s.lock(ctx, tx, id, revision)
	if err != nil {
		return Deleted{}, err
	}
	if j.FinishedAt == nil {
		return Deleted{}, errs.Ef(errs.Conflict, "download.active", "Download %d is %s. Cancel it first.", id, j.Status)
	}
	what, err := s.leftOf(ctx, tx, &j, files)
	if err != nil {
		return Deleted{}, err
	}
	j, err = s.q.RequestDelete(ctx, tx, dbsqlc.RequestDeleteParams{ID: id, Cleanup: what})
	if err != nil {
		return Deleted{}, fmt.Errorf("delete download %d: %w", id, err)
	}
	if err := s.announce(ctx, tx, &j, nil); err != nil {
		return Deleted{}, err
	}
	if what == nil {
		_, err = s.q.DeleteJob(ctx, tx, id)
		return Deleted{Removed: true}, err
	}
	out := Deleted{}
	if *what == cleanFiles {
		out.Bytes = j.BytesTotal
	} else {
		out.Bytes = j.BytesDone
	}
	return out, s.o.Queue.Enqueue(ctx, tx, []Pointer{{ID: id}})
}

// leftOf tells what of a job there is to remove; nil: nothing.
func (s *Service) leftOf(ctx context.Context, tx *postgres.Tx, j *Job, files bool) (*string, error) {
	if j.Status != Succeeded {
		return partialsOf(j), nil
	}
	if !files {
		return nil, nil //nolint:nilnil // nothing
	}
	busy, err := s.q.OtherLivingOfTarget(ctx, tx, dbsqlc.OtherLivingOfTargetParams{Target: j.Target, ID: j.ID})
	if err != nil {
		return nil, fmt.Errorf("look for other downloads of %s: %w", j.Target, err)
	}
	if busy {
		return nil, errs.Ef(errs.Conflict, "download.target_busy", "Another download writes models/%s. Wait for its end, or cancel it.", j.Target)
	}
	what := cleanFiles
	return &what, nil
}

// settlement is what a job is when nobody works it any more.
type settlement struct {
	status   Status
	failure  *JobFailure
	failures int32
	lost     int32
	after    time.Duration // until the next attempt
	cleanup  *string
	keep     bool // the counters stay
}

// settle writes it, enqueues what follows, and announces it. The caller holds the
// row's lock.
func (s *Service) settle(ctx context.Context, tx *postgres.Tx, j Job, to settlement) (Job, error) {
	if !JobStates().Allows(j.Status, to.status) {
		return j, fmt.Errorf("download %d cannot go from %s to %s", j.ID, j.Status, to.status)
	}
	if to.keep {
		to.failures, to.lost = j.Failures, j.Lost
	}
	p := dbsqlc.SettleJobParams{
		ID: j.ID, Status: to.status, Failures: to.failures, Lost: to.lost, AfterSeconds: to.after.Seconds(), Cleanup: to.cleanup,
		Final: JobStates().Final(to.status),
	}
	if to.failure != nil {
		raw, err := json.Marshal(to.failure)
		if err != nil {
			return j, fmt.Errorf("encode failure: %w", err)
		}
		p.Error = raw
	}
	j, err := s.q.SettleJob(ctx, tx, p)
	if err != nil {
		return j, fmt.Errorf("settle download %d: %w", j.ID, err)
	}
	if j.Status == Queued || j.Cleanup != nil {
		next := Pointer{ID: j.ID}
		if to.after > 0 { // a time that is only just to come would have to wait for the queue's scheduler
			next.At = s.o.Now().Add(to.after)
		}
		if err := s.o.Queue.Enqueue(ctx, tx, []Pointer{next}); err != nil {
			return j, err
		}
	}
	return j, s.announce(ctx, tx, &j, nil)
}
