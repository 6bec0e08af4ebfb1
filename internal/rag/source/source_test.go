package source_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/egress"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/fetch/git"
	"github.com/llmctl/studio/internal/rag/fetch/local"
	"github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/rag/source"
	"github.com/llmctl/studio/internal/schedule"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bundle struct {
	db        *postgres.DB
	log       *event.Log
	schedules *schedule.Store
	sources   *source.Service
	root      string
	data      string
	box       *secret.Box
	limits    [2]int64
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{db: pgtest.DB(t), log: event.NewLog(nil, time.Now), root: t.TempDir(), data: t.TempDir(), limits: [2]int64{1 << 20, 2 << 20}}
	var err error
	b.box, err = secret.New(bytes.Repeat([]byte{7}, secret.KeySize))
	require.NoError(t, err)
	b.schedules = schedule.NewStore(b.db, b.log)
	b.sources = b.service(t, b.box)
	return b
}

func (b *bundle) service(t *testing.T, box source.Sealer) *source.Service {
	t.Helper()
	roots, err := local.NewRoots([]string{b.root})
	require.NoError(t, err)
	allow, err := egress.New([]string{"127.0.0.0/8"})
	require.NoError(t, err)
	return source.New(source.Options{
		DB: b.db, Log: b.log, Seal: box, Fingerprint: secret.Fingerprint, Schedules: schedules{b.schedules}, Runs: index.New(index.Options{}), Roots: roots, DataDir: b.data,
		Resolver: allow, HTTP: nil,
		Limits: func(context.Context, postgres.Querier) (int64, int64, error) { return b.limits[0], b.limits[1], nil },
	})
}

// schedules is what the composition root puts in between.
type schedules struct{ s *schedule.Store }

func (x schedules) Set(ctx context.Context, tx *postgres.Tx, id int64, name string, want *source.IndexSchedule, user *int64) error {
	if want == nil {
		return x.s.SetForSource(ctx, tx, id, name, nil, user)
	}
	v := schedule.SourceSchedule{EverySeconds: want.EverySeconds, TimeZone: want.TimeZone, Mode: want.Mode, Enabled: want.Enabled}
	if want.Cron != nil {
		v.Cron = *want.Cron
	}
	return x.s.SetForSource(ctx, tx, id, name, &v, user)
}

func (x schedules) Of(ctx context.Context, q postgres.Querier, ids []int64) (map[int64]source.IndexSchedule, error) {
	rows, err := x.s.OfSources(ctx, q, ids)
	out := map[int64]source.IndexSchedule{}
	for id, r := range rows {
		v := source.IndexSchedule{ID: r.ID, EverySeconds: r.EverySeconds, TimeZone: r.TimeZone, Mode: r.Mode, Enabled: r.Enabled, NextDueAt: r.NextDueAt}
		if r.Cron != "" {
			v.Cron = &r.Cron
		}
		out[id] = v
	}
	return out, err
}

func (x schedules) Suspend(ctx context.Context, tx *postgres.Tx, id int64) error {
	return x.s.SuspendSource(ctx, tx, id)
}

func (x schedules) Resume(ctx context.Context, tx *postgres.Tx, id int64, at time.Time) error {
	return x.s.ResumeSource(ctx, tx, id, at)
}

func (b *bundle) tx(t *testing.T, f func(ctx context.Context, tx *postgres.Tx) error) error {
	t.Helper()
	return b.db.InTx(t.Context(), f)
}

func (b *bundle) create(t *testing.T, f source.Fields, c source.Change) (v source.View, err error) {
	t.Helper()
	err = b.tx(t, func(ctx context.Context, tx *postgres.Tx) (err error) {
		v, err = b.sources.Create(ctx, tx, f, c, nil)
		return err
	})
	return v, err
}

func (b *bundle) update(t *testing.T, id, revision int64, c source.Change) (u source.Updated, err error) {
	t.Helper()
	if c.Apply == nil {
		c.Apply = func(*source.Fields) {}
	}
	err = b.tx(t, func(ctx context.Context, tx *postgres.Tx) (err error) {
		u, err = b.sources.Update(ctx, tx, id, revision, c, nil)
		return err
	})
	return u, err
}

