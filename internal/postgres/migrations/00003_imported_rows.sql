-- What `llmctl db import-sqlite` read and this schema has no table for. An addition only: binaries that do not know the
-- table are not disturbed by it.

-- +goose Up
CREATE TABLE imported_row (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_table text NOT NULL,
    source_id    text NOT NULL, -- the row's id there; of a join table its key columns, joined by /
    reason       text NOT NULL, -- why it is here
    document     jsonb,         -- the row, by column
    sealed       bytea,         -- the same, encrypted, where it holds credentials; bound to "imported_row:<source_table>:<source_id>"
    imported_at  timestamptz NOT NULL DEFAULT now(),
    CHECK ((document IS NULL) <> (sealed IS NULL))
);
CREATE INDEX imported_row_source ON imported_row (source_table, source_id);
