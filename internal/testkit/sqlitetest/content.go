package sqlitetest

import (
	"cmp"
	"fmt"
	"maps"
	"strings"
)

func (w *writer) settings() {
	url := cmp.Or(w.o.ModelURL, "http://gpu.example:8000")
	for i, s := range [][3]string{
		{"llm", "codex_api_key", OpenAIKey},
		{"llm", "vllm_remote_api_key", RemoteKey},
		{"llm", "vllm_remote_base_url", url},
		{"llm", "vllm_remote_model", "GLM-4.7-Flash"},
		{"llm", "default_model_id", "4"},
		{"llm", "provider_enabled_codex", "true"},
		{"llm", "gemini_api_key", ""},
		{"github", "pat", GitHubPAT},
		{"github", "repo", "acme/widgets"},
		{"node_executor", "provider", "kubernetes"},
		{"google_workspace", "service_account_json", `{"private_key": "-----BEGIN PRIVATE KEY-----"}`},
	} {
		w.add("integration_settings", row{"id": i + 1, "provider": s[0], "key": s[1], "value": s[2]})
	}
	w.add("rag_settings", row{"id": 1, "provider": "chroma", "key": "host", "value": "chroma.local"})
}

func (w *writer) models() {
	for i, m := range [][3]string{
		{"Codex 5.2", "codex", `{"model": "gpt-5.2-codex", "model_reasoning_effort": "high"}`},
		{"Claude", "claude", `{"model": "claude-sonnet-4-5"}`},
		{"Gemini", "gemini", `{"model": "gemini-3-pro-preview", "sandbox": false}`},
		{"Remote", "vllm_remote", `{"temperature": 0.2, "max_tokens": 4096}`},
		{"Local", "vllm_local", `{"model": "tiny", "temperature": "0.7"}`},
	} {
		w.add("llm_models", row{"id": i + 1, "name": m[0], "provider": m[1], "config_json": m[2], "description": "A model"})
	}
}

func (w *writer) node(id, chart int, kind, title, config string, more ...row) {
	r := row{"id": id, "flowchart_id": chart, "node_type": kind, "title": title, "x": float64(id * 100), "y": 80.5, "config_json": config}
	for _, m := range more {
		maps.Copy(r, m)
	}
	w.add("flowchart_nodes", r)
}

func (w *writer) edge(id, chart, source, target int, mode, key string) {
	r := row{
		"id": id, "flowchart_id": chart, "source_node_id": source, "target_node_id": target, "edge_mode": mode,
		"source_handle_id": "right", "target_handle_id": "left", "control_points_json": `[{"x": 1, "y": 2}]`,
	}
	if key != "" {
		r["condition_key"], r["label"] = key, key
	}
	w.add("flowchart_edges", r)
}

