package proxyfix_test

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/serving/proxyfix"
)

//go:embed testdata/werkzeug.json
var werkzeug []byte

type observedCase struct {
	Name string `json:"name"`
	Hops struct {
		For    int `json:"for"`
		Proto  int `json:"proto"`
		Host   int `json:"host"`
		Port   int `json:"port"`
		Prefix int `json:"prefix"`
	} `json:"hops"`
	Host     string              `json:"host"`
	Headers  map[string][]string `json:"headers"`
	Observed struct {
		Client string `json:"client"`
		Scheme string `json:"scheme"`
		Host   string `json:"host"`
		Prefix string `json:"prefix"`
	} `json:"observed"`
}

// notBelieved is the one case where we differ on purpose: werkzeug takes what is no
// address.
var notBelieved = map[string]string{"escape in quotes": "192.0.2.1"}

func TestCountsAsWerkzeugWasObservedTo(t *testing.T) {
	t.Parallel()
	var file struct {
		Cases []observedCase `json:"cases"`
	}
	require.NoError(t, json.Unmarshal(werkzeug, &file))
	require.Len(t, file.Cases, 320)
	for _, c := range file.Cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil)
			r.Host, r.RemoteAddr = c.Host, "192.0.2.1:50000"
			for key, lines := range c.Headers {
				for _, line := range lines {
					r.Header.Add("X-Forwarded-"+key, line)
				}
			}
			got := seen(t, proxyfix.Options{Hops: proxyfix.Hops(c.Hops)}, r)
			o := proxyfix.From(got)
			want := c.Observed
			if client, differs := notBelieved[c.Name]; differs {
				want.Client = client
			}
			require.Equal(t, want.Client, o.ClientIP())
			require.Equal(t, want.Scheme, o.Scheme)
			require.Equal(t, want.Host, o.Host)
			require.Equal(t, want.Prefix, o.Prefix)
			require.Equal(t, want.Host, got.Host)
			require.True(t, strings.HasPrefix(got.RemoteAddr, o.ClientIP()+":") || strings.HasPrefix(got.RemoteAddr, "["+o.ClientIP()+"]:"))
		})
	}
}

// seen gives the request that the application behind a fix gets.
func seen(tb testing.TB, o proxyfix.Options, r *http.Request) *http.Request {
	tb.Helper()
	var got *http.Request
	proxyfix.New(o).Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })).ServeHTTP(httptest.NewRecorder(), r)
	require.NotNil(tb, got)
	return got
}
