package document

import (
	"context"
	"strings"
	"sync"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// blocksOf parses blocks only: what is in them is not asked for, and takes time that
// grows faster than its length. It may be used at the same time by many.
var blocksOf = sync.OnceValue(func() parser.Parser { //nolint:gochecknoglobals // a constant
	tables := util.Prioritized(extension.NewTableParagraphTransformer(), 200)
	return parser.NewParser(parser.WithBlockParsers(parser.DefaultBlockParsers()...), parser.WithParagraphTransformers(tables))
})

// headingsOf parses headings with what is in them.
var headingsOf = sync.OnceValue(goldmark.DefaultParser) //nolint:gochecknoglobals // a constant

// Bounds of what is parsed.
const (
	maxMarkers     = 50  // of lists and quotes within each other, on a line
	maxHeadingText = 500 // longer ones keep their markup
)

// parseMarkdown makes a block of each heading, paragraph, list, table and fence.
func parseMarkdown(ctx context.Context, f *file) (Document, error) {
	content, metaEnd := withoutFrontMatter(f.src)
	p := outline{src: f.src}
	if metaEnd > 0 {
		p.marks = append(p.marks, mark{line: 1, kind: BlockCode})
		p.first = metaTitle(f.src.lines(1, metaEnd))
	}
	if tooDeep(content) {
		return parsePlain(ctx, f)
	}
	data := []byte(content)
	tree := blocksOf().Parse(text.NewReader(data))
	for node := tree.FirstChild(); node != nil; node = node.NextSibling() {
		pos := node.Pos()
		if pos < 0 || pos >= len(data) {
			continue // its lines go with the block before
		}
		line := f.src.lineOf(pos)
		if h, ok := node.(*ast.Heading); ok {
			p.title(line, h.Level, headingText(string(h.Lines().Value(data))))
			continue
		}
		p.marks = append(p.marks, mark{line: line, heading: p.path, kind: markdownKind(node)})
	}
	return p.document(), nil
}

func markdownKind(n ast.Node) string {
	switch n.(type) {
	case *ast.List:
		return BlockList
	case *ast.FencedCodeBlock, *ast.CodeBlock:
		return BlockCode
	case *extast.Table:
		return BlockTable
	default:
		return BlockProse
	}
}

// tooDeep says whether a line nests lists and quotes further than people do: the time that
// takes grows with the square of it.
func tooDeep(text string) bool {
	for line := range strings.Lines(text) {
		markers := 0
		for i := 0; i < len(line) && strings.IndexByte("> \t-*+.)0123456789", line[i]) >= 0; i++ {
			if line[i] == '>' || i+1 < len(line) && (line[i+1] == ' ' || line[i+1] == '\t') && strings.IndexByte("-*+.)", line[i]) >= 0 {
				markers++
			}
		}
		if markers > maxMarkers {
			return true
		}
	}
	return false
}

// headingText is what a heading says, without markup.
func headingText(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxHeadingText {
		return s
	}
	data := []byte("# " + s)
	var b strings.Builder
	_ = ast.Walk(headingsOf().Parse(text.NewReader(data)), func(n ast.Node, entering bool) (ast.WalkStatus, error) { // the function gives no error
		if entering {
			switch t := n.(type) {
			case *ast.Text:
				b.Write(t.Segment.Value(data))
			case *ast.String:
				b.Write(t.Value)
			case *ast.AutoLink:
				b.Write(t.Label(data))
			}
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// withoutFrontMatter blanks the YAML or TOML that some documents begin with, and tells
// its last line; 0 if there is none.
func withoutFrontMatter(s *source) (string, int) {
	if s.count() < 2 {
		return s.text, 0
	}
	fence := strings.TrimRight(s.line(1), " \t")
	if fence != "---" && fence != "+++" {
		return s.text, 0
	}
	for n := 2; n <= min(s.count(), 200); n++ {
		if strings.TrimRight(s.line(n), " \t") == fence {
			end := s.starts[n]
			blanked := []byte(s.text[:end])
			for i, c := range blanked {
				if c != '\n' {
					blanked[i] = ' '
				}
			}
			return string(blanked) + s.text[end:], n
		}
	}
	return s.text, 0
}

func metaTitle(meta string) string {
	for line := range strings.Lines(meta) {
		if rest, ok := strings.CutPrefix(line, "title"); ok {
			rest = strings.TrimSpace(rest)
			if rest != "" && (rest[0] == ':' || rest[0] == '=') {
				return strings.Trim(strings.TrimSpace(rest[1:]), `"'`)
			}
		}
	}
	return ""
}
