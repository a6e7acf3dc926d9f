package netsim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/netsim"
)

func TestOneFlow(t *testing.T) {
	s := netsim.New(1)
	a, b := s.MustHost(netsim.HostConfig{Name: "a"}), s.MustHost(netsim.HostConfig{Name: "b"})
	there := netsim.Path{Delay: 20 * time.Millisecond, Rate: 100e6, Queue: 250, Loss: 0.01}
	s.MustLink(a, b, there, netsim.Path{Delay: 20 * time.Millisecond})
	f := s.MustFlow(netsim.FlowConfig{From: a, To: b, Client: netsim.App{Bytes: 4 << 20}, Server: netsim.App{Bytes: 1 << 20}})
	audit := f.Audit()
	require.NoError(t, s.Settle(time.Hour))
	require.EqualValues(t, 4<<20, f.Sent().Bytes)
	require.EqualValues(t, 1<<20, f.Returned().Bytes)
	t.Logf("%.0f B/s, %d packets, %+v", f.Sent().Goodput(), s.Packets(), audit.Retransmits)
	t.Logf("%+v", f.Client().Info())
}

func BenchmarkPackets(b *testing.B) {
	var packets uint64
	for range b.N {
		s := netsim.New(1)
		x, y := s.MustHost(netsim.HostConfig{}), s.MustHost(netsim.HostConfig{})
		s.MustLink(x, y, netsim.Path{Delay: 20 * time.Millisecond, Rate: 1e9}, netsim.Path{Delay: 20 * time.Millisecond})
		s.MustFlow(netsim.FlowConfig{From: x, To: y, Client: netsim.App{Bytes: 20 << 20}})
		if err := s.Settle(time.Hour); err != nil {
			b.Fatal(err)
		}
		packets += s.Packets()
	}
	b.ReportMetric(float64(packets)/b.Elapsed().Seconds(), "packets/s")
	b.ReportAllocs()
}
