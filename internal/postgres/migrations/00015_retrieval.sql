-- Retrieval: sources, their indexes and how they came about. Additions only: binaries that do not know the tables are not
-- disturbed by them.

-- +goose Up

-- Something whose files are indexed. index_revision is what searches see: a file belongs to the index when
-- from_revision <= index_revision and (to_revision is null or to_revision > index_revision). An index run writes the next
-- revision, which nobody sees, and makes it the visible one in the transaction that ends it.
CREATE TABLE rag_source (
    id                     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id             bigint NOT NULL DEFAULT 1 REFERENCES project (id),
    name                   text NOT NULL CHECK (name <> ''),
    kind                   text NOT NULL CHECK (kind IN ('local', 'git', 'google_drive')),
    config                 jsonb NOT NULL, -- local: {path}; git: {url, branch, subfolder, submodules}; google_drive: {folder_id, endpoint}
    include                text[] NOT NULL DEFAULT '{}',
    exclude                text[] NOT NULL DEFAULT '{}',
    max_file_bytes         bigint CHECK (max_file_bytes > 0), -- null: the setting
    credential_kind        text NOT NULL DEFAULT '' CHECK (credential_kind IN ('', 'token', 'ssh_key', 'service_account')),
    credential_ciphertext  bytea,
    credential_fingerprint text NOT NULL DEFAULT '',
    credential_set_at      timestamptz,
    index_revision         bigint NOT NULL DEFAULT 0, -- 0: there is no index yet
    rag_embedder_id        bigint, -- of the visible index; null: it has no vectors
    files                  integer NOT NULL DEFAULT 0, -- of the visible index, as the following
    chunks                 integer NOT NULL DEFAULT 0,
    bytes                  bigint NOT NULL DEFAULT 0,
    remote_revision        text NOT NULL DEFAULT '', -- commit of a git source
    indexed_at             timestamptz,
    error                  jsonb, -- {code, message, at} of the last index run that failed; null: the last one succeeded
    revision               bigint NOT NULL DEFAULT 1, -- counts edits
    app_user_id            bigint REFERENCES app_user (id) ON DELETE SET NULL,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    deleted_at             timestamptz,
    CHECK ((credential_kind = '') = (credential_ciphertext IS NULL))
);
CREATE UNIQUE INDEX rag_source_name ON rag_source (project_id, lower(name)) WHERE deleted_at IS NULL;
CREATE INDEX rag_source_listing ON rag_source (project_id, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX rag_source_deleted_at ON rag_source (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX rag_source_rag_embedder_id ON rag_source (rag_embedder_id);
CREATE INDEX rag_source_app_user_id ON rag_source (app_user_id);

-- What made a vector: vectors of one embedder can be compared, others cannot.
CREATE TABLE rag_embedder (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key           text NOT NULL UNIQUE, -- provider kind, address, model and dimensions
    provider_kind text NOT NULL,
    model         text NOT NULL,
    dimensions    integer NOT NULL CHECK (dimensions BETWEEN 1 AND 16384),
    created_at    timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE rag_source ADD FOREIGN KEY (rag_embedder_id) REFERENCES rag_embedder (id);

-- One index run of one source. Its node run carries attempts, stages and logs; a rag node of a flowchart may index several.
CREATE TABLE rag_index_run (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rag_source_id      bigint NOT NULL REFERENCES rag_source (id) ON DELETE CASCADE,
    node_run_id        bigint NOT NULL REFERENCES node_run (id) ON DELETE CASCADE,
    mode               text NOT NULL CHECK (mode IN ('fresh', 'delta')),
    status             text NOT NULL DEFAULT 'queued' CHECK (status IN
        ('queued', 'syncing', 'planning', 'planned', 'indexing', 'paused', 'succeeded', 'failed', 'cancelled')),
    index_revision     bigint NOT NULL, -- that it writes
    plan_first         boolean NOT NULL DEFAULT false, -- it waits in 'planned' until somebody applies the plan
    only_failed_of     bigint REFERENCES rag_index_run (id) ON DELETE SET NULL, -- tries the files again that failed there
    applied_at         timestamptz,
    pause_requested_at timestamptz,
    rag_embedder_id    bigint REFERENCES rag_embedder (id),
    remote_revision    text NOT NULL DEFAULT '',
    skipped            jsonb NOT NULL DEFAULT '{}', -- why files were left out: {excluded, too_large, binary, unreadable}
    found              integer NOT NULL DEFAULT 0,
    added              integer NOT NULL DEFAULT 0, -- planned, as the following
    changed            integer NOT NULL DEFAULT 0,
    removed            integer NOT NULL DEFAULT 0,
    kept               integer NOT NULL DEFAULT 0,
    done               integer NOT NULL DEFAULT 0, -- files whose action is finished
    failed             integer NOT NULL DEFAULT 0,
    chunks             integer NOT NULL DEFAULT 0, -- made of the files that are done
    embedded           integer NOT NULL DEFAULT 0, -- chunks that have a vector, from the provider or the cache
    cached             integer NOT NULL DEFAULT 0, -- of these, from the cache
    bytes              bigint NOT NULL DEFAULT 0,
    tokens             bigint NOT NULL DEFAULT 0, -- that the provider counted
    error              jsonb,
    created_at         timestamptz NOT NULL DEFAULT now(),
    started_at         timestamptz,
    planned_at         timestamptz,
    finished_at        timestamptz,
    UNIQUE (node_run_id, rag_source_id),
    CHECK ((status IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
);
-- One at a time works on a source; a request that finds one is told which.
CREATE UNIQUE INDEX rag_index_run_active ON rag_index_run (rag_source_id) WHERE finished_at IS NULL;
CREATE INDEX rag_index_run_listing ON rag_index_run (rag_source_id, id DESC);
CREATE INDEX rag_index_run_only_failed_of ON rag_index_run (only_failed_of) WHERE only_failed_of IS NOT NULL;
CREATE INDEX rag_index_run_rag_embedder_id ON rag_index_run (rag_embedder_id);
CREATE TRIGGER rag_index_run_final BEFORE UPDATE OF status ON rag_index_run FOR EACH ROW
    WHEN (OLD.finished_at IS NOT NULL AND NEW.status IS DISTINCT FROM OLD.status)
    EXECUTE FUNCTION refuse_change_of_final_state();

-- The journal: the files that an index run adds, changes or removes, and how far it is. What it keeps is only counted.
CREATE TABLE rag_index_file (
    rag_index_run_id bigint NOT NULL REFERENCES rag_index_run (id) ON DELETE CASCADE,
    path             text NOT NULL CHECK (path <> ''),
    action           text NOT NULL CHECK (action IN ('add', 'change', 'remove')),
    status           text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'done', 'failed')),
    fingerprint      text NOT NULL DEFAULT '',
    size             bigint NOT NULL DEFAULT 0,
    modified_at      timestamptz,
    tries            integer NOT NULL DEFAULT 0,
    error_code       text,
    error            text,
    chunks           integer NOT NULL DEFAULT 0,
    tokens           bigint NOT NULL DEFAULT 0,
    millis           integer NOT NULL DEFAULT 0,
    finished_at      timestamptz,
    PRIMARY KEY (rag_index_run_id, path),
    CHECK ((status = 'failed') = (error_code IS NOT NULL))
);
CREATE INDEX rag_index_file_status ON rag_index_file (rag_index_run_id, status, path);

-- A file as it was indexed, from one revision of the index up to another.
CREATE TABLE rag_file (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rag_source_id  bigint NOT NULL REFERENCES rag_source (id) ON DELETE CASCADE,
    path           text NOT NULL,
    from_revision  bigint NOT NULL,
    to_revision    bigint, -- null: not replaced, not removed
    fingerprint    text NOT NULL, -- that the source gave; the same one means the same content
    signature      text NOT NULL, -- of the parser, the chunker and their options
    content_hash   bytea NOT NULL,
    size           bigint NOT NULL,
    modified_at    timestamptz,
    kind           text NOT NULL, -- code, markdown, html, config, text, pdf, docx, pptx, xlsx
    language       text NOT NULL DEFAULT '',
    title          text NOT NULL DEFAULT '',
    chunks         integer NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (rag_source_id, path, from_revision),
    CHECK (to_revision IS NULL OR to_revision > from_revision)
);
CREATE INDEX rag_file_replaced ON rag_file (rag_source_id, to_revision) WHERE to_revision IS NOT NULL;

CREATE TABLE rag_chunk (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rag_source_id bigint NOT NULL,
    rag_file_id   bigint NOT NULL REFERENCES rag_file (id) ON DELETE CASCADE,
    key           text NOT NULL, -- stays the same while the text stays, whatever changes around it
    ordinal       integer NOT NULL,
    text          text NOT NULL,
    context       text NOT NULL DEFAULT '', -- path and headings or symbols; embedded and searched with the text
    heading       text[] NOT NULL DEFAULT '{}',
    line_start    integer NOT NULL DEFAULT 0,
    line_end      integer NOT NULL DEFAULT 0,
    page          integer NOT NULL DEFAULT 0,
    tokens        integer NOT NULL DEFAULT 0,
    content_hash  bytea NOT NULL, -- of what is embedded; with the embedder it names the vector
    words         text NOT NULL DEFAULT '', -- parts of identifiers, for the full text search
    tsv           tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('english', context), 'A') || setweight(to_tsvector('english', text), 'B') ||
        setweight(to_tsvector('simple', words), 'C')) STORED,
    UNIQUE (rag_file_id, ordinal)
);
CREATE INDEX rag_chunk_rag_source_id ON rag_chunk (rag_source_id);
CREATE INDEX rag_chunk_content_hash ON rag_chunk (content_hash);
CREATE INDEX rag_chunk_tsv ON rag_chunk USING gin (tsv);

-- Vectors by what they were made of: little endian float32, as many as the embedder has dimensions.
CREATE TABLE rag_embedding (
    rag_embedder_id bigint NOT NULL REFERENCES rag_embedder (id) ON DELETE CASCADE,
    content_hash    bytea NOT NULL,
    vector          bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (rag_embedder_id, content_hash)
);
CREATE INDEX rag_embedding_created_at ON rag_embedding (created_at);

-- What was looked for and found, by whom.
CREATE TABLE rag_retrieval (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id  bigint NOT NULL DEFAULT 1 REFERENCES project (id),
    origin      text NOT NULL CHECK (origin IN ('api', 'thread', 'node', 'mcp')),
    origin_id   bigint, -- the turn, or the node run
    app_user_id bigint REFERENCES app_user (id) ON DELETE SET NULL,
    question    text NOT NULL,
    source_ids  bigint[] NOT NULL,
    results     jsonb NOT NULL, -- [{source_id, path, chunk, position, score, snippet}]
    stats       jsonb NOT NULL,
    request_id  text NOT NULL DEFAULT '',
    at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX rag_retrieval_listing ON rag_retrieval (project_id, id DESC);
CREATE INDEX rag_retrieval_at ON rag_retrieval (at);
CREATE INDEX rag_retrieval_app_user_id ON rag_retrieval (app_user_id);

-- Schedules may start index runs, and may name an interval instead of an expression.
ALTER TABLE schedule DROP CONSTRAINT schedule_target_kind_check, DROP CONSTRAINT schedule_check;
ALTER TABLE schedule
    ADD COLUMN rag_source_id bigint REFERENCES rag_source (id) ON DELETE CASCADE,
    ADD COLUMN every_seconds integer CHECK (every_seconds BETWEEN 60 AND 31536000),
    ADD CONSTRAINT schedule_target_kind_check CHECK (target_kind IN ('flowchart', 'rag_source')),
    ADD CONSTRAINT schedule_flowchart_target CHECK ((target_kind = 'flowchart') = (flowchart_id IS NOT NULL)),
    ADD CONSTRAINT schedule_source_target CHECK ((target_kind = 'rag_source') = (rag_source_id IS NOT NULL)),
    ADD CONSTRAINT schedule_timing CHECK ((every_seconds IS NULL) = (cron <> ''));
CREATE UNIQUE INDEX schedule_rag_source_id ON schedule (rag_source_id) WHERE deleted_at IS NULL;
ALTER TABLE schedule_firing ADD COLUMN node_run_id bigint REFERENCES node_run (id) ON DELETE SET NULL;
CREATE INDEX schedule_firing_node_run_id ON schedule_firing (node_run_id) WHERE node_run_id IS NOT NULL;

-- Substrings and misspelt names. The extension comes with Debian's and the embedded server; where it is missing or may not
-- be made, the search goes without. It lies in a schema of its own, since a restored backup takes the place of ours.
-- +goose StatementBegin
DO $$
DECLARE
    place text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm') THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') THEN
        CREATE SCHEMA IF NOT EXISTS studio_extensions;
        CREATE EXTENSION pg_trgm SCHEMA studio_extensions;
    END IF;
    SELECT n.nspname INTO place FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm';
    EXECUTE format('CREATE INDEX rag_chunk_context_trgm ON rag_chunk USING gin (context %I.gin_trgm_ops)', place);
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'pg_trgm was not created: %', SQLERRM;
END
$$;
-- +goose StatementEnd
