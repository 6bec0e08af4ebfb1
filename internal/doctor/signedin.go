package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

const noKey = "needs an API key (--api-key-file or LLMCTL_STUDIO_DOCTOR_API_KEY)"

// seen is what the server says of a request.
type seen struct {
	Scheme    string `json:"scheme"`
	Host      string `json:"host"`
	Prefix    string `json:"prefix"`
	Client    string `json:"client"`
	Forwarded string `json:"forwarded_for"`
	ProxyFix  bool   `json:"proxy_fix"`
	MaxBody   int64  `json:"max_body"`
}

// arrival asks the server what it believes about our request.
func (e *examination) arrival(ctx context.Context) {
	const name = "forwarded headers"
	if e.key == "" {
		e.report.skip(name, noKey)
		return
	}
	a, err := e.do(ctx, request{url: e.at(e.api + "/doctor/request"), key: true})
	if err != nil {
		e.report.find(name, explain(err, e.page))
		return
	}
	s := &seen{}
	switch {
	case a.status == http.StatusUnauthorized:
		e.report.find(name, Finding{
			ID: "key.refused", Severity: Error, Seen: "the API key is not accepted: " + a.shown(),
			Fix:     "Make one under Settings. If it works without the proxy, the proxy drops the Authorization header.",
			Snippet: "proxy_set_header Authorization $http_authorization;",
		})
		e.key = ""
		return
	case a.status != http.StatusOK || !a.json(s) || s.Scheme == "":
		e.report.skip(name, "the server cannot tell: "+a.shown())
		e.key = ""
		return
	}
	e.seen = s
	if found := e.misbelieved(a); len(found) > 0 {
		for _, f := range found {
			e.report.find(name, f)
		}
		return
	}
	e.report.pass(name, fmt.Sprintf("the server sees %s://%s%s from %s", s.Scheme, s.Host, s.Prefix, s.Client))
}

// misbelieved compares what the server believes with what we know.
func (e *examination) misbelieved(a *answer) []Finding {
	var found []Finding
	s := e.seen
	trust := " Then trust it: LLMCTL_STUDIO_PROXY_FIX_ENABLED=true."
	if s.ProxyFix {
		trust = " Forwarded headers are trusted already; check the hops (LLMCTL_STUDIO_PROXY_FIX_X_…)."
	}
	if s.Scheme != e.page.Scheme {
		found = append(found, Finding{
			ID: "forwarded.proto", Severity: Error, Seen: fmt.Sprintf("the browser uses %s, the server believes %s; cookies are sent without Secure, or sockets are refused", e.page.Scheme, s.Scheme),
			Fix: "Let the proxy send X-Forwarded-Proto." + trust, Snippet: snippetProto,
		})
	}
	if !strings.EqualFold(s.Host, withoutDefaultPort(e.page.Host, e.page.Scheme)) {
		found = append(found, Finding{
			ID: "forwarded.host", Severity: Error, Seen: fmt.Sprintf("the browser uses the host %s, the server believes %s", e.page.Host, s.Host),
			Fix: "Let the proxy keep the Host header, or send X-Forwarded-Host and -Port." + trust, Snippet: snippetHost,
		})
	}
	client, err := netip.ParseAddr(s.Client)
	if err == nil && a.local.IsValid() && client.Unmap() != a.local && (client.IsLoopback() || client.IsPrivate()) {
		found = append(found, Finding{
			ID: "forwarded.for", Severity: Warning, Seen: fmt.Sprintf("the server takes %s for the client, which is not this machine (%s); all users would share one log-in limit", s.Client, a.local),
			Fix: "Let the proxy send X-Forwarded-For." + trust, Snippet: snippetFor,
		})
	}
	return found
}

func withoutDefaultPort(host, scheme string) string {
	return strings.TrimSuffix(host, map[string]string{"http": ":80", "https": ":443"}[scheme])
}

// bus asks how the realtime side is doing.
func (e *examination) bus(ctx context.Context) {
	const name = "realtime bus"
	if e.key == "" {
		e.report.skip(name, noKey)
		return
	}
	a, err := e.do(ctx, request{url: e.at(e.api + "/realtime/status"), key: true})
	if err != nil {
		e.report.find(name, explain(err, e.page))
		return
	}
	var body struct {
		Workers []struct {
			Worker   string `json:"worker"`
			Hostname string `json:"hostname"`
			Mute     string `json:"mute"` // why it did not answer: then nothing is known of its bus
			Ready    bool   `json:"ready"`
			Reason   string `json:"reason"`
			Hub      struct {
				Bus string `json:"bus"`
			} `json:"hub"`
		} `json:"workers"`
	}
	if a.status != http.StatusOK || !a.json(&body) || len(body.Workers) == 0 {
		e.report.skip(name, "the server cannot tell: "+a.shown())
		return
	}
	bus := ""
	for _, w := range body.Workers {
		if w.Mute != "" {
			continue
		}
		if !w.Ready {
			e.report.find(name, Finding{
				ID: "bus.down", Severity: Error, Seen: "events do not travel to worker " + w.Worker + " on " + w.Hostname + ": " + w.Reason,
				Fix: "Check LLMCTL_STUDIO_SOCKETIO_MESSAGE_QUEUE and the database; events still arrive, but late.",
			})
			return
		}
		bus = w.Hub.Bus
	}
	if bus == "" {
		e.report.skip(name, "no worker answers")
		return
	}
	e.report.pass(name, bus+" carries")
}

