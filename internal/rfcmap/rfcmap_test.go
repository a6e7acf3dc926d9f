package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDocuments fails when a requirement is cited nowhere and has no reason,
// and when a document is not what the source says.
func TestDocuments(t *testing.T) {
	problems, err := run("../..", false)
	require.NoError(t, err)
	for _, p := range problems {
		t.Error(p)
	}
}

// TestTableIsWhole counts the requirements that RFC 9293 numbers.
func TestTableIsWhole(t *testing.T) {
	tables, err := loadTables("../..")
	require.NoError(t, err)
	at := slices.IndexFunc(tables, func(tab *table) bool { return tab.rfc == "9293" })
	require.True(t, tables[at].strict)
	count := make(map[string]int)
	for _, r := range tables[at].rows {
		label, _, _ := strings.Cut(r.id, "-")
		count[label]++
	}
	require.Equal(t, map[string]int{"MUST": 69, "SHLD": 31, "MAY": 18, "REC": 1}, count)
}

func TestCites(t *testing.T) {
	tests := []struct {
		text string
		want string
	}{
		{"RFC 9293 MUST-58, 3.10.7.4: an ACK", "9293 MUST-58, 9293 3.10.7.4"},
		{"RFC 9293, MUST-58 and SHLD-7.", "9293 MUST-58, 9293 SHLD-7"},
		{"(RFC 9293 3.10.7.1 form)", "9293 3.10.7.1"},
		{"RFC 9293 section 3.4 says", "9293 3.4"},
		{"see RFC 9293, sections 3.4 and 3.5,\nand RFC 5961 section 4", "9293 3.4, 9293 3.5, 5961 4"},
		{"RFC 6298 (2.4) rounds up", "6298 2.4"},
		{"RFC 9293 Appendix B", "9293 B"},
		{"RFC1122 4.2.3.9, 10.0.0.0/8", "1122 4.2.3.9"},
		{"RFC 9293 3.10.7.3/4", "9293 3.10.7.3"},
		{"MUST-58 alone", " MUST-58"},
		{"RFC 9293 3.1: text. Later MUST-5 too", "9293 3.1, 9293 MUST-5"},
		{"RFC 1122 3.2.2 forbids it (RFC 9293 MUST-57)", "1122 3.2.2, 9293 MUST-57"},
		{"RFC 6298 5.1-5.3, 5.5 to 5.7", "6298 5.1, 6298 5.2, 6298 5.3, 6298 5.5, 6298 5.6, 6298 5.7"},
		{"RFC 5681 2: a duplicate", "5681 2"},
		{"RFC 6298 5 (managing), RFC 5961 7.", "6298 5, 5961 7"},
		{"RFC 5681 3.2, 1-3: the third; RFC 5681 3.1, (4)", "5681 3.2, 5681 3.1"},
		{"RFC 9293 3-way", ""},
		{"RFC 6298 has 3 rules and 1.5 seconds", ""},
		{"RFC 5735 192.168.0.0/16", ""},
		{"RFC 9293 3.1415", ""},
		{"MUST-058, MUSTY-5, XMUST-5, MUST5", ""},
		{"as of 3.10.7.4", ""},
		{"RFC 9293", ""},
		{"", ""},
	}
	for _, tt := range tests {
		var got []string
		for _, x := range cites(tt.text) {
			if x.id != "" {
				got = append(got, x.rfc+" "+x.id)
			}
		}
		require.Equal(t, tt.want, strings.Join(got, ", "), tt.text)
	}
}

const sampleTable = `# a comment
rfc: 9293
title: TCP

[Window]
MUST-1 | must | unsigned
SHLD-2 | should | wide | open
[Other]
MAY-3 | may | fancy | not done: no need
MUST-4 | must not | silly | n/a: asks users
`

func sample(t *testing.T) []*table {
	t.Helper()
	tab, err := parseTable(sampleTable)
	require.NoError(t, err)
	return []*table{tab}
}

