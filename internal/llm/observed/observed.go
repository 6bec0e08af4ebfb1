// Package observed puts a provider where its calls are seen: each becomes a span by
// the conventions for generative AI, and a Call for the figures. It must not know
// what the calls are for, nor where spans and figures go.
//
// What is said to a model and what it answers stays out of spans unless Content is
// set: it may be anybody's secret.
package observed

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/tracing"
)

// Call is one finished call of a provider.
type Call struct {
	Operation     string
	Provider      string // by the conventions, see ProviderName
	RequestModel  string
	ResponseModel string
	ErrorType     string // "": it succeeded
	Took          time.Duration
	FirstChunk    time.Duration // 0: nothing came
	Usage         llm.Usage
}

// Options say who sees.
type Options struct {
	Called  func(Call) // nil: nobody counts
	Content bool       // messages go into spans
	Now     func() time.Time
}

// Target is the configured provider.
type Target struct {
	Kind    string
	BaseURL string // "": the kind's own
}

// Provider is p, seen.
func Provider(p llm.Provider, at Target, o Options) llm.Provider {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &provider{Provider: p, o: o, name: ProviderName(at.Kind), server: serverOf(at)}
}

type provider struct {
	llm.Provider
	o      Options
	name   string
	server []attribute.KeyValue
}

// ProviderName is the conventions' name for a kind of provider.
func ProviderName(kind string) string {
	if kind == "gemini" {
		return "gcp.gemini"
	}
	return kind
}

// serverOf is where calls go; the kinds' own addresses are those of their SDKs.
func serverOf(at Target) []attribute.KeyValue {
	base := at.BaseURL
	if base == "" {
		base = map[string]string{
			"openai": "https://api.openai.com", "anthropic": "https://api.anthropic.com", "gemini": "https://generativelanguage.googleapis.com",
		}[at.Kind]
	}
	u, err := url.Parse(base)
	if err != nil || u.Hostname() == "" {
		return nil
	}
	port := 443
	if u.Scheme == "http" {
		port = 80
	}
	if _, p, err := net.SplitHostPort(u.Host); err == nil {
		if n, err := strconv.Atoi(p); err == nil {
			port = n
		}
	}
	return []attribute.KeyValue{tracing.ServerAddress.String(u.Hostname()), tracing.ServerPort.Int(port)}
}

// Chat implements llm.Provider.
func (p *provider) Chat(ctx context.Context, req llm.Request, onDelta func(llm.Delta) error) (llm.Response, error) {
	ctx, span := tracing.Start(ctx, tracing.SpanChat+" "+req.Model, trace.SpanKindClient, p.server...)
	if span.IsRecording() {
		span.SetAttributes(p.asked(req)...)
	}
	began, first := p.o.Now(), time.Duration(0)
	res, err := p.Provider.Chat(ctx, req, func(d llm.Delta) error {
		if first == 0 {
			first = max(p.o.Now().Sub(began), 1)
		}
		if onDelta == nil {
			return nil
		}
		return onDelta(d)
	})
	call := Call{
		Operation: tracing.OperationChat, Provider: p.name, RequestModel: req.Model, ResponseModel: res.Model, ErrorType: errorType(err),
		Took: p.o.Now().Sub(began), FirstChunk: first, Usage: res.Usage,
	}
	if span.IsRecording() {
		span.SetAttributes(p.answered(res, call)...)
	}
	tracing.End(span, err)
	if p.o.Called != nil {
		p.o.Called(call)
	}
	return res, err
}

func (p *provider) asked(req llm.Request) []attribute.KeyValue {
	kind := "text"
	if req.Output != nil {
		kind = "json"
	}
	out := []attribute.KeyValue{
		tracing.GenAIOperation.String(tracing.OperationChat), tracing.GenAIProvider.String(p.name), tracing.GenAIRequestModel.String(req.Model),
		tracing.GenAIRequestStream.Bool(true), tracing.GenAIOutputType.String(kind),
	}
	if v := req.Params.Temperature; v != nil {
		out = append(out, tracing.GenAITemperature.Float64(*v))
	}
	if v := req.Params.TopP; v != nil {
		out = append(out, tracing.GenAITopP.Float64(*v))
	}
	if v := req.Params.MaxTokens; v > 0 {
		out = append(out, tracing.GenAIMaxTokens.Int(v))
	}
	if v := req.Params.Seed; v != nil {
		out = append(out, tracing.GenAISeed.Int64(*v))
	}
	if v := req.Params.Stop; len(v) > 0 {
		out = append(out, tracing.GenAIStop.StringSlice(v))
	}
	if p.o.Content {
		out = append(out, tracing.GenAIInput.String(messages(req.Messages)))
		if req.System != "" {
			out = append(out, tracing.GenAISystem.String(encode([]part{{Type: "text", Content: bounded(req.System)}})))
		}
	}
	return out
}

func (p *provider) answered(res llm.Response, call Call) []attribute.KeyValue {
	var out []attribute.KeyValue
	if res.Model != "" {
		out = append(out, tracing.GenAIResponseModel.String(res.Model))
	}
	if res.Finish != "" {
		out = append(out, tracing.GenAIFinishReasons.StringSlice([]string{string(res.Finish)}))
	}
	if res.Usage != (llm.Usage{}) {
		out = append(out, tracing.GenAIInputTokens.Int64(res.Usage.InputTokens), tracing.GenAIOutputTokens.Int64(res.Usage.OutputTokens))
	}
	if res.Usage.CachedTokens > 0 {
		out = append(out, tracing.GenAICachedTokens.Int64(res.Usage.CachedTokens))
	}
	if call.FirstChunk > 0 {
		out = append(out, tracing.GenAITimeToFirstChunk.Float64(call.FirstChunk.Seconds()))
	}
	if call.ErrorType != "" {
		out = append(out, tracing.ErrorType.String(call.ErrorType))
	}
	if p.o.Content {
		out = append(out, tracing.GenAIOutput.String(answer(res)))
	}
	return out
}

// errorType is the error's kind, of which there are few.
func errorType(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*llm.Error](err); ok {
		return string(e.Kind)
	}
	return "_OTHER"
}
