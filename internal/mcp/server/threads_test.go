package server_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/postgres"
)

type noTurns struct{}

func (noTurns) Enqueue(context.Context, *postgres.Tx, []chat.Pointer) error { return nil }

// anyModel finds the one model of a test.
type anyModel struct{}

func (anyModel) Model(ctx context.Context, q postgres.Querier, id int64) (chat.Model, error) {
	m := chat.Model{ProviderKind: "demo"}
	err := q.QueryRow(ctx, "SELECT id, name, model FROM model WHERE id = $1", id).Scan(&m.ID, &m.Name, &m.Model)
	return m, err
}

// answers is a model that says what it is told to, once it is let.
type answers struct {
	said    string
	release chan struct{}
}

func (a answers) Answer(ctx context.Context, _ chat.Question, emit func(chat.Said) error) (chat.Answer, error) {
	if err := emit(chat.Said{Text: a.said}); err != nil {
		return chat.Answer{}, err
	}
	select {
	case <-a.release:
	case <-ctx.Done():
		return chat.Answer{}, ctx.Err()
	}
	return chat.Answer{Finish: llm.FinishStop, Usage: llm.Usage{InputTokens: 11, OutputTokens: 7}}, nil
}

// worker works turns of the rig, with a's answers.
func (r *rig) worker(t *testing.T, a chat.Answerer) *chat.Worker {
	t.Helper()
	_, err := r.db.Exec(t.Context(), `WITH p AS (INSERT INTO provider (name, kind) VALUES ('p', 'demo') RETURNING id)
		INSERT INTO model (name, provider_id, model) SELECT 'm', id, 'm' FROM p`)
	require.NoError(t, err)
	id := uuid.New()
	_, err = r.db.Exec(t.Context(), `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues, level) VALUES ($1, $2, 'host', 1, 'v', 4, '{}', 1)`, id, id.String())
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	recorder := chat.NewRecorder(r.db, event.NewLog(r.hints, time.Now), log)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = recorder.Run(ctx, func() {})
	}()
	t.Cleanup(func() { stop(); <-ended })
	return chat.NewWorker(r.domains.Threads, chat.WorkerOptions{ID: id, Fresh: func() bool { return true }, Answerer: a, Recorder: recorder, Logger: log})
}

// work has a turn worked beside the test.
func work(t *testing.T, w *chat.Worker, turn int64) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Work(context.WithoutCancel(t.Context()), turn)
	}()
	t.Cleanup(func() { <-done })
}

func TestAThreadIsBegunAnsweredFoundAndRead(t *testing.T) {
	t.Parallel()
	r := setup(t)
	model := answers{said: "The harbour is at the river's mouth.", release: make(chan struct{})}
	w := r.worker(t, model)
	s := r.as(t, auth.Editor)
	thread := ok(t, s, "llmctl_create_thread", m{"title": "Harbours", "idempotency_key": "k"})
	require.Equal(t, thread.body, ok(t, s, "llmctl_create_thread", m{"title": "Harbours", "idempotency_key": "k"}).body, "done once")
	id := thread.id(t, "id")

	sent := ok(t, s, "llmctl_send_message", m{"thread_id": id, "message": "Where is the harbour?", "idempotency_key": "m1"})
	require.Equal(t, "queued", sent.body["status"])
	require.Equal(t, false, sent.body["finished"])
	require.Contains(t, sent.body["next"], "llmctl_get_turn with thread_id")
	turn := m{"thread_id": id, "turn_id": sent.id(t, "turn_id")}
	require.Equal(t, sent.id(t, "turn_id"), ok(t, s, "llmctl_send_message", m{"thread_id": id, "message": "Where is the harbour?", "idempotency_key": "m1"}).id(t, "turn_id"))

	work(t, w, sent.id(t, "turn_id"))
	require.Eventually(t, func() bool { return ok(t, s, "llmctl_get_turn", turn).body["answer"] == model.said }, 20*time.Second, 10*time.Millisecond,
		"what was said so far is shown")
	close(model.release)
	turn["wait_seconds"] = 60
	done := ok(t, s, "llmctl_get_turn", turn)
	require.Equal(t, true, done.body["finished"])
	require.Equal(t, "succeeded", done.body["status"])
	require.Equal(t, model.said, done.body["answer"])
	require.EqualValues(t, 7, done.id(t, "output_tokens"))
	require.Equal(t, "turn.finished", call(t, s, "llmctl_cancel_turn", m{"thread_id": id, "turn_id": turn["turn_id"]}).reason(t))

	got := ok(t, s, "llmctl_get_thread", m{"id": id, "messages": 1})
	require.Len(t, got.body["messages"], 1)
	require.Equal(t, model.said, got.body["messages"].([]any)[0].(map[string]any)["text"])
	older := ok(t, s, "llmctl_get_thread", m{"id": id, "before": got.id(t, "older")})
	require.Len(t, older.body["messages"], 1)
	require.Equal(t, "user", older.body["messages"].([]any)[0].(map[string]any)["role"])
	require.Nil(t, older.body["older"])
	found := ok(t, s, "llmctl_search_threads", m{"query": "river", "thread_id": id})
	require.Contains(t, found.body["items"].([]any)[0].(map[string]any)["snippet"], "**river**")
}

