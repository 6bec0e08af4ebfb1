package rag

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/stretchr/testify/require"
)

// nodeOfRun is a node run as the API shows it with its run.
type nodeOfRun struct {
	ID     int64          `json:"id"`
	Node   string         `json:"flowchart_node_id"`
	Status string         `json:"status"`
	Output map[string]any `json:"output_state"`
	Error  any            `json:"error"`
}

type stageView struct{ Key, Label, Status string }

// flowchart has a flowchart index a source, twice, and ask it: what each node says of its
// mode and stages is the same in its detail, its status and its events.
func (r *rig) flowchart() {
	r.t.Helper()
	require.NoError(r.t, os.MkdirAll(r.flow(), 0o755))
	for name, text := range map[string]string{"ship.md": "# Ships\n\nThe Nautilus dives.", "air.md": "# Balloons\n\nThe balloon rises."} {
		require.NoError(r.t, os.WriteFile(filepath.Join(r.flow(), name), []byte(text), 0o600))
	}
	var src, chart struct {
		ID int64 `json:"id"`
	}
	r.call(http.StatusCreated, http.MethodPost, "/api/rag/sources", map[string]any{"name": "flow", "kind": "local", "path": r.flow()}, &src)
	r.call(http.StatusCreated, http.MethodPost, "/api/flowcharts", map[string]any{"name": "Index and ask"}, &chart)
	r.call(http.StatusOK, http.MethodPut, fmt.Sprintf("/api/flowcharts/%d/graph", chart.ID), graphOf(src.ID), nil)
	var started struct {
		Run struct {
			ID int64 `json:"id"`
		} `json:"flowchart_run"`
	}
	r.call(http.StatusAccepted, http.MethodPost, fmt.Sprintf("/api/flowcharts/%d/runs", chart.ID), map[string]any{"input": map[string]any{"text": "What dives?"}}, &started)
	nodes := r.endOf(started.Run.ID)
	require.Equal(r.t, "fresh_index", nodes["fresh"].Output["mode"])
	require.EqualValues(r.t, 2, nodes["fresh"].Output["added"])
	require.Equal(r.t, "delta_index", nodes["delta"].Output["mode"])
	require.EqualValues(r.t, 2, nodes["delta"].Output["kept"])
	found, ok := nodes["ask"].Output["retrieval_context"].([]any)
	require.True(r.t, ok, "%v", nodes["ask"].Output)
	require.NotEmpty(r.t, found)
	for node, want := range map[string]struct {
		mode, label string
		timeout     int
	}{
		"fresh": {"indexing", "RAG Indexing", 86400}, "delta": {"delta_indexing", "RAG Delta Indexing", 90}, "ask": {"query", "LLM Query", 1800},
	} {
		id := nodes[node].ID
		r.sameEverywhere(id, started.Run.ID, want.mode, want.label)
		require.Equal(r.t, want.timeout, r.number(`SELECT timeout_seconds::int FROM node_run WHERE id = $1`, id), "%s: its setting rules, else the default of its mode", node)
	}
}

func graphOf(source int64) map[string]any {
	node := func(id, kind string, config map[string]any) map[string]any {
		return map[string]any{"id": id, "kind": kind, "title": id, "position": map[string]int{"x": 0, "y": 0}, "config": config}
	}
	edge := func(from, to string) map[string]any {
		return map[string]any{"id": from + "-" + to, "source": from, "target": to, "mode": "solid"}
	}
	sources := []int64{source}
	return map[string]any{
		"nodes": []any{
			node("start", "start", map[string]any{}),
			node("fresh", "rag", map[string]any{"mode": "fresh_index", "source_ids": sources}),
			node("delta", "rag", map[string]any{"mode": "delta_index", "source_ids": sources, "timeout_seconds": 90}),
			node("ask", "rag", map[string]any{"mode": "query", "source_ids": sources, "question": "{{ input.text }}"}),
			node("end", "end", map[string]any{}),
		},
		"edges": []any{edge("start", "fresh"), edge("fresh", "delta"), edge("delta", "ask"), edge("ask", "end")},
	}
}

// endOf waits for the end of a flowchart run and gives its nodes.
func (r *rig) endOf(id int64) map[string]nodeOfRun {
	r.t.Helper()
	var got struct {
		Run struct {
			Status string `json:"status"`
			Error  any    `json:"error"`
		} `json:"flowchart_run"`
		Nodes []nodeOfRun `json:"node_runs"`
	}
	deadline := time.Now().Add(patience)
	for got.Run.Status != "succeeded" {
		require.True(r.t, time.Now().Before(deadline), "flowchart run %d: %+v", id, got)
		require.NotContains(r.t, []string{"failed", "cancelled"}, got.Run.Status, "%+v", got)
		r.call(http.StatusOK, http.MethodGet, fmt.Sprintf("/api/flowchart-runs/%d", id), nil, &got)
		<-time.After(20 * time.Millisecond)
	}
	out := map[string]nodeOfRun{}
	for _, n := range got.Nodes {
		out[n.Node] = n
	}
	return out
}

// sameEverywhere compares what the API says of a node's mode and of the stage that its
// mode names.
func (r *rig) sameEverywhere(node, run int64, mode, label string) {
	r.t.Helper()
	var detail struct {
		Task struct {
			Mode string `json:"execution_mode"`
		} `json:"task"`
		Stages []stageView `json:"stages"`
	}
	r.call(http.StatusOK, http.MethodGet, fmt.Sprintf("/api/nodes/%d", node), nil, &detail)
	var status struct {
		Mode   string      `json:"execution_mode"`
		Stages []stageView `json:"stages"`
	}
	r.call(http.StatusOK, http.MethodGet, fmt.Sprintf("/api/nodes/%d/status", node), nil, &status)
	for what, got := range map[string]struct {
		mode   string
		stages []stageView
	}{"detail": {detail.Task.Mode, detail.Stages}, "status": {status.Mode, status.Stages}} {
		require.Equal(r.t, mode, got.mode, what)
		require.Len(r.t, got.stages, 6, what)
		require.Equal(r.t, "llm_query", got.stages[4].Key, what)
		require.Equal(r.t, label, got.stages[4].Label, what)
		require.Equal(r.t, "succeeded", got.stages[4].Status, what)
	}
	r.sameInEvents(node, run, mode)
}

func (r *rig) sameInEvents(node, run int64, mode string) {
	r.t.Helper()
	var events struct {
		Items []struct {
			Type    string `json:"event_type"`
			Entity  string `json:"entity_id"`
			Runtime *struct {
				Mode string `json:"execution_mode"`
			} `json:"runtime"`
			Payload struct {
				Mode string `json:"execution_mode"`
			} `json:"payload"`
		} `json:"items"`
	}
	r.call(http.StatusOK, http.MethodGet, fmt.Sprintf("/api/events?stream=flowchart_run:%d&limit=200", run), nil, &events)
	seen := map[string]int{}
	for _, e := range events.Items {
		if e.Entity != fmt.Sprint(node) || e.Runtime == nil {
			continue
		}
		seen[e.Type]++
		require.Equal(r.t, mode, e.Runtime.Mode, e.Type)
		require.Equal(r.t, mode, e.Payload.Mode, e.Type)
	}
	// A node that is quick tells of its stages with its end only.
	require.Positive(r.t, seen["node:task:updated"], "%v", seen)
	require.Positive(r.t, seen["node:task:completed"], "%v", seen)
}
