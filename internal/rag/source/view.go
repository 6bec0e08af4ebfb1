package source

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/rag/source/dbsqlc"
)

// View is a source as the API and events show it.
type View struct {
	ID           int64            `json:"id"`
	Name         string           `json:"name"`
	Kind         string           `json:"kind" enum:"local,git,google_drive"`
	Path         *string          `json:"path,omitempty"`
	URL          *string          `json:"url,omitempty"`
	Branch       *string          `json:"branch,omitempty" doc:"Empty: the server's default"`
	Subfolder    *string          `json:"subfolder,omitempty"`
	Submodules   *bool            `json:"submodules,omitempty"`
	FolderID     *string          `json:"folder_id,omitempty"`
	Endpoint     *string          `json:"endpoint,omitempty" doc:"Empty: Google's"`
	Include      []string         `json:"include" doc:"Patterns; none: everything"`
	Exclude      []string         `json:"exclude"`
	MaxFileBytes *int64           `json:"max_file_bytes" doc:"null: that of the settings"`
	Credential   *Credential      `json:"credential"`
	Schedule     *IndexSchedule   `json:"schedule"`
	Status       string           `json:"status" enum:"not_indexed,queued,indexing,waiting,indexed,error"`
	Index        *VisibleIndex    `json:"index" doc:"What searches see; null: nothing yet"`
	Error        *IndexError      `json:"error" doc:"Of the last index run; the index before it still serves"`
	ActiveRun    *index.RunDetail `json:"active_run"`
	LastRun      *index.RunDetail `json:"last_run" doc:"That ended"`
	Revision     int64            `json:"revision"`
	CreatedAt    time.Time        `json:"created_at"`
	UpdatedAt    time.Time        `json:"updated_at"`
	Deleted      bool             `json:"deleted,omitempty" doc:"It can be restored until undo_until"`
	UndoUntil    *time.Time       `json:"undo_until,omitempty"`
}

// Credential is what may be shown of a secret.
type Credential struct {
	Kind        string    `json:"kind" enum:"token,ssh_key,service_account"`
	Fingerprint string    `json:"fingerprint"`
	SetAt       time.Time `json:"set_at"`
}

// VisibleIndex is the visible index.
type VisibleIndex struct {
	Revision       int64              `json:"revision"`
	Files          int32              `json:"files"`
	Chunks         int32              `json:"chunks"`
	Bytes          int64              `json:"bytes"`
	IndexedAt      *time.Time         `json:"indexed_at"`
	RemoteRevision string             `json:"remote_revision" doc:"A commit"`
	Embedder       *index.RunEmbedder `json:"embedder" doc:"null: it has no vectors"`
}

// IndexError is how an index run failed.
type IndexError struct {
	Code    string     `json:"code"`
	Message string     `json:"message"`
	At      *time.Time `json:"at,omitempty"`
}

func embedder(model string, dimensions int32) *index.RunEmbedder {
	if model == "" {
		return nil
	}
	return &index.RunEmbedder{Model: model, Dimensions: dimensions}
}

func errorOf(raw json.RawMessage) *IndexError {
	var e *IndexError
	_ = json.Unmarshal(raw, &e) // it is one of ours, or null
	return e
}

