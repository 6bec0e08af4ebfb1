package server

import (
	"context"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
)

// The methods that this package answers itself, or guards.
const (
	methodListTools     = "tools/list"
	methodCallTool      = "tools/call"
	methodListResources = "resources/list"
	methodListTemplates = "resources/templates/list"
	methodReadResource  = "resources/read"
)

// dispatched is the one tool that the SDK knows; all calls go through it. The SDK's
// own table of tools is fixed, ours also has what the database holds.
const dispatched = "_"

type nameKey struct{}

// receive stands before every method: it lists tools, and hands calls to the one
// tool that dispatches them.
func (s *Server) receive(next mcp.MethodHandler) mcp.MethodHandler {
	return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
		switch method {
		case methodListTools:
			r, ok := req.(*mcp.ListToolsRequest)
			if !ok {
				return next(ctx, method, req)
			}
			return protocolResult(s.listTools(ctx, r.Params))
		case methodCallTool:
			r, ok := req.(*mcp.CallToolRequest)
			if !ok || r.Params == nil {
				return next(ctx, method, req)
			}
			ctx = context.WithValue(ctx, nameKey{}, r.Params.Name)
			params := *r.Params
			params.Name = dispatched
			return next(ctx, method, &mcp.CallToolRequest{Session: r.Session, Params: &params, Extra: r.Extra})
		case methodListResources, methodListTemplates, methodReadResource:
			if _, _, err := s.may(ctx, auth.Read); err != nil {
				return nil, protocolError(err)
			}
		}
		return next(ctx, method, req)
	}
}

// protocolResult words an error as JSON-RPC's.
func protocolResult(out *mcp.ListToolsResult, err error) (mcp.Result, error) {
	if err != nil {
		return nil, protocolError(err)
	}
	return out, nil
}

// protocolError is for what is no tool's: there it is the client that has to read it.
func protocolError(err error) error {
	e := known(err)
	code := int64(jsonrpc.CodeInternalError)
	switch e.Code {
	case errs.NotFound, errs.Invalid, errs.Forbidden, errs.TooLarge, errs.Conflict, errs.Precondition, errs.Unauthenticated:
		code = jsonrpc.CodeInvalidParams
	default:
	}
	return &jsonrpc.Error{Code: code, Message: textOf(e)}
}

// may gives who asks and what there is to work with, if they have the permission.
func (s *Server) may(ctx context.Context, need auth.Permission) (auth.Principal, *Domains, error) {
	if err := refusalFrom(ctx); err != nil {
		return auth.Principal{}, nil, err
	}
	d := s.domains.Load()
	p, ok := auth.From(ctx)
	switch {
	case d == nil:
		return p, nil, starting()
	case !ok:
		return p, nil, noKey()
	}
	if !p.May(need) {
		return p, nil, errs.Ef(errs.Forbidden, "auth.forbidden",
			"The role %s of this API key may not do this; it needs the permission %q. Use a key of another user, or ask an administrator.", p.Role, need)
	}
	return p, d, nil
}

func starting() error {
	return errs.E(errs.Unavailable, "mcp.starting", "The Studio's database does not answer yet. Try again in a few seconds.")
}

// private marks what depends on who asks.
func private(_ context.Context, _ mcp.Request, c *mcp.Cacheable) { c.CacheScope = "private" }
