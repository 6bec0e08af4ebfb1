package tools_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/mcp/client"
	"github.com/llmctl/studio/internal/mcp/servers"
	"github.com/llmctl/studio/internal/mcp/tools"
)

func TestNamesFitEveryProviderAndNeverMeet(t *testing.T) {
	t.Parallel()
	fits := regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)
	seen := map[string]string{}
	for _, tool := range []string{"search", "search.all", "search/all", "search_all", strings.Repeat("long", 30) + "a", strings.Repeat("long", 30) + "b", "grüße", ""} {
		name := tools.ModelName("wiki", tool)
		require.Regexp(t, fits, name, tool)
		require.NotContains(t, seen, name, "%q and %q", tool, seen[name])
		seen[name] = tool
	}
	require.Equal(t, "wiki__search", tools.ModelName("wiki", "search"))
	require.Equal(t, "wiki__a_b_caa5ec9e", tools.ModelName("wiki", "a.b"), "the same at every start")
}

func TestWhichCallsWaitForAPerson(t *testing.T) {
	t.Parallel()
	read, write := client.Tool{Name: "read", ReadOnly: true}, client.Tool{Name: "write"}
	for _, c := range []struct {
		approval    string
		always      []string
		read, write bool
	}{
		{servers.ApproveNever, nil, false, false},
		{servers.ApproveWrites, nil, false, true},
		{servers.ApproveAlways, nil, true, true},
		{servers.ApproveNever, []string{"read"}, true, false},
	} {
		row := servers.Server{Approval: c.approval, ApprovalTools: c.always}
		require.Equal(t, c.read, tools.NeedsApproval(row, read), "%+v", c)
		require.Equal(t, c.write, tools.NeedsApproval(row, write), "%+v", c)
	}
	require.True(t, tools.Allowed(servers.Server{}, "x"))
	require.False(t, tools.Allowed(servers.Server{AllowedTools: []string{}}, "x"))
}

func TestTheClockKnowsZones(t *testing.T) {
	t.Parallel()
	clock := tools.Clock(func() time.Time { return time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC) })
	text, err := clock.Run(t.Context(), json.RawMessage(`{"time_zone":"Europe/Berlin"}`))
	require.NoError(t, err)
	require.Equal(t, "Wednesday 2026-07-01T14:00:00+02:00 (CEST)", text)
	for _, zone := range []string{"Atlantis", "Local", "../etc/passwd"} {
		_, err = clock.Run(t.Context(), json.RawMessage(`{"time_zone":"`+zone+`"}`))
		require.ErrorContains(t, err, "there is no time zone", zone)
	}
}
