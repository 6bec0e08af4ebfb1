package download

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/download/dbsqlc"
	"github.com/llmctl/studio/internal/download/hub"
	"github.com/llmctl/studio/internal/download/transfer"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// failureOf explains what neither the hub nor a file is to blame for.
func failureOf(err error) *JobFailure {
	if e, ok := errors.AsType[*errs.Error](err); ok {
		return &JobFailure{Code: e.Reason, Message: e.Message}
	}
	if transfer.NoSpace(err) {
		return &JobFailure{Code: "download.no_space", Message: "The disk of the data folder is full. What is there stays: free some space and start the download again."}
	}
	if t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err); ok && t.Temporary() {
		return &JobFailure{Code: "broken_off", Message: "The hub broke off its answers again and again.", Retryable: true}
	}
	return &JobFailure{Code: "internal", Message: "Something went wrong on the worker: its log has the details.", Retryable: true}
}

// source connects a job's files with the hub.
type source struct {
	client *hub.Client
	token  string
	repo   string
	commit string
}

func (a *attempt) source() (transfer.Source, error) {
	s := a.w.s
	out := &source{client: s.o.Hub, token: s.o.Token, repo: a.job.RepoID, commit: a.job.CommitID}
	if a.job.TokenCiphertext != nil {
		raw, err := s.o.Seal.Open(a.job.TokenCiphertext, binding(a.job.ID))
		if err != nil {
			return nil, err
		}
		out.token = string(raw)
	}
	return out, nil
}

// Open implements transfer.Source.
func (s *source) Open(ctx context.Context, f transfer.File, from, to int64, etag string) (*transfer.Content, error) {
	c, err := s.client.Open(ctx, s.token, hub.Want{
		Repo: s.repo, Commit: s.commit, From: from, To: to, ETag: etag,
		File: hub.File{Path: f.Path, Size: f.Size, HashKind: f.HashKind, Hash: f.Hash},
	})
	if err != nil {
		return nil, err
	}
	return &transfer.Content{ReadCloser: c.ReadCloser, ETag: c.ETag}, nil
}

// clean removes what a job that has ended is to leave no more.
func (w *Worker) clean(ctx context.Context, id int64) error {
	s := w.s
	var job Job
	busy := false
	err := s.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		if job, err = s.q.LockJob(ctx, tx, id); err != nil {
			return err
		}
		busy, err = s.q.OtherLivingOfTarget(ctx, tx, dbsqlc.OtherLivingOfTargetParams{Target: job.Target, ID: id})
		return err
	})
	if postgres.NotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load download %d: %w", id, err)
	}
	if job.Cleanup == nil {
		return nil
	}
	place, err := transfer.PlaceID(s.models())
	if err != nil {
		return err
	}
	if job.Place != "" && job.Place != place {
		return s.q.PostponeCleanup(ctx, s.o.DB, id) // on another disk; a worker there does it
	}
	switch {
	case *job.Cleanup == cleanFiles:
		err = transfer.RemoveTarget(s.models(), job.Target)
	case !busy: // else they are the other's
		err = transfer.RemoveStage(s.models(), job.Target)
	}
	if err != nil {
		return err
	}
	return s.cleaned(ctx, &job)
}

// cleaned notes that everything is gone, and drops the job if that was wanted.
func (s *Service) cleaned(ctx context.Context, j *Job) error {
	if j.DeleteRequestedAt != nil {
		_, err := s.q.DeleteJob(ctx, s.o.DB, j.ID)
		return err
	}
	_, err := s.q.ClearCleanup(ctx, s.o.DB, dbsqlc.ClearCleanupParams{ID: j.ID, Cleanup: *j.Cleanup})
	return err
}

// speed measures over a window of some seconds.
type speed struct {
	total []sample
	files map[int64][]sample
}

type sample struct {
	at time.Time
	n  int64
}

const (
	speedWindow  = 8 * time.Second
	maxSpeedOf   = 64 // files that are measured at a time
	minSpeedSpan = 400 * time.Millisecond
)

// note takes the present figures and gives the total's bytes per second.
func (s *speed) note(now time.Time, fetched int64, changed []transfer.FileState) int64 {
	s.total = window(append(s.total, sample{now, fetched}))
	if s.files == nil {
		s.files = map[int64][]sample{}
	}
	for _, c := range changed {
		if c.Status != transfer.Downloading {
			delete(s.files, c.ID)
			continue
		}
		if len(s.files) < maxSpeedOf || s.files[c.ID] != nil {
			s.files[c.ID] = window(append(s.files[c.ID], sample{now, c.Fetched}))
		}
	}
	return rate(s.total)
}

// of gives a file's bytes per second.
func (s *speed) of(id int64) int64 { return rate(s.files[id]) }

func window(samples []sample) []sample {
	last := samples[len(samples)-1].at
	for len(samples) > 2 && last.Sub(samples[0].at) > speedWindow {
		samples = samples[1:]
	}
	return samples
}

func rate(samples []sample) int64 {
	if len(samples) < 2 {
		return 0
	}
	first, last := samples[0], samples[len(samples)-1]
	span := last.at.Sub(first.at)
	if span < minSpeedSpan || last.n <= first.n {
		return 0
	}
	return int64(float64(last.n-first.n) / span.Seconds())
}
