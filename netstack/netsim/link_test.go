package netsim_test

import (
	"encoding/binary"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/netsim"
	"smolnet/netstack/packet"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

const ms = time.Millisecond

// A datagrams is two hosts with a socket each, and what has become of the
// datagrams from a to b, which carry their numbers.
type datagrams struct {
	t        *testing.T
	s        *netsim.Sim
	a, b     *netsim.Host
	there    *netsim.Link
	from, to *core.UDP
	sent     int
	tos      uint8
	at       []time.Duration // of arrival
	order    []int           // numbers, as they arrived
}

// A link of its own for datagrams of size bytes of IP packet.
func newDatagrams(t *testing.T, there netsim.Path) *datagrams {
	d := &datagrams{t: t, s: netsim.New(1)}
	d.a, d.b = d.s.MustHost(netsim.HostConfig{MTU: 9000}), d.s.MustHost(netsim.HostConfig{MTU: 9000})
	d.there, _ = d.s.MustLink(d.a, d.b, there, netsim.Path{})
	var err error
	d.to, err = d.b.Core().OpenUDP(d.b.Now(), core.UDPOptions{Local: netip.AddrPortFrom(d.b.Addr4(), 9), Waiter: d})
	require.NoError(t, err)
	d.from, err = d.a.Core().OpenUDP(d.a.Now(), core.UDPOptions{Remote: netip.AddrPortFrom(d.b.Addr4(), 9)})
	require.NoError(t, err)
	d.to.SetLimits(1<<20, 0)
	return d
}

func (d *datagrams) Ready(tcp.Events) {
	b := make([]byte, 9000)
	for {
		n, _, _, err := d.to.ReadFrom(b)
		if err != nil || n < 4 {
			return
		}
		d.order = append(d.order, int(binary.BigEndian.Uint32(b)))
		d.at = append(d.at, d.s.Elapsed())
	}
}

// send sends n packets of size bytes each, one every gap.
func (d *datagrams) send(n, size int, gap time.Duration) {
	b := make([]byte, size-wire.IPv4Len-wire.UDPLen)
	for range n {
		binary.BigEndian.PutUint32(b, uint32(d.sent))
		d.sent++
		require.NoError(d.t, d.from.WriteTo(b, packet.Meta{TOS: d.tos}))
		require.NoError(d.t, d.s.Run(gap))
	}
}

func (d *datagrams) count(k netsim.Kind) int { return int(d.there.Stats().Kinds[k]) }

func TestDelayAndRate(t *testing.T) {
	d := newDatagrams(t, netsim.Path{Delay: 20 * ms, Rate: 8e6, Queue: 100}) // a byte a microsecond
	d.send(10, 1000, 0)
	require.NoError(t, d.s.Run(time.Second))
	require.Len(t, d.at, 10)
	for i, at := range d.at {
		require.Equal(t, 20*ms+time.Duration(i+1)*ms, at, "packet %d", i)
	}
}

func TestNoRate(t *testing.T) {
	d := newDatagrams(t, netsim.Path{Delay: 20 * ms})
	d.send(50, 1000, 0)
	require.NoError(t, d.s.Run(time.Second))
	require.Len(t, d.at, 50)
	for _, at := range d.at {
		require.Equal(t, 20*ms, at)
	}
}

func TestQueueBound(t *testing.T) {
	for _, tt := range []struct {
		name string
		path netsim.Path
		want int
	}{
		{"packets", netsim.Path{Rate: 8e6, Queue: 5}, 5},
		{"bytes", netsim.Path{Rate: 8e6, QueueBytes: 3999}, 3},
		{"bytes of one", netsim.Path{Rate: 8e6, QueueBytes: 10}, 1},
		{"both", netsim.Path{Rate: 8e6, Queue: 7, QueueBytes: 6000}, 6},
		{"default", netsim.Path{Rate: 8e6}, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDatagrams(t, tt.path)
			d.send(20, 1000, 0)
			require.NoError(t, d.s.Run(time.Second))
			require.Len(t, d.at, tt.want)
			require.Equal(t, 20-tt.want, d.count(netsim.Overflowed))
			st := d.there.Stats()
			require.Equal(t, tt.want, st.MaxQueue)
			require.Equal(t, time.Duration(tt.want)*ms, st.MaxQueueTime)
		})
	}
}

// TestQueueDrains: as packets leave, there is room for others, and the one in
// service counts.
func TestQueueDrains(t *testing.T) {
	d := newDatagrams(t, netsim.Path{Rate: 8e6, Queue: 2})
	d.send(2, 1000, 0)
	require.NoError(t, d.s.Run(ms-1))
	d.send(1, 1000, 0)
	require.Equal(t, 1, d.count(netsim.Overflowed), "the first one is leaving still")
	require.NoError(t, d.s.Run(1))
	d.send(1, 1000, 0)
	require.NoError(t, d.s.Run(time.Second))
	require.Equal(t, 1, d.count(netsim.Overflowed))
	require.Equal(t, []int{0, 1, 3}, d.order)
}

