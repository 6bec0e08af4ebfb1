package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// InPod is the executor whose attempts outlive the worker that began them: they are
// not lost with it, but adopted.
const InPod = "kubernetes"

// ErrStale says that an attempt has ended, or that another worker holds it now.
var ErrStale = errors.New("attempt ended or held by another worker")

// ErrStarted says that a pod has started the attempt already.
var ErrStarted = errors.New("a pod has started the attempt")

// Ref names an attempt and who holds it: what a holder writes carries both.
type Ref struct {
	NodeRunID int64
	Attempt   int32
	Worker    uuid.UUID
}

// DispatchState is what is known of an attempt in a pod.
type DispatchState struct {
	Ref

	Open            bool
	CancelRequested bool
	LetGo           bool
	Uncertain       bool
	Dispatch        string // dispatch_pending and so on
	DispatchID      string // "": nothing was ever to be created
	PodUID          string // "": no pod has started
	Note            string
	BegunAt         time.Time // when the dispatch began; before that, when the attempt was claimed
	StartedAt       *time.Time
	TimeoutSeconds  float64 // of the execution, from StartedAt
}

func stateOf(a *Attempt, timeout float64) DispatchState {
	s := DispatchState{
		Ref:  Ref{NodeRunID: a.NodeRunID, Attempt: a.Number, Worker: a.WorkerProcessID},
		Open: a.FinishedAt == nil, CancelRequested: a.CancelRequestedAt != nil, LetGo: a.LetGoAt != nil, Uncertain: a.DispatchUncertain,
		Dispatch: a.DispatchStatus, DispatchID: orEmpty(a.ProviderDispatchID), PodUID: orEmpty(a.PodUid), Note: orEmpty(a.DispatchNote),
		BegunAt: a.ClaimedAt, StartedAt: a.ConfirmedAt, TimeoutSeconds: timeout,
	}
	if a.DispatchedAt != nil {
		s.BegunAt = *a.DispatchedAt
	}
	return s
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// dispatched is what a payload says that is kept beside it, or must not be kept.
type dispatched struct {
	InputContext json.RawMessage            `json:"input_context"`
	Secrets      map[string]json.RawMessage `json:"secrets"`
}

// BeginDispatch stores that an attempt is about to be dispatched: what it will be
// called, the hash of the token that opens the executor's API for it (another one
// before it is void), and what it works with. payload must hold no secrets: it is
// kept as it is; nil keeps the one that was stored before. Errors: ErrStale,
// ErrStarted (nothing is to be dispatched any more), too_large, invalid.
func (e *Engine) BeginDispatch(ctx context.Context, r Ref, dispatchID string, tokenHash, payload []byte) error {
	var in dispatched
	if payload != nil {
		if err := json.Unmarshal(payload, &in); err != nil {
			return errs.E(errs.Invalid, "executor.payload", "The payload is not a JSON object.").With(err)
		}
		if len(in.Secrets) > 0 {
			return errs.E(errs.Invalid, "executor.payload", "A payload that is stored must not hold secrets.")
		}
	}
	for try := 1; ; try++ {
		err := e.beginOnce(ctx, r, dispatchID, tokenHash, payload, in.InputContext)
		if postgres.IsForeignKey(err) && try < maxPuts {
			continue // the blob was collected before it was referred to
		}
		return err
	}
}

func (e *Engine) beginOnce(ctx context.Context, r Ref, dispatchID string, tokenHash, payload []byte, input json.RawMessage) error {
	var stored blob.Hash
	if payload != nil {
		var err error
		if stored, err = blob.Put(ctx, e.DB, payload); err != nil {
			return err
		}
	}
	return e.held(ctx, r, func(ctx context.Context, tx *postgres.Tx, n *NodeRun, a *Attempt) error {
		if a.PodUid != nil {
			return ErrStarted
		}
		if payload == nil {
			stored = a.PayloadBlob
		}
		if input != nil {
			_, err := e.q.SaveStage(ctx, tx, dbsqlc.SaveStageParams{ID: n.ID, Attempt: a.Number, InputContext: input})
			if err != nil {
				return fmt.Errorf("save input of node run %d: %w", n.ID, err)
			}
		}
		now, err := e.q.BeginDispatch(ctx, tx, dbsqlc.BeginDispatchParams{
			ProviderDispatchID: &dispatchID, TokenHash: tokenHash, PayloadBlob: stored, NodeRunID: n.ID, Number: a.Number,
		})
		if err != nil {
			return fmt.Errorf("begin dispatch of node run %d: %w", n.ID, err)
		}
		return e.announceNode(tx, n, &now, "dispatching")
	})
}

// SubmittedDispatch stores that what was dispatched exists. Error: ErrStale.
func (e *Engine) SubmittedDispatch(ctx context.Context, r Ref) error {
	return e.held(ctx, r, func(ctx context.Context, tx *postgres.Tx, n *NodeRun, a *Attempt) error {
		if a.ConfirmedAt != nil || a.SubmittedAt != nil {
			return nil // the pod was faster
		}
		now, err := e.q.SubmitDispatch(ctx, tx, dbsqlc.SubmitDispatchParams{NodeRunID: n.ID, Number: a.Number})
		if err != nil {
			return fmt.Errorf("store dispatch of node run %d: %w", n.ID, err)
		}
		return e.announceNode(tx, n, &now, "dispatched")
	})
}

// UncertainDispatch stores whether the fate of what was dispatched is unknown.
// Error: ErrStale.
func (e *Engine) UncertainDispatch(ctx context.Context, r Ref, uncertain bool) error {
	return e.held(ctx, r, func(ctx context.Context, tx *postgres.Tx, n *NodeRun, a *Attempt) error {
		if a.DispatchUncertain == uncertain {
			return nil
		}
		now, err := e.q.SetDispatchUncertain(ctx, tx, dbsqlc.SetDispatchUncertainParams{
			DispatchUncertain: uncertain, NodeRunID: n.ID, Number: a.Number,
		})
		if err != nil {
			return fmt.Errorf("store dispatch of node run %d: %w", n.ID, err)
		}
		return e.announceNode(tx, n, &now, "dispatch_uncertain")
	})
}

// maxNote bounds the sentence about a pod.
const maxNote = 2 << 10

// NoteDispatch keeps a sentence about the pod for people, "" none; also when the attempt has
// ended, as long as nobody else took it over. Error: ErrStale.
func (e *Engine) NoteDispatch(ctx context.Context, r Ref, note string) error {
	note = clean(note)
	if len(note) > maxNote {
		note = strings.ToValidUTF8(note[:maxNote], "") + "…"
	}
	kept := &note
	if note == "" {
		kept = nil
	}
	return e.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		n, err := e.q.LockNodeRun(ctx, tx, r.NodeRunID)
		if err != nil {
			return fmt.Errorf("lock node run %d: %w", r.NodeRunID, err)
		}
		a, err := e.q.NoteDispatch(ctx, tx, dbsqlc.NoteDispatchParams{
			DispatchNote: kept, NodeRunID: r.NodeRunID, Number: r.Attempt, WorkerProcessID: r.Worker,
		})
		if postgres.NotFound(err) {
			return ErrStale
		}
		if err != nil {
			return fmt.Errorf("note on node run %d: %w", r.NodeRunID, err)
		}
		if n.Attempt != r.Attempt {
			return nil
		}
		return e.announceNode(tx, &n, &a, "dispatch_note")
	})
}

