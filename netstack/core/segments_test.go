package core_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

// pattern returns n bytes that say where they are.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8)
	}
	return b
}

// A linkEnd is a core with one link without link addresses.
type linkEnd struct {
	*core.Core
	ifc *core.Interface
}

func newLinkEnd(t *testing.T, caps phy.Capabilities, addrs ...string) linkEnd {
	c, err := core.New(core.Config{})
	require.NoError(t, err)
	caps.Medium, caps.MTU = phy.MediumIP, 1500
	ifc, err := c.AddInterface(epoch, core.InterfaceConfig{Name: "link", Addrs: prefixes(addrs...), Capabilities: caps})
	require.NoError(t, err)
	return linkEnd{c, ifc}
}

// frames are what the link sends now.
func (l linkEnd) frames() (all []phy.Frame) {
	l.BeginTurn(epoch)
	for {
		b := make([]byte, 65535)
		n, off := l.ifc.Send(epoch, b)
		if n == 0 {
			l.EndTurn(epoch)
			return all
		}
		all = append(all, phy.Frame{Data: b[:n], Offload: off})
	}
}

// receive passes frames to the link.
func (l linkEnd) receive(frames []phy.Frame) {
	l.BeginTurn(epoch)
	for _, f := range frames {
		l.ifc.Receive(epoch, f)
	}
	l.EndTurn(epoch)
}

var super = phy.Capabilities{TxChecksum: true, MaxSuperFrame: 65535, UDPSegments: true}

// TestUDPSegmentsSent has datagrams cut by the core and by the device: both make
// the same of them, with good checksums.
func TestUDPSegmentsSent(t *testing.T) {
	for name, caps := range map[string]phy.Capabilities{
		"core":           {},
		"core, TCP only": {TxChecksum: true, MaxSuperFrame: 65535},
		"both":           {TxChecksum: true, MaxSuperFrame: 2600, UDPSegments: true},
		"device":         super,
	} {
		for _, to := range []netip.Addr{b4, b6} {
			for _, c := range []struct{ n, size, want int }{
				{3600, 1200, 3}, {3601, 1200, 4}, {2500, 1200, 3}, {64, 1, 64}, {64 * 900, 900, 64}, {1200, 1200, 1}, {5, 1200, 1}, {0, 9, 1},
			} {
				a := newLinkEnd(t, caps, "192.0.2.1/24", "2001:db8::1/64")
				b := newLinkEnd(t, phy.Capabilities{}, "192.0.2.2/24", "2001:db8::2/64")
				in, err := b.OpenUDP(epoch, core.UDPOptions{Local: port(9)})
				require.NoError(t, err)
				out, err := a.OpenUDP(epoch, core.UDPOptions{})
				require.NoError(t, err)
				data := pattern(c.n)
				require.NoError(t, out.WriteTo(data, packet.Meta{Remote: at(to, 9), Segment: uint16(c.size)}))
				frames := a.frames()
				switch {
				case name == "both":
					require.GreaterOrEqual(t, len(frames), (c.n+2599)/2600)
				case name == "device" && c.want > 1:
					require.Len(t, frames, 1)
					off := frames[0].Offload
					require.Equal(t, phy.GSOUDP, off.GSOType)
					require.EqualValues(t, c.size, off.SegmentSize)
					require.Equal(t, len(frames[0].Data)-c.n, int(off.HeaderLen))
					require.True(t, off.NeedsChecksum)
					require.Equal(t, int(off.HeaderLen)-wire.UDPLen, int(off.ChecksumStart))
				default:
					require.Len(t, frames, c.want)
				}
				for _, f := range frames {
					if len(f.Data) > 1500 {
						require.LessOrEqual(t, len(f.Data), caps.MaxSuperFrame)
					}
				}
				require.EqualValues(t, c.want, a.Stats().UDPOut)
				b.receive(frames)
				require.EqualValues(t, c.want, b.Stats().UDPIn)
				var got []byte
				for i := range c.want {
					buf := make([]byte, 2000)
					n, size, m, err := in.ReadFrom(buf)
					require.NoError(t, err)
					require.Equal(t, min(c.size, c.n-i*c.size), size)
					require.Zero(t, m.Segment)
					got = append(got, buf[:n]...)
				}
				require.Equal(t, data, append([]byte{}, got...))
				_, _, _, err = in.ReadFrom(nil)
				require.Equal(t, errno.WouldBlock, err)
				require.Zero(t, a.Stats().Memory)
			}
		}
	}
}

