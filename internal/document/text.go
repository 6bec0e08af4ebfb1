package document

import (
	"context"
	"strings"
	"unicode/utf8"
)

// parsePlain cuts text at blank lines. Titles of AsciiDoc and Org become headings.
func parsePlain(_ context.Context, f *file) (Document, error) {
	lower := strings.ToLower(f.path)
	sign := byte(0)
	switch {
	case strings.HasSuffix(lower, ".adoc"), strings.HasSuffix(lower, ".asciidoc"):
		sign = '='
	case strings.HasSuffix(lower, ".org"):
		sign = '*'
	}
	p := outline{src: f.src}
	for n := 1; n <= f.src.count(); n++ {
		line := f.src.line(n)
		if level := titleLevel(line, sign); level > 0 {
			p.title(n, level, strings.TrimSpace(line[level:]))
		} else {
			p.line(n, line)
		}
	}
	return p.document(), nil
}

// titleLevel is the level of a title that begins with signs, 0 if it is none.
func titleLevel(line string, sign byte) int {
	if sign == 0 {
		return 0
	}
	level := len(line) - len(strings.TrimLeft(line, string(sign)))
	if level == 0 || level > 6 || level >= len(line) || line[level] != ' ' {
		return 0
	}
	return level
}

// outline collects titles and paragraphs, line by line.
type outline struct {
	src     *source
	marks   []mark
	path    []string
	levels  []int
	first   string
	inBlock bool
}

func (p *outline) title(n, level int, text string) {
	for len(p.levels) > 0 && p.levels[len(p.levels)-1] >= level {
		p.levels, p.path = p.levels[:len(p.levels)-1], p.path[:len(p.path)-1]
	}
	p.levels, p.path = append(p.levels, level), under(p.path, text)
	if p.first == "" {
		p.first = text
	}
	p.marks = append(p.marks, mark{line: n, heading: p.path, kind: BlockHeading})
	p.inBlock = false
}

// line takes a line that is no title.
func (p *outline) line(n int, line string) {
	if strings.TrimSpace(line) == "" {
		p.inBlock = false
		return
	}
	if !p.inBlock {
		p.marks = append(p.marks, mark{line: n, heading: p.path, kind: BlockProse})
		p.inBlock = true
	}
}

func (p *outline) document() Document {
	return Document{Title: p.first, Blocks: p.src.tile(p.marks)}
}

// parseRST reads the titles of reStructuredText, which are underlined, and paragraphs.
// The levels of titles are in the order in which their adornments first appear.
func parseRST(_ context.Context, f *file) (Document, error) {
	p := outline{src: f.src}
	var styles []string
	for n := 1; n <= f.src.count(); n++ {
		style, text, used := rstTitle(f.src, n)
		if used == 0 {
			p.line(n, f.src.line(n))
			continue
		}
		level := 0
		for level < len(styles) && styles[level] != style {
			level++
		}
		if level == len(styles) {
			styles = append(styles, style)
		}
		p.title(n, level+1, text)
		n += used - 1
	}
	return p.document(), nil
}

// rstTitle finds a title at a line: its style, its text and how many lines it takes.
func rstTitle(s *source, n int) (style, text string, used int) {
	line := strings.TrimRight(s.line(n), " \t")
	if c := adornment(line); c != 0 && n+2 <= s.count() { // over and under
		text, below := strings.TrimSpace(s.line(n+1)), strings.TrimRight(s.line(n+2), " \t")
		if text != "" && below == line && utf8.RuneCountInString(text) <= len(line) {
			return string([]byte{c, c}), text, 3
		}
	}
	if line == "" || line[0] == ' ' || line[0] == '\t' || adornment(line) != 0 || n+1 > s.count() {
		return "", "", 0
	}
	if n > 1 && !s.blank(n-1) { // in the middle of a paragraph
		return "", "", 0
	}
	below := strings.TrimRight(s.line(n+1), " \t")
	if c := adornment(below); c != 0 && len(below) >= utf8.RuneCountInString(line) {
		return string(c), line, 2
	}
	return "", "", 0
}

// adornment is the character that a line consists of, 0 if there are several.
func adornment(line string) byte {
	if len(line) < 3 || !strings.ContainsRune("=-`:.'\"~^_*+#<>", rune(line[0])) || strings.Trim(line, line[:1]) != "" {
		return 0
	}
	return line[0]
}
