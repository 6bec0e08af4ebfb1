package document

import (
	"context"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/ledongthuc/pdf"
)

// Bounds of what pages are made of.
const (
	maxForms  = 8 // within each other
	maxWidths = 256
)

// pdfPage gives the text of a page, at most limit bytes; cut says that there is more. A
// page that makes the library panic has the text that was read until then. unpacks is what
// may still be unpacked; below 0: the page is more than that.
func pdfPage(ctx context.Context, r *pdf.Reader, n int, limit int64, unpacks *int64) (text string, cut bool) {
	p := pageReader{ctx: ctx, limit: limit, unpacks: unpacks, state: identity(), at: identity()}
	func() {
		defer func() { _ = recover() }()
		page := r.Page(n)
		if page.V.IsNull() {
			return
		}
		p.content(page.V.Key("Contents"), page.Resources(), 0)
	}()
	return strings.TrimSpace(clean(p.text.String())), p.cut
}

// pageReader follows where text is put, as far as that tells lines and words apart.
type pageReader struct {
	ctx   context.Context //nolint:containedctx // of one page, whose callbacks take none
	limit int64
	cut   bool
	// unpacks is what may still be unpacked, of all pages together.
	unpacks *int64
	text    strings.Builder
	font    pdfFont
	size    float64
	lead    float64
	state   matrix // of the page
	saved   []matrix
	at      matrix // of the line of text
	moved   float64
	began   bool
	endX    float64 // where the last text ended
	endY    float64
}

// pdfFont is what is needed of a font. Reading it again for each character takes the
// library longer than all the rest.
type pdfFont struct {
	enc    pdf.TextEncoding
	first  int
	widths []float64 // of the characters from first on; none if they have several bytes
}

// maxSaved bounds states within states.
const maxSaved = 1000

// matrix is a transformation: x' = a x + c y + e, y' = b x + d y + f.
type matrix [6]float64

func identity() matrix { return matrix{1, 0, 0, 1, 0, 0} }

// then is m followed by n.
func (m matrix) then(n matrix) matrix {
	return matrix{
		m[0]*n[0] + m[1]*n[2], m[0]*n[1] + m[1]*n[3],
		m[2]*n[0] + m[3]*n[2], m[2]*n[1] + m[3]*n[3],
		m[4]*n[0] + m[5]*n[2] + n[4], m[4]*n[1] + m[5]*n[3] + n[5],
	}
}

func matrixOf(args []pdf.Value) (m matrix, ok bool) {
	if len(args) != 6 {
		return m, false
	}
	for i := range m {
		m[i] = args[i].Float64()
	}
	return m, true
}

// stopped is panicked with to leave the library's loop.
type stopped struct{}

func (p *pageReader) content(stream, resources pdf.Value, depth int) {
	if stream.Kind() == pdf.Null {
		return
	}
	p.measure(stream)
	fonts := map[string]pdfFont{}
	steps := 0
	pdf.Interpret(stream, func(stack *pdf.Stack, op string) {
		args := make([]pdf.Value, stack.Len())
		for i := len(args) - 1; i >= 0; i-- {
			args[i] = stack.Pop()
		}
		if steps++; steps%1024 == 0 && p.ctx.Err() != nil {
			panic(stopped{})
		}
		switch op {
		case "Tf":
			p.choose(args, resources, fonts)
		case "Do":
			p.form(args, resources, depth)
		case "Tj", "'", "\"", "TJ":
			p.show(op, args)
		case "q", "Q", "cm":
			p.place(op, args)
		default:
			p.move(op, args)
		}
	})
}

// measure unpacks what is about to be read to nowhere: the library keeps what it meets, and
// a single word may be as long as all of it.
func (p *pageReader) measure(stream pdf.Value) {
	switch stream.Kind() {
	case pdf.Array:
		for i := range stream.Len() {
			p.measure(stream.Index(i))
		}
	case pdf.Stream:
		r := stream.Reader()
		n, _ := io.Copy(io.Discard, &interrupted{p.ctx, io.LimitReader(r, *p.unpacks+1)}) // what is broken ends there
		_ = r.Close()
		if *p.unpacks -= n; *p.unpacks < 0 || p.ctx.Err() != nil {
			panic(stopped{})
		}
	default:
	}
}

// interrupted is a reader that ends with a context.
type interrupted struct {
	ctx context.Context //nolint:containedctx // of one measure
	io.Reader
}

// Read implements io.Reader.
func (r *interrupted) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

