package document

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"sort"
	"strings"
)

// parsePPTX reads slides in the order in which they are shown, and the notes below them.
func parsePPTX(ctx context.Context, f *file) (Document, error) {
	o, err := openOffice(f, "PPTX")
	if err != nil {
		return Document{}, err
	}
	slides, err := o.slides(ctx)
	if err != nil {
		return Document{}, err
	}
	out := collector{limits: f.limits}
	if len(slides) > f.limits.MaxPages {
		if !f.limits.Truncate {
			return Document{}, errTooLarge("slides", int64(f.limits.MaxPages))
		}
		out.truncated = true
	}
	title := o.title(ctx)
	for n, name := range slides[:min(len(slides), f.limits.MaxPages)] {
		s, err := o.slide(ctx, name)
		if err != nil {
			return Document{}, err
		}
		heading := []string{fmt.Sprintf("Slide %d", n+1)}
		if s.title != "" {
			heading = []string{s.title}
		}
		if title == "" {
			title = s.title
		}
		for _, b := range s.blocks {
			b.Page, b.Heading = n+1, heading
			out.add(b)
		}
	}
	return out.document(title, len(slides), "PPTX")
}

// slides gives the parts that are slides, in order.
func (o *office) slides(ctx context.Context) ([]string, error) {
	data, err := o.part("ppt/presentation.xml")
	if errors.Is(err, errNoPart) {
		return nil, errUnreadable("a PPTX file")
	}
	if err != nil {
		return nil, err
	}
	ids := &elements{name: "sldId"}
	if err := o.walk(ctx, data, ids); err != nil {
		return nil, err
	}
	relations := o.relations(ctx, "ppt/presentation.xml")
	var slides []string
	for _, e := range ids.found {
		for _, a := range e.Attr { // both are named id; the one in a space refers
			if a.Name.Local == "id" && a.Name.Space != "" {
				if r, ok := relations[a.Value]; ok {
					slides = append(slides, r.target)
				}
			}
		}
	}
	if len(slides) == 0 {
		for name := range o.parts {
			if strings.HasPrefix(name, "ppt/slides/slide") && strings.HasSuffix(name, ".xml") {
				slides = append(slides, name)
			}
		}
		sort.Slice(slides, func(i, j int) bool {
			return len(slides[i]) < len(slides[j]) || len(slides[i]) == len(slides[j]) && slides[i] < slides[j]
		})
	}
	return slides, nil
}

// slide reads a slide and its notes.
func (o *office) slide(ctx context.Context, name string) (*slideReader, error) {
	s := &slideReader{}
	data, err := o.part(name)
	if errors.Is(err, errNoPart) {
		return s, nil
	}
	if err == nil {
		err = o.walk(ctx, data, s)
	}
	if err != nil {
		return s, err
	}
	for _, r := range o.relations(ctx, name) {
		if r.kind != "notesSlide" {
			continue
		}
		notes, err := o.part(r.target)
		if errors.Is(err, errNoPart) {
			continue
		}
		v := &slideReader{notes: true}
		if err == nil {
			err = o.walk(ctx, notes, v)
		}
		if err != nil {
			return s, err
		}
		s.blocks = append(s.blocks, v.blocks...)
	}
	return s, nil
}

// slideReader reads the shapes of a slide; of notes only what the speaker wrote.
type slideReader struct {
	notes  bool
	title  string
	blocks []Block
	holder string // what the shape is a place for
	lines  []string
	b      strings.Builder
	inText bool
	row    []string
	table  bool
}

func (s *slideReader) start(e xml.StartElement) {
	switch e.Name.Local {
	case "sp", "graphicFrame":
		s.holder, s.lines = "", nil
	case "ph":
		if s.holder = attr(e, "type"); s.holder == "" {
			s.holder = "obj"
		}
	case "p", "tc":
		s.b.Reset()
	case "t":
		s.inText = true
	case "br":
		s.b.WriteByte('\n')
	case "tbl":
		s.table, s.lines = true, nil
	case "tr":
		s.row = nil
	}
}

func (s *slideReader) text(t string) {
	if s.inText {
		s.b.WriteString(t)
	}
}

func (s *slideReader) end(name string) {
	switch name {
	case "t":
		s.inText = false
	case "p":
		if text := strings.TrimSpace(s.b.String()); text != "" {
			s.lines = append(s.lines, text)
		}
	case "tc":
		s.row = append(s.row, strings.Join(strings.Fields(strings.Join(s.lines, " ")), " "))
		s.lines = nil
	case "tr":
		s.add(strings.Join(s.row, " | "), BlockTable)
	case "tbl":
		s.table = false
	case "sp":
		s.shape()
	}
}

func (s *slideReader) shape() {
	text := strings.Join(s.lines, "\n")
	s.lines = nil
	switch {
	case s.notes && s.holder != "body":
	case isOneOf(s.holder, "sldNum dt ftr hdr sldImg"):
	case isOneOf(s.holder, "title ctrTitle"):
		if s.title == "" {
			s.title = oneLine(clean(text), maxName)
		}
		s.add(text, BlockHeading)
	default:
		s.add(text, BlockProse)
	}
}

func (s *slideReader) add(text, kind string) {
	if strings.TrimSpace(text) == "" {
		return
	}
	if n := len(s.blocks); kind == BlockTable && s.table && n > 0 && s.blocks[n-1].Kind == BlockTable {
		s.blocks[n-1].Text += "\n" + text
		return
	}
	s.blocks = append(s.blocks, Block{Text: text, Kind: kind})
}
