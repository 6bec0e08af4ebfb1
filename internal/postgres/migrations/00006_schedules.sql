-- Schedules, their firings, the periodic tasks of the system, and who runs them. Additions only: binaries that do not
-- know these tables and columns are not disturbed by them.

-- +goose Up

-- Something that is started when its time comes. next_due_at is the next time that the expression names, next_fire_at the
-- same with its jitter: when it is to be fired. Both are null while it fires no more (disabled, deleted).
CREATE TABLE schedule (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id     bigint NOT NULL DEFAULT 1 REFERENCES project (id),
    name           text NOT NULL CHECK (name <> ''),
    target_kind    text NOT NULL CHECK (target_kind IN ('flowchart')),
    flowchart_id   bigint REFERENCES flowchart (id),
    input          jsonb NOT NULL DEFAULT '{}',
    cron           text NOT NULL,
    time_zone      text NOT NULL,
    jitter_seconds integer NOT NULL DEFAULT 0 CHECK (jitter_seconds BETWEEN 0 AND 3600),
    missed_policy  text NOT NULL CHECK (missed_policy IN ('skip', 'catch_up')),
    catch_up_limit integer NOT NULL DEFAULT 1 CHECK (catch_up_limit BETWEEN 1 AND 100),
    overlap_policy text NOT NULL CHECK (overlap_policy IN ('allow', 'skip')),
    enabled        boolean NOT NULL DEFAULT true,
    next_due_at    timestamptz,
    next_fire_at   timestamptz,
    app_user_id    bigint REFERENCES app_user (id) ON DELETE SET NULL,
    revision       bigint NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    deleted_at     timestamptz,
    CHECK ((target_kind = 'flowchart') = (flowchart_id IS NOT NULL)),
    CHECK ((next_due_at IS NULL) = (next_fire_at IS NULL)),
    CHECK (next_due_at IS NULL OR (enabled AND deleted_at IS NULL))
);
CREATE INDEX schedule_next_fire_at ON schedule (next_fire_at) WHERE next_fire_at IS NOT NULL;
CREATE INDEX schedule_listing ON schedule (project_id, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX schedule_flowchart_id ON schedule (flowchart_id);
CREATE INDEX schedule_app_user_id ON schedule (app_user_id);

-- Which schedule started a run, and for which time.
ALTER TABLE flowchart_run
    ADD COLUMN schedule_id bigint REFERENCES schedule (id),
    ADD COLUMN due_at timestamptz;
CREATE INDEX flowchart_run_schedule_id ON flowchart_run (schedule_id, id DESC) WHERE schedule_id IS NOT NULL;
-- What retention looks for.
CREATE INDEX flowchart_run_finished_at ON flowchart_run (finished_at, id) WHERE finished_at IS NOT NULL;
CREATE INDEX node_run_quick_finished_at ON node_run (finished_at, id) WHERE finished_at IS NOT NULL AND flowchart_run_id IS NULL;

-- What became of a time. It is written in the transaction that starts the run, and its uniqueness is what lets any number
-- of schedulers fire each time once.
CREATE TABLE schedule_firing (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schedule_id      bigint NOT NULL REFERENCES schedule (id) ON DELETE CASCADE,
    due_at           timestamptz NOT NULL,
    fired_at         timestamptz NOT NULL DEFAULT now(),
    origin           text NOT NULL CHECK (origin IN ('due', 'catch_up', 'manual')),
    outcome          text NOT NULL CHECK (outcome IN ('started', 'skipped', 'missed', 'failed')),
    missed           integer NOT NULL DEFAULT 0 CHECK (missed >= 0), -- of outcome missed: how many times, due_at being the last
    reason           text NOT NULL DEFAULT '', -- a stable word, of every outcome but started
    message          text NOT NULL DEFAULT '',
    flowchart_run_id bigint REFERENCES flowchart_run (id) ON DELETE SET NULL,
    UNIQUE (schedule_id, due_at),
    CHECK ((outcome = 'missed') = (missed > 0)),
    CHECK (outcome = 'started' OR flowchart_run_id IS NULL)
);
CREATE INDEX schedule_firing_listing ON schedule_firing (schedule_id, id DESC);
CREATE INDEX schedule_firing_flowchart_run_id ON schedule_firing (flowchart_run_id);
CREATE INDEX schedule_firing_fired_at ON schedule_firing (fired_at);

-- Work of the system itself. A task with a next_at is claimed by one scheduler a period; one without is done elsewhere and
-- only noted here.
CREATE TABLE periodic_task (
    name           text NOT NULL,
    host           text NOT NULL DEFAULT '', -- of what is done on each host by itself
    period_seconds double precision NOT NULL CHECK (period_seconds > 0),
    next_at        timestamptz,
    claims         bigint NOT NULL DEFAULT 0, -- the fence of who reports an end
    lease_until    timestamptz,               -- not null: it runs, or its scheduler died with it
    due_at         timestamptz,
    started_at     timestamptz,
    finished_at    timestamptz,
    outcome        text CHECK (outcome IN ('succeeded', 'failed', 'interrupted')), -- of the last one that is known
    error          text NOT NULL DEFAULT '',
    detail         jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (name, host)
);

-- The schedulers that live. Nothing depends on it but what people are told.
CREATE TABLE beat_process (
    id         uuid PRIMARY KEY,
    hostname   text NOT NULL,
    pid        integer NOT NULL,
    version    text NOT NULL,
    beat_at    timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz NOT NULL DEFAULT now()
);

-- How far retention has come: everything that ended up to here has been removed.
CREATE TABLE retention_progress (
    what        text PRIMARY KEY,
    finished_at timestamptz NOT NULL,
    id          bigint NOT NULL
);
