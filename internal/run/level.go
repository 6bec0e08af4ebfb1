package run

import (
	"context"
	"fmt"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/postgres"
)

// The first releases (postgres.BinaryLevel) whose workers know of something. While one
// below is registered, it is refused: that worker could be the one to take it.
const (
	controlLevel   = 3 // pauses and cancels of single nodes: others work on what is held
	quickLevel     = 4 // node runs without a run
	retrievalLevel = 5 // nodes of retrieval: others fail them, as a kind that they do not have
)

// levelOf is the first release that works node runs of a kind; 0: every one does.
func levelOf(kind string) int32 {
	switch kind {
	case string(flowchart.KindRAG), "rag_index":
		return retrievalLevel
	}
	return 0
}

// refuseOldWorkersOf refuses a graph with a kind of node that some worker does not know.
// Which worker takes a node is open until it does, so it is the run that does not start.
func (e *Engine) refuseOldWorkersOf(ctx context.Context, tx *postgres.Tx, g *flowchart.Graph) error {
	level, kind := int32(0), ""
	for i := range g.Nodes {
		if l := levelOf(string(g.Nodes[i].Kind)); l > level {
			level, kind = l, string(g.Nodes[i].Kind)
		}
	}
	if level == 0 {
		return nil
	}
	return e.refuseOldWorkers(ctx, tx, level, fmt.Sprintf("A flowchart with nodes of the kind %s cannot be run", kind))
}

// ReasonOldWorker is that of what cannot be done while workers of an older release run.
const ReasonOldWorker = "run.old_worker"

func (e *Engine) refuseOldWorkers(ctx context.Context, tx *postgres.Tx, level int32, what string) error {
	old, err := e.q.HasOldWorker(ctx, tx, level)
	if err != nil {
		return fmt.Errorf("look for workers of an older release: %w", err)
	}
	if old {
		return errs.Ef(errs.Conflict, ReasonOldWorker, "%s as long as workers of an older release run, which would not know of it. Update them, then try again.", what)
	}
	return nil
}
