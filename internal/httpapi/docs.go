package httpapi

import (
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llmctl/studio/internal/serving/proxyfix"
)

type docsEntry struct {
	Method, Path, Summary, Permission string
}

type docsTag struct {
	Name    string
	Entries []docsEntry
}

// docs is a readable list of the operations that loads nothing from elsewhere.
func (s *server) docs(w http.ResponseWriter, r *http.Request) {
	tags := map[string][]docsEntry{}
	for path, item := range s.api.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil || len(op.Tags) == 0 {
				continue
			}
			permission, _ := op.Extensions["x-permission"].(string)
			tags[op.Tags[0]] = append(tags[op.Tags[0]], docsEntry{Method: op.Method, Path: path, Summary: op.Summary, Permission: permission})
		}
	}
	var all []docsTag
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		slices.SortFunc(tags[name], func(a, b docsEntry) int { return strings.Compare(a.Path+a.Method, b.Path+b.Method) })
		all = append(all, docsTag{Name: name, Entries: tags[name]})
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	prefix := proxyfix.From(r).Prefix
	if err := docsPage().Execute(w, map[string]any{"Tags": all, "Prefix": prefix, "API": prefix + s.deps.APIPrefix, "Version": s.deps.Version}); err != nil {
		noteError(r.Context(), err)
	}
}

func docsPage() *template.Template {
	return template.Must(template.New("docs").Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><title>llmctl Studio API</title>
<style>:root{color-scheme:light dark}body{font:14px/1.5 system-ui,sans-serif;max-width:960px;margin:32px auto;padding:0 16px}
code{font-family:ui-monospace,monospace}td{padding:4px 12px 4px 0;vertical-align:top}h2{margin:24px 0 4px;text-transform:capitalize}
small{opacity:.7}</style>
<h1>llmctl Studio API <small>{{.Version}}</small></h1>
<p>The whole description: <a href="{{.API}}/openapi.json">openapi.json</a> (OpenAPI 3.1). Send an API key as <code>Authorization: Bearer …</code>.
Errors are <code>application/problem+json</code>. Writes that create something take an <code>Idempotency-Key</code>.</p>
{{range .Tags}}<h2>{{.Name}}</h2><table>{{range .Entries}}<tr><td><code>{{.Method}}</code></td><td><code>{{$.Prefix}}{{.Path}}</code></td><td>{{.Summary}} <small>{{.Permission}}</small></td></tr>{{end}}</table>{{end}}</html>`))
}
