package bench

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/document"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/registry"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag"
	"github.com/llmctl/studio/internal/rag/embed"
	"github.com/llmctl/studio/internal/rag/embed/store"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/fetch/git"
	"github.com/llmctl/studio/internal/rag/fetch/local"
	"github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/rag/search"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/testkit/llmtest"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// indexing is an index service with real fetchers, parsers and a scripted provider.
type indexing struct {
	db       *postgres.DB
	engine   *run.Engine
	svc      *index.Service
	worker   uuid.UUID
	fetchers map[int64]fetch.Fetcher
	setup    index.Setup
}

func newIndexing(b *testing.B) *indexing {
	b.Helper()
	db, err := postgres.Open(b.Context(), postgres.Options{URI: pgtest.URI(b)})
	require.NoError(b, err)
	b.Cleanup(db.Close)
	x := &indexing{db: db, worker: uuid.New(), fetchers: map[int64]fetch.Fetcher{}, setup: index.Setup{Parallel: 4, Embeds: 4, Batch: 100, Cutter: index.Documents{Parser: document.InProcess{}}}}
	quiet, log := slog.New(slog.DiscardHandler), event.NewLog(nil, time.Now)
	x.engine = run.NewEngine(run.Options{
		DB: db, Log: log, Jobs: noJobs{}, ExecutorFor: func(string) string { return "inline" }, Now: time.Now, Logger: quiet,
		InWorker: func(string, json.RawMessage) bool { return true },
		Ended:    func(ctx context.Context, tx *postgres.Tx, n *run.NodeRun) error { return x.svc.EndedTx(ctx, tx, n) },
	})
	x.svc = index.New(index.Options{
		DB: db, Log: log, Engine: x.engine, Sources: x, Words: search.Words, Now: time.Now, Logger: quiet,
		Setup: func(context.Context, func(index.Wait)) (index.Setup, error) { return x.setup, nil },
	})
	_, err = db.Exec(b.Context(), `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues, level) VALUES ($1, 'bench', 'bench', 1, 'bench', 1, '{}', $2)`,
		x.worker, postgres.BinaryLevel)
	require.NoError(b, err)
	return x
}

type noJobs struct{}

func (noJobs) InsertNodes(context.Context, *postgres.Tx, []run.Job) error { return nil }

// Fetcher implements index.Sources.
func (x *indexing) Fetcher(_ context.Context, _ postgres.Querier, id int64) (fetch.Fetcher, error) {
	return x.fetchers[id], nil
}

// embeds has vectors made by a scripted server, over HTTP.
func (x *indexing) embeds(b *testing.B) *llmtest.Server {
	b.Helper()
	server := llmtest.New(b)
	server.Embed(llmtest.Embeddings{Dimensions: 768})
	provider, err := registry.Embedder(registry.Spec{Kind: "openai", Name: "scripted", BaseURL: server.OpenAIURL(), APIKey: "k"}, llm.NewClient(llm.ClientOptions{}))
	require.NoError(b, err)
	cache := store.New(x.db, store.Model{ProviderKind: "openai", Model: "scripted"})
	id, err := cache.Embedder(b.Context(), x.db, "scripted", 768)
	require.NoError(b, err)
	x.setup.Embedder = benchEmbedder{
		embed.New(embed.Options{Provider: provider, Model: "scripted", Key: "scripted", Cache: cache}), index.Identity{ID: id, Model: "scripted", Dimensions: 768},
	}
	return server
}

type benchEmbedder struct {
	*embed.Embedder
	who index.Identity
}

func (e benchEmbedder) Identity() index.Identity { return e.who }

func (e benchEmbedder) Embed(ctx context.Context, texts []string) (index.Embedded, error) {
	res, err := e.Documents(ctx, texts)
	return index.Embedded{Cached: res.Cached, Tokens: res.Tokens}, err
}

func (x *indexing) source(b *testing.B, name string, f fetch.Fetcher) int64 {
	b.Helper()
	var id int64
	require.NoError(b, x.db.QueryRow(b.Context(), `INSERT INTO rag_source (name, kind, config) VALUES ($1, 'local', '{}') RETURNING id`, name).Scan(&id))
	x.fetchers[id] = f
	return id
}

type quietReporter struct{}

func (quietReporter) Enter(index.Phase) error { return nil }
func (quietReporter) Log(string) error        { return nil }

// index makes an index run and works it, and gives its view and how long it took.
func (x *indexing) index(b *testing.B, source int64, mode string) (index.RunDetail, time.Duration) {
	b.Helper()
	var v index.RunDetail
	began := time.Now()
	require.NoError(b, x.db.InTx(b.Context(), func(ctx context.Context, tx *postgres.Tx) (err error) {
		_, v, err = x.svc.StartTx(ctx, tx, index.StartRequest{SourceID: source, Mode: mode})
		return err
	}))
	c, err := x.engine.Claim(b.Context(), v.NodeID, x.worker)
	require.NoError(b, err)
	res := x.svc.Work(b.Context(), index.Request{NodeRunID: v.NodeID, Attempt: c.Attempt, Config: index.Config{Mode: mode, SourceIDs: []int64{source}}}, quietReporter{})
	require.Nil(b, res.Failure)
	_, err = x.engine.Finish(b.Context(), v.NodeID, c.Attempt, run.Result{Status: run.Succeeded, Output: json.RawMessage(`{}`)}, run.FinishOptions{})
	require.NoError(b, err)
	took := time.Since(began)
	v, err = x.svc.View(b.Context(), x.db, v.ID)
	require.NoError(b, err)
	require.Equal(b, index.Succeeded, v.Status)
	return v, took
}

// usage is the CPU time of this process, the scripted provider included, and of the
// database's backends.
type usage struct{ own, database time.Duration }

