// Package demo is a provider without a model: it works offline, answers the same
// to the same question and never pretends to be more. It lets people try flows and
// threads before they have a key.
package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/llm"
)

// The models on offer: one for answers, one for embeddings and rankings.
const (
	ModelID            = "demo"
	ModelName          = "Demo model (offline, not a real model)"
	EmbeddingModelID   = "demo-embedding"
	EmbeddingModelName = "Demo embeddings (offline, not a real model)"
)

// DefaultPace is the time between two words.
const DefaultPace = 25 * time.Millisecond

// contextWords is the made-up limit, so that long inputs behave as they do elsewhere.
const contextWords = 100_000

// Provider implements llm.Provider.
type Provider struct {
	fail llm.Failures
	pace time.Duration
}

// New makes a provider that waits pace between words; 0 means DefaultPace.
func New(name string, pace time.Duration) *Provider {
	if pace <= 0 {
		pace = DefaultPace
	}
	return &Provider{fail: llm.Failures{Provider: name}, pace: pace}
}

// Chat implements llm.Provider. Tools are ignored. A token is a word here.
func (p *Provider) Chat(ctx context.Context, req llm.Request, onDelta func(llm.Delta) error) (res llm.Response, err error) {
	res.Model = ModelID
	if req.Model != ModelID && req.Model != "" {
		return res, p.fail.HTTP(req.Model, llm.HTTPFailure{Status: 404, Message: "The only model here that answers is " + ModelID + "."})
	}
	for _, m := range req.Messages {
		for _, part := range m.Parts {
			res.Usage.InputTokens += int64(len(strings.Fields(part.Text)))
		}
	}
	res.Usage.InputTokens += int64(len(strings.Fields(req.System)))
	if res.Usage.InputTokens > contextWords {
		return res, p.fail.HTTP(ModelID, llm.HTTPFailure{Status: 400, Code: "context_length_exceeded"})
	}
	text, err := p.answer(req)
	if err != nil {
		return res, err
	}
	c := llm.NewCollector(onDelta)
	defer c.Into(&res)
	return p.stream(ctx, words(text), req.Params.MaxTokens, c, res)
}

func (p *Provider) stream(ctx context.Context, pieces []string, limit int, c *llm.Collector, res llm.Response) (llm.Response, error) {
	t := time.NewTimer(p.pace)
	defer t.Stop()
	for i, w := range pieces {
		if limit > 0 && i == limit {
			res.Finish = llm.FinishLength
			return res, nil
		}
		select {
		case <-ctx.Done():
			return res, p.fail.Transport(ctx, ctx.Err())
		case <-t.C:
			t.Reset(p.pace)
		}
		res.Usage.OutputTokens++
		if err := c.Text(w); err != nil {
			return res, err
		}
	}
	res.Finish = llm.FinishStop
	return res, nil
}

// Models implements llm.Provider.
func (p *Provider) Models(context.Context) ([]llm.ModelInfo, error) {
	return []llm.ModelInfo{
		{ID: ModelID, Name: ModelName, ContextTokens: contextWords},
		{ID: EmbeddingModelID, Name: EmbeddingModelName, ContextTokens: contextWords},
	}, nil
}

// Test implements llm.Provider.
func (p *Provider) Test(context.Context) (llm.TestResult, error) {
	return llm.TestResult{Message: "The demo model is part of the Studio and needs no connection. It is not a real model.", Models: 2}, nil
}

// answer repeats what can be said about the question without understanding it.
func (p *Provider) answer(req llm.Request) (string, error) {
	if req.Output != nil {
		return sample(req.Output.Schema, p.fail)
	}
	question := ""
	for _, m := range req.Messages {
		if m.Role != llm.RoleUser {
			continue
		}
		var b strings.Builder
		for _, part := range m.Parts {
			b.WriteString(part.Text)
		}
		question = b.String()
	}
	fields := strings.Fields(question)
	if len(fields) == 0 {
		return "This is the offline demo model, not a real model. There was nothing to answer.", nil
	}
	head := strings.Join(fields[:min(len(fields), 24)], " ")
	if len(fields) > 24 {
		head += " …"
	}
	return fmt.Sprintf("This is the offline demo model, not a real model. It received %d words: “%s” "+
		"The longest of them is “%s”. To get real answers, add a provider under Models.", len(fields), head, longest(fields)), nil
}

func longest(fields []string) string {
	best := ""
	for _, f := range fields {
		f = strings.Trim(f, ".,:;!?\"'()[]{}“”")
		if len([]rune(f)) > len([]rune(best)) {
			best = f
		}
	}
	return best
}

// words splits text so that the pieces put together give it back.
func words(text string) []string {
	return strings.SplitAfter(text, " ")
}

// sample makes the smallest value that a plain schema accepts.
func sample(schema json.RawMessage, fail llm.Failures) (string, error) {
	var s map[string]any
	if err := json.Unmarshal(schema, &s); err != nil {
		return "", fail.Invalid("The output schema is not a JSON object.")
	}
	out, err := json.Marshal(value(s, 0))
	if err != nil {
		return "", fmt.Errorf("encode sample: %w", err)
	}
	return string(out), nil
}

func value(s map[string]any, depth int) any {
	for _, word := range []string{"const", "default"} {
		if v, ok := s[word]; ok {
			return v
		}
	}
	if e, ok := s["enum"].([]any); ok && len(e) > 0 {
		return e[0]
	}
	kind, _ := s["type"].(string)
	switch {
	case depth > 8:
		return nil
	case kind == "object" || kind == "" && s["properties"] != nil:
		out := map[string]any{}
		props, _ := s["properties"].(map[string]any)
		for name, sub := range props {
			if m, ok := sub.(map[string]any); ok {
				out[name] = value(m, depth+1)
			}
		}
		return out
	case kind == "array":
		items, _ := s["items"].(map[string]any)
		n, _ := s["minItems"].(float64)
		out := []any{}
		for range min(int(max(n, 1)), 100) {
			out = append(out, value(items, depth+1))
		}
		return out
	case kind == "integer" || kind == "number":
		low, _ := s["minimum"].(float64)
		return low
	case kind == "boolean":
		return true
	case kind == "null":
		return nil
	}
	text := "demo"
	if n, ok := s["minLength"].(float64); ok && int(n) > len(text) {
		text = strings.Repeat("demo ", int(min(n, 10_000))/5+1)[:int(min(n, 10_000))]
	}
	return text
}
