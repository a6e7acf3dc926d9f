package netsim_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/congestion"
	"smolnet/netstack/netsim"
	"smolnet/netstack/tcp"
)

var (
	seeds  = flag.Int("seeds", 0, "how many `seeds` the tests of random networks take; 0: each test's own number")
	first  = flag.Uint64("seed", 1, "the first `seed`")
	update = flag.Bool("update", false, "rewrite the golden files under testdata")
)

// runs returns how many seeds a test takes whose own number is n.
func runs(n int) int {
	if *seeds > 0 {
		return *seeds
	}
	return n
}

// A controller is a congestion controller by name.
type controller struct {
	name string
	use  func(*tcp.Config)
}

// controllers are the ones that tables compare. All that the tests know of how one
// is chosen is here.
func controllers() []controller {
	var all []controller
	for _, name := range []string{"cubic", "bbr"} {
		if f, ok := congestion.New(name); ok {
			all = append(all, controller{name, func(c *tcp.Config) { c.Congestion = f }})
		}
	}
	return all
}

// A figure is what was measured, and what it is measured against.
type figure struct {
	row, column string
	got         float64
	base        float64 // what another stack reaches; zero: nobody has measured
	want        float64 // the least that is good enough; zero: anything is
	most        float64 // the most that is good enough, with bounded
	bounded     bool
	short       bool // it is known to fall short, see shortfalls
}

// falls reports whether a figure falls short of its target.
func (f *figure) falls() bool { return f.got < f.want || f.bounded && f.got > f.most }

// A board is a table of figures.
type board struct {
	title   string
	format  string // of a figure
	figures []figure
}

func (b *board) add(f figure) { b.figures = append(b.figures, f) }

// table returns the figures that pick shows, in rows and columns.
func (b *board) table(pick func(*figure) string) string {
	var rows, columns []string
	cells := make(map[[2]string]string)
	for i := range b.figures {
		f := &b.figures[i]
		if !slices.Contains(rows, f.row) {
			rows = append(rows, f.row)
		}
		if !slices.Contains(columns, f.column) {
			columns = append(columns, f.column)
		}
		cells[[2]string{f.row, f.column}] = pick(f)
	}
	var out strings.Builder
	line := func(row string, cell func(string) string) {
		fmt.Fprintf(&out, "%-28s", row)
		for _, c := range columns {
			fmt.Fprintf(&out, " %15s", cell(c))
		}
		out.WriteString("\n")
	}
	line(b.title, func(c string) string { return c })
	for _, r := range rows {
		line(r, func(c string) string { return cells[[2]string{r, c}] })
	}
	return out.String()
}

func (b *board) show(v float64) string { return fmt.Sprintf(b.format, v) }

// report prints the figures, each with what others reach if that is known, and
// those that fall short.
func (b *board) report(t *testing.T) {
	t.Helper()
	t.Logf("ours/others', ! where ours falls short\n%s", b.table(func(f *figure) string {
		s := b.show(f.got)
		if f.base > 0 {
			s += "/" + b.show(f.base)
		}
		if f.falls() {
			s += "!"
		}
		return s
	}))
	for _, f := range b.figures {
		what := fmt.Sprintf("%s, %s, %s: %s, the target is %s", b.title, f.row, f.column, b.show(f.got), b.show(f.want))
		if f.bounded {
			what = fmt.Sprintf("%s, %s, %s: %s, the most is %s", b.title, f.row, f.column, b.show(f.got), b.show(f.most))
		}
		switch {
		case f.falls() && f.short:
			t.Log("falls short, as is known: " + what)
		case f.falls():
			t.Error("falls short: " + what)
		case f.short && *seeds == 0 && *first == 1:
			t.Error("does not fall short any more, take the mark away: " + what)
		}
	}
}

// compare compares the tables with a golden file, which has those of the usual
// seeds.
func compare(t *testing.T, name string, boards ...*board) {
	t.Helper()
	if *seeds != 0 || *first != 1 {
		return
	}
	var got strings.Builder
	for _, b := range boards {
		got.WriteString(b.table(func(f *figure) string { return b.show(f.got) }))
		got.WriteString("\n")
	}
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got.String()), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run go test with -update to make it")
	if string(want) != got.String() {
		t.Errorf("the figures are not those of %s any more; if they are as good, write them there with -update\nwas:\n%s\nis:\n%s",
			path, want, got.String())
	}
}

// median returns the middle of v, which is sorted then, and the least.
func median(v []float64) (middle, worst float64) {
	slices.Sort(v)
	return v[len(v)/2], v[0]
}

// patient is a configuration for connections that must not give up.
func patient(buffer int) tcp.Config {
	return tcp.Config{
		RecvBuffer: buffer, SendBuffer: buffer, NoDelay: true,
		SynRetries: -1, SynAckRetries: -1, RetransmitLimit: -1, OrphanRetries: -1,
	}
}

// twoHosts returns a network of two hosts with one link.
func twoHosts(seed uint64, cfg tcp.Config, there, back netsim.Path) (s *netsim.Sim, a, b *netsim.Host) {
	s = netsim.New(seed)
	a, b = newHost(s, "a", cfg), newHost(s, "b", cfg)
	s.MustLink(a, b, there, back)
	return s, a, b
}

func newHost(s *netsim.Sim, name string, cfg tcp.Config) *netsim.Host {
	h := netsim.HostConfig{Name: name}
	h.Core.TCP = cfg
	return s.MustHost(h)
}
