package doctor

import (
	"context"
	"crypto/x509"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/errs"
)

// Options of Examine.
type Options struct {
	URL    string // of the page, as a browser has it: https://host/prefix/web
	APIKey string // for what needs one; empty: those checks are skipped
	Long   bool   // measure for how long a silent connection lives
	Still  time.Duration
	Roots  *x509.CertPool // nil: the system's
	Now    func() time.Time
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

// maxStill is for how long a silent connection is watched at most.
const maxStill = 130 * time.Second

// examination is the state of one Examine.
type examination struct {
	*client
	opts   Options
	report *Report
	page   *url.URL // as given, without a slash at the end
	prefix string   // below which the Studio is mounted, by the page's address
	web    string   // path of the page below the prefix
	api    string   // path of the API below the prefix
	socket string   // path of the socket below the prefix
	seen   *seen    // what the server says of a request; nil: not asked
}

// Examine looks at a deployment. The error is only about the options.
func Examine(ctx context.Context, o Options) (*Report, error) {
	page, err := url.Parse(strings.TrimRight(o.URL, "/"))
	if err != nil || page.Host == "" || (page.Scheme != "http" && page.Scheme != "https") || page.RawQuery != "" || page.Fragment != "" {
		return nil, errs.Ef(errs.Invalid, "doctor.url", "%q is not the address of a page, such as https://studio.example.com/web.", o.URL)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Still <= 0 || o.Still > maxStill {
		o.Still = maxStill
	}
	e := &examination{
		client: newClient(o), opts: o, report: &Report{URL: page.Redacted(), Checks: []Check{}, Findings: []Finding{}}, page: page,
		web: "/web", api: "/api", socket: "/api/socket.io",
	}
	defer e.close()
	e.prefix = strings.TrimSuffix(page.Path, e.web)
	if !e.reach(ctx) {
		return e.report, nil
	}
	for _, check := range []func(context.Context){
		e.pageSettings, e.assets, e.health, e.ready, e.routes, e.redirects, e.polling, e.websocket, e.clock,
		e.arrival, e.bus, e.stream, e.bodies, e.still,
	} {
		if ctx.Err() != nil {
			break
		}
		check(ctx)
	}
	return e.report, nil
}

// at is the address of one of the Studio's paths, as a browser has it.
func (e *examination) at(path string) string {
	u := *e.page
	u.Path = e.prefix + path
	return u.String()
}

// reach checks that anything answers at all.
func (e *examination) reach(ctx context.Context) bool {
	const name = "reachability"
	a, err := e.get(ctx, e.at(e.api+"/health"))
	if err != nil {
		e.report.find(name, explain(err, e.page))
		return false
	}
	switch a.status {
	case 502, 503, 504:
		if !a.is("application/") {
			e.report.find(name, Finding{
				ID: "upstream.down", Severity: Error, Seen: "the proxy answers for the Studio: " + a.shown(),
				Fix:     "Start the Studio, and point the proxy to where it listens (GUNICORN_BIND).",
				Snippet: "upstream studio { server 127.0.0.1:5055; }",
			})
			return false
		}
	}
	e.report.pass(name, e.page.Scheme+"://"+e.page.Host+" answers with "+a.proto)
	return true
}
