package app

import (
	"context"
	"strings"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/executor/kubernetes"
	"github.com/llmctl/studio/internal/run"
)

// Begin implements kubernetes.Attempts.
func (p podAttempts) Begin(ctx context.Context, r kubernetes.Ref, dispatchID string, tokenHash, payload []byte) error {
	return stale(p.stored.Begin(ctx, refOf(r), dispatchID, tokenHash, payload))
}

// Submitted implements kubernetes.Attempts.
func (p podAttempts) Submitted(ctx context.Context, r kubernetes.Ref) error {
	return stale(p.stored.Submitted(ctx, refOf(r)))
}

// GiveUp implements kubernetes.Attempts.
func (p podAttempts) GiveUp(ctx context.Context, r kubernetes.Ref, res executor.Result) (bool, error) {
	done, err := p.stored.GiveUp(ctx, refOf(r), res)
	return done, stale(err)
}

// Uncertain implements kubernetes.Attempts.
func (p podAttempts) Uncertain(ctx context.Context, r kubernetes.Ref, uncertain bool) error {
	return stale(p.stored.Uncertain(ctx, refOf(r), uncertain))
}

// Note implements kubernetes.Attempts.
func (p podAttempts) Note(ctx context.Context, r kubernetes.Ref, note string) error {
	return stale(p.stored.Note(ctx, refOf(r), note))
}

// State implements kubernetes.Attempts.
func (p podAttempts) State(ctx context.Context, nodeRunID int64, attempt int32) (kubernetes.State, error) {
	st, err := p.stored.State(ctx, nodeRunID, attempt)
	return podState(st), err
}

// Open implements kubernetes.Attempts.
func (p podAttempts) Open(ctx context.Context) ([]kubernetes.State, error) {
	open, err := p.stored.Open(ctx)
	out := make([]kubernetes.State, len(open))
	for i, st := range open {
		out[i] = podState(st)
	}
	return out, err
}

func podState(st run.DispatchState) kubernetes.State {
	return kubernetes.State{
		Ref:  kubernetes.Ref{NodeRunID: st.NodeRunID, Attempt: st.Attempt, Worker: st.Worker},
		Open: st.Open, CancelRequested: st.CancelRequested, Uncertain: st.Uncertain,
		Dispatch: st.Dispatch, DispatchID: st.DispatchID, PodUID: st.PodUID, BegunAt: st.BegunAt, StartedAt: st.StartedAt, TimeoutSeconds: st.TimeoutSeconds,
	}
}

// AppendPodLog implements kubernetes.Attempts.
func (p podAttempts) AppendPodLog(ctx context.Context, r kubernetes.Ref, text string) error {
	return stale(p.stored.AppendPodLog(ctx, refOf(r), text))
}

// podLogPieces is how many pieces of a log are read at once.
const podLogPieces = 200

// PodLogEnd implements kubernetes.Attempts.
func (p podAttempts) PodLogEnd(ctx context.Context, nodeRunID int64, attempt int32) (last string, size int, err error) {
	for after := int32(0); ; {
		pieces, err := p.engine.PodLog(ctx, nodeRunID, attempt, after, podLogPieces)
		if err != nil {
			return "", 0, err
		}
		for _, piece := range pieces {
			after = piece.Seq
			size += len(piece.Text)
			text := strings.TrimSuffix(piece.Text, "\n")
			last = text[strings.LastIndexByte(text, '\n')+1:]
		}
		if len(pieces) < podLogPieces {
			return last, size, nil
		}
	}
}
