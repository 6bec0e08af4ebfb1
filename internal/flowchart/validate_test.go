package flowchart_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
)

func parse(t testing.TB, text string) *flowchart.Graph {
	t.Helper()
	g, err := flowchart.Parse([]byte(text))
	require.NoError(t, err)
	return g
}

// with makes start -> x -> end, with x of a kind and config.
func with(t testing.TB, kind, config string) *flowchart.Graph {
	t.Helper()
	return withStart(t, `{}`, kind, config)
}

func withStart(t testing.TB, start, kind, config string) *flowchart.Graph {
	t.Helper()
	return parse(t, fmt.Sprintf(`{"nodes":[{"id":"s","kind":"start","config":%s},{"id":"x","kind":%q,"config":%s},{"id":"e-1","kind":"end"}],
		"edges":[{"id":"in","source":"s","target":"x","mode":"solid"},{"id":"out","source":"x","target":"e-1","mode":"solid"}]}`, start, kind, config))
}

func TestASoundGraphHasNoFindings(t *testing.T) {
	t.Parallel()
	found := flowchart.Validate(parse(t, sound), flowchart.WithModels(func(id int64) bool { return id == 1 }))
	require.NotNil(t, found)
	require.Empty(t, found)
	for kind, config := range map[string]string{
		"http":   `{"method":"post","url":"https://{{ input.host }}/x","headers":{"A":"{{ run.id }}"},"body":{"a":["{{ input.b }}",1]},"expect_status":201,"retry":{"max_attempts":20,"backoff_seconds":0.5},"timeout_seconds":86400,"fan_in":"any","image_class":"vllm","resources":{"cpu":"1.5","memory":"2Gi","gpu":1}}`,
		"script": `{"script":"echo {{ input.x }}","shell":"bash","env":{"A_1":"b"},"stdin":"{{ upstream }}"}`,
		"task":   `{"prompt":"x","system":"y","model_id":3,"params":{"temperature":0},"output_schema":{"type":"object"},"tools":[],"mcp_server_ids":[1],"fan_in":"all"}`,
	} {
		require.Empty(t, flowchart.Validate(with(t, kind, config)), kind)
	}
	for _, config := range []string{`{"method":"GET","url":"{{ input.url }}"}`, `{"method":"GET","url":"http{{ input.s }}://x"}`, `{"method":"GET","url":"http://a.b/c?d","expect_status":[200,404]}`} {
		require.Empty(t, flowchart.Validate(with(t, "http", config)), config)
	}
}

