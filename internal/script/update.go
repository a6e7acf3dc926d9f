package script

import (
	"fmt"
	"strings"
	"time"

	"smolnet/netstack/clock"
)

// edits are what an update changes in a script: the rest, comments included,
// stays as it is.
type edits struct {
	lines   []string
	changed map[int]string // line: new text
	removed map[int]bool
	before  map[int][]string // line: what goes in front of it
	last    clock.Time       // when the step before happened
}

// Update runs the script and returns its text with the segments, times and
// values that were expected replaced by those that came. changed is false if
// all was as expected. What cannot be updated is an error, as in Run.
func (s *Script) Update(newSubject func(Env) (Subject, error)) (text []byte, changed bool, err error) {
	e := &edits{lines: s.lines, changed: map[int]string{}, removed: map[int]bool{}, before: map[int][]string{}, last: Epoch}
	r := s.runner(newSubject, 0)
	r.edits = e
	if err := r.run(); err != nil {
		return nil, false, err
	}
	return e.text(), len(e.changed)+len(e.removed)+len(e.before) > 0, nil
}

func (e *edits) insert(line int, text string) { e.before[line] = append(e.before[line], text) }
func (e *edits) remove(line int)              { e.removed[line] = true }

// span is the time that stands before a step at an instant, if it is another one
// than that of the step before.
func (e *edits) span(at clock.Time) string {
	if at <= e.last {
		return ""
	}
	return "+" + round(at.Sub(e.last)).String() + " "
}

// round leaves out what nobody wants to read.
func round(d time.Duration) time.Duration {
	if d > 10*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d
}

// segment replaces what is expected by a step.
func (e *edits) segment(st *step, at clock.Time, text string) {
	prefix := st.prefix
	give := ""
	if i := strings.IndexByte(prefix, '~'); i >= 0 {
		give = prefix[i:]
	}
	switch st.wait.kind {
	case waitAt:
		prefix = "@" + round(at.Sub(Epoch)).String() + give
	case waitSpan:
		prefix = ""
		if at > e.last {
			prefix = "+" + round(at.Sub(e.last)).String() + give
		}
	}
	if prefix != "" {
		prefix += " "
	}
	e.replace(st.line, prefix+"> "+text)
}

// retime shortens the time that passes in a step, as some of it has passed in
// front of what was put in before it.
func (e *edits) retime(st *step, d time.Duration) {
	switch {
	case st.verb == "silent":
		e.replace(st.line, "silent "+round(d).String())
	case st.wait.kind == waitSpan:
		e.replace(st.line, "+"+round(d).String()+" "+st.verb+" "+strings.Join(st.args, " "))
	}
}

// checks replaces the values of an info line.
func (e *edits) checks(st *step, checks []check) {
	var parts []string
	for _, k := range checks {
		if k.op == "=" {
			parts = append(parts, k.name+" "+k.want)
		} else {
			parts = append(parts, k.name+" "+k.op+" "+k.want)
		}
	}
	prefix := st.prefix
	if prefix != "" {
		prefix += " "
	}
	e.replace(st.line, prefix+st.verb+" "+strings.Join(parts, ", "))
}

// replace puts new text on a line, between its indentation and its comment.
func (e *edits) replace(line int, text string) {
	old := e.lines[line-1]
	_, comment := splitComment(old)
	e.changed[line] = indent(old) + text + comment
}

func indent(line string) string { return line[:len(line)-len(strings.TrimLeft(line, " \t"))] }

// text returns the new script.
func (e *edits) text() []byte {
	var b strings.Builder
	for i := range len(e.lines) + 1 {
		n := i + 1
		for _, l := range e.before[n] {
			if i < len(e.lines) {
				l = indent(e.lines[i]) + l
			}
			fmt.Fprintln(&b, l)
		}
		switch text, ok := e.changed[n]; {
		case i == len(e.lines) || e.removed[n]:
		case ok:
			fmt.Fprintln(&b, text)
		default:
			fmt.Fprintln(&b, e.lines[i])
		}
	}
	return []byte(b.String())
}
