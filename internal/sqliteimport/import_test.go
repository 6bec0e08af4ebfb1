package sqliteimport_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/settings"
	"github.com/llmctl/studio/internal/realtime"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/internal/sqliteimport"
	"github.com/llmctl/studio/internal/testkit/pgtest"
	"github.com/llmctl/studio/internal/testkit/sqlitetest"
)

type testBundle struct {
	t    *testing.T
	db   *postgres.DB
	path string
	box  *secret.Box
}

func setup(t *testing.T, o sqlitetest.Options) *testBundle {
	t.Helper()
	box, err := secret.New(bytes.Repeat([]byte{7}, secret.KeySize))
	require.NoError(t, err)
	b := &testBundle{t: t, db: pgtest.DB(t), path: filepath.Join(t.TempDir(), "llmctl-studio.sqlite3"), box: box}
	sqlitetest.Write(t, b.path, o)
	return b
}

func (b *testBundle) options() sqliteimport.Options {
	return sqliteimport.Options{
		Path: b.path, BatchSize: 50, Seal: b.box, Fingerprint: secret.Fingerprint, Now: time.Now, Removed: realtime.RaiseHorizon,
	}
}

func (b *testBundle) run(o sqliteimport.Options) *sqliteimport.Report {
	b.t.Helper()
	rep, err := sqliteimport.Import(b.t.Context(), b.db, o)
	require.NoError(b.t, err)
	return rep
}

func (b *testBundle) fails(o sqliteimport.Options, reason string) *errs.Error {
	b.t.Helper()
	_, err := sqliteimport.Import(b.t.Context(), b.db, o)
	require.Error(b.t, err)
	require.Equal(b.t, reason, errs.As(err).Reason, err)
	return errs.As(err)
}

func one[T any](b *testBundle, sql string, args ...any) T {
	b.t.Helper()
	var v T
	require.NoError(b.t, b.db.QueryRow(b.t.Context(), sql, args...).Scan(&v), sql)
	return v
}

func (b *testBundle) exec(sql string, args ...any) {
	b.t.Helper()
	_, err := b.db.Exec(b.t.Context(), sql, args...)
	require.NoError(b.t, err, sql)
}

func table(t *testing.T, rep *sqliteimport.Report, name string) *sqliteimport.TableReport {
	t.Helper()
	for _, r := range rep.Tables {
		if r.Table == name {
			return r
		}
	}
	require.Fail(t, "not in the report", name)
	return nil
}

func reasons(list []*sqliteimport.Reason) map[string]int64 {
	out := map[string]int64{}
	for _, r := range list {
		out[r.Text] = r.Rows
	}
	return out
}

func TestEveryRowOfTheFileIsAccountedFor(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{Ugly: true, Big: 5 << 20})
	rep := b.run(b.options())
	for _, name := range append(sqlitetest.Tables(), "leftovers") {
		r := table(t, rep, name)
		require.Equal(t, sqlitetest.Count(t, b.path, name), r.Read, name)
		require.Equal(t, r.Read, r.Written+r.Skipped, name)
		var skipped int64
		for _, reason := range r.Reasons {
			require.NotEmpty(t, reason.Text)
			skipped += reason.Rows
		}
		require.Equal(t, r.Skipped, skipped, name)
		require.Equal(t, r.Archived, one[int64](b, `SELECT count(*) FROM imported_row WHERE source_table = $1`, name), name)
		// Whatever was skipped is kept, but for what serves nobody.
		if name != "runtime_idempotency_keys" && name != "integration_settings" {
			require.LessOrEqual(t, r.Skipped, r.Archived, name)
		}
	}
	for _, w := range rep.Target {
		require.Equal(t, w.Rows, one[int64](b, "SELECT count(*) FROM "+w.Table), w.Table)
	}
	require.Equal(t, table(t, rep, "flowcharts").Written, one[int64](b, `SELECT count(*) FROM flowchart`))
	require.Equal(t, table(t, rep, "flowchart_runs").Written, one[int64](b, `SELECT count(*) FROM flowchart_run`))
	require.Equal(t, "this release has no place for them yet", table(t, rep, "chat_messages").Reasons[0].Text)
	require.Equal(t, int64(41), table(t, rep, "chat_messages").Skipped)
	require.Equal(t, "Message 1 of thread 0, grüße 🙂", one[string](b, `SELECT document->>'content' FROM imported_row WHERE source_table = 'chat_messages' AND source_id = '2'`))
	require.Equal(t, "2/1", one[string](b, `SELECT source_id FROM imported_row WHERE source_table = 'flowchart_node_mcp_servers'`))
	require.Equal(t, int64(1), one[int64](b, `SELECT count(*) FROM audit_event WHERE action = 'db.import_sqlite' AND detail->'tables'->'flowcharts'->>'written' = '23'`))
}

func TestEndingsAreFinalAndTimesAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{Ugly: true, Big: 5 << 20})
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	o := b.options()
	o.Location = berlin
	rep := b.run(o)

	require.Zero(t, one[int64](b, `SELECT count(*) FROM flowchart_run WHERE finished_at IS NULL`))
	require.Zero(t, one[int64](b, `SELECT count(*) FROM node_run WHERE finished_at IS NULL`))
	require.Zero(t, one[int64](b, `SELECT count(*) FROM node_attempt WHERE finished_at IS NULL`))
	require.Equal(t, map[string]int64{"succeeded": 40, "failed": 21, "cancelled": 42}, counts(b, `SELECT status, count(*) FROM flowchart_run GROUP BY 1`))
	require.Equal(t, "imported while it was running", one[string](b, `SELECT error->>'message' FROM flowchart_run WHERE id = 5001`))
	require.Equal(t, "Decision matched no connector.", one[string](b, `SELECT error->>'message' FROM flowchart_run WHERE id = 2`))
	require.Equal(t, "n3", one[string](b, `SELECT error->>'node_id' FROM flowchart_run WHERE id = 2`))
	require.Contains(t, one[string](b, `SELECT error->>'message' FROM flowchart_run WHERE id = 5002`), `"exploded"`)

	// 08:00 in Berlin in winter is 07:00.
	require.Equal(t, "2026-01-05T07:00:00.123456Z", one[time.Time](b, `SELECT started_at FROM flowchart_run WHERE id = 1`).UTC().Format(time.RFC3339Nano))
	require.Equal(t, "2026-01-05T10:00:00Z", one[time.Time](b, `SELECT finished_at FROM flowchart_run WHERE id = 5002`).UTC().Format(time.RFC3339Nano))
	require.Equal(t, "2026-01-05T09:00:00Z", one[time.Time](b, `SELECT created_at FROM flowchart_run WHERE id = 5002`).UTC().Format(time.RFC3339Nano))
	require.Equal(t, "2026-01-04T23:00:00Z", one[time.Time](b, `SELECT created_at FROM flowchart_run WHERE id = 5003`).UTC().Format(time.RFC3339Nano))
	require.Contains(t, reasons(table(t, rep, "flowchart_runs").Notes), "it has no readable time of creation and got that of the import")

	worker := one[uuid.UUID](b, `SELECT DISTINCT worker_process_id FROM node_attempt`)
	require.True(t, one[bool](b, `SELECT stopped_at IS NOT NULL AND owner = 'imported' FROM worker_process WHERE id = $1`, worker))
	require.Equal(t, []any{"succeeded", "kubernetes", "kubernetes:llmctl/job-2", "dispatch_confirmed", false}, values(b,
		`SELECT status, executor, provider_dispatch_id, dispatch_status, dispatch_uncertain FROM node_attempt WHERE node_run_id = 2`))
	require.True(t, one[bool](b, `SELECT dispatch_uncertain FROM node_attempt WHERE node_run_id = 20001`))
}

func TestOutputsErrorsAndLogsAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{Ugly: true, Big: 5 << 20})
	rep := b.run(b.options())
	// Outputs carry the names that ours have.
	raw, err := blob.Get(t.Context(), b.db, one[[]byte](b, `SELECT output_blob FROM node_run WHERE id = 2 AND output_state IS NULL`))
	require.NoError(t, err)
	require.Equal(t, int64(len(raw)), one[int64](b, `SELECT output_bytes FROM node_run WHERE id = 2`))
	var large struct{ Text string }
	require.NoError(t, json.Unmarshal(raw, &large))
	require.Len(t, large.Text, 5<<20)
	require.Equal(t, "urgent", one[string](b, `SELECT output_state->'json'->>'route_key' FROM node_run WHERE id = 5`))
	require.Equal(t, "urgent", one[string](b, `SELECT routing_state->>'route_key' FROM node_run WHERE id = 5`))
	require.Equal(t, "the rendered prompt", one[string](b, `SELECT input_context->'config'->>'prompt' FROM node_run WHERE id = 5`))
	require.Equal(t, "Quick question 0", one[string](b, `SELECT title FROM node_run WHERE id = 10000`))
	require.Equal(t, map[string]int64{"indexing": 10, "delta_indexing": 10}, counts(b, `SELECT execution_mode, count(*) FROM node_run WHERE execution_mode IS NOT NULL GROUP BY 1`))
	require.Equal(t, "An answer.", one[string](b, `SELECT output_state->>'text' FROM node_run WHERE id = 10000`))

	// The logs are events of the stream where logs are read.
	events, err := event.ReadStream(t.Context(), b.db, "node_log:2", 0, 10)
	require.NoError(t, err)
	require.Len(t, events, 3)
	require.JSONEq(t, `{"task_id":2,"attempt":1,"offset":0,"text":"line one\nline two\n","stage":"llm_query"}`, string(events[1].Envelope.Payload))
	require.Equal(t, int64(2), events[1].Envelope.Sequence)
	var stages []struct {
		Key, Status string
		LogLines    int `json:"log_lines"`
	}
	require.NoError(t, json.Unmarshal(one[json.RawMessage](b, `SELECT stages FROM node_attempt WHERE node_run_id = 2`), &stages))
	require.Len(t, stages, 6)
	require.Equal(t, "llm_query", stages[4].Key)
	require.Equal(t, 2, stages[4].LogLines)
	require.Equal(t, "not json at all", one[string](b, `SELECT payload->>'text' FROM event WHERE stream = 'node_log:20000'`))

	// What was no JSON, or not storable, is there all the same.
	require.Equal(t, "degraded", one[string](b, `SELECT status FROM node_run WHERE flowchart_run_id = 5001 AND execution_index = 1 AND flowchart_node_id = 'n31'`))
	require.Contains(t, one[string](b, `SELECT output_state->>'text' FROM node_run WHERE flowchart_run_id = 5001 AND execution_index = 1 AND flowchart_node_id = 'n31'`), "NaN")
	require.Equal(t, "xy\uFFFDz", one[string](b, `SELECT output_state->>'text' FROM node_run WHERE flowchart_run_id = 5001 AND execution_index = 2 AND flowchart_node_id = 'n31'`))
	require.Equal(t, "1e999", one[string](b, `SELECT output_state->>'big' FROM node_run WHERE flowchart_run_id = 5001 AND execution_index = 2 AND flowchart_node_id = 'n31'`))
	require.Equal(t, "memory", one[string](b, `SELECT kind FROM node_run WHERE flowchart_node_id = 'n777'`))
	notes := reasons(table(t, rep, "flowchart_run_nodes").Notes)
	require.Equal(t, int64(1), notes["its task is not in the file; what the task knew is missing"])
	require.Equal(t, int64(1), reasons(table(t, rep, "flowchart_run_nodes").Reasons)["its node is not in the file, and it does not say of what kind it was"])
	require.Equal(t, int64(1), reasons(table(t, rep, "flowchart_run_nodes").Reasons)["its run was not taken over"])
}

