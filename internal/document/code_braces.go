package document

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
)

// maxHeader bounds the text before a body that names a symbol.
const maxHeader = 2000

// maxDepth bounds symbols within symbols.
const maxDepth = 12

// minUnnamed is how many lines a statement without a body needs to be a symbol.
const minUnnamed = 3

// testName knows the calls that tests of JavaScript are.
var testName = sync.OnceValue(func() *regexp.Regexp { //nolint:gochecknoglobals // a constant
	return re("^(?:describe|suite|context|test|it)[\\w.]*\\(\\s*[\"'`][^\"'`\n]+[\"'`]")
})

// braceSymbols finds the symbols of a language with braces: statements, up to a
// semicolon or to the brace that closes their body.
func braceSymbols(s *source, masked []byte, syn *syntax) []span {
	r := braceReader{src: s, code: masked, syn: syn}
	spans, _ := r.body(0, false, 0)
	return spans
}

type braceReader struct {
	src  *source
	code []byte
	syn  *syntax
}

// body reads statements up to the brace that ends them, or to the end; it gives the
// offset behind.
func (r *braceReader) body(at int, container bool, depth int) ([]span, int) {
	var spans []span
	for {
		at = r.space(at)
		if at >= len(r.code) {
			return spans, at
		}
		if r.code[at] == '}' {
			if depth > 0 {
				return spans, at
			}
			at++
			continue
		}
		var item span
		item, at = r.statement(at, container, depth)
		if item.name != "" {
			spans = append(spans, item)
		}
	}
}

func (r *braceReader) space(at int) int {
	for at < len(r.code) && strings.IndexByte(" \t\n\f;,", r.code[at]) >= 0 {
		at++
	}
	return at
}

// statement reads one: its symbol, if it is one, and where it ends.
func (r *braceReader) statement(start int, container bool, depth int) (span, int) {
	var item span
	header := -1 // where the first body begins
	round := 0
	at := start
	for at < len(r.code) {
		switch c := r.code[at]; c {
		case '(', '[':
			round++
		case ')', ']':
			round = max(round-1, 0)
		case '{':
			var end int
			if round == 0 && header < 0 {
				header = at
				item, end = r.inner(start, at, container, depth)
			} else {
				end = r.closing(at)
			}
			at = end
			if round == 0 && (item.name != "" || r.lineEnds(end+1)) && !r.goesOn(end+1) {
				return r.done(item, start, end+1), end + 1
			}
		case '}':
			return r.short(item, start, header, at, container), at
		case ';':
			if round == 0 {
				return r.short(item, start, header, at+1, container), at + 1
			}
		case '\n':
			if round == 0 && r.syn.newlines && r.declares(at+1, container) {
				return r.short(item, start, header, at, container), at
			}
		}
		at++
	}
	return r.short(item, start, header, len(r.code), container), len(r.code)
}

// inner reads the body after a header: what it defines, and where the closing brace is.
func (r *braceReader) inner(start, at int, container bool, depth int) (span, int) {
	name, holds := r.name(start, at, container)
	if holds && depth < maxDepth {
		children, end := r.body(at+1, true, depth+1)
		return span{name: name, children: children}, end
	}
	return span{name: name}, r.closing(at)
}

// closing is the offset of the brace that closes the one at an offset.
func (r *braceReader) closing(at int) int {
	open := 0
	for i := at; i < len(r.code); i++ {
		switch r.code[i] {
		case '{':
			open++
		case '}':
			if open--; open == 0 {
				return i
			}
		}
	}
	return len(r.code)
}

// lineEnds says whether nothing but punctuation stands on the rest of a line.
func (r *braceReader) lineEnds(at int) bool {
	for ; at < len(r.code); at++ {
		switch r.code[at] {
		case '\n':
			return true
		case ' ', '\t', ';', ',', ')', ']':
		default:
			return false
		}
	}
	return true
}

