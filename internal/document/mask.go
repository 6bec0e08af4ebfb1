package document

import (
	"bytes"
	"strings"
)

// mask blanks comments, the insides of strings and lines for a preprocessor, so that
// what is left of braces and words is code. Offsets and line ends stay.
func mask(text string, s *syntax) []byte {
	m := masker{text: text, out: []byte(text), s: s}
	for m.at < len(text) {
		m.step()
	}
	return m.out
}

type masker struct {
	text string
	out  []byte
	at   int
	s    *syntax
	last byte // the last character of code that is no space
	open int  // here documents without an end
}

func (m *masker) blank(from, to int) {
	for i := from; i < to; i++ {
		if m.out[i] != '\n' {
			m.out[i] = ' '
		}
	}
}

// skip blanks from at to an offset and goes on there.
func (m *masker) skip(to int) {
	to = min(to, len(m.text))
	m.blank(m.at, to)
	m.at = to
}

func (m *masker) step() {
	c := m.text[m.at]
	if c == '\n' || c == ' ' || c == '\t' {
		m.at++
		return
	}
	if !m.comment(c) && !m.literal(c) {
		m.last = c
		m.at++
	}
}

// comment blanks a comment or a preprocessor's line that begins here.
func (m *masker) comment(c byte) bool {
	rest := m.text[m.at:]
	if m.s.block[0] != "" && strings.HasPrefix(rest, m.s.block[0]) {
		m.skip(m.at + m.blockEnd(rest))
		return true
	}
	for _, sign := range m.s.comments {
		if strings.HasPrefix(rest, sign) && (sign != "#" || m.hashBegins()) {
			m.skip(m.at + lineLength(rest))
			return true
		}
	}
	if c == '#' && m.s.hash && m.lineBegins() {
		end := lineLength(rest)
		for end < len(rest) && end > 0 && rest[end-1] == '\\' {
			end += 1 + lineLength(rest[end+1:])
		}
		m.skip(m.at + end)
		return true
	}
	return false
}

func (m *masker) blockEnd(rest string) int {
	open, closer := m.s.block[0], m.s.block[1]
	if !m.s.nested {
		if end := strings.Index(rest[len(open):], closer); end >= 0 {
			return len(open) + end + len(closer)
		}
		return len(rest)
	}
	depth := 0
	for i := 0; i < len(rest); i++ {
		switch {
		case strings.HasPrefix(rest[i:], open):
			depth++
			i += len(open) - 1
		case strings.HasPrefix(rest[i:], closer):
			i += len(closer) - 1
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(rest)
}

// hashBegins says whether a # begins a comment: in shells it does so only after a space.
func (m *masker) hashBegins() bool {
	return m.at == 0 || strings.IndexByte(" \t\n;)", m.text[m.at-1]) >= 0
}

func (m *masker) lineBegins() bool {
	for i := m.at - 1; i >= 0 && m.text[i] != '\n'; i-- {
		if m.text[i] != ' ' && m.text[i] != '\t' {
			return false
		}
	}
	return true
}

// literal blanks the inside of a string that begins here.
func (m *masker) literal(c byte) bool {
	rest := m.text[m.at:]
	for _, sign := range m.s.long {
		if strings.HasPrefix(rest, sign) {
			m.inside(len(sign), stringEnd(rest, sign, true))
			return true
		}
	}
	switch {
	case c == '\'' && m.s.chars:
		m.inside(1, charEnd(rest))
	case c == '`' && m.s.template:
		m.inside(1, templateEnd(rest, 0))
	case c == '"' && m.s.hash && m.at > 0 && m.text[m.at-1] == 'R': // R"x(…)x" of C++
		m.inside(1, rawEnd(rest))
	case strings.IndexByte(m.s.quotes, c) >= 0:
		if c == '\'' && m.at > 0 && isWord(m.text[m.at-1]) && m.s.regexps {
			m.inside(1, 1) // an apostrophe in the text of a page
			return true
		}
		m.inside(1, stringEnd(rest, string(c), false))
	case c == '/' && m.s.regexps && (m.last == 0 || strings.IndexByte("(,=:[!&|?{};+-*%<>~^\n", m.last) >= 0):
		m.inside(1, regexpEnd(rest))
	case c == '<' && m.s.heredoc:
		return m.heredocs(rest)
	default:
		return false
	}
	return true
}

// inside blanks a literal of that length between signs of that length, and goes on after it.
func (m *masker) inside(sign, length int) {
	length = max(length, sign)
	m.blank(m.at+sign, m.at+max(sign, length-sign))
	m.last = '"'
	m.at += min(length, len(m.text)-m.at)
}

// stringEnd is the length of a string with its signs. One that must end with its line
// and does not is taken to end there.
func stringEnd(rest, sign string, lines bool) int {
	for i := len(sign); i < len(rest); i++ {
		switch {
		case rest[i] == '\\':
			i++
		case rest[i] == '\n' && !lines:
			return i
		case strings.HasPrefix(rest[i:], sign):
			return i + len(sign)
		}
	}
	return len(rest)
}

// charEnd is the length of a character with its quotes; 1 if the ' begins none.
func charEnd(rest string) int {
	for i := 1; i < min(len(rest), 14); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '\n':
			return 1
		case '\'':
			if i > 6 && rest[1] != '\\' || i == 1 {
				return 1
			}
			return i + 1
		}
	}
	return 1
}

