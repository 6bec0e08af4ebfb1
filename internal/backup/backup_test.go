package backup_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/backup"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

const passphrase = "correct horse battery"

// someData makes rows of the awkward kinds: references in circles and to
// themselves, text that COPY escapes, bytes, null, arrays, transaction ids, counters.
const someData = `
INSERT INTO app_user (email, password_hash, role) VALUES (E'a\\b\tc@example.org', 'x', 'admin');
INSERT INTO provider (name, kind, api_key_ciphertext) VALUES ('p', 'openai', '\x00ff0a5c09'), (E'line\nbreak', 'demo', NULL);
INSERT INTO flowchart (name, version) VALUES ('Größe 🙂', 1);
INSERT INTO flowchart_version (flowchart_id, number, graph, node_count) VALUES (1, 1, '{"a":"\\N"}', 0);
INSERT INTO flowchart_run (flowchart_id, flowchart_version_id, version, status, start_node_id, max_node_executions, max_parallel_nodes, retry_of, finished_at)
	SELECT 1, 1, 1, 'succeeded', 's', 1, 1, nullif(n, 1) - 1, now() FROM generate_series(1, 3) n;
INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues, beat_at)
	VALUES (gen_random_uuid(), 'o', 'h', 1, 'v', 1, '{a,"b c"}', now() - interval '1 hour');
INSERT INTO event_stream VALUES ('s', 3000);
INSERT INTO event (stream, sequence, event_id, event_type, entity_kind, entity_id, room_keys, payload, emitted_at)
	SELECT 's', n, gen_random_uuid(), 't', 'k', '1', '{r}', json_build_object('text', repeat('x', 4000)), now() FROM generate_series(1, 3000) n;
SELECT setval('project_id_seq', 41);
`

// retrievalData is a source with two revisions, of which the second one is shown.
const retrievalData = `
INSERT INTO rag_embedder (key, provider_kind, model, dimensions) VALUES ('k', 'demo', 'm', 2);
INSERT INTO rag_source (name, kind, config, include, credential_kind, credential_ciphertext, index_revision, rag_embedder_id, files, chunks, indexed_at)
	VALUES ('Docs', 'git', '{"url":"https://example.org/a.git"}', '{*.md}', 'token', '\x00ff', 2, 1, 1, 1, now());
INSERT INTO node_run (flowchart_node_id, kind, status, timeout_seconds, execution_index, finished_at)
	SELECT 'quick', 'rag_index', 'succeeded', 1, n, now() FROM generate_series(1, 2) n;
INSERT INTO rag_index_run (rag_source_id, node_run_id, mode, status, index_revision, finished_at)
	SELECT 1, n.id, 'delta', 'succeeded', n.execution_index, now() FROM node_run n WHERE kind = 'rag_index';
INSERT INTO rag_index_file (rag_index_run_id, path, action, status) SELECT id, 'a.md', 'change', 'done' FROM rag_index_run;
INSERT INTO rag_file (rag_source_id, path, from_revision, to_revision, fingerprint, signature, content_hash, size, kind, chunks)
	VALUES (1, 'a.md', 1, 2, 'f1', 's', '\x01', 1, 'markdown', 1), (1, 'a.md', 2, NULL, 'f2', 's', '\x02', 1, 'markdown', 1);
INSERT INTO rag_chunk (rag_source_id, rag_file_id, key, ordinal, text, context, heading, content_hash, words)
	SELECT 1, id, 'k', 0, 'the harbours of revision ' || from_revision, path, '{One,"Two, three"}', content_hash, 'harbour' FROM rag_file;
INSERT INTO rag_embedding (rag_embedder_id, content_hash, vector) SELECT 1, content_hash, '\x0000803f00000000' FROM rag_chunk;
INSERT INTO rag_retrieval (origin, question, source_ids, results, stats) VALUES ('api', 'where?', '{1}', '[]', '{}');
`

// nightly schedules the source as releases of schema 15 stored it.
const nightly = `
INSERT INTO schedule (name, target_kind, rag_source_id, cron, time_zone, missed_policy, overlap_policy, next_due_at, next_fire_at)
	VALUES ('Docs', 'rag_source', 1, '0 3 * * *', 'UTC', 'catch_up', 'skip', '2126-01-01', '2126-01-01');
`

