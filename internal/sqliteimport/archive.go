package sqliteimport

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Why rows are not taken over.
const (
	reasonNoPlace    = "this release has no place for them yet"
	reasonUnknown    = "the table is not one of the original's"
	reasonShortLived = "they only serve to recognise repeated requests within a day"
	reasonNoKey      = "they hold credentials and no secret key is configured (LLMCTL_STUDIO_SECRET_KEY or _FILE); set it and import again"
	reasonTooLarge   = "a row of it is too large to keep"
)

// noPlace are the original's tables that we have no tables for.
func noPlace() []string {
	return []string{
		"agent_priorities", "agent_skill_bindings", "agent_task_attachments", "agent_task_mcp_servers", "agent_task_scripts", "agents",
		"attachments", "chat_activity_events", "chat_messages", "chat_thread_mcp_servers", "chat_threads", "chat_turns",
		"flowchart_node_attachments", "flowchart_node_mcp_servers", "flowchart_node_scripts", "flowchart_node_skills", "mcp_servers",
		"memories", "milestones", "node_artifacts", "plan_stages", "plan_tasks", "plans", "rag_retrieval_audits",
		"rag_source_file_states", "roles", "runs", "scripts", "skill_files", "skill_versions", "skills",
	}
}

// credentialTables hold keys and tokens in the midst of their configuration.
func credentialTables() []string { return []string{"mcp_servers"} }

// importRest keeps everything that has no place, so that a later release can
// take it over without the file.
func (im *importer) importRest(ctx context.Context) error {
	taken := []string{
		"agent_tasks", "flowchart_edges", "flowchart_nodes", "flowchart_run_nodes", "flowchart_runs", "flowcharts",
		"integration_settings", "llm_models", "rag_settings", "rag_sources",
	}
	for _, name := range slices.Sorted(maps.Keys(im.src.tables)) {
		var err error
		switch {
		case slices.Contains(taken, name):
		case name == "runtime_idempotency_keys":
			err = im.skipTable(ctx, name, reasonShortLived)
		case slices.Contains(noPlace(), name):
			err = im.archiveTable(ctx, name, reasonNoPlace)
		default:
			err = im.archiveTable(ctx, name, reasonUnknown)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) skipTable(ctx context.Context, name, reason string) error {
	return im.src.each(ctx, name, func(row) error {
		im.read(name)
		im.rep.table(name).skipped(reason, "")
		return ctx.Err()
	})
}

func (im *importer) archiveTable(ctx context.Context, name, reason string) error {
	im.rep.table(name) // empty tables are reported too
	return im.src.each(ctx, name, func(r row) error {
		im.read(name)
		return im.skip(ctx, name, r, reason)
	})
}

// skip counts a row as not taken over and keeps it.
func (im *importer) skip(ctx context.Context, name string, r row, reason string) error {
	kept, err := im.archive(ctx, name, r, reason)
	if err != nil {
		return err
	}
	if kept != "" {
		reason += "; " + kept
	}
	id := im.sourceID(name, r)
	if slices.Contains(noPlace(), name) && kept == "" {
		id = "" // all of them: examples say nothing
	}
	im.rep.table(name).skipped(reason, id)
	return nil
}

// archive writes a row into imported_row. lost says why it could not be kept.
func (im *importer) archive(ctx context.Context, name string, r row, reason string) (lost string, err error) {
	id := im.sourceID(name, r)
	doc := make(map[string]any, len(r))
	for column, v := range r {
		doc[clean(column)] = plain(v)
	}
	raw, err := encode(doc)
	if err != nil {
		return "", fmt.Errorf("encode row %s of %s: %w", id, name, err)
	}
	if len(raw) > 2*maxValueBytes {
		return reasonTooLarge, nil
	}
	secret := slices.Contains(credentialTables(), name) || (isSettings(name) && isCredential(r))
	if !secret {
		im.rep.table(name).Archived++
		return "", im.out.add(ctx, "imported_row", name, id, reason, raw, nil)
	}
	if im.o.Seal == nil {
		return reasonNoKey, nil
	}
	sealed, err := im.o.Seal.Seal(raw, []byte("imported_row:"+name+":"+id))
	if err != nil {
		return "", fmt.Errorf("seal row %s of %s: %w", id, name, err)
	}
	im.rep.table(name).Archived++
	return "", im.out.add(ctx, "imported_row", name, id, reason, nil, sealed)
}

// sourceID names a row in its table.
func (im *importer) sourceID(name string, r row) string {
	t := im.src.tables[name]
	if v, ok := r.integer("id"); ok {
		return strconv.FormatInt(v, 10)
	}
	parts := make([]string, 0, len(t.key))
	for _, column := range t.key {
		parts = append(parts, short(r.trimmed(column), 100))
	}
	if len(parts) == 0 {
		return "row " + strconv.FormatInt(im.done[name], 10)
	}
	return strings.Join(parts, "/")
}

// left removes the columns that were written elsewhere, so that large outputs are
// not kept twice.
func left(r row, taken ...string) row {
	out := maps.Clone(r)
	for _, column := range taken {
		delete(out, column)
	}
	return out
}

// orNull gives a JSON value for a column that may be null.
func orNull(v any) (any, error) {
	if v == nil {
		return nil, nil //nolint:nilnil // null is a value
	}
	raw, err := encode(v)
	if err != nil {
		return nil, err
	}
	return raw, nil
}
