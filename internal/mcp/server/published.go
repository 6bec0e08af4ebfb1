package server

import (
	"context"
	"encoding/json"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/mcp/publish"
	"github.com/llmctl/studio/internal/run"
)

func unknownTool(name string) error {
	const most = 80
	if r := []rune(name); len(r) > most {
		name = string(r[:most]) + "…"
	}
	return errs.Ef(errs.NotFound, "mcp.unknown_tool", "There is no tool %q.", name)
}

// callPublished runs the flowchart that is published under the name. The arguments
// are its input, so the idempotency key comes in _meta.
func (s *Server) callPublished(ctx context.Context, name string, arguments json.RawMessage, req *mcp.CallToolRequest) (any, error) {
	if !publish.ValidName(name) {
		if err := refusalFrom(ctx); err != nil {
			return nil, err
		}
		return nil, unknownTool(name)
	}
	user, domains, err := s.may(ctx, auth.Write)
	if err != nil {
		return nil, err
	}
	key, _ := req.Params.Meta[metaKey].(string)
	c := s.newCall(ctx, name, user, domains, req)
	started, wait, err := c.startPublished(ctx, name, key, arguments)
	if err != nil {
		return nil, err
	}
	return c.waitFor(ctx, started.ID, wait)
}

func (c *call) startPublished(ctx context.Context, name, key string, arguments json.RawMessage) (startedRun, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	p, err := c.Published.Find(ctx, name)
	if errs.Is(err, errs.NotFound) {
		return startedRun{}, 0, unknownTool(name)
	}
	if err != nil {
		return startedRun{}, 0, err
	}
	r, err := c.start(ctx, key, run.StartRequest{FlowchartID: p.FlowchartID, Input: arguments})
	return r, time.Duration(p.WaitSeconds) * time.Second, err
}
