package chunk

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/document"
)

// unit is what is not cut: a block, or a line of one that is too large, or a piece of a
// line that is too long.
type unit struct {
	text        string
	sep         string // between the unit before and this one
	size        int    // quarters of tokens, sep included
	first, last int    // lines
	page        int
	opens       []string // the headings at its start
	heading     []string // the headings at its end
	cut         int      // how natural a cut before it is: the lower, the better
	hash        uint64   // which of equally natural cuts is taken
	columns     string   // the first row of the table that it goes on with
}

// How natural cuts within a section are. Cuts between sections have the number of
// headings that both have in common.
const (
	cutSection = 1000 // from here on, within a section
	cutBlock   = 1000
	cutBlank   = 1100 // at a blank line
	cutLine    = 1200 // at a line, the more the further it is indented
	cutPiece   = 1400 // in a line
)

// load makes the units of blocks.
func (s *splitter) load(blocks []document.Block) {
	s.units = s.units[:0]
	for i := range blocks {
		b := &blocks[i]
		var before *document.Block
		if i > 0 {
			before = &blocks[i-1]
		}
		s.block(b, before)
	}
	s.prefix = append(s.prefix[:0], 0)
	for i := range s.units {
		u := &s.units[i]
		u.size = quarters(u.text) + len(u.sep)
		s.prefix = append(s.prefix, s.prefix[i]+u.size)
	}
}

func (s *splitter) block(b, before *document.Block) {
	u := unit{text: b.Text, first: b.LineStart, last: b.LineEnd, page: b.Page, opens: b.Heading, heading: b.Heading, sep: "\n\n"}
	if before != nil {
		u.cut, u.sep = strength(before, b), separator(before, b)
	}
	u.hash = hashOf(b, u.cut)
	if quarters(b.Text) > 4*s.o.MaxTokens {
		s.lines(u, b)
		return
	}
	if n := len(s.units); before != nil && s.glues(n-1, before, u) {
		h := &s.units[n-1]
		h.text, h.last, h.heading = h.text+u.sep+u.text, max(h.last, u.last), u.heading
		return
	}
	s.units = append(s.units, u)
}

// glues says whether what stands before a unit stays with it: a heading with what is
// below it, and the first lines of a type with its first method.
func (s *splitter) glues(i int, before *document.Block, u unit) bool {
	h := &s.units[i]
	if len(u.heading) < len(h.heading) || !slices.Equal(u.heading[:len(h.heading)], h.heading) {
		return false
	}
	size := quarters(h.text)
	switch before.Kind {
	case document.BlockHeading:
	case document.BlockSymbol, document.BlockEntry:
		if len(u.heading) == len(h.heading) || size > s.o.TargetTokens/2 { // an eighth
			return false
		}
	default:
		return false
	}
	return size+len(u.sep)+quarters(u.text) <= 4*s.o.MaxTokens
}

// strength is how natural a cut between blocks is.
func strength(before, b *document.Block) int {
	common := 0
	for common < min(len(before.Heading), len(b.Heading)) && before.Heading[common] == b.Heading[common] {
		common++
	}
	if common < len(before.Heading) || common < len(b.Heading) {
		if b.Kind == document.BlockRow || b.Kind == document.BlockCellRange {
			return cutBlock // below the row that names the columns
		}
		return common
	}
	if len(b.Heading) > 0 && (b.Kind == document.BlockHeading || b.Kind == document.BlockSymbol) {
		return len(b.Heading) - 1 // one of the same name
	}
	return cutBlock
}

func separator(before, b *document.Block) string {
	if b.LineStart > before.LineEnd && before.LineEnd > 0 {
		return "\n\n\n"[:min(b.LineStart-before.LineEnd, 3)]
	}
	if b.Kind == before.Kind && (b.Kind == document.BlockCellRange || b.Kind == document.BlockList) {
		return "\n"
	}
	return "\n\n"
}

// hashOf goes by the name of a section, so that changes in it leave it where it is, and
// by the text of what has none.
func hashOf(b *document.Block, cut int) uint64 {
	if cut < cutSection {
		return hash(b.Heading[max(len(b.Heading)-1, 0):]...)
	}
	return hash(b.Text)
}

// lines makes units of the lines of a block that is too large to stay whole.
func (s *splitter) lines(whole unit, b *document.Block) {
	exact := b.LineStart > 0 && strings.Count(b.Text, "\n") == b.LineEnd-b.LineStart
	rest, n, blanks := b.Text, b.LineStart, 0
	start := true
	for more := true; more; n++ {
		var line string
		line, rest, more = strings.Cut(rest, "\n")
		if strings.TrimSpace(line) == "" {
			blanks++
			continue
		}
		u := whole
		u.text = line
		if exact {
			u.first, u.last = n, n
		}
		if !start {
			u.opens, u.cut, u.sep = b.Heading, cutLine+min(indented(line), 99), "\n\n\n"[:min(1+blanks, 3)]
			if blanks > 0 {
				u.cut = cutBlank + min(indented(line), 99)
			}
			u.hash = hash(line)
			if b.Kind == document.BlockTable {
				u.columns, _, _ = strings.Cut(b.Text, "\n")
			}
		}
		s.line(u)
		start, blanks = false, 0
	}
}

func indented(line string) int { return len(line) - len(strings.TrimLeft(line, " \t")) }

// line adds a line, in pieces if it is too long.
func (s *splitter) line(u unit) {
	if quarters(u.text) <= 4*s.o.MaxTokens {
		s.units = append(s.units, u)
		return
	}
	for i, text := range pieces(u.text, 4*s.o.TargetTokens) {
		if i > 0 {
			u.cut, u.sep, u.columns = cutPiece, "", ""
		}
		u.text = text
		if i > 0 {
			u.hash = hash(text)
		}
		s.units = append(s.units, u)
	}
}

// pieces cuts a line so that each piece has at most limit quarters of tokens. Where it
// is cut depends on the bytes right before, so that an insertion moves the nearest cuts only.
func pieces(s string, limit int) []string {
	var out []string
	start, size, least := 0, 0, limit/4
	lastSpace := 0
	var rolling uint64
	for i, r := range s {
		q := quarters(s[i:min(i+utf8.RuneLen(r), len(s))])
		if size+q > limit && i > start {
			at := i
			if lastSpace > start && i-lastSpace < (i-start)/2 {
				at = lastSpace
			}
			out = append(out, s[start:at])
			start, size = at, quarters(s[at:i])
		}
		size += q
		rolling = rolling<<1 + mix(uint64(r))
		if r != ' ' && r != ',' && r != ';' && r != '}' && r != '>' {
			continue
		}
		lastSpace = i + 1
		if size >= least && rolling%uint64(max(limit/8, 1)) < 6 {
			out = append(out, s[start:i+1])
			start, size = i+1, 0
		}
	}
	if start < len(s) {
		out = append(out, s[start:])
	}
	return out
}

// hash is FNV-1a of texts, mixed.
func hash(texts ...string) uint64 {
	h := uint64(14695981039346656037)
	for _, s := range texts {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211
	}
	return mix(h)
}

func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
