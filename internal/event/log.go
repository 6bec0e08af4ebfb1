package event

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/tracing"
)

// Publisher takes what was committed, to hint others at it. It must not block.
type Publisher interface {
	Publish(events []Stored)
}

// Log writes and reads the event log.
type Log struct {
	publisher Publisher
	now       func() time.Time
}

// NewLog makes a log whose committed events go to publisher (nil: nobody).
func NewLog(publisher Publisher, now func() time.Time) *Log {
	return &Log{publisher: publisher, now: now}
}

// bufferKey is where a transaction carries its buffered events of one log.
type bufferKey struct{ log *Log }

type buffer struct{ events []Envelope }

// Append buffers an event in the transaction; it is numbered and written just
// before the commit. The drafts of one transaction keep their order.
func (l *Log) Append(tx *postgres.Tx, d Draft) error {
	payload, err := marshal(d.Payload, "{}")
	if err != nil {
		return fmt.Errorf("encode payload of %s: %w", d.Type, err)
	}
	runtime, err := marshal(d.Runtime, "null")
	if err != nil {
		return fmt.Errorf("encode runtime of %s: %w", d.Type, err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make event id: %w", err)
	}
	buf, _ := tx.Value(bufferKey{l}, func() any {
		b := &buffer{}
		tx.BeforeCommit(func(ctx context.Context) error { return l.flush(ctx, tx, b) })
		return b
	}).(*buffer)
	buf.events = append(buf.events, Envelope{
		ContractVersion: ContractVersion, EventID: id, IdempotencyKey: id,
		SequenceStream: d.Stream, EmittedAt: Time{l.now().UTC().Truncate(time.Microsecond)},
		EventType: d.Type, EntityKind: d.EntityKind, EntityID: d.EntityID, RoomKeys: d.Rooms,
		RequestID: d.RequestID, CorrelationID: d.CorrelationID, Runtime: runtime, Payload: payload,
	})
	return nil
}

func marshal(v any, empty string) (json.RawMessage, error) {
	if v == nil {
		return json.RawMessage(empty), nil
	}
	return json.Marshal(v)
}

// appendSQL takes the next numbers of all touched streams and writes the events.
// The streams are bumped in the order of their names, so that two transactions
// that touch the same ones cannot deadlock.
const appendSQL = `
WITH input AS (
    SELECT *, row_number() OVER (PARTITION BY stream ORDER BY ord) AS nth
    FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                $9::text[], $10::text[], $11::timestamptz[])
         WITH ORDINALITY AS t (stream, event_id, event_type, entity_kind, entity_id, rooms, request_id,
                               correlation_id, runtime, payload, emitted_at, ord)
), touched AS (
    SELECT stream, count(*) AS n FROM input GROUP BY stream ORDER BY stream
), bumped AS (
    INSERT INTO event_stream AS s (name, last_sequence) SELECT stream, n FROM touched ORDER BY stream
    ON CONFLICT (name) DO UPDATE SET last_sequence = s.last_sequence + excluded.last_sequence
    RETURNING name, last_sequence
)
INSERT INTO event (stream, sequence, event_id, event_type, entity_kind, entity_id, room_keys, request_id,
                   correlation_id, runtime, payload, emitted_at)
SELECT i.stream, b.last_sequence - t.n + i.nth, i.event_id, i.event_type, i.entity_kind, i.entity_id,
       string_to_array(i.rooms, E'\n'), i.request_id, i.correlation_id, i.runtime::json, i.payload::json, i.emitted_at
FROM input i JOIN touched t USING (stream) JOIN bumped b ON b.name = i.stream
RETURNING event_id, sequence, xid::text`

// requestKey is where a context carries the ids of the request it serves.
type requestKey struct{}

type requestIDs struct{ request, correlation string }

// WithRequest gives a context whose transactions' events name the request that
// caused them, unless their drafts do.
func WithRequest(ctx context.Context, request, correlation string) context.Context {
	return context.WithValue(ctx, requestKey{}, requestIDs{request, correlation})
}

func (l *Log) flush(ctx context.Context, tx *postgres.Tx, b *buffer) error {
	if ids, ok := ctx.Value(requestKey{}).(requestIDs); ok {
		for i := range b.events {
			if e := &b.events[i]; e.RequestID == "" {
				e.RequestID, e.CorrelationID = ids.request, ids.correlation
			}
		}
	}
	ctx, span := tracing.Start(ctx, tracing.SpanAppend, trace.SpanKindInternal, tracing.EventCount.Int(len(b.events)))
	err := l.write(ctx, tx, b)
	tracing.End(span, err)
	return err
}

// write is the statement of a flush, and what becomes of its answer.
func (l *Log) write(ctx context.Context, tx *postgres.Tx, b *buffer) error {
	rows, err := tx.Query(ctx, appendSQL, columnsOf(b.events)...)
	if err != nil {
		return fmt.Errorf("append events: %w", err)
	}
	defer rows.Close()
	sequences := make(map[uuid.UUID]int64, len(b.events))
	var xid uint64
	for rows.Next() {
		var id uuid.UUID
		var sequence int64
		var x string
		if err := rows.Scan(&id, &sequence, &x); err != nil {
			return fmt.Errorf("read numbers of appended events: %w", err)
		}
		sequences[id] = sequence
		if xid, err = parseXID(x); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("append events: %w", err)
	}
	stored := make([]Stored, len(b.events))
	for i, e := range b.events {
		e.Sequence = sequences[e.EventID]
		stored[i] = Stored{Envelope: e, XID: xid}
	}
	if l.publisher != nil {
		tx.AfterCommit(func() { l.publisher.Publish(stored) })
	}
	return nil
}
