package search

import (
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/scope"
)

// Modes of a search.
const (
	ModeHybrid  = "hybrid"
	ModeLexical = "lexical"
	ModeVector  = "vector"
)

// Bounds of a request.
const (
	MaxTopK     = 50
	DefaultTopK = 5
	maxSources  = 500 // as many as there can be
)

// Request is a question to some sources.
type Request struct {
	Question  string
	SourceIDs []int64 // none: every source that has an index
	TopK      int     // 0: DefaultTopK
	Mode      string  // empty: ModeHybrid
	Filter    scope.Filter
	Vectors   map[int64][]float32 // of the question, by embedder; Embedders says which are needed
	Explain   bool                // give both lists as well
}

// Response is what was found.
type Response struct {
	Results []Result `json:"results"`
	Lists   *Lists   `json:"lists,omitempty"`
	Stats   Stats    `json:"stats"`
}

// Lists are what was joined.
type Lists struct {
	Lexical []Result `json:"lexical"`
	Vector  []Result `json:"vector"`
}

// Result is a passage.
type Result struct {
	SourceID   int64      `json:"source_id"`
	SourceName string     `json:"source_name"`
	FileID     int64      `json:"file_id"`
	ChunkID    int64      `json:"chunk_id"`
	Key        string     `json:"key"`
	Path       string     `json:"path"`
	Title      string     `json:"title"`
	Language   string     `json:"language"`
	Kind       string     `json:"kind"`
	ModifiedAt *time.Time `json:"modified_at"`
	Position   Position   `json:"position"`
	Context    string     `json:"context"` // path and headings or symbols
	Text       string     `json:"text"`
	Snippet    string     `json:"snippet"`
	Highlights [][2]int   `json:"highlights"` // from, to in the snippet, in characters (code points)
	Score      float64    `json:"score"`      // 1: first in every list that was made
	Ranks      Ranks      `json:"ranks"`
	Scores     Scores     `json:"scores"`

	ordinal int
}

// Position says where in its file a passage lies. Zero means that the kind of file has no such thing.
type Position struct {
	LineStart int      `json:"line_start"`
	LineEnd   int      `json:"line_end"`
	Page      int      `json:"page"`
	Heading   []string `json:"heading"`
}

// Ranks count from 1. Null: the passage is not in that list.
type Ranks struct {
	Lexical *int `json:"lexical"`
	Vector  *int `json:"vector"`
	Fused   int  `json:"fused"`
	Rerank  *int `json:"rerank"` // whoever orders the results again says so here
}

// Scores are those of the lists, each of its own kind.
type Scores struct {
	Lexical *float64 `json:"lexical"`
	Vector  *float64 `json:"vector"` // the cosine
}

// Embedder made the vectors of an index.
type Embedder struct {
	ID           int64  `json:"-"`
	Key          string `json:"-"`
	ProviderKind string `json:"-"`
	Model        string `json:"model"`
	Dimensions   int    `json:"dimensions"`
}

// Stats say how the answer came about.
type Stats struct {
	Mode          string    `json:"mode"` // that was done: without vectors a hybrid search is a lexical one
	TopK          int       `json:"top_k"`
	Candidates    int       `json:"candidates"`
	LexicalMS     float64   `json:"lexical_ms"`
	VectorMS      float64   `json:"vector_ms"`
	TotalMS       float64   `json:"total_ms"`
	Embedder      *Embedder `json:"embedder"` // the first, if several
	VectorBackend string    `json:"vector_backend"`
	Warnings      []string  `json:"warnings"`
	// Corrections say which words of the question were looked for in another spelling.
	Corrections []Correction `json:"corrections"`
}

// check completes a request and answers with what is wrong with it: invalid.
func (r *Request) check() error {
	if err := checkQuestion(r.Question); err != nil {
		return err
	}
	var faults []errs.Detail
	switch r.Mode {
	case "":
		r.Mode = ModeHybrid
	case ModeHybrid, ModeLexical, ModeVector:
	default:
		faults = append(faults, errs.Detail{Location: "mode", Message: "is " + quote(r.Mode) + "; hybrid, lexical and vector are accepted"})
	}
	if r.TopK == 0 {
		r.TopK = DefaultTopK
	}
	if r.TopK < 1 || r.TopK > MaxTopK {
		faults = append(faults, errs.Detail{Location: "top_k", Message: outOfRange(r.TopK, 1, MaxTopK)})
	}
	if len(r.SourceIDs) > maxSources {
		faults = append(faults, errs.Detail{Location: "source_ids", Message: "are too many: " + outOfRange(len(r.SourceIDs), 0, maxSources)})
	}
	if len(faults) > 0 {
		return errs.E(errs.Invalid, ReasonRequest, "The search cannot be made.", faults...)
	}
	return r.Filter.Check()
}
