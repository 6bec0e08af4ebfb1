package httpapi

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	ragindex "github.com/llmctl/studio/internal/rag/index"
)

type startIndexInput struct {
	IDInput
	IdempotencyKey string `header:"Idempotency-Key"`
	Body           startIndexBody
}

type startIndexBody struct {
	Mode         string `json:"mode" enum:"fresh,delta" doc:"fresh reads every file anew, delta what was added or changed since"`
	PlanFirst    bool   `json:"plan_first,omitempty" doc:"The run waits with its plan until somebody applies it"`
	OnlyFailedOf int64  `json:"only_failed_of,omitempty" minimum:"1" doc:"Try only the files again that failed in this index run; with mode delta"`
}

type startIndexOutput struct {
	Body struct {
		Task     listedNodeView     `json:"task"`
		IndexRun ragindex.RunDetail `json:"index_run"`
	}
}

type indexRunOutput struct{ Body ragindex.RunDetail }

type indexRunOrderOutput struct {
	Body struct {
		IndexRun ragindex.RunDetail `json:"index_run"`
	}
}

type listIndexRunsInput struct {
	PageInput
	SourceID int64    `query:"source_id" minimum:"0" doc:"Of one source; 0: of all"`
	Status   []string `query:"status" enum:"queued,syncing,planning,planned,indexing,paused,succeeded,failed,cancelled"`
}

// PathPageInput is the query of a list that is in the order of paths.
type PathPageInput struct {
	Limit  int32  `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many items at most"`
	Cursor string `query:"cursor" maxLength:"12000" doc:"next_cursor of the page before"`
	Query  string `query:"q" maxLength:"500" doc:"A part of the path"`
}

// after reads the cursor: the path before the page, "" for the first.
func (p PathPageInput) after() (string, error) {
	if p.Cursor == "" {
		return "", nil
	}
	path, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(p.Cursor, "p"))
	if err != nil || !strings.HasPrefix(p.Cursor, "p") || strings.ContainsRune(string(path), 0) {
		return "", errs.E(errs.Invalid, "request.invalid_cursor", "The cursor is not one that a list gave.",
			errs.Detail{Location: "query.cursor", Message: "use next_cursor of the page before"})
	}
	return string(path), nil
}

func pathPage[T any](rows []T, limit int32, path func(T) string) *pageOutput[T] {
	out := &pageOutput[T]{Body: page[T]{Items: rows}}
	if int32(len(rows)) > limit {
		cursor := "p" + base64.RawURLEncoding.EncodeToString([]byte(path(rows[limit-1])))
		out.Body.Items, out.Body.NextCursor = rows[:limit], &cursor
	}
	return out
}

type listIndexFilesInput struct {
	IDInput
	PathPageInput
	Status string `query:"status" enum:"pending,done,failed"`
	Action string `query:"action" enum:"add,change,remove"`
}

type indexErrorsOutput struct {
	Body struct {
		Items []ragindex.ErrorGroup `json:"items"`
	}
}

type listSourceFilesInput struct {
	IDInput
	PathPageInput
	Language string `query:"language" maxLength:"50"`
	Kind     string `query:"kind" maxLength:"50" doc:"Absent: all that are read; binary: those that nothing reads"`
}

type listChunksInput struct {
	IDInput
	Limit  int32  `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many items at most"`
	Cursor string `query:"cursor" maxLength:"20" doc:"next_cursor of the page before"`
}

