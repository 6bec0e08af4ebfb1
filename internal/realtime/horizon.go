package realtime

import (
	"context"
	"fmt"
	"strconv"

	"github.com/llmctl/studio/internal/postgres"
)

// The horizon is the youngest transaction of which retention has removed an
// event. A position that may not show it cannot be replayed.

// RaiseHorizon notes that events of transactions up to xid are being removed.
// Retention calls it in the transaction that removes them.
func RaiseHorizon(ctx context.Context, q postgres.Querier, xid uint64) error {
	_, err := q.Exec(ctx, `INSERT INTO setting (section, key, value)
		VALUES ('event_log', 'horizon', to_jsonb($1::text))
		ON CONFLICT (section, key) DO UPDATE SET value = excluded.value, updated_at = now()
		WHERE (setting.value #>> '{}')::numeric < $1::text::numeric`, strconv.FormatUint(xid, 10))
	if err != nil {
		return fmt.Errorf("raise horizon of the event log: %w", err)
	}
	return nil
}

// ReadHorizon gives what RaiseHorizon noted, 0 if nothing was removed yet.
func ReadHorizon(ctx context.Context, q postgres.Querier) (uint64, error) {
	var text string
	err := q.QueryRow(ctx, `SELECT value #>> '{}' FROM setting WHERE section = 'event_log' AND key = 'horizon'`).Scan(&text)
	if postgres.NotFound(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read horizon of the event log: %w", err)
	}
	xid, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read horizon of the event log: %w", err)
	}
	return xid, nil
}