// TestUDPSegmentIDs: the packets that a device makes of a super-frame have
// identifications that no other packet has.
func TestUDPSegmentIDs(t *testing.T) {
	a := newLinkEnd(t, super, "192.0.2.1/24")
	out, err := a.OpenUDP(epoch, core.UDPOptions{})
	require.NoError(t, err)
	var ids []uint16
	for _, size := range []uint16{100, 0} {
		require.NoError(t, out.WriteTo(make([]byte, 1000), packet.Meta{Remote: at(b4, 9), Segment: size}))
		h, _, err := wire.ParseIPv4(a.frames()[0].Data)
		require.NoError(t, err)
		ids = append(ids, h.ID)
	}
	require.EqualValues(t, 10, ids[1]-ids[0])
}

// TestUDPSegmentErrors: what is too much is refused as it is written.
func TestUDPSegmentErrors(t *testing.T) {
	a := newLinkEnd(t, phy.Capabilities{}, "192.0.2.1/24", "2001:db8::1/64")
	s, err := a.OpenUDP(epoch, core.UDPOptions{})
	require.NoError(t, err)
	for _, c := range []struct {
		to      netip.Addr
		n, size int
		want    errno.Errno
	}{
		{b4, 1473 * 2, 1473, errno.MsgSize}, // beyond the MTU
		{b6, 1453 * 2, 1453, errno.MsgSize},
		{b4, 65508, 1400, errno.MsgSize}, // beyond UDP's length
		{b6, 65528, 1400, errno.MsgSize},
		{b4, 6500, 100, errno.Invalid}, // 65 datagrams
		{b4, 1473, 2000, errno.MsgSize},
	} {
		m := packet.Meta{Remote: at(c.to, 9), Segment: uint16(c.size)}
		s.Learn(m)
		require.Equal(t, c.want, s.WriteTo(make([]byte, c.n), m), "%+v", c)
	}
	require.Empty(t, a.frames())
	m := packet.Meta{Remote: at(b4, 9), Segment: 1400}
	require.NoError(t, s.WriteTo(make([]byte, 65507), m))
	require.Len(t, a.frames(), 47)
	m.Remote = at(b6, 9)
	require.NoError(t, s.WriteTo(make([]byte, 65527), m))
	require.Len(t, a.frames(), 47)
	// What can no longer go out is thrown away as a whole.
	m.Remote = at(netip.MustParseAddr("198.51.100.1"), 9)
	require.NoError(t, s.WriteTo(make([]byte, 2800), m))
	require.Empty(t, a.frames())
	require.EqualValues(t, 1, a.Stats().Drops[wire.DropNoRoute])
}

// TestUDPSegmentsWaitForNeighbor: a super-frame cannot wait, its datagrams can.
func TestUDPSegmentsWaitForNeighbor(t *testing.T) {
	w, a, b := pair(t, func(_ *core.Config, l *core.InterfaceConfig) {
		l.Capabilities.TxChecksum, l.Capabilities.MaxSuperFrame, l.Capabilities.UDPSegments = true, testMTU, true
	})
	in, err := b.c.OpenUDP(w.now, core.UDPOptions{Local: port(9)})
	require.NoError(t, err)
	out, err := a.c.OpenUDP(w.now, core.UDPOptions{Remote: at(b4, 9)})
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, out.WriteTo(pattern(250), packet.Meta{Segment: 100}))
		w.run()
		for _, want := range []int{100, 100, 50} {
			_, size, _, err := in.ReadFrom(make([]byte, 100))
			require.NoError(t, err)
			require.Equal(t, want, size)
		}
	}
}