func viewRow(i *dbsqlc.ListSourcesRow) View {
	r := &i.RagSource
	c := ConfigOf(r)
	v := View{
		ID: r.ID, Name: r.Name, Kind: r.Kind, Include: orEmpty(r.Include), Exclude: orEmpty(r.Exclude), MaxFileBytes: r.MaxFileBytes, Status: i.Status,
		Error: errorOf(r.Error), Revision: r.Revision, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
	switch r.Kind {
	case rag.KindLocal:
		v.Path = &c.Path
	case rag.KindGit:
		v.URL, v.Branch, v.Subfolder, v.Submodules = &c.URL, &c.Branch, &c.Subfolder, &c.Submodules
	case rag.KindDrive:
		v.FolderID, v.Endpoint = &c.FolderID, &c.Endpoint
	}
	if r.CredentialKind != "" && r.CredentialSetAt != nil {
		v.Credential = &Credential{Kind: r.CredentialKind, Fingerprint: r.CredentialFingerprint, SetAt: *r.CredentialSetAt}
	}
	if r.IndexRevision > 0 {
		v.Index = &VisibleIndex{
			Revision: r.IndexRevision, Files: r.Files, Chunks: r.Chunks, Bytes: r.Bytes, IndexedAt: r.IndexedAt, RemoteRevision: r.RemoteRevision,
			Embedder: embedder(i.Model, i.Dimensions),
		}
	}
	if r.DeletedAt != nil {
		until := r.DeletedAt.Add(UndoTime)
		v.Deleted, v.UndoUntil = true, &until
	}
	return v
}

// Filter selects sources.
type Filter struct {
	Name, Kind, Status string // "": any
	BeforeID           int64
	Limit              int32
}

// List shows sources that are not deleted, the newest first.
func (s *Service) List(ctx context.Context, q postgres.Querier, f Filter) ([]View, error) {
	rows, err := s.q.ListSources(ctx, q, dbsqlc.ListSourcesParams{Q: f.Name, Kind: f.Kind, Status: f.Status, BeforeID: f.BeforeID, MaxRows: f.Limit})
	if err != nil {
		return nil, fmt.Errorf("list sources: %w", err)
	}
	return s.views(ctx, q, rows)
}

// View shows a source, deleted or not. Error: not_found, also when its deletion cannot
// be taken back any more.
func (s *Service) View(ctx context.Context, q postgres.Querier, id int64) (View, error) {
	row, err := s.q.GetSource(ctx, q, id)
	if postgres.NotFound(err) {
		return View{}, notFound(id)
	}
	if err != nil {
		return View{}, fmt.Errorf("load source %d: %w", id, err)
	}
	views, err := s.views(ctx, q, []dbsqlc.ListSourcesRow{dbsqlc.ListSourcesRow(row)})
	if err != nil {
		return View{}, err
	}
	return views[0], nil
}

// views adds what other rows know.
func (s *Service) views(ctx context.Context, q postgres.Querier, rows []dbsqlc.ListSourcesRow) ([]View, error) {
	ids, runIDs := make([]int64, len(rows)), []int64{}
	for i := range rows {
		ids[i] = rows[i].RagSource.ID
		runIDs = append(runIDs, rows[i].ActiveID, rows[i].LastID)
	}
	schedules, err := s.o.Schedules.Of(ctx, q, ids)
	if err != nil {
		return nil, err
	}
	runs, err := s.o.Runs.Views(ctx, q, runIDs)
	if err != nil {
		return nil, err
	}
	out := make([]View, len(rows))
	for i := range rows {
		v := viewRow(&rows[i])
		if sch, ok := schedules[v.ID]; ok {
			v.Schedule = &sch
		}
		if r, ok := runs[rows[i].ActiveID]; ok {
			v.ActiveRun = &r
		}
		if r, ok := runs[rows[i].LastID]; ok {
			v.LastRun = &r
		}
		out[i] = v
	}
	return out, nil
}

// payload is what rag:source:updated says of a change.
type payload struct {
	SourceID int64  `json:"source_id"`
	Change   string `json:"change"`
	Source   *View  `json:"source,omitempty"`
}

// announce appends a change to the source's stream, and shows the source.
func (s *Service) announce(ctx context.Context, tx *postgres.Tx, id int64, change string) (View, error) {
	v, err := s.View(ctx, tx, id)
	if err != nil {
		return v, err
	}
	text := strconv.FormatInt(id, 10)
	err = s.o.Log.Append(tx, event.Draft{
		Stream: "rag_source:" + text, Type: "rag:source:updated", EntityKind: "rag_source", EntityID: text,
		Rooms: []string{"rag_source:" + text, "studio"}, Payload: payload{SourceID: id, Change: change, Source: &v},
	})
	if err != nil {
		return v, fmt.Errorf("announce source %d: %w", id, err)
	}
	return v, nil
}
