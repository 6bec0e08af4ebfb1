-- Flowcharts that are published as tools of the Studio's own MCP server. Additions only.

-- +goose Up
CREATE TABLE flowchart_tool (
    flowchart_id bigint PRIMARY KEY REFERENCES flowchart (id) ON DELETE CASCADE,
    -- What clients call it. The server's own tools begin with llmctl_, so they never collide.
    name         text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,63}$' AND name NOT LIKE 'llmctl\_%'),
    description  text NOT NULL DEFAULT '' CHECK (length(description) <= 2000),
    enabled      boolean NOT NULL DEFAULT true,
    wait_seconds integer NOT NULL DEFAULT 30 CHECK (wait_seconds BETWEEN 0 AND 300),
    revision     bigint NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT flowchart_tool_name UNIQUE (name)
);
