-- The schema after all migrations, for reading. `make generate` writes it.
table api_key
    id bigint not null identity
    app_user_id bigint not null
    name text not null
    prefix text not null
    key_hash bytea not null
    created_at timestamp with time zone not null default now()
    last_used_at timestamp with time zone
    revoked_at timestamp with time zone
    constraint api_key_app_user_id_fkey FOREIGN KEY (app_user_id) REFERENCES app_user(id) ON DELETE CASCADE
    constraint api_key_key_hash_key UNIQUE (key_hash)
    constraint api_key_pkey PRIMARY KEY (id)
    CREATE INDEX api_key_app_user_id ON public.api_key USING btree (app_user_id)
    CREATE UNIQUE INDEX api_key_key_hash_key ON public.api_key USING btree (key_hash)
    CREATE UNIQUE INDEX api_key_pkey ON public.api_key USING btree (id)
table app_user
    id bigint not null identity
    email text not null
    password_hash text not null
    role text not null
    created_at timestamp with time zone not null default now()
    updated_at timestamp with time zone not null default now()
    disabled_at timestamp with time zone
    constraint app_user_pkey PRIMARY KEY (id)
    constraint app_user_role_check CHECK ((role = ANY (ARRAY['admin'::text, 'editor'::text, 'viewer'::text])))
    CREATE UNIQUE INDEX app_user_email ON public.app_user USING btree (lower(email))
    CREATE UNIQUE INDEX app_user_pkey ON public.app_user USING btree (id)
table artifact
    id bigint not null identity
    project_id bigint not null default 1
    flowchart_run_id bigint
    node_run_id bigint not null
    attempt integer not null
    name text not null
    kind text not null
    media_type text not null
    size bigint not null
    blob bytea not null
    created_at timestamp with time zone not null default now()
    constraint artifact_blob_fkey FOREIGN KEY (blob) REFERENCES blob(sha256)
    constraint artifact_flowchart_run_id_fkey FOREIGN KEY (flowchart_run_id) REFERENCES flowchart_run(id)
    constraint artifact_kind_check CHECK ((kind <> ''::text))
    constraint artifact_name_check CHECK ((name <> ''::text))
    constraint artifact_node_run_id_attempt_name_key UNIQUE (node_run_id, attempt, name)
    constraint artifact_node_run_id_fkey FOREIGN KEY (node_run_id) REFERENCES node_run(id)
    constraint artifact_pkey PRIMARY KEY (id)
    constraint artifact_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id)
    constraint artifact_size_check CHECK ((size >= 0))
    CREATE INDEX artifact_blob ON public.artifact USING btree (blob)
    CREATE INDEX artifact_flowchart_run_id ON public.artifact USING btree (flowchart_run_id)
    CREATE INDEX artifact_project_id ON public.artifact USING btree (project_id)
    CREATE UNIQUE INDEX artifact_node_run_id_attempt_name_key ON public.artifact USING btree (node_run_id, attempt, name)
    CREATE UNIQUE INDEX artifact_pkey ON public.artifact USING btree (id)
table attachment
    id bigint not null identity
    thread_id bigint not null
    message_id bigint
    name text not null
    kind text not null
    media_type text not null
    size bigint not null
    pages integer not null default 0
    blob bytea not null
    text_blob bytea
    tokens integer not null default 0
    truncated boolean not null default false
    app_user_id bigint
    created_at timestamp with time zone not null default now()
    constraint attachment_app_user_id_fkey FOREIGN KEY (app_user_id) REFERENCES app_user(id) ON DELETE SET NULL
    constraint attachment_blob_fkey FOREIGN KEY (blob) REFERENCES blob(sha256)
    constraint attachment_kind_check CHECK ((kind = ANY (ARRAY['text'::text, 'pdf'::text, 'image'::text])))
    constraint attachment_message_id_fkey FOREIGN KEY (message_id) REFERENCES message(id) ON DELETE CASCADE
    constraint attachment_name_check CHECK ((name <> ''::text))
    constraint attachment_pkey PRIMARY KEY (id)
    constraint attachment_text_blob_fkey FOREIGN KEY (text_blob) REFERENCES blob(sha256)
    constraint attachment_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES thread(id) ON DELETE CASCADE
    CREATE INDEX attachment_app_user_id ON public.attachment USING btree (app_user_id)
    CREATE INDEX attachment_blob ON public.attachment USING btree (blob)
    CREATE INDEX attachment_message_id ON public.attachment USING btree (message_id)
    CREATE INDEX attachment_text_blob ON public.attachment USING btree (text_blob)
    CREATE INDEX attachment_thread_id ON public.attachment USING btree (thread_id, id)
    CREATE INDEX attachment_unsent ON public.attachment USING btree (created_at) WHERE (message_id IS NULL)
    CREATE UNIQUE INDEX attachment_pkey ON public.attachment USING btree (id)
table attempt_pod_log
    node_run_id bigint not null
    number integer not null
    seq integer not null
    at timestamp with time zone not null default now()
    text text not null
    constraint attempt_pod_log_node_run_id_number_fkey FOREIGN KEY (node_run_id, number) REFERENCES node_attempt(node_run_id, number)
    constraint attempt_pod_log_pkey PRIMARY KEY (node_run_id, number, seq)
    CREATE UNIQUE INDEX attempt_pod_log_pkey ON public.attempt_pod_log USING btree (node_run_id, number, seq)
table attempt_upload
    node_run_id bigint not null
    number integer not null
    name text not null
    media_type text not null
    size bigint not null
    blob bytea not null
    constraint attempt_upload_blob_fkey FOREIGN KEY (blob) REFERENCES blob(sha256)
    constraint attempt_upload_name_check CHECK ((name <> ''::text))
    constraint attempt_upload_node_run_id_number_fkey FOREIGN KEY (node_run_id, number) REFERENCES node_attempt(node_run_id, number)
    constraint attempt_upload_pkey PRIMARY KEY (node_run_id, number, name)
    constraint attempt_upload_size_check CHECK ((size >= 0))
    CREATE INDEX attempt_upload_blob ON public.attempt_upload USING btree (blob)
    CREATE UNIQUE INDEX attempt_upload_pkey ON public.attempt_upload USING btree (node_run_id, number, name)
table audit_event
    id bigint not null identity
    project_id bigint not null default 1
    app_user_id bigint
    action text not null
    entity_kind text not null default ''::text
    entity_id text not null default ''::text
    request_id text not null default ''::text
    detail jsonb
    at timestamp with time zone not null default now()
    constraint audit_event_app_user_id_fkey FOREIGN KEY (app_user_id) REFERENCES app_user(id) ON DELETE SET NULL
    constraint audit_event_pkey PRIMARY KEY (id)
    constraint audit_event_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id)
    CREATE INDEX audit_event_app_user_id ON public.audit_event USING btree (app_user_id)
    CREATE INDEX audit_event_project_id ON public.audit_event USING btree (project_id, id DESC)
    CREATE UNIQUE INDEX audit_event_pkey ON public.audit_event USING btree (id)
table beat_process
    id uuid not null
    hostname text not null
    pid integer not null
    version text not null
    beat_at timestamp with time zone not null default now()
    started_at timestamp with time zone not null default now()
    constraint beat_process_pkey PRIMARY KEY (id)
    CREATE UNIQUE INDEX beat_process_pkey ON public.beat_process USING btree (id)
table blob
    sha256 bytea not null
    size bigint not null
    encoding text not null
    content bytea not null
    touched_at timestamp with time zone not null default now()
    constraint blob_encoding_check CHECK ((encoding = ANY (ARRAY['raw'::text, 'gzip'::text])))
    constraint blob_pkey PRIMARY KEY (sha256)
    constraint blob_sha256_check CHECK ((octet_length(sha256) = 32))
    constraint blob_size_check CHECK (((size >= 0) AND (size <= 33554432)))
    CREATE INDEX blob_touched_at ON public.blob USING btree (touched_at)
    CREATE UNIQUE INDEX blob_pkey ON public.blob USING btree (sha256)
table chat_activity
    id bigint not null identity
    project_id bigint not null default 1
    thread_id bigint not null
    thread_title text not null
    turn_id bigint
    class text not null
    action text not null
    reason_code text not null default ''::text
    message text not null default ''::text
    detail jsonb not null default '{}'::jsonb
    app_user_id bigint
    request_id text not null default ''::text
    correlation_id text not null default ''::text
    created_at timestamp with time zone not null default now()
    constraint chat_activity_app_user_id_fkey FOREIGN KEY (app_user_id) REFERENCES app_user(id) ON DELETE SET NULL
    constraint chat_activity_class_check CHECK ((class = ANY (ARRAY['thread_lifecycle'::text, 'turn'::text, 'retrieval_tool_usage'::text, 'failure'::text, 'compaction'::text])))
    constraint chat_activity_pkey PRIMARY KEY (id)
    constraint chat_activity_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id)
    CREATE INDEX chat_activity_app_user_id ON public.chat_activity USING btree (app_user_id)
    CREATE INDEX chat_activity_created_at ON public.chat_activity USING btree (created_at)
    CREATE INDEX chat_activity_listing ON public.chat_activity USING btree (project_id, id DESC)
    CREATE INDEX chat_activity_thread_id ON public.chat_activity USING btree (thread_id, id DESC)
    CREATE UNIQUE INDEX chat_activity_pkey ON public.chat_activity USING btree (id)
table chat_token_ratio
    model_id bigint not null
    ratio double precision not null
    samples bigint not null default 0
    updated_at timestamp with time zone not null default now()
    constraint chat_token_ratio_model_id_fkey FOREIGN KEY (model_id) REFERENCES model(id) ON DELETE CASCADE
    constraint chat_token_ratio_pkey PRIMARY KEY (model_id)
    constraint chat_token_ratio_ratio_check CHECK ((ratio > (0)::double precision))
    CREATE UNIQUE INDEX chat_token_ratio_pkey ON public.chat_token_ratio USING btree (model_id)
