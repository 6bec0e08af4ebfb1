package document

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
)

// lineReader finds symbols by lines and how far they are indented.
type lineReader struct {
	src  *source
	code []byte
	syn  *syntax
	open []bool // lines that begin within brackets
}

func (r *lineReader) masked(n int) []byte {
	return bytes.TrimRight(r.code[r.src.starts[n-1]:r.src.starts[n]], "\n")
}

// indent is how far a line is indented; a tab counts as 8.
func indent(line []byte) int {
	n := 0
	for _, c := range line {
		switch c {
		case ' ':
			n++
		case '\t':
			n += 8 - n%8
		default:
			return n
		}
	}
	return n
}

// symbol finds what a line defines.
func (r *lineReader) symbol(n int) (string, bool) {
	line := bytes.TrimLeft(r.masked(n), " \t")
	if len(line) == 0 {
		return "", false
	}
	for _, rule := range r.syn.rules {
		if m := rule.match.FindSubmatchIndex(line); m != nil {
			return named(string(line), m), rule.container
		}
	}
	return "", false
}

// indentSymbols finds symbols that last as long as lines are indented more than their first.
func indentSymbols(s *source, masked []byte, syn *syntax) []span {
	r := lineReader{src: s, code: masked, syn: syn}
	r.findOpen()
	spans, _ := r.indented(1, -1, 0)
	return spans
}

// findOpen marks the lines that go on with the one before.
func (r *lineReader) findOpen() {
	r.open = make([]bool, r.src.count()+2)
	round := 0
	for n := 1; n <= r.src.count(); n++ {
		r.open[n] = round > 0
		for _, c := range r.masked(n) {
			switch c {
			case '(', '[', '{':
				round++
			case ')', ']', '}':
				round = max(round-1, 0)
			}
		}
	}
}

// indented reads symbols from a line on, until one is indented as little as around.
func (r *lineReader) indented(n, around, depth int) ([]span, int) {
	var spans []span
	for n <= r.src.count() {
		line := r.masked(n)
		if blankLine(line) || r.open[n] {
			n++
			continue
		}
		own := indent(line)
		if own <= around {
			return spans, n
		}
		name, container := r.symbol(n)
		if name == "" {
			n++
			continue
		}
		item := span{first: n, name: name}
		if container && depth < maxDepth {
			item.children, n = r.indented(n+1, own, depth+1)
		} else {
			n = r.dedent(n+1, own)
		}
		item.last = r.lastCode(n - 1)
		spans = append(spans, item)
	}
	return spans, n
}

// dedent is the first line from n on that is indented no more than own.
func (r *lineReader) dedent(n, own int) int {
	for ; n <= r.src.count(); n++ {
		if line := r.masked(n); !blankLine(line) && !r.open[n] && indent(line) <= own {
			return n
		}
	}
	return n
}

// lastCode goes back over blank lines and comments, which belong to what follows.
func (r *lineReader) lastCode(n int) int {
	for n > 1 && blankLine(r.masked(n)) && !r.inString(n) {
		n--
	}
	return n
}

// inString says whether a line that is blank when masked has the inside of a string.
func (r *lineReader) inString(n int) bool {
	line := strings.TrimSpace(r.src.line(n))
	if line == "" {
		return false
	}
	for _, sign := range r.syn.comments {
		if strings.HasPrefix(line, sign) {
			return false
		}
	}
	return true
}

// endSymbols finds symbols that end with a line that is indented as their first.
func endSymbols(s *source, masked []byte, syn *syntax) []span {
	r := lineReader{src: s, code: masked, syn: syn}
	return r.ended(1, s.count(), 0)
}

func (r *lineReader) ended(n, last, depth int) []span {
	var spans []span
	for n <= last {
		name, container := r.symbol(n)
		if name == "" {
			n++
			continue
		}
		end := r.endOf(n, last)
		item := span{first: n, last: end, name: name}
		if container && depth < maxDepth && end > n {
			item.children = r.ended(n+1, end-1, depth+1)
		}
		spans = append(spans, item)
		n = end + 1
	}
	return spans
}

// endOf is the line that ends the symbol at a line: itself if none does.
func (r *lineReader) endOf(n, last int) int {
	own := indent(r.masked(n))
	opens := 0
	if first := bytes.TrimRight(r.masked(n), " \t"); bytes.HasSuffix(first, []byte("}")) || bytes.HasSuffix(first, []byte(" end")) {
		return n
	}
	for i := n + 1; i <= last; i++ {
		line := r.masked(i)
		if blankLine(line) {
			continue
		}
		at := indent(line)
		text := bytes.TrimLeft(line, " \t")
		switch {
		case at == own && r.syn.end.Match(text):
			return i
		case at < own:
			return n
		case at == own && !continues(text):
			if opens++; opens > 200 {
				return n
			}
			if r.defines(text) {
				return n
			}
		}
	}
	return n
}

// continues says whether a line goes on with a body although it is indented as its first.
func continues(text []byte) bool { return len(text) > 0 && (text[0] == '{' || text[0] == ')') }

func (r *lineReader) defines(text []byte) bool {
	for _, rule := range r.syn.rules {
		if rule.match.Match(text) {
			return true
		}
	}
	return false
}

