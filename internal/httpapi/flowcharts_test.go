package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
)

const twoNodes = `{"nodes":[{"id":"start","kind":"start","title":"Start","position":{"x":0,"y":0},"config":{}},
	{"id":"end","kind":"end","title":"End","position":{"x":9,"y":0},"config":{}}],
	"edges":[{"id":"e1","source":"start","target":"end","mode":"solid"}]}`

func (b *testBundle) flowchart(t *testing.T, name string) string {
	t.Helper()
	return "/api/flowcharts/" + b.admin(t, http.StatusCreated, http.MethodPost, "/api/flowcharts", map[string]string{"name": name}).id(t, "id")
}

func stream(path string) string { return "flowchart:" + strings.TrimPrefix(path, "/api/flowcharts/") }

func TestFlowchartLifecycle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	created := b.admin(t, http.StatusCreated, http.MethodPost, "/api/flowcharts", `{"name":"Triage","description":"d","max_parallel_nodes":3}`)
	for member, want := range map[string]any{"name": "Triage", "description": "d", "max_node_executions": nil, "max_runtime_minutes": nil, "last_run": nil, "deleted_at": nil} {
		require.Equal(t, want, created.at(t, member), member)
	}
	for member, want := range map[string]string{"version": "1", "node_count": "1", "max_parallel_nodes": "3"} {
		require.Equal(t, want, created.id(t, member), member)
	}
	require.Equal(t, `"1"`, created.header.Get("ETag"))
	path := "/api/flowcharts/" + created.id(t, "id")

	graph := b.admin(t, http.StatusOK, http.MethodGet, path+"/graph", nil)
	require.Equal(t, "start", graph.at(t, "nodes", 0, "kind"))
	require.Empty(t, graph.at(t, "edges"))

	res := b.admin(t, http.StatusOK, http.MethodPatch, path, `{"name":"Renamed","max_parallel_nodes":null,"max_runtime_minutes":5}`)
	require.Equal(t, "Renamed", res.at(t, "name"))
	require.Equal(t, "d", res.at(t, "description"), "what is absent stays")
	require.Nil(t, res.at(t, "max_parallel_nodes"), "null removes")
	require.Equal(t, "5", res.id(t, "max_runtime_minutes"))
	b.admin(t, http.StatusUnprocessableEntity, http.MethodPatch, path, `{"max_runtime_minutes":0}`)

	require.Equal(t, http.StatusNoContent, b.do(t, http.MethodDelete, path, nil, b.as(auth.Editor)).status)
	require.Equal(t, http.StatusNoContent, b.do(t, http.MethodDelete, path, nil, b.as(auth.Editor)).status, "twice is no error")
	require.NotNil(t, b.admin(t, http.StatusOK, http.MethodGet, path, nil).at(t, "deleted_at"))
	require.Empty(t, b.admin(t, http.StatusOK, http.MethodGet, "/api/flowcharts", nil).at(t, "items"))
	b.admin(t, http.StatusConflict, http.MethodPut, path+"/graph", twoNodes).problem(t, http.StatusConflict, "conflict", "flow.deleted")
	b.admin(t, http.StatusConflict, http.MethodPatch, path, `{"name":"x"}`)
	require.Nil(t, b.admin(t, http.StatusOK, http.MethodPost, path+"/restore", nil).at(t, "deleted_at"))

	updated := "flowchart:graph:updated"
	require.Equal(t, []string{updated, updated, updated, updated}, b.events(t, stream(path)), "created, changed, deleted once, restored")
	id := created.id(t, "id")
	for _, action := range []string{"created", "updated", "deleted", "restored"} {
		require.Contains(t, b.audited(t), "flowchart."+action+" "+id)
	}
}

