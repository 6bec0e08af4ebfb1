package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/doctor"
	"github.com/llmctl/studio/internal/testkit/freeport"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// right is what the documentation recommends; each wrong configuration replaces or
// leaves out some of its lines.
const right = `proxy_http_version 1.1;
proxy_set_header Host $http_host;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $studio_connection;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_set_header X-Forwarded-Proto $scheme;
proxy_set_header X-Forwarded-Host $http_host;
proxy_set_header X-Forwarded-Port $server_port;
proxy_read_timeout 3600s;
proxy_send_timeout 3600s;
proxy_buffering off;
client_max_body_size 32m;
`

// without leaves out lines that begin so.
func without(starts ...string) string {
	var kept []string
	for line := range strings.Lines(right) {
		if !slices.ContainsFunc(starts, func(s string) bool { return strings.HasPrefix(line, s) }) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// scene is one configuration of nginx and what is to be found with it.
type scene struct {
	server   string // content of the server block
	tls      string // certificate lines; empty: plain HTTP
	path     string // of the page; empty: /web
	upstream string // empty: the one that trusts forwarded headers
	scheme   string // of the address, when it is not what the port speaks
	from     string // address that the doctor comes from
	noRoots  bool
	noKey    bool
	still    time.Duration
	want     []string
}

func all(lines string) string { return lines + "location / { proxy_pass http://studio; }\n" }

func scenes(t *testing.T, ca *authority) map[string]scene {
	t.Helper()
	hour := time.Now().Add(time.Hour)
	good := ca.lines(t, "127.0.0.1", hour)
	prefixed := func(header string) string {
		return right + "proxy_set_header X-Forwarded-Prefix \"" + header + "\";\nlocation /studio/ { proxy_pass http://studio/; }\n"
	}
	return map[string]scene{
		// Right ones.
		"plain":              {server: all(right)},
		"without a key":      {server: all(right), noKey: true},
		"TLS":                {server: all(right), tls: good},
		"prefix stripped":    {server: prefixed("/studio"), path: "/studio/web"},
		"prefix kept":        {server: right + "proxy_set_header X-Forwarded-Prefix /studio;\nlocation /studio/ { proxy_pass http://studio; }\n", path: "/studio/web"},
		"prefix, TLS":        {server: prefixed("/studio"), path: "/studio/web", tls: good},
		"seen from afar":     {server: all(right), from: "127.0.0.3"},
		"untrusting, direct": {server: all(right), upstream: "closed-mind"},
		"still":              {server: all(right), still: 3 * time.Second},
		"gzip of the rest":   {server: "gzip on; gzip_types text/css application/javascript application/json;\n" + all(right)},
		// Wrong ones.
		"no upgrade":         {server: all(without("proxy_set_header Upgrade", "proxy_set_header Connection")), want: []string{"websocket.upgrade"}},
		"HTTP/1.0":           {server: all(without("proxy_http_version")), want: []string{"websocket.upgrade"}},
		"prefix not said":    {server: prefixed(""), path: "/studio/web", want: []string{"prefix.page", "prefix.assets", "redirect.prefix"}},
		"host lost":          {server: all(without("proxy_set_header Host", "proxy_set_header X-Forwarded-Host", "proxy_set_header X-Forwarded-Port")), want: []string{"forwarded.host", "host.origin"}},
		"scheme lost":        {server: all(without("proxy_set_header X-Forwarded-Proto")), tls: good, want: []string{"forwarded.proto"}},
		"scheme not trusted": {server: all(right), tls: good, upstream: "closed-mind", want: []string{"forwarded.proto"}},
		"client lost":        {server: all(without("proxy_set_header X-Forwarded-For")), from: "127.0.0.3", want: []string{"forwarded.for"}},
		// With HTTP/1.1 nginx passes chunks on although it buffers; with its default, 1.0, it holds them back.
		"buffered":                 {server: all(without("proxy_buffering", "proxy_http_version")), want: []string{"stream.buffered", "websocket.upgrade"}},
		"compressed":               {server: "gzip on; gzip_types text/event-stream;\n" + all(right), want: []string{"stream.compressed"}},
		"small bodies":             {server: all(without("client_max_body_size")), want: []string{"body.limit"}},
		"impatient":                {server: all(strings.ReplaceAll(right, "proxy_read_timeout 3600s", "proxy_read_timeout 2s")), still: 4 * time.Second, want: []string{"idle.timeout"}},
		"page for errors":          {server: all(right + "proxy_intercept_errors on;\nerror_page 404 =200 /web/;\n"), want: []string{"routes.catch_all"}},
		"page for API":             {server: right + "location /api/there { proxy_pass http://studio/web/; }\nlocation / { proxy_pass http://studio; }\n", want: []string{"routes.catch_all"}},
		"port lost":                {server: all(right + "proxy_redirect ~^/(.*)$ http://$host/$1;\n"), want: []string{"redirect.host"}},
		"scheme lost in redirects": {server: all(right + "proxy_redirect ~^/(.*)$ http://$http_host/$1;\n"), tls: good, want: []string{"redirect.scheme"}},
		"root elsewhere":           {server: right + "location = / { return 200 hello; }\nlocation / { proxy_pass http://studio; }\n", want: []string{"redirect.missing"}},
		"no page":                  {server: right + "location /web { return 404; }\nlocation / { proxy_pass http://studio; }\n", want: []string{"page.missing", "redirect.missing"}},
		"no API":                   {server: right + "location /web { proxy_pass http://studio; }\nlocation = / { proxy_pass http://studio; }\n", want: []string{"prefix.api", "prefix.socket", "routes.catch_all", "websocket.upgrade"}},
		"no socket":                {server: right + "location /api/socket.io { return 404; }\nlocation / { proxy_pass http://studio; }\n", want: []string{"prefix.socket", "websocket.upgrade"}},
		"no assets":                {server: right + "location /web/assets { return 404; }\nlocation / { proxy_pass http://studio; }\n", want: []string{"prefix.assets"}},
		"key dropped":              {server: all(right + "proxy_set_header Authorization \"\";\n"), want: []string{"key.refused"}},
		"in turn":                  {server: all(right), upstream: "in-turn", want: []string{"polling.sticky"}},
		"upstream down":            {server: all(right), upstream: "down", want: []string{"upstream.down"}},
		"expired":                  {server: all(right), tls: ca.lines(t, "127.0.0.1", time.Now().Add(-time.Hour)), want: []string{"tls.expired"}},
		"other name":               {server: all(right), tls: ca.lines(t, "other.example.org", hour), want: []string{"tls.name"}},
		"unknown authority":        {server: all(right), tls: good, noRoots: true, want: []string{"tls.authority"}},
		"no TLS":                   {server: all(right), scheme: "https", want: []string{"tls.none"}},
	}
}

func TestEachWrongConfigurationHasItsFinding(t *testing.T) {
	t.Parallel()
	uri := pgtest.URI(t)
	trust := []string{"LLMCTL_STUDIO_PROXY_FIX_ENABLED=true", "LLMCTL_STUDIO_PROXY_FIX_X_PREFIX=1"}
	trusting := serve(t, uri, trust...)
	second := serve(t, uri, trust...)
	closed := serve(t, uri)
	key := apiKey(t, trusting)
	ca := newAuthority(t)

	upstreams := map[string]string{
		"trusting": "server " + trusting + ";", "closed-mind": "server " + closed + ";", "down": "server 127.0.0.1:" + freeport.Get(t) + ";",
		"in-turn": "server " + trusting + "; server " + second + ";",
	}
	var config strings.Builder
	config.WriteString("map $http_upgrade $studio_connection { default upgrade; '' ''; }\n")
	for name, servers := range upstreams {
		fmt.Fprintf(&config, "upstream %s { %s }\n", name, servers)
	}
	every := scenes(t, ca)
	ports, list := map[string]string{}, []string{}
	for name, s := range every {
		ports[name] = freeport.Get(t)
		list = append(list, ports[name])
		upstream, secure := "trusting", ""
		if s.upstream != "" {
			upstream = s.upstream
		}
		if s.tls != "" {
			secure = " ssl"
		}
		fmt.Fprintf(&config, "server {\nlisten 127.0.0.1:%s%s;\n%s%s}\n", ports[name], secure, s.tls, strings.ReplaceAll(s.server, "http://studio", "http://"+upstream))
	}
	nginx(t, config.String(), list)

	for name, s := range every {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report, err := doctor.Examine(t.Context(), s.options(ca, ports[name], key))
			require.NoError(t, err)
			var got []string
			for _, f := range report.Findings {
				got = append(got, f.ID)
				require.NotEmpty(t, f.Seen)
				require.NotEmpty(t, f.Fix)
			}
			require.ElementsMatch(t, s.want, got, "%+v", report)
		})
	}
}

