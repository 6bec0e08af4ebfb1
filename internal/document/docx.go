package document

import (
	"context"
	"encoding/xml"
	"errors"
	"strconv"
	"strings"
)

// parseDOCX reads the paragraphs, lists and tables of a text, and its notes. It has no
// pages: where they end is up to who prints it.
func parseDOCX(ctx context.Context, f *file) (Document, error) {
	o, err := openOffice(f, "DOCX")
	if err != nil {
		return Document{}, err
	}
	body, err := o.part("word/document.xml")
	if errors.Is(err, errNoPart) {
		return Document{}, errUnreadable("a DOCX file")
	}
	if err != nil {
		return Document{}, err
	}
	v := &docxReader{out: collector{limits: f.limits}, styles: o.headingStyles(ctx)}
	if err := o.walk(ctx, body, v); err != nil {
		return Document{}, err
	}
	v.outline.path, v.outline.levels = nil, nil
	for _, name := range []string{"word/footnotes.xml", "word/endnotes.xml"} {
		notes, err := o.part(name)
		if errors.Is(err, errNoPart) {
			continue
		}
		if err == nil {
			err = o.walk(ctx, notes, v)
		}
		if err != nil {
			return Document{}, err
		}
	}
	title := o.title(ctx)
	if title == "" {
		title = v.outline.first
	}
	return v.out.document(title, 0, "DOCX")
}

// headingStyles gives the levels of the styles that are headings. Their ids are in the
// language of the program that wrote the file; their names are not.
func (o *office) headingStyles(ctx context.Context) map[string]int {
	styles := map[string]int{"Title": 1}
	for n := 1; n <= 9; n++ {
		styles["Heading"+strconv.Itoa(n)] = n
	}
	data, err := o.part("word/styles.xml")
	if err != nil {
		return styles
	}
	v := &styleReader{styles: styles}
	_ = o.walk(ctx, data, v) // without them the usual ids have to do
	return styles
}

type styleReader struct {
	styles map[string]int
	id     string
}

func (r *styleReader) start(e xml.StartElement) {
	switch e.Name.Local {
	case "style":
		r.id = attr(e, "styleId")
	case "name":
		if n, ok := strings.CutPrefix(strings.ToLower(attr(e, "val")), "heading "); ok && r.id != "" {
			r.level(n, 0)
		}
	case "outlineLvl":
		if r.id != "" {
			r.level(attr(e, "val"), 1)
		}
	}
}

func (r *styleReader) level(s string, more int) {
	if n, err := strconv.Atoi(s); err == nil && n+more >= 1 && n+more <= 9 {
		r.styles[r.id] = n + more
	}
}

func (r *styleReader) end(name string) {
	if name == "style" {
		r.id = ""
	}
}
func (*styleReader) text(string) {}

type docxReader struct {
	out      collector
	outline  outline
	styles   map[string]int
	b        strings.Builder
	level    int
	list     bool
	inText   bool
	fallback int // within what is a copy for programs that are older
	tables   int
	table    strings.Builder
	cells    int
	lists    []string
}

func (r *docxReader) start(e xml.StartElement) {
	switch e.Name.Local {
	case "Fallback":
		r.fallback++
	case "p":
		if r.tables == 0 {
			r.b.Reset()
		}
		r.level, r.list = 0, false
	case "pStyle":
		r.level = r.styles[attr(e, "val")]
	case "outlineLvl":
		if n, err := strconv.Atoi(attr(e, "val")); err == nil && n >= 0 && n < 9 {
			r.level = n + 1
		}
	case "numPr":
		r.list = true
	case "t":
		r.inText = r.fallback == 0
	case "tab":
		r.b.WriteByte('\t')
	case "br", "cr":
		r.b.WriteByte('\n')
	case "tbl":
		r.flushList()
		r.tables++
	case "tr":
		r.cells = 0
	case "tc":
		r.b.Reset()
	}
}

func (r *docxReader) text(s string) {
	if r.inText {
		r.b.WriteString(s)
	}
}

func (r *docxReader) end(name string) {
	switch name {
	case "Fallback":
		r.fallback--
	case "t":
		r.inText = false
	case "p":
		if r.tables > 0 {
			r.b.WriteByte(' ')
			return
		}
		r.paragraph()
	case "tc":
		if r.cells > 0 {
			r.table.WriteString(" | ")
		}
		r.cells++
		r.table.WriteString(strings.Join(strings.Fields(r.b.String()), " "))
		r.b.Reset()
	case "tr":
		r.table.WriteByte('\n')
	case "tbl":
		if r.tables--; r.tables == 0 {
			r.out.add(Block{Text: r.table.String(), Heading: r.outline.path, Kind: BlockTable})
			r.table.Reset()
		}
	case "body", "footnotes", "endnotes":
		r.flushList()
	}
}

func (r *docxReader) paragraph() {
	text := strings.TrimSpace(r.b.String())
	r.b.Reset()
	switch {
	case text == "":
	case r.list && r.level == 0:
		r.lists = append(r.lists, "- "+text)
	case r.level > 0:
		r.flushList()
		r.outline.title(0, r.level, oneLine(text, maxName))
		r.out.add(Block{Text: text, Heading: r.outline.path, Kind: BlockHeading})
	default:
		r.flushList()
		r.out.add(Block{Text: text, Heading: r.outline.path, Kind: BlockProse})
	}
}

func (r *docxReader) flushList() {
	if len(r.lists) > 0 {
		r.out.add(Block{Text: strings.Join(r.lists, "\n"), Heading: r.outline.path, Kind: BlockList})
		r.lists = nil
	}
}
