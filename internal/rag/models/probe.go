package models

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/rag/settings"
)

// testTime bounds a test: somebody waits for it.
const testTime = 60 * time.Second

// Found is what a test of the embedding model found. Message is for users.
type Found struct {
	OK         bool
	Dimensions int
	Took       time.Duration
	Message    string
	Kind       string // of a failure: that of an llm.Error, or the reason why nobody could be asked
}

// Test asks the embedding model of the settings for one vector. It neither waits nor
// tries again. That the model cannot be used is a finding, not an error.
func (m *Models) Test(ctx context.Context) (Found, error) {
	ctx, cancel := context.WithTimeout(ctx, testTime)
	defer cancel()
	s, _, err := settings.Load(ctx, m.o.DB)
	if err != nil {
		return Found{}, err
	}
	n, err := m.embedding(ctx, s)
	if refused, ok := errors.AsType[*errs.Error](err); ok && refused.Code != errs.Internal {
		return Found{Message: refused.Message, Kind: refused.Reason}, nil
	}
	if err != nil {
		return Found{}, err
	}
	began := m.o.Now()
	res, err := n.embedder.Embed(ctx, llm.EmbedRequest{Model: n.model, Inputs: []string{"Where is the harbour?"}, Dimensions: n.dimensions, Purpose: llm.EmbedQuery})
	out := Found{OK: err == nil, Took: m.o.Now().Sub(began)}
	if failed, ok := errors.AsType[*llm.Error](err); ok {
		out.Message, out.Kind = failed.Message, string(failed.Kind)
		return out, nil
	}
	if err != nil {
		return out, err
	}
	out.Dimensions = len(res.Vectors[0])
	out.Message = fmt.Sprintf("%s gives vectors of %d dimensions.", n.model, out.Dimensions)
	return out, nil
}
