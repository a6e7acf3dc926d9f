package tcp

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/stream"
	"smolnet/netstack/wire"
)

// RFC 7323 2.3: the shift is enough for all of the buffer but a unit, and no
// more than that.
func TestWindowScaleOf(t *testing.T) {
	for n, want := range map[int]uint8{
		4096: 0, 65535: 0, 65536: 0, 65537: 1, 131072: 1, 131073: 2, 1 << 20: 4, 1<<20 + 1: 5, maxBuffer: 14,
	} {
		got := windowScale(n)
		require.Equal(t, want, got, "%d", n)
		require.GreaterOrEqual(t, unscaledMost<<got+1<<got, n)
	}
}

// While the memory budget is nearly used up windows are not renewed beyond
// pressureWindow, but what was announced is kept; and they open again after.
func TestWindowUnderPressure(t *testing.T) {
	const budget = 1 << 20
	pool := stream.NewPool(budget)
	p := newCoupleOf(t, nil, pool)
	send := func(n int) {
		t.Helper()
		p.a.Out.Write(make([]byte, n))
		for range 10 {
			p.pass(t, &p.a, &p.b)
			p.pass(t, &p.b, &p.a)
		}
		require.Zero(t, p.a.Out.Len())
		p.b.In.Read(make([]byte, n))
	}
	send(10_000)
	open := p.b.Info().RecvWindow
	require.Greater(t, open, 400_000)

	const hog = budget * 15 / 16
	require.True(t, pool.Reserve(hog))
	edge := p.b.rcv.adv
	send(30_000)
	require.Less(t, p.b.rcv.adv.Sub(edge), 1<<p.b.rcv.scale, "kept, not renewed")
	require.Positive(t, pool.Noted(stream.ShrinkWindows))
	for p.b.Info().RecvWindow > pressureWindow {
		send(30_000)
	}
	edge = p.b.rcv.adv
	send(4000)
	send(4000)
	require.True(t, p.b.rcv.adv.After(edge), "every connection moves on")
	require.LessOrEqual(t, p.b.Info().RecvWindow, pressureWindow+p.b.snd.mss)

	pool.Unreserve(hog)
	require.True(t, p.b.WindowUpdateDue())
	p.pass(t, &p.b, &p.a)
	require.Greater(t, p.b.Info().RecvWindow, 400_000)
}

// When half of the memory budget is used windows stay what they are: one of a
// new connection does not grow beyond that of its SYN, nor does an old one
// shrink.
func TestWindowHeld(t *testing.T) {
	const budget = 8 << 20
	pool := stream.NewPool(budget)
	old := newCoupleOf(t, nil, pool)
	old.a.Out.Write(make([]byte, 10_000))
	for range 5 {
		old.pass(t, &old.a, &old.b)
		old.pass(t, &old.b, &old.a)
	}
	old.b.In.Read(make([]byte, 10_000))
	require.True(t, pool.Reserve(budget/2))
	held := newCoupleOf(t, nil, pool)
	for p, least := range map[*couple]int{old: 400_000, held: 40_000} {
		for range 20 {
			p.a.Out.Write(make([]byte, 30_000))
			for range 10 {
				p.pass(t, &p.a, &p.b)
				p.b.In.Read(make([]byte, 30_000))
				p.pass(t, &p.b, &p.a)
			}
			require.Zero(t, p.a.Out.Len())
		}
		require.Greater(t, p.b.Info().RecvWindow, least)
	}
	require.LessOrEqual(t, held.b.Info().RecvWindow, unscaledMost)
	require.Positive(t, pool.Noted(stream.HoldWindows))
	require.Zero(t, pool.Noted(stream.ShrinkWindows))

	pool.Unreserve(budget / 2)
	held.a.Out.Write(make([]byte, 4000))
	held.pass(t, &held.a, &held.b)
	held.b.In.Read(make([]byte, 4000))
	held.pass(t, &held.b, &held.a)
	require.Greater(t, held.b.Info().RecvWindow, 400_000)
}

// newReader returns an open connection with a receive buffer, for a peer whose
// segments have mss bytes.
func newReader(t *testing.T, buffer, mss int) *Conn {
	t.Helper()
	c := new(Conn)
	c.Init(newCouple(t).a.id, &Config{RecvBuffer: buffer, DelayedAck: -1, TimeWait: -1}, stream.NewPool(0))
	syn := wire.TCP{SrcPort: 2, DstPort: 1, Flags: wire.SYN, Seq: 999, Window: 1000}
	syn.Options.HasWindowScale = true
	c.Accept(1, 77, mss+wire.TCPLen, &syn)
	b := make([]byte, 2048)
	_, ok := c.Send(1, b)
	require.True(t, ok)
	_, d := c.Receive(1, &wire.TCP{SrcPort: 2, DstPort: 1, Flags: wire.ACK, Seq: 1000, Ack: 78, Window: 1000}, nil)
	require.Equal(t, wire.DropNone, d)
	require.Equal(t, StateEstablished, c.State())
	return c
}

