package httpapi

import (
	"context"
	"net/http"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
)

type healthOutput struct {
	Body struct {
		OK      bool   `json:"ok"`
		Version string `json:"version"`
	}
}

type readyOutput struct {
	Status int
	Body   struct {
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons"`
	}
}

func (s *server) registerHealth() {
	handle(s, route{
		method: http.MethodGet, path: "/health", id: "get-health", tag: "health", permission: auth.Open,
		summary: "Whether this process lives",
	}, func(context.Context, *struct{}) (*healthOutput, error) {
		out := &healthOutput{}
		out.Body.OK, out.Body.Version = true, s.deps.Version
		return out, nil
	})
	handle(s, route{
		method: http.MethodGet, path: "/ready", id: "get-ready", tag: "health", permission: auth.Open,
		summary: "Whether this process can serve; 503 with the reasons if not",
	}, func(ctx context.Context, _ *struct{}) (*readyOutput, error) {
		out := &readyOutput{Status: http.StatusOK}
		out.Body.Reasons = []string{}
		if s.deps.Ready != nil {
			out.Body.Reasons = append(out.Body.Reasons, s.deps.Ready(ctx)...)
		}
		if out.Body.Ready = len(out.Body.Reasons) == 0; !out.Body.Ready {
			out.Status = http.StatusServiceUnavailable
		}
		return out, nil
	})
}

type statusOutput struct{ Body any }

func (s *server) registerOperations() {
	handle(s, route{
		method: http.MethodGet, path: "/workers", id: "list-workers", tag: "operations", permission: auth.Read,
		summary: "Worker processes that are alive, with what each runs",
	}, s.listWorkers)
	handle(s, route{
		method: http.MethodGet, path: "/realtime/status", id: "get-realtime-status", tag: "operations", permission: auth.Read,
		summary: "How the realtime side of the answering process is doing",
	}, func(context.Context, *struct{}) (*statusOutput, error) {
		if s.deps.Realtime == nil {
			return nil, errs.E(errs.Unavailable, "realtime.off", "This process serves no sockets.")
		}
		return &statusOutput{Body: s.deps.Realtime.Status()}, nil
	})
}
