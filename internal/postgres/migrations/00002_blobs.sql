-- Large outputs and files of node runs. Additions only: a level 1 binary goes on working beside this one. It would
-- take an output that lies in a blob for null, so nobody writes one while a worker of level 1 lives.

-- +goose Up
UPDATE schema_level SET level = 2;

-- Which release a worker is of; those of level 1 do not say it.
ALTER TABLE worker_process ADD COLUMN level integer NOT NULL DEFAULT 1;

-- Content by its hash. It is compressed by whoever writes it, and kept out of line as it is, so that a reader can take
-- it in slices without loading the whole.
CREATE TABLE blob (
    sha256     bytea PRIMARY KEY CHECK (octet_length(sha256) = 32), -- of the content before compression
    size       bigint NOT NULL CHECK (size BETWEEN 0 AND 33554432), -- before compression
    encoding   text NOT NULL CHECK (encoding IN ('raw', 'gzip')),
    content    bytea NOT NULL,
    touched_at timestamptz NOT NULL DEFAULT now() -- when somebody last meant to refer to it; the clean-up waits for it to age
);
ALTER TABLE blob ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE INDEX blob_touched_at ON blob (touched_at);

-- An output above 64 KiB: output_state is null then.
ALTER TABLE node_run
    ADD COLUMN output_blob bytea REFERENCES blob (sha256),
    ADD COLUMN output_bytes bigint,
    ADD CONSTRAINT node_run_output CHECK ((output_blob IS NULL) = (output_bytes IS NULL) AND (output_blob IS NULL OR output_state IS NULL));
CREATE INDEX node_run_output_blob ON node_run (output_blob) WHERE output_blob IS NOT NULL;
ALTER TABLE flowchart_run
    ADD COLUMN output_blob bytea REFERENCES blob (sha256),
    ADD COLUMN output_bytes bigint,
    ADD CONSTRAINT flowchart_run_output CHECK ((output_blob IS NULL) = (output_bytes IS NULL) AND (output_blob IS NULL OR output IS NULL));
CREATE INDEX flowchart_run_output_blob ON flowchart_run (output_blob) WHERE output_blob IS NOT NULL;

-- A file that an attempt left behind.
CREATE TABLE artifact (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id       bigint NOT NULL DEFAULT 1 REFERENCES project (id),
    flowchart_run_id bigint REFERENCES flowchart_run (id), -- null for quick nodes
    node_run_id      bigint NOT NULL REFERENCES node_run (id),
    attempt          integer NOT NULL,
    name             text NOT NULL CHECK (name <> ''), -- a relative path
    kind             text NOT NULL CHECK (kind <> ''), -- "file": written by a script
    media_type       text NOT NULL,
    size             bigint NOT NULL CHECK (size >= 0),
    blob             bytea NOT NULL REFERENCES blob (sha256),
    created_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (node_run_id, attempt, name)
);
CREATE INDEX artifact_flowchart_run_id ON artifact (flowchart_run_id);
CREATE INDEX artifact_project_id ON artifact (project_id);
CREATE INDEX artifact_blob ON artifact (blob);