table chat_usage
    day date not null
    model_name text not null
    turns bigint not null default 0
    failed bigint not null default 0
    input_tokens bigint not null default 0
    output_tokens bigint not null default 0
    cached_tokens bigint not null default 0
    cost_micros bigint not null default 0
    unpriced bigint not null default 0
    constraint chat_usage_pkey PRIMARY KEY (day, model_name)
    CREATE UNIQUE INDEX chat_usage_pkey ON public.chat_usage USING btree (day, model_name)
table compaction
    id bigint not null identity
    thread_id bigint not null
    turn_id bigint
    through_message_id bigint not null
    branch_id bigint not null
    depth integer not null
    method text not null
    summary text not null
    message_count integer not null
    tokens_before integer not null
    tokens_after integer not null
    reason text not null default ''::text
    created_at timestamp with time zone not null default now()
    constraint compaction_branch_id_fkey FOREIGN KEY (branch_id) REFERENCES thread_branch(id) ON DELETE CASCADE
    constraint compaction_method_check CHECK ((method = ANY (ARRAY['model'::text, 'excerpts'::text])))
    constraint compaction_pkey PRIMARY KEY (id)
    constraint compaction_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES thread(id) ON DELETE CASCADE
    constraint compaction_through_message_id_fkey FOREIGN KEY (through_message_id) REFERENCES message(id) ON DELETE CASCADE
    constraint compaction_turn_id_fkey FOREIGN KEY (turn_id) REFERENCES turn(id) ON DELETE SET NULL
    CREATE INDEX compaction_branch_id ON public.compaction USING btree (branch_id)
    CREATE INDEX compaction_thread_id ON public.compaction USING btree (thread_id, depth DESC)
    CREATE INDEX compaction_through_message_id ON public.compaction USING btree (through_message_id)
    CREATE INDEX compaction_turn_id ON public.compaction USING btree (turn_id)
    CREATE UNIQUE INDEX compaction_pkey ON public.compaction USING btree (id)
table download_attempt
    id bigint not null identity
    download_job_id bigint not null
    number integer not null
    worker_process_id uuid not null
    status text not null default 'running'::text
    error jsonb
    bytes_before bigint not null
    bytes_fetched bigint not null default 0
    claimed_at timestamp with time zone not null default now()
    finished_at timestamp with time zone
    constraint download_attempt_check CHECK (((status = 'running'::text) = (finished_at IS NULL)))
    constraint download_attempt_download_job_id_fkey FOREIGN KEY (download_job_id) REFERENCES download_job(id) ON DELETE CASCADE
    constraint download_attempt_download_job_id_number_key UNIQUE (download_job_id, number)
    constraint download_attempt_pkey PRIMARY KEY (id)
    constraint download_attempt_status_check CHECK ((status = ANY (ARRAY['running'::text, 'succeeded'::text, 'failed'::text, 'cancelled'::text, 'paused'::text, 'handed_over'::text, 'lost'::text])))
    constraint download_attempt_worker_process_id_fkey FOREIGN KEY (worker_process_id) REFERENCES worker_process(id)
    CREATE INDEX download_attempt_worker_process_id ON public.download_attempt USING btree (worker_process_id)
    CREATE UNIQUE INDEX download_attempt_download_job_id_number_key ON public.download_attempt USING btree (download_job_id, number)
    CREATE UNIQUE INDEX download_attempt_pkey ON public.download_attempt USING btree (id)
    CREATE TRIGGER download_attempt_final BEFORE UPDATE OF status ON public.download_attempt FOR EACH ROW WHEN (((old.finished_at IS NOT NULL) AND (new.status IS DISTINCT FROM old.status))) EXECUTE FUNCTION refuse_change_of_final_state()
table download_file
    id bigint not null identity
    download_job_id bigint not null
    path text not null
    size bigint not null
    hash_kind text not null
    hash text not null
    status text not null default 'pending'::text
    bytes_done bigint not null default 0
    ranges jsonb not null default '[]'::jsonb
    error text
    constraint download_file_check CHECK (((bytes_done >= 0) AND (bytes_done <= size)))
    constraint download_file_download_job_id_fkey FOREIGN KEY (download_job_id) REFERENCES download_job(id) ON DELETE CASCADE
    constraint download_file_download_job_id_path_key UNIQUE (download_job_id, path)
    constraint download_file_hash_kind_check CHECK ((hash_kind = ANY (ARRAY['sha256'::text, 'git_sha1'::text])))
    constraint download_file_path_check CHECK ((path <> ''::text))
    constraint download_file_pkey PRIMARY KEY (id)
    constraint download_file_size_check CHECK ((size >= 0))
    constraint download_file_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'downloading'::text, 'verifying'::text, 'succeeded'::text, 'failed'::text])))
    CREATE UNIQUE INDEX download_file_download_job_id_path_key ON public.download_file USING btree (download_job_id, path)
    CREATE UNIQUE INDEX download_file_pkey ON public.download_file USING btree (id)
table download_job
    id bigint not null identity
    project_id bigint not null default 1
    repo_id text not null
    revision text not null
    commit_id text not null
    include text[] not null default '{}'::text[]
    exclude text[] not null default '{}'::text[]
    target text not null
    status text not null
    attempt integer not null default 0
    worker_process_id uuid
    failures integer not null default 0
    lost integer not null default 0
    place text not null default ''::text
    token_ciphertext bytea
    token_fingerprint text not null default ''::text
    bytes_total bigint not null
    bytes_done bigint not null default 0
    bytes_fetched bigint not null default 0
    bytes_per_second bigint not null default 0
    files_total integer not null
    files_done integer not null default 0
    error jsonb
    pause_requested_at timestamp with time zone
    cancel_requested_at timestamp with time zone
    delete_requested_at timestamp with time zone
    cleanup text
    revision_number bigint not null default 1
    app_user_id bigint
    request_id text not null default ''::text
    correlation_id text not null default ''::text
    run_after timestamp with time zone not null default now()
    created_at timestamp with time zone not null default now()
    started_at timestamp with time zone
    paused_at timestamp with time zone
    finished_at timestamp with time zone
    constraint download_job_app_user_id_fkey FOREIGN KEY (app_user_id) REFERENCES app_user(id) ON DELETE SET NULL
    constraint download_job_bytes_done_check CHECK ((bytes_done >= 0))
    constraint download_job_bytes_total_check CHECK ((bytes_total >= 0))
    constraint download_job_check CHECK (((status = ANY (ARRAY['succeeded'::text, 'failed'::text, 'cancelled'::text])) = (finished_at IS NOT NULL)))
    constraint download_job_check1 CHECK (((status = ANY (ARRAY['planning'::text, 'downloading'::text, 'verifying'::text, 'cancelling'::text])) = (worker_process_id IS NOT NULL)))
    constraint download_job_check2 CHECK (((finished_at IS NULL) OR (token_ciphertext IS NULL)))
    constraint download_job_cleanup_check CHECK ((cleanup = ANY (ARRAY['partials'::text, 'files'::text])))
    constraint download_job_pkey PRIMARY KEY (id)
    constraint download_job_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id)
    constraint download_job_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'planning'::text, 'downloading'::text, 'verifying'::text, 'paused'::text, 'cancelling'::text, 'succeeded'::text, 'failed'::text, 'cancelled'::text])))
    constraint download_job_worker_process_id_fkey FOREIGN KEY (worker_process_id) REFERENCES worker_process(id)
    CREATE INDEX download_job_app_user_id ON public.download_job USING btree (app_user_id)
    CREATE INDEX download_job_cleanup ON public.download_job USING btree (id) WHERE (cleanup IS NOT NULL)
    CREATE INDEX download_job_due ON public.download_job USING btree (run_after) WHERE (status = 'queued'::text)
    CREATE INDEX download_job_listing ON public.download_job USING btree (project_id, id DESC) WHERE (delete_requested_at IS NULL)
    CREATE INDEX download_job_target ON public.download_job USING btree (target)
    CREATE INDEX download_job_worker_process_id ON public.download_job USING btree (worker_process_id) WHERE (worker_process_id IS NOT NULL)
    CREATE UNIQUE INDEX download_job_active_target ON public.download_job USING btree (lower(target)) WHERE (finished_at IS NULL)
    CREATE UNIQUE INDEX download_job_pkey ON public.download_job USING btree (id)
    CREATE TRIGGER download_job_final BEFORE UPDATE OF status ON public.download_job FOR EACH ROW WHEN (((old.finished_at IS NOT NULL) AND (new.status IS DISTINCT FROM old.status))) EXECUTE FUNCTION refuse_change_of_final_state()
table event
    stream text not null
    sequence bigint not null
    xid xid8 not null default pg_current_xact_id()
    event_id uuid not null
    event_type text not null
    entity_kind text not null
    entity_id text not null
    room_keys text[] not null
    request_id text not null default ''::text
    correlation_id text not null default ''::text
    runtime json
    payload json not null
    emitted_at timestamp with time zone not null
    constraint event_pkey PRIMARY KEY (stream, sequence)
    CREATE INDEX event_xid ON public.event USING btree (xid)
    CREATE UNIQUE INDEX event_pkey ON public.event USING btree (stream, sequence)
table event_stream
    name text not null
    last_sequence bigint not null
    oldest_sequence bigint not null default 1
    constraint event_stream_pkey PRIMARY KEY (name)
    CREATE UNIQUE INDEX event_stream_pkey ON public.event_stream USING btree (name)
table flowchart
    id bigint not null identity
    project_id bigint not null default 1
    name text not null
    description text not null default ''::text
    version integer not null default 0
    max_node_executions integer
    max_runtime_minutes integer
    max_parallel_nodes integer
    revision bigint not null default 1
    created_at timestamp with time zone not null default now()
    updated_at timestamp with time zone not null default now()
    deleted_at timestamp with time zone
    constraint flowchart_max_node_executions_check CHECK ((max_node_executions > 0))
    constraint flowchart_max_parallel_nodes_check CHECK ((max_parallel_nodes > 0))
    constraint flowchart_max_runtime_minutes_check CHECK ((max_runtime_minutes > 0))
    constraint flowchart_pkey PRIMARY KEY (id)
    constraint flowchart_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id)
    CREATE INDEX flowchart_listing ON public.flowchart USING btree (project_id, id DESC) WHERE (deleted_at IS NULL)
    CREATE UNIQUE INDEX flowchart_pkey ON public.flowchart USING btree (id)
