package chat

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/llmctl/studio/internal/chat/dbsqlc"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Window selects a page of a conversation; at most one of its places is set.
type Window struct {
	Before int32 // messages above the place with this depth, the newest of them
	After  int32 // messages below it, the oldest of them
	Around int64 // messages before and after this message
	Limit  int32
}

// Page is a piece of the conversation that a thread shows, in order.
type Page struct {
	Items []MessageView
	Older int32 // depth before which there are more; 0: there are none
	Newer int32 // depth after which there are more; 0: there are none
}

// snapshot runs f in a transaction that sees one moment.
func (s *Service) snapshot(ctx context.Context, f func(ctx context.Context, tx *postgres.Tx) error) error {
	return s.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		if _, err := tx.Exec(ctx, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
			return fmt.Errorf("begin to read: %w", err)
		}
		return f(ctx, tx)
	})
}

// get gives a thread that is not deleted.
func (s *Service) get(ctx context.Context, q postgres.Querier, id int64) (Thread, error) {
	t, err := s.q.GetThread(ctx, q, id)
	if postgres.NotFound(err) || err == nil && t.DeleteRequestedAt != nil {
		return t, notFound(id)
	}
	if err != nil {
		return t, fmt.Errorf("load thread %d: %w", id, err)
	}
	return t, nil
}

// Messages gives a page of the conversation that a thread shows. Errors: not_found,
// invalid when the message is not in that conversation.
func (s *Service) Messages(ctx context.Context, threadID int64, w Window) (Page, error) {
	var page Page
	err := s.snapshot(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		t, err := s.get(ctx, tx, threadID)
		if err != nil {
			return err
		}
		page, err = s.page(ctx, tx, &t, w)
		return err
	})
	return page, err
}

func (s *Service) page(ctx context.Context, tx *postgres.Tx, t *Thread, w Window) (Page, error) {
	p := Page{Items: []MessageView{}}
	if t.ActiveBranchID == nil {
		return p, nil
	}
	b, err := s.q.GetBranch(ctx, tx, *t.ActiveBranchID)
	if err != nil {
		return p, fmt.Errorf("load branch %d: %w", *t.ActiveBranchID, err)
	}
	var rows []Message
	switch {
	case w.Around > 0:
		rows, err = s.around(ctx, tx, t.ID, b, w)
	case w.After > 0:
		rows, err = s.after(ctx, tx, b.ID, b.TipDepth, w.After, w.Limit)
	default:
		under := b.TipDepth + 1
		if w.Before > 0 {
			under = w.Before
		}
		rows, err = s.before(ctx, tx, b.ID, b.TipDepth, under, w.Limit)
		slices.Reverse(rows)
	}
	if err != nil || len(rows) == 0 {
		return p, err
	}
	for i := range rows {
		p.Items = append(p.Items, ViewMessage(&rows[i]))
	}
	if first := rows[0].Depth; first > 1 {
		p.Older = first
	}
	if last := rows[len(rows)-1].Depth; last < b.TipDepth {
		p.Newer = last
	}
	return p, s.siblings(ctx, tx, t.ID, p.Items)
}

func (s *Service) around(ctx context.Context, tx *postgres.Tx, threadID int64, b dbsqlc.ThreadBranch, w Window) ([]Message, error) {
	m, err := s.messageOf(ctx, tx, threadID, w.Around)
	if err != nil {
		return nil, err
	}
	there, err := s.holds(ctx, tx, b.ID, b.TipDepth, m.BranchID, m.Depth)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, errs.E(errs.Invalid, "message.other_branch", "This message is in another branch of the thread. Show that branch first.",
			errs.Detail{Location: "query.around", Message: fmt.Sprintf("message %d is not in the branch that is shown", w.Around)})
	}
	half := max(w.Limit/2, 1)
	rows, err := s.before(ctx, tx, b.ID, b.TipDepth, m.Depth+1, half)
	if err != nil {
		return nil, err
	}
	slices.Reverse(rows)
	more, err := s.after(ctx, tx, b.ID, b.TipDepth, m.Depth, w.Limit-half)
	return append(rows, more...), err
}

// Message gives a message of a thread, whichever branch it is in. Errors: not_found.
func (s *Service) Message(ctx context.Context, threadID, id int64) (MessageView, error) {
	var v MessageView
	err := s.snapshot(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		if _, err := s.get(ctx, tx, threadID); err != nil {
			return err
		}
		m, err := s.messageOf(ctx, tx, threadID, id)
		v = ViewMessage(&m)
		return err
	})
	return v, err
}

// Detail is a thread with the end of its conversation, as of numbers of its streams.
type Detail struct {
	Thread     Thread
	Page       Page
	Unfinished []Turn
	Live       *LiveAnswer
	AsOf       StreamPosition
	Prices     string // their currency
}

