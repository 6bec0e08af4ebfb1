// Package chunk cuts documents into the pieces that are searched for, shown and
// embedded. It knows documents only: no sources, no index, no models.
//
// Invariants:
//   - Nothing is lost: every word of a document is in a chunk.
//   - A chunk of a format with lines is exactly its lines, without blank ones at its ends;
//     only a line longer than the maximum is in several chunks.
//   - No chunk has more than Options.MaxTokens, by the estimate of Tokens, and none spans pages.
//   - The same document gives the same chunks, and a change in one place leaves the chunks
//     elsewhere as they are: where a text is cut depends on its structure and on what
//     stands at the cut, never on how much stands before it.
package chunk

import "github.com/llmctl/studio/internal/document"

// Signature names the version of the way in which documents are cut.
const Signature = "c1"

// Chunk is a piece of a document.
type Chunk struct {
	// Key identifies a chunk by its path, its text, and its number among chunks of the same
	// text in the file. Changes elsewhere in the file do not change it.
	Key     string
	Ordinal int    // its place in the document, from 0
	Text    string // what is shown and stored
	// Context says in one line where the text stands ("docs/x.md > Install > From source").
	// It is embedded and indexed together with the text, and counts for no limit.
	Context            string
	LineStart, LineEnd int // from 1, inclusive; 0 where the format has no lines
	Page               int // from 1; 0 where there is none
	Heading            []string
	Tokens             int // of Text, an estimate
}

// Options say how large chunks are. Zero values mean the defaults.
type Options struct {
	TargetTokens  int // what stands under one heading is cut from here on: 400
	MaxTokens     int // no chunk is larger: 800
	OverlapTokens int // how much of the chunk before is repeated within a section: 0
}

// The defaults of Options.
const (
	DefaultTargetTokens = 400
	DefaultMaxTokens    = 800
	minMaxTokens        = 16
)

func (o Options) withDefaults() Options {
	if o.MaxTokens <= 0 {
		o.MaxTokens = DefaultMaxTokens
	}
	o.MaxTokens = max(o.MaxTokens, minMaxTokens)
	if o.TargetTokens <= 0 {
		o.TargetTokens = DefaultTargetTokens
	}
	o.TargetTokens = min(o.TargetTokens, o.MaxTokens)
	o.OverlapTokens = min(max(o.OverlapTokens, 0), o.TargetTokens/2)
	return o
}

// merged is how large a chunk of several sections or symbols may be: small ones stand
// together, others alone.
func (o Options) merged() int { return o.TargetTokens / 2 }

// Split cuts a document.
func Split(path string, d document.Document, o Options) []Chunk {
	o = o.withDefaults()
	s := splitter{path: path, o: o, seen: map[[32]byte]int{}}
	first := 0
	for i := 1; i <= len(d.Blocks); i++ { // no chunk spans pages
		if i == len(d.Blocks) || d.Blocks[i].Page != d.Blocks[first].Page {
			s.load(d.Blocks[first:i])
			s.split(0, len(s.units))
			first = i
		}
	}
	return s.chunks
}
