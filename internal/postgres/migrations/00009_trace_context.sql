-- What a run and its nodes hang under in their trace, so that the tree stays connected whichever processes die and whoever
-- goes on: a W3C traceparent, empty where nothing is traced. Additions only; a binary that does not know the columns leaves
-- them empty, and what it starts is not traced.

-- +goose Up
ALTER TABLE flowchart_run ADD COLUMN traceparent text NOT NULL DEFAULT '';
ALTER TABLE node_run ADD COLUMN traceparent text NOT NULL DEFAULT '';
