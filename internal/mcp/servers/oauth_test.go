package servers_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/mcp/servers"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// authority is an MCP server that asks for an authorization, and the server that
// gives it.
type authority struct {
	*httptest.Server
	mu         sync.Mutex
	challenge  string // of the code that was asked for
	registered int
	refreshed  int
	refresh    string // the only refresh token that is good
	broken     bool   // refuses to refresh
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	mux := http.NewServeMux()
	mux.HandleFunc("/mcp", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+a.URL+`/meta", scope="tools"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	mux.HandleFunc("/meta", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"resource": a.URL + "/mcp", "authorization_servers": []string{a.URL}})
	})
	mux.HandleFunc("/.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": a.URL, "authorization_endpoint": a.URL + "/authorize", "token_endpoint": a.URL + "/token", "registration_endpoint": a.URL + "/register",
			"code_challenge_methods_supported": []string{"S256"}, "response_types_supported": []string{"code"}, "scopes_supported": []string{"tools", "offline_access"},
			"token_endpoint_auth_methods_supported": []string{"none"}, "authorization_response_iss_parameter_supported": true,
		})
	})
	mux.HandleFunc("/register", func(w http.ResponseWriter, r *http.Request) {
		var in map[string]any
		_ = json.NewDecoder(r.Body).Decode(&in)
		a.mu.Lock()
		a.registered++
		a.mu.Unlock()
		in["client_id"] = "client-1"
		w.WriteHeader(http.StatusCreated)
		answer(w, in)
	})
	mux.HandleFunc("/token", a.token)
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) //nolint:errchkjson // the client may be gone
}

func (a *authority) token(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	refuse := func() {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant","error_description":"not good"}`))
	}
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	switch r.FormValue("grant_type") {
	case "authorization_code":
		if r.FormValue("code") != "the-code" || base64.RawURLEncoding.EncodeToString(sum[:]) != a.challenge || !strings.HasSuffix(r.FormValue("resource"), "/mcp") {
			refuse()
			return
		}
	case "refresh_token":
		if r.FormValue("refresh_token") != a.refresh || a.broken {
			refuse()
			return
		}
		a.refreshed++
	}
	a.refresh = "refresh-" + strconv.Itoa(a.refreshed)
	answer(w, map[string]any{"access_token": "access-" + strconv.Itoa(a.refreshed), "token_type": "Bearer", "expires_in": 3600 + 7200*a.refreshed, "refresh_token": a.refresh})
}

type bundle struct {
	db  *postgres.DB
	r   *servers.Registry
	mu  sync.Mutex
	now time.Time
}

func (b *bundle) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bundle) later(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{db: pgtest.DB(t), now: time.Now()}
	box, err := secret.New(bytes.Repeat([]byte{7}, secret.KeySize))
	require.NoError(t, err)
	b.r = servers.New(servers.Options{
		DB: b.db, Log: event.NewLog(nil, time.Now), Seal: box, Fingerprint: secret.Fingerprint, Client: &http.Client{Timeout: 20 * time.Second}, Now: b.clock,
	})
	for _, email := range []string{"a@example.com", "b@example.com"} {
		_, err = b.db.Exec(t.Context(), `INSERT INTO app_user (email, password_hash, role) VALUES ($1, 'x', 'admin')`, email)
		require.NoError(t, err)
	}
	return b
}

func (b *bundle) server(t *testing.T, address string) servers.Server {
	t.Helper()
	var out servers.Server
	require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) (err error) {
		out, err = b.r.Create(ctx, tx, servers.NewFields(servers.Entered{Key: "guarded", Transport: servers.StreamableHTTP, Config: servers.Config{URL: address}}), servers.Change{})
		return err
	}))
	return out
}

const back = "https://studio.example.com/api/mcp-servers/oauth/callback"

func (b *bundle) begin(t *testing.T, a *authority, id int64) url.Values {
	t.Helper()
	address, err := b.r.Begin(t.Context(), id, 1, back)
	require.NoError(t, err)
	u, err := url.Parse(address)
	require.NoError(t, err)
	require.Equal(t, "/authorize", u.Path)
	a.mu.Lock()
	a.challenge = u.Query().Get("code_challenge")
	a.mu.Unlock()
	return u.Query()
}

