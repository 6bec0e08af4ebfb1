package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/idempotency"
	"github.com/llmctl/studio/internal/postgres"
)

// call is one call of a tool: who makes it and what it works with.
type call struct {
	*Domains
	limits limits
	user   auth.Principal
	ids    ids
	tool   string
	server *Server
	req    *mcp.CallToolRequest
}

// metaKey is the member of _meta with an idempotency key, for tools whose arguments
// are not ours.
const metaKey = "llmctl/idempotency_key"

// callTool dispatches a call. Its errors are answers, so that the model sees them.
func (s *Server) callTool(ctx context.Context, req *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	name, _ := ctx.Value(nameKey{}).(string)
	began := s.o.Now()
	out, links, err := s.dispatch(ctx, name, req)
	s.logCall(ctx, name, s.o.Now().Sub(began), err)
	if err != nil {
		return failed(err), nil
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode answer of %s: %w", name, err)
	}
	content := []mcp.Content{&mcp.TextContent{Text: string(raw)}}
	for _, l := range links {
		content = append(content, l)
	}
	return &mcp.CallToolResult{StructuredContent: json.RawMessage(raw), Content: content}, nil
}

// linked is an answer that names resources.
type linked interface{ links() []*mcp.ResourceLink }

func (s *Server) dispatch(ctx context.Context, name string, req *mcp.CallToolRequest) (any, []*mcp.ResourceLink, error) {
	out, err := s.answer(ctx, name, req)
	if err != nil {
		return nil, nil, err
	}
	if l, ok := out.(linked); ok {
		return out, l.links(), nil
	}
	return out, nil, nil
}

func (s *Server) answer(ctx context.Context, name string, req *mcp.CallToolRequest) (any, error) {
	arguments := req.Params.Arguments
	if len(bytes.TrimSpace(arguments)) == 0 || string(bytes.TrimSpace(arguments)) == "null" {
		arguments = json.RawMessage("{}")
	}
	t := s.find(name)
	if t == nil {
		return s.callPublished(ctx, name, arguments, req)
	}
	user, domains, err := s.may(ctx, t.permission)
	if err != nil {
		return nil, err
	}
	if err := checked(t.input, arguments); err != nil {
		return nil, err
	}
	c := s.newCall(ctx, name, user, domains, req)
	if !t.waits {
		limited, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		ctx = limited
	}
	return t.call(ctx, c, arguments)
}

func (s *Server) newCall(ctx context.Context, name string, user auth.Principal, d *Domains, req *mcp.CallToolRequest) *call {
	return &call{Domains: d, limits: limits{s.o.DefaultLimit, s.o.MaxLimit}, user: user, ids: idsFrom(ctx), tool: name, server: s, req: req}
}

func (s *Server) logCall(ctx context.Context, name string, took any, err error) {
	level, attrs := slog.LevelInfo, []slog.Attr{slog.String("tool", name), slog.Any("duration", took), slog.String("request_id", idsFrom(ctx).request)}
	if p, ok := auth.From(ctx); ok {
		attrs = append(attrs, slog.Int64("user_id", p.UserID))
	}
	if err != nil {
		e := known(err)
		attrs = append(attrs, slog.String("reason", e.Reason))
		if e.Code == errs.Internal || e.Code == errs.Unavailable {
			level = slog.LevelError
			attrs = append(attrs, slog.String("error", err.Error()))
		}
	}
	s.o.Logger.LogAttrs(ctx, level, "mcp tool call", attrs...)
}

// audit notes what the caller did, as part of the transaction.
func (c *call) audit(ctx context.Context, tx *postgres.Tx, action, kind string, id int64) error {
	return auth.Audit(ctx, tx, auth.AuditEntry{
		UserID: c.user.UserID, Action: action, EntityKind: kind, EntityID: strconv.FormatInt(id, 10), RequestID: c.ids.request,
		Detail: map[string]any{"via": "mcp", "tool": c.tool},
	})
}

// change runs f and notes it in one transaction.
func change[T any](ctx context.Context, c *call, action, kind string, id int64, f func(ctx context.Context, tx *postgres.Tx) (T, error)) (T, error) {
	var out T
	err := c.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		if out, err = f(ctx, tx); err != nil {
			return err
		}
		return c.audit(ctx, tx, action, kind, id)
	})
	return out, err
}

// repeatable is idempotency.Do for the call. Keys are shared with the HTTP API's,
// operations are not: an answer there has another shape.
func repeatable[T any](ctx context.Context, c *call, key string, body any, f func(ctx context.Context, tx *postgres.Tx) (T, error)) (T, error) {
	return idempotency.Do(ctx, c.DB, idempotency.Request{UserID: c.user.UserID, Key: key, Operation: "mcp:" + c.tool, Body: body}, f)
}

// KeyInput is the argument of tools that make something.
type KeyInput struct {
	IdempotencyKey string `json:"idempotency_key,omitempty" max:"200" jsonschema:"Any text of your choice. Repeating the call with the same key and the same arguments within 24 hours gives the first answer again instead of doing it twice."`
}

// IDInput names one thing.
type IDInput struct {
	ID int64 `json:"id" min:"1" jsonschema:"Its id"`
}
