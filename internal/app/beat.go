package app

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/periodic"
	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/realtime"
	"github.com/llmctl/studio/internal/retention"
	"github.com/llmctl/studio/internal/schedule"
)

// beatSide is what a process has that fires schedules and does the system's
// periodic work.
type beatSide struct {
	firer    *schedule.Firer
	tasks    *periodic.Runner
	presence *periodic.Presence
	figures  beatFigures
	log      *slog.Logger
}

// Names of what is only noted in the list of periodic tasks.
const (
	taskRecovery   = "recovery_sweep"
	taskWorkspaces = "workspace_cleanup"
)

// orphanAge is how long a blob may wait for the transaction that refers to it;
// that comes within seconds as a rule.
const orphanAge = 6 * time.Hour

func newBeatSide(s *studio) (*beatSide, error) {
	b := &beatSide{presence: periodic.NewPresence(s.db, s.cfg.Worker.Hostname, buildVersion()), log: s.log}
	b.figures.init()
	b.firer = schedule.NewFirer(s.schedules, s.engine, s.log, b.figures.fired).Indexing(scheduledIndexing{s.indexing})
	var err error
	b.tasks, err = periodic.NewRunner(s.db, s.log, systemTasks(s)...)
	return b, err
}

// systemTasks are the periodic work that is claimed once a period.
func systemTasks(s *studio) []periodic.Task {
	cleaner := retention.New(s.db, realtime.RaiseHorizon)
	return []periodic.Task{
		// It does nothing: that it ended proves that claims, clock and reports work.
		{Name: "canary", Period: 10 * time.Second, Limit: 5 * time.Second, Do: func(context.Context) (any, error) { return nil, nil }},
		{Name: "retention", Period: 10 * time.Minute, Limit: 4 * time.Minute, Do: func(ctx context.Context) (any, error) { return cleaner.Clean(ctx) }},
		{Name: "expired", Period: 10 * time.Minute, Limit: 2 * time.Minute, Do: func(ctx context.Context) (any, error) {
			if err := s.auth.Clean(ctx); err != nil {
				return nil, err
			}
			return nil, periodic.Forget(ctx, s.db)
		}},
		{Name: "blobs", Period: 10 * time.Minute, Limit: 4 * time.Minute, Do: func(ctx context.Context) (any, error) {
			n, err := blob.Collect(ctx, s.db, orphanAge)
			return map[string]int64{"blobs": n}, err
		}},
		{Name: "finished_jobs", Period: 10 * time.Minute, Limit: 2 * time.Minute, Do: func(ctx context.Context) (any, error) {
			n, err := s.queue.RemoveFinished(ctx)
			return map[string]int64{"jobs": n}, err
		}},
		indexSweep(s),
		unusedVectors(s),
		removedSources(s),
		s.asking.vectorCopies(),
		s.asking.oldQuestions(),
	}
}

// Periods of the loops. A firing is late by one of them at most.
const (
	lookForDue   = time.Second
	lookForTasks = time.Second
)

// services in the order in which they start.
func (b *beatSide) services() []lifecycle.Service {
	return []lifecycle.Service{
		&loop{
			name: "scheduler registration", every: periodic.AnnounceEvery, log: b.log,
			do:  b.presence.Announce,
			end: b.presence.Retire,
		},
		b.taskLoop(),
		&loop{name: "schedules", every: lookForDue, log: b.log, do: func(ctx context.Context) error {
			_, err := b.firer.FireDue(ctx)
			return err
		}},
	}
}

// taskLoop enrolls the tasks at its first success, and waits for those that run
// when it ends.
func (b *beatSide) taskLoop() *loop {
	var running sync.WaitGroup
	enrolled := false
	return &loop{
		name: "periodic tasks", every: lookForTasks, log: b.log,
		do: func(ctx context.Context) error {
			if !enrolled {
				if err := b.tasks.Enroll(ctx); err != nil {
					return err
				}
				enrolled = true
			}
			return b.tasks.RunDue(ctx, &running)
		},
		end: func(context.Context) error { running.Wait(); return nil },
	}
}

// loop does something again and again. What fails is tried again with the next
// turn: the first failure is logged, and that it works again.
type loop struct {
	name  string
	every time.Duration
	do    func(ctx context.Context) error
	end   func(ctx context.Context) error // when it ends; nil: nothing
	log   *slog.Logger
}

// Name names the service.
func (l *loop) Name() string { return l.name }

// Run turns until ctx ends; the first turn is at once.
func (l *loop) Run(ctx context.Context, ready func()) error {
	ready()
	ticker := time.NewTicker(l.every)
	defer ticker.Stop()
	var since time.Time // of the trouble
	last := ""
	for {
		since, last = l.turn(ctx, since, last)
		select {
		case <-ctx.Done():
			return l.stop(ctx)
		case <-ticker.C:
		}
	}
}

func (l *loop) turn(ctx context.Context, since time.Time, last string) (time.Time, string) {
	err := l.do(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil && err.Error() != last:
		l.log.WarnContext(ctx, "does not work, trying again", "service", l.name, "error", err)
		if since.IsZero() {
			since = time.Now()
		}
		return since, err.Error()
	case err == nil && !since.IsZero():
		l.log.InfoContext(ctx, "works again", "service", l.name, "after", time.Since(since).Round(time.Millisecond))
		return time.Time{}, ""
	}
	return since, last
}

func (l *loop) stop(ctx context.Context) error {
	if l.end == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := l.end(ctx); err != nil {
		// The database may be gone; that is no reason to end badly.
		l.log.WarnContext(ctx, "did not end in order", "service", l.name, "error", err)
	}
	return nil
}

// notedRecovery tells people that the recovery sweep works, which every worker
// does and nobody claims.
type notedRecovery struct {
	queue.Domain
	s *studio
}

// Recover implements queue.Domain.
func (n notedRecovery) Recover(ctx context.Context) (int, error) {
	taken, err := n.Domain.Recover(ctx)
	if note := periodic.Note(ctx, n.s.db, taskRecovery, "", 2*time.Second, err, map[string]int{"attempts": taken}); note != nil {
		n.s.log.WarnContext(ctx, "the recovery sweep is not noted", "error", note)
	}
	return taken, err
}

// workspaceCleanup removes what killed workers left on this host.
func (s *studio) workspaceCleanup(remove func() (int, error)) lifecycle.Service {
	every := s.cfg.Worker.CleanupInterval
	return &loop{name: "workspace clean-up", every: every, log: s.log, do: func(ctx context.Context) error {
		n, err := remove()
		note := periodic.Note(ctx, s.db, taskWorkspaces, s.cfg.Worker.Hostname, every, err, map[string]int{"workspaces": n})
		if err != nil {
			return fmt.Errorf("clean workspaces: %w", err)
		}
		return note
	}}
}