// goesOn says whether a body is followed by more of its statement.
func (r *braceReader) goesOn(at int) bool {
	for at < len(r.code) && (r.code[at] == ' ' || r.code[at] == '\t' || r.code[at] == '\n') {
		at++
	}
	rest := r.code[min(at, len(r.code)):min(at+10, len(r.code))]
	for _, word := range []string{"else", "catch", "finally", "while", "=", "."} {
		if bytes.HasPrefix(rest, []byte(word)) {
			return true
		}
	}
	return false
}

func (r *braceReader) done(item span, start, end int) span {
	if item.name == "" {
		return span{}
	}
	item.first, item.last = r.src.lineOf(start), r.src.lineOf(max(start, min(end, len(r.code))-1))
	return item
}

// short ends a statement that has no body, or goes on after it. A long one is a symbol
// of its own if it has a name.
func (r *braceReader) short(item span, start, header, end int, container bool) span {
	if item.name == "" && header < 0 {
		text := bytes.TrimRight(r.code[start:end], " \t\n")
		end = start + len(text)
		if bytes.Count(text, []byte("\n")) < minUnnamed-1 {
			return span{}
		}
		item.name, _ = r.name(start, end, container)
	}
	return r.done(item, start, end)
}

// name finds what the text before a body defines.
func (r *braceReader) name(start, at int, container bool) (string, bool) {
	header := strings.Join(strings.Fields(string(r.code[start:min(at, start+maxHeader)])), " ")
	if isControl(header) {
		return "", false
	}
	if r.syn.regexps {
		if m := testName().FindString(r.src.text[start:min(at, start+maxHeader)]); m != "" {
			return oneLine(m, 120) + ")", false
		}
	}
	for _, rule := range r.syn.rules {
		if rule.inside && !container {
			continue
		}
		m := rule.match.FindStringSubmatchIndex(header)
		if m == nil {
			continue
		}
		name := named(header, m)
		if rule.match.NumSubexp() == 1 && m[2] >= 0 && name == strings.TrimSpace(header) { // the whole header
			name = strings.Join(strings.Fields(r.src.text[start:min(at, start+maxHeader)]), " ")
		}
		if name == "" {
			name = "(anonymous)"
		}
		if isControl(name) {
			continue
		}
		return oneLine(rule.prefix+name, 120), rule.container
	}
	return "", false
}

// named joins the groups that a rule matched, such as a receiver and a method.
func named(s string, m []int) string {
	var parts []string
	for i := 2; i < len(m); i += 2 {
		if m[i] >= 0 && m[i] < m[i+1] {
			parts = append(parts, strings.TrimSpace(s[m[i]:m[i+1]]))
		}
	}
	return strings.Join(parts, ".")
}

// isControl says whether text begins with a word that controls what is done.
func isControl(s string) bool {
	n := 0
	for n < len(s) && isWord(s[n]) {
		n++
	}
	return isOneOf(s[:n], "if else for while do switch case try catch finally return throw with using lock when guard defer unless until repeat loop match synchronized "+
		"await yield goto default import from require package new delete sizeof assert")
}

// declares says whether a declaration begins on the line at an offset.
func (r *braceReader) declares(at int, container bool) bool {
	end := min(at+lineLength(string(r.code[at:min(at+300, len(r.code))])), len(r.code))
	line := strings.TrimSpace(string(r.code[min(at, end):end]))
	if line == "" || isControl(line) && !strings.HasPrefix(line, "import") && !strings.HasPrefix(line, "default") {
		return false
	}
	n := 0
	for n < len(line) && isWord(line[n]) {
		n++
	}
	if isOneOf(line[:n], "export function async class abstract interface type enum namespace declare const let var import func fun def struct extension protocol public private internal object trait "+
		"val data sealed override fileprivate static package resource variable output module locals provider test it describe suite") {
		return true
	}
	return line[0] == '@' || container && n > 0 && strings.HasSuffix(line, "{")
}
