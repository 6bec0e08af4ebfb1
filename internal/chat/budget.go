package chat

import (
	"encoding/json"
)

// The bounds of a window that is believed.
const (
	minWindow = 1024
	maxWindow = 2_000_000
)

// Where the size of a window comes from.
const (
	windowFromModel    = "model"
	windowFromSettings = "settings"
)

// ContextView is what a model's window is, or is to be, filled with.
type ContextView struct {
	ModelName     string        `json:"model_name"`
	WindowTokens  int           `json:"window_tokens"`
	WindowSource  string        `json:"window_source" enum:"model,settings" doc:"The model's config, or the default of the settings"`
	AnswerTokens  int           `json:"answer_tokens" doc:"Kept free for the answer"`
	Budgets       ContextBudget `json:"budgets"`
	Used          ContextUse    `json:"used"`
	TriggerTokens int           `json:"trigger_tokens" doc:"Of the conversation, at which older messages are folded"`
	TargetTokens  int           `json:"target_tokens" doc:"To which they are folded"`
	TokenRatio    float64       `json:"token_ratio" doc:"Tokens of the model for one of the estimate, learned from its provider"`
	Messages      int           `json:"messages" doc:"That are in the window as they are"`
	Folded        int           `json:"folded_messages" doc:"That are in it as a summary"`
	Dropped       int           `json:"dropped_messages" doc:"That do not fit and are in no summary"`
	Measured      *int64        `json:"measured_input_tokens" doc:"As the provider counted; null: it has not"`
}

// ContextBudget is how many tokens each part may have.
type ContextBudget struct {
	History   int `json:"history"`
	Retrieval int `json:"retrieval"`
	Tools     int `json:"tools"`
}

// ContextUse is how many tokens each part has, by estimate.
type ContextUse struct {
	System    int `json:"system"`
	Summary   int `json:"summary"`
	History   int `json:"history" doc:"Messages before the one that is answered"`
	Message   int `json:"message" doc:"The one that is answered"`
	Retrieval int `json:"retrieval"`
	Tools     int `json:"tools"`
	Total     int `json:"total"`
}

// modelConfig are the settings of a model that threads look at.
type modelConfig struct {
	WindowTokens  int      `json:"context_window_tokens"`
	Window        int      `json:"context_window"`
	MaxContext    int      `json:"max_context_tokens"`
	MaxTokens     int      `json:"max_tokens"`
	AcceptsImages *bool    `json:"accepts_images"`
	Temperature   *float64 `json:"temperature"`
}

func configOf(m *Model) modelConfig {
	var c modelConfig
	_ = json.Unmarshal(m.Config, &c) // what is of another type counts as not set
	return c
}

// takesImages tells whether a model takes images: as its config says, else by its
// provider.
func takesImages(m *Model) bool {
	if c := configOf(m); c.AcceptsImages != nil {
		return *c.AcceptsImages
	}
	return m.ProviderKind != "demo"
}

// budget is how a model's window is divided.
type budget struct {
	window  int
	source  string
	answer  int // max tokens of the answer
	parts   ContextBudget
	trigger int
	target  int
}

// divide gives the budgets of a model. The answer has at most a quarter of the window;
// the shares are of the rest.
func divide(m *Model, set *Settings, complexityName string) budget {
	c := configOf(m)
	b := budget{window: set.DefaultWindow, source: windowFromSettings, answer: complexityOf(complexityName).maxTokens}
	for _, w := range []int{c.WindowTokens, c.Window, c.MaxContext} {
		if w > 0 {
			b.window, b.source = min(max(w, minWindow), maxWindow), windowFromModel
			break
		}
	}
	if c.MaxTokens > 0 {
		b.answer = min(b.answer, c.MaxTokens)
	}
	b.answer = min(b.answer, b.window/4)
	rest := b.window - b.answer
	b.parts.History = rest * set.HistoryPercent / 100
	b.parts.Retrieval = rest * set.RetrievalPercent / 100
	b.parts.Tools = rest - b.parts.History - b.parts.Retrieval
	b.trigger = b.parts.History * set.TriggerPercent / 100
	b.target = b.parts.History * set.TargetPercent / 100
	return b
}

func (b *budget) view(m *Model, ratio float64) ContextView {
	return ContextView{
		ModelName: m.Name, WindowTokens: b.window, WindowSource: b.source, AnswerTokens: b.answer, Budgets: b.parts,
		TriggerTokens: b.trigger, TargetTokens: b.target, TokenRatio: ratio,
	}
}
