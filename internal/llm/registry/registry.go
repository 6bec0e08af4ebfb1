// Package registry makes the provider for a kind. It is apart from llm only
// because the providers import that.
package registry

import (
	"net/http"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/anthropic"
	"github.com/llmctl/studio/internal/llm/demo"
	"github.com/llmctl/studio/internal/llm/gemini"
	"github.com/llmctl/studio/internal/llm/openai"
)

// The kinds of providers.
const (
	OpenAI    = "openai"
	Anthropic = "anthropic"
	Gemini    = "gemini"
	Demo      = "demo"
)

// Kinds lists them in the order in which users see them.
func Kinds() []string { return []string{OpenAI, Anthropic, Gemini, Demo} }

// Spec describes one configured provider. Name is the user's name for it.
type Spec struct {
	Kind    string
	Name    string
	BaseURL string // "" means the provider's own
	APIKey  string
}

// New makes the provider. client should come from llm.NewClient and be shared, so
// that connections are; nil makes one. A wrong spec is errs.Invalid.
func New(s Spec, client *http.Client) (llm.Provider, error) {
	if client == nil {
		client = llm.NewClient(llm.ClientOptions{})
	}
	var p llm.Provider
	var err error
	switch s.Kind {
	case OpenAI:
		p, err = openai.New(s.Name, s.BaseURL, s.APIKey, client)
	case Anthropic:
		p, err = anthropic.New(s.Name, s.BaseURL, s.APIKey, client)
	case Gemini:
		p, err = gemini.New(s.Name, s.BaseURL, s.APIKey, client)
	case Demo:
		return demo.New(s.Name, 0), nil
	default:
		return nil, errs.Ef(errs.Invalid, "provider.kind", "There is no kind of provider called %q.", s.Kind)
	}
	if err != nil {
		return nil, errs.Ef(errs.Invalid, "provider.base_url", "The base URL of %s is not a URL such as https://host/v1.", s.Name).With(err)
	}
	return p, nil
}
