package archtest

import (
	"fmt"
	"go/ast"
)

// Limits on what is read at one go. A file past the limit holds more than one
// concept, a function more than one thought.
const (
	maxFileLines = 600
	maxFuncLines = 70
)

// An exception lets one file or function be longer than the limit.
type exception struct {
	path   string // file
	name   string // function as in Type.Method, or "" for the file itself
	reason string
}

// exceptions only ever gets shorter: one that is not needed any more is a
// finding itself.
var exceptions = []exception{}

// Sizes finds files and functions that are too long and not excepted, and
// exceptions that nothing needs or that give no reason. Test files may be long.
func Sizes(files []*File, except []exception) []Finding {
	var found []Finding
	needed := make(map[exception]bool)
	report := func(f *File, node ast.Node, name, what string, lines, limit int) {
		if lines <= limit {
			return
		}
		for _, e := range except {
			if e.path == f.Path && e.name == name {
				needed[e] = true
				return
			}
		}
		found = append(found, f.finding("size", node.Pos(), "%s has %d lines, the limit is %d", what, lines, limit))
	}
	for _, f := range files {
		if f.Test {
			continue
		}
		report(f, f.Syntax, "", "file", f.Lines, maxFileLines)
		for _, decl := range f.Syntax.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				name := funcName(fn)
				report(f, fn, name, name, f.line(fn.End())-f.line(fn.Pos())+1, maxFuncLines)
			}
		}
	}
	for _, e := range except {
		if !needed[e] || e.reason == "" {
			found = append(found, Finding{Rule: "size-exception", Path: e.path,
				Text: fmt.Sprintf("exception for %q is not needed or has no reason: remove it", e.name)})
		}
	}
	return found
}

// funcName returns a function's name, with its receiver's type as in Conn.Read.
func funcName(fn *ast.FuncDecl) string {
	if recv := receiver(fn); recv != "" {
		return recv + "." + fn.Name.Name
	}
	return fn.Name.Name
}

// receiver returns the name of a method's receiver type, "" for a function.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return ""
	}
	t := fn.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.ParenExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}
