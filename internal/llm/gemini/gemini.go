// Package gemini speaks Google's GenerateContent protocol.
package gemini

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/genai"

	"github.com/llmctl/studio/internal/llm"
)

// DefaultBaseURL is used when none is given. It has no version in it.
const DefaultBaseURL = "https://generativelanguage.googleapis.com/"

// Provider implements llm.Provider.
type Provider struct {
	name, baseURL, key string
	client             *http.Client
	fail               llm.Failures
}

// New makes a provider. client should be one of llm.NewClient.
func New(name, baseURL, key string, client *http.Client) (*Provider, error) {
	if baseURL == "" {
		baseURL = DefaultBaseURL
	}
	if u, err := url.Parse(baseURL); err != nil || u.Host == "" {
		return nil, fmt.Errorf("base URL %q of provider %s is not a URL", baseURL, name)
	}
	return &Provider{name: name, baseURL: baseURL, key: key, client: client, fail: llm.Failures{Provider: name, Key: key}}, nil
}

// session is the SDK's client over a transport that observes one call. Everything
// the SDK would otherwise take from the environment is given.
func (p *Provider) session(ctx context.Context) (*genai.Models, *observer, error) {
	key := p.key
	if key == "" {
		key = "none" // or the SDK looks for one in the environment
	}
	o := &observer{base: p.client.Transport}
	if o.base == nil {
		return nil, nil, errors.New("the HTTP client has no transport")
	}
	hc := *p.client
	hc.Transport = o
	c, err := genai.NewClient(ctx, &genai.ClientConfig{
		APIKey: key, Backend: genai.BackendGeminiAPI, HTTPClient: &hc,
		HTTPOptions: genai.HTTPOptions{BaseURL: p.baseURL},
	})
	if err != nil {
		// The SDK prints its configuration, key included, into this error.
		return nil, nil, p.fail.Invalid("The connection to " + p.name + " cannot be set up. Check base URL and key.")
	}
	return c.Models, o, nil
}

// Chat implements llm.Provider.
func (p *Provider) Chat(ctx context.Context, req llm.Request, onDelta func(llm.Delta) error) (res llm.Response, err error) {
	res.Model = req.Model
	models, o, err := p.session(ctx)
	if err != nil {
		return res, err
	}
	contents, cfg, err := p.params(req)
	if err != nil {
		return res, err
	}
	c := llm.NewCollector(onDelta)
	defer c.Into(&res)
	calls := 0
	for chunk, err := range models.GenerateContentStream(ctx, req.Model, contents, cfg) {
		if err != nil {
			return res, p.explain(ctx, req.Model, err, o)
		}
		if err := p.take(chunk, c, &res, &calls); err != nil {
			return res, err
		}
	}
	if err := o.failure(); err != nil {
		return res, p.fail.Transport(ctx, err)
	}
	if ctx.Err() != nil && res.Finish == "" {
		return res, p.fail.Transport(ctx, ctx.Err())
	}
	if res.Finish == "" {
		return res, p.fail.Broken()
	}
	return res, nil
}

func (p *Provider) take(chunk *genai.GenerateContentResponse, c *llm.Collector, res *llm.Response, calls *int) error {
	if chunk.ModelVersion != "" {
		res.Model = chunk.ModelVersion
	}
	if u := chunk.UsageMetadata; u != nil {
		res.Usage = llm.Usage{
			InputTokens:  int64(u.PromptTokenCount) + int64(u.ToolUsePromptTokenCount),
			OutputTokens: int64(u.CandidatesTokenCount) + int64(u.ThoughtsTokenCount),
			CachedTokens: int64(u.CachedContentTokenCount),
		}
	}
	if f := chunk.PromptFeedback; f != nil && f.BlockReason != "" {
		res.Finish = llm.FinishFilter
	}
	if len(chunk.Candidates) == 0 {
		return nil
	}
	cand := chunk.Candidates[0]
	if cand.Content != nil {
		for _, part := range cand.Content.Parts {
			if err := takePart(part, c, calls); err != nil {
				return err
			}
		}
	}
	if r := cand.FinishReason; r != "" && r != genai.FinishReasonUnspecified {
		res.Finish = finish(r)
		if *calls > 0 && res.Finish == llm.FinishStop {
			res.Finish = llm.FinishTools // the protocol has no reason of its own for it
		}
	}
	return nil
}

