package index_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/embed"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// folder is a source in memory. Its fingerprints are versions of files.
type folder struct {
	mu    sync.Mutex
	files map[string]file
	opens []string
	down  error
	lost  string
	gate  chan struct{} // if set, each file is opened with a token of it
	slow  chan struct{} // if set, the source is synchronised when it is closed
	deaf  bool          // then it does not notice that its context ends

	unlisted []fetch.Unlisted
}

type file struct {
	text    string
	version int
}

func (f *folder) put(path, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files[path] = file{text, f.files[path].version + 1}
}

func (f *folder) remove(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.files, path)
}

func (f *folder) opened() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := slices.Sorted(slices.Values(f.opens))
	f.opens = nil
	return out
}

func (f *folder) Fetcher(context.Context, postgres.Querier, int64) (fetch.Fetcher, error) {
	return f, nil
}
func (f *folder) Check(context.Context) (fetch.Report, error) { return fetch.Report{}, nil }
func (f *folder) Revision() string                            { return "" }
func (f *folder) Close() error                                { return nil }

func (f *folder) Sync(ctx context.Context, tell fetch.Progress) (fetch.Tree, error) {
	if f.slow != nil {
		tell("Slowly.")
		if f.deaf {
			<-f.slow
			return f, nil
		}
		select {
		case <-f.slow:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != nil {
		return nil, f.down
	}
	return f, nil
}

func (f *folder) Walk(_ context.Context, visit func(fetch.Item) error) (fetch.Skipped, error) {
	f.mu.Lock()
	var items []fetch.Item
	for path, file := range f.files {
		items = append(items, fetch.Item{Path: path, Size: int64(len(file.text)), Fingerprint: fmt.Sprintf("v%d", file.version), ModifiedAt: time.Unix(int64(file.version), 0).UTC()})
	}
	f.mu.Unlock()
	skipped := fetch.Skipped{Excluded: 2}
	for _, u := range f.unlisted {
		skipped.CannotList(u.Path, u.Reason)
		items = slices.DeleteFunc(items, func(i fetch.Item) bool { return u.Holds(i.Path) })
	}
	slices.SortFunc(items, func(a, b fetch.Item) int { return strings.Compare(a.Path, b.Path) })
	for _, item := range items {
		if err := visit(item); err != nil {
			return fetch.Skipped{}, err
		}
	}
	return skipped, nil
}

func (f *folder) Open(ctx context.Context, item fetch.Item, _ int64) (io.ReadCloser, error) {
	if f.gate != nil {
		select {
		case <-f.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.opens = append(f.opens, item.Path)
	file, ok := f.files[item.Path]
	if !ok || item.Path == f.lost {
		return nil, errs.E(errs.NotFound, "fetch.gone", "It is gone.")
	}
	return io.NopCloser(strings.NewReader(file.text)), nil
}

// scissors cut a text at blank lines.
type scissors struct{ signature string }

func (s scissors) Signature() string { return s.signature }

func (s scissors) Cut(_ context.Context, path string, data []byte) (index.Cut, error) {
	text := string(data)
	switch {
	case strings.HasPrefix(text, "BROKEN"):
		return index.Cut{}, &index.FileError{Code: "unreadable", Message: "The file is broken."}
	case strings.HasPrefix(text, "BINARY"):
		return index.Cut{Binary: true}, nil
	}
	out := index.Cut{Kind: "text", Title: path}
	for i, part := range strings.Split(text, "\n\n") {
		out.Chunks = append(out.Chunks, index.Chunk{Key: fmt.Sprintf("%s#%s", path, part), Text: part, Context: path, LineStart: i + 1, LineEnd: i + 1, Tokens: len(part)})
	}
	return out, nil
}

// model makes vectors and keeps them as the real one does.
type model struct {
	db   *postgres.DB
	name string
	id   int64

	mu    sync.Mutex
	asked []string
	fail  func(texts []string) error
	tell  func(index.Wait) // of the last setup
}

func newModel(t *testing.T, db *postgres.DB, name string) *model {
	t.Helper()
	m := &model{db: db, name: name}
	require.NoError(t, db.QueryRow(t.Context(), `INSERT INTO rag_embedder (key, provider_kind, model, dimensions) VALUES ($1, 'test', $1, 2) RETURNING id`, name).Scan(&m.id))
	return m
}

func (m *model) Identity() index.Identity {
	return index.Identity{ID: m.id, Model: m.name, Dimensions: 2}
}

func (m *model) Embed(ctx context.Context, texts []string) (index.Embedded, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		if err := m.fail(texts); err != nil {
			return index.Embedded{}, err
		}
	}
	out := index.Embedded{}
	for _, text := range texts {
		vector := fmt.Appendf(nil, "%08d", len(text))
		tag, err := m.db.Exec(ctx, `INSERT INTO rag_embedding (rag_embedder_id, content_hash, vector)
			VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, m.id, embed.Hash(text), vector)
		if err != nil {
			return out, err
		}
		if tag.RowsAffected() == 0 {
			out.Cached++
			continue
		}
		m.asked = append(m.asked, text)
		out.Tokens += int64(len(text))
	}
	return out, nil
}

func (m *model) wasAsked() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := slices.Sorted(slices.Values(m.asked))
	m.asked = nil
	return out
}

func (m *model) hear(tell func(index.Wait)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tell = tell
}

func (m *model) failing(f func(texts []string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = f
}

// steps is a probe that may end an attempt.
type steps struct {
	mu   sync.Mutex
	seen []string
	at   func(n int, step string) error
}

func (p *steps) At(step string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, step)
	if p.at == nil {
		return nil
	}
	return p.at(len(p.seen), step)
}

type jobs struct {
	mu   sync.Mutex
	list []run.Job
}

func (j *jobs) InsertNodes(_ context.Context, _ *postgres.Tx, list []run.Job) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = append(j.list, list...)
	return nil
}

// reader keeps what an attempt reports.
type reader struct {
	mu     sync.Mutex
	phases []index.Phase
	lines  []string
}

func (r *reader) Enter(p index.Phase) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phases = append(r.phases, p)
	return nil
}

func (r *reader) Log(text string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, text)
	return nil
}

func (r *reader) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

type bundle struct {
	db     *postgres.DB
	engine *run.Engine
	jobs   *jobs
	svc    *index.Service
	folder *folder
	model  *model
	cutter scissors
	probe  *steps
	source int64
	worker uuid.UUID
}

func setup(t *testing.T, change ...func(*index.Options)) *bundle {
	t.Helper()
	b := &bundle{db: pgtest.DB(t), jobs: &jobs{}, folder: &folder{files: map[string]file{}}, probe: &steps{}, cutter: scissors{"s1"}}
	b.model = newModel(t, b.db, "one")
	log := event.NewLog(nil, time.Now)
	b.engine = run.NewEngine(run.Options{
		DB: b.db, Log: log, Jobs: b.jobs, ExecutorFor: func(string) string { return "inline" }, Now: time.Now,
		InWorker: func(string, json.RawMessage) bool { return true },
		Waits: func(ctx context.Context, q postgres.Querier, n *run.NodeRun) (bool, error) {
			return b.svc.Waits(ctx, q, n.ID)
		},
		Retried: func(ctx context.Context, tx *postgres.Tx, again *run.NodeRun) error {
			return b.svc.RetriedTx(ctx, tx, again)
		},
		GotFurther: func(ctx context.Context, tx *postgres.Tx, n *run.NodeRun) (bool, error) {
			return b.svc.GotFurther(ctx, tx, n.ID)
		},
		Ended: func(ctx context.Context, tx *postgres.Tx, n *run.NodeRun) error { return b.svc.EndedTx(ctx, tx, n) },
	})
	o := index.Options{
		DB: b.db, Log: log, Engine: b.engine, Sources: b.folder, Now: time.Now, Logger: slog.New(slog.DiscardHandler), Tested: b.probe,
		Words: strings.ToUpper,
		Setup: func(_ context.Context, tell func(index.Wait)) (index.Setup, error) {
			s := index.Setup{Cutter: b.cutter, Batch: 4}
			if b.model != nil {
				b.model.hear(tell)
				s.Embedder = b.model
			}
			return s, nil
		},
	}
	for _, f := range change {
		f(&o)
	}
	o.Prices = func(context.Context, postgres.Querier) (index.Prices, error) {
		return index.Prices{Currency: "EUR", Cost: func(_ string, tokens int64) *int64 { return new(2 * tokens) }}, nil
	}
	b.svc = index.New(o)
	b.newWorker(t)
	b.source = b.newSource(t, "docs")
	return b
}

func (b *bundle) newWorker(t *testing.T) {
	t.Helper()
	b.worker = uuid.New()
	_, err := b.db.Exec(t.Context(), `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues, level)
		VALUES ($1, 'test', 'host', 1, 'test', 4, '{}', $2)`, b.worker, postgres.BinaryLevel)
	require.NoError(t, err)
}

func (b *bundle) newSource(t *testing.T, name string) int64 {
	t.Helper()
	var id int64
	require.NoError(t, b.db.QueryRow(t.Context(), `INSERT INTO rag_source (name, kind, config) VALUES ($1, 'local', '{}') RETURNING id`, name).Scan(&id))
	return id
}

// start makes an index run and gives its view.
func (b *bundle) start(t *testing.T, req index.StartRequest) index.RunDetail {
	t.Helper()
	v, err := b.tryStart(t, req)
	require.NoError(t, err)
	return v
}

func (b *bundle) tryStart(t *testing.T, req index.StartRequest) (v index.RunDetail, err error) {
	t.Helper()
	if req.SourceID == 0 {
		req.SourceID = b.source
	}
	err = b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		_, v, err = b.svc.StartTx(ctx, tx, req)
		return err
	})
	return v, err
}

// claim claims the node of an index run.
func (b *bundle) claim(t *testing.T, nodeID int64) *run.Claim {
	t.Helper()
	_, err := b.db.Exec(t.Context(), `UPDATE node_run SET run_after = now() WHERE id = $1`, nodeID)
	require.NoError(t, err)
	c, err := b.engine.Claim(t.Context(), nodeID, b.worker)
	require.NoError(t, err)
	require.NotNil(t, c, "node %d cannot be claimed", nodeID)
	return c
}

// attempt works a claimed node without ending the attempt.
func (b *bundle) attempt(ctx context.Context, c *run.Claim) (index.Result, *reader) {
	var config index.Config
	if err := json.Unmarshal(c.NodeRun.Config, &config); err != nil {
		panic(err) // it may be called in any goroutine
	}
	r := &reader{}
	return b.svc.Work(ctx, index.Request{NodeRunID: c.NodeRun.ID, Attempt: c.Attempt, Config: config}, r), r
}

// finish ends an attempt as its result says.
func (b *bundle) finish(t *testing.T, c *run.Claim, res index.Result) {
	t.Helper()
	out := run.Result{}
	switch res.Outcome {
	case index.Done:
		out.Status = run.Succeeded
	case index.Partly:
		out.Status = run.Degraded
	case index.Suspended:
		out.Status = run.Suspended
	case index.Stopped:
		out.Status = run.Cancelled
	case index.Broken:
		out.Status = run.Failed
		out.Error = &run.Failure{Code: res.Failure.Code, Message: res.Failure.Message, Retryable: res.Failure.Retryable}
	}
	if out.Status == run.Succeeded || out.Status == run.Degraded {
		raw, err := json.Marshal(res.Output)
		require.NoError(t, err)
		out.Output = raw
	}
	_, err := b.engine.Finish(t.Context(), c.NodeRun.ID, c.Attempt, out, run.FinishOptions{})
	require.NoError(t, err)
}

// work works a node to the end of one attempt.
func (b *bundle) work(t *testing.T, nodeID int64) (index.Result, *reader) {
	t.Helper()
	c := b.claim(t, nodeID)
	res, r := b.attempt(t.Context(), c)
	b.finish(t, c, res)
	return res, r
}

// index makes an index run and works it.
func (b *bundle) index(t *testing.T, mode string) (index.RunDetail, *reader) {
	t.Helper()
	v := b.start(t, index.StartRequest{Mode: mode})
	_, r := b.work(t, v.NodeID)
	return b.view(t, v.ID), r
}

func (b *bundle) view(t *testing.T, id int64) index.RunDetail {
	t.Helper()
	v, err := b.svc.View(t.Context(), b.db, id)
	require.NoError(t, err)
	return v
}

// bury lets the worker die and gives its work to a new one.
func (b *bundle) bury(t *testing.T) {
	t.Helper()
	_, err := b.db.Exec(t.Context(), `UPDATE worker_process SET tombstone_at = now() WHERE id = $1`, b.worker)
	require.NoError(t, err)
	_, err = b.engine.Recover(t.Context())
	require.NoError(t, err)
	b.newWorker(t)
}

// visible is all that searches see of a source, without numbers of rows.
func (b *bundle) visible(t *testing.T, source int64) []string {
	t.Helper()
	rows, err := b.db.Query(t.Context(), `
		SELECT concat_ws('|', f.path, f.kind, f.signature, encode(f.content_hash, 'hex'), f.size, c.ordinal, c.key, c.text, c.context, c.words,
		                 c.line_start, encode(c.content_hash, 'hex'), encode(e.vector, 'hex'))
		FROM rag_source s JOIN rag_file f ON f.rag_source_id = s.id AND f.from_revision <= s.index_revision
		     AND (f.to_revision IS NULL OR f.to_revision > s.index_revision)
		LEFT JOIN rag_chunk c ON c.rag_file_id = f.id
		LEFT JOIN rag_embedding e ON e.rag_embedder_id = s.rag_embedder_id AND e.content_hash = c.content_hash
		WHERE s.id = $1 ORDER BY f.path, c.ordinal`, source)
	require.NoError(t, err)
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		require.NoError(t, rows.Scan(&s))
		out = append(out, s)
	}
	require.NoError(t, rows.Err())
	return out
}

func (b *bundle) number(t *testing.T, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, b.db.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

// fill gives the folder n files of two chunks.
func (b *bundle) fill(n int) {
	for i := range n {
		b.folder.put(fmt.Sprintf("d%d/f%03d.txt", i%3, i), fmt.Sprintf("first of %d\n\nsecond of %d", i, i))
	}
}

func encode(t *testing.T, v any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return raw
}

func decode[T any](t *testing.T, raw []byte) T {
	t.Helper()
	var v T
	require.NoError(t, json.Unmarshal(raw, &v))
	return v
}

// waitFor and tick are for what another goroutine does.
const (
	waitFor = 10 * time.Second
	tick    = 5 * time.Millisecond
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// lose lets a file be listed and not be there when it is opened; find ends that.
func (f *folder) lose(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = path
}

func (f *folder) find(string) { f.lose("") }

// unlist lets a folder or a file not be listed any more; nothing of it is told.
func (f *folder) unlist(u ...fetch.Unlisted) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unlisted = u
}
