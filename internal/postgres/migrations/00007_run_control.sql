-- Pause, retry from a node, receipts. Additions only; a binary of level 2 goes on working, but would not hold a paused
-- run, so nobody pauses while a worker of it lives.

-- +goose Up
UPDATE schema_level SET level = greatest(level, 3);

ALTER TABLE flowchart_run
    ADD COLUMN paused_at timestamptz,           -- since when nothing of it runs; the deadline waits
    ADD COLUMN cancel_requested_at timestamptz, -- of the run as a whole, by somebody or by a failure
    ADD COLUMN retry_from bigint;               -- node run of retry_of; null: it began anew. No key: the tables would refer to each other

ALTER TABLE node_run
    ADD COLUMN cancel_requested_at timestamptz,
    ADD COLUMN finish_order integer, -- ends of a run in the order of their commits; of some rows from before null
    ADD COLUMN reused_from bigint REFERENCES node_run (id); -- the node run that did the work
CREATE INDEX node_run_reused_from ON node_run (reused_from) WHERE reused_from IS NOT NULL;
