package flowchart

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/ext"
	"cel.dev/cel-go/parser"
)

// Limits of expressions.
const (
	MaxExpressionLength = 10_000    // characters
	MaxExpressionCost   = 5_000_000 // in CEL's units, about one per elementary operation
	MaxValueBytes       = 4 << 20   // what one text function may build
	maxExpressionDepth  = 100
	interruptFrequency  = 100 // loop iterations between looks at the context
)

// The names an expression may begin with.
const (
	rootInput    = "input"
	rootUpstream = "upstream"
	rootNodes    = "nodes"
	rootRun      = "run"
)

// language compiles expressions. Making one is cheap next to compiling a few
// expressions, so it is made where it is needed and shared within a graph.
type language struct {
	env *cel.Env
}

func newLanguage() (*language, error) {
	env, err := cel.NewEnv(
		cel.Variable(rootInput, cel.DynType),
		cel.Variable(rootUpstream, cel.DynType),
		cel.Variable(rootNodes, cel.MapType(cel.StringType, cel.DynType)),
		cel.Variable(rootRun, cel.MapType(cel.StringType, cel.DynType)),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(MaxExpressionLength),
		cel.ParserRecursionLimit(maxExpressionDepth),
		cel.ExtendedValidations(),
		cel.DefaultUTCTimeZone(true),
		ext.Strings(),
		boundedText(),
	)
	if err != nil {
		return nil, fmt.Errorf("set up the expression language: %w", err)
	}
	return &language{env: env}, nil
}

// boundedText puts functions with a size limit in the place of replace and join.
// The originals build a result that is the product of their arguments' sizes,
// and cost is only counted once it has been built.
func boundedText() cel.EnvOption {
	const replaceFn, joinFn = "@replace", "@join"
	str, list := cel.StringType, cel.ListType(cel.DynType)
	options := []cel.EnvOption{
		cel.Function(replaceFn,
			cel.Overload("bounded_replace", []*cel.Type{str, str, str}, str, cel.FunctionBinding(boundedReplace)),
			cel.Overload("bounded_replace_n", []*cel.Type{str, str, str, cel.IntType}, str, cel.FunctionBinding(boundedReplace))),
		cel.Function(joinFn,
			cel.Overload("bounded_join", []*cel.Type{list}, str, cel.UnaryBinding(func(l ref.Val) ref.Val { return boundedJoin(l, types.String("")) })),
			cel.Overload("bounded_join_sep", []*cel.Type{list, str}, str, cel.BinaryBinding(boundedJoin))),
		cel.Macros(
			cel.ReceiverMacro("replace", 2, renamed(replaceFn)),
			cel.ReceiverMacro("replace", 3, renamed(replaceFn)),
			cel.ReceiverMacro("join", 0, renamed(joinFn)),
			cel.ReceiverMacro("join", 1, renamed(joinFn)),
		),
	}
	return func(e *cel.Env) (*cel.Env, error) {
		var err error
		for _, o := range options {
			if e, err = o(e); err != nil {
				return nil, err
			}
		}
		return e, nil
	}
}

func renamed(function string) cel.MacroFactory {
	return func(h parser.ExprHelper, target ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
		return h.NewCall(function, append([]ast.Expr{target}, args...)...), nil
	}
}

func boundedReplace(args ...ref.Val) ref.Val {
	text, ok1 := args[0].(types.String)
	old, ok2 := args[1].(types.String)
	repl, ok3 := args[2].(types.String)
	if !ok1 || !ok2 || !ok3 {
		return types.NewErr("no such overload")
	}
	n := -1
	if len(args) == 4 {
		limit, ok := args[3].(types.Int)
		if !ok {
			return types.NewErr("no such overload")
		}
		n = int(limit)
	}
	count := strings.Count(string(text), string(old))
	if n >= 0 {
		count = min(count, n)
	}
	if size := len(text) + count*(len(repl)-len(old)); size > MaxValueBytes {
		return tooLong("replace", size)
	}
	return types.String(strings.Replace(string(text), string(old), string(repl), n))
}

func boundedJoin(list, separator ref.Val) ref.Val {
	items, ok := list.(traits.Lister)
	sep, ok2 := separator.(types.String)
	if !ok || !ok2 {
		return types.NewErr("no such overload")
	}
	var b strings.Builder
	for it, first := items.Iterator(), true; it.HasNext() == types.True; first = false {
		item := it.Next()
		s, ok := item.(types.String)
		if !ok {
			return types.NewErr("join: %s is not text", item.Type().TypeName())
		}
		if !first {
			b.WriteString(string(sep))
		}
		b.WriteString(string(s))
		if b.Len() > MaxValueBytes {
			return tooLong("join", b.Len())
		}
	}
	return types.String(b.String())
}

func tooLong(function string, size int) ref.Val {
	return types.NewErr("%s: the result has %d bytes or more, the limit is %d", function, size, MaxValueBytes)
}

// issue is one fault of an expression's text.
type issue struct {
	name    string // the unknown name, if that is what is wrong
	message string
}

func (i issue) Error() string { return i.message }

// compile checks an expression. Its error is an issue.
func (l *language) compile(text string) (*Expr, error) {
	quoted := quote(text)
	if strings.TrimSpace(text) == "" {
		return nil, issue{message: "the expression is empty"}
	}
	if utf8.RuneCountInString(text) > MaxExpressionLength {
		return nil, issue{message: fmt.Sprintf("the expression %s is longer than %d characters", quoted, MaxExpressionLength)}
	}
	parsed, iss := l.env.Parse(text)
	if iss.Err() != nil {
		return nil, issue{message: fmt.Sprintf("the expression %s does not parse: %s", quoted, firstIssue(iss))}
	}
	uses := findUses(parsed.NativeRep().Expr())
	checked, iss := l.env.Check(parsed)
	if iss.Err() != nil {
		for _, name := range uses.free {
			for _, e := range iss.Errors() {
				if strings.HasPrefix(e.Message, "undeclared reference to '"+name+"'") {
					return nil, issue{name: name, message: fmt.Sprintf(
						"the expression %s uses the unknown name %q; there are input, upstream, nodes and run", quoted, name)}
				}
			}
		}
		return nil, issue{message: fmt.Sprintf("the expression %s is faulty: %s", quoted, firstIssue(iss))}
	}
	program, err := l.env.Program(checked, cel.CostLimit(MaxExpressionCost), cel.InterruptCheckFrequency(interruptFrequency))
	if err != nil {
		return nil, issue{message: fmt.Sprintf("the expression %s is faulty: %s", quoted, err)}
	}
	return &Expr{text: text, program: program, output: checked.OutputType(), uses: uses}, nil
}

func firstIssue(iss *cel.Issues) string {
	e := iss.Errors()[0]
	message, _, _ := strings.Cut(e.Message, " expecting {")
	return fmt.Sprintf("%s (line %d, column %d)", message, e.Location.Line(), e.Location.Column()+1)
}

// quote shortens a text for messages.
func quote(text string) string {
	const limit = 120
	text = strings.TrimSpace(text)
	if r := []rune(text); len(r) > limit {
		text = string(r[:limit]) + "…"
	}
	return "`" + text + "`"
}