table flowchart_run
    id bigint not null identity
    project_id bigint not null default 1
    flowchart_id bigint not null
    flowchart_version_id bigint not null
    version integer not null
    status text not null
    input jsonb not null default '{}'::jsonb
    output jsonb
    error jsonb
    marking json
    start_node_id text not null
    retry_of bigint
    app_user_id bigint
    request_id text not null default ''::text
    correlation_id text not null default ''::text
    node_executions integer not null default 0
    max_node_executions integer not null
    max_parallel_nodes integer not null
    deadline_at timestamp with time zone
    created_at timestamp with time zone not null default now()
    started_at timestamp with time zone
    finished_at timestamp with time zone
    output_blob bytea
    output_bytes bigint
    schedule_id bigint
    due_at timestamp with time zone
    paused_at timestamp with time zone
    cancel_requested_at timestamp with time zone
    retry_from bigint
    traceparent text not null default ''::text
    constraint flowchart_run_app_user_id_fkey FOREIGN KEY (app_user_id) REFERENCES app_user(id) ON DELETE SET NULL
    constraint flowchart_run_check CHECK (((status = ANY (ARRAY['succeeded'::text, 'failed'::text, 'cancelled'::text])) = (finished_at IS NOT NULL)))
    constraint flowchart_run_flowchart_id_fkey FOREIGN KEY (flowchart_id) REFERENCES flowchart(id)
    constraint flowchart_run_flowchart_version_id_fkey FOREIGN KEY (flowchart_version_id) REFERENCES flowchart_version(id)
    constraint flowchart_run_output CHECK ((((output_blob IS NULL) = (output_bytes IS NULL)) AND ((output_blob IS NULL) OR (output IS NULL))))
    constraint flowchart_run_output_blob_fkey FOREIGN KEY (output_blob) REFERENCES blob(sha256)
    constraint flowchart_run_pkey PRIMARY KEY (id)
    constraint flowchart_run_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id)
    constraint flowchart_run_retry_of_fkey FOREIGN KEY (retry_of) REFERENCES flowchart_run(id)
    constraint flowchart_run_schedule_id_fkey FOREIGN KEY (schedule_id) REFERENCES schedule(id)
    constraint flowchart_run_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'running'::text, 'pausing'::text, 'paused'::text, 'cancelling'::text, 'succeeded'::text, 'failed'::text, 'cancelled'::text])))
    CREATE INDEX flowchart_run_app_user_id ON public.flowchart_run USING btree (app_user_id)
    CREATE INDEX flowchart_run_deadline ON public.flowchart_run USING btree (deadline_at) WHERE ((finished_at IS NULL) AND (deadline_at IS NOT NULL))
    CREATE INDEX flowchart_run_finished_at ON public.flowchart_run USING btree (finished_at, id) WHERE (finished_at IS NOT NULL)
    CREATE INDEX flowchart_run_flowchart_id ON public.flowchart_run USING btree (flowchart_id, id DESC)
    CREATE INDEX flowchart_run_flowchart_version_id ON public.flowchart_run USING btree (flowchart_version_id)
    CREATE INDEX flowchart_run_live ON public.flowchart_run USING btree (id) WHERE (finished_at IS NULL)
    CREATE INDEX flowchart_run_output_blob ON public.flowchart_run USING btree (output_blob) WHERE (output_blob IS NOT NULL)
    CREATE INDEX flowchart_run_project_id ON public.flowchart_run USING btree (project_id, id DESC)
    CREATE INDEX flowchart_run_retry_of ON public.flowchart_run USING btree (retry_of)
    CREATE INDEX flowchart_run_schedule_id ON public.flowchart_run USING btree (schedule_id, id DESC) WHERE (schedule_id IS NOT NULL)
    CREATE UNIQUE INDEX flowchart_run_pkey ON public.flowchart_run USING btree (id)
    CREATE TRIGGER flowchart_run_final BEFORE UPDATE OF status ON public.flowchart_run FOR EACH ROW WHEN (((old.finished_at IS NOT NULL) AND (new.status IS DISTINCT FROM old.status))) EXECUTE FUNCTION refuse_change_of_final_state()
table flowchart_tool
    flowchart_id bigint not null
    name text not null
    description text not null default ''::text
    enabled boolean not null default true
    wait_seconds integer not null default 30
    revision bigint not null default 1
    created_at timestamp with time zone not null default now()
    updated_at timestamp with time zone not null default now()
    constraint flowchart_tool_description_check CHECK ((length(description) <= 2000))
    constraint flowchart_tool_flowchart_id_fkey FOREIGN KEY (flowchart_id) REFERENCES flowchart(id) ON DELETE CASCADE
    constraint flowchart_tool_name UNIQUE (name)
    constraint flowchart_tool_name_check CHECK (((name ~ '^[a-z][a-z0-9_]{0,63}$'::text) AND (name !~~ 'llmctl\_%'::text)))
    constraint flowchart_tool_pkey PRIMARY KEY (flowchart_id)
    constraint flowchart_tool_wait_seconds_check CHECK (((wait_seconds >= 0) AND (wait_seconds <= 300)))
    CREATE UNIQUE INDEX flowchart_tool_name ON public.flowchart_tool USING btree (name)
    CREATE UNIQUE INDEX flowchart_tool_pkey ON public.flowchart_tool USING btree (flowchart_id)
table flowchart_version
    id bigint not null identity
    flowchart_id bigint not null
    number integer not null
    graph jsonb not null
    findings jsonb not null default '[]'::jsonb
    node_count integer not null
    app_user_id bigint
    created_at timestamp with time zone not null default now()
    constraint flowchart_version_app_user_id_fkey FOREIGN KEY (app_user_id) REFERENCES app_user(id) ON DELETE SET NULL
    constraint flowchart_version_flowchart_id_fkey FOREIGN KEY (flowchart_id) REFERENCES flowchart(id) ON DELETE CASCADE
    constraint flowchart_version_flowchart_id_number_key UNIQUE (flowchart_id, number)
    constraint flowchart_version_pkey PRIMARY KEY (id)
    CREATE INDEX flowchart_version_app_user_id ON public.flowchart_version USING btree (app_user_id)
    CREATE UNIQUE INDEX flowchart_version_flowchart_id_number_key ON public.flowchart_version USING btree (flowchart_id, number)
    CREATE UNIQUE INDEX flowchart_version_pkey ON public.flowchart_version USING btree (id)
table idempotency_key
    principal text not null
    key text not null
    request_hash bytea not null
    status integer not null
    response json not null
    created_at timestamp with time zone not null default now()
    constraint idempotency_key_pkey PRIMARY KEY (principal, key)
    CREATE INDEX idempotency_key_created_at ON public.idempotency_key USING btree (created_at)
    CREATE UNIQUE INDEX idempotency_key_pkey ON public.idempotency_key USING btree (principal, key)
table imported_row
    id bigint not null identity
    source_table text not null
    source_id text not null
    reason text not null
    document jsonb
    sealed bytea
    imported_at timestamp with time zone not null default now()
    constraint imported_row_check CHECK (((document IS NULL) <> (sealed IS NULL)))
    constraint imported_row_pkey PRIMARY KEY (id)
    CREATE INDEX imported_row_source ON public.imported_row USING btree (source_table, source_id)
    CREATE UNIQUE INDEX imported_row_pkey ON public.imported_row USING btree (id)
table integration
    key text not null
    config jsonb not null default '{}'::jsonb
    ciphertext bytea
    secrets jsonb not null default '[]'::jsonb
    revision bigint not null default 1
    updated_at timestamp with time zone not null default now()
    constraint integration_pkey PRIMARY KEY (key)
    CREATE UNIQUE INDEX integration_pkey ON public.integration USING btree (key)
table liveness_watch
    only_row boolean not null default true
    polled_at timestamp with time zone not null default now()
    unbroken_since timestamp with time zone not null default now()
    sweeper uuid
    sweeper_until timestamp with time zone not null default now()
    constraint liveness_watch_only_row_check CHECK (only_row)
    constraint liveness_watch_pkey PRIMARY KEY (only_row)
    CREATE UNIQUE INDEX liveness_watch_pkey ON public.liveness_watch USING btree (only_row)
table login_failure
    id bigint not null identity
    subject text not null
    at timestamp with time zone not null default now()
    constraint login_failure_pkey PRIMARY KEY (id)
    CREATE INDEX login_failure_subject_at ON public.login_failure USING btree (subject, at)
    CREATE UNIQUE INDEX login_failure_pkey ON public.login_failure USING btree (id)
table mcp_oauth_flow
    state_hash bytea not null
    mcp_server_id bigint not null
    app_user_id bigint not null
    ciphertext bytea not null
    created_at timestamp with time zone not null default now()
    constraint mcp_oauth_flow_app_user_id_fkey FOREIGN KEY (app_user_id) REFERENCES app_user(id) ON DELETE CASCADE
    constraint mcp_oauth_flow_mcp_server_id_fkey FOREIGN KEY (mcp_server_id) REFERENCES mcp_server(id) ON DELETE CASCADE
    constraint mcp_oauth_flow_pkey PRIMARY KEY (state_hash)
    CREATE INDEX mcp_oauth_flow_app_user_id ON public.mcp_oauth_flow USING btree (app_user_id)
    CREATE INDEX mcp_oauth_flow_mcp_server_id ON public.mcp_oauth_flow USING btree (mcp_server_id)
    CREATE UNIQUE INDEX mcp_oauth_flow_pkey ON public.mcp_oauth_flow USING btree (state_hash)
