package download

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/download/dbsqlc"
	"github.com/llmctl/studio/internal/download/transfer"
	"github.com/llmctl/studio/internal/postgres"
)

// How an attempt ends before its work is done.
var (
	errStale     = errors.New("another attempt has begun")
	errPause     = errors.New("asked to pause")
	errCancel    = errors.New("asked to stop")
	errHandOver  = errors.New("this worker stops")
	errNoClaim   = errors.New("nothing to claim")
	errSettled   = errors.New("ended by somebody else")
	errUnplanned = errors.New("the list of files is empty")
)

// claim takes a queued job for a worker: a new attempt. errNoClaim when there is
// nothing to do.
func (s *Service) claim(ctx context.Context, id int64, worker uuid.UUID) (Job, []File, error) {
	var job Job
	var files []File
	err := s.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		job, err = s.q.ClaimJob(ctx, tx, dbsqlc.ClaimJobParams{ID: id, WorkerProcessID: &worker})
		if postgres.NotFound(err) {
			return errNoClaim
		}
		if err != nil {
			return fmt.Errorf("claim download %d: %w", id, err)
		}
		err = s.q.InsertAttempt(ctx, tx, dbsqlc.InsertAttemptParams{
			DownloadJobID: id, Number: job.Attempt, WorkerProcessID: worker, BytesBefore: job.BytesDone,
		})
		if err != nil {
			return fmt.Errorf("insert attempt %d of download %d: %w", job.Attempt, id, err)
		}
		if files, err = s.q.ListFiles(ctx, tx, id); err != nil {
			return fmt.Errorf("load files of download %d: %w", id, err)
		}
		return s.announce(ctx, tx, &job, nil)
	})
	return job, files, err
}

// report is how far an attempt is.
type report struct {
	status    Status
	done      int64
	files     int
	fetched   int64 // by this attempt
	since     int64 // of that, not reported before
	perSecond int64
	place     string
	changed   []transfer.FileState
	views     []JobFile
}

const updateFilesSQL = `UPDATE download_file f
SET status = n.status, bytes_done = n.bytes_done, ranges = n.ranges::jsonb, error = nullif(n.error, '')
FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::text[]) AS n (id, status, bytes_done, ranges, error)
WHERE f.id = n.id AND f.download_job_id = $1`

// progress writes a report, if the attempt still has the job, and announces it. It
// gives the job, with what was ordered meanwhile; errStale if another attempt has
// begun.
func (s *Service) progress(ctx context.Context, j *Job, r report) (Job, error) {
	var out Job
	err := s.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		out, err = s.q.Progress(ctx, tx, dbsqlc.ProgressParams{
			ID: j.ID, Attempt: j.Attempt, WorkerProcessID: j.WorkerProcessID, Status: r.status, BytesDone: r.done, FilesDone: int32(r.files),
			FetchedSince: r.since, BytesPerSecond: r.perSecond, Place: r.place,
		})
		if postgres.NotFound(err) {
			return errStale
		}
		if err != nil {
			return fmt.Errorf("report progress of download %d: %w", j.ID, err)
		}
		err = s.q.AttemptFetched(ctx, tx, dbsqlc.AttemptFetchedParams{DownloadJobID: j.ID, Number: j.Attempt, BytesFetched: r.fetched})
		if err != nil {
			return fmt.Errorf("report progress of download %d: %w", j.ID, err)
		}
		if err := s.updateFiles(ctx, tx, j.ID, r.changed); err != nil {
			return err
		}
		return s.announce(ctx, tx, &out, r.views)
	})
	return out, err
}

func (s *Service) updateFiles(ctx context.Context, tx *postgres.Tx, id int64, changed []transfer.FileState) error {
	n := len(changed)
	if n == 0 {
		return nil
	}
	ids, statuses, done, ranges, problems := make([]int64, n), make([]string, n), make([]int64, n), make([]string, n), make([]string, n)
	for i, c := range changed {
		raw, err := json.Marshal(c.Ranges)
		if err != nil {
			return fmt.Errorf("encode ranges: %w", err)
		}
		ids[i], statuses[i], done[i], ranges[i], problems[i] = c.ID, c.Status, c.Done, string(raw), c.Problem
	}
	if _, err := tx.Exec(ctx, updateFilesSQL, id, ids, statuses, done, ranges, problems); err != nil {
		return fmt.Errorf("update files of download %d: %w", id, err)
	}
	return nil
}

