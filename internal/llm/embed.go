package llm

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// Embedder turns texts into vectors. It is apart from Provider, since not every
// provider has it. It is safe for concurrent use; all errors are an *Error.
type Embedder interface {
	Embed(ctx context.Context, req EmbedRequest) (EmbedResponse, error)
}

// EmbedPurpose is what a vector is for: some models make other vectors of questions
// than of what answers them.
type EmbedPurpose string

// The purposes.
const (
	EmbedDocument EmbedPurpose = "document"
	EmbedQuery    EmbedPurpose = "query"
)

// EmbedRequest asks for the vectors of texts.
type EmbedRequest struct {
	Model      string
	Inputs     []string // none of them empty
	Dimensions int      // 0: the model's own
	Purpose    EmbedPurpose
}

// EmbedResponse has a vector for each input, in the order of the inputs and all of
// one length. Usage is zero if the provider does not count.
type EmbedResponse struct {
	Model   string
	Vectors [][]float32
	Usage   Usage
}

// Reranker orders passages by how well they answer a question. It is safe for
// concurrent use; all errors are an *Error.
type Reranker interface {
	Rerank(ctx context.Context, req RerankRequest) (RerankResponse, error)
}

// RerankRequest asks for the TopN best of the documents; 0 means all.
type RerankRequest struct {
	Model     string
	Query     string
	Documents []string
	TopN      int
}

// RerankResponse has the best document first.
type RerankResponse struct {
	Model   string
	Results []RerankResult
	Usage   Usage
}

// RerankResult is a document, by its place in the request. Scores of one answer can be
// compared, those of different ones need not be.
type RerankResult struct {
	Index int
	Score float64
}

// MaxDimensions is the longest vector that is accepted.
const MaxDimensions = 16384

// EmbedRequest refuses what no provider can answer.
func (f Failures) EmbedRequest(req EmbedRequest) error {
	switch {
	case req.Model == "":
		return f.Invalid("An embedding needs the name of a model.")
	case len(req.Inputs) == 0:
		return f.Invalid("There is no text to embed.")
	case req.Dimensions < 0 || req.Dimensions > MaxDimensions:
		return f.Invalid(fmt.Sprintf("Vectors of %d dimensions were asked for; accepted are 1 to %d, or 0 for the model's own.", req.Dimensions, MaxDimensions))
	}
	if i := slices.Index(req.Inputs, ""); i >= 0 {
		return f.Invalid(fmt.Sprintf("The text number %d of %d is empty, and has no embedding.", i+1, len(req.Inputs)))
	}
	return nil
}

// Vectors checks an answer: as many vectors as there were inputs, all of the length
// that was asked for or at least of one length, and numbers only.
func (f Failures) Vectors(req EmbedRequest, vectors [][]float32) error {
	if len(vectors) != len(req.Inputs) {
		return f.Invalid(fmt.Sprintf("%s answered %d texts with %d vectors.", f.Provider, len(req.Inputs), len(vectors)))
	}
	want := req.Dimensions
	for i, v := range vectors {
		switch {
		case len(v) == 0 || len(v) > MaxDimensions:
			return f.Invalid(fmt.Sprintf("%s answered with a vector of %d dimensions; accepted are 1 to %d.", f.Provider, len(v), MaxDimensions))
		case want == 0:
			want = len(v)
		case len(v) != want && req.Dimensions > 0:
			return f.Invalid(fmt.Sprintf("The model %s answered with vectors of %d dimensions, not of the %d that were asked for. Not every model lets one choose.", req.Model, len(v), want))
		case len(v) != want:
			return f.Invalid(fmt.Sprintf("%s answered with vectors of %d and of %d dimensions.", f.Provider, want, len(v)))
		}
		for _, x := range v {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return f.Invalid(fmt.Sprintf("The vector number %d that %s answered with holds something that is no number.", i+1, f.Provider))
			}
		}
	}
	return nil
}

// RerankRequest refuses what no provider can answer.
func (f Failures) RerankRequest(req RerankRequest) error {
	switch {
	case req.Model == "":
		return f.Invalid("Reranking needs the name of a model.")
	case req.Query == "":
		return f.Invalid("Reranking needs a question.")
	case len(req.Documents) == 0:
		return f.Invalid("There is nothing to rerank.")
	case req.TopN < 0:
		return f.Invalid(fmt.Sprintf("The %d best passages were asked for; accepted are 1 and more, or 0 for all.", req.TopN))
	}
	return nil
}

// Ranking checks an answer and puts it in order: each document at most once, the best
// first, and not more than were asked for.
func (f Failures) Ranking(req RerankRequest, results []RerankResult) ([]RerankResult, error) {
	seen := make([]bool, len(req.Documents))
	for _, r := range results {
		if r.Index < 0 || r.Index >= len(seen) || seen[r.Index] {
			return nil, f.Invalid(fmt.Sprintf("%s ranked a passage number %d that it was not given, or gave twice.", f.Provider, r.Index))
		}
		if math.IsNaN(r.Score) || math.IsInf(r.Score, 0) {
			return nil, f.Invalid(fmt.Sprintf("%s gave the passage number %d a score that is no number.", f.Provider, r.Index))
		}
		seen[r.Index] = true
	}
	slices.SortStableFunc(results, func(a, b RerankResult) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return a.Index - b.Index
	})
	if req.TopN > 0 && len(results) > req.TopN {
		results = results[:req.TopN]
	}
	return results, nil
}