func (s *server) registerIndexRuns() {
	handle(s, route{
		method: http.MethodPost, path: "/rag/sources/{id}/index", id: "index-source", tag: "rag", permission: auth.Write, audit: true, idempotent: true,
		summary: "Index a source: a node on the queue of its kind; 409 with the node that does so already", status: http.StatusAccepted,
	}, s.indexSource)
	handle(s, route{
		method: http.MethodGet, path: "/rag/index-runs", id: "list-index-runs", tag: "rag", permission: auth.Read, summary: "Index runs, newest first",
	}, s.listIndexRuns)
	handle(s, route{
		method: http.MethodGet, path: "/rag/index-runs/{id}", id: "get-index-run", tag: "rag", permission: auth.Read, summary: "An index run with its counts",
	}, func(ctx context.Context, in *IDInput) (*indexRunOutput, error) {
		v, err := s.deps.Indexing.View(ctx, s.deps.DB, in.ID)
		return &indexRunOutput{Body: v}, err
	})
	handle(s, route{
		method: http.MethodGet, path: "/rag/index-runs/{id}/files", id: "list-index-run-files", tag: "rag", permission: auth.Read,
		summary: "What an index run does about each file that it adds, changes or removes, by path",
	}, s.listIndexFiles)
	handle(s, route{
		method: http.MethodGet, path: "/rag/index-runs/{id}/errors", id: "list-index-run-errors", tag: "rag", permission: auth.Read,
		summary: "Why files of an index run failed, the most frequent reason first",
	}, func(ctx context.Context, in *IDInput) (*indexErrorsOutput, error) {
		out := &indexErrorsOutput{}
		var err error
		out.Body.Items, err = s.deps.Indexing.Errors(ctx, s.deps.DB, in.ID)
		return out, err
	})
	s.registerIndexOrders()
	s.registerIndexed()
}

func (s *server) registerIndexOrders() {
	for _, o := range []struct {
		name, action, summary string
		do                    func(ctx context.Context, tx *postgres.Tx, id int64) (ragindex.RunDetail, error)
	}{
		{"apply", "applied", "Let an index run go on whose plan waits", s.deps.Indexing.ApplyTx},
		{"pause", "paused", "Ask an index run to pause; it keeps what it has and holds no worker", s.deps.Indexing.PauseTx},
		{"resume", "resumed", "Let a paused index run go on where it stopped", s.deps.Indexing.ResumeTx},
		{"cancel", "cancelled", "Ask the node of an index run to stop; what searches see stays as it is", s.deps.Indexing.CancelTx},
	} {
		handle(s, route{
			method: http.MethodPost, path: "/rag/index-runs/{id}/" + o.name, id: o.name + "-index-run", tag: "rag", permission: auth.Write, audit: true,
			summary: o.summary, status: http.StatusAccepted,
		}, func(ctx context.Context, in *IDInput) (*indexRunOrderOutput, error) {
			return change(ctx, s, "rag_index_run."+o.action, "rag_index_run", in.ID, func(ctx context.Context, tx *postgres.Tx) (*indexRunOrderOutput, error) {
				v, err := o.do(ctx, tx, in.ID)
				out := &indexRunOrderOutput{}
				out.Body.IndexRun = v
				return out, err
			})
		})
	}
}

// registerIndexed are the operations that show what is indexed.
func (s *server) registerIndexed() {
	handle(s, route{
		method: http.MethodGet, path: "/rag/sources/{id}/files", id: "list-source-files", tag: "rag", permission: auth.Read,
		summary: "The files of a source that searches see, by path",
	}, func(ctx context.Context, in *listSourceFilesInput) (*pageOutput[ragindex.IndexedFile], error) {
		after, err := in.after()
		if err != nil {
			return nil, err
		}
		rows, err := s.deps.Indexing.Files(ctx, s.deps.DB, in.ID, ragindex.FileFilter{Query: in.Query, Language: in.Language, Kind: in.Kind, After: after, Limit: in.Limit + 1})
		if err != nil {
			return nil, err
		}
		return pathPage(rows, in.Limit, func(f ragindex.IndexedFile) string { return f.Path }), nil
	})
	handle(s, route{
		method: http.MethodGet, path: "/rag/files/{id}/chunks", id: "list-file-chunks", tag: "rag", permission: auth.Read,
		summary: "The chunks that an indexed file was cut into, in their order",
	}, s.listChunks)
}

