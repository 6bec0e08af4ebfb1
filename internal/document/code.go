package document

import (
	"context"
	"strings"
)

// span is a symbol: the lines that it takes, and the symbols within it.
type span struct {
	first, last int
	name        string
	children    []span
}

// parseCode cuts source code at the borders of symbols. Languages whose syntax is not
// known here, and files without symbols, are cut at blank lines.
func parseCode(ctx context.Context, f *file) (Document, error) {
	spans, title := symbolsOf(f)
	if ctx.Err() != nil {
		return Document{}, ctx.Err()
	}
	if len(spans) == 0 {
		d, err := parsePlain(ctx, &file{src: f.src})
		for i := range d.Blocks {
			d.Blocks[i].Kind = BlockCode
		}
		d.Title = title
		return d, err
	}
	c := cutter{src: f.src, syntax: syntaxes()[f.language]}
	c.cut(spans, nil, 1, f.src.count())
	return Document{Title: title, Blocks: f.src.tile(c.marks)}, nil
}

func symbolsOf(f *file) ([]span, string) {
	if f.language == "go" {
		if spans, pkg, ok := goSymbols(f.src); ok {
			return spans, pkg
		}
	}
	syn, ok := syntaxes()[f.language]
	if !ok {
		return nil, ""
	}
	masked := mask(f.src.text, syn)
	switch syn.family {
	case byBraces:
		return braceSymbols(f.src, masked, syn), ""
	case byIndent:
		return indentSymbols(f.src, masked, syn), ""
	case byEnd:
		return endSymbols(f.src, masked, syn), ""
	case byStatement:
		return sqlSymbols(f.src, masked), ""
	}
	return nil, ""
}

// cutter makes marks of nested symbols.
type cutter struct {
	src    *source
	syntax *syntax
	marks  []mark
}

// cut marks the symbols between two lines. What lies between symbols belongs to what is
// around them; comments right above a symbol belong to it.
func (c *cutter) cut(spans []span, path []string, first, last int) {
	at := first
	for _, s := range spans {
		if s.first < at || s.last > last {
			continue // on the line of the one before
		}
		start := c.above(s.first, at)
		if start > at {
			c.between(at, path)
		}
		own := under(path, s.name)
		c.marks = append(c.marks, mark{line: start, heading: own, kind: BlockSymbol})
		if len(s.children) > 0 {
			c.children(s, own)
		}
		at = s.last + 1
	}
	if at <= last && at > first {
		c.between(at, path)
	}
}

// children cuts what is in a symbol; its first lines stay its own.
func (c *cutter) children(s span, path []string) {
	at := s.first + 1
	for _, child := range s.children {
		if child.first < at || child.last > s.last {
			continue
		}
		start := c.above(child.first, at)
		if start > at && at > s.first+1 {
			c.between(at, path)
		}
		own := under(path, child.name)
		c.marks = append(c.marks, mark{line: start, heading: own, kind: BlockSymbol})
		if len(child.children) > 0 {
			c.children(child, own)
		}
		at = child.last + 1
	}
	if at <= s.last && at > s.first+1 {
		c.between(at, path)
	}
}

// between marks what is no symbol, at each paragraph of it.
func (c *cutter) between(line int, path []string) {
	c.marks = append(c.marks, mark{line: line, heading: path, kind: BlockCode})
}

// above is the first line of the comments and attributes right above a line.
func (c *cutter) above(line, floor int) int {
	for line > floor && c.belongsBelow(strings.TrimSpace(c.src.line(line-1))) {
		line--
	}
	return line
}

func (c *cutter) belongsBelow(line string) bool {
	if line == "" || c.syntax == nil {
		return false
	}
	for _, sign := range c.syntax.comments {
		if strings.HasPrefix(line, sign) {
			return true
		}
	}
	if c.syntax.block[0] == "/*" && (strings.HasPrefix(line, "/*") || strings.HasPrefix(line, "*")) {
		return true
	}
	return line[0] == '@' || strings.HasPrefix(line, "#[") || strings.HasPrefix(line, "template") || strings.HasPrefix(line, "[<")
}