func TestSavingAGraphAddsAVersion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.flowchart(t, "x")
	saved := b.admin(t, http.StatusOK, http.MethodPut, path+"/graph", twoNodes)
	require.Equal(t, "2", saved.id(t, "version"))
	require.Equal(t, true, saved.at(t, "validation", "valid"))
	require.Empty(t, saved.at(t, "validation", "errors"))
	again := b.admin(t, http.StatusOK, http.MethodPut, path+"/graph", saved.raw)
	require.Equal(t, "3", again.id(t, "version"), "what was got may be sent back")

	list := b.admin(t, http.StatusOK, http.MethodGet, path+"/versions?limit=2", nil)
	require.Equal(t, "3", list.id(t, "items", 0, "number"))
	next := b.admin(t, http.StatusOK, http.MethodGet, fmt.Sprintf("%s/versions?limit=2&cursor=%s", path, list.at(t, "next_cursor")), nil)
	require.Equal(t, "1", next.id(t, "items", 0, "number"))
	first := b.admin(t, http.StatusOK, http.MethodGet, path+"/versions/1", nil)
	require.Len(t, first.at(t, "nodes"), 1, "a version never changes")
	require.NotEmpty(t, first.at(t, "created_at"))
	b.admin(t, http.StatusNotFound, http.MethodGet, path+"/versions/4", nil).problem(t, http.StatusNotFound, "not_found", "flow.version_not_found")
	b.admin(t, http.StatusNotFound, http.MethodGet, "/api/flowcharts/4711/versions", nil)
	b.admin(t, http.StatusOK, http.MethodGet, path+"/versions?cursor=bzzzzzzzzzzz", nil)
	require.Len(t, b.events(t, stream(path)), 3)

	events := b.admin(t, http.StatusOK, http.MethodGet, "/api/events?stream="+stream(path)+"&after=1&limit=1", nil)
	require.Equal(t, "2", events.id(t, "items", 0, "sequence"))
	require.Equal(t, []any{stream(path), "studio"}, events.at(t, "items", 0, "room_keys"))
	require.Equal(t, "2", events.id(t, "items", 0, "payload", "version"))
}

func TestGraphFaults(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.flowchart(t, "x")
	structural := map[string]string{
		"dangling edge":  `{"nodes":[{"id":"a","kind":"start"}],"edges":[{"id":"e","source":"a","target":"gone","mode":"solid"}]}`,
		"duplicate node": `{"nodes":[{"id":"a","kind":"start"},{"id":"a","kind":"end"}],"edges":[]}`,
		"unknown kind":   `{"nodes":[{"id":"a","kind":"wizard"}],"edges":[]}`,
		"unknown mode":   `{"nodes":[{"id":"a","kind":"start"},{"id":"b","kind":"end"}],"edges":[{"id":"e","source":"a","target":"b","mode":"wavy"}]}`,
		"no nodes":       `{"edges":[]}`,
	}
	for name, graph := range structural {
		res := b.admin(t, http.StatusUnprocessableEntity, http.MethodPut, path+"/graph", graph)
		require.NotEmpty(t, res.at(t, "reason"), name)
		b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, path+"/validate", graph)
	}
	require.Equal(t, "1", b.admin(t, http.StatusOK, http.MethodGet, path, nil).id(t, "version"), "nothing was stored")

	semantic := `{"nodes":[{"id":"a","kind":"start"},{"id":"t","kind":"task","config":{"prompt":"{{ nope }}","model_id":4711}}],
		"edges":[{"id":"e","source":"a","target":"t","mode":"solid"}]}`
	checked := b.admin(t, http.StatusOK, http.MethodPost, path+"/validate", semantic)
	require.Equal(t, false, checked.at(t, "valid"))
	require.Equal(t, "1", b.admin(t, http.StatusOK, http.MethodGet, path, nil).id(t, "version"), "checking stores nothing")
	saved := b.admin(t, http.StatusOK, http.MethodPut, path+"/graph", semantic)
	require.Equal(t, false, saved.at(t, "validation", "valid"))
	require.Equal(t, checked.at(t, "errors"), saved.at(t, "validation", "errors"))
	for _, member := range []string{"node_id", "edge_id", "reason", "message"} {
		require.Contains(t, saved.at(t, "validation", "errors", 0), member)
	}
	require.Contains(t, saved.raw, `"node_id":"t"`)
	run := b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, path+"/runs", `{}`)
	require.Equal(t, "invalid", run.at(t, "code"), "such a version does not run")
	require.Zero(t, b.count(t, `SELECT count(*) FROM flowchart_run`))
}

func TestGraphFaultsAreNamedByTheirPlaceAndRule(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.flowchart(t, "x")
	for name, c := range map[string]struct{ graph, location, message string }{
		"nodes no list":   {`{"nodes":5,"edges":[]}`, "nodes", "must be a list"},
		"node no object":  {`{"nodes":["a"],"edges":[]}`, "nodes[0]", "must be an object"},
		"unknown kind":    {`{"nodes":[{"id":"a","kind":"wizard"}],"edges":[]}`, "nodes[0].kind", "must be a known kind"},
		"id of a node":    {`{"nodes":[{"id":"a b","kind":"start"}],"edges":[]}`, "nodes[0].id", "must consist of 1 to 64"},
		"title no text":   {`{"nodes":[{"id":"a","kind":"start","title":7}],"edges":[]}`, "nodes[0].title", "must be"},
		"place no number": {`{"nodes":[{"id":"a","kind":"start","position":{"x":"1"}}],"edges":[]}`, "nodes[0].position.x", "must be"},
		"unknown mode": {
			`{"nodes":[{"id":"a","kind":"start"},{"id":"b","kind":"end"}],"edges":[{"id":"e","source":"a","target":"b","mode":"wavy"}]}`,
			"edges[0].mode", "must be solid, dotted or dashed",
		},
	} {
		for _, send := range []func() answer{
			func() answer {
				return b.admin(t, http.StatusUnprocessableEntity, http.MethodPut, path+"/graph", c.graph)
			},
			func() answer {
				return b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, path+"/validate", c.graph)
			},
			func() answer {
				return b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/flowcharts", `{"name":"y","graph":`+c.graph+`}`)
			},
		} {
			res := send()
			require.Equal(t, "flow.invalid_graph", res.at(t, "reason"), name)
			require.Contains(t, res.raw, `"location":"`+c.location+`"`, name)
			require.Contains(t, res.raw, c.message, name)
		}
	}
}

func TestMembersThatTheGraphDoesNotKnowAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.flowchart(t, "x")
	graph := `{"nodes":[{"id":"a","kind":"start","config":{"later":{"n":1.50,"é":"<&>"}}},{"id":"b","kind":"end"}],
		"edges":[{"id":"e","source":"a","target":"b","mode":"solid","label":"go","points":[[1,2.0]]}],"viewport":{"zoom":1}}`
	b.admin(t, http.StatusOK, http.MethodPut, path+"/graph", graph)
	got := b.admin(t, http.StatusOK, http.MethodGet, path+"/graph", nil)
	require.Equal(t, "go", got.at(t, "edges", 0, "label"))
	require.Regexp(t, `"points":\s*\[\[1,\s*2\.0\]\]`, got.raw)
	require.Regexp(t, `"n":\s*1\.50`, got.raw)
	b.admin(t, http.StatusOK, http.MethodPut, path+"/graph", got.raw)
}

func TestAnEdgeIsSolidUnlessItSaysOtherwise(t *testing.T) {
	t.Parallel()
	b := setup(t)
	saved := b.admin(t, http.StatusOK, http.MethodPut, b.flowchart(t, "x")+"/graph",
		`{"nodes":[{"id":"a","kind":"start"},{"id":"b","kind":"end"}],"edges":[{"id":"e","source":"a","target":"b"}]}`)
	require.Equal(t, "solid", saved.at(t, "edges", 0, "mode"))
}

func TestNumbersInAConfigKeepTheirDigits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.flowchart(t, "x")
	b.admin(t, http.StatusOK, http.MethodPut, path+"/graph", `{"nodes":[{"id":"a","kind":"start","config":{"n":9007199254740993}}],"edges":[]}`)
	require.Contains(t, b.admin(t, http.StatusOK, http.MethodGet, path+"/graph", nil).raw, "9007199254740993")
}

func TestStaleWritesAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.flowchart(t, "x")
	old := header{"If-Match", b.admin(t, http.StatusOK, http.MethodGet, path+"/graph", nil).header.Get("ETag")}
	saved := b.admin(t, http.StatusOK, http.MethodPut, path+"/graph", twoNodes, old)
	require.NotEqual(t, old.value, saved.header.Get("ETag"))
	for _, w := range []struct{ method, path, body string }{
		{http.MethodPut, path + "/graph", twoNodes}, {http.MethodPatch, path, `{"name":"y"}`}, {http.MethodDelete, path, ""},
	} {
		res := b.admin(t, http.StatusPreconditionFailed, w.method, w.path, w.body, old)
		res.problem(t, http.StatusPreconditionFailed, "precondition", "flow.stale")
	}
	b.admin(t, http.StatusPreconditionFailed, http.MethodPatch, path, `{"name":"y"}`, header{"If-Match", "nonsense"})
	b.admin(t, http.StatusOK, http.MethodPut, path+"/graph", twoNodes, header{"If-Match", saved.header.Get("ETag")})
	b.admin(t, http.StatusOK, http.MethodPatch, path, `{"name":"y"}`, header{"If-Match", "*"})
	require.Equal(t, "3", b.admin(t, http.StatusOK, http.MethodGet, path, nil).id(t, "version"))
}

func TestOfSeveralSavesOfOneVersionOneWins(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.flowchart(t, "x")
	tag := header{"If-Match", b.admin(t, http.StatusOK, http.MethodGet, path, nil).header.Get("ETag")}
	statuses := make([]int, 6)
	var all sync.WaitGroup
	for i := range statuses {
		all.Go(func() { statuses[i] = b.do(t, http.MethodPut, path+"/graph", twoNodes, tag, b.as(auth.Admin)).status })
	}
	all.Wait()
	counts := map[int]int{}
	for _, s := range statuses {
		counts[s]++
	}
	require.Equal(t, map[int]int{http.StatusOK: 1, http.StatusPreconditionFailed: 5}, counts)
	require.Len(t, b.events(t, stream(path)), 2)
}

