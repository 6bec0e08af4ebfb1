package document

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"path"
	"strings"
)

// office is an Office file: parts of XML in an archive.
type office struct {
	format string
	parts  map[string]*zip.File
	room   int64 // what may still be unpacked
}

func openOffice(f *file, format string) (*office, error) {
	if bytes.HasPrefix(f.data, oleMagic) {
		return nil, oldOffice(f.data)
	}
	z, err := zip.NewReader(bytes.NewReader(f.data), int64(len(f.data)))
	if err != nil {
		return nil, errUnreadable("a " + format + " file")
	}
	if len(z.File) > maxParts {
		return nil, errTooLarge("parts", maxParts)
	}
	o := &office{format: format, parts: make(map[string]*zip.File, len(z.File)), room: f.limits.unpacked()}
	known := make(map[string]bool, len(z.File))
	for _, part := range z.File {
		name := strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(part.Name, `\`, "/")), "/")
		// Programs differ in which of them they read, and names have no case.
		if known[strings.ToLower(name)] {
			return nil, &Error{Unreadable, "is a " + format + " file that cannot be read: it has several parts of the same name."}
		}
		known[strings.ToLower(name)] = true
		o.parts[name] = part
	}
	return o, nil
}

// maxParts bounds the parts of a file.
const maxParts = 100_000

// oldOffice tells why a file in an OLE container is not read.
func oldOffice(data []byte) error {
	name := []byte("E\x00n\x00c\x00r\x00y\x00p\x00t\x00e\x00d\x00P\x00a\x00c\x00k\x00a\x00g\x00e\x00")
	if bytes.Contains(data, name) {
		return &Error{Encrypted, "is an Office file with a password."}
	}
	return &Error{Unsupported, "is an Office file of before 2007. Save it as DOCX, PPTX or XLSX."}
}

// errNoPart says that a part is not there.
var errNoPart = errors.New("no such part")

// part unpacks a part. Errors: errNoPart, *Error.
func (o *office) part(name string) ([]byte, error) {
	entry, ok := o.parts[name]
	if !ok {
		return nil, errNoPart
	}
	r, err := entry.Open()
	if err != nil {
		return nil, errUnreadable("a " + o.format + " file")
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, o.room+1))
	if o.room -= int64(len(data)); o.room < 0 {
		return nil, errUnpacked("a " + o.format + " file")
	}
	if err != nil {
		return nil, errUnreadable("a " + o.format + " file")
	}
	return data, nil
}

// measure unpacks a part to nowhere.
func (o *office) measure(name string) error {
	r, err := o.parts[name].Open()
	if err != nil {
		return errUnreadable("a " + o.format + " file")
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, io.LimitReader(r, o.room+1))
	if o.room -= n; o.room < 0 {
		return errUnpacked("a " + o.format + " file")
	}
	if err != nil {
		return errUnreadable("a " + o.format + " file")
	}
	return nil
}

// visitor takes the elements of a part. Names are without their spaces.
type visitor interface {
	start(e xml.StartElement)
	end(name string)
	text(s string)
}

// walk goes through a part.
func (o *office) walk(ctx context.Context, data []byte, v visitor) error {
	d := xml.NewDecoder(bytes.NewReader(data))
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errUnreadable("a " + o.format + " file")
		}
		switch t := t.(type) {
		case xml.StartElement:
			v.start(t)
		case xml.EndElement:
			v.end(t.Name.Local)
		case xml.CharData:
			v.text(string(t))
		}
	}
}

func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// elements collects elements of a name.
type elements struct {
	name  string
	found []xml.StartElement
}

func (c *elements) start(e xml.StartElement) {
	if e.Name.Local == c.name {
		c.found = append(c.found, e.Copy())
	}
}
func (*elements) end(string)  {}
func (*elements) text(string) {}

// title is the title in a file's properties.
func (o *office) title(ctx context.Context) string {
	data, err := o.part("docProps/core.xml")
	if err != nil {
		return ""
	}
	v := &textOf{name: "title"}
	if o.walk(ctx, data, v) != nil {
		return ""
	}
	return strings.TrimSpace(clean(v.b.String()))
}

// textOf collects the text in elements of a name.
type textOf struct {
	name string
	in   bool
	b    strings.Builder
}

func (c *textOf) start(e xml.StartElement) { c.in = c.in || e.Name.Local == c.name }
func (c *textOf) end(name string)          { c.in = c.in && name != c.name }
func (c *textOf) text(s string) {
	if c.in {
		c.b.WriteString(s)
	}
}

// relation is a part that another one refers to.
type relation struct{ target, kind string }

// relations gives what a part refers to, by id.
func (o *office) relations(ctx context.Context, name string) map[string]relation {
	dir, base := path.Split(name)
	data, err := o.part(dir + "_rels/" + base + ".rels")
	if err != nil {
		return nil
	}
	c := &elements{name: "Relationship"}
	if o.walk(ctx, data, c) != nil {
		return nil
	}
	out := make(map[string]relation, len(c.found))
	for _, e := range c.found {
		target := attr(e, "Target")
		if !strings.HasPrefix(target, "/") {
			target = path.Join(dir, target)
		}
		out[attr(e, "Id")] = relation{target: strings.TrimPrefix(path.Clean(target), "/"), kind: path.Base(attr(e, "Type"))}
	}
	return out
}

// collector keeps blocks within the limits.
type collector struct {
	limits    Limits
	used      int64
	blocks    []Block
	truncated bool
	full      bool
	crowded   bool // full of blocks rather than of text
}

func (c *collector) add(b Block) {
	b.Text = strings.TrimSpace(clean(b.Text))
	if b.Text == "" || c.full {
		return
	}
	if len(c.blocks) == MaxBlocks {
		c.full, c.crowded = true, true
		return
	}
	if room := c.limits.MaxTextBytes - c.used; int64(len(b.Text)) > room {
		c.full = true
		b.Text = strings.ToValidUTF8(b.Text[:room], "")
		if b.Text == "" {
			return
		}
	}
	c.used += int64(len(b.Text))
	c.blocks = append(c.blocks, b)
}

// document gives what was collected. Errors: too_large, no_text.
func (c *collector) document(title string, pages int, format string) (Document, error) {
	if c.crowded && !c.limits.Truncate {
		return Document{}, errTooLarge("paragraphs or rows", MaxBlocks)
	}
	if c.full && !c.limits.Truncate {
		return Document{}, errTooLarge("bytes of text", c.limits.MaxTextBytes)
	}
	if len(c.blocks) == 0 {
		return Document{}, errNoText("is a " + format + " file without text.")
	}
	return Document{Title: title, Pages: pages, Blocks: c.blocks, Truncated: c.full || c.truncated}, nil
}
