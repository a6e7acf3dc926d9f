package netsim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/netsim"
	"smolnet/netstack/tcp"
)

// Paths on which implementations of TCP are known to fall short, one at a time.

const (
	longFatRuns   = 1
	longFatTime   = 15 * time.Second
	longFatBuffer = 32 << 20
)

func TestLongFat(t *testing.T) {
	rates := &board{title: "Mbit/s", format: "%.1f"}
	counts := &board{title: "segments", format: "%.0f"}
	for _, c := range controllers() {
		// As between two continents: others do 22 to 45.
		rare := netsim.Path{Delay: 33 * time.Millisecond, Rate: 200e6, Queue: 1100, Loss: 0.00003}
		middle, _ := bulk(t, longFatRuns, c, bulkTest{there: rare, back: rare, buffer: longFatBuffer, time: longFatTime})
		// CUBIC's response to losses that rare is a matter of its window, RFC 9438 5.1:
		// with the 1,100 segments that this path holds it loses more than it can regain
		// until the next one.
		rates.add(figure{row: "200 Mbit/s, 66 ms, 0.003 %", column: c.name, got: middle, base: 180, want: 180, short: c.name == "cubic"})

		longFatClock(t, c, rates, counts)
		longFatReorder(t, c, rates, counts)
		rates.add(figure{row: "black hole", column: c.name, got: blackHole(t, c), want: 0.5})
	}
	rates.report(t)
	counts.report(t)
	compare(t, "longfat.txt", rates, counts)
}

// TestGigabit has thousands of segments under way.
func TestGigabit(t *testing.T) {
	if invariants {
		t.Skip("each segment has all those that are under way checked")
	}
	rates := &board{title: "Mbit/s", format: "%.1f"}
	for _, c := range controllers() {
		rates.add(figure{row: "1 Gbit/s, 100 ms", column: c.name, got: longTuned(t, c, 0), want: 900})
		if c.name == "bbr" { // CUBIC needs a thousand times fewer losses there, RFC 9438 5.1
			rates.add(figure{row: "1 Gbit/s, 100 ms, 0.1 %", column: c.name, got: longTuned(t, c, 0.001), want: 800})
		}

		near := netsim.Path{Delay: 10 * time.Millisecond, Rate: 1e9, Queue: 1000}
		middle, worst := bulk(t, 1, c, bulkTest{there: near, back: near, buffer: realTimeBuffer, time: 3 * time.Second})
		rates.add(figure{row: "1 Gbit/s, 20 ms", column: c.name, got: middle, base: 949, want: 900})
		rates.add(figure{row: "1 Gbit/s, 20 ms, worst", column: c.name, got: worst, base: 949, want: 850})
	}
	rates.report(t)
	compare(t, "gigabit.txt", rates)
}

// longTuned returns the goodput over a path of 1 Gbit/s, 100 ms, a queue of one
// bandwidth times RTT and random loss, from the third second to the twentieth, with buffers that grow.
func longTuned(t *testing.T, c controller, loss float64) float64 {
	const from, to = 3 * time.Second, 20 * time.Second
	cfg := tcp.Config{MaxRecvBuffer: 64 << 20, MaxSendBuffer: 64 << 20, NoDelay: true}
	c.use(&cfg)
	far := netsim.Path{Delay: 50 * time.Millisecond, Rate: 1e9, Queue: 8333, Loss: loss}
	s, a, b := twoHosts(*first, cfg, far, far)
	f := s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: -1, Quit: to}})
	require.NoError(t, s.Run(from))
	before := f.Sent().Bytes
	require.NoError(t, s.Run(to-from))
	return float64(f.Sent().Bytes-before) * 8 / 1e6 / (to - from).Seconds()
}

// longFatClock has both hosts have a clock as coarse as that of some systems.
func longFatClock(t *testing.T, c controller, rates, counts *board) {
	for _, tt := range []struct {
		row  string
		loss float64
		want float64
	}{{"16 ms clock", 0, 85}, {"16 ms clock, 1 %", 0.01, 3.5}} {
		path := netsim.Path{Delay: 20 * time.Millisecond, Rate: 100e6, Queue: 500, Loss: tt.loss}
		var again, needless uint64
		middle, _ := bulk(t, longFatRuns, c, bulkTest{
			there: path, back: netsim.Path{Delay: 20 * time.Millisecond}, buffer: realTimeBuffer, time: longFatTime, tick: 16 * time.Millisecond,
			seen: func(a *netsim.Audit) { again += a.Retransmits; needless += a.Spurious },
		})
		rates.add(figure{row: tt.row, column: c.name, got: middle, want: tt.want})
		counts.add(figure{row: tt.row, column: c.name + " again", got: float64(again)})
		counts.add(figure{row: tt.row, column: c.name + " needlessly", got: float64(needless), bounded: true})
	}
}

// longFatReorder compares a path that reorders with one that does not.
func longFatReorder(t *testing.T, c controller, rates, counts *board) {
	path := netsim.Path{Delay: 20 * time.Millisecond, Rate: 100e6, Queue: 500}
	test := bulkTest{there: path, back: path, buffer: realTimeBuffer, time: longFatTime}
	straight, _ := bulk(t, longFatRuns, c, test)
	rates.add(figure{row: "in order", column: c.name, got: straight})
	var needless uint64
	test.there.Reorder, test.there.ReorderBy = 0.03, 5
	test.seen = func(a *netsim.Audit) { needless += a.Spurious }
	middle, _ := bulk(t, longFatRuns, c, test)
	rates.add(figure{row: "3 % reordered by 5", column: c.name, got: middle, base: straight, want: 0.9 * straight})
	counts.add(figure{row: "3 % reordered by 5", column: c.name + " needlessly", got: float64(needless)})
}

// blackHole returns the goodput of 4 MiB over a path that takes less than the
// hosts' links do, where nobody says so; zero if nothing comes through.
func blackHole(t *testing.T, c controller) float64 {
	cfg := patient(realTimeBuffer)
	c.use(&cfg)
	s := netsim.New(*first)
	a, r, b := newHost(s, "a", cfg), s.Router(""), newHost(s, "b", cfg)
	path := netsim.Path{Delay: 10 * time.Millisecond, Rate: 100e6}
	s.MustLink(a, r, path, path)
	path.MTU, path.BlackHole = 1400, true
	s.MustLink(r, b, path, path)
	f := s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: 4 << 20}})
	if err := s.Settle(10 * time.Minute); err != nil {
		t.Logf("black hole: %v", err)
		require.ErrorIs(t, err, netsim.ErrTime)
	}
	return f.Sent().Goodput() * 8 / 1e6
}