func takePart(part *genai.Part, c *llm.Collector, calls *int) error {
	if part == nil || part.Thought {
		return nil
	}
	if err := c.Text(part.Text); err != nil {
		return err
	}
	f := part.FunctionCall
	if f == nil {
		return nil
	}
	args, err := json.Marshal(f.Args)
	if err != nil || f.Args == nil {
		args = []byte("{}")
	}
	d := llm.ToolCallDelta{Index: *calls, ID: f.ID, Name: f.Name, Arguments: string(args)}
	if d.ID == "" {
		d.ID = "call_" + strconv.Itoa(*calls)
	}
	*calls++
	return c.Call(d, part.ThoughtSignature)
}

func finish(r genai.FinishReason) llm.FinishReason {
	switch r { //nolint:exhaustive // what is not listed is "other"
	case genai.FinishReasonStop:
		return llm.FinishStop
	case genai.FinishReasonMaxTokens:
		return llm.FinishLength
	case genai.FinishReasonSafety, genai.FinishReasonBlocklist, genai.FinishReasonProhibitedContent, genai.FinishReasonSPII, genai.FinishReasonRecitation:
		return llm.FinishFilter
	}
	return llm.FinishUnknown
}

// Models implements llm.Provider.
func (p *Provider) Models(ctx context.Context) ([]llm.ModelInfo, error) {
	models, o, err := p.session(ctx)
	if err != nil {
		return nil, err
	}
	page, err := models.List(ctx, &genai.ListModelsConfig{PageSize: 1000})
	if err == nil {
		err = o.failure()
	}
	if err != nil {
		return nil, p.explain(ctx, "", err, o)
	}
	out := make([]llm.ModelInfo, 0, len(page.Items))
	for _, m := range page.Items {
		id := strings.TrimPrefix(m.Name, "models/")
		name := m.DisplayName
		if name == "" {
			name = id
		}
		out = append(out, llm.ModelInfo{ID: id, Name: name, ContextTokens: int64(m.InputTokenLimit)})
	}
	return out, nil
}

// Test implements llm.Provider.
func (p *Provider) Test(ctx context.Context) (llm.TestResult, error) {
	start := time.Now()
	models, err := p.Models(ctx)
	if err != nil {
		return llm.TestResult{}, err
	}
	return llm.TestResult{Message: fmt.Sprintf("The key works; %d models are on offer.", len(models)), Models: len(models), Took: time.Since(start)}, nil
}

func (p *Provider) explain(ctx context.Context, model string, err error, o *observer) error {
	if cut := o.failure(); cut != nil {
		return p.fail.Transport(ctx, cut)
	}
	e, ok := errors.AsType[genai.APIError](err)
	if !ok {
		return p.fail.Transport(ctx, err)
	}
	h := llm.HTTPFailure{Status: e.Code, Code: e.Status, Message: e.Message, Header: o.header()}
	for _, d := range e.Details {
		if reason, ok := d["reason"].(string); ok {
			h.Code = reason
		}
		// The wait is in the body here, as in {"retryDelay": "7s"}.
		if s, ok := d["retryDelay"].(string); ok && h.Header.Get("Retry-After") == "" {
			if wait, err := time.ParseDuration(s); err == nil {
				h.Header.Set("Retry-After", strconv.Itoa(int(wait.Seconds())))
			}
		}
	}
	return p.fail.HTTP(model, h)
}

