package document

import (
	"context"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// parseHTML reads the text of a page: its main content, if that is marked, else all but
// navigation, headers and footers. Lines are those of the source that the text stands
// in. The tokens suffice for that, and unlike the tree they have places.
func parseHTML(ctx context.Context, f *file) (Document, error) {
	p := htmlReader{outline: outline{src: f.src}, line: 1, skipping: map[atom.Atom]int{}}
	z := html.NewTokenizer(strings.NewReader(f.src.text))
	for n := 0; ; n++ {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		if n%4096 == 0 && ctx.Err() != nil {
			return Document{}, ctx.Err()
		}
		lines := strings.Count(string(z.Raw()), "\n")
		p.token(z.Token(), lines)
		p.line += lines
	}
	p.flush(BlockProse)
	return p.result(), nil
}

type htmlReader struct {
	outline
	line       int
	text       strings.Builder
	start, end int // lines of text
	blocks     []htmlBlock
	skip       []atom.Atom // open elements whose text is not content
	skipping   map[atom.Atom]int
	main       int // how many <main> and <article> are open
	pre, table int
	inTitle    bool
	heading    int
	pageTitle  strings.Builder
}

type htmlBlock struct {
	Block
	main bool
}

// token takes a token that spans so many line ends.
func (p *htmlReader) token(t html.Token, lines int) {
	switch t.Type {
	case html.TextToken:
		p.addText(t.Data, lines)
	case html.StartTagToken, html.SelfClosingTagToken:
		p.open(t)
	case html.EndTagToken:
		p.closing(t.DataAtom)
	default:
	}
}

func (p *htmlReader) addText(s string, lines int) {
	switch {
	case p.inTitle:
		p.pageTitle.WriteString(s)
		return
	case len(p.skip) > 0:
		return
	}
	s = strings.ReplaceAll(s, "\x00", " ") // &#0;
	if strings.TrimSpace(s) == "" {
		if p.text.Len() > 0 {
			p.space(s)
		}
		return
	}
	if p.start == 0 {
		p.start = p.line + strings.Count(s[:len(s)-len(strings.TrimLeft(s, " \t\r\n\f"))], "\n")
	}
	p.end = p.line + lines - strings.Count(s[len(strings.TrimRight(s, " \t\r\n\f")):], "\n")
	if p.pre > 0 {
		p.text.WriteString(s)
		return
	}
	p.space(s[:1])
	p.text.WriteString(strings.Join(strings.Fields(s), " "))
	p.space(s[len(s)-1:])
}

// space adds the space that white space between words is.
func (p *htmlReader) space(s string) {
	if p.pre > 0 {
		p.text.WriteString(s)
		return
	}
	if strings.TrimSpace(s) == "" && !strings.HasSuffix(p.text.String(), " ") && !strings.HasSuffix(p.text.String(), "\n") {
		p.text.WriteByte(' ')
	}
}

func (p *htmlReader) open(t html.Token) {
	a := t.DataAtom
	if a == atom.Title && len(p.skip) == 0 && p.pageTitle.Len() == 0 {
		p.inTitle = t.Type == html.StartTagToken
		return
	}
	if p.main == 0 && t.DataAtom == atom.Header || skipped(t) {
		if t.Type == html.StartTagToken {
			p.flush(BlockProse)
			p.skip = append(p.skip, a)
			p.skipping[a]++
		}
		return
	}
	if len(p.skip) > 0 || t.Type == html.SelfClosingTagToken && a != atom.Br && a != atom.Hr {
		return
	}
	switch a {
	case atom.Main, atom.Article:
		p.flush(BlockProse)
		p.main++
	case atom.Pre:
		p.flush(BlockProse)
		p.pre++
	case atom.Table:
		p.flush(BlockProse)
		p.table++
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		p.flush(BlockProse)
		p.heading = int(t.Data[1] - '0')
	case atom.Br:
		p.breakLine()
	case atom.Td, atom.Th:
		if s := p.text.String(); p.table > 0 && s != "" && !strings.HasSuffix(s, "\n") {
			p.space(" ")
			p.text.WriteString("| ")
		}
	case atom.Li:
		p.itemStart()
	case atom.Tr:
		p.breakLine()
	default:
		p.boundary(a)
	}
}

func (p *htmlReader) itemStart() {
	if p.table > 0 {
		p.breakLine()
		return
	}
	p.flush(BlockList)
	p.text.WriteString("- ")
	p.start, p.end = p.line, p.line
}

func (p *htmlReader) breakLine() {
	if s := p.text.String(); s != "" && !strings.HasSuffix(s, "\n") {
		p.text.WriteByte('\n')
	}
}

// boundary ends a block at an element that is one.
func (p *htmlReader) boundary(a atom.Atom) {
	switch a {
	case atom.P, atom.Div, atom.Section, atom.Ul, atom.Ol, atom.Dl, atom.Dt, atom.Dd, atom.Blockquote, atom.Figure, atom.Figcaption, atom.Hr, atom.Address,
		atom.Details, atom.Summary, atom.Fieldset, atom.Body, atom.Caption, atom.Tbody, atom.Thead, atom.Option:
		switch {
		case p.table > 0:
			p.space(" ")
		case strings.TrimSpace(p.text.String()) != "-":
			p.flush(BlockProse)
		}
	default:
	}
}

func (p *htmlReader) closing(a atom.Atom) {
	if a == atom.Title && p.inTitle {
		p.inTitle = false
		return
	}
	if len(p.skip) > 0 {
		p.unskip(a)
		return
	}
	switch a {
	case atom.Main, atom.Article:
		p.flush(BlockProse)
		p.main = max(p.main-1, 0)
	case atom.Pre:
		p.flush(BlockCode)
		p.pre = max(p.pre-1, 0)
	case atom.Table:
		p.flush(BlockTable)
		p.table = max(p.table-1, 0)
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		p.flush(BlockHeading)
		p.heading = 0
	case atom.Li:
		if p.table == 0 {
			p.flush(BlockList)
		}
	default:
		p.boundary(a)
	}
}

// unskip ends an element that is skipped, and those in it that are still open.
func (p *htmlReader) unskip(a atom.Atom) {
	for p.skipping[a] > 0 {
		last := p.skip[len(p.skip)-1]
		p.skip = p.skip[:len(p.skip)-1]
		p.skipping[last]--
		if last == a {
			return
		}
	}
}

// skipped says whether the text of an element is no content.
func skipped(t html.Token) bool {
	switch t.DataAtom {
	case atom.Script, atom.Style, atom.Nav, atom.Footer, atom.Aside, atom.Noscript, atom.Template, atom.Svg, atom.Button, atom.Select,
		atom.Iframe, atom.Object, atom.Canvas, atom.Dialog:
		return true
	default:
	}
	for _, a := range t.Attr {
		if a.Key == "hidden" || a.Key == "role" && isOneOf(a.Val, "navigation banner contentinfo search") {
			return !voidElement(t.DataAtom)
		}
	}
	return false
}

func voidElement(a atom.Atom) bool {
	switch a {
	case atom.Br, atom.Hr, atom.Img, atom.Input, atom.Link, atom.Meta, atom.Area, atom.Base, atom.Col, atom.Embed, atom.Source, atom.Track, atom.Wbr, atom.P, atom.Li:
		return true // P and Li may stay open, so nothing would end what is skipped
	default:
		return false
	}
}

// flush ends the block that is being read.
func (p *htmlReader) flush(kind string) {
	text := strings.Trim(p.text.String(), "\n")
	p.text.Reset()
	start := p.start
	p.start = 0
	if p.pre == 0 {
		text = strings.TrimSpace(text)
	}
	if strings.TrimSpace(text) == "" || text == "-" {
		return
	}
	switch {
	case p.table > 0:
		kind = BlockTable
	case kind == BlockProse && strings.HasPrefix(text, "- "):
		kind = BlockList
	}
	if p.heading > 0 {
		kind = BlockHeading
		p.title(start, p.heading, oneLine(text, maxName))
	}
	p.blocks = append(p.blocks, htmlBlock{
		main:  p.main > 0,
		Block: Block{Text: text, LineStart: start, LineEnd: max(start, min(p.end, p.src.count())), Heading: p.path, Kind: kind},
	})
}

// result keeps the main content if it is marked and is more than a scrap of the page.
func (p *htmlReader) result() Document {
	all, inMain := 0, 0
	for _, b := range p.blocks {
		all += len(b.Text)
		if b.main {
			inMain += len(b.Text)
		}
	}
	d := Document{Title: strings.TrimSpace(p.pageTitle.String())}
	for _, b := range p.blocks {
		if b.main || inMain*4 < all {
			d.Blocks = append(d.Blocks, b.Block)
		}
	}
	if d.Title == "" {
		d.Title = p.first
	}
	return d
}