table mcp_server
    id bigint not null identity
    project_id bigint not null default 1
    name text not null
    server_key text not null
    server_type text not null
    transport text not null
    config jsonb not null
    secrets_ciphertext bytea
    secrets jsonb not null default '[]'::jsonb
    enabled boolean not null default true
    timeout_seconds double precision not null default 60
    allowed_tools text[]
    approval text not null default 'never'::text
    approval_tools text[] not null default '{}'::text[]
    integrations text[] not null default '{}'::text[]
    oauth jsonb
    oauth_ciphertext bytea
    oauth_client_id text not null default ''::text
    last_test jsonb
    revision bigint not null default 1
    created_at timestamp with time zone not null default now()
    updated_at timestamp with time zone not null default now()
    constraint mcp_server_approval_check CHECK ((approval = ANY (ARRAY['never'::text, 'writes'::text, 'always'::text])))
    constraint mcp_server_pkey PRIMARY KEY (id)
    constraint mcp_server_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id)
    constraint mcp_server_server_key_check CHECK ((server_key ~ '^[A-Za-z0-9_-]{1,64}$'::text))
    constraint mcp_server_server_type_check CHECK ((server_type = ANY (ARRAY['custom'::text, 'integrated'::text])))
    constraint mcp_server_timeout_seconds_check CHECK ((timeout_seconds > (0)::double precision))
    constraint mcp_server_transport_check CHECK ((transport = ANY (ARRAY['streamable-http'::text, 'sse'::text, 'stdio'::text])))
    CREATE UNIQUE INDEX mcp_server_key ON public.mcp_server USING btree (project_id, lower(server_key))
    CREATE UNIQUE INDEX mcp_server_pkey ON public.mcp_server USING btree (id)
table message
    id bigint not null identity
    thread_id bigint not null
    branch_id bigint not null
    depth integer not null
    parent_id bigint
    turn_id bigint
    role text not null
    status text not null
    parts jsonb not null default '[]'::jsonb
    content text not null default ''::text
    tokens integer not null default 0
    created_at timestamp with time zone not null default now()
    finished_at timestamp with time zone
    search tsvector default (to_tsvector('simple'::regconfig, "left"(content, 50000)) || to_tsvector('english'::regconfig, "left"(content, 50000)))
    constraint message_branch_id_depth_key UNIQUE (branch_id, depth)
    constraint message_branch_id_fkey FOREIGN KEY (branch_id) REFERENCES thread_branch(id) ON DELETE CASCADE
    constraint message_check CHECK (((status = 'pending'::text) = (finished_at IS NULL)))
    constraint message_depth_check CHECK ((depth > 0))
    constraint message_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES message(id) ON DELETE CASCADE
    constraint message_pkey PRIMARY KEY (id)
    constraint message_role_check CHECK ((role = ANY (ARRAY['user'::text, 'assistant'::text])))
    constraint message_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'complete'::text, 'partial'::text, 'failed'::text])))
    constraint message_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES thread(id) ON DELETE CASCADE
    constraint message_turn_id_fkey FOREIGN KEY (turn_id) REFERENCES turn(id) ON DELETE SET NULL
    CREATE INDEX message_parent_id ON public.message USING btree (parent_id)
    CREATE INDEX message_search ON public.message USING gin (search)
    CREATE INDEX message_thread_id ON public.message USING btree (thread_id, id)
    CREATE INDEX message_turn_id ON public.message USING btree (turn_id)
    CREATE UNIQUE INDEX message_branch_id_depth_key ON public.message USING btree (branch_id, depth)
    CREATE UNIQUE INDEX message_pkey ON public.message USING btree (id)
table model
    id bigint not null identity
    project_id bigint not null default 1
    name text not null
    provider_id bigint not null
    model text not null
    config jsonb not null default '{}'::jsonb
    revision bigint not null default 1
    created_at timestamp with time zone not null default now()
    updated_at timestamp with time zone not null default now()
    constraint model_pkey PRIMARY KEY (id)
    constraint model_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id)
    constraint model_provider_id_fkey FOREIGN KEY (provider_id) REFERENCES provider(id)
    CREATE INDEX model_provider_id ON public.model USING btree (provider_id)
    CREATE UNIQUE INDEX model_name ON public.model USING btree (project_id, lower(name))
    CREATE UNIQUE INDEX model_pkey ON public.model USING btree (id)
table node_attempt
    id bigint not null identity
    node_run_id bigint not null
    number integer not null
    worker_process_id uuid not null
    status text not null
    executor text not null default ''::text
    provider_dispatch_id text
    dispatch_status text not null default 'dispatch_pending'::text
    dispatch_uncertain boolean not null default false
    stages jsonb not null default '[]'::jsonb
    error jsonb
    usage jsonb
    queued_at timestamp with time zone not null
    claimed_at timestamp with time zone not null default now()
    started_at timestamp with time zone
    first_token_at timestamp with time zone
    deadline_at timestamp with time zone not null
    cancel_requested_at timestamp with time zone
    finished_at timestamp with time zone
    token_hash bytea
    event_n bigint not null default 0
    text_offset bigint not null default 0
    pod_uid text
    dispatched_at timestamp with time zone
    submitted_at timestamp with time zone
    confirmed_at timestamp with time zone
    let_go_at timestamp with time zone
    dispatch_note text
    payload_blob bytea
    constraint node_attempt_check CHECK (((status = ANY (ARRAY['succeeded'::text, 'degraded'::text, 'failed'::text, 'cancelled'::text, 'lost'::text, 'suspended'::text])) = (finished_at IS NOT NULL)))
    constraint node_attempt_dispatch_status_check CHECK ((dispatch_status = ANY (ARRAY['dispatch_pending'::text, 'dispatch_submitted'::text, 'dispatch_confirmed'::text, 'dispatch_failed'::text])))
    constraint node_attempt_node_run_id_fkey FOREIGN KEY (node_run_id) REFERENCES node_run(id)
    constraint node_attempt_node_run_id_number_key UNIQUE (node_run_id, number)
    constraint node_attempt_payload_blob_fkey FOREIGN KEY (payload_blob) REFERENCES blob(sha256)
    constraint node_attempt_pkey PRIMARY KEY (id)
    constraint node_attempt_started CHECK (((pod_uid IS NULL) = (confirmed_at IS NULL)))
    constraint node_attempt_status_check CHECK ((status = ANY (ARRAY['running'::text, 'cancelling'::text, 'succeeded'::text, 'degraded'::text, 'failed'::text, 'cancelled'::text, 'lost'::text, 'suspended'::text])))
    constraint node_attempt_token_hash_check CHECK ((octet_length(token_hash) = 32))
    constraint node_attempt_worker_process_id_fkey FOREIGN KEY (worker_process_id) REFERENCES worker_process(id)
    CREATE INDEX node_attempt_held ON public.node_attempt USING btree (worker_process_id) WHERE (finished_at IS NULL)
    CREATE INDEX node_attempt_in_pod ON public.node_attempt USING btree (node_run_id) WHERE ((finished_at IS NULL) AND (executor = 'kubernetes'::text))
    CREATE INDEX node_attempt_payload_blob ON public.node_attempt USING btree (payload_blob) WHERE (payload_blob IS NOT NULL)
    CREATE INDEX node_attempt_worker ON public.node_attempt USING btree (worker_process_id)
    CREATE UNIQUE INDEX node_attempt_node_run_id_number_key ON public.node_attempt USING btree (node_run_id, number)
    CREATE UNIQUE INDEX node_attempt_pkey ON public.node_attempt USING btree (id)
    CREATE UNIQUE INDEX node_attempt_token_hash ON public.node_attempt USING btree (token_hash) WHERE (token_hash IS NOT NULL)
    CREATE TRIGGER node_attempt_final BEFORE UPDATE OF status ON public.node_attempt FOR EACH ROW WHEN (((old.finished_at IS NOT NULL) AND (new.status IS DISTINCT FROM old.status))) EXECUTE FUNCTION refuse_change_of_final_state()
    CREATE TRIGGER node_attempt_in_pod BEFORE UPDATE OF status ON public.node_attempt FOR EACH ROW WHEN (((old.executor = 'kubernetes'::text) AND (old.finished_at IS NULL) AND (new.status = 'lost'::text))) EXECUTE FUNCTION refuse_loss_of_attempt_in_pod()
table node_run
    id bigint not null identity
    project_id bigint not null default 1
    flowchart_run_id bigint
    flowchart_id bigint
    flowchart_node_id text not null
    kind text not null
    title text not null default ''::text
    status text not null
    attempt integer not null default 0
    failures integer not null default 0
    lost integer not null default 0
    max_attempts integer not null default 1
    backoff_seconds double precision not null default 0
    timeout_seconds double precision not null
    execution_index integer not null
    queue text not null default 'llmctl_studio'::text
    triggers jsonb not null default '[]'::jsonb
    config jsonb
    input_context jsonb
    output_state jsonb
    routing_state jsonb
    execution_mode text
    current_stage text
    error jsonb
    usage jsonb
    retry_of bigint
    request_id text not null default ''::text
    correlation_id text not null default ''::text
    run_after timestamp with time zone not null default now()
    created_at timestamp with time zone not null default now()
    queued_at timestamp with time zone
    started_at timestamp with time zone
    finished_at timestamp with time zone
    output_blob bytea
    output_bytes bigint
    cancel_requested_at timestamp with time zone
    finish_order integer
    reused_from bigint
    traceparent text not null default ''::text
    in_worker boolean not null default false
    constraint node_run_check CHECK (((status = ANY (ARRAY['succeeded'::text, 'degraded'::text, 'failed'::text, 'cancelled'::text, 'skipped'::text])) = (finished_at IS NOT NULL)))
    constraint node_run_execution_mode_check CHECK ((execution_mode = ANY (ARRAY['query'::text, 'indexing'::text, 'delta_indexing'::text])))
    constraint node_run_flowchart_id_fkey FOREIGN KEY (flowchart_id) REFERENCES flowchart(id)
    constraint node_run_flowchart_run_id_fkey FOREIGN KEY (flowchart_run_id) REFERENCES flowchart_run(id)
    constraint node_run_flowchart_run_id_flowchart_node_id_execution_index_key UNIQUE (flowchart_run_id, flowchart_node_id, execution_index)
    constraint node_run_output CHECK ((((output_blob IS NULL) = (output_bytes IS NULL)) AND ((output_blob IS NULL) OR (output_state IS NULL))))
    constraint node_run_output_blob_fkey FOREIGN KEY (output_blob) REFERENCES blob(sha256)
    constraint node_run_pkey PRIMARY KEY (id)
    constraint node_run_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id)
    constraint node_run_retry_of_fkey FOREIGN KEY (retry_of) REFERENCES node_run(id)
    constraint node_run_reused_from_fkey FOREIGN KEY (reused_from) REFERENCES node_run(id)
    constraint node_run_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'queued'::text, 'running'::text, 'waiting'::text, 'cancelling'::text, 'succeeded'::text, 'degraded'::text, 'failed'::text, 'cancelled'::text, 'skipped'::text])))
    CREATE INDEX node_run_failed ON public.node_run USING btree (queue, id DESC) WHERE (error IS NOT NULL)
    CREATE INDEX node_run_flowchart_id ON public.node_run USING btree (flowchart_id)
    CREATE INDEX node_run_live ON public.node_run USING btree (run_after) WHERE (finished_at IS NULL)
    CREATE INDEX node_run_output_blob ON public.node_run USING btree (output_blob) WHERE (output_blob IS NOT NULL)
    CREATE INDEX node_run_project_id ON public.node_run USING btree (project_id, id DESC)
    CREATE INDEX node_run_quick_finished_at ON public.node_run USING btree (finished_at, id) WHERE ((finished_at IS NOT NULL) AND (flowchart_run_id IS NULL))
    CREATE INDEX node_run_retry_of ON public.node_run USING btree (retry_of)
    CREATE INDEX node_run_reused_from ON public.node_run USING btree (reused_from) WHERE (reused_from IS NOT NULL)
    CREATE UNIQUE INDEX node_run_flowchart_run_id_flowchart_node_id_execution_index_key ON public.node_run USING btree (flowchart_run_id, flowchart_node_id, execution_index)
    CREATE UNIQUE INDEX node_run_pkey ON public.node_run USING btree (id)
    CREATE TRIGGER node_run_final BEFORE UPDATE OF status ON public.node_run FOR EACH ROW WHEN (((old.finished_at IS NOT NULL) AND (new.status IS DISTINCT FROM old.status))) EXECUTE FUNCTION refuse_change_of_final_state()