func TestModelsGetProvidersAndSealedKeys(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{Ugly: true})
	rep := b.run(b.options())
	models := table(t, rep, "llm_models")
	require.Equal(t, int64(7), models.Written)
	require.Len(t, models.Reasons, 3)
	require.Equal(t, []any{"openai", "http://gpu.example:8000/v1", "GLM-4.7-Flash"}, values(b,
		`SELECT p.kind, p.base_url, m.model FROM model m JOIN provider p ON p.id = m.provider_id WHERE m.id = 4`))
	require.JSONEq(t, `{"temperature": 0.2, "max_tokens": 4096}`, one[string](b, `SELECT config::text FROM model WHERE id = 4`))
	require.Equal(t, "http://127.0.0.1:8000/v1", one[string](b, `SELECT base_url FROM model m JOIN provider p ON p.id = m.provider_id WHERE m.id = 5`))
	require.Equal(t, "http://other.example:9000/v1", one[string](b, `SELECT base_url FROM model m JOIN provider p ON p.id = m.provider_id WHERE m.id = 9`))
	require.Equal(t, "CODEX 5.2 (2)", one[string](b, `SELECT name FROM model WHERE id = 6`))
	require.Equal(t, one[int64](b, `SELECT provider_id FROM model WHERE id = 1`), one[int64](b, `SELECT provider_id FROM model WHERE id = 6`))

	// The key opens where the catalogue looks for it.
	c := catalog.New(b.db, event.NewLog(nil, time.Now), b.box, secret.Fingerprint)
	_, p, err := c.GetModel(t.Context(), 1)
	require.NoError(t, err)
	key, err := c.Key(p)
	require.NoError(t, err)
	require.Equal(t, sqlitetest.OpenAIKey, key)

	// New rows get ids of their own.
	for _, name := range []string{"model", "flowchart", "flowchart_run", "node_run", "provider"} {
		highest := one[int64](b, "SELECT max(id) FROM "+name)
		require.Equal(t, highest+1, one[int64](b, `SELECT nextval(pg_get_serial_sequence($1, 'id'))`, name), name)
	}
}

func TestCredentialsAreNeverWrittenInClear(t *testing.T) {
	t.Parallel()
	credentials := []string{sqlitetest.OpenAIKey, sqlitetest.RemoteKey, sqlitetest.GitHubPAT, sqlitetest.MCPToken, "BEGIN PRIVATE KEY", "embedder-secret"}
	for _, withKey := range []bool{true, false} {
		t.Run(map[bool]string{true: "with a secret key", false: "without"}[withKey], func(t *testing.T) {
			t.Parallel()
			b := setup(t, sqlitetest.Options{Ugly: true})
			o := b.options()
			if !withKey {
				o.Seal = nil
			}
			rep := b.run(o)
			for _, name := range []string{"imported_row", "setting", "provider", "model", "node_run", "flowchart_version", "audit_event"} {
				text := one[string](b, "SELECT coalesce(string_agg(t::text, ' '), '') FROM "+name+" t")
				for _, c := range credentials {
					require.NotContains(t, text, c, name)
				}
			}
			if !withKey {
				require.Contains(t, table(t, rep, "mcp_servers").Reasons[0].Text, "LLMCTL_STUDIO_SECRET_KEY")
				require.Zero(t, table(t, rep, "mcp_servers").Archived)
				require.Zero(t, one[int64](b, `SELECT count(*) FROM provider WHERE api_key_ciphertext IS NOT NULL`))
				return
			}
			plain, err := b.box.Open(one[[]byte](b, `SELECT sealed FROM imported_row WHERE source_table = 'mcp_servers' AND source_id = '1'`), []byte("imported_row:mcp_servers:1"))
			require.NoError(t, err)
			require.Contains(t, string(plain), sqlitetest.MCPToken)
		})
	}
}

func TestSettingsWithoutMeaningAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{})
	b.run(b.options())
	require.Equal(t, `"acme/widgets"`, one[string](b, `SELECT value::text FROM setting WHERE section = 'imported' AND key = 'integration_settings.github.repo'`))
	require.Equal(t, `"chroma.local"`, one[string](b, `SELECT value::text FROM setting WHERE section = 'imported' AND key = 'rag_settings.chroma.host'`))
}

func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{Ugly: true})
	dump := func() string {
		return one[string](b, `SELECT string_agg(x, E'\n') FROM (
			SELECT relname || ' ' || (xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %I', relname), false, true, '')))[1]::text AS x
			FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname) t`)
	}
	before, sum := dump(), fileSum(t, b.path)
	o := b.options()
	o.DryRun = true
	rep := b.run(o)
	require.True(t, rep.DryRun)
	require.Equal(t, int64(23), table(t, rep, "flowcharts").Written)
	require.Equal(t, before, dump())
	require.Equal(t, sum, fileSum(t, b.path))
	// The same import in earnest says the same.
	again := b.run(b.options())
	require.Len(t, again.Tables, len(rep.Tables))
	for i := range rep.Tables {
		require.Equal(t, rep.Tables[i], again.Tables[i])
	}
	require.Equal(t, sum, fileSum(t, b.path))
}