func TestFindingsOfNodes(t *testing.T) {
	t.Parallel()
	cases := []struct{ kind, config, reason, message string }{
		{"task", `{}`, "flow.missing_prompt", "no prompt"},
		{"task", `{"prompt":" "}`, "flow.missing_model", "no model"},
		{"task", `{"prompt":"x","model_id":9}`, "flow.unknown_model", "no model 9"},
		{"task", `{"prompt":5,"model_id":"1","params":[],"tools":{},"mcp_server_ids":"x","zz":1}`, "flow.invalid_config", "config.prompt must be text"},
		{"task", `{"params":[]}`, "flow.invalid_config", "config.params must be an object"},
		{"task", `{"tools":{}}`, "flow.invalid_config", "config.tools must be a list"},
		{"task", `{"mcp_server_ids":[1.5]}`, "flow.invalid_config", "config.mcp_server_ids must be a list of whole numbers"},
		{"task", `{"zz":1}`, "flow.invalid_config", "config.zz is unknown here"},
		{"task", `{"output_schema":{"type":"nope"}}`, "flow.invalid_schema", "output_schema is no valid JSON Schema"},
		{"task", `{"retry":{"max_attempts":0}}`, "flow.invalid_config", "config.retry.max_attempts must lie between 1 and 20"},
		{"task", `{"retry":{"max_attempts":21}}`, "flow.invalid_config", "must lie between 1 and 20"},
		{"task", `{"retry":{"max_attempts":1.5}}`, "flow.invalid_config", "config.retry.max_attempts must be a whole number"},
		{"task", `{"retry":{"backoff_seconds":3601}}`, "flow.invalid_config", "config.retry.backoff_seconds must lie between 0 and 3600"},
		{"task", `{"retry":{"backoff_seconds":"x"}}`, "flow.invalid_config", "config.retry.backoff_seconds must be a number"},
		{"task", `{"retry":{"delay":1}}`, "flow.invalid_config", "config.retry.delay is unknown here"},
		{"task", `{"retry":3}`, "flow.invalid_config", "config.retry must be an object"},
		{"task", `{"resources":{"memory":"2 GB"}}`, "flow.invalid_config", "config.resources.memory is `2 GB`; accepted is an amount of memory from 16Mi to 4Ti, such as 512Mi or 2Gi"},
		{"task", `{"resources":{"memory":"8Mi"}}`, "flow.invalid_config", "config.resources.memory is `8Mi`; accepted is an amount of memory from 16Mi"},
		{"task", `{"resources":{"cpu":"0.0001"}}`, "flow.invalid_config", "config.resources.cpu is `0.0001`; accepted is an amount of CPUs from 1m (a thousandth) to 256, such as 500m or 2"},
		{"task", `{"resources":{"cpu":2}}`, "flow.invalid_config", "config.resources.cpu must be text"},
		{"task", `{"resources":{"gpu":9}}`, "flow.invalid_config", "config.resources.gpu is 9; accepted are 0 to 8"},
		{"task", `{"resources":{"gpu":1.5}}`, "flow.invalid_config", "config.resources.gpu must be a whole number"},
		{"task", `{"resources":{"disk":"1Gi"}}`, "flow.invalid_config", "config.resources.disk is unknown here"},
		{"task", `{"image_class":"gpu"}`, "flow.invalid_config", "config.image_class is `gpu`; accepted are \"frontier\" and \"vllm\""},
		{"task", `{"timeout_seconds":0}`, "flow.invalid_config", "config.timeout_seconds must lie between 1 and 86400"},
		{"task", `{"timeout_seconds":86401}`, "flow.invalid_config", "between 1 and 86400"},
		{"task", `{"timeout_seconds":"1"}`, "flow.invalid_config", "config.timeout_seconds must be a number"},
		{"task", `{"fan_in":0}`, "flow.invalid_config", `config.fan_in must be "all", "any" or a whole number from 1`},
		{"task", `{"fan_in":2}`, "flow.fan_in_too_large", "waits for 2 parents, but only 1"},
		{"task", `{"prompt":"{{ inputs.x }}"}`, "flow.unknown_name", `config.prompt: the expression`},
		{"task", `{"prompt":"{{ nodes.zz.x }}"}`, "flow.unknown_name", `config.prompt reads nodes.zz, but the flowchart has no node "zz"`},
		{"task", `{"prompt":"{{ nodes.e-1.x }}"}`, "flow.invalid_expression", `node "e-1" is read as nodes["e-1"]`},
		{"task", `{"prompt":"{{ has(nodes.zz) }}"}`, "flow.unknown_name", `has no node "zz"`},
		{"task", `{"system":"{{ 1 + }}"}`, "flow.invalid_expression", "config.system: the expression `1 +` does not parse"},
		{"http", `{"url":"http://x"}`, "flow.invalid_method", `not ""`},
		{"http", `{"method":"FETCH","url":"http://x"}`, "flow.invalid_method", `not "FETCH"`},
		{"http", `{"method":"GET"}`, "flow.missing_url", "no url"},
		{"http", `{"method":"GET","url":"/x"}`, "flow.invalid_url", "absolute http or https address"},
		{"http", `{"method":"GET","url":"ftp://x"}`, "flow.invalid_url", "absolute http"},
		{"http", `{"method":"GET","url":"http://"}`, "flow.invalid_url", "absolute http"},
		{"http", `{"method":"GET","url":"file://{{ input.x }}"}`, "flow.invalid_url", "must begin with http"},
		{"http", `{"method":"GET","url":"x{{ input.x }}"}`, "flow.invalid_url", "must begin with http"},
		{"http", `{"method":"GET","url":"http://{{ x }}"}`, "flow.unknown_name", "config.url"},
		{"http", `{"method":1,"url":2}`, "flow.invalid_config", "config.url must be text"},
		{"http", `{"headers":{"A":1}}`, "flow.invalid_config", "config.headers must be an object of texts"},
		{"http", `{"headers":{"A":"{{ b }}"}}`, "flow.unknown_name", "config.headers.A"},
		{"http", `{"body":{"a":[0,{"b":"{{ c }}"}]}}`, "flow.unknown_name", "config.body.a[1].b"},
		{"http", `{"body":"{{ c }}"}`, "flow.unknown_name", "config.body:"},
		{"http", `{"expect_status":99}`, "flow.invalid_config", "config.expect_status must lie between 100 and 599"},
		{"http", `{"expect_status":"2xx"}`, "flow.invalid_config", "config.expect_status must be a status"},
		{"script", `{}`, "flow.missing_script", "neither"},
		{"script", `{"command":[""]}`, "flow.missing_script", "neither"},
		{"script", `{"command":["a"],"script":"b"}`, "flow.ambiguous_script", "both"},
		{"script", `{"command":"a"}`, "flow.invalid_config", "config.command must be a list of texts"},
		{"script", `{"command":["{{ a }}"]}`, "flow.unknown_name", "config.command[0]"},
		{"script", `{"script":"x","env":{"1A":"x"}}`, "flow.invalid_config", "config.env.1A is no name"},
		{"script", `{"script":"x","env":{"A":"{{ a }}"}}`, "flow.unknown_name", "config.env.A"},
		{"script", `{"script":"x","stdin":"{{ a }}"}`, "flow.unknown_name", "config.stdin"},
		{"end", `{"x":1}`, "flow.invalid_config", "config.x is unknown here"},
		{"start", `{"input_schema":{"type":7}}`, "flow.invalid_schema", "input_schema is no valid JSON Schema: schema.type"},
		{"start", `{"input_schema":5}`, "flow.invalid_schema", "input_schema is no valid JSON Schema"},
		{"start", `{"input_schema":{"$ref":"https://example.com/x"}}`, "flow.invalid_schema", "other documents are not loaded"},
		{"start", `{"input_schema":{"$schema":"http://example.com/own"}}`, "flow.invalid_schema", "other documents are not loaded"},
		{"start", `{"input_schema":{"$ref":"#/nope"}}`, "flow.invalid_schema", "schema"},
		{"start", `{"input_schema":{"pattern":"["}}`, "flow.invalid_schema", "schema"},
		{"rag", `{"mode":"delta_index"}`, "flow.missing_sources", "no sources"},
		{"memory", `{"anything":1}`, "unsupported_kind", `"memory"`},
		{"plan", `{}`, "unsupported_kind", `"plan"`},
		{"milestone", `{}`, "unsupported_kind", `"milestone"`},
		{"flowchart", `{}`, "unsupported_kind", `"flowchart"`},
		{"approval", `{}`, "unsupported_kind", `"approval"`},
	}
	for _, tc := range cases {
		found := flowchart.Validate(with(t, tc.kind, tc.config), flowchart.WithModels(func(id int64) bool { return id == 1 }))
		requireFinding(t, found, "x", "", tc.reason, tc.message)
	}
}

