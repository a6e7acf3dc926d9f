package netsim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/netsim"
)

// The scenarios of a well-known table, and the figures in it: smoltcp's, without
// congestion control.

// lossGoodput are bytes per second of one flow of 10 MiB: RTT 100 ms, infinite
// bandwidth, MTU 1500, the same random loss both ways.
var (
	lossColumns = []float64{0, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3}
	lossGoodput = []struct {
		buffer int
		others [8]float64
	}{
		{1024, [8]float64{10238, 10023, 8341, 7084, 4003, 1870, 291, 61}},
		{4096, [8]float64{35062, 33860, 26937, 21887, 14074, 7871, 1604, 402}},
		{16384, [8]float64{161842, 159311, 127091, 104233, 55319, 27269, 7655, 1277}},
		{32768, [8]float64{322945, 314780, 219671, 166588, 76627, 37775, 6079, 1156}},
	}
)

// lossShort are the cells that fall short. CUBIC with windows of up to 22 segments is
// what Reno is on average (RFC 9438 4.3): about sqrt(1.5/p) segments for each round trip.
// Two segments, less than which it never has, cannot bring four times 7,655 bytes a second
// where one packet of five is lost. A window of 32 KiB has room for 22 segments and a
// part of one, which is not sent alone (RFC 9293 3.8.6.2.1).
var lossShort = map[int][]float64{
	16384: {0.2},
	32768: {0, 0.01, 0.02, 0.05, 0.1, 0.2},
}

const (
	lossBytes = 10 << 20
	// heavyLoss is from where on a target is heavyFactor times what others reach.
	heavyLoss   = 0.2
	heavyFactor = 4

	goodputRuns = 3
)

// sharedGoodput are flows over one bottleneck.
var sharedGoodput = []struct {
	flows        int
	others, want float64 // bytes per second, all goodputs together
}{
	{1, 3450, 1e6},
	{4, 12848, 0},
	{16, 52408, 12e6},
	{64, 167824, 18e6},
}

const (
	sharedBytes  = 2 << 20
	sharedBuffer = 256 << 10
	sharedRate   = 200e6
	sharedQueue  = 64 << 10
	sharedRuns   = 5

	leastJain   = 0.9 // from manyFlows on
	manyFlows   = 16
	mostDropped = 0.03
)

// TestGoodputOfBBR is the part of the table where losses are no congestion: half as much
// again as others reach.
func TestGoodputOfBBR(t *testing.T) {
	bbr := slices.IndexFunc(controllers(), func(c controller) bool { return c.name == "bbr" })
	loss := &board{title: "buffer, loss (B/s), BBR", format: "%.0f"}
	for _, r := range lossGoodput {
		for i, p := range lossColumns {
			if r.buffer >= 16384 && (p == 0.05 || p == 0.1) {
				got := goodputOf(t, r.buffer, p, controllers()[bbr])
				loss.add(figure{row: fmt.Sprint(r.buffer), column: fmt.Sprintf("%g %%", p*100), got: got, base: r.others[i], want: 1.5 * r.others[i]})
			}
		}
	}
	loss.report(t)
}

func TestGoodputTable(t *testing.T) {
	loss := &board{title: "buffer, loss (B/s)", format: "%.0f"}
	for _, r := range lossGoodput {
		for i, p := range lossColumns {
			want := r.others[i]
			if p >= heavyLoss {
				want *= heavyFactor
			}
			loss.add(figure{
				row: fmt.Sprint(r.buffer), column: fmt.Sprintf("%g %%", p*100), got: goodputOf(t, r.buffer, p), base: r.others[i], want: want,
				short: slices.Contains(lossShort[r.buffer], p),
			})
		}
	}
	loss.report(t)

	shared := &board{title: "flows (B/s in all)", format: "%.0f"}
	fair := &board{title: "flows", format: "%.3f"}
	for _, r := range sharedGoodput {
		res := shareOften(t, r.flows)
		row := fmt.Sprint(r.flows)
		shared.add(figure{row: row, column: "sum", got: res.sum, base: r.others, want: r.want})
		shared.add(figure{row: row, column: "until the last", got: res.goodput})
		jain := figure{row: row, column: "Jain index", got: res.jain, short: r.flows == 16}
		if r.flows >= manyFlows {
			jain.want = leastJain
		}
		fair.add(jain)
		fair.add(figure{row: row, column: "dropped", got: res.dropped, bounded: true, most: mostDropped})
	}
	shared.report(t)
	fair.report(t)
	compare(t, "goodput.txt", loss, shared, fair)
}

