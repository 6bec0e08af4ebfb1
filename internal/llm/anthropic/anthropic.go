// Package anthropic speaks the Messages protocol.
package anthropic

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/anthropics/anthropic-sdk-go/packages/param"

	"github.com/llmctl/studio/internal/llm"
)

// DefaultBaseURL is used when none is given.
const DefaultBaseURL = "https://api.anthropic.com"

// defaultMaxTokens stands in for a limit that the protocol demands.
const defaultMaxTokens = 4096

// Provider implements llm.Provider.
type Provider struct {
	messages sdk.MessageService
	models   sdk.ModelService
	fail     llm.Failures
}

// New makes a provider. client should be one of llm.NewClient.
func New(name, baseURL, key string, client *http.Client) (*Provider, error) {
	if baseURL == "" {
		baseURL = DefaultBaseURL
	}
	if u, err := url.Parse(baseURL); err != nil || u.Host == "" {
		return nil, fmt.Errorf("base URL %q of provider %s is not a URL", baseURL, name)
	}
	// The services, unlike the SDK's client, read no credentials from the environment.
	opts := []option.RequestOption{
		option.WithBaseURL(baseURL), option.WithHTTPClient(client), option.WithMaxRetries(0),
		option.WithoutOpenTelemetry(), option.WithOpenTelemetryPropagation(false),
	}
	if key != "" {
		opts = append(opts, option.WithAPIKey(key))
	}
	return &Provider{
		messages: sdk.NewMessageService(opts...), models: sdk.NewModelService(opts...),
		fail: llm.Failures{Provider: name, Key: key},
	}, nil
}

// Chat implements llm.Provider.
func (p *Provider) Chat(ctx context.Context, req llm.Request, onDelta func(llm.Delta) error) (res llm.Response, err error) {
	res.Model = req.Model
	params, err := p.params(req)
	if err != nil {
		return res, err
	}
	stream := p.messages.NewStreaming(ctx, params)
	defer func() { _ = stream.Close() }()
	t := &taker{c: llm.NewCollector(onDelta), res: &res, call: map[int64]int{}}
	defer t.c.Into(&res)
	for stream.Next() {
		if err := t.take(stream.Current()); err != nil {
			return res, err
		}
	}
	if err := stream.Err(); err != nil {
		return res, p.explain(ctx, req.Model, err)
	}
	switch {
	case t.stopped && res.Finish != "":
		return res, nil
	case ctx.Err() != nil:
		return res, p.fail.Transport(ctx, ctx.Err())
	}
	return res, p.fail.Broken()
}

// taker follows one stream. Blocks of text and calls share one index there.
type taker struct {
	c       *llm.Collector
	res     *llm.Response
	call    map[int64]int
	stopped bool
}

func (t *taker) take(ev sdk.MessageStreamEventUnion) error {
	switch ev.Type {
	case "message_start":
		u := ev.Message.Usage
		t.res.Model = ev.Message.Model
		t.usage(u.InputTokens, u.CacheCreationInputTokens, u.CacheReadInputTokens, u.OutputTokens)
	case "content_block_start":
		switch ev.ContentBlock.Type {
		case "text":
			return t.c.Text(ev.ContentBlock.Text)
		case "tool_use":
			t.call[ev.Index] = len(t.call)
			return t.c.Call(llm.ToolCallDelta{Index: t.call[ev.Index], ID: ev.ContentBlock.ID, Name: ev.ContentBlock.Name}, nil)
		}
	case "content_block_delta":
		switch ev.Delta.Type {
		case "text_delta":
			return t.c.Text(ev.Delta.Text)
		case "input_json_delta":
			if i, ok := t.call[ev.Index]; ok {
				return t.c.Call(llm.ToolCallDelta{Index: i, Arguments: ev.Delta.PartialJSON}, nil)
			}
		}
	case "message_delta":
		if ev.Delta.StopReason != "" {
			t.res.Finish = finish(ev.Delta.StopReason)
		}
		u := ev.Usage
		t.usage(u.InputTokens, u.CacheCreationInputTokens, u.CacheReadInputTokens, u.OutputTokens)
	case "message_stop":
		t.stopped = true
	}
	return nil
}

// usage takes cumulative counts; the later ones often leave out the input.
func (t *taker) usage(in, cacheMade, cacheRead, out int64) {
	if total := in + cacheMade + cacheRead; total > 0 {
		t.res.Usage.InputTokens, t.res.Usage.CachedTokens = total, cacheRead
	}
	if out > 0 {
		t.res.Usage.OutputTokens = out
	}
}

func finish(s sdk.StopReason) llm.FinishReason {
	switch s {
	case sdk.StopReasonEndTurn, sdk.StopReasonStopSequence:
		return llm.FinishStop
	case sdk.StopReasonMaxTokens, sdk.StopReasonModelContextWindowExceeded:
		return llm.FinishLength
	case sdk.StopReasonToolUse:
		return llm.FinishTools
	case sdk.StopReasonRefusal:
		return llm.FinishFilter
	case sdk.StopReasonPauseTurn:
	}
	return llm.FinishUnknown
}

