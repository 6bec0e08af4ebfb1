package chat

import (
	"bytes"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/event"
)

// maxPending bounds what an attempt may have buffered (bytes of text). A model that
// talks faster than the database takes it waits.
const maxPending = 1 << 20

// maxAnswer bounds an answer (bytes).
const maxAnswer = 8 << 20

// maxChunk bounds the text of one event.
const maxChunk = 16 << 10

// chunk is a piece of an answer on its way into the log.
type chunk struct {
	offset int64
	text   string
	part   *MessagePart
}

// writing is an answer that is being written: what was said so far, and of that what
// is not in the log yet. Its methods are called by the attempt's goroutine and by the
// group that writes.
type writing struct {
	turn Turn // as it was claimed

	mu       sync.Mutex
	text     []byte
	offset   int64 // characters so far
	placed   []PlacedPart
	pending  []chunk
	bytes    int
	first    *time.Time // when the first text came
	room     *sync.Cond // signalled when pending was taken, or a round ended
	inFlight bool
	closed   bool // ended or superseded: nothing is taken any more
	order    func(error)
}

func newWriting(t Turn, order func(error)) *writing {
	w := &writing{turn: t, order: order}
	w.room = sync.NewCond(&w.mu)
	return w
}

// say adds a piece. It waits while too much is buffered; false when the attempt is over.
func (w *writing) say(p Said, at time.Time) bool {
	p = storable(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.bytes > maxPending && !w.closed {
		w.room.Wait()
	}
	if w.closed || len(w.text)+len(p.Text) > maxAnswer {
		return !w.closed && p.Text == ""
	}
	if p.Part != nil {
		w.placed = place(w.placed, PlacedPart{Offset: w.offset, Part: *p.Part})
		w.pending = append(w.pending, chunk{offset: w.offset, part: p.Part})
		w.bytes += 256
	}
	if p.Text != "" {
		w.addText(p.Text, at)
	}
	return true
}

// storable replaces what the database cannot store: U+0000, which some models emit.
func storable(p Said) Said {
	const nul = "\x00"
	p.Text = strings.ReplaceAll(p.Text, nul, "\uFFFD")
	if p.Part == nil {
		return p
	}
	part := *p.Part
	if r := part.ToolResult; r != nil && strings.Contains(r.Content, nul) {
		clean := *r
		clean.Content = strings.ReplaceAll(r.Content, nul, "\uFFFD")
		part.ToolResult = &clean
	}
	if c := part.ToolCall; c != nil && bytes.Contains(c.Arguments, []byte(`\u0000`)) {
		clean := *c
		clean.Arguments = bytes.ReplaceAll(c.Arguments, []byte(`\u0000`), []byte(`\ufffd`))
		part.ToolCall = &clean
	}
	p.Part = &part
	return p
}

func (w *writing) addText(text string, at time.Time) {
	if w.first == nil {
		w.first = &at
	}
	if n := len(w.pending); n > 0 && w.pending[n-1].part == nil && len(w.pending[n-1].text)+len(text) <= maxChunk {
		w.pending[n-1].text += text
	} else {
		w.pending = append(w.pending, chunk{offset: w.offset, text: text})
	}
	w.text = append(w.text, text...)
	w.bytes += len(text)
	w.offset += int64(utf8.RuneCountInString(text))
}

// told is what a round writes of one attempt.
type told struct {
	w      *writing
	chunks []chunk
}

// Take implements grouped.Source.
func (w *writing) Take() (told, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.take()
}

func (w *writing) take() (told, bool, error) {
	if len(w.pending) == 0 {
		return told{}, false, nil
	}
	t := told{w: w, chunks: w.pending}
	w.pending, w.bytes, w.inFlight = nil, 0, true
	w.room.Broadcast()
	return t, true, nil
}

// takeLast is Take for the transaction that ends the attempt: it waits for a round
// that is under way, so that no text comes after the end.
func (w *writing) takeLast() (told, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.inFlight {
		w.room.Wait()
	}
	t, ok, _ := w.take()
	return t, ok
}

// Written implements grouped.Source.
func (w *writing) Written() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inFlight = false
	w.room.Broadcast()
}

// GiveBack implements grouped.Source.
func (w *writing) GiveBack(t told) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inFlight = false
	w.room.Broadcast()
	w.pending = append(t.chunks, w.pending...)
	w.bytes = 0
	for _, c := range w.pending {
		w.bytes += len(c.text)
	}
}

// close lets nothing more in.
func (w *writing) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.room.Broadcast()
}

// whole is everything that was said.
func (w *writing) whole() (text string, placed []PlacedPart, first *time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.text), append([]PlacedPart(nil), w.placed...), w.first
}

type deltaPayload struct {
	ThreadID int64        `json:"thread_id"`
	TurnID   int64        `json:"turn_id"`
	Attempt  int32        `json:"attempt"`
	Offset   int64        `json:"offset"`
	Text     string       `json:"text"`
	Part     *MessagePart `json:"part,omitempty"`
}

// drafts are the events of what was taken.
func (t told) drafts() []event.Draft {
	turn := &t.w.turn
	out := make([]event.Draft, 0, len(t.chunks))
	for _, c := range t.chunks {
		out = append(out, event.Draft{
			Stream: TurnStream(turn.ID), Type: "thread:turn:delta", EntityKind: "turn", EntityID: TurnStream(turn.ID)[len("turn:"):],
			Rooms: []string{Stream(turn.ThreadID)}, RequestID: turn.RequestID, CorrelationID: turn.CorrelationID,
			Payload: deltaPayload{ThreadID: turn.ThreadID, TurnID: turn.ID, Attempt: turn.Attempt, Offset: c.offset, Text: c.text, Part: c.part},
		})
	}
	return out
}
