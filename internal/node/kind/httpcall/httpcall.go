// Package httpcall makes one HTTP request: the http kind of node.
//
// Invariant: no request reaches an address that the allow-list and the public
// internet do not cover. That is decided when dialling, on the address that is
// really connected to, so neither names that resolve differently a second time nor
// redirects get around it.
package httpcall

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/egress"
	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/tracing"
)

// Codes of failures.
const (
	CodeStatus  = "http_status" // the answer has an unexpected status
	CodeBlocked = "blocked_address"
	CodeNetwork = "network"
)

const (
	maxRedirects    = 5
	defaultMaxBytes = 4 << 20
	defaultTimeout  = 60 * time.Second
)

// Options configure the handler.
type Options struct {
	Allow    []string // see egress.New
	MaxBytes int64    // of a request or response body
}

// Handler runs http nodes.
type Handler struct {
	client   *http.Client
	maxBytes int64
}

// New makes a handler. A faulty entry of Allow is errs.Invalid.
func New(o Options) (*Handler, error) {
	allow, err := egress.New(o.Allow)
	if err != nil {
		return nil, err
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	t := &http.Transport{
		// No proxy: the address has to be the one that is checked.
		Proxy: nil, DialContext: allow.Dial, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 15 * time.Second, MaxResponseHeaderBytes: 1 << 20,
		DisableKeepAlives: true,
	}
	return &Handler{client: &http.Client{Transport: tracing.Transport(t), CheckRedirect: checkRedirect}, maxBytes: o.MaxBytes}, nil
}

type config struct {
	Method         string            `json:"method"`
	URL            string            `json:"url"`
	Headers        map[string]string `json:"headers"`
	Body           json.RawMessage   `json:"body"`
	ExpectStatus   statusSet         `json:"expect_status"`
	TimeoutSeconds float64           `json:"timeout_seconds"`
}

type output struct {
	Status     int               `json:"status"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
	BodyBase64 string            `json:"body_base64,omitempty"` // a body that is not text
	JSON       any               `json:"json,omitempty"`
}

var (
	errRedirects = errors.New("more redirects than allowed")
	errScheme    = errors.New("only http and https are allowed")
	errTimeout   = errors.New("the server did not answer in time")
)

// Run implements the handler of the kind.
func (h *Handler) Run(ctx context.Context, in executor.Payload, sink executor.Sink) executor.Result {
	stages := executor.NewStages(sink)
	if err := stages.Enter(executor.StageInit); err != nil {
		return executor.Failure(executor.CodeInfra, "The events of this attempt could not be stored.", true)
	}
	res := h.call(ctx, in, stages)
	if res.Error != nil {
		stages.Fail(res.Error.Message)
	} else if err := stages.Finish(); err != nil {
		return executor.Failure(executor.CodeInfra, "The events of this attempt could not be stored.", true)
	}
	return res
}

func (h *Handler) call(ctx context.Context, in executor.Payload, stages *executor.Stages) executor.Result {
	var cfg config
	if err := json.Unmarshal(in.Config, &cfg); err != nil {
		return executor.Failuref(executor.CodeConfig, false, "The settings of this node cannot be read: %v.", err)
	}
	timeout := defaultTimeout
	if cfg.TimeoutSeconds > 0 {
		timeout = time.Duration(cfg.TimeoutSeconds * float64(time.Second))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
	defer cancel()
	req, fail := h.request(ctx, cfg)
	if fail != nil {
		return executor.Result{Status: executor.Failed, Error: fail}
	}
	_ = stages.Log(fmt.Sprintf("%s %s", req.Method, req.URL.Redacted())) // a broken sink ends ctx
	start := time.Now()
	resp, err := h.client.Do(req)
	if err != nil {
		return explain(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, h.maxBytes+1))
	if err != nil {
		return explain(ctx, err)
	}
	if int64(len(body)) > h.maxBytes {
		return executor.Failuref(executor.CodeTooLarge, false, "The answer is larger than %d bytes.", h.maxBytes)
	}
	_ = stages.Log(fmt.Sprintf("%s, %d bytes, after %s.", resp.Status, len(body), time.Since(start).Round(time.Millisecond)))
	return judge(cfg, resp, body)
}

func (h *Handler) request(ctx context.Context, cfg config) (*http.Request, *executor.ResultError) {
	bad := func(format string, args ...any) *executor.ResultError {
		return &executor.ResultError{Code: executor.CodeConfig, Message: executor.CleanText(fmt.Sprintf(format, args...))}
	}
	u, err := url.Parse(strings.TrimSpace(cfg.URL))
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, bad("%q is not an http or https URL.", cfg.URL)
	}
	body, isJSON, err := bodyOf(cfg.Body)
	if err != nil {
		return nil, bad("The body of this node cannot be read: %v.", err)
	}
	if int64(len(body)) > h.maxBytes {
		return nil, &executor.ResultError{Code: executor.CodeTooLarge, Message: fmt.Sprintf("The body of the request is larger than %d bytes.", h.maxBytes)}
	}
	method := strings.ToUpper(strings.TrimSpace(cfg.Method))
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, bad("%q is not an HTTP method.", cfg.Method)
	}
	req.Header.Set("User-Agent", "llmctl-studio")
	if isJSON {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range cfg.Headers {
		if strings.EqualFold(k, "Host") {
			req.Host = v
			continue
		}
		if !validHeader(k, v) {
			return nil, bad("%q is not a valid header.", k)
		}
		req.Header.Set(k, v)
	}
	return req, nil
}

// bodyOf gives a string body as it is and any other JSON value encoded.
func bodyOf(raw json.RawMessage) (body []byte, isJSON bool, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, false, nil
	}
	if raw[0] != '"' {
		return raw, true, nil
	}
	var s string
	err = json.Unmarshal(raw, &s)
	return []byte(s), false, err
}

func validHeader(name, value string) bool {
	if name == "" || strings.ContainsAny(value, "\r\n\x00") {
		return false
	}
	for _, c := range name {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", c) {
			return false
		}
	}
	return true
}

// checkRedirect bounds redirects and takes the node's headers off a request that
// leaves its origin, since any of them may be a credential.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errRedirects
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return errScheme
	}
	first := via[0].URL
	if req.URL.Host != first.Host || req.URL.Scheme != first.Scheme {
		kept := http.Header{"User-Agent": {"llmctl-studio"}}
		if t := req.Header.Get("Content-Type"); t != "" {
			kept.Set("Content-Type", t)
		}
		req.Header = kept //nolint:gosec // this takes headers away
		req.Host = ""
	}
	return nil
}

func judge(cfg config, resp *http.Response, body []byte) executor.Result {
	out := output{Status: resp.StatusCode, Headers: map[string]string{}}
	for k, v := range resp.Header {
		out.Headers[strings.ToLower(k)] = executor.CleanText(strings.Join(v, ", "))
	}
	if utf8.Valid(body) {
		out.Body = executor.CleanText(string(body))
		if v, err := executor.DecodeJSON(string(body)); err == nil {
			out.JSON = v
		}
	} else {
		out.BodyBase64 = base64.StdEncoding.EncodeToString(body)
	}
	res := executor.Success(out)
	if cfg.ExpectStatus.accepts(resp.StatusCode) {
		return res
	}
	retryable := resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500
	fail := executor.Failuref(CodeStatus, retryable, "The server answered %s; expected was %s.", resp.Status, cfg.ExpectStatus)
	details := map[string]any{"status": resp.StatusCode}
	if d, err := time.ParseDuration(resp.Header.Get("Retry-After") + "s"); err == nil && d > 0 {
		details["retry_after_seconds"] = d.Seconds()
	}
	fail = fail.WithDetails(details)
	fail.OutputState = res.OutputState
	return fail
}

func explain(ctx context.Context, err error) executor.Result {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // its text repeats the URL, which may hold a credential
	}
	blocked, isBlocked := errors.AsType[*egress.BlockedError](err)
	switch {
	case isBlocked:
		return executor.Failuref(CodeBlocked, false, "%s is not a public address, so http nodes may not reach it. An administrator can allow it with LLMCTL_STUDIO_HTTP_NODE_ALLOW.", blocked.Address)
	case errors.Is(err, errRedirects):
		return executor.Failuref(CodeNetwork, false, "The server redirected more than %d times.", maxRedirects)
	case errors.Is(err, errScheme):
		return executor.Failure(CodeNetwork, "The server redirected to something that is not http or https.", false)
	case errors.Is(context.Cause(ctx), errTimeout):
		return executor.Failure(executor.CodeTimeout, "The server did not answer in time.", true)
	case ctx.Err() != nil:
		res, _ := executor.Ended(ctx)
		return res
	}
	return executor.Failuref(CodeNetwork, true, "The request failed: %v.", err)
}
