package socketio

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOriginPolicies(t *testing.T) {
	t.Parallel()
	listed := AllowOrigins("https://app.example/", "http://other.example:8080")
	for _, tc := range []struct {
		name   string
		policy func(*http.Request, string) bool
		origin string
		want   bool
	}{
		{"same host", SameOrigin, "http://studio.example", true},
		{"same host, other scheme", SameOrigin, "https://studio.example", true},
		{"same host, other case", SameOrigin, "http://STUDIO.example", true},
		{"other port", SameOrigin, "http://studio.example:81", false},
		{"other host", SameOrigin, "http://evil.example", false},
		{"subdomain", SameOrigin, "http://a.studio.example", false},
		{"suffix", SameOrigin, "http://studio.example.evil", false},
		{"null", SameOrigin, "null", false},
		{"empty", SameOrigin, "", false},
		{"nonsense", SameOrigin, "http://[", false},
		{"listed", listed, "https://app.example", true},
		{"listed, other case", listed, "https://APP.example", true},
		{"listed with port", listed, "http://other.example:8080", true},
		{"listed under another scheme", listed, "http://app.example", false},
		{"not listed", listed, "https://evil.example", false},
		{"same origin is never off the list", listed, "http://studio.example", true},
		{"null is not listed", listed, "null", false},
		{"star", AllowOrigins("*"), "https://evil.example", true},
		{"empty list", AllowOrigins(), "https://app.example", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://studio.example/socket.io/", nil)
			r.URL.Scheme = "" // as servers get requests
			require.Equal(t, tc.want, tc.policy(r, tc.origin))
		})
	}
}

func TestSchemeIsComparedWhereItIsKnown(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/socket.io/", nil)
	r.Host, r.URL.Scheme = "studio.example", "https"
	require.True(t, SameOrigin(r, "https://studio.example"))
	require.False(t, SameOrigin(r, "http://studio.example"))
}

func TestOriginIsCheckedOnBothTransports(t *testing.T) {
	t.Parallel()
	s, url := serve(t, Options{AllowOrigin: AllowOrigins("https://app.example"), AllowCredentials: true}, echoEngine)
	own := strings.TrimSuffix(url, "/socket.io/")
	for origin, allowed := range map[string]bool{
		"": true, own: true, "https://app.example": true, "https://evil.example": false, "null": false,
	} {
		t.Run("origin "+origin, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			if origin != "" {
				header.Set("Origin", origin)
			}
			got, err := request(t.Context(), webClient(t), http.MethodGet, url+"?EIO=4&transport=polling", "", header)
			require.NoError(t, err)
			require.Contains(t, got.header.Values("Vary"), "Origin")
			_, dialErr := tryDial(t, url, "?EIO=4&transport=websocket", header)
			if !allowed {
				require.Equal(t, http.StatusForbidden, got.status)
				require.Empty(t, got.header.Get("Access-Control-Allow-Origin"))
				require.Error(t, dialErr)
				return
			}
			require.Equal(t, http.StatusOK, got.status)
			require.Equal(t, origin, got.header.Get("Access-Control-Allow-Origin"))
			require.NoError(t, dialErr)
		})
	}
	t.Run("an upgrade too", func(t *testing.T) {
		t.Parallel()
		p := openPolling(t, url)
		_, err := tryDial(t, url, "?EIO=4&transport=websocket&sid="+p.sid, http.Header{"Origin": {"https://evil.example"}})
		require.Error(t, err)
		require.NotNil(t, s.lookup(p.sid))
	})
	t.Run("a POST too", func(t *testing.T) {
		t.Parallel()
		p := openPolling(t, url)
		evil := http.Header{"Origin": {"https://evil.example"}}
		got, err := request(t.Context(), p.client, http.MethodPost, p.url, "4x", evil)
		require.NoError(t, err)
		require.Equal(t, http.StatusForbidden, got.status)
	})
	t.Run("preflight", func(t *testing.T) {
		t.Parallel()
		header := http.Header{"Origin": {"https://app.example"}, "Access-Control-Request-Headers": {"x-token"}}
		got, err := request(t.Context(), webClient(t), http.MethodOptions, url+"?EIO=4&transport=polling", "", header)
		require.NoError(t, err)
		require.Equal(t, http.StatusNoContent, got.status)
		require.Equal(t, "https://app.example", got.header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "true", got.header.Get("Access-Control-Allow-Credentials"))
		require.Equal(t, "GET, POST", got.header.Get("Access-Control-Allow-Methods"))
		require.Equal(t, "x-token", got.header.Get("Access-Control-Allow-Headers"))
	})
	t.Run("default is the same origin, without credentials", func(t *testing.T) {
		t.Parallel()
		_, url := serve(t, Options{}, echoEngine)
		for origin, status := range map[string]int{
			strings.TrimSuffix(url, "/socket.io/"): http.StatusOK, "https://app.example": http.StatusForbidden,
		} {
			header := http.Header{"Origin": {origin}}
			got, err := request(t.Context(), webClient(t), http.MethodGet, url+"?EIO=4&transport=polling", "", header)
			require.NoError(t, err)
			require.Equal(t, status, got.status)
			require.Empty(t, got.header.Get("Access-Control-Allow-Credentials"))
		}
	})
}
