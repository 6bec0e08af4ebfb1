package index

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// watchEvery is how soon a pause is noticed.
const watchEvery = time.Second

// eachUntilPaused is each for what takes long: a pause of a source ends the work for it,
// and only for it.
func (a *attempt) eachUntilPaused(ctx context.Context, code string, f func(ctx context.Context, t *target) error) error {
	return a.each(ctx, code, func(ctx context.Context, t *target) error {
		return a.untilPaused(ctx, []*target{t}, func(ctx context.Context) error { return f(ctx, t) })
	})
}

// untilPaused does f until somebody asks for a pause of one of the targets. Those that
// are to pause wait from then on; what f was at is done again, as far as it was not
// stored.
func (a *attempt) untilPaused(ctx context.Context, targets []*target, f func(ctx context.Context) error) error {
	ids := make([]int64, len(targets))
	for i, t := range targets {
		ids[i] = t.run.ID
	}
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var asked []int64
	var watching sync.WaitGroup
	watching.Go(func() {
		if asked = a.watch(working, ids); len(asked) > 0 {
			stop(errPaused)
		}
	})
	err := f(working)
	stop(nil)
	watching.Wait()
	if !errors.Is(context.Cause(working), errPaused) || ctx.Err() != nil || isSilent(err) {
		return err
	}
	for _, t := range targets {
		if slices.Contains(asked, t.run.ID) && t.open() {
			if err := a.pause(ctx, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// watch gives the runs that somebody wants to pause, once there are some; none when ctx
// has ended.
func (a *attempt) watch(ctx context.Context, ids []int64) []int64 {
	for {
		if asked, err := a.s.q.PausesRequested(ctx, a.s.o.DB, ids); err == nil && len(asked) > 0 {
			return asked
		}
		if !sleep(ctx, watchEvery) {
			return nil
		}
	}
}

// pause lets a run wait until it is resumed.
func (a *attempt) pause(ctx context.Context, t *target) error {
	t.waits = true
	if t.run.PlannedAt == nil {
		a.report.logf("%s is paused. It has no plan yet; it begins again with what the source has then.", t.source.Name)
	} else {
		a.report.logf("%s is paused: %d of %d files are done.", t.source.Name, t.run.Done+t.run.Failed, t.run.Added+t.run.Changed+t.run.Removed)
	}
	if t.run.Status == Planned {
		return nil // it waits anyway, and says for what
	}
	return a.status(ctx, t, Paused, nil)
}