func filled(t *testing.T) *postgres.DB {
	t.Helper()
	db := pgtest.DB(t)
	_, err := db.Exec(t.Context(), someData+retrievalData+strings.NewReplacer("next_due_at", "index_due_at", "next_fire_at", "index_fire_at").Replace(nightly))
	require.NoError(t, err)
	return db
}

func uri(db *postgres.DB) string { return db.Pool.Config().ConnString() }

func create(t *testing.T, o backup.CreateOptions) (path string, m *backup.Manifest) {
	t.Helper()
	if o.Output == "" {
		o.Output = filepath.Join(t.TempDir(), "studio.backup")
	}
	o.Binary, o.Now, o.Say = "test", time.Now, func(string) {}
	m, err := backup.Create(t.Context(), o)
	require.NoError(t, err)
	return o.Output, m
}

func open(t *testing.T, path string) *backup.Archive {
	t.Helper()
	a, err := backup.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func restore(t *testing.T, a *backup.Archive, o backup.RestoreOptions) error {
	t.Helper()
	o.Say = func(string) {}
	return a.Restore(context.WithoutCancel(t.Context()), o)
}

// contents is everything in the tables but transaction ids, as text.
func contents(t *testing.T, db *postgres.DB) map[string]string {
	t.Helper()
	rows, err := db.Query(t.Context(), `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname NOT IN ('goose_db_version', 'river_migration')`)
	require.NoError(t, err)
	var names []string
	for rows.Next() {
		var n string
		require.NoError(t, rows.Scan(&n))
		names = append(names, n)
	}
	require.NoError(t, rows.Err())
	all := map[string]string{}
	for _, n := range names {
		var text string
		require.NoError(t, db.QueryRow(t.Context(), `SELECT coalesce(string_agg((to_jsonb(x) - 'xid')::text, E'\n' ORDER BY (to_jsonb(x) - 'xid')::text), '') FROM `+n+` x`).Scan(&text))
		all[n] = text
	}
	return all
}

func schemaOf(t *testing.T, db *postgres.DB) string {
	t.Helper()
	var text string
	require.NoError(t, db.QueryRow(t.Context(), `SELECT string_agg(line, E'\n' ORDER BY line) FROM (
		SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, column_default, is_identity) line FROM information_schema.columns WHERE table_schema = 'public'
		UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
		UNION ALL SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
		UNION ALL SELECT pg_get_triggerdef(oid) || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace) x`).Scan(&text))
	return text
}

func TestRestoredDatabaseIsTheSame(t *testing.T) {
	t.Parallel()
	source := filled(t)
	path, m := create(t, backup.CreateOptions{URI: uri(source)})
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	require.Greater(t, m.Size(), int64(4<<20), "more than one piece")

	for name, target := range map[string]*postgres.DB{"migrated": pgtest.DB(t), "empty": emptyDB(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, restore(t, open(t, path), backup.RestoreOptions{URI: uri(target)}))
			require.Equal(t, contents(t, source), contents(t, target))
			require.Equal(t, schemaOf(t, pgtest.DB(t)), schemaOf(t, target))
			var next int64
			require.NoError(t, target.QueryRow(t.Context(), `INSERT INTO project (name) VALUES ('x') RETURNING id`).Scan(&next))
			require.EqualValues(t, 42, next, "counters go on")
			var future, left int
			require.NoError(t, target.QueryRow(t.Context(), `SELECT count(*) FROM event WHERE xid >= pg_snapshot_xmin(pg_current_snapshot())`).Scan(&future))
			require.Zero(t, future, "no event is from the future of this server")
			require.NoError(t, target.QueryRow(t.Context(), `SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'llmctl%'`).Scan(&left))
			require.Zero(t, left, "the stage is gone")
			for _, table := range []string{"flowchart_run", "rag_index_run"} {
				_, err := target.Exec(t.Context(), `UPDATE `+table+` SET status = 'failed'`)
				require.ErrorContains(t, err, "is final", "triggers are back")
			}
			var text string
			require.NoError(t, target.QueryRow(t.Context(), `SELECT c.text FROM rag_source s JOIN rag_file f ON f.rag_source_id = s.id
				AND f.from_revision <= s.index_revision AND (f.to_revision IS NULL OR f.to_revision > s.index_revision)
				JOIN rag_chunk c ON c.rag_file_id = f.id JOIN rag_embedding e ON e.content_hash = c.content_hash AND e.rag_embedder_id = s.rag_embedder_id
				WHERE c.tsv @@ to_tsquery('english', 'harbour')`).Scan(&text))
			require.Equal(t, "the harbours of revision 2", text, "searches find what was shown, and nothing older")
		})
	}
}

