package embed

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/tokens"
)

// The defaults of Options: what the largest provider takes, with room for estimates
// that are a little too low.
const (
	DefaultMaxItems         = 100
	DefaultMaxRequestTokens = 285_000
	DefaultMaxInputTokens   = 8191
	DefaultParallel         = 4
)

// Cache keeps vectors by the embedder's key and the hash of their text.
type Cache interface {
	// Get gives those vectors that are there, by string(hash).
	Get(ctx context.Context, key string, hashes [][]byte) (map[string][]float32, error)
	// Put keeps vectors by string(hash); what is there already stays.
	Put(ctx context.Context, key string, vectors map[string][]float32) error
}

// Options of an Embedder. Zero limits mean the defaults.
type Options struct {
	Provider   llm.Embedder
	Model      string // the provider's name for it
	Key        string // of KeyOf
	Dimensions int    // 0: the model's own
	Prefixes   Prefixes

	MaxItems         int // texts of a request
	MaxRequestTokens int // of all texts of a request
	MaxInputTokens   int // of a text; more is cut off
	Parallel         int // requests of Documents at a time

	Cache Cache // nil: none
	// OnWait is told of each wait before a request is tried again, and once of a pause
	// of all; nil: nobody is.
	OnWait func(d time.Duration, reason llm.Kind)
	Now    func() time.Time
	Logger *slog.Logger
}

// Embedder embeds with one model. It is safe for concurrent use, and its limits hold
// for all its users together.
type Embedder struct {
	o Options
	*shared
	told *told
}

// shared is what all views of an Embedder have in common.
type shared struct {
	slots chan struct{}
	gate  gate

	mu     sync.Mutex
	length int     // of the vectors, once one is known
	ratio  float64 // the model's tokens for one of the estimate
}

// told is the last pause that OnWait knows of.
type told struct {
	mu    sync.Mutex
	until time.Time
}

// Result is what Documents found. Vectors are in the order of the texts.
type Result struct {
	Vectors  [][]float32
	Cached   int   // vectors that the cache had
	Requests int   // that the provider answered
	Tokens   int64 // as the provider counts, or by the estimate if it does not
	Cut      int   // texts that were too long to be asked for whole: their beginning is embedded
}

