package event

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
)

const selectEvent = `SELECT stream, sequence, xid::text, event_id, event_type, entity_kind, entity_id, room_keys,
       request_id, correlation_id, coalesce(runtime, 'null'::json)::text, payload::text, emitted_at FROM event `

// ReadStream gives at most limit events of a stream with numbers above after,
// in order.
func ReadStream(ctx context.Context, q postgres.Querier, stream string, after int64, limit int) ([]Stored, error) {
	rows, err := q.Query(ctx, selectEvent+`WHERE stream = $1 AND sequence > $2 ORDER BY sequence LIMIT $3`, stream, after, limit)
	return collect(rows, err)
}

// Head is a stream's newest number and the oldest that retention left.
type Head struct{ Last, Oldest int64 }

// ReadHead gives a stream's head; a stream that never had an event has {0, 1}.
func ReadHead(ctx context.Context, q postgres.Querier, stream string) (Head, error) {
	h := Head{Oldest: 1}
	err := q.QueryRow(ctx, `SELECT last_sequence, oldest_sequence FROM event_stream WHERE name = $1`, stream).Scan(&h.Last, &h.Oldest)
	if err != nil && !postgres.NotFound(err) {
		return h, fmt.Errorf("read head of stream %s: %w", stream, err)
	}
	return h, nil
}

// ReadSnapshot gives the snapshot of q: of now for a pool, of the transaction
// for one that is REPEATABLE READ.
func ReadSnapshot(ctx context.Context, q postgres.Querier) (Snapshot, error) {
	var text string
	if err := q.QueryRow(ctx, `SELECT pg_current_snapshot()::text`).Scan(&text); err != nil {
		return Snapshot{}, fmt.Errorf("read snapshot: %w", err)
	}
	return ParseSnapshot(text)
}

// ReadSince gives the events that were not visible in the snapshot since, of
// the given rooms (nil: of all), by stream and number; limit+1 of them at most,
// so that one more than limit tells that there are more.
func ReadSince(ctx context.Context, q postgres.Querier, since Snapshot, rooms []string, limit int) ([]Stored, error) {
	rows, err := q.Query(ctx, selectEvent+`
		WHERE xid >= $1::text::xid8 AND NOT pg_visible_in_snapshot(xid, $2::text::pg_snapshot)
		  AND ($3::text[] IS NULL OR room_keys && $3)
		ORDER BY stream, sequence LIMIT $4`,
		strconv.FormatUint(since.xmin, 10), since.String(), rooms, limit+1)
	return collect(rows, err)
}

// Passed tells which numbers of streams are known already.
type Passed struct {
	names   []string
	numbers []int64
}

// Add notes that a stream is known up to a number.
func (p *Passed) Add(stream string, number int64) {
	p.names, p.numbers = append(p.names, stream), append(p.numbers, number)
}

// unseen selects what was not visible in the snapshot of $1 and $2, without what $3
// and $4 have passed: where hints bring nearly everything, there is next to nothing to
// carry.
const unseen = `LEFT JOIN unnest($3::text[], $4::bigint[]) AS p (name, upto) ON p.name = stream
		WHERE xid >= $1::text::xid8 AND NOT pg_visible_in_snapshot(xid, $2::text::pg_snapshot) AND (p.upto IS NULL OR sequence > p.upto) `

func unseenOf(since Snapshot, p Passed) []any {
	return []any{strconv.FormatUint(since.xmin, 10), since.String(), p.names, p.numbers}
}

// ReadNew gives the events of all rooms that were not visible in the snapshot since and
// are not passed, by stream and number; limit+1 of them at most.
func ReadNew(ctx context.Context, q postgres.Querier, since Snapshot, p Passed, limit int) ([]Stored, error) {
	rows, err := q.Query(ctx, selectEvent+unseen+`ORDER BY stream, sequence LIMIT $5`, append(unseenOf(since, p), limit+1)...)
	return collect(rows, err)
}

// Behind is a stream with events that ReadNew would give: the first of them, and how
// many there are.
type Behind struct {
	Stream string
	First  int64
	Count  int64
}

// ReadBehind gives the streams of what ReadNew would give without a limit.
func ReadBehind(ctx context.Context, q postgres.Querier, since Snapshot, p Passed) ([]Behind, error) {
	rows, err := q.Query(ctx, `SELECT stream, min(sequence) AS first, count(*) AS count FROM event `+unseen+`GROUP BY stream ORDER BY stream`,
		unseenOf(since, p)...)
	if err != nil {
		return nil, fmt.Errorf("measure backlog: %w", err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[Behind])
	if err != nil {
		return nil, fmt.Errorf("measure backlog: %w", err)
	}
	return all, nil
}

func collect(rows pgx.Rows, err error) ([]Stored, error) {
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer rows.Close()
	var out []Stored
	for rows.Next() {
		s := Stored{Envelope: Envelope{ContractVersion: ContractVersion}}
		e := &s.Envelope
		var xid, runtime, payload string
		if err := rows.Scan(&e.SequenceStream, &e.Sequence, &xid, &e.EventID, &e.EventType, &e.EntityKind, &e.EntityID,
			&e.RoomKeys, &e.RequestID, &e.CorrelationID, &runtime, &payload, &e.EmittedAt.Time); err != nil {
			return nil, fmt.Errorf("read event: %w", err)
		}
		e.IdempotencyKey, e.Runtime, e.Payload = e.EventID, []byte(runtime), []byte(payload)
		if s.XID, err = parseXID(xid); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return out, nil
}
