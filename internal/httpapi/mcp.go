package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm/toolloop/calls"
	"github.com/llmctl/studio/internal/mcp/servers"
	"github.com/llmctl/studio/internal/postgres"
)

// MCPDeps are what the operations on MCP servers and tool calls work with.
type MCPDeps struct {
	Servers *servers.Registry
	Client  MCPClient
	Calls   *calls.Store
	Owners  map[string]calls.Owners // who lets which kind of loop go on
}

// MCPClient talks to an MCP server.
type MCPClient interface {
	// Test connects to a server anew. That it cannot be reached is a result.
	Test(ctx context.Context, s servers.Server) (MCPTest, error)
	Tools(ctx context.Context, s servers.Server) ([]MCPTool, error)
}

// mcpPatience bounds what an operation waits for a server.
const mcpPatience = 40 * time.Second

// MCPServerBody is what can be set of an MCP server.
type MCPServerBody struct {
	Name           *string            `json:"name,omitempty" minLength:"1" maxLength:"100"`
	Config         map[string]any     `json:"config,omitempty" doc:"{\"url\", \"transport\"?} or {\"command\", \"args\"?}, with \"headers\" or \"env\", which are kept secret; or {\"mcp_servers\": {\"<key>\": {...}}} with one entry"`
	Headers        map[string]*string `json:"headers,omitempty" doc:"Write-only; null removes one, others stay"`
	Env            map[string]*string `json:"env,omitempty" doc:"Write-only; null removes one, others stay"`
	Enabled        *bool              `json:"enabled,omitempty"`
	TimeoutSeconds *float64           `json:"timeout_seconds,omitempty" doc:"Of one call; default 60, at most 3600"`
	AllowAllTools  *bool              `json:"allow_all_tools,omitempty" doc:"true: allowed_tools is dropped"`
	AllowedTools   *[]string          `json:"allowed_tools,omitempty" doc:"Only these are offered; ends allow_all_tools"`
	Approval       *string            `json:"approval,omitempty" enum:"never,writes,always"`
	ApprovalTools  *[]string          `json:"approval_tools,omitempty"`
	OAuthClientID  *string            `json:"oauth_client_id,omitempty" maxLength:"500" doc:"Of a client that was registered by hand; empty: the Studio registers itself"`
	OAuthSecret    *string            `json:"oauth_client_secret,omitempty" maxLength:"1000" doc:"Write-only; empty removes it"`
}

type createMCPServerInput struct {
	IdempotencyKey string `header:"Idempotency-Key"`
	Body           struct {
		ServerKey string `json:"server_key,omitempty" maxLength:"64" doc:"Letters, digits, _ and -; taken from config if that names one"`
		MCPServerBody
	}
}

type updateMCPServerInput struct {
	IDInput
	IfMatch string `header:"If-Match"`
	Body    struct {
		ServerKey *string `json:"server_key,omitempty" maxLength:"64"`
		MCPServerBody
	}
}

type mcpServerOutput struct {
	ETag string `header:"ETag"`
	Body MCPServerView
}

type updatedMCPServerOutput struct {
	ETag string `header:"ETag"`
	Body struct {
		MCPServerView
		SecretsRemoved bool   `json:"secrets_removed" doc:"The server moved to another origin or command without new secrets, so the stored ones were removed"`
		Notice         string `json:"notice,omitempty" doc:"For people"`
	}
}

type mcpTestOutput struct{ Body MCPTest }

