package node

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/run"
)

// maxPending bounds what an attempt may have buffered (bytes of text). A node
// that talks faster than the database takes it waits.
const maxPending = 1 << 20

// chunk is a piece of high-rate text.
type chunk struct {
	kind   string // "delta" or "log"
	stage  string
	text   string
	offset int64
	at     time.Time
}

// attempt is what this process knows of an attempt that it holds. Its methods
// are called by the executor's goroutine and by the recorder.
type attempt struct {
	claim run.Claim

	mu         sync.Mutex
	stages     []Stage
	stageDirty bool
	current    *string
	input      json.RawMessage
	started    *time.Time
	firstToken *time.Time
	dispatchID *string
	offset     int64 // characters streamed so far
	pending    []chunk
	bytes      int
	room       *sync.Cond // signalled when pending was taken, or a flush ended
	inFlight   bool       // a flush is writing what it took
	closed     bool       // the attempt ended or was superseded: text is dropped
}

func newAttempt(claim run.Claim) *attempt {
	a := &attempt{claim: claim}
	a.room = sync.NewCond(&a.mu)
	return a
}

// stage notes that a stage began or ended.
func (a *attempt) stage(key, status string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stageDirty = true
	for i := range a.stages {
		if a.stages[i].Key == key {
			a.stages[i].Status = status
			if status != run.Running {
				a.stages[i].FinishedAt = &at
			}
			return
		}
	}
	s := Stage{Key: key, Status: status, StartedAt: &at}
	if status != run.Running {
		s.FinishedAt = &at
	}
	a.stages = append(a.stages, s)
	a.current = &key
}

// add buffers text, merged with the piece before it where they belong together.
// It waits while too much is buffered, until the attempt is closed.
func (a *attempt) add(kind, stage, text string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.bytes > maxPending && !a.closed {
		a.room.Wait()
	}
	if a.closed {
		return
	}
	a.append(kind, stage, text, at)
}

// put is add for text that came in one piece, which the sender bounded.
func (a *attempt) put(kind, stage, text string, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.append(kind, stage, text, at)
}

func (a *attempt) append(kind, stage, text string, at time.Time) {
	if text == "" {
		return
	}
	if kind == "delta" && a.firstToken == nil {
		a.firstToken = &at
	}
	if kind == "log" {
		a.countLine(stage)
	}
	a.bytes += len(text)
	if n := len(a.pending); n > 0 && a.pending[n-1].kind == kind && a.pending[n-1].stage == stage && len(a.pending[n-1].text) < 4<<10 {
		a.pending[n-1].text += text
	} else {
		a.pending = append(a.pending, chunk{kind: kind, stage: stage, text: text, offset: a.offset, at: at})
	}
	if kind == "delta" {
		a.offset += int64(len([]rune(text)))
	}
}

func (a *attempt) countLine(stage string) {
	for i := range a.stages {
		if a.stages[i].Key == stage {
			a.stages[i].LogLines++
			a.stageDirty = true
		}
	}
}

// taken is what a flush writes for one attempt.
type taken struct {
	a          *attempt
	chunks     []chunk
	stages     json.RawMessage
	stageDirty bool
	current    *string
	input      json.RawMessage
	started    *time.Time
	firstToken *time.Time
	dispatchID *string
}

// Take hands over what is buffered; ok is false when nothing changed.
func (a *attempt) Take() (t taken, ok bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.pending) == 0 && !a.stageDirty && a.input == nil {
		return taken{}, false, nil
	}
	stages, err := json.Marshal(a.stages)
	if err != nil {
		return taken{}, false, fmt.Errorf("encode stages: %w", err)
	}
	if a.stages == nil {
		stages = json.RawMessage("[]")
	}
	t = taken{
		a: a, chunks: a.pending, stages: stages, stageDirty: a.stageDirty, current: a.current,
		input: a.input, started: a.started, firstToken: a.firstToken, dispatchID: a.dispatchID,
	}
	a.pending, a.bytes, a.stageDirty, a.input = nil, 0, false, nil
	a.inFlight = true
	a.room.Broadcast()
	return t, true, nil
}

// takeLast is Take for the transaction that ends the attempt: it waits for a
// flush that is under way, so that no text comes after the end.
func (a *attempt) takeLast() (taken, bool, error) {
	a.mu.Lock()
	for a.inFlight {
		a.room.Wait()
	}
	a.mu.Unlock()
	return a.Take()
}

// Written ends a flush.
func (a *attempt) Written() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inFlight = false
	a.room.Broadcast()
}

// GiveBack puts what a failed flush had taken in front again.
func (a *attempt) GiveBack(t taken) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inFlight = false
	a.room.Broadcast()
	a.pending = append(t.chunks, a.pending...)
	a.bytes = 0
	for _, c := range a.pending {
		a.bytes += len(c.text)
	}
	a.stageDirty = a.stageDirty || t.stageDirty
	if a.input == nil {
		a.input = t.input
	}
}

func (a *attempt) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.pending, a.bytes = nil, 0
	a.room.Broadcast()
}

type chunkPayload struct {
	TaskID  int64  `json:"task_id"`
	Attempt int32  `json:"attempt"`
	Offset  int64  `json:"offset"`
	Text    string `json:"text"`
	Stage   string `json:"stage,omitempty"`
}

// drafts turns the text into events of the node's log stream.
func (t taken) drafts() []event.Draft {
	n := &t.a.claim.NodeRun
	rooms := run.RoomsOfNode(n)
	id := strconv.FormatInt(n.ID, 10)
	out := make([]event.Draft, 0, len(t.chunks)+1)
	for _, c := range t.chunks {
		out = append(out, event.Draft{
			Stream: run.StreamOfLog(n.ID), Type: "node:task:" + c.kind, EntityKind: "task", EntityID: id, Rooms: rooms,
			RequestID: n.RequestID, CorrelationID: n.CorrelationID,
			Payload: chunkPayload{TaskID: n.ID, Attempt: t.a.claim.Attempt, Offset: c.offset, Text: c.text, Stage: c.stage},
		})
	}
	return out
}
