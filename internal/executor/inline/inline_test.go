package inline_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/executor/inline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func payload() executor.Payload {
	return executor.Payload{ContractVersion: executor.Version, NodeRunID: 1, Attempt: 1, Kind: "x"}
}

func discard(executor.Event) error { return nil }

func TestEventsAreStampedAndTheResultIsReturned(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("x", 3600))
	e := inline.New(func(_ context.Context, _ executor.Payload, sink executor.Sink) executor.Result {
		_ = sink(executor.Event{Type: executor.EventLog, Text: "bad \x00 \xff bytes"})
		return executor.Success(map[string]any{"a": 1})
	}, inline.Options{Now: func() time.Time { return at }})
	var got []executor.Event
	res := e.Execute(t.Context(), payload(), func(ev executor.Event) error { got = append(got, ev); return nil })
	require.Equal(t, executor.Succeeded, res.Status)
	require.JSONEq(t, `{"a":1}`, string(res.OutputState))
	require.Len(t, got, 2)
	require.Equal(t, executor.Event{V: "v1", N: 1, TS: at.UTC(), Type: executor.EventStarted}, got[0])
	require.Equal(t, "bad \uFFFD \uFFFD bytes", got[1].Text, "what the database would refuse is replaced")
}

func TestAPanicIsAResult(t *testing.T) {
	t.Parallel()
	e := inline.New(func(context.Context, executor.Payload, executor.Sink) executor.Result { panic("boom") }, inline.Options{})
	res := e.Execute(t.Context(), payload(), discard)
	require.Equal(t, executor.Failed, res.Status)
	require.Equal(t, executor.CodePanic, res.Error.Code)
	require.Contains(t, res.Error.Message, "boom")
}

func TestTheCauseDecidesTheStatus(t *testing.T) {
	t.Parallel()
	waits := func(ctx context.Context, _ executor.Payload, _ executor.Sink) executor.Result {
		<-ctx.Done()
		return executor.Failure("x", "torn down", false)
	}
	for cause, want := range map[error]executor.Status{
		executor.ErrCancelled: executor.Cancelled, executor.ErrTimeout: executor.TimedOut,
		context.DeadlineExceeded: executor.TimedOut, errors.New("else"): executor.Cancelled,
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				synctest.Wait()
				cancel(cause)
			}()
			require.Equal(t, want, inline.New(waits, inline.Options{}).Execute(ctx, payload(), discard).Status)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		p := payload()
		p.Limits.TimeoutSeconds = 30
		start := time.Now()
		require.Equal(t, executor.TimedOut, inline.New(waits, inline.Options{}).Execute(t.Context(), p, discard).Status)
		require.Equal(t, 30*time.Second, time.Since(start))
	})
}

func TestWorkThatWasDoneInTimeStaysDone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	e := inline.New(func(context.Context, executor.Payload, executor.Sink) executor.Result {
		cancel(executor.ErrCancelled)
		return executor.Success("done")
	}, inline.Options{})
	require.Equal(t, executor.Succeeded, e.Execute(ctx, payload(), discard).Status)
}

func TestADeafHandlerIsAbandonedAfterTheGrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		e := inline.New(func(_ context.Context, _ executor.Payload, sink executor.Sink) executor.Result {
			<-release
			_ = sink(executor.Event{Type: executor.EventLog, Text: "late"})
			return executor.Success(nil)
		}, inline.Options{Grace: 4 * time.Second})
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(executor.ErrCancelled)
		var got []executor.Event
		start := time.Now()
		res := e.Execute(ctx, payload(), func(ev executor.Event) error { got = append(got, ev); return nil })
		require.Equal(t, executor.Cancelled, res.Status)
		require.Equal(t, 4*time.Second, time.Since(start))

		short, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		require.Error(t, e.Wait(short), "it still runs")
		close(release)
		require.NoError(t, e.Wait(t.Context()))
		synctest.Wait()
		require.Len(t, got, 1, "late events are dropped")
	})
}

func TestAFailingSinkEndsTheAttempt(t *testing.T) {
	t.Parallel()
	e := inline.New(func(ctx context.Context, _ executor.Payload, sink executor.Sink) executor.Result {
		_ = sink(executor.Event{Type: executor.EventLog})
		<-ctx.Done()
		return executor.Failure("x", "x", false)
	}, inline.Options{})
	res := e.Execute(t.Context(), payload(), func(ev executor.Event) error {
		if ev.N == 2 {
			return errors.New("database is gone")
		}
		return nil
	})
	require.Equal(t, executor.CodeInfra, res.Error.Code)
	require.True(t, res.Error.Retryable)
}

func TestFaultyPayloadsDoNotRun(t *testing.T) {
	t.Parallel()
	e := inline.New(func(context.Context, executor.Payload, executor.Sink) executor.Result { panic("ran") }, inline.Options{})
	for _, p := range []executor.Payload{{}, {ContractVersion: "v2", NodeRunID: 1, Attempt: 1, Kind: "x"}, {ContractVersion: "v1", Kind: "x"}} {
		require.Equal(t, "bad_payload", e.Execute(t.Context(), p, discard).Error.Code)
	}
}