func TestListingFlowcharts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, name := range []string{"alpha", "100% beta", "Gamma_ray", "delta"} {
		b.flowchart(t, name)
	}
	names := func(query string) []any {
		var out []any
		items, ok := b.admin(t, http.StatusOK, http.MethodGet, "/api/flowcharts?"+query, nil).at(t, "items").([]any)
		require.True(t, ok)
		for _, i := range items {
			out = append(out, i.(map[string]any)["name"])
		}
		return out
	}
	require.Equal(t, []any{"delta", "Gamma_ray", "100% beta", "alpha"}, names(""))
	require.Equal(t, []any{"Gamma_ray"}, names("q=gAMMA"))
	require.Equal(t, []any{"100% beta"}, names("q=%25"), "a percent sign is one")
	require.Equal(t, []any{"Gamma_ray"}, names("q=_"), "an underscore is one")

	page := b.admin(t, http.StatusOK, http.MethodGet, "/api/flowcharts?limit=3", nil)
	require.Len(t, page.at(t, "items"), 3)
	rest := fmt.Sprintf("limit=3&cursor=%s", page.at(t, "next_cursor"))
	require.Equal(t, []any{"alpha"}, names(rest))
	require.Nil(t, b.admin(t, http.StatusOK, http.MethodGet, "/api/flowcharts?limit=4", nil).at(t, "next_cursor"), "exactly full is the last")
}

func TestDuplicate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.flowchart(t, "x")
	b.admin(t, http.StatusOK, http.MethodPut, path+"/graph", twoNodes)
	res := b.admin(t, http.StatusCreated, http.MethodPost, path+"/duplicate", nil)
	require.Equal(t, "Copy of x", res.at(t, "name"))
	require.Equal(t, "2", res.id(t, "node_count"))
	require.Equal(t, "1", res.id(t, "version"))

	long := b.flowchart(t, strings.Repeat("ä", 200))
	res = b.admin(t, http.StatusCreated, http.MethodPost, long+"/duplicate", nil)
	name, ok := res.at(t, "name").(string)
	require.True(t, ok)
	require.LessOrEqual(t, len([]rune(name)), 200, "a copy's name keeps to the limit")
	b.admin(t, http.StatusNotFound, http.MethodPost, "/api/flowcharts/4711/duplicate", nil)
}

func TestCancellingARunIsAudited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.flowchart(t, "x")
	b.admin(t, http.StatusOK, http.MethodPut, path+"/graph", `{"nodes":[{"id":"a","kind":"start"},
		{"id":"h","kind":"http","config":{"method":"GET","url":"http://192.0.2.1/"}},{"id":"b","kind":"end"}],
		"edges":[{"id":"e","source":"a","target":"h","mode":"solid"},{"id":"f","source":"h","target":"b","mode":"solid"}]}`)
	id := b.admin(t, http.StatusAccepted, http.MethodPost, path+"/runs", `{}`).id(t, "flowchart_run", "id")
	require.Equal(t, id, b.admin(t, http.StatusOK, http.MethodGet, path, nil).id(t, "last_run", "id"))
	b.admin(t, http.StatusAccepted, http.MethodPost, "/api/flowchart-runs/"+id+"/cancel", nil)
	require.Contains(t, b.audited(t), "run.cancelled "+id)
	require.Contains(t, b.audited(t), "run.started "+id)
}

func TestACancelWithoutItsAuditEntryDoesNotHappen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.flowchart(t, "x")
	b.admin(t, http.StatusOK, http.MethodPut, path+"/graph", `{"nodes":[{"id":"a","kind":"start"},
		{"id":"h","kind":"http","config":{"method":"GET","url":"http://192.0.2.1/"}},{"id":"b","kind":"end"}],
		"edges":[{"id":"e","source":"a","target":"h","mode":"solid"},{"id":"f","source":"h","target":"b","mode":"solid"}]}`)
	id := b.admin(t, http.StatusAccepted, http.MethodPost, path+"/runs", `{}`).id(t, "flowchart_run", "id")
	_, err := b.db.Exec(t.Context(), `ALTER TABLE audit_event ADD CONSTRAINT refused CHECK (action <> 'run.cancelled')`)
	require.NoError(t, err)
	events := len(b.events(t, "flowchart_run:"+id))
	b.admin(t, http.StatusInternalServerError, http.MethodPost, "/api/flowchart-runs/"+id+"/cancel", nil)
	require.Equal(t, "queued", b.admin(t, http.StatusOK, http.MethodGet, "/api/flowchart-runs/"+id, nil).at(t, "flowchart_run", "status"))
	require.Len(t, b.events(t, "flowchart_run:"+id), events)
}
