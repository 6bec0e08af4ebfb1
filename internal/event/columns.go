package event

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// columnsOf turns envelopes into the arrays of appendSQL. Rooms travel as one
// text a row, since Postgres arrays cannot be ragged; a room has no line break.
func columnsOf(events []Envelope) []any {
	n := len(events)
	text := func(get func(e *Envelope) string) []string {
		out := make([]string, n)
		for i := range events {
			out[i] = get(&events[i])
		}
		return out
	}
	ids, times := make([]uuid.UUID, n), make([]time.Time, n)
	for i := range events {
		ids[i], times[i] = events[i].EventID, events[i].EmittedAt.Time
	}
	return []any{
		text(func(e *Envelope) string { return e.SequenceStream }),
		ids,
		text(func(e *Envelope) string { return e.EventType }),
		text(func(e *Envelope) string { return e.EntityKind }),
		text(func(e *Envelope) string { return e.EntityID }),
		text(func(e *Envelope) string { return strings.Join(e.RoomKeys, "\n") }),
		text(func(e *Envelope) string { return e.RequestID }),
		text(func(e *Envelope) string { return e.CorrelationID }),
		text(func(e *Envelope) string { return string(e.Runtime) }),
		text(func(e *Envelope) string { return string(e.Payload) }),
		times,
	}
}

func parseXID(s string) (uint64, error) {
	x, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read transaction id %q: %w", s, err)
	}
	return x, nil
}
