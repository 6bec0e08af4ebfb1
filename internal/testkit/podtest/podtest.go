// Package podtest records attempts that run in pods in memory, and serves the part of
// the executor's API that a pod needs to start and to report. It lets the dispatcher
// be tested without a database.
package podtest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/executor/kubernetes"
)

// Attempts implements kubernetes.Attempts. Its zero value is not usable.
type Attempts struct {
	mu      sync.Mutex
	rows    map[key]*Row
	changed chan struct{} // closed at each change
	hint    func(nodeRunID int64, attempt int32)
	fail    error // given by every method; nil: none
}

type key struct {
	nodeRunID int64
	attempt   int32
}

// Row is what is kept of an attempt.
type Row struct {
	kubernetes.State

	TokenHash []byte
	Payload   []byte
	Note      string
	Notes     []string // all that there were
	Result    *executor.Result
	By        string // who ended it: pod, giveup, holder
	Log       string
	Starts    int // pods that were let in
	Refused   int // pods that were not
	Begins    int
	Uncertain int // how often it became uncertain
}

// New makes an empty record; hint is told of starts and ends by pods, nil: nobody is.
func New(hint func(nodeRunID int64, attempt int32)) *Attempts {
	return &Attempts{rows: map[key]*Row{}, changed: make(chan struct{}), hint: hint}
}

// Hint sets who is told of starts and ends by pods.
func (m *Attempts) Hint(hint func(nodeRunID int64, attempt int32)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hint = hint
}

// Fail has every method of kubernetes.Attempts fail, until nil is given.
func (m *Attempts) Fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
	m.signal()
}

func (m *Attempts) signal() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// Claim makes an open attempt that worker holds, as the engine's claim does.
func (m *Attempts) Claim(nodeRunID int64, attempt int32, worker uuid.UUID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[key{nodeRunID, attempt}] = &Row{State: kubernetes.State{
		Ref: kubernetes.Ref{NodeRunID: nodeRunID, Attempt: attempt, Worker: worker}, Open: true,
		Dispatch: kubernetes.DispatchPending, BegunAt: time.Now(),
	}}
	m.signal()
}

// Adopt moves an attempt to another worker.
func (m *Attempts) Adopt(nodeRunID int64, attempt int32, worker uuid.UUID) {
	m.change(nodeRunID, attempt, func(r *Row) { r.Worker = worker })
}

// RequestCancel notes that somebody wants the attempt to end.
func (m *Attempts) RequestCancel(nodeRunID int64, attempt int32) {
	m.change(nodeRunID, attempt, func(r *Row) { r.CancelRequested = true })
}

// Finish stores what a holder gave back, unless it was settled already.
func (m *Attempts) Finish(r kubernetes.Ref, res executor.Result) {
	if res.Settled {
		return
	}
	m.change(r.NodeRunID, r.Attempt, func(row *Row) {
		if row.Open && row.Worker == r.Worker {
			row.end(res, "holder")
		}
	})
}

func (m *Attempts) change(nodeRunID int64, attempt int32, f func(r *Row)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.rows[key{nodeRunID, attempt}]; r != nil {
		f(r)
	}
	m.signal()
}

func (r *Row) end(res executor.Result, by string) {
	r.Open, r.Result, r.By = false, &res, by
}

// Row gives a copy of what is kept.
func (m *Attempts) Row(nodeRunID int64, attempt int32) Row {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.rows[key{nodeRunID, attempt}]; r != nil {
		out := *r
		out.Notes = slices.Clone(r.Notes)
		return out
	}
	return Row{}
}

