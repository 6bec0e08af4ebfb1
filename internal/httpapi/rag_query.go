package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/retrieve"
	"github.com/llmctl/studio/internal/rag/scope"
	"github.com/llmctl/studio/internal/rag/search"
)

// ragQuestion is a question to sources.
type ragQuestion struct {
	Question   string      `json:"question" minLength:"1" maxLength:"8000" doc:"A sentence or words. \"In quotes\" words stand beside each other"`
	SourceIDs  []int64     `json:"source_ids,omitempty" maxItems:"500" doc:"Empty: all sources"`
	TopK       int         `json:"top_k,omitempty" minimum:"1" maximum:"50" doc:"Passages at most; the default is set under /settings/rag"`
	Mode       string      `json:"mode,omitempty" enum:"hybrid,lexical,vector" doc:"Default hybrid: words and vectors, joined by their ranks"`
	Rerank     bool        `json:"rerank,omitempty" doc:"Have the reranking model order what was found"`
	Explain    bool        `json:"explain,omitempty" doc:"Also give the two lists that were joined"`
	Synthesize bool        `json:"synthesize,omitempty" doc:"Have a model answer in words, with citations"`
	ModelID    int64       `json:"model_id,omitempty" minimum:"1" doc:"That answers in words; default: that of /settings/rag"`
	Filters    *ragFilters `json:"filters,omitempty"`
}

type ragFilters struct {
	Paths          []string   `json:"paths,omitempty" maxItems:"50" doc:"Patterns such as docs/**/*.md; one has to match"`
	Languages      []string   `json:"languages,omitempty" maxItems:"50"`
	Kinds          []string   `json:"kinds,omitempty" maxItems:"20" doc:"code, markdown, html, config, text, pdf, docx, pptx, xlsx"`
	ModifiedAfter  *time.Time `json:"modified_after,omitempty"`
	ModifiedBefore *time.Time `json:"modified_before,omitempty"`
}

type ragQueryInput struct{ Body ragQuestion }

type ragQueryOutput struct {
	Body struct {
		Results        []search.Result      `json:"results" doc:"The best first"`
		Lists          *search.Lists        `json:"lists,omitempty" doc:"With explain"`
		Answer         string               `json:"answer,omitempty" doc:"With synthesize"`
		Citations      []retrieve.Citation  `json:"citations,omitempty"`
		SynthesisError *retrieve.Unanswered `json:"synthesis_error,omitempty" doc:"Why there is no answer in words; the results stand"`
		Stats          retrieve.QueryStats  `json:"stats"`
	}
}

type retrievalsInput struct {
	PageInput
	Origin   string    `query:"origin" enum:"api,thread,node,mcp"`
	SourceID int64     `query:"source_id" minimum:"1"`
	UserID   int64     `query:"user_id" minimum:"1"`
	Since    time.Time `query:"since" doc:"Asked at this time or later"`
	Until    time.Time `query:"until" doc:"Asked before this time"`
}

func (in *retrievalsInput) filter() (retrieve.Filter, error) {
	f := retrieve.Filter{Origin: in.Origin, SourceID: in.SourceID, UserID: in.UserID}
	if !in.Since.IsZero() {
		f.Since = &in.Since
	}
	if !in.Until.IsZero() {
		f.Until = &in.Until
	}
	if f.Since != nil && f.Until != nil && !f.Since.Before(*f.Until) {
		return f, errs.E(errs.Invalid, "rag.empty_period", "No search is in this period.",
			errs.Detail{Location: "query.until", Message: "is not after since"})
	}
	return f, nil
}

