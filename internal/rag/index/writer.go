package index

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/index/dbsqlc"
)

// How much goes into one transaction at most, how often a run's counts are told, and how
// often its log says how far it is.
const (
	maxStoredFiles  = 64
	maxStoredChunks = 2_000
	tellEvery       = 500 * time.Millisecond
	logEvery        = 10 * time.Second
	maxLoggedFiles  = 50 // that failed
)

// writer stores what became of files.
type writer struct {
	p      *pipeline
	row    Run // as stored last
	told   time.Time
	logged time.Time
	shown  int // failed files in the log
}

func newWriter(p *pipeline) *writer {
	return &writer{p: p, row: p.t.run, logged: p.a.s.o.Now()}
}

func (w *writer) run(ctx context.Context, in <-chan *product) error {
	for first := range in {
		batch, chunks := []*product{first}, len(first.cut.Chunks)
	gather:
		for len(batch) < maxStoredFiles && chunks < maxStoredChunks {
			select {
			case made, ok := <-in:
				if !ok {
					break gather
				}
				batch, chunks = append(batch, made), chunks+len(made.cut.Chunks)
			default:
				break gather
			}
		}
		if err := w.store(ctx, batch); err != nil {
			return err
		}
		w.p.hand.remove(batch)
		for _, made := range batch {
			w.p.bytes.Release(made.weighs)
			if made.stored != nil {
				close(made.stored)
			}
		}
	}
	return nil
}

