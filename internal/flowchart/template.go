package flowchart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
)

// maxRendered bounds what a template may become.
const maxRendered = 4 << 20

// Template is text with {{ expressions }} in it.
type Template struct {
	parts []part
}

type part struct {
	text string
	expr *Expr // nil: text
}

// compileTemplate splits and compiles; the error is for the text's author.
func compileTemplate(env *cel.Env, text string) (*Template, error) {
	var t Template
	for text != "" {
		before, rest, found := strings.Cut(text, "{{")
		if before != "" {
			t.parts = append(t.parts, part{text: before})
		}
		if !found {
			break
		}
		source, after, closed := cutExpression(rest)
		if !closed {
			return nil, errors.New("{{ without }}")
		}
		e, err := compileExpr(env, strings.TrimSpace(source))
		if err != nil {
			return nil, fmt.Errorf("{{ %s }}: %w", strings.TrimSpace(source), err)
		}
		t.parts = append(t.parts, part{expr: e})
		text = after
	}
	return &t, nil
}

// cutExpression finds the }} that ends an expression: not one inside a string,
// and not the end of a map literal in it.
func cutExpression(s string) (source, after string, ok bool) {
	var quote byte
	depth := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0:
			switch c {
			case '\\':
				i++
			case quote:
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case c == '}' && strings.HasPrefix(s[i:], "}}"):
			return s[:i], s[i+2:], true
		}
	}
	return "", "", false
}

// Render evaluates the expressions. A value that is not a string is written as
// JSON.
func (t *Template) Render(ctx context.Context, s Scope) (string, error) {
	vars := s.vars()
	var b strings.Builder
	for _, p := range t.parts {
		text := p.text
		if p.expr != nil {
			v, err := p.expr.eval(ctx, vars)
			if err != nil {
				return "", err
			}
			if text, err = asText(v); err != nil {
				return "", fmt.Errorf("%s: %w", p.expr.source, err)
			}
		}
		if b.Len()+len(text) > maxRendered {
			return "", fmt.Errorf("the text becomes larger than %d bytes", maxRendered)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

func asText(v any) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("the value cannot be written as JSON: %w", err)
	}
	return string(raw), nil
}

// refs says which nodes the template reads; inputs, which members of input.
func (t *Template) refs() (refs Refs, inputs []string) {
	for _, p := range t.parts {
		if p.expr != nil {
			refs = refs.and(p.expr.refs)
			inputs = append(inputs, p.expr.inputs...)
		}
	}
	return refs, inputs
}