func (s scene) options(ca *authority, port, key string) doctor.Options {
	o := doctor.Options{APIKey: key, Now: time.Now, Roots: ca.pool, Long: s.still > 0, Still: s.still}
	if s.noKey {
		o.APIKey = ""
	}
	if s.noRoots {
		o.Roots = x509.NewCertPool()
	}
	scheme, path := "http", "/web"
	if s.tls != "" {
		scheme = "https"
	}
	if s.scheme != "" {
		scheme = s.scheme
	}
	if s.path != "" {
		path = s.path
	}
	o.URL = scheme + "://127.0.0.1:" + port + path
	if s.from != "" {
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(s.from)}}).DialContext(ctx, network, address)
		}
	}
	return o
}

func TestCommandSaysWhatItFound(t *testing.T) {
	t.Parallel()
	server := serve(t, pgtest.URI(t))
	key := apiKey(t, server)
	cmd := exec.CommandContext(t.Context(), binary(t), "doctor", "--url", "http://"+server+"/web")
	cmd.Env = append(cmd.Environ(), "LLMCTL_STUDIO_DOCTOR_API_KEY="+key)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "nothing found")
	require.NotContains(t, string(out), "\x1b", "no colours in a file")

	cmd = exec.CommandContext(t.Context(), binary(t), "doctor", "--json", "--url", "http://127.0.0.1:"+freeport.Get(t)+"/web")
	out, err = cmd.Output()
	require.Error(t, err)
	require.Equal(t, 1, cmd.ProcessState.ExitCode())
	require.Contains(t, string(out), `"id": "reach.refused"`)

	for _, args := range [][]string{{}, {"--url", "studio.example.com"}, {"--url", "http://x/web", "--ca-file", "/does/not/exist"}} {
		cmd = exec.CommandContext(t.Context(), binary(t), append([]string{"doctor"}, args...)...)
		out, _ = cmd.CombinedOutput()
		require.Equal(t, 2, cmd.ProcessState.ExitCode(), "%s", out)
	}
}