// outcome is how an attempt ended.
type outcome struct {
	status  string // of the attempt
	failure *JobFailure
	after   time.Duration // that the hub asked to wait
	fetched int64
}

// maxLost is how often in a row a worker may die over a job without a byte of
// progress; maxFailures how often in a row an attempt may fail that way.
const (
	maxLost     = 3
	maxFailures = 5
)

// finish ends an attempt and settles its job. errSettled when the attempt does not
// have the job any more.
func (s *Service) finish(ctx context.Context, id int64, number int32, worker *uuid.UUID, o outcome) error {
	return s.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		j, err := s.q.LockJob(ctx, tx, id)
		if postgres.NotFound(err) {
			return errSettled
		}
		if err != nil {
			return fmt.Errorf("lock download %d: %w", id, err)
		}
		if j.FinishedAt != nil || j.Attempt != number || j.WorkerProcessID == nil || worker != nil && *j.WorkerProcessID != *worker {
			return errSettled
		}
		a, err := s.q.GetAttempt(ctx, tx, dbsqlc.GetAttemptParams{DownloadJobID: id, Number: number})
		if err != nil {
			return fmt.Errorf("load attempt %d of download %d: %w", number, id, err)
		}
		to := decide(&j, &a, o)
		end := dbsqlc.EndAttemptParams{DownloadJobID: id, Number: number, Status: o.status}
		if o.failure != nil {
			if end.Error, err = json.Marshal(o.failure); err != nil {
				return fmt.Errorf("encode failure: %w", err)
			}
		}
		if _, err := s.q.EndAttempt(ctx, tx, end); err != nil {
			return fmt.Errorf("end attempt %d of download %d: %w", number, id, err)
		}
		_, err = s.settle(ctx, tx, j, to)
		return err
	})
}

// decide tells what becomes of a job whose attempt has ended. Pure.
func decide(j *Job, a *Attempt, o outcome) settlement {
	progressed := a.BytesFetched > 0 || o.fetched > 0 || j.BytesDone > a.BytesBefore
	partials := cleanPartials
	switch {
	case o.status == "succeeded":
		return settlement{status: Succeeded}
	case j.Status == Cancelling && o.status == "cancelled":
		return settlement{status: Cancelled, failure: o.failure}
	case j.Status == Cancelling:
		// It ended otherwise before it heard of the order; what it left is to go.
		return settlement{status: Cancelled, cleanup: &partials}
	case o.status == "failed" && (o.failure == nil || !o.failure.Retryable):
		return settlement{status: Failed, failure: o.failure}
	case o.status == "failed":
		return again(j, o, progressed)
	case o.status == "lost":
		return lost(j, o, progressed)
	case j.PauseRequestedAt != nil:
		return settlement{status: Paused}
	default: // handed over, or a pause that was withdrawn
		return settlement{status: Queued, keep: true}
	}
}

// again is the next attempt after a failure that may pass.
func again(j *Job, o outcome, progressed bool) settlement {
	failures := j.Failures + 1
	if progressed {
		failures = 1
	}
	if j.PauseRequestedAt != nil {
		return settlement{status: Paused, failure: o.failure, failures: failures}
	}
	if failures > maxFailures {
		return settlement{status: Failed, failure: o.failure, failures: failures}
	}
	wait := max(15*time.Second<<(failures-1), o.after)
	return settlement{status: Queued, failure: o.failure, failures: failures, after: wait}
}

func lost(j *Job, o outcome, progressed bool) settlement {
	n := j.Lost + 1
	if progressed {
		n = 1
	}
	switch {
	case n > maxLost:
		return settlement{status: Failed, lost: n, failure: &JobFailure{
			Code: "lost", Message: fmt.Sprintf("%d workers in a row died while they worked this download, without a byte of progress. Look at their logs before it is started again.", n),
		}}
	case j.PauseRequestedAt != nil:
		return settlement{status: Paused, lost: n, failures: j.Failures}
	default:
		return settlement{status: Queued, lost: n, failures: j.Failures, failure: o.failure}
	}
}