func (b *bundle) delete(t *testing.T, id int64) (v source.View, err error) {
	t.Helper()
	err = b.tx(t, func(ctx context.Context, tx *postgres.Tx) (err error) {
		v, err = b.sources.Delete(ctx, tx, id, 0)
		return err
	})
	return v, err
}

func (b *bundle) restore(t *testing.T, id int64) (v source.View, err error) {
	t.Helper()
	err = b.tx(t, func(ctx context.Context, tx *postgres.Tx) (err error) {
		v, err = b.sources.Restore(ctx, tx, id)
		return err
	})
	return v, err
}

func (b *bundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func (b *bundle) count(t *testing.T, sql string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, b.db.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

func (b *bundle) events(t *testing.T, id int64) []event.Stored {
	t.Helper()
	out, err := event.ReadStream(t.Context(), b.db, fmt.Sprint("rag_source:", id), 0, 100)
	require.NoError(t, err)
	return out
}

func (b *bundle) docs() source.Fields {
	return source.Fields{Name: "Docs", Kind: rag.KindLocal, Config: source.Config{Path: b.root}}
}

func repository() source.Fields {
	return source.Fields{Name: "Code", Kind: rag.KindGit, Config: source.Config{URL: "https://git.example.org/a/b.git"}}
}

// run makes an index run of a source, in a state.
func (b *bundle) run(t *testing.T, id int64, status string) int64 {
	t.Helper()
	var node int64
	require.NoError(t, b.db.QueryRow(t.Context(), `INSERT INTO node_run (flowchart_node_id, kind, title, status, config, timeout_seconds, execution_index)
		VALUES ('rag_index', 'rag_index', 'x', 'queued', '{}', 60, 0) RETURNING id`).Scan(&node))
	b.exec(t, `INSERT INTO rag_index_run (rag_source_id, node_run_id, mode, status, index_revision, added, skipped, finished_at)
		VALUES ($1, $2, 'fresh', $3, 1, 7, '{"excluded":3}', CASE WHEN $3 IN ('succeeded', 'failed', 'cancelled') THEN now() END)`, id, node, status)
	return node
}

func TestCreatedSourceIsShownWithoutItsSecretAndAnnounced(t *testing.T) {
	t.Parallel()
	const token = "token-0123456789-abcdefgh"
	b := setup(t)
	f := repository()
	f.Include, f.Branch, f.Subfolder = []string{"*.go"}, "main", "/src/"
	v, err := b.create(t, f, source.Change{Secrets: source.Given{Token: new(token)}})
	require.NoError(t, err)
	require.Equal(t, "not_indexed", v.Status)
	require.Equal(t, "src", *v.Subfolder)
	require.Nil(t, v.Path)
	require.Equal(t, source.CredentialToken, v.Credential.Kind)
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	require.NotContains(t, string(raw), token)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", source.Given{Token: new(token)}, source.Given{Token: new(token)}, source.Given{Token: new(token)}), token)
	row, err := b.sources.Row(t.Context(), b.db, v.ID)
	require.NoError(t, err)
	require.NotContains(t, string(row.CredentialCiphertext), token)
	events := b.events(t, v.ID)
	require.Len(t, events, 1)
	e := events[0].Envelope
	require.Equal(t, "rag:source:updated", e.EventType)
	require.Equal(t, []string{fmt.Sprint("rag_source:", v.ID), "studio"}, e.RoomKeys)
	require.Contains(t, string(e.Payload), `"change":"created"`)
	require.NotContains(t, string(e.Payload), token)
}

func places(err error) []string {
	var out []string
	for _, d := range errs.As(err).Details {
		out = append(out, d.Location)
	}
	return out
}

func TestAllFaultsAreToldAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	f := source.Fields{
		Name: " ", Kind: rag.KindGit, Config: source.Config{URL: "ext::sh", Branch: "-x", Subfolder: "../x", Path: "/x", FolderID: "y"},
		Include: []string{"ok", "["}, Exclude: []string{"../x"}, MaxFileBytes: new(int64(1)),
	}
	_, err := b.create(t, f, source.Change{Secrets: source.Given{Token: new("a b"), ServiceAccount: new("{}")}})
	require.True(t, errs.HasReason(err, "rag.source_invalid"))
	require.Equal(t, []string{
		"body.name", "body.include[1]", "body.exclude[0]", "body.max_file_bytes", "body.path", "body.folder_id", "body.url", "body.branch", "body.subfolder",
		"body.token", "body.service_account",
	}, places(err))
	_, err = b.create(t, source.Fields{Name: "x", Kind: "svn"}, source.Change{})
	require.Equal(t, []string{"body.kind"}, places(err))
	_, err = b.create(t, source.Fields{Name: "x", Kind: rag.KindDrive, Config: source.Config{Endpoint: "http://example.org"}}, source.Change{})
	require.Equal(t, []string{"body.folder_id", "body.endpoint"}, places(err))
	_, err = b.create(t, source.Fields{Name: "x", Kind: rag.KindLocal, Config: source.Config{Path: "/etc"}}, source.Change{})
	require.Contains(t, errs.As(err).Details[0].Message, "not inside the allowed folders")
	require.Zero(t, b.count(t, `SELECT count(*) FROM rag_source`))
	require.Zero(t, b.count(t, `SELECT count(*) FROM event`))
}

func TestNamesAreUniqueWhateverTheirCase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v, err := b.create(t, b.docs(), source.Change{})
	require.NoError(t, err)
	f := b.docs()
	f.Name = "DOCS"
	_, err = b.create(t, f, source.Change{})
	require.True(t, errs.HasReason(err, "rag.source_duplicate_name"))
	_, err = b.delete(t, v.ID)
	require.NoError(t, err)
	_, err = b.create(t, f, source.Change{})
	require.NoError(t, err)
	_, err = b.restore(t, v.ID)
	require.True(t, errs.HasReason(err, "rag.source_duplicate_name"))
}

