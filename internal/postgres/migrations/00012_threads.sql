-- Threads: conversations with models. Additions only: binaries that do not know the tables are not disturbed by them.

-- +goose Up

CREATE TABLE thread (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id          bigint NOT NULL DEFAULT 1 REFERENCES project (id),
    title               text NOT NULL CHECK (title <> ''),
    title_source        text NOT NULL CHECK (title_source IN ('default', 'auto', 'user')),
    status              text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'archived')),
    model_id            bigint REFERENCES model (id) ON DELETE SET NULL, -- null: the default of the settings, else the newest
    response_complexity text NOT NULL CHECK (response_complexity IN ('low', 'medium', 'high', 'extra_high')),
    mcp_server_ids      bigint[] NOT NULL DEFAULT '{}',
    source_ids          bigint[] NOT NULL DEFAULT '{}',
    active_branch_id    bigint,                      -- whose tip is the end of the conversation that is shown; null: no message yet
    message_count       integer NOT NULL DEFAULT 0,
    turn_count          integer NOT NULL DEFAULT 0,  -- that ended, with what they used together
    input_tokens        bigint NOT NULL DEFAULT 0,
    output_tokens       bigint NOT NULL DEFAULT 0,
    cached_tokens       bigint NOT NULL DEFAULT 0,
    cost_micros         bigint NOT NULL DEFAULT 0,   -- millionths of the currency of the settings
    revision            bigint NOT NULL DEFAULT 1,
    app_user_id         bigint REFERENCES app_user (id) ON DELETE SET NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    last_activity_at    timestamptz NOT NULL DEFAULT now(),
    archived_at         timestamptz,
    delete_requested_at timestamptz,                 -- hidden since; gone when the time to undo it is over
    purge_at            timestamptz,
    CHECK ((status = 'archived') = (archived_at IS NOT NULL)),
    CHECK ((delete_requested_at IS NULL) = (purge_at IS NULL))
);
CREATE INDEX thread_listing ON thread (project_id, status, last_activity_at DESC, id DESC) WHERE delete_requested_at IS NULL;
CREATE INDEX thread_purge_at ON thread (purge_at) WHERE purge_at IS NOT NULL;
CREATE INDEX thread_model_id ON thread (model_id);
CREATE INDEX thread_app_user_id ON thread (app_user_id);

