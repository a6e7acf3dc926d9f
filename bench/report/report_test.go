package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/bench/env"
	"smolnet/bench/work"
)

func TestMedian(t *testing.T) {
	require.Zero(t, Median(nil))
	require.Equal(t, 3.0, Median([]float64{3}))
	require.Equal(t, 2.5, Median([]float64{4, 1}))
	values := []float64{9, 1, 5}
	require.Equal(t, 5.0, Median(values))
	require.Equal(t, []float64{9, 1, 5}, values, "left in order")
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1.00", 0.012345: "0.0123", 9.876: "9.88", 12.345: "12.3", 123.45: "123", 1234.5: "1230", 98765: "98800", -1.5: "-1.50", 0.5: "0.500",
	} {
		require.Equal(t, want, Number(v), "%v", v)
	}
}

func result(value, cpu float64) work.Result {
	return work.Result{Metrics: []work.Metric{
		{Name: "speed", Unit: "km/h", Value: value, Better: work.Higher},
		{Name: "CPU", Unit: "s", Value: cpu, Better: work.Lower},
	}}
}

// example is a report with three stacks, of which the last was left out.
func example() *Report {
	row := Row{Name: "walk/fast", About: "walking <quickly>", Link: "MTU 1"}
	for _, v := range []float64{10, 30, 20} {
		row.Add(env.Smolnet, result(v, 1))
		row.Add(env.GVisor, result(v/4, 8))
	}
	row.Notes = map[string]string{env.GVisor: "limps"}
	row.Miss(env.Kernel, "left out: no shoes")
	return &Report{
		Machine: Machine{Date: "2026-01-02T03:04:05Z", Command: "go run", System: "plan9/mips", CPU: "Abacus & Sons", Cores: 2, Go: "go1.99"},
		Rows:    []Row{row}, Busy: 1, Runs: 6,
	}
}

func TestSummary(t *testing.T) {
	row := example().Rows[0]
	s := row.Figures[0].Stacks[env.Smolnet]
	require.Equal(t, Summary{Median: 20, Min: 10, Max: 30, Values: []float64{10, 30, 20}}, s)
	require.Equal(t, "20.0 (10.0-30.0)", s.String())
	require.Equal(t, "7.00", Summarize([]float64{7}).String())
}

func TestGain(t *testing.T) {
	row := example().Rows[0]
	for i, want := range []float64{4, 8} { // more speed, less CPU
		gain, ok := row.Figures[i].Gain(env.GVisor)
		require.True(t, ok)
		require.Equal(t, want, gain)
		require.Equal(t, map[string]float64{env.GVisor: want}, row.Figures[i].Gains)
	}
	for _, other := range []string{env.Kernel, env.Smolnet} {
		_, ok := row.Figures[0].Gain(other)
		require.False(t, ok, other)
	}
	row.Add(env.Kernel, result(0, 0))
	_, ok := row.Figures[0].Gain(env.Kernel)
	require.False(t, ok, "nothing to divide by")
}

// TestGainOfVariant: one congestion control is compared with the same one.
func TestGainOfVariant(t *testing.T) {
	var row Row
	row.Add(env.Smolnet, result(10, 1))
	row.Add(env.SmolnetBBR, result(40, 1))
	for _, name := range []string{env.Kernel, env.KernelBBR, env.GVisorReno} {
		row.Add(name, result(20, 1))
	}
	require.Equal(t, map[string]float64{env.Kernel: 0.5, env.KernelBBR: 2, env.GVisorReno: 0.5}, row.Figures[0].Gains)
	require.NotContains(t, others(row.Stacks()), env.SmolnetBBR)
}

func TestStacks(t *testing.T) {
	var r Row
	require.Empty(t, r.Stacks())
	r.Add("zebra", result(1, 1))
	r.Add(env.Kernel, result(1, 1))
	r.Miss(env.Smolnet, "x")
	require.Equal(t, []string{env.Smolnet, env.Kernel, "zebra"}, r.Stacks())
	require.Equal(t, []string{env.Kernel, "zebra"}, others(r.Stacks()))
	require.Empty(t, others([]string{env.Kernel}), "smolnet is not there to be compared")
}

func TestText(t *testing.T) {
	var b strings.Builder
	row := example().Rows[0]
	require.NoError(t, row.WriteText(&b))
	for _, want := range []string{
		"walk/fast (MTU 1): walking <quickly>\n", "speed, km/h", "20.0 (10.0-30.0)", "better than gvisor by", "4.00x", "8.00x",
		"gvisor: limps\n", "kernel: left out: no shoes\n",
	} {
		require.Contains(t, b.String(), want)
	}
}

func TestFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	r := example()
	require.NoError(t, r.Write(dir))
	text, err := os.ReadFile(filepath.Join(dir, JSONFile))
	require.NoError(t, err)
	var back Report
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, r, &back)
	_, err = os.Stat(filepath.Join(dir, PlotFile))
	require.NoError(t, err)
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Error(t, r.Write(filepath.Join(file, "below")))
}

