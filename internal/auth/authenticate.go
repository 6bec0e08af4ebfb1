package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/llmctl/studio/internal/auth/dbsqlc"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Cookie is the name of the session cookie.
const Cookie = "llmctl_session"

// errNoCredentials says that a request carries none.
func errNoCredentials() error {
	return errs.E(errs.Unauthenticated, "auth.required", "Sign in first, or send an API key as `Authorization: Bearer …`.")
}

// Authenticate tells who makes a request: by the Authorization header, else by
// the session cookie. Errors: unauthenticated.
func (s *Service) Authenticate(ctx context.Context, r *http.Request) (Principal, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, key, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return Principal{}, errs.E(errs.Unauthenticated, "auth.scheme", "The Authorization header is not of the form `Bearer <API key>`.")
		}
		return s.AuthenticateKey(ctx, strings.TrimSpace(key))
	}
	c, err := r.Cookie(Cookie)
	if errors.Is(err, http.ErrNoCookie) || c == nil || c.Value == "" {
		return Principal{}, errNoCredentials()
	}
	return s.session(ctx, c.Value)
}

// AuthenticateKey tells whose API key it is.
func (s *Service) AuthenticateKey(ctx context.Context, key string) (Principal, error) {
	hash, asked := hashToken(key), s.now()
	if p, ok := s.memory.recall(hash, asked); ok {
		return p, nil
	}
	row, err := s.q.APIKeyByHash(ctx, s.db, hash)
	if postgres.NotFound(err) {
		return Principal{}, errs.E(errs.Unauthenticated, "auth.unknown_key", "The API key is not known or was revoked.")
	}
	if err != nil {
		return Principal{}, fmt.Errorf("load API key: %w", err)
	}
	if row.LastUsedAt == nil || s.now().Sub(*row.LastUsedAt) > touchEvery {
		if err := s.q.TouchAPIKey(ctx, s.db, row.ID); err != nil {
			return Principal{}, fmt.Errorf("note use of API key: %w", err)
		}
	}
	p := principal(row.AppUser, ViaKey, row.ID)
	s.memory.remember(hash, p, asked)
	return p, nil
}

func (s *Service) session(ctx context.Context, token string) (Principal, error) {
	hash, asked := hashToken(token), s.now()
	if p, ok := s.memory.recall(hash, asked); ok {
		return p, nil
	}
	row, err := s.q.SessionByHash(ctx, s.db, hash)
	if postgres.NotFound(err) {
		return Principal{}, errs.E(errs.Unauthenticated, "auth.session_ended", "Your session has ended. Sign in again.")
	}
	if err != nil {
		return Principal{}, fmt.Errorf("load session: %w", err)
	}
	if s.now().Sub(row.LastSeenAt) > touchEvery {
		if err := s.q.TouchSession(ctx, s.db, dbsqlc.TouchSessionParams{ID: row.ID, ExpiresAt: s.now().Add(sessionLife)}); err != nil {
			return Principal{}, fmt.Errorf("prolong session: %w", err)
		}
	}
	p := principal(row.AppUser, ViaSession, row.ID)
	s.memory.remember(hash, p, asked)
	return p, nil
}

func principal(u User, via string, credential int64) Principal {
	return Principal{UserID: u.ID, Email: u.Email, Role: Role(u.Role), Via: via, CredentialID: credential}
}

// CreateKey makes an API key; the key itself is returned once and never again.
func (s *Service) CreateKey(ctx context.Context, user int64, name string) (APIKey, string, error) {
	if name = strings.TrimSpace(name); name == "" || len(name) > maxKeyName {
		return APIKey{}, "", errs.E(errs.Invalid, "auth.invalid_key_name", "The key's name cannot be used.",
			errs.Detail{Location: "body.name", Message: fmt.Sprintf("has %d characters; 1 to %d are accepted", len(name), maxKeyName)})
	}
	key := keyPrefix + newToken()
	var row APIKey
	err := s.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		row, err = s.q.InsertAPIKey(ctx, tx, dbsqlc.InsertAPIKeyParams{AppUserID: user, Name: name, Prefix: key[:shownOfKey], KeyHash: hashToken(key)})
		if err != nil {
			return fmt.Errorf("insert API key: %w", err)
		}
		return s.audit(ctx, tx, user, "api_key.created", "api_key", row.ID)
	})
	return row, key, err
}

// ListKeys gives a user's keys that are in force.
func (s *Service) ListKeys(ctx context.Context, user int64) ([]APIKey, error) {
	return s.q.ListAPIKeys(ctx, s.db, user)
}

// RevokeKey ends a key of a user.
func (s *Service) RevokeKey(ctx context.Context, user, id int64) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		n, err := s.q.RevokeAPIKey(ctx, tx, dbsqlc.RevokeAPIKeyParams{ID: id, AppUserID: user})
		if err != nil {
			return fmt.Errorf("revoke API key %d: %w", id, err)
		}
		if n == 0 {
			return errs.Ef(errs.NotFound, "auth.key_not_found", "You have no API key %d.", id)
		}
		s.revokes(tx)
		return s.audit(ctx, tx, user, "api_key.revoked", "api_key", id)
	})
}
