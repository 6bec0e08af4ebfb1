package download

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/llmctl/studio/internal/download/dbsqlc"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
)

// JobView is a job as answers and events show it. Its token never is.
type JobView struct {
	ID               int64       `json:"id"`
	RepoID           string      `json:"repo_id"`
	Revision         string      `json:"revision"`
	Commit           string      `json:"commit"`
	Include          []string    `json:"include"`
	Exclude          []string    `json:"exclude"`
	Target           string      `json:"target" doc:"Folder below models in the data folder"`
	Status           string      `json:"status" enum:"queued,planning,downloading,verifying,paused,cancelling,succeeded,failed,cancelled"`
	Attempt          int32       `json:"attempt"`
	Worker           string      `json:"worker" doc:"Host of the worker that holds it; empty: nobody does"`
	BytesTotal       int64       `json:"bytes_total"`
	BytesDone        int64       `json:"bytes_done" doc:"On the disk"`
	BytesFetched     int64       `json:"bytes_fetched" doc:"Over the wire, all attempts together"`
	BytesPerSecond   int64       `json:"bytes_per_second"`
	ETASeconds       *int64      `json:"eta_seconds"`
	FilesTotal       int32       `json:"files_total"`
	FilesDone        int32       `json:"files_done" doc:"Complete and verified"`
	Error            *JobFailure `json:"error" doc:"Of a failed download, or why it waits for its next attempt"`
	Order            *JobOrder   `json:"order" doc:"What was asked of it last, and whether it is confirmed"`
	TokenSet         bool        `json:"token_set" doc:"It has a token of its own, which is never shown"`
	TokenFingerprint string      `json:"token_fingerprint"`
	RunAfter         *time.Time  `json:"run_after" doc:"When the next attempt begins, if it waits for that"`
	CreatedAt        time.Time   `json:"created_at"`
	StartedAt        *time.Time  `json:"started_at"`
	FinishedAt       *time.Time  `json:"finished_at"`
	Deleted          bool        `json:"deleted,omitempty" doc:"It is gone, or goes as soon as a worker has removed its files"`
}

// JobFailure is why a job failed, or has to try again.
type JobFailure struct {
	Code      string `json:"code"`
	Message   string `json:"message" doc:"What happened, why, and what to do"`
	Retryable bool   `json:"retryable"`
}

// JobOrder is what was asked of a job.
type JobOrder struct {
	Asked       string     `json:"asked" enum:"pause,cancel"`
	AskedAt     time.Time  `json:"asked_at"`
	Confirmed   bool       `json:"confirmed"`
	ConfirmedAt *time.Time `json:"confirmed_at"`
}

// JobFile is a file as answers and events show it.
type JobFile struct {
	ID             int64      `json:"id"`
	Path           string     `json:"path,omitempty" doc:"Left out of events"`
	Size           int64      `json:"size,omitempty" doc:"Left out of events"`
	HashKind       string     `json:"hash_kind,omitempty" enum:"sha256,git_sha1" doc:"Left out of events"`
	Hash           string     `json:"hash,omitempty" doc:"Left out of events"`
	Status         string     `json:"status" enum:"pending,downloading,verifying,succeeded,failed"`
	BytesDone      int64      `json:"bytes_done"`
	Ranges         [][2]int64 `json:"ranges" doc:"Bytes [from, to) that are there"`
	BytesPerSecond int64      `json:"bytes_per_second,omitempty"`
	ETASeconds     *int64     `json:"eta_seconds,omitempty"`
	Error          string     `json:"error,omitempty"`
}

// ViewOf shows a job; worker is the host that holds it.
func ViewOf(j *Job, worker string) JobView {
	v := JobView{
		ID: j.ID, RepoID: j.RepoID, Revision: j.Revision, Commit: j.CommitID, Include: j.Include, Exclude: j.Exclude, Target: j.Target,
		Status: j.Status, Attempt: j.Attempt, Worker: worker, BytesTotal: j.BytesTotal, BytesDone: j.BytesDone, BytesFetched: j.BytesFetched,
		BytesPerSecond: j.BytesPerSecond, ETASeconds: eta(j.BytesTotal-j.BytesDone, j.BytesPerSecond), FilesTotal: j.FilesTotal, FilesDone: j.FilesDone,
		Order: orderOf(j), TokenSet: j.TokenFingerprint != "", TokenFingerprint: j.TokenFingerprint,
		CreatedAt: j.CreatedAt, StartedAt: j.StartedAt, FinishedAt: j.FinishedAt, Deleted: j.DeleteRequestedAt != nil,
	}
	if len(j.Error) > 0 {
		f := &JobFailure{}
		if json.Unmarshal(j.Error, f) == nil {
			v.Error = f
		}
	}
	if j.Status == Queued && j.Error != nil {
		v.RunAfter = &j.RunAfter
	}
	return v
}

