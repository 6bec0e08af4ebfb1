-- Whether a worker is alive is watched by all processes together: what one has seen counts for the others, so that
-- killing or freezing an observer does not begin its watch anew. An addition only: a binary that does not know it keeps
-- its own watch.

-- +goose Up
ALTER TABLE worker_process
    ADD COLUMN watched_beat  bigint,      -- the counter as the watch saw it last
    ADD COLUMN watched_since timestamptz; -- since when it has stood there

-- One row. The watch is unbroken as long as polls follow each other closely: an outage of the database, or a machine
-- that slept with everything on it, begins it anew.
CREATE TABLE liveness_watch (
    only_row       boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    polled_at      timestamptz NOT NULL DEFAULT now(),
    unbroken_since timestamptz NOT NULL DEFAULT now(),
    sweeper        uuid, -- whose turn it is to sweep for all
    sweeper_until  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO liveness_watch DEFAULT VALUES;
