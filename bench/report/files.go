package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// The files that Write makes.
const (
	JSONFile = "results.json"
	PlotFile = "ratios.svg"
)

// Write puts the report into files in a folder, which it makes if need be.
func (r *Report) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return fmt.Errorf("%s: %w", JSONFile, err)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, JSONFile), append(text, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, PlotFile), r.Plot(), 0o644),
	)
}

// The lines of a document between which UpdateReadme puts its table.
const (
	readmeBegin = "<!-- latest run: begin -->"
	readmeEnd   = "<!-- latest run: end -->"
)

// ErrNoMarkers is returned for a document without the two lines.
var ErrNoMarkers = fmt.Errorf("there are no lines %q and %q in this order", readmeBegin, readmeEnd)

// UpdateReadme replaces what stands between the markers in a file.
func (r *Report) UpdateReadme(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err = replaceLatest(text, r.Markdown())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, text, 0o644)
}

func replaceLatest(text, table []byte) ([]byte, error) {
	head, rest, ok := bytes.Cut(text, []byte(readmeBegin))
	if !ok {
		return nil, ErrNoMarkers
	}
	_, tail, ok := bytes.Cut(rest, []byte(readmeEnd))
	if !ok {
		return nil, ErrNoMarkers
	}
	return bytes.Join([][]byte{head, []byte(readmeBegin + "\n\n"), table, []byte("\n" + readmeEnd), tail}, nil), nil
}

// Markdown returns the report as tables, a new one whenever the stacks change,
// with the machine and command above them.
func (r *Report) Markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: `%s` on %s.\n", r.Machine.Date, r.Machine.Command, r.Machine)
	fmt.Fprintf(&b, "Medians, with minimum and maximum of the rounds. In the last columns more than 1 means that smolnet is better.\n")
	if r.Busy > 0 {
		fmt.Fprintf(&b, "Before %d of %d runs other programs kept the machine busy.\n", r.Busy, r.Runs)
	}
	var stacks []string
	for _, row := range r.Rows {
		if have := row.Stacks(); !slices.Equal(have, stacks) {
			stacks = have
			tableHead(&b, stacks)
		}
		row.writeMarkdown(&b, stacks)
	}
	return b.Bytes()
}

// tableHead begins a table for the rows that were run over these stacks.
func tableHead(b *bytes.Buffer, stacks []string) {
	fmt.Fprint(b, "\n| work | figure |")
	for _, s := range stacks {
		fmt.Fprintf(b, " %s |", s)
	}
	for _, s := range others(stacks) {
		fmt.Fprintf(b, " vs %s |", s)
	}
	fmt.Fprint(b, "\n|---|---|")
	for range len(stacks) + len(others(stacks)) {
		fmt.Fprint(b, "---|")
	}
	b.WriteByte('\n')
}

func (r *Row) writeMarkdown(b *bytes.Buffer, stacks []string) {
	name := r.Name
	for _, f := range r.Figures {
		fmt.Fprintf(b, "| %s | %s |", name, f.title())
		name = ""
		for _, s := range stacks {
			fmt.Fprintf(b, " %s |", f.cell(s))
		}
		for _, s := range others(stacks) {
			fmt.Fprintf(b, " %s |", f.gainCell(s))
		}
		b.WriteByte('\n')
	}
}

// stacks are those of all rows.
func (r *Report) stacks() []string {
	var all Row
	for _, row := range r.Rows {
		for _, s := range row.Stacks() {
			all.Miss(s, "")
		}
	}
	return all.Stacks()
}
