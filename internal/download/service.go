package download

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/llmctl/studio/internal/download/dbsqlc"
	"github.com/llmctl/studio/internal/download/hub"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
)

// Kind is the kind of the jobs in the queue.
const Kind = "download"

// Pointer points at a job that is to be worked, not before At.
type Pointer struct {
	ID int64
	At time.Time // zero: at once
}

// Enqueuer enqueues pointers as part of a transaction, all or none.
type Enqueuer interface {
	Enqueue(ctx context.Context, tx *postgres.Tx, pointers []Pointer) error
}

// Sealer encrypts and decrypts; the associated data binds a secret to its row.
type Sealer interface {
	Seal(plaintext, associatedData []byte) ([]byte, error)
	Open(ciphertext, associatedData []byte) ([]byte, error)
}

// Options wire a Service.
type Options struct {
	DB          *postgres.DB
	Log         *event.Log
	Queue       Enqueuer
	Seal        Sealer
	Fingerprint func(secret string) string
	Hub         *hub.Client
	Token       string // for jobs that bring none
	DataDir     string
	Reserve     int64 // bytes that stay free; 0: 1 GiB
	MaxFiles    int   // of one job; 0: 10 000
	Now         func() time.Time
	Logger      *slog.Logger
}

// Defaults of the options.
const (
	defaultReserve  = 1 << 30
	defaultMaxFiles = 10_000
)

// Job is a row.
type Job = dbsqlc.DownloadJob

// File is a row.
type File = dbsqlc.DownloadFile

// Attempt is a row.
type Attempt = dbsqlc.DownloadAttempt

// Service makes, changes and shows jobs. It keeps no state of its own.
type Service struct {
	o Options
	q *dbsqlc.Queries
}

// New makes a service.
func New(o Options) *Service {
	if o.Reserve == 0 {
		o.Reserve = defaultReserve
	}
	if o.MaxFiles == 0 {
		o.MaxFiles = defaultMaxFiles
	}
	return &Service{o: o, q: dbsqlc.New()}
}

// models is the folder of all targets.
func (s *Service) models() string { return filepath.Join(s.o.DataDir, "models") }
