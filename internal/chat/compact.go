package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/llmctl/studio/internal/chat/dbsqlc"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/postgres"
)

// excerptChars is how much of a message an excerpt shows.
const excerptChars = 220

// maxFoldCalls bounds the calls of the model for one compaction. What is more is
// folded into excerpts.
const maxFoldCalls = 12

// over tells whether a conversation is to be folded.
func (c *conversation) over(b *budget, ratio float64) bool {
	u := c.use("", ratio)
	return c.left > 0 || u.Summary+u.History+u.Message >= b.trigger
}

// split gives how many of the oldest messages are to be folded, so that the others
// and a summary fit. The newest turns stay while they fit below the trigger, others
// while they fit the target. What stays begins with a message of the user.
func (c *conversation) split(b *budget, set *Settings, ratio float64) int {
	// A summary takes about a token for four characters.
	used := scaled(costOf(&c.user)+set.SummaryChars/4+perMessage, ratio)
	keep := 0
	for i := len(c.history) - 1; i >= 0; i-- {
		limit := b.target
		if len(c.history)-i <= 2*set.PreserveTurns {
			limit = b.trigger - 1
		}
		cost := scaled(costOf(&c.history[i]), ratio)
		if used+cost > limit {
			break
		}
		used += cost
		keep++
	}
	for keep > 0 && c.history[len(c.history)-keep].Role != roleUser {
		keep--
	}
	return len(c.history) - keep
}

// folding is a compaction under way.
type folding struct {
	s       *Service
	answer  Answerer
	turn    *Turn
	model   Model
	set     *Settings
	budget  budget
	ratio   float64
	usage   llm.Usage
	guessed bool
}

// fold makes a conversation fit: older messages become a summary, by the model, or by
// excerpts when it fails. The row is stored by itself, so that an attempt that dies
// afterwards leaves it to the next one.
func (f *folding) fold(ctx context.Context, c *conversation) (*CompactionPart, error) {
	n := c.split(&f.budget, f.set, f.ratio)
	if n == 0 && c.left == 0 {
		return nil, nil //nolint:nilnil // the message alone is too long, which is said elsewhere
	}
	before := c.use("", f.ratio)
	if n == 0 { // only what was not loaded is over: the oldest that was goes with it
		if n = min(1, len(c.history)); n == 0 {
			return nil, nil //nolint:nilnil // nothing is there
		}
	}
	last := c.history[n-1]
	summary, method, reason, err := f.summarise(ctx, c.summary(), c.history[:n], c.left)
	if err != nil {
		return nil, err
	}
	count := n + c.left
	after := *c
	after.history, after.left = c.history[n:], 0
	after.folded = &dbsqlc.Compaction{Summary: summary, Depth: last.Depth}
	use := after.use("", f.ratio)
	row, err := f.s.keepCompaction(ctx, f.turn, dbsqlc.InsertCompactionParams{
		ThreadID: f.turn.ThreadID, TurnID: &f.turn.ID, ThroughMessageID: last.ID, BranchID: last.BranchID, Depth: last.Depth, Method: method,
		Summary: summary, MessageCount: int32(count), TokensBefore: int32(before.Summary + before.History + before.Message),
		TokensAfter: int32(use.Summary + use.History + use.Message), Reason: reason,
	})
	if err != nil {
		return nil, err
	}
	after.folded = &row
	*c = after
	return &CompactionPart{
		ID: row.ID, Method: row.Method, Summary: row.Summary, ThroughMessageID: row.ThroughMessageID, Messages: row.MessageCount,
		TokensBefore: row.TokensBefore, TokensAfter: row.TokensAfter, Reason: row.Reason,
	}, nil
}

// keepCompaction stores a compaction if the attempt still has its turn.
func (s *Service) keepCompaction(ctx context.Context, t *Turn, p dbsqlc.InsertCompactionParams) (dbsqlc.Compaction, error) {
	var row dbsqlc.Compaction
	err := s.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		thread, err := s.q.LockThread(ctx, tx, t.ThreadID)
		if postgres.NotFound(err) {
			return errStale
		}
		if err != nil {
			return fmt.Errorf("lock thread %d: %w", t.ThreadID, err)
		}
		held, err := s.q.HoldsTurn(ctx, tx, dbsqlc.HoldsTurnParams{ID: t.ID, Attempt: t.Attempt, WorkerProcessID: t.WorkerProcessID})
		if err != nil {
			return fmt.Errorf("look for turn %d: %w", t.ID, err)
		}
		if !held {
			return errStale
		}
		if row, err = s.q.InsertCompaction(ctx, tx, p); err != nil {
			return fmt.Errorf("insert compaction of thread %d: %w", t.ThreadID, err)
		}
		return s.note(ctx, tx, &thread, deed{
			class: classCompaction, action: "compacted", turnID: &t.ID, message: p.Reason,
			by: Origin{UserID: t.AppUserID, RequestID: t.RequestID, CorrelationID: t.CorrelationID},
			detail: map[string]any{
				"method": p.Method, "messages": p.MessageCount, "tokens_before": p.TokensBefore, "tokens_after": p.TokensAfter, "compaction_id": row.ID,
			},
		})
	})
	return row, err
}

const foldInstruction = `You condense conversations. Write a summary of what is given, for somebody who goes on with the conversation without having read it: facts, names, numbers, decisions, open questions, what the user wants and prefers. Keep what the earlier summary holds, unless it is settled. No introduction, no comment, at most %d characters.`

