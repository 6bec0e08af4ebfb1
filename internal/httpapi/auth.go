package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/serving/proxyfix"
)

type userView struct {
	ID    int64  `json:"id"`
	Email string `json:"email"`
	Role  string `json:"role"`
}

// RequestInfo is what log-in needs of the request itself.
type RequestInfo struct {
	ip, agent string
	origin    proxyfix.Origin
	session   string
}

// Resolve implements huma.Resolver: it looks at the request.
func (i *RequestInfo) Resolve(ctx huma.Context) []error {
	r, _ := humaUnwrap(ctx)
	i.origin, i.agent = proxyfix.From(r), r.UserAgent()
	i.ip = i.origin.ClientIP()
	if c, err := r.Cookie(auth.Cookie); err == nil {
		i.session = c.Value
	}
	return nil
}

type setupInput struct {
	RequestInfo
	Body struct {
		Token    string `json:"token" maxLength:"200" doc:"From the setup link that the first start printed"`
		Email    string `json:"email" maxLength:"254"`
		Password string `json:"password" maxLength:"200" doc:"At least 10 characters"`
	}
}

type loginInput struct {
	RequestInfo
	Body struct {
		Email    string `json:"email" maxLength:"254"`
		Password string `json:"password" maxLength:"200"`
	}
}

type logoutInput struct{ RequestInfo }

type sessionOutput struct {
	SetCookie string `header:"Set-Cookie"`
	Body      struct {
		User userView `json:"user"`
	}
}

type noContent struct {
	SetCookie string `header:"Set-Cookie"`
}

type meOutput struct {
	Body struct {
		User          userView `json:"user"`
		SetupRequired bool     `json:"setup_required"`
	}
}

// cookie is sent over TLS only if the browser came that way, and to nothing beside
// us on the same host.
func cookie(token string, at proxyfix.Origin) string {
	const life = 14 * 24 * time.Hour
	c := http.Cookie{ //nolint:gosec // Secure as far as the connection is; loopback has no TLS
		Name: auth.Cookie, Value: token, Path: "/", HttpOnly: true, Secure: at.Scheme == proxyfix.HTTPS, SameSite: http.SameSiteLaxMode, MaxAge: int(life.Seconds()),
	}
	if at.Prefix != "" {
		c.Path = at.Prefix
	}
	if token == "" {
		c.MaxAge = -1
	}
	return c.String()
}

func sessionOf(u auth.User, token string, at proxyfix.Origin) *sessionOutput {
	out := &sessionOutput{SetCookie: cookie(token, at)}
	out.Body.User = userView{ID: u.ID, Email: u.Email, Role: u.Role}
	return out
}

func (s *server) registerAuth() {
	handle(s, route{
		method: http.MethodPost, path: "/auth/setup", id: "setup", tag: "auth", permission: auth.Open, audit: true,
		summary: "Create the first administrator with the one-time token",
	}, func(ctx context.Context, in *setupInput) (*sessionOutput, error) {
		u, err := s.deps.Auth.Setup(ctx, in.Body.Token, in.Body.Email, in.Body.Password)
		if err != nil {
			return nil, err
		}
		token, err := s.deps.Auth.Open(ctx, u, in.agent)
		if err != nil {
			return nil, err
		}
		return sessionOf(u, token, in.origin), nil
	})
	handle(s, route{
		method: http.MethodPost, path: "/auth/login", id: "login", tag: "auth", permission: auth.Open, audit: true,
		summary: "Sign in; opens a session in a cookie",
	}, func(ctx context.Context, in *loginInput) (*sessionOutput, error) {
		u, token, err := s.deps.Auth.Login(ctx, in.Body.Email, in.Body.Password, in.ip, in.agent)
		if err != nil {
			return nil, err
		}
		return sessionOf(u, token, in.origin), nil
	})
	handle(s, route{
		method: http.MethodPost, path: "/auth/logout", id: "logout", tag: "auth", permission: auth.SignedIn, audit: true,
		summary: "End the session", status: http.StatusNoContent,
	}, func(ctx context.Context, in *logoutInput) (*noContent, error) {
		return &noContent{SetCookie: cookie("", in.origin)}, s.deps.Auth.Logout(ctx, in.session)
	})
	handle(s, route{
		method: http.MethodGet, path: "/auth/me", id: "get-me", tag: "auth", permission: auth.SignedIn, summary: "Who is signed in",
	}, func(ctx context.Context, _ *struct{}) (*meOutput, error) {
		p := user(ctx)
		out := &meOutput{}
		out.Body.User = userView{ID: p.UserID, Email: p.Email, Role: string(p.Role)}
		return out, nil
	})
}

type apiKeyView struct {
	ID         int64      `json:"id"`
	Name       string     `json:"name"`
	Prefix     string     `json:"prefix"`
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
}

func viewKey(k auth.APIKey) apiKeyView {
	return apiKeyView{ID: k.ID, Name: k.Name, Prefix: k.Prefix, CreatedAt: k.CreatedAt, LastUsedAt: k.LastUsedAt}
}

type createKeyInput struct {
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"100" doc:"What it is for"`
	}
}

type createKeyOutput struct {
	Body struct {
		APIKey apiKeyView `json:"api_key"`
		Key    string     `json:"key" doc:"Shown only now; it is stored hashed"`
	}
}

// IDInput is the path of one resource.
type IDInput struct {
	ID int64 `path:"id" minimum:"1"`
}

func (s *server) registerAPIKeys() {
	handle(s, route{
		method: http.MethodGet, path: "/api-keys", id: "list-api-keys", tag: "auth", permission: auth.SignedIn, summary: "Your API keys",
	}, func(ctx context.Context, _ *struct{}) (*pageOutput[apiKeyView], error) {
		rows, err := s.deps.Auth.ListKeys(ctx, user(ctx).UserID)
		if err != nil {
			return nil, err
		}
		return paged(rows, int32(len(rows)), func(k auth.APIKey) int64 { return k.ID }, viewKey), nil
	})
	handle(s, route{
		method: http.MethodPost, path: "/api-keys", id: "create-api-key", tag: "auth", permission: auth.SignedIn, audit: true,
		summary: "Create an API key; it is shown once", status: http.StatusCreated,
	}, func(ctx context.Context, in *createKeyInput) (*createKeyOutput, error) {
		p := user(ctx)
		if p.Via != "session" {
			return nil, errs.E(errs.Forbidden, "auth.key_by_key", "An API key cannot create another one. Sign in to do that.")
		}
		row, key, err := s.deps.Auth.CreateKey(ctx, p.UserID, in.Body.Name)
		if err != nil {
			return nil, err
		}
		out := &createKeyOutput{}
		out.Body.APIKey, out.Body.Key = viewKey(row), key
		return out, nil
	})
	handle(s, route{
		method: http.MethodDelete, path: "/api-keys/{id}", id: "revoke-api-key", tag: "auth", permission: auth.SignedIn, audit: true,
		summary: "Revoke an API key", status: http.StatusNoContent,
	}, func(ctx context.Context, in *IDInput) (*struct{}, error) {
		return nil, s.deps.Auth.RevokeKey(ctx, user(ctx).UserID, in.ID)
	})
}
