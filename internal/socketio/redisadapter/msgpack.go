package redisadapter

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// Limits of what is decoded.
const (
	maxDepth       = 64
	maxAttachments = 64
)

var (
	errDepth       = fmt.Errorf("nested deeper than %d", maxDepth)
	errAttachments = fmt.Errorf("more than %d attachments", maxAttachments)
	errTrailing    = errors.New("something follows the value")
)

// toJSON turns one MessagePack value into JSON, as JSON.stringify would write it, with
// {"_placeholder":true,"num":N} in place of each binary value. The attachments share no memory with raw.
func toJSON(raw []byte) (text []byte, attachments [][]byte, err error) {
	t := transcoder{rest: raw, out: make([]byte, 0, len(raw)+len(raw)/4)}
	if err := t.value(0); err != nil {
		return nil, nil, fmt.Errorf("decode MessagePack: %w", err)
	}
	if len(t.rest) > 0 {
		return nil, nil, fmt.Errorf("decode MessagePack: %w", errTrailing)
	}
	return t.out, t.attachments, nil
}

// transcoder reads MessagePack from rest and appends JSON to out. What it allocates is bounded by what it has read:
// lengths in the input are never believed before the bytes are there.
type transcoder struct {
	rest        []byte
	out         []byte
	attachments [][]byte
}

func (t *transcoder) value(depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	switch msgp.NextType(t.rest) {
	case msgp.MapType:
		return t.object(depth)
	case msgp.ArrayType:
		return t.array(depth)
	case msgp.StrType:
		return t.text()
	case msgp.BinType:
		return t.binary()
	case msgp.ExtensionType, msgp.TimeType, msgp.Complex64Type, msgp.Complex128Type:
		return t.extension()
	default:
		return t.scalar()
	}
}

func (t *transcoder) scalar() (err error) {
	switch msgp.NextType(t.rest) {
	case msgp.NilType:
		t.rest, err = msgp.ReadNilBytes(t.rest)
		t.out = append(t.out, "null"...)
	case msgp.BoolType:
		var v bool
		v, t.rest, err = msgp.ReadBoolBytes(t.rest)
		t.out = strconv.AppendBool(t.out, v)
	case msgp.IntType:
		var v int64
		v, t.rest, err = msgp.ReadInt64Bytes(t.rest)
		t.out = strconv.AppendInt(t.out, v, 10)
	case msgp.UintType:
		var v uint64
		v, t.rest, err = msgp.ReadUint64Bytes(t.rest)
		t.out = strconv.AppendUint(t.out, v, 10)
	case msgp.Float32Type:
		var v float32
		v, t.rest, err = msgp.ReadFloat32Bytes(t.rest)
		t.float(float64(v), 32)
	case msgp.Float64Type:
		var v float64
		v, t.rest, err = msgp.ReadFloat64Bytes(t.rest)
		t.float(v, 64)
	default:
		return errors.New("no value where one is expected")
	}
	return err
}

func (t *transcoder) float(v float64, bits int) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		t.out = append(t.out, "null"...)
		return
	}
	t.out = strconv.AppendFloat(t.out, v, 'g', -1, bits)
}

func (t *transcoder) text() error {
	v, rest, err := msgp.ReadStringZC(t.rest)
	if err != nil {
		return err
	}
	t.rest = rest
	t.out = appendString(t.out, v)
	return nil
}

func (t *transcoder) binary() error {
	v, rest, err := msgp.ReadBytesZC(t.rest)
	if err != nil {
		return err
	}
	if len(t.attachments) >= maxAttachments {
		return errAttachments
	}
	t.rest = rest
	t.out = append(t.out, `{"_placeholder":true,"num":`...)
	t.out = append(strconv.AppendInt(t.out, int64(len(t.attachments)), 10), '}')
	t.attachments = append(t.attachments, append([]byte{}, v...))
	return nil
}