func TestAServerIsAuthorizedInABrowserAndItsTokenRenewed(t *testing.T) {
	t.Parallel()
	b, a := setup(t), newAuthority(t)
	s := b.server(t, a.URL+"/mcp")
	none, err := b.r.Token(t.Context(), s.ID)
	require.NoError(t, err)
	require.Empty(t, none)
	q := b.begin(t, a, s.ID)
	require.Equal(t, "S256", q.Get("code_challenge_method"))
	require.Equal(t, "tools offline_access", q.Get("scope"))
	require.Equal(t, a.URL+"/mcp", q.Get("resource"))
	require.Equal(t, back, q.Get("redirect_uri"))
	require.Equal(t, "client-1", q.Get("client_id"))

	done, err := b.r.End(t.Context(), 1, servers.Answer{State: q.Get("state"), Code: "the-code", Issuer: a.URL})
	require.NoError(t, err)
	shown := servers.OAuthOf(done)
	require.Equal(t, a.URL, shown.Issuer)
	require.True(t, shown.Refreshes)
	require.NotContains(t, string(done.Oauth), "access-0")
	require.NotContains(t, string(done.OauthCiphertext), "access-0")
	token, err := b.r.Token(t.Context(), s.ID)
	require.NoError(t, err)
	require.Equal(t, "access-0", token)

	b.later(time.Hour)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, err := b.r.Token(t.Context(), s.ID)
			if err != nil || got != "access-1" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, a.refreshed, "a refresh token is used once, whoever asks at the same time")

	a.broken = true
	b.later(2 * time.Hour)
	_, err = b.r.Token(t.Context(), s.ID)
	require.True(t, errs.HasReason(err, "mcp_server.oauth"), "%v", err)
	require.Contains(t, errs.As(err).Message, "invalid_grant not good")
	require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		_, err := b.r.Disconnect(ctx, tx, s.ID)
		return err
	}))
	none, err = b.r.Token(t.Context(), s.ID)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestAnAnswerThatDoesNotBelongToAnAuthorizationIsRefused(t *testing.T) {
	t.Parallel()
	b, a := setup(t), newAuthority(t)
	s := b.server(t, a.URL+"/mcp")
	end := func(user int64, answer servers.Answer) string {
		_, err := b.r.End(t.Context(), user, answer)
		require.True(t, errs.HasReason(err, "mcp_server.oauth"), "%v", err)
		return errs.As(err).Message
	}
	require.Contains(t, end(1, servers.Answer{State: "made-up", Code: "the-code"}), "not known here")
	q := b.begin(t, a, s.ID)
	require.Contains(t, end(2, servers.Answer{State: q.Get("state"), Code: "the-code", Issuer: a.URL}), "begun by somebody else")
	require.Contains(t, end(1, servers.Answer{State: q.Get("state"), Code: "the-code", Issuer: "https://evil.example.com"}), "comes from the issuer")
	require.Contains(t, end(1, servers.Answer{State: q.Get("state"), Code: "the-code", Issuer: a.URL}), "ended already", "a state is good once")
	q = b.begin(t, a, s.ID)
	require.Contains(t, end(1, servers.Answer{State: q.Get("state"), Error: "access_denied"}), "access_denied")
	q = b.begin(t, a, s.ID)
	require.Contains(t, end(1, servers.Answer{State: q.Get("state"), Code: "stolen", Issuer: a.URL}), "invalid_grant")
	q = b.begin(t, a, s.ID)
	require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		_, err := b.r.Update(ctx, tx, s.ID, 0, func(f *servers.Fields) error {
			f.Config.URL = "https://elsewhere.example.com/mcp"
			return nil
		}, servers.Change{})
		return err
	}))
	require.Contains(t, end(1, servers.Answer{State: q.Get("state"), Code: "the-code", Issuer: a.URL}), "moved to another address")
}

func TestAServerWithoutAnAuthorizationServerIsSaidToHaveNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	_, err := b.r.Begin(t.Context(), b.server(t, plain.URL+"/mcp").ID, 1, back)
	require.Contains(t, errs.As(err).Message, "no authorization that is described")
}
