package download

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/download/hub"
	"github.com/llmctl/studio/internal/download/transfer"
)

// WorkerOptions are what a worker process is.
type WorkerOptions struct {
	ID    uuid.UUID
	Fresh func() bool // whether this worker may start side effects
	// Streams are the transfers at a time of one download (0: 8).
	Streams int
	// Every is the period of progress (0: 500 ms); Patience how long a former writer of
	// the same stage may take to let go of it before its bytes are copied (0: 1 s).
	Every, Patience time.Duration
	Backoff         func(try int) time.Duration // nil: transfer.Backoff
	// Worked is told of each attempt that this worker ended: how long it had waited since
	// it was due, how long it took, and whether it failed; nil: nobody counts.
	Worked func(waited, took time.Duration, failed bool)
	Logger *slog.Logger
}

// Worker works jobs, one in each call of Work.
type Worker struct {
	s *Service
	o WorkerOptions

	mu      sync.Mutex
	running map[int64]context.CancelCauseFunc
	idle    sync.WaitGroup
	leaving bool
}

// NewWorker makes a worker.
func NewWorker(s *Service, o WorkerOptions) *Worker {
	if o.Every == 0 {
		o.Every = 500 * time.Millisecond
	}
	if o.Patience == 0 {
		o.Patience = time.Second
	}
	return &Worker{s: s, o: o, running: map[int64]context.CancelCauseFunc{}}
}

// Work takes a job up, if there is something to do, and brings it as far as it gets.
func (w *Worker) Work(ctx context.Context, id int64) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if !w.enter(id, cancel) {
		return
	}
	defer w.leave(id)
	if !w.o.Fresh() {
		return // the sweep brings the job back
	}
	job, files, err := w.s.claim(ctx, id, w.o.ID)
	if errors.Is(err, errNoClaim) {
		if err := w.clean(ctx, id); err != nil && ctx.Err() == nil {
			w.o.Logger.WarnContext(ctx, "what a download left could not be removed", "download_id", id, "error", err)
		}
		return
	}
	if err != nil {
		if ctx.Err() == nil {
			w.o.Logger.WarnContext(ctx, "download not claimed", "download_id", id, "error", err)
		}
		return
	}
	a := &attempt{w: w, job: job, files: files, log: w.o.Logger.With("download_id", id, "attempt", job.Attempt)}
	began := w.s.o.Now()
	if status := a.end(ctx, a.run(ctx)); status != "" && w.o.Worked != nil {
		w.o.Worked(max(began.Sub(job.RunAfter), 0), w.s.o.Now().Sub(began), status == "failed")
	}
}

func (w *Worker) enter(id int64, cancel context.CancelCauseFunc) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.leaving || w.running[id] != nil {
		return false
	}
	w.running[id] = cancel
	w.idle.Add(1)
	return true
}

func (w *Worker) leave(id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, id)
	w.idle.Done()
}