// fill sends segments of mss bytes until the window is closed, calls acked with
// each edge that is announced, and returns RCV.NXT.
func fill(t *testing.T, c *Conn, mss int, acked func(edge Seq)) Seq {
	t.Helper()
	next := Seq(1000)
	data, b := make([]byte, mss), make([]byte, 2048)
	h := wire.TCP{SrcPort: 2, DstPort: 1, Flags: wire.ACK, Ack: 78, Window: 1000}
	wnd := mss
	for wnd > 0 {
		h.Seq = uint32(next)
		n := min(mss, wnd)
		_, d := c.Receive(1, &h, data[:n])
		require.Equal(t, wire.DropNone, d)
		next = next.Add(n)
		for turn := 0; ; turn++ {
			seg, ok := c.Send(1, b)
			if !ok {
				break
			}
			require.Less(t, turn, 4, "acknowledgments without end")
			var ack wire.TCP
			_, err := wire.ParseTCP(b[:seg.Len], &ack)
			require.NoError(t, err)
			require.EqualValues(t, next, ack.Ack)
			wnd = int(ack.Window) << c.rcv.scale
			acked(next.Add(wnd))
		}
	}
	return next
}

// RFC 9293 SHLD-14, 3.8.6: the right edge does not move back while nobody reads
// and the buffer fills up, whatever the scale rounds off; and what is offered
// fits into the buffer. From there on where units are larger than segments it
// moves by less than a unit.
func TestRightEdgeOfLargeBuffers(t *testing.T) {
	for _, tt := range []struct {
		buffer, mss int
		strict      bool
	}{
		{1 << 20, 1460, true}, {4 << 20, 1460, true}, {8 << 20, 1448, true}, {16 << 20, 1460, true},
		{32 << 20, 1440, true}, {64 << 20, 1460, true}, {8 << 20, 536, true}, {128 << 20, 1460, false},
	} {
		t.Run(fmt.Sprintf("%d MiB by %d", tt.buffer>>20, tt.mss), func(t *testing.T) {
			c := newReader(t, tt.buffer, tt.mss)
			slack := 0
			if !tt.strict {
				slack = 1<<c.rcv.scale - 1
			}
			edge := c.rcv.adv
			fill(t, c, tt.mss, func(to Seq) {
				if back := edge.Sub(to); back > slack {
					t.Fatalf("moved back by %d with %d of %d bytes free", back, c.In.Room(), tt.buffer)
				}
				edge = maxSeq(edge, to)
			})
			require.GreaterOrEqual(t, c.In.Len(), tt.buffer/2)
			require.LessOrEqual(t, c.In.Len(), tt.buffer)
			c.In.Reset()
		})
	}
}

// A window update is due only if there is one that can be said: a reader frees
// less than a unit of the scale, and not an acknowledgment is sent.
func TestWindowUpdateInUnits(t *testing.T) {
	for _, tt := range []struct{ buffer, mss int }{{128 << 20, 536}, {256 << 20, 1460}, {512 << 20, 1460}, {1 << 30, 1460}} {
		t.Run(fmt.Sprintf("%d MiB by %d", tt.buffer>>20, tt.mss), func(t *testing.T) {
			c := newReader(t, tt.buffer, tt.mss)
			// With a lower limit it is as if the difference had arrived.
			unit := 1 << c.rcv.scale
			b := make([]byte, 2048)
			c.In.SetLimit(0)
			c.rcv.adv = c.rcv.nxt
			c.ackNow = true
			_, ok := c.Send(1, b)
			require.True(t, ok)
			for _, room := range []int{unit / 2, unit - 1, unit, unit + 1, 2*unit - 1, 3 * unit, 4 * 1460, tt.buffer / 2, tt.buffer} {
				c.In.SetLimit(room)
				sent := 0
				for ; sent < 10; sent++ {
					if _, ok := c.Send(1, b); !ok {
						break
					}
				}
				require.LessOrEqual(t, sent, 1, "room for %d bytes", room)
				require.False(t, c.WindowUpdateDue())
			}
			require.Greater(t, c.rcv.adv.Sub(c.rcv.nxt), tt.buffer/2, "it opens in the end")
		})
	}
}