// GiveUpDispatch ends an attempt as failed or cancelled, but only if no pod has
// started it: from then on none can. false: one has, or the attempt had ended, or
// is not r's any more.
func (e *Engine) GiveUpDispatch(ctx context.Context, r Ref, res Result) (bool, error) {
	if res.Status != Failed && res.Status != Cancelled {
		return false, fmt.Errorf("node run %d cannot be given up as %s", r.NodeRunID, res.Status)
	}
	_, err := e.Finish(ctx, r.NodeRunID, r.Attempt, res, FinishOptions{
		Holder: &r.Worker,
		Under: func(_ context.Context, _ *postgres.Tx, _ *NodeRun, a *Attempt, _ *Result) error {
			if a.PodUid != nil {
				return ErrStarted
			}
			return nil
		},
	})
	if errors.Is(err, ErrSuperseded) || errors.Is(err, ErrStarted) {
		return false, nil
	}
	return err == nil, err
}

// Dispatch is what is known of an attempt in a pod. Error: not_found.
func (e *Engine) Dispatch(ctx context.Context, nodeRunID int64, attempt int32) (DispatchState, error) {
	row, err := e.q.GetDispatch(ctx, e.DB, dbsqlc.GetDispatchParams{NodeRunID: nodeRunID, Number: attempt})
	if postgres.NotFound(err) {
		return DispatchState{}, errs.Ef(errs.NotFound, "node.attempt_not_found", "Node run %d has no attempt %d in a pod.", nodeRunID, attempt)
	}
	if err != nil {
		return DispatchState{}, fmt.Errorf("load attempt %d of node run %d: %w", attempt, nodeRunID, err)
	}
	return stateOf(&row.NodeAttempt, row.TimeoutSeconds), nil
}