// TestUDPSegmentsJoined: who asks for it reads in one what came one by one, or
// what came as a super-frame, as much of it as there is room for.
func TestUDPSegmentsJoined(t *testing.T) {
	a := newLinkEnd(t, super, "192.0.2.1/24", "2001:db8::1/64")
	b := newLinkEnd(t, phy.Capabilities{}, "192.0.2.2/24", "2001:db8::2/64")
	in, err := b.OpenUDP(epoch, core.UDPOptions{Local: port(9)})
	require.NoError(t, err)
	in.SetLimits(4<<20, 0)
	out, err := a.OpenUDP(epoch, core.UDPOptions{})
	require.NoError(t, err)
	other, err := a.OpenUDP(epoch, core.UDPOptions{})
	require.NoError(t, err)
	type write struct {
		s  *core.UDP
		n  int
		m  packet.Meta
		to netip.Addr
	}
	send := func(ws ...write) {
		for _, w := range ws {
			if w.s == nil {
				w.s = out
			}
			if !w.to.IsValid() {
				w.to = b4
			}
			w.m.Remote = at(w.to, 9)
			require.NoError(t, w.s.WriteTo(pattern(w.n), w.m))
			b.receive(a.frames())
		}
	}
	type read struct{ n, size, segment int }
	reads := func(room int) (got []read) {
		for {
			// Into several buffers, one of them empty.
			bufs := [][]byte{make([]byte, room/3), nil, make([]byte, room-room/3)}
			n, size, m, err := in.ReadBuffers(bufs, true)
			if err == errno.WouldBlock {
				return got
			}
			require.NoError(t, err)
			got = append(got, read{n, size, int(m.Segment)})
		}
	}
	seg := packet.Meta{Segment: 100}
	for _, c := range []struct {
		name   string
		writes []write
		room   int
		want   []read
	}{
		{"one alone", []write{{n: 100}}, 1000, []read{{100, 100, 0}}},
		{"of one size", []write{{n: 100}, {n: 100}, {n: 100}}, 1000, []read{{300, 300, 100}}},
		{"a short one ends it", []write{{n: 100}, {n: 40}, {n: 100}}, 1000, []read{{140, 140, 100}, {100, 100, 0}}},
		{"a long one does not", []write{{n: 100}, {n: 101}, {n: 101}}, 1000, []read{{100, 100, 0}, {202, 202, 101}}},
		{"empty ones stay apart", []write{{n: 0}, {n: 0}, {n: 5}, {n: 0}}, 1000, []read{{}, {}, {5, 5, 0}, {}}},
		{"another source", []write{{n: 100}, {n: 100, s: other}, {n: 100}}, 1000, []read{{100, 100, 0}, {100, 100, 0}, {100, 100, 0}}},
		{"another destination", []write{{n: 100}, {n: 100, to: b6}}, 1000, []read{{100, 100, 0}, {100, 100, 0}}},
		{"another TOS", []write{{n: 100}, {n: 100, m: packet.Meta{TOS: 1}}}, 1000, []read{{100, 100, 0}, {100, 100, 0}}},
		{"a super-frame", []write{{n: 250, m: seg}}, 1000, []read{{250, 250, 100}}},
		{"super-frame and others", []write{{n: 100}, {n: 200, m: seg}, {n: 100}, {n: 30}}, 1000, []read{{430, 430, 100}}},
		{"super-frames", []write{{n: 200, m: seg}, {n: 300, m: seg}, {n: 150, m: seg}, {n: 100}}, 1000, []read{{650, 650, 100}, {100, 100, 0}}},
		{"super-frame of another size", []write{{n: 90}, {n: 200, m: seg}}, 1000, []read{{90, 90, 0}, {200, 200, 100}}},
		{"little room", []write{{n: 100}, {n: 100}, {n: 100}}, 250, []read{{200, 200, 100}, {100, 100, 0}}},
		{"room for a part of a super-frame", []write{{n: 450, m: seg}}, 250, []read{{200, 200, 100}, {250, 250, 100}}},
		{"room for one", []write{{n: 250, m: seg}}, 199, []read{{100, 100, 0}, {150, 150, 100}}},
		{"room for none", []write{{n: 250, m: seg}, {n: 100}}, 60, []read{{60, 100, 0}, {60, 100, 0}, {50, 50, 0}, {60, 100, 0}}},
		{"too many", []write{{n: 6400, m: seg}, {n: 100}, {n: 100}}, 10000, []read{{6400, 6400, 100}, {200, 200, 100}}},
	} {
		send(c.writes...)
		require.Equal(t, c.want, reads(c.room), c.name)
	}
	require.Zero(t, b.Stats().Memory)
}

