package sqliteimport

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
)

// importLock is the advisory lock that lets one import run at a time.
const importLock = 0x6c6c6d63746c03

// workerID is the worker of all imported attempts. It has always been stopped.
const workerID = "00000000-0000-7000-8000-000000000001"

// ownTables are the tables that an import empties and fills.
func ownTables() []string {
	return []string{
		"artifact", "attempt_pod_log", "attempt_upload", "blob", "download_attempt", "download_file", "download_job", "event", "flowchart", "flowchart_run", "flowchart_tool", "flowchart_version",
		"idempotency_key", "imported_row", "model", "node_attempt", "node_run", "provider", "queue_minute", "retention_progress", "schedule",
		"schedule_firing", "tool_call", "tool_cycle", "worker_process",
		"attachment", "chat_activity", "chat_token_ratio", "chat_usage", "compaction", "message", "thread", "thread_branch", "turn", "turn_attempt",
		"rag_chunk", "rag_embedder", "rag_embedding", "rag_file", "rag_index_file", "rag_index_run", "rag_retrieval", "rag_source",
		"rag_vector", // only where the database has pgvector
	}
}

// keptTables are never touched, beside the queue's and the migrations' own.
// Streams keep their numbers, so that no reader takes new events for old ones;
// settings are emptied but for the installation's own.
func keptTables() []string {
	return []string{
		"api_key", "app_user", "audit_event", "beat_process", "event_stream", "login_failure", "periodic_task", "project", "queue_pause",
		"schema_level", "session", "setting", "setup_token",
		"web_worker", "liveness_watch",
		"integration", "mcp_oauth_flow", "mcp_server", // an import brings none
	}
}

// bookkeeping are tables of ours whose rows are no content.
func bookkeeping() []string {
	return []string{"idempotency_key", "queue_minute", "retention_progress", "worker_process"}
}

// ownSettings are sections that belong to the installation, not to its content.
const ownSettings = `section NOT IN ('event_log', 'demo', 'retention', 'chat_runtime', 'rag')`