func TestChangesCountRevisionsAndKeepWhatIsNotGiven(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v, err := b.create(t, repository(), source.Change{Secrets: source.Given{Token: new("secret-token")}})
	require.NoError(t, err)
	u, err := b.update(t, v.ID, 1, source.Change{Apply: func(f *source.Fields) { f.Branch = "next" }})
	require.NoError(t, err)
	require.EqualValues(t, 2, u.Revision)
	require.Equal(t, "next", *u.Branch)
	require.Equal(t, v.Credential, u.Credential)
	_, err = b.update(t, v.ID, 1, source.Change{})
	require.True(t, errs.Is(err, errs.Precondition))
	_, err = b.update(t, 99, 0, source.Change{})
	require.True(t, errs.HasReason(err, "rag.source_not_found"))
	require.Len(t, b.events(t, v.ID), 2)
}

func TestSecretBelongsToThePlaceItWasEnteredFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v, err := b.create(t, repository(), source.Change{Secrets: source.Given{Token: new("secret-token")}})
	require.NoError(t, err)
	to := func(url string, g source.Given) source.Updated {
		u, err := b.update(t, v.ID, 0, source.Change{Apply: func(f *source.Fields) { f.URL = url }, Secrets: g})
		require.NoError(t, err)
		return u
	}
	require.False(t, to("https://git.example.org/other.git", source.Given{}).SecretRemoved)
	moved := to("https://evil.example.org/a/b.git", source.Given{})
	require.True(t, moved.SecretRemoved)
	require.Nil(t, moved.Credential)
	require.NotNil(t, to("https://git.example.org/a", source.Given{Token: new("another")}).Credential)
	require.Nil(t, to("https://git.example.org/a", source.Given{Token: new("")}).Credential, "removed on request")
	require.NotNil(t, to("https://git.example.org/a", source.Given{Token: new("another")}).Credential)
	require.NotNil(t, to("https://git.example.org/a", source.Given{SSHKey: new("")}).Credential, "it has no key to remove")
	require.True(t, to("ssh://git@git.example.org/a", source.Given{}).SecretRemoved, "a token is no key")
	_, err = b.update(t, v.ID, 0, source.Change{Secrets: source.Given{Token: new("x")}})
	require.Equal(t, []string{"body.token"}, places(err))
}