func requireFinding(t testing.TB, found []flowchart.Finding, node, edge, reason, message string) {
	t.Helper()
	for _, f := range found {
		if f.NodeID == node && f.EdgeID == edge && f.Reason == reason && strings.Contains(f.Message, message) {
			return
		}
	}
	require.Failf(t, "finding is missing", "%s %s %s %s among %+v", node, edge, reason, message, found)
}

// TestFaultyMembersAreToldOnce: what has the wrong type is not called missing too.
func TestFaultyMembersAreToldOnce(t *testing.T) {
	t.Parallel()
	for kind, config := range map[string]string{
		"task":   `{"prompt":5,"model_id":"1"}`,
		"http":   `{"method":1,"url":2}`,
		"script": `{"command":1,"script":[]}`,
	} {
		found := flowchart.Validate(with(t, kind, config))
		require.Len(t, found, 2, "%+v", found)
		for _, f := range found {
			require.Equal(t, "flow.invalid_config", f.Reason)
		}
	}
}

func TestHyphenatedNodesAreExplained(t *testing.T) {
	t.Parallel()
	found := flowchart.Validate(with(t, "script", `{"script":"{{ nodes.e-node.x }}"}`))
	requireFinding(t, found, "x", "", "flow.unknown_name", `unknown name "node"`)
	g := parse(t, strings.ReplaceAll(sound, `nodes.ask.text`, `nodes.my-node.text`))
	g.Nodes[4].ID = "my-node"
	requireFinding(t, flowchart.Validate(g), "more", "", "flow.unknown_name", `node "my-node" is read as nodes["my-node"]`)
}

