package main

import (
	"fmt"
	"slices"
	"strings"
)

// A table is the list of one RFC's requirements, read from <number>.txt.
type table struct {
	rfc    string // the number
	title  string
	strict bool // a row that loses its citations is not marked open again
	rows   []*row
	lines  []string // of the file, to write it back
}

// A row is one requirement.
type row struct {
	id      string // MUST-58, or where the RFC does not number requirements: "3.2 step 2 flightsize"
	section string // of such an id, "" for a label
	step    string // the step, rule or equation of the section, or words for it: 2/dupthresh
	words   []string
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
		case line == "strict: yes":
			t.strict = true
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
	if err := t.distinct(); err != nil {
		return nil, err
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
	if !isLabel(r.id) && !r.parseID() {
		return nil, fmt.Errorf("%q is neither a label such as MUST-58 nor a section with steps and words", r.id)
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

// parseID takes an id by section apart: the section, "step" and its name if it
// has one, words.
func (r *row) parseID() bool {
	fields := strings.Fields(r.id)
	if len(fields) == 0 || !isSection(fields[0]) {
		return false
	}
	r.section, fields = fields[0], fields[1:]
	for len(fields) > 0 {
		if fields[0] == "step" && r.step == "" {
			if len(fields) == 1 {
				return false
			}
			r.step, fields = strings.ToLower(fields[1]), fields[2:]
			continue
		}
		r.words, fields = append(r.words, strings.ToLower(fields[0])), fields[1:]
	}
	return true
}

// name returns the id as documents show it: of words that stand for one another,
// the first.
func (r *row) name() string {
	if r.section == "" {
		return r.id
	}
	fields := strings.Fields(r.id)
	for i, f := range fields {
		fields[i], _, _ = strings.Cut(f, "/")
	}
	return strings.Join(fields, " ")
}

// citedBy reports whether a cite of the table's RFC means this row: its section
// and, in the same sentence, its step and all of its words.
func (r *row) citedBy(x cite) bool {
	if r.section == "" || r.section != x.id {
		return false
	}
	step, words, _ := strings.Cut(r.step, "/")
	if step != "" && !slices.Contains(x.steps, step) && (words == "" || !hasAny(x.words, words)) {
		return false
	}
	for _, w := range r.words {
		if !hasAny(x.words, w) {
			return false
		}
	}
	return true
}

// hasAny reports whether one of the alternatives, a/b/c, is among words.
func hasAny(words []string, alternatives string) bool {
	return slices.ContainsFunc(strings.Split(alternatives, "/"), func(w string) bool { return hasWord(words, w) })
}

// sameStep compares steps, without the words that may stand for them.
func sameStep(a, b string) bool {
	a, _, _ = strings.Cut(a, "/")
	b, _, _ = strings.Cut(b, "/")
	return a == b
}

// hasWord reports whether a word is among words, in any form: window stands for
// windows as well. What has a sign in it, as prr_out, is several words. Numbers
// and words of two letters must be there as they are.
func hasWord(words []string, word string) bool {
	for _, w := range strings.FieldsFunc(word, isSign) {
		exact := len(w) <= 2 || isDigit(w[0])
		if !slices.ContainsFunc(words, func(have string) bool {
			return have == w || !exact && strings.HasPrefix(have, w)
		}) {
			return false
		}
	}
	return true
}

// distinct returns an error if readers could not tell two rows apart.
func (t *table) distinct() error {
	for _, r := range t.rows {
		for _, other := range t.rows {
			if r != other && r.name() == other.name() {
				return fmt.Errorf("line %d: %s is the name of line %d as well", other.line+1, other.name(), r.line+1)
			}
		}
	}
	return nil
}

// labels reports whether the RFC numbers its requirements.
func (t *table) labels() bool { return isLabel(t.rows[0].id) }

// listed returns the section, or the closest one above it, that has a row; or
// the section itself.
func (t *table) listed(section string) string {
	for s := section; s != ""; s = s[:max(strings.LastIndexByte(s, '.'), 0)] {
		if slices.ContainsFunc(t.rows, func(r *row) bool { return r.section == s }) {
			return s
		}
	}
	return section
}

// citedRows returns the rows that a cite means. A row of a whole section or step
// is not among them if there is one of the part that the cite is about.
func (t *table) citedRows(x cite) []*row {
	x.id = t.listed(x.id)
	var list []*row
	for _, r := range t.rows {
		if r.citedBy(x) {
			list = append(list, r)
		}
	}
	return slices.DeleteFunc(slices.Clone(list), func(whole *row) bool {
		return len(whole.words) == 0 && slices.ContainsFunc(list, func(part *row) bool {
			if whole.step == "" {
				return part.step != "" || len(part.words) > 0
			}
			return sameStep(part.step, whole.step) && len(part.words) > 0
		})
	})
}

// row returns the row with that id, or nil.
func (t *table) row(id string) *row {
	i := slices.IndexFunc(t.rows, func(r *row) bool { return r.id == id })
	if i < 0 {
		return nil
	}
	return t.rows[i]
}

// close takes away the open mark of every row that is cited, marks rows open
// that are cited no more unless the table is strict, and returns the table's
// text.
func (t *table) close(cited citations) string {
	for _, r := range t.rows {
		has := cited.has(t.rfc, r.id)
		switch {
		case r.open && has:
			r.open = false
			t.lines[r.line] = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(strings.TrimSuffix(t.lines[r.line], "open")), "|"))
		case !has && !r.open && r.notDone == "" && r.moot == "" && !t.strict:
			r.open = true
			t.lines[r.line] += " | open"
		}
	}
	return strings.Join(t.lines, "\n")
}
