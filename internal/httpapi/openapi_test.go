package httpapi_test

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/flowchart"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestOpenAPIIsTheCommittedOne keeps api/openapi.* true: clients are generated
// from them. After a change on purpose: go test ./internal/httpapi -run TestOpenAPI -update
func TestOpenAPIIsTheCommittedOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	dir := filepath.Join("..", "..", "api")
	yaml := b.admin(t, http.StatusOK, http.MethodGet, "/api/openapi.yaml", nil)
	raw := b.admin(t, http.StatusOK, http.MethodGet, "/api/openapi.json", nil)
	indented, err := json.MarshalIndent(json.RawMessage(raw.raw), "", "  ")
	require.NoError(t, err)
	for name, got := range map[string]string{"openapi.yaml": yaml.raw, "openapi.json": string(indented) + "\n"} {
		path := filepath.Join(dir, name)
		if *update {
			require.NoError(t, os.MkdirAll(dir, 0o755))
			require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		if got != string(want) { // the whole difference would fill the screen
			line, was, is := firstDifference(string(want), got)
			require.Fail(t, "not up to date", "%s, line %d: committed %q, built %q", path, line, was, is)
		}
	}
	require.Contains(t, yaml.raw, "openapi: 3.1.0")
	require.NotContains(t, raw.raw, `"$schema"`, "no links to schemas in bodies")
	require.NotContains(t, raw.raw, `"array","null"`, "lists are never null")
}

func firstDifference(a, b string) (line int, was, is string) {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return i + 1, as[i], bs[i]
		}
	}
	return min(len(as), len(bs)) + 1, "", "(one ends here)"
}

// operations walks the document.
func operations(t *testing.T, b *testBundle, visit func(method, path string, op map[string]any)) {
	t.Helper()
	doc := b.admin(t, http.StatusOK, http.MethodGet, "/api/openapi.json", nil)
	paths, ok := doc.at(t, "paths").(map[string]any)
	require.True(t, ok)
	require.NotEmpty(t, paths)
	n := 0
	for path, item := range paths {
		methods, ok := item.(map[string]any)
		require.True(t, ok)
		for method, v := range methods {
			op, ok := v.(map[string]any)
			require.True(t, ok)
			n++
			visit(strings.ToUpper(method), path, op)
		}
	}
	require.Greater(t, n, 30, "the walk must see the operations")
}

var parameter = regexp.MustCompile(`\{[a-z_]+\}`)

