package proxyfix_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/serving/proxyfix"
)

// Whatever the headers say, what comes out has the form that it claims to have.
func FuzzForwardedHeaders(f *testing.F) {
	f.Add(1, "/studio/api/x", "6.6.6.6, 192.0.2.7", "https", "studio.example:8443", "443", "/studio")
	f.Add(2, "/a%2Fb", `"1.2.3.4", [::1]:2`, "ws,http", "[::1]:1,a", "1,2", "/a/b,/c")
	f.Add(3, "/", ",,", "\"", "a\\", "+1", "/..")
	f.Fuzz(func(t *testing.T, hops int, path, xfor, proto, host, port, prefix string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") || hops < 0 || hops > 40 {
			return
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL, r.RemoteAddr, r.Host = u, "10.0.0.1:1", "inner"
		for name, value := range map[string]string{"For": xfor, "Proto": proto, "Host": host, "Port": port, "Prefix": prefix} {
			r.Header["X-Forwarded-"+name] = []string{value}
		}
		got := seen(t, proxyfix.Options{Hops: proxyfix.Hops{For: hops, Proto: hops, Host: hops, Port: hops, Prefix: hops}, Own: []string{"/api"}}, r)
		o := proxyfix.From(got)
		require.True(t, o.Client.IsValid())
		_, err = netip.ParseAddrPort(got.RemoteAddr)
		require.NoError(t, err)
		require.Contains(t, []string{"http", "https"}, o.Scheme)
		absolute, err := url.Parse(o.URL("/x"))
		require.NoError(t, err)
		require.Equal(t, o.Host, absolute.Host)
		require.Equal(t, o.Prefix+"/x", absolute.Path)
		require.NotContains(t, o.Prefix, "//")
		require.NotContains(t, o.Prefix+"/", "/../")
		require.True(t, strings.HasPrefix(got.URL.Path, "/"), got.URL.Path)
		if hops == 0 {
			require.Empty(t, got.Header)
			require.Equal(t, "inner", got.Host)
		}
	})
}
