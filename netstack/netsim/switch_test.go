package netsim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/congestion"
	"smolnet/netstack/netsim"
	"smolnet/netstack/tcp"
)

// TestSwitch: controllers take over from one another at random instants, in all
// phases of recovery, over a link that loses, reorders, doubles, marks and goes dark,
// and everything arrives.
func TestSwitch(t *testing.T) {
	phases := make(map[congestion.Phase]int)
	for seed := *first; seed < *first+uint64(runs(8)); seed++ {
		cfg := patient(0)
		cfg.ECN = tcp.ECNAsk
		path := netsim.Path{
			Delay: 20 * ms, Rate: 20e6, Queue: 40, Mark: 30, Loss: 0.01, Duplicate: 0.01,
			Reorder: 0.02, ReorderDelay: 30 * ms, Outages: []netsim.Outage{{From: time.Second, To: 1500 * ms}},
		}
		s, a, b := twoHosts(seed, cfg, path, path)
		f := s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: 5 << 20}})
		names := congestion.Names()
		var change func()
		change = func() {
			if e := f.Client(); e.Socket() != nil && !e.Closed() {
				phases[e.Socket().Conn().Info().Phase]++
				name := names[s.Rand().IntN(len(names))]
				make, ok := congestion.New(name)
				require.True(t, ok)
				e.Socket().Conn().SetCongestion(a.Now(), make)
				e.Socket().Kick()
				require.Equal(t, name, e.Socket().Conn().Info().CongestionControl)
			}
			if !f.Done() {
				s.After(time.Duration(s.Rand().Int64N(int64(100*ms))), change)
			}
		}
		s.After(0, change)
		require.NoError(t, s.Settle(time.Hour), "seed %d", seed)
		require.EqualValues(t, 5<<20, f.Sent().Bytes, "seed %d", seed)
		took := f.Sent().Last.Sub(f.Sent().Start)
		t.Logf("seed %d: %v", seed, took)
		require.Less(t, took, time.Minute, "seed %d", seed)
	}
	t.Log(phases)
	require.Len(t, phases, 4, "all phases of recovery")
}