// prepareTarget refuses a target that is in use or not empty, and empties it if
// that is wanted.
func (im *importer) prepareTarget(ctx context.Context) error {
	var mine bool
	if err := im.tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1)`, int64(importLock)).Scan(&mine); err != nil {
		return fmt.Errorf("lock the target: %w", err)
	}
	if !mine {
		return conflict("running", "Another import into this database is under way.")
	}
	if err := im.requireSchema(ctx); err != nil {
		return err
	}
	if err := im.refuseLive(ctx); err != nil {
		return err
	}
	full, err := im.filled(ctx)
	if err != nil {
		return err
	}
	if len(full) == 0 || im.o.Truncate {
		return im.empty(ctx, full)
	}
	parts := make([]string, len(full))
	for i, e := range full {
		parts[i] = fmt.Sprintf("%s (%d)", e.Table, e.Rows)
	}
	return conflict("not_empty",
		"The target is not empty; these tables have rows: %s. Give --truncate-target to remove them first (users, API keys and the audit log stay).",
		strings.Join(parts, ", "))
}

// requireSchema refuses a schema from before imports.
func (im *importer) requireSchema(ctx context.Context) error {
	var there bool
	if err := im.tx.QueryRow(ctx, `SELECT to_regclass('imported_row') IS NOT NULL`).Scan(&there); err != nil {
		return fmt.Errorf("look at the target's schema: %w", err)
	}
	if !there {
		return errs.E(errs.Precondition, "import.schema_too_old", "The target's schema is older than this release. Run `llmctl db migrate` first.")
	}
	return nil
}

// refuseLive refuses while anybody works on the target: what they know of it
// would be wrong afterwards.
func (im *importer) refuseLive(ctx context.Context) error {
	rows, err := im.tx.Query(ctx, `SELECT format('worker %s on %s (process %s)', id, hostname, pid) FROM worker_process
		WHERE stopped_at IS NULL AND tombstone_at IS NULL AND beat_at > now() - interval '15 seconds' ORDER BY started_at`)
	if err != nil {
		return fmt.Errorf("look for workers: %w", err)
	}
	live, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for workers: %w", err)
	}
	rows, err = im.tx.Query(ctx, `SELECT DISTINCT application_name FROM pg_stat_activity
		WHERE datname = current_database() AND application_name LIKE 'llmctl %'
		  AND application_name <> current_setting('application_name')`)
	if err != nil {
		return fmt.Errorf("look for other programs: %w", err)
	}
	programs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for other programs: %w", err)
	}
	if live = append(live, programs...); len(live) == 0 {
		return nil
	}
	return conflict("target_in_use",
		"The Studio of this database is running: %s. Stop it, wait 15 seconds if it was killed, and try again.", strings.Join(live, ", "))
}

// filled lists the tables with content.
func (im *importer) filled(ctx context.Context) ([]Emptied, error) {
	var out []Emptied
	tables, err := im.existing(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range append(tables, "setting") {
		where := ""
		if name == "setting" {
			where = " WHERE " + ownSettings
		}
		var n int64
		if err := im.tx.QueryRow(ctx, "SELECT count(*) FROM "+pgx.Identifier{name}.Sanitize()+where).Scan(&n); err != nil {
			return nil, fmt.Errorf("count %s: %w", name, err)
		}
		if n > 0 && !slices.Contains(bookkeeping(), name) {
			out = append(out, Emptied{name, n})
		}
	}
	return out, nil
}

// existing are those of our tables that this schema has.
func (im *importer) existing(ctx context.Context) ([]string, error) {
	rows, err := im.tx.Query(ctx, `SELECT t FROM unnest($1::text[]) t WHERE to_regclass(t) IS NOT NULL ORDER BY t`, ownTables())
	if err != nil {
		return nil, fmt.Errorf("look for tables: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// empty removes all content, and the jobs that point to it.
func (im *importer) empty(ctx context.Context, full []Emptied) error {
	tables, err := im.existing(ctx)
	if err != nil {
		return err
	}
	if full != nil {
		im.rep.Truncated = full
	}
	statements := []string{
		"TRUNCATE " + strings.Join(tables, ", ") + " RESTART IDENTITY",
		"DELETE FROM setting WHERE " + ownSettings,
		// The models that settings named are gone, and their numbers will be those of others.
		`UPDATE setting SET value = value #- '{values,embedding_model_id}' #- '{values,rerank_model_id}' #- '{values,synthesis_model_id}'
			#- '{values,default_model_id}' #- '{values,prices}' WHERE section IN ('rag', 'chat_runtime') AND key = 'values'`,
		// Readers that know a stream's number go on from it: the log has a gap, not a second beginning.
		"UPDATE event_stream SET oldest_sequence = last_sequence + 1",
		// A job is a pointer to a row; every row that one can point to is gone.
		"DELETE FROM river_job",
	}
	for _, sql := range statements {
		if _, err := im.tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("empty the target: %w", err)
		}
	}
	_, err = im.tx.Exec(ctx, `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues, stopped_at)
		VALUES ($1, 'imported', 'imported', 0, 'imported', 0, '{}', now())`, workerID)
	if err != nil {
		return fmt.Errorf("write the worker of imported attempts: %w", err)
	}
	return nil
}

// finishTarget sets the sequences behind the ids that were kept, counts what is
// there and writes the audit entry.
func (im *importer) finishTarget(ctx context.Context) error {
	for _, name := range []string{"provider", "model", "rag_source", "flowchart", "flowchart_version", "flowchart_run", "node_run"} {
		_, err := im.tx.Exec(ctx, `SELECT setval(pg_get_serial_sequence($1, 'id'), greatest(coalesce((SELECT max(id) FROM `+name+`), 0), 0) + 1, false)`, name)
		if err != nil {
			return fmt.Errorf("reset the ids of %s: %w", name, err)
		}
	}
	if im.o.Removed != nil {
		var xid uint64
		if err := im.tx.QueryRow(ctx, `SELECT pg_current_xact_id()::text::bigint`).Scan(&xid); err != nil {
			return fmt.Errorf("read the transaction's id: %w", err)
		}
		if err := im.o.Removed(ctx, im.tx, xid); err != nil {
			return err
		}
	}
	for _, name := range []string{"provider", "model", "setting", "rag_source", "flowchart", "flowchart_version", "flowchart_run", "node_run", "node_attempt", "blob", "event", "imported_row"} {
		var n int64
		if err := im.tx.QueryRow(ctx, "SELECT count(*) FROM "+name).Scan(&n); err != nil {
			return fmt.Errorf("count %s: %w", name, err)
		}
		im.rep.Target = append(im.rep.Target, Written{name, n})
	}
	return auth.Audit(ctx, im.tx, auth.AuditEntry{
		Action: "db.import_sqlite", EntityKind: "database", Detail: im.auditDetail(),
	})
}

func (im *importer) auditDetail() map[string]any {
	tables := map[string]any{}
	for name, t := range im.rep.byName {
		tables[name] = map[string]int64{"read": t.Read, "written": t.Written, "skipped": t.Skipped, "archived": t.Archived}
	}
	return map[string]any{"source": im.src.path, "truncated": im.rep.Truncated, "tables": tables}
}
