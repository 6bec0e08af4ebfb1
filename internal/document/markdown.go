package document

import (
	"context"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
)

// parseMarkdown makes a block of each heading, paragraph, list, table and fence.
func parseMarkdown(_ context.Context, f *file) (Document, error) {
	content, metaEnd := withoutFrontMatter(f.src)
	p := outline{src: f.src}
	if metaEnd > 0 {
		p.marks = append(p.marks, mark{line: 1, kind: BlockCode})
		p.first = metaTitle(f.src.lines(1, metaEnd))
	}
	data := []byte(content)
	tree := goldmark.New(goldmark.WithExtensions(extension.Table)).Parser().Parse(text.NewReader(data))
	for node := tree.FirstChild(); node != nil; node = node.NextSibling() {
		pos := node.Pos()
		if pos < 0 || pos >= len(data) {
			continue // its lines go with the block before
		}
		line := f.src.lineOf(pos)
		if h, ok := node.(*ast.Heading); ok {
			p.title(line, h.Level, headingText(h, data))
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

// headingText is what a heading says, without markup.
func headingText(h *ast.Heading, data []byte) string {
	var b strings.Builder
	_ = ast.Walk(h, func(n ast.Node, entering bool) (ast.WalkStatus, error) { // the function gives no error
		if entering {
			switch t := n.(type) {
			case *ast.Text:
				b.Write(t.Segment.Value(data))
				if t.SoftLineBreak() {
					b.WriteByte(' ')
				}
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
