package auth_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
)

func TestARevokedKeyEndsHereAtOnceAndElsewhereWithinASecond(t *testing.T) {
	t.Parallel()
	here := setup(t)
	clock := time.Now()
	there, err := auth.NewService(t.Context(), here.db, func() time.Time { return clock })
	require.NoError(t, err)
	row, key, err := here.auth.CreateKey(t.Context(), here.admin.ID, "ci")
	require.NoError(t, err)
	for _, process := range []*auth.Service{here.auth, there} {
		p, err := process.AuthenticateKey(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, here.admin.ID, p.UserID)
	}
	told := 0
	here.auth.OnRevocation(func() { told++ })
	require.NoError(t, here.auth.RevokeKey(t.Context(), here.admin.ID, row.ID))
	require.Equal(t, 1, told, "the others are told")

	_, err = here.auth.AuthenticateKey(t.Context(), key)
	require.True(t, errs.Is(err, errs.Unauthenticated), "the process that revoked it knows")
	_, err = there.AuthenticateKey(t.Context(), key)
	require.NoError(t, err, "another one has asked less than a second ago")
	clock = clock.Add(time.Second)
	_, err = there.AuthenticateKey(t.Context(), key)
	require.True(t, errs.Is(err, errs.Unauthenticated), "it asks again, whether it was told or not")
}

func TestAProcessThatIsToldAsksAtOnce(t *testing.T) {
	t.Parallel()
	here := setup(t)
	frozen := time.Now()
	there, err := auth.NewService(t.Context(), here.db, func() time.Time { return frozen })
	require.NoError(t, err)
	here.auth.OnRevocation(there.Forget)
	row, key, err := here.auth.CreateKey(t.Context(), here.admin.ID, "ci")
	require.NoError(t, err)
	_, err = there.AuthenticateKey(t.Context(), key)
	require.NoError(t, err)
	require.NoError(t, here.auth.RevokeKey(t.Context(), here.admin.ID, row.ID))
	_, err = there.AuthenticateKey(t.Context(), key)
	require.True(t, errs.Is(err, errs.Unauthenticated))
}