// Await waits until an attempt is as wanted; false: ctx ended first.
func (m *Attempts) Await(ctx context.Context, nodeRunID int64, attempt int32, wanted func(r Row) bool) bool {
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		if wanted(m.Row(nodeRunID, attempt)) {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

func (m *Attempts) held(r kubernetes.Ref, f func(row *Row) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	row := m.rows[key{r.NodeRunID, r.Attempt}]
	if row == nil || !row.Open || row.Worker != r.Worker {
		return kubernetes.ErrStale
	}
	defer m.signal()
	return f(row)
}

// Begin implements kubernetes.Attempts.
func (m *Attempts) Begin(_ context.Context, r kubernetes.Ref, dispatchID string, tokenHash, payload []byte) error {
	return m.held(r, func(row *Row) error {
		if row.PodUID != "" {
			return kubernetes.ErrStarted
		}
		row.DispatchID, row.TokenHash, row.Payload, row.Dispatch, row.BegunAt = dispatchID, tokenHash, payload, kubernetes.DispatchPending, time.Now()
		row.Begins++
		return nil
	})
}

// Submitted implements kubernetes.Attempts.
func (m *Attempts) Submitted(_ context.Context, r kubernetes.Ref) error {
	return m.held(r, func(row *Row) error {
		if row.Dispatch == kubernetes.DispatchPending {
			row.Dispatch = kubernetes.DispatchSubmitted
		}
		return nil
	})
}

// GiveUp implements kubernetes.Attempts.
func (m *Attempts) GiveUp(_ context.Context, r kubernetes.Ref, res executor.Result) (bool, error) {
	err := m.held(r, func(row *Row) error {
		if row.PodUID != "" {
			return kubernetes.ErrStarted
		}
		row.Dispatch = kubernetes.DispatchFailed
		row.end(res, "giveup")
		return nil
	})
	if errors.Is(err, kubernetes.ErrStarted) || errors.Is(err, kubernetes.ErrStale) {
		return false, nil
	}
	return err == nil, err
}

// Uncertain implements kubernetes.Attempts.
func (m *Attempts) Uncertain(_ context.Context, r kubernetes.Ref, uncertain bool) error {
	return m.held(r, func(row *Row) error {
		if uncertain && !row.State.Uncertain {
			row.Uncertain++
		}
		row.State.Uncertain = uncertain
		return nil
	})
}

// Note implements kubernetes.Attempts.
func (m *Attempts) Note(_ context.Context, r kubernetes.Ref, note string) error {
	return m.held(r, func(row *Row) error {
		row.Note = note
		row.Notes = append(row.Notes, note)
		return nil
	})
}

// State implements kubernetes.Attempts.
func (m *Attempts) State(_ context.Context, nodeRunID int64, attempt int32) (kubernetes.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return kubernetes.State{}, m.fail
	}
	if r := m.rows[key{nodeRunID, attempt}]; r != nil {
		return r.State, nil
	}
	return kubernetes.State{}, fmt.Errorf("there is no attempt %d of node run %d", attempt, nodeRunID)
}

// Open implements kubernetes.Attempts.
func (m *Attempts) Open(context.Context) ([]kubernetes.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	var out []kubernetes.State
	for r := range maps.Values(m.rows) {
		if r.Open {
			out = append(out, r.State)
		}
	}
	return out, nil
}

// AppendPodLog implements kubernetes.Attempts.
func (m *Attempts) AppendPodLog(_ context.Context, r kubernetes.Ref, text string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	row := m.rows[key{r.NodeRunID, r.Attempt}]
	if m.fail != nil {
		return m.fail
	}
	if row == nil || row.Worker != r.Worker {
		return kubernetes.ErrStale
	}
	row.Log += text
	m.signal()
	return nil
}

// PodLogEnd implements kubernetes.Attempts.
func (m *Attempts) PodLogEnd(_ context.Context, nodeRunID int64, attempt int32) (string, int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return "", 0, m.fail
	}
	row := m.rows[key{nodeRunID, attempt}]
	lines := strings.Split(strings.TrimSuffix(row.Log, "\n"), "\n")
	return lines[len(lines)-1], len(row.Log), nil
}

// ServeHTTP is the API as a pod needs it: GET …/payload and POST …/events.
func (m *Attempts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	m.mu.Lock()
	defer m.mu.Unlock()
	row := m.byToken(token)
	switch {
	case row == nil:
		http.Error(w, "unknown token", http.StatusUnauthorized)
	case strings.HasSuffix(r.URL.Path, "/payload"):
		_, _ = w.Write(row.Payload)
	case strings.HasSuffix(r.URL.Path, "/events"):
		m.events(w, r, row)
	default:
		http.NotFound(w, r)
	}
}

func (m *Attempts) byToken(token string) *Row {
	hash := sha256.Sum256([]byte(token))
	for _, r := range m.rows {
		if string(r.TokenHash) == string(hash[:]) {
			return r
		}
	}
	return nil
}

func (m *Attempts) events(w http.ResponseWriter, r *http.Request, row *Row) {
	raw, err := io.ReadAll(r.Body)
	var events []executor.Event
	if err == nil {
		err = json.Unmarshal(raw, &events)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	pod := r.Header.Get("X-Pod-Uid")
	if !row.Open || row.PodUID != "" && row.PodUID != pod || row.CancelRequested && row.PodUID == "" {
		row.Refused++
		m.signal()
		http.Error(w, "attempt closed", http.StatusConflict)
		return
	}
	for _, e := range events {
		switch e.Type {
		case executor.EventStarted:
			if row.PodUID == "" {
				row.Starts++
				now := time.Now()
				row.PodUID, row.StartedAt, row.Dispatch = pod, &now, kubernetes.DispatchConfirmed
			}
		case executor.EventResult:
			row.end(*e.Result, "pod")
		default:
		}
	}
	m.signal()
	if m.hint != nil {
		go m.hint(row.NodeRunID, row.Attempt)
	}
	w.WriteHeader(http.StatusOK)
}