func (p *pageReader) choose(args []pdf.Value, resources pdf.Value, fonts map[string]pdfFont) {
	if len(args) != 2 {
		return
	}
	name := args[0].Name()
	f, ok := fonts[name]
	if !ok {
		font := pdf.Font{V: resources.Key("Font").Key(name)}
		p.measure(font.V.Key("ToUnicode"))
		f = pdfFont{enc: font.Encoder(), first: font.FirstChar()}
		if list := font.V.Key("Widths"); list.Len() <= maxWidths {
			for i := range list.Len() {
				f.widths = append(f.widths, list.Index(i).Float64())
			}
		}
		fonts[name] = f
	}
	p.font, p.size = f, args[1].Float64()
}

// form reads what pages share.
func (p *pageReader) form(args []pdf.Value, resources pdf.Value, depth int) {
	if len(args) != 1 || depth >= maxForms {
		return
	}
	x := resources.Key("XObject").Key(args[0].Name())
	if x.Kind() != pdf.Stream || x.Key("Subtype").Name() != "Form" {
		return
	}
	own := x.Key("Resources")
	if own.Kind() == pdf.Null {
		own = resources
	}
	state, saved := p.state, p.saved
	p.content(x, own, depth+1)
	p.state, p.saved = state, saved
}

// place moves what is put on the page.
func (p *pageReader) place(op string, args []pdf.Value) {
	switch op {
	case "q":
		if len(p.saved) < maxSaved {
			p.saved = append(p.saved, p.state)
		}
	case "Q":
		if n := len(p.saved); n > 0 {
			p.state, p.saved = p.saved[n-1], p.saved[:n-1]
		}
	case "cm":
		if m, ok := matrixOf(args); ok {
			p.state = m.then(p.state)
		}
	}
}

// move moves the line of text.
func (p *pageReader) move(op string, args []pdf.Value) {
	switch {
	case op == "BT":
		p.at, p.moved = identity(), 0
	case (op == "Td" || op == "TD") && len(args) == 2:
		p.next(args[0].Float64(), args[1].Float64())
		if op == "TD" {
			p.lead = -args[1].Float64()
		}
	case op == "Tm":
		if m, ok := matrixOf(args); ok {
			p.at, p.moved = m, 0
		}
	case op == "T*":
		p.next(0, -p.lead)
	case op == "TL" && len(args) == 1:
		p.lead = args[0].Float64()
	}
}

func (p *pageReader) next(x, y float64) {
	p.at, p.moved = matrix{1, 0, 0, 1, x, y}.then(p.at), 0
}

func (p *pageReader) show(op string, args []pdf.Value) {
	if len(args) == 0 {
		return
	}
	last := args[len(args)-1]
	if op == "'" || op == "\"" {
		p.next(0, -p.lead)
	}
	if op != "TJ" {
		p.put(last.RawString())
		return
	}
	for i := range last.Len() {
		switch v := last.Index(i); v.Kind() {
		case pdf.String:
			p.put(v.RawString())
		case pdf.Integer, pdf.Real:
			p.moved -= v.Float64() / 1000 * p.size
		default:
		}
	}
}

// put writes text where the line has come to, after the space or the line end that the
// way from the text before stands for.
func (p *pageReader) put(raw string) {
	text := raw
	if p.font.enc != nil {
		text = p.font.enc.Decode(raw)
	}
	if text == "" {
		return
	}
	here := matrix{1, 0, 0, 1, p.moved, 0}.then(p.at).then(p.state)
	size := math.Max(math.Abs(p.size*here[3])+math.Abs(p.size*here[1]), 1)
	p.moved += p.width(raw, text)
	end := matrix{1, 0, 0, 1, p.moved, 0}.then(p.at).then(p.state)
	if p.began {
		away := math.Abs(p.endY - here[5])
		switch {
		case away > size*2:
			p.write("\n\n")
		case away > size*0.5:
			p.write("\n")
		case here[4]-p.endX > size*0.17 && !strings.HasSuffix(p.text.String(), " ") && text[0] != ' ':
			p.write(" ")
		}
	}
	p.began, p.endX, p.endY = true, end[4], end[5]
	p.write(text)
}

// width is how wide text is: what the font says, or half its height a character.
func (p *pageReader) width(raw, text string) float64 {
	if len(p.font.widths) == 0 {
		return float64(utf8.RuneCountInString(text)) * p.size / 2
	}
	w := 0.0
	for i := range len(raw) {
		if at := int(raw[i]) - p.font.first; at >= 0 && at < len(p.font.widths) {
			w += p.font.widths[at]
		}
	}
	return w / 1000 * p.size
}

func (p *pageReader) write(s string) {
	if room := p.limit - int64(p.text.Len()); int64(len(s)) > room {
		p.text.WriteString(s[:max(room, 0)])
		p.cut = true
		panic(stopped{})
	}
	p.text.WriteString(s)
}
