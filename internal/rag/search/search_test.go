package search_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/scope"
	"github.com/llmctl/studio/internal/rag/search"
	"github.com/llmctl/studio/internal/rag/vector"
	"github.com/llmctl/studio/internal/testkit/pgtest"
	"github.com/llmctl/studio/internal/testkit/ragtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

const dimensions = 256

type testBundle struct {
	db       *postgres.DB
	searcher *search.Searcher
	vectors  vector.Store
	source   *ragtest.Source
}

func setup(t *testing.T, files ...ragtest.File) *testBundle {
	t.Helper()
	db := pgtest.DB(t)
	b := &testBundle{db: db, vectors: vector.NewExact(db, 0)}
	b.searcher = search.New(search.Options{DB: db, Vectors: b.vectors, Now: time.Now})
	b.source = b.add(t, "docs", files...)
	return b
}

// add makes a source with vectors of an embedder of its own.
func (b *testBundle) add(t *testing.T, name string, files ...ragtest.File) *ragtest.Source {
	t.Helper()
	s := ragtest.NewSource(t, b.db, name)
	s.Embedder = ragtest.NewEmbedder(t, b.db, dimensions)
	s.Words = search.Words
	s.Write(t, files...)
	s.Show(t)
	return s
}

func (b *testBundle) ask(t *testing.T, question string, change ...func(r *search.Request)) search.Response {
	t.Helper()
	req := search.Request{Question: question, Vectors: map[int64][]float32{b.source.Embedder: ragtest.Vector(question, dimensions)}}
	for _, f := range change {
		f(&req)
	}
	r, err := b.searcher.Search(t.Context(), req)
	require.NoError(t, err)
	return r
}

func mode(m string) func(r *search.Request) { return func(r *search.Request) { r.Mode = m } }

func page(path string, texts ...string) ragtest.File {
	f := ragtest.File{Path: path, Kind: "markdown"}
	if strings.HasSuffix(path, ".go") {
		f.Kind, f.Language = "code", "go"
	}
	for i, text := range texts {
		f.Chunks = append(f.Chunks, ragtest.Chunk{Text: text, Context: path, LineStart: 10*i + 1, LineEnd: 10*i + 9, Heading: []string{"Part"}, Vector: ragtest.Vector(path+"\n"+text, dimensions)})
	}
	return f
}

func paths(results []search.Result) []string {
	out := []string{}
	for _, r := range results {
		out = append(out, r.Path)
	}
	return out
}

func library() []ragtest.File {
	return []ragtest.File{
		page("guide/install.md", "Download the archive and unpack it. The programme needs no other packages to be installed."),
		page("guide/backup.md", "Backups are taken every night and kept for thirty days. Restoring one replaces everything."),
		page("guide/networking.md", "When the connection is refused the server does not listen. A refused connection is tried again."),
		page("src/http/client.go", "func (c *Client) parseHTTPResponse(r io.Reader) (*Response, error) {\n\treturn readResponse(r)\n}"),
		page("src/store/token_bucket.go", "// rate_limit_per_second bounds how often a caller may ask.\nconst rate_limit_per_second = 20"),
	}
}

func TestWordsOfAQuestionFindTheirForms(t *testing.T) {
	t.Parallel()
	b := setup(t, library()...)
	for question, want := range map[string]string{
		"how do I install this?":                    "guide/install.md",
		"restore a backup":                          "guide/backup.md",
		"why is my connection being refused":        "guide/networking.md",
		"parseHTTPResponse":                         "src/http/client.go",
		"where is the http response parsed":         "src/http/client.go",
		"rate limit":                                "src/store/token_bucket.go",
		"RateLimitPerSecond":                        "src/store/token_bucket.go",
		"token_bucket.go":                           "src/store/token_bucket.go",
		"networikng":                                "guide/networking.md", // misspelt, but the name of the file is near
		"bucket':* & | ! <-> (the) \\ connection\"": "guide/networking.md", // nothing in it is a language
	} {
		r := b.ask(t, question, mode(search.ModeLexical))
		require.NotEmpty(t, r.Results, question)
		require.Equal(t, want, r.Results[0].Path, question)
		require.Equal(t, search.ModeLexical, r.Stats.Mode)
		require.Equal(t, vector.BackendNone, r.Stats.VectorBackend)
	}
}