func TestParseTable(t *testing.T) {
	tab := sample(t)[0]
	require.Equal(t, "9293", tab.rfc)
	require.Len(t, tab.rows, 4)
	require.Equal(t, row{id: "MUST-1", group: "Window", level: "must", subject: "unsigned", line: 5}, *tab.rows[0])
	require.True(t, tab.row("SHLD-2").open)
	require.Equal(t, "no need", tab.row("MAY-3").notDone)
	require.Equal(t, "asks users", tab.row("MUST-4").moot)
	require.Nil(t, tab.row("MUST-5"))

	for _, bad := range []struct{ text, says string }{
		{"", "needs an rfc"},
		{"rfc: 1\ntitle: x\n", "and rows"},
		{"MUST-1 | must", "line 1: want id"},
		{"MUST-1 | must | a | open | b", "want id"},
		{"MUSTY | must | a", "neither a label"},
		{"MUST-1 | shall | a", "not a level"},
		{"MUST-1 | should | a", "is not a"},
		{"SHLD-1 | may | a", "is not a"},
		{"MUST-1 | must | ", "no subject"},
		{"MUST-1 | must | a | later", "the state is"},
		{"MUST-1 | must | a | not done:", "the state is"},
		{"MUST-1 | must | a | n/a", "the state is"},
		{"MUST-1 | must | a\nMUST-1 | must | a", "line 2: MUST-1 is there twice"},
	} {
		_, err := parseTable(bad.text)
		require.ErrorContains(t, err, bad.says, bad.text)
	}
	_, err := parseTable("3.2 step 2/dup | must | a\n3.2 step 2 | must | a")
	require.ErrorContains(t, err, "line 2: 3.2 step 2 is the name of line 1 as well")
	_, err = parseTable("3.2 step | must | a")
	require.ErrorContains(t, err, "neither a label")
}

const sampleSource = `// Package tcp is.
package tcp

// A Conn, RFC 9293 3.3.
type Conn struct{}

// Send does RFC 9293 MUST-1,
// 3.8.6.
func (c *Conn) Send() {
	// MUST-1 again; SHLD-2 besides
	_ = "MUST-4"
}

func plain() {} // MAY-3

// Pop is generic, RFC 9293 3.3.1.
func (q *Queue[T]) Pop() {}
`

func TestScanFile(t *testing.T) {
	cited := make(citations)
	require.NoError(t, cited.scanFile("netstack/tcp/tcp.go", []byte(sampleSource), sample(t)))
	at := func(name string) []place { return []place{{path: "netstack/tcp/tcp.go", name: name}} }
	require.Equal(t, at("Conn.Send"), cited.places("9293", "MUST-1", false))
	require.Equal(t, at("Conn.Send"), cited.places("9293", "SHLD-2", false))
	require.Equal(t, at("Conn.Send"), cited.places("9293", "3.8.6", false))
	require.Equal(t, at("Queue.Pop"), cited.places("9293", "3.3.1", false))
	require.Equal(t, at(""), cited.places("9293", "3.3", false))
	require.True(t, cited.has("9293", "MAY-3"))
	require.False(t, cited.has("9293", "MUST-4"), "strings count in tests only")
	require.Empty(t, cited.places("9293", "MUST-1", true))

	require.NoError(t, cited.scanFile("netstack/tcp/tcp_test.go", []byte("package tcp\nfunc TestX() { run(`MUST-4 holds`) }\n"), sample(t)))
	require.Equal(t, []place{{"netstack/tcp/tcp_test.go", "TestX", true}}, cited.places("9293", "MUST-4", true))

	for _, slip := range []struct{ src, says string }{
		{"package x\n// RFC 9293 MUST-99\n", "x.go:2:1: RFC 9293 has no requirement MUST-99"},
		{"package x\n// MUST-99\n", "no RFC that we have a table of"},
		{"package", "expected"},
	} {
		require.ErrorContains(t, cited.scanFile("x.go", []byte(slip.src), sample(t)), slip.says)
	}
	require.ErrorContains(t, cited.scanFile("x_test.go", []byte("package x\nvar _ = `MUST-99`\n"), sample(t)), "MUST-99")
}

func TestProblems(t *testing.T) {
	tab := sample(t)[0]
	cited := make(citations)
	problems := tab.problems(cited)
	require.Len(t, problems, 1)
	require.Contains(t, problems[0], "MUST-1 (unsigned) is cited nowhere")

	cited.add(mention{"9293", "MUST-1"}, place{path: "a.go"})
	require.Empty(t, tab.problems(cited))

	cited.add(mention{"9293", "SHLD-2"}, place{path: "a.go"})
	cited.add(mention{"9293", "MUST-4"}, place{path: "a.go"})
	problems = tab.problems(cited)
	require.Len(t, problems, 2)
	require.Contains(t, problems[0], "SHLD-2 is cited and still marked open")
	require.Contains(t, problems[1], "although its row says n/a")
}

