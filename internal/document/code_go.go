package document

import (
	"go/ast"
	"go/parser"
	"go/token"
)

// goSymbols reads Go with Go's own parser. ok is false for files that it cannot read to
// their end; those are read like any language with braces.
func goSymbols(s *source) (spans []span, pkg string, ok bool) {
	files := token.NewFileSet()
	tree, err := parser.ParseFile(files, "", s.text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil || tree == nil {
		return nil, "", false
	}
	line := func(p token.Pos) int { return files.PositionFor(p, false).Line }
	for _, decl := range tree.Decls {
		first, name := goDecl(decl)
		if name == "" {
			continue
		}
		// A Go file's last position may lie behind its last line.
		spans = append(spans, span{first: line(first), last: min(line(decl.End()-1), s.count()), name: name})
	}
	return spans, tree.Name.Name, true
}

// goDecl tells where a declaration begins, its comment included, and its name.
func goDecl(d ast.Decl) (token.Pos, string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil && len(d.Recv.List) > 0 {
			if receiver := goReceiver(d.Recv.List[0].Type); receiver != "" {
				name = receiver + "." + name
			}
		}
		return startOf(d.Doc, d.Pos()), name
	case *ast.GenDecl:
		if d.Tok == token.IMPORT || len(d.Specs) == 0 {
			return d.Pos(), ""
		}
		name := ""
		for _, s := range d.Specs {
			if name = goSpec(s); name != "_" {
				break
			}
		}
		return startOf(d.Doc, d.Pos()), name
	}
	return d.Pos(), ""
}

func startOf(doc *ast.CommentGroup, pos token.Pos) token.Pos {
	if doc != nil {
		return doc.Pos()
	}
	return pos
}

func goSpec(s ast.Spec) string {
	switch s := s.(type) {
	case *ast.TypeSpec:
		return s.Name.Name
	case *ast.ValueSpec:
		if len(s.Names) > 0 {
			return s.Names[0].Name
		}
	}
	return ""
}

func goReceiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return goReceiver(e.X)
	case *ast.ParenExpr:
		return goReceiver(e.X)
	case *ast.IndexExpr:
		return goReceiver(e.X)
	case *ast.IndexListExpr:
		return goReceiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
