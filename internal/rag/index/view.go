package index

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/index/dbsqlc"
)

// RunTotals say how far an index run is.
type RunTotals struct {
	Found      int32 `json:"found" doc:"Files that the source has and that are meant"`
	Excluded   int   `json:"excluded" doc:"Left out by patterns or because their folder is never read"`
	TooLarge   int   `json:"too_large"`
	Binary     int   `json:"binary" doc:"Left out because nothing here reads them"`
	Unreadable int   `json:"unreadable"`
	Added      int32 `json:"added" doc:"Planned, as changed, removed and kept"`
	Changed    int32 `json:"changed"`
	Removed    int32 `json:"removed"`
	Kept       int32 `json:"kept"`
	Done       int32 `json:"done" doc:"Files whose action is finished"`
	Failed     int32 `json:"failed"`
	Chunks     int32 `json:"chunks" doc:"Made of the files that are done"`
	Embedded   int32 `json:"embedded"`
	Cached     int32 `json:"cached" doc:"Of the embedded ones, whose vectors were known"`
	Bytes      int64 `json:"bytes"`
	Tokens     int64 `json:"tokens"`
}

// RunProblem is an error as people see it.
type RunProblem struct {
	Code    string     `json:"code"`
	Message string     `json:"message"`
	Until   *time.Time `json:"until,omitempty" doc:"Of waiting_for_provider: when it goes on"`
}

// RunEmbedder names what made the vectors.
type RunEmbedder struct {
	Model      string `json:"model"`
	Dimensions int32  `json:"dimensions"`
}

// RunDetail is an index run as the API and events show it.
type RunDetail struct {
	ID             int64        `json:"id"`
	SourceID       int64        `json:"source_id"`
	SourceName     string       `json:"source_name"`
	NodeID         int64        `json:"node_id"`
	Mode           string       `json:"mode" enum:"fresh,delta"`
	ExecutionMode  string       `json:"execution_mode" enum:"indexing,delta_indexing"`
	Status         string       `json:"status" enum:"queued,syncing,planning,planned,indexing,paused,succeeded,failed,cancelled"`
	PlanFirst      bool         `json:"plan_first"`
	OnlyFailedOf   *int64       `json:"only_failed_of"`
	Counts         RunTotals    `json:"counts"`
	Usage          RunUsage     `json:"usage"`
	Unread         []string     `json:"unread,omitempty" doc:"Some of what could not be read, and why"`
	RemoteRevision string       `json:"remote_revision"`
	Embedder       *RunEmbedder `json:"embedder"`
	PauseRequested bool         `json:"pause_requested"`
	Error          *RunProblem  `json:"error" doc:"While it works: what it waits for"`
	CreatedAt      time.Time    `json:"created_at"`
	StartedAt      *time.Time   `json:"started_at"`
	PlannedAt      *time.Time   `json:"planned_at"`
	AppliedAt      *time.Time   `json:"applied_at"`
	FinishedAt     *time.Time   `json:"finished_at"`
}

func problemOf(raw json.RawMessage) *RunProblem {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	var stored struct {
		RunProblem
		Details struct {
			Until *time.Time `json:"until"`
		} `json:"details"`
	}
	if json.Unmarshal(raw, &stored) != nil || stored.Code == "" {
		return nil
	}
	stored.Until = stored.Details.Until
	return &stored.RunProblem
}

// viewOf shows a run. A model of "" is none.
func viewOf(r *Run, source, model string, dimensions int32) RunDetail {
	v := RunDetail{
		ID: r.ID, SourceID: r.RagSourceID, SourceName: source, NodeID: r.NodeRunID, Mode: r.Mode, ExecutionMode: ModeOf(r.Mode), Status: r.Status,
		PlanFirst: r.PlanFirst, OnlyFailedOf: r.OnlyFailedOf, RemoteRevision: r.RemoteRevision, PauseRequested: r.PauseRequestedAt != nil,
		Error: problemOf(r.Error), CreatedAt: r.CreatedAt, StartedAt: r.StartedAt, PlannedAt: r.PlannedAt, AppliedAt: r.AppliedAt, FinishedAt: r.FinishedAt,
		Counts: RunTotals{
			Found: r.Found, Added: r.Added, Changed: r.Changed, Removed: r.Removed, Kept: r.Kept, Done: r.Done, Failed: r.Failed,
			Chunks: r.Chunks, Embedded: r.Embedded, Cached: r.Cached, Bytes: r.Bytes, Tokens: r.Tokens,
		},
	}
	if model != "" {
		v.Embedder = &RunEmbedder{Model: model, Dimensions: dimensions}
	}
	var skipped fetch.Skipped
	if json.Unmarshal(r.Skipped, &skipped) == nil {
		v.Counts.Excluded, v.Counts.TooLarge, v.Counts.Binary, v.Counts.Unreadable = skipped.Excluded, skipped.TooLarge, skipped.Binary, skipped.Unreadable
		v.Unread = skipped.Examples
	}
	return v
}

