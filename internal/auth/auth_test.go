package auth_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

const (
	email    = "ada@example.com"
	password = "correct horse battery"
)

type testBundle struct {
	db    *postgres.DB
	auth  *auth.Service
	admin auth.User
}

// setup gives a service with one admin.
func setup(t *testing.T) *testBundle {
	t.Helper()
	b := &testBundle{db: pgtest.DB(t)}
	var err error
	b.auth, err = auth.NewService(t.Context(), b.db, time.Now)
	require.NoError(t, err)
	created, err := b.auth.EnsureAdmin(t.Context(), email, password)
	require.NoError(t, err)
	require.True(t, created)
	users, err := b.auth.ListUsers(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Len(t, users, 1)
	b.admin = users[0]
	return b
}

func empty(t *testing.T) *testBundle {
	t.Helper()
	b := &testBundle{db: pgtest.DB(t)}
	var err error
	b.auth, err = auth.NewService(t.Context(), b.db, time.Now)
	require.NoError(t, err)
	return b
}

func (b *testBundle) count(t *testing.T, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, b.db.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

func (b *testBundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func withCookie(t *testing.T, token string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.AddCookie(&http.Cookie{Name: auth.Cookie, Value: token})
	return r
}

func TestSetupTokenWorksOnce(t *testing.T) {
	t.Parallel()
	b := empty(t)
	older, err := b.auth.EnsureSetup(t.Context())
	require.NoError(t, err)
	token, err := b.auth.EnsureSetup(t.Context())
	require.NoError(t, err)
	require.NotEqual(t, older, token)
	require.Zero(t, b.count(t, `SELECT count(*) FROM setup_token WHERE token_hash = $1`, []byte(token)), "the token itself is not stored")

	_, err = b.auth.Setup(t.Context(), older, email, password)
	require.True(t, errs.HasReason(err, "auth.setup_token"), "a fresh token replaces the older one")
	_, err = b.auth.Setup(t.Context(), "", email, password)
	require.True(t, errs.HasReason(err, "auth.setup_token"))
	_, err = b.auth.Setup(t.Context(), token, "not an address", "short")
	require.True(t, errs.HasReason(err, "auth.invalid_user"))
	require.Len(t, errs.As(err).Details, 2)

	u, err := b.auth.Setup(t.Context(), token, email, password)
	require.NoError(t, err)
	require.Equal(t, "admin", u.Role)
	_, err = b.auth.Setup(t.Context(), token, "eve@example.com", password)
	require.True(t, errs.HasReason(err, "auth.setup_token"))
	again, err := b.auth.EnsureSetup(t.Context())
	require.NoError(t, err)
	require.Empty(t, again, "no token once there is a user")
}

func TestSetupAtTheSameTimeMakesOneAdmin(t *testing.T) {
	t.Parallel()
	b := empty(t)
	token, err := b.auth.EnsureSetup(t.Context())
	require.NoError(t, err)
	var made atomic.Int32
	var all sync.WaitGroup
	for _, who := range []string{"a@example.com", "b@example.com", "c@example.com"} {
		all.Go(func() {
			if _, err := b.auth.Setup(t.Context(), token, who, password); err == nil {
				made.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, made.Load())
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM app_user`))
}

func TestSetupTokenDiesWithTheFirstAdmin(t *testing.T) {
	t.Parallel()
	b := empty(t)
	token, err := b.auth.EnsureSetup(t.Context())
	require.NoError(t, err)
	created, err := b.auth.EnsureAdmin(t.Context(), email, password)
	require.NoError(t, err)
	require.True(t, created)
	_, err = b.auth.Setup(t.Context(), token, "eve@example.com", password)
	require.True(t, errs.HasReason(err, "auth.setup_token"))

	// A token that got past the first admin in any other way is refused as well.
	b.exec(t, `INSERT INTO setup_token (token_hash) VALUES (sha256($1))`, []byte("left over"))
	_, err = b.auth.Setup(t.Context(), "left over", "eve@example.com", password)
	require.True(t, errs.HasReason(err, "auth.setup_token"))

	created, err = b.auth.EnsureAdmin(t.Context(), "second@example.com", "x")
	require.NoError(t, err, "ignored once there is a user, whatever it says")
	require.False(t, created)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM app_user`))
}

func TestLoginOpensASessionThatLogoutEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u, token, err := b.auth.Login(t.Context(), "ADA@example.com", password, "192.0.2.1", "test agent")
	require.NoError(t, err)
	require.Equal(t, b.admin.ID, u.ID)
	p, err := b.auth.Authenticate(t.Context(), withCookie(t, token))
	require.NoError(t, err)
	require.Equal(t, auth.Principal{UserID: u.ID, Email: email, Role: auth.Admin, Via: auth.ViaSession, CredentialID: p.CredentialID}, p)
	require.NotZero(t, p.CredentialID)
	require.Zero(t, b.count(t, `SELECT count(*) FROM session WHERE token_hash = $1`, []byte(token)), "the token itself is not stored")

	require.NoError(t, b.auth.Logout(t.Context(), token))
	require.NoError(t, b.auth.Logout(t.Context(), token), "twice is no error")
	_, err = b.auth.Authenticate(t.Context(), withCookie(t, token))
	require.True(t, errs.HasReason(err, "auth.session_ended"))
	for _, action := range []string{"session.opened", "session.closed"} {
		require.Equal(t, 1, b.count(t, `SELECT count(*) FROM audit_event WHERE action = $1 AND app_user_id = $2`, action, u.ID), action)
	}
}

func TestSessionSlidesAndExpires(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, token, err := b.auth.Login(t.Context(), email, password, "", "")
	require.NoError(t, err)
	b.exec(t, `UPDATE session SET last_seen_at = now() - interval '2 minutes', expires_at = now() + interval '1 hour'`)
	_, err = b.auth.Authenticate(t.Context(), withCookie(t, token))
	require.NoError(t, err)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM session WHERE expires_at > now() + interval '13 days' AND last_seen_at > now() - interval '1 minute'`))

	b.exec(t, `UPDATE session SET expires_at = now() - interval '1 second'`)
	b.auth.Forget() // as if the second had passed
	_, err = b.auth.Authenticate(t.Context(), withCookie(t, token))
	require.True(t, errs.HasReason(err, "auth.session_ended"))
	require.NoError(t, b.auth.Clean(t.Context()))
	require.Zero(t, b.count(t, `SELECT count(*) FROM session`))
}

func TestOnlyFailedLoginsCountAgainstTheLimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 15 {
		_, _, err := b.auth.Login(t.Context(), email, password, "192.0.2.1", "")
		require.NoError(t, err)
	}
	for i := range 10 {
		_, _, err := b.auth.Login(t.Context(), email, "wrong password", "192.0.2.1", "")
		require.True(t, errs.HasReason(err, "auth.wrong_credentials"), "failure %d", i)
	}
	_, _, err := b.auth.Login(t.Context(), email, password, "192.0.2.2", "")
	require.True(t, errs.Is(err, errs.RateLimited), "the address is limited, wherever from")
	require.Positive(t, errs.As(err).After)
	_, _, err = b.auth.Login(t.Context(), "other@example.com", password, "192.0.2.1", "")
	require.True(t, errs.Is(err, errs.RateLimited), "the network address is limited, whoever")
	_, _, err = b.auth.Login(t.Context(), "other@example.com", password, "192.0.2.3", "")
	require.True(t, errs.HasReason(err, "auth.wrong_credentials"), "others are not")

	b.exec(t, `UPDATE login_failure SET at = at - interval '16 minutes'`)
	_, _, err = b.auth.Login(t.Context(), email, password, "192.0.2.1", "")
	require.NoError(t, err, "the window has passed")
}

func TestGuessingAtOnceDoesNotPassTheLimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var tried atomic.Int32
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			_, _, err := b.auth.Login(t.Context(), email, "wrong password", "192.0.2.1", "")
			if errs.HasReason(err, "auth.wrong_credentials") {
				tried.Add(1)
			}
		})
	}
	all.Wait()
	require.LessOrEqual(t, tried.Load(), int32(13), "ten, and those that held the other hashing slots meanwhile")
	require.GreaterOrEqual(t, tried.Load(), int32(10))
}

func TestUnknownSourceIsNotLimitedAsOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 10 {
		_, _, err := b.auth.Login(t.Context(), "other@example.com", "wrong password", "", "")
		require.True(t, errs.HasReason(err, "auth.wrong_credentials"))
	}
	_, _, err := b.auth.Login(t.Context(), email, password, "", "")
	require.NoError(t, err)
}

func TestAPIKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	row, key, err := b.auth.CreateKey(t.Context(), b.admin.ID, " ci ")
	require.NoError(t, err)
	require.Equal(t, "ci", row.Name)
	require.Contains(t, key, row.Prefix)
	require.Regexp(t, `^llmctl_[A-Za-z0-9_-]{43}$`, key)
	require.Zero(t, b.count(t, `SELECT count(*) FROM api_key WHERE key_hash = $1`, []byte(key)), "the key itself is not stored")

	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.Header.Set("Authorization", "bearer "+key)
	p, err := b.auth.Authenticate(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, auth.Principal{UserID: b.admin.ID, Email: email, Role: auth.Admin, Via: auth.ViaKey, CredentialID: p.CredentialID}, p)
	require.NotZero(t, p.CredentialID)

	var first, second time.Time
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT last_used_at FROM api_key`).Scan(&first))
	_, err = b.auth.AuthenticateKey(t.Context(), key)
	require.NoError(t, err)
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT last_used_at FROM api_key`).Scan(&second))
	require.Equal(t, first, second, "noted at most once a minute")

	require.True(t, errs.Is(b.auth.RevokeKey(t.Context(), b.admin.ID+1, row.ID), errs.NotFound), "not one's own")
	require.NoError(t, b.auth.RevokeKey(t.Context(), b.admin.ID, row.ID))
	_, err = b.auth.AuthenticateKey(t.Context(), key)
	require.True(t, errs.HasReason(err, "auth.unknown_key"))
	keys, err := b.auth.ListKeys(t.Context(), b.admin.ID)
	require.NoError(t, err)
	require.Empty(t, keys)
}

func TestCredentialsThatAreNone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, c := range map[string]struct{ header, reason string }{
		"nothing":      {"", "auth.required"},
		"basic":        {"Basic YTpi", "auth.scheme"},
		"unknown key":  {"Bearer llmctl_unknown", "auth.unknown_key"},
		"empty bearer": {"Bearer ", "auth.unknown_key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			if c.header != "" {
				r.Header.Set("Authorization", c.header)
			}
			_, err := b.auth.Authenticate(t.Context(), r)
			require.True(t, errs.Is(err, errs.Unauthenticated))
			require.True(t, errs.HasReason(err, c.reason), "%v", err)
		})
	}
}

func TestDisablingAUserEndsWhatTheyHold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	u, err := b.auth.CreateUser(t.Context(), b.admin.ID, "bob@example.com", password, auth.Editor)
	require.NoError(t, err)
	_, token, err := b.auth.Login(t.Context(), "bob@example.com", password, "", "")
	require.NoError(t, err)
	_, key, err := b.auth.CreateKey(t.Context(), u.ID, "bob's")
	require.NoError(t, err)

	yes, no := true, false
	_, err = b.auth.UpdateUser(t.Context(), b.admin.ID, u.ID, auth.UserChange{Disabled: &yes})
	require.NoError(t, err)
	_, err = b.auth.AuthenticateKey(t.Context(), key)
	require.True(t, errs.Is(err, errs.Unauthenticated))
	_, _, err = b.auth.Login(t.Context(), "bob@example.com", password, "", "")
	require.True(t, errs.HasReason(err, "auth.wrong_credentials"))

	_, err = b.auth.UpdateUser(t.Context(), b.admin.ID, u.ID, auth.UserChange{Disabled: &no})
	require.NoError(t, err)
	_, err = b.auth.Authenticate(t.Context(), withCookie(t, token))
	require.True(t, errs.HasReason(err, "auth.session_ended"), "an old session does not come back")
}

func TestNewPasswordEndsSessions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, token, err := b.auth.Login(t.Context(), email, password, "", "")
	require.NoError(t, err)
	fresh, short := "another long password", "short"
	_, err = b.auth.UpdateUser(t.Context(), b.admin.ID, b.admin.ID, auth.UserChange{Password: &short})
	require.True(t, errs.HasReason(err, "auth.invalid_password"))
	_, err = b.auth.UpdateUser(t.Context(), b.admin.ID, b.admin.ID, auth.UserChange{Password: &fresh})
	require.NoError(t, err)
	_, err = b.auth.Authenticate(t.Context(), withCookie(t, token))
	require.True(t, errs.Is(err, errs.Unauthenticated))
	_, _, err = b.auth.Login(t.Context(), email, password, "", "")
	require.True(t, errs.Is(err, errs.Unauthenticated))
	_, _, err = b.auth.Login(t.Context(), email, fresh, "", "")
	require.NoError(t, err)
}

func TestTheLastAdminStays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	viewer, yes := auth.Viewer, true
	for _, c := range []auth.UserChange{{Role: &viewer}, {Disabled: &yes}} {
		_, err := b.auth.UpdateUser(t.Context(), b.admin.ID, b.admin.ID, c)
		require.True(t, errs.HasReason(err, "auth.last_admin"))
	}
	second, err := b.auth.CreateUser(t.Context(), b.admin.ID, "second@example.com", password, auth.Admin)
	require.NoError(t, err)

	// Each of the two demotes the other at the same time: one of them stays.
	var all sync.WaitGroup
	for _, id := range []int64{b.admin.ID, second.ID} {
		all.Go(func() { _, _ = b.auth.UpdateUser(t.Context(), 0, id, auth.UserChange{Role: &viewer}) })
	}
	all.Wait()
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM app_user WHERE role = 'admin' AND disabled_at IS NULL`))
}