func (s *server) registerRetrieval() {
	handle(s, route{
		method: http.MethodPost, path: "/rag/query", id: "query-sources", tag: "rag", permission: auth.Read,
		summary: "Ask sources: passages, and if wanted an answer in words",
	}, s.querySources)
	handle(s, route{
		method: http.MethodGet, path: "/rag/health", id: "retrieval-health", tag: "rag", permission: auth.Read,
		summary: "Whether retrieval can be used; the embedding model is tried at most once a minute",
	}, func(ctx context.Context, _ *struct{}) (*struct{ Body retrieve.RetrievalHealth }, error) {
		h, err := s.deps.Retrieval.Health(ctx)
		return &struct{ Body retrieve.RetrievalHealth }{h}, err
	})
	handle(s, route{
		method: http.MethodGet, path: "/rag/collections", id: "list-collections", tag: "rag", permission: auth.Read,
		summary: "What is indexed of each source, as a search sees it now",
	}, func(ctx context.Context, in *PageInput) (*pageOutput[retrieve.Collection], error) {
		before, err := in.before()
		if err != nil {
			return nil, err
		}
		rows, err := s.deps.Retrieval.Collections(ctx, before, in.Limit+1)
		if err != nil {
			return nil, err
		}
		return paged(rows, in.Limit, func(c retrieve.Collection) int64 { return c.SourceID }, func(c retrieve.Collection) retrieve.Collection { return c }), nil
	})
	handle(s, route{
		method: http.MethodGet, path: "/rag/retrievals", id: "list-retrievals", tag: "rag", permission: auth.Manage,
		summary: "What was asked of sources, by whom, and what was found",
	}, func(ctx context.Context, in *retrievalsInput) (*pageOutput[retrieve.Retrieval], error) {
		before, err := in.before()
		if err != nil {
			return nil, err
		}
		filter, err := in.filter()
		if err != nil {
			return nil, err
		}
		rows, err := s.deps.Retrieval.Retrievals(ctx, filter, before, in.Limit+1)
		if err != nil {
			return nil, err
		}
		return paged(rows, in.Limit, func(r retrieve.Retrieval) int64 { return r.ID }, func(r retrieve.Retrieval) retrieve.Retrieval { return r }), nil
	})
	handle(s, route{
		method: http.MethodGet, path: "/rag/retrievals/{id}", id: "get-retrieval", tag: "rag", permission: auth.Manage,
		summary: "One question that was asked of sources",
	}, func(ctx context.Context, in *IDInput) (*struct{ Body retrieve.Retrieval }, error) {
		r, err := s.deps.Retrieval.Retrieval(ctx, in.ID)
		return &struct{ Body retrieve.Retrieval }{r}, err
	})
}

func (s *server) querySources(ctx context.Context, in *ragQueryInput) (*ragQueryOutput, error) {
	by := user(ctx).UserID
	q := in.Body.question()
	if (q.Synthesize || q.Rerank) && !user(ctx).May(auth.Write) {
		return nil, errs.E(errs.Forbidden, "rag.models_need_editor", "Viewers can search. An answer in words and reranking use paid models, which needs the role editor.")
	}
	a, err := s.deps.Retrieval.Ask(ctx, retrieve.Origin{Kind: "api", UserID: &by, RequestID: idsFrom(ctx).Request}, q)
	if err != nil {
		return nil, err
	}
	out := &ragQueryOutput{}
	out.Body.Results, out.Body.Answer, out.Body.Citations = a.Results, a.Answer, a.Citations
	out.Body.Lists, out.Body.SynthesisError, out.Body.Stats = a.Lists, a.SynthesisError, a.Stats
	return out, nil
}

func (q *ragQuestion) question() retrieve.Question {
	out := retrieve.Question{
		Question: q.Question, SourceIDs: q.SourceIDs, TopK: q.TopK, Mode: q.Mode, Rerank: q.Rerank, Explain: q.Explain,
		Synthesize: q.Synthesize, ModelID: q.ModelID,
	}
	if f := q.Filters; f != nil {
		out.Filter = scope.Filter{Paths: f.Paths, Languages: f.Languages, Kinds: f.Kinds, ModifiedAfter: f.ModifiedAfter, ModifiedBefore: f.ModifiedBefore}
	}
	return out
}
