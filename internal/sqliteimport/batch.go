package sqliteimport

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
)

// maxBatchBytes ends a batch before it has its rows, so that large outputs do
// not fill the memory.
const maxBatchBytes = 16 << 20

// batch collects rows for several tables and copies them in the order in which
// the tables refer to each other.
type batch struct {
	tx     *postgres.Tx
	size   int
	tables []*pendingTable
	rows   int
	bytes  int
}

type pendingTable struct {
	name    string
	columns []string
	rows    [][]any
}

// target lists the tables and columns that are written, referred-to tables first.
func target() []*pendingTable {
	return []*pendingTable{
		{name: "flowchart", columns: []string{"id", "name", "description", "version", "max_node_executions", "max_runtime_minutes", "max_parallel_nodes", "created_at", "updated_at"}},
		{name: "flowchart_version", columns: []string{"id", "flowchart_id", "number", "graph", "findings", "node_count", "created_at"}},
		{name: "flowchart_run", columns: []string{
			"id", "flowchart_id", "flowchart_version_id", "version", "status", "output", "error", "marking", "start_node_id",
			"node_executions", "max_node_executions", "max_parallel_nodes", "created_at", "started_at", "finished_at",
		}},
		{name: "node_run", columns: []string{
			"id", "flowchart_run_id", "flowchart_id", "flowchart_node_id", "kind", "title", "status", "attempt", "failures", "timeout_seconds",
			"execution_index", "config", "input_context", "output_state", "output_blob", "output_bytes", "routing_state", "execution_mode", "current_stage", "error",
			"run_after", "created_at", "queued_at", "started_at", "finished_at",
		}},
		{name: "node_attempt", columns: []string{
			"node_run_id", "number", "worker_process_id", "status", "executor", "provider_dispatch_id", "dispatch_status", "dispatch_uncertain",
			"stages", "error", "queued_at", "claimed_at", "started_at", "deadline_at", "finished_at",
		}},
		{name: "event", columns: []string{
			"stream", "sequence", "event_id", "event_type", "entity_kind", "entity_id", "room_keys", "payload", "emitted_at",
		}},
		{name: "setting", columns: []string{"section", "key", "value", "updated_at"}},
		{name: "imported_row", columns: []string{"source_table", "source_id", "reason", "document", "sealed"}},
	}
}

func newBatch(tx *postgres.Tx, size int) *batch { return &batch{tx: tx, size: size, tables: target()} }

// add collects a row, and copies what was collected once it is enough. Values are
// in the order of the table's columns. A row must come after those that it refers
// to.
func (b *batch) add(ctx context.Context, table string, values ...any) error {
	for _, t := range b.tables {
		if t.name != table {
			continue
		}
		if len(values) != len(t.columns) {
			return fmt.Errorf("a row of %s has %d values, not %d", table, len(values), len(t.columns))
		}
		for _, v := range values {
			b.bytes += weight(v)
		}
		b.rows++
		t.rows = append(t.rows, values)
		if b.rows < b.size && b.bytes < maxBatchBytes {
			return nil
		}
		return b.flush(ctx)
	}
	return fmt.Errorf("no table %s is written", table)
}

func (b *batch) flush(ctx context.Context) error {
	for _, t := range b.tables {
		// A statement never gets more rows than asked for.
		for len(t.rows) > 0 {
			n := min(b.size, len(t.rows))
			if _, err := b.tx.CopyFrom(ctx, pgx.Identifier{t.name}, t.columns, pgx.CopyFromRows(t.rows[:n])); err != nil {
				return fmt.Errorf("write %s: %w", t.name, err)
			}
			t.rows = t.rows[n:]
		}
		t.rows = nil
	}
	b.rows, b.bytes = 0, 0
	return nil
}

func weight(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []byte:
		return len(v)
	case json.RawMessage:
		return len(v)
	default:
		return 16
	}
}
