package servers

import (
	"slices"
	"strings"
)

// integrated is a server that the Studio manages.
type integrated struct {
	key, name    string
	service      string // host and port of its service
	path         string
	segment      string   // below the public base URL
	integrations []string // which of them it serves; it exists when one is configured
}

// ownKey is the Studio's own server.
const ownKey = "llmctl-mcp"

// catalog lists the integrated servers, the Studio's own first.
func catalog() []integrated {
	return []integrated{
		{key: ownKey, name: "llmctl Studio", service: "llmctl-mcp:9020", path: "/mcp", segment: "llmctl"},
		{key: "github", name: "GitHub", service: "llmctl-mcp-github:8000", path: "/mcp", segment: "github", integrations: []string{"github"}},
		{key: "atlassian", name: "Atlassian", service: "llmctl-mcp-atlassian:8000", path: "/mcp/", segment: "atlassian", integrations: []string{"jira", "confluence"}},
		{key: "chroma", name: "Chroma", service: "llmctl-mcp-chroma:8000", path: "/mcp/", segment: "chroma", integrations: []string{"chroma"}},
		{key: "google-cloud", name: "Google Cloud", service: "llmctl-mcp-google-cloud:8000", path: "/mcp", segment: "google-cloud", integrations: []string{"google_cloud"}},
		{key: "google-workspace", name: "Google Workspace", service: "llmctl-mcp-google-workspace:8000", path: "/mcp", segment: "google-workspace", integrations: []string{"google_workspace"}},
	}
}

// Reserved reports whether a key is kept for an integrated server. jira is what
// atlassian was called once.
func Reserved(key string) bool {
	key = strings.ToLower(key)
	return key == "jira" || slices.ContainsFunc(catalog(), func(i integrated) bool { return i.key == key })
}

// IntegratedHosts lists the services of the integrated servers as host:port: where
// they are is the Studio's own doing, so they may be private addresses.
func IntegratedHosts() []string {
	var out []string
	for _, i := range catalog() {
		out = append(out, i.service)
	}
	return out
}

// addressOf is where an integrated server is: below the public base URL if there is one,
// the Studio's own where it is mounted, else at its service.
func (o Options) addressOf(i integrated) string {
	if o.PublicBaseURL != "" {
		return strings.TrimRight(o.PublicBaseURL, "/") + "/mcp/" + i.segment
	}
	if i.key == ownKey && o.Own != nil {
		if own := o.Own(); own != "" {
			return own
		}
	}
	return "http://" + i.service + i.path
}
