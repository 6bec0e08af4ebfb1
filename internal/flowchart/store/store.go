// Package store keeps flowcharts and their versions. A save never changes a
// version: it adds one, and runs stay pinned to theirs. What a save announces is
// appended to the flowchart's stream in the same transaction.
package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/flowchart/store/dbsqlc"
	"github.com/llmctl/studio/internal/postgres"
)

// Flowchart is a row with what lists show beside it.
type Flowchart = dbsqlc.GetFlowchartRow

// Version is one saved graph.
type Version = dbsqlc.FlowchartVersion

// VersionItem is a version in a list.
type VersionItem = dbsqlc.ListVersionsRow

// Fields are what can be edited of a flowchart besides its graph. Nil limits mean
// no limit.
type Fields struct {
	Name              string
	Description       string
	MaxNodeExecutions *int32
	MaxRuntimeMinutes *int32
	MaxParallelNodes  *int32
}

// Store keeps flowcharts.
type Store struct {
	db  *postgres.DB
	log *event.Log
	q   *dbsqlc.Queries
	now func() time.Time
}

// New makes a store.
func New(db *postgres.DB, log *event.Log, now func() time.Time) *Store {
	return &Store{db: db, log: log, q: dbsqlc.New(), now: now}
}

func notFound(id int64) error {
	return errs.Ef(errs.NotFound, "flow.not_found", "There is no flowchart %d.", id)
}

func stale() error {
	return errs.E(errs.Precondition, "flow.stale", "Somebody saved this flowchart in the meantime. Load it again, then repeat your change.")
}

// List gives flowcharts whose name or description contains q, newest first.
func (s *Store) List(ctx context.Context, q string, before int64, limit int32) ([]Flowchart, error) {
	rows, err := s.q.ListFlowcharts(ctx, s.db, dbsqlc.ListFlowchartsParams{Q: q, BeforeID: before, MaxRows: limit})
	if err != nil {
		return nil, fmt.Errorf("list flowcharts: %w", err)
	}
	out := make([]Flowchart, len(rows))
	for i, r := range rows {
		out[i] = Flowchart(r)
	}
	return out, nil
}

// Get gives a flowchart, deleted or not.
func (s *Store) Get(ctx context.Context, id int64) (Flowchart, error) { return s.GetIn(ctx, s.db, id) }

// GetIn is Get as a transaction sees it.
func (s *Store) GetIn(ctx context.Context, q postgres.Querier, id int64) (Flowchart, error) {
	row, err := s.q.GetFlowchart(ctx, q, id)
	if postgres.NotFound(err) {
		return row, notFound(id)
	}
	if err != nil {
		return row, fmt.Errorf("load flowchart %d: %w", id, err)
	}
	return row, nil
}

// Create makes a flowchart with its first version; a nil graph is one start node.
func (s *Store) Create(ctx context.Context, tx *postgres.Tx, f Fields, g *flowchart.Graph, user *int64) (int64, error) {
	if g == nil {
		g = &flowchart.Graph{Edges: []flowchart.Edge{}, Nodes: []flowchart.Node{{
			ID: "start", Kind: flowchart.KindStart, Title: "Start", Position: flowchart.Position{X: 80, Y: 160}, Config: json.RawMessage("{}"),
		}}}
	}
	row, err := s.q.InsertFlowchart(ctx, tx, dbsqlc.InsertFlowchartParams{
		Name: f.Name, Description: f.Description, MaxNodeExecutions: f.MaxNodeExecutions,
		MaxRuntimeMinutes: f.MaxRuntimeMinutes, MaxParallelNodes: f.MaxParallelNodes,
	})
	if err != nil {
		return 0, fmt.Errorf("insert flowchart: %w", err)
	}
	if _, err := s.insertVersion(ctx, tx, row.ID, 1, g, user); err != nil {
		return 0, err
	}
	return row.ID, s.announce(tx, row.ID, "created", 1)
}

func (s *Store) insertVersion(ctx context.Context, tx *postgres.Tx, id int64, number int32, g *flowchart.Graph, user *int64) (Version, error) {
	findings, err := s.findings(ctx, tx, g)
	if err != nil {
		return Version{}, err
	}
	raw, errGraph := json.Marshal(g)
	found, errFound := json.Marshal(findings)
	if errGraph != nil || errFound != nil {
		return Version{}, fmt.Errorf("encode graph of flowchart %d: %w, %w", id, errGraph, errFound)
	}
	v, err := s.q.InsertVersion(ctx, tx, dbsqlc.InsertVersionParams{
		FlowchartID: id, Number: number, Graph: raw, Findings: found, NodeCount: int32(len(g.Nodes)), AppUserID: user,
	})
	if err != nil {
		return v, fmt.Errorf("insert version %d of flowchart %d: %w", number, id, err)
	}
	return v, nil
}

// Validate finds what keeps a graph from running, models included.
func (s *Store) Validate(ctx context.Context, g *flowchart.Graph) ([]flowchart.Finding, error) {
	return s.findings(ctx, s.db, g)
}

func (s *Store) findings(ctx context.Context, q postgres.Querier, g *flowchart.Graph) ([]flowchart.Finding, error) {
	models, err := s.q.Models(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list models: %w", err)
	}
	known, embeds := make(map[int64]bool, len(models)), map[int64]bool{}
	for _, m := range models {
		known[m.ID], embeds[m.ID] = true, m.Embeds
	}
	sources, err := s.q.SourceIDs(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list sources: %w", err)
	}
	indexed := make(map[int64]bool, len(sources))
	for _, id := range sources {
		indexed[id] = true
	}
	return flowchart.Validate(g, flowchart.WithModels(func(id int64) bool { return known[id] }),
		flowchart.WithEmbeddingModels(func(id int64) bool { return embeds[id] }), flowchart.WithSources(func(id int64) bool { return indexed[id] })), nil
}

