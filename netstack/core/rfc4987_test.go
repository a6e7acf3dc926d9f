package core_test

// RFC 4987: SYN floods.

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

func noCookies(c *core.Config, _ *core.InterfaceConfig) { c.TCP.NoSynCookies = true }

// halfOpen bounds the SYN queue, and one source's part of it.
func halfOpen(n, each int) option {
	return func(c *core.Config, _ *core.InterfaceConfig) {
		c.Limits.HalfOpen, c.Limits.HalfOpenPerSource = n, each
	}
}

// fullOptions are those of a SYN of today.
var fullOptions = wire.TCPOptions{
	MSS: 1460, HasWindowScale: true, WindowScale: 7, SACKPermitted: true, HasTimestamps: true, TSVal: 5000,
}

// synFrom makes a SYN to port 80 of alone's host, in a frame of somebody else's.
func synFrom(h *host, src netip.Addr, p uint16, o wire.TCPOptions) []byte {
	dst := a4
	if src.Is6() {
		dst = a6
	}
	return frameTo(h, tcpPacket(src, dst, wire.TCP{SrcPort: p, DstPort: 80, Seq: 100, Flags: wire.SYN, Window: 1000, Options: o}, ""))
}

// spoofed is the i-th of a flood's sources, which the host knows no neighbour of.
func spoofed(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// flooded is a pair of hosts whose second one has a listener on port 80 whose SYN
// queue is full.
func flooded(t *testing.T, opts ...option) (*world, *host, *host, *server) {
	w, a, b := pair(t, append([]option{halfOpen(40, 40)}, opts...)...)
	srv := b.listen(w.now, core.ListenOptions{Local: port(80)})
	require.NoError(t, b.c.AddRoute(routeVia("10.0.0.0/8", a4)))
	flood(w, b, 0, 40)
	require.Equal(t, 40, b.c.Stats().HalfOpen)
	return w, a, b, srv
}

// flood sends n SYNs to b, each from another source.
func flood(w *world, b *host, from, n int) {
	for i := range n {
		syn := tcpPacket(spoofed(from+i), b4, wire.TCP{SrcPort: 9, DstPort: 80, Seq: 7, Flags: wire.SYN, Window: 9, Options: fullOptions}, "")
		w.in(b, frameVia(b.eth.HardwareAddr(), syn))
	}
}

// Who comes while the SYN queue is full gets in all the same, and loses nothing of
// what the SYNs agree on.
func TestCookieConnection(t *testing.T) {
	for _, to := range []netip.Addr{b4, b6} {
		t.Run(to.String(), func(t *testing.T) {
			w, a, b, srv := flooded(t)
			u := &user{}
			c, err := a.c.DialTCP(w.now, core.DialOptions{Remote: at(to, 80), Waiter: u})
			require.NoError(t, err)
			w.run()
			require.True(t, c.Connected())
			require.Len(t, srv.conns, 1)
			s := srv.conns[0]
			st := b.c.Stats()
			require.Equal(t, [3]uint64{1, 1, 0}, [3]uint64{st.TCPCookiesSent, st.TCPCookiesAccepted, st.TCPCookiesFailed})
			require.Equal(t, 40, st.HalfOpen)
			ci, si := c.Conn().Info(), s.Conn().Info()
			require.Equal(t, tcp.StateEstablished, si.State)
			require.Equal(t, ci.SendMSS, si.SendMSS)
			require.Greater(t, s.Conn().In.Limit(), 65535, "or this test shows nothing of window scales")

			for _, way := range [][2]*core.TCP{{c, s}, {s, c}} {
				n, err := way[0].Write(make([]byte, 200_000))
				require.NoError(t, err)
				got := 0
				for range 100 {
					w.pass(10 * time.Millisecond)
					b, err := readAll(way[1])
					require.Equal(t, errno.WouldBlock, err)
					got += len(b)
				}
				require.Equal(t, n, got)
				require.Zero(t, way[0].Conn().Info().Retransmits)
			}
			w.pass(3 * time.Minute)
			require.Equal(t, tcp.StateEstablished, s.Conn().State())
		})
	}
}

// Without cookies there is no way in before the flood is over.
func TestNoCookies(t *testing.T) {
	w, a, b, srv := flooded(t, noCookies)
	c, err := a.c.DialTCP(w.now, core.DialOptions{Remote: at(b4, 80)})
	require.NoError(t, err)
	w.run()
	require.False(t, c.Connected())
	require.Empty(t, srv.conns)
	require.Zero(t, b.c.Stats().TCPCookiesSent)
	require.Equal(t, 1, b.drops(wire.DropListenFull))
}

// A flood from one source leaves the places of the others alone. IPv6 sources with
// the same 64 bits are one.
func TestHalfOpenPerSource(t *testing.T) {
	for _, family := range []struct {
		name string
		src  func(i int) netip.Addr
	}{
		{"IPv4", func(int) netip.Addr { return x4 }},
		{"IPv6", func(i int) netip.Addr {
			b := x6.As16()
			b[14], b[15] = byte(i>>8), byte(i)
			b[8] = 9
			return netip.AddrFrom16(b)
		}},
	} {
		t.Run(family.name, func(t *testing.T) {
			w, h := open(t, halfOpen(100, 10))
			require.NoError(t, h.c.AddRoute(routeVia("10.0.0.0/8", x4)))
			for i := range 50 {
				w.in(h, synFrom(h, family.src(i), uint16(1000+i), fullOptions))
			}
			st := h.c.Stats()
			require.Equal(t, 10, st.HalfOpen)
			require.Equal(t, uint64(40), st.TCPCookiesSent)
			w.in(h, synFrom(h, spoofed(1), 1, fullOptions))
			require.Equal(t, 11, h.c.Stats().HalfOpen, "another source has its own")
			w.pass(5 * time.Minute)
			require.Zero(t, h.c.Stats().HalfOpen)
			for i := range 10 {
				w.in(h, synFrom(h, family.src(i), uint16(3000+i), fullOptions))
			}
			require.Equal(t, 10, h.c.Stats().HalfOpen, "the places were given back")
		})
	}
}

func TestHalfOpenPerSourceDefault(t *testing.T) {
	_, err := core.New(core.Config{Limits: core.Limits{HalfOpenPerSource: -1}})
	require.ErrorContains(t, err, "HalfOpenPerSource")
	w, h := open(t, halfOpen(100, 0))
	for i := range 50 {
		w.in(h, synFrom(h, x4, uint16(1000+i), fullOptions))
	}
	require.Equal(t, 25, h.c.Stats().HalfOpen)
}

// ackTo answers a SYN-ACK that x4 has got.
func ackTo(h *host, p uint16, synAck *wire.TCP, data string) []byte {
	ack := wire.TCP{SrcPort: p, DstPort: 80, Seq: synAck.Ack, Ack: synAck.Seq + 1, Flags: wire.ACK | wire.PSH, Window: 1000}
	if synAck.Options.HasTimestamps {
		ack.Options = wire.TCPOptions{HasTimestamps: true, TSVal: 5001, TSEcr: synAck.Options.TSVal}
	}
	return frameTo(h, tcpPacket(x4, a4, ack, data))
}

// cookieTo has the host send a cookie to x4.
func cookieTo(w *world, h *host, p uint16, o wire.TCPOptions) wire.TCP {
	h.take()
	w.in(h, synFrom(h, x4, p, o))
	s := h.one()
	require.Equal(w.t, wire.SYN|wire.ACK, s.tcp.Flags)
	return s.tcp
}

// A cookie's SYN-ACK says what that of a place in the queue would, by the configuration
// that its connection is going to have: the listener's or the stack's.
func TestCookieConfig(t *testing.T) {
	for name, cfg := range map[string]tcp.Config{
		"defaults":   {},
		"buffer":     {RecvBuffer: 8 << 10},
		"MSS":        {MaxMSS: 1000},
		"timestamps": {NoTimestamps: true},
		"scale":      {NoWindowScale: true},
		"SACK":       {NoSACK: true},
		"ECN":        {ECN: tcp.ECNOff},
	} {
		for of, place := range map[string]func(*core.Config, *core.ListenOptions){
			"stack":    func(c *core.Config, _ *core.ListenOptions) { c.TCP = cfg },
			"listener": func(_ *core.Config, o *core.ListenOptions) { o.Config = &cfg },
		} {
			t.Run(name+" of the "+of, func(t *testing.T) {
				o := core.ListenOptions{Local: port(80)}
				w, h := alone(t, halfOpen(1, 1), func(c *core.Config, _ *core.InterfaceConfig) { place(c, &o) })
				h.listen(w.now, o)
				w.know(h, x4)
				answer := func(p uint16) wire.TCP {
					h.take()
					syn := wire.TCP{SrcPort: p, DstPort: 80, Seq: 100, Flags: wire.SYN | wire.ECE | wire.CWR, Window: 1000, Options: fullOptions}
					w.in(h, frameTo(h, tcpPacket(x4, a4, syn, "")))
					s := h.one().tcp
					s.DstPort, s.Seq, s.Checksum, s.Options.TSVal = 0, 0, 0, 0
					if cfg.NoTimestamps {
						s.Flags &^= wire.ECE // there is no place for it in the cookie
					}
					return s
				}
				usual := answer(1)
				require.Equal(t, usual, answer(2))
				require.Equal(t, uint64(1), h.c.Stats().TCPCookiesSent)
			})
		}
	}
}

// Text on the acknowledgment is taken, as it may be all that arrives of it.
func TestCookieWithText(t *testing.T) {
	for _, o := range []wire.TCPOptions{fullOptions, {MSS: 1460}, {}} {
		w, h := alone(t, halfOpen(1, 1))
		srv := h.listen(w.now, core.ListenOptions{Local: port(80)})
		w.know(h, x4)
		w.in(h, synFrom(h, x4, 1, o))
		synAck := cookieTo(w, h, 2, o)
		w.in(h, ackTo(h, 2, &synAck, "hello"))
		require.Len(t, srv.conns, 1)
		got, err := readAll(srv.conns[0])
		require.Equal(t, errno.WouldBlock, err)
		require.Equal(t, "hello", got)
		ack := h.one()
		require.Equal(t, uint32(106), ack.tcp.Ack)
		if o.HasTimestamps {
			require.GreaterOrEqual(t, int32(ack.tcp.Options.TSVal-synAck.Options.TSVal), int32(0), "time goes forward")
		}
		w.in(h, ackTo(h, 2, &synAck, "hello"))
		require.Len(t, srv.conns, 1, "the same again is the connection's")
	}
}

// A cookie is good for a while, and not longer; nor for others, nor with another
// number.
func TestCookieRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		wait   time.Duration
		change func(*wire.TCP)
		from   uint16
		good   bool
	}{
		{name: "at once", from: 2, good: true},
		{name: "after a minute", wait: time.Minute, from: 2, good: true},
		{name: "after two slots", wait: tcp.CookieLife, from: 2},
		{name: "after an hour", wait: time.Hour, from: 2},
		{name: "from another port", from: 3},
		{name: "another ISS", from: 2, change: func(h *wire.TCP) { h.Seq ^= 1 << 20 }},
		{name: "another MSS", from: 2, change: func(h *wire.TCP) { h.Seq ^= 1 }},
		{name: "another IRS", from: 2, change: func(h *wire.TCP) { h.Ack++ }},
		{name: "a time in the future", from: 2, change: func(h *wire.TCP) { h.Options.TSVal += 1000 }},
		{name: "without the timestamps", from: 2, change: func(h *wire.TCP) { h.Options.HasTimestamps = false }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, h := alone(t, halfOpen(1, 1))
			srv := h.listen(w.now, core.ListenOptions{Local: port(80)})
			w.know(h, x4)
			w.in(h, synFrom(h, x4, 1, fullOptions))
			synAck := cookieTo(w, h, 2, fullOptions)
			w.pass(tt.wait)
			w.know(h, x4)
			w.in(h, synFrom(h, x4, 1, fullOptions))
			cookieTo(w, h, 9, fullOptions) // so that acknowledgments are looked at
			if tt.change != nil {
				tt.change(&synAck)
			}
			h.take()
			w.in(h, ackTo(h, tt.from, &synAck, ""))
			st := h.c.Stats()
			if tt.good {
				require.Len(t, srv.conns, 1)
				require.Zero(t, st.TCPCookiesFailed)
				return
			}
			require.Empty(t, srv.conns)
			require.Equal(t, uint64(1), st.TCPCookiesFailed)
			rst := h.one()
			require.Equal(t, wire.RST, rst.tcp.Flags)
			require.Equal(t, synAck.Seq+1, rst.tcp.Seq)
		})
	}
}

