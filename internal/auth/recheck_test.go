package auth_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
)

func TestInForceTellsWhichCredentialsStillCount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	editor, err := b.auth.CreateUser(t.Context(), b.admin.ID, "eve@example.com", password, auth.Editor)
	require.NoError(t, err)
	key := func(user int64) (auth.Principal, int64) {
		row, secret, err := b.auth.CreateKey(t.Context(), user, "k")
		require.NoError(t, err)
		p, err := b.auth.AuthenticateKey(t.Context(), secret)
		require.NoError(t, err)
		require.Equal(t, row.ID, p.CredentialID)
		return p, row.ID
	}
	kept, _ := key(b.admin.ID)
	revoked, id := key(b.admin.ID)
	demoted, _ := key(editor.ID)
	require.NoError(t, b.auth.RevokeKey(t.Context(), b.admin.ID, id))
	viewer := auth.Viewer
	_, err = b.auth.UpdateUser(t.Context(), b.admin.ID, editor.ID, auth.UserChange{Role: &viewer})
	require.NoError(t, err)

	asked := []auth.Credential{kept.Credential(), revoked.Credential(), demoted.Credential(), {Via: auth.ViaSession, ID: 4711}, {Via: "other", ID: kept.CredentialID}}
	got, err := b.auth.InForce(t.Context(), asked)
	require.NoError(t, err)
	demoted.Role = auth.Viewer
	require.Equal(t, map[auth.Credential]auth.Principal{kept.Credential(): kept, demoted.Credential(): demoted}, got)

	disabled := true
	_, err = b.auth.UpdateUser(t.Context(), b.admin.ID, editor.ID, auth.UserChange{Disabled: &disabled})
	require.NoError(t, err)
	got, err = b.auth.InForce(t.Context(), asked)
	require.NoError(t, err)
	require.NotContains(t, got, demoted.Credential())
}