func TestOpenGivesTheFetcherWithItsSelection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, os.WriteFile(filepath.Join(b.root, "a.md"), make([]byte, 3000), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(b.root, "b.go"), []byte("x"), 0o600))
	f := b.docs()
	f.Include = []string{"*.md"}
	v, err := b.create(t, f, source.Change{})
	require.NoError(t, err)
	found := func() (paths []string, skipped fetch.Skipped) {
		fetcher, row, err := b.sources.Open(t.Context(), b.db, v.ID)
		require.NoError(t, err)
		require.Equal(t, v.ID, row.ID)
		tree, err := fetcher.Sync(t.Context(), nil)
		require.NoError(t, err)
		defer func() { require.NoError(t, tree.Close()) }()
		skipped, err = tree.Walk(t.Context(), func(i fetch.Item) error { paths = append(paths, i.Path); return nil })
		require.NoError(t, err)
		return paths, skipped
	}
	paths, skipped := found()
	require.Equal(t, []string{"a.md"}, paths)
	require.Equal(t, 1, skipped.Excluded)
	_, err = b.update(t, v.ID, 0, source.Change{Apply: func(f *source.Fields) { f.MaxFileBytes = new(int64(2048)) }})
	require.NoError(t, err)
	_, skipped = found()
	require.Equal(t, 1, skipped.TooLarge)
	b.limits = [2]int64{2999, 2999}
	_, err = b.update(t, v.ID, 0, source.Change{Apply: func(f *source.Fields) { f.MaxFileBytes = nil }})
	require.NoError(t, err)
	_, skipped = found()
	require.Equal(t, 1, skipped.TooLarge, "the settings' limit")
	_, err = b.delete(t, v.ID)
	require.NoError(t, err)
	_, _, err = b.sources.Open(t.Context(), b.db, v.ID)
	require.True(t, errs.Is(err, errs.NotFound))
	_, _, err = b.sources.Open(t.Context(), b.db, 99)
	require.True(t, errs.Is(err, errs.NotFound))
}

func TestSecretOfAnotherInstallationIsExplained(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v, err := b.create(t, repository(), source.Change{Secrets: source.Given{Token: new("secret-token")}})
	require.NoError(t, err)
	other, err := secret.New(bytes.Repeat([]byte{8}, secret.KeySize))
	require.NoError(t, err)
	_, _, err = b.service(t, other).Open(t.Context(), b.db, v.ID)
	require.True(t, errs.HasReason(err, "rag.source_unreadable_secret"))
	_, err = b.service(t, other).CheckStored(t.Context(), v.ID, source.Change{})
	require.True(t, errs.HasReason(err, "rag.source_unreadable_secret"))
	require.ErrorContains(t, err, "The token of source", "what is to be entered again")
	reached := func(c source.Change) {
		t.Helper()
		_, err := b.service(t, other).CheckStored(t.Context(), v.ID, c)
		require.Error(t, err, "there is no such repository")
		require.False(t, errs.HasReason(err, "rag.source_unreadable_secret"), "%v", err)
	}
	nowhere := func(f *source.Fields) { f.URL = "https://127.0.0.1:1/a.git" }
	reached(source.Change{Apply: nowhere, Secrets: source.Given{Token: new("new-token")}})
	reached(source.Change{Apply: nowhere})
	err = b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
		_, err := b.service(t, other).Update(ctx, tx, v.ID, 0, source.Change{Apply: nowhere, Secrets: source.Given{Token: new("new-token")}}, nil)
		return err
	})
	require.NoError(t, err)
	_, _, err = b.service(t, other).Open(t.Context(), b.db, v.ID)
	require.NoError(t, err)
	_, _, err = b.sources.Open(t.Context(), b.db, v.ID)
	require.True(t, errs.HasReason(err, "rag.source_unreadable_secret"), "it was entered with the other key")
}

func TestSecretOfThisInstallationIsRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v, err := b.create(t, repository(), source.Change{Secrets: source.Given{Token: new("secret-token")}})
	require.NoError(t, err)
	_, _, err = b.sources.Open(t.Context(), b.db, v.ID)
	require.NoError(t, err)
}

