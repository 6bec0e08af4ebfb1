package sqliteimport_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/testkit/sqlitetest"
)

type stored struct {
	graph    *flowchart.Graph
	findings []flowchart.Finding
}

func (b *testBundle) stored(id int64) stored {
	b.t.Helper()
	g, err := flowchart.Parse(one[json.RawMessage](b, `SELECT graph FROM flowchart_version WHERE flowchart_id = $1 AND number = 1`, id))
	require.NoError(b.t, err)
	s := stored{graph: g}
	require.NoError(b.t, json.Unmarshal(one[json.RawMessage](b, `SELECT findings FROM flowchart_version WHERE flowchart_id = $1`, id), &s.findings))
	return s
}

func (s stored) node(t *testing.T, id string) flowchart.Node {
	t.Helper()
	n, ok := s.graph.Node(id)
	require.True(t, ok, id)
	return n
}

func (s stored) reasons(node, edge string) []string {
	var out []string
	for _, f := range s.findings {
		if f.NodeID == node && (edge == "" || f.EdgeID == edge) {
			out = append(out, f.Reason)
		}
	}
	return out
}

func TestSoundFlowchartIsReadyToRun(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{Runs: 1})
	b.run(b.options())
	s := b.stored(sqlitetest.Triage)
	require.Empty(t, s.findings)
	require.Equal(t, []any{"Triage", "Sorts tickets", int32(1), int32(50), int32(30), int32(2)}, values(b,
		`SELECT name, description, version, max_node_executions, max_runtime_minutes, max_parallel_nodes FROM flowchart WHERE id = 1`))
	require.Equal(t, flowchart.Position{X: 200, Y: 80.5}, s.node(t, "n2").Position)
	task, err := flowchart.DecodeTask(s.node(t, "n5").Config)
	require.NoError(t, err)
	require.Equal(t, int64(sqlitetest.RemoteModelID), task.ModelID)
	require.Equal(t, flowchart.FanInAny(), task.FanIn)
	require.Equal(t, "ESCALATE it.\n\nOutput of \"Classify\":\n{{ has(nodes.n2) ? nodes.n2.text : \"\" }}", task.Prompt)
	first, err := flowchart.DecodeTask(s.node(t, "n2").Config)
	require.NoError(t, err)
	require.Equal(t, `CLASSIFY this ticket; keep {{ "{{" }} placeholders }} as they are.`, first.Prompt)
	require.Equal(t, "You work in support.\n\nSort with care.", first.System)
	d, err := flowchart.DecodeDecision(s.node(t, "n3").Config)
	require.NoError(t, err)
	require.Equal(t, "e4", d.DefaultEdgeID)
	require.Len(t, d.Conditions, 1)
	require.Equal(t, "e3", d.Conditions[0].EdgeID)
	i := 2
	require.Equal(t, "e3", s.graph.Edges[i].ID)
	require.JSONEq(t, `"connector_1"`, string(s.graph.Edges[i].Extra["label"]))
	require.JSONEq(t, `[{"x": 1, "y": 2}]`, string(s.graph.Edges[i].Extra["control_points"]))

	// A task without a model gets the default one, as it did.
	chain, err := flowchart.DecodeTask(b.stored(100).node(t, "n1001").Config)
	require.NoError(t, err)
	require.Equal(t, int64(sqlitetest.RemoteModelID), chain.ModelID)
	require.Equal(t, "Step of 0", b.stored(100).node(t, "n1001").Title)
	require.Empty(t, b.stored(100).findings)
}

func TestKindsWithoutAHandlerAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{Runs: 1})
	b.run(b.options())
	s := b.stored(sqlitetest.AllKinds)
	for id, config := range map[string]string{
		"n21": `{"action": "add", "additive_prompt": "note", "memory_id": 1}`,
		"n22": `{"mode": "llm_guided", "store_mode": "append", "plan_id": 1, "model_id": 1}`,
		"n23": `{"action": "mark_complete", "milestone_id": 1}`,
		"n24": `{"flowchart_id": 1}`,
	} {
		require.JSONEq(t, config, string(s.node(t, id).Config), id)
		require.Equal(t, []string{"unsupported_kind"}, s.reasons(id, ""), id)
	}
	require.JSONEq(t, `{"mode": "query", "question": "What is {{ \"{{\" }}it}}?", "source_ids": [7], "top_k": 5}`, string(s.node(t, "n25").Config))
	require.Empty(t, s.reasons("n25", ""), "its source came along")
	require.Equal(t, flowchart.Dotted, s.graph.Edges[6].Mode)
}

func TestUglyFlowchartIsStoredWithFindings(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{Runs: 1, Ugly: true})
	rep := b.run(b.options())
	s := b.stored(sqlitetest.Ugly)
	require.Equal(t, []any{"Häßlich 流程  🙂", nil, nil, int32(1000)}, values(b, `SELECT name, max_node_executions, max_runtime_minutes, max_parallel_nodes FROM flowchart WHERE id = 3`))
	require.Len(t, s.graph.Nodes, 6)
	require.Len(t, s.graph.Edges, 6)
	require.Equal(t, flowchart.KindStart, s.node(t, "n30").Kind)
	require.Equal(t, "Start", s.node(t, "n30").Title)
	require.Equal(t, flowchart.Position{X: 0, Y: 1e9}, s.node(t, "n30").Position)
	require.Len(t, []rune(s.node(t, "n31").Title), 200)
	require.Equal(t, []string{"flow.missing_model"}, s.reasons("n31", ""))
	require.Contains(t, s.reasons("n33", ""), "import.config")
	require.Equal(t, "ab \uFFFD c", decodeTask(t, s.node(t, "n36")).Prompt[:8])

	// The free text is shown where it must be rewritten, by a save's finding and by one that explains.
	d, err := flowchart.DecodeDecision(s.node(t, "n32").Config)
	require.NoError(t, err)
	require.Equal(t, flowchart.ConditionConfig{EdgeID: "e32", Expression: "the customer is happy"}, d.Conditions[0])
	require.Equal(t, []string{"flow.invalid_expression", "import.condition"}, s.reasons("n32", "e32"))
	for _, f := range s.findings {
		if f.Reason == "import.condition" {
			require.Contains(t, f.Message, `"the customer is happy"`)
		}
	}
	// Two edges between the same nodes are one now, taken by either's condition.
	require.Equal(t, "e33", d.Conditions[1].EdgeID)
	require.Contains(t, d.Conditions[1].Expression, "|| (false)")

	require.Equal(t, map[string]int64{`its kind "teleport" is unknown`: 1, "its flowchart is not in the file": 1}, reasons(table(t, rep, "flowchart_nodes").Reasons))
	require.Equal(t, map[string]int64{"it does not connect two nodes that were taken over": 2, "its flowchart is not in the file": 1}, reasons(table(t, rep, "flowchart_edges").Reasons))
}

func decodeTask(t *testing.T, n flowchart.Node) flowchart.TaskConfig {
	t.Helper()
	c, err := flowchart.DecodeTask(n.Config)
	require.NoError(t, err)
	return c
}