table periodic_task
    name text not null
    host text not null default ''::text
    period_seconds double precision not null
    next_at timestamp with time zone
    claims bigint not null default 0
    lease_until timestamp with time zone
    due_at timestamp with time zone
    started_at timestamp with time zone
    finished_at timestamp with time zone
    outcome text
    error text not null default ''::text
    detail jsonb not null default '{}'::jsonb
    constraint periodic_task_outcome_check CHECK ((outcome = ANY (ARRAY['succeeded'::text, 'failed'::text, 'interrupted'::text])))
    constraint periodic_task_period_seconds_check CHECK ((period_seconds > (0)::double precision))
    constraint periodic_task_pkey PRIMARY KEY (name, host)
    CREATE UNIQUE INDEX periodic_task_pkey ON public.periodic_task USING btree (name, host)
table project
    id bigint not null identity
    name text not null
    created_at timestamp with time zone not null default now()
    constraint project_pkey PRIMARY KEY (id)
    CREATE UNIQUE INDEX project_pkey ON public.project USING btree (id)
table provider
    id bigint not null identity
    project_id bigint not null default 1
    name text not null
    kind text not null
    base_url text not null default ''::text
    api_key_ciphertext bytea
    api_key_fingerprint text not null default ''::text
    api_key_set_at timestamp with time zone
    revision bigint not null default 1
    created_at timestamp with time zone not null default now()
    updated_at timestamp with time zone not null default now()
    constraint provider_kind_check CHECK ((kind = ANY (ARRAY['openai'::text, 'anthropic'::text, 'gemini'::text, 'demo'::text])))
    constraint provider_pkey PRIMARY KEY (id)
    constraint provider_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id)
    CREATE UNIQUE INDEX provider_name ON public.provider USING btree (project_id, lower(name))
    CREATE UNIQUE INDEX provider_pkey ON public.provider USING btree (id)
table queue_minute
    minute timestamp with time zone not null
    queue text not null
    enqueued bigint not null
    finished bigint not null
    failed bigint not null
    waited bigint[] not null
    took bigint[] not null
    constraint queue_minute_pkey PRIMARY KEY (minute, queue)
    CREATE UNIQUE INDEX queue_minute_pkey ON public.queue_minute USING btree (minute, queue)
table queue_pause
    queue text not null
    paused_at timestamp with time zone not null default now()
    app_user_id bigint
    constraint queue_pause_app_user_id_fkey FOREIGN KEY (app_user_id) REFERENCES app_user(id) ON DELETE SET NULL
    constraint queue_pause_pkey PRIMARY KEY (queue)
    CREATE INDEX queue_pause_app_user_id ON public.queue_pause USING btree (app_user_id)
    CREATE UNIQUE INDEX queue_pause_pkey ON public.queue_pause USING btree (queue)
table rag_chunk
    id bigint not null identity
    rag_source_id bigint not null
    rag_file_id bigint not null
    key text not null
    ordinal integer not null
    text text not null
    context text not null default ''::text
    heading text[] not null default '{}'::text[]
    line_start integer not null default 0
    line_end integer not null default 0
    page integer not null default 0
    tokens integer not null default 0
    content_hash bytea not null
    words text not null default ''::text
    tsv tsvector not null default ((setweight(to_tsvector('english'::regconfig, context), 'A'::"char") || setweight(to_tsvector('english'::regconfig, text), 'B'::"char")) || setweight(to_tsvector('simple'::regconfig, words), 'C'::"char"))
    constraint rag_chunk_pkey PRIMARY KEY (id)
    constraint rag_chunk_rag_file_id_fkey FOREIGN KEY (rag_file_id) REFERENCES rag_file(id) ON DELETE CASCADE
    constraint rag_chunk_rag_file_id_ordinal_key UNIQUE (rag_file_id, ordinal)
    CREATE INDEX rag_chunk_content_hash ON public.rag_chunk USING btree (content_hash)
    CREATE INDEX rag_chunk_context_trgm ON public.rag_chunk USING gin (context studio_extensions.gin_trgm_ops)
    CREATE INDEX rag_chunk_rag_source_id ON public.rag_chunk USING btree (rag_source_id)
    CREATE INDEX rag_chunk_tsv ON public.rag_chunk USING gin (tsv)
    CREATE UNIQUE INDEX rag_chunk_pkey ON public.rag_chunk USING btree (id)
    CREATE UNIQUE INDEX rag_chunk_rag_file_id_ordinal_key ON public.rag_chunk USING btree (rag_file_id, ordinal)
table rag_embedder
    id bigint not null identity
    key text not null
    provider_kind text not null
    model text not null
    dimensions integer not null
    created_at timestamp with time zone not null default now()
    constraint rag_embedder_dimensions_check CHECK (((dimensions >= 1) AND (dimensions <= 16384)))
    constraint rag_embedder_key_key UNIQUE (key)
    constraint rag_embedder_pkey PRIMARY KEY (id)
    CREATE UNIQUE INDEX rag_embedder_key_key ON public.rag_embedder USING btree (key)
    CREATE UNIQUE INDEX rag_embedder_pkey ON public.rag_embedder USING btree (id)
table rag_embedding
    rag_embedder_id bigint not null
    content_hash bytea not null
    vector bytea not null
    created_at timestamp with time zone not null default now()
    constraint rag_embedding_pkey PRIMARY KEY (rag_embedder_id, content_hash)
    constraint rag_embedding_rag_embedder_id_fkey FOREIGN KEY (rag_embedder_id) REFERENCES rag_embedder(id) ON DELETE CASCADE
    CREATE INDEX rag_embedding_created_at ON public.rag_embedding USING btree (created_at)
    CREATE UNIQUE INDEX rag_embedding_pkey ON public.rag_embedding USING btree (rag_embedder_id, content_hash)
table rag_file
    id bigint not null identity
    rag_source_id bigint not null
    path text not null
    from_revision bigint not null
    to_revision bigint
    fingerprint text not null
    signature text not null
    content_hash bytea not null
    size bigint not null
    modified_at timestamp with time zone
    kind text not null
    language text not null default ''::text
    title text not null default ''::text
    chunks integer not null default 0
    created_at timestamp with time zone not null default now()
    constraint rag_file_check CHECK (((to_revision IS NULL) OR (to_revision > from_revision)))
    constraint rag_file_pkey PRIMARY KEY (id)
    constraint rag_file_rag_source_id_fkey FOREIGN KEY (rag_source_id) REFERENCES rag_source(id) ON DELETE CASCADE
    constraint rag_file_rag_source_id_path_from_revision_key UNIQUE (rag_source_id, path, from_revision)
    CREATE INDEX rag_file_replaced ON public.rag_file USING btree (rag_source_id, to_revision) WHERE (to_revision IS NOT NULL)
    CREATE UNIQUE INDEX rag_file_pkey ON public.rag_file USING btree (id)
    CREATE UNIQUE INDEX rag_file_rag_source_id_path_from_revision_key ON public.rag_file USING btree (rag_source_id, path, from_revision)
table rag_index_file
    rag_index_run_id bigint not null
    path text not null
    action text not null
    status text not null default 'pending'::text
    fingerprint text not null default ''::text
    size bigint not null default 0
    modified_at timestamp with time zone
    tries integer not null default 0
    error_code text
    error text
    chunks integer not null default 0
    tokens bigint not null default 0
    millis integer not null default 0
    finished_at timestamp with time zone
    constraint rag_index_file_action_check CHECK ((action = ANY (ARRAY['add'::text, 'change'::text, 'remove'::text])))
    constraint rag_index_file_check CHECK (((status = 'failed'::text) = (error_code IS NOT NULL)))
    constraint rag_index_file_path_check CHECK ((path <> ''::text))
    constraint rag_index_file_pkey PRIMARY KEY (rag_index_run_id, path)
    constraint rag_index_file_rag_index_run_id_fkey FOREIGN KEY (rag_index_run_id) REFERENCES rag_index_run(id) ON DELETE CASCADE
    constraint rag_index_file_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'done'::text, 'failed'::text])))
    CREATE INDEX rag_index_file_status ON public.rag_index_file USING btree (rag_index_run_id, status, path)
    CREATE UNIQUE INDEX rag_index_file_pkey ON public.rag_index_file USING btree (rag_index_run_id, path)