// goodputOf returns the bytes per second of one flow over a link that loses, the
// median of some.
func goodputOf(t *testing.T, buffer int, loss float64, use ...controller) float64 {
	var all []float64
	for i := range runs(goodputRuns) {
		path := netsim.Path{Delay: 50 * time.Millisecond, Loss: loss}
		cfg := patient(buffer)
		for _, c := range use {
			c.use(&cfg)
		}
		s, a, b := twoHosts(*first+uint64(i), cfg, path, path)
		f := s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: lossBytes}})
		require.NoError(t, s.Settle(10000*time.Hour), "buffer %d, loss %v", buffer, loss)
		all = append(all, f.Sent().Goodput())
	}
	middle, _ := median(all)
	return middle
}

// A sharing is how flows have shared a bottleneck.
type sharing struct {
	sum     float64 // of the goodputs, bytes per second
	goodput float64 // bytes per second until the last one was done
	jain    float64 // of their goodputs: 1 is fair, 1/n is not
	dropped float64 // share of the packets that came to the bottleneck
}

// shareOften returns the medians of some runs of shareBottleneck.
func shareOften(t *testing.T, n int) sharing {
	var sum, goodput, jain, dropped []float64
	for i := range runs(sharedRuns) {
		r := shareBottleneck(t, *first+uint64(i), n)
		sum, goodput = append(sum, r.sum), append(goodput, r.goodput)
		jain, dropped = append(jain, r.jain), append(dropped, r.dropped)
	}
	middle := func(v []float64) float64 { m, _ := median(v); return m }
	return sharing{sum: middle(sum), goodput: middle(goodput), jain: middle(jain), dropped: middle(dropped)}
}

// shareBottleneck has n flows share a link: RTT 100 ms, of which each side has a
// half that is drawn from 50 to 150 % of it.
func shareBottleneck(t *testing.T, seed uint64, n int) sharing {
	s := netsim.New(seed)
	way := netsim.Path{Rate: sharedRate, QueueBytes: sharedQueue}
	d, err := s.Dumbbell(way, way)
	require.NoError(t, err)
	side := func() netsim.Path {
		const half = 25 * time.Millisecond // one way
		return netsim.Path{Delay: half/2 + time.Duration(s.Rand().Int64N(int64(half)))}
	}
	var flows []*netsim.Flow
	for i := range n {
		a, b := newHost(s, fmt.Sprint("from", i), patient(sharedBuffer)), newHost(s, fmt.Sprint("to", i), patient(sharedBuffer))
		left, right := side(), side()
		s.MustLink(a, d.Left, left, left)
		s.MustLink(d.Right, b, right, right)
		flows = append(flows, s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: sharedBytes}}))
	}
	require.NoError(t, s.Settle(time.Hour))
	var sum, squares float64
	var last time.Duration
	for _, f := range flows {
		g := f.Sent().Goodput()
		sum += g
		squares += g * g
		last = max(last, f.Sent().Last.Sub(f.Sent().Start))
	}
	st := d.There.Stats()
	return sharing{
		sum:     sum,
		goodput: float64(n) * sharedBytes / last.Seconds(),
		jain:    sum * sum / (float64(n) * squares),
		dropped: float64(st.Kinds[netsim.Overflowed]) / float64(st.Packets),
	}
}
