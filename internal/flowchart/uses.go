package flowchart

import (
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// uses is what an expression reads, as far as its text tells.
type uses struct {
	free  []string   // names that no loop of the expression binds
	nodes []string   // ids read as nodes.<id> or nodes["<id>"]
	all   bool       // reads nodes in a way that only its evaluation tells
	input [][]string // member paths below input
}

func (u *uses) merge(o uses) {
	u.free = append(u.free, o.free...)
	u.nodes = append(u.nodes, o.nodes...)
	u.all = u.all || o.all
	u.input = append(u.input, o.input...)
}

// Refs says which outputs of other nodes an expression or a template reads, so
// that only these need to be loaded.
type Refs struct {
	All   bool     // any node may be read; Nodes then lists some of them
	Nodes []string // node ids, sorted
}

func (u uses) refs() Refs {
	ids := slices.Clone(u.nodes)
	slices.Sort(ids)
	return Refs{All: u.all, Nodes: slices.Compact(ids)}
}

// findUses walks a parsed expression. Names that its comprehensions bind hide
// the roots of the same name.
func findUses(e ast.Expr) uses {
	w := useWalker{bound: map[string]int{}}
	w.expr(e)
	slices.Sort(w.free)
	w.free = slices.Compact(w.free)
	return w.uses
}

type useWalker struct {
	uses
	bound map[string]int
}

func (w *useWalker) expr(e ast.Expr) {
	switch e.Kind() {
	case ast.IdentKind:
		w.ident(e.AsIdent())
	case ast.SelectKind, ast.CallKind:
		if w.path(e) {
			return
		}
		w.children(e)
	case ast.ListKind:
		w.each(e.AsList().Elements())
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			w.expr(entry.AsMapEntry().Key())
			w.expr(entry.AsMapEntry().Value())
		}
	case ast.StructKind:
		for _, f := range e.AsStruct().Fields() {
			w.expr(f.AsStructField().Value())
		}
	case ast.ComprehensionKind:
		w.comprehension(e.AsComprehension())
	case ast.LiteralKind, ast.UnspecifiedExprKind:
	}
}

func (w *useWalker) each(es []ast.Expr) {
	for _, e := range es {
		w.expr(e)
	}
}

func (w *useWalker) children(e ast.Expr) {
	if e.Kind() == ast.SelectKind {
		w.expr(e.AsSelect().Operand())
		return
	}
	call := e.AsCall()
	if call.FunctionName() == operators.In && w.isRoot(call.Args()[1], rootNodes) {
		if id, ok := textLiteral(call.Args()[0]); ok {
			w.free = append(w.free, rootNodes)
			w.nodes = append(w.nodes, id)
			return
		}
	}
	if call.IsMemberFunction() {
		w.expr(call.Target())
	}
	w.each(call.Args())
}

func (w *useWalker) ident(name string) {
	if w.bound[name] > 0 {
		return
	}
	w.free = append(w.free, name)
	if name == rootNodes {
		w.all = true
	}
}

func (w *useWalker) comprehension(c ast.ComprehensionExpr) {
	w.expr(c.IterRange())
	w.expr(c.AccuInit())
	names := []string{c.IterVar(), c.AccuVar()}
	if c.HasIterVar2() {
		names = append(names, c.IterVar2())
	}
	for _, n := range names {
		w.bound[n]++
	}
	w.expr(c.LoopCondition())
	w.expr(c.LoopStep())
	for _, n := range names {
		w.bound[n]--
	}
	w.bound[c.AccuVar()]++
	w.expr(c.Result())
	w.bound[c.AccuVar()]--
}

// path handles e if it is a chain of constant members that begins at nodes or
// input.
func (w *useWalker) path(e ast.Expr) bool {
	var members []string
	for {
		operand, member, ok := step(e)
		if !ok {
			break
		}
		members = append(members, member)
		e = operand
	}
	if len(members) == 0 {
		return false
	}
	slices.Reverse(members)
	switch {
	case w.isRoot(e, rootNodes):
		w.nodes = append(w.nodes, members[0])
	case w.isRoot(e, rootInput):
		w.input = append(w.input, members)
	default:
		w.expr(e)
		return true
	}
	w.free = append(w.free, e.AsIdent())
	return true
}

// step takes the last member off a chain a.b["c"].
func step(e ast.Expr) (operand ast.Expr, member string, ok bool) {
	switch e.Kind() {
	case ast.SelectKind:
		return e.AsSelect().Operand(), e.AsSelect().FieldName(), true
	case ast.CallKind:
		call := e.AsCall()
		if call.FunctionName() != operators.Index {
			return nil, "", false
		}
		member, ok = textLiteral(call.Args()[1])
		return call.Args()[0], member, ok
	default:
		return nil, "", false
	}
}

func (w *useWalker) isRoot(e ast.Expr, name string) bool {
	return e.Kind() == ast.IdentKind && e.AsIdent() == name && w.bound[name] == 0
}

func textLiteral(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}
