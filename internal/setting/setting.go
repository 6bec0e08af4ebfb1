// Package setting stores what people decide for the whole installation: a JSON document
// per section, with a revision that changes with it. It must not know what is in one.
//
// Two writers of a document wait for each other; the one who saw an older revision is
// refused. What a document lacks, because an earlier release wrote it, keeps its default.
package setting

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Revision is embedded in documents. A document that was never stored has revision 1.
type Revision struct {
	Revision int64 `json:"revision"`
}

func (r *Revision) revision() *int64 { return &r.Revision }

// Values is the plain document: settings and nothing else.
type Values[S any] struct {
	Revision
	Values S `json:"values"`
}

// Document is where documents of type T are stored.
type Document[T any, P interface {
	*T
	revision() *int64
}] struct {
	Section, Key string
	Defaults     func() T
}

// Load gives the document in force.
func (d Document[T, P]) Load(ctx context.Context, q postgres.Querier) (T, error) {
	out := d.Defaults()
	var raw []byte
	err := q.QueryRow(ctx, `SELECT value FROM setting WHERE section = $1 AND key = $2`, d.Section, d.Key).Scan(&raw)
	if err != nil && !postgres.NotFound(err) {
		return out, fmt.Errorf("load settings of %s: %w", d.Section, err)
	}
	if err == nil {
		if err := json.Unmarshal(raw, &out); err != nil {
			return out, fmt.Errorf("read settings of %s: %w", d.Section, err)
		}
	}
	revision := P(&out).revision()
	*revision = max(*revision, 1)
	return out, nil
}

// Change stores what change makes of the document, under the next revision. seen is the
// revision that the caller knows, 0 for whatever is there. Errors: precondition, and those
// of change, which keep the document as it was.
func (d Document[T, P]) Change(ctx context.Context, tx *postgres.Tx, seen int64, change func(*T) error) (T, error) {
	// The row is made before it is locked, so that two first writers meet.
	_, err := tx.Exec(ctx, `INSERT INTO setting (section, key, value) VALUES ($1, $2, '{}') ON CONFLICT DO NOTHING`, d.Section, d.Key)
	if err == nil {
		_, err = tx.Exec(ctx, `SELECT FROM setting WHERE section = $1 AND key = $2 FOR UPDATE`, d.Section, d.Key)
	}
	if err != nil {
		var none T
		return none, fmt.Errorf("lock settings of %s: %w", d.Section, err)
	}
	out, err := d.Load(ctx, tx)
	if err != nil {
		return out, err
	}
	revision := P(&out).revision()
	if seen != 0 && seen != *revision {
		return out, errs.E(errs.Precondition, "setting.stale", "Somebody saved these settings in the meantime. Load them again, then repeat your change.")
	}
	if err := change(&out); err != nil {
		return out, err
	}
	*revision++
	raw, err := json.Marshal(out)
	if err != nil {
		return out, fmt.Errorf("encode settings of %s: %w", d.Section, err)
	}
	if _, err := tx.Exec(ctx, `UPDATE setting SET value = $3, updated_at = now() WHERE section = $1 AND key = $2`, d.Section, d.Key, raw); err != nil {
		return out, fmt.Errorf("store settings of %s: %w", d.Section, err)
	}
	return out, nil
}
