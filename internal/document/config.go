package document

import (
	"context"
	"regexp"
	"strings"
	"sync"
)

func configParser(language string) parseFunc {
	switch language {
	case "json":
		return parseJSON
	case "yaml":
		return parseYAML
	case "toml", "ini", "properties":
		return parseSections
	case "csv", "tsv":
		return parseTable
	default:
		return parsePlain
	}
}

// largeEntry is from how many bytes on an entry is cut at the entries in it.
const largeEntry = 1600

// entry is a key of a data format with the lines of its value.
type entry struct {
	first, last int
	name        string // "" for the items of lists: their numbers change with each other
	children    []entry
}

// markEntries marks entries, and those within large ones.
func markEntries(s *source, marks []mark, entries []entry, path []string, depth int) []mark {
	for _, e := range entries {
		own := path
		if e.name != "" {
			own = under(path, e.name)
		}
		marks = append(marks, mark{line: e.first, heading: own, kind: BlockEntry})
		if size := s.starts[e.last] - s.starts[e.first-1]; size > largeEntry && depth < maxDepth {
			marks = markEntries(s, marks, e.children, own, depth+1)
		}
	}
	return marks
}

// parseJSON cuts at keys. It reads what is nearly JSON as well: comments, lines of objects.
func parseJSON(_ context.Context, f *file) (Document, error) {
	r := jsonReader{text: f.src.text, line: 1, lines: f.src.count()}
	entries := r.values(0)
	for len(entries) == 1 && entries[0].name == "" { // the object that is the whole file
		if len(entries[0].children) == 0 || entries[0].children[0].first == entries[0].first {
			break
		}
		entries = entries[0].children
	}
	return Document{Blocks: f.src.tile(markEntries(f.src, nil, entries, nil, 0))}, nil
}

type jsonReader struct {
	text  string
	at    int
	line  int
	lines int // how many there are: what is never closed ends with the last
}

// values reads the entries of an object or a list, up to its end. Of those deeper than
// maxDepth only the lines are followed.
func (r *jsonReader) values(depth int) []entry {
	var entries []entry
	var current *entry
	begin := func() {
		if current == nil {
			current = &entry{first: min(r.line, r.lines)}
		}
	}
	end := func() {
		if current != nil {
			current.last = min(r.line, r.lines)
			entries = append(entries, *current)
			current = nil
		}
	}
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; c {
		case '\n':
			if depth == 0 { // lines of objects
				end()
			}
			r.line++
		case '"', '\'':
			begin()
			if s, key := r.str(c); key && current.name == "" {
				current.name = s
			}
		case '{', '[':
			begin()
			r.at++
			if depth < maxDepth {
				current.children = r.values(depth + 1)
			} else {
				r.over()
			}
		case '}', ']':
			if depth > 0 {
				end()
				return entries
			}
		case ',':
			end()
		case ' ', '\t', ':':
		default:
			begin()
		}
	}
	end()
	return entries
}

// str reads a string; key says whether a colon follows.
func (r *jsonReader) str(quote byte) (s string, key bool) {
	start := r.at + 1
	for r.at++; r.at < len(r.text) && r.text[r.at] != quote && r.text[r.at] != '\n'; r.at++ {
		if r.text[r.at] == '\\' && r.at+1 < len(r.text) && r.text[r.at+1] != '\n' {
			r.at++
		}
	}
	s = r.text[min(start, len(r.text)):min(r.at, len(r.text))]
	if r.at < len(r.text) && r.text[r.at] == '\n' {
		r.at-- // no string of JSON; its line goes on as such
		return s, false
	}
	n := r.at + 1
	for n < len(r.text) && (r.text[n] == ' ' || r.text[n] == '\t') {
		n++
	}
	return s, n < len(r.text) && r.text[n] == ':' && len(s) <= 200
}

// over goes over an object or a list, to its last character.
func (r *jsonReader) over() {
	open := 1
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; c {
		case '\n':
			r.line++
		case '"', '\'':
			r.str(c)
		case '{', '[':
			open++
		case '}', ']':
			if open--; open == 0 {
				return
			}
		}
	}
}

// yamlKey knows a line that begins a key or an item of a list.
var yamlKey = sync.OnceValue(func() *regexp.Regexp { //nolint:gochecknoglobals // a constant
	return re(`^(?:-\s+)?("[^"]*"|'[^']*'|[^\s#'"\[\]{}&*!|>%@` + "`" + `-][^#]*?|-[^\s][^#]*?)\s*:(?:\s|$)`)
})

