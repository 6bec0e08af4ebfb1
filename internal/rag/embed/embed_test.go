package embed_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/llm"
	"github.com/llmctl/studio/internal/llm/featurehash"
	"github.com/llmctl/studio/internal/rag/embed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a provider whose answers a test decides. Without answer it embeds.
type fake struct {
	mu      sync.Mutex
	asked   []llm.EmbedRequest
	running int
	most    int
	answer  func(ctx context.Context, n int, req llm.EmbedRequest) error // n counts from 1
	scale   float32
	length  int
	usage   func(req llm.EmbedRequest) int64
}

func (f *fake) Embed(ctx context.Context, req llm.EmbedRequest) (llm.EmbedResponse, error) {
	f.mu.Lock()
	f.asked = append(f.asked, req)
	n := len(f.asked)
	f.running++
	f.most = max(f.most, f.running)
	f.mu.Unlock()
	defer func() { f.mu.Lock(); f.running--; f.mu.Unlock() }()
	if f.answer != nil {
		if err := f.answer(ctx, n, req); err != nil {
			return llm.EmbedResponse{}, err
		}
	}
	res := llm.EmbedResponse{Model: req.Model}
	for _, text := range req.Inputs {
		v := featurehash.Vector(text, max(f.length, 64))
		for i := range v {
			v[i] *= max(f.scale, 1)
		}
		res.Vectors = append(res.Vectors, v)
	}
	if f.usage != nil {
		res.Usage.InputTokens = f.usage(req)
	}
	return res, nil
}

func (f *fake) requests() []llm.EmbedRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]llm.EmbedRequest{}, f.asked...)
}

// memory is a cache.
type memory struct {
	mu sync.Mutex
	m  map[string][]float32
}

func (c *memory) Get(_ context.Context, key string, hashes [][]byte) (map[string][]float32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string][]float32{}
	for _, h := range hashes {
		if v, ok := c.m[key+string(h)]; ok {
			out[string(h)] = v
		}
	}
	return out, nil
}

func (c *memory) Put(_ context.Context, key string, vectors map[string][]float32) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for h, v := range vectors {
		c.m[key+h] = v
	}
	return nil
}

func (c *memory) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.m)
}

func newMemory() *memory { return &memory{m: map[string][]float32{}} }

func numbered(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("text number %d", i)
	}
	return out
}

func TestTextsAreBatchedWithinAllLimits(t *testing.T) {
	t.Parallel()
	p := &fake{}
	e := embed.New(embed.Options{Provider: p, Model: "m", MaxItems: 10, MaxRequestTokens: 100, MaxInputTokens: 50})
	texts := numbered(57)
	texts[3] = strings.Repeat("a", 150)    // 38 tokens
	texts[4] = strings.Repeat("b", 160)    // 40
	texts[5] = strings.Repeat("c", 170)    // 43
	texts[20] = strings.Repeat("d", 10000) // cut to 50
	res, err := e.Documents(t.Context(), texts)
	require.NoError(t, err)
	require.Len(t, res.Vectors, len(texts))
	require.Equal(t, 1, res.Cut)
	total := 0
	for _, req := range p.requests() {
		require.LessOrEqual(t, len(req.Inputs), 10)
		chars := 0
		for _, in := range req.Inputs {
			require.LessOrEqual(t, len(in), 200)
			chars += len(in)
		}
		require.LessOrEqual(t, chars, 400)
		total += len(req.Inputs)
		require.Equal(t, llm.EmbedDocument, req.Purpose)
	}
	require.Equal(t, len(texts), total)
	require.Equal(t, len(p.requests()), res.Requests)
	require.Positive(t, res.Tokens, "an estimate, as the provider does not count")
	for i, text := range texts {
		if i != 20 {
			require.InDelta(t, 1, featurehash.Cosine(res.Vectors[i], featurehash.Vector(text, 64)), 1e-5, "the vector of text %d is another's", i)
		}
	}
}