// store stores a batch. If Postgres refuses what is in it, the files are stored one by
// one, and those fail that it refuses.
func (w *writer) store(ctx context.Context, batch []*product) error {
	if err := w.p.a.s.at("store " + batch[0].path); err != nil {
		return err
	}
	err := w.storeOnce(ctx, batch)
	if refused(err) == nil {
		return err
	}
	for _, made := range batch {
		one := []*product{made}
		err := w.storeOnce(ctx, one)
		if why := refused(err); why != nil {
			made.failed = &FileError{FileNotStorable, clip("The database cannot store what is in the file: "+why.Message+".", longestError)}
			err = w.storeOnce(ctx, one)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// refused gives Postgres' refusal of a value, if it is one.
func refused(err error) *pgconn.PgError {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || len(e.Code) != 5 || (e.Code[:2] != "22" && e.Code[:2] != "54") {
		return nil
	}
	return e
}

func (w *writer) storeOnce(ctx context.Context, batch []*product) error {
	var row Run
	now := w.p.a.s.o.Now()
	tell := now.Sub(w.told) >= tellEvery
	err := w.p.a.fenced(ctx, "store files", func(ctx context.Context, tx *postgres.Tx) error {
		open, err := w.open(ctx, tx, batch)
		if err != nil {
			return err
		}
		if row, err = w.storeTx(ctx, tx, open); err != nil || !tell {
			return err
		}
		_, err = w.p.a.s.announce(ctx, tx, &row, nil, false)
		return err
	})
	if err != nil {
		return err
	}
	w.row = row
	w.p.a.beat()
	if tell {
		w.told = now
	}
	w.log(batch, now)
	return nil
}

// open gives those of a batch that are not stored yet.
func (w *writer) open(ctx context.Context, tx *postgres.Tx, batch []*product) ([]*product, error) {
	paths := make([]string, len(batch))
	for i, made := range batch {
		paths[i] = made.path
	}
	rows, err := w.p.a.s.q.LockPending(ctx, tx, dbsqlc.LockPendingParams{RagIndexRunID: w.row.ID, Paths: paths})
	if err != nil {
		return nil, fmt.Errorf("lock the journal of index run %d: %w", w.row.ID, err)
	}
	pending := make(map[string]bool, len(rows))
	for _, path := range rows {
		pending[path] = true
	}
	var out []*product
	for _, made := range batch {
		if pending[made.path] {
			out = append(out, made)
		}
	}
	return out, nil
}

func (w *writer) storeTx(ctx context.Context, tx *postgres.Tx, batch []*product) (Run, error) {
	q, src, revision := w.p.a.s.q, w.p.t.source.ID, w.row.IndexRevision
	var ends []string
	var made []*product
	journal := dbsqlc.CloseJournalParams{RagIndexRunID: w.row.ID}
	sums := dbsqlc.CountParams{ID: w.row.ID, RagEmbedderID: w.p.a.embedderID}
	for _, m := range batch {
		count(&journal, &sums, m)
		if m.failed != nil || m.carried {
			continue
		}
		if m.action != actionAdd {
			ends = append(ends, m.path)
		}
		if m.action != actionRemove {
			made = append(made, m)
		}
	}
	if len(ends) > 0 {
		if err := q.EndFiles(ctx, tx, dbsqlc.EndFilesParams{RagSourceID: src, Revision: revision, Paths: ends}); err != nil {
			return Run{}, fmt.Errorf("end files of source %d: %w", src, err)
		}
	}
	if err := w.insert(ctx, tx, made); err != nil {
		return Run{}, err
	}
	if len(batch) > 0 {
		if err := q.CloseJournal(ctx, tx, journal); err != nil {
			return Run{}, fmt.Errorf("close lines of index run %d: %w", w.row.ID, err)
		}
	}
	row, err := q.Count(ctx, tx, sums)
	if err != nil {
		return Run{}, fmt.Errorf("count in index run %d: %w", w.row.ID, err)
	}
	return row, nil
}

// count adds a product to the journal's lines and to the run's sums.
func count(j *dbsqlc.CloseJournalParams, sums *dbsqlc.CountParams, m *product) {
	code, message, chunks := "", "", int32(len(m.cut.Chunks))
	if m.failed != nil {
		code, message, chunks = m.failed.Code, m.failed.Message, 0
		sums.Failed++
	} else {
		sums.Done++
		sums.Embedded += m.embedded
		sums.Cached += m.cached
		sums.Bytes += m.size
	}
	sums.Chunks += chunks
	sums.Tokens += m.tokens
	j.Paths, j.ErrorCodes, j.Errors = append(j.Paths, m.path), append(j.ErrorCodes, code), append(j.Errors, message)
	j.Counts, j.Tokens, j.Millis = append(j.Counts, chunks), append(j.Tokens, m.tokens), append(j.Millis, int32(m.took.Milliseconds()))
}

// insert stores files with their chunks.
func (w *writer) insert(ctx context.Context, tx *postgres.Tx, made []*product) error {
	if len(made) == 0 {
		return nil
	}
	src := w.p.t.source.ID
	p := dbsqlc.InsertFilesParams{RagSourceID: src, Revision: w.row.IndexRevision, Signature: w.p.a.setup.Cutter.Signature()}
	for _, m := range made {
		kind := m.cut.Kind
		if m.cut.Binary {
			kind = kindBinary
		}
		p.Paths, p.Fingerprints, p.Hashes = append(p.Paths, m.path), append(p.Fingerprints, m.item.Fingerprint), append(p.Hashes, m.hash)
		p.Sizes, p.Times, p.Kinds = append(p.Sizes, m.size), append(p.Times, m.item.ModifiedAt), append(p.Kinds, kind)
		p.Languages, p.Titles = append(p.Languages, m.cut.Language), append(p.Titles, clip(m.cut.Title, 500))
		p.Counts = append(p.Counts, int32(len(m.cut.Chunks)))
	}
	rows, err := w.p.a.s.q.InsertFiles(ctx, tx, p)
	if err != nil {
		return fmt.Errorf("insert files of source %d: %w", src, err)
	}
	ids := make(map[string]int64, len(rows))
	for _, r := range rows {
		ids[r.Path] = r.ID
	}
	return w.insertChunks(ctx, tx, made, ids)
}

func (w *writer) insertChunks(ctx context.Context, tx *postgres.Tx, made []*product, ids map[string]int64) error {
	var rows [][]any
	for _, m := range made {
		for i, c := range m.cut.Chunks {
			heading := c.Heading
			if heading == nil {
				heading = []string{}
			}
			rows = append(rows, []any{
				w.p.t.source.ID, ids[m.path], c.Key, int32(i), c.Text, c.Context, heading, int32(c.LineStart), int32(c.LineEnd), int32(c.Page),
				int32(c.Tokens), m.hashes[i], w.p.a.s.o.Words(c.Context + "\n" + c.Text),
			})
		}
	}
	columns := []string{
		"rag_source_id", "rag_file_id", "key", "ordinal", "text", "context", "heading", "line_start", "line_end", "page", "tokens", "content_hash", "words",
	}
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"rag_chunk"}, columns, pgx.CopyFromRows(rows)); err != nil {
		return fmt.Errorf("insert chunks of source %d: %w", w.p.t.source.ID, err)
	}
	return nil
}

// log says how far the run is, and which files failed.
func (w *writer) log(batch []*product, now time.Time) {
	for _, m := range batch {
		if m.failed == nil || w.shown > maxLoggedFiles {
			continue
		}
		if w.shown++; w.shown > maxLoggedFiles {
			w.p.a.report.logf("More files fail; the journal of the run names them all.")
			break
		}
		w.p.a.report.logf("%s failed: %s", m.path, m.failed.Message)
	}
	if now.Sub(w.logged) < logEvery {
		return
	}
	w.logged = now
	r := &w.row
	w.p.a.report.logf("%d of %d files, %d chunks, %d failed.", r.Done+r.Failed, r.Added+r.Changed+r.Removed, r.Chunks, r.Failed)
}