// Drain hands over what runs: it goes on at the byte where it stopped. It returns
// when that is done, or ctx ends.
func (w *Worker) Drain(ctx context.Context) {
	w.mu.Lock()
	w.leaving = true
	for _, cancel := range w.running {
		cancel(errHandOver)
	}
	w.mu.Unlock()
	done := make(chan struct{})
	go func() { w.idle.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// attempt is one attempt of one job.
type attempt struct {
	w     *Worker
	job   Job
	files []File
	log   *slog.Logger

	place string
	stage *transfer.Stage
	fetch *transfer.Fetch
	speed speed
	told  int64 // fetched bytes that were reported
}

// run does the work; what it returns tells how it ended.
func (a *attempt) run(ctx context.Context) error {
	if len(a.files) == 0 {
		return errUnplanned
	}
	source, err := a.source()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := a.prepare(ctx, source); err != nil {
		return err
	}
	defer a.stage.Close()
	stop := a.follow(ctx, cancel)
	err = a.fetch.Run(ctx)
	stop()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if err == nil {
		err = a.placeIt(ctx)
	}
	if errors.Is(err, errCancel) {
		if derr := a.stage.Discard(); derr != nil {
			return derr
		}
	}
	return err
}

// prepare takes the stage, looks at what is there, and whether the rest fits.
func (a *attempt) prepare(ctx context.Context, source transfer.Source) error {
	models := a.w.s.models()
	var err error
	if a.place, err = transfer.PlaceID(models); err != nil {
		return err
	}
	own := transfer.Generation{Job: a.job.ID, Attempt: a.job.Attempt}
	if a.stage, err = transfer.OpenStage(ctx, models, a.job.Target, own, a.w.o.Patience); err != nil {
		return err
	}
	if a.stage.Copied {
		a.log.InfoContext(ctx, "the former writer of the stage still exists; its bytes were copied")
	}
	wanted := make([]transfer.File, len(a.files))
	for i, f := range a.files {
		wanted[i] = transfer.File{ID: f.ID, Path: f.Path, Size: f.Size, HashKind: f.HashKind, Hash: f.Hash}
	}
	err = a.stage.Reuse(ctx, a.job.CommitID, wanted)
	if err == nil {
		a.fetch = transfer.NewFetch(a.stage, wanted, transfer.FetchOptions{
			Source: source, Streams: a.w.o.Streams, Backoff: a.w.o.Backoff, Logger: a.log,
		})
		err = a.fits(models)
	}
	if err == nil {
		err = a.tell(ctx, Planning)
	}
	if err != nil {
		if errors.Is(err, errCancel) {
			err = errors.Join(err, a.stage.Discard())
		}
		a.stage.Close()
	}
	return err
}

func (a *attempt) fits(models string) error {
	_, done, _, _ := a.fetch.Changes(0)
	space, err := transfer.SpaceAt(models)
	if err != nil {
		return fmt.Errorf("look at the disk: %w", err)
	}
	need := a.job.BytesTotal - done
	if need > space.Free-a.w.s.o.Reserve {
		return noSpace(need, space.Free, a.w.s.o.Reserve)
	}
	return nil
}

// placeIt asks once more whether the job is still ours, and puts the files in place.
func (a *attempt) placeIt(ctx context.Context) error {
	if err := a.tell(ctx, Verifying); err != nil {
		return err
	}
	if !a.w.o.Fresh() {
		return errHandOver
	}
	return a.stage.Place(a.job.RepoID, a.job.CommitID, map[string]string{
		"name":        a.job.RepoID,
		"model":       a.job.RepoID,
		"description": fmt.Sprintf("Downloaded from %s, revision %s (%.12s).", a.w.s.o.Hub.Host(), a.job.Revision, a.job.CommitID),
	})
}

// follow reports progress until stop, and ends ctx with what was ordered.
func (a *attempt) follow(ctx context.Context, cancel context.CancelCauseFunc) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(a.w.o.Every)
		defer ticker.Stop()
		for {
			if err := a.tell(ctx, Downloading); isOrder(err) {
				cancel(err)
				return
			} else if err != nil && ctx.Err() == nil {
				a.log.WarnContext(ctx, "progress not reported", "error", err)
			}
			select {
			case <-quit:
				return
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	return func() { close(quit); <-done }
}

func isOrder(err error) bool {
	return errors.Is(err, errStale) || errors.Is(err, errPause) || errors.Is(err, errCancel)
}

// maxChanged bounds the files of one event; the others come with the next.
const maxChanged = 40

// tell reports where the attempt is; the error is what was ordered.
func (a *attempt) tell(ctx context.Context, status Status) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	changed, done, fetched, finished := a.fetch.Changes(maxChanged)
	total := a.speed.note(a.w.s.o.Now(), fetched, changed)
	r := report{
		status: status, done: done, files: finished, fetched: fetched, since: fetched - a.told, perSecond: total, place: a.place, changed: changed,
		views: a.views(changed),
	}
	j, err := a.w.s.progress(ctx, &a.job, r)
	if err != nil {
		a.fetch.Again(changed)
		return err
	}
	a.told = fetched
	switch {
	case j.Status == Cancelling:
		return errCancel
	case j.PauseRequestedAt != nil:
		return errPause
	}
	return nil
}

func (a *attempt) views(changed []transfer.FileState) []JobFile {
	out := make([]JobFile, len(changed))
	for i, c := range changed {
		perSecond := a.speed.of(c.ID)
		out[i] = JobFile{ID: c.ID, Status: c.Status, BytesDone: c.Done, Ranges: c.Ranges, Error: c.Problem}
		if c.Status == transfer.Downloading {
			out[i].BytesPerSecond = perSecond
			out[i].ETASeconds = eta(a.sizeOf(c.ID)-c.Done, perSecond)
		}
	}
	return out
}

func (a *attempt) sizeOf(id int64) int64 {
	for i := range a.files {
		if a.files[i].ID == id {
			return a.files[i].Size
		}
	}
	return 0
}

// end settles the job. It tries until the database takes it, or others have: a job
// that stays with a living worker would be taken up by nobody. It gives the attempt's
// last state; empty when this worker did not end it.
func (a *attempt) end(ctx context.Context, err error) (status string) {
	o := a.outcome(ctx, err)
	if o.status == "" {
		a.log.InfoContext(ctx, "the download went to another attempt")
		return ""
	}
	for {
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		serr := a.settle(try, o)
		cancel()
		if serr == nil {
			return o.status
		}
		if errors.Is(serr, errSettled) {
			a.log.InfoContext(ctx, "the download went to another attempt")
			return ""
		}
		a.log.WarnContext(ctx, "end of a download not stored", "error", serr)
		pause := time.NewTimer(time.Second)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return "" // this process ends, and with it its hold on the job
		}
	}
}

// settle writes the last figures and the end.
func (a *attempt) settle(ctx context.Context, o outcome) error {
	if a.fetch != nil {
		for range 1 + len(a.files)/maxChanged {
			status := Downloading
			if o.status == "succeeded" {
				status = Verifying
			}
			if err := a.tell(ctx, status); errors.Is(err, errStale) {
				return errSettled
			} else if err != nil && !isOrder(err) {
				return err
			}
			if !a.fetch.Changed() {
				break
			}
		}
	}
	return a.w.s.finish(ctx, a.job.ID, a.job.Attempt, a.job.WorkerProcessID, o)
}

// outcome tells how an attempt ended, from what its work returned.
func (a *attempt) outcome(ctx context.Context, err error) outcome {
	o := outcome{}
	if a.fetch != nil {
		_, _, o.fetched, _ = a.fetch.Changes(0)
	}
	var file *transfer.FileError
	e := hub.As(err)
	switch {
	case err == nil:
		o.status = "succeeded"
	case errors.Is(err, errStale):
		o.status = ""
	case errors.Is(err, transfer.ErrSuperseded):
		// Not so if the database takes it: then the other one is of another database.
		o.status, o.failure = "failed", &JobFailure{Code: "stage_taken", Message: fmt.Sprintf(
			"Another worker writes models/.downloads/%s, which this database knows nothing of. Do two installations share the data folder?", a.job.Target)}
	case errors.Is(err, errCancel):
		o.status = "cancelled"
	case errors.Is(err, errPause):
		o.status = "paused"
	case errors.Is(err, errHandOver), ctx.Err() != nil:
		o.status = "handed_over"
	case errors.As(err, &file):
		o.status, o.failure = "failed", &JobFailure{Code: "wrong_hash", Message: fmt.Sprintf("%s: %s Ask the model's owner, or try another revision.", file.Path, file.Message)}
	case e != nil:
		o.status, o.after = "failed", e.After
		o.failure = &JobFailure{Code: string(e.Kind), Message: e.Message, Retryable: e.Temporary()}
	default:
		o.status, o.failure = "failed", failureOf(err)
	}
	if o.failure != nil {
		a.log.WarnContext(ctx, "download attempt failed", "code", o.failure.Code, "retryable", o.failure.Retryable, "error", err)
	}
	return o
}