// summarise folds messages into a summary, in batches that the model's window has
// room for.
func (f *folding) summarise(ctx context.Context, summary string, messages []Message, left int) (text, method, reason string, err error) {
	lines := make([]string, 0, len(messages))
	for i := range messages {
		lines = append(lines, transcript(&messages[i]))
	}
	room := int(float64(f.budget.window/2-f.set.SummaryChars) / max(f.ratio, 0.1))
	done := 0
	for calls := 0; done < len(lines) && calls < maxFoldCalls; calls++ {
		batch, n := batchOf(lines[done:], max(room, 200))
		made, err := f.ask(ctx, summary, batch)
		if errors.Is(err, errFolding) {
			reason = err.Error()
			break
		}
		if err != nil {
			return "", "", "", err
		}
		summary = made
		done += n
	}
	if done == len(lines) && left == 0 {
		return summary, "model", "", nil
	}
	if reason == "" {
		reason = "The conversation is longer than what the model can fold at once."
	}
	return excerpts(summary, messages[done:], f.set.SummaryChars), "excerpts", reason, nil
}

// errFolding is a model that could not fold; the attempt goes on without it.
var errFolding = errors.New("The model could not write a summary") //nolint:staticcheck // it is shown as a sentence

// ask has the model fold a batch.
func (f *folding) ask(ctx context.Context, summary, batch string) (string, error) {
	prompt := "Conversation:\n\n" + batch
	if summary != "" {
		prompt = "Earlier summary:\n\n" + summary + "\n\n" + prompt
	}
	var b strings.Builder
	res, err := f.answer.Answer(ctx, Question{
		ThreadID: f.turn.ThreadID, TurnID: f.turn.ID, Attempt: f.turn.Attempt, Model: f.model, Aside: true,
		System: fmt.Sprintf(foldInstruction, f.set.SummaryChars), Messages: []llm.Message{llm.Text(llm.RoleUser, prompt)},
		Params: llm.Params{MaxTokens: min(max(f.set.SummaryChars/2, 200), f.budget.window/4)},
	}, func(p Said) error {
		if b.Len() < 8*f.set.SummaryChars {
			b.WriteString(p.Text)
		}
		return nil
	})
	f.count(res, prompt, b.String())
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	made := strings.TrimSpace(b.String())
	if err != nil {
		return "", fmt.Errorf("%w: %s", errFolding, failureOf(err).Message)
	}
	if made == "" {
		return "", fmt.Errorf("%w: it gave an empty one", errFolding)
	}
	return clip(made, f.set.SummaryChars), nil
}

func (f *folding) count(res Answer, prompt, made string) {
	if res.Usage == (llm.Usage{}) {
		f.guessed = true
		res.Usage = llm.Usage{InputTokens: int64(scaled(estimate(prompt), f.ratio)), OutputTokens: int64(scaled(estimate(made), f.ratio))}
	}
	f.usage = plus(f.usage, res.Usage)
}

func plus(a, b llm.Usage) llm.Usage {
	return llm.Usage{InputTokens: a.InputTokens + b.InputTokens, OutputTokens: a.OutputTokens + b.OutputTokens, CachedTokens: a.CachedTokens + b.CachedTokens}
}

// batchOf joins lines up to so many tokens of the estimate; a line that is longer by
// itself is cut.
func batchOf(lines []string, room int) (string, int) {
	var b strings.Builder
	n, used := 0, 0
	for _, l := range lines {
		cost := estimate(l)
		if n > 0 && used+cost > room {
			break
		}
		if cost > room {
			l = clip(l, 4*room)
		}
		b.WriteString(l + "\n\n")
		used += cost
		n++
	}
	return b.String(), n
}

// transcript shows a message to the model that folds it.
func transcript(m *Message) string {
	who := "User"
	if m.Role == roleAssistant {
		who = "Assistant"
	}
	var parts []MessagePart
	text := m.Content
	if json.Unmarshal(m.Parts, &parts) == nil {
		for _, p := range parts {
			switch {
			case p.Attachment != nil:
				text = "[File " + p.Attachment.Name + "]\n" + text
			case p.ToolResult != nil:
				text += "\n[Tool " + p.ToolResult.Name + " gave: " + clip(p.ToolResult.Content, excerptChars) + "]"
			}
		}
	}
	return who + ": " + text
}

// excerpts folds without a model: the beginning of each message, behind the summary
// that there was. Of what is too long, the oldest goes.
func excerpts(summary string, messages []Message, limit int) string {
	lines := make([]string, 0, len(messages))
	for i := range messages {
		lines = append(lines, "- "+clip(strings.Join(strings.Fields(transcript(&messages[i])), " "), excerptChars))
	}
	first := 0
	head := clip(summary, limit/2)
	length := len([]rune(head))
	for i, line := range slices.Backward(lines) {
		length += len([]rune(line)) + 1
		if length > limit {
			first = i + 1
			break
		}
	}
	if head != "" && first < len(lines) {
		head += "\n"
	}
	return head + strings.Join(lines[first:], "\n")
}

// clip cuts after so many characters, with a mark.
func clip(s string, limit int) string {
	r := []rune(s)
	if len(r) <= limit {
		return s
	}
	return string(r[:max(limit-1, 0)]) + "…"
}
