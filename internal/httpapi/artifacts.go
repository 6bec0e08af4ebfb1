package httpapi

import (
	"context"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/run"
)

type artifactsOutput struct {
	Body struct {
		Items []run.ArtifactView `json:"items"`
	}
}

func (s *server) registerArtifacts() {
	handle(s, route{
		method: http.MethodGet, path: "/nodes/{id}/artifacts", id: "list-node-artifacts", tag: "nodes", permission: auth.Read,
		summary: "The files that the attempts of a node run left behind",
	}, s.listArtifacts)
	stream(s, route{
		method: http.MethodGet, path: "/artifacts/{id}/content", id: "get-artifact-content", tag: "nodes", permission: auth.Read,
		summary: "The content of an artifact, as a download",
	}, "application/octet-stream", func(ctx context.Context, in *IDInput) (outgoing, error) {
		a, content, err := s.deps.Engine.OpenArtifact(ctx, in.ID)
		return outgoing{content: content, mediaType: a.MediaType, name: path.Base(a.Name)}, err
	})
	stream(s, route{
		method: http.MethodGet, path: "/nodes/{id}/output", id: "get-node-output", tag: "nodes", permission: auth.Read,
		summary: "The whole output of a node run, whatever its size",
	}, "application/json", func(ctx context.Context, in *IDInput) (outgoing, error) {
		content, err := s.deps.Engine.OpenOutput(ctx, in.ID)
		return outgoing{content: content, mediaType: "application/json"}, err
	})
	stream(s, route{
		method: http.MethodGet, path: "/flowchart-runs/{id}/output", id: "get-run-output", tag: "runs", permission: auth.Read,
		summary: "The whole output of a run, whatever its size",
	}, "application/json", func(ctx context.Context, in *IDInput) (outgoing, error) {
		content, err := s.deps.Engine.OpenRunOutput(ctx, in.ID)
		return outgoing{content: content, mediaType: "application/json"}, err
	})
}

func (s *server) listArtifacts(ctx context.Context, in *IDInput) (*artifactsOutput, error) {
	rows, err := s.deps.Engine.Artifacts(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &artifactsOutput{}
	out.Body.Items = make([]run.ArtifactView, len(rows))
	for i := range rows {
		out.Body.Items[i] = run.ViewArtifact(&rows[i])
	}
	return out, nil
}

// outgoing is content on its way out.
type outgoing struct {
	content   *blob.Content
	mediaType string
	name      string // of a file to save; empty: shown as it is
}

// stream registers an operation that answers with content piece by piece.
func stream[I any](s *server, r route, mediaType string, f func(ctx context.Context, in *I) (outgoing, error)) {
	op := s.operation(r)
	op.Responses = map[string]*huma.Response{"200": {
		Description: "OK",
		Content:     map[string]*huma.MediaType{mediaType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		d, err := f(ctx, in)
		if err != nil {
			return nil, err
		}
		return &huma.StreamResponse{Body: func(out huma.Context) { d.send(out) }}, nil
	})
}

// send writes headers and content. What a node left behind is never a page of
// ours: browsers save it, and where one shows it, it has no origin and no scripts.
func (d outgoing) send(out huma.Context) {
	out.SetHeader("Content-Type", d.mediaType)
	out.SetHeader("Content-Length", strconv.FormatInt(d.content.Size, 10))
	out.SetHeader("X-Content-Type-Options", "nosniff")
	out.SetHeader("Content-Security-Policy", "sandbox; default-src 'none'")
	out.SetHeader("Cache-Control", "private, no-store")
	if d.name != "" {
		out.SetHeader("Content-Disposition", disposition(d.name))
	}
	out.SetStatus(http.StatusOK)
	// If this ends early, the length does not fit and the client sees a broken answer.
	_, _ = io.Copy(out.BodyWriter(), d.content)
}

func disposition(name string) string {
	if v := mime.FormatMediaType("attachment", map[string]string{"filename": name}); v != "" {
		return v
	}
	return "attachment"
}