func (t *transcoder) array(depth int) error {
	n, rest, err := msgp.ReadArrayHeaderBytes(t.rest)
	if err != nil {
		return err
	}
	t.rest = rest
	t.out = append(t.out, '[')
	for i := range n {
		if i > 0 {
			t.out = append(t.out, ',')
		}
		if err := t.value(depth + 1); err != nil {
			return err
		}
	}
	t.out = append(t.out, ']')
	return nil
}

func (t *transcoder) object(depth int) error {
	n, rest, err := msgp.ReadMapHeaderBytes(t.rest)
	if err != nil {
		return err
	}
	t.rest = rest
	t.out = append(t.out, '{')
	for i := range n {
		if i > 0 {
			t.out = append(t.out, ',')
		}
		if err := t.key(); err != nil {
			return err
		}
		t.out = append(t.out, ':')
		if err := t.value(depth + 1); err != nil {
			return err
		}
	}
	t.out = append(t.out, '}')
	return nil
}

// key takes what JavaScript makes a string of, too.
func (t *transcoder) key() error {
	if msgp.NextType(t.rest) == msgp.StrType {
		return t.text()
	}
	start := len(t.out)
	t.out = append(t.out, '"')
	if err := t.scalar(); err != nil {
		return fmt.Errorf("key of a map: %w", err)
	}
	if len(t.out) == start+1 {
		return errors.New("key of a map is empty")
	}
	t.out = append(t.out, '"')
	return nil
}

// Kinds of extensions.
const (
	extUndefined = 0  // of one byte, as the JavaScript encoder has it
	extTime      = -1 // of the standard
)

func (t *transcoder) extension() error {
	kind, body, rest, err := readExtension(t.rest)
	if err != nil {
		return err
	}
	t.rest = rest
	if kind == extUndefined && len(body) == 1 {
		t.out = append(t.out, "null"...)
		return nil
	}
	at, ok := readTime(kind, body)
	if !ok {
		return fmt.Errorf("extension %d of %d bytes is not known", kind, len(body))
	}
	t.out = append(t.out, '"')
	t.out = at.UTC().AppendFormat(t.out, "2006-01-02T15:04:05.000Z")
	t.out = append(t.out, '"')
	return nil
}

// readExtension takes an extension apart; the library would hand the kinds that it knows to types of its own.
func readExtension(b []byte) (kind int8, body, rest []byte, err error) {
	var size, head int
	switch b[0] {
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8: // 1, 2, 4, 8, 16 bytes
		size, head = 1<<(b[0]-0xd4), 1
	case 0xc7, 0xc8, 0xc9: // the size follows, in 1, 2, 4 bytes
		width := 1 << (b[0] - 0xc7)
		if len(b) < 1+width {
			return 0, nil, nil, io.ErrUnexpectedEOF
		}
		var wide [4]byte
		copy(wide[4-width:], b[1:1+width])
		size, head = int(binary.BigEndian.Uint32(wide[:])), 1+width
	default:
		return 0, nil, nil, errors.New("not an extension")
	}
	if len(b)-head-1 < size {
		return 0, nil, nil, io.ErrUnexpectedEOF
	}
	return int8(b[head]), b[head+1 : head+1+size], b[head+1+size:], nil
}

// readTime reads the standard's timestamps, and the milliseconds of older JavaScript encoders. Years that a date in
// JSON cannot have are not times.
func readTime(kind int8, body []byte) (at time.Time, ok bool) {
	switch {
	case kind == extTime && len(body) == 4:
		at = time.Unix(int64(binary.BigEndian.Uint32(body)), 0)
	case kind == extTime && len(body) == 8:
		v := binary.BigEndian.Uint64(body)
		at = time.Unix(int64(v&(1<<34-1)), int64(v>>34))
	case kind == extTime && len(body) == 12:
		at = time.Unix(int64(binary.BigEndian.Uint64(body[4:])), int64(binary.BigEndian.Uint32(body)))
	case kind == extUndefined && len(body) == 8:
		at = time.UnixMilli(int64(binary.BigEndian.Uint64(body)))
	default:
		return at, false
	}
	year := at.UTC().Year()
	return at, year >= 0 && year <= 9999
}