func TestRender(t *testing.T) {
	tab := sample(t)[0]
	cited := make(citations)
	for _, p := range []place{{"b.go", "F", false}, {"a.go", "", false}, {"a.go", "G", false}, {"a.go", "H", false}, {"a_test.go", "TestF", true}} {
		cited.add(mention{"9293", "MUST-1"}, p)
	}
	cited.add(mention{"9293", "3.10"}, place{path: "a.go"})
	cited.add(mention{"9293", "3.9"}, place{path: "a.go"})
	cited.add(mention{"1122", "4.2"}, place{path: "a.go"})
	doc := tab.render(cited)
	require.Contains(t, doc, "# RFC 9293: TCP\n")
	require.Contains(t, doc, "4 requirements: 1 cited in the source, 1 in tests; 1 not done, 1 that do not apply, 1 open.")
	require.Contains(t, doc, "| MUST-1 | must | unsigned | `a.go` G, H<br>`b.go` F | `a_test.go` TestF |\n")
	require.Contains(t, doc, "| SHLD-2 | should | wide | open |  |\n")
	require.Contains(t, doc, "| MAY-3 | may | fancy | not done: no need |  |\n")
	require.Contains(t, doc, "| MUST-4 | must not | silly | does not apply: asks users |  |\n")
	require.Contains(t, doc, "| 3.9 | `a.go` |  |\n| 3.10 | `a.go` |  |\n")
	require.NotContains(t, doc, "4.2")
}

// TestRun goes the whole way in a small tree: out of date, written, closed.
func TestRun(t *testing.T) {
	root := t.TempDir()
	put := func(name, text string) {
		name = filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	}
	_, err := run(root, false)
	require.ErrorContains(t, err, "no tables")

	put("internal/rfcmap/9293.txt", sampleTable)
	put("docs/rfc/9293.md", "old\n")
	put("tcp/tcp.go", "package tcp\n\n// RFC 9293 MUST-1 and SHLD-2\n")
	put("internal/rfcmap/x_test.go", "package main // MUST-99 is a sample here\n")
	put("tcp/testdata/x.go", "not Go\n")
	problems, err := run(root, false)
	require.NoError(t, err)
	require.Len(t, problems, 3)
	require.Contains(t, problems[0], "SHLD-2 is cited and still marked open")
	require.Contains(t, problems[1], "docs/rfc/9293.md is out of date")
	require.Contains(t, problems[2], "docs/rfc/README.md is out of date")

	problems, err = run(root, true)
	require.NoError(t, err)
	require.Empty(t, problems)
	table, err := os.ReadFile(tablePath(root, "9293"))
	require.NoError(t, err)
	require.Equal(t, strings.Replace(sampleTable, "| wide | open", "| wide", 1), string(table))

	problems, err = run(root, false)
	require.NoError(t, err)
	require.Empty(t, problems)

	put("tcp/tcp.go", "package tcp\n")
	problems, err = run(root, false)
	require.NoError(t, err)
	require.Len(t, problems, 4, "two requirements lost their citation, and the documents are out of date")
	problems, err = run(root, true)
	require.NoError(t, err)
	require.Empty(t, problems)
	table, err = os.ReadFile(tablePath(root, "9293"))
	require.NoError(t, err)
	require.Contains(t, string(table), "unsigned | open\n")

	put("internal/rfcmap/9293.txt", "strict: yes\n"+strings.ReplaceAll(sampleTable, " | open", ""))
	problems, err = run(root, true)
	require.NoError(t, err)
	require.Len(t, problems, 2, "a strict table is not marked open again")

	put("tcp/testdata/script/sub/a.txt", "# MUST-1 of a script\n\n# RFC 9293\n# SHLD-2\nsend MUST-99\n")
	problems, err = run(root, true)
	require.NoError(t, err)
	require.Empty(t, problems)
	doc, err := os.ReadFile(docPath(root, "9293"))
	require.NoError(t, err)
	require.Contains(t, string(doc), "| SHLD-2 | should | wide |  | `tcp/testdata/script/sub/a.txt` |\n")
	readme, err := os.ReadFile(docPath(root, "README"))
	require.NoError(t, err)
	require.Contains(t, string(readme), "| [9293](9293.md) | TCP | 4 | 0 | 2 | 1 | 1 | 0 |\n| all | | 4 | 0 | 2 | 1 | 1 | 0 |\n")
	put("tcp/testdata/script/sub/a.txt", "\n# RFC 9293 MUST-99\n")
	_, err = run(root, true)
	require.ErrorContains(t, err, "tcp/testdata/script/sub/a.txt:2: RFC 9293 has no requirement MUST-99")

	require.NoError(t, os.Rename(tablePath(root, "9293"), tablePath(root, "793")))
	_, err = run(root, false)
	require.ErrorContains(t, err, "call it")
}
