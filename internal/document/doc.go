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
//   - Files are what anybody made: reading one is bounded in time, memory and output, and
//     whatever it makes a parser do, the answer is an *Error.
package document

import "time"

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
	MaxBytes     int64         // of the file: 64 MiB
	MaxTextBytes int64         // of the text in it: 16 MiB
	MaxPages     int           // of PDFs and presentations, sheets: 5000
	Timeout      time.Duration // one minute
	// Truncate keeps what fits into MaxTextBytes and MaxPages and says so in the document,
	// where the answer would be "too_large". MaxBytes holds as it is.
	Truncate bool
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

func (l Limits) withDefaults() Limits {
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