func TestLoopsJoinsAndOversizedConfigs(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{Runs: 1})
	sqlitetest.Exec(t, b.path,
		`INSERT INTO flowcharts (id, name) VALUES (50, 'Loop')`,
		`INSERT INTO flowchart_nodes (id, flowchart_id, node_type, title, config_json, model_id) VALUES
			(500, 50, 'start', 'S', '{}', NULL),
			(501, 50, 'task', 'A "quoted" {{title}}', '{"task_prompt": "A"}', 4),
			(502, 50, 'task', 'B', '{"task_prompt": "B", "fan_in_mode": "custom", "fan_in_custom_count": 2}', 4),
			(503, 50, 'decision', 'D', '{"route_field_path": ""}', NULL),
			(504, 50, 'end', 'E', '{}', NULL)`,
		`INSERT INTO flowchart_nodes (id, flowchart_id, node_type, config_json, model_id) VALUES (505, 50, 'task', '{"task_prompt": "' || hex(zeroblob(200000)) || '"}', 4)`,
		`INSERT INTO flowchart_edges (id, flowchart_id, source_node_id, target_node_id, edge_mode, condition_key) VALUES
			(500, 50, 500, 501, 'solid', NULL), (501, 50, 501, 502, 'solid', NULL), (502, 50, 500, 502, 'solid', NULL), (503, 50, 502, 503, 'solid', NULL),
			(504, 50, 503, 501, 'solid', 'again'), (505, 50, 503, 504, 'solid', 'done'), (506, 50, 501, 505, 'solid', NULL)`)
	b.run(b.options())
	s := b.stored(50)
	// Routing by key, as before conditions.
	d, err := flowchart.DecodeDecision(s.node(t, "n503").Config)
	require.NoError(t, err)
	require.Len(t, d.Conditions, 2)
	require.Contains(t, d.Conditions[0].Expression, `upstream.json.route_key == "again"`)
	require.Equal(t, 2, decodeTask(t, s.node(t, "n502")).FanIn.Count())
	// The loop's own output comes back to its first task.
	prompt := decodeTask(t, s.node(t, "n501")).Prompt
	require.Contains(t, prompt, `nodes.n502.text`)
	_, err = flowchart.CompileTemplate(decodeTask(t, s.node(t, "n502")).Prompt)
	require.NoError(t, err)
	require.Equal(t, []string{"flow.missing_prompt", "flow.missing_model", "import.config"}, s.reasons("n505", ""))
	require.Equal(t, `{}`, string(s.node(t, "n505").Config))
}

// What refers to a flowchart that cannot be stored is told so, and all of it is kept.
func TestOversizedFlowchartIsLeftOutWithAllThatRefersToIt(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{Runs: 1})
	sqlitetest.Exec(t, b.path,
		`INSERT INTO flowcharts (id, name) VALUES (60, 'Huge')`,
		`INSERT INTO flowchart_nodes (id, flowchart_id, node_type) SELECT 60000 + value, 60, 'task' FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 1001) SELECT value FROM n)`,
		`INSERT INTO flowchart_runs (id, flowchart_id, status) VALUES (600, 60, 'completed')`,
		`INSERT INTO flowchart_run_nodes (id, flowchart_run_id, flowchart_node_id, status, agent_task_id) VALUES (600, 600, 60001, 'succeeded', 60000)`,
		`INSERT INTO agent_tasks (id, flowchart_run_id, flowchart_node_id, status, kind, output) VALUES (60000, 600, 60001, 'succeeded', 'flowchart_task', 'still here')`)
	o := b.options()
	o.BatchSize = 1
	rep := b.run(o)
	require.Contains(t, table(t, rep, "flowcharts").Reasons[0].Text, "nodes has 1001 entries, the limit is 1000")
	require.Equal(t, map[string]int64{"its flowchart was not taken over": 1001}, reasons(table(t, rep, "flowchart_nodes").Reasons))
	require.Equal(t, map[string]int64{"its flowchart was not taken over": 1}, reasons(table(t, rep, "flowchart_runs").Reasons))
	require.Equal(t, map[string]int64{"its run was not taken over": 1}, reasons(table(t, rep, "flowchart_run_nodes").Reasons))
	require.Equal(t, "Huge", one[string](b, `SELECT document->>'name' FROM imported_row WHERE source_table = 'flowcharts'`))
	require.Equal(t, "still here", one[string](b, `SELECT output_state->>'text' FROM node_run WHERE id = 60000 AND flowchart_run_id IS NULL`))
}
