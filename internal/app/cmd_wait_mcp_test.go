package app_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/require"
)

func mcpServer(t *testing.T) string {
	t.Helper()
	server := mcp.NewServer(&mcp.Implementation{Name: "llmctl-mcp", Version: "1"}, nil)
	s := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil))
	t.Cleanup(s.Close)
	return s.URL + "/mcp"
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func TestWaitMCPEndsAtOnceWhenDisabled(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := run(t, []string{
		"LLMCTL_STUDIO_MCP_WAIT_ENABLED=false", "LLMCTL_STUDIO_MCP_REQUIRED_ENDPOINTS=http://" + closedPort(t),
	}, "wait-mcp")
	require.Equal(t, 0, code)
	require.Contains(t, stdout, "LLMCTL_STUDIO_MCP_WAIT_ENABLED is false")
	require.Empty(t, stderr)
}

func TestWaitMCPPrintsOneLinePerEndpoint(t *testing.T) {
	t.Parallel()
	one, two := mcpServer(t), mcpServer(t)
	code, stdout, stderr := run(t, []string{"LLMCTL_STUDIO_MCP_REQUIRED_ENDPOINTS=" + one + ", ," + two + "," + one}, "wait-mcp")
	require.Equal(t, 0, code, stderr)
	require.Regexp(t, `^ready: `+one+` after \S+ \(llmctl-mcp 1, protocol \S+\)\nready: `+two+` after [^\n]+\n$`, stdout)
	require.Contains(t, stderr, "waiting for 2 MCP endpoints, up to 4m0s")
}

func TestWaitMCPNamesWhatFailedAndTheBypass(t *testing.T) {
	t.Parallel()
	up, down := mcpServer(t), "http://"+closedPort(t)+"/mcp"
	code, stdout, stderr := run(t, nil, "wait-mcp", "--endpoints", up+","+down, "--timeout-seconds", "1")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "ready: "+up)
	require.Contains(t, stderr, "1 of 2 MCP endpoints did not become ready within 1s")
	require.Regexp(t, down+` \(\d tries\): nothing listens at`, stderr)
	require.Contains(t, stderr, "LLMCTL_STUDIO_MCP_WAIT_ENABLED=false")
}

func TestWaitMCPRefusesWhatIsNoAddress(t *testing.T) {
	t.Parallel()
	code, _, stderr := run(t, []string{"LLMCTL_STUDIO_MCP_REQUIRED_ENDPOINTS=llmctl-mcp:9020", "LLMCTL_STUDIO_MCP_WAIT_TIMEOUT_SECONDS=soon"}, "wait-mcp")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "LLMCTL_STUDIO_MCP_REQUIRED_ENDPOINTS")
	require.Contains(t, stderr, "LLMCTL_STUDIO_MCP_WAIT_TIMEOUT_SECONDS")
	code, _, stderr = run(t, nil, "wait-mcp", "http://x")
	require.NotEqual(t, 0, code)
	require.Contains(t, stderr, "unknown command")
}
