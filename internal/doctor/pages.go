package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// settings are what the server writes into the page.
type settings struct {
	BasePath   string `json:"basePath"`
	APIBase    string `json:"apiBase"`
	SocketPath string `json:"socketPath"`
	Version    string `json:"version"`
}

var (
	settingsPattern = regexp.MustCompile(`window\.__STUDIO__=(\{.*?\})</script>`)
	basePattern     = regexp.MustCompile(`<base href="([^"]+)"`)
	assetPattern    = regexp.MustCompile(`<(?:script|link)[^>]+(?:src|href)="([^"]+\.(?:js|css))"`)
)

// pageSettings checks that the page is the Studio's and believes the paths that
// the browser has.
func (e *examination) pageSettings(ctx context.Context) {
	const name = "page"
	a, err := e.do(ctx, request{url: e.at(e.web + "/"), header: map[string]string{"Accept": "text/html"}})
	if err != nil {
		e.report.find(name, explain(err, e.page))
		return
	}
	found := settingsPattern.FindSubmatch(a.body)
	var s settings
	if found == nil || json.Unmarshal(found[1], &s) != nil {
		if strings.Contains(string(a.body), "not built into this binary") {
			e.report.skip(name, "this llmctl has no page built in (run make build)")
			return
		}
		e.report.find(name, Finding{
			ID: "page.missing", Severity: Error, Seen: "there is no page of the Studio at " + e.page.Path + "/: " + a.shown(),
			Fix:     "Give --url the page's address. Let the proxy pass everything below the prefix, and serve the page (llmctl serve --with-web, or llmctl frontend).",
			Snippet: snippetRoutes(e.prefix),
		})
		return
	}
	e.report.Version = s.Version
	believed := strings.TrimSuffix(s.BasePath, e.web)
	if believed != e.prefix {
		e.report.find(name, Finding{
			ID: "prefix.page", Severity: Error,
			Seen:    fmt.Sprintf("the browser has the page at %s, but the server believes that it is at %s; links, assets and the API go astray", e.page.Path, s.BasePath),
			Fix:     "Let the proxy send X-Forwarded-Prefix, and trust it: LLMCTL_STUDIO_PROXY_FIX_ENABLED=true and LLMCTL_STUDIO_PROXY_FIX_X_PREFIX=1.",
			Snippet: snippetPrefix(e.prefix),
		})
		return
	}
	e.api, e.socket = strings.TrimPrefix(s.APIBase, believed), strings.TrimPrefix(s.SocketPath, believed)
	e.report.pass(name, "the page knows that it is at "+s.BasePath)
}

// assets checks that what the page loads is there.
func (e *examination) assets(ctx context.Context) {
	const name = "assets"
	a, err := e.do(ctx, request{url: e.at(e.web + "/"), header: map[string]string{"Accept": "text/html"}})
	if err != nil {
		e.report.find(name, explain(err, e.page))
		return
	}
	base, err := baseOf(e.at(e.web+"/"), a.body)
	found := assetPattern.FindAllSubmatch(a.body, 4)
	if err != nil || len(found) == 0 {
		e.report.skip(name, "the page names none")
		return
	}
	for _, match := range found {
		ref, err := base.Parse(string(match[1]))
		if err != nil {
			continue
		}
		got, err := e.get(ctx, ref.String())
		if err != nil {
			e.report.find(name, explain(err, e.page))
			return
		}
		if got.status != 200 || got.is("text/html") {
			e.report.find(name, Finding{
				ID: "prefix.assets", Severity: Error, Seen: "the page's file " + ref.Path + " is not there: " + got.shown(),
				Fix:     "Let the proxy pass everything below " + e.prefix + "/ to the Studio, without location blocks of its own for assets.",
				Snippet: snippetRoutes(e.prefix),
			})
			return
		}
	}
	e.report.pass(name, fmt.Sprintf("%d files of the page load", len(found)))
}

// baseOf is what a page's relative addresses are relative to.
func baseOf(address string, body []byte) (*url.URL, error) {
	page, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if match := basePattern.FindSubmatch(body); match != nil {
		return page.Parse(string(match[1]))
	}
	return page, nil
}

// health checks that the API is the Studio's.
func (e *examination) health(ctx context.Context) {
	const name = "API"
	a, err := e.get(ctx, e.at(e.api+"/health"))
	if err != nil {
		e.report.find(name, explain(err, e.page))
		return
	}
	var body struct {
		OK      bool   `json:"ok"`
		Version string `json:"version"`
	}
	if a.status != 200 || !a.json(&body) || !body.OK {
		e.report.find(name, Finding{
			ID: "prefix.api", Severity: Error, Seen: "there is no API at " + e.prefix + e.api + ": " + a.shown(),
			Fix:     "Let the proxy pass " + e.prefix + e.api + "/ to the Studio as well as the page.",
			Snippet: snippetRoutes(e.prefix),
		})
		return
	}
	e.report.Version = body.Version
	e.report.pass(name, "llmctl "+body.Version)
}