func TestStatusFollowsFromIndexRuns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v, err := b.create(t, b.docs(), source.Change{})
	require.NoError(t, err)
	get := func() source.View {
		got, err := b.sources.View(t.Context(), b.db, v.ID)
		require.NoError(t, err)
		listed, err := b.sources.List(t.Context(), b.db, source.Filter{Status: got.Status, Kind: rag.KindLocal, Name: "OC", Limit: 10})
		require.NoError(t, err)
		require.Equal(t, []source.View{got}, listed)
		return got
	}
	require.Equal(t, "not_indexed", get().Status)
	node := b.run(t, v.ID, "queued")
	require.Equal(t, "queued", get().Status)
	require.Equal(t, node, get().ActiveRun.NodeID)
	require.Equal(t, "indexing", get().ActiveRun.ExecutionMode)
	require.EqualValues(t, 7, get().ActiveRun.Counts.Added)
	require.Equal(t, 3, get().ActiveRun.Counts.Excluded)
	for state, want := range map[string]string{"syncing": "indexing", "planning": "indexing", "indexing": "indexing", "planned": "waiting", "paused": "waiting"} {
		b.exec(t, `UPDATE rag_index_run SET status = $1`, state)
		require.Equal(t, want, get().Status, state)
	}
	b.exec(t, `UPDATE rag_index_run SET status = 'failed', finished_at = now()`)
	b.exec(t, `UPDATE rag_source SET error = '{"code":"sync","message":"gone","at":"2026-01-02T03:04:05Z"}'`)
	require.Equal(t, "error", get().Status)
	require.Equal(t, "gone", get().Error.Message)
	require.Nil(t, get().ActiveRun)
	require.Equal(t, node, get().LastRun.NodeID)
	b.exec(t, `UPDATE rag_source SET error = NULL, index_revision = 3, files = 5, indexed_at = now()`)
	require.Equal(t, "indexed", get().Status)
	require.EqualValues(t, 5, get().Index.Files)
	none, err := b.sources.List(t.Context(), b.db, source.Filter{Status: "error", Limit: 10})
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestSourceThatIsIndexedIsNotDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v, err := b.create(t, b.docs(), source.Change{})
	require.NoError(t, err)
	node := b.run(t, v.ID, "indexing")
	_, err = b.delete(t, v.ID)
	require.True(t, errs.HasReason(err, "rag.source_active"))
	require.Contains(t, errs.As(err).Message, fmt.Sprint("node ", node))
	b.exec(t, `UPDATE rag_index_run SET status = 'cancelled', finished_at = now()`)
	_, err = b.delete(t, v.ID)
	require.NoError(t, err)
}

func TestDeletedSourceIsRestoredWithItsScheduleAndRemovedLater(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v, err := b.create(t, b.docs(), source.Change{SetSchedule: true, Schedule: &source.IndexSchedule{
		EverySeconds: new(int32(3600)), TimeZone: "UTC", Mode: rag.Fresh, Enabled: true,
	}})
	require.NoError(t, err)
	require.NotNil(t, v.Schedule.NextDueAt)
	d, err := b.delete(t, v.ID)
	require.NoError(t, err)
	require.True(t, d.Deleted)
	require.WithinDuration(t, time.Now().Add(source.UndoTime), *d.UndoUntil, time.Minute)
	require.Nil(t, d.Schedule)
	require.Zero(t, b.count(t, `SELECT count(*) FROM schedule WHERE coalesce(next_due_at, index_due_at) IS NOT NULL`))
	missing, err := b.sources.MissingSources(t.Context(), b.db, []int64{v.ID, 77})
	require.NoError(t, err)
	require.Equal(t, []int64{v.ID, 77}, missing)
	_, err = b.update(t, v.ID, 0, source.Change{})
	require.True(t, errs.HasReason(err, "rag.source_deleted"))

	r, err := b.restore(t, v.ID)
	require.NoError(t, err)
	require.Equal(t, v.Schedule.ID, r.Schedule.ID)
	require.Equal(t, rag.Fresh, r.Schedule.Mode)
	require.NotNil(t, r.Schedule.NextDueAt)
	missing, err = b.sources.MissingSources(t.Context(), b.db, []int64{v.ID})
	require.NoError(t, err)
	require.Empty(t, missing)

	b.run(t, v.ID, "succeeded")
	b.exec(t, `INSERT INTO rag_index_file (rag_index_run_id, path, action) SELECT id, 'f' || n, 'add' FROM rag_index_run, generate_series(1, 50) n`)
	b.exec(t, `INSERT INTO rag_file (rag_source_id, path, from_revision, fingerprint, signature, content_hash, size, kind)
		SELECT $1, 'f' || n, 1, '', '', '', 0, 'text' FROM generate_series(1, 500) n`, v.ID)
	b.exec(t, `INSERT INTO rag_chunk (rag_source_id, rag_file_id, key, ordinal, text, content_hash) SELECT rag_source_id, id, 'k', 0, 't', '' FROM rag_file`)
	_, err = b.delete(t, v.ID)
	require.NoError(t, err)
	n, err := b.sources.Sweep(t.Context())
	require.NoError(t, err)
	require.Zero(t, n, "it can be restored")
	b.exec(t, `UPDATE rag_source SET deleted_at = now() - interval '2 hours'`)
	_, err = b.restore(t, v.ID)
	require.True(t, errs.Is(err, errs.NotFound))
	n, err = b.sources.Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	for _, table := range []string{"rag_source", "rag_file", "rag_chunk", "rag_index_run", "rag_index_file", "schedule"} {
		require.Zero(t, b.count(t, `SELECT count(*) FROM `+table), table)
	}
}

