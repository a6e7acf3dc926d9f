package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// CheckFolder makes the folder if need be, and returns why [Report.Write] could
// not write to it.
func CheckFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+JSONFile+"-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// CheckReadme returns why [Report.UpdateReadme] could not write to the file.
func CheckReadme(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if _, err := replaceLatest(text, nil); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

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
	if r.EndedEarly {
		fmt.Fprint(&b, "The run was ended early: rows are missing, and the last ones may have fewer rounds.\n")
	}
	var stacks []string
	for _, row := range r.Rows {
		if len(row.Figures) == 0 {
			continue // what there is to say of it is among the remarks
		}
		if have := row.Stacks(); !slices.Equal(have, stacks) {
			stacks = have
			tableHead(&b, stacks)
		}
		row.writeMarkdown(&b, stacks)
	}
	r.writeRemarks(&b)
	return b.Bytes()
}

// writeRemarks lists which figures are missing or need a word, and why.
func (r *Report) writeRemarks(b *bytes.Buffer) {
	separator := "\n"
	for _, row := range r.Rows {
		for _, remark := range row.remarks() {
			fmt.Fprintf(b, "%s- %s, %s\n", separator, row.Name, remark)
			separator = ""
		}
	}
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
