-- The web workers of all replicas, so that they find each other. An addition only: binaries that do not know the table
-- are not disturbed by it, and their sessions are found as before.

-- +goose Up
CREATE TABLE web_worker (
    name       text PRIMARY KEY,                      -- begins the ids of its Socket.IO sessions; never used twice
    hostname   text NOT NULL,
    pid        integer NOT NULL,
    version    text NOT NULL,
    address    text NOT NULL,                         -- host:port of its replica's internal listener; empty: none
    beat_at    timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX web_worker_beat ON web_worker (beat_at);
