package sqlitetest

// stamps are the columns that almost all tables end with.
const stamps = ", created_at DATETIME, updated_at DATETIME"

// schema lists the original's tables with their columns. Constraints that real
// files of older releases do not keep are left out.
func schema() map[string]string {
	return map[string]string{
		"roles":               "id INTEGER PRIMARY KEY, name VARCHAR(255), description TEXT, details_json TEXT, is_system BOOLEAN" + stamps,
		"agents":              "id INTEGER PRIMARY KEY, name VARCHAR(255), description TEXT, role_id INTEGER REFERENCES roles(id), prompt_json TEXT, prompt_text TEXT, autonomous_prompt TEXT, is_system BOOLEAN, run_max_loops INTEGER, last_run_at DATETIME" + stamps,
		"agent_priorities":    "id INTEGER PRIMARY KEY, agent_id INTEGER, position INTEGER, content TEXT" + stamps,
		"runs":                "id INTEGER PRIMARY KEY, name VARCHAR(255), agent_id INTEGER, status VARCHAR(32), task_id VARCHAR(255), run_max_loops INTEGER, run_end_requested BOOLEAN" + stamps,
		"agent_tasks":         "id INTEGER PRIMARY KEY, agent_id INTEGER, run_id INTEGER, celery_task_id VARCHAR(255), model_id INTEGER, flowchart_id INTEGER, flowchart_run_id INTEGER, flowchart_node_id INTEGER, status VARCHAR(32), kind VARCHAR(32), integration_keys_json TEXT, selected_provider VARCHAR(32), final_provider VARCHAR(32), provider_dispatch_id VARCHAR(255), workspace_identity VARCHAR(128), dispatch_status VARCHAR(32), fallback_attempted BOOLEAN, fallback_reason VARCHAR(64), dispatch_uncertain BOOLEAN, api_failure_category VARCHAR(64), cli_fallback_used BOOLEAN, cli_preflight_passed BOOLEAN, prompt TEXT, output TEXT, error TEXT, current_stage VARCHAR(32), stage_logs TEXT, started_at DATETIME, finished_at DATETIME" + stamps,
		"llm_models":          "id INTEGER PRIMARY KEY, name VARCHAR(255), description TEXT, provider VARCHAR(32), config_json TEXT" + stamps,
		"mcp_servers":         "id INTEGER PRIMARY KEY, name VARCHAR(255), server_key VARCHAR(64) UNIQUE, description VARCHAR(512), config_json JSON, server_type VARCHAR(32)" + stamps,
		"scripts":             "id INTEGER PRIMARY KEY, file_name VARCHAR(255), file_path TEXT, description VARCHAR(512), content TEXT, script_type VARCHAR(32)" + stamps,
		"skills":              "id INTEGER PRIMARY KEY, name VARCHAR(255) UNIQUE, display_name VARCHAR(255), description TEXT, status VARCHAR(32)" + stamps,
		"skill_versions":      "id INTEGER PRIMARY KEY, skill_id INTEGER, version VARCHAR(64), manifest_json TEXT, manifest_hash VARCHAR(128)" + stamps,
		"skill_files":         "id INTEGER PRIMARY KEY, skill_version_id INTEGER, path VARCHAR(1024), content TEXT, checksum VARCHAR(128), size_bytes INTEGER" + stamps,
		"attachments":         "id INTEGER PRIMARY KEY, file_name VARCHAR(255), file_path TEXT, content_type VARCHAR(255), size_bytes INTEGER" + stamps,
		"memories":            "id INTEGER PRIMARY KEY, description TEXT" + stamps,
		"plans":               "id INTEGER PRIMARY KEY, name VARCHAR(255), description TEXT, completed_at DATETIME" + stamps,
		"plan_stages":         "id INTEGER PRIMARY KEY, plan_id INTEGER, name VARCHAR(255), description TEXT, position INTEGER, completed_at DATETIME" + stamps,
		"plan_tasks":          "id INTEGER PRIMARY KEY, plan_stage_id INTEGER, name VARCHAR(255), description TEXT, position INTEGER, completed_at DATETIME" + stamps,
		"milestones":          "id INTEGER PRIMARY KEY, name VARCHAR(255), description TEXT, status VARCHAR(32), priority VARCHAR(16), completed BOOLEAN, due_date DATETIME, progress_percent INTEGER, health VARCHAR(16)" + stamps,
		"flowcharts":          "id INTEGER PRIMARY KEY, name VARCHAR(255), description VARCHAR(512), max_node_executions INTEGER, max_runtime_minutes INTEGER, max_parallel_nodes INTEGER" + stamps,
		"flowchart_nodes":     "id INTEGER PRIMARY KEY, flowchart_id INTEGER, node_type VARCHAR(32), ref_id INTEGER, title VARCHAR(255), x FLOAT, y FLOAT, config_json TEXT, model_id INTEGER" + stamps,
		"flowchart_edges":     "id INTEGER PRIMARY KEY, flowchart_id INTEGER, source_node_id INTEGER, target_node_id INTEGER, source_handle_id VARCHAR(32), target_handle_id VARCHAR(32), edge_mode VARCHAR(16), condition_key VARCHAR(128), label VARCHAR(255), control_points_json TEXT" + stamps,
		"flowchart_runs":      "id INTEGER PRIMARY KEY, flowchart_id INTEGER, celery_task_id VARCHAR(255), status VARCHAR(32), started_at DATETIME, finished_at DATETIME" + stamps,
		"flowchart_run_nodes": "id INTEGER PRIMARY KEY, flowchart_run_id INTEGER, flowchart_node_id INTEGER, execution_index INTEGER, agent_task_id INTEGER, status VARCHAR(32), input_context_json TEXT, output_state_json TEXT, routing_state_json TEXT, output_contract_version VARCHAR(16), routing_contract_version VARCHAR(16), degraded_status BOOLEAN, degraded_reason TEXT, idempotency_key VARCHAR(255) UNIQUE, error TEXT, started_at DATETIME, finished_at DATETIME" + stamps,
		"node_artifacts":      "id INTEGER PRIMARY KEY, flowchart_id INTEGER, flowchart_node_id INTEGER, flowchart_run_id INTEGER, flowchart_run_node_id INTEGER, node_type VARCHAR(32), artifact_type VARCHAR(64), execution_index INTEGER, retention_mode VARCHAR(32), payload_json TEXT" + stamps,

		"runtime_idempotency_keys": "id INTEGER PRIMARY KEY, scope VARCHAR(96), idempotency_key VARCHAR(255), hit_count INTEGER" + stamps,
		"chat_threads":             "id INTEGER PRIMARY KEY, title VARCHAR(255), status VARCHAR(32), model_id INTEGER, response_complexity VARCHAR(32), selected_rag_collections_json TEXT, compaction_summary_json TEXT, last_activity_at DATETIME" + stamps,
		"chat_messages":            "id INTEGER PRIMARY KEY, thread_id INTEGER, role VARCHAR(32), content TEXT, token_estimate INTEGER, metadata_json TEXT" + stamps,
		"chat_turns":               "id INTEGER PRIMARY KEY, thread_id INTEGER, request_id VARCHAR(64), model_id INTEGER, user_message_id INTEGER, assistant_message_id INTEGER, status VARCHAR(32), reason_code VARCHAR(128)" + stamps,
		"chat_activity_events":     "id INTEGER PRIMARY KEY, thread_id INTEGER, turn_id INTEGER, event_class VARCHAR(64), event_type VARCHAR(64), message TEXT" + stamps,
		"rag_sources":              "id INTEGER PRIMARY KEY, name VARCHAR(128), kind VARCHAR(16), local_path TEXT, git_repo VARCHAR(255), git_branch VARCHAR(128), drive_folder_id VARCHAR(255), collection VARCHAR(128) UNIQUE, last_indexed_at DATETIME, indexed_file_count INTEGER" + stamps,
		"rag_source_file_states":   "id INTEGER PRIMARY KEY, source_id INTEGER, path TEXT, fingerprint VARCHAR(80), indexed INTEGER, chunk_count INTEGER" + stamps,
		"rag_retrieval_audits":     "id INTEGER PRIMARY KEY, request_id VARCHAR(128), runtime_kind VARCHAR(32), provider VARCHAR(32), path TEXT, score FLOAT, snippet TEXT, created_at DATETIME",
		"rag_settings":             "id INTEGER PRIMARY KEY, provider VARCHAR(32), key VARCHAR(64), value TEXT" + stamps,
		"integration_settings":     "id INTEGER PRIMARY KEY, provider VARCHAR(32), key VARCHAR(64), value TEXT" + stamps,

		"agent_task_scripts":         "agent_task_id INTEGER, script_id INTEGER, position INTEGER, PRIMARY KEY (agent_task_id, script_id)",
		"agent_task_attachments":     "agent_task_id INTEGER, attachment_id INTEGER, PRIMARY KEY (agent_task_id, attachment_id)",
		"agent_task_mcp_servers":     "agent_task_id INTEGER, mcp_server_id INTEGER, PRIMARY KEY (agent_task_id, mcp_server_id)",
		"flowchart_node_mcp_servers": "flowchart_node_id INTEGER, mcp_server_id INTEGER, PRIMARY KEY (flowchart_node_id, mcp_server_id)",
		"flowchart_node_scripts":     "flowchart_node_id INTEGER, script_id INTEGER, position INTEGER, PRIMARY KEY (flowchart_node_id, script_id)",
		"flowchart_node_skills":      "flowchart_node_id INTEGER, skill_id INTEGER, position INTEGER, PRIMARY KEY (flowchart_node_id, skill_id)",
		"flowchart_node_attachments": "flowchart_node_id INTEGER, attachment_id INTEGER, PRIMARY KEY (flowchart_node_id, attachment_id)",
		"agent_skill_bindings":       "agent_id INTEGER, skill_id INTEGER, position INTEGER, PRIMARY KEY (agent_id, skill_id)",
		"chat_thread_mcp_servers":    "chat_thread_id INTEGER, mcp_server_id INTEGER, PRIMARY KEY (chat_thread_id, mcp_server_id)",
	}
}

// indexes are those that the original has on the columns by which rows are found.
func indexes() []string {
	return []string{
		"CREATE INDEX ix_flowchart_nodes_flowchart_id ON flowchart_nodes (flowchart_id)",
		"CREATE INDEX ix_flowchart_edges_flowchart_id ON flowchart_edges (flowchart_id)",
		"CREATE INDEX ix_flowchart_run_nodes_flowchart_run_id ON flowchart_run_nodes (flowchart_run_id)",
	}
}
