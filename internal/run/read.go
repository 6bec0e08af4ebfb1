package run

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Sizes of outputs in answers. What is larger has an address of its own.
const (
	MaxShownOutput = 1 << 20 // of one output
	maxShownTotal  = 4 << 20 // of the outputs of a run's nodes that lie in blobs
)

// fillOutputs loads the outputs of a run and its nodes that lie in blobs, as far
// as one answer should hold them. The newest come first.
func (e *Engine) fillOutputs(ctx context.Context, r *Run, nodes []NodeRun) error {
	var err error
	if r.Output, err = e.shown(ctx, r.Output, r.OutputBlob, r.OutputBytes); err != nil {
		return fmt.Errorf("load output of run %d: %w", r.ID, err)
	}
	var total int64
	for i := len(nodes) - 1; i >= 0; i-- {
		n := &nodes[i]
		if n.OutputBytes == nil || total+*n.OutputBytes > maxShownTotal {
			continue
		}
		if err := e.FillOutput(ctx, n); err != nil {
			return err
		}
		if n.OutputState != nil {
			total += *n.OutputBytes
		}
	}
	return nil
}

// FillOutput loads a node run's output if it lies in a blob and has at most
// MaxShownOutput bytes.
func (e *Engine) FillOutput(ctx context.Context, n *NodeRun) error {
	var err error
	if n.OutputState, err = e.shown(ctx, n.OutputState, n.OutputBlob, n.OutputBytes); err != nil {
		return fmt.Errorf("load output of node run %d: %w", n.ID, err)
	}
	return nil
}

func (e *Engine) shown(ctx context.Context, inline json.RawMessage, hash []byte, size *int64) (json.RawMessage, error) {
	if hash == nil || size == nil || *size > MaxShownOutput {
		return inline, nil
	}
	return blob.Get(ctx, e.DB, hash)
}

// OpenOutput begins to read a node run's output, whatever its size. Errors:
// not_found, of the node run or because it has none.
func (e *Engine) OpenOutput(ctx context.Context, nodeRunID int64) (*blob.Content, error) {
	n, err := e.nodeRun(ctx, nodeRunID)
	if err != nil {
		return nil, err
	}
	return e.open(ctx, outputOf(n.OutputState, n.OutputBlob, n.OutputBytes),
		errs.Ef(errs.NotFound, "node.no_output", "Node run %d has no output (it is %s).", n.ID, n.Status))
}

// OpenRunOutput is OpenOutput for a run.
func (e *Engine) OpenRunOutput(ctx context.Context, runID int64) (*blob.Content, error) {
	r, err := e.q.GetRun(ctx, e.DB, runID)
	if postgres.NotFound(err) {
		return nil, errs.Ef(errs.NotFound, "run.not_found", "There is no run %d.", runID)
	}
	if err != nil {
		return nil, fmt.Errorf("load run %d: %w", runID, err)
	}
	return e.open(ctx, outputOf(r.Output, r.OutputBlob, r.OutputBytes),
		errs.Ef(errs.NotFound, "run.no_output", "Run %d has no output (it is %s).", r.ID, r.Status))
}

func (e *Engine) open(ctx context.Context, o Output, none error) (*blob.Content, error) {
	switch {
	case o.Blob != nil:
		return blob.Open(ctx, e.DB, o.Blob)
	case o.Inline != nil:
		return &blob.Content{Reader: bytes.NewReader(o.Inline), Size: int64(len(o.Inline))}, nil
	}
	return nil, none
}
