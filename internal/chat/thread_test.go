package chat_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/llmtest"
)

func contents(items []chat.MessageView) []string {
	out := []string{}
	for _, m := range items {
		out = append(out, m.Content)
	}
	return out
}

func (b *testBundle) shown(t *testing.T, threadID int64) []string {
	t.Helper()
	p, err := b.service.Messages(t.Context(), threadID, chat.Window{Limit: 100})
	require.NoError(t, err)
	return contents(p.Items)
}

func TestMessagesFormATreeWhoseBranchesAreSwitched(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.On("", llmtest.Reply{Text: "a1"}, llmtest.Reply{Text: "a2"}, llmtest.Reply{Text: "a2b"}, llmtest.Reply{Text: "a2c"}, llmtest.Reply{Text: "a1x"}, llmtest.Reply{Text: "a1y"})
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{})
	_, first := b.said(t, th.ID, "q1")
	v2, _ := b.said(t, th.ID, "q2")
	require.Equal(t, []string{"q1", "a1", "q2", "a2"}, b.shown(t, th.ID))

	// Another answer stands beside the first.
	again, err := in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Posted, error) {
		return b.service.RegenerateTx(ctx, tx, th.ID, v2.ID, chat.Origin{})
	})
	require.NoError(t, err)
	b.ended(t, th.ID, again.Turn.ID)
	require.Equal(t, []string{"q1", "a1", "q2", "a2b"}, b.shown(t, th.ID))
	m := b.message(t, th.ID, again.Assistant.ID)
	require.Equal(t, &chat.Siblings{IDs: []int64{v2.AssistantMessageID, again.Assistant.ID}, Index: 1}, m.Siblings)

	// An edit stands beside the message, and what followed that stays where it is.
	edit := b.post(t, th.ID, chat.Post{Message: "q2 edited", EditOf: v2.UserMessageID})
	b.ended(t, th.ID, edit.Turn.ID)
	require.Equal(t, []string{"q1", "a1", "q2 edited", "a2c"}, b.shown(t, th.ID))
	require.Equal(t, []int64{v2.UserMessageID, edit.User.ID}, b.message(t, th.ID, edit.User.ID).Siblings.IDs)
	_, err = b.try(t, th.ID, chat.Post{Message: "no", EditOf: first.ID})
	require.True(t, errs.Is(err, errs.Invalid), "an answer is not edited: %v", err)

	// The first message has a root of its own when it is edited.
	root := b.post(t, th.ID, chat.Post{Message: "q1 edited", EditOf: *first.ParentID})
	b.ended(t, th.ID, root.Turn.ID)
	require.Equal(t, []string{"q1 edited", "a1x"}, b.shown(t, th.ID))
	require.Equal(t, []int64{*first.ParentID, root.User.ID}, b.message(t, th.ID, root.User.ID).Siblings.IDs)

	switchTo := func(id int64) {
		_, err := in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Thread, error) {
			return b.service.SwitchTx(ctx, tx, th.ID, id)
		})
		require.NoError(t, err)
	}
	switchTo(*first.ParentID)
	require.Equal(t, []string{"q1", "a1", "q2 edited", "a2c"}, b.shown(t, th.ID), "the branch that was used last")
	switchTo(v2.AssistantMessageID)
	require.Equal(t, []string{"q1", "a1", "q2", "a2"}, b.shown(t, th.ID))
	// Going on from an earlier answer.
	fork := b.post(t, th.ID, chat.Post{Message: "q3", ParentID: first.ID})
	b.ended(t, th.ID, fork.Turn.ID)
	require.Equal(t, []string{"q1", "a1", "q3", "a1y"}, b.shown(t, th.ID))
}

// long fills a thread with messages, without asking a model.
func (b *testBundle) long(t *testing.T, threadID int64, n, words int) {
	t.Helper()
	_, err := b.db.Exec(t.Context(), `
		WITH br AS (INSERT INTO thread_branch (thread_id, tip_depth) VALUES ($1, $2) RETURNING id),
		     m AS (INSERT INTO message (thread_id, branch_id, depth, role, status, parts, content, tokens, finished_at)
			SELECT $1, br.id, d, CASE WHEN d % 2 = 1 THEN 'user' ELSE 'assistant' END, 'complete',
				jsonb_build_array(jsonb_build_object('type', 'text', 'text', 'message ' || d || repeat(' lorem', $3))), 'message ' || d || repeat(' lorem', $3), $3 + 3, now()
			FROM br, generate_series(1, $2::integer) d RETURNING 1)
		UPDATE thread SET active_branch_id = br.id, message_count = $2 FROM br WHERE thread.id = $1`, threadID, n, words)
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `UPDATE message m SET parent_id = p.id FROM message p WHERE m.thread_id = $1 AND p.branch_id = m.branch_id AND p.depth = m.depth - 1`, threadID)
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `ANALYZE message`)
	require.NoError(t, err)
}