func (w *writer) flowcharts() {
	w.add("flowcharts", row{"id": Triage, "name": "Triage", "description": "Sorts tickets", "max_node_executions": 50, "max_runtime_minutes": 30, "max_parallel_nodes": 2})
	w.node(1, Triage, "start", "Start", `{}`)
	w.node(2, Triage, "task", "Classify", `{"task_prompt": "CLASSIFY this ticket; keep {{ placeholders }} as they are.", "agent_id": 1}`, row{"model_id": RemoteModelID})
	w.node(3, Triage, "decision", "Urgent?", `{"decision_conditions": [{"connector_id": "connector_1", "condition_text": "latest_upstream.output_state.raw_output contains Urgent"}, {"connector_id": "connector_2", "condition_text": ""}], "fallback_condition_key": "connector_2"}`)
	w.node(4, Triage, "end", "End", `{}`)
	w.node(5, Triage, "task", "Escalate", `{"task_prompt": "ESCALATE it.", "fan_in_mode": "any"}`, row{"model_id": RemoteModelID})
	w.edge(1, Triage, 1, 2, "solid", "")
	w.edge(2, Triage, 2, 3, "solid", "")
	w.edge(3, Triage, 3, 5, "solid", "connector_1")
	w.edge(4, Triage, 3, 4, "solid", "connector_2")
	w.edge(5, Triage, 5, 4, "solid", "")

	w.add("flowcharts", row{"id": AllKinds, "name": "All kinds", "max_parallel_nodes": 1})
	w.node(20, AllKinds, "start", "Start", `{}`)
	w.node(21, AllKinds, "memory", "Remember", `{"action": "add", "additive_prompt": "note"}`, row{"ref_id": 1})
	w.node(22, AllKinds, "plan", "Plan", `{"mode": "llm_guided", "store_mode": "append"}`, row{"ref_id": 1, "model_id": 1})
	w.node(23, AllKinds, "milestone", "Milestone", `{"action": "mark_complete"}`, row{"ref_id": 1})
	w.node(24, AllKinds, "flowchart", "Sub-run", `{}`, row{"ref_id": Triage})
	w.node(25, AllKinds, "rag", "Look up", `{"mode": "query", "collections": ["docs"], "question_prompt": "What is {{it}}?", "top_k": 5}`, row{"model_id": 3})
	w.node(26, AllKinds, "end", "End", `{}`)
	for i := range 6 {
		w.edge(20+i, AllKinds, 20+i, 21+i, "solid", "")
	}
	w.edge(27, AllKinds, 21, 25, "dotted", "")

	for i := range 20 {
		id := 100 + i
		w.add("flowcharts", row{"id": id, "name": fmt.Sprintf("Chain %d", i), "max_parallel_nodes": 1})
		w.node(id*10, id, "start", "Start", `{}`)
		w.node(id*10+1, id, "task", "", fmt.Sprintf(`{"task_name": "Step of %d", "task_prompt": "Do step %d"}`, i, i))
		w.node(id*10+2, id, "end", "End", `null`)
		w.edge(id*10, id, id*10, id*10+1, "solid", "")
		w.edge(id*10+1, id, id*10+1, id*10+2, "solid", "")
	}
}

// history writes runs of the first flowchart as the original left them.
func (w *writer) history() {
	runs := cmp.Or(w.o.Runs, 100)
	task := 1
	for i := range runs {
		id, begin := i+1, i*10
		status := []string{"completed", "failed", "stopped", "canceled", "completed"}[i%5]
		w.add("flowchart_runs", row{
			"id": id, "flowchart_id": Triage, "status": status, "celery_task_id": fmt.Sprint("c", id),
			"started_at": at(begin), "finished_at": at(begin + 5), "created_at": at(begin), "updated_at": at(begin + 5),
		})
		for n, node := range []int{1, 2, 3} {
			w.nodeRun(task, id, node, begin+n, status == "failed" && node == 3)
			task++
		}
	}
	for i := range 40 {
		id := 10_000 + i
		kind := []string{"task", "quick", "rag_quick_index", "rag_quick_delta_index"}[i%4]
		w.add("agent_tasks", row{
			"id": id, "status": "succeeded", "kind": kind, "prompt": fmt.Sprintf("Quick question %d\nwith a second line", i),
			"output": "An answer.", "model_id": 1, "current_stage": "llm_query", "stage_logs": `{"llm_query": "asked\nanswered\n"}`,
			"final_provider": "kubernetes", "provider_dispatch_id": fmt.Sprintf("kubernetes:llmctl/quick-%d", i), "dispatch_status": "dispatch_confirmed",
			"dispatch_uncertain": "false", "started_at": at(i), "finished_at": at(i + 1),
		})
	}
}