func TestFindingsOfDecisions(t *testing.T) {
	t.Parallel()
	decide := func(config string) []flowchart.Finding {
		return flowchart.Validate(parse(t, fmt.Sprintf(`{"nodes":[{"id":"s","kind":"start"},{"id":"d","kind":"decision","config":%s},{"id":"a","kind":"end"},{"id":"b","kind":"end"}],
		"edges":[{"id":"sd","source":"s","target":"d","mode":"solid"},{"id":"da","source":"d","target":"a","mode":"solid"},{"id":"db","source":"d","target":"b","mode":"solid"},
		{"id":"ds","source":"d","target":"s","mode":"dotted"}]}`, config)))
	}
	require.Empty(t, decide(`{"conditions":[{"edge_id":"da","expression":"input.x"}],"default_edge_id":"db"}`))
	require.Empty(t, decide(`{"conditions":[{"edge_id":"da","expression":"input.x"},{"edge_id":"db","expression":"true"}]}`))
	for _, tc := range []struct{ config, edge, reason, message string }{
		{`{}`, "da", "flow.edge_never_taken", "has no condition"},
		{`{"default_edge_id":"zz"}`, "zz", "flow.unknown_edge", "default_edge_id names"},
		{`{"default_edge_id":"ds"}`, "ds", "flow.unknown_edge", "no solid edge that leaves"},
		{`{"conditions":[{"edge_id":"sd","expression":"true"}]}`, "sd", "flow.unknown_edge", "Condition 1"},
		{`{"conditions":[{"edge_id":"da","expression":"true"},{"edge_id":"da","expression":"false"}]}`, "da", "flow.duplicate_condition", "more than one"},
		{`{"conditions":[{"edge_id":"da","expression":"1"}]}`, "da", "flow.invalid_expression", "gives int, not true or false"},
		{`{"conditions":[{"edge_id":"da","expression":""}]}`, "da", "flow.invalid_expression", "empty"},
		{`{"conditions":[{"edge_id":"da","expression":"x"}]}`, "da", "flow.unknown_name", `"x"`},
		{`{"conditions":[{"edge_id":"da","expression":"nodes.zz.ok"}]}`, "da", "flow.unknown_name", `no node "zz"`},
		{`{"conditions":{}}`, "", "flow.invalid_config", "config.conditions must be a list"},
		{`{"conditions":[1]}`, "", "flow.invalid_config", "config.conditions[0] must be an object"},
		{`{"conditions":[{"edge":"da"}]}`, "", "flow.invalid_config", "config.conditions[0].edge is unknown"},
		{`{"conditions":[{"edge_id":1}]}`, "", "flow.invalid_config", "config.conditions[0].edge_id must be text"},
	} {
		requireFinding(t, decide(tc.config), "d", tc.edge, tc.reason, tc.message)
	}
	g := parse(t, `{"nodes":[{"id":"s","kind":"start"},{"id":"d","kind":"decision"}],"edges":[{"id":"sd","source":"s","target":"d","mode":"solid"}]}`)
	requireFinding(t, flowchart.Validate(g), "d", "", "flow.decision_without_edges", "no solid edge")
}

func TestFindingsOfTheGraph(t *testing.T) {
	t.Parallel()
	requireFinding(t, flowchart.Validate(&flowchart.Graph{}), "", "", "flow.no_start", "no start node")
	two := parse(t, `{"nodes":[{"id":"s2","kind":"start"},{"id":"s1","kind":"start"}]}`)
	found := flowchart.Validate(two)
	require.Len(t, found, 1, "reachability is not judged without a start")
	requireFinding(t, found, "", "", "flow.many_starts", "2 start nodes (s1, s2)")

	g := parse(t, `{"nodes":[{"id":"s","kind":"start"},{"id":"e","kind":"end"},{"id":"t","kind":"end"}],"edges":[
		{"id":"a","source":"s","target":"e","mode":"solid"},{"id":"b","source":"s","target":"t","mode":"dotted"},{"id":"c","source":"e","target":"s","mode":"dashed"}]}`)
	found = flowchart.Validate(g)
	require.Len(t, found, 2)
	requireFinding(t, found, "", "c", "flow.end_has_out_edge", `"e"`)
	requireFinding(t, found, "t", "", "flow.unreachable", `"t"`)
}