func TestEqualTextsAreAskedForOnceAndKnownOnesNever(t *testing.T) {
	t.Parallel()
	p, c := &fake{scale: 7}, newMemory()
	e := embed.New(embed.Options{Provider: p, Model: "m", Key: "k", Cache: c})
	res, err := e.Documents(t.Context(), []string{"one", "two", "one", "one"})
	require.NoError(t, err)
	require.Equal(t, []string{"one", "two"}, p.requests()[0].Inputs)
	require.Equal(t, 0, res.Cached)
	require.InDelta(t, 1, featurehash.Cosine(res.Vectors[0], res.Vectors[2]), 1e-6, "of norm 1, whatever the provider's is")

	res, err = e.Documents(t.Context(), []string{"two", "three", "two"})
	require.NoError(t, err)
	require.Equal(t, []string{"three"}, p.requests()[1].Inputs)
	require.Equal(t, 2, res.Cached)
	require.Equal(t, 1, res.Requests)

	other := embed.New(embed.Options{Provider: p, Model: "m", Key: "another", Cache: c})
	res, err = other.Documents(t.Context(), []string{"two"})
	require.NoError(t, err)
	require.Equal(t, 0, res.Cached, "another model's vectors are no use")
	res, err = e.Documents(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, res.Vectors)
}

func TestNotMoreRequestsThanAllowedRunAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &fake{answer: func(ctx context.Context, _ int, _ llm.EmbedRequest) error {
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		e := embed.New(embed.Options{Provider: p, Model: "m", MaxItems: 1, Parallel: 3})
		var wg sync.WaitGroup
		began := time.Now()
		for range 2 { // the limit holds for both together
			wg.Go(func() {
				_, err := e.Documents(t.Context(), numbered(6))
				require.NoError(t, err)
			})
		}
		wg.Wait()
		require.Equal(t, 3, p.most)
		require.Equal(t, 4*time.Second, time.Since(began))
	})
}

func limited(after time.Duration) error {
	return &llm.Error{Kind: llm.KindRateLimit, Status: http.StatusTooManyRequests, RetryAfter: after}
}

func TestALimitedRatePausesAllRequestsTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var times []time.Duration
		var mu sync.Mutex
		p := &fake{answer: func(_ context.Context, n int, _ llm.EmbedRequest) error {
			mu.Lock()
			times = append(times, time.Since(began))
			mu.Unlock()
			if n == 1 {
				return limited(20 * time.Second)
			}
			time.Sleep(time.Second) //nolint:forbidigo // the bubble's time: work that takes a while
			return nil
		}}
		var waits [2][]string // of two users
		tell := func(i int) func(d time.Duration, reason llm.Kind) {
			return func(d time.Duration, reason llm.Kind) {
				waits[i] = append(waits[i], fmt.Sprint(d.Round(time.Second), " ", reason))
			}
		}
		e := embed.New(embed.Options{Provider: p, Model: "m", MaxItems: 1, Parallel: 2, OnWait: tell(0)})
		var wg sync.WaitGroup
		for _, user := range []*embed.Embedder{e, e.Telling(tell(1))} {
			wg.Go(func() {
				_, err := user.Documents(t.Context(), numbered(6))
				require.NoError(t, err)
			})
		}
		wg.Wait()
		// Who waits for a slot only, has nothing to tell.
		require.NotEmpty(t, append(waits[0], waits[1]...))
		for _, w := range waits {
			require.LessOrEqual(t, len(w), 1, "told once, as there is one pause: %v", waits)
			for _, said := range w {
				require.Equal(t, "20s rate_limit", said)
			}
		}
		require.Len(t, times, 13)
		early := 0
		for _, at := range times {
			if at < 20*time.Second {
				early++
			}
		}
		require.LessOrEqual(t, early, 2, "only what was under way already went on: %v", times)
		v, _, err := e.Query(t.Context(), "question")
		require.NoError(t, err)
		require.Len(t, v, 64)
	})
}

func TestWaitsGrowAndEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err   error
		tries int
		took  time.Duration
	}{
		"rate limit":    {limited(0), 7, 1500*time.Millisecond + 3*time.Second + 6*time.Second + 12*time.Second + 24*time.Second + 30*time.Second},
		"unavailable":   {&llm.Error{Kind: llm.KindUnavailable}, 7, 76500 * time.Millisecond},
		"timeout":       {&llm.Error{Kind: llm.KindTimeout}, 7, 76500 * time.Millisecond},
		"key":           {&llm.Error{Kind: llm.KindAuth}, 1, 0},
		"invalid":       {&llm.Error{Kind: llm.KindInvalidRequest}, 1, 0},
		"unknown model": {&llm.Error{Kind: llm.KindUnknownModel}, 1, 0},
		"hours":         {limited(2 * time.Hour), 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &fake{answer: func(context.Context, int, llm.EmbedRequest) error { return c.err }}
				began := time.Now()
				_, err := embed.New(embed.Options{Provider: p, Model: "m"}).Documents(t.Context(), []string{"text"})
				require.ErrorIs(t, err, c.err)
				require.Len(t, p.requests(), c.tries)
				require.Equal(t, c.took, time.Since(began))
			})
		})
	}
}

func TestARequestSucceedsAfterTheProviderIsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &fake{answer: func(_ context.Context, n int, _ llm.EmbedRequest) error {
			if n <= 3 {
				return &llm.Error{Kind: llm.KindUnavailable}
			}
			return nil
		}}
		res, err := embed.New(embed.Options{Provider: p, Model: "m"}).Documents(t.Context(), []string{"text"})
		require.NoError(t, err)
		require.Len(t, res.Vectors, 1)
		require.Equal(t, 1, res.Requests, "only answered ones are counted")
	})
}

func TestTooMuchTextIsHalvedAndThenCutTheSameWayWhateverItIsBatchedWith(t *testing.T) {
	t.Parallel()
	const most = 100 // characters of a text
	p := &fake{answer: func(_ context.Context, _ int, req llm.EmbedRequest) error {
		for _, in := range req.Inputs {
			if len(in) > most {
				return &llm.Error{Kind: llm.KindContextLength, Status: http.StatusBadRequest}
			}
		}
		if len(req.Inputs) > 4 {
			return &llm.Error{Kind: llm.KindInvalidRequest, Status: http.StatusRequestEntityTooLarge}
		}
		return nil
	}}
	long := strings.Repeat("long words ", 50)
	texts := append(numbered(9), long)
	res, err := embed.New(embed.Options{Provider: p, Model: "m"}).Documents(t.Context(), texts)
	require.NoError(t, err)
	require.Equal(t, 1, res.Cut)
	alone, err := embed.New(embed.Options{Provider: p, Model: "m"}).Documents(t.Context(), []string{long})
	require.NoError(t, err)
	require.Equal(t, alone.Vectors[0], res.Vectors[9])
	for i, text := range texts[:9] {
		require.InDelta(t, 1, featurehash.Cosine(res.Vectors[i], featurehash.Vector(text, 64)), 1e-5)
	}
	p.answer = func(context.Context, int, llm.EmbedRequest) error { return &llm.Error{Kind: llm.KindContextLength} }
	_, err = embed.New(embed.Options{Provider: p, Model: "m"}).Documents(t.Context(), []string{long})
	var e *llm.Error
	require.ErrorAs(t, err, &e, "a provider for which everything is too long is given up")
	require.Equal(t, llm.KindContextLength, e.Kind)
}

func TestWhatTheProviderCountsIsLearned(t *testing.T) {
	t.Parallel()
	p := &fake{usage: func(req llm.EmbedRequest) int64 { // twice the estimate
		n := 0
		for _, in := range req.Inputs {
			n += len(in) / 2
		}
		return int64(n)
	}}
	e := embed.New(embed.Options{Provider: p, Model: "m", MaxRequestTokens: 1000, Parallel: 1})
	texts := make([]string, 100)
	for i := range texts {
		texts[i] = fmt.Sprintf("%03d", i) + strings.Repeat("x", 397) // 100 tokens by the estimate
	}
	res, err := e.Documents(t.Context(), texts)
	require.NoError(t, err)
	require.EqualValues(t, 100*200, res.Tokens)
	requests := p.requests()
	require.Len(t, requests[0].Inputs, 10)
	require.Len(t, requests[len(requests)/2].Inputs, 5, "after it is known that texts have twice the tokens")
}

func TestWhatArrivedIsKeptWhenTheRestFails(t *testing.T) {
	t.Parallel()
	p, c := &fake{}, newMemory()
	p.answer = func(_ context.Context, n int, _ llm.EmbedRequest) error {
		if n == 3 {
			return &llm.Error{Kind: llm.KindAuth}
		}
		return nil
	}
	e := embed.New(embed.Options{Provider: p, Model: "m", Cache: c, MaxItems: 10, Parallel: 1})
	res, err := e.Documents(t.Context(), numbered(50))
	require.Error(t, err)
	require.Nil(t, res.Vectors)
	require.Equal(t, 2, res.Requests)
	require.Equal(t, 20, c.len())
	p.answer = nil
	res, err = e.Documents(t.Context(), numbered(50))
	require.NoError(t, err)
	require.Equal(t, 20, res.Cached)
	require.Equal(t, 3, res.Requests)
}

func TestEverythingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("the index run was cancelled")
	for name, answer := range map[string]func(ctx context.Context, n int, req llm.EmbedRequest) error{
		"in a request": func(ctx context.Context, _ int, _ llm.EmbedRequest) error {
			<-ctx.Done()
			return llm.Failures{Provider: "fake"}.Transport(ctx, ctx.Err())
		},
		"in a pause":            func(context.Context, int, llm.EmbedRequest) error { return limited(time.Minute) },
		"before the next try":   func(context.Context, int, llm.EmbedRequest) error { return &llm.Error{Kind: llm.KindUnavailable} },
		"before there is a try": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &fake{answer: answer}
				e := embed.New(embed.Options{Provider: p, Model: "m", MaxItems: 1, Parallel: 2})
				ctx, cancel := context.WithCancelCause(t.Context())
				if answer == nil {
					cancel(cause)
				}
				done := make(chan error, 1)
				go func() {
					_, err := e.Documents(ctx, numbered(20))
					done <- err
				}()
				synctest.Wait() // all that can happen has happened
				began := time.Now()
				cancel(cause)
				err := <-done
				require.ErrorIs(t, err, cause)
				var le *llm.Error
				require.ErrorAs(t, err, &le)
				require.Equal(t, llm.KindCancelled, le.Kind)
				require.Zero(t, time.Since(began))
			})
		})
	}
}

func TestAnotherModelBehindTheSameNameIsNoticed(t *testing.T) {
	t.Parallel()
	p, c := &fake{length: 64}, newMemory()
	e := embed.New(embed.Options{Provider: p, Model: "m", Cache: c})
	_, err := e.Documents(t.Context(), []string{"one"})
	require.NoError(t, err)
	n, err := e.Dimensions(t.Context())
	require.NoError(t, err)
	require.Equal(t, 64, n)
	require.Len(t, p.requests(), 1, "nobody is asked for what is known")
	p.length = 128
	_, err = e.Documents(t.Context(), []string{"two"})
	require.ErrorContains(t, err, "vectors of 128 dimensions where there are vectors of 64")
	_, err = embed.New(embed.Options{Provider: p, Model: "m", Cache: c}).Documents(t.Context(), []string{"one", "two"})
	require.ErrorContains(t, err, "vectors of 128 dimensions where there are vectors of 64")
	n, err = embed.New(embed.Options{Provider: p, Model: "m"}).Dimensions(t.Context())
	require.NoError(t, err)
	require.Equal(t, 128, n)
}

func TestEmptyTextsAreRefusedByTheirNumber(t *testing.T) {
	t.Parallel()
	p := &fake{}
	e := embed.New(embed.Options{Provider: p, Model: "m"})
	_, err := e.Documents(t.Context(), []string{"a", ""})
	require.ErrorContains(t, err, "text number 2 of 2 is empty")
	_, _, err = e.Query(t.Context(), "")
	require.Error(t, err)
	require.Empty(t, p.requests())
}

func TestAQuestionIsNotHeldUpByDocuments(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := &fake{answer: func(_ context.Context, _ int, req llm.EmbedRequest) error {
			if req.Purpose == llm.EmbedDocument {
				<-release
			}
			return nil
		}}
		e := embed.New(embed.Options{Provider: p, Model: "m", MaxItems: 1, Parallel: 1})
		done := make(chan error, 1)
		go func() {
			_, err := e.Documents(t.Context(), numbered(3))
			done <- err
		}()
		synctest.Wait()
		v, _, err := e.Query(t.Context(), strings.Repeat("question ", 20_000))
		require.NoError(t, err, "a question that is too long is cut too")
		require.Len(t, v, 64)
		close(release)
		require.NoError(t, <-done)
	})
}

func TestPrefixesStandBeforeQuestionsAndDocumentsAndAreNoPartOfTheirNames(t *testing.T) {
	t.Parallel()
	p, c := &fake{}, newMemory()
	e := embed.New(embed.Options{Provider: p, Model: "m", Key: "k", Cache: c, Prefixes: embed.Prefixes{Query: "query: ", Document: "passage: "}})
	_, err := e.Documents(t.Context(), []string{"the harbour"})
	require.NoError(t, err)
	_, spent, err := e.Query(t.Context(), "where is it")
	require.NoError(t, err)
	require.EqualValues(t, len("query: where is it")/4+1, spent, "the prefix is paid for; the provider does not count, so it is estimated")
	require.Equal(t, []string{"passage: the harbour"}, p.requests()[0].Inputs)
	require.Equal(t, []string{"query: where is it"}, p.requests()[1].Inputs)
	found, err := c.Get(t.Context(), "k", [][]byte{embed.Hash("the harbour")})
	require.NoError(t, err)
	require.Len(t, found, 1)
}
