package document

import "strings"

// source is text by lines, counted from 1.
type source struct {
	text   string
	starts []int // offset of each line, and the end of the text
}

func newSource(text string) *source {
	s := &source{text: text, starts: make([]int, 1, 2+strings.Count(text, "\n"))}
	for i := range len(text) {
		if text[i] == '\n' {
			s.starts = append(s.starts, i+1)
		}
	}
	if n := len(s.starts); s.starts[n-1] < len(text) {
		s.starts = append(s.starts, len(text))
	} else if n == 1 {
		s.starts = append(s.starts, 0)
	}
	return s
}

// count is how many lines there are.
func (s *source) count() int { return len(s.starts) - 1 }

// line gives a line without its end.
func (s *source) line(n int) string {
	return strings.TrimSuffix(s.text[s.starts[n-1]:s.starts[n]], "\n")
}

// lines gives the lines from first to last.
func (s *source) lines(first, last int) string {
	return strings.TrimSuffix(s.text[s.starts[first-1]:s.starts[last]], "\n")
}

func (s *source) blank(n int) bool { return strings.TrimSpace(s.line(n)) == "" }

// lineOf is the line that an offset is in.
func (s *source) lineOf(offset int) int {
	low, high := 0, s.count()-1
	for low < high {
		mid := (low + high + 1) / 2
		if s.starts[mid] <= offset {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low + 1
}

// mark is where a block begins. It goes on to the next mark.
type mark struct {
	line    int
	heading []string
	kind    string
}

// tile makes blocks of all lines. Marks are in order of their lines; of several at one
// line the last counts. Blank lines at the ends of blocks are in none.
func (s *source) tile(marks []mark) []Block {
	var blocks []Block
	current := mark{line: 1, kind: BlockProse}
	if len(marks) > 0 {
		current.kind = marks[0].kind
		if current.kind == BlockSymbol || current.kind == BlockHeading || current.kind == BlockEntry {
			current.kind = BlockCode
		}
	}
	for _, m := range append(marks, mark{line: s.count() + 1}) {
		if m.line > current.line {
			blocks = s.add(blocks, current, m.line-1)
		}
		if m.line >= current.line {
			current = m
		}
	}
	return blocks
}

func (s *source) add(blocks []Block, m mark, last int) []Block {
	first := m.line
	for first <= last && s.blank(first) {
		first++
	}
	for last >= first && s.blank(last) {
		last--
	}
	if first > last {
		return blocks
	}
	text := s.lines(first, last)
	if n := len(blocks); n > 0 && onlyClosers(text) { // the end of what stands before
		b := &blocks[n-1]
		b.LineEnd, b.Text = last, s.lines(b.LineStart, last)
		return blocks
	}
	return append(blocks, Block{Text: text, LineStart: first, LineEnd: last, Heading: m.heading, Kind: m.kind})
}

func onlyClosers(s string) bool { return strings.Trim(s, "})]; ,\t\r\n") == "" }

// maxName bounds a heading, in bytes.
const maxName = 200

// under is the path of a heading below others, in memory of its own.
func under(path []string, name string) []string {
	return append(append(make([]string, 0, len(path)+1), path...), oneLine(name, maxName))
}
