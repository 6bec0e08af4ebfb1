package bus

import (
	"encoding/json"
	"fmt"

	"github.com/llmctl/studio/internal/event"
)

// message is what travels between processes. Fields may be added; a reader
// ignores what it does not know, so that releases can run side by side.
type message[H any] struct {
	Origin  string       `json:"o"` // first, so that our own are told by how they begin
	Hints   []H          `json:"h,omitempty"`
	Signals []wireSignal `json:"s,omitempty"`
	Canary  int64        `json:"c,omitempty"`
}

type wireHint struct {
	Stream   string        `json:"s"`
	Sequence int64         `json:"n"`
	Rooms    []string      `json:"r,omitempty"` // only without an envelope, which has them
	Envelope *event.Stored `json:"e,omitempty"`
}

type wireSignal struct {
	Topic string `json:"t"`
	Key   string `json:"k"`
}

// item is one thing that is to be sent: a hint or a signal, encoded.
type item struct {
	hint   json.RawMessage
	signal json.RawMessage
}

func (i item) size() int { return len(i.hint) + len(i.signal) + 1 }

// overhead is more than what a message has around its items.
const overhead = 128

// encodeHint gives the fullest form of a hint that is no larger than limit:
// with its envelope, with its rooms, or bare. nil: not even bare.
func encodeHint(h Hint, limit int) (json.RawMessage, error) {
	forms := []wireHint{
		{Stream: h.Stream, Sequence: h.Sequence, Rooms: h.Rooms},
		{Stream: h.Stream, Sequence: h.Sequence},
	}
	// An obviously too large payload is not worth encoding.
	if e := h.Envelope; e != nil && len(e.Envelope.Payload)+len(e.Envelope.Runtime) < limit {
		forms = append([]wireHint{{Stream: h.Stream, Sequence: h.Sequence, Envelope: e}}, forms...)
	}
	for _, form := range forms {
		raw, err := json.Marshal(form)
		if err != nil {
			return nil, fmt.Errorf("encode hint of %s: %w", h.Stream, err)
		}
		if len(raw) <= limit {
			return raw, nil
		}
	}
	return nil, nil
}

func encodeSignal(topic, key string, limit int) (json.RawMessage, error) {
	raw, err := json.Marshal(wireSignal{Topic: topic, Key: key})
	if err != nil {
		return nil, fmt.Errorf("encode signal %s: %w", topic, err)
	}
	if len(raw) > limit {
		return nil, fmt.Errorf("encode signal %s: %d bytes are more than %d", topic, len(raw), limit)
	}
	return raw, nil
}

// pack puts items into as few messages as the limit allows, keeping their order.
func pack(origin string, items []item, limit int) ([]string, error) {
	var out []string
	for len(items) > 0 {
		var hints, signals []json.RawMessage
		size, n := overhead, 0
		for n < len(items) && (n == 0 || size+items[n].size() <= limit) {
			size += items[n].size()
			if items[n].hint != nil {
				hints = append(hints, items[n].hint)
			} else {
				signals = append(signals, items[n].signal)
			}
			n++
		}
		raw, err := json.Marshal(struct {
			Origin  string            `json:"o"`
			Hints   []json.RawMessage `json:"h,omitempty"`
			Signals []json.RawMessage `json:"s,omitempty"`
		}{origin, hints, signals})
		if err != nil {
			return nil, fmt.Errorf("encode bus message: %w", err)
		}
		out = append(out, string(raw))
		items = items[n:]
	}
	return out, nil
}

// signature is how messages of an origin begin.
func signature(origin string) string { return `{"o":"` + origin + `"` }

// decode reads a message; with an H of struct{} its hints are counted and not read.
func decode[H any](payload string) (message[H], error) {
	var m message[H]
	if err := json.Unmarshal([]byte(payload), &m); err != nil {
		return m, fmt.Errorf("decode bus message: %w", err)
	}
	return m, nil
}

func (h wireHint) hint() Hint {
	out := Hint(h)
	if h.Envelope != nil {
		out.Rooms = h.Envelope.Envelope.RoomKeys
	}
	return out
}
