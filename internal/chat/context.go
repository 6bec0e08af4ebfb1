package chat

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/chat/dbsqlc"
	"github.com/llmctl/studio/internal/postgres"
)

// Bounds of what is loaded to fill a window.
const (
	maxLoaded      = 2000
	maxLoadedBytes = 8 << 20
	loadPage       = 200
)

// conversation is what stands before a message that is to be answered.
type conversation struct {
	user    Message
	folded  *dbsqlc.Compaction // what is before history, nil: nothing was folded
	history []Message          // the oldest first; without those that failed
	left    int                // messages between folded and history that were not loaded
}

// summary is what the folded messages were folded into.
func (c *conversation) summary() string {
	if c.folded == nil {
		return ""
	}
	return c.folded.Summary
}

// foldedCount is how many messages the summary stands for.
func (c *conversation) foldedCount() int {
	if c.folded == nil {
		return 0
	}
	return int(c.folded.Depth)
}

// converse loads what stands before a message of the user.
func (s *Service) converse(ctx context.Context, q postgres.Querier, user Message) (conversation, error) {
	c := conversation{user: user}
	var err error
	if c.folded, err = s.compactionBefore(ctx, q, &user); err != nil {
		return c, err
	}
	floor, bytes := int32(c.foldedCount()), 0
	under := user.Depth
	for under > floor+1 && len(c.history) < maxLoaded && bytes < maxLoadedBytes {
		rows, err := s.before(ctx, q, user.BranchID, user.Depth, under, loadPage)
		if err != nil {
			return c, err
		}
		if len(rows) == 0 {
			break
		}
		for i := range rows {
			under = rows[i].Depth
			if under <= floor {
				break
			}
			if rows[i].Status == messageComplete || rows[i].Status == messagePartial {
				c.history = append(c.history, rows[i])
				bytes += len(rows[i].Parts)
			}
		}
	}
	c.left = max(int(under-1-floor), 0)
	slices.Reverse(c.history)
	return c, nil
}

// compactionBefore gives the compaction that reaches furthest in the conversation up
// to a message; nil: there is none.
func (s *Service) compactionBefore(ctx context.Context, q postgres.Querier, m *Message) (*dbsqlc.Compaction, error) {
	rows, err := q.Query(ctx, pathSQL+`
		SELECT c.* FROM path JOIN compaction c ON c.branch_id = path.id AND c.depth > path.low AND c.depth <= path.high AND c.depth < $3
		WHERE c.thread_id = $4 ORDER BY c.depth DESC, c.id DESC LIMIT 1`, m.BranchID, m.Depth, m.Depth, m.ThreadID)
	if err != nil {
		return nil, fmt.Errorf("look for a summary: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[dbsqlc.Compaction])
	if err != nil {
		return nil, fmt.Errorf("look for a summary: %w", err)
	}
	if len(out) == 0 {
		return nil, nil //nolint:nilnil // nothing was folded
	}
	return &out[0], nil
}

// costOf is what a message takes of a window, by estimate.
func costOf(m *Message) int { return int(m.Tokens) + perMessage }

// use adds up what a conversation takes of a window, in the model's tokens.
func (c *conversation) use(system string, ratio float64) ContextUse {
	var u ContextUse
	u.System = scaled(estimate(system)+perMessage, ratio)
	if sum := c.summary(); sum != "" {
		u.Summary = scaled(estimate(sum)+perMessage, ratio)
	}
	n := 0
	for i := range c.history {
		n += costOf(&c.history[i])
	}
	u.History = scaled(n, ratio)
	if c.user.ID != 0 {
		u.Message = scaled(costOf(&c.user), ratio)
	}
	u.Total = u.System + u.Summary + u.History + u.Message
	return u
}

// Context tells what the model's window would be filled with, were a message sent
// now. Errors: not_found, invalid when there is no model.
func (s *Service) Context(ctx context.Context, threadID int64) (ContextView, error) {
	var out ContextView
	err := s.snapshot(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		t, err := s.get(ctx, tx, threadID)
		if err != nil {
			return err
		}
		set, _, err := LoadSettings(ctx, tx)
		if err != nil {
			return err
		}
		model, err := s.resolve(ctx, tx, &t, &set)
		if err != nil {
			return err
		}
		ratio, err := s.ratio(ctx, tx, model.ID)
		if err != nil {
			return err
		}
		b := divide(&model, &set, t.ResponseComplexity)
		out = b.view(&model, ratio)
		c, err := s.nextConversation(ctx, tx, &t)
		if err != nil {
			return err
		}
		out.Used = c.use(systemOf(t.ResponseComplexity), ratio)
		out.Messages, out.Folded, out.Dropped = len(c.history), c.foldedCount(), c.left
		return s.measured(ctx, tx, threadID, &out)
	})
	return out, err
}

// nextConversation is what a message would follow.
func (s *Service) nextConversation(ctx context.Context, tx *postgres.Tx, t *Thread) (conversation, error) {
	tip, err := s.tip(ctx, tx, t)
	if err != nil || tip == nil {
		return conversation{}, err
	}
	next := *tip
	next.Depth++ // where it would stand; the tip itself is before it
	c, err := s.converse(ctx, tx, Message{ThreadID: t.ID, BranchID: next.BranchID, Depth: next.Depth})
	return c, err
}

// measured adds what the provider counted for the last answer.
func (s *Service) measured(ctx context.Context, tx *postgres.Tx, threadID int64, out *ContextView) error {
	rows, err := s.q.ListTurns(ctx, tx, dbsqlc.ListTurnsParams{ThreadID: threadID, MaxRows: 20})
	if err != nil {
		return fmt.Errorf("list turns of thread %d: %w", threadID, err)
	}
	for i := range rows {
		if v := ViewTurn(&rows[i]); v.Context != nil && v.Context.Measured != nil {
			out.Measured = v.Context.Measured
			return nil
		}
	}
	return nil
}

// systemOf is what a model is told before a conversation.
func systemOf(complexityName string) string {
	return "You are a helpful assistant. Write Markdown; put code into fenced blocks that name their language. " + complexityOf(complexityName).instruction
}
