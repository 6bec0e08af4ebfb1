// Package search measures retrieval: how often a question finds the page that answers it, and how long searches take.
package search

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/llm/featurehash"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/scope"
	"github.com/llmctl/studio/internal/rag/search"
	"github.com/llmctl/studio/internal/rag/vector"
	"github.com/llmctl/studio/internal/testkit/pgtest"
	"github.com/llmctl/studio/internal/testkit/ragtest"
)

const (
	chunks     = 50_000
	dimensions = 768
	questions  = 200
	// target is what the exact search may take for 95 of 100 questions, on two cores.
	target = 60 * time.Millisecond
)

// library is an index of chunks with vectors and texts made of the words of real documentation.
func library(b *testing.B, texts []string) (*postgres.DB, *ragtest.Source, [][]float32) {
	b.Helper()
	db := pgtest.DB(b)
	source := ragtest.NewSource(b, db, "library")
	source.Embedder = ragtest.NewEmbedder(b, db, dimensions)
	source.Words = search.Words
	vectors := ragtest.Random(1, chunks, dimensions)
	files := ragtest.FilesOf(vectors)
	for i := range files {
		for j := range files[i].Chunks {
			if texts == nil {
				continue
			}
			files[i].Chunks[j].Text = texts[0]
			texts = texts[1:]
		}
	}
	source.Write(b, files...)
	source.Show(b)
	_, err := db.Exec(b.Context(), "VACUUM ANALYZE rag_chunk, rag_file, rag_embedding")
	require.NoError(b, err)
	return db, source, vectors
}

// texts shuffles sentences of the documentation into so many chunks of about 200 words.
func texts(b *testing.B, n int) []string {
	b.Helper()
	var lines []string
	for _, f := range ragtest.Documentation(b) {
		for _, c := range f.Chunks {
			for line := range strings.Lines(c.Text) {
				if len(strings.Fields(line)) > 3 {
					lines = append(lines, line)
				}
			}
		}
	}
	r := rand.New(rand.NewPCG(7, 7))
	out := make([]string, n)
	for i := range out {
		var text strings.Builder
		for text.Len() < 1300 {
			text.WriteString(lines[r.IntN(len(lines))])
		}
		out[i] = fmt.Sprintf("%s\nitem%d", text.String(), i)
	}
	return out
}

// percentiles sorts times and gives two of them.
func percentiles(times []time.Duration) (p50, p95 time.Duration) {
	slices.Sort(times)
	return times[len(times)/2], times[len(times)*95/100]
}

func within(ctx context.Context, b *testing.B, db *postgres.DB, f func(tx pgx.Tx)) {
	b.Helper()
	tx, err := db.Pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	require.NoError(b, err)
	defer func() { _ = tx.Rollback(ctx) }()
	f(tx)
}

// BenchmarkExact measures the search of vectors alone over 50 000 chunks, one question after the other.
func BenchmarkExact(b *testing.B) {
	db, source, vectors := library(b, nil)
	for b.Loop() {
		exactLatency(b, db, source, vectors)
	}
}

// BenchmarkSearch measures whole searches over as many chunks of some 200 words.
func BenchmarkSearch(b *testing.B) {
	db, source, _ := library(b, texts(b, chunks))
	for b.Loop() {
		wholeLatency(b, db, source)
	}
}

// BenchmarkQuality asks the labelled questions and reports how many find their page: of the half by which weights may be chosen, and of
// the other. Vectors are those of --demo, and those of a stand-in whose synonyms were written with the questions.
func BenchmarkQuality(b *testing.B) {
	for name, vectors := range map[string]func(text string, dimensions int) []float32{"demo": featurehash.Vector, "scripted": ragtest.Vector} {
		b.Run(name, func(b *testing.B) {
			qualityOf(b, vectors)
		})
	}
}

