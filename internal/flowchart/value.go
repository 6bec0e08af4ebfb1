package flowchart

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Scope is what expressions see. Values are those of DecodeValue; NewScope makes
// a scope of JSON texts.
type Scope struct {
	Input    any            // the run's input
	Upstream any            // the latest triggering output; nil at the entry node
	Nodes    map[string]any // node id -> latest output_state; absent: not run or skipped
	Run      map[string]any // id, flowchart_id, version, …
}

// NewScope decodes the JSON texts of a scope. Empty texts count as null.
func NewScope(input, upstream json.RawMessage, nodes map[string]json.RawMessage, run map[string]any) (Scope, error) {
	s := Scope{Nodes: make(map[string]any, len(nodes)), Run: run}
	var err error
	if s.Input, err = DecodeValue(input); err != nil {
		return Scope{}, fmt.Errorf("decode the run's input: %w", err)
	}
	if s.Upstream, err = DecodeValue(upstream); err != nil {
		return Scope{}, fmt.Errorf("decode the upstream output: %w", err)
	}
	for id, raw := range nodes {
		if s.Nodes[id], err = DecodeValue(raw); err != nil {
			return Scope{}, fmt.Errorf("decode the output of node %q: %w", id, err)
		}
	}
	return s, nil
}

// vars gives the scope as CEL takes it: absent maps are empty, not null.
func (s Scope) vars() map[string]any {
	nodes, run := s.Nodes, s.Run
	if nodes == nil {
		nodes = map[string]any{}
	}
	if run == nil {
		run = map[string]any{}
	}
	return map[string]any{rootInput: s.Input, rootUpstream: s.Upstream, rootNodes: nodes, rootRun: run}
}

// DecodeValue decodes JSON for expressions: numbers written as integers become
// int64 where they fit, so that they work with integer literals, and all others
// float64. Empty text counts as null.
func DecodeValue(raw json.RawMessage) (any, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, nil //nolint:nilnil // null is a value
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text after the JSON value")
	}
	return plain(v)
}

func plain(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i, nil
		}
		f, err := v.Float64()
		if err != nil {
			return nil, fmt.Errorf("the number %s is out of range", v)
		}
		return f, nil
	case []any:
		for i := range v {
			if v[i], err = plain(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = plain(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// errTooLong says that a jsonWriter met its limit.
var errTooLong = errors.New("the value is too large")

// jsonWriter writes CEL values as JSON, up to a limit: a short expression can
// name a large value many times.
type jsonWriter struct {
	buf   []byte
	limit int
}

func (w *jsonWriter) put(s string) error {
	if len(w.buf)+len(s) > w.limit {
		return errTooLong
	}
	w.buf = append(w.buf, s...)
	return nil
}

func (w *jsonWriter) text(s string) error {
	if len(w.buf)+len(s) > w.limit {
		return w.put(s)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return err
	}
	return w.put(strings.TrimSuffix(b.String(), "\n"))
}

func (w *jsonWriter) value(v ref.Val) error {
	switch v := v.(type) {
	case types.Null:
		return w.put("null")
	case types.Bool:
		return w.put(strconv.FormatBool(bool(v)))
	case types.Int:
		return w.put(strconv.FormatInt(int64(v), 10))
	case types.Uint:
		return w.put(strconv.FormatUint(uint64(v), 10))
	case types.Double:
		return w.number(float64(v))
	case types.String:
		return w.text(string(v))
	case types.Bytes:
		return w.text(base64.StdEncoding.EncodeToString(v))
	case types.Timestamp:
		return w.text(v.UTC().Format(time.RFC3339Nano))
	case types.Duration:
		return w.text(v.String())
	case traits.Lister:
		return w.list(v)
	case traits.Mapper:
		return w.object(v)
	default:
		return fmt.Errorf("a value of type %s has no JSON form", v.Type().TypeName())
	}
}

func (w *jsonWriter) number(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Errorf("the number %v has no JSON form", f)
	}
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return w.put(string(b))
}

func (w *jsonWriter) list(l traits.Lister) error {
	sep := "["
	for it := l.Iterator(); it.HasNext() == types.True; sep = "," {
		if err := w.put(sep); err != nil {
			return err
		}
		if err := w.value(it.Next()); err != nil {
			return err
		}
	}
	if sep == "[" {
		return w.put("[]")
	}
	return w.put("]")
}

func (w *jsonWriter) object(m traits.Mapper) error {
	type entry struct {
		name  string
		value ref.Val
	}
	var entries []entry
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name := fmt.Sprint(key.Value())
		entries = append(entries, entry{name, m.Get(key)})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	sep := "{"
	for _, e := range entries {
		if err := w.put(sep); err != nil {
			return err
		}
		sep = ","
		if err := w.text(e.name); err != nil {
			return err
		}
		if err := w.put(":"); err != nil {
			return err
		}
		if err := w.value(e.value); err != nil {
			return err
		}
	}
	if sep == "{" {
		return w.put("{}")
	}
	return w.put("}")
}
