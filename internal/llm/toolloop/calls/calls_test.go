package calls_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/toolloop"
	"github.com/llmctl/studio/internal/llm/toolloop/calls"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

type bundle struct {
	db    *postgres.DB
	store *calls.Store
	owner calls.Owner
	told  []string
	woken int
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{db: pgtest.DB(t), owner: calls.Owner{Kind: calls.NodeRun, Attempt: 1}}
	b.store = calls.NewStore(b.db)
	worker := uuid.New()
	for _, sql := range []string{
		`INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues) VALUES ($1, 't', 'h', 1, 't', 1, '{}')`,
		`INSERT INTO node_run (flowchart_node_id, kind, status, attempt, timeout_seconds, execution_index) SELECT 'n', 'task', 'running', 1, 60, 1 WHERE $1::uuid IS NOT NULL`,
		`INSERT INTO node_attempt (node_run_id, number, worker_process_id, status, queued_at, deadline_at) SELECT id, 1, $1, 'running', now(), now() FROM node_run`,
	} {
		_, err := b.db.Exec(t.Context(), sql, worker)
		require.NoError(t, err)
	}
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT id FROM node_run`).Scan(&b.owner.ID))
	return b
}

// Announce implements calls.Owners.
func (b *bundle) Announce(_ context.Context, _ *postgres.Tx, c *calls.Row) error {
	b.told = append(b.told, c.Name+":"+c.Status)
	return nil
}

// Decide implements calls.Owners.
func (b *bundle) Decide(ctx context.Context, _ *postgres.Tx, _ int64, f func(ctx context.Context) (bool, error)) error {
	goesOn, err := f(ctx)
	if goesOn {
		b.woken++
	}
	return err
}

func (b *bundle) recorder(o calls.Owner) *calls.Recorder {
	return b.store.Recorder(o, b.store.FenceNode(o), b.Announce)
}

func (b *bundle) decide(t *testing.T, id int64, d calls.Decision) (calls.Row, error) {
	t.Helper()
	var row calls.Row
	err := b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) (err error) {
		row, err = b.store.Decide(ctx, tx, map[string]calls.Owners{calls.NodeRun: b}, id, d)
		return err
	})
	return row, err
}

func cycle() *toolloop.Cycle {
	return &toolloop.Cycle{Number: 1, Text: "Let me\x00 see", Usage: llm.Usage{InputTokens: 3, OutputTokens: 2}, Calls: []toolloop.Call{
		{Position: 0, CallID: "a", Name: "wiki__search", Arguments: `{"q":1}`, Signature: []byte{1, 2}, Ref: toolloop.Ref{Server: "wiki", Tool: "search"}, Repeatable: true, Status: toolloop.Pending},
		{Position: 1, CallID: "b", Name: "pay", Arguments: `{}`, Ref: toolloop.Ref{Tool: "pay"}, NeedsApproval: true, Status: toolloop.Waiting},
		{Position: 2, CallID: "c", Name: "gone", Arguments: `{`, Status: toolloop.Failed, Error: toolloop.CodeUnknownTool, Content: "There is no tool."},
	}}
}

func TestWhatALoopDidIsFoundByTheNextProcess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, c := b.recorder(b.owner), cycle()
	require.NoError(t, r.Begin(t.Context(), c))
	require.NoError(t, r.Start(t.Context(), &c.Calls[0]))
	c.Calls[0].Status, c.Calls[0].Content = toolloop.Succeeded, strings.Repeat("ü", 100_000)
	require.NoError(t, r.End(t.Context(), &c.Calls[0]))
	require.Equal(t, []string{"wiki__search:pending", "pay:waiting", "gone:failed", "wiki__search:running", "wiki__search:succeeded"}, b.told)

	found, err := b.recorder(b.owner).Load(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, "Let me\uFFFD see", found[0].Text)
	require.Equal(t, c.Usage, found[0].Usage)
	require.Positive(t, found[0].Calls[0].Took)
	found[0].Calls[0].Took = 0
	require.Equal(t, c.Calls, found[0].Calls, "also a result that is a blob")

	item, content, err := b.store.Get(t.Context(), c.Calls[0].ID)
	require.NoError(t, err)
	require.Len(t, content, 200_000)
	require.NotNil(t, item.Row.ResultBlob)
	listed, err := b.store.Search(t.Context(), calls.Filter{Statuses: []string{"waiting"}, Limit: 10})
	require.NoError(t, err)
	require.Len(t, listed, 1)
	require.Equal(t, "pay", listed[0].Row.Name)
}

func TestAnAttemptThatWasReplacedRecordsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, c := b.recorder(b.owner), cycle()
	require.NoError(t, r.Begin(t.Context(), c))
	require.NoError(t, r.Start(t.Context(), &c.Calls[0]))
	_, err := b.db.Exec(t.Context(), `UPDATE node_run SET attempt = 2`)
	require.NoError(t, err)
	c.Calls[0].Status, c.Calls[0].Content = toolloop.Succeeded, "late"
	require.ErrorIs(t, r.End(t.Context(), &c.Calls[0]), toolloop.ErrSuperseded)
	next := cycle()
	next.Number = 2
	require.ErrorIs(t, r.Begin(t.Context(), next), toolloop.ErrSuperseded)
	found, err := r.Load(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, toolloop.Running, found[0].Calls[0].Status)
}

func TestAWorkerThatWasDeclaredDeadBeginsNoCall(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, c := b.recorder(b.owner), cycle()
	require.NoError(t, r.Begin(t.Context(), c))
	_, err := b.db.Exec(t.Context(), `UPDATE worker_process SET tombstone_at = now()`)
	require.NoError(t, err)
	require.ErrorIs(t, r.Start(t.Context(), &c.Calls[0]), toolloop.ErrSuperseded)
}

func TestACallIsDecidedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := cycle()
	second := c.Calls[1]
	second.Position = 3
	c.Calls = append(c.Calls, second)
	require.NoError(t, b.recorder(b.owner).Begin(t.Context(), c))
	row, err := b.decide(t, c.Calls[1].ID, calls.Decision{Approve: true})
	require.NoError(t, err)
	require.Equal(t, "approved", row.Status)
	require.Zero(t, b.woken, "another call waits")
	_, err = b.decide(t, c.Calls[1].ID, calls.Decision{Approve: true})
	require.NoError(t, err, "the answer may have been lost")
	_, err = b.decide(t, c.Calls[1].ID, calls.Decision{})
	require.True(t, errs.HasReason(err, "tool_call.decided"), "%v", err)
	row, err = b.decide(t, c.Calls[3].ID, calls.Decision{Note: "too dear"})
	require.NoError(t, err)
	require.Equal(t, "denied", row.Status)
	require.Contains(t, *row.Result, "They said: too dear")
	require.Equal(t, 1, b.woken)
	_, err = b.decide(t, c.Calls[0].ID, calls.Decision{Approve: true})
	require.True(t, errs.HasReason(err, "tool_call.decided"), "it never waited")
	_, err = b.decide(t, 999, calls.Decision{Approve: true})
	require.True(t, errs.Is(err, errs.NotFound))
}

func TestTheEndOfAnOwnerEndsItsCalls(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, c := b.recorder(b.owner), cycle()
	require.NoError(t, r.Begin(t.Context(), c))
	require.NoError(t, r.Start(t.Context(), &c.Calls[0]))
	require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		return b.store.Close(ctx, tx, b.owner, b.Announce)
	}))
	found, err := r.Load(t.Context())
	require.NoError(t, err)
	require.Equal(t, toolloop.Unknown, found[0].Calls[0].Status, "nobody knows what became of it")
	require.Equal(t, toolloop.Cancelled, found[0].Calls[1].Status)
	waits, err := b.store.Waits(t.Context(), b.db, b.owner)
	require.NoError(t, err)
	require.False(t, waits)
}

func TestATurnsAttemptRecordsUntilItIsReplacedOrItsWorkerIsDead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var turn int64
	require.NoError(t, b.db.QueryRow(t.Context(), `WITH h AS (INSERT INTO thread (title, title_source, response_complexity) VALUES ('t', 'user', 'low') RETURNING id),
		g AS (INSERT INTO thread_branch (thread_id) SELECT id FROM h RETURNING id, thread_id),
		m AS (INSERT INTO message (thread_id, branch_id, depth, role, status, finished_at) SELECT thread_id, id, 1, 'user', 'complete', now() FROM g RETURNING id, thread_id, branch_id),
		a AS (INSERT INTO message (thread_id, branch_id, depth, role, status, parent_id) SELECT thread_id, branch_id, 2, 'assistant', 'pending', id FROM m RETURNING id)
		INSERT INTO turn (thread_id, kind, user_message_id, assistant_message_id, status, attempt, worker_process_id, model_name, response_complexity, deadline_seconds)
		SELECT m.thread_id, 'message', m.id, a.id, 'running', 1, w.id, 'm', 'low', 60 FROM m, a, worker_process w RETURNING id`).Scan(&turn))
	o := calls.Owner{Kind: calls.Turn, ID: turn, Attempt: 1}
	r, c := b.store.Recorder(o, b.store.FenceTurn(o), b.Announce), cycle()
	require.NoError(t, r.Begin(t.Context(), c))
	require.NoError(t, r.Start(t.Context(), &c.Calls[0]))
	waits, err := b.store.Waits(t.Context(), b.db, o)
	require.NoError(t, err)
	require.True(t, waits)
	listed, err := b.store.Search(t.Context(), calls.Filter{OwnerKind: calls.Turn, OwnerID: turn, Limit: 10})
	require.NoError(t, err)
	require.Equal(t, "t", listed[0].Title)
	require.NotNil(t, listed[0].ThreadID)
	_, err = b.db.Exec(t.Context(), `UPDATE worker_process SET tombstone_at = now()`)
	require.NoError(t, err)
	require.ErrorIs(t, r.End(t.Context(), &c.Calls[0]), toolloop.ErrSuperseded)
	_, err = b.db.Exec(t.Context(), `UPDATE worker_process SET tombstone_at = NULL`)
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `UPDATE turn SET attempt = 2`)
	require.NoError(t, err)
	require.ErrorIs(t, r.End(t.Context(), &c.Calls[0]), toolloop.ErrSuperseded)
}
