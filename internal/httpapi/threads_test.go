package httpapi_test

import (
	"context"

	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/postgres"
)

// catalogModels are the models of the catalog, as threads know them.
type catalogModels struct{ catalog *catalog.Catalog }

func (c catalogModels) Model(ctx context.Context, q postgres.Querier, id int64) (chat.Model, error) {
	m, p, err := c.catalog.GetModelIn(ctx, q, id)
	return chat.Model{ID: m.ID, Name: m.Name, ProviderKind: p.Kind, ProviderName: p.Name, Model: m.Model, Config: m.Config}, err
}

type noTurns struct{}

func (noTurns) Enqueue(context.Context, *postgres.Tx, []chat.Pointer) error { return nil }