func TestAPhraseHasToBeThereAsItIsWritten(t *testing.T) {
	t.Parallel()
	b := setup(t, append(library(), page("guide/other.md", "The connection was not refused. Nothing was refused to this connection."))...)
	for _, m := range []string{search.ModeHybrid, search.ModeLexical, search.ModeVector} {
		r := b.ask(t, `what does "REFUSED  connection" mean`, mode(m))
		require.Equal(t, []string{"guide/networking.md"}, paths(r.Results), m)
		require.Contains(t, marked(r.Results[0]), "refused connection", m)
	}
	require.Equal(t, []string{"guide/backup.md"}, paths(b.ask(t, `"are"`, mode(search.ModeLexical)).Results), "a phrase of stop words alone")
	require.Empty(t, b.ask(t, `"connection refused by peer"`).Results)
}

func marked(r search.Result) []string {
	var out []string
	snippet := []rune(r.Snippet)
	for _, h := range r.Highlights {
		out = append(out, string(snippet[h[0]:h[1]]))
	}
	return out
}

func TestTheResultSaysWhereItIsFromAndWhy(t *testing.T) {
	t.Parallel()
	b := setup(t, library()...)
	r := b.ask(t, "restoring backups", func(r *search.Request) { r.Explain = true })
	first := r.Results[0]
	require.Equal(t, b.source.ID, first.SourceID)
	require.Equal(t, "docs", first.SourceName)
	require.Equal(t, b.source.ChunkIDs(t, "guide/backup.md")[0], first.ChunkID)
	require.Equal(t, search.Position{LineStart: 1, LineEnd: 9, Heading: []string{"Part"}}, first.Position)
	require.Equal(t, []string{"Backups", "Restoring"}, marked(first))
	require.Equal(t, 1, *first.Ranks.Lexical)
	require.Equal(t, 1, *first.Ranks.Vector)
	require.Equal(t, 1, first.Ranks.Fused)
	require.InDelta(t, 1, first.Score, 1e-9)
	require.Equal(t, "guide/backup.md", r.Lists.Lexical[0].Path)
	require.Len(t, r.Lists.Vector, 5)
	require.Equal(t, search.ModeHybrid, r.Stats.Mode)
	require.Equal(t, vector.BackendExact, r.Stats.VectorBackend)
	require.Equal(t, dimensions, r.Stats.Embedder.Dimensions)
	require.Equal(t, 5, r.Stats.Candidates)
	require.Empty(t, r.Stats.Warnings)
	// The same again: same order, same scores.
	again := b.ask(t, "restoring backups", func(r *search.Request) { r.Explain = true })
	require.Equal(t, r.Results, again.Results)
}

func TestAPassageThatOnlyItsVectorFoundHasASnippetToo(t *testing.T) {
	t.Parallel()
	b := setup(t, library()...)
	r := b.ask(t, "unpacking", mode(search.ModeVector))
	require.Equal(t, "guide/install.md", r.Results[0].Path)
	require.NotEmpty(t, r.Results[0].Snippet)
	require.Nil(t, r.Results[0].Ranks.Lexical)
	require.Equal(t, []string{"unpack"}, marked(r.Results[0]))
}

func TestFiltersHoldForBothLists(t *testing.T) {
	t.Parallel()
	old, fresh := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	files := library()
	for i := range files {
		files[i].ModifiedAt = &old
	}
	files[0].ModifiedAt = &fresh
	b := setup(t, files...)
	for name, c := range map[string]struct {
		filter scope.Filter
		want   []string
	}{
		"a folder":         {scope.Filter{Paths: []string{"src/**"}}, []string{"src/http/client.go", "src/store/token_bucket.go"}},
		"a name":           {scope.Filter{Paths: []string{"*bucket*"}}, []string{"src/store/token_bucket.go"}},
		"either pattern":   {scope.Filter{Paths: []string{"guide/b*.md", "src/http/"}}, []string{"guide/backup.md", "src/http/client.go"}},
		"a language":       {scope.Filter{Languages: []string{"Go"}}, []string{"src/http/client.go", "src/store/token_bucket.go"}},
		"a kind":           {scope.Filter{Kinds: []string{"markdown"}}, []string{"guide/install.md", "guide/backup.md", "guide/networking.md"}},
		"later than":       {scope.Filter{ModifiedAfter: &fresh}, []string{"guide/install.md"}},
		"earlier than":     {scope.Filter{ModifiedBefore: &fresh, Kinds: []string{"code"}}, []string{"src/http/client.go", "src/store/token_bucket.go"}},
		"what nothing has": {scope.Filter{Languages: []string{"cobol"}}, []string{}},
	} {
		for _, m := range []string{search.ModeHybrid, search.ModeVector} {
			r := b.ask(t, "install backup refused connection response rate limit", func(r *search.Request) { r.Filter, r.Mode, r.TopK = c.filter, m, 20 })
			require.ElementsMatch(t, c.want, paths(r.Results), "%s, %s", name, m)
		}
	}
}

