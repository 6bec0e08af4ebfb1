package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/postgres"
)

// Sizes of outputs.
const (
	inlineOutputBytes = 64 << 10      // a larger one lies in a blob
	maxOutputBytes    = blob.MaxBytes // a larger one fails its node
	maxScopeBytes     = 64 << 20      // what one evaluation may read from blobs
)

// blobLevel is the first release that reads outputs from blobs, and
// maxOldOutputBytes what releases before it keep in the row.
const (
	blobLevel         = 2
	maxOldOutputBytes = 4 << 20
)

// Output is what a node run gave: the JSON itself, or where it lies.
type Output struct {
	Inline json.RawMessage
	Blob   blob.Hash
	Bytes  int64 // of the blob
}

func (o Output) columns() (inline json.RawMessage, hash []byte, size *int64) {
	if o.Blob == nil {
		return o.Inline, nil, nil
	}
	return nil, o.Blob, &o.Bytes
}

func outputOf(inline json.RawMessage, hash []byte, size *int64) Output {
	if hash == nil || size == nil {
		return Output{Inline: inline}
	}
	return Output{Blob: hash, Bytes: *size}
}

func (o Output) setOn(n *NodeRun) { n.OutputState, n.OutputBlob, n.OutputBytes = o.columns() }

// keepOutput stores a large output as a blob. It belongs before the transaction
// that refers to it and holds a lock.
func (e *Engine) keepOutput(ctx context.Context, q postgres.Querier, raw json.RawMessage) (Output, error) {
	if len(raw) <= inlineOutputBytes {
		return Output{Inline: raw}, nil
	}
	if len(raw) > maxOutputBytes {
		return Output{}, errs.Ef(errs.TooLarge, "node.output_too_large",
			"The node's output has %d bytes; at most %d are kept. Make the node return less, or write it to a file in LLMCTL_ARTIFACTS.", len(raw), maxOutputBytes)
	}
	old, err := e.q.HasOldWorker(ctx, q, blobLevel)
	if err != nil {
		return Output{}, fmt.Errorf("look for workers of an older release: %w", err)
	}
	if old && len(raw) <= maxOldOutputBytes {
		return Output{Inline: raw}, nil
	}
	if old {
		return Output{}, errs.Ef(errs.TooLarge, "node.output_too_large",
			"The node's output has %d bytes; as long as workers of an older release run, at most %d are kept.", len(raw), maxOldOutputBytes)
	}
	hash, err := blob.Put(ctx, q, raw)
	if err != nil {
		return Output{}, err
	}
	return Output{Blob: hash, Bytes: int64(len(raw))}, nil
}

// storable says what keeps an output from being stored: the database's JSON has
// no NUL, and a blob must hold nothing that a row could not.
func storable(raw json.RawMessage) string {
	switch {
	case raw == nil:
		return ""
	case !json.Valid(raw):
		return "The node's output is not JSON."
	case hasNUL(raw):
		return `The node's output has the character \u0000 in a text, which cannot be stored.`
	}
	return ""
}

// hasNUL finds an escaped NUL; a backslash that is itself escaped begins none.
func hasNUL(raw []byte) bool {
	for at := 0; ; {
		i := bytes.Index(raw[at:], []byte(`\u0000`))
		if i < 0 {
			return false
		}
		i += at
		before := 0
		for before < i && raw[i-1-before] == '\\' {
			before++
		}
		if before%2 == 0 {
			return true
		}
		at = i + 1
	}
}

// outputs is what one operation has read of node runs' outputs and of the run's
// input. Both never change once they are there, so what was read before the
// run's lock holds under it.
type outputs struct {
	refs     map[int64]Output // by node run
	values   map[int64]any    // decoded
	input    json.RawMessage  // nil: not read
	decoded  any              // the input; valid with hasInput
	hasInput bool
	start    *Output // what a start node gives: the input, stored as an output
	weight   int64   // of what was read from blobs
	over     bool    // more than maxScopeBytes were asked for
}

func newOutputs() *outputs {
	return &outputs{refs: map[int64]Output{}, values: map[int64]any{}}
}

