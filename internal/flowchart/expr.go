package flowchart

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
)

// Scope is what expressions read. The values are decoded JSON as DecodeValue
// gives it.
type Scope struct {
	Input    any            // the run's input
	Upstream any            // output of the latest trigger
	Nodes    map[string]any // newest output by node id; absent: has none
	Run      map[string]any
}

func (s Scope) vars() map[string]any {
	nodes := s.Nodes
	if nodes == nil {
		nodes = map[string]any{}
	}
	return map[string]any{"input": s.Input, "upstream": s.Upstream, "nodes": nodes, "run": s.Run}
}

// DecodeValue decodes JSON for a Scope. Whole numbers become int64, so that they
// can be added to and compared with the literals of an expression.
func DecodeValue(raw []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("decode value: %w", err)
	}
	return numbers(v), nil
}

func numbers(v any) any {
	switch x := v.(type) {
	case json.Number:
		if i, err := x.Int64(); err == nil {
			return i
		}
		f, _ := x.Float64() // out of range: ±Inf, as JavaScript has it
		return f
	case []any:
		for i := range x {
			x[i] = numbers(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = numbers(x[k])
		}
	}
	return v
}

const (
	// costLimit bounds what one evaluation may do, in CEL's units.
	costLimit = 1_000_000
	// checkEvery is how often a loop in an expression looks at its deadline.
	checkEvery    = 100
	maxExpression = 10_000
)

// newEnv declares what an expression may read.
func newEnv() (*cel.Env, error) {
	env, err := cel.NewEnv(
		cel.Variable("input", cel.DynType),
		cel.Variable("upstream", cel.DynType),
		cel.Variable("nodes", cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable("run", cel.MapType(cel.StringType, cel.DynType)),
		cel.CrossTypeNumericComparisons(true),
		ext.Strings(),
	)
	if err != nil {
		return nil, fmt.Errorf("make expression environment: %w", err)
	}
	return env, nil
}

// Expr is a compiled expression.
type Expr struct {
	source string
	prog   cel.Program
	refs   Refs
	inputs []string // members of input that it reads by name
}

// compileExpr compiles an expression; the error is for its author.
func compileExpr(env *cel.Env, source string) (*Expr, error) {
	if len(source) > maxExpression {
		return nil, fmt.Errorf("the expression has %d bytes; at most %d are accepted", len(source), maxExpression)
	}
	if strings.TrimSpace(source) == "" {
		return nil, errors.New("the expression is empty")
	}
	checked, issues := env.Compile(source)
	if issues.Err() != nil {
		return nil, errors.New(firstIssue(issues))
	}
	prog, err := env.Program(checked, cel.CostLimit(costLimit), cel.InterruptCheckFrequency(checkEvery))
	if err != nil {
		return nil, fmt.Errorf("expression %q: %w", source, err)
	}
	e := &Expr{source: source, prog: prog}
	e.collect(ast.NavigateAST(checked.NativeRep()))
	return e, nil
}

// firstIssue puts the first complaint in plain words.
func firstIssue(issues *cel.Issues) string {
	all := issues.Errors()
	if len(all) == 0 {
		return issues.Err().Error()
	}
	msg := all[0].Message
	if name, ok := strings.CutPrefix(msg, "undeclared reference to '"); ok {
		name, _, _ = strings.Cut(name, "'")
		return fmt.Sprintf("unknown name %q; known are input, upstream, nodes and run", name)
	}
	return fmt.Sprintf("%s (column %d)", msg, all[0].Location.Column()+1)
}

// collect notes which nodes and which members of input the expression reads.
func (e *Expr) collect(root ast.NavigableExpr) {
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(x ast.Expr) {
		nav, ok := x.(ast.NavigableExpr)
		if !ok || x.Kind() != ast.IdentKind {
			return
		}
		name := x.AsIdent()
		if name != "nodes" && name != "input" {
			return
		}
		member, ok := memberRead(nav)
		switch {
		case name == "input" && ok:
			e.inputs = append(e.inputs, member)
		case name == "nodes" && ok:
			e.refs = e.refs.With(member)
		case name == "nodes":
			e.refs.all = true
		}
	}))
}

// memberRead tells which member of an identifier its parent reads by a constant
// name: x.member, has(x.member) or x["member"].
func memberRead(ident ast.NavigableExpr) (string, bool) {
	parent, ok := ident.Parent()
	if !ok {
		return "", false
	}
	switch parent.Kind() {
	case ast.SelectKind:
		return parent.AsSelect().FieldName(), true
	case ast.CallKind:
		call := parent.AsCall()
		if call.FunctionName() != operators.Index || len(call.Args()) != 2 || call.Args()[1].Kind() != ast.LiteralKind {
			return "", false
		}
		s, ok := call.Args()[1].AsLiteral().(types.String)
		return string(s), ok
	default:
		return "", false
	}
}

// Eval evaluates the expression. It ends by ctx's deadline or the cost limit.
func (e *Expr) Eval(ctx context.Context, s Scope) (any, error) {
	return e.eval(ctx, s.vars())
}

func (e *Expr) eval(ctx context.Context, vars map[string]any) (any, error) {
	out, _, err := e.prog.ContextEval(ctx, vars)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", e.source, evalMessage(ctx, err))
	}
	v, err := native(out)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.source, err)
	}
	return v, nil
}

func evalMessage(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return "took too long and was stopped"
	}
	if strings.Contains(err.Error(), "cost limit") {
		return "does more work than an expression may"
	}
	return err.Error()
}

// native turns a CEL value into plain Go values that encode as JSON.
func native(v ref.Val) (any, error) {
	switch x := v.(type) {
	case types.Bool, types.Int, types.Uint, types.Double, types.String, types.Null:
		if _, isNull := x.(types.Null); isNull {
			return nil, nil //nolint:nilnil // JSON null is a value here
		}
		return x.Value(), nil
	}
	raw, err := v.ConvertToNative(types.JSONValueType)
	if err != nil {
		return v.Value(), nil //nolint:nilerr // what is not JSON (a timestamp, a type) keeps its own form
	}
	encoded, err := json.Marshal(raw)
	if err != nil {
		return nil, fmt.Errorf("the value cannot be written as JSON: %w", err)
	}
	return DecodeValue(encoded)
}

// Refs says which nodes' outputs something reads.
type Refs struct {
	ids map[string]bool
	all bool // computed at run time: any of them
}

// With gives refs that read these nodes, too.
func (r Refs) With(ids ...string) Refs {
	out := Refs{ids: maps.Clone(r.ids), all: r.all}
	if out.ids == nil {
		out.ids = map[string]bool{}
	}
	for _, id := range ids {
		out.ids[id] = true
	}
	return out
}

func (r Refs) and(o Refs) Refs {
	out := r.With(slices.Collect(maps.Keys(o.ids))...)
	out.all = r.all || o.all
	return out
}

// List gives the node ids, sorted, or all as true.
func (r Refs) List() (ids []string, all bool) {
	return slices.Sorted(maps.Keys(r.ids)), r.all
}
