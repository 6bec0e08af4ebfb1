-- What the page of queues and workers shows, and how queues and workers are held back. Additions only: older binaries go
-- on working beside this one; of their attempts nothing is counted, and they do not see a drain or, in a chain of nodes, a pause.

-- +goose Up
ALTER TABLE worker_process
    ADD COLUMN rss_bytes bigint,
    ADD COLUMN cpu_cores real,             -- used on average since the beat before
    ADD COLUMN goroutines integer,
    ADD COLUMN draining_at timestamptz,    -- takes nothing more until this is null again
    ADD COLUMN draining_by bigint REFERENCES app_user (id) ON DELETE SET NULL;
CREATE INDEX worker_process_draining_by ON worker_process (draining_by) WHERE draining_by IS NOT NULL;

-- Queues that are paused. River keeps a flag of its own, which it forgets with a queue that nobody has consumed for a day.
CREATE TABLE queue_pause (
    queue       text PRIMARY KEY,
    paused_at   timestamptz NOT NULL DEFAULT now(),
    app_user_id bigint REFERENCES app_user (id) ON DELETE SET NULL
);
CREATE INDEX queue_pause_app_user_id ON queue_pause (app_user_id);

-- What each queue did, by minute. Every process adds what it counted every few seconds; a day is kept.
CREATE TABLE queue_minute (
    minute   timestamptz NOT NULL,
    queue    text NOT NULL,
    enqueued bigint NOT NULL,
    finished bigint NOT NULL,  -- attempts that ended, however
    failed   bigint NOT NULL,  -- those of them that failed or were lost
    waited   bigint[] NOT NULL, -- counts by bucket, from due to begun
    took     bigint[] NOT NULL, -- counts by bucket, from begun to ended
    PRIMARY KEY (minute, queue)
);

-- Node runs that failed for good, by queue, newest first. The condition is not on status: that changes with every step of
-- a node run, and each of those updates would then have to write all indexes.
CREATE INDEX node_run_failed ON node_run (queue, id DESC) WHERE error IS NOT NULL;
