package client

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/require"
)

// The SDK closes the connection and tells why at the same time; either may come first.
func TestAConnectionThatBrokeIsExplainedByTheAnswerBeforeIt(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]Kind{"/page": KindProtocol, "/broken": KindUnreachable, "/fine": KindClosed} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/page":
				w.Header().Set("Content-Type", "text/html")
			case "/broken":
				w.WriteHeader(http.StatusInternalServerError)
			default:
				w.Header().Set("Content-Type", "application/json")
			}
		}))
		t.Cleanup(server.Close)
		s := &Session{spec: Spec{Key: "page", Transport: StreamableHTTP, URL: server.URL + path}}
		c, answers, err := s.spec.client(server.Client())
		require.NoError(t, err)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.spec.URL, strings.NewReader("{}"))
		require.NoError(t, err)
		if res, err := c.Do(request); err == nil {
			require.NoError(t, res.Body.Close())
		}
		require.Equal(t, want, s.explainDial(t.Context(), t.Context(), &link{answers: answers}, mcp.ErrConnectionClosed).Kind, path)
	}
}
