// Package openai speaks the chat completions protocol, to OpenAI and to the many
// servers that are compatible with it. It must not know more of a server than the
// address, which includes /v1, and the key, which may be empty.
package openai

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/openai/openai-go/v3/shared"

	"github.com/llmctl/studio/internal/llm"
)

// DefaultBaseURL is used when none is given.
const DefaultBaseURL = "https://api.openai.com/v1"

// Provider implements llm.Provider.
type Provider struct {
	chat       sdk.ChatCompletionService
	models     sdk.ModelService
	embeddings sdk.EmbeddingService
	raw        sdk.Client // for what the SDK does not know
	fail       llm.Failures
	// OpenAI itself refuses the older max_tokens for its reasoning models, while
	// compatible servers often know nothing else.
	newLimit bool
}

// New makes a provider. client should be one of llm.NewClient.
func New(name, baseURL, key string, client *http.Client) (*Provider, error) {
	if baseURL == "" {
		baseURL = DefaultBaseURL
	}
	u, err := url.Parse(baseURL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("base URL %q of provider %s is not a URL", baseURL, name)
	}
	// The services, unlike the SDK's client, read nothing from the environment.
	opts := []option.RequestOption{
		option.WithBaseURL(baseURL), option.WithHTTPClient(client), option.WithMaxRetries(0),
	}
	if key != "" {
		opts = append(opts, option.WithAPIKey(key))
	}
	return &Provider{
		chat: sdk.NewChatCompletionService(opts...), models: sdk.NewModelService(opts...),
		embeddings: sdk.NewEmbeddingService(opts...), raw: sdk.Client{Options: opts},
		fail: llm.Failures{Provider: name, Key: key}, newLimit: u.Hostname() == "api.openai.com",
	}, nil
}

// Chat implements llm.Provider.
func (p *Provider) Chat(ctx context.Context, req llm.Request, onDelta func(llm.Delta) error) (res llm.Response, err error) {
	res.Model = req.Model
	params, err := p.params(req)
	if err != nil {
		return res, err
	}
	stream := p.chat.NewStreaming(ctx, params)
	defer func() { _ = stream.Close() }()
	c := llm.NewCollector(onDelta)
	defer c.Into(&res)
	for stream.Next() {
		if err := take(stream.Current(), c, &res); err != nil {
			return res, err
		}
	}
	if err := stream.Err(); err != nil {
		return res, p.explain(ctx, req.Model, err)
	}
	if res.Finish == "" {
		return res, p.unfinished(ctx)
	}
	return res, nil
}

// unfinished tells a stream that was cut by ctx, which the SDK may report as a
// plain end, from one that the server broke off.
func (p *Provider) unfinished(ctx context.Context) error {
	if ctx.Err() != nil {
		return p.fail.Transport(ctx, ctx.Err())
	}
	return p.fail.Broken()
}

func take(chunk sdk.ChatCompletionChunk, c *llm.Collector, res *llm.Response) error {
	if chunk.Model != "" {
		res.Model = chunk.Model
	}
	if u := chunk.Usage; u.TotalTokens > 0 || u.PromptTokens > 0 {
		res.Usage = llm.Usage{InputTokens: u.PromptTokens, OutputTokens: u.CompletionTokens, CachedTokens: u.PromptTokensDetails.CachedTokens}
	}
	if len(chunk.Choices) == 0 {
		return nil
	}
	ch := chunk.Choices[0]
	if err := c.Text(ch.Delta.Content); err != nil {
		return err
	}
	if err := c.Text(ch.Delta.Refusal); err != nil {
		return err
	}
	for _, t := range ch.Delta.ToolCalls {
		d := llm.ToolCallDelta{Index: int(t.Index), ID: t.ID, Name: t.Function.Name, Arguments: t.Function.Arguments}
		if err := c.Call(d, nil); err != nil {
			return err
		}
	}
	if ch.FinishReason != "" {
		res.Finish = finish(ch.FinishReason)
	}
	return nil
}