func TestATenThousandMessageThreadIsReadByPagesInBothDirections(t *testing.T) {
	t.Parallel()
	b := setup(t)
	th := b.thread(t, chat.ThreadFields{})
	const n = 10_000
	b.long(t, th.ID, n, 20)
	for _, w := range []chat.Window{{Limit: 50}, {Before: 5000, Limit: 50}, {After: 5000, Limit: 50}} {
		var plan string
		began := time.Now()
		p, err := b.service.Messages(t.Context(), th.ID, w)
		require.NoError(t, err)
		require.Len(t, p.Items, 50)
		require.Less(t, time.Since(began), 2*time.Second, plan)
	}
	seen, w := 0, chat.Window{Limit: 200}
	for {
		p, err := b.service.Messages(t.Context(), th.ID, w)
		require.NoError(t, err)
		seen += len(p.Items)
		require.Equal(t, fmt.Sprintf("message %d", n-seen+1), strings.Join(strings.Fields(p.Items[0].Content)[:2], " "))
		if p.Older == 0 {
			break
		}
		w.Before = p.Older
	}
	require.Equal(t, n, seen)
	p, err := b.service.Messages(t.Context(), th.ID, chat.Window{After: 100, Limit: 3})
	require.NoError(t, err)
	require.EqualValues(t, 101, p.Items[0].Depth)
	require.EqualValues(t, 103, p.Newer)
	around, err := b.service.Messages(t.Context(), th.ID, chat.Window{Around: p.Items[1].ID, Limit: 10})
	require.NoError(t, err)
	require.EqualValues(t, 98, around.Items[0].Depth)
	require.EqualValues(t, 107, around.Items[9].Depth)
	// What is read does not grow with the thread.
	rows, err := b.db.Query(t.Context(), `EXPLAIN (ANALYZE, FORMAT TEXT, TIMING OFF, SUMMARY OFF)
		WITH RECURSIVE path AS (
			SELECT b.id, b.parent_id, b.from_depth AS low, 10000 AS high FROM thread_branch b WHERE b.thread_id = $1
			UNION ALL SELECT p.id, p.parent_id, p.from_depth, path.low FROM path JOIN thread_branch p ON p.id = path.parent_id)
		SELECT m.id FROM path CROSS JOIN LATERAL (
			SELECT * FROM message WHERE branch_id = path.id AND depth > path.low AND depth <= path.high AND depth < 9000 ORDER BY depth DESC LIMIT 50
		) m ORDER BY m.depth DESC LIMIT 50`, th.ID)
	require.NoError(t, err)
	var plan []string
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		plan = append(plan, line)
	}
	require.NoError(t, rows.Err())
	require.Contains(t, strings.Join(plan, "\n"), "Index Scan Backward using message_branch_id_depth_key", strings.Join(plan, "\n"))
}

