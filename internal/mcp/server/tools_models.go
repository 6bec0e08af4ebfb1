package server

import (
	"context"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/llm/catalog"
)

func modelTools(r *registry) {
	add(r, spec{
		name: "llmctl_list_models", title: "List models", permission: auth.Read, effect: reads,
		about: "Lists the models that task nodes can use, newest first. A task node's config.model_id is one of their ids.",
	}, func(ctx context.Context, c *call, in PageInput) (PageOutput[Model], error) {
		before, err := in.before()
		if err != nil {
			return PageOutput[Model]{}, err
		}
		rows, err := c.Catalog.ListModels(ctx, before, in.rows(c.limits))
		if err != nil {
			return PageOutput[Model]{}, err
		}
		return paged(rows, in.size(c.limits), func(m *catalog.ModelItem) int64 { return m.Model.ID }, func(m *catalog.ModelItem) Model {
			return viewModel(&m.Model, m.ProviderName, m.ProviderKind)
		}), nil
	})
	add(r, spec{
		name: "llmctl_get_model", title: "Get a model", permission: auth.Read, effect: reads,
		about: "Gives one model: its provider, the provider's name for it, and its default parameters.",
	}, func(ctx context.Context, c *call, in IDInput) (Model, error) {
		m, p, err := c.Catalog.GetModel(ctx, in.ID)
		if err != nil {
			return Model{}, err
		}
		return viewModel(&m, p.Name, p.Kind), nil
	})
}
