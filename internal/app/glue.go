package app

import (
	"context"
	"strconv"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

// lateJobs breaks the circle between the engine, which inserts jobs, and the
// queue, whose jobs the engine's runner works.
type lateJobs struct{ to run.Jobs }

// InsertNodes implements run.Jobs.
func (l *lateJobs) InsertNodes(ctx context.Context, tx *postgres.Tx, jobs []run.Job) error {
	return l.to.InsertNodes(ctx, tx, jobs)
}

// cancelSignals sends cancel orders over the bus.
type cancelSignals struct{ bus bus.Bus }

// SignalCancel implements run.Signaller.
func (c cancelSignals) SignalCancel(nodeRunIDs []int64) {
	for _, id := range nodeRunIDs {
		c.bus.Signal(cancelTopic, strconv.FormatInt(id, 10))
	}
}

// attemptTopic tells who holds an attempt in a pod that it has started or ended; the
// key is "<node run>/<attempt>".
const attemptTopic = "attempt"

func (s *studio) hintAttempt(nodeRunID int64, attempt int32) {
	s.bus.Signal(attemptTopic, strconv.FormatInt(nodeRunID, 10)+"/"+strconv.Itoa(int(attempt)))
}

func cancelKey(key string) int64 {
	id, _ := strconv.ParseInt(key, 10, 64) // 0 names no node run
	return id
}
