package netsim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/netsim"
	"smolnet/netstack/tcp"
)

// What others reach in real time, with one connection, one way, for 20 s: the
// median of five runs, Mbit/s.
var (
	realTimeColumns = []string{"0", "0.1 %", "1 %", "5 %", "outage"}
	kernelCUBIC     = [5]float64{95.6, 14.5, 3.5, 1.1, 91.1}
	kernelBBR       = [5]float64{94.3, 94.0, 92.7, 85.5, 90.8}

	// The least that is good enough.
	targetCUBIC = [5]float64{94, 14.5, 3.5, 1.1, 90}
	targetBBR   = [5]float64{93, 93, 91, 83, 90}
)

const (
	realTime       = 20 * time.Second
	realTimeBuffer = 4 << 20
	realTimeRuns   = 3
)

func TestRealTimeTable(t *testing.T) {
	n := realTimeRuns
	if invariants {
		n = 1 // each segment has all those that are under way checked
	}
	middles := &board{title: "median, Mbit/s", format: "%.2f"}
	worsts := &board{title: "worst, Mbit/s", format: "%.2f"}
	slow := netsim.Path{Delay: 20 * time.Millisecond, Rate: 100e6, Queue: 250}
	for _, c := range controllers() {
		others, want := kernelCUBIC, targetCUBIC
		if c.name == "bbr" {
			others, want = kernelBBR, targetBBR
		}
		for i, column := range realTimeColumns {
			there, back := slow, slow
			switch column {
			case "outage":
				there.Outages = []netsim.Outage{{From: realTime / 4, To: realTime/4 + 100*time.Millisecond}}
				back.Outages = there.Outages
			default:
				_, err := fmt.Sscanf(column, "%g", &there.Loss)
				require.NoError(t, err)
				there.Loss /= 100
			}
			middle, worst := bulk(t, n, c, bulkTest{there: there, back: back, buffer: realTimeBuffer, time: realTime})
			middles.add(figure{row: c.name, column: column, got: middle, base: others[i], want: want[i]})
			least := figure{row: c.name, column: column, got: worst}
			if i == 0 {
				least.want = want[0] / 2 // no run collapses
			}
			worsts.add(least)
		}
	}
	if n < realTimeRuns {
		return // the targets are for medians
	}
	middles.report(t)
	worsts.report(t)
	compare(t, "realtime.txt", middles, worsts)
}

// A bulkTest is one connection that sends as much as it can, and is then cut off.
type bulkTest struct {
	there, back netsim.Path
	buffer      int
	time        time.Duration
	tick        time.Duration       // of both clocks
	seen        func(*netsim.Audit) // is shown what was known of each run
}

// bulk returns the median and the worst goodput of some runs, Mbit/s.
func bulk(t *testing.T, n int, c controller, b bulkTest) (middle, worst float64) {
	t.Helper()
	var all []float64
	for i := range runs(n) {
		seed := *first + uint64(i)
		cfg := tcp.Config{RecvBuffer: b.buffer, SendBuffer: b.buffer, NoDelay: true}
		c.use(&cfg)
		if b.tick > 0 {
			cfg.TimerSlack = b.tick
		}
		s := netsim.New(seed)
		host := func(name string) *netsim.Host {
			h := netsim.HostConfig{Name: name, ClockTick: b.tick}
			h.Core.TCP = cfg
			return s.MustHost(h)
		}
		from, to := host("from"), host("to")
		s.MustLink(from, to, b.there, b.back)
		f := s.MustFlow(netsim.FlowConfig{From: from, To: to, Client: netsim.App{Bytes: -1, Quit: b.time}})
		var audit *netsim.Audit
		if b.seen != nil {
			audit = f.Audit()
		}
		require.NoError(t, s.Run(b.time))
		all = append(all, float64(f.Sent().Bytes)*8/1e6/b.time.Seconds())
		if b.seen != nil {
			b.seen(audit)
		}
		require.NoError(t, s.Settle(time.Hour), "seed %d", seed)
	}
	return median(all)
}
