// Package archtest holds the rules that the tree's own source must follow:
// the protocol packages are pure, imports point one way only, files and
// functions stay small, what is exported is documented. The rules read source
// with go/ast; the package's tests run them over the whole tree and, for each
// rule, over a piece of source that breaks it.
package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Module is the path that our own imports start with.
const Module = "smolnet"

// A File is one parsed Go source file.
type File struct {
	Path   string // from the module's root, with slashes
	Dir    string // the package's folder; "." for the root
	Test   bool   // a _test.go file
	Lines  int
	Syntax *ast.File
	fset   *token.FileSet
}

// A Finding is one place that breaks a rule.
type Finding struct {
	Rule string
	Path string
	Line int
	Text string
}

// String returns the finding as path:line: [rule] text.
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d: [%s] %s", f.Path, f.Line, f.Rule, f.Text)
}

// Parse reads one file's source. name is its path from the module's root.
func Parse(name string, src []byte) (*File, error) {
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &File{
		Path:   name,
		Dir:    path.Dir(name),
		Test:   strings.HasSuffix(name, "_test.go"),
		Lines:  bytes.Count(src, []byte("\n")),
		Syntax: syntax,
		fset:   fset,
	}, nil
}

// Load parses every Go file under root, whatever its build constraints say.
// Folders named testdata or vendor, and those that start with a dot or an
// underscore, are left out, as the go command does.
func Load(root string) ([]*File, error) {
	var files []*File
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != root && ignoredDir(d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		f, err := Parse(filepath.ToSlash(rel), src)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

func ignoredDir(name string) bool {
	return name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func (f *File) line(p token.Pos) int { return f.fset.Position(p).Line }

func (f *File) finding(rule string, p token.Pos, format string, args ...any) Finding {
	return Finding{Rule: rule, Path: f.Path, Line: f.line(p), Text: fmt.Sprintf(format, args...)}
}

// importPath returns the unquoted path of an import.
func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return p
}

// importNames maps the names by which a file calls its imports to their
// paths. The name of an import without one is the last element of its path,
// leaving out a version such as /v2.
func (f *File) importNames() map[string]string {
	names := make(map[string]string)
	for _, spec := range f.Syntax.Imports {
		p := importPath(spec)
		name := path.Base(p)
		if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" {
			name = path.Base(path.Dir(p))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = p
	}
	return names
}

// selectors calls fn for every use of an imported package's identifier, as in
// time.Now. A local variable with the name of an import is taken for the
// import: rename it.
func (f *File) selectors(fn func(pos token.Pos, importPath, name string)) {
	names := f.importNames()
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if id, ok := sel.X.(*ast.Ident); ok && names[id.Name] != "" {
			fn(sel.Pos(), names[id.Name], sel.Sel.Name)
		}
		return true
	})
}

// within reports whether dir is the folder that pattern names or, when pattern
// ends in "/...", lies in or below it.
func within(dir, pattern string) bool {
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return dir == tree || strings.HasPrefix(dir, tree+"/")
	}
	return dir == pattern
}