// Models implements llm.Provider.
func (p *Provider) Models(ctx context.Context) ([]llm.ModelInfo, error) {
	page, err := p.models.List(ctx, sdk.ModelListParams{Limit: param.NewOpt(int64(1000))})
	if err != nil {
		return nil, p.explain(ctx, "", err)
	}
	out := make([]llm.ModelInfo, 0, len(page.Data))
	for _, m := range page.Data {
		out = append(out, llm.ModelInfo{ID: m.ID, Name: m.DisplayName, ContextTokens: m.MaxInputTokens})
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

func (p *Provider) explain(ctx context.Context, model string, err error) error {
	e, ok := errors.AsType[*sdk.Error](err)
	if !ok {
		return p.fail.Transport(ctx, err)
	}
	h := llm.HTTPFailure{Status: e.StatusCode, Code: string(e.Type()), Message: e.RawJSON()}
	var body struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal([]byte(e.RawJSON()), &body) == nil {
		h.Message = body.Error.Message
	}
	if e.Response != nil {
		h.Header = e.Response.Header
	}
	if h.Status == http.StatusOK { // it came inside the stream
		h.Status = statusOf(h.Code)
	}
	return p.fail.HTTP(model, h)
}

func statusOf(errorType string) int {
	switch errorType {
	case "invalid_request_error":
		return http.StatusBadRequest
	case "authentication_error":
		return http.StatusUnauthorized
	case "permission_error":
		return http.StatusForbidden
	case "not_found_error":
		return http.StatusNotFound
	case "rate_limit_error":
		return http.StatusTooManyRequests
	case "timeout_error":
		return http.StatusGatewayTimeout
	}
	return 529 // what the provider uses for overload
}

func (p *Provider) params(req llm.Request) (sdk.MessageNewParams, error) {
	out := sdk.MessageNewParams{Model: req.Model, MaxTokens: defaultMaxTokens, StopSequences: req.Params.Stop}
	if req.Params.MaxTokens > 0 {
		out.MaxTokens = int64(req.Params.MaxTokens)
	}
	if req.Params.Temperature != nil {
		out.Temperature = param.NewOpt(*req.Params.Temperature)
	}
	if req.Params.TopP != nil {
		out.TopP = param.NewOpt(*req.Params.TopP)
	}
	if req.System != "" {
		out.System = []sdk.TextBlockParam{{Text: req.System}}
	}
	for i, m := range req.Messages {
		next := message(m)
		// The results of one answer's calls belong into one message.
		if last := len(out.Messages) - 1; m.Role == llm.RoleTool && i > 0 && req.Messages[i-1].Role == llm.RoleTool {
			out.Messages[last].Content = append(out.Messages[last].Content, next.Content...)
			continue
		}
		out.Messages = append(out.Messages, next)
	}
	for _, t := range req.Tools {
		schema := sdk.ToolInputSchemaParam{}
		if err := schema.UnmarshalJSON(t.Schema); err != nil {
			return out, p.fail.Invalid(fmt.Sprintf("The schema of the tool %s is not a JSON object.", t.Name))
		}
		tool := &sdk.ToolParam{Name: t.Name, InputSchema: schema}
		if t.Description != "" {
			tool.Description = param.NewOpt(t.Description)
		}
		out.Tools = append(out.Tools, sdk.ToolUnionParam{OfTool: tool})
	}
	switch req.ToolChoice {
	case "":
	case "auto":
		out.ToolChoice.OfAuto = &sdk.ToolChoiceAutoParam{}
	case "none":
		none := sdk.NewToolChoiceNoneParam()
		out.ToolChoice.OfNone = &none
	case "required":
		out.ToolChoice.OfAny = &sdk.ToolChoiceAnyParam{}
	default:
		out.ToolChoice = sdk.ToolChoiceParamOfTool(req.ToolChoice)
	}
	if req.Output != nil {
		if err := json.Unmarshal(req.Output.Schema, &out.OutputConfig.Format.Schema); err != nil {
			return out, p.fail.Invalid("The output schema is not a JSON object.")
		}
	}
	return out, nil
}

func message(m llm.Message) sdk.MessageParam {
	var blocks []sdk.ContentBlockParamUnion
	if r := m.ToolResult; r != nil {
		blocks = append(blocks, sdk.NewToolResultBlock(r.CallID, r.Content, r.IsError))
	}
	for _, p := range m.Parts {
		switch {
		case p.MediaType != "":
			blocks = append(blocks, sdk.NewImageBlockBase64(p.MediaType, base64.StdEncoding.EncodeToString(p.Data)))
		case p.Text != "": // empty blocks are refused
			blocks = append(blocks, sdk.NewTextBlock(p.Text))
		}
	}
	for _, c := range m.ToolCalls {
		args := json.RawMessage(c.Arguments)
		if !json.Valid(args) {
			args = json.RawMessage("{}")
		}
		blocks = append(blocks, sdk.NewToolUseBlock(c.ID, args, c.Name))
	}
	if m.Role == llm.RoleAssistant {
		return sdk.NewAssistantMessage(blocks...)
	}
	return sdk.NewUserMessage(blocks...)
}
