package index

import (
	"context"
	"fmt"

	"github.com/llmctl/studio/internal/postgres"
)

// RunUsage is what an index run used of the embedding model.
type RunUsage struct {
	Tokens     int64  `json:"tokens" doc:"As the provider counts, or an estimate if it does not; vectors that were known cost none"`
	CostMicros *int64 `json:"cost_micros" doc:"In millionths of the currency, at the price that is set now; null: the model has none"`
	Currency   string `json:"currency"`
}

// Prices are those of models as they are set now.
type Prices struct {
	Currency string
	// Cost is what input tokens of a model cost, in millionths of the currency; nil: it has no price.
	Cost func(model string, tokens int64) *int64
}

// price fills in what runs cost.
func (s *Service) price(ctx context.Context, q postgres.Querier, runs ...*RunDetail) error {
	for _, r := range runs {
		r.Usage.Tokens = r.Counts.Tokens
	}
	if s.o.Prices == nil || len(runs) == 0 {
		return nil
	}
	p, err := s.o.Prices(ctx, q)
	if err != nil {
		return fmt.Errorf("read prices: %w", err)
	}
	for _, r := range runs {
		r.Usage.Currency = p.Currency
		if r.Embedder != nil {
			r.Usage.CostMicros = p.Cost(r.Embedder.Model, r.Usage.Tokens)
		}
	}
	return nil
}
