package rag

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/llmtest"
)

type indexRun struct {
	ID     int64  `json:"id"`
	NodeID int64  `json:"node_id"`
	Status string `json:"status"`
	Counts struct {
		Found, Added, Changed, Removed, Kept, Done, Failed, Chunks int
	} `json:"counts"`
	Error *struct{ Code, Message string } `json:"error"`
}

// setUp makes the scripted model the one that embeds.
func (r *rig) setUp() {
	r.t.Helper()
	var provider, model struct {
		ID int64 `json:"id"`
	}
	r.call(http.StatusCreated, http.MethodPost, "/api/providers", map[string]any{"name": "Scripted", "kind": "openai", "base_url": r.provider.url, "api_key": "k"}, &provider)
	r.call(http.StatusCreated, http.MethodPost, "/api/models", map[string]any{"name": "Embedder", "provider_id": provider.ID, "model": "scripted-embedder"}, &model)
	r.call(http.StatusOK, http.MethodPatch, "/api/settings/rag", map[string]any{"embedding_model_id": model.ID, "embed_max_items": 25, "embed_parallel": 2, "index_parallel_files": 2}, nil)
}

func (r *rig) source(name string) int64 {
	r.t.Helper()
	var src struct {
		ID int64 `json:"id"`
	}
	r.call(http.StatusCreated, http.MethodPost, "/api/rag/sources", map[string]any{"name": name, "kind": "local", "path": r.files()}, &src)
	return src.ID
}

func (r *rig) start(source int64, mode string) indexRun {
	r.t.Helper()
	var out struct {
		Run indexRun `json:"index_run"`
	}
	r.call(http.StatusAccepted, http.MethodPost, fmt.Sprintf("/api/rag/sources/%d/index", source), map[string]any{"mode": mode}, &out)
	return out.Run
}

// await waits until a run is as wanted. Nobody may answer meanwhile.
func (r *rig) await(id int64, what string, ok func(v *indexRun) bool) indexRun {
	r.t.Helper()
	var v indexRun
	deadline := time.Now().Add(2 * patience)
	for !ok(&v) {
		require.True(r.t, time.Now().Before(deadline), "index run %d is not %s: %+v", id, what, v)
		if status, raw := r.try(http.MethodGet, fmt.Sprintf("/api/rag/index-runs/%d", id), nil); status == http.StatusOK {
			v = decode[indexRun](r.t, raw)
		}
		<-time.After(20 * time.Millisecond)
	}
	return v
}

func (r *rig) awaitEnd(id int64) indexRun {
	r.t.Helper()
	v := r.await(id, "over", func(v *indexRun) bool {
		return v.Status == "succeeded" || v.Status == "failed" || v.Status == "cancelled"
	})
	require.Equal(r.t, "succeeded", v.Status, "%+v", v)
	return v
}

// contents is all that searches see of a source, but for the numbers of rows.
func (r *rig) contents(source int64) map[string]int {
	r.t.Helper()
	rows, err := r.pool.Query(r.t.Context(), `
		SELECT md5(concat_ws('|', f.path, f.kind, f.language, f.title, f.fingerprint, f.signature, encode(f.content_hash, 'hex'), c.ordinal, c.key, c.text,
		                     c.context, c.words, c.line_start, c.line_end, encode(c.content_hash, 'hex'), encode(e.vector, 'hex'), (e.vector IS NULL)))
		FROM rag_source s JOIN rag_file f ON f.rag_source_id = s.id AND f.from_revision <= s.index_revision
		     AND (f.to_revision IS NULL OR f.to_revision > s.index_revision)
		LEFT JOIN rag_chunk c ON c.rag_file_id = f.id
		LEFT JOIN rag_embedding e ON e.rag_embedder_id = s.rag_embedder_id AND e.content_hash = c.content_hash
		WHERE s.id = $1`, source)
	require.NoError(r.t, err)
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var s string
		require.NoError(r.t, rows.Scan(&s))
		out[s]++
	}
	require.NoError(r.t, rows.Err())
	return out
}

func (r *rig) number(sql string, args ...any) int {
	r.t.Helper()
	var n int
	require.NoError(r.t, r.pool.QueryRow(r.t.Context(), sql, args...).Scan(&n))
	return n
}

