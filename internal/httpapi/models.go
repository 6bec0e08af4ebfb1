package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/postgres"
)

type modelView struct {
	ID           int64           `json:"id"`
	Name         string          `json:"name"`
	ProviderID   int64           `json:"provider_id"`
	ProviderName string          `json:"provider_name"`
	ProviderKind string          `json:"provider_kind"`
	Model        string          `json:"model" doc:"The provider's name for it"`
	Config       json.RawMessage `json:"config"`
	CreatedAt    time.Time       `json:"created_at"`
	UpdatedAt    time.Time       `json:"updated_at"`
}

func viewModel(m catalog.Model, providerName, providerKind string) modelView {
	return modelView{
		ID: m.ID, Name: m.Name, ProviderID: m.ProviderID, ProviderName: providerName, ProviderKind: providerKind,
		Model: m.Model, Config: m.Config, CreatedAt: m.CreatedAt, UpdatedAt: m.UpdatedAt,
	}
}

type createModelInput struct {
	IdempotencyKey string `header:"Idempotency-Key"`
	Body           struct {
		Name       string         `json:"name" minLength:"1" maxLength:"100"`
		ProviderID int64          `json:"provider_id" minimum:"1"`
		Model      string         `json:"model" minLength:"1" maxLength:"200" doc:"The provider's name for it"`
		Config     map[string]any `json:"config,omitempty" doc:"Defaults for params: temperature, max_tokens, ..."`
	}
}

type updateModelInput struct {
	IDInput
	IfMatch string `header:"If-Match"`
	Body    struct {
		Name       *string        `json:"name,omitempty" minLength:"1" maxLength:"100"`
		ProviderID *int64         `json:"provider_id,omitempty" minimum:"1"`
		Model      *string        `json:"model,omitempty" minLength:"1" maxLength:"200"`
		Config     map[string]any `json:"config,omitempty"`
	}
}

type modelOutput struct {
	ETag string `header:"ETag"`
	Body modelView
}

func (s *server) registerModels() {
	handle(s, route{
		method: http.MethodGet, path: "/models", id: "list-models", tag: "models", permission: auth.Read, summary: "Models",
	}, func(ctx context.Context, in *PageInput) (*pageOutput[modelView], error) {
		before, err := in.before()
		if err != nil {
			return nil, err
		}
		rows, err := s.deps.Catalog.ListModels(ctx, before, in.Limit+1)
		if err != nil {
			return nil, err
		}
		return paged(rows, in.Limit, func(m catalog.ModelItem) int64 { return m.Model.ID }, func(m catalog.ModelItem) modelView {
			return viewModel(m.Model, m.ProviderName, m.ProviderKind)
		}), nil
	})
	handle(s, route{
		method: http.MethodPost, path: "/models", id: "create-model", tag: "models", permission: auth.Manage,
		audit: true, idempotent: true, summary: "Add a model", status: http.StatusCreated,
	}, s.createModel)
	handle(s, route{
		method: http.MethodGet, path: "/models/{id}", id: "get-model", tag: "models", permission: auth.Read, summary: "A model",
	}, func(ctx context.Context, in *IDInput) (*modelOutput, error) { return s.model(ctx, s.deps.DB, in.ID) })
	handle(s, route{
		method: http.MethodPatch, path: "/models/{id}", id: "update-model", tag: "models", permission: auth.Manage,
		audit: true, summary: "Change a model",
	}, s.updateModel)
	handle(s, route{
		method: http.MethodDelete, path: "/models/{id}", id: "delete-model", tag: "models", permission: auth.Manage,
		audit: true, summary: "Delete a model", status: http.StatusNoContent,
	}, func(ctx context.Context, in *IDInput) (*struct{}, error) {
		return drop(ctx, s, "model.deleted", "model", in.ID, func(ctx context.Context, tx *postgres.Tx) error {
			return s.deps.Catalog.DeleteModel(ctx, tx, in.ID)
		})
	})
}

func (s *server) model(ctx context.Context, q postgres.Querier, id int64) (*modelOutput, error) {
	m, p, err := s.deps.Catalog.GetModelIn(ctx, q, id)
	if err != nil {
		return nil, err
	}
	return &modelOutput{ETag: etag(m.Revision), Body: viewModel(m, p.Name, p.Kind)}, nil
}

func (s *server) createModel(ctx context.Context, in *createModelInput) (*modelOutput, error) {
	config, err := json.Marshal(in.Body.Config)
	if err != nil {
		return nil, err
	}
	return idempotent(ctx, s, "create-model", in.IdempotencyKey, in.Body, func(ctx context.Context, tx *postgres.Tx) (*modelOutput, error) {
		m, err := s.deps.Catalog.CreateModel(ctx, tx, catalog.ModelFields{
			Name: in.Body.Name, ProviderID: in.Body.ProviderID, Model: in.Body.Model, Config: config,
		})
		if err != nil {
			return nil, err
		}
		if err := s.audit(ctx, tx, "model.created", "model", m.ID); err != nil {
			return nil, err
		}
		return s.model(ctx, tx, m.ID)
	})
}

func (s *server) updateModel(ctx context.Context, in *updateModelInput) (*modelOutput, error) {
	revision, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	var config json.RawMessage
	if in.Body.Config != nil {
		if config, err = json.Marshal(in.Body.Config); err != nil {
			return nil, err
		}
	}
	return change(ctx, s, "model.updated", "model", in.ID, func(ctx context.Context, tx *postgres.Tx) (*modelOutput, error) {
		_, err := s.deps.Catalog.UpdateModel(ctx, tx, in.ID, revision, func(f *catalog.ModelFields) {
			if in.Body.Name != nil {
				f.Name = *in.Body.Name
			}
			if in.Body.ProviderID != nil {
				f.ProviderID = *in.Body.ProviderID
			}
			if in.Body.Model != nil {
				f.Model = *in.Body.Model
			}
			if config != nil {
				f.Config = config
			}
		})
		if err != nil {
			return nil, err
		}
		return s.model(ctx, tx, in.ID)
	})
}
