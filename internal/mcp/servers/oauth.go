package servers

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/mcp/servers/dbsqlc"
	"github.com/llmctl/studio/internal/postgres"
)

// OAuth is what may be shown of a server's authorization.
type OAuth struct {
	Issuer       string     `json:"issuer"`
	Scopes       []string   `json:"scopes,omitempty"`
	ClientID     string     `json:"client_id"`
	ExpiresAt    *time.Time `json:"expires_at,omitempty"`
	Refreshes    bool       `json:"refreshes"`
	AuthorizedAt *time.Time `json:"authorized_at,omitempty"`
}

// OAuthOf tells of a server's authorization; the zero value if there is none.
func OAuthOf(s Server) OAuth {
	var o OAuth
	if len(s.Oauth) > 0 {
		_ = json.Unmarshal(s.Oauth, &o) // we wrote it
	}
	return o
}

// flow is an authorization that was begun. It is kept sealed in the database, so
// that any process can end it.
type flow struct {
	Issuer, AuthURL, TokenURL string
	NeedsIssuer               bool // the answer has to name the issuer
	Resource, Redirect        string
	Home                      string // what the tokens are for
	Scopes                    []string
	Client                    client
	Verifier                  string
}

// grant is what a finished authorization leaves.
type grant struct {
	TokenURL, Resource string
	Client             client
	Access, Type       string
	Refresh            string
	Expiry             time.Time
}

func (f flow) config() *oauth2.Config {
	return &oauth2.Config{
		ClientID: f.Client.ID, ClientSecret: f.Client.Secret, RedirectURL: f.Redirect, Scopes: f.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: f.AuthURL, TokenURL: f.TokenURL, AuthStyle: f.Client.Style},
	}
}

// Begin begins an authorization: it finds the authorization server, becomes a
// client there and gives the address that the user's browser is to open. Errors:
// not_found, invalid for a stdio server, precondition with what stands in the way.
func (r *Registry) Begin(ctx context.Context, id, userID int64, redirect string) (string, error) {
	s, err := r.Get(ctx, id)
	if err != nil {
		return "", err
	}
	if s.Transport == Stdio {
		return "", errs.E(errs.Invalid, "mcp_server.oauth", "A program that is started here needs no authorization; give it what it needs as environment.")
	}
	d, err := r.discover(ctx, configOf(s).URL)
	if err != nil {
		return "", err
	}
	c, err := r.register(ctx, s, d, redirect)
	if err != nil {
		return "", err
	}
	f := flow{
		Issuer: d.as.Issuer, AuthURL: d.as.AuthorizationEndpoint, TokenURL: d.as.TokenEndpoint, NeedsIssuer: d.as.AuthorizationResponseIssParameterSupported,
		Resource: d.resource, Redirect: redirect, Home: homeOf(s.Transport, configOf(s)), Scopes: d.scopes, Client: c, Verifier: oauth2.GenerateVerifier(),
	}
	state := rand.Text()
	if err := r.keepFlow(ctx, id, userID, state, f); err != nil {
		return "", err
	}
	return f.config().AuthCodeURL(state, oauth2.S256ChallengeOption(f.Verifier), oauth2.SetAuthURLParam("resource", f.Resource)), nil
}

func (r *Registry) keepFlow(ctx context.Context, id, userID int64, state string, f flow) error {
	hash := sha256.Sum256([]byte(state))
	sealed, err := seal(r.o.Seal, f, flowBinding(id))
	if err != nil {
		return err
	}
	return r.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		if err := r.q.DropOldOAuthFlows(ctx, tx); err != nil {
			return fmt.Errorf("drop old authorizations: %w", err)
		}
		return r.q.InsertOAuthFlow(ctx, tx, dbsqlc.InsertOAuthFlowParams{StateHash: hash[:], McpServerID: id, AppUserID: userID, Ciphertext: sealed})
	})
}

func flowBinding(id int64) string { return binding(id) + ":flow" }

// Answer is what an authorization server sends the browser back with.
type Answer struct{ State, Code, Issuer, Error, ErrorDescription string }