// missing says that a step needs what was not read before the lock.
type missing struct {
	runID int64
	ids   []int64 // outputs, of these node runs
	whole bool    // what they are, not only where they lie
	input bool    // the run's input
	start bool    // the run's input as an output
}

// Error implements error. It is seen only if what a step needs keeps changing.
func (m *missing) Error() string {
	return fmt.Sprintf("run %d: outputs of node runs %v were not loaded", m.runID, m.ids)
}

var errScopeTooLarge = errs.Ef(errs.TooLarge, "flow.too_large",
	"The outputs that this node reads have more than %d MiB together. Read fewer nodes, or let them return less.", maxScopeBytes>>20)

// maxLoads bounds how often a step is repeated because another node ended
// between the loading and the lock.
const maxLoads = 16

// withOutputs repeats a step until it has the outputs that it needs. What it
// misses is loaded in between, outside of its transaction.
func (e *Engine) withOutputs(ctx context.Context, o *outputs, step func() error) error {
	for try := 1; ; try++ {
		err := step()
		m, ok := errors.AsType[*missing](err)
		if !ok || try == maxLoads {
			return err
		}
		if err := e.load(ctx, o, m); err != nil {
			return err
		}
	}
}

// load reads what is missing. No lock is held.
func (e *Engine) load(ctx context.Context, o *outputs, m *missing) error {
	if err := e.loadInput(ctx, o, m); err != nil {
		return err
	}
	var unknown []int64
	for _, id := range m.ids {
		if _, ok := o.refs[id]; !ok {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) > 0 {
		rows, err := e.q.OutputsOf(ctx, e.DB, unknown)
		if err != nil {
			return fmt.Errorf("load outputs of run %d: %w", m.runID, err)
		}
		for _, r := range rows {
			o.refs[r.ID] = outputOf(r.OutputState, r.OutputBlob, r.OutputBytes)
		}
	}
	if !m.whole {
		return nil
	}
	for _, id := range m.ids {
		if err := e.loadBlob(ctx, o, id); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) loadInput(ctx context.Context, o *outputs, m *missing) error {
	if !m.input && !m.start {
		return nil
	}
	if o.input == nil {
		raw, err := e.q.GetRunInput(ctx, e.DB, m.runID)
		if err != nil {
			return fmt.Errorf("load input of run %d: %w", m.runID, err)
		}
		o.input = raw
	}
	if m.start && o.start == nil {
		kept, err := e.keepOutput(ctx, e.DB, o.input)
		if err != nil {
			return err
		}
		o.start = &kept
	}
	return o.decodeInput()
}

func (o *outputs) decodeInput() error {
	if o.hasInput {
		return nil
	}
	v, err := flowchart.DecodeValue(o.input)
	if err != nil {
		return fmt.Errorf("decode the run's input: %w", err)
	}
	o.decoded, o.hasInput = v, true
	return nil
}

func (e *Engine) loadBlob(ctx context.Context, o *outputs, id int64) error {
	ref, known := o.refs[id]
	if _, done := o.values[id]; done || !known || ref.Blob == nil {
		return nil
	}
	if o.weight+ref.Bytes > maxScopeBytes {
		o.over = true
		return nil
	}
	raw, err := blob.Get(ctx, e.DB, ref.Blob)
	if err != nil {
		return fmt.Errorf("load output of node run %d: %w", id, err)
	}
	o.weight += ref.Bytes
	return o.decode(id, raw)
}

func (o *outputs) decode(id int64, raw json.RawMessage) error {
	v, err := flowchart.DecodeValue(raw)
	if err != nil {
		return fmt.Errorf("decode output of node run %d: %w", id, err)
	}
	o.values[id] = v
	return nil
}

// value gives a decoded output; known is false if it has to be loaded first.
func (o *outputs) value(id int64) (v any, known bool, err error) {
	if v, ok := o.values[id]; ok {
		return v, true, nil
	}
	ref, ok := o.refs[id]
	switch {
	case ok && ref.Blob == nil:
		if err := o.decode(id, ref.Inline); err != nil {
			return nil, false, err
		}
		return o.values[id], true, nil
	case ok && o.over:
		return nil, false, errScopeTooLarge
	}
	return nil, false, nil
}