// lock locks a flowchart for a change; revision is what the caller saw, 0 if it
// does not care.
func (s *Store) lock(ctx context.Context, tx *postgres.Tx, id, revision int64) (dbsqlc.Flowchart, error) {
	row, err := s.q.LockFlowchart(ctx, tx, id)
	if postgres.NotFound(err) {
		return row, notFound(id)
	}
	if err != nil {
		return row, fmt.Errorf("lock flowchart %d: %w", id, err)
	}
	if revision != 0 && row.Revision != revision {
		return row, stale()
	}
	return row, nil
}

// live locks a flowchart that is not deleted.
func (s *Store) live(ctx context.Context, tx *postgres.Tx, id, revision int64) (dbsqlc.Flowchart, error) {
	row, err := s.lock(ctx, tx, id, revision)
	if err == nil && row.DeletedAt != nil {
		return row, errs.Ef(errs.Conflict, "flow.deleted", "Flowchart %d is deleted. Restore it first.", id)
	}
	return row, err
}

// Update changes a flowchart's fields. Errors: not_found, precondition when it is
// not at revision any more, conflict when it is deleted.
func (s *Store) Update(ctx context.Context, tx *postgres.Tx, id, revision int64, change func(*Fields)) error {
	row, err := s.live(ctx, tx, id, revision)
	if err != nil {
		return err
	}
	f := Fields{
		Name: row.Name, Description: row.Description, MaxNodeExecutions: row.MaxNodeExecutions,
		MaxRuntimeMinutes: row.MaxRuntimeMinutes, MaxParallelNodes: row.MaxParallelNodes,
	}
	change(&f)
	err = s.q.UpdateFlowchart(ctx, tx, dbsqlc.UpdateFlowchartParams{
		ID: id, Name: f.Name, Description: f.Description, MaxNodeExecutions: f.MaxNodeExecutions,
		MaxRuntimeMinutes: f.MaxRuntimeMinutes, MaxParallelNodes: f.MaxParallelNodes,
	})
	if err != nil {
		return fmt.Errorf("update flowchart %d: %w", id, err)
	}
	return s.announce(tx, id, "updated", row.Version)
}

// SaveGraph adds a version and makes it the current one. It gives the version and
// the flowchart's revision with it. Errors: as Update.
func (s *Store) SaveGraph(ctx context.Context, tx *postgres.Tx, id, revision int64, g *flowchart.Graph, user *int64) (Version, int64, error) {
	row, err := s.live(ctx, tx, id, revision)
	if err != nil {
		return Version{}, 0, err
	}
	v, err := s.insertVersion(ctx, tx, id, row.Version+1, g, user)
	if err != nil {
		return v, 0, err
	}
	saved, err := s.q.SetVersion(ctx, tx, dbsqlc.SetVersionParams{ID: id, Version: v.Number})
	if err != nil {
		return v, 0, fmt.Errorf("set version of flowchart %d: %w", id, err)
	}
	return v, saved, s.announce(tx, id, "saved", v.Number)
}

// SetDeleted deletes a flowchart or takes that back; where that is so already
// nothing happens. Its runs stay. Errors: as Update.
func (s *Store) SetDeleted(ctx context.Context, tx *postgres.Tx, id, revision int64, deleted bool) error {
	row, err := s.lock(ctx, tx, id, revision)
	if err != nil {
		return err
	}
	if deleted == (row.DeletedAt != nil) {
		return nil
	}
	var at *time.Time
	change := "restored"
	if deleted {
		now := s.now()
		at, change = &now, "deleted"
	}
	if err := s.q.SetDeleted(ctx, tx, dbsqlc.SetDeletedParams{ID: id, DeletedAt: at}); err != nil {
		return fmt.Errorf("delete flowchart %d: %w", id, err)
	}
	return s.announce(tx, id, change, row.Version)
}

// Version gives one version; number 0 is the current one.
func (s *Store) Version(ctx context.Context, id int64, number int32) (Version, error) {
	if number == 0 {
		f, err := s.Get(ctx, id)
		if err != nil {
			return Version{}, err
		}
		number = f.Flowchart.Version
	}
	v, err := s.q.GetVersion(ctx, s.db, dbsqlc.GetVersionParams{FlowchartID: id, Number: number})
	if postgres.NotFound(err) {
		return v, errs.Ef(errs.NotFound, "flow.version_not_found", "Flowchart %d has no version %d.", id, number)
	}
	if err != nil {
		return v, fmt.Errorf("load version %d of flowchart %d: %w", number, id, err)
	}
	return v, nil
}

// Versions lists versions, newest first.
func (s *Store) Versions(ctx context.Context, id int64, before, limit int32) ([]VersionItem, error) {
	rows, err := s.q.ListVersions(ctx, s.db, dbsqlc.ListVersionsParams{FlowchartID: id, Before: before, MaxRows: limit})
	if err != nil {
		return nil, fmt.Errorf("list versions of flowchart %d: %w", id, err)
	}
	if len(rows) == 0 && before == 0 { // every flowchart has a version
		return nil, notFound(id)
	}
	return rows, nil
}

func (s *Store) announce(tx *postgres.Tx, id int64, change string, version int32) error {
	name := "flowchart:" + strconv.FormatInt(id, 10)
	return s.log.Append(tx, event.Draft{
		Stream: name, Type: "flowchart:graph:updated", EntityKind: "flowchart", EntityID: strconv.FormatInt(id, 10),
		Rooms: []string{name, "studio"}, Payload: map[string]any{"flowchart_id": id, "change": change, "version": version},
	})
}