// near reports a frequency that is not within five standard deviations of p.
func near(t *testing.T, p float64, got, n int) {
	t.Helper()
	require.InDelta(t, p, float64(got)/float64(n), 5*math.Sqrt(p*(1-p)/float64(n)))
}

func TestLossStatistics(t *testing.T) {
	for _, p := range []float64{0.001, 0.05, 0.3} {
		d := newDatagrams(t, netsim.Path{Loss: p})
		const n = 20000
		d.send(n, 100, ms)
		near(t, p, d.count(netsim.Lost), n)
		require.Equal(t, n, d.count(netsim.Lost)+len(d.order))
	}
}

// TestBursts: a good path becomes bad with P and good again with R, so that it is
// bad for P/(P+R) of the packets, and bursts are 1/R long.
func TestBursts(t *testing.T) {
	const n, p, r = 200000, 0.01, 0.25
	d := newDatagrams(t, netsim.Path{Bursts: netsim.GilbertElliott{P: p, R: r, Bad: 1}})
	d.send(n, 100, ms)
	lost := d.count(netsim.Lost)
	require.InDelta(t, p/(p+r), float64(lost)/n, 0.004)
	bursts := 0
	for i, last := 0, -1; i <= len(d.order); i++ {
		next := n
		if i < len(d.order) {
			next = d.order[i]
		}
		if next > last+1 {
			bursts++
		}
		last = next
	}
	require.InDelta(t, 1/r, float64(lost)/float64(bursts), 0.2)
}

func TestBurstsOfPartialLoss(t *testing.T) {
	const n = 50000
	d := newDatagrams(t, netsim.Path{Bursts: netsim.GilbertElliott{P: 1, R: 1, Good: 0.1, Bad: 0.3}})
	d.send(n, 100, ms)
	near(t, 0.2, d.count(netsim.Lost), n)
}

func TestJitterKeepsTheOrder(t *testing.T) {
	d := newDatagrams(t, netsim.Path{Delay: 5 * ms, Jitter: 10 * ms})
	d.send(1000, 100, ms/10)
	require.NoError(t, d.s.Run(time.Second))
	require.Len(t, d.order, 1000)
	require.IsIncreasing(t, d.order)
	late := 0
	for i, at := range d.at {
		spent := at - time.Duration(i)*ms/10
		require.GreaterOrEqual(t, spent, 5*ms)
		require.LessOrEqual(t, spent, 15*ms)
		if spent > 10*ms {
			late++
		}
	}
	require.Greater(t, late, 100)
}

func TestReorderByPackets(t *testing.T) {
	const n, by = 5000, 3
	d := newDatagrams(t, netsim.Path{Delay: 5 * ms, Reorder: 0.1, ReorderBy: by, ReorderDelay: time.Second})
	d.send(n, 100, ms)
	require.NoError(t, d.s.Run(2*time.Second))
	require.Len(t, d.order, n)
	near(t, 0.1, d.count(netsim.Reordered), n)
	moved := 0
	for i, v := range d.order {
		require.LessOrEqual(t, i-v, 2*by, "a packet came too late") // others that are held do not count
		if i > v {
			moved++
		}
	}
	require.InDelta(t, d.count(netsim.Reordered), moved, 60)
}

// TestReorderLast: nobody overtakes the last packet, which then is late.
func TestReorderLast(t *testing.T) {
	d := newDatagrams(t, netsim.Path{Delay: 5 * ms, Reorder: 1, ReorderBy: 1, ReorderDelay: 30 * ms})
	d.send(1, 100, 0)
	require.NoError(t, d.s.Run(time.Second))
	require.Equal(t, []time.Duration{35 * ms}, d.at)
}

func TestReorderByTime(t *testing.T) {
	d := newDatagrams(t, netsim.Path{Delay: 5 * ms, Reorder: 0.2, ReorderDelay: 8 * ms})
	d.send(2000, 100, ms)
	require.NoError(t, d.s.Run(time.Second))
	require.Len(t, d.order, 2000)
	require.NotEqual(t, d.order[1:], d.order[:1999])
	for i, v := range d.order {
		require.LessOrEqual(t, d.at[i]-time.Duration(v)*ms, 13*ms)
		require.GreaterOrEqual(t, d.at[i]-time.Duration(v)*ms, 5*ms)
	}
}

func TestDuplicate(t *testing.T) {
	const n = 10000
	d := newDatagrams(t, netsim.Path{Duplicate: 0.1})
	d.send(n, 100, ms)
	near(t, 0.1, d.count(netsim.Duplicated), n)
	require.Len(t, d.order, n+d.count(netsim.Duplicated))
}