func TestFindingsAreBounded(t *testing.T) {
	t.Parallel()
	g := &flowchart.Graph{}
	for i := range flowchart.MaxNodes {
		g.Nodes = append(g.Nodes, flowchart.Node{ID: fmt.Sprintf("n%d", i), Kind: flowchart.KindTask})
	}
	require.Len(t, flowchart.Validate(g), flowchart.MaxFindings)
}

func TestInputNamesFollowTheSchema(t *testing.T) {
	t.Parallel()
	const closed = `{"input_schema":{"$defs":{"p":{"type":"object","properties":{"name":{"type":"string"}},"additionalProperties":false}},
		"type":"object","properties":{"text":{"type":"string"},"who":{"$ref":"#/$defs/p"},"open":{"type":"object"},"list":{"items":{"type":"object"}}},"additionalProperties":false}}`
	check := func(start, expression string) []flowchart.Finding {
		return flowchart.Validate(withStart(t, start, "script", fmt.Sprintf(`{"script":"x","stdin":%q}`, "{{ "+expression+" }}")))
	}
	for _, fine := range []string{`input.text`, `input.who.name`, `input.open.anything.at.all`, `input.list[0].x`, `size(input)`, `input["text"]`, `has(input.text)`} {
		require.Empty(t, check(closed, fine), fine)
	}
	for expression, name := range map[string]string{
		`input.txt`: "txt", `input.who.nme`: "nme", `input["txt"]`: "txt", `has(input.txt)`: "txt", `input.txt.x + input.txt.x`: "txt",
	} {
		found := check(closed, expression)
		require.Len(t, found, 1, expression)
		requireFinding(t, found, "x", "", "flow.unknown_name", fmt.Sprintf("declares no %q", name))
	}
	for _, open := range []string{
		`{}`, `{"input_schema":null}`, `{"input_schema":true}`, `{"input_schema":{"properties":{"a":{}}}}`, `{"input_schema":{"$ref":"#"}}`,
		`{"input_schema":{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"properties":{"txt":{"$ref":"#/$defs/a"}},"additionalProperties":false}}`, `{"input_schema":{"patternProperties":{"^t":{}},"additionalProperties":false}}`,
	} {
		require.Empty(t, check(open, "input.txt.deep"), open)
	}
}

func TestHandledKinds(t *testing.T) {
	t.Parallel()
	kinds := flowchart.WithKinds(flowchart.KindStart, flowchart.KindEnd, flowchart.KindRAG, flowchart.KindApproval)
	require.Empty(t, flowchart.Validate(with(t, "rag", `{"mode":"query","source_ids":[1],"question":"{{ input.q }}","top_k":5}`), kinds))
	require.Empty(t, flowchart.Validate(with(t, "rag", `{"mode":"delta_index","source_ids":[1]}`), kinds))
	require.Empty(t, flowchart.Validate(with(t, "approval", `{"own":1}`), kinds), "the handler knows its config")
	requireFinding(t, flowchart.Validate(with(t, "task", `{}`), kinds), "x", "", "unsupported_kind", "task")
	embeds := flowchart.WithEmbeddingModels(func(id int64) bool { return id == 2 })
	for kind, config := range map[string]string{
		"task": `{"prompt":"x","model_id":2}`, "rag": `{"mode":"query","source_ids":[1],"question":"x","model_id":2}`,
	} {
		requireFinding(t, flowchart.Validate(with(t, kind, config), embeds), "x", "", "flow.embedding_model", "Model 2 makes vectors")
	}
	exists := flowchart.WithSources(func(id int64) bool { return id == 1 })
	require.Empty(t, flowchart.Validate(with(t, "rag", `{"mode":"delta_index","source_ids":[1]}`), exists))
	requireFinding(t, flowchart.Validate(with(t, "rag", `{"mode":"delta_index","source_ids":[1,2]}`), exists), "x", "", "flow.unknown_source", "There is no source 2.")
	for config, want := range map[string][2]string{
		`{}`:                     {"flow.invalid_config", "config.mode must be query"},
		`{"mode":1}`:             {"flow.invalid_config", "config.mode must be text"},
		`{"mode":"query"}`:       {"flow.missing_question", "no question"},
		`{"mode":"fresh_index"}`: {"flow.missing_sources", "no sources"},
		`{"top_k":21}`:           {"flow.invalid_config", "config.top_k must lie between 1 and 20"},
		`{"question":"{{ x }}"}`: {"flow.unknown_name", "config.question"},
		`{"source_ids":"x"}`:     {"flow.invalid_config", "config.source_ids must be a list"},
	} {
		requireFinding(t, flowchart.Validate(with(t, "rag", config), kinds), "x", "", want[0], want[1])
	}
}

