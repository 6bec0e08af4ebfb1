package httpapi

import (
	"context"
	"net/http"

	"github.com/llmctl/studio/internal/auth"
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

func (s *server) registerOperations() {
	s.registerWorkers()
	s.registerQueues()
	s.registerRealtime()
}
