package chat_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/llmtest"
)

// retried waits until a turn is to be tried again, gives how it looks then, and makes it
// due.
func (b *testBundle) retried(t *testing.T, threadID, turnID int64) (chat.TurnView, chat.Pointer) {
	t.Helper()
	var p chat.Pointer
	select {
	case p = <-b.later:
	case <-time.After(20 * time.Second):
		require.Fail(t, "the turn is not tried again")
	}
	require.Equal(t, turnID, p.ID)
	v := b.turn(t, threadID, turnID)
	_, err := b.db.Exec(t.Context(), "UPDATE turn SET run_after = now() WHERE id = $1", turnID)
	require.NoError(t, err)
	b.jobs <- turnID
	return v, p
}

func TestAProviderThatIsTooBusyIsAskedAgainWhenItSays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.On("", llmtest.Reply{Status: http.StatusTooManyRequests, RetryAfter: "30"}, llmtest.Reply{Status: http.StatusServiceUnavailable}, llmtest.Reply{Text: "At last.", Input: 9, Output: 2})
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{})
	p := b.post(t, th.ID, chat.Post{Message: "hello"})

	v, due := b.retried(t, th.ID, p.Turn.ID)
	require.Equal(t, chat.Queued, v.Status, "it holds no worker while it waits")
	require.EqualValues(t, 1, v.Attempt)
	require.NotNil(t, v.RetryAt)
	require.True(t, due.At.Equal(*v.RetryAt))
	require.InDelta(t, 30, time.Until(due.At).Seconds(), 10, "as the provider asked")
	require.Contains(t, v.Error.Message, "limits how often", "why is said")
	require.Equal(t, chat.CodeModelFailed, v.ReasonCode)
	require.Zero(t, v.Usage.InputTokens, "a question that was refused costs nothing")
	require.Nil(t, v.FinishedAt)

	v, due = b.retried(t, th.ID, p.Turn.ID)
	require.EqualValues(t, 2, v.Attempt)
	require.Less(t, time.Until(due.At), 10*time.Second)

	v = b.ended(t, th.ID, p.Turn.ID)
	require.Equal(t, chat.Succeeded, v.Status)
	require.Nil(t, v.Error)
	require.Nil(t, v.RetryAt)
	require.EqualValues(t, 3, v.Attempt)
	require.EqualValues(t, 9, v.Usage.InputTokens)
	d, err := b.service.GetTurn(t.Context(), th.ID, p.Turn.ID)
	require.NoError(t, err)
	require.Equal(t, "failed", d.Attempts[2].Status, "each try is on record")
	require.Contains(t, d.Attempts[2].Error.Message, "429")
}

func TestATurnIsNotTriedForEver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.On("", llmtest.Reply{Status: http.StatusServiceUnavailable})
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{})
	p := b.post(t, th.ID, chat.Post{Message: "hello"})
	last := time.Duration(0)
	for range 4 {
		v, due := b.retried(t, th.ID, p.Turn.ID)
		pause := due.At.Sub(*v.StartedAt)
		require.Greater(t, pause, last, "longer each time")
		last = pause
	}
	v := b.ended(t, th.ID, p.Turn.ID)
	require.Equal(t, chat.Failed, v.Status)
	require.EqualValues(t, 5, v.Attempt)
	require.True(t, v.Error.Retryable)
}

func TestWhatCannotBeRepeatedUnseenIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.On("begun", llmtest.Reply{Chunks: []string{"half ", "of it"}, CutAfter: 1})
	b.server.On("wrong", llmtest.Reply{Status: http.StatusUnauthorized})
	b.server.On("tomorrow", llmtest.Reply{Status: http.StatusTooManyRequests, RetryAfter: "7200"})
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{})
	for _, message := range []string{"begun", "wrong", "tomorrow"} {
		v, _ := b.said(t, th.ID, message)
		require.Equal(t, chat.Failed, v.Status, message)
		require.EqualValues(t, 1, v.Attempt, message)
	}
	require.Empty(t, b.later)
}

func TestATurnThatWaitsForItsProviderIsCancelledAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.On("", llmtest.Reply{Status: http.StatusTooManyRequests, RetryAfter: "60"})
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{})
	p := b.post(t, th.ID, chat.Post{Message: "hello"})
	<-b.later
	got, err := in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Turn, error) {
		return b.service.CancelTx(ctx, tx, th.ID, p.Turn.ID, chat.Origin{})
	})
	require.NoError(t, err)
	require.Equal(t, chat.Cancelled, got.Status)
}

