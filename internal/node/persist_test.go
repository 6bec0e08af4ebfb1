package node

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/run"
)

var errAway = errors.New("unexpected EOF")

// shaky is a database that answers only every third time.
type shaky struct {
	prepared, resolved int
	unknown            bool
}

func (*shaky) Claim(context.Context, int64, uuid.UUID) (*run.Claim, error) { return nil, errAway }

func (*shaky) Finish(context.Context, int64, int32, run.Result, run.FinishOptions) (*run.Claim, error) {
	return nil, errAway
}

func (*shaky) DispatchedPayload(context.Context, int64, int32) ([]byte, error) { return nil, errAway }

func (*shaky) LetGo(context.Context, run.Ref) error { return errAway }

func (s *shaky) Prepare(context.Context, *run.Claim) (run.Work, *run.Failure, error) {
	if s.prepared++; s.prepared%3 != 0 {
		return run.Work{}, nil, errAway
	}
	return run.Work{Kind: "task", Config: json.RawMessage(`{"model_id":7}`)}, nil, nil
}

func (s *shaky) Resolve(context.Context, int64) (executor.Model, map[string]string, error) {
	if s.unknown {
		return executor.Model{}, nil, errs.E(errs.NotFound, "model.not_found", "There is no model 7.")
	}
	if s.resolved++; s.resolved%3 != 0 {
		return executor.Model{}, nil, errAway
	}
	return executor.Model{Name: "seven"}, nil, nil
}

// echo answers with the name of the model that it was given.
type echo struct{}

func (echo) Name() string { return "inline" }

func (echo) Execute(_ context.Context, p executor.Payload, _ executor.Sink) executor.Result {
	return executor.Result{Status: "succeeded", OutputState: json.RawMessage(`"` + p.Model.Name + `"`)}
}

func newShaky(s *shaky) (*Runner, *attempt) {
	r := NewRunner(RunnerOptions{
		Engine: s, Models: s, Executors: map[string]executor.Executor{"inline": echo{}}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	return r, newAttempt(run.Claim{Executor: "inline"})
}

func TestADatabaseThatIsAwayIsNoFailureOfANode(t *testing.T) {
	t.Parallel()
	r, a := newShaky(&shaky{})
	defer a.close()
	res := r.execute(t.Context(), a)
	require.Equal(t, run.Succeeded, res.Status, "%+v", res.Error)
	require.JSONEq(t, `"seven"`, string(res.Output))
}

func TestWhatIsMeantForPeopleFailsAtOnce(t *testing.T) {
	t.Parallel()
	r, a := newShaky(&shaky{unknown: true})
	defer a.close()
	res := r.execute(t.Context(), a)
	require.Equal(t, run.Failed, res.Status)
	require.Equal(t, "unknown_model", res.Error.Code)
	require.Equal(t, "There is no model 7.", res.Error.Message)
}

func TestTheEndOfAnAttemptEndsTheTrying(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	tries := 0
	err := persist(ctx, slog.New(slog.DiscardHandler), "x", func() error {
		tries++
		cancel()
		return errAway
	})
	require.ErrorIs(t, err, errAway)
	require.Equal(t, 1, tries)
}