// End ends an authorization with the answer that the browser brought. Errors:
// precondition with what went wrong.
func (r *Registry) End(ctx context.Context, userID int64, a Answer) (Server, error) {
	hash := sha256.Sum256([]byte(a.State))
	var row dbsqlc.McpOauthFlow
	err := r.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) (err error) {
		row, err = r.q.TakeOAuthFlow(ctx, tx, dbsqlc.TakeOAuthFlowParams{StateHash: hash[:], AppUserID: userID})
		return err
	})
	if postgres.NotFound(err) {
		return Server{}, oauthError("This authorization is not known here: it took longer than 15 minutes, was ended already, or was begun by somebody else. Begin it again.", nil)
	}
	if err != nil {
		return Server{}, fmt.Errorf("take authorization: %w", err)
	}
	var f flow
	if err := unseal(r.o.Seal, row.Ciphertext, flowBinding(row.McpServerID), &f); err != nil {
		return Server{}, err
	}
	if err := f.accepts(a); err != nil {
		return Server{}, err
	}
	timed, cancel := context.WithTimeout(r.withClient(ctx), 20*time.Second)
	defer cancel()
	token, err := f.config().Exchange(timed, a.Code, oauth2.VerifierOption(f.Verifier), oauth2.SetAuthURLParam("resource", f.Resource))
	if err != nil {
		return Server{}, oauthError("The authorization server gave no token: "+tokenFailure(err)+".", err)
	}
	return r.keepGrant(ctx, row.McpServerID, f, token)
}

func (f flow) accepts(a Answer) error {
	switch {
	case a.Error != "":
		return oauthError(strings.TrimSuffix(fmt.Sprintf("The authorization was refused: %s. %s", clip(a.Error), clip(a.ErrorDescription)), " "), nil)
	case a.Issuer != "" && a.Issuer != f.Issuer, a.Issuer == "" && f.NeedsIssuer:
		return oauthError(fmt.Sprintf("The answer comes from the issuer %q, not from %s. Nothing was stored.", clip(a.Issuer), f.Issuer), nil)
	case a.Code == "":
		return oauthError("The authorization server sent no code.", nil)
	}
	return nil
}

func (r *Registry) withClient(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, r.o.Client)
}

// tokenFailure is what a token endpoint said, without what it was sent.
func tokenFailure(err error) string {
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		if e.ErrorCode != "" {
			return strings.TrimSpace(clip(e.ErrorCode) + " " + clip(e.ErrorDescription))
		}
		if e.Response != nil {
			return e.Response.Status
		}
	}
	return "it cannot be reached"
}

func (r *Registry) keepGrant(ctx context.Context, id int64, f flow, t *oauth2.Token) (Server, error) {
	var out Server
	err := r.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		s, err := r.lock(ctx, tx, id, 0)
		if err != nil {
			return err
		}
		if homeOf(s.Transport, configOf(s)) != f.Home {
			return oauthError("The server was moved to another address in the meantime. Begin the authorization again.", nil)
		}
		now := r.o.Now()
		g := grant{TokenURL: f.TokenURL, Resource: f.Resource, Client: f.Client}
		g.take(t)
		shown := OAuth{Issuer: f.Issuer, Scopes: f.Scopes, ClientID: f.Client.ID, AuthorizedAt: &now}
		raw, sealed, err := r.packGrant(id, shown, g)
		if err != nil {
			return err
		}
		if out, err = r.q.SetOAuth(ctx, tx, dbsqlc.SetOAuthParams{ID: id, Oauth: raw, Ciphertext: sealed}); err != nil {
			return fmt.Errorf("store authorization of MCP server %d: %w", id, err)
		}
		return r.announce(tx, id, "updated")
	})
	return out, err
}

func (g *grant) take(t *oauth2.Token) {
	g.Access, g.Type, g.Expiry = t.AccessToken, t.Type(), t.Expiry
	if t.RefreshToken != "" {
		g.Refresh = t.RefreshToken
	}
}