// View shows a run. Error: not_found (rag.index_run_not_found).
func (s *Service) View(ctx context.Context, q postgres.Querier, id int64) (RunDetail, error) {
	row, err := s.q.View(ctx, q, id)
	if postgres.NotFound(err) {
		return RunDetail{}, notFound(id)
	}
	if err != nil {
		return RunDetail{}, fmt.Errorf("load index run %d: %w", id, err)
	}
	v := viewOf(&row.RagIndexRun, row.SourceName, row.Model, row.Dimensions)
	return v, s.price(ctx, q, &v)
}

// Views shows runs, by id; those that are not there are left out.
func (s *Service) Views(ctx context.Context, q postgres.Querier, ids []int64) (map[int64]RunDetail, error) {
	rows, err := s.q.Views(ctx, q, ids)
	if err != nil {
		return nil, fmt.Errorf("load index runs: %w", err)
	}
	list, err := s.details(ctx, q, len(rows), func(i int) RunDetail {
		return viewOf(&rows[i].RagIndexRun, rows[i].SourceName, rows[i].Model, rows[i].Dimensions)
	})
	out := make(map[int64]RunDetail, len(rows))
	for _, v := range list {
		out[v.ID] = v
	}
	return out, err
}

// details shows n rows, with what they cost.
func (s *Service) details(ctx context.Context, q postgres.Querier, n int, view func(i int) RunDetail) ([]RunDetail, error) {
	out, all := make([]RunDetail, n), make([]*RunDetail, n)
	for i := range out {
		out[i] = view(i)
		all[i] = &out[i]
	}
	return out, s.price(ctx, q, all...)
}

// Filter selects runs.
type Filter struct {
	SourceID, NodeRunID, BeforeID int64 // 0: any
	Statuses                      []string
	Limit                         int32
}

// List shows runs, the newest first.
func (s *Service) List(ctx context.Context, q postgres.Querier, f Filter) ([]RunDetail, error) {
	if f.Statuses == nil {
		f.Statuses = []string{}
	}
	rows, err := s.q.ListViews(ctx, q, dbsqlc.ListViewsParams{
		BeforeID: f.BeforeID, SourceID: f.SourceID, NodeRunID: f.NodeRunID, Statuses: f.Statuses, MaxRows: f.Limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list index runs: %w", err)
	}
	return s.details(ctx, q, len(rows), func(i int) RunDetail {
		return viewOf(&rows[i].RagIndexRun, rows[i].SourceName, rows[i].Model, rows[i].Dimensions)
	})
}

// payload is what rag:source:updated says of an index run.
type payload struct {
	SourceID int64     `json:"source_id"`
	Change   string    `json:"change"`
	IndexRun RunDetail `json:"index_run"`
}

// announce appends how a run stands. Lists hear of it when its status changed.
func (s *Service) announce(ctx context.Context, tx *postgres.Tx, r *Run, by *Origin, status bool) (RunDetail, error) {
	v, err := s.View(ctx, tx, r.ID)
	if err != nil {
		return v, err
	}
	id := strconv.FormatInt(r.RagSourceID, 10)
	rooms := []string{"rag_source:" + id}
	if status {
		rooms = append(rooms, "studio")
	}
	d := event.Draft{
		Stream: "rag_source:" + id, Type: "rag:source:updated", EntityKind: "rag_source", EntityID: id, Rooms: rooms,
		Payload: payload{SourceID: r.RagSourceID, Change: "index", IndexRun: v},
	}
	if by != nil {
		d.RequestID, d.CorrelationID = by.RequestID, by.CorrelationID
	}
	if err := s.o.Log.Append(tx, d); err != nil {
		return v, fmt.Errorf("announce index run %d: %w", r.ID, err)
	}
	return v, nil
}
