package chat

import (
	"context"
	"log/slog"
	"time"

	"github.com/llmctl/studio/internal/chat/dbsqlc"
	documents "github.com/llmctl/studio/internal/document"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
)

// Kind is the kind of the jobs in the queue.
const Kind = "turn"

// Pointer points at a turn that is to be worked.
type Pointer struct {
	ID int64
	At time.Time // not before; zero: at once
}

// Enqueuer enqueues pointers as part of a transaction, all or none.
type Enqueuer interface {
	Enqueue(ctx context.Context, tx *postgres.Tx, pointers []Pointer) error
}

// Model is a configured model, as far as threads need to know it.
type Model struct {
	ID           int64
	Name         string // the user's name for it
	ProviderKind string
	ProviderName string
	Model        string // the provider's name for it
	Config       []byte // JSON
	Embeds       bool   // it makes vectors and cannot answer
}

// Models finds models. Error: not_found.
type Models interface {
	Model(ctx context.Context, q postgres.Querier, id int64) (Model, error)
}

// Selectables know what a thread may name. They list which of the ids do not exist.
type Selectables interface {
	MissingMCPServers(ctx context.Context, q postgres.Querier, ids []int64) ([]int64, error)
	MissingSources(ctx context.Context, q postgres.Querier, ids []int64) ([]int64, error)
}

// ToolCalls are the recorded calls of turns.
type ToolCalls interface {
	// Waits tells whether calls of a turn wait for a person.
	Waits(ctx context.Context, q postgres.Querier, turnID int64) (bool, error)
	// Ended closes what a turn leaves open, in the transaction that ends it.
	Ended(ctx context.Context, tx *postgres.Tx, t *Turn) error
}

// Options wire a Service.
type Options struct {
	DB    *postgres.DB
	Log   *event.Log
	Queue Enqueuer
	// Signal tells the workers that a turn is to stop. It may be lost: the beat of the
	// holder brings the order as well.
	Signal      func(turnID int64)
	Models      Models
	Selectables Selectables // nil: there are neither servers nor sources
	ToolCalls   ToolCalls   // nil: turns have none
	Documents   documents.Parser
	Now         func() time.Time
	Logger      *slog.Logger
}

// Thread is a row.
type Thread = dbsqlc.Thread

// Turn is a row.
type Turn = dbsqlc.Turn

// Attachment is a row.
type Attachment = dbsqlc.Attachment

// Service makes, changes and shows threads. It keeps no state of its own.
type Service struct {
	o Options
	q *dbsqlc.Queries
}

// New makes a service.
func New(o Options) *Service {
	if o.Signal == nil {
		o.Signal = func(int64) {}
	}
	return &Service{o: o, q: dbsqlc.New()}
}

// Origin is who caused something.
type Origin struct {
	UserID                   *int64
	RequestID, CorrelationID string
}
