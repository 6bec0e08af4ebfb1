package observed

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/tracing"
)

// Embedder is e, seen. Texts and vectors never go into spans: there are too many.
func Embedder(e llm.Embedder, at Target, o Options) llm.Embedder {
	return &embedder{Embedder: e, watch: watchOf(at, o)}
}

// Reranker is r, seen.
func Reranker(r llm.Reranker, at Target, o Options) llm.Reranker {
	return &reranker{Reranker: r, watch: watchOf(at, o)}
}

type embedder struct {
	llm.Embedder
	watch
}

type reranker struct {
	llm.Reranker
	watch
}

// watch is what all calls of a provider have in common.
type watch struct {
	o      Options
	name   string
	server []attribute.KeyValue
}

func watchOf(at Target, o Options) watch {
	if o.Now == nil {
		o.Now = time.Now
	}
	return watch{o: o, name: ProviderName(at.Kind), server: serverOf(at)}
}

// Embed implements llm.Embedder.
func (e *embedder) Embed(ctx context.Context, req llm.EmbedRequest) (llm.EmbedResponse, error) {
	ctx, seen := e.begin(ctx, tracing.SpanEmbed, tracing.OperationEmbed, req.Model, len(req.Inputs))
	res, err := e.Embedder.Embed(ctx, req)
	if len(res.Vectors) > 0 {
		seen.span.SetAttributes(tracing.GenAIDimensions.Int(len(res.Vectors[0])))
	}
	seen.end(res.Model, res.Usage, err)
	return res, err
}

// Rerank implements llm.Reranker.
func (r *reranker) Rerank(ctx context.Context, req llm.RerankRequest) (llm.RerankResponse, error) {
	ctx, seen := r.begin(ctx, tracing.SpanRerank, tracing.OperationRerank, req.Model, len(req.Documents))
	res, err := r.Reranker.Rerank(ctx, req)
	seen.end(res.Model, res.Usage, err)
	return res, err
}

// sight is one call while it is under way.
type sight struct {
	w     watch
	span  trace.Span
	call  Call
	began time.Time
}

func (w watch) begin(ctx context.Context, span, operation, model string, inputs int) (context.Context, *sight) {
	s := &sight{w: w, call: Call{Operation: operation, Provider: w.name, RequestModel: model}, began: w.o.Now()}
	ctx, s.span = tracing.Start(ctx, span+" "+model, trace.SpanKindClient, w.server...)
	if s.span.IsRecording() {
		s.span.SetAttributes(
			tracing.GenAIOperation.String(operation), tracing.GenAIProvider.String(w.name), tracing.GenAIRequestModel.String(model), tracing.InputCount.Int(inputs),
		)
	}
	return ctx, s
}

func (s *sight) end(model string, usage llm.Usage, err error) {
	s.call.ResponseModel, s.call.Usage, s.call.ErrorType = model, usage, errorType(err)
	s.call.Took = s.w.o.Now().Sub(s.began)
	if s.span.IsRecording() {
		if model != "" {
			s.span.SetAttributes(tracing.GenAIResponseModel.String(model))
		}
		if usage.InputTokens > 0 {
			s.span.SetAttributes(tracing.GenAIInputTokens.Int64(usage.InputTokens))
		}
		if s.call.ErrorType != "" {
			s.span.SetAttributes(tracing.ErrorType.String(s.call.ErrorType))
		}
	}
	tracing.End(s.span, err)
	if s.w.o.Called != nil {
		s.w.o.Called(s.call)
	}
}
