package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/mcp/servers"
)

// fakeMCP answers for servers that nobody runs here.
type fakeMCP struct{}

func (fakeMCP) Test(_ context.Context, s servers.Server) (httpapi.MCPTest, error) {
	return httpapi.MCPTest{OK: true, Message: "The server answers and offers 1 tools.", ProtocolVersion: "2025-11-25", Tools: 1, ServerName: s.ServerKey}, nil
}

func (fakeMCP) Tools(context.Context, servers.Server) ([]httpapi.MCPTool, error) {
	return []httpapi.MCPTool{{Name: "echo", InputSchema: json.RawMessage(`{"type":"object"}`)}}, nil
}

func TestAnMCPServerIsAddedChangedTestedAndDeletedWithoutItsSecretsBeingShown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.admin(t, http.StatusCreated, http.MethodPost, "/api/mcp-servers", `{"config":{"mcp_servers":{"wiki":{
		"url":"https://wiki.example.com/mcp","headers":{"authorization":"Bearer s3cret-value"},"tool_timeout_sec":7,"enabled_tools":["search"]}}},"approval":"writes"}`)
	require.Equal(t, "wiki", made.at(t, "server_key"))
	require.Equal(t, "streamable-http", made.at(t, "transport"))
	require.Equal(t, json.Number("7"), made.at(t, "timeout_seconds"))
	require.Equal(t, false, made.at(t, "allow_all_tools"))
	require.Equal(t, "Authorization", made.at(t, "secrets", 0, "name"))
	require.Equal(t, "writes", made.at(t, "approval"))
	require.NotContains(t, made.raw, "s3cret")
	path := "/api/mcp-servers/" + made.id(t, "id")

	kept := b.admin(t, http.StatusOK, http.MethodPatch, path, `{"name":"Wiki","allow_all_tools":true,"config":{"url":"https://wiki.example.com/other"},"headers":{"X-Team":"blue"}}`)
	require.Equal(t, false, kept.at(t, "secrets_removed"), "the origin stayed")
	require.Equal(t, true, kept.at(t, "allow_all_tools"))
	require.Equal(t, "X-Team", kept.at(t, "secrets", 1, "name"))
	b.admin(t, http.StatusPreconditionFailed, http.MethodPatch, path, `{"name":"x"}`, header{"If-Match", `"1"`})

	moved := b.admin(t, http.StatusOK, http.MethodPatch, path, `{"config":{"url":"https://evil.example.com/mcp"}}`)
	require.Equal(t, true, moved.at(t, "secrets_removed"), "nobody has a header sent to a server of theirs")
	require.Equal(t, []any{}, moved.at(t, "secrets"))

	tested := b.admin(t, http.StatusOK, http.MethodPost, path+"/test", nil)
	require.Equal(t, true, tested.at(t, "ok"))
	require.Equal(t, "2025-11-25", b.admin(t, http.StatusOK, http.MethodGet, path, nil).at(t, "last_test", "protocol_version"))
	require.Equal(t, "echo", b.admin(t, http.StatusOK, http.MethodGet, path+"/tools", nil).at(t, "items", 0, "name"))
	b.admin(t, http.StatusNoContent, http.MethodDelete, path, nil)
	b.admin(t, http.StatusNotFound, http.MethodGet, path, nil)
}

func TestWhatIsWrongWithAServersConfigurationIsSaidExactly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, c := range []struct{ body, location, message string }{
		{`{"config":{}}`, "body.config.url", "is missing"},
		{`{"config":{"url":"ftp://x"}}`, "body.config.url", `is "ftp://x"`},
		{`{"config":{"url":"https://u:p@h/mcp"}}`, "body.config.url", "password"},
		{`{"config":{"url":"https://h/mcp","transport":"carrier-pigeon"}}`, "body.config.transport", "carrier-pigeon"},
		{`{"config":{"url":"https://h/mcp","colour":1}}`, "body.config.colour", "is not known"},
		{`{"config":{"command":"npx","url":"https://h"}}`, "body.config", "mixes"},
		{`{"config":{"command":"npx","args":"-y"}}`, "body.config.args", "a list of texts"},
		{`{"config":{"mcp_servers":{"a":{"url":"https://h"},"b":{"url":"https://h"}}}}`, "body.config.mcp_servers", "has 2 entries"},
		{`{"config":{"mcp_servers":{"github":{"url":"https://h/mcp"}}}}`, "body.config.mcp_servers", "reserved"},
		{`{"config":{"mcp_servers":{"a b":{"url":"https://h/mcp"}}}}`, "body.config.mcp_servers", `is "a b"`},
		{`{"config":{"url":"https://h/mcp","headers":{"Mcp-Session-Id":"x"}}}`, "body.config.headers.Mcp-Session-Id", "set by the protocol"},
		{`{"config":{"command":"npx","env":{"LD_PRELOAD":"x"}}}`, "body.config.env.LD_PRELOAD", "refused"},
		{`{"server_key":"a","config":{"command":"npx"},"headers":{"A":"b"}}`, "body.headers", "cannot be set for a program"},
		{`{"server_key":"a","config":{"url":"https://h/mcp"},"timeout_seconds":0}`, "body.timeout_seconds", "is 0"},
	} {
		res := b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/mcp-servers", c.body)
		require.Equal(t, c.location, res.at(t, "errors", 0, "location"), "%s: %s", c.body, res.raw)
		require.Contains(t, res.at(t, "errors", 0, "message"), c.message, c.body)
	}
	b.admin(t, http.StatusConflict, http.MethodPost, "/api/mcp-servers", `{"server_key":"jira","config":{"url":"https://h/mcp"}}`)
	b.admin(t, http.StatusCreated, http.MethodPost, "/api/mcp-servers", `{"server_key":"one","config":{"url":"https://h/mcp"}}`)
	b.admin(t, http.StatusConflict, http.MethodPost, "/api/mcp-servers", `{"server_key":"ONE","config":{"url":"https://h/mcp"}}`)
}

