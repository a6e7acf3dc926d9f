package archtest

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// documented are the packages whose exported names users read on a page.
var documented = []string{"phy", "netstack/...", "conn", "dialer", "listener"}

// Docs finds exported identifiers without a doc comment in the packages that
// users meet, and packages without a package comment. A comment above a group
// of constants or variables, or at the end of one's line, serves for them.
func Docs(files []*File) []Finding {
	var found []Finding
	commented := make(map[string]bool)
	first := make(map[string]*File)
	for _, f := range files {
		if f.Test || !slices.ContainsFunc(documented, func(d string) bool { return within(f.Dir, d) }) {
			continue
		}
		if first[f.Dir] == nil {
			first[f.Dir] = f
		}
		commented[f.Dir] = commented[f.Dir] || f.Syntax.Doc != nil
		for _, decl := range f.Syntax.Decls {
			for _, id := range undocumented(decl) {
				found = append(found, f.finding("doc", id.Pos(), "exported %s has no doc comment", id.Name))
			}
		}
	}
	for dir, f := range first {
		if !commented[dir] {
			found = append(found, f.finding("doc-package", f.Syntax.Package, "package %s has no package comment", dir))
		}
	}
	return found
}

// undocumented returns the exported names that decl declares without a comment.
func undocumented(decl ast.Decl) []*ast.Ident {
	var bare []*ast.Ident
	switch d := decl.(type) {
	case *ast.FuncDecl:
		recv := receiver(d)
		if d.Name.IsExported() && d.Doc == nil && (recv == "" || token.IsExported(recv)) {
			bare = append(bare, d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && s.Doc == nil && (d.Doc == nil || d.Lparen.IsValid()) {
					bare = append(bare, s.Name)
				}
			case *ast.ValueSpec:
				if s.Doc != nil || s.Comment != nil || d.Doc != nil {
					continue
				}
				for _, id := range s.Names {
					if id.IsExported() {
						bare = append(bare, id)
					}
				}
			}
		}
	}
	return bare
}

// leftovers are the words that mark it in comments.
var leftovers = []string{"TODO", "FIXME", "XXX"}

// Unfinished finds marks of work left over: in comments, and functions that do
// nothing but panic because they were never written.
func Unfinished(f *File) []Finding {
	var found []Finding
	for _, group := range f.Syntax.Comments {
		for _, c := range group.List {
			for _, mark := range leftovers {
				if slices.Contains(strings.FieldsFunc(c.Text, notLetter), mark) {
					found = append(found, f.finding("unfinished", c.Pos(), "comment says %s", mark))
				}
			}
		}
	}
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 1 {
			return true
		}
		fn, isIdent := call.Fun.(*ast.Ident)
		arg, isLit := call.Args[0].(*ast.BasicLit)
		if isIdent && isLit && fn.Name == "panic" && slices.Contains(stubs, strings.Trim(arg.Value, "`\"")) {
			found = append(found, f.finding("unfinished", call.Pos(), "function is not written: panic(%s)", arg.Value))
		}
		return true
	})
	return found
}

// stubs are what unwritten functions panic with.
var stubs = []string{"stub", "not implemented", "unimplemented"}

func notLetter(r rune) bool { return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') }