// sqlName knows statements that define something.
var sqlName = sync.OnceValue(func() *regexp.Regexp { //nolint:gochecknoglobals // a constant
	return re(`(?i)^(create|alter|drop)\s+(?:or\s+replace\s+)?(?:(?:global|local|temp|temporary|unlogged|unique|materialized|recursive|external|virtual|constraint|definer|algorithm|security|force|editionable)\s+)*` +
		`(table|index|view|function|procedure|trigger|type|schema|sequence|extension|domain|aggregate|policy|role|user|database|package|event|operator|rule|server|publication)\s+` +
		`(?:concurrently\s+)?(?:if\s+(?:not\s+)?exists\s+)?(?:only\s+)?([\w."` + "`" + `\[\]$]+)`)
})

// sqlQuery knows names that query files give their statements in comments.
var sqlQuery = sync.OnceValue(func() *regexp.Regexp { //nolint:gochecknoglobals // a constant
	return re(`(?m)^\s*--\s*name:\s*([\w-]+)`)
})

// sqlSymbols cuts SQL at the semicolons that end statements.
func sqlSymbols(s *source, masked []byte) []span {
	maskDollars(s.text, masked)
	defines, query := sqlName(), sqlQuery()
	var spans []span
	for start := 0; start < len(masked); {
		end := sqlEnd(masked, start)
		from := start + len(masked[start:end]) - len(bytes.TrimLeft(masked[start:end], " \t\n;"))
		if from < end {
			name := ""
			if m := query.FindStringSubmatch(s.text[start:from]); m != nil {
				name = m[1]
			} else {
				// Names may stand in quotes, which are blank in what is masked.
				text := s.text[from:min(end, from+maxHeader)]
				if m := defines.FindStringSubmatch(text); m != nil {
					name = strings.ToLower(m[1]+" "+m[2]) + " " + strings.Trim(m[3], "\"`[]")
				}
			}
			if name == "" {
				name = sqlVerb(masked[from:end])
			}
			if name != "" {
				spans = append(spans, span{first: s.lineOf(from), last: s.lineOf(max(from, end-1)), name: strings.TrimPrefix(name, "create ")})
			}
		}
		start = end
	}
	return mergeInserts(spans)
}

func sqlVerb(statement []byte) string {
	words := strings.Fields(string(statement[:min(len(statement), 200)]))
	if len(words) == 0 || !isOneOf(strings.ToLower(words[0]), "select insert update delete with merge create alter drop grant revoke comment set begin commit copy call do explain use truncate declare refresh vacuum analyze pragma lock") {
		return "" // no statement, or one that does not end
	}
	return strings.ToLower(strings.Join(words[:min(3, len(words))], " "))
}

// mergeInserts makes one symbol of statements alike that follow each other, such as the rows of a dump.
func mergeInserts(spans []span) []span {
	var out []span
	for _, s := range spans {
		if n := len(out); n > 0 && out[n-1].name == s.name && s.first <= out[n-1].last+1 {
			out[n-1].last = s.last
			continue
		}
		out = append(out, s)
	}
	return out
}

// maskDollars blanks strings in dollars, where functions have their bodies.
func maskDollars(text string, masked []byte) {
	open := 0
	for at := 0; at < len(masked); at++ {
		if masked[at] != '$' {
			continue
		}
		n := at + 1
		for n < len(masked) && isWord(masked[n]) {
			n++
		}
		if n >= len(masked) || masked[n] != '$' || open > maxOpen {
			continue
		}
		tag := text[at : n+1]
		end := strings.Index(text[n+1:], tag)
		if end < 0 {
			open++
			continue
		}
		for i := n + 1; i < n+1+end; i++ {
			if masked[i] != '\n' {
				masked[i] = ' '
			}
		}
		at = n + end + len(tag)
	}
}

// sqlEnd is the offset behind the statement at an offset. Bodies between BEGIN and END
// belong to theirs, where a routine is created.
func sqlEnd(code []byte, at int) int {
	routine, depth, words := false, 0, 0
	for i := at; i < len(code); {
		if !isWord(code[i]) {
			i++
			if code[i-1] == ';' && depth <= 0 {
				return i
			}
			continue
		}
		n := i
		for n < len(code) && isWord(code[n]) {
			n++
		}
		word := strings.ToLower(string(code[i:min(n, i+20)]))
		i = n
		words++
		switch {
		case words < 8 && isOneOf(word, "function procedure trigger event"):
			routine = true
		case routine && isOneOf(word, "begin case"):
			depth++
		case routine && word == "end":
			next, of := afterEnd(code, i)
			if i = next; of == "" || of == "case" {
				depth = max(depth-1, 0)
			}
		}
	}
	return len(code)
}

// afterEnd goes over the word that END IF and END LOOP end with, and tells it.
func afterEnd(code []byte, i int) (int, string) {
	n := i
	for n < len(code) && (code[n] == ' ' || code[n] == '\t') {
		n++
	}
	m := n
	for m < len(code) && isWord(code[m]) {
		m++
	}
	if word := strings.ToLower(string(code[n:min(m, n+20)])); isOneOf(word, "if loop while repeat case for") {
		return m, word
	}
	return i, ""
}
