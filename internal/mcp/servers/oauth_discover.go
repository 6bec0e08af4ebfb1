package servers

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"golang.org/x/oauth2"

	"github.com/llmctl/studio/internal/errs"
)

// discovered is what a server says of how to be authorized.
type discovered struct {
	resource string
	scopes   []string
	as       *oauthex.AuthServerMeta
}

// discover finds a server's authorization server: where the server's refusal
// points, else at the well-known addresses, else at the server's own origin.
func (r *Registry) discover(ctx context.Context, address string) (discovered, error) {
	metadata, scopes, err := r.challenge(ctx, address)
	if err != nil {
		return discovered{}, err
	}
	d := discovered{resource: address, scopes: scopes}
	issuer := homeOf(StreamableHTTP, Config{URL: address})
	for _, at := range metadataAddresses(metadata, address) {
		found, err := oauthex.GetProtectedResourceMetadata(ctx, at.address, at.resource, r.o.Client)
		if err != nil || found == nil {
			continue
		}
		if len(found.AuthorizationServers) == 0 {
			return d, oauthError("The server describes itself as protected, but names no authorization server.", nil)
		}
		issuer, d.resource = found.AuthorizationServers[0], found.Resource
		if len(d.scopes) == 0 {
			d.scopes = found.ScopesSupported
		}
		break
	}
	d.as, err = auth.GetAuthServerMetadata(ctx, issuer, r.o.Client)
	switch {
	case err != nil:
		return d, oauthError(fmt.Sprintf("The authorization server %s cannot be used: %s.", issuer, strings.TrimSuffix(err.Error(), ".")), err)
	case d.as == nil:
		return d, oauthError("The server asks for no authorization that is described: neither it nor "+issuer+" has the metadata of OAuth.", nil)
	case !slices.Contains(d.as.CodeChallengeMethodsSupported, "S256"):
		return d, oauthError("The authorization server "+issuer+" does not support PKCE with S256.", nil)
	}
	if slices.Contains(d.as.ScopesSupported, "offline_access") && !slices.Contains(d.scopes, "offline_access") {
		d.scopes = append(slices.Clone(d.scopes), "offline_access")
	}
	return d, nil
}

func oauthError(message string, cause error) error {
	return errs.E(errs.Precondition, "mcp_server.oauth", message).With(cause)
}

// challenge asks the server without a token and reads its refusal.
func (r *Registry) challenge(ctx context.Context, address string) (metadata string, scopes []string, err error) {
	body := strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, body)
	if err != nil {
		return "", nil, fmt.Errorf("ask MCP server: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	res, err := r.o.Client.Do(req)
	if err != nil {
		return "", nil, oauthError("The server cannot be reached: "+err.Error()+".", err)
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10)
	challenges, err := oauthex.ParseWWWAuthenticate(res.Header.Values("WWW-Authenticate"))
	if err != nil {
		return "", nil, nil // the well-known addresses are tried instead
	}
	for _, c := range challenges {
		if c.Scheme == "bearer" {
			return c.Params["resource_metadata"], strings.Fields(c.Params["scope"]), nil
		}
	}
	return "", nil, nil
}

type metadataAddress struct{ address, resource string }

// metadataAddresses lists where the metadata of a protected resource may be.
func metadataAddresses(given, server string) []metadataAddress {
	var out []metadataAddress
	if given != "" {
		out = append(out, metadataAddress{given, server})
	}
	u, err := url.Parse(server)
	if err != nil {
		return out
	}
	const wellKnown = "/.well-known/oauth-protected-resource"
	origin := url.URL{Scheme: u.Scheme, Host: u.Host}
	at := origin
	at.Path = wellKnown + "/" + strings.TrimLeft(u.Path, "/")
	out = append(out, metadataAddress{at.String(), server})
	at.Path = wellKnown
	return append(out, metadataAddress{at.String(), origin.String()})
}

// client is who we are at an authorization server.
type client struct {
	ID     string           `json:"id"`
	Secret string           `json:"secret,omitempty"`
	Style  oauth2.AuthStyle `json:"style"`
}

// register gives the client that was registered by hand, or registers one.
func (r *Registry) register(ctx context.Context, s Server, d discovered, redirect string) (client, error) {
	if s.OauthClientID != "" {
		held, err := r.Secrets(s)
		if err != nil {
			return client{}, err
		}
		style := oauth2.AuthStyleInParams
		if held.Client != "" && !slices.Contains(d.as.TokenEndpointAuthMethodsSupported, "client_secret_post") {
			style = oauth2.AuthStyleInHeader
		}
		return client{ID: s.OauthClientID, Secret: held.Client, Style: style}, nil
	}
	if d.as.RegistrationEndpoint == "" {
		return client{}, oauthError("The authorization server "+d.as.Issuer+" registers no clients by itself. Register the Studio there by hand, with the redirect address "+
			redirect+", and enter the client's id (and secret) at the server.", nil)
	}
	method := "none"
	if m := d.as.TokenEndpointAuthMethodsSupported; len(m) > 0 && !slices.Contains(m, method) {
		method = m[0]
	}
	made, err := oauthex.RegisterClient(ctx, d.as.RegistrationEndpoint, &oauthex.ClientRegistrationMetadata{
		RedirectURIs: []string{redirect}, TokenEndpointAuthMethod: method, ClientName: "llmctl Studio",
		GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"}, Scope: strings.Join(d.scopes, " "),
	}, r.o.Client)
	if err != nil {
		return client{}, oauthError("The authorization server "+d.as.Issuer+" refused to register the Studio: "+err.Error()+".", err)
	}
	c := client{ID: made.ClientID, Secret: made.ClientSecret, Style: oauth2.AuthStyleInHeader}
	if m := made.TokenEndpointAuthMethod; m == "client_secret_post" || m == "none" || (m == "" && made.ClientSecret == "") {
		c.Style = oauth2.AuthStyleInParams
	}
	return c, nil
}