// TestPlot reads the plot as XML and finds the bars at their lengths.
func TestPlot(t *testing.T) {
	type rect struct {
		Fill  string  `xml:"fill,attr"`
		Width float64 `xml:"width,attr"`
	}
	var svg struct {
		Rects []rect   `xml:"rect"`
		Texts []string `xml:"text"`
	}
	require.NoError(t, xml.Unmarshal(example().Plot(), &svg))
	var widths []float64
	for _, r := range svg.Rects {
		if r.Fill == plotColors[env.GVisor] && r.Width != 12 { // the legend's
			widths = append(widths, r.Width)
		}
	}
	require.Len(t, widths, 2)
	require.InDelta(t, 1.5, widths[1]/widths[0], 0.01, "log 8 to log 4")
	require.Contains(t, svg.Texts, "walk/fast speed")
	require.Contains(t, strings.Join(svg.Texts, ""), "Abacus & Sons")
	wellFormed(t, (&Report{}).Plot())
}

func wellFormed(t *testing.T, doc []byte) {
	d := xml.NewDecoder(bytes.NewReader(doc))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

func TestMarkdown(t *testing.T) {
	text := string(example().Markdown())
	require.Contains(t, text, "| work | figure | smolnet | gvisor | kernel | vs gvisor | vs kernel |\n|---|---|---|---|---|---|---|\n")
	require.Contains(t, text, "| walk/fast | speed, km/h | 20.0 (10.0-30.0) | 5.00 (2.50-7.50) | - | 4.00x | - |\n")
	require.Contains(t, text, "|  | CPU, s | 1.00 (1.00-1.00) |")
	require.Contains(t, text, "Before 1 of 6 runs")
	require.Contains(t, text, "|\n\n- walk/fast, kernel: left out: no shoes\n- walk/fast, gvisor: limps\n")
	require.NotContains(t, text, "ended early")
	r := example()
	r.Rows = append(r.Rows, r.Rows[0], Row{Name: "alone"})
	r.Rows[2].Add(env.Smolnet, work.Result{Metrics: []work.Metric{{Name: "count", Value: 3}}})
	text = string(r.Markdown())
	require.Equal(t, 2, strings.Count(text, "| work |"), "a table for each set of stacks")
	require.Contains(t, text, "\n| work | figure | smolnet |\n|---|---|---|\n| alone | count | 3.00 |\n")
	none := Row{Name: "none"}
	none.Miss(env.GVisor, "left out: no\nreason\n")
	text = string((&Report{Rows: []Row{none}, EndedEarly: true}).Markdown())
	require.NotContains(t, text, "|", "a table of nothing")
	require.Contains(t, text, "\n\n- none, gvisor: left out: no; reason\n")
	require.Contains(t, text, "ended early")
}

func TestReadme(t *testing.T) {
	file := filepath.Join(t.TempDir(), "README.md")
	before, after := "# x\n"+readmeBegin, readmeEnd+"\nend\n"
	require.NoError(t, os.WriteFile(file, []byte(before+"\nold\n"+after), 0o644))
	for range 2 { // the second time there is a table to replace
		require.NoError(t, example().UpdateReadme(file))
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, before+"\n\n"+string(example().Markdown())+"\n"+after, string(text))
	}
	for _, bad := range []string{"", readmeBegin, readmeEnd + readmeBegin} {
		require.NoError(t, os.WriteFile(file, []byte(bad), 0o644))
		require.ErrorIs(t, example().UpdateReadme(file), ErrNoMarkers)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, bad, string(text), "left alone")
	}
	require.ErrorIs(t, example().UpdateReadme(file+"x"), os.ErrNotExist)
}

// TestRealReadme has the markers that -readme needs.
func TestRealReadme(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, err = replaceLatest(text, nil)
	require.NoError(t, err)
}

func TestMachine(t *testing.T) {
	require.Equal(t, `go run ./bench/compare -rows 'bulk|rtt' -out /tmp/x '' 'it'\''s'`, command([]string{"-rows", "bulk|rtt", "-out", "/tmp/x", "", "it's"}))
	require.Equal(t, "Fast One", cpuModel([]byte("processor\t: 0\nmodel name\t: Fast One\nmodel name : Slow\n")))
	require.Empty(t, cpuModel(nil))
	m := ThisMachine(time.Unix(0, 0).UTC(), []string{"-tiny"})
	require.Equal(t, "1970-01-01T00:00:00Z", m.Date)
	require.Equal(t, "go run ./bench/compare -tiny", m.Command)
	require.Positive(t, m.Cores)
	require.Contains(t, m.String(), m.Go)
	m.Modules = map[string]string{"gvisor.dev/gvisor": "v7"}
	m.CPU = ""
	require.Contains(t, m.String(), "unknown CPU")
	require.Contains(t, m.String(), "gVisor v7")
}
