package app

import (
	"context"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/egress"
	mcpclient "github.com/llmctl/studio/internal/mcp/client"
	"github.com/llmctl/studio/internal/periodic"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/fetch/local"
	"github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/rag/settings"
	"github.com/llmctl/studio/internal/rag/source"
	"github.com/llmctl/studio/internal/schedule"
	"github.com/llmctl/studio/internal/secret"
)

func newSources(s *studio) (*source.Service, error) {
	allow, err := egress.New(s.cfg.Studio.RAGAllow)
	if err != nil {
		return nil, err
	}
	roots, err := local.NewRoots(s.cfg.Studio.RAGLocalRoots)
	if err != nil {
		return nil, err
	}
	return source.New(source.Options{
		DB: s.db, Log: s.events, Seal: s.box, Fingerprint: secret.Fingerprint, Schedules: sourceSchedules{s}, Runs: sourceRuns{s}, Limits: sourceLimits,
		Roots: roots, DataDir: s.dataDir, Resolver: allow, HTTP: mcpclient.NewHTTPClient(allow),
	}), nil
}

// sourceRuns implements source.Runs; the index runs are wired after the sources.
type sourceRuns struct{ s *studio }

// Views implements source.Runs.
func (x sourceRuns) Views(ctx context.Context, q postgres.Querier, ids []int64) (map[int64]index.RunDetail, error) {
	return x.s.indexing.Views(ctx, q, ids)
}

// sourceLimits are those of the settings.
func sourceLimits(ctx context.Context, q postgres.Querier) (maxFile, maxPDF int64, err error) {
	v, _, err := settings.Load(ctx, q)
	return v.MaxFileBytes, v.PDFMaxFileBytes, err
}

// sourceSchedules keeps the schedules of sources among all others.
type sourceSchedules struct{ s *studio }

// Set implements source.Schedules.
func (x sourceSchedules) Set(ctx context.Context, tx *postgres.Tx, id int64, name string, want *source.IndexSchedule, user *int64) error {
	if want == nil {
		return x.s.schedules.SetForSource(ctx, tx, id, name, nil, user)
	}
	v := schedule.SourceSchedule{EverySeconds: want.EverySeconds, TimeZone: want.TimeZone, Mode: want.Mode, Enabled: want.Enabled}
	if want.Cron != nil {
		v.Cron = *want.Cron
	}
	return x.s.schedules.SetForSource(ctx, tx, id, name, &v, user)
}

// Of implements source.Schedules.
func (x sourceSchedules) Of(ctx context.Context, q postgres.Querier, ids []int64) (map[int64]source.IndexSchedule, error) {
	rows, err := x.s.schedules.OfSources(ctx, q, ids)
	if err != nil {
		return nil, err
	}
	out := make(map[int64]source.IndexSchedule, len(rows))
	for id, r := range rows {
		v := source.IndexSchedule{ID: r.ID, EverySeconds: r.EverySeconds, TimeZone: r.TimeZone, Mode: r.Mode, Enabled: r.Enabled, NextDueAt: r.NextDueAt}
		if r.Cron != "" {
			v.Cron = &r.Cron
		}
		out[id] = v
	}
	return out, nil
}

// Suspend implements source.Schedules.
func (x sourceSchedules) Suspend(ctx context.Context, tx *postgres.Tx, id int64) error {
	return x.s.schedules.SuspendSource(ctx, tx, id)
}

// Resume implements source.Schedules.
func (x sourceSchedules) Resume(ctx context.Context, tx *postgres.Tx, id int64, at time.Time) error {
	return x.s.schedules.ResumeSource(ctx, tx, id, at)
}

// removedSources is the periodic removal of sources that were deleted.
func removedSources(s *studio) periodic.Task {
	return periodic.Task{Name: "removed_sources", Period: 10 * time.Minute, Limit: 4 * time.Minute, Do: func(ctx context.Context) (any, error) {
		n, err := s.sources.Sweep(ctx)
		return map[string]int{"sources": n}, err
	}}
}

// sourceCleanup removes what this host keeps of repositories whose sources are gone.
func (s *studio) sourceCleanup() lifecycle.Service {
	return &loop{name: "repository clean-up", every: 10 * time.Minute, log: s.log, do: func(ctx context.Context) error {
		if _, err := s.sources.CleanCopies(ctx); err != nil {
			return fmt.Errorf("clean repositories: %w", err)
		}
		return nil
	}}
}
