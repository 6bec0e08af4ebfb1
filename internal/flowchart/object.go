package flowchart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/llmctl/studio/internal/errs"
)

// maxDetails bounds the faults that one error lists.
const maxDetails = 100

// faults collects the faulty places of an input.
type faults []errs.Detail

func (f *faults) add(location, format string, args ...any) {
	if len(*f) < maxDetails {
		*f = append(*f, errs.Detail{Location: location, Message: fmt.Sprintf(format, args...)})
	}
}

// error gives an error that lists the faults, or nil if there are none. The
// message tells the first, so that it stands on its own.
func (f faults) error(reason, what string) error {
	if len(f) == 0 {
		return nil
	}
	msg := fmt.Sprintf("%s: %s %s.", what, f[0].Location, f[0].Message)
	if len(f) > 1 {
		msg = fmt.Sprintf("%s in %d places; the first: %s %s.", what, len(f), f[0].Location, f[0].Message)
	}
	return errs.E(errs.Invalid, reason, msg, f...)
}

// object splits a JSON object into its members. Unlike encoding/json it tells
// upper from lower case. Anything but an object is a fault.
func object(raw json.RawMessage, location string, f *faults) (map[string]json.RawMessage, bool) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil || m == nil {
		f.add(location, "must be an object")
		return nil, false
	}
	return m, true
}

// field says how one member of an object is read.
type field struct {
	into any                                                   // a pointer for encoding/json
	read func(raw json.RawMessage, location string, f *faults) // or a reader of its own
}

// members reads the members of an object into fields. Unknown members are
// faults; absent ones leave their field alone, and so does null.
func members(raw json.RawMessage, location string, fields map[string]field, f *faults) {
	m, ok := object(raw, location, f)
	if !ok {
		return
	}
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		at := location + "." + name
		fd, known := fields[name]
		switch {
		case !known:
			f.add(at, "is unknown here")
		case isNull(m[name]):
		case fd.read != nil:
			fd.read(m[name], at, f)
		default:
			value(m[name], at, fd.into, f)
		}
	}
}

// value reads one JSON value into a pointer and reports whether it could.
func value(raw json.RawMessage, location string, into any, f *faults) bool {
	err := json.Unmarshal(raw, into)
	if err == nil {
		return true
	}
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && te.Field != "" {
		location += "." + te.Field
	}
	f.add(location, "must be %s", wanted(into))
	return false
}

func wanted(into any) string {
	switch into.(type) {
	case *string, *Kind, *Mode:
		return "text"
	case *float64:
		return "a number"
	case *int, *int64:
		return "a whole number"
	case *[]string:
		return "a list of texts"
	case *[]int64:
		return "a list of whole numbers"
	case *map[string]string:
		return "an object of texts"
	default:
		return "of another type"
	}
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }

// isBlank reports whether raw is absent or null.
func isBlank(raw json.RawMessage) bool { return len(raw) == 0 || isNull(raw) }

// storable reports the first escape in valid JSON text that stands for a
// character which a database text cannot hold: NUL, or half a surrogate pair.
func storable(data []byte) (string, bool) {
	const hexLen = 6 // \uXXXX
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		if data[i+1] != 'u' {
			i++
			continue
		}
		esc := strings.ToLower(string(data[i : i+hexLen]))
		switch {
		case esc == `\u0000`:
			return esc, false
		case esc >= `\udc00` && esc <= `\udfff`:
			return esc, false
		case esc >= `\ud800` && esc <= `\udbff`:
			next := ""
			if i+2*hexLen <= len(data) {
				next = strings.ToLower(string(data[i+hexLen : i+2*hexLen]))
			}
			if next < `\udc00` || next > `\udfff` {
				return esc, false
			}
			i += hexLen
		}
		i += hexLen - 1
	}
	return "", true
}
