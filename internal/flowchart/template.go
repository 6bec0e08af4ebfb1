package flowchart

import (
	"context"
	"fmt"
	"strings"

	"cel.dev/cel-go/common/types"
)

// Limits of templates.
const (
	MaxTemplateParts = 1000
	MaxRenderedBytes = 1 << 20
)

// Template is text with {{ CEL }} in it. Text values are inserted as they are,
// all others as JSON. A }} within a string literal of an expression does not end
// it; a {{ that is meant literally is written {{ "{{" }}. It is safe for
// concurrent use.
type Template struct {
	parts []part
	uses  uses
}

type part struct {
	text string // literal, if expr is nil
	expr *Expr
}

// CompileTemplate compiles a template. It fails like CompileExpr.
func CompileTemplate(text string) (*Template, error) {
	lang, err := newLanguage()
	if err != nil {
		return nil, err
	}
	t, err := lang.template(text)
	if err != nil {
		return nil, issueError(err)
	}
	return t, nil
}

func (l *language) template(text string) (*Template, error) {
	t := &Template{}
	for text != "" {
		if len(t.parts) > MaxTemplateParts {
			return nil, issue{message: fmt.Sprintf("the template has more than %d parts", MaxTemplateParts)}
		}
		before, rest, found := strings.Cut(text, "{{")
		if before != "" {
			t.parts = append(t.parts, part{text: before})
		}
		if !found {
			break
		}
		source, after, closed := cutExpression(rest)
		if !closed {
			return nil, issue{message: "the template has a {{ without }}: " + quote("{{"+rest)}
		}
		e, err := l.compile(source)
		if err != nil {
			return nil, err
		}
		t.parts = append(t.parts, part{expr: e})
		t.uses.merge(e.uses)
		text = after
	}
	return t, nil
}

// cutExpression splits at the }} that ends an expression. Within string literals
// and within the braces of maps, }} does not end it.
func cutExpression(s string) (source, after string, found bool) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\'':
			end := literalEnd(s, i)
			if end < 0 {
				return "", "", false
			}
			i = end - 1
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

// literalEnd gives the index after the string literal that begins at i, or -1.
// It knows CEL's triple quotes, escapes and raw prefix.
func literalEnd(s string, i int) int {
	q := s[i : i+1]
	if strings.HasPrefix(s[i:], strings.Repeat(q, 3)) {
		q = s[i : i+3]
	}
	for k := i + len(q); k < len(s); k++ {
		switch {
		case strings.HasPrefix(s[k:], q):
			return k + len(q)
		case s[k] == '\\' && !isRaw(s, i):
			k++
		}
	}
	return -1
}

// isRaw reports whether the literal at i has the prefix r: r"", b r"", rb"".
func isRaw(s string, i int) bool {
	start := i
	for start > 0 && isWord(s[start-1]) {
		start--
	}
	switch strings.ToLower(s[start:i]) {
	case "r", "rb", "br":
		return true
	}
	return false
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// NodeRefs says which nodes' outputs the template reads.
func (t *Template) NodeRefs() Refs { return t.uses.refs() }

// Static gives the text before the first expression, and whether that is all.
func (t *Template) Static() (prefix string, whole bool) {
	switch {
	case len(t.parts) == 0:
		return "", true
	case t.parts[0].expr != nil:
		return "", false
	default:
		return t.parts[0].text, len(t.parts) == 1
	}
}

// Render evaluates the template to at most MaxRenderedBytes. It fails with
// flow.expression_failed, which names the expression and what is missing, with
// flow.expression_timeout, or with flow.rendered_too_large.
func (t *Template) Render(ctx context.Context, s Scope) (string, error) {
	return t.render(ctx, s.vars(), MaxRenderedBytes)
}

func (t *Template) render(ctx context.Context, vars map[string]any, limit int) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		text := p.text
		if p.expr != nil {
			var err error
			if text, err = p.expr.inserted(ctx, vars, limit-b.Len()); err != nil {
				return "", err
			}
		}
		if b.Len()+len(text) > limit {
			return "", tooLarge(limit)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// inserted evaluates to the text that a template inserts.
func (e *Expr) inserted(ctx context.Context, vars map[string]any, limit int) (string, error) {
	v, err := e.eval(ctx, vars)
	if err != nil {
		return "", err
	}
	if s, ok := v.(types.String); ok {
		return string(s), nil
	}
	b, err := e.json(v, limit)
	return string(b), err
}
