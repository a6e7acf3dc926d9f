// Package report turns what the benchmarks measured into medians and ratios,
// and those into a table, JSON, Markdown and a plot.
package report

import (
	"maps"
	"slices"
	"strings"

	"smolnet/bench/env"
	"smolnet/bench/work"
)

// A Report is one run of the benchmarks.
type Report struct {
	Machine Machine `json:"machine"`
	Rows    []Row   `json:"rows"`
	// Busy is before how many of the Runs the machine did not get quiet.
	Busy int `json:"busy"`
	Runs int `json:"runs"`
	// EndedEarly: the user did not wait for all rows and rounds.
	EndedEarly bool `json:"ended_early,omitempty"`
}

// A Row is what became of one row of the table of works.
type Row struct {
	Name    string   `json:"name"`
	About   string   `json:"about"`
	Link    string   `json:"link,omitempty"`
	Figures []Figure `json:"figures"`
	// Missing says of stacks without figures, or with those of fewer rounds, why
	// that is so.
	Missing map[string]string `json:"missing,omitempty"`
	// Notes are what a reader must know of a stack's runs.
	Notes map[string]string `json:"notes,omitempty"`
}

// A Figure is one quantity, for each stack that was measured.
type Figure struct {
	Name   string             `json:"name"`
	Unit   string             `json:"unit"`
	Better work.Better        `json:"better"`
	Stacks map[string]Summary `json:"stacks"`
	// Gains say how many times as good smolnet is as each other stack; see
	// [Figure.Gain].
	Gains map[string]float64 `json:"gains,omitempty"`
}

// A Summary is what the rounds measured of one quantity.
type Summary struct {
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Values []float64 `json:"values"` // in the order of the rounds
}

// Summarize returns the summary of values; there must be one at least.
func Summarize(values []float64) Summary {
	return Summary{Median: Median(values), Min: slices.Min(values), Max: slices.Max(values), Values: values}
}

// Median returns the value in the middle, or halfway between the two there. Of
// nothing it is zero. The values stay in their order.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// Add counts one run of the row over a stack. All runs must have the same
// metrics in the same order; what a later run has more is left out.
func (r *Row) Add(stack string, res work.Result) {
	for i, m := range res.Metrics {
		if i == len(r.Figures) {
			r.Figures = append(r.Figures, Figure{Name: m.Name, Unit: m.Unit, Better: m.Better})
		}
		r.Figures[i].add(stack, m.Value)
	}
	if res.Note != "" {
		if r.Notes == nil {
			r.Notes = make(map[string]string)
		}
		r.Notes[stack] = res.Note
	}
}

// remarks are a line for each stack that something is missing or noted of.
func (r *Row) remarks() (lines []string) {
	for _, what := range []map[string]string{r.Missing, r.Notes} {
		for _, s := range slices.Sorted(maps.Keys(what)) {
			lines = append(lines, s+": "+oneLine(what[s]))
		}
	}
	return lines
}

// oneLine joins the lines of a text that came from elsewhere.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// Miss notes why a stack has no figures, or no more.
func (r *Row) Miss(stack, reason string) {
	if r.Missing == nil {
		r.Missing = make(map[string]string)
	}
	r.Missing[stack] = reason
}

func (f *Figure) add(stack string, value float64) {
	if f.Stacks == nil {
		f.Stacks = make(map[string]Summary)
	}
	f.Stacks[stack] = Summarize(append(f.Stacks[stack].Values, value))
	f.Gains = make(map[string]float64)
	for other := range f.Stacks {
		if gain, ok := f.Gain(other); ok {
			f.Gains[other] = gain
		}
	}
}

// Gain returns how many times as good smolnet's median is as another stack's:
// the quotient of the two if more is better, its inverse if less is. Above 1
// smolnet is the better one in either case. A stack with another congestion control
// than its default is compared with smolnet's variant that has the same, if that was
// measured. It is not ok if one was not measured or either is zero.
func (f *Figure) Gain(other string) (gain float64, ok bool) {
	a, measured := f.Stacks[env.Variant(env.Smolnet, other)]
	if !measured {
		a, measured = f.Stacks[env.Smolnet]
	}
	b, measuredToo := f.Stacks[other]
	if env.Base(other) == env.Smolnet || !measured || !measuredToo || a.Median <= 0 || b.Median <= 0 {
		return 0, false
	}
	if f.Better == work.Lower {
		return b.Median / a.Median, true
	}
	return a.Median / b.Median, true
}