func qualityOf(b *testing.B, vectors func(text string, dimensions int) []float32) {
	b.Helper()
	const dimensions = 256 // those of --demo
	db := pgtest.DB(b)
	source := ragtest.NewSource(b, db, "documentation")
	source.Embedder = ragtest.NewEmbedder(b, db, dimensions)
	source.Words = search.Words
	source.Write(b, ragtest.Embedded(ragtest.Documentation(b), vectors, dimensions)...)
	source.Show(b)
	searcher := search.New(search.Options{DB: db, Vectors: vector.NewExact(db, 0), Now: time.Now})
	tuned, heldOut := ragtest.Halves(ragtest.Questions())
	for b.Loop() {
		for _, mode := range []string{search.ModeLexical, search.ModeVector, search.ModeHybrid} {
			for half, questions := range map[string][]ragtest.Labelled{"tuned": tuned, "held-out": heldOut} {
				recall, mrr := ragtest.Quality(b, questions, func(question string) []string {
					r, err := searcher.Search(b.Context(), search.Request{Question: question, Mode: mode, Vectors: map[int64][]float32{source.Embedder: vectors(question, dimensions)}})
					require.NoError(b, err)
					var paths []string
					for _, x := range r.Results {
						paths = append(paths, x.Path)
					}
					return paths
				})
				b.ReportMetric(recall, mode+"-"+half+"-recall@5")
				b.ReportMetric(mrr, mode+"-"+half+"-MRR")
			}
		}
	}
}

func exactLatency(b *testing.B, db *postgres.DB, source *ragtest.Source, vectors [][]float32) {
	b.Helper()
	ctx := b.Context()
	embedder := vector.Embedder{ID: source.Embedder, Dimensions: dimensions}
	sources := []scope.Source{{ID: source.ID, Revision: source.Revision}}
	exact := vector.NewExact(db, 0)
	began := time.Now()
	prepared, err := exact.Prepare(ctx, embedder, sources)
	require.NoError(b, err)
	b.ReportMetric(time.Since(began).Seconds(), "s/load")

	asked := ragtest.Random(1, questions, dimensions)
	var times, plain []time.Duration
	var cpu time.Duration
	recall := 0.0
	for _, q := range asked {
		var hits []vector.Hit
		within(ctx, b, db, func(tx pgx.Tx) {
			at, used := time.Now(), processor(b)
			hits, err = prepared.Search(ctx, tx, vector.Query{Vector: q, K: 10})
			times = append(times, time.Since(at))
			cpu += processor(b) - used
			require.NoError(b, err)
		})
		at := time.Now()
		truth := scan(vectors, q, 10)
		plain = append(plain, time.Since(at))
		found := 0
		for i, h := range hits {
			if d := float64(h.Score) - truth[i]; d > -1e-5 {
				found++
			}
		}
		recall += float64(found) / 10 / questions
	}
	p50, p95 := percentiles(times)
	plain50, _ := percentiles(plain)
	b.ReportMetric(millis(p50), "ms-exact-p50")
	b.ReportMetric(millis(p95), "ms-exact-p95")
	b.ReportMetric(millis(cpu/questions), "cpu-ms-exact")
	b.ReportMetric(millis(plain50), "ms-float32-scan-p50")
	b.ReportMetric(float64(plain50)/float64(p50), "times-faster-than-float32-scan")
	b.ReportMetric(recall, "recall@10")
	b.ReportMetric(float64(p95)/float64(target), "p95-of-target")
}

// scan is the plain way, on one core: every vector, four bytes a dimension.
func scan(vectors [][]float32, q []float32, k int) []float64 {
	scores := make([]float64, len(vectors))
	for i, v := range vectors {
		scores[i] = ragtest.Cosine(q, v)
	}
	slices.Sort(scores)
	slices.Reverse(scores)
	return scores[:k]
}

func wholeLatency(b *testing.B, db *postgres.DB, source *ragtest.Source) {
	b.Helper()
	searcher := search.New(search.Options{DB: db, Vectors: vector.NewExact(db, 0), Now: time.Now})
	asked := ragtest.Questions()
	for _, mode := range []string{search.ModeHybrid, search.ModeLexical} { // hybrid first: it loads
		var times []time.Duration
		before := processor(b)
		for i := range questions {
			question := asked[i%len(asked)].Question
			at := time.Now()
			r, err := searcher.Search(b.Context(), search.Request{Question: question, Mode: mode, Vectors: map[int64][]float32{source.Embedder: ragtest.Vector(question, dimensions)}})
			require.NoError(b, err)
			require.NotEmpty(b, r.Results)
			if i > 0 {
				times = append(times, time.Since(at))
			}
		}
		p50, p95 := percentiles(times)
		b.ReportMetric(millis(p50), "ms-"+mode+"-p50")
		b.ReportMetric(millis(p95), "ms-"+mode+"-p95")
		b.ReportMetric(millis((processor(b)-before)/questions), "cpu-ms-"+mode+"-without-database")
	}
}

// processor is the processor time that this process has used. On a machine that others use too, it says more than the clock.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