// New makes an Embedder.
func New(o Options) *Embedder {
	for _, f := range []struct {
		v *int
		d int
	}{
		{&o.MaxItems, DefaultMaxItems},
		{&o.MaxRequestTokens, DefaultMaxRequestTokens},
		{&o.MaxInputTokens, DefaultMaxInputTokens},
		{&o.Parallel, DefaultParallel},
	} {
		if *f.v <= 0 {
			*f.v = f.d
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Embedder{
		o: o, told: &told{},
		shared: &shared{slots: make(chan struct{}, o.Parallel), gate: gate{now: o.Now}, length: o.Dimensions, ratio: 1},
	}
}

// Telling is the same embedder, limits and pauses included, that tells of waits
// somebody else.
func (e *Embedder) Telling(onWait func(d time.Duration, reason llm.Kind)) *Embedder {
	view := *e
	view.o.OnWait, view.told = onWait, &told{}
	return &view
}

// Key is that of the options: the name of what makes these vectors.
func (e *Embedder) Key() string { return e.o.Key }

// Model is the provider's name for the model.
func (e *Embedder) Model() string { return e.o.Model }

// item is one text that is asked for, however often it came.
type item struct {
	hash   string
	text   string
	tokens int // by the estimate
	cut    bool
	vector []float32
}

// Prefixes stand before what is embedded, as some models were trained: they tell questions from what answers them. The
// name of a vector in the cache is that of the text without it; the prefix of documents is part of the embedder's key.
type Prefixes struct{ Query, Document string }

// job is one call and what it has cost so far.
type job struct {
	purpose  llm.EmbedPurpose
	prefix   string
	cache    Cache
	requests atomic.Int64
	tokens   atomic.Int64
}

// Documents gives the vectors of texts that are searched. Empty texts are refused. An
// error of the provider is an *llm.Error; a Result with an error says what was spent.
func (e *Embedder) Documents(ctx context.Context, texts []string) (Result, error) {
	j := &job{purpose: llm.EmbedDocument, prefix: e.o.Prefixes.Document, cache: e.o.Cache}
	items, of, err := e.items(j, texts)
	if err != nil {
		return Result{}, err
	}
	missing, err := e.fromCache(ctx, j, items)
	if err != nil {
		return Result{}, err
	}
	fresh := make(map[*item]bool, len(missing))
	for _, it := range missing {
		fresh[it] = true
	}
	err = e.all(ctx, j, missing)
	out := Result{Requests: int(j.requests.Load()), Tokens: j.tokens.Load()}
	if err != nil {
		return out, err
	}
	out.Vectors = make([][]float32, len(texts))
	for i, it := range of {
		out.Vectors[i] = it.vector
		switch {
		case !fresh[it]:
			out.Cached++
		case it.cut:
			out.Cut++
		}
	}
	if out.Cut > 0 {
		e.o.Logger.WarnContext(ctx, "texts were too long to be embedded whole", "texts", out.Cut, "model", e.o.Model)
	}
	return out, nil
}

// Query gives the vector of a question, and what it took in tokens, also with an error. It waits for no request of
// Documents, but pauses with them when the provider wants less.
func (e *Embedder) Query(ctx context.Context, text string) (vector []float32, spent int64, err error) {
	j := &job{purpose: llm.EmbedQuery, prefix: e.o.Prefixes.Query}
	items, _, err := e.items(j, []string{text})
	if err != nil {
		return nil, 0, err
	}
	if err := e.batch(ctx, j, items); err != nil {
		return nil, j.tokens.Load(), err
	}
	return items[0].vector, j.tokens.Load(), nil
}

// Dimensions is the length of the vectors. If nobody knows it yet, the provider is
// asked for one.
func (e *Embedder) Dimensions(ctx context.Context) (int, error) {
	e.mu.Lock()
	n := e.length
	e.mu.Unlock()
	if n > 0 {
		return n, nil
	}
	v, _, err := e.Query(ctx, "How long are the vectors?")
	return len(v), err
}

// items makes one item of equal texts, and says which is each text's.
func (e *Embedder) items(j *job, texts []string) (items, of []*item, err error) {
	known := make(map[string]*item, len(texts))
	of = make([]*item, len(texts))
	for i, text := range texts {
		if text == "" {
			return nil, nil, e.failures().Invalid(fmt.Sprintf("The text number %d of %d is empty, and has no embedding.", i+1, len(texts)))
		}
		hash := string(Hash(text))
		it := known[hash]
		if it == nil {
			it = &item{hash: hash}
			it.text, it.cut = tokens.Cut(j.prefix+text, e.o.MaxInputTokens)
			it.tokens = tokens.Estimate(it.text)
			known[hash] = it
			items = append(items, it)
		}
		of[i] = it
	}
	return items, of, nil
}

// maxLookup bounds one question to the cache.
const maxLookup = 1000

// fromCache fills in the vectors that are known and gives the items without one.
func (e *Embedder) fromCache(ctx context.Context, j *job, items []*item) ([]*item, error) {
	if j.cache == nil {
		return items, nil
	}
	var missing []*item
	for start := 0; start < len(items); start += maxLookup {
		some := items[start:min(start+maxLookup, len(items))]
		hashes := make([][]byte, len(some))
		for i, it := range some {
			hashes[i] = []byte(it.hash)
		}
		found, err := j.cache.Get(ctx, e.o.Key, hashes)
		if err != nil {
			return nil, fmt.Errorf("look up embeddings: %w", err)
		}
		for _, it := range some {
			if it.vector = found[it.hash]; it.vector == nil {
				missing = append(missing, it)
				continue
			}
			if err := e.sameLength(len(it.vector)); err != nil {
				return nil, err
			}
		}
	}
	return missing, nil
}

// all asks for items, some batches at a time. Batches are cut off when their turn
// comes, so that what is learned of the model's tokens counts.
func (e *Embedder) all(ctx context.Context, j *job, items []*item) error {
	g, ctx := errgroup.WithContext(ctx)
	for len(items) > 0 {
		if err := e.acquire(ctx); err != nil {
			break // the group's error says why, or the context's
		}
		var next []*item
		next, items = e.take(items)
		g.Go(func() error {
			defer func() { <-e.slots }()
			return e.batch(ctx, j, next)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if len(items) > 0 {
		return e.ended(ctx)
	}
	return nil
}

func (e *Embedder) acquire(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	default:
	}
	select {
	case e.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take cuts the next batch off: as many items as a request may have.
func (e *Embedder) take(items []*item) (batch, rest []*item) {
	e.mu.Lock()
	ratio := e.ratio
	e.mu.Unlock()
	sum := 0.0
	for i, it := range items {
		sum += ratio * float64(it.tokens)
		if i > 0 && (i == e.o.MaxItems || sum > float64(e.o.MaxRequestTokens)) {
			return items[:i], items[i:]
		}
	}
	return items, nil
}

func (e *Embedder) failures() llm.Failures { return llm.Failures{Provider: "The embedding model"} }

// ended is the error of a context that is over.
func (e *Embedder) ended(ctx context.Context) error { return e.failures().Transport(ctx, ctx.Err()) }
