// Package task asks a language model: the task kind of node. It must not know where
// models and keys are stored; both come with the payload.
package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/registry"
	"github.com/llmctl/studio/internal/llm/toolloop"
)

// SecretAPIKey is the entry of the payload's secrets that holds the provider's key.
const SecretAPIKey = "api_key"

// CodeInvalidOutput is an answer that does not satisfy the node's output schema.
const CodeInvalidOutput = "invalid_output"

// CodeNotAvailable is a setting that this executor cannot honour.
const CodeNotAvailable = "not_available"

// CodeCycles is a model that kept asking for tools.
const CodeCycles = "tool_cycles_exceeded"

// Handler runs task nodes.
type Handler struct {
	open  func(registry.Spec) (llm.Provider, error)
	tools Tools
	now   func() time.Time
}

// New makes a handler that connects to models with open. tools may be nil: then
// nodes that use tools fail here.
func New(open func(registry.Spec) (llm.Provider, error), tools Tools, now func() time.Time) *Handler {
	return &Handler{open: open, tools: tools, now: now}
}

type config struct {
	Prompt       string          `json:"prompt"`
	System       string          `json:"system"`
	Params       llm.Params      `json:"params"`
	OutputSchema json.RawMessage `json:"output_schema"`
	Tools        []string        `json:"tools"`
	MCPServerIDs []int64         `json:"mcp_server_ids"`
	MaxCycles    int             `json:"max_cycles"`
}

type output struct {
	Text   string         `json:"text"`
	JSON   any            `json:"json,omitempty"`
	Finish string         `json:"finish_reason"`
	Tokens executor.Usage `json:"usage"`
	Cycles int            `json:"tool_cycles,omitempty"` // answers that asked for tools
}

// attempt is what the stages hand to one another.
type attempt struct {
	cfg      config
	model    executor.Model
	params   llm.Params
	schema   *jsonschema.Schema
	provider llm.Provider
	request  llm.Request
	response llm.Response
	session  Session // nil: the model has no tools
	loop     toolloop.Result
	out      output
}

// Run implements the handler of the kind.
func (h *Handler) Run(ctx context.Context, in executor.Payload, sink executor.Sink) executor.Result {
	stages := executor.NewStages(sink)
	a := &attempt{}
	defer a.close()
	steps := []struct {
		stage string
		run   func() error
	}{
		{executor.StageIntegration, func() error { return a.resolve(ctx, in, h.tools, stages) }},
		{executor.StagePreInit, func() error { return a.prepare(stages) }},
		{executor.StageInit, func() error { return a.connect(h.open, in.Secrets[SecretAPIKey], stages) }},
		{executor.StagePostInit, func() error { return a.compose(stages) }},
		{executor.StageLLMQuery, func() error { return a.ask(ctx, h.now, sink, stages) }},
		{executor.StagePostRun, func() error { return a.finish(stages) }},
	}
	for _, s := range steps {
		if err := stages.Enter(s.stage); err != nil {
			return a.failure(err)
		}
		if err := s.run(); err != nil {
			if errors.Is(err, errSuspended) {
				return a.suspended(stages)
			}
			res := a.failure(err)
			stages.Fail(res.Error.Message)
			return res
		}
	}
	if err := stages.Finish(); err != nil {
		return a.failure(err)
	}
	res := executor.Success(a.out)
	res.Usage = a.usage()
	return res
}

func (a *attempt) resolve(ctx context.Context, in executor.Payload, tools Tools, stages *executor.Stages) error {
	if err := json.Unmarshal(in.Config, &a.cfg); err != nil {
		return invalid("The settings of this node cannot be read: %v.", err)
	}
	if in.Model == nil {
		return invalid("This node has no model. Choose one in its settings.")
	}
	a.model = *in.Model
	if strings.TrimSpace(a.cfg.Prompt) == "" {
		return invalid("The prompt of this node is empty.")
	}
	if len(a.model.Config) > 0 && string(a.model.Config) != "null" {
		if err := json.Unmarshal(a.model.Config, &a.params); err != nil {
			return invalid("The settings of the model %s cannot be read: %v.", a.model.Name, err)
		}
	}
	a.params = a.params.Merge(a.cfg.Params)
	if a.cfg.usesTools() {
		if err := a.openTools(ctx, in, tools, stages); err != nil {
			return err
		}
	}
	return stages.Log(fmt.Sprintf("Model %s (%s) of %s.", a.model.Name, a.model.Model, a.model.ProviderName))
}

