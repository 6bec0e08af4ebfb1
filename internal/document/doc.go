// Package document turns the content of a file into text with positions: a list of
// blocks, each with the lines or the page that it stands on and the headings or symbols
// that it stands under. It knows formats only: no sources, no database, no chunks.
//
// Invariants:
//   - Text is valid UTF-8 without NUL.
//   - Of formats with lines (code, markdown, config, text) a block's Text is exactly the
//     lines LineStart to LineEnd, and every line that is not blank is in a block. Blocks
//     are in order and do not overlap.
//   - The same bytes under the same name give the same document, until Signature changes.
//   - Files are what anybody made: reading one is bounded in input, output and depth, and
//     whatever it makes a parser do, the answer is an *Error.
//
// Time and memory are bounded here only as far as a parser looks up from its work. What the
// libraries of others parse ([Kind.Foreign]) may not do that; [Parser] is what bounds them
// for good, in a process of its own (package process below this one).
package document

import (
	"context"
	"time"
)

// Signature names the version of the parsers. It changes when the same bytes would be
// parsed differently, so that indexes know what to read again.
const Signature = "d1"

// Kind is what a file is.
type Kind string

// The kinds.
const (
	Code     Kind = "code"
	Markdown Kind = "markdown"
	HTML     Kind = "html"
	Config   Kind = "config" // data formats as well
	Text     Kind = "text"
	PDF      Kind = "pdf"
	DOCX     Kind = "docx"
	PPTX     Kind = "pptx"
	XLSX     Kind = "xlsx"
)

// Foreign tells whether a library of others reads files of this kind: one that cannot be
// interrupted everywhere, and whose use of memory nobody here has bounded.
func (k Kind) Foreign() bool {
	switch k {
	case PDF, DOCX, PPTX, XLSX, Markdown:
		return true
	case Code, HTML, Config, Text:
	}
	return false
}

// Parser reads whole files. It is safe for concurrent use.
type Parser interface {
	// Parse reads a file. Errors: *Error for a file that cannot be read; the cause of ctx when
	// that ended.
	Parse(ctx context.Context, path string, data []byte, l Limits) (Document, error)
}

// InProcess is the Parser that reads all files in this process. One that does not look up
// from its work in time is left behind, and memory is not bounded: it is for tests, and for
// processes that are there to parse.
type InProcess struct{}

// Parse implements Parser.
func (InProcess) Parse(ctx context.Context, path string, data []byte, l Limits) (Document, error) {
	return Parse(ctx, path, data, l)
}

// The kinds of blocks.
const (
	BlockProse     = "prose"
	BlockHeading   = "heading"
	BlockList      = "list"
	BlockTable     = "table"
	BlockCode      = "code"
	BlockSymbol    = "symbol"     // a function, a type, a statement that defines something
	BlockEntry     = "entry"      // a key of a data format with its value
	BlockRow       = "row"        // a row of a table of data
	BlockCellRange = "cell_range" // a row of a sheet
)

// Document is the content of a file.
type Document struct {
	Kind      Kind
	Language  string // of code and of data formats, "" otherwise
	Title     string // the first heading, <title> or the file's own properties; may be ""
	Pages     int    // pages, slides or sheets; 0 where there are none
	Truncated bool   // there is more than the limits allow; only with Limits.Truncate
	Blocks    []Block
}

// Block is a piece of a document that belongs together.
type Block struct {
	Text               string
	LineStart, LineEnd int      // from 1, inclusive; 0 where the format has no lines
	Page               int      // page, slide or sheet from 1; 0 where there is none
	Heading            []string // headings, symbols or sheet around it and its own, outermost first
	Kind               string
}

// Limits bound what is read of a file. Zero values mean the defaults.
type Limits struct {
	MaxBytes     int64         `json:"max_bytes"`      // of the file: 64 MiB
	MaxTextBytes int64         `json:"max_text_bytes"` // of the text in it: 16 MiB
	MaxPages     int           `json:"max_pages"`      // of PDFs and presentations, sheets: 5000
	Timeout      time.Duration `json:"timeout"`        // one minute
	// Truncate keeps what fits into MaxTextBytes and MaxPages and says so in the document,
	// where the answer would be "too_large". MaxBytes holds as it is.
	Truncate bool `json:"truncate"`
}

// The defaults of Limits.
const (
	DefaultMaxBytes     = 64 << 20
	DefaultMaxTextBytes = 16 << 20
	DefaultMaxPages     = 5000
	DefaultTimeout      = time.Minute
)

// maxUnpacked bounds what a compressed part of a file may unpack to, as a multiple of the
// text that is wanted: markup around text is rarely more than that.
const maxUnpacked = 16

// MaxBlocks bounds how many blocks a document has: of pieces of a byte each the rest of a
// block is what takes memory.
const MaxBlocks = 1 << 20

// WithDefaults fills in what is not set.
func (l Limits) WithDefaults() Limits {
	if l.MaxBytes <= 0 {
		l.MaxBytes = DefaultMaxBytes
	}
	if l.MaxTextBytes <= 0 {
		l.MaxTextBytes = DefaultMaxTextBytes
	}
	if l.MaxPages <= 0 {
		l.MaxPages = DefaultMaxPages
	}
	if l.Timeout <= 0 {
		l.Timeout = DefaultTimeout
	}
	return l
}

// unpacked is how many bytes a part of a file may unpack to.
func (l Limits) unpacked() int64 { return maxUnpacked * max(l.MaxTextBytes, 1<<20) }
