package index

import (
	"context"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/index/dbsqlc"
)

// Embedder gives the row of an embedder; false: there is none of that key.
func (s *Service) Embedder(ctx context.Context, q postgres.Querier, key string) (Identity, bool, error) {
	row, err := s.q.EmbedderByKey(ctx, q, key)
	if postgres.NotFound(err) {
		return Identity{}, false, nil
	}
	if err != nil {
		return Identity{}, false, fmt.Errorf("look for embedder %s: %w", key, err)
	}
	return Identity{ID: row.ID, Model: row.Model, Dimensions: int(row.Dimensions)}, true, nil
}

// JournalLine is what a run does about a file, and how that went.
type JournalLine struct {
	Path       string      `json:"path"`
	Action     string      `json:"action" enum:"add,change,remove"`
	Status     string      `json:"status" enum:"pending,done,failed"`
	Size       int64       `json:"size"`
	Tries      int32       `json:"tries"`
	Error      *RunProblem `json:"error"`
	Chunks     int32       `json:"chunks"`
	Tokens     int64       `json:"tokens"`
	Millis     int32       `json:"millis"`
	FinishedAt *time.Time  `json:"finished_at"`
}

// JournalFilter selects lines of a journal; empty texts are any.
type JournalFilter struct {
	Status, Action, Query string
	After                 string // the path before the page
	Limit                 int32
}

// Journal lists the files that a run works, by path. Error: not_found.
func (s *Service) Journal(ctx context.Context, q postgres.Querier, id int64, f JournalFilter) ([]JournalLine, error) {
	if _, err := s.get(ctx, q, id); err != nil {
		return nil, err
	}
	rows, err := s.q.ListJournal(ctx, q, dbsqlc.ListJournalParams{
		RagIndexRunID: id, After: f.After, Status: f.Status, Action: f.Action, Q: f.Query, MaxRows: f.Limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list the journal of index run %d: %w", id, err)
	}
	out := make([]JournalLine, len(rows))
	for i := range rows {
		r := &rows[i]
		out[i] = JournalLine{
			Path: r.Path, Action: r.Action, Status: r.Status, Size: r.Size, Tries: r.Tries, Chunks: r.Chunks, Tokens: r.Tokens,
			Millis: r.Millis, FinishedAt: r.FinishedAt,
		}
		if r.ErrorCode != nil {
			out[i].Error = &RunProblem{Code: *r.ErrorCode}
			if r.Error != nil {
				out[i].Error.Message = *r.Error
			}
		}
	}
	return out, nil
}

// ErrorGroup are the files of a run that failed with one code.
type ErrorGroup struct {
	Code    string   `json:"code"`
	Message string   `json:"message" doc:"Of one of them"`
	Count   int32    `json:"count"`
	Paths   []string `json:"paths" doc:"Some of them, at most 5"`
}

// Errors groups the files of a run that failed, the most frequent reason first.
func (s *Service) Errors(ctx context.Context, q postgres.Querier, id int64) ([]ErrorGroup, error) {
	if _, err := s.get(ctx, q, id); err != nil {
		return nil, err
	}
	rows, err := s.q.ErrorGroups(ctx, q, id)
	if err != nil {
		return nil, fmt.Errorf("group the errors of index run %d: %w", id, err)
	}
	out := make([]ErrorGroup, len(rows))
	for i, r := range rows {
		out[i] = ErrorGroup(r)
	}
	return out, nil
}

// IndexedFile is a file of the visible index.
type IndexedFile struct {
	ID         int64      `json:"id"`
	Path       string     `json:"path"`
	Kind       string     `json:"kind"`
	Language   string     `json:"language"`
	Title      string     `json:"title"`
	Size       int64      `json:"size"`
	Chunks     int32      `json:"chunks"`
	ModifiedAt *time.Time `json:"modified_at"`
}

// FileFilter selects files; empty texts are any. Files that nothing reads are listed
// only under their kind, binary.
type FileFilter struct {
	Query, Language, Kind string
	After                 string // the path before the page
	Limit                 int32
}

// Files lists the files of a source's visible index, by path. Error: not_found.
func (s *Service) Files(ctx context.Context, q postgres.Querier, sourceID int64, f FileFilter) ([]IndexedFile, error) {
	known, err := s.q.SourceExists(ctx, q, sourceID)
	if err != nil {
		return nil, fmt.Errorf("look for source %d: %w", sourceID, err)
	}
	if !known {
		return nil, errs.Ef(errs.NotFound, "rag.source_not_found", "There is no source %d.", sourceID)
	}
	rows, err := s.q.ListFiles(ctx, q, dbsqlc.ListFilesParams{
		RagSourceID: sourceID, After: f.After, Kind: f.Kind, Language: f.Language, Q: f.Query, MaxRows: f.Limit,
	})
	if err != nil {
		return nil, fmt.Errorf("list files of source %d: %w", sourceID, err)
	}
	out := make([]IndexedFile, len(rows))
	for i, r := range rows {
		out[i] = IndexedFile(r)
	}
	return out, nil
}

// ChunkPosition is where a chunk stands in its file.
type ChunkPosition struct {
	LineStart int32    `json:"line_start"`
	LineEnd   int32    `json:"line_end"`
	Page      int32    `json:"page"`
	Heading   []string `json:"heading"`
}

// StoredChunk is a chunk as the API shows it.
type StoredChunk struct {
	ID        int64         `json:"id"`
	Key       string        `json:"key"`
	Ordinal   int32         `json:"ordinal"`
	Text      string        `json:"text"`
	Context   string        `json:"context"`
	Position  ChunkPosition `json:"position"`
	Tokens    int32         `json:"tokens"`
	HasVector bool          `json:"has_vector"`
}

// Chunks lists the chunks of a file behind the one with the number after (-1: from the
// first). Error: not_found (rag.file_not_found).
func (s *Service) Chunks(ctx context.Context, q postgres.Querier, fileID int64, after, limit int32) ([]StoredChunk, error) {
	known, err := s.q.FileExists(ctx, q, fileID)
	if err != nil {
		return nil, fmt.Errorf("look for file %d: %w", fileID, err)
	}
	if !known {
		return nil, errs.Ef(errs.NotFound, "rag.file_not_found", "There is no file %d any more; it may have been indexed again.", fileID)
	}
	rows, err := s.q.ListChunks(ctx, q, dbsqlc.ListChunksParams{RagFileID: fileID, After: after, MaxRows: limit})
	if err != nil {
		return nil, fmt.Errorf("list chunks of file %d: %w", fileID, err)
	}
	out := make([]StoredChunk, len(rows))
	for i := range rows {
		r := &rows[i]
		out[i] = StoredChunk{
			ID: r.ID, Key: r.Key, Ordinal: r.Ordinal, Text: r.Text, Context: r.Context, Tokens: r.Tokens, HasVector: r.HasVector,
			Position: ChunkPosition{LineStart: r.LineStart, LineEnd: r.LineEnd, Page: r.Page, Heading: r.Heading},
		}
	}
	return out, nil
}
