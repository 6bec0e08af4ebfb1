package publish

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/mcp/publish/dbsqlc"
	"github.com/llmctl/studio/internal/postgres"
)

// Limits of a publication.
const (
	MaxDescription  = 2000 // characters
	MaxWaitSeconds  = 300
	ReservedPrefix  = "llmctl_"
	nameAccepted    = "a small letter, then at most 63 of a-z, 0-9 and _; names that begin with llmctl_ are the server's own"
	maxListedSchema = 64 << 10 // a larger schema is not listed; calls are checked against it all the same
)

// Tool is a publication as stored.
type Tool = dbsqlc.FlowchartTool

// Fields are what can be chosen.
type Fields struct {
	Name        string
	Description string
	Enabled     bool
	WaitSeconds int32
}

// Published is a tool that can be listed and called.
type Published struct {
	Tool
	FlowchartName string
	About         string          // the tool's description, else the flowchart's
	InputSchema   json.RawMessage // an object schema
	Findings      int             // more than 0: the current version does not run
}

// ToolView is a publication as answers show it.
type ToolView struct {
	FlowchartID int64     `json:"flowchart_id"`
	Name        string    `json:"name" doc:"What MCP clients call it"`
	Description string    `json:"description" doc:"Written for a model to read; empty: the flowchart's own"`
	Enabled     bool      `json:"enabled" doc:"false: kept, but not offered"`
	WaitSeconds int32     `json:"wait_seconds" doc:"How long a call waits for the run's end before it answers with the run's id"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// ViewOf shows a publication.
func ViewOf(t *Tool) ToolView {
	return ToolView{
		FlowchartID: t.FlowchartID, Name: t.Name, Description: t.Description, Enabled: t.Enabled, WaitSeconds: t.WaitSeconds,
		CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt,
	}
}

// Store keeps publications.
type Store struct {
	db  *postgres.DB
	log *event.Log
	q   *dbsqlc.Queries
}

// New makes a store.
func New(db *postgres.DB, log *event.Log) *Store { return &Store{db: db, log: log, q: dbsqlc.New()} }

func notPublished(id int64) error {
	return errs.Ef(errs.NotFound, "flow_tool.not_found", "Flowchart %d is not published as a tool.", id)
}

// Get gives a flowchart's publication. Error: not_found.
func (s *Store) Get(ctx context.Context, q postgres.Querier, flowchartID int64) (Tool, error) {
	t, err := s.q.GetTool(ctx, q, flowchartID)
	if postgres.NotFound(err) {
		return t, notPublished(flowchartID)
	}
	if err != nil {
		return t, fmt.Errorf("load tool of flowchart %d: %w", flowchartID, err)
	}
	return t, nil
}

// Put publishes a flowchart or changes how. revision is what the caller saw, 0 if
// it does not care. Errors: invalid, not_found (no such flowchart), conflict (the
// name is taken, or the flowchart is deleted), precondition.
func (s *Store) Put(ctx context.Context, tx *postgres.Tx, flowchartID, revision int64, f Fields) (Tool, error) {
	f.Description = strings.TrimSpace(f.Description)
	if err := f.check(); err != nil {
		return Tool{}, err
	}
	deleted, err := s.q.LockFlowchartForTool(ctx, tx, flowchartID)
	if postgres.NotFound(err) {
		return Tool{}, errs.Ef(errs.NotFound, "flow.not_found", "There is no flowchart %d.", flowchartID)
	}
	if err != nil {
		return Tool{}, fmt.Errorf("lock flowchart %d: %w", flowchartID, err)
	}
	if deleted != nil {
		return Tool{}, errs.Ef(errs.Conflict, "flow.deleted", "Flowchart %d is deleted. Restore it first.", flowchartID)
	}
	t, change, err := s.write(ctx, tx, flowchartID, revision, f)
	if postgres.IsUnique(err, "flowchart_tool_name") {
		return t, errs.Ef(errs.Conflict, "flow_tool.name_taken", "Another flowchart is published as %q. Choose another name.", f.Name).With(err)
	}
	if err != nil {
		return t, err
	}
	return t, s.announce(tx, flowchartID, change)
}

func (s *Store) write(ctx context.Context, tx *postgres.Tx, flowchartID, revision int64, f Fields) (Tool, string, error) {
	old, err := s.q.LockTool(ctx, tx, flowchartID)
	switch {
	case postgres.NotFound(err) && revision != 0, err == nil && revision != 0 && old.Revision != revision:
		return old, "", errs.E(errs.Precondition, "flow_tool.stale", "Somebody changed this tool in the meantime. Load it again, then repeat your change.")
	case postgres.NotFound(err):
		t, err := s.q.InsertTool(ctx, tx, dbsqlc.InsertToolParams{
			FlowchartID: flowchartID, Name: f.Name, Description: f.Description, Enabled: f.Enabled, WaitSeconds: f.WaitSeconds,
		})
		if err != nil {
			return t, "", fmt.Errorf("publish flowchart %d: %w", flowchartID, err)
		}
		return t, "created", nil
	case err != nil:
		return old, "", fmt.Errorf("lock tool of flowchart %d: %w", flowchartID, err)
	}
	t, err := s.q.UpdateTool(ctx, tx, dbsqlc.UpdateToolParams{
		FlowchartID: flowchartID, Name: f.Name, Description: f.Description, Enabled: f.Enabled, WaitSeconds: f.WaitSeconds,
	})
	if err != nil {
		return t, "", fmt.Errorf("change tool of flowchart %d: %w", flowchartID, err)
	}
	return t, "updated", nil
}

// Delete withdraws a publication. Error: not_found.
func (s *Store) Delete(ctx context.Context, tx *postgres.Tx, flowchartID int64) error {
	n, err := s.q.DeleteTool(ctx, tx, flowchartID)
	if err != nil {
		return fmt.Errorf("withdraw tool of flowchart %d: %w", flowchartID, err)
	}
	if n == 0 {
		return notPublished(flowchartID)
	}
	return s.announce(tx, flowchartID, "deleted")
}

// List gives enabled publications by name, after a name.
func (s *Store) List(ctx context.Context, after string, limit int32) ([]Published, error) {
	rows, err := s.q.ListPublished(ctx, s.db, dbsqlc.ListPublishedParams{After: after, MaxRows: limit})
	if err != nil {
		return nil, fmt.Errorf("list published flowcharts: %w", err)
	}
	out := make([]Published, len(rows))
	for i, r := range rows {
		out[i] = published(dbsqlc.FindPublishedRow(r))
	}
	return out, nil
}

// Find gives an enabled publication by its name. Error: not_found.
func (s *Store) Find(ctx context.Context, name string) (Published, error) {
	row, err := s.q.FindPublished(ctx, s.db, name)
	if postgres.NotFound(err) {
		return Published{}, errs.Ef(errs.NotFound, "flow_tool.unknown", "There is no tool %q.", name)
	}
	if err != nil {
		return Published{}, fmt.Errorf("look for tool %q: %w", name, err)
	}
	return published(row), nil
}

// Count is how many publications are offered.
func (s *Store) Count(ctx context.Context) (int64, error) { return s.q.CountPublished(ctx, s.db) }

func published(r dbsqlc.FindPublishedRow) Published {
	p := Published{Tool: r.FlowchartTool, FlowchartName: r.FlowchartName, About: r.FlowchartTool.Description, Findings: int(r.FindingCount)}
	if p.About == "" {
		p.About = r.FlowchartDescription
	}
	p.InputSchema = objectSchema(r.InputSchema)
	return p
}

// objectSchema is the schema as the protocol wants it: of an object. A start node
// may have none, or one that says nothing of the type; one that describes
// something else can only be called with an object that does not fit, and the
// call says so.
func objectSchema(raw json.RawMessage) json.RawMessage {
	free := json.RawMessage(`{"type":"object","description":"Input of the flowchart; its members are free"}`)
	var m map[string]json.RawMessage
	if len(raw) > maxListedSchema || json.Unmarshal(raw, &m) != nil || m == nil {
		return free
	}
	if t, ok := m["type"]; ok && string(t) != `"object"` {
		return free
	}
	m["type"] = json.RawMessage(`"object"`)
	out, err := json.Marshal(m)
	if err != nil {
		return free
	}
	return out
}

// ValidName reports whether a published tool may be called that.
func ValidName(name string) bool {
	return regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`).MatchString(name) && !strings.HasPrefix(name, ReservedPrefix)
}