func TestValidateInput(t *testing.T) {
	t.Parallel()
	g := withStart(t, `{"input_schema":{"type":"object","required":["text"],"properties":{"text":{"type":"string","minLength":2},"mail":{"type":"string","format":"email"},
		"list":{"type":"array","items":{"type":"object","properties":{"n":{"type":"integer"}}}}},"additionalProperties":false}}`, "end", `{}`)
	require.NoError(t, flowchart.ValidateInput(g, json.RawMessage(`{"text":"ab","mail":"a@b.cd","list":[{"n":1}]}`)))
	for text, want := range map[string]string{
		``:                                    "input missing property 'text'",
		`{}`:                                  "input missing property 'text'",
		`[]`:                                  "input got array, want object",
		`{"text":"a"}`:                        "input.text minLength",
		`{"text":"ab","mail":"x"}`:            "input.mail 'x' is not valid email",
		`{"text":"ab","list":[{},{"n":"x"}]}`: "input.list[1].n got string, want integer",
		`{"text":"ab","zz":1}`:                "input additional properties 'zz' not allowed",
	} {
		err := flowchart.ValidateInput(g, json.RawMessage(text))
		require.True(t, errs.HasReason(err, "flow.invalid_input"), text)
		e := errs.As(err)
		require.Len(t, e.Details, 1, "%s: %v", text, e.Details)
		require.Contains(t, e.Details[0].Location+" "+e.Details[0].Message, want)
	}
	two := errs.As(flowchart.ValidateInput(g, json.RawMessage(`{"text":1,"mail":2}`)))
	require.Len(t, two.Details, 2)
	require.True(t, errs.HasReason(flowchart.ValidateInput(g, json.RawMessage(`{`)), "flow.invalid_input"))

	circle := flowchart.ValidateInput(withStart(t, `{"input_schema":{"$ref":"#"}}`, "end", `{}`), json.RawMessage(`{}`))
	require.True(t, errs.HasReason(circle, "flow.invalid_input"), "a schema that only refers to itself ends: %v", circle)
	require.NoError(t, flowchart.ValidateInput(with(t, "end", `{}`), json.RawMessage(`[1]`)), "no schema takes anything")
	require.True(t, errs.HasReason(flowchart.ValidateInput(&flowchart.Graph{}, nil), "flow.invalid_graph"))
	require.True(t, errs.HasReason(flowchart.ValidateInput(withStart(t, `{"x":1}`, "end", `{}`), nil), "flow.invalid_config"))
	require.True(t, errs.HasReason(flowchart.ValidateInput(withStart(t, `{"input_schema":{"type":1}}`, "end", `{}`), nil), "flow.invalid_schema"))
}