func (w *writer) nodeRun(task, run, node, minute int, bad bool) {
	status, problem := "succeeded", any(nil)
	if bad {
		status, problem = "failed", "Decision matched no connector."
	}
	kind := map[int]string{1: "start", 2: "task", 3: "decision"}[node]
	output := fmt.Sprintf(`{"node_type": %q}`, kind)
	if node == 2 {
		text := "Urgent: the machine is on fire"
		if run == 1 && w.o.Big > 0 {
			text = strings.Repeat("0123456789abcde\\n", w.o.Big/16)
		}
		output = `{"node_type": "task", "raw_output": "` + text + `", "structured_output": {"route_key": "urgent"}, "task_stage_logs": {}}`
	}
	w.add("agent_tasks", row{
		"id": task, "status": status, "kind": "flowchart_" + kind, "flowchart_id": Triage, "flowchart_run_id": run, "flowchart_node_id": node,
		"prompt": "the rendered prompt", "output": "kept in the node run", "error": problem, "current_stage": "post_run",
		"stage_logs":     `{"integration": "no integrations\n", "llm_query": "line one\nline two\n", "post_run": "done\n"}`,
		"final_provider": "kubernetes", "dispatch_status": "dispatch_confirmed", "provider_dispatch_id": fmt.Sprintf("kubernetes:llmctl/job-%d", task),
		"dispatch_uncertain": false, "started_at": at(minute), "finished_at": at(minute + 1), "created_at": at(minute), "updated_at": at(minute + 1),
	})
	w.add("flowchart_run_nodes", row{
		"id": task, "flowchart_run_id": run, "flowchart_node_id": node, "execution_index": 1, "agent_task_id": task, "status": status,
		"input_context_json": `{"latest_upstream": null, "node": {"id": 2}}`, "output_state_json": output, "routing_state_json": `{"route_key": "urgent"}`,
		"degraded_status": false, "error": problem, "idempotency_key": fmt.Sprintf("flowchart_run:%d:flowchart_node:%d:execution:1", run, node),
		"started_at": at(minute), "finished_at": at(minute + 1), "created_at": at(minute), "updated_at": at(minute + 1),
	})
	w.add("node_artifacts", row{
		"id": task, "flowchart_id": Triage, "flowchart_node_id": node, "flowchart_run_id": run, "flowchart_run_node_id": task,
		"node_type": kind, "artifact_type": kind, "execution_index": 1, "retention_mode": "ttl", "payload_json": `{"node_type": "x"}`,
	})
}

// rest fills the tables for which only their rows matter.
func (w *writer) rest() {
	w.add("roles", row{"id": 1, "name": "Support", "description": "You work in support.", "is_system": false})
	w.add("agents", row{"id": 1, "name": "Sorter", "role_id": 1, "prompt_json": "{}", "prompt_text": "Sort with care.", "is_system": "false"})
	w.add("agent_priorities", row{"id": 1, "agent_id": 1, "position": 1, "content": "Speed"})
	w.add("runs", row{"id": 1, "agent_id": 1, "status": "stopped"})
	w.add("mcp_servers", row{
		"id": 1, "name": "Files", "server_key": "files", "server_type": "custom",
		"config_json": `{"url": "https://mcp.example/mcp", "headers": {"Authorization": "Bearer ` + MCPToken + `"}}`,
	})
	w.add("mcp_servers", row{"id": 2, "name": "llmctl", "server_key": "llmctl-mcp", "server_type": "integrated", "config_json": `{}`})
	w.add("flowchart_node_mcp_servers", row{"flowchart_node_id": 2, "mcp_server_id": 1})
	w.add("scripts", row{"id": 1, "file_name": "a.sh", "content": "echo hi", "script_type": "init"})
	w.add("skills", row{"id": 1, "name": "writing", "display_name": "Writing", "status": "active"})
	w.add("skill_versions", row{"id": 1, "skill_id": 1, "version": "1"})
	w.add("skill_files", row{"id": 1, "skill_version_id": 1, "path": "SKILL.md", "content": "# Writing"})
	w.add("attachments", row{"id": 1, "file_name": "a.txt", "size_bytes": 3})
	w.add("memories", row{"id": 1, "description": "The sky is blue"})
	w.add("plans", row{"id": 1, "name": "Release"})
	w.add("plan_stages", row{"id": 1, "plan_id": 1, "name": "Build", "position": 1})
	w.add("plan_tasks", row{"id": 1, "plan_stage_id": 1, "name": "Compile", "position": 1})
	w.add("milestones", row{"id": 1, "name": "M1", "status": "planned", "completed": "no", "due_date": "2026-12-24"})
	for i := range 10 {
		w.add("chat_threads", row{"id": i + 1, "title": fmt.Sprintf("Thread %d", i), "status": "active", "model_id": 1})
		for k := range 4 {
			w.add("chat_messages", row{"id": i*4 + k + 1, "thread_id": i + 1, "role": []string{"user", "assistant"}[k%2], "content": fmt.Sprintf("Message %d of thread %d, grüße 🙂", k, i)})
		}
		w.add("chat_turns", row{"id": i + 1, "thread_id": i + 1, "request_id": fmt.Sprint("r", i), "status": "succeeded"})
		w.add("chat_activity_events", row{"id": i + 1, "thread_id": i + 1, "event_class": "turn", "event_type": "ended"})
	}
	w.add("chat_thread_mcp_servers", row{"chat_thread_id": 1, "mcp_server_id": 1})
	w.add("rag_sources", row{"id": 7, "name": "Docs", "kind": "local", "local_path": "/srv/docs", "collection": "docs"})
	w.add("rag_source_file_states", row{"id": 1, "source_id": 7, "path": "a.md", "fingerprint": "f"})
	w.add("rag_retrieval_audits", row{"id": 1, "provider": "chroma", "score": 0.5, "created_at": at(1)})
	w.add("runtime_idempotency_keys", row{"id": 1, "scope": "runs", "idempotency_key": "k", "hit_count": 1})
}

