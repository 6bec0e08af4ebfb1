package sqliteimport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Sealer encrypts; the associated data binds a secret to its row.
type Sealer interface {
	Seal(plaintext, associatedData []byte) ([]byte, error)
}

// Options say what to import and how.
type Options struct {
	Path      string
	Truncate  bool           // empty our tables first; without it they must be empty
	DryRun    bool           // do everything, then roll back
	BatchSize int            // rows a statement, at least 1
	Location  *time.Location // of times that are written without a zone; nil: UTC
	Seal      Sealer         // nil: rows with credentials are skipped
	// Fingerprint gives what may be shown of a key.
	Fingerprint func(secret string) string
	Now         func() time.Time
	// Progress is called now and then during long copies; nil: nobody wants it.
	Progress func(table string, done, total int64)
	// Removed is told, in the transaction, up to which transaction the event log
	// can no longer be replayed.
	Removed func(ctx context.Context, q postgres.Querier, xid uint64) error
}

// errRollBack ends the transaction of a dry run.
var errRollBack = errors.New("dry run")

// CheckFile refuses what is no file that can be imported, as far as its first
// bytes and its locks tell. Errors: as Import.
func CheckFile(path string) error {
	s := &source{path: path}
	return s.check()
}

// Import copies the file into the database. Errors: invalid (the file cannot be
// used, import.*), conflict (the file or the target is in use, the target is not
// empty). On an error the target is as it was.
func Import(ctx context.Context, db *postgres.DB, o Options) (*Report, error) {
	if o.BatchSize < 1 {
		return nil, refuse("batch_size", "The batch size is %d; it must be at least 1.", o.BatchSize)
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	src, err := openSource(ctx, o.Path)
	if err != nil {
		return nil, err
	}
	rep, err := run(ctx, db, src, o)
	return rep, errors.Join(err, src.close())
}

func run(ctx context.Context, db *postgres.DB, src *source, o Options) (*Report, error) {
	var rep *Report
	err := db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		rep = newReport(src.path, o.DryRun, o.Now()) // anew: the transaction may be repeated
		im := &importer{o: o, src: src, tx: tx, rep: rep}
		if err := im.all(ctx); err != nil {
			return err
		}
		if err := src.unchanged(); err != nil {
			return err
		}
		if o.DryRun {
			return errRollBack
		}
		return nil
	})
	if err != nil && !errors.Is(err, errRollBack) {
		return nil, err
	}
	rep.finish(o.Now())
	return rep, nil
}

// importer is one pass of an import, within its transaction.
type importer struct {
	o   Options
	src *source
	tx  *postgres.Tx
	rep *Report
	out *batch

	settings map[string]map[string]string // provider -> key -> value
	usedKeys map[string]bool              // settings whose value became the key of a provider
	models   map[int64]bool
	charts   map[int64]*chart
	refused  map[string]map[int64]string // table -> id -> why it was not taken over
	runs     map[int64]*runRef
	nodes    nodeIDs

	lastProgress time.Time
	done         map[string]int64
}

// chart is what runs need to know of a flowchart that was taken over.
type chart struct {
	start         string
	nodes         map[int64]nodeRef
	maxExecutions int32
	maxParallel   int32
}

type nodeRef struct{ kind, title string }

// all does the whole import, in the order in which rows refer to each other.
func (im *importer) all(ctx context.Context) error {
	if err := im.prepareTarget(ctx); err != nil {
		return err
	}
	im.out = newBatch(im.tx, im.o.BatchSize)
	im.models, im.charts, im.runs = map[int64]bool{}, map[int64]*chart{}, map[int64]*runRef{}
	im.refused, im.done = map[string]map[int64]string{}, map[string]int64{}
	steps := []struct {
		what string
		do   func(context.Context) error
	}{
		{"settings", im.readSettings},
		{"models", im.importModels},
		{"settings", im.importSettings},
		{"sources", im.importSources},
		{"flowcharts", im.importFlowcharts},
		{"runs", im.importRuns},
		{"node runs", im.importNodeRuns},
		{"other tables", im.importRest},
	}
	for _, s := range steps {
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("import %s: %w", s.what, err)
		}
	}
	if err := im.out.flush(ctx); err != nil {
		return err
	}
	return im.finishTarget(ctx)
}

// refuseRow remembers why a row was not taken over, for those that refer to it.
func (im *importer) refuseRow(table string, id int64, reason string) {
	if im.refused[table] == nil {
		im.refused[table] = map[int64]string{}
	}
	im.refused[table][id] = reason
}

// progressEvery is how often a long copy says how far it is.
const progressEvery = 2 * time.Second

// read counts a row and tells how far the table is.
func (im *importer) read(table string) {
	im.done[table]++
	if im.o.Progress == nil {
		return
	}
	now := im.o.Now()
	if im.lastProgress.IsZero() {
		im.lastProgress = now
	}
	if now.Sub(im.lastProgress) >= progressEvery {
		im.lastProgress = now
		im.o.Progress(table, im.done[table], im.src.tables[table].rows)
	}
}

// moment reads a time of the source; fallbacks are columns to try in its stead.
func (im *importer) moment(r row, columns ...string) (time.Time, bool) {
	for _, c := range columns {
		if t, ok := r.moment(c, im.o.Location); ok {
			return t, true
		}
	}
	return time.Time{}, false
}

// created gives when a row was made and last changed. Where the source does not
// say, that is noted and now.
func (im *importer) created(table, id string, r row) (created, updated time.Time) {
	created, ok := im.moment(r, "created_at", "started_at", "updated_at", "finished_at")
	if !ok {
		im.rep.table(table).note("it has no readable time of creation and got that of the import", id)
		created = im.rep.StartedAt
	} else if _, own := im.moment(r, "created_at"); !own {
		im.rep.table(table).note("its time of creation could not be read; another time of it was taken", id)
	}
	if updated, ok = im.moment(r, "updated_at"); !ok {
		updated = created
	}
	return created, updated
}

func conflict(reason, format string, args ...any) error {
	return errs.Ef(errs.Conflict, "import."+reason, format, args...)
}