func (s *server) indexSource(ctx context.Context, in *startIndexInput) (*startIndexOutput, error) {
	// The source is a part of what is asked: the same key for another one is a mistake.
	request := struct {
		SourceID int64
		startIndexBody
	}{in.ID, in.Body}
	return idempotent(ctx, s, "index-source", in.IdempotencyKey, request, func(ctx context.Context, tx *postgres.Tx) (*startIndexOutput, error) {
		by, ids := user(ctx).UserID, idsFrom(ctx)
		req := ragindex.StartRequest{
			SourceID: in.ID, Mode: in.Body.Mode, PlanFirst: in.Body.PlanFirst,
			Origin: ragindex.Origin{UserID: &by, RequestID: ids.Request, CorrelationID: ids.Correlation},
		}
		if in.Body.OnlyFailedOf != 0 {
			req.OnlyFailedOf = &in.Body.OnlyFailedOf
		}
		n, v, err := s.deps.Indexing.StartTx(ctx, tx, req)
		if err != nil {
			return nil, err
		}
		out := &startIndexOutput{}
		out.Body.Task, out.Body.IndexRun = viewListedNode(n), v
		return out, s.audit(ctx, tx, "rag_index_run.started", "rag_index_run", v.ID)
	})
}

func (s *server) listIndexRuns(ctx context.Context, in *listIndexRunsInput) (*pageOutput[ragindex.RunDetail], error) {
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	rows, err := s.deps.Indexing.List(ctx, s.deps.DB, ragindex.Filter{SourceID: in.SourceID, Statuses: in.Status, BeforeID: before, Limit: in.Limit + 1})
	if err != nil {
		return nil, err
	}
	return paged(rows, in.Limit, func(v ragindex.RunDetail) int64 { return v.ID }, func(v ragindex.RunDetail) ragindex.RunDetail { return v }), nil
}

func (s *server) listIndexFiles(ctx context.Context, in *listIndexFilesInput) (*pageOutput[ragindex.JournalLine], error) {
	after, err := in.after()
	if err != nil {
		return nil, err
	}
	rows, err := s.deps.Indexing.Journal(ctx, s.deps.DB, in.ID, ragindex.JournalFilter{
		Status: in.Status, Action: in.Action, Query: in.Query, After: after, Limit: in.Limit + 1,
	})
	if err != nil {
		return nil, err
	}
	return pathPage(rows, in.Limit, func(l ragindex.JournalLine) string { return l.Path }), nil
}

func (s *server) listChunks(ctx context.Context, in *listChunksInput) (*pageOutput[ragindex.StoredChunk], error) {
	after := int32(-1)
	if in.Cursor != "" {
		n, err := strconv.ParseInt(strings.TrimPrefix(in.Cursor, "c"), 36, 32)
		if err != nil || !strings.HasPrefix(in.Cursor, "c") || n < 0 {
			return nil, errs.E(errs.Invalid, "request.invalid_cursor", "The cursor is not one that a list gave.",
				errs.Detail{Location: "query.cursor", Message: "use next_cursor of the page before"})
		}
		after = int32(n)
	}
	rows, err := s.deps.Indexing.Chunks(ctx, s.deps.DB, in.ID, after, in.Limit+1)
	if err != nil {
		return nil, err
	}
	out := &pageOutput[ragindex.StoredChunk]{Body: page[ragindex.StoredChunk]{Items: rows}}
	if int32(len(rows)) > in.Limit {
		cursor := "c" + strconv.FormatInt(int64(rows[in.Limit-1].Ordinal), 36)
		out.Body.Items, out.Body.NextCursor = rows[:in.Limit], &cursor
	}
	return out, nil
}

// indexRunsOf names the index runs of a node of retrieval, for its page.
func (s *server) indexRunsOf(ctx context.Context, nodeRunID int64, kind string) ([]int64, error) {
	if s.deps.Indexing == nil || (kind != ragindex.Kind && kind != "rag") {
		return nil, nil
	}
	rows, err := s.deps.Indexing.List(ctx, s.deps.DB, ragindex.Filter{NodeRunID: nodeRunID, Limit: 100})
	out := make([]int64, len(rows))
	for i, r := range rows {
		out[i] = r.ID
	}
	return out, err
}
