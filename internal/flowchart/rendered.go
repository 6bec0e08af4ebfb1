package flowchart

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
)

// literalKeys are members of a config whose strings are never templates.
func literalKeys(kind Kind) map[string]bool {
	switch kind {
	case KindTask:
		return map[string]bool{"output_schema": true, "tools": true, "params": true}
	case KindStart:
		return map[string]bool{"input_schema": true}
	case KindDecision:
		return map[string]bool{"conditions": true, "default_edge_id": true}
	default:
		return nil
	}
}

// configTemplates are the templates of one node's config by their place in it.
type configTemplates struct {
	value     any // the decoded config
	literal   map[string]bool
	templates map[string]*Template // by JSON pointer
	refs      Refs
	inputs    map[string][]string // members of input read, by pointer
}

// templateFault is a template that does not compile.
type templateFault struct {
	pointer string
	err     error
}

func compileConfig(env *cel.Env, n *Node) (*configTemplates, []templateFault) {
	value, err := DecodeValue(n.Config)
	if err != nil {
		return nil, []templateFault{{pointer: "", err: err}}
	}
	c := &configTemplates{value: value, literal: literalKeys(n.Kind), templates: map[string]*Template{}, inputs: map[string][]string{}}
	var faults []templateFault
	c.walk(value, "", func(pointer, text string) {
		t, err := compileTemplate(env, text)
		if err != nil {
			faults = append(faults, templateFault{pointer: pointer, err: err})
			return
		}
		c.templates[pointer] = t
		refs, inputs := t.refs()
		c.refs = c.refs.and(refs)
		c.inputs[pointer] = inputs
	})
	return c, faults
}

// walk visits every string that has a template in it, in a fixed order.
func (c *configTemplates) walk(v any, pointer string, visit func(pointer, text string)) {
	switch x := v.(type) {
	case string:
		if strings.Contains(x, "{{") {
			visit(pointer, x)
		}
	case []any:
		for i := range x {
			c.walk(x[i], fmt.Sprintf("%s/%d", pointer, i), visit)
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(x)) {
			if pointer == "" && c.literal[k] {
				continue
			}
			c.walk(x[k], pointer+"/"+k, visit)
		}
	}
}

func (c *configTemplates) render(ctx context.Context, s Scope) (json.RawMessage, error) {
	out, err := c.replace(ctx, c.value, "", s)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode rendered config: %w", err)
	}
	return raw, nil
}

// replace copies a value with its templates rendered.
func (c *configTemplates) replace(ctx context.Context, v any, pointer string, s Scope) (any, error) {
	var err error
	switch x := v.(type) {
	case string:
		t, ok := c.templates[pointer]
		if !ok {
			return x, nil
		}
		text, err := t.Render(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.TrimPrefix(pointer, "/"), err)
		}
		return text, nil
	case []any:
		out := make([]any, len(x))
		for i := range x {
			if out[i], err = c.replace(ctx, x[i], fmt.Sprintf("%s/%d", pointer, i), s); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(x))
		for k := range x {
			if out[k], err = c.replace(ctx, x[k], pointer+"/"+k, s); err != nil {
				return nil, err
			}
		}
		return out, nil
	default:
		return v, nil
	}
}
