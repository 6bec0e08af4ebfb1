package document

import (
	"context"
	"strings"

	"github.com/ledongthuc/pdf"
)

// maxForms bounds forms within forms.
const maxForms = 8

// pdfPage gives the text of a page, at most limit bytes; cut says that there is more. A
// page that makes the library panic has the text that was read until then.
func pdfPage(ctx context.Context, r *pdf.Reader, n int, limit int64) (text string, cut bool) {
	p := pageReader{ctx: ctx, limit: limit}
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
	text  strings.Builder
	enc   pdf.TextEncoding
	size  float64
	x, y  float64 // of the line
	lineY float64 // where the last text was put
	lead  float64
	began bool
}

// stopped is panicked with to leave the library's loop.
type stopped struct{}

func (p *pageReader) content(stream, resources pdf.Value, depth int) {
	if stream.Kind() == pdf.Null {
		return
	}
	fonts := map[string]pdf.TextEncoding{}
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
			p.font(args, resources, fonts)
		case "Do":
			p.form(args, resources, depth)
		case "BT":
			p.x, p.y = 0, 0
		case "Tj", "'", "\"", "TJ":
			p.show(op, args)
		default:
			p.move(op, args)
		}
	})
}

func (p *pageReader) font(args []pdf.Value, resources pdf.Value, fonts map[string]pdf.TextEncoding) {
	if len(args) != 2 {
		return
	}
	name := args[0].Name()
	enc, ok := fonts[name]
	if !ok {
		font := pdf.Font{V: resources.Key("Font").Key(name)}
		enc = font.Encoder()
		fonts[name] = enc
	}
	p.enc, p.size = enc, args[1].Float64()
}

// form reads text that pages share.
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
	p.content(x, own, depth+1)
}

func (p *pageReader) move(op string, args []pdf.Value) {
	switch {
	case (op == "Td" || op == "TD") && len(args) == 2:
		tx, ty := args[0].Float64(), args[1].Float64()
		if op == "TD" {
			p.lead = -ty
		}
		p.x, p.y = p.x+tx, p.y+ty
		if ty == 0 && tx > 0 {
			p.gap()
		}
	case op == "Tm" && len(args) == 6:
		x, y := args[4].Float64(), args[5].Float64()
		if y == p.y && x > p.x {
			p.gap()
		}
		p.x, p.y = x, y
		if d := args[3].Float64(); d > 1 && p.size <= 1 {
			p.size = d
		}
	case op == "T*":
		p.y -= max(p.lead, 1)
	case op == "TL" && len(args) == 1:
		p.lead = args[0].Float64()
	}
}

func (p *pageReader) show(op string, args []pdf.Value) {
	if len(args) == 0 {
		return
	}
	last := args[len(args)-1]
	if op == "'" || op == "\"" {
		p.y -= max(p.lead, 1)
	}
	p.line()
	if op != "TJ" {
		p.put(last.RawString())
		return
	}
	for i := range last.Len() {
		switch v := last.Index(i); v.Kind() {
		case pdf.String:
			p.put(v.RawString())
		case pdf.Integer, pdf.Real:
			if v.Float64() < -180 { // thousandths of the size: about a space
				p.gap()
			}
		default:
		}
	}
}

// line begins a line, or a paragraph where the gap is large, when text is put elsewhere.
func (p *pageReader) line() {
	if !p.began {
		p.began, p.lineY = true, p.y
		return
	}
	away := p.lineY - p.y
	p.lineY = p.y
	size := max(p.size, 6)
	switch {
	case away > size*2 || away < -size*2:
		p.write("\n\n")
	case away > size*0.4 || away < -size*0.4:
		p.write("\n")
	}
}

func (p *pageReader) gap() {
	if s := p.text.String(); s != "" && !strings.HasSuffix(s, " ") && !strings.HasSuffix(s, "\n") {
		p.write(" ")
	}
}

func (p *pageReader) put(raw string) {
	if p.enc == nil {
		p.write(raw)
		return
	}
	p.write(p.enc.Decode(raw))
}

func (p *pageReader) write(s string) {
	if room := p.limit - int64(p.text.Len()); int64(len(s)) > room {
		p.text.WriteString(s[:max(room, 0)])
		p.cut = true
		panic(stopped{})
	}
	p.text.WriteString(s)
}
