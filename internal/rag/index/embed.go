package index

import (
	"context"
	"errors"

	"github.com/llmctl/studio/internal/llm"
)

// embed has vectors made, of the chunks of several files at once. What needs none is
// passed on as it comes.
func (p *pipeline) embed(ctx context.Context, in <-chan *product, out chan<- *product) error {
	for first := range in {
		batch := p.gather(first, in)
		if err := p.vectors(ctx, batch); err != nil {
			return err
		}
		for _, made := range batch {
			if err := send(ctx, out, made); err != nil {
				return err
			}
		}
	}
	return nil
}

// gather takes what is there already, up to a batch.
func (p *pipeline) gather(first *product, in <-chan *product) []*product {
	batch, texts := []*product{first}, len(first.texts)
	for texts < p.a.setup.Batch {
		select {
		case made, ok := <-in:
			if !ok {
				return batch
			}
			batch, texts = append(batch, made), texts+len(made.texts)
		default:
			return batch
		}
	}
	return batch
}

// vectors has the vectors of a batch made. Files whose texts the provider refuses are
// found by asking for each alone.
func (p *pipeline) vectors(ctx context.Context, batch []*product) error {
	var with []*product
	for _, made := range batch {
		if len(made.texts) > 0 && made.failed == nil {
			with = append(with, made)
		}
	}
	if len(with) == 0 {
		return nil
	}
	if err := p.a.s.at("embed " + with[0].path); err != nil {
		return err
	}
	err := p.ask(ctx, with)
	if err == nil || len(with) == 1 || !isFault(err) {
		return p.refused(ctx, with, err)
	}
	for _, made := range with {
		one := []*product{made}
		if err := p.refused(ctx, one, p.ask(ctx, one)); err != nil {
			return err
		}
	}
	return nil
}

// ask has the vectors of some files made and counts them. Which file a cached vector
// belongs to is not known; the first ones get them.
func (p *pipeline) ask(ctx context.Context, with []*product) error {
	var texts []string
	for _, made := range with {
		texts = append(texts, made.texts...)
	}
	began := p.a.s.o.Now()
	res, err := p.gate.embed(ctx, texts)
	if err != nil {
		return err
	}
	took := p.a.s.o.Now().Sub(began)
	cached, left := res.Cached, res.Tokens
	for i, made := range with {
		n := len(made.texts)
		made.embedded = int32(n)
		made.cached = int32(min(cached, n))
		cached -= int(made.cached)
		made.tokens = res.Tokens * int64(n) / int64(len(texts))
		if i == len(with)-1 {
			made.tokens = left
		}
		left -= made.tokens
		made.took += took // with the others of its batch
	}
	return nil
}

// isFault reports whether an error is about what was asked rather than about the
// provider's state.
func isFault(err error) bool {
	e, ok := errors.AsType[*llm.Error](err)
	return ok && (e.Kind == llm.KindInvalidRequest || e.Kind == llm.KindContextLength)
}

// maxRefused is how many files in a row a provider may refuse before anything was
// embedded: then it is no fault of theirs.
const maxRefused = 5

// refused makes an error that came of embedding one of files, or of the run.
func (p *pipeline) refused(ctx context.Context, with []*product, err error) error {
	if err == nil {
		p.gate.accepted()
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	code := FileEmbedding
	e, ok := errors.AsType[*llm.Error](err)
	switch {
	case errors.Is(err, errProviderGone):
		code = FileProvider
	case !ok:
		return err // the database, or a failure of the run
	case !isFault(err):
		return &Failure{Code: CodeEmbedder, Message: e.Message}
	case p.gate.refusals() >= maxRefused:
		return &Failure{Code: CodeEmbedder, Message: "The embedding provider refuses every text. The last answer: " + e.Message}
	}
	message := "The embedding provider did not answer for too long."
	if ok {
		message = e.Message
	}
	for _, made := range with {
		made.failed = &FileError{code, clip(message, longestError)}
	}
	return nil
}