func finish(s string) llm.FinishReason {
	switch s {
	case "stop":
		return llm.FinishStop
	case "length":
		return llm.FinishLength
	case "tool_calls", "function_call":
		return llm.FinishTools
	case "content_filter":
		return llm.FinishFilter
	}
	return llm.FinishUnknown
}

// Models implements llm.Provider.
func (p *Provider) Models(ctx context.Context) ([]llm.ModelInfo, error) {
	page, err := p.models.List(ctx)
	if err != nil {
		return nil, p.explain(ctx, "", err)
	}
	out := make([]llm.ModelInfo, 0, len(page.Data))
	for _, m := range page.Data {
		out = append(out, llm.ModelInfo{ID: m.ID, Name: m.ID})
	}
	return out, nil
}

// Test implements llm.Provider. Some compatible servers have no list of models;
// being reached and not refused is all that can be said of them.
func (p *Provider) Test(ctx context.Context) (llm.TestResult, error) {
	start := time.Now()
	models, err := p.Models(ctx)
	took := time.Since(start)
	if e, ok := errors.AsType[*llm.Error](err); ok && (e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed) {
		return llm.TestResult{Message: "The server answers, but offers no list of models, so the key could not be checked. Is /v1 part of the base URL?", Took: took}, nil
	}
	if err != nil {
		return llm.TestResult{}, err
	}
	return llm.TestResult{Message: fmt.Sprintf("The key works; %d models are on offer.", len(models)), Models: len(models), Took: took}, nil
}

func (p *Provider) explain(ctx context.Context, model string, err error) error {
	if e, ok := errors.AsType[*sdk.Error](err); ok {
		h := llm.HTTPFailure{Status: e.StatusCode, Code: e.Code, Message: e.Message}
		if h.Message == "" {
			h.Message = e.RawJSON()
		}
		if e.Response != nil {
			h.Header = e.Response.Header
		}
		return p.fail.HTTP(model, h)
	}
	if e, ok := errors.AsType[*ssestream.StreamError](err); ok {
		return p.inStream(model, e.Event.Data)
	}
	return p.fail.Transport(ctx, err)
}

// inStream classifies an error that came after the status line said 200.
func (p *Provider) inStream(model string, data []byte) error {
	var body struct {
		Error struct {
			Message string          `json:"message"`
			Type    string          `json:"type"`
			Code    json.RawMessage `json:"code"` // a word or, with some servers, a status
		} `json:"error"`
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return p.fail.HTTP(model, llm.HTTPFailure{Status: http.StatusBadGateway, Message: string(data)})
	}
	h := llm.HTTPFailure{Status: http.StatusBadGateway, Code: strings.Trim(string(body.Error.Code), `"`), Message: body.Error.Message}
	switch {
	case strings.Contains(body.Error.Type, "rate_limit") || h.Code == "rate_limit_exceeded" || h.Code == "429":
		h.Status = http.StatusTooManyRequests
	case body.Error.Type == "invalid_request_error" || h.Code == "context_length_exceeded" || h.Code == "400":
		h.Status = http.StatusBadRequest
	}
	return p.fail.HTTP(model, h)
}

