package node

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/llmctl/studio/internal/errs"
)

// The pauses between two tries.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// persist calls f until it works, until it says something that is meant for people,
// or until ctx ends. What else can go wrong is a database that is away, and that
// must not become the failure of a node.
func persist(ctx context.Context, log *slog.Logger, what string, f func() error) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := f()
		if _, told := forPeople(err); err == nil || told {
			return err
		}
		log.WarnContext(ctx, "does not work, trying again", "what", what, "error", err)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

// forPeople gives what an error says to the author of a flowchart, if it does.
func forPeople(err error) (string, bool) {
	e, ok := errors.AsType[*errs.Error](err)
	if !ok || e.Code == errs.Internal || e.Code == errs.Unavailable {
		return "", false
	}
	return e.Message, true
}