// OpenDispatches lists the attempts in pods that have not ended, by node run.
func (e *Engine) OpenDispatches(ctx context.Context) ([]DispatchState, error) {
	rows, err := e.q.ListOpenDispatches(ctx, e.DB)
	if err != nil {
		return nil, fmt.Errorf("list attempts in pods: %w", err)
	}
	out := make([]DispatchState, len(rows))
	for i := range rows {
		out[i] = stateOf(&rows[i].NodeAttempt, rows[i].TimeoutSeconds)
	}
	return out, nil
}

// LetGo stores that a holder watches an attempt in a pod no more, and gives it a job,
// so that another worker takes it over at once. Error: ErrStale.
func (e *Engine) LetGo(ctx context.Context, r Ref) error {
	return e.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		n, err := e.q.GetNodeRun(ctx, tx, r.NodeRunID)
		if err != nil {
			return fmt.Errorf("load node run %d: %w", r.NodeRunID, err)
		}
		left, err := e.q.LetGoAttempt(ctx, tx, dbsqlc.LetGoAttemptParams{NodeRunID: r.NodeRunID, Number: r.Attempt, WorkerProcessID: r.Worker})
		if err != nil {
			return fmt.Errorf("let go of node run %d: %w", r.NodeRunID, err)
		}
		if left == 0 {
			return ErrStale
		}
		if err := e.Jobs.InsertNodes(ctx, tx, []Job{{NodeRunID: n.ID, Queue: n.Queue}}); err != nil {
			return fmt.Errorf("enqueue node run %d: %w", n.ID, err)
		}
		return nil
	})
}

// adopt gives an attempt in a pod to a worker if nobody holds it any more; nil if
// somebody does.
func (e *Engine) adopt(ctx context.Context, tx *postgres.Tx, n *NodeRun, worker uuid.UUID) (*Claim, error) {
	a, err := e.q.AdoptAttempt(ctx, tx, dbsqlc.AdoptAttemptParams{NodeRunID: n.ID, WorkerProcessID: worker})
	if postgres.NotFound(err) {
		return nil, nil //nolint:nilnil // nothing to do
	}
	if err != nil {
		return nil, fmt.Errorf("adopt node run %d: %w", n.ID, err)
	}
	if a.Number != n.Attempt {
		return nil, fmt.Errorf("node run %d at attempt %d has an open attempt %d", n.ID, n.Attempt, a.Number)
	}
	if err := e.announceNode(tx, n, &a, "adopted"); err != nil {
		return nil, err
	}
	return &Claim{NodeRun: *n, Attempt: a.Number, Worker: worker, Executor: a.Executor, Adopted: true, Dispatched: a.ProviderDispatchID != nil}, nil
}

// held runs f under the locks of an attempt that r still holds.
func (e *Engine) held(ctx context.Context, r Ref, f func(ctx context.Context, tx *postgres.Tx, n *NodeRun, a *Attempt) error) error {
	return e.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		n, err := e.q.LockNodeRun(ctx, tx, r.NodeRunID)
		if err != nil {
			return fmt.Errorf("lock node run %d: %w", r.NodeRunID, err)
		}
		a, err := e.q.LockHeldAttempt(ctx, tx, dbsqlc.LockHeldAttemptParams{NodeRunID: r.NodeRunID, Number: r.Attempt, WorkerProcessID: r.Worker})
		if postgres.NotFound(err) || (err == nil && n.Attempt != r.Attempt) {
			return ErrStale
		}
		if err != nil {
			return fmt.Errorf("lock attempt %d of node run %d: %w", r.Attempt, r.NodeRunID, err)
		}
		return f(ctx, tx, &n, &a)
	})
}

// endDispatch forgets what only an open attempt in a pod needs, and hints its holder
// at the end.
func (c *nodeTx) endDispatch(ctx context.Context, n *NodeRun) error {
	err := c.e.q.DeleteUploads(ctx, c.tx, dbsqlc.DeleteUploadsParams{NodeRunID: n.ID, Number: n.Attempt})
	if err != nil {
		return fmt.Errorf("remove uploads of node run %d: %w", n.ID, err)
	}
	c.e.hint(c.tx, n.ID, n.Attempt)
	return nil
}

// hint tells the holder of an attempt in a pod that there is something to see.
func (e *Engine) hint(tx *postgres.Tx, nodeRunID int64, attempt int32) {
	if e.Hint != nil {
		tx.AfterCommit(func() { e.Hint(nodeRunID, attempt) })
	}
}

// clean makes a text storable.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == 0 {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