// Get gives a thread with its newest messages, the turns that have not ended, and the
// answer that is being written. A client that goes on after the two numbers has the
// text to the character. Errors: not_found.
func (s *Service) Get(ctx context.Context, id int64, limit int32) (Detail, error) {
	var d Detail
	err := s.snapshot(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		if d.Thread, err = s.get(ctx, tx, id); err != nil {
			return err
		}
		if d.Page, err = s.page(ctx, tx, &d.Thread, Window{Limit: limit}); err != nil {
			return err
		}
		if d.Unfinished, err = s.q.ListUnfinished(ctx, tx, id); err != nil {
			return fmt.Errorf("look for turns of thread %d: %w", id, err)
		}
		if d.AsOf, err = s.lastSequence(ctx, tx, Stream(id)); err != nil {
			return err
		}
		set, _, err := LoadSettings(ctx, tx)
		if err != nil {
			return err
		}
		d.Prices = set.Currency
		for i := range d.Unfinished {
			if d.Unfinished[i].Attempt > 0 {
				d.Live, err = s.live(ctx, tx, &d.Unfinished[i])
				return err
			}
		}
		return nil
	})
	return d, err
}

// live reads what a turn's attempt has streamed so far.
func (s *Service) live(ctx context.Context, q postgres.Querier, t *Turn) (*LiveAnswer, error) {
	l := &LiveAnswer{TurnID: t.ID, MessageID: t.AssistantMessageID, Attempt: t.Attempt}
	var err error
	if l.AsOf, err = s.lastSequence(ctx, q, TurnStream(t.ID)); err != nil {
		return nil, err
	}
	l.Text, l.Parts, err = s.streamed(ctx, q, t.ID, t.Attempt)
	return l, err
}

// streamed is what an attempt has announced.
func (s *Service) streamed(ctx context.Context, q postgres.Querier, turnID int64, attempt int32) (string, []PlacedPart, error) {
	stream := TurnStream(turnID)
	text, err := s.q.StreamedText(ctx, q, dbsqlc.StreamedTextParams{Stream: stream, Attempt: attempt})
	if err != nil {
		return "", nil, fmt.Errorf("read text of turn %d: %w", turnID, err)
	}
	rows, err := s.q.StreamedParts(ctx, q, dbsqlc.StreamedPartsParams{Stream: stream, Attempt: attempt})
	if err != nil {
		return "", nil, fmt.Errorf("read parts of turn %d: %w", turnID, err)
	}
	parts := make([]PlacedPart, 0, len(rows))
	for _, r := range rows {
		p := PlacedPart{Offset: r.At}
		if err := json.Unmarshal(r.Part, &p.Part); err != nil {
			return "", nil, fmt.Errorf("read parts of turn %d: %w", turnID, err)
		}
		parts = place(parts, p)
	}
	return text, parts, nil
}

// TurnDetail is a turn with its attempts and what it streams.
type TurnDetail struct {
	Turn     Turn
	Attempts []TurnAttemptView
	Live     *LiveAnswer // nil: it has ended, or not begun
}

// GetTurn gives a turn of a thread. Errors: not_found.
func (s *Service) GetTurn(ctx context.Context, threadID, id int64) (TurnDetail, error) {
	var d TurnDetail
	err := s.snapshot(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		if _, err := s.get(ctx, tx, threadID); err != nil {
			return err
		}
		var err error
		d.Turn, err = s.q.GetTurn(ctx, tx, id)
		if postgres.NotFound(err) || err == nil && d.Turn.ThreadID != threadID {
			return noTurn(id)
		}
		if err != nil {
			return fmt.Errorf("load turn %d: %w", id, err)
		}
		rows, err := s.q.ListTurnAttempts(ctx, tx, id)
		if err != nil {
			return fmt.Errorf("load attempts of turn %d: %w", id, err)
		}
		d.Attempts = make([]TurnAttemptView, len(rows))
		for i := range rows {
			d.Attempts[i] = viewAttempt(&rows[i])
		}
		if d.Turn.FinishedAt == nil && d.Turn.Attempt > 0 {
			d.Live, err = s.live(ctx, tx, &d.Turn)
		}
		return err
	})
	return d, err
}

func noTurn(id int64) error {
	return errs.Ef(errs.NotFound, "turn.not_found", "There is no turn %d in this thread.", id)
}

// Turns lists the turns of a thread, the newest first. Errors: not_found.
func (s *Service) Turns(ctx context.Context, threadID, before int64, limit int32) ([]Turn, error) {
	if _, err := s.get(ctx, s.o.DB, threadID); err != nil {
		return nil, err
	}
	rows, err := s.q.ListTurns(ctx, s.o.DB, dbsqlc.ListTurnsParams{ThreadID: threadID, BeforeID: before, MaxRows: limit})
	if err != nil {
		return nil, fmt.Errorf("list turns of thread %d: %w", threadID, err)
	}
	return rows, nil
}
