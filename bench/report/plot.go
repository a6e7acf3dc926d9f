package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"

	"smolnet/bench/env"
)

// The plot's measures, in pixels.
const (
	plotLabels = 250 // width of the column of names
	plotBars   = 560 // width of the axis
	plotNumber = 60  // room for the number beside a bar
	plotTop    = 70
	plotBar    = 11 // height of a bar
	plotGap    = 9  // between the groups
	plotFoot   = 30
)

// plotColors are those of the stacks that smolnet is compared with; what has no
// color of its own gets the last one.
var plotColors = map[string]string{
	env.GVisor: "#3b75af", env.GVisorReno: "#9dbbd7",
	env.Kernel: "#e08a33", env.KernelBBR: "#f0c59b",
}

const plotColor = "#7a7a7a"

// A bar is one ratio; bars of one label stand together.
type bar struct {
	label, stack string
	gain         float64
}

// Plot draws how many times as good smolnet is as the others: a group of bars
// for the first figure of each row and one for CPU time, on a logarithmic axis.
// It is an SVG document, white where there is nothing to compare.
func (r *Report) Plot() []byte {
	bars := r.bars()
	lo, hi := 0.5, 2.0
	groups := 0
	for i, b := range bars {
		lo, hi = min(lo, b.gain), max(hi, b.gain)
		if i == 0 || b.label != bars[i-1].label {
			groups++
		}
	}
	scale := axis{lo: math.Log10(lo), hi: math.Log10(hi)}
	width, height := plotLabels+plotBars+plotNumber, plotTop+len(bars)*plotBar+groups*plotGap+plotFoot
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	text(&b, 10, 18, `font-size="14"`, "How many times as good smolnet is (medians; right of 1 it is better)")
	text(&b, 10, 34, `fill="#555"`, r.Machine.Date+", "+r.Machine.String())
	legend(&b, r.stacks())
	scale.draw(&b, height-plotFoot)
	y := plotTop
	for i, v := range bars {
		if i == 0 || v.label != bars[i-1].label {
			y += plotGap
			text(&b, plotLabels-8, y+plotBar-2, `text-anchor="end"`, v.label)
		}
		x0, x1 := scale.at(1), scale.at(v.gain)
		fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", min(x0, x1), y, math.Abs(x1-x0), plotBar-1, color(v.stack))
		text(&b, int(max(x0, x1))+4, y+plotBar-2, `font-size="9"`, Number(v.gain))
		y += plotBar
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// bars returns what is drawn.
func (r *Report) bars() []bar {
	var bars []bar
	for _, row := range r.Rows {
		for i, f := range row.Figures {
			if i > 0 && f.Name != "CPU" {
				continue
			}
			for _, s := range others(row.Stacks()) {
				if gain, ok := f.Gain(s); ok {
					bars = append(bars, bar{label: row.Name + " " + f.Name, stack: s, gain: gain})
				}
			}
		}
	}
	return bars
}

// An axis is logarithmic, from 10^lo to 10^hi.
type axis struct{ lo, hi float64 }

func (a axis) at(v float64) float64 {
	return plotLabels + plotBars*(math.Log10(v)-a.lo)/(a.hi-a.lo)
}

// draw draws the grid down to bottom.
func (a axis) draw(b *bytes.Buffer, bottom int) {
	for exp := math.Floor(a.lo); exp <= a.hi; exp++ {
		for _, digit := range []float64{1, 2, 5} {
			v := digit * math.Pow(10, exp)
			if math.Log10(v) < a.lo-1e-9 || math.Log10(v) > a.hi+1e-9 {
				continue
			}
			stroke := "#ddd"
			if v == 1 {
				stroke = "#000"
			}
			x := a.at(v)
			fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s"/>`+"\n", x, plotTop, x, bottom, stroke)
			text(b, int(x), bottom+14, `text-anchor="middle" fill="#555"`, fmt.Sprintf("%gx", v))
		}
	}
}

func legend(b *bytes.Buffer, stacks []string) {
	x := plotLabels
	for _, s := range others(stacks) {
		fmt.Fprintf(b, `<rect x="%d" y="48" width="12" height="12" fill="%s"/>`+"\n", x, color(s))
		text(b, x+17, 58, "", "compared with "+s)
		x += 145
	}
}

func color(stack string) string {
	if c, ok := plotColors[stack]; ok {
		return c
	}
	return plotColor
}

func text(b *bytes.Buffer, x, y int, attrs, s string) {
	fmt.Fprintf(b, `<text x="%d" y="%d" %s>`, x, y, attrs)
	xml.EscapeText(b, []byte(s)) // a bytes.Buffer takes everything
	b.WriteString("</text>\n")
}