// Guesses: only while cookies are about is there anything to be guessed, and hardly
// then.
func TestCookieGuesses(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	w, h := alone(t, halfOpen(1, 1))
	srv := h.listen(w.now, core.ListenOptions{Local: port(80)})
	w.know(h, x4)
	guess := func() {
		for i := range 2000 {
			g := wire.TCP{Seq: r.Uint32(), Ack: r.Uint32()}
			g.Options.HasTimestamps, g.Options.TSVal = i%2 == 0, r.Uint32()
			w.in(h, ackTo(h, uint16(100+i), &g, ""))
		}
		h.take()
	}
	guess()
	require.Zero(t, h.c.Stats().TCPCookiesFailed, "nobody was sent a cookie")
	w.in(h, synFrom(h, x4, 1, fullOptions), synFrom(h, x4, 2, fullOptions))
	guess()
	require.Equal(t, uint64(2000), h.c.Stats().TCPCookiesFailed)
	require.Empty(t, srv.conns, "one in 8000 runs may fail here")
	w.pass(tcp.CookieLife + time.Second)
	guess()
	require.Equal(t, uint64(2000), h.c.Stats().TCPCookiesFailed)
}

// What the accept queue has no place for is dropped, and may come again.
func TestCookieAcceptQueueFull(t *testing.T) {
	w, h := alone(t)
	srv := h.listen(w.now, core.ListenOptions{Local: port(80), Backlog: 1})
	w.know(h, x4)
	w.in(h, synFrom(h, x4, 1, fullOptions))
	first := h.one().tcp
	second := cookieTo(w, h, 2, fullOptions)
	w.in(h, ackTo(h, 1, &first, ""))
	require.Len(t, srv.conns, 1)
	w.in(h, ackTo(h, 2, &second, "x"))
	require.Len(t, srv.conns, 1)
	require.Empty(t, h.take(), "and not answered")
	require.Equal(t, 1, h.drops(wire.DropListenFull))
	srv.l.Taken()
	w.in(h, ackTo(h, 2, &second, "x"))
	require.Len(t, srv.conns, 2)
}

