package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// problems returns what is wrong with a table: requirements that nobody cites
// and that have no reason, and open marks that are not needed any more.
func (t *table) problems(cited citations) []string {
	var list []string
	for _, r := range t.rows {
		has := cited.has(t.rfc, r.id)
		switch {
		case has && r.open:
			list = append(list, fmt.Sprintf("RFC %s %s is cited and still marked open: go run ./internal/rfcmap -w", t.rfc, r.id))
		case has && r.moot != "" && r.section == "":
			list = append(list, fmt.Sprintf("RFC %s %s is cited although its row says n/a: %s", t.rfc, r.id, r.moot))
		case !has && !r.open && r.notDone == "" && r.moot == "":
			list = append(list, fmt.Sprintf("RFC %s %s (%s) is cited nowhere%s", t.rfc, r.id, r.subject, t.remedy()))
		}
	}
	return list
}

// remedy says what to do about a row that is cited no more.
func (t *table) remedy() string {
	if t.strict {
		return ": cite it where it is done, or give a reason in its row"
	}
	return " any more: cite it where it is done, or mark it open: go run ./internal/rfcmap -w"
}

// render returns the table's document.
func (t *table) render(cited citations) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# RFC %s: %s\n\n", t.rfc, t.title)
	fmt.Fprintf(&b, "Generated from the comments in the source by `go run ./internal/rfcmap -w`; do not edit. The subjects and the\n"+
		"reasons stand in `internal/rfcmap/%s.txt`.\n\n", t.rfc)
	t.renderCounts(&b, cited)
	group := ""
	for i, r := range t.rows {
		if r.group != group || i == 0 {
			group = r.group
			if group != "" {
				fmt.Fprintf(&b, "\n## %s\n", group)
			}
			b.WriteString("\n| id | level | requirement | source | tests |\n|---|---|---|---|---|\n")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.name(), r.level, r.subject, t.where(r, cited),
			list(cited.places(t.rfc, r.id, true)))
	}
	t.renderSections(&b, cited)
	return b.String()
}

// where says where a row is done, or why not.
func (t *table) where(r *row, cited citations) string {
	source := list(cited.places(t.rfc, r.id, false))
	switch {
	case r.notDone != "" && source != "":
		return "not done: " + r.notDone + "<br>" + source
	case r.notDone != "":
		return "not done: " + r.notDone
	case r.moot != "" && source != "":
		return "does not apply: " + r.moot + "<br>" + source
	case r.moot != "":
		return "does not apply: " + r.moot
	case source == "" && !cited.has(t.rfc, r.id):
		return "open"
	}
	return source
}

// counts says how much of a table is done.
type counts struct{ rows, source, tests, notDone, moot, open int }

func (t *table) counts(cited citations) counts {
	c := counts{rows: len(t.rows)}
	for _, r := range t.rows {
		switch {
		case r.notDone != "":
			c.notDone++
			continue
		case r.moot != "":
			c.moot++
			continue
		case !cited.has(t.rfc, r.id):
			c.open++
			continue
		}
		if len(cited.places(t.rfc, r.id, false)) > 0 {
			c.source++
		}
		if len(cited.places(t.rfc, r.id, true)) > 0 {
			c.tests++
		}
	}
	return c
}

func (t *table) renderCounts(b *strings.Builder, cited citations) {
	c := t.counts(cited)
	fmt.Fprintf(b, "%d requirements: %d cited in the source, %d in tests; %d not done, %d that do not apply, %d open.\n",
		c.rows, c.source, c.tests, c.notDone, c.moot, c.open)
}

// readme is the beginning of the page about all tables.
const readme = `# Requirements of RFCs

Generated from the comments in the source and in tests by ${go run ./internal/rfcmap -w}; do not edit. Each document lists
what an RFC asks of an implementation like this one, in our own words, with the places that do it and the tests that
show it, or the reason why it is left out. Open is what no comment claims to do yet.

RFC 9293 numbers its requirements: ${RFC 9293 MUST-58, 3.8.6.3}. The others are listed by section:

- A row ${4.1} is done where ${RFC 5681 4.1} is cited, unless the citation fits another row of that section.
  A subsection that has no row belongs to its section.
- A row ${3.2 step 3} needs the step in the same sentence: ${RFC 5681 3.2 step 3}, ${RFC 5681 3.2, 1-3: ...},
  ${RFC 5681 3.2 (3)}; rules and equations likewise.
- A row ${3.1 initial window} needs these words in the same sentence, in any order and form: ${RFC 5681 3.1: the initial
  window is ...}, ${// Initial windows, RFC 5681 3.1.} Other words may do as well, as they stand in the tables in
  ${internal/rfcmap}: ${half/halve} is shown as ${half}. What stands between the quotes of a citation is one sentence.
- Comments count, in tests strings as well, and the comments of test scripts (${testdata/script}).
- What is cited and fits no row is listed at the end of a document.

| RFC | title | requirements | in the source | in tests | not done | do not apply | open |
|---|---|---|---|---|---|---|---|
`

// renderReadme returns the page about all tables.
func renderReadme(tables []*table, cited citations) string {
	var b strings.Builder
	b.WriteString(strings.NewReplacer("${", "`", "}", "`").Replace(readme))
	var sum counts
	for _, t := range tables {
		c := t.counts(cited)
		fmt.Fprintf(&b, "| [%s](%s.md) | %s | %d | %d | %d | %d | %d | %d |\n",
			t.rfc, t.rfc, t.title, c.rows, c.source, c.tests, c.notDone, c.moot, c.open)
		sum.rows += c.rows
		sum.source += c.source
		sum.tests += c.tests
		sum.notDone += c.notDone
		sum.moot += c.moot
		sum.open += c.open
	}
	fmt.Fprintf(&b, "| all | | %d | %d | %d | %d | %d | %d |\n", sum.rows, sum.source, sum.tests, sum.notDone, sum.moot, sum.open)
	return b.String()
}

// renderSections lists the sections that are cited beside the requirements.
func (t *table) renderSections(b *strings.Builder, cited citations) {
	var sections []string
	for m := range cited {
		if m.rfc == t.rfc && t.row(m.id) == nil {
			sections = append(sections, m.id)
		}
	}
	if len(sections) == 0 {
		return
	}
	slices.SortFunc(sections, compareSections)
	b.WriteString("\n## Sections cited beside them\n\n| section | source | tests |\n|---|---|---|\n")
	for _, s := range sections {
		fmt.Fprintf(b, "| %s | %s | %s |\n", s, list(cited.places(t.rfc, s, false)), list(cited.places(t.rfc, s, true)))
	}
}

// compareSections orders 3.9 before 3.10, and numbers before appendices.
func compareSections(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int {
		n, errX := strconv.Atoi(x)
		m, errY := strconv.Atoi(y)
		if errX != nil || errY != nil {
			return strings.Compare(x, y)
		}
		return n - m
	})
}

// list returns places as the lines of a table's cell: each file once, with the
// functions in it.
func list(places []place) string {
	var b strings.Builder
	var last place
	for i, p := range places {
		if p.path != last.path {
			if i > 0 {
				b.WriteString("<br>")
			}
			b.WriteString("`" + p.path + "`")
		} else if last.name != "" {
			b.WriteString(",")
		}
		if p.name != "" {
			b.WriteString(" " + p.name)
		}
		last = p
	}
	return b.String()
}