func (s *server) registerMCP() {
	handle(s, route{
		method: http.MethodGet, path: "/mcp-servers", id: "list-mcp-servers", tag: "mcp", permission: auth.Read, summary: "MCP servers",
	}, s.listMCPServers)
	handle(s, route{
		method: http.MethodPost, path: "/mcp-servers", id: "create-mcp-server", tag: "mcp", permission: auth.Manage, audit: true, idempotent: true,
		summary: "Add an MCP server", status: http.StatusCreated,
	}, s.createMCPServer)
	handle(s, route{
		method: http.MethodGet, path: "/mcp-servers/{id}", id: "get-mcp-server", tag: "mcp", permission: auth.Read, summary: "An MCP server",
	}, func(ctx context.Context, in *IDInput) (*mcpServerOutput, error) {
		row, err := s.deps.MCP.Servers.Get(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return s.mcpServerOut(ctx, row)
	})
	handle(s, route{
		method: http.MethodPatch, path: "/mcp-servers/{id}", id: "update-mcp-server", tag: "mcp", permission: auth.Manage, audit: true,
		summary: "Change an MCP server",
	}, s.updateMCPServer)
	handle(s, route{
		method: http.MethodDelete, path: "/mcp-servers/{id}", id: "delete-mcp-server", tag: "mcp", permission: auth.Manage, audit: true,
		summary: "Delete a custom MCP server", status: http.StatusNoContent,
	}, func(ctx context.Context, in *IDInput) (*struct{}, error) {
		return drop(ctx, s, "mcp_server.deleted", "mcp_server", in.ID, func(ctx context.Context, tx *postgres.Tx) error {
			return s.deps.MCP.Servers.Delete(ctx, tx, in.ID)
		})
	})
	handle(s, route{
		method: http.MethodPost, path: "/mcp-servers/{id}/test", id: "test-mcp-server", tag: "mcp", permission: auth.Manage,
		summary: "Connect to the server and list its tools",
	}, s.testMCPServer)
	handle(s, route{
		method: http.MethodGet, path: "/mcp-servers/{id}/tools", id: "list-mcp-tools", tag: "mcp", permission: auth.Read,
		summary: "The tools that the server offers, with their schemas",
	}, s.listMCPTools)
	s.registerMCPOAuth()
}

func (s *server) viewMCP(ctx context.Context, rows ...servers.Server) ([]MCPServerView, error) {
	warnings, err := s.deps.MCP.Servers.Warnings(ctx, rows)
	if err != nil {
		return nil, err
	}
	out := make([]MCPServerView, len(rows))
	for i, row := range rows {
		out[i] = viewMCPServer(row, warnings[row.ID])
	}
	return out, nil
}

func (s *server) mcpServerOut(ctx context.Context, row servers.Server) (*mcpServerOutput, error) {
	views, err := s.viewMCP(ctx, row)
	if err != nil {
		return nil, err
	}
	return &mcpServerOutput{ETag: etag(row.Revision), Body: views[0]}, nil
}

func (s *server) listMCPServers(ctx context.Context, in *PageInput) (*pageOutput[MCPServerView], error) {
	before, err := in.before()
	if err != nil {
		return nil, err
	}
	rows, err := s.deps.MCP.Servers.List(ctx, before, in.Limit+1)
	if err != nil {
		return nil, err
	}
	warnings, err := s.deps.MCP.Servers.Warnings(ctx, rows)
	if err != nil {
		return nil, err
	}
	return paged(rows, in.Limit, func(r servers.Server) int64 { return r.ID }, func(r servers.Server) MCPServerView {
		return viewMCPServer(r, warnings[r.ID])
	}), nil
}

// entered reads the configuration, if there is one.
func (b *MCPServerBody) entered() (servers.Entered, error) {
	if b.Config == nil {
		return servers.Entered{}, nil
	}
	raw, err := json.Marshal(b.Config)
	if err != nil {
		return servers.Entered{}, fmt.Errorf("encode config: %w", err)
	}
	return servers.Parse(raw)
}

// into sets what a body says.
func (b *MCPServerBody) into(f *servers.Fields) {
	if b.Name != nil {
		f.Name = *b.Name
	}
	if b.Enabled != nil {
		f.Enabled = *b.Enabled
	}
	if b.TimeoutSeconds != nil {
		f.TimeoutSeconds = *b.TimeoutSeconds
	}
	if b.AllowedTools != nil {
		f.AllowedTools = append([]string{}, *b.AllowedTools...)
	}
	if b.AllowAllTools != nil && *b.AllowAllTools {
		f.AllowedTools = nil
	}
	if b.Approval != nil {
		f.Approval = *b.Approval
	}
	if b.ApprovalTools != nil {
		f.ApprovalTools = *b.ApprovalTools
	}
	if b.OAuthClientID != nil {
		f.OAuthClientID = *b.OAuthClientID
	}
}

// secrets are those of the configuration and those beside it.
func (b *MCPServerBody) secrets(e servers.Entered, transport string) (servers.Change, error) {
	c := e.Secrets()
	if err := servers.CheckSecrets(transport, b.Headers, b.Env); err != nil {
		return c, err
	}
	for name, v := range b.Headers {
		if c.Headers == nil {
			c.Headers = map[string]*string{}
		}
		c.Headers[name] = v
	}
	for name, v := range b.Env {
		if c.Env == nil {
			c.Env = map[string]*string{}
		}
		c.Env[name] = v
	}
	c.Client = b.OAuthSecret
	return c, nil
}

func (s *server) createMCPServer(ctx context.Context, in *createMCPServerInput) (*mcpServerOutput, error) {
	if in.Body.Config == nil {
		return nil, errs.E(errs.Invalid, "mcp_server.config", "The server's configuration is missing.",
			errs.Detail{Location: "body.config", Message: "is missing; accepted is an object such as {\"url\": \"https://host/mcp\"}"})
	}
	e, err := in.Body.entered()
	if err != nil {
		return nil, err
	}
	f := servers.NewFields(e)
	if in.Body.ServerKey != "" {
		f.Key, f.Name = in.Body.ServerKey, in.Body.ServerKey
	}
	in.Body.into(&f)
	secrets, err := in.Body.secrets(e, f.Transport)
	if err != nil {
		return nil, err
	}
	id, err := idempotent(ctx, s, "create-mcp-server", in.IdempotencyKey, in.Body, func(ctx context.Context, tx *postgres.Tx) (int64, error) {
		row, err := s.deps.MCP.Servers.Create(ctx, tx, f, secrets)
		if err != nil {
			return 0, err
		}
		return row.ID, s.audit(ctx, tx, "mcp_server.created", "mcp_server", row.ID)
	})
	if err != nil {
		return nil, err
	}
	row, err := s.deps.MCP.Servers.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.mcpServerOut(ctx, row)
}

func (s *server) updateMCPServer(ctx context.Context, in *updateMCPServerInput) (*updatedMCPServerOutput, error) {
	revision, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	e, err := in.Body.entered()
	if err != nil {
		return nil, err
	}
	secrets, err := in.Body.secrets(e, e.Transport)
	if err != nil {
		return nil, err
	}
	u, err := change(ctx, s, "mcp_server.updated", "mcp_server", in.ID, func(ctx context.Context, tx *postgres.Tx) (servers.Updated, error) {
		return s.deps.MCP.Servers.Update(ctx, tx, in.ID, revision, func(f *servers.Fields) error {
			if in.Body.Config != nil {
				e.Into(f)
			}
			if in.Body.ServerKey != nil {
				f.Key = *in.Body.ServerKey
			}
			in.Body.into(f)
			return servers.CheckSecrets(f.Transport, in.Body.Headers, in.Body.Env)
		}, secrets)
	})
	if err != nil {
		return nil, err
	}
	views, err := s.viewMCP(ctx, u.Server)
	if err != nil {
		return nil, err
	}
	out := &updatedMCPServerOutput{ETag: etag(u.Server.Revision)}
	out.Body.MCPServerView, out.Body.SecretsRemoved = views[0], u.SecretsRemoved
	if u.SecretsRemoved {
		out.Body.Notice = "The server moved elsewhere, so its stored headers, variables and authorization were removed: they were entered for the old place. Set them for the new one."
	}
	return out, nil
}

func (s *server) testMCPServer(ctx context.Context, in *IDInput) (*mcpTestOutput, error) {
	row, err := s.deps.MCP.Servers.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	timed, cancel := context.WithTimeout(ctx, mcpPatience)
	defer cancel()
	found, err := s.deps.MCP.Client.Test(timed, row)
	if err != nil {
		return nil, err
	}
	return &mcpTestOutput{Body: found}, s.deps.MCP.Servers.NoteTest(ctx, in.ID, found)
}

func (s *server) listMCPTools(ctx context.Context, in *IDInput) (*pageOutput[MCPTool], error) {
	row, err := s.deps.MCP.Servers.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, mcpPatience)
	defer cancel()
	tools, err := s.deps.MCP.Client.Tools(ctx, row)
	if err != nil {
		return nil, err
	}
	return &pageOutput[MCPTool]{Body: page[MCPTool]{Items: tools}}, nil
}

func idText(id int64) string { return strconv.FormatInt(id, 10) }