func (p *Provider) params(req llm.Request) (sdk.ChatCompletionNewParams, error) {
	out := sdk.ChatCompletionNewParams{
		Model:         req.Model,
		StreamOptions: sdk.ChatCompletionStreamOptionsParam{IncludeUsage: param.NewOpt(true)},
	}
	if req.System != "" {
		out.Messages = append(out.Messages, sdk.SystemMessage(req.System))
	}
	for _, m := range req.Messages {
		out.Messages = append(out.Messages, message(m))
	}
	p.tune(&out, req.Params)
	for _, t := range req.Tools {
		f := shared.FunctionDefinitionParam{Name: t.Name}
		if t.Description != "" {
			f.Description = param.NewOpt(clip(t.Description, maxDescription))
		}
		if err := json.Unmarshal(t.Schema, &f.Parameters); err != nil {
			return out, p.fail.Invalid(fmt.Sprintf("The schema of the tool %s is not a JSON object.", t.Name))
		}
		out.Tools = append(out.Tools, sdk.ChatCompletionFunctionTool(f))
	}
	switch req.ToolChoice {
	case "":
	case "auto", "none", "required":
		out.ToolChoice.OfAuto = param.NewOpt(req.ToolChoice)
	default:
		out.ToolChoice = sdk.ToolChoiceOptionFunctionToolChoice(sdk.ChatCompletionNamedToolChoiceFunctionParam{Name: req.ToolChoice})
	}
	if o := req.Output; o != nil {
		out.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{
			JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: o.Name, Schema: o.Schema},
		}
	}
	return out, nil
}

func (p *Provider) tune(out *sdk.ChatCompletionNewParams, in llm.Params) {
	if in.Temperature != nil {
		out.Temperature = param.NewOpt(*in.Temperature)
	}
	if in.TopP != nil {
		out.TopP = param.NewOpt(*in.TopP)
	}
	if in.Seed != nil {
		out.Seed = param.NewOpt(*in.Seed)
	}
	if len(in.Stop) > 0 {
		out.Stop.OfStringArray = in.Stop
	}
	switch {
	case in.MaxTokens <= 0:
	case p.newLimit:
		out.MaxCompletionTokens = param.NewOpt(int64(in.MaxTokens))
	default:
		out.MaxTokens = param.NewOpt(int64(in.MaxTokens))
	}
}

func message(m llm.Message) sdk.ChatCompletionMessageParamUnion {
	switch m.Role {
	case llm.RoleTool:
		if m.ToolResult == nil {
			return sdk.ToolMessage("", "")
		}
		return sdk.ToolMessage(m.ToolResult.Content, m.ToolResult.CallID)
	case llm.RoleAssistant:
		a := sdk.ChatCompletionAssistantMessageParam{}
		if t := joined(m.Parts); t != "" || len(m.ToolCalls) == 0 {
			a.Content.OfString = param.NewOpt(t)
		}
		for _, c := range m.ToolCalls {
			if !json.Valid([]byte(c.Arguments)) {
				c.Arguments = "{}" // servers that decode what they wrote themselves would fail
			}
			a.ToolCalls = append(a.ToolCalls, sdk.ChatCompletionMessageToolCallUnionParam{OfFunction: &sdk.ChatCompletionMessageFunctionToolCallParam{
				ID: c.ID, Function: sdk.ChatCompletionMessageFunctionToolCallFunctionParam{Name: c.Name, Arguments: c.Arguments},
			}})
		}
		return sdk.ChatCompletionMessageParamUnion{OfAssistant: &a}
	case llm.RoleUser:
	}
	return userMessage(m.Parts)
}

// userMessage is plain text if it can be, for servers that know no parts.
func userMessage(parts []llm.Part) sdk.ChatCompletionMessageParamUnion {
	if !hasImage(parts) {
		return sdk.UserMessage(joined(parts))
	}
	var out []sdk.ChatCompletionContentPartUnionParam
	for _, p := range parts {
		if p.MediaType == "" {
			out = append(out, sdk.TextContentPart(p.Text))
			continue
		}
		u := "data:" + p.MediaType + ";base64," + base64.StdEncoding.EncodeToString(p.Data)
		out = append(out, sdk.ImageContentPart(sdk.ChatCompletionContentPartImageImageURLParam{URL: u}))
	}
	return sdk.UserMessage(out)
}

// maxDescription is how much of a tool's description the protocol's owner takes.
const maxDescription = 1024

func clip(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func hasImage(parts []llm.Part) bool {
	for _, p := range parts {
		if p.MediaType != "" {
			return true
		}
	}
	return false
}

func joined(parts []llm.Part) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
	}
	return b.String()
}
