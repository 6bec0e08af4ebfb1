package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/chat/dbsqlc"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Message is a row.
type Message struct {
	ID         int64
	ThreadID   int64
	BranchID   int64
	Depth      int32
	ParentID   *int64
	TurnID     *int64
	Role       string
	Status     string
	Parts      json.RawMessage
	Content    string
	Tokens     int32
	CreatedAt  time.Time
	FinishedAt *time.Time
}

const messageColumns = `m.id, m.thread_id, m.branch_id, m.depth, m.parent_id, m.turn_id, m.role, m.status, m.parts, m.content, m.tokens, m.created_at, m.finished_at`

func collectMessages(rows pgx.Rows, err error) ([]Message, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Message])
}

func (s *Service) message(ctx context.Context, q postgres.Querier, id int64) (Message, error) {
	rows, err := collectMessages(q.Query(ctx, `SELECT `+messageColumns+` FROM message m WHERE m.id = $1`, id))
	if err != nil {
		return Message{}, fmt.Errorf("load message %d: %w", id, err)
	}
	if len(rows) == 0 {
		return Message{}, noMessage(id)
	}
	return rows[0], nil
}

func noMessage(id int64) error {
	return errs.Ef(errs.NotFound, "message.not_found", "There is no message %d in this thread.", id)
}

// messageOf is message, of that thread.
func (s *Service) messageOf(ctx context.Context, q postgres.Querier, threadID, id int64) (Message, error) {
	m, err := s.message(ctx, q, id)
	if err == nil && m.ThreadID != threadID {
		return m, noMessage(id)
	}
	return m, err
}

// pathSQL gives the ranges of (branch, depth) that a conversation up to a place is.
const pathSQL = `
WITH RECURSIVE path AS (
	SELECT b.id, b.parent_id, b.from_depth AS low, $2::integer AS high FROM thread_branch b WHERE b.id = $1
	UNION ALL
	SELECT p.id, p.parent_id, p.from_depth, path.low FROM path JOIN thread_branch p ON p.id = path.parent_id
)`

// before gives messages of the conversation up to (branch, depth), the newest first:
// those below the depth under, at most limit. Every branch costs one look into an
// index, whatever the length of the conversation.
func (s *Service) before(ctx context.Context, q postgres.Querier, branch int64, depth, under, limit int32) ([]Message, error) {
	out, err := collectMessages(q.Query(ctx, pathSQL+`
		SELECT `+messageColumns+` FROM path CROSS JOIN LATERAL (
			SELECT * FROM message WHERE branch_id = path.id AND depth > path.low AND depth <= path.high AND depth < $3 ORDER BY depth DESC LIMIT $4
		) m ORDER BY m.depth DESC LIMIT $4`, branch, depth, under, limit))
	if err != nil {
		return nil, fmt.Errorf("load messages: %w", err)
	}
	return out, nil
}

// after gives messages of the conversation above a depth, the oldest first.
func (s *Service) after(ctx context.Context, q postgres.Querier, branch int64, depth, above, limit int32) ([]Message, error) {
	out, err := collectMessages(q.Query(ctx, pathSQL+`
		SELECT `+messageColumns+` FROM path CROSS JOIN LATERAL (
			SELECT * FROM message WHERE branch_id = path.id AND depth > path.low AND depth <= path.high AND depth > $3 ORDER BY depth LIMIT $4
		) m ORDER BY m.depth LIMIT $4`, branch, depth, above, limit))
	if err != nil {
		return nil, fmt.Errorf("load messages: %w", err)
	}
	return out, nil
}

// holds tells whether a place is in the conversation up to (branch, depth).
func (s *Service) holds(ctx context.Context, q postgres.Querier, branch int64, depth int32, placeBranch int64, placeDepth int32) (bool, error) {
	var there bool
	err := q.QueryRow(ctx, pathSQL+` SELECT EXISTS (SELECT FROM path WHERE id = $3 AND $4 > low AND $4 <= high)`,
		branch, depth, placeBranch, placeDepth).Scan(&there)
	if err != nil {
		return false, fmt.Errorf("look for a message: %w", err)
	}
	return there, nil
}