// ready asks the Studio whether it can serve.
func (e *examination) ready(ctx context.Context) {
	const name = "readiness"
	a, err := e.get(ctx, e.at(e.api+"/ready"))
	if err != nil {
		e.report.find(name, explain(err, e.page))
		return
	}
	var body struct {
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons"`
	}
	switch {
	case !a.json(&body):
		e.report.skip(name, "the API does not answer: "+a.shown())
	case !body.Ready:
		e.report.find(name, Finding{
			ID: "server.not_ready", Severity: Error, Seen: "the Studio says that it is not ready: " + strings.Join(body.Reasons, "; "),
			Fix: "See the Studio's log; llmctl db check tells more about the database.",
		})
	default:
		e.report.pass(name, "database, schema and realtime are ready")
	}
}

// routes checks that nobody answers for the API but the API.
func (e *examination) routes(ctx context.Context) {
	const name = "unknown API path"
	path := e.prefix + e.api + "/there-is-no-such-thing"
	a, err := e.do(ctx, request{url: e.at(e.api + "/there-is-no-such-thing"), header: map[string]string{"Accept": "text/html,*/*"}})
	if err != nil {
		e.report.find(name, explain(err, e.page))
		return
	}
	if a.status == 404 && a.is("application/problem+json") {
		e.report.pass(name, "is a JSON 404")
		return
	}
	e.report.find(name, Finding{
		ID: "routes.catch_all", Severity: Error, Seen: path + " should be a JSON 404 of the API, but is " + a.shown(),
		Fix:     "Remove try_files, error_page and proxy_intercept_errors for " + e.prefix + e.api + "/: the API answers for itself.",
		Snippet: "location " + e.prefix + e.api + "/ { proxy_pass http://studio; proxy_intercept_errors off; }",
	})
}

// redirects checks that the short addresses lead to the page.
func (e *examination) redirects(ctx context.Context) {
	const name = "redirects"
	for _, path := range []string{"/", e.web} {
		a, err := e.get(ctx, e.at(path))
		if err != nil {
			e.report.find(name, explain(err, e.page))
			return
		}
		if f := e.redirect(path, a); f != nil {
			e.report.find(name, *f)
			return
		}
	}
	e.report.pass(name, "/ and "+e.web+" lead to the page")
}

func (e *examination) redirect(path string, a *answer) *Finding {
	from, err := url.Parse(e.at(path))
	if err != nil {
		return nil
	}
	f := &Finding{Severity: Error, Fix: "Let the proxy pass redirects as they are.", Snippet: snippetRedirect}
	if a.status < 300 || a.status > 399 {
		f.ID, f.Severity, f.Seen = "redirect.missing", Warning, from.Path+" should lead to the page, but is "+a.shown()
		f.Fix, f.Snippet = "Let the proxy pass "+e.prefix+"/ to the Studio, too.", snippetRoutes(e.prefix)
		return f
	}
	to, err := from.Parse(a.header.Get("Location"))
	if err != nil {
		f.ID, f.Seen = "redirect.broken", fmt.Sprintf("%s redirects to %q", from.Path, a.header.Get("Location"))
		return f
	}
	switch {
	case to.Scheme != from.Scheme:
		f.ID, f.Seen = "redirect.scheme", fmt.Sprintf("%s redirects to %s: from %s to %s", from.Path, to, from.Scheme, to.Scheme)
		f.Fix, f.Snippet = f.Fix+" The scheme gets lost between the browser and what made the redirect.", snippetProto+"\n"+snippetRedirect
	case to.Host != from.Host:
		f.ID, f.Seen = "redirect.host", fmt.Sprintf("%s redirects to %s: another host or port than %s", from.Path, to, from.Host)
		f.Snippet = snippetHost + "\n" + snippetRedirect
	case to.Path != e.prefix+e.web+"/":
		f.ID, f.Seen = "redirect.prefix", fmt.Sprintf("%s redirects to %s instead of %s/", from.Path, to.Path, e.prefix+e.web)
		f.Fix = "Let the proxy send X-Forwarded-Prefix, and trust it with LLMCTL_STUDIO_PROXY_FIX_X_PREFIX=1."
		f.Snippet = snippetPrefix(e.prefix)
	default:
		return nil
	}
	return f
}

// maxSkew is more than clocks that are kept right ever differ.
const maxSkew = 30 * time.Second

// clock compares the server's clock with ours.
func (e *examination) clock(ctx context.Context) {
	const name = "clock"
	a, err := e.get(ctx, e.at(e.api+"/health"))
	if err != nil {
		e.report.find(name, explain(err, e.page))
		return
	}
	date, err := time.Parse(time.RFC1123, a.header.Get("Date"))
	if err != nil {
		e.report.skip(name, "the answer has no Date header")
		return
	}
	// The header has whole seconds; the answer was made about half-way.
	skew := date.Add(500 * time.Millisecond).Sub(a.began.Add(a.took / 2)).Round(time.Second)
	if skew.Abs() > maxSkew {
		e.report.find(name, Finding{
			ID: "clock.skew", Severity: Warning, Seen: fmt.Sprintf("the server's clock differs from this machine's by %s", skew),
			Fix: "Keep the clocks of both machines right (NTP). Times in lists and the ends of sessions would be wrong.",
		})
		return
	}
	e.report.pass(name, fmt.Sprintf("differs by %s", skew))
}