func emptyDB(t *testing.T) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(context.WithoutCancel(t.Context()), postgres.Options{URI: pgtest.Empty(t)})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	return db
}

func TestBackupIsOneSnapshot(t *testing.T) {
	t.Parallel()
	db := filled(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_, _ = db.Exec(ctx, `WITH s AS (UPDATE event_stream SET last_sequence = last_sequence + 1 WHERE name = 's' RETURNING last_sequence)
				INSERT INTO event (stream, sequence, event_id, event_type, entity_kind, entity_id, room_keys, payload, emitted_at)
				SELECT 's', last_sequence, gen_random_uuid(), 't', 'k', '1', '{r}', '{}', now() FROM s`)
		}
	}()
	path, _ := create(t, backup.CreateOptions{URI: uri(db)})
	cancel()
	<-done
	target := pgtest.DB(t)
	require.NoError(t, restore(t, open(t, path), backup.RestoreOptions{URI: uri(target)}))
	var head, events int
	require.NoError(t, target.QueryRow(t.Context(), `SELECT (SELECT last_sequence FROM event_stream WHERE name = 's'), (SELECT count(*) FROM event)`).Scan(&head, &events))
	require.Equal(t, head, events)
}

func TestTargetThatIsNotEmptyNeedsForce(t *testing.T) {
	t.Parallel()
	path, _ := create(t, backup.CreateOptions{URI: uri(filled(t))})
	target := pgtest.DB(t)
	_, err := target.Exec(t.Context(), `INSERT INTO provider (name, kind) VALUES ('mine', 'demo')`)
	require.NoError(t, err)
	before := contents(t, target)
	err = restore(t, open(t, path), backup.RestoreOptions{URI: uri(target)})
	require.True(t, errs.HasReason(err, backup.ReasonNotEmpty), "%v", err)
	require.ErrorContains(t, err, "provider")
	require.Equal(t, before, contents(t, target))
	require.NoError(t, restore(t, open(t, path), backup.RestoreOptions{URI: uri(target), Force: true}))
	require.NotEqual(t, before, contents(t, target))
}

func TestTargetInUseIsRefused(t *testing.T) {
	t.Parallel()
	path, _ := create(t, backup.CreateOptions{URI: uri(filled(t))})
	target := pgtest.DB(t)
	_, err := target.Exec(t.Context(), `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues) VALUES (gen_random_uuid(), 'o', 'box', 7, 'v', 1, '{}')`)
	require.NoError(t, err)
	err = restore(t, open(t, path), backup.RestoreOptions{URI: uri(target), Force: true})
	require.True(t, errs.HasReason(err, backup.ReasonInUse), "%v", err)
	require.ErrorContains(t, err, "worker box (process 7)")
	_, err = target.Exec(t.Context(), `UPDATE worker_process SET stopped_at = now()`)
	require.NoError(t, err)

	web, err := postgres.Open(t.Context(), postgres.Options{URI: uri(target), Application: "llmctl serve"})
	require.NoError(t, err)
	_, err = web.Exec(t.Context(), "SELECT 1")
	require.NoError(t, err)
	err = restore(t, open(t, path), backup.RestoreOptions{URI: uri(target), Force: true})
	require.ErrorContains(t, err, "llmctl serve")
	web.Close()
}

