package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/rag/retrieve"
	"github.com/llmctl/studio/internal/rag/settings"
	"github.com/llmctl/studio/internal/telemetry"
)

// useIndex is, beside those of package retrieve, what retrieval asks models for.
const useIndex = "index"

// ragPrices makes costs of what retrieval uses of models, by the table of the settings of threads, which has all models.
type ragPrices struct {
	db *postgres.DB

	mu    sync.Mutex
	spent map[string]uint64 // by use, in millionths of the currency
}

func newRagPrices(db *postgres.DB) *ragPrices { return &ragPrices{db: db, spent: map[string]uint64{}} }

func (p *ragPrices) measure(m *telemetry.Metrics) {
	m.Counters("llmctl_retrieval_cost_micros_total",
		"What retrieval spent on models that have a price, in millionths of the currency, by use: index, embed (questions), rerank, answer.", "use",
		func() map[string]uint64 {
			p.mu.Lock()
			defer p.mu.Unlock()
			return maps.Clone(p.spent)
		})
}

func (p *ragPrices) count(use string, cost *int64) {
	if cost == nil || *cost <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spent[use] += uint64(*cost)
}

// question implements retrieve.Pricer.
func (p *ragPrices) question(ctx context.Context, use string, modelID int64, u llm.Usage) (cost *int64, currency string, err error) {
	id := &modelID
	if modelID == 0 {
		set, _, err := settings.Load(ctx, p.db)
		if err != nil {
			return nil, "", err
		}
		id = map[string]*int64{retrieve.UseEmbed: set.EmbeddingModelID, retrieve.UseRerank: set.RerankModelID, retrieve.UseAnswer: set.SynthesisModelID}[use]
	}
	set, _, err := chat.LoadSettings(ctx, p.db)
	if err != nil {
		return nil, "", err
	}
	cost = set.Cost(id, u.InputTokens, u.CachedTokens, u.OutputTokens)
	p.count(use, cost)
	return cost, set.Currency, nil
}

// index implements index.Options.Prices. Runs know their model by the provider's name for it; of several with one name, the newest that
// has a price counts.
func (p *ragPrices) index(ctx context.Context, q postgres.Querier) (index.Prices, error) {
	set, _, err := chat.LoadSettings(ctx, q)
	if err != nil {
		return index.Prices{}, err
	}
	ids := make([]int64, len(set.Prices))
	for i, price := range set.Prices {
		ids[i] = price.ModelID
	}
	rows, err := q.Query(ctx, `SELECT id, model FROM model WHERE id = ANY ($1::bigint[]) ORDER BY id DESC`, ids)
	if err != nil {
		return index.Prices{}, fmt.Errorf("read models: %w", err)
	}
	type priced struct {
		ID    int64
		Model string
	}
	models, err := pgx.CollectRows(rows, pgx.RowToStructByPos[priced])
	if err != nil {
		return index.Prices{}, fmt.Errorf("read models: %w", err)
	}
	return index.Prices{Currency: set.Currency, Cost: func(model string, tokens int64) *int64 {
		at := slices.IndexFunc(models, func(m priced) bool { return m.Model == model })
		if at < 0 {
			return nil
		}
		return set.Cost(&models[at].ID, tokens, 0, 0)
	}}, nil
}

// indexed counts what a request of an index run cost. That the price cannot be read is no failure of the run.
func (p *ragPrices) indexed(ctx context.Context, model string, tokens int64) {
	if tokens == 0 {
		return
	}
	if prices, err := p.index(ctx, p.db); err == nil {
		p.count(useIndex, prices.Cost(model, tokens))
	}
}