func TestARestoreInTheLastMomentKeepsTheFiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v, err := b.create(t, b.docs(), source.Change{})
	require.NoError(t, err)
	b.exec(t, `INSERT INTO rag_file (rag_source_id, path, from_revision, fingerprint, signature, content_hash, size, kind) VALUES ($1, 'f', 1, '', '', '', 0, 'text')`, v.ID)
	b.exec(t, `UPDATE rag_source SET deleted_at = now() - interval '2 hours'`)
	swept := make(chan error, 1)
	require.NoError(t, b.tx(t, func(ctx context.Context, tx *postgres.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE rag_source SET deleted_at = NULL WHERE id = $1`, v.ID) // it was locked before the hour was over
		require.NoError(t, err)
		go func() { //nolint:contextcheck // in a transaction of its own
			_, err := b.sources.Sweep(t.Context())
			swept <- err
		}()
		require.Eventually(t, func() bool { //nolint:contextcheck // as above
			return b.count(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) > 0
		}, 10*time.Second, 5*time.Millisecond, "it waits for the source")
		return nil
	}))
	require.NoError(t, <-swept)
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM rag_file`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM rag_source WHERE deleted_at IS NULL`))
}

func TestScheduleIsMadeChangedAndRemovedWithTheSource(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v, err := b.create(t, b.docs(), source.Change{})
	require.NoError(t, err)
	require.Nil(t, v.Schedule)
	set := func(s *source.IndexSchedule) (source.Updated, error) {
		return b.update(t, v.ID, 0, source.Change{SetSchedule: true, Schedule: s})
	}
	u, err := set(&source.IndexSchedule{Cron: new("0 3 * * *"), TimeZone: "Europe/Berlin", Mode: rag.Delta, Enabled: true})
	require.NoError(t, err)
	require.Equal(t, "0 3 * * *", *u.Schedule.Cron)
	first := u.Schedule.ID
	u, err = set(&source.IndexSchedule{EverySeconds: new(int32(7200)), TimeZone: "UTC", Mode: rag.Fresh, Enabled: false})
	require.NoError(t, err)
	require.Equal(t, first, u.Schedule.ID)
	require.Nil(t, u.Schedule.Cron)
	require.EqualValues(t, 7200, *u.Schedule.EverySeconds)
	require.Nil(t, u.Schedule.NextDueAt, "it is not enabled")
	u, err = b.update(t, v.ID, 0, source.Change{Apply: func(f *source.Fields) { f.Name = "Renamed" }})
	require.NoError(t, err)
	require.NotNil(t, u.Schedule)
	item, err := b.schedules.Get(t.Context(), b.db, first)
	require.NoError(t, err)
	require.Equal(t, "Renamed", item.Schedule.Name)
	require.Equal(t, "Renamed", item.SourceName)

	_, err = set(&source.IndexSchedule{Cron: new("x"), TimeZone: "Mars", Mode: rag.Delta})
	require.Equal(t, []string{"body.schedule.cron", "body.schedule.time_zone"}, places(err))
	_, err = set(&source.IndexSchedule{Cron: new("0 3 * * *"), EverySeconds: new(int32(60)), TimeZone: "UTC", Mode: rag.Delta})
	require.Equal(t, []string{"body.schedule.every_seconds"}, places(err))
	_, err = set(&source.IndexSchedule{EverySeconds: new(int32(59)), TimeZone: "UTC", Mode: rag.Delta})
	require.Equal(t, []string{"body.schedule.every_seconds"}, places(err))
	_, err = set(&source.IndexSchedule{EverySeconds: new(int32(60)), TimeZone: "UTC", Mode: "all"})
	require.Equal(t, []string{"body.schedule.mode"}, places(err))
	u, err = set(nil)
	require.NoError(t, err)
	require.Nil(t, u.Schedule)
	_, err = b.delete(t, v.ID)
	require.NoError(t, err)
	r, err := b.restore(t, v.ID)
	require.NoError(t, err)
	require.Nil(t, r.Schedule, "one that was removed before does not come back")
}

func TestChecksReadWithoutStoringAndUseTheStoredSecretAtItsPlaceOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, os.WriteFile(filepath.Join(b.root, "a.md"), []byte("x"), 0o600))
	f := b.docs()
	f.Name = ""
	r, err := b.sources.CheckNew(t.Context(), f, source.Given{})
	require.NoError(t, err)
	require.Equal(t, 1, r.Files)
	f.Path = filepath.Join(b.root, "nothing")
	_, err = b.sources.CheckNew(t.Context(), f, source.Given{})
	require.True(t, errs.HasReason(err, "rag.folder_missing"))
	require.Zero(t, b.count(t, `SELECT count(*) FROM rag_source`))

	repo := filepath.Join(b.root, "repo")
	for _, args := range [][]string{{"init", "-q", "-b", "main", repo}, {"-C", repo, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"}} {
		out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	v, err := b.create(t, source.Fields{Name: "Repo", Kind: rag.KindGit, Config: source.Config{URL: "file://" + repo}}, source.Change{})
	require.NoError(t, err)
	r, err = b.sources.CheckStored(t.Context(), v.ID, source.Change{})
	require.NoError(t, err)
	require.Len(t, r.Revision, 40)
	_, err = b.sources.CheckStored(t.Context(), v.ID, source.Change{Apply: func(f *source.Fields) { f.Branch = "gone" }})
	require.True(t, errs.HasReason(err, "rag.git_no_branch"))
	require.NoDirExists(t, filepath.Join(git.Dir(b.data), fmt.Sprintf("%d.git", v.ID)), "a check makes no copy")
}

func TestCopiesOfRemovedSourcesAreCleaned(t *testing.T) {
	t.Parallel()
	b := setup(t)
	v, err := b.create(t, b.docs(), source.Change{})
	require.NoError(t, err)
	gone, err := b.create(t, repository(), source.Change{})
	require.NoError(t, err)
	copyOf := func(id int64) string { return filepath.Join(git.Dir(b.data), fmt.Sprintf("%d.git", id)) }
	for _, id := range []int64{v.ID, gone.ID} {
		require.NoError(t, os.MkdirAll(copyOf(id), 0o750))
	}
	_, err = b.delete(t, v.ID)
	require.NoError(t, err)
	b.exec(t, `DELETE FROM rag_source WHERE id = $1`, gone.ID)
	n, err := b.sources.CleanCopies(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n, "the youngest source is gone as well as any other")
	require.NoDirExists(t, copyOf(gone.ID))
	require.DirExists(t, copyOf(v.ID), "it can be restored")
	b.exec(t, `DELETE FROM rag_source`)
	n, err = b.sources.CleanCopies(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n, "the last one, too")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, os.MkdirAll(copyOf(v.ID), 0o750))
	_, err = b.sources.CleanCopies(ended)
	require.Error(t, err)
	require.DirExists(t, copyOf(v.ID), "nothing goes without having asked")
}

func TestTooManySourcesAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.exec(t, `INSERT INTO rag_source (name, kind, config) SELECT 's' || n, 'local', '{}' FROM generate_series(1, $1) n`, source.MaxSources)
	_, err := b.create(t, b.docs(), source.Change{})
	require.True(t, errs.HasReason(err, "rag.too_many_sources"))
	b.exec(t, `INSERT INTO rag_source (name, kind, config, deleted_at) VALUES ('away', 'local', '{}', now())`)
	_, err = b.restore(t, source.MaxSources+1)
	require.True(t, errs.HasReason(err, "rag.too_many_sources"))
	page, err := b.sources.List(t.Context(), b.db, source.Filter{Limit: 2, BeforeID: 10})
	require.NoError(t, err)
	require.Len(t, page, 2)
	require.EqualValues(t, 9, page[0].ID)
	require.True(t, strings.HasPrefix(page[0].Name, "s"))
}
