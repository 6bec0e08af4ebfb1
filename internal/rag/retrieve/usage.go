package retrieve

import (
	"context"

	"github.com/llmctl/studio/internal/llm"
)

// What models are asked for.
const (
	UseEmbed  = "embed"
	UseRerank = "rerank"
	UseAnswer = "answer"
)

// Use is one call of a model for a question.
type Use struct {
	For          string `json:"for" enum:"embed,rerank,answer"`
	Model        string `json:"model"`
	InputTokens  int64  `json:"input_tokens" doc:"As the provider counts, or an estimate for an embedding model that does not"`
	OutputTokens int64  `json:"output_tokens"`
	CostMicros   *int64 `json:"cost_micros" doc:"Millionths of the currency; null: the model has no price"`
}

// QueryUsage is what a question used of models.
type QueryUsage struct {
	Currency   string `json:"currency" doc:"That of the prices; empty where nothing was used"`
	CostMicros *int64 `json:"cost_micros" doc:"Of all calls; null: a model has no price"`
	Calls      []Use  `json:"calls"`
}

// Pricer says what tokens cost of a model of the settings, or for answers of the named one (0: that of the settings). A nil cost: it has
// no price.
type Pricer func(ctx context.Context, use string, modelID int64, u llm.Usage) (cost *int64, currency string, err error)

// used notes a call of a model. That its price cannot be read is no failure of the question.
func (s *Service) used(ctx context.Context, to *QueryUsage, use, model string, modelID int64, u llm.Usage) {
	if u == (llm.Usage{}) {
		return // a provider that does not count
	}
	call := Use{For: use, Model: model, InputTokens: u.InputTokens, OutputTokens: u.OutputTokens}
	if s.o.Price != nil {
		cost, currency, err := s.o.Price(ctx, use, modelID, u)
		if err != nil {
			s.o.Logger.WarnContext(ctx, "the price of a model cannot be read", "model", model, "error", err)
		}
		call.CostMicros, to.Currency = cost, currency
	}
	to.Calls = append(to.Calls, call)
	to.CostMicros = new(int64)
	for _, c := range to.Calls {
		if c.CostMicros == nil {
			to.CostMicros = nil
			return
		}
		*to.CostMicros += *c.CostMicros
	}
}
