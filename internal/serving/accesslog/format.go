package accesslog

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Default is Gunicorn's format.
const Default = `%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"`

// FormatError is a format that cannot be used. Want completes "want …", as the
// problems of the configuration are told.
type FormatError struct{ Want string }

// Error tells what is wanted.
func (e *FormatError) Error() string { return "access log format: want " + e.Want }

// Format is a compiled format.
type Format struct {
	parts []part
	extra []extractor
}

// part is a text as it stands, or what a value is made of.
type part struct {
	text string
	atom atom
}

// atom appends a value of the entry.
type atom func(dst []byte, e *entry, limit int) []byte

// extractor takes a value from a header.
type extractor func(r *http.Request, answer http.Header) string

// Compile reads a format in Gunicorn's terms, such as Default.
func Compile(format string) (*Format, error) {
	if strings.ContainsAny(format, "\r\n") {
		return nil, &FormatError{Want: "a single line"}
	}
	f := &Format{}
	text := ""
	for rest := format; rest != ""; {
		before, after, found := strings.Cut(rest, "%")
		text += before
		if !found {
			break
		}
		at := len(format) - len(after)
		if strings.HasPrefix(after, "%") {
			text, rest = text+"%", after[1:]
			continue
		}
		name, conversion, tail, ok := directive(after)
		if !ok {
			return nil, &FormatError{Want: fmt.Sprintf("%%(atom)s after the %% at character %d, or %%%% for the sign itself; %s", at, accepted())}
		}
		a, err := f.atom(name, conversion)
		if err != nil {
			return nil, err
		}
		f.parts = append(f.parts, part{text: text}, part{atom: a})
		text, rest = "", tail
	}
	f.parts = append(f.parts, part{text: text})
	return f, nil
}

// directive splits "(name)s rest".
func directive(s string) (name string, conversion byte, rest string, ok bool) {
	if !strings.HasPrefix(s, "(") {
		return "", 0, "", false
	}
	name, rest, ok = strings.Cut(s[1:], ")")
	if !ok || rest == "" || rest[0] != 's' && rest[0] != 'd' {
		return "", 0, "", false
	}
	return name, rest[0], rest[1:], true
}

// accepted lists all atoms.
func accepted() string {
	names := make([]string, 0, 24)
	for _, a := range atoms() {
		names = append(names, a.name)
	}
	return "accepted are " + strings.Join(names, " ") + ", {header}i of the request, {header}o of the answer and {variable}e"
}

// atom finds the meaning of a name.
func (f *Format) atom(name string, conversion byte) (atom, error) {
	for _, a := range atoms() {
		if a.name != name {
			continue
		}
		if conversion == 'd' && !a.number {
			return nil, &FormatError{Want: "%(" + name + ")s: it is a text, so d does not fit"}
		}
		return a.atom, nil
	}
	inner, kind, ok := strings.Cut(strings.TrimPrefix(name, "{"), "}")
	if !ok || !strings.HasPrefix(name, "{") || inner == "" || len(kind) != 1 || conversion != 's' {
		return nil, &FormatError{Want: fmt.Sprintf("known atoms; %q is none; %s", "%("+name+")"+string(conversion), accepted())}
	}
	take, err := extract(strings.ToLower(inner), kind[0])
	if err != nil {
		return nil, err
	}
	i := len(f.extra)
	f.extra = append(f.extra, take)
	return func(dst []byte, e *entry, limit int) []byte { return appendText(dst, orDash(e.extra[i]), limit) }, nil
}

// append writes the line of an entry, without its end.
func (f *Format) append(dst []byte, e *entry, limit int) []byte {
	for _, p := range f.parts {
		if p.atom != nil {
			dst = p.atom(dst, e, limit)
		} else {
			dst = append(dst, p.text...)
		}
	}
	return dst
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

type namedAtom struct {
	name   string
	number bool // may be written as %(name)d as well
	atom   atom
}

func textAtom(name string, get func(e *entry) string) namedAtom {
	return namedAtom{name: name, atom: func(dst []byte, e *entry, limit int) []byte { return appendText(dst, get(e), limit) }}
}

func numberAtom(name string, get func(e *entry) int64) namedAtom {
	return namedAtom{name: name, number: true, atom: func(dst []byte, e *entry, _ int) []byte { return strconv.AppendInt(dst, get(e), 10) }}
}

// atoms lists what has a name of its own.
func atoms() []namedAtom {
	return []namedAtom{
		textAtom("h", func(e *entry) string { return orDash(e.remote) }),
		textAtom("l", func(*entry) string { return "-" }),
		textAtom("u", func(e *entry) string { return orDash(e.user) }),
		{name: "t", atom: func(dst []byte, e *entry, _ int) []byte {
			return e.at.AppendFormat(dst, "[02/Jan/2006:15:04:05 -0700]")
		}},
		textAtom("r", func(e *entry) string { return e.method + " " + e.uri + " " + e.proto }),
		textAtom("m", func(e *entry) string { return e.method }),
		textAtom("U", func(e *entry) string { return e.path }),
		textAtom("q", func(e *entry) string { return e.query }),
		textAtom("H", func(e *entry) string { return e.proto }),
		{name: "s", number: true, atom: appendStatus},
		numberAtom("B", func(e *entry) int64 { return e.bytes }),
		numberAtom("b", func(e *entry) int64 { return e.bytes }),
		textAtom("f", func(e *entry) string { return orDash(e.referer) }),
		textAtom("a", func(e *entry) string { return orDash(e.agent) }),
		numberAtom("T", func(e *entry) int64 { return int64(e.took / time.Second) }),
		numberAtom("D", func(e *entry) int64 { return e.took.Microseconds() }),
		numberAtom("M", func(e *entry) int64 { return e.took.Milliseconds() }),
		{name: "L", atom: func(dst []byte, e *entry, _ int) []byte {
			return strconv.AppendFloat(dst, e.took.Seconds(), 'f', 6, 64)
		}},
		{name: "p", atom: appendPID},
		textAtom("request_id", func(e *entry) string { return orDash(e.requestID) }),
		textAtom("correlation_id", func(e *entry) string { return orDash(e.correlationID) }),
	}
}

func appendStatus(dst []byte, e *entry, _ int) []byte {
	if e.status == 0 {
		return append(dst, '-')
	}
	return strconv.AppendInt(dst, int64(e.status), 10)
}