// maxNesting bounds templates within templates.
const maxNesting = 20

// templateEnd is the length of a template string; what it has in ${ } is in it.
func templateEnd(rest string, depth int) int {
	for i := 1; i < len(rest); i++ {
		switch {
		case rest[i] == '\\':
			i++
		case rest[i] == '`':
			return i + 1
		case rest[i] == '$' && i+1 < len(rest) && rest[i+1] == '{' && depth < maxNesting:
			i += 1 + holeEnd(rest[i+1:], depth)
		}
	}
	return len(rest)
}

// holeEnd is how far the { at the start of rest is from its }.
func holeEnd(rest string, depth int) int {
	open := 0
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				return i
			}
		case '`':
			i += templateEnd(rest[i:], depth+1) - 1
		case '\'', '"':
			i += stringEnd(rest[i:], rest[i:i+1], false) - 1
		}
	}
	return len(rest)
}

// rawEnd is the length of a raw string of C++, from its quote on.
func rawEnd(rest string) int {
	open := strings.IndexByte(rest[:min(len(rest), 20)], '(')
	if open < 0 {
		return stringEnd(rest, `"`, false)
	}
	closer := ")" + rest[1:open] + `"`
	if end := strings.Index(rest[open:], closer); end >= 0 {
		return open + end + len(closer)
	}
	return len(rest)
}

// maxRegexp bounds what is taken for a regular expression.
const maxRegexp = 1000

func regexpEnd(rest string) int {
	class := false
	for i := 1; i < min(len(rest), maxRegexp) && rest[i] != '\n'; i++ {
		switch rest[i] {
		case '\\':
			i++
		case '[':
			class = true
		case ']':
			class = false
		case '/':
			if !class {
				return i + 1
			}
		}
	}
	return 1
}

// maxOpen bounds how often the rest of a file is searched for the end of a here document.
const maxOpen = 100

// heredocs blanks the lines of a here document that begins here.
func (m *masker) heredocs(rest string) bool {
	if m.open > maxOpen || !strings.HasPrefix(rest, "<<") || strings.HasPrefix(rest, "<<<") {
		return false
	}
	word := strings.TrimLeft(rest[2:min(len(rest), 80)], "-~")
	word = strings.TrimLeft(word, " ")
	word = strings.TrimLeft(word, `"'\`)
	n := 0
	for n < len(word) && isWord(word[n]) {
		n++
	}
	if n == 0 || word[0] >= '0' && word[0] <= '9' || word[0] >= 'a' && word[0] <= 'z' && !strings.ContainsAny(rest[2:3], `-~"'`) {
		return false
	}
	word = word[:n]
	from := lineLength(rest) + 1
	for at := from; at < len(rest); {
		end := at + lineLength(rest[at:])
		if strings.TrimSpace(rest[at:end]) == word {
			m.blank(m.at+from, m.at+end)
			m.at += end
			return true
		}
		at = end + 1
	}
	m.open++
	return false
}

func lineLength(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i
	}
	return len(s)
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// blankLine says whether a line has no code in it.
func blankLine(line []byte) bool { return len(bytes.TrimSpace(line)) == 0 }
