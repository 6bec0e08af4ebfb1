package embed

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/tokens"
)

// How often and how far apart a request is tried again.
const (
	maxRetries  = 6
	firstDelay  = 1500 * time.Millisecond
	longestOwn  = 30 * time.Second
	longestWait = 5 * time.Minute // a provider that wants more is not waited for
)

// keepTime bounds how long keeping vectors may take.
const keepTime = 10 * time.Second

// shortest is how few tokens a text is cut to before its provider is given up.
const shortest = 8

// batch asks for the vectors of items and keeps them. If the provider finds them too
// long, halves are tried, and in the end less of the text.
func (e *Embedder) batch(ctx context.Context, j *job, items []*item) error {
	res, err := e.ask(ctx, j, items)
	if err == nil {
		return e.keep(ctx, j, items, res.Vectors)
	}
	if !tooLong(err) {
		return err
	}
	if half := len(items) / 2; half > 0 {
		if err := e.batch(ctx, j, items[:half]); err != nil {
			return err
		}
		return e.batch(ctx, j, items[half:])
	}
	return e.shortened(ctx, j, items[0], err)
}

// shortened tries with less and less of one text.
func (e *Embedder) shortened(ctx context.Context, j *job, it *item, err error) error {
	for tooLong(err) {
		limit := it.tokens * 3 / 4
		if limit < shortest {
			return err
		}
		short := &item{hash: it.hash}
		short.text, _ = tokens.Cut(it.text, limit)
		short.tokens = tokens.Estimate(short.text)
		var res llm.EmbedResponse
		if res, err = e.ask(ctx, j, []*item{short}); err == nil {
			it.cut = true
			return e.keep(ctx, j, []*item{it}, res.Vectors)
		}
		it.text, it.tokens = short.text, short.tokens
	}
	return err
}

// ask makes one request, and tries it again when that may help.
func (e *Embedder) ask(ctx context.Context, j *job, items []*item) (llm.EmbedResponse, error) {
	req := llm.EmbedRequest{Model: e.o.Model, Dimensions: e.o.Dimensions, Purpose: j.purpose}
	estimated := 0
	for _, it := range items {
		req.Inputs = append(req.Inputs, it.text)
		estimated += it.tokens
	}
	for try := 0; ; try++ {
		e.tellPause()
		if e.gate.wait(ctx) != nil {
			return llm.EmbedResponse{}, e.ended(ctx)
		}
		res, err := e.o.Provider.Embed(ctx, req)
		if err == nil {
			e.count(j, estimated, res.Usage.InputTokens)
			return res, nil
		}
		failed, again := errors.AsType[*llm.Error](err)
		if again = again && failed.Retryable() && ctx.Err() == nil && try < maxRetries; !again {
			return res, err
		}
		delay := delayOf(failed, try)
		if delay > longestWait {
			return res, err
		}
		if e.pause(ctx, delay, failed.Kind) != nil {
			return res, e.ended(ctx)
		}
	}
}

// delayOf is what the provider asks for, or twice as long as before.
func delayOf(err *llm.Error, try int) time.Duration {
	if err.RetryAfter > 0 {
		return err.RetryAfter
	}
	return min(firstDelay<<try, longestOwn)
}

// pause waits: for a limited rate with all other requests, at the gate before the next
// try, else alone.
func (e *Embedder) pause(ctx context.Context, d time.Duration, reason llm.Kind) error {
	if reason == llm.KindRateLimit {
		e.gate.shut(d)
		return nil
	}
	if e.o.OnWait != nil {
		e.o.OnWait(d, reason)
	}
	return sleep(ctx, d)
}

// tellPause tells of a pause of all requests, unless that is known.
func (e *Embedder) tellPause() {
	if e.o.OnWait == nil {
		return
	}
	until := e.gate.opens()
	left := until.Sub(e.o.Now())
	e.told.mu.Lock()
	defer e.told.mu.Unlock()
	if left > 0 && until.After(e.told.until) {
		e.told.until = until
		e.o.OnWait(left, llm.KindRateLimit)
	}
}

// count adds what a request cost, and learns how the model counts: at once when it
// counts more than was thought, since that is what makes a provider refuse, and little
// by little when it counts less.
func (e *Embedder) count(j *job, estimated int, counted int64) {
	j.requests.Add(1)
	if counted <= 0 {
		j.tokens.Add(int64(estimated))
		return
	}
	j.tokens.Add(counted)
	if estimated < 50 {
		return // too little to learn from
	}
	seen := min(max(float64(counted)/float64(estimated), 0.25), 8)
	e.mu.Lock()
	defer e.mu.Unlock()
	if seen > e.ratio {
		e.ratio = seen
		return
	}
	e.ratio += 0.3 * (seen - e.ratio)
}

// keep gives items their vectors and puts them into the cache.
func (e *Embedder) keep(ctx context.Context, j *job, items []*item, vectors [][]float32) error {
	if len(vectors) != len(items) {
		return e.failures().Invalid(fmt.Sprintf("The model %s answered %d texts with %d vectors.", e.o.Model, len(items), len(vectors)))
	}
	fresh := make(map[string][]float32, len(items))
	for i, it := range items {
		if err := e.sameLength(len(vectors[i])); err != nil {
			return err
		}
		it.vector = unit(vectors[i])
		fresh[it.hash] = it.vector
	}
	if j.cache == nil {
		return nil
	}
	// They are paid for: also when the others fail or are cancelled, they are kept.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime)
	defer cancel()
	if err := j.cache.Put(ctx, e.o.Key, fresh); err != nil {
		return fmt.Errorf("keep embeddings: %w", err)
	}
	return nil
}

// sameLength holds all vectors of the embedder to the length of the first.
func (e *Embedder) sameLength(n int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.length == 0 && n > 0 {
		e.length = n
	}
	if n == e.length && n > 0 {
		return nil
	}
	return e.failures().Invalid(fmt.Sprintf(
		"The model %s gives vectors of %d dimensions where there are vectors of %d already: the provider has another model behind this name. Vectors of both cannot be compared.",
		e.o.Model, n, e.length))
}

// tooLong reports that less text may succeed.
func tooLong(err error) bool {
	e, ok := errors.AsType[*llm.Error](err)
	return ok && (e.Kind == llm.KindContextLength || e.Status == http.StatusRequestEntityTooLarge)
}

// unit scales a vector to the norm 1; that of zero stays.
func unit(v []float32) []float32 {
	square := 0.0
	for _, x := range v {
		square += float64(x) * float64(x)
	}
	norm := math.Sqrt(square)
	if norm == 0 || math.Abs(norm-1) < 1e-6 {
		return v
	}
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(float64(x) / norm)
	}
	return out
}
