// Command rfcmap gathers the citations of RFC requirements from the comments
// of the source, from the tests and from test scripts, and writes
// docs/rfc/<number>.md for every table <number>.txt in its folder: which
// requirement is met where, which test shows it, and which is left out and why.
// docs/rfc/README.md sums them up.
//
//	go run ./internal/rfcmap      reports what is wrong or out of date
//	go run ./internal/rfcmap -w   rewrites the documents
//
// A citation is "RFC 9293 MUST-58, 3.10.7.4", in any comment; a bare "MUST-58"
// belongs to the RFC that the comment named last, or to the one that has it.
// Where an RFC does not number its requirements, it is "RFC 5681 3.2 step 2",
// or the section with words of the row's id in the same sentence.
// In tests, strings count too, so that a case can be named after what it shows.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
)

//go:generate go run . -w

func main() {
	write := flag.Bool("w", false, "write the documents, and take away open marks that are not needed any more")
	flag.Parse()
	root, err := findRoot()
	if err == nil {
		var problems []string
		problems, err = run(root, *write)
		for _, p := range problems {
			fmt.Fprintln(os.Stderr, p)
		}
		if err == nil && len(problems) > 0 {
			err = fmt.Errorf("%d problems", len(problems))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rfcmap:", err)
		os.Exit(1)
	}
}

// findRoot returns the folder with go.mod, at or above the working directory.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod here or above")
		}
		dir = filepath.Dir(dir)
	}
}

// tablePath returns the path of an RFC's table.
func tablePath(root, rfc string) string { return filepath.Join(root, "internal", "rfcmap", rfc+".txt") }

// docPath returns the path of an RFC's document.
func docPath(root, rfc string) string { return filepath.Join(root, "docs", "rfc", rfc+".md") }

// loadTables reads every table under root.
func loadTables(root string) ([]*table, error) {
	names, err := filepath.Glob(tablePath(root, "*"))
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	var tables []*table
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		t, err := parseTable(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if want := tablePath(root, t.rfc); want != name {
			return nil, fmt.Errorf("%s is the table of RFC %s: call it %s", name, t.rfc, want)
		}
		tables = append(tables, t)
	}
	if len(tables) == 0 {
		return nil, fmt.Errorf("no tables at %s", tablePath(root, "*"))
	}
	return tables, nil
}

// run returns what is wrong in the tree at root: with the tables, and with the
// documents unless it writes them.
func run(root string, write bool) (problems []string, err error) {
	tables, err := loadTables(root)
	if err != nil {
		return nil, err
	}
	cited, err := scanTree(root, tables)
	if err != nil {
		return nil, err
	}
	docs := map[string]string{docPath(root, "README"): renderReadme(tables, cited)}
	for _, t := range tables {
		if write {
			if err := os.WriteFile(tablePath(root, t.rfc), []byte(t.close(cited)), 0o644); err != nil {
				return nil, err
			}
		}
		problems = append(problems, t.problems(cited)...)
		docs[docPath(root, t.rfc)] = t.render(cited)
	}
	for _, path := range slices.Sorted(maps.Keys(docs)) {
		problem, err := settle(path, docs[path], write)
		if err != nil {
			return nil, err
		}
		if problem != "" {
			problems = append(problems, problem)
		}
	}
	return problems, nil
}

// settle writes a document, or says that it is not what it should be.
func settle(path, want string, write bool) (problem string, err error) {
	if write {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		return "", os.WriteFile(path, []byte(want), 0o644)
	}
	have, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if string(have) != want {
		return fmt.Sprintf("docs/rfc/%s is out of date: go run ./internal/rfcmap -w", filepath.Base(path)), nil
	}
	return "", nil
}
