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
	"regexp"
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

// A mention is one thing that a text cites: an id (a label or a section) of an
// RFC. The RFC is "" for a bare label.
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

var (
	labelRE   = regexp.MustCompile(`^(MUST|SHLD|MAY|REC)-[1-9][0-9]*`)
	bareRE    = regexp.MustCompile(`\b(?:MUST|SHLD|MAY|REC)-[1-9][0-9]*\b`)
	sectionRE = regexp.MustCompile(`^[1-9A-Z][0-9]?(\.[1-9][0-9]?)*`)
	rfcRE     = regexp.MustCompile(`\bRFC[ -]?([1-9][0-9]{2,4})\b`)
	// betweenRE is what may stand between an RFC's number and what is cited of
	// it, and between two such.
	betweenRE = regexp.MustCompile(`^(?:[\s,;:(]|and\b|or\b|to\b|§|(?i:sections?\b|sec\.|appendix\b))+`)
	namedRE   = regexp.MustCompile(`(?i)(section|sections|sec\.|appendix|§)\s*$`)
)

func isLabel(s string) bool   { return labelRE.FindString(s) == s && s != "" }
func isSection(s string) bool { return sectionRE.FindString(s) == s && s != "" }

// mentions returns what a text cites. After "RFC n" come labels and sections,
// apart by commas and small words; a section without a dot must be called one.
// A label anywhere else belongs to the RFC that was named last, if any.
func mentions(text string) []mention {
	var list []mention
	for len(text) > 0 {
		at := rfcRE.FindStringSubmatchIndex(text)
		head := text
		if at != nil {
			head = text[:at[0]]
		}
		rfc := ""
		if n := len(list); n > 0 {
			rfc = list[n-1].rfc
		}
		for _, label := range bareRE.FindAllString(head, -1) {
			list = append(list, mention{rfc, label})
		}
		if at == nil {
			return list
		}
		rfc, text = text[at[2]:at[3]], text[at[1]:]
		list = append(list, mention{rfc, ""})
		for {
			between := betweenRE.FindString(text)
			id := citedID(between, text[len(between):])
			if between == "" || id == "" {
				break
			}
			list = append(list, mention{rfc, id})
			text = text[len(between)+len(id):]
		}
	}
	return list
}

// citedID returns the label or section that text starts with, or "".
func citedID(before, text string) string {
	id := labelRE.FindString(text)
	if id == "" {
		id = sectionRE.FindString(text)
		if id == "" || !strings.Contains(id, ".") && !namedRE.MatchString(before) {
			return ""
		}
	}
	rest := strings.TrimPrefix(text, id)
	if rest != "" && (isWord(rest[0]) || rest[0] == '.' && len(rest) > 1 && isWord(rest[1])) {
		return "" // part of something longer: an address, a number, a name
	}
	return id
}

func isWord(b byte) bool {
	return b == '_' || b == '-' || '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
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
		at := place{path: name, name: around(file, pos), test: test}
		for _, m := range mentions(text) {
			if m.id == "" {
				continue
			}
			m, err := resolve(m, tables)
			if err != nil {
				return fmt.Errorf("%s: %w", fset.Position(pos), err)
			}
			c.add(m, at)
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

// resolve finds the table that a label belongs to. A label that no table has,
// or that the named RFC's table does not have, is a slip of the pen.
func resolve(m mention, tables []*table) (mention, error) {
	if !isLabel(m.id) {
		return m, nil
	}
	for _, t := range tables {
		if t.rfc == m.rfc && t.row(m.id) != nil {
			return m, nil
		}
	}
	for _, t := range tables {
		if t.rfc == m.rfc {
			return m, fmt.Errorf("RFC %s has no requirement %s", m.rfc, m.id)
		}
	}
	for _, t := range tables {
		if t.row(m.id) != nil {
			return mention{t.rfc, m.id}, nil
		}
	}
	return m, fmt.Errorf("no RFC that we have a table of has a requirement %s", m.id)
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

// scanTree reads the citations of every Go file under root, this command's own
// left out.
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
			name := d.Name()
			if rel == "internal/rfcmap" || name == "testdata" || rel != "." && (name[0] == '.' || name[0] == '_') {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return cited.scanFile(rel, src, tables)
	})
	return cited, err
}
