package index

import (
	"context"
	"log/slog"
	"time"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/index/dbsqlc"
	"github.com/llmctl/studio/internal/run"
)

// Kind is the kind of the nodes that do nothing but index.
const Kind = "rag_index"

// Run is an index run of one source, as stored.
type Run = dbsqlc.RagIndexRun

// Engine is what an index run needs of the run engine.
type Engine interface {
	StartNode(ctx context.Context, tx *postgres.Tx, req run.NodeRequest) (run.NodeRun, error)
	DecideTx(ctx context.Context, tx *postgres.Tx, nodeRunID int64, f func(ctx context.Context) (goesOn bool, err error)) error
	CancelNodeTx(ctx context.Context, tx *postgres.Tx, nodeRunID int64) (run.NodeRun, error)
	NodeRun(ctx context.Context, q postgres.Querier, id int64) (run.NodeRun, error)
}

// Sources gives what reads a source, with its secret and its selection. Errors are for
// people.
type Sources interface {
	Fetcher(ctx context.Context, q postgres.Querier, id int64) (fetch.Fetcher, error)
}

// Chunk is a piece of a file.
type Chunk struct {
	Key                      string
	Text, Context            string
	Heading                  []string
	LineStart, LineEnd, Page int
	Tokens                   int
}

// Cut is a file as it is indexed.
type Cut struct {
	Kind, Language, Title string
	Chunks                []Chunk
	Binary                bool // nothing here reads it; it has no chunks
}

// Cutter parses files and cuts them into chunks.
type Cutter interface {
	// Cut fails with a *FileError when it is the file's fault.
	Cut(ctx context.Context, path string, data []byte) (Cut, error)
	// Signature changes when the same bytes would be cut differently.
	Signature() string
}

// Identity names what makes vectors. Vectors of different ones cannot be compared.
type Identity struct {
	ID         int64 // of its row
	Model      string
	Dimensions int
}

// Embedded is what became of some texts.
type Embedded struct {
	Cached int // vectors that were known already
	Tokens int64
}

// Embedder makes vectors of texts and keeps them, by the hash of the text.
type Embedder interface {
	Identity() Identity
	// Embed keeps a vector of each text, under embed.Hash of it. Errors are an *llm.Error
	// where the provider is their cause, or a *Failure.
	Embed(ctx context.Context, texts []string) (Embedded, error)
}

// Setup is what the settings make of an attempt.
type Setup struct {
	Parallel     int   // files at once; 0: 2
	Batch        int   // chunks that are embedded together; 0: 96
	Embeds       int   // batches that are embedded at once; 0: 2
	MaxFileBytes int64 // 0: 1 MiB
	MaxPDFBytes  int64 // of formats that are larger than their text; 0: 64 MiB
	Cutter       Cutter
	Embedder     Embedder // nil: there are no vectors
}

// Options wire a Service.
type Options struct {
	DB      *postgres.DB
	Log     *event.Log
	Engine  Engine
	Sources Sources
	// Setup reads the settings. tell is told, as long as the attempt works, of each pause that
	// the embedder makes; it does not wait long.
	Setup func(ctx context.Context, tell func(Wait)) (Setup, error)
	// Prices reads those of models, within q; nil: costs are not known.
	Prices func(ctx context.Context, q postgres.Querier) (Prices, error)
	// Words gives the parts of identifiers of a text, for the full text search.
	Words func(text string) string
	// Patience is how long a run waits for a provider that does not answer. 0: 10 min.
	Patience time.Duration
	// DatabasePatience is how long an attempt waits for the database. 0: 10 min.
	DatabasePatience time.Duration
	// Stall is after how long an attempt is given up in which nothing happens. 0: 30 min.
	Stall  time.Duration
	Now    func() time.Time
	Logger *slog.Logger
	// Tested is told what was done; nil outside of tests.
	Tested Probe
}

// Probe lets tests see, and stop, what an attempt does.
type Probe interface {
	// At is called before a step; an error ends the attempt as a crash would, without
	// another word.
	At(step string) error
}

// Defaults and limits.
const (
	defaultPatience = 10 * time.Minute
	defaultStall    = 30 * time.Minute
	defaultParallel = 2
	defaultBatch    = 96
	defaultEmbeds   = 2
	defaultMaxFile  = 1 << 20
	defaultMaxPDF   = 64 << 20
	maxFiles        = 500_000 // of one source
	maxSources      = 50      // of one node
)

// Service starts, works, controls and shows index runs. It keeps no state of its own.
type Service struct {
	o Options
	q *dbsqlc.Queries
}

// New makes a service.
func New(o Options) *Service {
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	if o.DatabasePatience == 0 {
		o.DatabasePatience = defaultPatience
	}
	if o.Stall == 0 {
		o.Stall = defaultStall
	}
	if o.Words == nil {
		o.Words = func(string) string { return "" }
	}
	return &Service{o: o, q: dbsqlc.New()}
}

func (s Setup) withDefaults() Setup {
	s.Parallel = orDefault(s.Parallel, defaultParallel)
	s.Batch = orDefault(s.Batch, defaultBatch)
	s.Embeds = orDefault(s.Embeds, defaultEmbeds)
	s.MaxFileBytes = orDefault(s.MaxFileBytes, defaultMaxFile)
	s.MaxPDFBytes = orDefault(s.MaxPDFBytes, defaultMaxPDF)
	return s
}

func orDefault[T int | int64](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}