func TestDecodeConfigs(t *testing.T) {
	t.Parallel()
	task, err := flowchart.DecodeTask(json.RawMessage(`{"prompt":"p","system":"s","model_id":4,"params":{"a":1},"output_schema":{"b":2},"tools":["x"],"mcp_server_ids":[5],
		"retry":{"max_attempts":3,"backoff_seconds":1.5},"timeout_seconds":90,"fan_in":2}`))
	require.NoError(t, err)
	require.Equal(t, flowchart.TaskConfig{
		Common: flowchart.Common{Retry: flowchart.Retry{MaxAttempts: 3, BackoffSeconds: 1.5}, TimeoutSeconds: 90, FanIn: flowchart.FanInOf(2)},
		Prompt: "p", System: "s", ModelID: 4, Params: json.RawMessage(`{"a":1}`), OutputSchema: json.RawMessage(`{"b":2}`),
		Tools: []string{"x"}, MCPServerIDs: []int64{5},
	}, task)
	require.Equal(t, 90*time.Second, task.Timeout())
	require.Equal(t, 1500*time.Millisecond, task.Retry.Backoff())

	http, err := flowchart.DecodeHTTP(json.RawMessage(`{"method":"GET","url":"u","headers":{"a":"b"},"body":{"c":1},"expect_status":204}`))
	require.NoError(t, err)
	require.Equal(t, flowchart.HTTPConfig{
		Common: flowchart.Common{Retry: flowchart.Retry{MaxAttempts: 1}}, Method: "GET", URL: "u", Headers: map[string]string{"a": "b"},
		Body: json.RawMessage(`{"c":1}`), ExpectStatus: []int{204},
	}, http)
	script, err := flowchart.DecodeScript(json.RawMessage(`{"command":["a"],"script":"b","shell":"c","env":{"D":"e"},"stdin":"f"}`))
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, script.Command)
	require.Equal(t, "c", script.Shell)
	decision, err := flowchart.DecodeDecision(json.RawMessage(`{"conditions":[{"edge_id":"a","expression":"b"}],"default_edge_id":"c"}`))
	require.NoError(t, err)
	require.Equal(t, []flowchart.ConditionConfig{{EdgeID: "a", Expression: "b"}}, decision.Conditions)
	require.Equal(t, "c", decision.DefaultEdgeID)
	start, err := flowchart.DecodeStart(nil)
	require.NoError(t, err)
	require.Empty(t, start.InputSchema)
	end, err := flowchart.DecodeEnd(json.RawMessage(`{"fan_in":"any"}`))
	require.NoError(t, err)
	require.Equal(t, flowchart.FanInAny(), end.FanIn)
	rag, err := flowchart.DecodeRAG(json.RawMessage(`{"mode":"query","source_ids":[1],"question":"q","top_k":3}`))
	require.NoError(t, err)
	require.Equal(t, 3, rag.TopK)

	common, err := flowchart.DecodeCommon(json.RawMessage(`{"own":1,"fan_in":null,"timeout_seconds":5}`))
	require.NoError(t, err)
	require.Equal(t, 1, common.Retry.MaxAttempts)
	require.Equal(t, 5*time.Second, common.Timeout())
	for _, bad := range []string{`[]`, `{"retry":1}`, `{"fan_in":"some"}`} {
		_, err := flowchart.DecodeCommon(json.RawMessage(bad))
		require.True(t, errs.HasReason(err, "flow.invalid_config"), bad)
	}
	_, err = flowchart.DecodeTask(json.RawMessage(`{"a":1,"b":2}`))
	require.ErrorContains(t, err, "faulty in 2 places; the first: config.a is unknown here")
}

func TestFanIn(t *testing.T) {
	t.Parallel()
	for text, f := range map[string]flowchart.FanIn{`"all"`: {}, `"any"`: flowchart.FanInAny(), `3`: flowchart.FanInOf(3)} {
		raw, err := json.Marshal(f)
		require.NoError(t, err)
		require.Equal(t, text, string(raw))
		var back flowchart.FanIn
		require.NoError(t, json.Unmarshal(raw, &back))
		require.Equal(t, f, back)
	}
	require.Equal(t, 4, flowchart.FanIn{}.Need(4))
	require.Equal(t, 1, flowchart.FanInAny().Need(4))
	require.Equal(t, 2, flowchart.FanInOf(3).Need(2))
	require.Equal(t, flowchart.FanIn{}, flowchart.FanInOf(-1))
	var f flowchart.FanIn
	require.Error(t, json.Unmarshal([]byte(`0`), &f))
}

func TestKindsAndModes(t *testing.T) {
	t.Parallel()
	require.True(t, flowchart.KindApproval.Known())
	require.False(t, flowchart.Kind("x").Known())
	require.True(t, flowchart.Dashed.Known())
	require.False(t, flowchart.Mode("").Known())
}