func TestWaitingForATurnReportsAndEndsWithIt(t *testing.T) {
	t.Parallel()
	r := setup(t)
	model := answers{said: "Twelve characters and more.", release: make(chan struct{})}
	w := r.worker(t, model)
	told := make(chan string, 100)
	s := connect(t, r.url, r.keys[auth.Editor], &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, p *mcp.ProgressNotificationClientRequest) { told <- p.Params.Message },
	})
	id := ok(t, s, "llmctl_create_thread", m{}).id(t, "id")
	sent := ok(t, s, "llmctl_send_message", m{"thread_id": id, "message": "Go"})
	params := &mcp.CallToolParams{Name: "llmctl_get_turn", Arguments: m{"thread_id": id, "turn_id": sent.id(t, "turn_id"), "wait_seconds": 60}}
	params.SetProgressToken("p")
	answer := make(chan *mcp.CallToolResult, 1)
	go func() {
		res, err := s.CallTool(t.Context(), params)
		if err == nil {
			answer <- res
		}
		close(answer)
	}()
	require.Equal(t, "The turn is queued.", <-told)
	work(t, w, sent.id(t, "turn_id"))
	for message := range told {
		if strings.Contains(message, "running (answering): 27 characters so far") {
			break
		}
	}
	close(model.release)
	res := <-answer
	require.NotNil(t, res)
	require.Equal(t, true, res.StructuredContent.(map[string]any)["finished"])
}

func TestACancelledTurnKeepsWhatCame(t *testing.T) {
	t.Parallel()
	r := setup(t)
	model := answers{said: "Half of", release: make(chan struct{})}
	w := r.worker(t, model)
	s := r.as(t, auth.Editor)
	id := ok(t, s, "llmctl_create_thread", m{}).id(t, "id")
	sent := ok(t, s, "llmctl_send_message", m{"thread_id": id, "message": "Go"})
	turn := m{"thread_id": id, "turn_id": sent.id(t, "turn_id")}
	work(t, w, sent.id(t, "turn_id"))
	require.Eventually(t, func() bool { return ok(t, s, "llmctl_get_turn", turn).body["answer"] == model.said }, 20*time.Second, 10*time.Millisecond)
	asked := ok(t, s, "llmctl_cancel_turn", turn)
	require.Equal(t, "cancelling", asked.body["status"])
	w.Cancel(sent.id(t, "turn_id"))
	turn["wait_seconds"] = 60
	done := ok(t, s, "llmctl_get_turn", turn)
	require.Equal(t, "cancelled", done.body["status"])
	require.Equal(t, model.said, done.body["answer"])
}

func TestLongMessagesOfAThreadAreCut(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.worker(t, answers{})
	s := r.as(t, auth.Editor)
	id := ok(t, s, "llmctl_create_thread", m{}).id(t, "id")
	const long = 20_000
	for range 2 {
		sent := ok(t, s, "llmctl_send_message", m{"thread_id": id, "message": strings.Repeat("é", long)})
		ok(t, s, "llmctl_cancel_turn", m{"thread_id": id, "turn_id": sent.id(t, "turn_id")})
	}
	got := ok(t, s, "llmctl_get_thread", m{"id": id})
	for _, v := range got.body["messages"].([]any) {
		message := v.(map[string]any)
		if message["role"] != "user" {
			continue
		}
		require.Equal(t, true, message["truncated"])
		require.InDelta(t, long, message["text_characters"], 0)
		require.Equal(t, strings.Repeat("é", 8<<10), message["text"], "16 KiB, and no half characters")
	}
}

func TestThreadToolsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.worker(t, answers{})
	s := r.as(t, auth.Editor)
	id := ok(t, s, "llmctl_create_thread", m{}).id(t, "id")
	for _, c := range []struct {
		tool      string
		arguments m
		reason    string
		says      string
	}{
		{"llmctl_get_thread", m{"id": 4711}, "thread.not_found", "Next: llmctl_list_threads"},
		{"llmctl_send_message", m{"thread_id": 4711, "message": "x"}, "thread.not_found", "Next: llmctl_list_threads"},
		{"llmctl_get_turn", m{"thread_id": id, "turn_id": 4711}, "turn.not_found", "Next: llmctl_get_thread"},
		{"llmctl_send_message", m{"thread_id": id, "message": "x", "model_id": 1}, "mcp.invalid_arguments", "model_id"},
		{"llmctl_get_thread", m{"id": id, "messages": 101}, "mcp.invalid_arguments", "100"},
		{"llmctl_create_thread", m{"source_ids": []int{9}}, "thread.invalid", "there is no source 9"},
		{"llmctl_list_threads", m{"cursor": "t1"}, "mcp.invalid_cursor", "next_cursor"},
	} {
		res := call(t, s, c.tool, c.arguments)
		require.Equal(t, c.reason, res.reason(t), c.tool)
		require.Contains(t, res.text(t), c.says)
	}
	require.Equal(t, "auth.forbidden", call(t, r.as(t, auth.Viewer), "llmctl_send_message", m{"thread_id": id, "message": "x"}).reason(t))
}

func TestThreadsAreListedByPages(t *testing.T) {
	t.Parallel()
	r := setup(t)
	s := r.as(t, auth.Editor)
	for range 5 {
		ok(t, s, "llmctl_create_thread", m{})
	}
	seen := map[int64]bool{}
	arguments := m{}
	for page := 0; ; page++ {
		got := ok(t, s, "llmctl_list_threads", arguments)
		for _, v := range got.body["items"].([]any) {
			seen[int64(v.(map[string]any)["id"].(float64))] = true
		}
		if got.body["next_cursor"] == nil {
			break
		}
		require.Less(t, page, 5)
		arguments["cursor"] = got.body["next_cursor"]
	}
	require.Len(t, seen, 5)
}
