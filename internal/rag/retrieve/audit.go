package retrieve

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/retrieve/dbsqlc"
	"github.com/llmctl/studio/internal/rag/search"
)

// maxKeptText is how much of a passage the audit keeps (characters).
const maxKeptText = 1200

// Found is a passage as the audit keeps it.
type Found struct {
	SourceID int64           `json:"source_id"`
	Path     string          `json:"path"`
	Chunk    string          `json:"chunk" doc:"The chunk's key"`
	Position search.Position `json:"position"`
	Score    float64         `json:"score"`
	Snippet  string          `json:"snippet"`
	Cited    bool            `json:"cited" doc:"The answer in words names it; of threads the answer itself says so"`
}

// Retrieval is a question that was put.
type Retrieval struct {
	ID        int64      `json:"id"`
	Origin    string     `json:"origin" enum:"api,thread,node,mcp"`
	OriginID  *int64     `json:"origin_id" doc:"The turn or node run that asked"`
	ThreadID  *int64     `json:"thread_id" doc:"The thread of the turn, while there is one"`
	User      *string    `json:"user" doc:"Who asked, by e-mail"`
	Question  string     `json:"question"`
	SourceIDs []int64    `json:"source_ids"`
	Results   []Found    `json:"results"`
	Stats     QueryStats `json:"stats"`
	RequestID string     `json:"request_id"`
	At        time.Time  `json:"at"`
}

// note writes a question down. It is part of asking: what was shown to somebody or to a
// model must be known afterwards.
func (s *Service) note(ctx context.Context, by Origin, q *Question, asked []dbsqlc.ListAskedRow, a *Answer) error {
	found := make([]Found, len(a.Results))
	for i := range a.Results {
		r := &a.Results[i]
		found[i] = Found{SourceID: r.SourceID, Path: r.Path, Chunk: r.Key, Position: r.Position, Score: r.Score, Snippet: clip(r.Text, maxKeptText)}
	}
	for _, c := range a.Citations {
		found[c.ResultIndex].Cited = true
	}
	results, err := json.Marshal(found)
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	stats, err := json.Marshal(a.Stats)
	if err != nil {
		return fmt.Errorf("encode stats: %w", err)
	}
	ids := make([]int64, len(asked))
	for i := range asked {
		ids[i] = asked[i].ID
	}
	err = s.q.InsertRetrieval(ctx, s.o.DB, dbsqlc.InsertRetrievalParams{
		Origin: by.Kind, OriginID: by.ID, AppUserID: by.UserID, Question: q.Question, SourceIds: ids, Results: results, Stats: stats, RequestID: by.RequestID,
	})
	if err != nil {
		return fmt.Errorf("note a retrieval: %w", err)
	}
	return nil
}

// Filter says which retrievals are listed; zero values mean all.
type Filter struct {
	ID       int64
	Origin   string
	SourceID int64
	UserID   int64
	Since    *time.Time // and later
	Until    *time.Time // before it
}

// Retrieval is one question. Errors: not_found.
func (s *Service) Retrieval(ctx context.Context, id int64) (Retrieval, error) {
	found, err := s.Retrievals(ctx, Filter{ID: id}, 0, 1)
	if err != nil {
		return Retrieval{}, err
	}
	if len(found) == 0 {
		return Retrieval{}, errs.E(errs.NotFound, "rag.retrieval_not_found", fmt.Sprintf("There is no search %d, or it was kept as long as the settings say.", id))
	}
	return found[0], nil
}

// Retrievals lists what was asked, newest first, below the id before (0: from the top).
func (s *Service) Retrievals(ctx context.Context, f Filter, before int64, limit int32) ([]Retrieval, error) {
	rows, err := s.q.ListRetrievals(ctx, s.o.DB, dbsqlc.ListRetrievalsParams{
		BeforeID: before, ID: f.ID, Origin: f.Origin, SourceID: f.SourceID, UserID: f.UserID, Since: f.Since, Until: f.Until, MaxRows: limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list retrievals: %w", err)
	}
	out := make([]Retrieval, len(rows))
	for i, r := range rows {
		out[i] = Retrieval{ID: r.ID, Origin: r.Origin, OriginID: r.OriginID, ThreadID: r.ThreadID, User: r.UserEmail, Question: r.Question, SourceIDs: r.SourceIds, RequestID: r.RequestID, At: r.At}
		if err := json.Unmarshal(r.Results, &out[i].Results); err != nil {
			return nil, fmt.Errorf("read the results of retrieval %d: %w", r.ID, err)
		}
		// What earlier releases wrote has no corrections and no usage.
		out[i].Stats = QueryStats{Corrections: []search.Correction{}, Usage: QueryUsage{Calls: []Use{}}}
		if err := json.Unmarshal(r.Stats, &out[i].Stats); err != nil {
			return nil, fmt.Errorf("read the stats of retrieval %d: %w", r.ID, err)
		}
	}
	return out, nil
}

// cleanBatch bounds one statement of Clean.
const cleanBatch = 1000

// Clean removes what was asked longer ago than the settings keep; 0 days keep everything.
func (s *Service) Clean(ctx context.Context) (removed int64, err error) {
	set, err := s.o.Settings(ctx)
	if err != nil || set.AuditDays == 0 {
		return 0, err
	}
	for {
		n, err := s.q.DeleteOldRetrievals(ctx, s.o.DB, dbsqlc.DeleteOldRetrievalsParams{Days: int32(set.AuditDays), MaxRows: cleanBatch})
		removed += n
		if err != nil {
			return removed, fmt.Errorf("remove old retrievals: %w", err)
		}
		if n < cleanBatch {
			return removed, nil
		}
	}
}

func clip(text string, most int) string {
	n := 0
	for i := range text {
		if n == most {
			return text[:i]
		}
		n++
	}
	return text
}
