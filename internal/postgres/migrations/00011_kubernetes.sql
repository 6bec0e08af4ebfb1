-- Attempts that run in pods, which outlive the worker that asked for them (ADR 11). Additions only. A binary of level 3
-- would take such an attempt for lost with its worker and begin another one beside the pod; the trigger refuses that.

-- +goose Up
ALTER TABLE node_attempt
    ADD COLUMN token_hash    bytea CHECK (octet_length(token_hash) = 32), -- SHA-256 of the token that opens the executor's API for it
    ADD COLUMN event_n       bigint NOT NULL DEFAULT 0, -- number of the last event that the pod reported and that is stored
    ADD COLUMN text_offset   bigint NOT NULL DEFAULT 0, -- characters streamed so far
    ADD COLUMN pod_uid       text,                      -- the pod that works it; null: none has started
    ADD COLUMN dispatched_at timestamptz,               -- dispatch_pending: the row was written, nothing is created yet
    ADD COLUMN submitted_at  timestamptz,
    ADD COLUMN confirmed_at  timestamptz,               -- the pod was told that it may start
    ADD COLUMN let_go_at     timestamptz,               -- the holder stopped watching; another one may take over
    ADD COLUMN dispatch_note text,                      -- what the pod waits for, or how it ended; for people
    ADD COLUMN payload_blob  bytea REFERENCES blob (sha256), -- what the pod works with, without secrets; null once it has ended
    ADD CONSTRAINT node_attempt_started CHECK ((pod_uid IS NULL) = (confirmed_at IS NULL));
CREATE UNIQUE INDEX node_attempt_token_hash ON node_attempt (token_hash) WHERE token_hash IS NOT NULL;
CREATE INDEX node_attempt_payload_blob ON node_attempt (payload_blob) WHERE payload_blob IS NOT NULL;
CREATE INDEX node_attempt_in_pod ON node_attempt (node_run_id) WHERE finished_at IS NULL AND executor = 'kubernetes';

-- +goose StatementBegin
CREATE FUNCTION refuse_loss_of_attempt_in_pod() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'attempt % of node run % runs in a pod and is not lost with its worker', OLD.number, OLD.node_run_id;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER node_attempt_in_pod BEFORE UPDATE OF status ON node_attempt FOR EACH ROW
    WHEN (OLD.executor = 'kubernetes' AND OLD.finished_at IS NULL AND NEW.status = 'lost')
    EXECUTE FUNCTION refuse_loss_of_attempt_in_pod();

-- Files that a pod has uploaded and that its result will refer to. Gone with the end of the attempt.
CREATE TABLE attempt_upload (
    node_run_id bigint NOT NULL,
    number      integer NOT NULL,
    name        text NOT NULL CHECK (name <> ''),
    media_type  text NOT NULL,
    size        bigint NOT NULL CHECK (size >= 0),
    blob        bytea NOT NULL REFERENCES blob (sha256),
    PRIMARY KEY (node_run_id, number, name),
    FOREIGN KEY (node_run_id, number) REFERENCES node_attempt (node_run_id, number)
);
CREATE INDEX attempt_upload_blob ON attempt_upload (blob);

-- What a pod wrote to its standard output, for people.
CREATE TABLE attempt_pod_log (
    node_run_id bigint NOT NULL,
    number      integer NOT NULL,
    seq         integer NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    text        text NOT NULL,
    PRIMARY KEY (node_run_id, number, seq),
    FOREIGN KEY (node_run_id, number) REFERENCES node_attempt (node_run_id, number)
);
