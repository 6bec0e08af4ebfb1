package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// KindNode is the kind of the jobs that point at node runs.
const KindNode = "node"

// Pointer is what a job is: it points at a row of a domain, which alone says what
// is to be done and whether it still is.
type Pointer struct {
	Kind  string    // of the row; a Handler of this kind works it
	ID    int64     // of the row
	Queue string    // public name
	At    time.Time // not before; zero: at once
}

// check refuses what could never be worked.
func (p Pointer) check() error {
	switch {
	case p.Kind == "":
		return errs.E(errs.Internal, "queue.pointer", "A job needs the kind of the row that it points at.")
	case p.ID <= 0:
		return errs.E(errs.Internal, "queue.pointer", fmt.Sprintf("A job of kind %q points at the id %d; ids begin with 1.", p.Kind, p.ID))
	case !known(p.Queue):
		return errs.E(errs.Internal, "queue.pointer", fmt.Sprintf("There is no queue %q; the queues are %v.", p.Queue, Names()))
	}
	return nil
}

// args are a pointer as River keeps it. River asks a value for its kind, so one
// type serves all of them.
type args struct {
	kind string
	id   int64
}

// Kind is River's name of the job.
func (a args) Kind() string { return a.kind }

// MarshalJSON writes the row's id.
func (a args) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID int64 `json:"id"`
	}{a.id})
}

// UnmarshalJSON reads the row's id. It takes anything: arguments that point nowhere
// are the handler's to ignore, like those that point at a row that is gone.
func (a *args) UnmarshalJSON(raw []byte) error {
	var in struct {
		ID        int64 `json:"id"`
		NodeRunID int64 `json:"node_run_id"` // as node jobs had it before there were other kinds
	}
	_ = json.Unmarshal(raw, &in)
	a.id = max(in.ID, in.NodeRunID)
	return nil
}

// Insert enqueues jobs as part of a transaction, all or none.
func (c *Client) Insert(ctx context.Context, tx *postgres.Tx, pointers []Pointer) error {
	if len(pointers) == 0 {
		return nil
	}
	params := make([]river.InsertManyParams, len(pointers))
	var wake []string
	for i, p := range pointers {
		if err := p.check(); err != nil {
			return err
		}
		params[i] = river.InsertManyParams{
			Args:       args{kind: p.Kind, id: p.ID},
			InsertOpts: &river.InsertOpts{Queue: riverName(p.Queue), ScheduledAt: p.At},
		}
		if p.At.IsZero() && !slices.Contains(wake, riverName(p.Queue)) {
			wake = append(wake, riverName(p.Queue))
		}
	}
	if err := c.insert(ctx, tx, params); err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	after := context.WithoutCancel(ctx)
	tx.AfterCommit(func() {
		for _, p := range pointers {
			c.o.Meter.Enqueued(p.Queue, 1)
		}
		if len(wake) > 0 {
			c.bell.ring(after, wake)
		}
	})
	return nil
}

// few jobs go faster with one statement that gives them back than with a COPY, which
// takes several round trips.
const few = 20

func (c *Client) insert(ctx context.Context, tx *postgres.Tx, params []river.InsertManyParams) error {
	var err error
	if len(params) <= few {
		_, err = c.river.InsertManyTx(ctx, tx.Tx, params)
	} else {
		_, err = c.river.InsertManyFastTx(ctx, tx.Tx, params)
	}
	return err
}
