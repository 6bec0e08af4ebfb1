package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/serving/proxyfix"
)

const (
	maxProbes    = 8   // streams and bodies at a time, in this process
	maxProbeWait = 130 // seconds that a stream may be silent
)

// seen is how a request arrived here, for llmctl doctor: what proxies made of it.
type seen struct {
	Scheme     string    `json:"scheme"`
	Host       string    `json:"host"`
	Prefix     string    `json:"prefix"`
	Client     string    `json:"client" doc:"Who the server takes the client to be"`
	Forwarded  string    `json:"forwarded_for" doc:"The part of X-Forwarded-For that is believed"`
	ProxyFix   bool      `json:"proxy_fix" doc:"Whether forwarded headers are believed at all"`
	APIPrefix  string    `json:"api_prefix"`
	WebPrefix  string    `json:"web_prefix"`
	SocketPath string    `json:"socket_path"`
	MaxBody    int64     `json:"max_body" doc:"The largest body that an operation takes"`
	Version    string    `json:"version"`
	Now        time.Time `json:"now"`
}

type seenInput struct{ request *http.Request }

// Resolve implements huma.Resolver.
func (i *seenInput) Resolve(ctx huma.Context) []error {
	i.request, _ = humaUnwrap(ctx)
	return nil
}

type seenOutput struct{ Body seen }

type streamInput struct {
	Wait int `query:"wait" minimum:"1" maximum:"130" default:"1" doc:"Seconds of silence between the two lines"`
}

type bodyInput struct{ RawBody []byte }

type bodyOutput struct {
	Body struct {
		Bytes int `json:"bytes"`
	}
}

// registerDoctor registers what llmctl doctor measures with. The operations reveal
// nothing but the caller's own request; probes is how many may run at a time.
func (s *server) registerDoctor() {
	probes := make(chan struct{}, maxProbes)
	handle(s, route{
		method: http.MethodGet, path: "/doctor/request", id: "doctor-request", tag: "operations", permission: auth.SignedIn,
		summary: "How this request arrived: scheme, host, prefix and client as the server sees them",
	}, s.doctorRequest)
	handle(s, route{
		method: http.MethodGet, path: "/doctor/stream", id: "doctor-stream", tag: "operations", permission: auth.SignedIn,
		summary: "Two lines of an event stream with silence between them, to measure what a proxy does to it",
	}, func(_ context.Context, in *streamInput) (*huma.StreamResponse, error) {
		release, err := probe(probes)
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			defer release()
			twoLines(ctx, time.Duration(min(in.Wait, maxProbeWait))*time.Second)
		}}, nil
	})
	handle(s, route{
		method: http.MethodPost, path: "/doctor/body", id: "doctor-body", tag: "operations", permission: auth.SignedIn, body: maxGraphBody,
		summary: "Counts a body and forgets it, to find the limit of a proxy",
	}, func(_ context.Context, in *bodyInput) (*bodyOutput, error) {
		release, err := probe(probes)
		if err != nil {
			return nil, err
		}
		defer release()
		out := &bodyOutput{}
		out.Body.Bytes = len(in.RawBody)
		return out, nil
	})
}

func (s *server) doctorRequest(_ context.Context, in *seenInput) (*seenOutput, error) {
	d, at := s.deps, proxyfix.From(in.request)
	return &seenOutput{Body: seen{
		Scheme: at.Scheme, Host: at.Host, Prefix: at.Prefix, Client: at.ClientIP(), Forwarded: at.Forwarded, ProxyFix: d.Proxy != nil,
		APIPrefix: d.APIPrefix, WebPrefix: d.WebPrefix, SocketPath: d.SocketPath, MaxBody: maxGraphBody, Version: d.Version, Now: d.Now().UTC(),
	}}, nil
}

// probe takes one of the places for probes, or says that there is none.
func probe(places chan struct{}) (release func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	default:
		return nil, errs.Ef(errs.RateLimited, "doctor.busy", "%d probes run already. Try again in a moment.", maxProbes).Retry(time.Second)
	}
}

// twoLines writes a line at once and another one after the silence. It asks no proxy
// for anything: what a proxy does by itself is what is to be found out.
func twoLines(ctx huma.Context, silence time.Duration) {
	_, w := humaUnwrap(ctx)
	control := http.NewResponseController(w)
	ctx.SetHeader("Content-Type", "text/event-stream")
	ctx.SetHeader("Cache-Control", "no-store")
	ctx.SetStatus(http.StatusOK)
	// Short, as events are: a proxy that collects answers until a buffer is worth
	// sending is to be noticed.
	for i, line := range []string{"first", "second"} {
		if i > 0 {
			timer := time.NewTimer(silence)
			select {
			case <-ctx.Context().Done():
				timer.Stop()
				return
			case <-timer.C:
			}
		}
		if _, err := fmt.Fprintf(ctx.BodyWriter(), "data: %s\n\n", line); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
	}
}
