package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/auth/dbsqlc"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Limits.
const (
	sessionLife   = 14 * 24 * time.Hour
	touchEvery    = time.Minute // how exact last-used times are
	loginWindow   = 15 * time.Minute
	maxFailures   = 10
	minPassword   = 10
	maxPassword   = 200
	maxUserAgent  = 300
	maxKeyName    = 100
	keyPrefix     = "llmctl_"
	shownOfKey    = 14 // how much of a key stays visible
	randomOfToken = 32 // bytes
)

// User is a row of app_user.
type User = dbsqlc.AppUser

// APIKey is a row of api_key; the key itself is not in it.
type APIKey = dbsqlc.ApiKey

// Service answers who somebody is. It is safe for concurrent use.
type Service struct {
	db      *postgres.DB
	q       *dbsqlc.Queries
	hash    *hasher
	now     func() time.Time
	memory  *memory
	revoked func() // see OnRevocation
	dummy   string // hash that is compared with for unknown users, so that they take as long
}

// NewService makes a service.
func NewService(ctx context.Context, db *postgres.DB, now func() time.Time) (*Service, error) {
	s := &Service{db: db, q: dbsqlc.New(), hash: newHasher(), now: now, memory: newMemory()}
	var err error
	if s.dummy, err = s.hash.hash(ctx, "nobody's password"); err != nil {
		return nil, fmt.Errorf("prepare password hashing: %w", err)
	}
	return s, nil
}

func newToken() string {
	raw := make([]byte, randomOfToken)
	_, _ = rand.Read(raw) // never fails
	return base64.RawURLEncoding.EncodeToString(raw)
}

func hashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// EnsureSetup prepares the first start: if there is no user yet it makes a fresh
// one-time setup token, which replaces an older one; else it gives "".
func (s *Service) EnsureSetup(ctx context.Context) (string, error) {
	n, err := s.q.CountUsers(ctx, s.db)
	if err != nil {
		return "", fmt.Errorf("count users: %w", err)
	}
	if n > 0 {
		// A token that an earlier start printed must not outlive the first admin.
		return "", s.q.DeleteSetupToken(ctx, s.db)
	}
	token := newToken()
	if err := s.q.SetSetupToken(ctx, s.db, hashToken(token)); err != nil {
		return "", fmt.Errorf("store setup token: %w", err)
	}
	return token, nil
}

// SetupRequired reports whether there is no user yet.
func (s *Service) SetupRequired(ctx context.Context) (bool, error) {
	n, err := s.q.CountUsers(ctx, s.db)
	return n == 0, err
}

// EnsureAdmin creates the first admin without a browser, if there is no user.
func (s *Service) EnsureAdmin(ctx context.Context, email, password string) (created bool, err error) {
	if needed, err := s.SetupRequired(ctx); err != nil || !needed {
		return false, err
	}
	hashed, err := s.checkedHash(ctx, email, password)
	if err != nil {
		return false, err
	}
	err = s.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE app_user IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return fmt.Errorf("lock users: %w", err)
		}
		n, err := s.q.CountUsers(ctx, tx)
		if err != nil || n > 0 {
			return err
		}
		u, err := s.q.InsertUser(ctx, tx, dbsqlc.InsertUserParams{Email: email, PasswordHash: hashed, Role: string(Admin)})
		if err != nil {
			return fmt.Errorf("insert admin: %w", err)
		}
		created = true
		if err := s.q.DeleteSetupToken(ctx, tx); err != nil {
			return fmt.Errorf("delete setup token: %w", err)
		}
		return s.audit(ctx, tx, u.ID, "user.created", "user", u.ID)
	})
	return created, err
}

// Setup redeems the setup token: it creates the first admin. Errors: forbidden for
// a token that is wrong or was used, invalid for the rest.
func (s *Service) Setup(ctx context.Context, token, email, password string) (User, error) {
	// Asked before the costly hash, so that guessing keeps nobody else from signing in.
	if err := s.checkSetupToken(ctx, s.db, s.q.SetupToken, token); err != nil {
		return User{}, err
	}
	hashed, err := s.checkedHash(ctx, email, password)
	if err != nil {
		return User{}, err
	}
	var u User
	err = s.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		if err := s.checkSetupToken(ctx, tx, s.q.LockSetupToken, token); err != nil {
			return err
		}
		n, err := s.q.CountUsers(ctx, tx)
		if err != nil {
			return fmt.Errorf("count users: %w", err)
		}
		if n > 0 {
			return errSetupToken()
		}
		if u, err = s.q.InsertUser(ctx, tx, dbsqlc.InsertUserParams{Email: email, PasswordHash: hashed, Role: string(Admin)}); err != nil {
			return fmt.Errorf("insert admin: %w", err)
		}
		if err := s.q.DeleteSetupToken(ctx, tx); err != nil {
			return fmt.Errorf("delete setup token: %w", err)
		}
		return s.audit(ctx, tx, u.ID, "user.created", "user", u.ID)
	})
	return u, err
}

func errSetupToken() error {
	return errs.E(errs.Forbidden, "auth.setup_token",
		"The setup link is not valid any more. Restart the Studio to get a fresh one, or sign in if it is set up already.")
}

