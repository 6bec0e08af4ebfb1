package flowchart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// textFn gets the location and content of a template within a config and gives
// what stands in its place.
type textFn func(location, text string) (any, error)

// walkTexts calls fn for every template of a config, in a fixed order. Members
// of another type than their kind wants are passed over.
func walkTexts(kind Kind, config map[string]any, fn textFn) error {
	switch kind {
	case KindTask:
		return walkMembers(config, "config", fn, "prompt", "system")
	case KindRAG:
		return walkMembers(config, "config", fn, "question")
	case KindHTTP:
		if err := walkMembers(config, "config", fn, "url"); err != nil {
			return err
		}
		if err := walkObject(config["headers"], "config.headers", fn); err != nil {
			return err
		}
		return walkDeep(config, "config", "body", fn)
	case KindScript:
		if err := walkMembers(config, "config", fn, "script", "stdin"); err != nil {
			return err
		}
		if err := walkObject(config["env"], "config.env", fn); err != nil {
			return err
		}
		return walkList(config["command"], "config.command", fn)
	default:
		return nil
	}
}

func walkMembers(m map[string]any, location string, fn textFn, names ...string) error {
	for _, name := range names {
		text, ok := m[name].(string)
		if !ok {
			continue
		}
		v, err := fn(location+"."+name, text)
		if err != nil {
			return err
		}
		m[name] = v
	}
	return nil
}

func walkObject(v any, location string, fn textFn) error {
	m, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	return walkMembers(m, location, fn, slices.Sorted(maps.Keys(m))...)
}

func walkList(v any, location string, fn textFn) error {
	list, ok := v.([]any)
	if !ok {
		return nil
	}
	for i, item := range list {
		text, ok := item.(string)
		if !ok {
			continue
		}
		r, err := fn(indexed(location, i), text)
		if err != nil {
			return err
		}
		list[i] = r
	}
	return nil
}

// walkDeep visits every text within m[name].
func walkDeep(m map[string]any, location, name string, fn textFn) error {
	location += "." + name
	switch v := m[name].(type) {
	case string:
		r, err := fn(location, v)
		if err != nil {
			return err
		}
		m[name] = r
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if err := walkDeep(v, location, k, fn); err != nil {
				return err
			}
		}
	case []any:
		for i := range v {
			box := map[string]any{"": v[i]}
			if err := walkDeep(box, indexed(location, i), "", fn); err != nil {
				return err
			}
			v[i] = box[""]
		}
	}
	return nil
}

func indexed(location string, i int) string { return fmt.Sprintf("%s[%d]", location, i) }

// configMap decodes a config so that encoding it again keeps its numbers.
func configMap(raw json.RawMessage) (map[string]any, error) {
	m := map[string]any{}
	if isBlank(raw) {
		return m, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("decode a node's config: %w", err)
	}
	return m, nil
}