func TestBadRequestsAreRefusedPrecisely(t *testing.T) {
	t.Parallel()
	b := setup(t, library()...)
	for reason, req := range map[string]search.Request{
		search.ReasonQuestion:   {Question: " \n"},
		search.ReasonRequest:    {Question: "x", Mode: "magic", TopK: 51},
		scope.ReasonFilter:      {Question: "x", Filter: scope.Filter{Paths: []string{""}}},
		search.ReasonSource:     {Question: "x", SourceIDs: []int64{b.source.ID, 999}},
		vector.ReasonDimensions: {Question: "x", Vectors: map[int64][]float32{b.source.Embedder: {1, 2}}},
	} {
		_, err := b.searcher.Search(t.Context(), req)
		require.True(t, errs.HasReason(err, reason), "%s: %v", reason, err)
	}
	_, err := b.searcher.Search(t.Context(), search.Request{Question: strings.Repeat("x", search.MaxQuestion+1)})
	require.ErrorContains(t, err, "at most 8000")
	_, err = b.searcher.Search(t.Context(), search.Request{Question: "x", Mode: "magic", TopK: 51})
	require.Len(t, errs.As(err).Details, 2)
}

func TestSourcesWithoutVectorsAreSearchedByWordsAndTheAnswerSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t, library()...)
	plain := ragtest.NewSource(t, b.db, "plain")
	plain.Write(t, ragtest.File{Path: "plain.md", Kind: "markdown", Chunks: []ragtest.Chunk{{Text: "Backups without vectors"}}})
	plain.Show(t)
	other := b.add(t, "other", page("other.md", "Backups of another model"))
	ragtest.NewSource(t, b.db, "empty")

	r := b.ask(t, "backups")
	require.Subset(t, paths(r.Results), []string{"guide/backup.md", "plain.md", "other.md"})
	require.Len(t, r.Stats.Warnings, 3)
	warnings := strings.Join(r.Stats.Warnings, "\n")
	require.Contains(t, warnings, "Without vectors, these are searched by words only: plain.")
	require.Contains(t, warnings, "no vector of the embedding model of these, which are searched by words only: other.")
	require.Contains(t, warnings, "Not indexed yet: empty.")

	embedders, err := b.searcher.Embedders(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, embedders, 2)
	r = b.ask(t, "backups", func(r *search.Request) {
		r.Vectors[other.Embedder] = ragtest.Vector("backups", dimensions)
		r.SourceIDs = []int64{b.source.ID, other.ID}
		r.Explain = true
	})
	require.Empty(t, r.Stats.Warnings)
	require.Equal(t, 1, *r.Lists.Vector[0].Ranks.Vector)
	require.Equal(t, 1, *r.Lists.Vector[1].Ranks.Vector, "each model has a list of its own")
}

func TestWhatSaysTheSameIsShownOnce(t *testing.T) {
	t.Parallel()
	licence := "Permission is granted to use the widget free of charge for any purpose, provided that this notice is kept in all copies of it."
	var parts []string
	for _, n := range []string{"one", "two", "three", "four", "five", "six"} {
		parts = append(parts, "The widget "+n+" has its own screws: "+strings.Repeat(n+" ", 12))
	}
	b := setup(t, page("a/LICENCE.md", licence), page("b/LICENCE.md", licence), page("long.md", parts...),
		page("near.md", licence+" Really.", licence+" Indeed."), page("short.md", "A widget is a thing"))
	r := b.ask(t, "widget", func(r *search.Request) { r.TopK = 6 })
	count := map[string]int{}
	for _, x := range r.Results {
		count[x.Path]++
	}
	require.Equal(t, 1, count["a/LICENCE.md"]+count["b/LICENCE.md"])
	require.Equal(t, 1, count["near.md"])
	require.Equal(t, 1, count["short.md"])
	require.Equal(t, 3, count["long.md"])
	require.Len(t, b.ask(t, "widget", func(r *search.Request) { r.TopK, r.Filter.Paths = 5, []string{"long.md"} }).Results, 5, "a file may fill what others leave")
}

func TestASearchThatTakesTooLongSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t, library()...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.searcher.Search(ctx, search.Request{Question: "backup"})
	require.ErrorIs(t, err, context.Canceled)
	late := search.New(search.Options{DB: b.db, Vectors: vector.NewExact(b.db, 0), Now: time.Now, Timeout: time.Nanosecond})
	_, err = late.Search(t.Context(), search.Request{Question: "backup"})
	require.True(t, errs.HasReason(err, search.ReasonTimeout), "%v", err)
}

// The search by words waits for a lock that somebody else holds until its time is over; the vectors then give the answer.
func TestWordsThatTakeTooLongAreLeftOut(t *testing.T) {
	t.Parallel()
	b := setup(t, library()...)
	b.ask(t, "backup") // loads the vectors
	hurried := search.New(search.Options{DB: b.db, Vectors: b.vectors, Now: time.Now, Words: 100 * time.Millisecond, Timeout: time.Minute})
	blocker, err := b.db.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = blocker.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = blocker.Exec(t.Context(), `LOCK TABLE rag_chunk IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)

	_, err = hurried.Search(t.Context(), search.Request{Question: "backup", Mode: search.ModeLexical})
	require.True(t, errs.HasReason(err, search.ReasonTimeout), "%v", err)

	answer := make(chan search.Response, 1)
	failure := make(chan error, 1)
	go func() {
		r, err := hurried.Search(t.Context(), search.Request{Question: "backup", Vectors: map[int64][]float32{b.source.Embedder: ragtest.Vector("backup", dimensions)}})
		answer <- r
		failure <- err
	}()
	require.Eventually(t, func() bool { // it has gone on to the vectors
		var waits bool
		err := b.db.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
			AND wait_event_type = 'Lock' AND query LIKE 'SELECT c.id, e.vector%')`).Scan(&waits)
		return err == nil && waits
	}, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, blocker.Rollback(t.Context()))
	r := <-answer
	require.NoError(t, <-failure)
	require.Equal(t, "guide/backup.md", r.Results[0].Path)
	require.Nil(t, r.Results[0].Ranks.Lexical)
	require.Equal(t, []string{"The search by words did not end within 100ms and was left out."}, r.Stats.Warnings)
}

// A reader in a loop sees one revision or the next, never parts of both.
func TestASwapIsSeenWhole(t *testing.T) {
	t.Parallel()
	generation := func(name string) []ragtest.File {
		return []ragtest.File{page("a.md", "kettle "+name+" alpha"), page("b.md", "kettle "+name+" beta"), page("c.md", "kettle "+name+" gamma")}
	}
	b := setup(t, generation("gen0")...)
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rounds := 0
	seen := map[string]bool{}
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			r, err := b.searcher.Search(ctx, search.Request{Question: "kettle", TopK: 10, Vectors: map[int64][]float32{b.source.Embedder: ragtest.Vector("kettle", dimensions)}})
			if ctx.Err() != nil {
				return
			}
			if errs.HasReason(err, "rag.index_changing") {
				continue
			}
			if err != nil {
				done <- err
				return
			}
			generations := map[string]bool{}
			for _, x := range r.Results {
				generations[strings.Fields(x.Text)[1]] = true
			}
			if len(generations) != 1 || len(r.Results) != 3 {
				done <- errs.Ef(errs.Internal, "test.half", "saw %v in %d results", generations, len(r.Results))
				return
			}
			for g := range generations {
				seen[g] = true
			}
			rounds++
		}
	}()
	for i := 1; i <= 8; i++ {
		b.source.Write(t, generation("gen"+string(rune('0'+i)))...)
		b.source.Show(t)
		b.source.Clean(t)
		b.ask(t, "kettle")
	}
	cancel()
	require.NoError(t, <-done)
	require.Positive(t, rounds)
	t.Logf("%d searches saw %d revisions", rounds, len(seen))
}