func (p *Provider) params(req llm.Request) ([]*genai.Content, *genai.GenerateContentConfig, error) {
	cfg := &genai.GenerateContentConfig{StopSequences: req.Params.Stop, MaxOutputTokens: int32(min(req.Params.MaxTokens, 1<<30))}
	if t := req.Params.Temperature; t != nil {
		cfg.Temperature = new(float32(*t))
	}
	if t := req.Params.TopP; t != nil {
		cfg.TopP = new(float32(*t))
	}
	if s := req.Params.Seed; s != nil {
		cfg.Seed = new(int32(*s))
	}
	if req.System != "" {
		cfg.SystemInstruction = genai.NewContentFromText(req.System, genai.RoleUser)
	}
	if err := p.tools(req, cfg); err != nil {
		return nil, nil, err
	}
	// Not together with tools, which the protocol refuses; what asks for JSON says so in words as well.
	if req.Output != nil && len(req.Tools) == 0 {
		cfg.ResponseMIMEType = "application/json"
		if err := json.Unmarshal(req.Output.Schema, &cfg.ResponseJsonSchema); err != nil {
			return nil, nil, p.fail.Invalid("The output schema is not JSON.")
		}
	}
	contents := make([]*genai.Content, 0, len(req.Messages))
	for i, m := range req.Messages {
		next := content(m)
		// As many results as there were calls have to come in one turn.
		if last := len(contents) - 1; m.Role == llm.RoleTool && i > 0 && req.Messages[i-1].Role == llm.RoleTool {
			contents[last].Parts = append(contents[last].Parts, next.Parts...)
			continue
		}
		contents = append(contents, next)
	}
	return contents, cfg, nil
}

func (p *Provider) tools(req llm.Request, cfg *genai.GenerateContentConfig) error {
	if len(req.Tools) == 0 {
		return nil
	}
	tool := &genai.Tool{}
	for _, t := range req.Tools {
		d := &genai.FunctionDeclaration{Name: t.Name, Description: t.Description}
		if err := json.Unmarshal(t.Schema, &d.ParametersJsonSchema); err != nil {
			return p.fail.Invalid(fmt.Sprintf("The schema of the tool %s is not JSON.", t.Name))
		}
		tool.FunctionDeclarations = append(tool.FunctionDeclarations, d)
	}
	cfg.Tools = []*genai.Tool{tool}
	choice := &genai.FunctionCallingConfig{}
	switch req.ToolChoice {
	case "":
		return nil
	case "auto":
		choice.Mode = genai.FunctionCallingConfigModeAuto
	case "none":
		choice.Mode = genai.FunctionCallingConfigModeNone
	case "required":
		choice.Mode = genai.FunctionCallingConfigModeAny
	default:
		choice.Mode, choice.AllowedFunctionNames = genai.FunctionCallingConfigModeAny, []string{req.ToolChoice}
	}
	cfg.ToolConfig = &genai.ToolConfig{FunctionCallingConfig: choice}
	return nil
}

func content(m llm.Message) *genai.Content {
	out := &genai.Content{Role: genai.RoleUser}
	if m.Role == llm.RoleAssistant {
		out.Role = genai.RoleModel
	}
	if r := m.ToolResult; r != nil {
		word := "output"
		if r.IsError {
			word = "error"
		}
		out.Parts = append(out.Parts, &genai.Part{FunctionResponse: &genai.FunctionResponse{ID: r.CallID, Name: r.Name, Response: map[string]any{word: r.Content}}})
	}
	for _, p := range m.Parts {
		switch {
		case p.MediaType != "":
			out.Parts = append(out.Parts, &genai.Part{InlineData: &genai.Blob{MIMEType: p.MediaType, Data: p.Data}})
		case p.Text != "":
			out.Parts = append(out.Parts, &genai.Part{Text: p.Text})
		}
	}
	for _, c := range m.ToolCalls {
		var args map[string]any
		_ = json.Unmarshal([]byte(c.Arguments), &args) // a model's invalid arguments go back as none
		out.Parts = append(out.Parts, &genai.Part{FunctionCall: &genai.FunctionCall{ID: c.ID, Name: c.Name, Args: args}, ThoughtSignature: c.Signature})
	}
	return out
}

// observer keeps what the SDK drops: the headers of an error answer, and why a body
// ended. A failed read becomes a plain end, for the SDK would print it to the
// process's standard log.
type observer struct {
	base http.RoundTripper
	mu   sync.Mutex
	head http.Header
	err  error
}

// RoundTrip implements http.RoundTripper.
func (o *observer) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := o.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.head = res.Header
	res.Body = &observedBody{ReadCloser: res.Body, o: o}
	return res, nil
}

func (o *observer) header() http.Header {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.head == nil {
		return http.Header{}
	}
	return o.head.Clone()
}

func (o *observer) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

type observedBody struct {
	io.ReadCloser
	o *observer
}

// Read implements io.Reader.
func (b *observedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.o.mu.Lock()
		b.o.err = err
		b.o.mu.Unlock()
		err = io.EOF
	}
	return n, err
}
