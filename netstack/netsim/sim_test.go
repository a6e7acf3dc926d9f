package netsim_test

import (
	"testing"
	"time"

	"smolnet/netstack/netsim"
)

// BenchmarkPackets is packets from stack to stack, by one link or by a bottleneck
// that many share.
func BenchmarkPackets(b *testing.B) {
	for _, n := range []int{1, 64} {
		name := map[int]string{1: "one", 64: "many"}[n]
		b.Run(name, func(b *testing.B) {
			var packets uint64
			for range b.N {
				s := netsim.New(1)
				d, err := s.Dumbbell(netsim.Path{Rate: 1e9, Queue: 1000}, netsim.Path{Rate: 1e9, Queue: 1000})
				if err != nil {
					b.Fatal(err)
				}
				for range n {
					x, y := s.MustHost(netsim.HostConfig{}), s.MustHost(netsim.HostConfig{})
					path := netsim.Path{Delay: 5 * time.Millisecond}
					s.MustLink(x, d.Left, path, path)
					s.MustLink(d.Right, y, path, path)
					s.MustFlow(netsim.FlowConfig{From: x, To: y, Client: netsim.App{Bytes: 20 << 20 / int64(n)}})
				}
				if err := s.Settle(time.Hour); err != nil {
					b.Fatal(err)
				}
				packets += s.Packets()
			}
			b.ReportMetric(float64(packets)/b.Elapsed().Seconds(), "packets/s")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
		})
	}
}