func (s *Service) checkSetupToken(ctx context.Context, q postgres.Querier, load func(context.Context, dbsqlc.DBTX) ([]byte, error), token string) error {
	want, err := load(ctx, q)
	if err != nil && !postgres.NotFound(err) {
		return fmt.Errorf("load setup token: %w", err)
	}
	if subtle.ConstantTimeCompare(want, hashToken(token)) != 1 {
		return errSetupToken()
	}
	return nil
}

func (s *Service) checkedHash(ctx context.Context, email, password string) (string, error) {
	var faults []errs.Detail
	if a, err := mail.ParseAddress(email); err != nil || a.Address != email || len(email) > 254 {
		faults = append(faults, errs.Detail{Location: "body.email", Message: "is not an e-mail address"})
	}
	if err := checkPassword(password); err != nil {
		faults = append(faults, errs.As(err).Details...)
	}
	if len(faults) > 0 {
		return "", errs.E(errs.Invalid, "auth.invalid_user", "The e-mail address or the password cannot be used.", faults...)
	}
	return s.hash.hash(ctx, password)
}

func checkPassword(password string) error {
	if n := len(password); n < minPassword || n > maxPassword {
		return errs.E(errs.Invalid, "auth.invalid_password", "The password cannot be used.", errs.Detail{
			Location: "body.password", Message: fmt.Sprintf("has %d characters; %d to %d are accepted", n, minPassword, maxPassword),
		})
	}
	return nil
}

// Login checks a password and opens a session. Only failures count against the
// limit, by address and by network address.
func (s *Service) Login(ctx context.Context, email, password, ip, agent string) (User, string, error) {
	subjects := []string{"email:" + strings.ToLower(email)}
	if ip != "" { // unknown behind a Unix socket, where it would be everybody's
		subjects = append(subjects, "ip:"+ip)
	}
	u, err := s.q.UserByEmail(ctx, s.db, email)
	if err != nil && !postgres.NotFound(err) {
		return User{}, "", fmt.Errorf("load user: %w", err)
	}
	known := err == nil && u.DisabledAt == nil
	stored := s.dummy
	if known {
		stored = u.PasswordHash
	}
	// The limit is asked and the failure counted while one of the few hashing slots
	// is held. Otherwise many requests at once would all pass before the first is counted.
	err = s.hash.slot(ctx, func() error {
		if err := s.checkLimit(ctx, subjects); err != nil {
			return err
		}
		match, err := verify(password, stored)
		if err != nil || (match && known) {
			return err
		}
		if err := s.q.InsertFailures(ctx, s.db, subjects); err != nil {
			return fmt.Errorf("count failed log-in: %w", err)
		}
		return errs.E(errs.Unauthenticated, "auth.wrong_credentials", "The e-mail address or the password is wrong.")
	})
	if err != nil {
		return User{}, "", err
	}
	token, err := s.open(ctx, u, subjects[:1], agent)
	return u, token, err
}

// open stores a session; a success forgets the failures of the address.
func (s *Service) open(ctx context.Context, u User, forget []string, agent string) (string, error) {
	token := newToken()
	err := s.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		if err := s.q.DeleteFailures(ctx, tx, forget); err != nil {
			return fmt.Errorf("forget failed log-ins: %w", err)
		}
		if err := s.q.InsertSession(ctx, tx, dbsqlc.InsertSessionParams{
			AppUserID: u.ID, TokenHash: hashToken(token), UserAgent: agent[:min(len(agent), maxUserAgent)], ExpiresAt: s.now().Add(sessionLife),
		}); err != nil {
			return fmt.Errorf("insert session: %w", err)
		}
		return s.audit(ctx, tx, u.ID, "session.opened", "user", u.ID)
	})
	return token, err
}

// Open opens a session for a user who has just proved who they are otherwise.
func (s *Service) Open(ctx context.Context, u User, agent string) (string, error) {
	return s.open(ctx, u, nil, agent)
}

func (s *Service) checkLimit(ctx context.Context, subjects []string) error {
	row, err := s.q.CountFailures(ctx, s.db, dbsqlc.CountFailuresParams{Subjects: subjects, WindowSeconds: loginWindow.Seconds()})
	if err != nil {
		return fmt.Errorf("count failed log-ins: %w", err)
	}
	if row.Worst < maxFailures {
		return nil
	}
	wait := max(loginWindow-s.now().Sub(row.Oldest), time.Second)
	return errs.E(errs.RateLimited, "auth.too_many_failures",
		"There were too many failed log-ins. Wait "+strconv.Itoa(int(wait.Minutes())+1)+" minutes and try again.").Retry(wait)
}

// Logout ends a session; one that has ended already is no error.
func (s *Service) Logout(ctx context.Context, token string) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		user, err := s.q.EndSession(ctx, tx, hashToken(token))
		if postgres.NotFound(err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("delete session: %w", err)
		}
		s.revokes(tx)
		return s.audit(ctx, tx, user, "session.closed", "user", user)
	})
}

// Clean deletes what has expired: sessions, answers to idempotent requests,
// counts of failed log-ins.
func (s *Service) Clean(ctx context.Context) error { return s.q.DeleteExpired(ctx, s.db) }
