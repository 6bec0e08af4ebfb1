package httpapi

import (
	"context"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/mcp/servers"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/serving/proxyfix"
)

// seenAt takes the address at which the browser sees this server, with what a
// trusted proxy says.
type seenAt struct {
	request *http.Request
}

// Resolve implements huma.Resolver.
func (a *seenAt) Resolve(ctx huma.Context) []error {
	a.request, _ = humaUnwrap(ctx)
	return nil
}

func (a *seenAt) url(path string) string { return proxyfix.From(a.request).URL(path) }

func (a *seenAt) path(path string) string { return proxyfix.From(a.request).Path(path) }

type startOAuthInput struct {
	IDInput
	seenAt
}

type startOAuthOutput struct {
	Body struct {
		AuthorizationURL string `json:"authorization_url" doc:"Open it in the browser; it leads back here"`
	}
}

type oauthCallbackInput struct {
	State            string `query:"state" maxLength:"500"`
	Code             string `query:"code" maxLength:"4000"`
	Issuer           string `query:"iss" maxLength:"2000"`
	Error            string `query:"error" maxLength:"200"`
	ErrorDescription string `query:"error_description" maxLength:"2000"`
	seenAt
}

type oauthCallbackOutput struct {
	Location string `header:"Location"`
}

func (s *server) registerMCPOAuth() {
	handle(s, route{
		method: http.MethodPost, path: "/mcp-servers/{id}/oauth/start", id: "start-mcp-oauth", tag: "mcp", permission: auth.Manage, audit: true,
		summary: "Begin an authorization: find the server's authorization server and become a client there",
	}, s.startOAuth)
	handle(s, route{
		method: http.MethodGet, path: "/mcp-servers/oauth/callback", id: "end-mcp-oauth", tag: "mcp", permission: auth.Manage,
		summary: "Where authorization servers send the browser back to; leads on to the page", status: http.StatusSeeOther,
	}, s.endOAuth)
	handle(s, route{
		method: http.MethodDelete, path: "/mcp-servers/{id}/oauth", id: "forget-mcp-oauth", tag: "mcp", permission: auth.Manage, audit: true,
		summary: "Forget the server's authorization", status: http.StatusNoContent,
	}, func(ctx context.Context, in *IDInput) (*struct{}, error) {
		return drop(ctx, s, "mcp_server.oauth_forgotten", "mcp_server", in.ID, func(ctx context.Context, tx *postgres.Tx) error {
			_, err := s.deps.MCP.Servers.Disconnect(ctx, tx, in.ID)
			return err
		})
	})
}

func (s *server) startOAuth(ctx context.Context, in *startOAuthInput) (*startOAuthOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, mcpPatience)
	defer cancel()
	to, err := s.deps.MCP.Servers.Begin(ctx, in.ID, user(ctx).UserID, in.url(s.deps.APIPrefix+"/mcp-servers/oauth/callback"))
	if err != nil {
		return nil, err
	}
	out := &startOAuthOutput{}
	out.Body.AuthorizationURL = to
	return out, s.deps.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		return s.audit(ctx, tx, "mcp_server.oauth_started", "mcp_server", in.ID)
	})
}

// endOAuth always leads back to the page: a browser is shown a sentence, not JSON.
func (s *server) endOAuth(ctx context.Context, in *oauthCallbackInput) (*oauthCallbackOutput, error) {
	q := url.Values{}
	row, err := s.deps.MCP.Servers.End(ctx, user(ctx).UserID, servers.Answer{
		State: in.State, Code: in.Code, Issuer: in.Issuer, Error: in.Error, ErrorDescription: in.ErrorDescription,
	})
	if err != nil {
		e := errs.As(err)
		if e.Code == errs.Internal {
			return nil, err
		}
		q.Set("oauth_error", e.Message)
	} else {
		q.Set("connected", idText(row.ID))
		err = s.deps.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
			return s.audit(ctx, tx, "mcp_server.oauth_connected", "mcp_server", row.ID)
		})
		if err != nil {
			return nil, err
		}
	}
	return &oauthCallbackOutput{Location: in.path(s.deps.WebPrefix+"/mcp-servers") + "?" + q.Encode()}, nil
}