// appendString appends a JSON string; what is not UTF-8 becomes the replacement character.
func appendString(dst, s []byte) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		case r == utf8.RuneError && n == 1:
			dst = append(dst, "\uFFFD"...)
		default:
			dst = append(dst, s[:n]...)
		}
		s = s[n:]
	}
	return append(dst, '"')
}

// appendMsgpack appends a JSON text as MessagePack, with the attachments in the places that hold their placeholders.
func appendMsgpack(dst []byte, text json.RawMessage, attachments [][]byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	e := encoder{dec: dec, attachments: attachments, out: dst}
	if err := e.value(); err != nil {
		return nil, fmt.Errorf("encode MessagePack: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("encode MessagePack: %w", errTrailing)
	}
	return e.out, nil
}

// encoder reads JSON and appends MessagePack.
type encoder struct {
	dec         *json.Decoder
	attachments [][]byte
	out         []byte
}

func (e *encoder) value() error {
	token, err := e.dec.Token()
	if err != nil {
		return err
	}
	switch v := token.(type) {
	case nil:
		e.out = msgp.AppendNil(e.out)
	case bool:
		e.out = msgp.AppendBool(e.out, v)
	case string:
		e.out = msgp.AppendString(e.out, v)
	case json.Number:
		return e.number(v)
	case json.Delim:
		if v == '[' {
			return e.array()
		}
		return e.object()
	}
	return nil
}

// number is what JavaScript would make of it: whole if it is, else a float.
func (e *encoder) number(n json.Number) error {
	const exact = 1 << 53
	if i, err := n.Int64(); err == nil && i > -exact && i < exact {
		e.out = msgp.AppendInt64(e.out, i)
		return nil
	}
	f, err := n.Float64()
	if err != nil {
		return err
	}
	e.out = msgp.AppendFloat64(e.out, f)
	return nil
}

// Containers get their long form, whose size can be filled in at the end.
const (
	array32 = 0xdd
	map32   = 0xdf
)

func (e *encoder) array() error {
	start := len(e.out)
	e.out = append(e.out, array32, 0, 0, 0, 0)
	n := uint32(0)
	for ; e.dec.More(); n++ {
		if err := e.value(); err != nil {
			return err
		}
	}
	return e.end(start, n)
}

func (e *encoder) object() error {
	start := len(e.out)
	e.out = append(e.out, map32, 0, 0, 0, 0)
	n := uint32(0)
	for ; e.dec.More(); n++ {
		if err := e.value(); err != nil { // the key
			return err
		}
		if err := e.value(); err != nil {
			return err
		}
	}
	if n == 2 && len(e.attachments) > 0 {
		if num, ok := hole(e.out[start+5:]); ok && num < len(e.attachments) {
			e.out = msgp.AppendBytes(e.out[:start], e.attachments[num])
			_, err := e.dec.Token()
			return err
		}
	}
	return e.end(start, n)
}

// end fills in the size and takes the closing bracket.
func (e *encoder) end(start int, n uint32) error {
	binary.BigEndian.PutUint32(e.out[start+1:], n)
	_, err := e.dec.Token()
	return err
}

// hole recognises the two entries of a placeholder, in either order.
func hole(entries []byte) (num int, ok bool) {
	marked, numbered := false, false
	for range 2 {
		key, rest, err := msgp.ReadStringZC(entries)
		if err != nil {
			return 0, false
		}
		switch {
		case string(key) == "_placeholder" && msgp.NextType(rest) == msgp.BoolType:
			marked, entries, err = msgp.ReadBoolBytes(rest)
		case string(key) == "num" && msgp.NextType(rest) == msgp.IntType:
			num, entries, err = msgp.ReadIntBytes(rest)
			numbered = num >= 0
		default:
			return 0, false
		}
		if err != nil {
			return 0, false
		}
	}
	return num, marked && numbered
}
