package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/postgres"
)

// ProviderView is a provider as it is shown; its key never is.
type ProviderView struct {
	ID                int64      `json:"id"`
	Name              string     `json:"name"`
	Kind              string     `json:"kind" enum:"openai,anthropic,gemini,demo"`
	BaseURL           string     `json:"base_url"`
	APIKeySet         bool       `json:"api_key_set" doc:"The key itself is never shown"`
	APIKeyFingerprint string     `json:"api_key_fingerprint"`
	APIKeySetAt       *time.Time `json:"api_key_set_at"`
	CreatedAt         time.Time  `json:"created_at"`
	UpdatedAt         time.Time  `json:"updated_at"`
}

func viewProvider(p catalog.Provider) ProviderView {
	return ProviderView{
		ID: p.ID, Name: p.Name, Kind: p.Kind, BaseURL: p.BaseUrl, APIKeySet: p.ApiKeyCiphertext != nil,
		APIKeyFingerprint: p.ApiKeyFingerprint, APIKeySetAt: p.ApiKeySetAt, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
	}
}

// ProviderTest is what "test connection" found.
type ProviderTest struct {
	OK        bool   `json:"ok"`
	LatencyMS int64  `json:"latency_ms"`
	Message   string `json:"message"`
	Kind      string `json:"kind,omitempty" doc:"Of a failure: auth, rate_limit, unavailable, ..."`
	Models    int    `json:"models"`
}

// ProviderModel is a model that a provider's server offers.
type ProviderModel struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	ContextTokens int64  `json:"context_tokens"`
}

type createProviderInput struct {
	IdempotencyKey string `header:"Idempotency-Key"`
	Body           struct {
		Name    string `json:"name" minLength:"1" maxLength:"100"`
		Kind    string `json:"kind" enum:"openai,anthropic,gemini,demo" doc:"openai is any OpenAI-compatible server"`
		BaseURL string `json:"base_url,omitempty" maxLength:"500" doc:"Includes /v1 for kind openai; empty: the provider's own"`
		APIKey  string `json:"api_key,omitempty" maxLength:"500" doc:"Write-only"`
	}
}

type updateProviderInput struct {
	IDInput
	IfMatch string `header:"If-Match"`
	Body    struct {
		Name    *string `json:"name,omitempty" minLength:"1" maxLength:"100"`
		BaseURL *string `json:"base_url,omitempty" maxLength:"500"`
		APIKey  *string `json:"api_key,omitempty" maxLength:"500" doc:"Write-only; empty removes it"`
	}
}

type providerOutput struct {
	ETag string `header:"ETag"`
	Body ProviderView
}

type updatedProviderOutput struct {
	ETag string `header:"ETag"`
	Body struct {
		ProviderView
		APIKeyRemoved bool   `json:"api_key_removed" doc:"base_url moved to another origin without a new key, so the stored one was removed"`
		Notice        string `json:"notice,omitempty" doc:"For people: what happened to the key and what to do"`
	}
}

func updatedProviderOut(u catalog.ProviderUpdate) *updatedProviderOutput {
	out := &updatedProviderOutput{ETag: etag(u.Provider.Revision)}
	out.Body.ProviderView, out.Body.APIKeyRemoved = viewProvider(u.Provider), u.KeyRemoved
	if u.KeyRemoved {
		out.Body.Notice = fmt.Sprintf("The base URL moved from %s to %s, so the stored API key was removed: it was entered for the old address. "+
			"Set the key for the new one.", u.MovedFrom, u.MovedTo)
	}
	return out
}

func providerOut(p catalog.Provider) *providerOutput {
	return &providerOutput{ETag: etag(p.Revision), Body: viewProvider(p)}
}

type testOutput struct{ Body ProviderTest }

func checkBaseURL(raw string) error {
	if raw == "" {
		return nil
	}
	if u, err := url.Parse(raw); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errs.E(errs.Invalid, "provider.base_url", "The base URL cannot be used.",
			errs.Detail{Location: "body.base_url", Message: "is not an http:// or https:// address such as http://localhost:8000/v1"})
	}
	return nil
}

