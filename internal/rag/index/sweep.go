package index

import (
	"context"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/index/dbsqlc"
)

// Sizes and times of the clean-up.
const (
	sweepBatch = 500 // files
	// sweepGrace is for answers that were found in the revision before.
	sweepGrace = time.Minute
	vectorAge  = 7 * 24 * time.Hour
	vectorRows = 5_000
	orphanRows = 100 // the rest is for the next round
)

// Swept is what a clean-up removed.
type Swept struct {
	Unseen   int64 `json:"unseen"`   // files of runs that were given up
	Restored int64 `json:"restored"` // files that such runs had replaced
	Replaced int64 `json:"replaced"` // files that no revision shows any more
	Orphans  int64 `json:"orphans"`  // nodes that had ended without their index runs
}

// Sweep removes, in batches, what no revision shows any more. It may be interrupted and
// may run beside index runs and other sweeps.
func (s *Service) Sweep(ctx context.Context) (Swept, error) {
	return s.sweep(ctx, sweepGrace)
}

func (s *Service) sweep(ctx context.Context, grace time.Duration) (Swept, error) {
	var out Swept
	if err := s.endOrphans(ctx, &out); err != nil {
		return out, err
	}
	sources, err := s.q.Unkempt(ctx, s.o.DB, grace.Seconds())
	if err != nil {
		return out, fmt.Errorf("look for what is to be cleaned up: %w", err)
	}
	for _, id := range sources {
		if err := s.sweepSource(ctx, id, grace, &out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// DropVectors removes, in batches, vectors that nobody uses. It looks at all that are old,
// so it is not for every half minute.
func (s *Service) DropVectors(ctx context.Context) (int64, error) {
	n, err := batches(ctx, vectorRows, func(ctx context.Context) (int64, error) {
		return s.q.DropUnusedVectors(ctx, s.o.DB, dbsqlc.DropUnusedVectorsParams{Age: vectorAge.Seconds(), MaxRows: vectorRows})
	})
	if err != nil {
		return n, fmt.Errorf("drop unused vectors: %w", err)
	}
	return n, nil
}

// endOrphans ends open runs whose node runs have ended without them: by a process of a
// release that does not know of index runs. Their sources could not be indexed any more.
func (s *Service) endOrphans(ctx context.Context, out *Swept) error {
	nodes, err := s.q.Orphans(ctx, s.o.DB, orphanRows)
	if err != nil {
		return fmt.Errorf("look for index runs that were left open: %w", err)
	}
	for _, id := range nodes {
		err := s.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
			n, err := s.o.Engine.NodeRun(ctx, tx, id) // it has ended and does not change any more
			if err != nil {
				return err
			}
			return s.EndedTx(ctx, tx, &n)
		})
		if err != nil {
			return fmt.Errorf("end index runs of node run %d: %w", id, err)
		}
		out.Orphans++
	}
	return nil
}

// sweepSource cleans up one source.
func (s *Service) sweepSource(ctx context.Context, id int64, grace time.Duration, out *Swept) error {
	for _, step := range []struct {
		count *int64
		do    func(ctx context.Context) (int64, error)
	}{
		{&out.Unseen, func(ctx context.Context) (int64, error) {
			return s.q.DropUnseen(ctx, s.o.DB, dbsqlc.DropUnseenParams{RagSourceID: id, MaxRows: sweepBatch})
		}},
		{&out.Restored, func(ctx context.Context) (int64, error) {
			return s.q.RestoreEnded(ctx, s.o.DB, dbsqlc.RestoreEndedParams{RagSourceID: id, MaxRows: sweepBatch})
		}},
		{&out.Replaced, func(ctx context.Context) (int64, error) {
			return s.q.DropReplaced(ctx, s.o.DB, dbsqlc.DropReplacedParams{RagSourceID: id, Grace: grace.Seconds(), MaxRows: sweepBatch})
		}},
	} {
		n, err := batches(ctx, sweepBatch, step.do)
		*step.count += n
		if err != nil {
			return fmt.Errorf("clean up source %d: %w", id, err)
		}
	}
	return nil
}

// batches does something until it finds less than a batch.
func batches(ctx context.Context, size int64, do func(ctx context.Context) (int64, error)) (int64, error) {
	total := int64(0)
	for {
		n, err := do(ctx)
		total += n
		if err != nil || n < size {
			return total, err
		}
	}
}

// tidy removes what runs that were given up left of revisions that are not visible:
// this run's revision would show it.
func (a *attempt) tidy(ctx context.Context, t *target) error {
	removed := int64(0)
	for _, step := range []func(ctx context.Context, tx *postgres.Tx) (int64, error){
		func(ctx context.Context, tx *postgres.Tx) (int64, error) {
			return a.s.q.DropUnseen(ctx, tx, dbsqlc.DropUnseenParams{RagSourceID: t.source.ID, Begins: t.run.ID, MaxRows: sweepBatch})
		},
		func(ctx context.Context, tx *postgres.Tx) (int64, error) {
			return a.s.q.RestoreEnded(ctx, tx, dbsqlc.RestoreEndedParams{RagSourceID: t.source.ID, Begins: t.run.ID, MaxRows: sweepBatch})
		},
	} {
		n, err := batches(ctx, sweepBatch, func(ctx context.Context) (int64, error) {
			a.beat()
			var n int64
			err := a.fenced(ctx, "clean up", func(ctx context.Context, tx *postgres.Tx) (err error) {
				n, err = step(ctx, tx)
				return err
			})
			return n, err
		})
		removed += n
		if err != nil {
			return fmt.Errorf("clean up source %d: %w", t.source.ID, err)
		}
	}
	if removed > 0 {
		a.report.logf("Removed what an index run that was given up had left: %d files.", removed)
	}
	return nil
}
