package chat_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/llmtest"
)

func TestAConversationTenTimesTheWindowKeepsAnsweringWithinItsBudget(t *testing.T) {
	t.Parallel()
	b := setup(t)
	small := b.model(t, "small", map[string]any{"context_window_tokens": 2048, "max_tokens": 200})
	b.server.On("You condense conversations", llmtest.Reply{Text: "They talk about lorem; the code word is PLUM."})
	b.server.On("", llmtest.Reply{Text: strings.Repeat("lorem ", 60)})
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{ModelID: &small})
	folded, sent := 0, 0
	for i := 0; sent < 10*2048; i++ {
		message := fmt.Sprintf("question %d ", i) + strings.Repeat("ipsum dolor ", 80)
		sent += len(message)/4 + 90
		v, m := b.said(t, th.ID, message)
		require.Equal(t, chat.Succeeded, v.Status, "%+v", v.Error)
		require.LessOrEqual(t, v.Context.Used.Summary+v.Context.Used.History+v.Context.Used.Message, v.Context.Budgets.History)
		require.Equal(t, 2048, v.Context.WindowTokens)
		for _, p := range m.Parts {
			if p.Compaction != nil {
				folded++
				require.Equal(t, "model", p.Compaction.Method)
				require.Contains(t, p.Compaction.Summary, "PLUM")
				require.Less(t, p.Compaction.TokensAfter, p.Compaction.TokensBefore)
			}
		}
	}
	require.Greater(t, folded, 3)
	for _, r := range b.server.Requests() {
		require.Less(t, len(r.Prompt)/4, 2048, "nothing larger than the window was sent")
	}
	requests := b.server.Requests()
	require.Contains(t, requests[len(requests)-1].Prompt, "the code word is PLUM")
	page, err := b.service.Messages(t.Context(), th.ID, chat.Window{Limit: 200})
	require.NoError(t, err)
	require.Contains(t, page.Items[0].Content, "question 0", "the originals are kept")
	c, err := b.service.Context(t.Context(), th.ID)
	require.NoError(t, err)
	require.Positive(t, c.Folded)
	require.NotNil(t, c.Measured)
}

func TestCompactionFallsBackToExcerptsWhenTheModelFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	small := b.model(t, "small", map[string]any{"context_window_tokens": 1024, "max_tokens": 100})
	b.server.On("You condense conversations", llmtest.Reply{Status: 500, ErrorMessage: "no"})
	b.server.On("", llmtest.Reply{Text: "fine"})
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{ModelID: &small})
	b.settings(t, func(s *chat.Settings) { s.SummaryChars = 400 })
	b.long(t, th.ID, 60, 40)
	v, m := b.said(t, th.ID, "go on")
	require.Equal(t, chat.Succeeded, v.Status, "%+v", v.Error)
	c := m.Parts[0].Compaction
	require.NotNil(t, c)
	require.Equal(t, "excerpts", c.Method)
	require.Contains(t, c.Reason, "could not write a summary")
	require.LessOrEqual(t, len([]rune(c.Summary)), 400)
	require.Contains(t, c.Summary, "- ")
	acts, err := b.service.ListActivity(t.Context(), chat.ActivityFilter{Classes: []string{"compaction"}, Limit: 5})
	require.NoError(t, err)
	require.Len(t, acts, 1)
}

func TestAProviderThatCountsMoreIsBelieved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	small := b.model(t, "small", map[string]any{"context_window_tokens": 4096})
	b.server.On("You condense conversations", llmtest.Reply{Text: "a summary"})
	b.server.On("", llmtest.ContextLength(), llmtest.Reply{Text: "now it fits", Input: 3000})
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{ModelID: &small})
	b.long(t, th.ID, 12, 100)
	v, m := b.said(t, th.ID, "go on")
	require.Equal(t, chat.Succeeded, v.Status, "%+v", v.Error)
	require.Equal(t, "now it fits", m.Content)
	c, err := b.service.Context(t.Context(), th.ID)
	require.NoError(t, err)
	require.Greater(t, c.TokenRatio, 1.2, "learned")
}

func TestAMessageThatIsTooLongByItselfIsRefusedWithTheNumbers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	small := b.model(t, "small", map[string]any{"context_window_tokens": 1024})
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{ModelID: &small})
	v, _ := b.said(t, th.ID, strings.Repeat("word ", 2000))
	require.Equal(t, chat.Failed, v.Status)
	require.Equal(t, chat.CodeContextExceeded, v.ReasonCode)
	require.Contains(t, v.Error.Message, "1024 tokens")
	require.Empty(t, b.server.Requests())
}