// TestCorrupt: no packet that was changed gets to its reader as a good one.
func TestCorrupt(t *testing.T) {
	const n = 10000
	d := newDatagrams(t, netsim.Path{Corrupt: 0.5})
	d.send(n, 100, ms)
	require.NoError(t, d.s.Run(time.Second))
	bad := d.count(netsim.Corrupted)
	near(t, 0.5, bad, n)
	// Bits that were turned over twice are what they were; a checksum that is
	// turned to zero means that there is none.
	require.InDelta(t, n-bad, len(d.order), n/50)
	for i := range d.order {
		require.Less(t, d.order[i], n)
	}
	st := d.b.Core().Stats()
	require.Positive(t, st.Drops[wire.DropBadChecksum])
}

func TestOutage(t *testing.T) {
	d := newDatagrams(t, netsim.Path{Outages: []netsim.Outage{{10 * ms, 20 * ms}, {30 * ms, 35 * ms}}})
	d.send(50, 100, ms)
	require.Equal(t, 15, d.count(netsim.InOutage))
	for _, v := range d.order {
		require.False(t, v >= 10 && v < 20 || v >= 30 && v < 35, "packet %d", v)
	}
	require.Len(t, d.order, 35)
}

func TestTooBigForTheLink(t *testing.T) {
	for _, hole := range []bool{false, true} {
		d := newDatagrams(t, netsim.Path{Delay: ms, MTU: 1400, BlackHole: hole})
		d.send(1, 1400, 10*ms)
		require.Len(t, d.order, 1)
		d.send(1, 1401, 10*ms)
		require.Len(t, d.order, 1)
		require.Equal(t, 1, d.count(netsim.TooBig))
		heard := d.a.Core().Stats().ICMPErrorsIn
		require.Equal(t, !hole, heard == 1, "errors: %d", heard)
	}
}

// TestMark: those who find five in front of the link are marked, if they are
// ECT(0), ECT(1) or marked already.
func TestMark(t *testing.T) {
	for tos := range uint8(4) {
		for _, drop := range []bool{false, true} {
			d := newDatagrams(t, netsim.Path{Rate: 8e6, Queue: 20, Mark: 5, MarkOrDrop: drop})
			d.tos = tos
			d.send(10, 1000, 0)
			want := [2]int{5, 0}
			if tos == 0 {
				want = [2]int{}
				if drop {
					want[1] = 5
				}
			}
			require.Equal(t, want, [2]int{d.count(netsim.Marked), d.count(netsim.Dropped)}, "ECN %d, %v", tos, drop)
			require.NoError(t, d.s.Run(time.Second))
			require.Len(t, d.order, 10-want[1])
		}
	}
}

func TestPathsThatMakeNoSense(t *testing.T) {
	for _, p := range []netsim.Path{
		{Delay: -1}, {Delay: 2 * time.Hour}, {Jitter: -1}, {Rate: -1}, {Queue: -1}, {Queue: 1 << 21}, {QueueBytes: -1}, {Mark: -1},
		{Loss: -0.1}, {Loss: 1.1}, {Loss: math.NaN()}, {Corrupt: 2}, {Duplicate: 2}, {Reorder: 2}, {ReorderBy: -1}, {ReorderDelay: -1},
		{Bursts: netsim.GilbertElliott{P: 2}}, {MTU: 67}, {MTU: 65536},
		{Outages: []netsim.Outage{{5, 5}}}, {Outages: []netsim.Outage{{5, 9}, {8, 10}}}, {Outages: []netsim.Outage{{-5, -1}}},
	} {
		s := netsim.New(1)
		a, b := s.MustHost(netsim.HostConfig{}), s.MustHost(netsim.HostConfig{})
		_, _, err := s.Link(a, b, p, netsim.Path{})
		require.Error(t, err, "%+v", p)
	}
}

func TestHostsHaveOneLink(t *testing.T) {
	s := netsim.New(1)
	a, b := s.MustHost(netsim.HostConfig{}), s.MustHost(netsim.HostConfig{})
	s.MustLink(a, b, netsim.Path{}, netsim.Path{})
	_, _, err := s.Link(a, s.Router(""), netsim.Path{}, netsim.Path{})
	require.ErrorContains(t, err, "one link")
	require.Len(t, s.Links(), 2)
}

// TestLinksThatMakeNoSense: what is refused leaves no link behind.
func TestLinksThatMakeNoSense(t *testing.T) {
	s := netsim.New(1)
	a, r := s.MustHost(netsim.HostConfig{}), s.Router("")
	stranger, elsewhere := netsim.New(1).MustHost(netsim.HostConfig{}), netsim.New(1).Router("")
	for _, nodes := range [][2]netsim.Node{{a, a}, {r, r}, {a, nil}, {nil, a}, {a, stranger}, {elsewhere, a}} {
		_, _, err := s.Link(nodes[0], nodes[1], netsim.Path{}, netsim.Path{})
		require.Error(t, err, "%v", nodes)
	}
	_, _, err := s.Link(a, r, netsim.Path{}, netsim.Path{Loss: 2})
	require.ErrorContains(t, err, "Loss")
	require.Empty(t, s.Links())
	s.MustLink(a, r, netsim.Path{}, netsim.Path{})
}