-- Messages form a tree. A branch is a run of them without a fork: what is below is the parent branch up to from_depth. So
-- the messages of a conversation are a few ranges of (branch, depth), however long it is.
CREATE TABLE thread_branch (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread_id  bigint NOT NULL REFERENCES thread (id) ON DELETE CASCADE,
    parent_id  bigint REFERENCES thread_branch (id) ON DELETE CASCADE,
    from_depth integer NOT NULL DEFAULT 0 CHECK (from_depth >= 0),
    tip_depth  integer NOT NULL DEFAULT 0 CHECK (tip_depth >= from_depth),
    used_at    timestamptz NOT NULL DEFAULT now(), -- last shown or continued
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX thread_branch_thread_id ON thread_branch (thread_id);
CREATE INDEX thread_branch_parent_id ON thread_branch (parent_id);
CREATE INDEX thread_active_branch_id ON thread (active_branch_id);
ALTER TABLE thread ADD FOREIGN KEY (active_branch_id) REFERENCES thread_branch (id) ON DELETE SET NULL;

CREATE TABLE message (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread_id   bigint NOT NULL REFERENCES thread (id) ON DELETE CASCADE,
    branch_id   bigint NOT NULL REFERENCES thread_branch (id) ON DELETE CASCADE,
    depth       integer NOT NULL CHECK (depth > 0),   -- 1 is the first of the conversation
    parent_id   bigint REFERENCES message (id) ON DELETE CASCADE,
    turn_id     bigint,                               -- that it belongs to
    role        text NOT NULL CHECK (role IN ('user', 'assistant')),
    status      text NOT NULL CHECK (status IN ('pending', 'complete', 'partial', 'failed')),
    parts       jsonb NOT NULL DEFAULT '[]',
    content     text NOT NULL DEFAULT '',             -- the text of the parts
    tokens      integer NOT NULL DEFAULT 0,           -- an estimate
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    -- Of the beginning only: a tsvector of more than 1 MiB is refused, whatever the text.
    search      tsvector GENERATED ALWAYS AS (to_tsvector('simple', left(content, 50000)) || to_tsvector('english', left(content, 50000))) STORED,
    CHECK ((status = 'pending') = (finished_at IS NULL)),
    UNIQUE (branch_id, depth)
);
CREATE INDEX message_thread_id ON message (thread_id, id);
CREATE INDEX message_parent_id ON message (parent_id);
CREATE INDEX message_turn_id ON message (turn_id);
CREATE INDEX message_search ON message USING gin (search);

CREATE TABLE turn (
    id                   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread_id            bigint NOT NULL REFERENCES thread (id) ON DELETE CASCADE,
    kind                 text NOT NULL CHECK (kind IN ('message', 'edit', 'branch', 'regenerate')),
    user_message_id      bigint NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    assistant_message_id bigint NOT NULL REFERENCES message (id) ON DELETE CASCADE,
    status               text NOT NULL DEFAULT 'queued' CHECK (status IN
        ('queued', 'running', 'waiting', 'cancelling', 'succeeded', 'failed', 'cancelled')),
    phase                text NOT NULL DEFAULT '',         -- of a running one: retrieving, compacting, answering
    attempt              integer NOT NULL DEFAULT 0,       -- number of the newest attempt; the fence of every write
    worker_process_id    uuid REFERENCES worker_process (id), -- who holds it; null: nobody
    lost                 integer NOT NULL DEFAULT 0,       -- attempts that died with their worker
    model_id             bigint REFERENCES model (id) ON DELETE SET NULL,
    model_name           text NOT NULL DEFAULT '',
    response_complexity  text NOT NULL,
    reason_code          text NOT NULL DEFAULT '',         -- of one that failed or was cut short
    error                jsonb,
    finish_reason        text NOT NULL DEFAULT '',
    input_tokens         bigint NOT NULL DEFAULT 0,        -- of all attempts and of compaction
    output_tokens        bigint NOT NULL DEFAULT 0,
    cached_tokens        bigint NOT NULL DEFAULT 0,
    tokens_estimated     boolean NOT NULL DEFAULT false,   -- the provider did not say, or not for all of it
    cost_micros          bigint,                           -- null: there is no price for the model
    context              jsonb,                            -- what the window was filled with
    checkpoint           jsonb,                            -- of one that waits, or goes on after that: where
    deadline_seconds     double precision NOT NULL,
    cancel_requested_at  timestamptz,
    app_user_id          bigint REFERENCES app_user (id) ON DELETE SET NULL,
    request_id           text NOT NULL DEFAULT '',
    correlation_id       text NOT NULL DEFAULT '',
    run_after            timestamptz NOT NULL DEFAULT now(),
    created_at           timestamptz NOT NULL DEFAULT now(),
    started_at           timestamptz,
    first_token_at       timestamptz,
    finished_at          timestamptz,
    CHECK ((status IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CHECK ((status IN ('running', 'cancelling')) = (worker_process_id IS NOT NULL))
);
-- A thread has one turn at a time that is worked; the others wait in the order of their ids.
CREATE UNIQUE INDEX turn_one_at_a_time ON turn (thread_id) WHERE status IN ('running', 'waiting', 'cancelling');
CREATE INDEX turn_thread_id ON turn (thread_id, id DESC);
CREATE INDEX turn_unfinished ON turn (thread_id, id) WHERE finished_at IS NULL;
CREATE INDEX turn_due ON turn (run_after) WHERE status = 'queued';
CREATE INDEX turn_worker_process_id ON turn (worker_process_id) WHERE worker_process_id IS NOT NULL;
CREATE INDEX turn_finished_at ON turn (finished_at, id) WHERE finished_at IS NOT NULL;
CREATE INDEX turn_user_message_id ON turn (user_message_id);
CREATE INDEX turn_assistant_message_id ON turn (assistant_message_id);
CREATE INDEX turn_model_id ON turn (model_id);
CREATE INDEX turn_app_user_id ON turn (app_user_id);
ALTER TABLE message ADD FOREIGN KEY (turn_id) REFERENCES turn (id) ON DELETE SET NULL;

CREATE TABLE turn_attempt (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    turn_id           bigint NOT NULL REFERENCES turn (id) ON DELETE CASCADE,
    number            integer NOT NULL,
    worker_process_id uuid NOT NULL REFERENCES worker_process (id),
    status            text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'succeeded', 'failed', 'cancelled', 'suspended', 'handed_over', 'lost')),
    error             jsonb,
    input_tokens      bigint NOT NULL DEFAULT 0, -- estimated when the model is asked, measured at the end
    output_tokens     bigint NOT NULL DEFAULT 0,
    cached_tokens     bigint NOT NULL DEFAULT 0,
    tokens_estimated  boolean NOT NULL DEFAULT true,
    characters        bigint NOT NULL DEFAULT 0, -- that it streamed
    cancel_requested_at timestamptz,
    claimed_at        timestamptz NOT NULL DEFAULT now(),
    finished_at       timestamptz,
    CHECK ((status = 'running') = (finished_at IS NULL)),
    UNIQUE (turn_id, number)
);
CREATE INDEX turn_attempt_worker_process_id ON turn_attempt (worker_process_id);
CREATE INDEX turn_attempt_cancel ON turn_attempt (worker_process_id) WHERE finished_at IS NULL AND cancel_requested_at IS NOT NULL;

CREATE TRIGGER turn_final BEFORE UPDATE OF status ON turn FOR EACH ROW
    WHEN (OLD.finished_at IS NOT NULL AND NEW.status IS DISTINCT FROM OLD.status)
    EXECUTE FUNCTION refuse_change_of_final_state();
CREATE TRIGGER turn_attempt_final BEFORE UPDATE OF status ON turn_attempt FOR EACH ROW
    WHEN (OLD.finished_at IS NOT NULL AND NEW.status IS DISTINCT FROM OLD.status)
    EXECUTE FUNCTION refuse_change_of_final_state();

-- What older messages were folded into. The messages stay.
CREATE TABLE compaction (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread_id          bigint NOT NULL REFERENCES thread (id) ON DELETE CASCADE,
    turn_id            bigint REFERENCES turn (id) ON DELETE SET NULL, -- that needed the room
    through_message_id bigint NOT NULL REFERENCES message (id) ON DELETE CASCADE, -- the last one that is folded
    branch_id          bigint NOT NULL REFERENCES thread_branch (id) ON DELETE CASCADE, -- where that one is
    depth              integer NOT NULL,
    method             text NOT NULL CHECK (method IN ('model', 'excerpts')),
    summary            text NOT NULL,
    message_count      integer NOT NULL, -- folded by this one
    tokens_before      integer NOT NULL,
    tokens_after       integer NOT NULL,
    reason             text NOT NULL DEFAULT '', -- why not by the model
    created_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX compaction_thread_id ON compaction (thread_id, depth DESC);
CREATE INDEX compaction_turn_id ON compaction (turn_id);
CREATE INDEX compaction_through_message_id ON compaction (through_message_id);
CREATE INDEX compaction_branch_id ON compaction (branch_id);

CREATE TABLE attachment (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    thread_id   bigint NOT NULL REFERENCES thread (id) ON DELETE CASCADE,
    message_id  bigint REFERENCES message (id) ON DELETE CASCADE, -- null: uploaded, not sent yet
    name        text NOT NULL CHECK (name <> ''),
    kind        text NOT NULL CHECK (kind IN ('text', 'pdf', 'image')),
    media_type  text NOT NULL,
    size        bigint NOT NULL,
    pages       integer NOT NULL DEFAULT 0,
    blob        bytea NOT NULL REFERENCES blob (sha256),
    text_blob   bytea REFERENCES blob (sha256), -- what a model reads of it; null: the file itself
    tokens      integer NOT NULL DEFAULT 0,     -- an estimate
    truncated   boolean NOT NULL DEFAULT false, -- the text is longer than what is read of it
    app_user_id bigint REFERENCES app_user (id) ON DELETE SET NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX attachment_thread_id ON attachment (thread_id, id);
CREATE INDEX attachment_message_id ON attachment (message_id);
CREATE INDEX attachment_unsent ON attachment (created_at) WHERE message_id IS NULL;
CREATE INDEX attachment_blob ON attachment (blob);
CREATE INDEX attachment_text_blob ON attachment (text_blob);
CREATE INDEX attachment_app_user_id ON attachment (app_user_id);

-- What happened in threads. It outlives them, so nothing is referred to by key.
CREATE TABLE chat_activity (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id     bigint NOT NULL DEFAULT 1 REFERENCES project (id),
    thread_id      bigint NOT NULL,
    thread_title   text NOT NULL,
    turn_id        bigint,
    class          text NOT NULL CHECK (class IN ('thread_lifecycle', 'turn', 'retrieval_tool_usage', 'failure', 'compaction')),
    action         text NOT NULL,
    reason_code    text NOT NULL DEFAULT '',
    message        text NOT NULL DEFAULT '',
    detail         jsonb NOT NULL DEFAULT '{}',
    app_user_id    bigint REFERENCES app_user (id) ON DELETE SET NULL,
    request_id     text NOT NULL DEFAULT '',
    correlation_id text NOT NULL DEFAULT '',
    created_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX chat_activity_listing ON chat_activity (project_id, id DESC);
CREATE INDEX chat_activity_thread_id ON chat_activity (thread_id, id DESC);
CREATE INDEX chat_activity_created_at ON chat_activity (created_at);
CREATE INDEX chat_activity_app_user_id ON chat_activity (app_user_id);

-- What models used, a row a day, so that sums need no turns and outlive them.
CREATE TABLE chat_usage (
    day           date NOT NULL,
    model_name    text NOT NULL,
    turns         bigint NOT NULL DEFAULT 0,
    failed        bigint NOT NULL DEFAULT 0,
    input_tokens  bigint NOT NULL DEFAULT 0,
    output_tokens bigint NOT NULL DEFAULT 0,
    cached_tokens bigint NOT NULL DEFAULT 0,
    cost_micros   bigint NOT NULL DEFAULT 0,
    unpriced      bigint NOT NULL DEFAULT 0, -- turns without a price
    PRIMARY KEY (day, model_name)
);

-- How many tokens of a model the estimate's token is, learned from what its provider counts.
CREATE TABLE chat_token_ratio (
    model_id   bigint PRIMARY KEY REFERENCES model (id) ON DELETE CASCADE,
    ratio      double precision NOT NULL CHECK (ratio > 0),
    samples    bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
);
