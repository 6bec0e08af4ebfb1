-- When the schedules of sources fire. The release before takes every schedule that has a next_fire_at for one of a
-- flowchart, and ends or fails it. So the times of sources' schedules lie in columns of their own, which it does not know, and
-- it cannot write the others.

-- +goose Up
ALTER TABLE schedule
    ADD COLUMN index_due_at timestamptz,
    ADD COLUMN index_fire_at timestamptz;
UPDATE schedule SET index_due_at = next_due_at, index_fire_at = next_fire_at, next_due_at = NULL, next_fire_at = NULL
WHERE rag_source_id IS NOT NULL;
-- Nothing says that they are null when it is disabled or deleted: the release before may do both, and does not know of them.
-- Whoever fires looks at that.
ALTER TABLE schedule
    ADD CONSTRAINT schedule_index_times CHECK ((index_due_at IS NULL) = (index_fire_at IS NULL)),
    ADD CONSTRAINT schedule_times_by_target CHECK (CASE WHEN rag_source_id IS NULL THEN index_fire_at IS NULL ELSE next_fire_at IS NULL END);
CREATE INDEX schedule_index_fire_at ON schedule (index_fire_at) WHERE index_fire_at IS NOT NULL;
