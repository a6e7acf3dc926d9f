package report

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"smolnet/bench/env"
)

// significant is how many digits of a figure are printed.
const significant = 3

// Number formats v with three significant digits and without an exponent.
func Number(v float64) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	digits := significant - 1 - int(math.Floor(math.Log10(math.Abs(v))))
	if digits < 0 {
		unit := math.Pow10(-digits)
		return strconv.FormatFloat(math.Round(v/unit)*unit, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// String formats the median, and the range if there is one.
func (s Summary) String() string {
	if len(s.Values) < 2 {
		return Number(s.Median)
	}
	return fmt.Sprintf("%s (%s-%s)", Number(s.Median), Number(s.Min), Number(s.Max))
}

// Stacks returns the names of the stacks that the row has something of, those of
// package env first.
func (r *Row) Stacks() []string {
	have := make(map[string]bool)
	for _, f := range r.Figures {
		for name := range f.Stacks {
			have[name] = true
		}
	}
	for name := range r.Missing {
		have[name] = true
	}
	var names []string
	for _, name := range env.Names() {
		if have[name] {
			names = append(names, name)
			delete(have, name)
		}
	}
	return append(names, slices.Sorted(maps.Keys(have))...)
}

// others are the stacks that smolnet is compared with, none if it is not there.
func others(stacks []string) []string {
	if !slices.Contains(stacks, env.Smolnet) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(stacks), func(s string) bool { return env.Base(s) == env.Smolnet })
}

// title names a figure with its unit, if it has one.
func (f *Figure) title() string {
	if f.Unit == "" {
		return f.Name
	}
	return f.Name + ", " + f.Unit
}

// cell is what the table says of one stack, and gainCell of how smolnet compares
// with it.
func (f *Figure) cell(stack string) string {
	if s, ok := f.Stacks[stack]; ok {
		return s.String()
	}
	return "-"
}

func (f *Figure) gainCell(other string) string {
	if gain, ok := f.Gain(other); ok {
		return Number(gain) + "x"
	}
	return "-"
}

// WriteText prints the row as a block of lines: a title, a table of figures and
// stacks, and what there is to note.
func (r *Row) WriteText(out io.Writer) error {
	title := r.Name
	if r.Link != "" {
		title += " (" + r.Link + ")"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: %s\n", title, r.About)
	if len(r.Figures) > 0 {
		r.writeTable(&b)
	}
	for _, remark := range r.remarks() {
		fmt.Fprintf(&b, "  %s\n", remark)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// writeTable prints the figures, a line for each.
func (r *Row) writeTable(b *strings.Builder) {
	stacks := r.Stacks()
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "  \t")
	for _, s := range stacks {
		fmt.Fprintf(w, "%s\t", s)
	}
	for _, s := range others(stacks) {
		fmt.Fprintf(w, "better than %s by\t", s)
	}
	fmt.Fprintln(w)
	for _, f := range r.Figures {
		fmt.Fprintf(w, "  %s\t", f.title())
		for _, s := range stacks {
			fmt.Fprintf(w, "%s\t", f.cell(s))
		}
		for _, s := range others(stacks) {
			fmt.Fprintf(w, "%s\t", f.gainCell(s))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
}