// ugly writes what real files contain and no program should have written.
func (w *writer) ugly() {
	w.add("llm_models", row{"id": 6, "name": "CODEX 5.2", "provider": "Codex", "config_json": `{"model": "gpt-5.2"}`})
	w.add("llm_models", row{"id": 7, "name": "Mystery", "provider": "mystery", "config_json": `{"model": "x"}`})
	w.add("llm_models", row{"id": 8, "name": "Broken", "provider": "codex", "config_json": `{"model": `})
	w.add("llm_models", row{"id": 9, "name": strings.Repeat("long ", 40), "provider": "vllm_remote", "config_json": `{"model": "m", "base_url_override": "http://user:pass@other.example:9000/v1/"}`})
	w.add("llm_models", row{"id": 10, "name": nil, "provider": "claude", "config_json": nil})
	w.add("integration_settings", row{"id": 50, "provider": nil, "key": "x", "value": "y"})
	w.add("rag_settings", row{"id": 50, "provider": "embedder", "key": "api_key", "value": "embedder-secret"})

	w.add("flowcharts", row{"id": Ugly, "name": "Häßlich 流程 \x00 🙂", "max_node_executions": "-5", "max_runtime_minutes": "soon", "max_parallel_nodes": 99999})
	w.node(30, Ugly, " START ", "", `{}`, row{"x": "not a number", "y": 1e300})
	w.node(31, Ugly, "task", strings.Repeat("Ü", 300), `{"task_prompt": "ok", "fan_in_mode": "custom", "fan_in_custom_count": 9}`, row{"model_id": 999})
	w.node(32, Ugly, "decision", "Free text", `{"decision_conditions": [{"connector_id": "a", "condition_text": "the customer is happy"}, {"connector_id": "b", "condition_text": "rejected"}, {"connector_id": "gone", "condition_text": "x == 1"}, 5]}`)
	w.node(33, Ugly, "task", "No JSON", `{task_prompt: 'unquoted'}`)
	w.node(34, Ugly, "teleport", "Unknown kind", `{}`)
	w.node(35, Ugly, "end", "End", `{"fan_in_mode": 7}`)
	w.node(36, Ugly, "task", "NUL", "{\"task_prompt\": \"a\\u0000b \\ud800 c\"}", row{"model_id": 4})
	w.edge(30, Ugly, 30, 31, "solid", "")
	w.edge(31, Ugly, 31, 32, "wiggly", "")
	w.edge(32, Ugly, 32, 33, "solid", "a")
	w.edge(33, Ugly, 32, 35, "solid", "b")
	w.edge(34, Ugly, 32, 35, "solid", "c") // a second edge between the same nodes
	w.edge(35, Ugly, 31, 34, "solid", "")  // to a node of unknown kind
	w.edge(36, Ugly, 31, 4711, "solid", "")
	w.edge(37, Ugly, 33, 36, "solid", "")
	w.edge(38, Ugly, 36, 35, "solid", "")
	w.node(4000, 999, "task", "Of no flowchart", `{}`)
	w.edge(4000, 999, 4000, 4000, "solid", "")

	w.add("flowchart_runs", row{"id": 5000, "flowchart_id": 999, "status": "completed"})
	w.add("flowchart_runs", row{"id": 5001, "flowchart_id": Ugly, "status": "running", "started_at": "2026-02-30 99:99", "created_at": nil, "updated_at": nil})
	w.add("flowchart_runs", row{"id": 5002, "flowchart_id": Ugly, "status": "exploded", "created_at": 1767603600, "finished_at": "2026-01-05T12:00:00+02:00"})
	w.add("flowchart_runs", row{"id": 5003, "flowchart_id": Ugly, "status": "PAUSED", "created_at": "2026-01-05"})

	add := func(id int, r row) {
		r["id"] = id
		w.add("flowchart_run_nodes", r)
	}
	add(9_000_00, row{"flowchart_run_id": 5000, "flowchart_node_id": 31, "status": "succeeded"})
	add(9_000_01, row{
		"flowchart_run_id": 5001, "flowchart_node_id": 31, "status": "succeeded", "execution_index": 1, "degraded_status": "true", "degraded_reason": "fell back",
		"output_state_json": `{"n": 1e999, "nan": NaN}`, "input_context_json": `[1, 2]`,
	})
	add(9_000_02, row{"flowchart_run_id": 5001, "flowchart_node_id": 31, "status": "succeeded", "execution_index": 1, "output_state_json": "{\"raw_output\": \"x\\u0000y\\ud800z\", \"big\": 1e999}"})
	add(9_000_03, row{"flowchart_run_id": 5001, "flowchart_node_id": 32, "status": "running", "agent_task_id": 4242, "execution_index": "many"})
	add(9_000_04, row{"flowchart_run_id": 5001, "flowchart_node_id": 31, "status": nil, "error": "bad \x00 bytes \xff\xfe", "output_state_json": []byte("{\"blob\": true}")})
	add(9_000_05, row{"flowchart_run_id": 5001, "flowchart_node_id": 777, "status": "failed", "error": "gone", "output_state_json": `{"node_type": "memory"}`})
	add(9_000_06, row{"flowchart_run_id": 5001, "flowchart_node_id": 778, "status": "failed"})
	add(9_000_07, row{"flowchart_run_id": "none", "flowchart_node_id": nil, "status": "failed"})
	add(9_000_08, row{"flowchart_run_id": 5001, "flowchart_node_id": 32, "status": "succeeded", "agent_task_id": 1})

	w.add("agent_tasks", row{"id": 20_000, "status": "running", "kind": nil, "prompt": nil, "output": "half", "stage_logs": "not json at all", "created_at": "yesterday"})
	w.add("agent_tasks", row{"id": 20_001, "status": "succeeded", "kind": "task", "flowchart_run_id": 31337, "output": "\xff\xfe", "dispatch_status": "lost", "dispatch_uncertain": "YES"})
	w.add("agent_tasks", row{"id": 20_002, "status": "succeeded", "kind": "flowchart_task", "flowchart_run_id": 5001, "flowchart_node_id": 31, "stage_logs": `{"llm_query": null, "odd stage": ["a", 1]}`})
	w.add("chat_messages", row{"id": 9000, "thread_id": 777, "role": "user", "content": "\x00 nul and \xff", "metadata_json": "{"})
	w.exec(`CREATE TABLE leftovers (a, b)`)
	w.exec(`INSERT INTO leftovers VALUES (1, x'00ff'), (NULL, 9e999)`)
}
