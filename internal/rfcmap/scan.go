package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A place is where something is cited: a file and the function around the
// citation. Lines are left out, so that the document changes only when
// citations do.
type place struct {
	path string // from the root, with slashes
	name string // function, as in Conn.Receive; "" outside of functions
	test bool
}

// A mention is a row of an RFC's table, or a section that no row stands for.
type mention struct{ rfc, id string }

// citations maps an RFC's number and an id to the places that cite it.
type citations map[mention]map[place]bool

func (c citations) add(m mention, p place) {
	if c[m] == nil {
		c[m] = make(map[place]bool)
	}
	c[m][p] = true
}

func (c citations) has(rfc, id string) bool { return len(c[mention{rfc, id}]) > 0 }

// places returns, in order, the tests or the other places that cite an id.
func (c citations) places(rfc, id string, test bool) []place {
	var list []place
	for p := range maps.Keys(c[mention{rfc, id}]) {
		if p.test == test {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.name, b.name))
	})
	return list
}

// scanFile adds what one file's comments cite, and a test's strings: the names
// of its cases.
func (c citations) scanFile(name string, src []byte, tables []*table) error {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	test := strings.HasSuffix(name, "_test.go")
	add := func(pos token.Pos, text string) error {
		if err := c.scanText(text, place{path: name, name: around(file, pos), test: test}, tables); err != nil {
			return fmt.Errorf("%s: %w", fset.Position(pos), err)
		}
		return nil
	}
	for _, group := range file.Comments {
		if err := add(group.Pos(), group.Text()); err != nil {
			return err
		}
	}
	if !test {
		return nil
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && err == nil {
			if text, e := strconv.Unquote(lit.Value); e == nil {
				err = add(lit.Pos(), text)
			}
		}
		return err == nil
	})
	return err
}

// scanScript adds what the comments of a test script cite: the lines that start
// with a #. Lines that follow one another are one comment.
func (c citations) scanScript(name string, src []byte, tables []*table) error {
	at := place{path: name, test: true}
	var comment strings.Builder
	first := 0
	lines := strings.Split(string(src)+"\n", "\n")
	for i, line := range lines {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "#")
		if ok {
			if comment.Len() == 0 {
				first = i + 1
			}
			comment.WriteString(strings.TrimSpace(text) + "\n")
			continue
		}
		if err := c.scanText(comment.String(), at, tables); err != nil {
			return fmt.Errorf("%s:%d: %w", name, first, err)
		}
		comment.Reset()
	}
	return nil
}

// scanText adds what a text at a place cites.
func (c citations) scanText(text string, at place, tables []*table) error {
	for _, x := range cites(text) {
		if x.id == "" {
			continue
		}
		found, err := resolve(x, tables)
		if err != nil {
			return err
		}
		for _, m := range found {
			c.add(m, at)
		}
	}
	return nil
}

// resolve returns what a cite stands for: the rows of its RFC's table that it
// names, or else the section. A label that no table has, or that the named
// RFC's table does not have, is a slip of the pen.
func resolve(x cite, tables []*table) ([]mention, error) {
	var own *table
	for _, t := range tables {
		if t.rfc == x.rfc {
			own = t
		}
	}
	if !isLabel(x.id) {
		var list []mention
		if own != nil {
			for _, r := range own.citedRows(x) {
				list = append(list, mention{x.rfc, r.id})
			}
		}
		if list == nil {
			list = []mention{{x.rfc, x.id}}
		}
		return list, nil
	}
	if own != nil && own.row(x.id) != nil {
		return []mention{{x.rfc, x.id}}, nil
	}
	if own != nil && own.labels() {
		return nil, fmt.Errorf("RFC %s has no requirement %s", x.rfc, x.id)
	}
	for _, t := range tables {
		if t.row(x.id) != nil {
			return []mention{{t.rfc, x.id}}, nil
		}
	}
	return nil, fmt.Errorf("no RFC that we have a table of has a requirement %s", x.id)
}

// around returns the name of the function that pos lies in or documents.
func around(file *ast.File, pos token.Pos) string {
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		from := fn.Pos()
		if fn.Doc != nil {
			from = fn.Doc.Pos()
		}
		if pos < from || pos >= fn.End() {
			continue
		}
		if fn.Recv == nil || len(fn.Recv.List) == 0 {
			return fn.Name.Name
		}
		recv := fn.Recv.List[0].Type
		if star, ok := recv.(*ast.StarExpr); ok {
			recv = star.X
		}
		switch x := recv.(type) {
		case *ast.IndexExpr:
			recv = x.X
		case *ast.IndexListExpr:
			recv = x.X
		}
		if id, ok := recv.(*ast.Ident); ok {
			return id.Name + "." + fn.Name.Name
		}
		return fn.Name.Name
	}
	return ""
}

// isScript reports whether a path is that of a test script.
func isScript(rel string) bool {
	return strings.HasSuffix(rel, ".txt") && strings.Contains("/"+rel, "/testdata/script/")
}

// scanTree reads the citations of every Go file and every test script under
// root, this command's own left out, and Go files that are test data.
func scanTree(root string, tables []*table) (citations, error) {
	cited := make(citations)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if name := d.Name(); rel == "internal/rfcmap" || rel != "." && (name[0] == '.' || name[0] == '_') {
				return filepath.SkipDir
			}
			return nil
		}
		scan := cited.scanFile
		switch {
		case isScript(rel):
			scan = cited.scanScript
		case !strings.HasSuffix(rel, ".go") || strings.Contains("/"+rel, "/testdata/"):
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return scan(rel, src, tables)
	})
	return cited, err
}