// parseYAML cuts at keys, by how far they are indented. Manifests get their kind and name
// for a heading.
func parseYAML(_ context.Context, f *file) (Document, error) {
	s := f.src
	var marks []mark
	start := 1
	for n := 1; n <= s.count()+1; n++ {
		if n <= s.count() && !strings.HasPrefix(s.line(n), "---") {
			continue
		}
		if n > start {
			path := manifest(s, start, n-1)
			marks = append(marks, mark{line: start, heading: path, kind: BlockEntry})
			marks = markEntries(s, marks, yamlEntries(s, start, n-1, 0), path, 0)
		}
		start = n
	}
	return Document{Blocks: s.tile(marks)}, nil
}

// yamlEntries finds the entries between two lines: those that are indented the least.
func yamlEntries(s *source, first, last, depth int) []entry {
	least := -1
	for n := first; n <= last; n++ {
		if line := s.line(n); yamlContent(line) {
			if i := indent([]byte(line)); least < 0 || i < least {
				least = i
			}
		}
	}
	var entries []entry
	for n := first; n <= last; n++ {
		line := s.line(n)
		if !yamlContent(line) || indent([]byte(line)) != least {
			continue
		}
		text := strings.TrimLeft(line, " \t")
		e := entry{first: n}
		if m := yamlKey().FindStringSubmatch(text[:min(len(text), 300)]); m != nil && text[0] != '-' {
			e.name = strings.Trim(m[1], `"'`)
		} else if text[0] != '-' {
			continue
		}
		if k := len(entries); k > 0 {
			entries[k-1].last = n - 1
		}
		entries = append(entries, e)
	}
	for i := range entries {
		e := &entries[i]
		if e.last == 0 {
			e.last = last
		}
		if depth < maxDepth && e.last > e.first && s.starts[e.last]-s.starts[e.first-1] > largeEntry {
			e.children = yamlEntries(s, e.first+1, e.last, depth+1)
		}
	}
	return entries
}

func yamlContent(line string) bool {
	line = strings.TrimLeft(line, " \t")
	return line != "" && line[0] != '#' && !strings.HasPrefix(line, "---")
}

// manifest is the heading of a document that says what it is and how it is named.
func manifest(s *source, first, last int) []string {
	kind, name, inMeta := "", "", false
	for n := first; n <= min(last, first+60); n++ {
		line := s.line(n)
		switch {
		case strings.HasPrefix(line, "kind:"):
			kind = strings.TrimSpace(line[5:])
		case strings.HasPrefix(line, "metadata:"):
			inMeta = true
		case inMeta && strings.HasPrefix(line, "  name:"):
			name, inMeta = strings.TrimSpace(line[7:]), false
		case line != "" && line[0] != ' ' && line[0] != '#':
			inMeta = false
		}
	}
	if kind == "" {
		return nil
	}
	return under(nil, kind+" "+name)
}

// parseSections cuts at [sections] and blank lines.
func parseSections(_ context.Context, f *file) (Document, error) {
	p := outline{src: f.src}
	for n := 1; n <= f.src.count(); n++ {
		line := strings.TrimSpace(f.src.line(n))
		if end := strings.LastIndexByte(line, ']'); strings.HasPrefix(line, "[") && end > 0 && !strings.ContainsAny(line[:end], "=,{") {
			p.title(n, 1, strings.Trim(line[:end], "[] "))
			p.inBlock = true // what stands below it belongs to it
			continue
		}
		p.line(n, line)
	}
	d := p.document()
	d.Title = ""
	for i := range d.Blocks {
		d.Blocks[i].Kind = BlockEntry
	}
	return d, nil
}

// parseTable makes a block of each row; the first names the columns.
func parseTable(_ context.Context, f *file) (Document, error) {
	s := f.src
	var marks []mark
	var heading []string
	quoted := false
	for n := 1; n <= s.count(); n++ {
		line := s.line(n)
		if !quoted && strings.TrimSpace(line) != "" {
			marks = append(marks, mark{line: n, heading: heading, kind: BlockRow})
			if heading == nil {
				heading = under(nil, line)
			}
		}
		if strings.Count(line, `"`)%2 == 1 {
			quoted = !quoted
		}
	}
	return Document{Blocks: s.tile(marks)}, nil
}