func TestATurnThatTakesTooLongFailsWithWhatCame(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.On("", llmtest.Reply{Chunks: []string{"slowly ", "but"}, Hang: true, HangAt: 1})
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{})
	p, err := in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Posted, error) {
		p, err := b.service.PostTx(ctx, tx, th.ID, chat.Post{Message: "go"}, chat.Origin{})
		if err == nil { // the settings accept no less than ten seconds
			_, err = tx.Exec(ctx, "UPDATE turn SET deadline_seconds = 1 WHERE id = $1", p.Turn.ID)
		}
		return p, err
	})
	require.NoError(t, err)
	req := b.server.Next(t)
	v := b.ended(t, th.ID, p.Turn.ID)
	<-req.ClientGone()
	require.Equal(t, chat.Failed, v.Status)
	require.Equal(t, chat.CodeTimeout, v.ReasonCode)
	require.True(t, v.Error.Retryable)
	require.True(t, v.Usage.Estimated)
	m := b.message(t, th.ID, v.AssistantMessageID)
	require.Equal(t, "partial", m.Status)
	require.Equal(t, "slowly ", m.Content)
	require.Empty(t, b.later, "time is not a provider that is busy")
}

// TestACancelThatItsHolderDoesNotConfirmIsEndedWithWhatCame: its holder does not hear of it.
func TestACancelThatItsHolderDoesNotConfirmIsEndedWithWhatCame(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.On("", llmtest.Reply{Chunks: []string{"one ", "two"}, Hang: true, HangAt: 1})
	holder := b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{})
	p := b.post(t, th.ID, chat.Post{Message: "count"})
	b.client.await(t, "the text", func(e *event.Envelope) bool { return strings.Contains(string(e.Payload), "one ") })
	b.mu.Lock()
	b.workers = nil // nobody tells it
	b.mu.Unlock()
	got, err := in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Turn, error) {
		return b.service.CancelTx(ctx, tx, th.ID, p.Turn.ID, chat.Origin{})
	})
	require.NoError(t, err)
	require.Equal(t, chat.Cancelling, got.Status)
	_, err = b.service.Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, chat.Cancelling, b.turn(t, th.ID, p.Turn.ID).Status, "it has some time to confirm")
	_, err = b.db.Exec(t.Context(), "UPDATE turn SET cancel_requested_at = now() - interval '31 seconds' WHERE id = $1", p.Turn.ID)
	require.NoError(t, err)
	_, err = b.service.Recover(t.Context())
	require.NoError(t, err)
	v := b.turn(t, th.ID, p.Turn.ID)
	require.Equal(t, chat.Cancelled, v.Status)
	require.Equal(t, "one ", b.message(t, th.ID, v.AssistantMessageID).Content, "from the log, for its holder says nothing")

	// The holder hears at last. What it has to say comes too late and changes nothing.
	holder.worker.Cancel(p.Turn.ID)
	next := b.post(t, th.ID, chat.Post{Message: "again"})
	require.Equal(t, v, b.turn(t, th.ID, p.Turn.ID))
	require.Equal(t, chat.Queued, next.Turn.Status)
}

// decisions are tool calls about which somebody decides in the moment in which their turn
// comes to rest.
type decisions struct {
	open chan struct{} // closed when somebody has decided
}

func (d *decisions) Waits(context.Context, postgres.Querier, int64) (bool, error) {
	select {
	case <-d.open:
		return false, nil
	default:
		return true, nil
	}
}

func (d *decisions) Ended(context.Context, *postgres.Tx, *chat.Turn) error { return nil }

// suspends waits for a decision once: it is made after the calls were recorded as waiting
// and before the turn has come to rest.
type suspends struct {
	decide func()
}

func (s *suspends) Answer(_ context.Context, q chat.Question, emit func(chat.Said) error) (chat.Answer, error) {
	if q.State == nil {
		if err := emit(chat.Said{Text: "May I? "}); err != nil {
			return chat.Answer{}, err
		}
		s.decide()
		return chat.Answer{}, &chat.SuspendedError{State: json.RawMessage(`{"cycle":1}`)}
	}
	return chat.Answer{}, emit(chat.Said{Text: "Done."})
}

func TestADecisionThatComesWhileATurnSuspendsIsNotLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	calls := &decisions{open: make(chan struct{})}
	b.calls = calls
	b.service = b.on(b.db)
	th := b.thread(t, chat.ThreadFields{})
	var turn int64
	b.start(t, &suspends{decide: func() {
		// The turn still runs: nobody is to be woken, the decision has to be seen when it comes to rest.
		_, err := in(t, b, func(ctx context.Context, tx *postgres.Tx) (any, error) {
			return nil, b.service.DecideTx(ctx, tx, turn, func(context.Context) (bool, error) { close(calls.open); return true, nil })
		})
		if err != nil {
			t.Error(err)
		}
	}})
	p, err := in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Posted, error) {
		p, err := b.service.PostTx(ctx, tx, th.ID, chat.Post{Message: "go"}, chat.Origin{})
		turn = p.Turn.ID
		return p, err
	})
	require.NoError(t, err)
	v := b.ended(t, th.ID, p.Turn.ID)
	require.Equal(t, chat.Succeeded, v.Status)
	require.EqualValues(t, 2, v.Attempt)
	require.Equal(t, "May I? Done.", b.message(t, th.ID, v.AssistantMessageID).Content)
}