func TestEveryOperationDeclaresWhatItNeeds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	known := []string{string(auth.Open), string(auth.SignedIn), string(auth.Read), string(auth.Write), string(auth.Manage), string(auth.Executor)}
	operations(t, b, func(method, path string, op map[string]any) {
		what := method + " " + path
		require.NotEmpty(t, op["operationId"], what)
		require.NotEmpty(t, op["summary"], what)
		require.Contains(t, known, op["x-permission"], what)
		for _, name := range []string{"x-audit", "x-idempotent"} {
			require.IsType(t, true, op[name], "%s %s", what, name)
		}
		limit, ok := op["x-max-body"].(json.Number)
		require.True(t, ok, what)
		n, err := limit.Int64()
		require.NoError(t, err)
		require.Positive(t, n, what)
		takesKey := strings.Contains(string(must(json.Marshal(op["parameters"]))), "Idempotency-Key")
		require.Equal(t, op["x-idempotent"], takesKey, "%s: what is declared is what is taken", what)
		if method == http.MethodGet {
			require.Equal(t, false, op["x-audit"], what)
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestOnlyTheOpenOperationsAreOpen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open := []string{"GET /api/health", "GET /api/ready", "POST /api/auth/setup", "POST /api/auth/login"}
	var seen []string
	operations(t, b, func(method, path string, op map[string]any) {
		what := method + " " + path
		res := b.do(t, method, parameter.ReplaceAllString(path, "4711"), map[string]any{})
		if op["x-permission"] == string(auth.Open) {
			seen = append(seen, what)
			require.NotEqual(t, http.StatusInternalServerError, res.status, what)
			return
		}
		require.Equal(t, http.StatusUnauthorized, res.status, what)
		res.problem(t, http.StatusUnauthorized, "unauthenticated", "auth.required")
	})
	slices.Sort(seen)
	slices.Sort(open)
	require.Equal(t, open, seen)
	for _, path := range []string{"/api/openapi.json", "/api/openapi.yaml", "/api/docs"} {
		b.do(t, http.MethodGet, path, nil).problem(t, http.StatusUnauthorized, "unauthenticated", "auth.required")
	}
}

func TestAViewerMayOnlyRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	operations(t, b, func(method, path string, op map[string]any) {
		res := b.do(t, method, parameter.ReplaceAllString(path, "4711"), map[string]any{}, b.as(auth.Viewer))
		switch auth.Permission(op["x-permission"].(string)) {
		case auth.Write, auth.Manage:
			res.problem(t, http.StatusForbidden, "forbidden", "auth.forbidden")
		case auth.Executor:
			res.problem(t, http.StatusUnauthorized, "unauthenticated", "executor.unknown_token")
		case auth.Open, auth.SignedIn, auth.Read:
			require.NotEqual(t, "auth.forbidden", res.body["reason"], "%s %s", method, path)
		}
	})
	for _, path := range []string{"/api/providers", "/api/users"} {
		b.do(t, http.MethodPost, path, map[string]any{}, b.as(auth.Editor)).problem(t, http.StatusForbidden, "forbidden", "auth.forbidden")
	}
}

func TestNoOperationAnswersWithAnInternalError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	operations(t, b, func(method, path string, _ map[string]any) {
		if strings.HasPrefix(path, "/api/realtime/") {
			return // this bundle serves no sockets, which it says with 503
		}
		for _, body := range []any{nil, map[string]any{}, `{"name":"a\u0000b","email":"a\u0000@b","nodes":[],"edges":[]}`, `[`, `null`} {
			res := b.do(t, method, parameter.ReplaceAllString(path, "4711"), body, b.as(auth.Admin))
			require.Less(t, res.status, http.StatusInternalServerError, "%s %s %v: %s", method, path, body, res.raw)
		}
	})
}

func TestDocsLoadNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.admin(t, http.StatusOK, http.MethodGet, "/api/docs", nil)
	require.Contains(t, res.header.Get("Content-Security-Policy"), "default-src 'none'")
	require.NotRegexp(t, `(src|href)="(https?:)?//`, res.raw)
	require.Contains(t, res.raw, "/api/flowcharts/{id}/graph")
}

func TestTheDocumentDescribesGraphs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	doc := b.admin(t, http.StatusOK, http.MethodGet, "/api/openapi.json", nil)
	schema := func(path ...any) any { return doc.at(t, append([]any{"components", "schemas"}, path...)...) }
	for _, name := range []string{"GraphNode", "GraphNodeInput"} {
		kinds, ok := schema(name, "properties", "kind", "enum").([]any)
		require.True(t, ok)
		for _, k := range kinds {
			require.True(t, flowchart.Kind(k.(string)).Known(), k)
		}
		require.Len(t, kinds, 12, "all kinds that the flowchart package knows")
	}
	for _, name := range []string{"GraphEdge", "GraphEdgeInput"} {
		require.Equal(t, []any{"solid", "dotted", "dashed"}, schema(name, "properties", "mode", "enum"))
	}
	require.Equal(t, []any{"id", "kind", "title", "position", "config"}, schema("GraphNode", "required"))
	require.Equal(t, []any{"id", "kind"}, schema("GraphNodeInput", "required"))
	require.Equal(t, []any{"nodes", "edges"}, schema("GraphBody", "required"))
	require.Equal(t, "#/components/schemas/GraphNodeInput", schema("GraphBody", "properties", "nodes", "items", "$ref"))
	require.Equal(t, "#/components/schemas/GraphEdge", schema("GraphView", "properties", "edges", "items", "$ref"))
	require.Equal(t, "#/components/schemas/GraphBody", schema("CreateFlowchartInputBody", "properties", "graph", "$ref"))
}