table rag_index_run
    id bigint not null identity
    rag_source_id bigint not null
    node_run_id bigint not null
    mode text not null
    status text not null default 'queued'::text
    index_revision bigint not null
    plan_first boolean not null default false
    only_failed_of bigint
    applied_at timestamp with time zone
    pause_requested_at timestamp with time zone
    rag_embedder_id bigint
    remote_revision text not null default ''::text
    skipped jsonb not null default '{}'::jsonb
    found integer not null default 0
    added integer not null default 0
    changed integer not null default 0
    removed integer not null default 0
    kept integer not null default 0
    done integer not null default 0
    failed integer not null default 0
    chunks integer not null default 0
    embedded integer not null default 0
    cached integer not null default 0
    bytes bigint not null default 0
    tokens bigint not null default 0
    error jsonb
    created_at timestamp with time zone not null default now()
    started_at timestamp with time zone
    planned_at timestamp with time zone
    finished_at timestamp with time zone
    constraint rag_index_run_check CHECK (((status = ANY (ARRAY['succeeded'::text, 'failed'::text, 'cancelled'::text])) = (finished_at IS NOT NULL)))
    constraint rag_index_run_mode_check CHECK ((mode = ANY (ARRAY['fresh'::text, 'delta'::text])))
    constraint rag_index_run_node_run_id_fkey FOREIGN KEY (node_run_id) REFERENCES node_run(id) ON DELETE CASCADE
    constraint rag_index_run_node_run_id_rag_source_id_key UNIQUE (node_run_id, rag_source_id)
    constraint rag_index_run_only_failed_of_fkey FOREIGN KEY (only_failed_of) REFERENCES rag_index_run(id) ON DELETE SET NULL
    constraint rag_index_run_pkey PRIMARY KEY (id)
    constraint rag_index_run_rag_embedder_id_fkey FOREIGN KEY (rag_embedder_id) REFERENCES rag_embedder(id)
    constraint rag_index_run_rag_source_id_fkey FOREIGN KEY (rag_source_id) REFERENCES rag_source(id) ON DELETE CASCADE
    constraint rag_index_run_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'syncing'::text, 'planning'::text, 'planned'::text, 'indexing'::text, 'paused'::text, 'succeeded'::text, 'failed'::text, 'cancelled'::text])))
    CREATE INDEX rag_index_run_listing ON public.rag_index_run USING btree (rag_source_id, id DESC)
    CREATE INDEX rag_index_run_only_failed_of ON public.rag_index_run USING btree (only_failed_of) WHERE (only_failed_of IS NOT NULL)
    CREATE INDEX rag_index_run_rag_embedder_id ON public.rag_index_run USING btree (rag_embedder_id)
    CREATE UNIQUE INDEX rag_index_run_active ON public.rag_index_run USING btree (rag_source_id) WHERE (finished_at IS NULL)
    CREATE UNIQUE INDEX rag_index_run_node_run_id_rag_source_id_key ON public.rag_index_run USING btree (node_run_id, rag_source_id)
    CREATE UNIQUE INDEX rag_index_run_pkey ON public.rag_index_run USING btree (id)
    CREATE TRIGGER rag_index_run_final BEFORE UPDATE OF status ON public.rag_index_run FOR EACH ROW WHEN (((old.finished_at IS NOT NULL) AND (new.status IS DISTINCT FROM old.status))) EXECUTE FUNCTION refuse_change_of_final_state()
table rag_retrieval
    id bigint not null identity
    project_id bigint not null default 1
    origin text not null
    origin_id bigint
    app_user_id bigint
    question text not null
    source_ids bigint[] not null
    results jsonb not null
    stats jsonb not null
    request_id text not null default ''::text
    at timestamp with time zone not null default now()
    constraint rag_retrieval_app_user_id_fkey FOREIGN KEY (app_user_id) REFERENCES app_user(id) ON DELETE SET NULL
    constraint rag_retrieval_origin_check CHECK ((origin = ANY (ARRAY['api'::text, 'thread'::text, 'node'::text, 'mcp'::text])))
    constraint rag_retrieval_pkey PRIMARY KEY (id)
    constraint rag_retrieval_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id)
    CREATE INDEX rag_retrieval_app_user_id ON public.rag_retrieval USING btree (app_user_id)
    CREATE INDEX rag_retrieval_at ON public.rag_retrieval USING btree (at)
    CREATE INDEX rag_retrieval_listing ON public.rag_retrieval USING btree (project_id, id DESC)
    CREATE UNIQUE INDEX rag_retrieval_pkey ON public.rag_retrieval USING btree (id)
table rag_source
    id bigint not null identity
    project_id bigint not null default 1
    name text not null
    kind text not null
    config jsonb not null
    include text[] not null default '{}'::text[]
    exclude text[] not null default '{}'::text[]
    max_file_bytes bigint
    credential_kind text not null default ''::text
    credential_ciphertext bytea
    credential_fingerprint text not null default ''::text
    credential_set_at timestamp with time zone
    index_revision bigint not null default 0
    rag_embedder_id bigint
    files integer not null default 0
    chunks integer not null default 0
    bytes bigint not null default 0
    remote_revision text not null default ''::text
    indexed_at timestamp with time zone
    error jsonb
    revision bigint not null default 1
    app_user_id bigint
    created_at timestamp with time zone not null default now()
    updated_at timestamp with time zone not null default now()
    deleted_at timestamp with time zone
    constraint rag_source_app_user_id_fkey FOREIGN KEY (app_user_id) REFERENCES app_user(id) ON DELETE SET NULL
    constraint rag_source_check CHECK (((credential_kind = ''::text) = (credential_ciphertext IS NULL)))
    constraint rag_source_credential_kind_check CHECK ((credential_kind = ANY (ARRAY[''::text, 'token'::text, 'ssh_key'::text, 'service_account'::text])))
    constraint rag_source_kind_check CHECK ((kind = ANY (ARRAY['local'::text, 'git'::text, 'google_drive'::text])))
    constraint rag_source_max_file_bytes_check CHECK ((max_file_bytes > 0))
    constraint rag_source_name_check CHECK ((name <> ''::text))
    constraint rag_source_pkey PRIMARY KEY (id)
    constraint rag_source_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id)
    constraint rag_source_rag_embedder_id_fkey FOREIGN KEY (rag_embedder_id) REFERENCES rag_embedder(id)
    CREATE INDEX rag_source_app_user_id ON public.rag_source USING btree (app_user_id)
    CREATE INDEX rag_source_deleted_at ON public.rag_source USING btree (deleted_at) WHERE (deleted_at IS NOT NULL)
    CREATE INDEX rag_source_listing ON public.rag_source USING btree (project_id, id DESC) WHERE (deleted_at IS NULL)
    CREATE INDEX rag_source_rag_embedder_id ON public.rag_source USING btree (rag_embedder_id)
    CREATE UNIQUE INDEX rag_source_name ON public.rag_source USING btree (project_id, lower(name)) WHERE (deleted_at IS NULL)
    CREATE UNIQUE INDEX rag_source_pkey ON public.rag_source USING btree (id)
table retention_progress
    what text not null
    finished_at timestamp with time zone not null
    id bigint not null
    constraint retention_progress_pkey PRIMARY KEY (what)
    CREATE UNIQUE INDEX retention_progress_pkey ON public.retention_progress USING btree (what)
table schedule
    id bigint not null identity
    project_id bigint not null default 1
    name text not null
    target_kind text not null
    flowchart_id bigint
    input jsonb not null default '{}'::jsonb
    cron text not null
    time_zone text not null
    jitter_seconds integer not null default 0
    missed_policy text not null
    catch_up_limit integer not null default 1
    overlap_policy text not null
    enabled boolean not null default true
    next_due_at timestamp with time zone
    next_fire_at timestamp with time zone
    app_user_id bigint
    revision bigint not null default 1
    created_at timestamp with time zone not null default now()
    updated_at timestamp with time zone not null default now()
    deleted_at timestamp with time zone
    rag_source_id bigint
    every_seconds integer
    index_due_at timestamp with time zone
    index_fire_at timestamp with time zone
    constraint schedule_app_user_id_fkey FOREIGN KEY (app_user_id) REFERENCES app_user(id) ON DELETE SET NULL
    constraint schedule_catch_up_limit_check CHECK (((catch_up_limit >= 1) AND (catch_up_limit <= 100)))
    constraint schedule_check1 CHECK (((next_due_at IS NULL) = (next_fire_at IS NULL)))
    constraint schedule_check2 CHECK (((next_due_at IS NULL) OR (enabled AND (deleted_at IS NULL))))
    constraint schedule_every_seconds_check CHECK (((every_seconds >= 60) AND (every_seconds <= 31536000)))
    constraint schedule_flowchart_id_fkey FOREIGN KEY (flowchart_id) REFERENCES flowchart(id)
    constraint schedule_flowchart_target CHECK (((target_kind = 'flowchart'::text) = (flowchart_id IS NOT NULL)))
    constraint schedule_index_times CHECK (((index_due_at IS NULL) = (index_fire_at IS NULL)))
    constraint schedule_jitter_seconds_check CHECK (((jitter_seconds >= 0) AND (jitter_seconds <= 3600)))
    constraint schedule_missed_policy_check CHECK ((missed_policy = ANY (ARRAY['skip'::text, 'catch_up'::text])))
    constraint schedule_name_check CHECK ((name <> ''::text))
    constraint schedule_overlap_policy_check CHECK ((overlap_policy = ANY (ARRAY['allow'::text, 'skip'::text])))
    constraint schedule_pkey PRIMARY KEY (id)
    constraint schedule_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id)
    constraint schedule_rag_source_id_fkey FOREIGN KEY (rag_source_id) REFERENCES rag_source(id) ON DELETE CASCADE
    constraint schedule_source_target CHECK (((target_kind = 'rag_source'::text) = (rag_source_id IS NOT NULL)))
    constraint schedule_target_kind_check CHECK ((target_kind = ANY (ARRAY['flowchart'::text, 'rag_source'::text])))
    constraint schedule_times_by_target CHECK (
CASE
    WHEN (rag_source_id IS NULL) THEN (index_fire_at IS NULL)
    ELSE (next_fire_at IS NULL)
END)
    constraint schedule_timing CHECK (((every_seconds IS NULL) = (cron <> ''::text)))
    CREATE INDEX schedule_app_user_id ON public.schedule USING btree (app_user_id)
    CREATE INDEX schedule_flowchart_id ON public.schedule USING btree (flowchart_id)
    CREATE INDEX schedule_index_fire_at ON public.schedule USING btree (index_fire_at) WHERE (index_fire_at IS NOT NULL)
    CREATE INDEX schedule_listing ON public.schedule USING btree (project_id, id DESC) WHERE (deleted_at IS NULL)
    CREATE INDEX schedule_next_fire_at ON public.schedule USING btree (next_fire_at) WHERE (next_fire_at IS NOT NULL)
    CREATE UNIQUE INDEX schedule_pkey ON public.schedule USING btree (id)
    CREATE UNIQUE INDEX schedule_rag_source_id ON public.schedule USING btree (rag_source_id) WHERE (deleted_at IS NULL)
