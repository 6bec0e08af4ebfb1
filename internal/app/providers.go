package app

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/llm/registry"
)

// providers connects the catalog's rows to the provider clients.
type providers struct {
	catalog *catalog.Catalog
	client  *http.Client
	now     func() time.Time
}

func (p *providers) open(row catalog.Provider, key string) (llm.Provider, error) {
	return registry.New(registry.Spec{Kind: row.Kind, Name: row.Name, BaseURL: row.BaseUrl, APIKey: key}, p.client)
}

// Test implements httpapi.Providers. That the provider cannot be reached is a
// result, not an error.
func (p *providers) Test(ctx context.Context, row catalog.Provider, key string) (httpapi.ProviderTest, error) {
	provider, err := p.open(row, key)
	if err != nil {
		return httpapi.ProviderTest{}, err
	}
	began := p.now()
	res, err := provider.Test(ctx)
	out := httpapi.ProviderTest{OK: err == nil, LatencyMS: p.now().Sub(began).Milliseconds(), Message: res.Message, Models: res.Models}
	if e, ok := errors.AsType[*llm.Error](err); ok {
		out.Message, out.Kind = e.Message, string(e.Kind)
	} else if err != nil {
		return out, err
	}
	return out, nil
}

// Models implements httpapi.Providers.
func (p *providers) Models(ctx context.Context, row catalog.Provider, key string) ([]httpapi.ProviderModel, error) {
	provider, err := p.open(row, key)
	if err != nil {
		return nil, err
	}
	models, err := provider.Models(ctx)
	if e, ok := errors.AsType[*llm.Error](err); ok {
		return nil, errs.E(errs.Unavailable, "provider."+string(e.Kind), e.Message).With(err).Retry(e.RetryAfter)
	}
	if err != nil {
		return nil, err
	}
	out := make([]httpapi.ProviderModel, len(models))
	for i, m := range models {
		out[i] = httpapi.ProviderModel{ID: m.ID, Name: m.Name, ContextTokens: m.ContextTokens}
	}
	return out, nil
}

// Resolve implements node.Models: the model with just the secret that it needs.
func (p *providers) Resolve(ctx context.Context, modelID int64) (executor.Model, map[string]string, error) {
	m, row, err := p.catalog.GetModel(ctx, modelID)
	if err != nil {
		return executor.Model{}, nil, err
	}
	key, err := p.catalog.Key(row)
	if err != nil {
		return executor.Model{}, nil, err
	}
	return executor.Model{
		ID: m.ID, Name: m.Name, ProviderKind: row.Kind, ProviderName: row.Name, BaseURL: row.BaseUrl, Model: m.Model, Config: m.Config,
	}, map[string]string{"api_key": key}, nil
}
