package flowchart

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/llmctl/studio/internal/errs"
)

const (
	reasonExpression  = "flow.invalid_expression"
	reasonUnknownName = "flow.unknown_name"
	reasonEvaluation  = "flow.expression_failed"
	reasonTimeout     = "flow.expression_timeout"
)

// Expr is a compiled CEL expression. It is safe for concurrent use.
type Expr struct {
	text    string
	program cel.Program
	output  *cel.Type
	uses    uses
}

// CompileExpr compiles a CEL expression over input, upstream, nodes and run. It
// fails with flow.unknown_name or flow.invalid_expression.
func CompileExpr(text string) (*Expr, error) {
	lang, err := newLanguage()
	if err != nil {
		return nil, err
	}
	e, err := lang.compile(text)
	if err != nil {
		return nil, issueError(err)
	}
	return e, nil
}

// reasonOf gives the stable word for a fault of a text.
func reasonOf(err error) string {
	if i, ok := errors.AsType[issue](err); ok && i.name != "" {
		return reasonUnknownName
	}
	return reasonExpression
}

func issueError(err error) error {
	return errs.E(errs.Invalid, reasonOf(err), sentence(err.Error()))
}

// sentence turns a fragment into a sentence.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}

// NodeRefs says which nodes' outputs the expression reads.
func (e *Expr) NodeRefs() Refs { return e.uses.refs() }

// String gives the text.
func (e *Expr) String() string { return e.text }

// eval evaluates the expression. The context ends a long evaluation; the cost
// limit does so without a clock.
func (e *Expr) eval(ctx context.Context, vars map[string]any) (ref.Val, error) {
	if err := ctx.Err(); err != nil {
		return nil, e.interrupted(err)
	}
	v, _, err := e.program.ContextEval(ctx, vars)
	if err == nil {
		return v, nil
	}
	if cause := ctx.Err(); cause != nil {
		return nil, e.interrupted(cause)
	}
	msg := err.Error()
	switch {
	case strings.HasPrefix(msg, "no such overload"):
		msg += ": a function or operator got values of types it does not take, such as text for a number, or a whole number beside a fraction (write 2.0 or double(x))"
	case strings.Contains(msg, "cost limit exceeded"):
		msg = "it needs too many operations"
	}
	return nil, errs.Ef(errs.Invalid, reasonEvaluation, "The expression %s failed: %s.", quote(e.text), msg).With(err)
}

func (e *Expr) interrupted(cause error) error {
	return errs.Ef(errs.Timeout, reasonTimeout, "The expression %s was not evaluated in time.", quote(e.text)).With(cause)
}

// EvalJSON evaluates the expression to JSON of at most limit bytes.
func (e *Expr) EvalJSON(ctx context.Context, s Scope, limit int) ([]byte, error) {
	v, err := e.eval(ctx, s.vars())
	if err != nil {
		return nil, err
	}
	return e.json(v, limit)
}

func (e *Expr) json(v ref.Val, limit int) ([]byte, error) {
	w := jsonWriter{limit: limit}
	if err := w.value(v); errors.Is(err, errTooLong) {
		return nil, tooLarge(limit)
	} else if err != nil {
		return nil, errs.Ef(errs.Invalid, reasonEvaluation, "The expression %s failed: %s.", quote(e.text), err)
	}
	return w.buf, nil
}

func tooLarge(limit int) error {
	return errs.Ef(errs.TooLarge, "flow.rendered_too_large", "The rendered text would have more than the %d bytes that are left for it.", limit)
}

// Condition is an expression that is true or false.
type Condition struct {
	expr *Expr
}

// CompileCondition compiles a condition. It fails like CompileExpr, and also if
// the expression is known to give something else than true or false.
func CompileCondition(text string) (*Condition, error) {
	lang, err := newLanguage()
	if err != nil {
		return nil, err
	}
	c, err := lang.condition(text)
	if err != nil {
		return nil, issueError(err)
	}
	return c, nil
}

func (l *language) condition(text string) (*Condition, error) {
	e, err := l.compile(text)
	if err != nil {
		return nil, err
	}
	if k := e.output.Kind(); k != types.BoolKind && k != types.DynKind {
		return nil, issue{message: fmt.Sprintf("the expression %s gives %s, not true or false", quote(text), e.output)}
	}
	return &Condition{expr: e}, nil
}

// Eval evaluates the condition. A result that is neither true nor false is an
// error, like every failure: a condition is never silently false.
func (c *Condition) Eval(ctx context.Context, s Scope) (bool, error) {
	return c.eval(ctx, s.vars())
}

func (c *Condition) eval(ctx context.Context, vars map[string]any) (bool, error) {
	v, err := c.expr.eval(ctx, vars)
	if err != nil {
		return false, err
	}
	b, ok := v.(types.Bool)
	if !ok {
		return false, errs.Ef(errs.Invalid, reasonEvaluation, "The expression %s gave %s, not true or false.",
			quote(c.expr.text), v.Type().TypeName())
	}
	return bool(b), nil
}

// NodeRefs says which nodes' outputs the condition reads.
func (c *Condition) NodeRefs() Refs { return c.expr.NodeRefs() }

// String gives the text.
func (c *Condition) String() string { return c.expr.text }