// Before any harm, a flowchart does it all once. Each harm is done in the middle of an
// index run.
//
//nolint:paralleltest // it restarts the database that it works on
func TestAnIndexOutlivesItsWorkerItsDatabaseAndItsProvider(t *testing.T) {
	rounds, files := 3, 100
	if os.Getenv("LLMCTL_TEST_RAG") == "full" {
		rounds, files = 10, 500
	}
	r := newRig(t, 2)
	r.setUp()
	r.flowchart()
	n := copyModules(t, r.files(), files)
	undisturbed := r.source("undisturbed")
	first := r.awaitEnd(r.start(undisturbed, "fresh").ID)
	require.Equal(t, n, first.Counts.Done, "%+v", first)
	want := r.contents(undisturbed)
	require.Greater(t, len(want), n)
	require.Zero(t, r.number(`SELECT count(*) FROM rag_chunk c WHERE NOT EXISTS (SELECT FROM rag_embedding e WHERE e.content_hash = c.content_hash)`))

	r.provider.On("", llmtest.Reply{Every: 30 * time.Millisecond}) // so that there is a middle
	for i := range rounds {
		// What an earlier round has embedded must be embedded again.
		_, err := r.pool.Exec(t.Context(), `TRUNCATE rag_embedding`)
		require.NoError(t, err)
		source := r.source(fmt.Sprintf("harmed %d", i))
		began := time.Now()
		v := r.start(source, "fresh")
		at := n/10 + rand.IntN(n/2)
		r.await(v.ID, "in the middle", func(v *indexRun) bool { return v.Counts.Done >= at })
		harm := []string{"worker", "database", "provider"}[i%3]
		switch harm {
		case "worker":
			r.killHolder(v.NodeID)
		case "database":
			r.powerCut()
		case "provider":
			r.provider.down.Store(true)
			<-time.After(2 * time.Second)
			r.provider.down.Store(false)
		}
		v = r.awaitEnd(v.ID)
		require.Equal(t, n, v.Counts.Done, "after the %s was harmed", harm)
		require.Equal(t, want, r.contents(source), "after the %s was harmed at %d files", harm, at)
		t.Logf("%s harmed at %d of %d files; done after %s, %d attempts", harm, at, n, time.Since(began).Round(time.Millisecond),
			r.number(`SELECT attempt FROM node_run WHERE id = $1`, v.NodeID))
	}
	r.deltas(undisturbed, n)
}

// deltas shows that a delta touches what changed, and nothing of the rest.
func (r *rig) deltas(source int64, n int) {
	r.t.Helper()
	changed := max(1, n/100)
	paths, err := filepath.Glob(filepath.Join(r.files(), "river", "*.go"))
	require.NoError(r.t, err)
	require.GreaterOrEqual(r.t, len(paths), changed)
	for _, path := range paths[:changed] {
		raw, err := os.ReadFile(path)
		require.NoError(r.t, err)
		require.NoError(r.t, os.WriteFile(path, append(raw, []byte("\n// Another line.\n")...), 0o600))
	}
	v := r.awaitEnd(r.start(source, "delta").ID)
	require.Equal(r.t, []int{n, 0, changed, 0, n - changed, changed}, []int{v.Counts.Found, v.Counts.Added, v.Counts.Changed, v.Counts.Removed, v.Counts.Kept, v.Counts.Done})
	// A node of a finished index run says what it did, in its mode.
	var node struct {
		Task struct {
			ExecutionMode string         `json:"execution_mode"`
			Queue         string         `json:"queue"`
			OutputState   map[string]any `json:"output_state"`
		} `json:"task"`
		Stages []struct{ Key, Label, Status string } `json:"stages"`
		Runs   []int64                               `json:"index_run_ids"`
	}
	r.call(http.StatusOK, http.MethodGet, fmt.Sprintf("/api/nodes/%d", v.NodeID), nil, &node)
	require.Equal(r.t, "delta_indexing", node.Task.ExecutionMode)
	require.Equal(r.t, "llmctl_studio.rag.index", node.Task.Queue)
	require.Equal(r.t, "delta_index", node.Task.OutputState["mode"])
	require.Equal(r.t, []int64{v.ID}, node.Runs)
	require.Len(r.t, node.Stages, 6)
	require.Equal(r.t, "RAG Delta Indexing", node.Stages[4].Label)
	for _, s := range node.Stages {
		require.Equal(r.t, "succeeded", s.Status, s.Key)
	}
}
