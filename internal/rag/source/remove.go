package source

import (
	"context"
	"fmt"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/fetch/git"
	"github.com/llmctl/studio/internal/rag/source/dbsqlc"
)

// Delete hides a source; for [UndoTime] it can be restored, then it is removed with its
// index. Its schedule rests. Errors: not_found, precondition, conflict while it is indexed.
func (s *Service) Delete(ctx context.Context, tx *postgres.Tx, id, revision int64) (View, error) {
	l, err := s.lock(ctx, tx, id, revision)
	if err != nil {
		return View{}, err
	}
	if l.RagSource.DeletedAt != nil {
		return s.View(ctx, tx, id)
	}
	active, err := s.q.ActiveRun(ctx, tx, id)
	if err == nil {
		return View{}, errs.Ef(errs.Conflict, "rag.source_active",
			"The source %q is being indexed by node %d (index run %d). Cancel that first, or wait for its end.", l.RagSource.Name, active.NodeRunID, active.ID)
	}
	if !postgres.NotFound(err) {
		return View{}, fmt.Errorf("look for index runs of source %d: %w", id, err)
	}
	if _, err := s.q.SetDeleted(ctx, tx, dbsqlc.SetDeletedParams{ID: id, DeletedAt: &l.DbNow}); err != nil {
		return View{}, fmt.Errorf("delete source %d: %w", id, err)
	}
	if err := s.o.Schedules.Suspend(ctx, tx, id); err != nil {
		return View{}, err
	}
	return s.announce(ctx, tx, id, "deleted")
}

// Restore takes a deletion back, with the schedule. Errors: not_found, also when the
// time for it is over; conflict when the name is taken by now, or there are too many.
func (s *Service) Restore(ctx context.Context, tx *postgres.Tx, id int64) (View, error) {
	l, err := s.lock(ctx, tx, id, 0)
	if err != nil {
		return View{}, err
	}
	switch at := l.RagSource.DeletedAt; {
	case at == nil:
		return s.View(ctx, tx, id)
	case l.DbNow.Sub(*at) >= UndoTime:
		return View{}, notFound(id)
	}
	if err := s.refuseMore(ctx, tx); err != nil {
		return View{}, err
	}
	if _, err := s.q.SetDeleted(ctx, tx, dbsqlc.SetDeletedParams{ID: id}); err != nil {
		return View{}, nameError(err, l.RagSource.Name)
	}
	if err := s.o.Schedules.Resume(ctx, tx, id, *l.RagSource.DeletedAt); err != nil {
		return View{}, err
	}
	return s.announce(ctx, tx, id, "created")
}

// removeBatch is how many files, with their chunks, a transaction removes.
const removeBatch = 200

// Sweep removes sources whose deletion cannot be taken back any more. It goes on where
// another one ended.
func (s *Service) Sweep(ctx context.Context) (removed int, err error) {
	ids, err := s.q.Removable(ctx, s.o.DB, UndoTime.Seconds())
	if err != nil {
		return 0, fmt.Errorf("look for deleted sources: %w", err)
	}
	for _, id := range ids {
		gone, err := s.remove(ctx, id)
		if err != nil {
			return removed, fmt.Errorf("remove source %d: %w", id, err)
		}
		if gone {
			removed++
		}
	}
	return removed, nil
}

// remove takes a source's rows away, in pieces. Each piece looks again, under the lock of
// the source, whether it may: somebody who took the deletion back in the last moment keeps
// what is there.
func (s *Service) remove(ctx context.Context, id int64) (gone bool, err error) {
	for _, step := range []func(ctx context.Context, tx *postgres.Tx) (int64, error){
		func(ctx context.Context, tx *postgres.Tx) (int64, error) {
			return s.q.RemoveFiles(ctx, tx, dbsqlc.RemoveFilesParams{RagSourceID: id, MaxRows: removeBatch})
		},
		func(ctx context.Context, tx *postgres.Tx) (int64, error) {
			return s.q.RemoveJournal(ctx, tx, dbsqlc.RemoveJournalParams{RagSourceID: id, MaxRows: 10 * removeBatch})
		},
	} {
		for more := true; more; {
			if more, err = s.removePiece(ctx, id, step); err != nil {
				return false, err
			}
		}
	}
	n, err := s.q.RemoveSource(ctx, s.o.DB, dbsqlc.RemoveSourceParams{ID: id, UndoSeconds: UndoTime.Seconds()})
	return n > 0, err
}

func (s *Service) removePiece(ctx context.Context, id int64, step func(ctx context.Context, tx *postgres.Tx) (int64, error)) (more bool, err error) {
	err = s.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		more = false
		_, err := s.q.LockRemovable(ctx, tx, dbsqlc.LockRemovableParams{ID: id, UndoSeconds: UndoTime.Seconds()})
		if postgres.NotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("lock source: %w", err)
		}
		n, err := step(ctx, tx)
		more = n > 0
		return err
	})
	return more, err
}

// CleanCopies removes what this host keeps of repositories whose sources are gone.
func (s *Service) CleanCopies(ctx context.Context) (removed int, err error) {
	var failure error
	removed, err = git.Clean(git.Dir(s.o.DataDir), func(id int64) bool {
		if failure != nil {
			return true
		}
		// A copy is made of a source that is stored, and no source gets the id of another. So one that
		// is asked for after its copy was seen, and is not there, is gone.
		var there bool
		there, failure = s.q.HasSource(ctx, s.o.DB, id)
		return there || failure != nil
	})
	if failure != nil {
		return removed, fmt.Errorf("look for sources: %w", failure)
	}
	return removed, err
}