func (s *server) registerProviders() {
	handle(s, route{
		method: http.MethodGet, path: "/providers", id: "list-providers", tag: "models", permission: auth.Read, summary: "Providers",
	}, func(ctx context.Context, in *PageInput) (*pageOutput[ProviderView], error) {
		before, err := in.before()
		if err != nil {
			return nil, err
		}
		rows, err := s.deps.Catalog.ListProviders(ctx, before, in.Limit+1)
		if err != nil {
			return nil, err
		}
		return paged(rows, in.Limit, func(p catalog.Provider) int64 { return p.ID }, viewProvider), nil
	})
	handle(s, route{
		method: http.MethodPost, path: "/providers", id: "create-provider", tag: "models", permission: auth.Manage,
		audit: true, idempotent: true, summary: "Add a provider", status: http.StatusCreated,
	}, s.createProvider)
	handle(s, route{
		method: http.MethodGet, path: "/providers/{id}", id: "get-provider", tag: "models", permission: auth.Read, summary: "A provider",
	}, func(ctx context.Context, in *IDInput) (*providerOutput, error) {
		p, err := s.deps.Catalog.GetProvider(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return providerOut(p), nil
	})
	handle(s, route{
		method: http.MethodPatch, path: "/providers/{id}", id: "update-provider", tag: "models", permission: auth.Manage,
		audit: true, summary: "Change a provider",
	}, s.updateProvider)
	handle(s, route{
		method: http.MethodDelete, path: "/providers/{id}", id: "delete-provider", tag: "models", permission: auth.Manage,
		audit: true, summary: "Delete a provider that no model uses", status: http.StatusNoContent,
	}, func(ctx context.Context, in *IDInput) (*struct{}, error) {
		return drop(ctx, s, "provider.deleted", "provider", in.ID, func(ctx context.Context, tx *postgres.Tx) error {
			return s.deps.Catalog.DeleteProvider(ctx, tx, in.ID)
		})
	})
	handle(s, route{
		method: http.MethodPost, path: "/providers/{id}/test", id: "test-provider", tag: "models", permission: auth.Manage,
		summary: "Try to reach the provider with its key",
	}, s.testProvider)
	handle(s, route{
		method: http.MethodGet, path: "/providers/{id}/models", id: "list-provider-models", tag: "models", permission: auth.Read,
		summary: "What the provider's server offers",
	}, s.providerModels)
}

func (s *server) createProvider(ctx context.Context, in *createProviderInput) (*providerOutput, error) {
	if err := checkBaseURL(in.Body.BaseURL); err != nil {
		return nil, err
	}
	return idempotent(ctx, s, "create-provider", in.IdempotencyKey, in.Body, func(ctx context.Context, tx *postgres.Tx) (*providerOutput, error) {
		f := catalog.ProviderFields{Name: in.Body.Name, Kind: in.Body.Kind, BaseURL: in.Body.BaseURL}
		if in.Body.APIKey != "" {
			f.APIKey = &in.Body.APIKey
		}
		p, err := s.deps.Catalog.CreateProvider(ctx, tx, f)
		if err != nil {
			return nil, err
		}
		return providerOut(p), s.audit(ctx, tx, "provider.created", "provider", p.ID)
	})
}

func (s *server) updateProvider(ctx context.Context, in *updateProviderInput) (*updatedProviderOutput, error) {
	revision, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	if in.Body.BaseURL != nil {
		if err := checkBaseURL(*in.Body.BaseURL); err != nil {
			return nil, err
		}
	}
	var u catalog.ProviderUpdate
	err = s.deps.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		u, err = s.deps.Catalog.UpdateProvider(ctx, tx, in.ID, revision, func(f *catalog.ProviderFields) {
			if in.Body.Name != nil {
				f.Name = *in.Body.Name
			}
			if in.Body.BaseURL != nil {
				f.BaseURL = *in.Body.BaseURL
			}
			f.APIKey = in.Body.APIKey
		})
		if err != nil {
			return err
		}
		return auth.Audit(ctx, tx, auth.AuditEntry{
			UserID: user(ctx).UserID, Action: "provider.updated", EntityKind: "provider", EntityID: strconv.FormatInt(in.ID, 10),
			Detail: detailOf(u, in.Body.APIKey),
		})
	})
	if err != nil {
		return nil, err
	}
	return updatedProviderOut(u), nil
}

// detailOf tells in the audit log what became of address and key; nil if both
// stayed.
func detailOf(u catalog.ProviderUpdate, key *string) map[string]any {
	d := map[string]any{}
	if u.MovedFrom != u.MovedTo {
		d["base_url_origin"] = map[string]string{"from": u.MovedFrom, "to": u.MovedTo}
	}
	switch {
	case u.KeyRemoved:
		d["api_key"] = "removed: base_url moved to another origin"
	case key != nil && *key == "":
		d["api_key"] = "removed"
	case key != nil:
		d["api_key"] = "set"
	}
	if len(d) == 0 {
		return nil
	}
	return d
}

func (s *server) withKey(ctx context.Context, id int64) (catalog.Provider, string, error) {
	p, err := s.deps.Catalog.GetProvider(ctx, id)
	if err != nil {
		return p, "", err
	}
	key, err := s.deps.Catalog.Key(p)
	return p, key, err
}

func (s *server) testProvider(ctx context.Context, in *IDInput) (*testOutput, error) {
	p, key, err := s.withKey(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	res, err := s.deps.Providers.Test(ctx, p, key)
	if err != nil {
		return nil, err
	}
	return &testOutput{Body: res}, nil
}

func (s *server) providerModels(ctx context.Context, in *IDInput) (*pageOutput[ProviderModel], error) {
	p, key, err := s.withKey(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	models, err := s.deps.Providers.Models(ctx, p, key)
	if err != nil {
		return nil, err
	}
	return &pageOutput[ProviderModel]{Body: page[ProviderModel]{Items: models}}, nil
}
