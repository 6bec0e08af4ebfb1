package calls

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/toolloop"
	"github.com/llmctl/studio/internal/llm/toolloop/calls/dbsqlc"
	"github.com/llmctl/studio/internal/postgres"
)

// Row is a call as stored.
type Row = dbsqlc.ToolCall

// The kinds of owners.
const (
	NodeRun = "node_run"
	Turn    = "turn"
)

// Owner is whose loop it is.
type Owner struct {
	Kind    string
	ID      int64
	Attempt int32
}

// maxInline is how large a result may be to be kept in its row; MaxResult bounds
// all of them.
const (
	maxInline = 64 << 10
	MaxResult = 16 << 20
)

// Announce appends the event that a call changed. shown is the state before.
type Announce func(ctx context.Context, tx *postgres.Tx, call *Row) error

// Store keeps calls.
type Store struct {
	db *postgres.DB
	q  *dbsqlc.Queries
}

// NewStore makes a store.
func NewStore(db *postgres.DB) *Store { return &Store{db: db, q: dbsqlc.New()} }

// Recorder records one owner's loop.
type Recorder struct {
	s        *Store
	owner    Owner
	fence    func(ctx context.Context, tx *postgres.Tx) error
	announce Announce
}

// Recorder makes the recorder of an owner's loop. fence fails with
// toolloop.ErrSuperseded when the owner's attempt may not write any more; it holds
// for the rest of the transaction.
func (s *Store) Recorder(o Owner, fence func(ctx context.Context, tx *postgres.Tx) error, announce Announce) *Recorder {
	return &Recorder{s: s, owner: o, fence: fence, announce: announce}
}

// FenceNode is the fence of a node run's attempt.
func (s *Store) FenceNode(o Owner) func(ctx context.Context, tx *postgres.Tx) error {
	return func(ctx context.Context, tx *postgres.Tx) error {
		_, err := s.q.FenceNode(ctx, tx, dbsqlc.FenceNodeParams{ID: o.ID, Attempt: o.Attempt})
		if postgres.NotFound(err) {
			return toolloop.ErrSuperseded
		}
		if err != nil {
			return fmt.Errorf("fence node run %d: %w", o.ID, err)
		}
		return nil
	}
}

// FenceTurn is the fence of a turn's attempt.
func (s *Store) FenceTurn(o Owner) func(ctx context.Context, tx *postgres.Tx) error {
	return func(ctx context.Context, tx *postgres.Tx) error {
		_, err := s.q.FenceTurn(ctx, tx, dbsqlc.FenceTurnParams{ID: o.ID, Attempt: o.Attempt})
		if postgres.NotFound(err) {
			return toolloop.ErrSuperseded
		}
		if err != nil {
			return fmt.Errorf("fence turn %d: %w", o.ID, err)
		}
		return nil
	}
}

// Load implements toolloop.Recorder.
func (r *Recorder) Load(ctx context.Context) ([]toolloop.Cycle, error) {
	cycles, err := r.s.q.ListCycles(ctx, r.s.db, dbsqlc.ListCyclesParams{OwnerKind: r.owner.Kind, OwnerID: r.owner.ID})
	if err != nil || len(cycles) == 0 {
		return nil, err
	}
	rows, err := r.s.q.ListCalls(ctx, r.s.db, dbsqlc.ListCallsParams{OwnerKind: r.owner.Kind, OwnerID: r.owner.ID})
	if err != nil {
		return nil, fmt.Errorf("load calls of %s %d: %w", r.owner.Kind, r.owner.ID, err)
	}
	out := make([]toolloop.Cycle, len(cycles))
	for i, c := range cycles {
		out[i] = toolloop.Cycle{Number: c.Cycle, Text: c.Text}
		var u usage
		if err := json.Unmarshal(c.Usage, &u); err != nil {
			return nil, fmt.Errorf("read usage of cycle %d: %w", c.Cycle, err)
		}
		out[i].Usage = llm.Usage(u)
		for k := range rows {
			if rows[k].Cycle != c.Cycle {
				continue
			}
			call, err := r.s.callOf(ctx, &rows[k])
			if err != nil {
				return nil, err
			}
			out[i].Calls = append(out[i].Calls, call)
		}
	}
	return out, nil
}

func (s *Store) callOf(ctx context.Context, row *Row) (toolloop.Call, error) {
	c := toolloop.Call{
		ID: row.ID, Position: row.Position, CallID: row.CallID, Name: row.Name, Arguments: row.Arguments, Signature: row.Signature,
		Ref: toolloop.Ref{Server: row.ServerKey, Tool: row.Tool}, Repeatable: row.Repeatable, NeedsApproval: row.ApprovalRequired,
		Status: toolloop.Status(row.Status), Error: row.Error,
	}
	if row.McpServerID != nil {
		c.Ref.ServerID = *row.McpServerID
	}
	if row.StartedAt != nil && row.FinishedAt != nil {
		c.Took = row.FinishedAt.Sub(*row.StartedAt)
	}
	var err error
	c.Content, err = s.content(ctx, row)
	return c, err
}

func (s *Store) content(ctx context.Context, row *Row) (string, error) {
	if row.ResultBlob != nil {
		raw, err := blob.Get(ctx, s.db, row.ResultBlob)
		if err != nil {
			return "", fmt.Errorf("load result of call %d: %w", row.ID, err)
		}
		return string(raw), nil
	}
	if row.Result != nil {
		return *row.Result, nil
	}
	return "", nil
}