// prepare compiles the schema before anything costs tokens.
func (a *attempt) prepare(stages *executor.Stages) error {
	if len(a.cfg.OutputSchema) == 0 || string(a.cfg.OutputSchema) == "null" {
		return stages.Log("The answer is plain text.")
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(a.cfg.OutputSchema)))
	if err != nil {
		return invalid("The output schema of this node is not JSON: %v.", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	const name = "output_schema.json"
	if err := c.AddResource(name, doc); err != nil {
		return invalid("The output schema of this node is not valid: %v.", err)
	}
	if a.schema, err = c.Compile(name); err != nil {
		return invalid("The output schema of this node is not valid: %v.", err)
	}
	return stages.Log("The answer must satisfy the node's output schema.")
}

func (a *attempt) connect(open func(registry.Spec) (llm.Provider, error), key string, stages *executor.Stages) error {
	var err error
	a.provider, err = open(registry.Spec{Kind: a.model.ProviderKind, Name: a.model.ProviderName, BaseURL: a.model.BaseURL, APIKey: key})
	if err != nil {
		return invalid("%s", errs.As(err).Message)
	}
	return stages.Log("Provider " + a.model.ProviderName + " is set up.")
}

func (a *attempt) compose(stages *executor.Stages) error {
	a.request = llm.Request{
		Model: a.model.Model, System: a.cfg.System, Params: a.params,
		Messages: []llm.Message{llm.Text(llm.RoleUser, a.cfg.Prompt)},
	}
	if a.schema != nil {
		a.request.Output = &llm.OutputSchema{Name: "answer", Schema: a.cfg.OutputSchema}
		// Servers that ignore the schema parameter still read the prompt.
		a.request.System = strings.TrimSpace(a.cfg.System + "\n\nAnswer with JSON only, without a code fence, that satisfies this JSON Schema:\n" + string(a.cfg.OutputSchema))
	}
	return stages.Log(fmt.Sprintf("The prompt has %d characters.", len([]rune(a.cfg.Prompt))))
}

func (a *attempt) ask(ctx context.Context, now func() time.Time, sink executor.Sink, stages *executor.Stages) error {
	start := now()
	if a.session != nil {
		return a.askWithTools(ctx, now, sink, stages)
	}
	var err error
	a.response, err = a.provider.Chat(ctx, a.request, func(d llm.Delta) error {
		if d.Text == "" {
			return nil
		}
		return sink(executor.Event{Type: executor.EventDelta, Stage: executor.StageLLMQuery, Text: d.Text})
	})
	if a.response.Usage != (llm.Usage{}) {
		if serr := sink(executor.Event{Type: executor.EventUsage, Usage: a.usage()}); serr != nil {
			return serr
		}
	}
	if err != nil {
		return err
	}
	return stages.Log(fmt.Sprintf("Answered in %s: %d tokens in, %d out, finished by %s.",
		now().Sub(start).Round(time.Millisecond), a.response.Usage.InputTokens, a.response.Usage.OutputTokens, a.response.Finish))
}

func (a *attempt) finish(stages *executor.Stages) error {
	a.out = output{Text: executor.CleanText(a.response.Text), Finish: string(a.response.Finish), Tokens: *a.usage()}
	if a.session != nil {
		a.out.Tokens, a.out.Cycles = *usageOf(a.loop.Total), a.loop.Cycles
	}
	if a.schema == nil {
		return stages.Log("Done.")
	}
	if a.response.Finish == llm.FinishLength {
		return invalidOutput("The answer was cut off at the token limit, so it is not complete JSON. Raise max_tokens.", a.response.Text)
	}
	v, err := executor.DecodeJSON(unfence(a.response.Text))
	if err != nil {
		return invalidOutput(fmt.Sprintf("The model did not answer with JSON: %v.", err), a.response.Text)
	}
	if err := a.schema.Validate(v); err != nil {
		return invalidOutput("The answer does not satisfy the output schema: "+oneLine(err.Error()), a.response.Text)
	}
	a.out.JSON = v
	return stages.Log("The answer satisfies the output schema.")
}

// usage is what this attempt used; that of attempts before it is theirs.
func (a *attempt) usage() *executor.Usage {
	if a.session != nil {
		return usageOf(a.loop.Used)
	}
	return usageOf(a.response.Usage)
}

func usageOf(u llm.Usage) *executor.Usage {
	return &executor.Usage{InputTokens: u.InputTokens, OutputTokens: u.OutputTokens, CachedTokens: u.CachedTokens}
}

// failure turns what stopped a stage into the result. What was used is reported
// all the same, for it was paid for.
func (a *attempt) failure(err error) executor.Result {
	res := executor.Failure(executor.CodeInfra, "The events of this attempt could not be stored.", true)
	if e, ok := errors.AsType[*executor.ResultError](err); ok {
		res.Error = e
	} else if e, ok := errors.AsType[*llm.Error](err); ok {
		details := map[string]any{"provider": e.Provider}
		if e.Status != 0 {
			details["status"] = e.Status
		}
		if e.RetryAfter > 0 {
			details["retry_after_seconds"] = e.RetryAfter.Seconds()
		}
		res = executor.Failure("llm_"+string(e.Kind), e.Message, e.Retryable()).WithDetails(details)
	} else if e, ok := errors.AsType[*toolloop.CyclesError](err); ok {
		res = executor.Failure(CodeCycles, e.Error(), false)
	}
	if u := a.usage(); *u != (executor.Usage{}) {
		res.Usage = u
	}
	return res
}

func invalid(format string, args ...any) error {
	return &executor.ResultError{Code: executor.CodeConfig, Message: executor.CleanText(fmt.Sprintf(format, args...))}
}

func invalidOutput(message, text string) error {
	const kept = 2000
	r := []rune(executor.CleanText(text))
	return &executor.ResultError{
		Code: CodeInvalidOutput, Message: executor.CleanText(message), Retryable: true,
		Details: map[string]any{"text": string(r[:min(len(r), kept)])},
	}
}

// unfence takes JSON out of the code fence that some models cannot leave away.
func unfence(s string) string {
	s = strings.TrimSpace(s)
	if !strings.HasPrefix(s, "```") || !strings.HasSuffix(s, "```") || len(s) < 6 {
		return s
	}
	_, body, ok := strings.Cut(s, "\n")
	if !ok {
		return s
	}
	return strings.TrimSpace(strings.TrimSuffix(body, "```"))
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// noLoader keeps a schema from reading files or addresses through $ref.
type noLoader struct{}

// Load implements jsonschema.URLLoader.
func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("references to %s are not followed", url)
}