// tip gives the last message of a thread's conversation; nil: there is none.
func (s *Service) tip(ctx context.Context, q postgres.Querier, t *Thread) (*Message, error) {
	if t.ActiveBranchID == nil {
		return nil, nil //nolint:nilnil // an empty conversation
	}
	b, err := s.q.GetBranch(ctx, q, *t.ActiveBranchID)
	if err != nil {
		return nil, fmt.Errorf("load branch %d: %w", *t.ActiveBranchID, err)
	}
	rows, err := s.before(ctx, q, b.ID, b.TipDepth, b.TipDepth+1, 1)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// place gives the branch in which a message that follows parent (nil: that begins a
// conversation) is put: the parent's if nothing follows there yet, else a new one.
func (s *Service) place(ctx context.Context, tx *postgres.Tx, threadID int64, parent *Message) (dbsqlc.ThreadBranch, error) {
	p := dbsqlc.InsertBranchParams{ThreadID: threadID}
	if parent != nil {
		b, err := s.q.GetBranch(ctx, tx, parent.BranchID)
		if err != nil {
			return b, fmt.Errorf("load branch %d: %w", parent.BranchID, err)
		}
		if b.TipDepth == parent.Depth {
			return b, nil
		}
		p.ParentID, p.FromDepth = &parent.BranchID, parent.Depth
	}
	b, err := s.q.InsertBranch(ctx, tx, p)
	if err != nil {
		return b, fmt.Errorf("insert branch of thread %d: %w", threadID, err)
	}
	return b, nil
}

// newMessage is a message to be added.
type newMessage struct {
	role, status string
	parts        []MessagePart
	tokens       int
}

// add puts a message behind parent.
func (s *Service) add(ctx context.Context, tx *postgres.Tx, threadID int64, parent *Message, n newMessage) (*Message, error) {
	b, err := s.place(ctx, tx, threadID, parent)
	if err != nil {
		return nil, err
	}
	if b, err = s.q.GrowBranch(ctx, tx, b.ID); err != nil {
		return nil, fmt.Errorf("grow branch %d: %w", b.ID, err)
	}
	if n.parts == nil {
		n.parts = []MessagePart{}
	}
	raw, err := json.Marshal(n.parts)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	var parentID *int64
	if parent != nil {
		parentID = &parent.ID
	}
	rows, err := collectMessages(tx.Query(ctx, `INSERT INTO message AS m (thread_id, branch_id, depth, parent_id, role, status, parts, content, tokens, finished_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN $6 <> 'pending' THEN now() END) RETURNING `+messageColumns,
		threadID, b.ID, b.TipDepth, parentID, n.role, n.status, raw, textOf(n.parts), n.tokens))
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("insert message of thread %d: %w", threadID, err)
	}
	return &rows[0], nil
}

// fill writes what a pending message has become.
func (s *Service) fill(ctx context.Context, tx *postgres.Tx, id int64, status string, parts []MessagePart, tokens int) (*Message, error) {
	raw, err := json.Marshal(parts)
	if err != nil {
		return nil, fmt.Errorf("encode message %d: %w", id, err)
	}
	rows, err := collectMessages(tx.Query(ctx, `UPDATE message AS m SET status = $2, parts = $3, content = $4, tokens = $5, finished_at = now()
		WHERE m.id = $1 AND m.status = 'pending' RETURNING `+messageColumns, id, status, raw, textOf(parts), tokens))
	if err != nil {
		return nil, fmt.Errorf("store message %d: %w", id, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("store message %d: it is not pending any more", id)
	}
	return &rows[0], nil
}

// SwitchTx shows the conversation that a message is in: the branch last used of those
// that hold it. Errors: not_found.
func (s *Service) SwitchTx(ctx context.Context, tx *postgres.Tx, threadID, messageID int64) (Thread, error) {
	t, err := s.lock(ctx, tx, threadID, 0)
	if err != nil {
		return t, err
	}
	m, err := s.messageOf(ctx, tx, threadID, messageID)
	if err != nil {
		return t, err
	}
	best, err := s.q.BestBranch(ctx, tx, dbsqlc.BestBranchParams{BranchID: m.BranchID, Depth: m.Depth})
	if err != nil {
		return t, fmt.Errorf("find the branch of message %d: %w", messageID, err)
	}
	if t.ActiveBranchID != nil && *t.ActiveBranchID == best {
		return t, nil
	}
	if err := s.q.UseBranch(ctx, tx, best); err != nil {
		return t, fmt.Errorf("use branch %d: %w", best, err)
	}
	if t, err = s.q.ShowBranch(ctx, tx, dbsqlc.ShowBranchParams{ID: threadID, BranchID: &best}); err != nil {
		return t, fmt.Errorf("show branch %d: %w", best, err)
	}
	return t, s.changed(ctx, tx, &t, changeBranch)
}

// maxSiblings bounds the versions of a message that are told.
const maxSiblings = 100

// siblings adds to each message which others stand at its place.
func (s *Service) siblings(ctx context.Context, q postgres.Querier, threadID int64, views []MessageView) error {
	parents, roots := []int64{}, false
	for _, v := range views {
		if v.ParentID == nil {
			roots = true
		} else {
			parents = append(parents, *v.ParentID)
		}
	}
	rows, err := q.Query(ctx, `
		SELECT parent_id, array_agg(id ORDER BY id) FROM message WHERE parent_id = ANY ($1) GROUP BY parent_id HAVING count(*) > 1
		UNION ALL
		SELECT 0, array_agg(b.id ORDER BY b.id) FROM (
			SELECT m.id FROM thread_branch r JOIN message m ON m.branch_id = r.id AND m.depth = 1 WHERE $2 AND r.thread_id = $3 AND r.parent_id IS NULL
		) b HAVING count(*) > 1`, parents, roots, threadID)
	if err != nil {
		return fmt.Errorf("look for versions of messages: %w", err)
	}
	found := map[int64][]int64{}
	var parent int64
	var ids []int64
	_, err = pgx.ForEachRow(rows, []any{&parent, &ids}, func() error { found[parent] = slices.Clone(ids); return nil })
	if err != nil {
		return fmt.Errorf("look for versions of messages: %w", err)
	}
	for i := range views {
		key := int64(0)
		if views[i].ParentID != nil {
			key = *views[i].ParentID
		}
		if all := found[key]; len(all) > 1 {
			views[i].Siblings = siblingsOf(all, views[i].ID)
		}
	}
	return nil
}

// siblingsOf cuts many versions to those around the one that is shown.
func siblingsOf(all []int64, id int64) *Siblings {
	at := slices.Index(all, id)
	if len(all) > maxSiblings {
		from := min(max(at-maxSiblings/2, 0), len(all)-maxSiblings)
		all, at = all[from:from+maxSiblings], at-from
	}
	return &Siblings{IDs: all, Index: at}
}