// usage is llm.Usage as it is stored.
type usage struct {
	InputTokens  int64 `json:"input_tokens"`
	OutputTokens int64 `json:"output_tokens"`
	CachedTokens int64 `json:"cached_tokens"`
}

// clean makes a text storable.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Begin implements toolloop.Recorder.
func (r *Recorder) Begin(ctx context.Context, c *toolloop.Cycle) error {
	used, err := json.Marshal(usage(c.Usage))
	if err != nil {
		return fmt.Errorf("encode usage: %w", err)
	}
	return r.write(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		err := r.s.q.InsertCycle(ctx, tx, dbsqlc.InsertCycleParams{
			OwnerKind: r.owner.Kind, OwnerID: r.owner.ID, Cycle: c.Number, Attempt: r.owner.Attempt, Text: clean(c.Text), Usage: used,
		})
		if err != nil {
			return fmt.Errorf("record cycle %d of %s %d: %w", c.Number, r.owner.Kind, r.owner.ID, err)
		}
		for i := range c.Calls {
			if err := r.insert(ctx, tx, c.Number, &c.Calls[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *Recorder) insert(ctx context.Context, tx *postgres.Tx, cycle int32, c *toolloop.Call) error {
	p := dbsqlc.InsertCallParams{
		OwnerKind: r.owner.Kind, OwnerID: r.owner.ID, Cycle: cycle, Position: c.Position, Attempt: r.owner.Attempt, CallID: clean(c.CallID),
		Name: clean(c.Name), ServerKey: c.Ref.Server, Tool: c.Ref.Tool, Arguments: clean(c.Arguments), Signature: c.Signature, Repeatable: c.Repeatable,
		ApprovalRequired: c.NeedsApproval, Status: string(c.Status), Error: c.Error,
	}
	if c.Ref.ServerID != 0 {
		p.McpServerID = &c.Ref.ServerID
	}
	if c.Status.Final() {
		content, now := clean(c.Content), time.Now().UTC()
		p.Result, p.FinishedAt = &content, &now
	}
	row, err := r.s.q.InsertCall(ctx, tx, p)
	if err != nil {
		return fmt.Errorf("record call %d of cycle %d: %w", c.Position, cycle, err)
	}
	c.ID = row.ID
	return r.announce(ctx, tx, &row)
}

// Start implements toolloop.Recorder.
func (r *Recorder) Start(ctx context.Context, c *toolloop.Call) error {
	return r.write(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		row, err := r.s.q.StartCall(ctx, tx, dbsqlc.StartCallParams{ID: c.ID, Attempt: r.owner.Attempt})
		if postgres.NotFound(err) {
			return toolloop.ErrSuperseded
		}
		if err != nil {
			return fmt.Errorf("record the beginning of call %d: %w", c.ID, err)
		}
		return r.announce(ctx, tx, &row)
	})
}

// End implements toolloop.Recorder. A result that is too large to be kept is cut,
// and says so.
func (r *Recorder) End(ctx context.Context, c *toolloop.Call) error {
	c.Content = clean(c.Content)
	if n := len(c.Content); n > MaxResult {
		c.Content = strings.ToValidUTF8(c.Content[:MaxResult], "") + fmt.Sprintf("\n[cut here: the first %d of %d bytes were kept]", MaxResult, n)
	}
	p := dbsqlc.FinishCallParams{ID: c.ID, Status: string(c.Status), Attempt: r.owner.Attempt, ResultBytes: int64(len(c.Content)), Error: c.Error}
	return r.write(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		if len(c.Content) > maxInline {
			hash, err := blob.Put(ctx, tx, []byte(c.Content))
			if err != nil {
				return fmt.Errorf("store result of call %d: %w", c.ID, err)
			}
			p.ResultBlob = hash
		} else {
			p.Result = &c.Content
		}
		row, err := r.s.q.FinishCall(ctx, tx, p)
		if postgres.NotFound(err) {
			return toolloop.ErrSuperseded
		}
		if err != nil {
			return fmt.Errorf("record the end of call %d: %w", c.ID, err)
		}
		return r.announce(ctx, tx, &row)
	})
}

func (r *Recorder) write(ctx context.Context, f func(ctx context.Context, tx *postgres.Tx) error) error {
	return r.s.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		if err := r.fence(ctx, tx); err != nil {
			return err
		}
		return f(ctx, tx)
	})
}

// Waits reports whether calls of an owner wait for a person.
func (s *Store) Waits(ctx context.Context, q postgres.Querier, o Owner) (bool, error) {
	n, err := s.q.CountWaiting(ctx, q, dbsqlc.CountWaitingParams{OwnerKind: o.Kind, OwnerID: o.ID})
	if err != nil {
		return false, fmt.Errorf("count waiting calls of %s %d: %w", o.Kind, o.ID, err)
	}
	return n > 0, nil
}

// Close ends what an owner that ended leaves open.
func (s *Store) Close(ctx context.Context, tx *postgres.Tx, o Owner, announce Announce) error {
	rows, err := s.q.CancelCalls(ctx, tx, dbsqlc.CancelCallsParams{OwnerKind: o.Kind, OwnerID: o.ID})
	if err != nil {
		return fmt.Errorf("end calls of %s %d: %w", o.Kind, o.ID, err)
	}
	for i := range rows {
		if err := announce(ctx, tx, &rows[i]); err != nil {
			return err
		}
	}
	return nil
}