// found answers as an index would.
type found struct{ err error }

func (f found) Retrieve(context.Context, *chat.Turn, []int64, string, int) ([]chat.MessageCitation, error) {
	long := strings.Repeat("long ", 20_000)
	return []chat.MessageCitation{{SourceID: 1, Path: "a.md", Text: "the answer is 42", Score: 0.9}, {SourceID: 1, Path: "b.md", Text: long}, {SourceID: 1, Path: "c.md", Text: "also"}}, f.err
}

type everything struct{}

func (everything) MissingMCPServers(context.Context, postgres.Querier, []int64) ([]int64, error) {
	return nil, nil
}

func (everything) MissingSources(context.Context, postgres.Querier, []int64) ([]int64, error) {
	return nil, nil
}

func TestRetrievedPassagesAreBoundedAndCited(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		reason string
	}{
		"found":       {},
		"unavailable": {errs.E(errs.Unavailable, "rag.down", "down"), chat.CodeRAGUnavailable},
		"broken":      {fmt.Errorf("broken"), chat.CodeRAGFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.service = b.with(everything{})
			b.retrieve = found{c.err}
			b.start(t, b.direct())
			th := b.thread(t, chat.ThreadFields{SourceIDs: []int64{1}})
			v, m := b.said(t, th.ID, "what?")
			require.Equal(t, c.reason, v.ReasonCode)
			if c.reason != "" {
				require.Equal(t, chat.Failed, v.Status)
				return
			}
			require.Equal(t, []string{"citation", "citation", "text"}, typesOf(m.Parts), "what has no room is left out")
			require.Equal(t, "c.md", m.Parts[1].Citation.Path)
			require.Equal(t, 2, m.Parts[1].Citation.Number)
			require.Contains(t, b.server.Requests()[0].Prompt, "the answer is 42")
			require.NotContains(t, b.server.Requests()[0].Prompt, "long long")
			require.Positive(t, v.Context.Used.Retrieval)
		})
	}
}

func TestAttachmentsReachTheModel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start(t, b.direct())
	th := b.thread(t, chat.ThreadFields{})
	attach := func(name string, data []byte) chat.Attachment {
		u, err := b.service.Read(t.Context(), name, data)
		require.NoError(t, err)
		a, err := in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Attachment, error) {
			return b.service.AttachTx(ctx, tx, th.ID, u, chat.Origin{})
		})
		require.NoError(t, err)
		return a
	}
	png := []byte("\x89PNG\r\n\x1a\n0000IHDR")
	text, image := attach("notes.md", []byte("the code word is PLUM")), attach("picture.png", png)
	require.Equal(t, "image/png", image.MediaType)
	p := b.post(t, th.ID, chat.Post{Message: "read", AttachmentIDs: []int64{text.ID, image.ID}})
	v := b.ended(t, th.ID, p.Turn.ID)
	require.Equal(t, chat.Succeeded, v.Status, "%+v", v.Error)
	require.Contains(t, b.server.Requests()[0].Prompt, "the code word is PLUM")
	require.Contains(t, string(b.server.Requests()[0].Body), "image/png;base64")
	_, err := b.try(t, th.ID, chat.Post{Message: "again", AttachmentIDs: []int64{text.ID}})
	require.True(t, errs.Is(err, errs.Invalid), "sent already: %v", err)

	blind := b.model(t, "blind", map[string]any{"accepts_images": false})
	other := b.thread(t, chat.ThreadFields{ModelID: &blind})
	u, err := b.service.Read(t.Context(), "p.png", png)
	require.NoError(t, err)
	a, err := in(t, b, func(ctx context.Context, tx *postgres.Tx) (chat.Attachment, error) {
		return b.service.AttachTx(ctx, tx, other.ID, u, chat.Origin{})
	})
	require.NoError(t, err)
	_, err = b.try(t, other.ID, chat.Post{Message: "see", AttachmentIDs: []int64{a.ID}})
	require.Equal(t, "turn.no_images", errs.As(err).Reason)
	_, err = in(t, b, func(ctx context.Context, tx *postgres.Tx) (struct{}, error) {
		return struct{}{}, b.service.DetachTx(ctx, tx, a.ID)
	})
	require.NoError(t, err)
	raw, err := json.Marshal(chat.ViewAttachment(&text))
	require.NoError(t, err)
	require.NotContains(t, string(raw), "blob")
}
