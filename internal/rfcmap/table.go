package main

import (
	"fmt"
	"slices"
	"strings"
)

// A table is the list of one RFC's requirements, read from <number>.txt.
type table struct {
	rfc   string // the number
	title string
	rows  []*row
	lines []string // of the file, to write it back
}

// A row is one requirement.
type row struct {
	id      string // MUST-58, or a section where the RFC does not number requirements
	group   string // the heading that it stands under
	level   string
	subject string
	open    bool   // known to be uncited
	notDone string // the reason why not
	moot    string // the reason why it asks nothing of us
	line    int    // index into table.lines
}

// levels are the words of RFC 2119 that a row may have.
var levels = []string{"must", "must not", "should", "should not", "may"}

// labelLevels are the levels that labels stand for.
var labelLevels = map[string]string{"MUST": "must", "SHLD": "should", "REC": "should", "MAY": "may"}

// parseTable reads a table's text. See 9293.txt for the format.
func parseTable(text string) (*table, error) {
	t := &table{lines: strings.Split(text, "\n")}
	group := ""
	seen := make(map[string]bool)
	for i, line := range t.lines {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && line[len(line)-1] == ']':
			group = line[1 : len(line)-1]
		case strings.HasPrefix(line, "rfc:"):
			t.rfc = strings.TrimSpace(line[len("rfc:"):])
		case strings.HasPrefix(line, "title:"):
			t.title = strings.TrimSpace(line[len("title:"):])
		default:
			r, err := parseRow(line)
			if err == nil && seen[r.id] {
				err = fmt.Errorf("%s is there twice", r.id)
			}
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			seen[r.id] = true
			r.group, r.line = group, i
			t.rows = append(t.rows, r)
		}
	}
	if t.rfc == "" || t.title == "" || len(t.rows) == 0 {
		return nil, fmt.Errorf("a table needs an rfc, a title and rows")
	}
	return t, nil
}

func parseRow(line string) (*row, error) {
	cells := strings.Split(line, "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	if len(cells) < 3 || len(cells) > 4 {
		return nil, fmt.Errorf("want id | level | subject [| state], have %q", line)
	}
	r := &row{id: cells[0], level: cells[1], subject: cells[2]}
	if !isLabel(r.id) && !isSection(r.id) {
		return nil, fmt.Errorf("%q is neither a label such as MUST-58 nor a section", r.id)
	}
	if !slices.Contains(levels, r.level) {
		return nil, fmt.Errorf("%q is not a level of RFC 2119", r.level)
	}
	label, _, _ := strings.Cut(r.id, "-")
	if want := labelLevels[label]; want != "" && !strings.HasPrefix(r.level, want) {
		return nil, fmt.Errorf("%s is not a %q", r.id, r.level)
	}
	if r.subject == "" {
		return nil, fmt.Errorf("%s has no subject", r.id)
	}
	if len(cells) < 4 {
		return r, nil
	}
	state, why, _ := strings.Cut(cells[3], ":")
	why = strings.TrimSpace(why)
	switch {
	case state == "open" && why == "":
		r.open = true
	case state == "not done" && why != "":
		r.notDone = why
	case state == "n/a" && why != "":
		r.moot = why
	default:
		return nil, fmt.Errorf("%s: the state is open, not done: why, or n/a: why; have %q", r.id, cells[3])
	}
	return r, nil
}

// row returns the row with that id, or nil.
func (t *table) row(id string) *row {
	i := slices.IndexFunc(t.rows, func(r *row) bool { return r.id == id })
	if i < 0 {
		return nil
	}
	return t.rows[i]
}

// close takes away the open mark of every row that is cited, and returns the
// table's text.
func (t *table) close(cited citations) string {
	for _, r := range t.rows {
		if r.open && cited.has(t.rfc, r.id) {
			r.open = false
			t.lines[r.line] = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(strings.TrimSuffix(t.lines[r.line], "open")), "|"))
		}
	}
	return strings.Join(t.lines, "\n")
}
