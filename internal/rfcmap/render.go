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
		case has && r.moot != "":
			list = append(list, fmt.Sprintf("RFC %s %s is cited although its row says n/a: %s", t.rfc, r.id, r.moot))
		case !has && !r.open && r.notDone == "" && r.moot == "":
			list = append(list, fmt.Sprintf("RFC %s %s (%s) is cited nowhere: cite it where it is done, or give a reason in its row", t.rfc, r.id, r.subject))
		}
	}
	return list
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
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.id, r.level, r.subject, t.where(r, cited),
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
	case r.moot != "":
		return "does not apply: " + r.moot
	case source == "" && !cited.has(t.rfc, r.id):
		return "open"
	}
	return source
}

func (t *table) renderCounts(b *strings.Builder, cited citations) {
	var source, tests, notDone, moot, open int
	for _, r := range t.rows {
		switch {
		case r.notDone != "":
			notDone++
			continue
		case r.moot != "":
			moot++
			continue
		case !cited.has(t.rfc, r.id):
			open++
			continue
		}
		if len(cited.places(t.rfc, r.id, false)) > 0 {
			source++
		}
		if len(cited.places(t.rfc, r.id, true)) > 0 {
			tests++
		}
	}
	fmt.Fprintf(b, "%d requirements: %d cited in the source, %d in tests; %d not done, %d that do not apply, %d open.\n",
		len(t.rows), source, tests, notDone, moot, open)
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
	b.WriteString("\n## Sections cited\n\n| section | source | tests |\n|---|---|---|\n")
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
