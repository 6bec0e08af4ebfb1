package chat

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/event/grouped"
	"github.com/llmctl/studio/internal/postgres"
)

// Recorder writes what the turns of this process say into their streams, grouped.
type Recorder struct {
	*grouped.Group[*writing, told]
	log *event.Log
}

// NewRecorder makes a recorder; Run writes.
func NewRecorder(db *postgres.DB, log *event.Log, logger *slog.Logger) *Recorder {
	r := &Recorder{log: log}
	r.Group = grouped.New[*writing](grouped.Options[told]{Name: "chat recorder", DB: db, Write: r.write, Eager: true, Logger: logger})
	return r
}

// holdSQL locks the turns whose attempts still have them: nobody ends one of these
// while its text is written, and text of an attempt that was ended is not written.
const holdSQL = `
SELECT t.id, t.status FROM turn t JOIN unnest($1::bigint[], $2::integer[]) AS h (id, attempt) ON t.id = h.id AND t.attempt = h.attempt
WHERE t.status IN ('running', 'cancelling') ORDER BY t.id FOR NO KEY UPDATE OF t`

func (r *Recorder) write(ctx context.Context, tx *postgres.Tx, all []told) error {
	slices.SortFunc(all, func(a, b told) int { return cmp.Compare(a.w.turn.ID, b.w.turn.ID) })
	ids, attempts := make([]int64, len(all)), make([]int32, len(all))
	for i, t := range all {
		ids[i], attempts[i] = t.w.turn.ID, t.w.turn.Attempt
	}
	rows, err := tx.Query(ctx, holdSQL, ids, attempts)
	if err != nil {
		return fmt.Errorf("look whether the turns are still held: %w", err)
	}
	held := map[int64]string{}
	var id int64
	var status string
	if _, err := pgx.ForEachRow(rows, []any{&id, &status}, func() error { held[id] = status; return nil }); err != nil {
		return fmt.Errorf("look whether the turns are still held: %w", err)
	}
	for _, t := range all {
		switch held[t.w.turn.ID] {
		case "":
			t.w.order(errStale)
			continue
		case Cancelling:
			t.w.order(errCancel)
		}
		if err := r.append(tx, t); err != nil {
			return err
		}
	}
	return nil
}

func (r *Recorder) append(tx *postgres.Tx, t told) error {
	for _, d := range t.drafts() {
		if err := r.log.Append(tx, d); err != nil {
			return fmt.Errorf("announce text of turn %d: %w", t.w.turn.ID, err)
		}
	}
	return nil
}
