package server

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/errs"
)

// maxResource is the largest content that one answer carries.
const maxResource = 4 << 20

func runOutputURI(id int64) string {
	return "llmctl://flowchart-runs/" + strconv.FormatInt(id, 10) + "/output"
}

func nodeOutputURI(id int64) string { return "llmctl://nodes/" + strconv.FormatInt(id, 10) + "/output" }
func artifactURI(id int64) string   { return "llmctl://artifacts/" + strconv.FormatInt(id, 10) }

// kind is a family of resources.
type kind struct {
	template, name, title, about, mediaType string
	uri                                     string // pattern
	http                                    string // where the API has the same, for what is too large
	open                                    func(ctx context.Context, d *Domains, id int64) (*blob.Content, string, error)
}

func kinds() []kind {
	return []kind{
		{
			template: "llmctl://artifacts/{id}", name: "artifact", title: "Artifact", uri: `^llmctl://artifacts/([0-9]{1,18})$`, http: "/api/artifacts/%d/content",
			about: "A file that a node run left behind; llmctl_list_node_artifacts gives the ids.",
			open: func(ctx context.Context, d *Domains, id int64) (*blob.Content, string, error) {
				a, content, err := d.Engine.OpenArtifact(ctx, id)
				return content, a.MediaType, err
			},
		},
		{
			template: "llmctl://flowchart-runs/{id}/output", name: "run-output", title: "Output of a run", mediaType: jsonType,
			uri: `^llmctl://flowchart-runs/([0-9]{1,18})/output$`, http: "/api/flowchart-runs/%d/output",
			about: "The whole output of a flowchart run that succeeded.",
			open: func(ctx context.Context, d *Domains, id int64) (*blob.Content, string, error) {
				content, err := d.Engine.OpenRunOutput(ctx, id)
				return content, jsonType, err
			},
		},
		{
			template: "llmctl://nodes/{id}/output", name: "node-output", title: "Output of a node run", mediaType: jsonType,
			uri: `^llmctl://nodes/([0-9]{1,18})/output$`, http: "/api/nodes/%d/output",
			about: "The whole output of a node run; the id is the node run's, not that in the graph.",
			open: func(ctx context.Context, d *Domains, id int64) (*blob.Content, string, error) {
				content, err := d.Engine.OpenOutput(ctx, id)
				return content, jsonType, err
			},
		},
	}
}

const jsonType = "application/json"

func (s *Server) addResources(sdk *mcp.Server) {
	for _, k := range kinds() {
		sdk.AddResourceTemplate(&mcp.ResourceTemplate{
			URITemplate: k.template, Name: k.name, Title: k.title, Description: k.about, MIMEType: k.mediaType,
		}, s.reader(k, regexp.MustCompile(k.uri)))
	}
}

func (s *Server) reader(k kind, pattern *regexp.Regexp) mcp.ResourceHandler {
	return func(ctx context.Context, req *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		_, d, err := s.may(ctx, auth.Read)
		if err != nil {
			return nil, protocolError(err)
		}
		match := pattern.FindStringSubmatch(req.Params.URI)
		if match == nil {
			return nil, mcp.ResourceNotFoundError(req.Params.URI)
		}
		id, err := strconv.ParseInt(match[1], 10, 64)
		if err != nil {
			return nil, mcp.ResourceNotFoundError(req.Params.URI)
		}
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		contents, err := k.read(ctx, d, id)
		if err != nil {
			return nil, protocolError(err)
		}
		contents.URI = req.Params.URI
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{contents}}, nil
	}
}

func (k *kind) read(ctx context.Context, d *Domains, id int64) (*mcp.ResourceContents, error) {
	content, mediaType, err := k.open(ctx, d, id)
	if err != nil {
		return nil, err
	}
	if content.Size > maxResource {
		return nil, errs.Ef(errs.TooLarge, "mcp.resource_too_large",
			"It has %d bytes; a resource is read up to %d. Get it over HTTP with the same key: %s.", content.Size, maxResource, fmt.Sprintf(k.http, id))
	}
	raw, err := io.ReadAll(io.LimitReader(content, maxResource+1))
	if err != nil {
		return nil, fmt.Errorf("read %s %d: %w", k.name, id, err)
	}
	out := &mcp.ResourceContents{MIMEType: mediaType}
	if len(raw) > 0 && isText(mediaType) && utf8.Valid(raw) {
		out.Text = string(raw)
		return out, nil
	}
	out.Blob = raw
	return out, nil
}

func isText(mediaType string) bool {
	base, _, _ := strings.Cut(mediaType, ";")
	base = strings.TrimSpace(base)
	return strings.HasPrefix(base, "text/") || base == jsonType || base == "application/xml" || base == "application/yaml" ||
		strings.HasSuffix(base, "+json") || strings.HasSuffix(base, "+xml")
}
