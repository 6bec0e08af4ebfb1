package process

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/llmctl/studio/internal/document"
)

// The descriptors that a parser has beside the usual ones.
const (
	inputFD  = 3
	answerFD = 4
)

// The kinds of answers.
const (
	answerReady    = 'r'
	answerDocument = 'd'
	answerError    = 'e'
)

// maxRequest bounds a request: a path and some numbers.
const maxRequest = 64 << 10

// request asks for the document in the first Size bytes of the input.
type request struct {
	Path   string          `json:"path"`
	Size   int64           `json:"size"`
	Limits document.Limits `json:"limits"`
}

// ready says which bounds hold.
type ready struct {
	Kernel bool `json:"kernel"` // the kernel holds the bound of memory
}

var errWire = errors.New("the parser's answer cannot be read")

// maxAnswer is how long an answer may be: the text, what stands above it, and the numbers
// of each block.
func maxAnswer(l document.Limits) int64 { return 2*l.MaxTextBytes + 64<<20 }

// writeFrame writes parts behind their length.
func writeFrame(w io.Writer, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+n), uint32(n))
	for _, p := range parts {
		frame = append(frame, p...)
	}
	_, err := w.Write(frame)
	return err
}

// readFrame reads what writeFrame wrote, if it is not longer than most.
func readFrame(r io.Reader, most int64) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > most {
		return nil, fmt.Errorf("%w: it has %d bytes, of at most %d", errWire, n, most)
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	return frame, nil
}

// encode writes a document. Names above blocks are written once: they repeat with every
// block below them.
func encode(d *document.Document) []byte {
	size := 0
	for i := range d.Blocks {
		size += len(d.Blocks[i].Text) + 16
	}
	e := &encoder{out: make([]byte, 0, size+1<<10), names: map[string]uint64{}}
	e.text(string(d.Kind))
	e.text(d.Language)
	e.text(d.Title)
	e.number(d.Pages)
	if d.Truncated {
		e.number(1)
	} else {
		e.number(0)
	}
	e.number(len(d.Blocks))
	for i := range d.Blocks {
		e.block(&d.Blocks[i])
	}
	return e.out
}

type encoder struct {
	out   []byte
	names map[string]uint64
}

func (e *encoder) number(n int) { e.out = binary.AppendUvarint(e.out, uint64(max(n, 0))) }

func (e *encoder) text(s string) {
	e.number(len(s))
	e.out = append(e.out, s...)
}

// name writes a text that may come again: its number, or 0 and the text.
func (e *encoder) name(s string) {
	if n, ok := e.names[s]; ok {
		e.out = binary.AppendUvarint(e.out, n)
		return
	}
	e.names[s] = uint64(len(e.names) + 1)
	e.number(0)
	e.text(s)
}

func (e *encoder) block(b *document.Block) {
	e.name(b.Kind)
	e.text(b.Text)
	e.number(b.LineStart)
	e.number(b.LineEnd)
	e.number(b.Page)
	e.number(len(b.Heading))
	for _, h := range b.Heading {
		e.name(h)
	}
}

// decode reads what encode wrote. Error: errWire.
func decode(data []byte) (document.Document, error) {
	r := &decoder{in: string(data)}
	d := document.Document{Kind: document.Kind(r.text()), Language: r.text(), Title: r.text(), Pages: r.number(), Truncated: r.number() == 1}
	n := r.number()
	if n > document.MaxBlocks || n > len(r.in) {
		return d, errWire
	}
	d.Blocks = make([]document.Block, 0, n)
	for range n {
		d.Blocks = append(d.Blocks, r.block())
		if r.bad {
			break
		}
	}
	if r.bad || r.in != "" {
		return document.Document{}, errWire
	}
	return d, nil
}

type decoder struct {
	in    string
	names []string
	last  []string // headings of the block before, shared while they are the same
	bad   bool
}

func (r *decoder) number() int {
	var n uint64
	for shift := 0; shift < 35; shift += 7 {
		if len(r.in) == 0 {
			break
		}
		c := r.in[0]
		r.in = r.in[1:]
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return int(n)
		}
	}
	r.bad = true
	return 0
}

func (r *decoder) text() string {
	n := r.number()
	if n > len(r.in) {
		r.bad = true
		return ""
	}
	s := r.in[:n]
	r.in = r.in[n:]
	return s
}

func (r *decoder) name() string {
	n := r.number()
	switch {
	case r.bad || n > len(r.names):
		r.bad = true
		return ""
	case n > 0:
		return r.names[n-1]
	}
	s := r.text()
	r.names = append(r.names, s)
	return s
}

// maxHeadings is how many names a block can stand under.
const maxHeadings = 1000

func (r *decoder) block() document.Block {
	b := document.Block{Kind: r.name(), Text: r.text(), LineStart: r.number(), LineEnd: r.number(), Page: r.number()}
	n := r.number()
	if n > maxHeadings || n > len(r.in) {
		r.bad = true
	}
	if n == 0 || r.bad {
		return b
	}
	path, same := make([]string, n), len(r.last) == n
	for i := range path {
		path[i] = r.name()
		same = same && r.last[i] == path[i]
	}
	if !same {
		r.last = path
	}
	b.Heading = r.last
	return b
}

func encodeError(e *document.Error) []byte {
	data, _ := json.Marshal(e) //nolint:errchkjson // two texts
	return data
}
