package httpapi

import (
	"context"
	"net/http"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/postgres"
)

type integrationsOutput struct {
	Body struct {
		Items []IntegrationView `json:"items"`
	}
}

type updateIntegrationInput struct {
	Key     string             `path:"key" maxLength:"64"`
	IfMatch string             `header:"If-Match"`
	Body    map[string]*string `doc:"Members to set; null or empty removes one. What is secret is write-only."`
}

type integrationOutput struct {
	ETag string `header:"ETag"`
	Body IntegrationView
}

func (s *server) registerIntegrations() {
	handle(s, route{
		method: http.MethodGet, path: "/settings/integrations", id: "list-integrations", tag: "settings", permission: auth.Read,
		summary: "Other systems that are configured; they decide which integrated MCP servers there are",
	}, func(ctx context.Context, _ *struct{}) (*integrationsOutput, error) {
		all, err := s.deps.MCP.Servers.Integrations(ctx)
		if err != nil {
			return nil, err
		}
		out := &integrationsOutput{}
		out.Body.Items = make([]IntegrationView, len(all))
		for i, one := range all {
			out.Body.Items[i] = viewIntegration(one)
		}
		return out, nil
	})
	handle(s, route{
		method: http.MethodPatch, path: "/settings/integrations/{key}", id: "update-integration", tag: "settings", permission: auth.Manage, audit: true,
		summary: "Configure another system; its integrated MCP server appears or goes",
	}, func(ctx context.Context, in *updateIntegrationInput) (*integrationOutput, error) {
		revision, err := ifMatch(in.IfMatch)
		if err != nil {
			return nil, err
		}
		return change(ctx, s, "integration.updated", "integration", 0, func(ctx context.Context, tx *postgres.Tx) (*integrationOutput, error) {
			i, err := s.deps.MCP.Servers.SetIntegration(ctx, tx, in.Key, revision, in.Body)
			if err != nil {
				return nil, err
			}
			return &integrationOutput{ETag: etag(i.Revision), Body: viewIntegration(i)}, nil
		})
	})
}