// Who is in TIME-WAIT does not get a cookie, see RFC 9293 MAY-2.
func TestCookieTimeWait(t *testing.T) {
	w, h := alone(t, halfOpen(1, 1))
	srv := h.listen(w.now, core.ListenOptions{Local: port(80)})
	w.know(h, x4)
	w.in(h, synFrom(h, x4, 2, wire.TCPOptions{}))
	synAck := h.one().tcp
	w.in(h, ackTo(h, 2, &synAck, ""))
	srv.conns[0].Close()
	w.run()
	h.take()
	w.in(h, frameTo(h, tcpPacket(x4, a4, wire.TCP{SrcPort: 2, DstPort: 80, Seq: 101, Ack: synAck.Seq + 2, Flags: wire.FIN | wire.ACK, Window: 9}, "")))
	require.Equal(t, 1, h.c.Stats().TimeWait)
	w.in(h, synFrom(h, x4, 1, fullOptions))
	h.take()
	w.in(h, frameTo(h, tcpPacket(x4, a4, wire.TCP{SrcPort: 2, DstPort: 80, Seq: 1 << 20, Flags: wire.SYN, Window: 9}, "")))
	require.Empty(t, h.take())
	require.Equal(t, 1, h.c.Stats().TimeWait)
}

// However many SYNs come, they cost no memory.
func TestCookieFloodMemory(t *testing.T) {
	w, h := alone(t, halfOpen(64, 64))
	h.listen(w.now, core.ListenOptions{Local: port(80)})
	require.NoError(t, h.c.AddRoute(routeVia("10.0.0.0/8", x4)))
	w.know(h, x4)
	send := func(from, n int) {
		for i := range n {
			h.eth.Receive(w.now, phyFrame(synFrom(h, spoofed(from+i), 9, fullOptions)))
		}
		b := make([]byte, 2000)
		for {
			if n, _ := h.eth.Send(w.now, b); n == 0 {
				return
			}
		}
	}
	send(0, 64)
	before := h.c.Stats()
	require.Equal(t, 64, before.HalfOpen)
	for i := range 200 {
		send(64+100*i, 100)
	}
	st := h.c.Stats()
	require.Equal(t, uint64(20_000), st.TCPCookiesSent)
	require.Equal(t, before.Memory, st.Memory)
	require.Equal(t, before.Connections, st.Connections)
}