func orderOf(j *Job) *JobOrder {
	switch {
	case j.CancelRequestedAt != nil:
		return &JobOrder{Asked: "cancel", AskedAt: *j.CancelRequestedAt, Confirmed: j.Status == Cancelled, ConfirmedAt: j.FinishedAt}
	case j.PauseRequestedAt != nil:
		return &JobOrder{Asked: "pause", AskedAt: *j.PauseRequestedAt, Confirmed: j.Status == Paused, ConfirmedAt: j.PausedAt}
	}
	return nil
}

func eta(left, perSecond int64) *int64 {
	if perSecond <= 0 || left < 0 {
		return nil
	}
	n := (left + perSecond - 1) / perSecond
	return &n
}

// ViewFile shows a file.
func ViewFile(f *File) JobFile {
	v := JobFile{
		ID: f.ID, Path: f.Path, Size: f.Size, HashKind: f.HashKind, Hash: f.Hash, Status: f.Status, BytesDone: f.BytesDone, Ranges: [][2]int64{},
	}
	_ = json.Unmarshal(f.Ranges, &v.Ranges) // ours, and a picture only
	if f.Error != nil {
		v.Error = *f.Error
	}
	return v
}

// Stream is the stream and the room of a job's events.
func Stream(id int64) string { return "download_job:" + strconv.FormatInt(id, 10) }

type payload struct {
	DownloadJob JobView   `json:"download_job"`
	Files       []JobFile `json:"files"`
	DownloadID  int64     `json:"download_job_id"`
	Status      string    `json:"status"`
}

// announce appends what a job is by now, with the files that changed.
func (s *Service) announce(ctx context.Context, tx *postgres.Tx, j *Job, files []JobFile) error {
	kind := "download:job:updated"
	if j.FinishedAt != nil && j.DeleteRequestedAt == nil {
		kind = "download:job:completed"
	}
	worker := ""
	if j.WorkerProcessID != nil {
		var err error
		if worker, err = s.q.WorkerOf(ctx, tx, *j.WorkerProcessID); err != nil && !postgres.NotFound(err) {
			return fmt.Errorf("load the worker of download %d: %w", j.ID, err)
		}
	}
	if files == nil {
		files = []JobFile{}
	}
	id := strconv.FormatInt(j.ID, 10)
	err := s.o.Log.Append(tx, event.Draft{
		Stream: Stream(j.ID), Type: kind, EntityKind: "download_job", EntityID: id, Rooms: []string{Stream(j.ID), "studio"},
		RequestID: j.RequestID, CorrelationID: j.CorrelationID,
		Payload: payload{DownloadJob: ViewOf(j, worker), Files: files, DownloadID: j.ID, Status: j.Status},
	})
	if err != nil {
		return fmt.Errorf("announce download %d: %w", j.ID, err)
	}
	return nil
}

// Filter selects jobs of a list.
type Filter struct {
	Statuses []string
	BeforeID int64
	Limit    int32
}

// Listed is a job of a list.
type Listed = dbsqlc.ListJobsRow

// List gives jobs, newest first.
func (s *Service) List(ctx context.Context, f Filter) ([]Listed, error) {
	if f.Statuses == nil {
		f.Statuses = []string{}
	}
	rows, err := s.q.ListJobs(ctx, s.o.DB, dbsqlc.ListJobsParams{BeforeID: f.BeforeID, Statuses: f.Statuses, MaxRows: f.Limit})
	if err != nil {
		return nil, fmt.Errorf("list downloads: %w", err)
	}
	return rows, nil
}

// Detail is a job with everything that belongs to it, as of a number of its stream.
type Detail struct {
	Job      Job
	Worker   string
	Files    []File
	Attempts []dbsqlc.ListAttemptsRow
	AsOf     int64
}

// Get gives one job. Errors: not_found.
func (s *Service) Get(ctx context.Context, id int64) (Detail, error) {
	var d Detail
	err := s.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		if _, err := tx.Exec(ctx, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
			return err
		}
		var err error
		if d.Job, err = s.q.GetJob(ctx, tx, id); err != nil {
			return err
		}
		if d.Job.WorkerProcessID != nil {
			if d.Worker, err = s.q.WorkerOf(ctx, tx, *d.Job.WorkerProcessID); err != nil {
				return err
			}
		}
		if d.Files, err = s.q.ListFiles(ctx, tx, id); err != nil {
			return err
		}
		if d.Attempts, err = s.q.ListAttempts(ctx, tx, id); err != nil {
			return err
		}
		d.AsOf, err = s.q.LastSequence(ctx, tx, Stream(id))
		return err
	})
	if postgres.NotFound(err) {
		return d, notFound(id)
	}
	if err != nil {
		return d, fmt.Errorf("load download %d: %w", id, err)
	}
	return d, nil
}

func notFound(id int64) error {
	return errs.Ef(errs.NotFound, "download.not_found", "There is no download %d.", id)
}
