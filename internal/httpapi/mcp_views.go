package httpapi

import (
	"encoding/json"
	"time"

	"github.com/llmctl/studio/internal/mcp/servers"
)

// MCPServerView is an MCP server as it is shown; values of headers and variables
// never are.
type MCPServerView struct {
	ID             int64           `json:"id"`
	Name           string          `json:"name"`
	ServerKey      string          `json:"server_key" doc:"What the names of its tools begin with"`
	ServerType     string          `json:"server_type" enum:"custom,integrated" doc:"integrated: the Studio manages it"`
	Transport      string          `json:"transport" enum:"streamable-http,sse,stdio"`
	Config         MCPConfigView   `json:"config"`
	Secrets        []MCPSecretView `json:"secrets"`
	Enabled        bool            `json:"enabled"`
	TimeoutSeconds float64         `json:"timeout_seconds" doc:"Of one call of a tool"`
	AllowAllTools  bool            `json:"allow_all_tools"`
	AllowedTools   []string        `json:"allowed_tools" doc:"Unless all are allowed: only these are offered"`
	Approval       string          `json:"approval" enum:"never,writes,always" doc:"Which calls wait for a person; writes: those of tools that do not say that they only read"`
	ApprovalTools  []string        `json:"approval_tools" doc:"Calls of these wait whatever approval says"`
	Integrations   []string        `json:"integrations" doc:"What an integrated server serves"`
	OAuth          MCPOAuthView    `json:"oauth"`
	OAuthClientID  string          `json:"oauth_client_id"`
	Warnings       []string        `json:"warnings" doc:"For people; they stop nothing"`
	LastTest       *MCPTest        `json:"last_test"`
	CreatedAt      time.Time       `json:"created_at"`
	UpdatedAt      time.Time       `json:"updated_at"`
}

// MCPConfigView is how a server is reached.
type MCPConfigView struct {
	URL     string   `json:"url,omitempty"`
	Command string   `json:"command,omitempty"`
	Args    []string `json:"args,omitempty"`
}

// MCPSecretView is a header or variable without its value.
type MCPSecretView struct {
	Kind        string    `json:"kind" enum:"header,env,oauth_client_secret"`
	Name        string    `json:"name"`
	Fingerprint string    `json:"fingerprint"`
	SetAt       time.Time `json:"set_at"`
}

// MCPOAuthView is the state of a server's authorization.
type MCPOAuthView struct {
	Connected  bool       `json:"connected"`
	Issuer     string     `json:"issuer,omitempty"`
	Scopes     []string   `json:"scopes"`
	ExpiresAt  *time.Time `json:"expires_at" nullable:"true" doc:"Of the access token, which is refreshed by itself if there is a refresh token"`
	Refreshes  bool       `json:"refreshes"`
	ClientID   string     `json:"client_id,omitempty"`
	Authorized *time.Time `json:"authorized_at" nullable:"true"`
}

// MCPTest is what a test of a server found.
type MCPTest struct {
	OK              bool      `json:"ok"`
	Message         string    `json:"message" doc:"A sentence: what works, or what went wrong"`
	Kind            string    `json:"kind,omitempty" doc:"Of a failure: unauthorized, unreachable, blocked, timeout, protocol, not_allowed, failed"`
	LatencyMS       int64     `json:"latency_ms" doc:"From the connection to the answer of initialize"`
	ListMS          int64     `json:"list_ms" doc:"How long the list of tools took"`
	ProtocolVersion string    `json:"protocol_version,omitempty"`
	ServerName      string    `json:"server_name,omitempty"`
	ServerVersion   string    `json:"server_version,omitempty"`
	Instructions    string    `json:"instructions,omitempty"`
	Tools           int       `json:"tools"`
	NeedsOAuth      bool      `json:"needs_oauth" doc:"The server asks for an authorization; POST .../oauth/start begins it"`
	TestedAt        time.Time `json:"tested_at"`
}

// MCPTool is a tool that a server offers.
type MCPTool struct {
	Name          string          `json:"name"`
	ModelName     string          `json:"model_name" doc:"How models call it"`
	Title         string          `json:"title,omitempty"`
	Description   string          `json:"description"`
	InputSchema   json.RawMessage `json:"input_schema"`
	OutputSchema  json.RawMessage `json:"output_schema,omitempty"`
	ReadOnly      bool            `json:"read_only"`
	Destructive   bool            `json:"destructive"`
	Idempotent    bool            `json:"idempotent"`
	OpenWorld     bool            `json:"open_world"`
	Allowed       bool            `json:"allowed" doc:"On the server's list of allowed tools, or there is no such list"`
	NeedsApproval bool            `json:"needs_approval"`
	Problem       string          `json:"problem,omitempty" doc:"Why it cannot be offered to models"`
}

func viewMCPServer(s servers.Server, warnings []string) MCPServerView {
	c, o := servers.ConfigOf(s), servers.OAuthOf(s)
	v := MCPServerView{
		ID: s.ID, Name: s.Name, ServerKey: s.ServerKey, ServerType: s.ServerType, Transport: s.Transport,
		Config: MCPConfigView{URL: c.URL, Command: c.Command, Args: c.Args}, Secrets: []MCPSecretView{}, Enabled: s.Enabled,
		TimeoutSeconds: s.TimeoutSeconds, AllowAllTools: s.AllowedTools == nil, AllowedTools: append([]string{}, s.AllowedTools...), Approval: s.Approval, ApprovalTools: s.ApprovalTools,
		Integrations: s.Integrations, OAuthClientID: s.OauthClientID, Warnings: warnings, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
		OAuth: MCPOAuthView{
			Connected: s.OauthCiphertext != nil, Issuer: o.Issuer, Scopes: append([]string{}, o.Scopes...), ExpiresAt: o.ExpiresAt, Refreshes: o.Refreshes,
			ClientID: o.ClientID, Authorized: o.AuthorizedAt,
		},
	}
	for _, shown := range servers.ShownOf(s) {
		v.Secrets = append(v.Secrets, MCPSecretView(shown))
	}
	if len(s.LastTest) > 0 {
		var t MCPTest
		if json.Unmarshal(s.LastTest, &t) == nil {
			v.LastTest = &t
		}
	}
	return v
}

// IntegrationView is another system as far as it may be shown.
type IntegrationView struct {
	Key        string            `json:"key"`
	Name       string            `json:"name"`
	Configured bool              `json:"configured"`
	Missing    []string          `json:"missing" doc:"What it would need to be configured"`
	Config     map[string]string `json:"config"`
	Accepted   []string          `json:"accepted" doc:"The members that can be set"`
	Secrets    []secretView      `json:"secrets"`
	Revision   int64             `json:"revision"`
	UpdatedAt  *time.Time        `json:"updated_at" nullable:"true"`
}

type secretView struct {
	Name        string    `json:"name"`
	Fingerprint string    `json:"fingerprint"`
	SetAt       time.Time `json:"set_at"`
}

func viewIntegration(i servers.Integration) IntegrationView {
	v := IntegrationView{
		Key: i.Key, Name: i.Name, Configured: i.Configured, Missing: i.Missing, Config: i.Config, Accepted: i.Accepted,
		Secrets: []secretView{}, Revision: i.Revision, UpdatedAt: i.UpdatedAt,
	}
	for _, s := range i.Secrets {
		v.Secrets = append(v.Secrets, secretView{Name: s.Name, Fingerprint: s.Fingerprint, SetAt: s.SetAt})
	}
	return v
}
