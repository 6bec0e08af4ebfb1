package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/blob"
)

// endedNode makes a quick node's run that ended with the output.
func (b *testBundle) endedNode(t *testing.T, output string) string {
	t.Helper()
	var id int64
	require.NoError(t, b.db.QueryRow(t.Context(), `INSERT INTO node_run (flowchart_node_id, kind, status, timeout_seconds, execution_index, finished_at)
		VALUES ('n', 'script', 'succeeded', 1, 1, now()) RETURNING id`).Scan(&id))
	if len(output) <= 64<<10 {
		_, err := b.db.Exec(t.Context(), `UPDATE node_run SET output_state = $2 WHERE id = $1`, id, json.RawMessage(output))
		require.NoError(t, err)
		return fmt.Sprint(id)
	}
	hash, err := blob.Put(t.Context(), b.db, []byte(output))
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `UPDATE node_run SET output_blob = $2, output_bytes = $3 WHERE id = $1`, id, []byte(hash), len(output))
	require.NoError(t, err)
	return fmt.Sprint(id)
}

func (b *testBundle) artifact(t *testing.T, node, name, mediaType, content string) string {
	t.Helper()
	hash, err := blob.Put(t.Context(), b.db, []byte(content))
	require.NoError(t, err)
	var id int64
	require.NoError(t, b.db.QueryRow(t.Context(), `INSERT INTO artifact (node_run_id, attempt, name, kind, media_type, size, blob)
		VALUES ($1::text::bigint, 1, $2, 'file', $3, $4, $5) RETURNING id`, node, name, mediaType, len(content), []byte(hash)).Scan(&id))
	return fmt.Sprint(id)
}

func TestANodesOutputIsGivenWholeUpToASize(t *testing.T) {
	t.Parallel()
	b := setup(t)
	text := func(n int) string { return `{"stdout":"` + strings.Repeat("x", n-13) + `"}` }
	for name, c := range map[string]struct {
		output  string
		omitted bool
	}{
		"in the row":    {output: `{"stdout": "x"}`},
		"in a blob":     {output: text(1 << 20)},
		"one byte more": {output: text(1<<20 + 1), omitted: true},
		"the largest":   {output: text(32 << 20), omitted: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := "/api/nodes/" + b.endedNode(t, c.output)
			res := b.admin(t, http.StatusOK, http.MethodGet, path, nil)
			if c.omitted {
				require.Nil(t, res.at(t, "task", "output_state"))
				require.Equal(t, true, res.at(t, "task", "output_omitted"))
				require.Equal(t, fmt.Sprint(len(c.output)), res.id(t, "task", "output_bytes"))
				require.Less(t, len(res.raw), 4<<10)
			} else {
				require.NotNil(t, res.at(t, "task", "output_state", "stdout"))
			}
			whole := b.admin(t, http.StatusOK, http.MethodGet, path+"/output", nil)
			require.Equal(t, "application/json", whole.header.Get("Content-Type"))
			require.True(t, c.output == whole.raw, "%d bytes of %d", len(whole.raw), len(c.output)) //nolint:testifylint // the texts would fill the screen
			require.Less(t, len(b.admin(t, http.StatusOK, http.MethodGet, "/api/nodes", nil).raw), 8<<10, "a list has no outputs")
		})
	}
}

func TestWhatHasNoOutputSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.endedNode(t, "{}")
	_, err := b.db.Exec(t.Context(), `UPDATE node_run SET output_state = NULL WHERE id = $1::text::bigint`, id)
	require.NoError(t, err)
	b.admin(t, http.StatusNotFound, http.MethodGet, "/api/nodes/"+id+"/output", nil).problem(t, http.StatusNotFound, "not_found", "node.no_output")
	b.admin(t, http.StatusNotFound, http.MethodGet, "/api/nodes/4711/output", nil).problem(t, http.StatusNotFound, "not_found", "node.not_found")
	b.admin(t, http.StatusNotFound, http.MethodGet, "/api/flowchart-runs/4711/output", nil).problem(t, http.StatusNotFound, "not_found", "run.not_found")
	b.admin(t, http.StatusNotFound, http.MethodGet, "/api/artifacts/4711/content", nil).problem(t, http.StatusNotFound, "not_found", "artifact.not_found")
	b.admin(t, http.StatusNotFound, http.MethodGet, "/api/nodes/4711/artifacts", nil).problem(t, http.StatusNotFound, "not_found", "node.not_found")
}

func TestArtifactsAreListedAndSaved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	node := b.endedNode(t, "{}")
	require.Empty(t, b.admin(t, http.StatusOK, http.MethodGet, "/api/nodes/"+node+"/artifacts", nil).at(t, "items"))
	page := "<script>alert(1)</script>" + strings.Repeat(" ", 3<<20)
	b.artifact(t, node, "sub/Übersicht \"1\".html", "text/html", page)
	list := b.do(t, http.MethodGet, "/api/nodes/"+node+"/artifacts", nil, b.as(auth.Viewer))
	require.Equal(t, http.StatusOK, list.status, list.raw)
	require.Equal(t, "sub/Übersicht \"1\".html", list.at(t, "items", 0, "name"))
	require.Equal(t, fmt.Sprint(len(page)), list.id(t, "items", 0, "size"))
	require.Equal(t, blob.Sum([]byte(page)).String(), list.at(t, "items", 0, "sha256"))

	res := b.do(t, http.MethodGet, "/api/artifacts/"+list.id(t, "items", 0, "id")+"/content", nil, b.as(auth.Viewer))
	require.Equal(t, http.StatusOK, res.status)
	require.Equal(t, page, res.raw)
	require.Equal(t, "text/html", res.header.Get("Content-Type"))
	require.Equal(t, "nosniff", res.header.Get("X-Content-Type-Options"))
	require.Contains(t, res.header.Get("Content-Security-Policy"), "sandbox")
	require.Equal(t, `attachment; filename*=utf-8''%C3%9Cbersicht%20%221%22.html`, res.header.Get("Content-Disposition"))
	require.Equal(t, http.StatusUnauthorized, b.do(t, http.MethodGet, "/api/artifacts/1/content", nil).status)
}