func (r *Registry) packGrant(id int64, shown OAuth, g grant) (json.RawMessage, []byte, error) {
	shown.Refreshes, shown.ExpiresAt = g.Refresh != "", nil
	if !g.Expiry.IsZero() {
		shown.ExpiresAt = &g.Expiry
	}
	raw, err := json.Marshal(shown)
	if err != nil {
		return nil, nil, fmt.Errorf("encode authorization: %w", err)
	}
	sealed, err := seal(r.o.Seal, g, grantBinding(id))
	return raw, sealed, err
}

func grantBinding(id int64) string { return binding(id) + ":oauth" }

// Disconnect forgets a server's authorization. Errors: not_found.
func (r *Registry) Disconnect(ctx context.Context, tx *postgres.Tx, id int64) (Server, error) {
	if _, err := r.lock(ctx, tx, id, 0); err != nil {
		return Server{}, err
	}
	s, err := r.q.SetOAuth(ctx, tx, dbsqlc.SetOAuthParams{ID: id})
	if err != nil {
		return s, fmt.Errorf("forget authorization of MCP server %d: %w", id, err)
	}
	return s, r.announce(tx, id, "updated")
}

// refreshBefore is how long before its end a token is replaced.
const refreshBefore = time.Minute

// Token gives the access token of a server, refreshed if it is about to end; ""
// if the server was never authorized. Errors: precondition when somebody has to
// authorize it again.
func (r *Registry) Token(ctx context.Context, id int64) (string, error) {
	s, err := r.Get(ctx, id)
	if err != nil || s.OauthCiphertext == nil {
		return "", err
	}
	g, err := r.grantOf(s)
	if err != nil || g.lasts(r.o.Now()) {
		return g.Access, err
	}
	err = r.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		// Under the row's lock: a refresh token is good for one use, and two workers must
		// not both use it.
		s, err := r.lock(ctx, tx, id, 0)
		if err != nil {
			return err
		}
		if g, err = r.grantOf(s); err != nil || s.OauthCiphertext == nil || g.lasts(r.o.Now()) {
			return err
		}
		return r.refresh(ctx, tx, s, &g)
	})
	return g.Access, err
}

func (g *grant) lasts(now time.Time) bool {
	return g.Expiry.IsZero() || g.Expiry.After(now.Add(refreshBefore))
}

func (r *Registry) grantOf(s Server) (grant, error) {
	var g grant
	if err := unseal(r.o.Seal, s.OauthCiphertext, grantBinding(s.ID), &g); err != nil {
		return g, errs.Ef(errs.Precondition, "mcp_server.unreadable_secrets",
			"The authorization of MCP server %q cannot be read with this installation's secret key. Connect it again.", s.ServerKey).With(err)
	}
	return g, nil
}

// refreshTimeout is shorter than a transaction may idle.
const refreshTimeout = 8 * time.Second

func (r *Registry) refresh(ctx context.Context, tx *postgres.Tx, s Server, g *grant) error {
	if g.Refresh == "" {
		return oauthError(fmt.Sprintf("The authorization of MCP server %q has ended. Connect it again.", s.ServerKey), nil)
	}
	timed, cancel := context.WithTimeout(r.withClient(ctx), refreshTimeout)
	defer cancel()
	c := oauth2.Config{ClientID: g.Client.ID, ClientSecret: g.Client.Secret, Endpoint: oauth2.Endpoint{TokenURL: g.TokenURL, AuthStyle: g.Client.Style}}
	token, err := c.TokenSource(timed, &oauth2.Token{RefreshToken: g.Refresh}).Token()
	if err != nil {
		return oauthError(fmt.Sprintf("The authorization of MCP server %q could not be renewed: %s. Connect it again if that stays.", s.ServerKey, tokenFailure(err)), err)
	}
	g.take(token)
	raw, sealed, err := r.packGrant(s.ID, OAuthOf(s), *g)
	if err != nil {
		return err
	}
	if err := r.q.RefreshOAuth(ctx, tx, dbsqlc.RefreshOAuthParams{ID: s.ID, Oauth: raw, Ciphertext: sealed}); err != nil {
		return fmt.Errorf("store authorization of MCP server %d: %w", s.ID, err)
	}
	return nil
}