table schedule_firing
    id bigint not null identity
    schedule_id bigint not null
    due_at timestamp with time zone not null
    fired_at timestamp with time zone not null default now()
    origin text not null
    outcome text not null
    missed integer not null default 0
    reason text not null default ''::text
    message text not null default ''::text
    flowchart_run_id bigint
    node_run_id bigint
    constraint schedule_firing_check CHECK (((outcome = 'missed'::text) = (missed > 0)))
    constraint schedule_firing_check1 CHECK (((outcome = 'started'::text) OR (flowchart_run_id IS NULL)))
    constraint schedule_firing_flowchart_run_id_fkey FOREIGN KEY (flowchart_run_id) REFERENCES flowchart_run(id) ON DELETE SET NULL
    constraint schedule_firing_missed_check CHECK ((missed >= 0))
    constraint schedule_firing_node_run_id_fkey FOREIGN KEY (node_run_id) REFERENCES node_run(id) ON DELETE SET NULL
    constraint schedule_firing_origin_check CHECK ((origin = ANY (ARRAY['due'::text, 'catch_up'::text, 'manual'::text])))
    constraint schedule_firing_outcome_check CHECK ((outcome = ANY (ARRAY['started'::text, 'skipped'::text, 'missed'::text, 'failed'::text])))
    constraint schedule_firing_pkey PRIMARY KEY (id)
    constraint schedule_firing_schedule_id_due_at_key UNIQUE (schedule_id, due_at)
    constraint schedule_firing_schedule_id_fkey FOREIGN KEY (schedule_id) REFERENCES schedule(id) ON DELETE CASCADE
    CREATE INDEX schedule_firing_fired_at ON public.schedule_firing USING btree (fired_at)
    CREATE INDEX schedule_firing_flowchart_run_id ON public.schedule_firing USING btree (flowchart_run_id)
    CREATE INDEX schedule_firing_listing ON public.schedule_firing USING btree (schedule_id, id DESC)
    CREATE INDEX schedule_firing_node_run_id ON public.schedule_firing USING btree (node_run_id) WHERE (node_run_id IS NOT NULL)
    CREATE UNIQUE INDEX schedule_firing_pkey ON public.schedule_firing USING btree (id)
    CREATE UNIQUE INDEX schedule_firing_schedule_id_due_at_key ON public.schedule_firing USING btree (schedule_id, due_at)
table schema_level
    only_row boolean not null default true
    level integer not null
    min_binary integer not null
    constraint schema_level_only_row_check CHECK (only_row)
    constraint schema_level_pkey PRIMARY KEY (only_row)
    CREATE UNIQUE INDEX schema_level_pkey ON public.schema_level USING btree (only_row)
table session
    id bigint not null identity
    app_user_id bigint not null
    token_hash bytea not null
    user_agent text not null default ''::text
    created_at timestamp with time zone not null default now()
    last_seen_at timestamp with time zone not null default now()
    expires_at timestamp with time zone not null
    constraint session_app_user_id_fkey FOREIGN KEY (app_user_id) REFERENCES app_user(id) ON DELETE CASCADE
    constraint session_pkey PRIMARY KEY (id)
    constraint session_token_hash_key UNIQUE (token_hash)
    CREATE INDEX session_app_user_id ON public.session USING btree (app_user_id)
    CREATE INDEX session_expires_at ON public.session USING btree (expires_at)
    CREATE UNIQUE INDEX session_pkey ON public.session USING btree (id)
    CREATE UNIQUE INDEX session_token_hash_key ON public.session USING btree (token_hash)
table setting
    section text not null
    key text not null
    value jsonb not null
    updated_at timestamp with time zone not null default now()
    constraint setting_pkey PRIMARY KEY (section, key)
    CREATE UNIQUE INDEX setting_pkey ON public.setting USING btree (section, key)
table setup_token
    only_row boolean not null default true
    token_hash bytea not null
    created_at timestamp with time zone not null default now()
    constraint setup_token_only_row_check CHECK (only_row)
    constraint setup_token_pkey PRIMARY KEY (only_row)
    CREATE UNIQUE INDEX setup_token_pkey ON public.setup_token USING btree (only_row)
table thread
    id bigint not null identity
    project_id bigint not null default 1
    title text not null
    title_source text not null
    status text not null default 'active'::text
    model_id bigint
    response_complexity text not null
    mcp_server_ids bigint[] not null default '{}'::bigint[]
    source_ids bigint[] not null default '{}'::bigint[]
    active_branch_id bigint
    message_count integer not null default 0
    turn_count integer not null default 0
    input_tokens bigint not null default 0
    output_tokens bigint not null default 0
    cached_tokens bigint not null default 0
    cost_micros bigint not null default 0
    revision bigint not null default 1
    app_user_id bigint
    created_at timestamp with time zone not null default now()
    updated_at timestamp with time zone not null default now()
    last_activity_at timestamp with time zone not null default now()
    archived_at timestamp with time zone
    delete_requested_at timestamp with time zone
    purge_at timestamp with time zone
    constraint thread_active_branch_id_fkey FOREIGN KEY (active_branch_id) REFERENCES thread_branch(id) ON DELETE SET NULL
    constraint thread_app_user_id_fkey FOREIGN KEY (app_user_id) REFERENCES app_user(id) ON DELETE SET NULL
    constraint thread_check CHECK (((status = 'archived'::text) = (archived_at IS NOT NULL)))
    constraint thread_check1 CHECK (((delete_requested_at IS NULL) = (purge_at IS NULL)))
    constraint thread_model_id_fkey FOREIGN KEY (model_id) REFERENCES model(id) ON DELETE SET NULL
    constraint thread_pkey PRIMARY KEY (id)
    constraint thread_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id)
    constraint thread_response_complexity_check CHECK ((response_complexity = ANY (ARRAY['low'::text, 'medium'::text, 'high'::text, 'extra_high'::text])))
    constraint thread_status_check CHECK ((status = ANY (ARRAY['active'::text, 'archived'::text])))
    constraint thread_title_check CHECK ((title <> ''::text))
    constraint thread_title_source_check CHECK ((title_source = ANY (ARRAY['default'::text, 'auto'::text, 'user'::text])))
    CREATE INDEX thread_active_branch_id ON public.thread USING btree (active_branch_id)
    CREATE INDEX thread_app_user_id ON public.thread USING btree (app_user_id)
    CREATE INDEX thread_listing ON public.thread USING btree (project_id, status, last_activity_at DESC, id DESC) WHERE (delete_requested_at IS NULL)
    CREATE INDEX thread_model_id ON public.thread USING btree (model_id)
    CREATE INDEX thread_purge_at ON public.thread USING btree (purge_at) WHERE (purge_at IS NOT NULL)
    CREATE UNIQUE INDEX thread_pkey ON public.thread USING btree (id)
table thread_branch
    id bigint not null identity
    thread_id bigint not null
    parent_id bigint
    from_depth integer not null default 0
    tip_depth integer not null default 0
    used_at timestamp with time zone not null default now()
    created_at timestamp with time zone not null default now()
    constraint thread_branch_check CHECK ((tip_depth >= from_depth))
    constraint thread_branch_from_depth_check CHECK ((from_depth >= 0))
    constraint thread_branch_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES thread_branch(id) ON DELETE CASCADE
    constraint thread_branch_pkey PRIMARY KEY (id)
    constraint thread_branch_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES thread(id) ON DELETE CASCADE
    CREATE INDEX thread_branch_parent_id ON public.thread_branch USING btree (parent_id)
    CREATE INDEX thread_branch_thread_id ON public.thread_branch USING btree (thread_id)
    CREATE UNIQUE INDEX thread_branch_pkey ON public.thread_branch USING btree (id)
