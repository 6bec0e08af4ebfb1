package sqliteimport

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of what is taken over of one value. The database's own limits lie a
// little above them.
const (
	maxValueBytes = 64 << 20
	maxJSONDepth  = 500
)

// SQLite's columns hold what was written, whatever they declare. The methods of
// row read a column leniently and say with false that there is nothing usable.

func (r row) isNull(column string) bool { return r[column] == nil }

// text gives a column as text that the database can hold.
func (r row) text(column string) string {
	switch v := r[column].(type) {
	case string:
		return clean(v)
	case []byte:
		return clean(string(v))
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	default:
		return ""
	}
}

// trimmed is text without the white space around it.
func (r row) trimmed(column string) string { return strings.TrimSpace(r.text(column)) }

// clean takes out what a database text cannot hold.
func clean(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ReplaceAll(s, "\x00", "")
}

func (r row) integer(column string) (int64, bool) {
	switch v := r[column].(type) {
	case int64:
		return v, true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v), true
		}
	case string:
		if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
			return n, true
		}
	}
	return 0, false
}

// id gives a column that refers to a row.
func (r row) id(column string) (int64, bool) {
	n, ok := r.integer(column)
	return n, ok && n > 0
}

func (r row) number(column string) float64 {
	var f float64
	switch v := r[column].(type) {
	case int64:
		f = float64(v)
	case float64:
		f = v
	case string:
		f, _ = strconv.ParseFloat(strings.TrimSpace(v), 64)
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}

// boolean reads true and false in all the ways the original wrote them.
func (r row) boolean(column string) bool {
	if f := r.number(column); f != 0 {
		return true
	}
	switch strings.ToLower(r.trimmed(column)) {
	case "true", "t", "yes", "y", "on":
		return true
	}
	return false
}

// timeLayouts are the ways in which times are written in the original's files.
// Those with a zone come first.
func timeLayouts() (zoned, local []string) {
	zoned = []string{
		time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999 -0700",
		"2006-01-02 15:04:05.999999999 -07:00", "2006-01-02 15:04:05.999999999 MST", time.RFC1123, time.RFC1123Z,
	}
	local = []string{
		"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04", "2006-01-02T15:04",
		"2006-01-02", "2006/01/02 15:04:05", "2006/01/02", time.ANSIC,
	}
	return zoned, local
}

// moment reads a time; one without a zone is of loc.
func (r row) moment(column string, loc *time.Location) (time.Time, bool) {
	if s, ok := r[column].(string); ok {
		return parseTime(strings.TrimSpace(s), loc)
	}
	if n := r.number(column); n != 0 {
		return epoch(n)
	}
	return time.Time{}, false
}

func parseTime(s string, loc *time.Location) (time.Time, bool) {
	zoned, local := timeLayouts()
	for _, layout := range zoned {
		if t, err := time.Parse(layout, s); err == nil {
			return plausible(t)
		}
	}
	for _, layout := range local {
		if t, err := time.ParseInLocation(layout, s, loc); err == nil {
			return plausible(t)
		}
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		return epoch(n)
	}
	return time.Time{}, false
}

// epoch reads seconds or milliseconds since 1970.
func epoch(n float64) (time.Time, bool) {
	if math.IsNaN(n) || n < 1e8 || n > 1e13 {
		return time.Time{}, false
	}
	if n > 1e11 {
		n /= 1000
	}
	return plausible(time.UnixMicro(int64(n * 1e6)))
}

func plausible(t time.Time) (time.Time, bool) {
	if t.Year() < 1971 || t.Year() > 2200 {
		return time.Time{}, false
	}
	return t.UTC().Truncate(time.Microsecond), true
}

// errNotJSON says that a text cannot be stored as JSON.
var errNotJSON = errors.New("not readable as JSON")

// document reads a JSON text into a value that the database can hold: without
// NUL, halves of surrogate pairs, numbers out of range and bottomless nesting.
func document(text string) (any, error) {
	if len(text) > maxValueBytes {
		return nil, errNotJSON
	}
	dec := json.NewDecoder(strings.NewReader(strings.ToValidUTF8(text, "\uFFFD")))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, errNotJSON
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotJSON
	}
	return storable(v, 0)
}

// object is document for a column that should hold an object.
func (r row) object(column string) (map[string]any, bool) {
	v, err := document(rawText(r[column]))
	m, ok := v.(map[string]any)
	return m, ok && err == nil
}

func rawText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	default:
		return ""
	}
}

func storable(v any, depth int) (any, error) {
	if depth > maxJSONDepth {
		return nil, errNotJSON
	}
	var err error
	switch v := v.(type) {
	case string:
		return clean(v), nil
	case json.Number:
		// A number that no float holds would be refused, or blown up to all its digits.
		if f, err := v.Float64(); err != nil || (f == 0 && strings.ContainsAny(string(v), "123456789")) {
			return string(v), nil //nolint:nilerr // kept as text
		}
	case []any:
		for i := range v {
			if v[i], err = storable(v[i], depth+1); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k, item := range v {
			if item, err = storable(item, depth+1); err != nil {
				return nil, err
			}
			if c := clean(k); c != k {
				delete(v, k)
				k = c
			}
			v[k] = item
		}
	}
	return v, nil
}

// encode writes what document or the importer itself made.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// plain gives a column as a JSON value, for the archive.
func plain(v any) any {
	switch v := v.(type) {
	case string:
		if len(v) > maxValueBytes {
			return map[string]any{"omitted": "too large", "bytes": len(v)}
		}
		return clean(v)
	case []byte:
		if len(v) > maxValueBytes/2 {
			return map[string]any{"omitted": "too large", "bytes": len(v)}
		}
		return map[string]any{"base64": base64.StdEncoding.EncodeToString(v)}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
	}
	return v
}

// short cuts a text to a number of characters.
func short(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}
