package calls

import (
	"context"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm/toolloop"
	"github.com/llmctl/studio/internal/llm/toolloop/calls/dbsqlc"
	"github.com/llmctl/studio/internal/postgres"
)

// Decision is what a person decided about a call.
type Decision struct {
	Approve bool
	UserID  int64
	Note    string // the model is told it with a denial
}

// Owners lock and wake the owners of loops, one for each kind.
type Owners interface {
	// Decide locks the owner, runs f, and lets the owner go on if f says that nothing
	// of it waits any more. An owner that has ended is a conflict.
	Decide(ctx context.Context, tx *postgres.Tx, ownerID int64, f func(ctx context.Context) (goesOn bool, err error)) error
	// Announce appends the event that a call changed.
	Announce(ctx context.Context, tx *postgres.Tx, call *Row) error
}

// Decide decides about a call that waits. Deciding the same again is no error, for
// whoever asks may not have heard the answer. Errors: not_found; conflict
// (tool_call.decided) when it was decided otherwise or does not wait.
func (s *Store) Decide(ctx context.Context, tx *postgres.Tx, owners map[string]Owners, id int64, d Decision) (Row, error) {
	seen, err := s.q.GetCall(ctx, tx, id)
	if postgres.NotFound(err) {
		return seen, notFound(id)
	}
	if err != nil {
		return seen, fmt.Errorf("load call %d: %w", id, err)
	}
	owner, ok := owners[seen.OwnerKind]
	if !ok {
		return seen, fmt.Errorf("call %d belongs to a %s, which nobody here knows", id, seen.OwnerKind)
	}
	if seen.Status != string(toolloop.Waiting) {
		return seen, decided(&seen, d)
	}
	var out Row
	err = owner.Decide(ctx, tx, seen.OwnerID, func(ctx context.Context) (bool, error) {
		if out, err = s.decide(ctx, tx, id, d); err != nil {
			return false, err
		}
		if err := owner.Announce(ctx, tx, &out); err != nil {
			return false, err
		}
		waits, err := s.Waits(ctx, tx, Owner{Kind: seen.OwnerKind, ID: seen.OwnerID})
		return !waits, err
	})
	return out, err
}

func notFound(id int64) error {
	return errs.Ef(errs.NotFound, "tool_call.not_found", "There is no tool call %d.", id)
}

// decided answers a decision that comes too late.
func decided(c *Row, d Decision) error {
	same := c.DecidedAt != nil && d.Approve == (c.Status != string(toolloop.Denied))
	if same {
		return nil
	}
	if c.DecidedAt != nil {
		return errs.Ef(errs.Conflict, "tool_call.decided", "Somebody has decided about this call already; it is %s.", c.Status)
	}
	return errs.Ef(errs.Conflict, "tool_call.decided", "This call does not wait for a decision; it is %s.", c.Status)
}

func (s *Store) decide(ctx context.Context, tx *postgres.Tx, id int64, d Decision) (Row, error) {
	p := dbsqlc.DecideCallParams{ID: id, Status: string(toolloop.Approved), Note: clean(d.Note)}
	if d.UserID != 0 {
		p.DecidedBy = &d.UserID
	}
	if !d.Approve {
		content, now := denial(d.Note), time.Now().UTC()
		p.Status, p.Error, p.Result, p.FinishedAt = string(toolloop.Denied), toolloop.CodeDenied, &content, &now
	}
	row, err := s.q.DecideCall(ctx, tx, p)
	if !postgres.NotFound(err) {
		if err != nil {
			return row, fmt.Errorf("decide about call %d: %w", id, err)
		}
		return row, nil
	}
	// Somebody was faster while the owner was locked.
	if row, err = s.q.GetCall(ctx, tx, id); err != nil {
		return row, fmt.Errorf("load call %d: %w", id, err)
	}
	return row, decided(&row, d)
}

// denial is what the model is told.
func denial(note string) string {
	text := "A person denied this call; the tool was not called."
	if note != "" {
		text += " They said: " + clean(note)
	}
	return text
}

// Item is a call with what belongs to it, for lists.
type Item struct {
	Row            Row
	DecidedByEmail string
	FlowchartRunID *int64
	FlowchartID    *int64
	NodeID         string
	ThreadID       *int64
	Title          string
}

// Filter chooses calls; zero values choose all.
type Filter struct {
	ID, OwnerID, ServerID, Before int64
	OwnerKind                     string
	Statuses                      []string
	Limit                         int32
}

// Search lists calls, newest first.
func (s *Store) Search(ctx context.Context, f Filter) ([]Item, error) {
	rows, err := s.q.SearchCalls(ctx, s.db, dbsqlc.SearchCallsParams{
		ID: f.ID, OwnerKind: f.OwnerKind, OwnerID: f.OwnerID, McpServerID: f.ServerID, Statuses: f.Statuses, BeforeID: f.Before, MaxRows: f.Limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list tool calls: %w", err)
	}
	out := make([]Item, len(rows))
	for i, r := range rows {
		out[i] = Item{
			Row: r.ToolCall, DecidedByEmail: r.DecidedByEmail, FlowchartRunID: r.FlowchartRunID, FlowchartID: r.FlowchartID,
			NodeID: r.FlowchartNodeID, Title: r.Title, ThreadID: r.ThreadID,
		}
	}
	return out, nil
}

// Get gives a call with its whole result. Errors: not_found.
func (s *Store) Get(ctx context.Context, id int64) (Item, string, error) {
	found, err := s.Search(ctx, Filter{ID: id, Limit: 1})
	if err != nil {
		return Item{}, "", err
	}
	if len(found) == 0 {
		return Item{}, "", notFound(id)
	}
	content, err := s.content(ctx, &found[0].Row)
	return found[0], content, err
}