table tool_call
    id bigint not null identity
    project_id bigint not null default 1
    owner_kind text not null
    owner_id bigint not null
    cycle integer not null
    position integer not null
    attempt integer not null
    call_id text not null
    name text not null
    mcp_server_id bigint
    server_key text not null default ''::text
    tool text not null default ''::text
    arguments text not null
    signature bytea
    repeatable boolean not null default false
    approval_required boolean not null default false
    status text not null
    result text
    result_blob bytea
    result_bytes bigint not null default 0
    error text not null default ''::text
    decided_by bigint
    decided_at timestamp with time zone
    decision_note text not null default ''::text
    created_at timestamp with time zone not null default now()
    started_at timestamp with time zone
    finished_at timestamp with time zone
    constraint tool_call_check CHECK (((status = ANY (ARRAY['succeeded'::text, 'failed'::text, 'denied'::text, 'unknown'::text, 'cancelled'::text])) = (finished_at IS NOT NULL)))
    constraint tool_call_decided_by_fkey FOREIGN KEY (decided_by) REFERENCES app_user(id) ON DELETE SET NULL
    constraint tool_call_mcp_server_id_fkey FOREIGN KEY (mcp_server_id) REFERENCES mcp_server(id) ON DELETE SET NULL
    constraint tool_call_owner_kind_owner_id_cycle_fkey FOREIGN KEY (owner_kind, owner_id, cycle) REFERENCES tool_cycle(owner_kind, owner_id, cycle) ON DELETE CASCADE
    constraint tool_call_owner_kind_owner_id_cycle_position_key UNIQUE (owner_kind, owner_id, cycle, "position")
    constraint tool_call_pkey PRIMARY KEY (id)
    constraint tool_call_project_id_fkey FOREIGN KEY (project_id) REFERENCES project(id)
    constraint tool_call_result_blob_fkey FOREIGN KEY (result_blob) REFERENCES blob(sha256)
    constraint tool_call_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'waiting'::text, 'approved'::text, 'running'::text, 'succeeded'::text, 'failed'::text, 'denied'::text, 'unknown'::text, 'cancelled'::text])))
    CREATE INDEX tool_call_decided_by ON public.tool_call USING btree (decided_by)
    CREATE INDEX tool_call_mcp_server_id ON public.tool_call USING btree (mcp_server_id)
    CREATE INDEX tool_call_project_id ON public.tool_call USING btree (project_id, id DESC)
    CREATE INDEX tool_call_result_blob ON public.tool_call USING btree (result_blob) WHERE (result_blob IS NOT NULL)
    CREATE INDEX tool_call_waiting ON public.tool_call USING btree (project_id, id) WHERE (status = 'waiting'::text)
    CREATE UNIQUE INDEX tool_call_owner_kind_owner_id_cycle_position_key ON public.tool_call USING btree (owner_kind, owner_id, cycle, "position")
    CREATE UNIQUE INDEX tool_call_pkey ON public.tool_call USING btree (id)
    CREATE TRIGGER tool_call_final BEFORE UPDATE OF status ON public.tool_call FOR EACH ROW WHEN (((old.finished_at IS NOT NULL) AND (new.status IS DISTINCT FROM old.status))) EXECUTE FUNCTION refuse_change_of_final_state()
table tool_cycle
    owner_kind text not null
    owner_id bigint not null
    cycle integer not null
    attempt integer not null
    text text not null default ''::text
    usage jsonb not null default '{}'::jsonb
    created_at timestamp with time zone not null default now()
    constraint tool_cycle_cycle_check CHECK ((cycle > 0))
    constraint tool_cycle_owner_kind_check CHECK ((owner_kind = ANY (ARRAY['node_run'::text, 'turn'::text])))
    constraint tool_cycle_pkey PRIMARY KEY (owner_kind, owner_id, cycle)
    CREATE UNIQUE INDEX tool_cycle_pkey ON public.tool_cycle USING btree (owner_kind, owner_id, cycle)
table turn
    id bigint not null identity
    thread_id bigint not null
    kind text not null
    user_message_id bigint not null
    assistant_message_id bigint not null
    status text not null default 'queued'::text
    phase text not null default ''::text
    attempt integer not null default 0
    worker_process_id uuid
    lost integer not null default 0
    model_id bigint
    model_name text not null default ''::text
    response_complexity text not null
    reason_code text not null default ''::text
    error jsonb
    finish_reason text not null default ''::text
    input_tokens bigint not null default 0
    output_tokens bigint not null default 0
    cached_tokens bigint not null default 0
    tokens_estimated boolean not null default false
    cost_micros bigint
    context jsonb
    checkpoint jsonb
    deadline_seconds double precision not null
    cancel_requested_at timestamp with time zone
    app_user_id bigint
    request_id text not null default ''::text
    correlation_id text not null default ''::text
    run_after timestamp with time zone not null default now()
    created_at timestamp with time zone not null default now()
    started_at timestamp with time zone
    first_token_at timestamp with time zone
    finished_at timestamp with time zone
    constraint turn_app_user_id_fkey FOREIGN KEY (app_user_id) REFERENCES app_user(id) ON DELETE SET NULL
    constraint turn_assistant_message_id_fkey FOREIGN KEY (assistant_message_id) REFERENCES message(id) ON DELETE CASCADE
    constraint turn_check CHECK (((status = ANY (ARRAY['succeeded'::text, 'failed'::text, 'cancelled'::text])) = (finished_at IS NOT NULL)))
    constraint turn_check1 CHECK (((status = ANY (ARRAY['running'::text, 'cancelling'::text])) = (worker_process_id IS NOT NULL)))
    constraint turn_kind_check CHECK ((kind = ANY (ARRAY['message'::text, 'edit'::text, 'branch'::text, 'regenerate'::text])))
    constraint turn_model_id_fkey FOREIGN KEY (model_id) REFERENCES model(id) ON DELETE SET NULL
    constraint turn_pkey PRIMARY KEY (id)
    constraint turn_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'running'::text, 'waiting'::text, 'cancelling'::text, 'succeeded'::text, 'failed'::text, 'cancelled'::text])))
    constraint turn_thread_id_fkey FOREIGN KEY (thread_id) REFERENCES thread(id) ON DELETE CASCADE
    constraint turn_user_message_id_fkey FOREIGN KEY (user_message_id) REFERENCES message(id) ON DELETE CASCADE
    constraint turn_worker_process_id_fkey FOREIGN KEY (worker_process_id) REFERENCES worker_process(id)
    CREATE INDEX turn_app_user_id ON public.turn USING btree (app_user_id)
    CREATE INDEX turn_assistant_message_id ON public.turn USING btree (assistant_message_id)
    CREATE INDEX turn_due ON public.turn USING btree (run_after) WHERE (status = 'queued'::text)
    CREATE INDEX turn_finished_at ON public.turn USING btree (finished_at, id) WHERE (finished_at IS NOT NULL)
    CREATE INDEX turn_model_id ON public.turn USING btree (model_id)
    CREATE INDEX turn_thread_id ON public.turn USING btree (thread_id, id DESC)
    CREATE INDEX turn_unfinished ON public.turn USING btree (thread_id, id) WHERE (finished_at IS NULL)
    CREATE INDEX turn_user_message_id ON public.turn USING btree (user_message_id)
    CREATE INDEX turn_worker_process_id ON public.turn USING btree (worker_process_id) WHERE (worker_process_id IS NOT NULL)
    CREATE UNIQUE INDEX turn_one_at_a_time ON public.turn USING btree (thread_id) WHERE (status = ANY (ARRAY['running'::text, 'waiting'::text, 'cancelling'::text]))
    CREATE UNIQUE INDEX turn_pkey ON public.turn USING btree (id)
    CREATE TRIGGER turn_final BEFORE UPDATE OF status ON public.turn FOR EACH ROW WHEN (((old.finished_at IS NOT NULL) AND (new.status IS DISTINCT FROM old.status))) EXECUTE FUNCTION refuse_change_of_final_state()
table turn_attempt
    id bigint not null identity
    turn_id bigint not null
    number integer not null
    worker_process_id uuid not null
    status text not null default 'running'::text
    error jsonb
    input_tokens bigint not null default 0
    output_tokens bigint not null default 0
    cached_tokens bigint not null default 0
    tokens_estimated boolean not null default true
    characters bigint not null default 0
    cancel_requested_at timestamp with time zone
    claimed_at timestamp with time zone not null default now()
    finished_at timestamp with time zone
    constraint turn_attempt_check CHECK (((status = 'running'::text) = (finished_at IS NULL)))
    constraint turn_attempt_pkey PRIMARY KEY (id)
    constraint turn_attempt_status_check CHECK ((status = ANY (ARRAY['running'::text, 'succeeded'::text, 'failed'::text, 'cancelled'::text, 'suspended'::text, 'handed_over'::text, 'lost'::text])))
    constraint turn_attempt_turn_id_fkey FOREIGN KEY (turn_id) REFERENCES turn(id) ON DELETE CASCADE
    constraint turn_attempt_turn_id_number_key UNIQUE (turn_id, number)
    constraint turn_attempt_worker_process_id_fkey FOREIGN KEY (worker_process_id) REFERENCES worker_process(id)
    CREATE INDEX turn_attempt_cancel ON public.turn_attempt USING btree (worker_process_id) WHERE ((finished_at IS NULL) AND (cancel_requested_at IS NOT NULL))
    CREATE INDEX turn_attempt_worker_process_id ON public.turn_attempt USING btree (worker_process_id)
    CREATE UNIQUE INDEX turn_attempt_pkey ON public.turn_attempt USING btree (id)
    CREATE UNIQUE INDEX turn_attempt_turn_id_number_key ON public.turn_attempt USING btree (turn_id, number)
    CREATE TRIGGER turn_attempt_final BEFORE UPDATE OF status ON public.turn_attempt FOR EACH ROW WHEN (((old.finished_at IS NOT NULL) AND (new.status IS DISTINCT FROM old.status))) EXECUTE FUNCTION refuse_change_of_final_state()
table web_worker
    name text not null
    hostname text not null
    pid integer not null
    version text not null
    address text not null
    beat_at timestamp with time zone not null default now()
    started_at timestamp with time zone not null default now()
    constraint web_worker_pkey PRIMARY KEY (name)
    CREATE INDEX web_worker_beat ON public.web_worker USING btree (beat_at)
    CREATE UNIQUE INDEX web_worker_pkey ON public.web_worker USING btree (name)
table worker_process
    id uuid not null
    owner text not null
    hostname text not null
    pid integer not null
    version text not null
    slots integer not null
    queues text[] not null
    beat bigint not null default 0
    beat_at timestamp with time zone not null default now()
    started_at timestamp with time zone not null default now()
    stopped_at timestamp with time zone
    tombstone_at timestamp with time zone
    level integer not null default 1
    rss_bytes bigint
    cpu_cores real
    goroutines integer
    draining_at timestamp with time zone
    draining_by bigint
    watched_beat bigint
    watched_since timestamp with time zone
    constraint worker_process_draining_by_fkey FOREIGN KEY (draining_by) REFERENCES app_user(id) ON DELETE SET NULL
    constraint worker_process_pkey PRIMARY KEY (id)
    CREATE INDEX worker_process_alive ON public.worker_process USING btree (beat_at) WHERE ((stopped_at IS NULL) AND (tombstone_at IS NULL))
    CREATE INDEX worker_process_draining_by ON public.worker_process USING btree (draining_by) WHERE (draining_by IS NOT NULL)
    CREATE INDEX worker_process_owner ON public.worker_process USING btree (owner)
    CREATE UNIQUE INDEX worker_process_pkey ON public.worker_process USING btree (id)