func TestFilesOfTheDataFolderComeAlong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"attachments/7/ä b.txt": "hello", "attachments/empty": "", "big.bin": strings.Repeat("0123456789", 1<<20),
		"secret.key": "no", "postgres/15/x": "no", "workspaces/1/x": "no", "llmctl.lock": "no", "models/m": "no",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640))
	}
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "attachments", "link")))
	path, m := create(t, backup.CreateOptions{URI: uri(filled(t)), DataDir: dir})
	require.Len(t, m.Files, 3)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "no\n")

	to := filepath.Join(t.TempDir(), "new")
	require.NoError(t, restore(t, open(t, path), backup.RestoreOptions{URI: uri(pgtest.DB(t)), DataDir: to}))
	for _, name := range []string{"attachments/7/ä b.txt", "attachments/empty", "big.bin"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(to, name))
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), name)
	}
	entries, err := os.ReadDir(to)
	require.NoError(t, err)
	require.Len(t, entries, 2, "nothing else, and no stage")
	err = restore(t, open(t, path), backup.RestoreOptions{URI: uri(pgtest.DB(t)), DataDir: to})
	require.True(t, errs.HasReason(err, backup.ReasonNotEmpty), "%v", err)
}

func TestKeyGoesInOnlyEncrypted(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte("K"), 32)
	path, _ := create(t, backup.CreateOptions{URI: uri(pgtest.DB(t)), Key: key, KeyID: "0badcafe", Passphrase: passphrase})
	m := open(t, path).Manifest
	require.Equal(t, "0badcafe", m.KeyID)
	got, err := m.Key.Open(passphrase)
	require.NoError(t, err)
	require.Equal(t, key, got)
	_, err = m.Key.Open("wrong horse battery")
	require.True(t, errs.HasReason(err, backup.ReasonKey))
	m.Key.MemoryKiB = 1 << 30
	_, err = m.Key.Open(passphrase)
	require.True(t, errs.HasReason(err, backup.ReasonDamaged), "a file does not decide how much memory is used")

	path, m = create(t, backup.CreateOptions{URI: uri(pgtest.DB(t)), Key: key, KeyID: "0badcafe"})
	require.Nil(t, m.Key)
	require.Nil(t, open(t, path).Manifest.Key)

	_, err = backup.Create(t.Context(), backup.CreateOptions{URI: uri(pgtest.DB(t)), Output: filepath.Join(t.TempDir(), "x"), Key: key, Passphrase: "short", Now: time.Now})
	require.ErrorContains(t, err, "at least 12")
}

func TestDamagedFileIsRefusedBeforeAnythingChanges(t *testing.T) {
	t.Parallel()
	path, _ := create(t, backup.CreateOptions{URI: uri(filled(t))})
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	try := func(data []byte) error {
		bad := filepath.Join(t.TempDir(), "bad")
		require.NoError(t, os.WriteFile(bad, data, 0o600))
		a, err := backup.Open(bad)
		if err == nil {
			require.NoError(t, a.Close())
		}
		return err
	}
	require.NoError(t, try(whole))
	for i := 20; i < len(whole); i += len(whole) / 12 {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 0xff // all of it: some bits of a deflate stream mean nothing
		require.Error(t, try(flipped), "flipped byte %d of %d", i, len(whole))
		require.Error(t, try(whole[:i]), "cut to %d", i)
	}
	require.Error(t, try(append(bytes.Clone(whole), "more"...)))
	err = try([]byte("PGDMP"))
	require.True(t, errs.HasReason(err, backup.ReasonNotOurs), "%v", err)
	_, err = backup.Open(filepath.Join(t.TempDir(), "none"))
	require.True(t, errs.HasReason(err, backup.ReasonNotOurs), "%v", err)
}

func TestNewerBackupIsRefused(t *testing.T) {
	t.Parallel()
	path, _ := create(t, backup.CreateOptions{URI: uri(filled(t))})
	a := open(t, path)
	a.Manifest.Versions.Schema = 99999
	target := pgtest.DB(t)
	err := restore(t, a, backup.RestoreOptions{URI: uri(target)})
	require.True(t, errs.HasReason(err, backup.ReasonNewer), "%v", err)
}