func TestIntegratedServersFollowTheirIntegrations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	keys := func() map[string]answerOf {
		out := map[string]answerOf{}
		items, _ := b.admin(t, http.StatusOK, http.MethodGet, "/api/mcp-servers?limit=200", nil).at(t, "items").([]any)
		for _, i := range items {
			m, _ := i.(map[string]any)
			key, _ := m["server_key"].(string)
			out[key] = m
		}
		return out
	}
	res := b.admin(t, http.StatusOK, http.MethodPatch, "/api/settings/integrations/jira", `{"url":"https://j.example.com","email":"a@b.c"}`, header{"If-Match", `"1"`})
	require.Equal(t, `"2"`, res.header.Get("ETag"), "the first save is a change as any other")
	b.admin(t, http.StatusPreconditionFailed, http.MethodPatch, "/api/settings/integrations/jira", `{"email":"late@b.c"}`, header{"If-Match", `"1"`})
	require.Equal(t, []any{"api_token"}, res.at(t, "missing"))
	require.Contains(t, keys(), "llmctl-mcp", "always there")
	require.NotContains(t, keys(), "atlassian")
	res = b.admin(t, http.StatusOK, http.MethodPatch, "/api/settings/integrations/jira", `{"api_token":"tok-abcdef"}`)
	require.NotContains(t, res.raw, "tok-abcdef")
	require.Equal(t, true, res.at(t, "configured"))
	atlassian := keys()["atlassian"]
	require.Equal(t, "integrated", atlassian["server_type"])
	require.Contains(t, fmt.Sprint(atlassian["warnings"]), "Confluence is not configured", "a warning, not an error")

	own := keys()["llmctl-mcp"]
	require.Contains(t, fmt.Sprint(own["warnings"]), "It takes an API key")
	ownPath := "/api/mcp-servers/" + fmt.Sprint(own["id"])
	b.admin(t, http.StatusOK, http.MethodPatch, ownPath, `{"config":{"url":"http://llmctl-mcp:9020/mcp","headers":{"Authorization":"Bearer key-of-the-studio"}}}`)
	require.NotContains(t, fmt.Sprint(keys()["llmctl-mcp"]["warnings"]), "API key")
	b.admin(t, http.StatusConflict, http.MethodPatch, ownPath, `{"config":{"url":"https://elsewhere.example.com"}}`)

	path := "/api/mcp-servers/" + fmt.Sprint(atlassian["id"])
	b.admin(t, http.StatusConflict, http.MethodPatch, path, `{"config":{"url":"http://llmctl-mcp-atlassian:8000/mcp/","headers":{"Authorization":"x"}}}`)
	b.admin(t, http.StatusConflict, http.MethodDelete, path, nil)
	b.admin(t, http.StatusConflict, http.MethodPatch, path, `{"config":{"url":"https://elsewhere.example.com"}}`)
	b.admin(t, http.StatusOK, http.MethodPatch, path, `{"enabled":false,"approval":"always"}`)
	b.admin(t, http.StatusOK, http.MethodPatch, "/api/settings/integrations/jira", `{"email":"new@b.c"}`)
	require.Equal(t, "always", keys()["atlassian"]["approval"], "what people set stays")

	b.admin(t, http.StatusOK, http.MethodPatch, "/api/settings/integrations/jira", `{"api_token":null}`)
	require.NotContains(t, keys(), "atlassian")
	b.admin(t, http.StatusNotFound, http.MethodPatch, "/api/settings/integrations/fax", `{}`)
	bad := b.admin(t, http.StatusUnprocessableEntity, http.MethodPatch, "/api/settings/integrations/google_cloud", `{"service_account_json":"{}","color":"x"}`)
	require.Equal(t, "body.color", bad.at(t, "errors", 0, "location"))
}

func TestAnAuthorizationLeadsTheBrowserBackToThePage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.admin(t, http.StatusCreated, http.MethodPost, "/api/mcp-servers", `{"server_key":"local","config":{"command":"true"}}`)
	res := b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/mcp-servers/"+made.id(t, "id")+"/oauth/start", nil)
	require.Contains(t, res.raw, "needs no authorization")
	back := b.do(t, http.MethodGet, "/api/mcp-servers/oauth/callback?state=unknown&code=x", nil, b.as(auth.Admin))
	require.Equal(t, http.StatusSeeOther, back.status, back.raw)
	require.Contains(t, back.header.Get("Location"), "/web/mcp-servers?oauth_error=This+authorization+is+not+known")
	b.admin(t, http.StatusNoContent, http.MethodDelete, "/api/mcp-servers/"+made.id(t, "id")+"/oauth", nil)
}

func TestOnlyWhoMayWriteDecidesAndOnlyWhoManagesAddsServers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, http.StatusForbidden, b.do(t, http.MethodPost, "/api/tool-calls/1/approve", nil, b.as(auth.Viewer)).status)
	require.Equal(t, http.StatusNotFound, b.do(t, http.MethodPost, "/api/tool-calls/1/approve", nil, b.as(auth.Editor)).status)
	require.Equal(t, http.StatusForbidden, b.do(t, http.MethodPost, "/api/mcp-servers", `{"config":{"command":"x"}}`, b.as(auth.Editor)).status)
	require.Equal(t, http.StatusOK, b.do(t, http.MethodGet, "/api/approvals", nil, b.as(auth.Viewer)).status)
}

type answerOf = map[string]any
