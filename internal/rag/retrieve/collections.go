package retrieve

import (
	"context"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/rag/retrieve/dbsqlc"
)

// Collection is what is indexed of a source: what a search sees now.
type Collection struct {
	SourceID  int64           `json:"source_id"`
	Name      string          `json:"name"`
	Kind      string          `json:"kind" enum:"local,git,google_drive"`
	Status    string          `json:"status" enum:"not_indexed,ready"`
	Files     int32           `json:"files"`
	Chunks    int32           `json:"chunks"`
	Bytes     int64           `json:"bytes"`
	IndexedAt *time.Time      `json:"indexed_at"`
	Embedder  *EmbedderInfo   `json:"embedder" doc:"null: there are no vectors, words are compared"`
	Languages []LanguageCount `json:"languages"`
	Kinds     []KindCount     `json:"kinds"`
}

// LanguageCount is how many files a language has.
type LanguageCount struct {
	Language string `json:"language"`
	Files    int32  `json:"files"`
}

// KindCount is how many files of a kind there are.
type KindCount struct {
	Kind  string `json:"kind"`
	Files int32  `json:"files"`
}

// Collections lists the collections, the newest source first, below the id before (0: from
// the top).
func (s *Service) Collections(ctx context.Context, before int64, limit int32) ([]Collection, error) {
	rows, err := s.q.ListCollections(ctx, s.o.DB, dbsqlc.ListCollectionsParams{BeforeID: before, MaxRows: limit})
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", err)
	}
	ids, at := make([]int64, len(rows)), map[int64]*Collection{}
	out := make([]Collection, len(rows))
	for i, r := range rows {
		c := Collection{
			SourceID: r.ID, Name: r.Name, Kind: r.Kind, Status: "not_indexed", Files: r.Files, Chunks: r.Chunks, Bytes: r.Bytes, IndexedAt: r.IndexedAt,
			Languages: []LanguageCount{}, Kinds: []KindCount{},
		}
		if r.IndexRevision > 0 {
			c.Status = "ready"
		}
		if r.EmbedderModel != nil && r.EmbedderDimensions != nil {
			c.Embedder = &EmbedderInfo{Model: *r.EmbedderModel, Dimensions: int(*r.EmbedderDimensions)}
		}
		out[i], ids[i] = c, r.ID
		at[r.ID] = &out[i]
	}
	counts, err := s.q.CountFiles(ctx, s.o.DB, ids)
	if err != nil {
		return nil, fmt.Errorf("count the files of collections: %w", err)
	}
	for _, n := range counts {
		at[n.RagSourceID].count(n.Kind, n.Language, n.Files)
	}
	return out, nil
}

func (c *Collection) count(kind, language string, files int32) {
	if language != "" {
		c.Languages = append(c.Languages, LanguageCount{Language: language, Files: files})
	}
	for i := range c.Kinds {
		if c.Kinds[i].Kind == kind {
			c.Kinds[i].Files += files
			return
		}
	}
	c.Kinds = append(c.Kinds, KindCount{Kind: kind, Files: files})
}