func TestThreadsAreArchivedClearedDeletedAndRestored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{Title: "kept"})
	b.said(t, th.ID, "hello")
	do := func(f func(ctx context.Context, tx *postgres.Tx, id int64, by chat.Origin) (chat.Thread, error)) (chat.Thread, error) {
		return in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Thread, error) {
			return f(ctx, tx, th.ID, chat.Origin{})
		})
	}
	got, err := do(b.service.ArchiveTx)
	require.NoError(t, err)
	require.Equal(t, "archived", got.Status)
	_, err = b.try(t, th.ID, chat.Post{Message: "x"})
	require.Equal(t, "thread.archived", errs.As(err).Reason)
	got, err = do(b.service.RestoreTx)
	require.NoError(t, err)
	require.Equal(t, "active", got.Status)
	got, err = do(b.service.ClearTx)
	require.NoError(t, err)
	require.Zero(t, got.MessageCount)
	require.Empty(t, b.shown(t, th.ID))
	require.EqualValues(t, 1, got.TurnCount, "what was used stays counted")

	remove := func(ctx context.Context, tx *postgres.Tx, id int64, by chat.Origin) (chat.Thread, error) {
		return b.service.DeleteTx(ctx, tx, id, 0, by)
	}
	_, err = do(remove)
	require.NoError(t, err)
	_, err = b.service.Get(t.Context(), th.ID, 10)
	require.True(t, errs.Is(err, errs.NotFound))
	_, err = b.service.Recover(t.Context())
	require.NoError(t, err)
	_, err = do(b.service.RestoreTx)
	require.NoError(t, err, "there is time")
	_, err = do(remove)
	require.NoError(t, err)
	later := time.Now().Add(time.Hour)
	_, err = b.db.Exec(t.Context(), `UPDATE thread SET purge_at = now() - interval '1 second'`)
	require.NoError(t, err)
	b.now = func() time.Time { return later }
	_, err = b.service.Recover(t.Context())
	require.NoError(t, err)
	_, err = do(b.service.RestoreTx)
	require.True(t, errs.Is(err, errs.NotFound), "%v", err)
	var left int
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT count(*) FROM thread`).Scan(&left))
	require.Zero(t, left)
	acts, err := b.service.ListActivity(t.Context(), chat.ActivityFilter{ThreadID: th.ID, Classes: []string{"thread_lifecycle"}, Limit: 20})
	require.NoError(t, err)
	require.Equal(t, "deleted", acts[0].Action, "the log outlives the thread")
}

func TestSearchFindsWordsAndStemsWithSnippets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.On("", llmtest.Reply{Text: "Migrations run under an advisory lock."})
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{Title: "db"})
	b.said(t, th.ID, "Straßenbahn and migrating schemas")
	hits, err := b.service.Search(t.Context(), chat.SearchQuery{Text: "migration", Limit: 10})
	require.NoError(t, err)
	require.Len(t, hits, 2, "the English stem")
	require.Contains(t, hits[0].Snippet, chat.SnippetPiece{Text: "Migrations", Hit: true})
	hits, err = b.service.Search(t.Context(), chat.SearchQuery{Text: "straßenbahn", Limit: 10})
	require.NoError(t, err)
	require.Len(t, hits, 1)
	whole := ""
	for _, p := range hits[0].Snippet {
		whole += p.Text
	}
	require.Equal(t, "Straßenbahn and migrating schemas", whole)
	hits, err = b.service.Search(t.Context(), chat.SearchQuery{Text: "nowhere", Limit: 10})
	require.NoError(t, err)
	require.Empty(t, hits)
	_, err = b.service.Search(t.Context(), chat.SearchQuery{Text: "  ", Limit: 10})
	require.True(t, errs.Is(err, errs.Invalid))
}

func TestExportsHoldTheConversation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	th := b.thread(t, chat.ThreadFields{Title: "exported"})
	b.long(t, th.ID, 450, 1)
	export := func(asJSON bool) string {
		_, write, err := b.service.Export(t.Context(), th.ID, asJSON)
		require.NoError(t, err)
		var out bytes.Buffer
		require.NoError(t, write(t.Context(), &out))
		return out.String()
	}
	var doc struct {
		Thread   chat.ThreadView    `json:"thread"`
		Messages []chat.MessageView `json:"messages"`
	}
	require.NoError(t, json.Unmarshal([]byte(export(true)), &doc))
	require.Len(t, doc.Messages, 450)
	require.Equal(t, "exported", doc.Thread.Title)
	require.EqualValues(t, 450, doc.Messages[449].Depth)
	text := export(false)
	require.True(t, strings.HasPrefix(text, "# exported\n"))
	require.Equal(t, 225, strings.Count(text, "\n## User"))
	_, write, err := b.service.Export(t.Context(), th.ID, false)
	require.NoError(t, err)
	require.Error(t, write(t.Context(), failingWriter{}))
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWhatAThreadNamesMustExist(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Thread, error) {
		return b.service.CreateTx(ctx, tx, chat.ThreadFields{ModelID: new(int64(99)), MCPServerIDs: []int64{3}, SourceIDs: []int64{4}, ResponseComplexity: "huge"}, chat.Origin{})
	})
	require.True(t, errs.Is(err, errs.Invalid))
	require.Len(t, errs.As(err).Details, 4)

	vectors := b.model(t, "vectors", map[string]any{"purpose": "embedding"})
	_, err = in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Thread, error) {
		return b.service.CreateTx(ctx, tx, chat.ThreadFields{ModelID: &vectors}, chat.Origin{})
	})
	require.True(t, errs.Is(err, errs.Invalid))
	require.Len(t, errs.As(err).Details, 1)
	require.Equal(t, "body.model_id", errs.As(err).Details[0].Location)
	require.Contains(t, errs.As(err).Details[0].Message, "cannot answer")
}

func TestTheModelIsTheThreadsThenTheDefaultThenTheNewest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start(t, b.direct())
	newest := b.model(t, "newest", nil)
	b.model(t, "vectors", map[string]any{"purpose": "embedding"}) // answers nobody
	th, err := in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Thread, error) {
		return b.service.CreateTx(ctx, tx, chat.ThreadFields{}, chat.Origin{})
	})
	require.NoError(t, err)
	v, _ := b.said(t, th.ID, "one")
	require.Equal(t, newest, *v.ModelID)
	b.settings(t, func(s *chat.Settings) { s.DefaultModelID = &b.modelID })
	v, _ = b.said(t, th.ID, "two")
	require.Equal(t, b.modelID, *v.ModelID)
	_, err = in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Thread, error) {
		return b.service.UpdateTx(ctx, tx, th.ID, 0, func(f *chat.ThreadFields) { f.ModelID = &newest })
	})
	require.NoError(t, err)
	v, _ = b.said(t, th.ID, "three")
	require.Equal(t, newest, *v.ModelID)
}
