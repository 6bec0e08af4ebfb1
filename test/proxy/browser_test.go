package proxy

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The built page, its chunks, its API calls and its WebSocket in Chromium, below a
// prefix that one nginx strips and another keeps.
func TestPageRunsInABrowserBelowAPrefix(t *testing.T) {
	t.Parallel()
	upstream := serve(t, []string{"LLMCTL_STUDIO_PROXY_FIX_X_PREFIX=1"}, "--with-web")
	for _, name := range []string{"nginx-prefix-stripped.conf", "nginx-prefix-kept.conf"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := behindNginx(t, name, "/studio", "127.0.0.1:5055;", upstream+";")
			cmd := exec.CommandContext(t.Context(), "node", "browser.mjs", s.base, email, password)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			require.NoError(t, err, "%s", &stderr)
			var seen struct {
				Errors, Failed, Outside, Sockets []string
				URL                              string
			}
			require.NoError(t, json.Unmarshal(out, &seen))
			require.Empty(t, seen.Errors)
			require.Empty(t, seen.Failed)
			require.Empty(t, seen.Outside, "everything is below the prefix")
			require.NotEmpty(t, seen.Sockets)
			for _, socket := range seen.Sockets {
				require.True(t, strings.HasPrefix(socket, strings.Replace(s.base, "https:", "wss:", 1)+"/api/socket.io/"), socket)
			}
			require.Equal(t, s.base+"/web/flowcharts", seen.URL)
		})
	}
}