func TestFailedRestoreChangesNothing(t *testing.T) {
	t.Parallel()
	path, _ := create(t, backup.CreateOptions{URI: uri(filled(t))})
	target := pgtest.DB(t)
	_, err := target.Exec(t.Context(), `INSERT INTO provider (name, kind) VALUES ('mine', 'demo')`)
	require.NoError(t, err)
	before := contents(t, target)
	a := open(t, path)
	a.Manifest.Tables[len(a.Manifest.Tables)/2].Rows++
	err = restore(t, a, backup.RestoreOptions{URI: uri(target), Force: true})
	require.True(t, errs.HasReason(err, backup.ReasonDamaged), "%v", err)
	require.Equal(t, before, contents(t, target))
	var left int
	require.NoError(t, target.QueryRow(t.Context(), `SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'llmctl%'`).Scan(&left))
	require.Zero(t, left)
}

func TestOutputAppearsWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	db := filled(t)
	dir := t.TempDir()
	o := backup.CreateOptions{URI: uri(db), Output: filepath.Join(dir, "b"), Now: time.Now, Say: func(string) {}}
	ctx, cancel := context.WithCancel(t.Context())
	o.Say = func(string) { cancel() }
	_, err := backup.Create(ctx, o)
	require.Error(t, err)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)

	require.NoError(t, os.WriteFile(o.Output, []byte("precious"), 0o600))
	o.Say = func(string) {}
	_, err = backup.Create(t.Context(), o)
	require.True(t, errs.HasReason(err, backup.ReasonOutput), "%v", err)
	o.Output = "/does/not/exist/b"
	_, err = backup.Create(t.Context(), o)
	require.True(t, errs.HasReason(err, backup.ReasonOutput), "%v", err)
	o.Output, o.URI = filepath.Join(dir, "c"), pgtest.Empty(t)
	_, err = backup.Create(t.Context(), o)
	require.ErrorContains(t, err, "nothing to back up")
	require.NoFileExists(t, o.Output)
}

func TestBackupOfTheReleaseBeforeKeepsSourcesAndTheirSchedules(t *testing.T) {
	t.Parallel()
	newest, err := postgres.Newest()
	require.NoError(t, err)
	old := emptyDB(t)
	require.NoError(t, old.MigrateTo(t.Context(), postgres.Versions{Schema: 15, Queue: newest.Queue}, slog.New(slog.DiscardHandler)))
	_, err = old.Exec(t.Context(), retrievalData+nightly)
	require.NoError(t, err)
	path, _ := create(t, backup.CreateOptions{URI: uri(old)})
	target := emptyDB(t)
	require.NoError(t, restore(t, open(t, path), backup.RestoreOptions{URI: uri(target)}))
	var chunks, due int
	require.NoError(t, target.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM rag_chunk), (SELECT count(*) FROM schedule WHERE index_fire_at = '2126-01-01' AND next_fire_at IS NULL)`).Scan(&chunks, &due))
	require.Equal(t, []int{2, 1}, []int{chunks, due})
}

func TestBackupOfAnOlderReleaseIsMigrated(t *testing.T) {
	t.Parallel()
	newest, err := postgres.Newest()
	require.NoError(t, err)
	old := emptyDB(t)
	require.NoError(t, old.MigrateTo(t.Context(), postgres.Versions{Schema: 1, Queue: newest.Queue}, slog.New(slog.DiscardHandler)))
	_, err = old.Exec(t.Context(), someData)
	require.NoError(t, err)
	path, m := create(t, backup.CreateOptions{URI: uri(old)})
	require.EqualValues(t, 1, m.Versions.Schema)

	target := pgtest.DB(t)
	require.NoError(t, restore(t, open(t, path), backup.RestoreOptions{URI: uri(target)}))
	require.Equal(t, schemaOf(t, pgtest.DB(t)), schemaOf(t, target))
	var events, level int
	require.NoError(t, target.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM event), (SELECT level FROM schema_level)`).Scan(&events, &level))
	require.Equal(t, 3000, events)
	require.Greater(t, level, 1, "migrations of the contents have run")
}
