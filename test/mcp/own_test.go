package mcp

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/llmtest"
)

// TestTheStudiosOwnServerIsWhereItIsMounted: under `llmctl up` nothing answers at the name of the service; the row
// points at the API itself, needs a key, and keeps it when the program starts again.
func TestTheStudiosOwnServerIsWhereItIsMounted(t *testing.T) {
	t.Parallel()
	s := newStudio(t, "openai", llmtest.New(t))
	own := func() object {
		for _, row := range items(s.do(200, "GET", "/api/mcp-servers?limit=200", nil)) {
			if row["server_key"] == "llmctl-mcp" {
				return row
			}
		}
		require.Fail(t, "the Studio's own server is missing")
		return nil
	}
	row := own()
	config, _ := row["config"].(object)
	require.Equal(t, s.url+"/api/mcp", config["url"])
	require.Contains(t, row["warnings"].([]any)[0], "API key")
	path := "/api/mcp-servers/" + strconv.FormatInt(id(row), 10)
	found := s.do(200, "POST", path+"/test", nil)
	require.Equal(t, false, found["ok"], "no key, no tools")

	key := s.do(201, "POST", "/api/api-keys", object{"name": "own"})["key"].(string)
	s.do(200, "PATCH", path, object{"config": object{"url": config["url"], "headers": object{"Authorization": "Bearer " + key}}})
	require.Empty(t, own()["warnings"])
	found = s.do(200, "POST", path+"/test", nil)
	require.Equal(t, true, found["ok"], "%v", found)
	require.Greater(t, found["tools"], 20.0)

	s.kill()
	s.start()
	found = s.do(200, "POST", path+"/test", nil)
	require.Equal(t, true, found["ok"], "the key stays: %v", found)
}