func (f Fields) check() error {
	var faults []errs.Detail
	if !ValidName(f.Name) {
		faults = append(faults, errs.Detail{Location: "body.name", Message: fmt.Sprintf("is %q; accepted is %s", clip(f.Name), nameAccepted)})
	}
	if n := utf8.RuneCountInString(f.Description); n > MaxDescription {
		faults = append(faults, errs.Detail{Location: "body.description", Message: fmt.Sprintf("has %d characters; at most %d are accepted", n, MaxDescription)})
	}
	if f.WaitSeconds < 0 || f.WaitSeconds > MaxWaitSeconds {
		faults = append(faults, errs.Detail{Location: "body.wait_seconds", Message: fmt.Sprintf("is %d; 0 to %d are accepted", f.WaitSeconds, MaxWaitSeconds)})
	}
	if len(faults) > 0 {
		return errs.E(errs.Invalid, "flow_tool.invalid", "The flowchart cannot be published like that.", faults...)
	}
	return nil
}

func clip(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

func (s *Store) announce(tx *postgres.Tx, flowchartID int64, change string) error {
	text := strconv.FormatInt(flowchartID, 10)
	err := s.log.Append(tx, event.Draft{
		Stream: "config:flowchart_tool:" + text, Type: "config:flowchart_tool:" + change, EntityKind: "flowchart_tool", EntityID: text,
		Rooms: []string{"studio"}, Payload: map[string]any{"flowchart_id": flowchartID},
	})
	if err != nil {
		return fmt.Errorf("announce tool of flowchart %d: %w", flowchartID, err)
	}
	return nil
}