func (x *indexing) usage(b *testing.B) usage {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	out := usage{own: time.Duration(u.Utime.Nano() + u.Stime.Nano())}
	rows, err := x.db.Query(b.Context(), `SELECT pid FROM pg_stat_activity WHERE datname = current_database()`)
	require.NoError(b, err)
	defer rows.Close()
	for rows.Next() {
		var pid int
		require.NoError(b, rows.Scan(&pid))
		out.database += cpuOf(b, pid)
	}
	require.NoError(b, rows.Err())
	return out
}

func (u usage) since(before usage) usage {
	return usage{u.own - before.own, u.database - before.database}
}

func folderOf(b *testing.B, path string) fetch.Fetcher {
	b.Helper()
	roots, err := local.NewRoots([]string{path})
	require.NoError(b, err)
	return local.New(roots, path, fetch.NewFilter(fetch.Selection{MaxFileBytes: 1 << 20, MaxPDFBytes: 64 << 20}))
}

// copyCache copies sources and documentation of the Go module cache into a folder that
// may be changed.
func copyCache(b *testing.B, limit int) (dir string, paths []string) {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), "go", "env", "GOMODCACHE").Output()
	require.NoError(b, err)
	from := filepath.Join(strings.TrimSpace(string(out)), "golang.org")
	dir = b.TempDir()
	require.NoError(b, filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil || len(paths) >= limit {
			return err
		}
		ext := filepath.Ext(path)
		if d.IsDir() || (ext != ".go" && ext != ".md") || strings.Contains(path, "testdata") {
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Size() > 256<<10 {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(dir, rel)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		paths = append(paths, target)
		return copyFile(path, target)
	}))
	require.Len(b, paths, limit, "the module cache has fewer files")
	return dir, paths
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

func report(b *testing.B, v index.RunDetail, took time.Duration, used usage) {
	b.Helper()
	files, bytes := float64(v.Counts.Done), float64(v.Counts.Bytes)
	b.ReportMetric(files/took.Seconds(), "files/s")
	b.ReportMetric(bytes/(1<<20)/took.Seconds(), "MB/s")
	b.ReportMetric(float64(v.Counts.Chunks)/took.Seconds(), "chunks/s")
	b.ReportMetric(used.own.Seconds(), "CPU-s")
	b.ReportMetric(used.database.Seconds(), "database-CPU-s")
	b.ReportMetric(files, "files")
	b.ReportMetric(took.Seconds(), "s")
}

// BenchmarkIndex indexes files of the module cache and this repository, with vectors of a
// scripted server, then after a change of one file in a hundred, then unchanged.
func BenchmarkIndex(b *testing.B) {
	x := newIndexing(b)
	b.Run("repository", func(b *testing.B) {
		root, err := filepath.Abs("..")
		require.NoError(b, err)
		roots, err := local.NewRoots([]string{root})
		require.NoError(b, err)
		f, err := git.New(git.Options{
			DataDir: b.TempDir(), SourceID: 1, URL: "file://" + root, Filter: fetch.NewFilter(fetch.Selection{MaxFileBytes: 1 << 20, MaxPDFBytes: 64 << 20}), Roots: roots,
		})
		require.NoError(b, err)
		x.embeds(b)
		began := x.usage(b)
		v, took := x.index(b, x.source(b, "repository", f), rag.Fresh)
		report(b, v, took, x.usage(b).since(began))
	})
	dir, paths := copyCache(b, 2_000)
	source := x.source(b, "modules", folderOf(b, dir))
	server := x.embeds(b)
	b.Run("modules", func(b *testing.B) {
		began := x.usage(b)
		v, took := x.index(b, source, rag.Fresh)
		report(b, v, took, x.usage(b).since(began))
	})
	b.Run("one-percent", func(b *testing.B) {
		before := server.Embedded().Inputs
		for _, path := range paths[:len(paths)/100] {
			raw, err := os.ReadFile(path)
			require.NoError(b, err)
			require.NoError(b, os.WriteFile(path, append(raw, "\n// Another line.\n"...), 0o600))
		}
		v, took := x.index(b, source, rag.Delta)
		require.Equal(b, int32(len(paths)/100), v.Counts.Done)
		b.ReportMetric(took.Seconds(), "s")
		b.ReportMetric(float64(server.Embedded().Inputs-before), "embedded")
	})
	b.Run("fresh-again", func(b *testing.B) {
		began := x.usage(b)
		v, took := x.index(b, source, rag.Fresh)
		report(b, v, took, x.usage(b).since(began))
	})
}

// BenchmarkIndexUnchanged takes the time of a delta of 10 000 files none of which changed.
func BenchmarkIndexUnchanged(b *testing.B) {
	x := newIndexing(b)
	dir, _ := copyCache(b, 10_200) // some lie in folders that are never read
	source := x.source(b, "modules", folderOf(b, dir))
	began := x.usage(b)
	v, took := x.index(b, source, rag.Fresh)
	b.Logf("fresh, without vectors: %d files, %d chunks, %.1f MB in %s; CPU %+v", v.Counts.Done, v.Counts.Chunks, float64(v.Counts.Bytes)/(1<<20), took, x.usage(b).since(began))
	times := make([]time.Duration, 0, 5)
	for range 5 {
		v, took = x.index(b, source, rag.Delta)
		require.GreaterOrEqual(b, v.Counts.Kept, int32(10_000))
		require.Zero(b, v.Counts.Done)
		times = append(times, took)
	}
	b.Logf("unchanged: %v", times)
	slowest := times[0]
	for _, t := range times {
		slowest = max(slowest, t)
	}
	b.ReportMetric(slowest.Seconds(), "s")
}