// TestUDPSegmentsOverflow: of a super-frame for which there is no room in the
// queue, what there is room for is taken.
func TestUDPSegmentsOverflow(t *testing.T) {
	a := newLinkEnd(t, super, "192.0.2.1/24")
	b := newLinkEnd(t, phy.Capabilities{}, "192.0.2.2/24")
	in, err := b.OpenUDP(epoch, core.UDPOptions{Local: port(9), RecvLimit: packet.Limits{Bytes: 350}})
	require.NoError(t, err)
	out, err := a.OpenUDP(epoch, core.UDPOptions{Remote: at(b4, 9)})
	require.NoError(t, err)
	for _, n := range []int{100, 500} {
		require.NoError(t, out.WriteTo(make([]byte, n), packet.Meta{Segment: 100}))
	}
	b.receive(a.frames())
	require.EqualValues(t, 1, b.Stats().Drops[wire.DropQueueFull])
	n, _, m, err := in.ReadBuffers([][]byte{make([]byte, 1000)}, true)
	require.NoError(t, err)
	require.Equal(t, 300, n)
	require.EqualValues(t, 100, m.Segment)
}

// TestUDPSegmentsRandom writes at random and reads at random: every byte arrives,
// every border between two datagrams is known.
func TestUDPSegmentsRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	for _, caps := range []phy.Capabilities{{}, super} {
		a := newLinkEnd(t, caps, "192.0.2.1/24")
		b := newLinkEnd(t, phy.Capabilities{}, "192.0.2.2/24")
		in, err := b.OpenUDP(epoch, core.UDPOptions{Local: port(9)})
		require.NoError(t, err)
		in.SetLimits(8<<20, 0)
		out, err := a.OpenUDP(epoch, core.UDPOptions{Remote: at(b4, 9)})
		require.NoError(t, err)
		var want, got [][]byte
		for range 400 {
			size := 1 + rnd.IntN(3)*50
			n := rnd.IntN(size * 12)
			data := make([]byte, n)
			for i := range data {
				data[i] = byte(rnd.Uint32())
			}
			require.NoError(t, out.WriteTo(data, packet.Meta{Segment: uint16(size)}))
			for left := data; ; left = left[size:] {
				if len(left) <= size {
					want = append(want, append([]byte{}, left...))
					break
				}
				want = append(want, append([]byte{}, left[:size]...))
			}
			b.receive(a.frames())
			for {
				buf := make([]byte, 101+rnd.IntN(1000))
				n, size, m, err := in.ReadBuffers([][]byte{buf}, rnd.IntN(4) > 0)
				if err == errno.WouldBlock {
					break
				}
				require.NoError(t, err)
				require.Equal(t, n, size)
				step := max(n, 1)
				if m.Segment > 0 {
					step = int(m.Segment)
				}
				for i := 0; i == 0 || i < n; i += step {
					got = append(got, append([]byte{}, buf[i:min(i+step, n)]...))
				}
			}
		}
		require.Len(t, got, len(want))
		for i := range got {
			require.Equal(t, want[i], got[i], "datagram %d", i)
		}
	}
}

// TestWriterIsWokenAtHalf: a writer who found the queue full hears when half of it
// is free, and not before; one who waits for nothing hears nothing.
func TestWriterIsWokenAtHalf(t *testing.T) {
	a := newLinkEnd(t, phy.Capabilities{}, "192.0.2.1/24")
	u := &user{}
	s, err := a.OpenUDP(epoch, core.UDPOptions{Remote: at(b4, 9), SendLimit: packet.Limits{Packets: 10}, Waiter: u})
	require.NoError(t, err)
	require.NoError(t, s.WriteTo([]byte("x"), packet.Meta{}))
	a.frames()
	require.Zero(t, u.take())
	for range 10 {
		require.NoError(t, s.WriteTo([]byte("x"), packet.Meta{}))
	}
	require.Equal(t, errno.WouldBlock, s.WriteTo([]byte("x"), packet.Meta{}))
	b := make([]byte, 1500)
	for i := range 10 {
		a.BeginTurn(epoch)
		n, _ := a.ifc.Send(epoch, b)
		require.Positive(t, n)
		a.EndTurn(epoch)
		require.Equal(t, i == 4, u.take() != 0, i)
	}
}
