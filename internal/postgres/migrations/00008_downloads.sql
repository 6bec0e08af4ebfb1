-- Downloads from a model hub. Additions only: binaries that do not know the tables are not disturbed by them.

-- +goose Up
CREATE TABLE download_job (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id         bigint NOT NULL DEFAULT 1 REFERENCES project (id),
    repo_id            text NOT NULL,              -- as the hub writes it
    revision           text NOT NULL,              -- as it was asked for: a branch, a tag or a commit
    commit_id          text NOT NULL,              -- what that was when the job was made; nothing else is fetched
    include            text[] NOT NULL DEFAULT '{}',
    exclude            text[] NOT NULL DEFAULT '{}',
    target             text NOT NULL,              -- folder below <data dir>/models
    status             text NOT NULL CHECK (status IN
        ('queued', 'planning', 'downloading', 'verifying', 'paused', 'cancelling', 'succeeded', 'failed', 'cancelled')),
    attempt            integer NOT NULL DEFAULT 0, -- number of the newest attempt; the fence of every write
    worker_process_id  uuid REFERENCES worker_process (id), -- who holds it; null: nobody
    failures           integer NOT NULL DEFAULT 0, -- attempts in a row that failed and brought nothing
    lost               integer NOT NULL DEFAULT 0, -- attempts in a row that died with their worker and brought nothing
    place              text NOT NULL DEFAULT '',   -- id of the data dir that its bytes lie in
    token_ciphertext   bytea,                      -- of this job only; removed when the job ends
    token_fingerprint  text NOT NULL DEFAULT '',
    bytes_total        bigint NOT NULL CHECK (bytes_total >= 0),
    bytes_done         bigint NOT NULL DEFAULT 0 CHECK (bytes_done >= 0),
    bytes_fetched      bigint NOT NULL DEFAULT 0,  -- over the wire, all attempts together
    bytes_per_second   bigint NOT NULL DEFAULT 0,
    files_total        integer NOT NULL,
    files_done         integer NOT NULL DEFAULT 0,
    error              jsonb,
    pause_requested_at  timestamptz,
    cancel_requested_at timestamptz,
    delete_requested_at timestamptz,               -- hidden from lists; gone when what it asks for is done
    cleanup            text CHECK (cleanup IN ('partials', 'files')), -- what a worker still has to remove from the disk
    revision_number    bigint NOT NULL DEFAULT 1,  -- counts changes of state and orders, not of progress
    app_user_id        bigint REFERENCES app_user (id) ON DELETE SET NULL,
    request_id         text NOT NULL DEFAULT '',
    correlation_id     text NOT NULL DEFAULT '',
    run_after          timestamptz NOT NULL DEFAULT now(), -- earliest start of the next attempt
    created_at         timestamptz NOT NULL DEFAULT now(),
    started_at         timestamptz,
    paused_at          timestamptz,
    finished_at        timestamptz,
    CHECK ((status IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)),
    CHECK ((status IN ('planning', 'downloading', 'verifying', 'cancelling')) = (worker_process_id IS NOT NULL)),
    CHECK (finished_at IS NULL OR token_ciphertext IS NULL)
);
-- One job at a time writes a target folder; a request that finds one is told which.
CREATE UNIQUE INDEX download_job_active_target ON download_job (lower(target)) WHERE finished_at IS NULL;
CREATE INDEX download_job_listing ON download_job (project_id, id DESC) WHERE delete_requested_at IS NULL;
CREATE INDEX download_job_target ON download_job (target);
CREATE INDEX download_job_due ON download_job (run_after) WHERE status = 'queued';
CREATE INDEX download_job_cleanup ON download_job (id) WHERE cleanup IS NOT NULL;
CREATE INDEX download_job_worker_process_id ON download_job (worker_process_id) WHERE worker_process_id IS NOT NULL;
CREATE INDEX download_job_app_user_id ON download_job (app_user_id);

CREATE TABLE download_file (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    download_job_id bigint NOT NULL REFERENCES download_job (id) ON DELETE CASCADE,
    path            text NOT NULL CHECK (path <> ''),
    size            bigint NOT NULL CHECK (size >= 0),
    hash_kind       text NOT NULL CHECK (hash_kind IN ('sha256', 'git_sha1')),
    hash            text NOT NULL,
    status          text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'downloading', 'verifying', 'succeeded', 'failed')),
    bytes_done      bigint NOT NULL DEFAULT 0 CHECK (bytes_done BETWEEN 0 AND size),
    ranges          jsonb NOT NULL DEFAULT '[]', -- [[from, to], ...] of the bytes that are there
    error           text,
    UNIQUE (download_job_id, path)
);

CREATE TABLE download_attempt (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    download_job_id   bigint NOT NULL REFERENCES download_job (id) ON DELETE CASCADE,
    number            integer NOT NULL,
    worker_process_id uuid NOT NULL REFERENCES worker_process (id),
    status            text NOT NULL DEFAULT 'running' CHECK (status IN
        ('running', 'succeeded', 'failed', 'cancelled', 'paused', 'handed_over', 'lost')),
    error             jsonb,
    bytes_before      bigint NOT NULL,
    bytes_fetched     bigint NOT NULL DEFAULT 0,
    claimed_at        timestamptz NOT NULL DEFAULT now(),
    finished_at       timestamptz,
    CHECK ((status = 'running') = (finished_at IS NULL)),
    UNIQUE (download_job_id, number)
);
CREATE INDEX download_attempt_worker_process_id ON download_attempt (worker_process_id);

CREATE TRIGGER download_job_final BEFORE UPDATE OF status ON download_job FOR EACH ROW
    WHEN (OLD.finished_at IS NOT NULL AND NEW.status IS DISTINCT FROM OLD.status)
    EXECUTE FUNCTION refuse_change_of_final_state();
CREATE TRIGGER download_attempt_final BEFORE UPDATE OF status ON download_attempt FOR EACH ROW
    WHEN (OLD.finished_at IS NOT NULL AND NEW.status IS DISTINCT FROM OLD.status)
    EXECUTE FUNCTION refuse_change_of_final_state();