func TestUsersThatCannotBe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.auth.CreateUser(t.Context(), b.admin.ID, "Ada@Example.com", password, auth.Viewer)
	require.True(t, errs.HasReason(err, "auth.duplicate_email"), "case does not tell addresses apart")
	_, err = b.auth.CreateUser(t.Context(), b.admin.ID, "x@example.com", password, "owner")
	require.True(t, errs.HasReason(err, "auth.invalid_role"))
	_, err = b.auth.CreateUser(t.Context(), b.admin.ID, "Bob <bob@example.com>", password, auth.Viewer)
	require.True(t, errs.HasReason(err, "auth.invalid_user"))
	_, err = b.auth.UpdateUser(t.Context(), b.admin.ID, 4711, auth.UserChange{})
	require.True(t, errs.Is(err, errs.NotFound))
}

func TestAuditEntriesCarryTheRequestAndAreListed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, _, err := b.auth.CreateKey(auth.WithRequestID(t.Context(), "req-7"), b.admin.ID, "k")
	require.NoError(t, err)
	rows, err := b.auth.ListAudit(t.Context(), auth.AuditFilter{Limit: 10})
	require.NoError(t, err)
	require.Len(t, rows, 2)
	require.Equal(t, []string{"api_key.created", "user.created"}, []string{rows[0].Action, rows[1].Action})
	require.Equal(t, "req-7", rows[0].RequestID)
	require.Equal(t, email, rows[0].Email)
	rows, err = b.auth.ListAudit(t.Context(), auth.AuditFilter{Limit: 10, Action: "user.created", BeforeID: rows[0].ID})
	require.NoError(t, err)
	require.Len(t, rows, 1)
	rows, err = b.auth.ListAudit(t.Context(), auth.AuditFilter{Limit: 10, UserID: b.admin.ID + 1})
	require.NoError(t, err)
	require.Empty(t, rows)
}

func TestPermissionsOfRoles(t *testing.T) {
	t.Parallel()
	for role, want := range map[auth.Role][]bool{
		auth.Admin: {true, true, true, true, true}, auth.Editor: {true, true, true, true, false},
		auth.Viewer: {true, true, true, false, false}, "": {true, false, false, false, false},
	} {
		for i, need := range []auth.Permission{auth.Open, auth.SignedIn, auth.Read, auth.Write, auth.Manage} {
			require.Equal(t, want[i], auth.Principal{Role: role}.May(need), "%s %s", role, need)
		}
	}
}
