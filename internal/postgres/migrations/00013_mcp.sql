-- +goose Up

-- MCP servers whose tools models may use. Headers and environment are secrets: sealed together, shown by name only.
CREATE TABLE mcp_server (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id         bigint NOT NULL DEFAULT 1 REFERENCES project (id),
    name               text NOT NULL,
    server_key         text NOT NULL CHECK (server_key ~ '^[A-Za-z0-9_-]{1,64}$'),
    server_type        text NOT NULL CHECK (server_type IN ('custom', 'integrated')),
    transport          text NOT NULL CHECK (transport IN ('streamable-http', 'sse', 'stdio')),
    config             jsonb NOT NULL, -- url, or command and args; nothing secret
    secrets_ciphertext bytea,
    secrets            jsonb NOT NULL DEFAULT '[]', -- [{kind, name, fingerprint, set_at}]
    enabled            boolean NOT NULL DEFAULT true,
    timeout_seconds    double precision NOT NULL DEFAULT 60 CHECK (timeout_seconds > 0),
    allowed_tools      text[], -- null: all
    approval           text NOT NULL DEFAULT 'never' CHECK (approval IN ('never', 'writes', 'always')),
    approval_tools     text[] NOT NULL DEFAULT '{}', -- these need approval whatever approval says
    integrations       text[] NOT NULL DEFAULT '{}', -- of an integrated server
    oauth              jsonb,  -- {issuer, resource, token_endpoint, scopes, expires_at}; nothing secret
    oauth_ciphertext   bytea,  -- client and tokens
    oauth_client_id    text NOT NULL DEFAULT '', -- registered by hand; empty: registered dynamically
    last_test          jsonb,
    revision           bigint NOT NULL DEFAULT 1,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX mcp_server_key ON mcp_server (project_id, lower(server_key));

-- An authorization that somebody began in a browser. Any web process may end it.
CREATE TABLE mcp_oauth_flow (
    state_hash    bytea PRIMARY KEY,
    mcp_server_id bigint NOT NULL REFERENCES mcp_server (id) ON DELETE CASCADE,
    app_user_id   bigint NOT NULL REFERENCES app_user (id) ON DELETE CASCADE,
    ciphertext    bytea NOT NULL, -- verifier, client, endpoints
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX mcp_oauth_flow_mcp_server_id ON mcp_oauth_flow (mcp_server_id);
CREATE INDEX mcp_oauth_flow_app_user_id ON mcp_oauth_flow (app_user_id);

-- What is known of other systems: decides which integrated servers there are.
CREATE TABLE integration (
    key        text PRIMARY KEY,
    config     jsonb NOT NULL DEFAULT '{}',
    ciphertext bytea,
    secrets    jsonb NOT NULL DEFAULT '[]',
    revision   bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- One answer of a model that asked for tools, and the calls in it: the conversation of a loop, from which any worker
-- goes on. owner_id is the id of a node run or a turn.
CREATE TABLE tool_cycle (
    owner_kind text NOT NULL CHECK (owner_kind IN ('node_run', 'turn')),
    owner_id   bigint NOT NULL,
    cycle      integer NOT NULL CHECK (cycle > 0),
    attempt    integer NOT NULL,
    text       text NOT NULL DEFAULT '',
    usage      jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_kind, owner_id, cycle)
);

CREATE TABLE tool_call (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id        bigint NOT NULL DEFAULT 1 REFERENCES project (id),
    owner_kind        text NOT NULL,
    owner_id          bigint NOT NULL,
    cycle             integer NOT NULL,
    position          integer NOT NULL,
    attempt           integer NOT NULL, -- of the owner: who recorded it last
    call_id           text NOT NULL,    -- the provider's
    name              text NOT NULL,    -- as the model calls it
    mcp_server_id     bigint REFERENCES mcp_server (id) ON DELETE SET NULL,
    server_key        text NOT NULL DEFAULT '', -- empty: a built-in tool, or one that nobody knows
    tool              text NOT NULL DEFAULT '',
    arguments         text NOT NULL,
    signature         bytea,
    repeatable        boolean NOT NULL DEFAULT false, -- read-only or idempotent: may be called again
    approval_required boolean NOT NULL DEFAULT false,
    status            text NOT NULL CHECK (status IN
        ('pending', 'waiting', 'approved', 'running', 'succeeded', 'failed', 'denied', 'unknown', 'cancelled')),
    result            text,
    result_blob       bytea REFERENCES blob (sha256),
    result_bytes      bigint NOT NULL DEFAULT 0,
    error             text NOT NULL DEFAULT '', -- a word: what kind of failure
    decided_by        bigint REFERENCES app_user (id) ON DELETE SET NULL,
    decided_at        timestamptz,
    decision_note     text NOT NULL DEFAULT '',
    created_at        timestamptz NOT NULL DEFAULT now(),
    started_at        timestamptz,
    finished_at       timestamptz,
    CHECK ((status IN ('succeeded', 'failed', 'denied', 'unknown', 'cancelled')) = (finished_at IS NOT NULL)),
    UNIQUE (owner_kind, owner_id, cycle, position),
    FOREIGN KEY (owner_kind, owner_id, cycle) REFERENCES tool_cycle (owner_kind, owner_id, cycle) ON DELETE CASCADE
);
CREATE INDEX tool_call_mcp_server_id ON tool_call (mcp_server_id);
CREATE INDEX tool_call_project_id ON tool_call (project_id, id DESC);
CREATE INDEX tool_call_result_blob ON tool_call (result_blob) WHERE result_blob IS NOT NULL;
CREATE INDEX tool_call_decided_by ON tool_call (decided_by);
CREATE INDEX tool_call_waiting ON tool_call (project_id, id) WHERE status = 'waiting';

CREATE TRIGGER tool_call_final BEFORE UPDATE OF status ON tool_call FOR EACH ROW
    WHEN (OLD.finished_at IS NOT NULL AND NEW.status IS DISTINCT FROM OLD.status)
    EXECUTE FUNCTION refuse_change_of_final_state();

-- An attempt that ended because its node waits for a person; the next one goes on.
ALTER TABLE node_attempt DROP CONSTRAINT node_attempt_status_check, DROP CONSTRAINT node_attempt_check;
ALTER TABLE node_attempt
    ADD CONSTRAINT node_attempt_status_check CHECK (status IN
        ('running', 'cancelling', 'succeeded', 'degraded', 'failed', 'cancelled', 'lost', 'suspended')),
    ADD CONSTRAINT node_attempt_check CHECK
        ((status IN ('succeeded', 'degraded', 'failed', 'cancelled', 'lost', 'suspended')) = (finished_at IS NOT NULL));

-- Whether a node run works in the worker itself, whatever the executor of its kind: its tools need what only the worker has.
ALTER TABLE node_run ADD COLUMN in_worker boolean NOT NULL DEFAULT false;