func TestFilledTargetIsRefusedWithoutTruncate(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{})
	b.exec(`INSERT INTO app_user (email, password_hash, role) VALUES ('a@b.c', 'x', 'admin')`)
	b.exec(`INSERT INTO setting (section, key, value) VALUES ('demo', 'installed', 'true')`)
	b.run(b.options()) // users and the installation's own settings do not count
	before := one[int64](b, `SELECT count(*) FROM imported_row`)
	e := b.fails(b.options(), "import.not_empty")
	require.Contains(t, e.Message, "flowchart (22)")
	require.Contains(t, e.Message, "--truncate-target")
	require.NotContains(t, e.Message, "worker_process")
	require.Equal(t, before, one[int64](b, `SELECT count(*) FROM imported_row`))

	b.exec(`INSERT INTO river_job (kind, queue, args, state, max_attempts, priority) VALUES ('node', 'llmctl_studio', '{"node_run_id": 1}', 'available', 1, 1)`)
	b.exec(`INSERT INTO event_stream (name, last_sequence) VALUES ('flowchart_run:1', 12), ('node_log:2', 40) ON CONFLICT (name) DO UPDATE SET last_sequence = 40`)
	o := b.options()
	o.Truncate = true
	rep := b.run(o)
	require.NotEmpty(t, rep.Truncated)
	require.Equal(t, int64(1), one[int64](b, `SELECT count(*) FROM app_user`))
	require.Equal(t, int64(2), one[int64](b, `SELECT count(*) FROM audit_event`))
	require.Equal(t, "true", one[string](b, `SELECT value::text FROM setting WHERE section = 'demo'`))
	require.Zero(t, one[int64](b, `SELECT count(*) FROM river_job`))
	require.Equal(t, before, one[int64](b, `SELECT count(*) FROM imported_row`))
	// Streams go on from the numbers that readers know.
	head, err := event.ReadHead(t.Context(), b.db, "node_log:2")
	require.NoError(t, err)
	require.Equal(t, event.Head{Last: 43, Oldest: 41}, head)
	events, err := event.ReadStream(t.Context(), b.db, "node_log:2", 40, 10)
	require.NoError(t, err)
	require.Len(t, events, 3)
	horizon, err := realtime.ReadHorizon(t.Context(), b.db)
	require.NoError(t, err)
	require.NotZero(t, horizon)
}

func TestRetrievalIsEmptiedWithEverythingElse(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{})
	for _, sql := range []string{
		`INSERT INTO rag_embedder (key, provider_kind, model, dimensions) VALUES ('k', 'demo', 'm', 1)`,
		`INSERT INTO rag_source (name, kind, config, index_revision, rag_embedder_id) VALUES ('Ours', 'local', '{}', 1, 1)`,
		`INSERT INTO rag_file (rag_source_id, path, from_revision, fingerprint, signature, content_hash, size, kind) VALUES (1, 'a', 1, '', '', 'h', 1, 'text')`,
		`INSERT INTO rag_chunk (rag_source_id, rag_file_id, key, ordinal, text, content_hash) VALUES (1, 1, 'k', 0, 'text', 'h')`,
		`INSERT INTO rag_embedding (rag_embedder_id, content_hash, vector) VALUES (1, 'h', '\x00000000')`,
		`INSERT INTO node_run (flowchart_node_id, kind, status, timeout_seconds, execution_index, finished_at) VALUES ('quick', 'rag_index', 'succeeded', 1, 1, now())`,
		`INSERT INTO rag_index_run (rag_source_id, node_run_id, mode, status, index_revision, finished_at) VALUES (1, 1, 'fresh', 'succeeded', 1, now())`,
		`INSERT INTO rag_index_file (rag_index_run_id, path, action) VALUES (1, 'a', 'add')`,
		`INSERT INTO schedule (name, target_kind, rag_source_id, cron, time_zone, missed_policy, overlap_policy, index_due_at, index_fire_at)
			VALUES ('Docs', 'rag_source', 1, '0 3 * * *', 'UTC', 'skip', 'skip', now(), now())`,
		`INSERT INTO setting (section, key, value) VALUES ('rag', 'values', '{"revision":4,"values":{"top_k":9,"embedding_model_id":3,"rerank_model_id":4,"synthesis_model_id":5}}')`,
		`INSERT INTO setting (section, key, value) VALUES ('chat_runtime', 'values', '{"revision":2,"values":{"currency":"EUR","default_model_id":3,"prices":[{"model_id":3}]}}')`,
		// What a database with pgvector has besides.
		`CREATE TABLE rag_vector (rag_embedder_id bigint, content_hash bytea, PRIMARY KEY (rag_embedder_id, content_hash),
			FOREIGN KEY (rag_embedder_id, content_hash) REFERENCES rag_embedding (rag_embedder_id, content_hash) ON DELETE CASCADE)`,
		`INSERT INTO rag_vector VALUES (1, 'h')`,
	} {
		b.exec(sql)
	}
	b.fails(b.options(), "import.not_empty")
	o := b.options()
	o.Truncate = true
	b.run(o)
	for _, table := range []string{"rag_chunk", "rag_embedder", "rag_embedding", "rag_file", "rag_index_file", "rag_index_run", "rag_vector", "schedule"} {
		require.Zero(t, one[int64](b, `SELECT count(*) FROM `+table), table)
	}
	require.Zero(t, one[int64](b, `SELECT count(*) FROM rag_source WHERE index_revision > 0 OR name = 'Ours'`))
	s, revision, err := settings.Load(t.Context(), b.db)
	require.NoError(t, err)
	require.EqualValues(t, 4, revision)
	require.Equal(t, 9, s.TopK, "what people decided stays")
	require.Nil(t, s.EmbeddingModelID, "but for models that are others now")
	require.Nil(t, s.RerankModelID)
	require.Nil(t, s.SynthesisModelID)
	require.JSONEq(t, `{"currency":"EUR"}`, one[string](b, `SELECT (value -> 'values')::text FROM setting WHERE section = 'chat_runtime'`))
}

func TestRunningStudioIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{})
	b.exec(`INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues) VALUES (gen_random_uuid(), 'o', 'box', 77, 'v', 1, '{}')`)
	e := b.fails(b.options(), "import.target_in_use")
	require.Contains(t, e.Message, "box (process 77)")
	b.exec(`UPDATE worker_process SET beat_at = now() - interval '1 minute'`)
	b.run(b.options())
}

func TestEveryTableIsEitherEmptiedOrKept(t *testing.T) {
	t.Parallel()
	b := &testBundle{db: pgtest.DB(t)}
	known := append(sqliteimport.OwnTables(), sqliteimport.KeptTables()...)
	rows, err := b.db.Query(t.Context(), `SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname !~ '^(river_|goose_)'`)
	require.NoError(t, err)
	defer rows.Close() // a failure must not leave the pool waiting for its connection
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		require.Contains(t, known, name, "a table that an import neither empties nor keeps: decide in target.go")
	}
	require.NoError(t, rows.Err())
}

func counts(b *testBundle, sql string) map[string]int64 {
	b.t.Helper()
	rows, err := b.db.Query(b.t.Context(), sql)
	require.NoError(b.t, err)
	out := map[string]int64{}
	for rows.Next() {
		var key string
		var n int64
		require.NoError(b.t, rows.Scan(&key, &n))
		out[key] = n
	}
	require.NoError(b.t, rows.Err())
	return out
}

func values(b *testBundle, sql string) []any {
	b.t.Helper()
	rows, err := b.db.Query(b.t.Context(), sql)
	require.NoError(b.t, err)
	defer rows.Close()
	require.True(b.t, rows.Next())
	out, err := rows.Values()
	require.NoError(b.t, err)
	return out
}

func fileSum(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(filepath.Dir(path), e.Name()))
		require.NoError(t, err)
		names = append(names, e.Name()+" "+string(raw))
	}
	return strings.Join(names, "\n")
}

func TestCancelledImportLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{Runs: 300})
	ctx, cancel := context.WithCancel(t.Context())
	o := b.options()
	clock := time.Now()
	o.Now = func() time.Time { clock = clock.Add(time.Minute); return clock }
	told := 0
	o.Progress = func(string, int64, int64) {
		if told++; told == 200 {
			cancel()
		}
	}
	_, err := sqliteimport.Import(ctx, b.db, o)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, one[int64](b, `SELECT count(*) FROM flowchart`))
	require.Zero(t, one[int64](b, `SELECT count(*) FROM worker_process`))
}