// stream measures whether a stream's lines arrive when they are written.
func (e *examination) stream(ctx context.Context) {
	const name = "streaming"
	if e.key == "" {
		e.report.skip(name, noKey)
		return
	}
	between, packed, err := e.lines(ctx, 1*time.Second, requestTimeout)
	switch {
	case packed != "":
		e.report.find(name, Finding{
			ID: "stream.compressed", Severity: Error, Seen: "the proxy compresses event streams (" + packed + "), which holds lines back",
			Fix: "Leave text/event-stream out of what is compressed.", Snippet: snippetGzip,
		})
	case err != nil:
		e.report.skip(name, "no stream came: "+plain(err))
	case between < 500*time.Millisecond:
		e.report.find(name, Finding{
			ID: "stream.buffered", Severity: Error, Seen: fmt.Sprintf("two lines that the server wrote a second apart arrived %d ms apart: the proxy holds them back", between.Milliseconds()),
			Fix: "Switch the buffering of answers off.", Snippet: snippetBuffer,
		})
	default:
		e.report.pass(name, fmt.Sprintf("lines arrive as they are written (%d ms apart)", between.Milliseconds()))
	}
}

// lines reads two lines of the server that have silence between them. The error
// tells when the connection was cut before the second one.
func (e *examination) lines(ctx context.Context, silence, patience time.Duration) (between time.Duration, packed string, err error) {
	ctx, cancel := context.WithTimeout(ctx, silence+patience)
	defer cancel()
	response, _, _, err := e.open(ctx, request{
		url: fmt.Sprintf("%s?wait=%d", e.at(e.api+"/doctor/stream"), int(silence.Seconds())), key: true,
		header: map[string]string{"Accept": "text/event-stream", "Accept-Encoding": "gzip, br, zstd"},
	})
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" {
		return 0, encoding, nil
	}
	if response.StatusCode != http.StatusOK {
		return 0, "", fmt.Errorf("status %s", response.Status)
	}
	reader := bufio.NewReader(io.LimitReader(response.Body, maxAnswer))
	if _, err := reader.ReadString('\n'); err != nil {
		return 0, "", fmt.Errorf("the first line: %w", err)
	}
	first := e.now()
	for {
		line, err := reader.ReadString('\n')
		if strings.HasPrefix(line, "data: second") {
			return e.now().Sub(first), "", nil
		}
		if err != nil {
			return e.now().Sub(first), "", errCut
		}
	}
}

var errCut = errors.New("the connection was cut")

// bodies finds out whether the largest body that the API takes gets through.
func (e *examination) bodies(ctx context.Context) {
	const name = "body size"
	if e.key == "" || e.seen == nil || e.seen.MaxBody <= 0 {
		e.report.skip(name, noKey)
		return
	}
	const least = 1 << 10
	passed := int64(0)
	for size := min(e.seen.MaxBody, 64<<20); size >= least; size /= 2 {
		a, err := e.do(ctx, request{
			method: http.MethodPost, url: e.at(e.api + "/doctor/body"), key: true, body: io.LimitReader(zeros{}, size), size: size,
			header: map[string]string{"Content-Type": "application/octet-stream"},
		})
		// The API's own refusal has come through the proxy as well.
		if err == nil && (a.status == http.StatusOK || a.is("application/problem+json")) {
			passed = size
			break
		}
		if err == nil && a.status != http.StatusRequestEntityTooLarge {
			e.report.skip(name, "bodies are not counted: "+a.shown())
			return
		}
	}
	if passed == min(e.seen.MaxBody, 64<<20) {
		e.report.pass(name, fmt.Sprintf("%d MiB get through", passed>>20))
		return
	}
	e.report.find(name, Finding{
		ID: "body.limit", Severity: Error,
		Seen: fmt.Sprintf("bodies of %d KiB get through, of %d KiB not; the API takes up to %d KiB", passed>>10, passed*2>>10, e.seen.MaxBody>>10),
		Fix:  "Raise the proxy's limit to at least what the API takes.", Snippet: snippetBody,
	})
}

type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// heartbeat is how far apart the server's own signs of life are at most, by default.
const heartbeat = 45 * time.Second

// still measures for how long a silent connection lives.
func (e *examination) still(ctx context.Context) {
	const name = "silent connection"
	if !e.opts.Long {
		e.report.skip(name, "measured with --long (up to two minutes)")
		return
	}
	if e.key == "" {
		e.report.skip(name, noKey)
		return
	}
	began := e.now()
	_, packed, err := e.lines(ctx, e.opts.Still, requestTimeout)
	lived := e.now().Sub(began).Round(time.Second / 10)
	switch {
	case packed != "":
		e.report.skip(name, "streams are compressed")
	case err == nil || lived >= e.opts.Still:
		e.report.pass(name, fmt.Sprintf("lives for %s and more", e.opts.Still))
	default:
		severity := Warning
		if lived < heartbeat {
			severity = Error
		}
		e.report.find(name, Finding{
			ID: "idle.timeout", Severity: severity, Seen: fmt.Sprintf("a connection on which nothing happens is cut after %s", lived),
			Fix: "Raise the proxy's time-outs; a heartbeat comes every 25 s, an answer of a slow operation may take longer.", Snippet: snippetStill,
		})
	}
}
