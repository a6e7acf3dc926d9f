package core_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

// A multihomed core has two links without link addresses.
func multihomed(t *testing.T) (c *core.Core, first, second *core.Interface) {
	c, err := core.New(core.Config{})
	require.NoError(t, err)
	var ifcs [2]*core.Interface
	for i, addr := range []string{"10.1.0.1/16", "10.2.0.1/16"} {
		ifcs[i], err = c.AddInterface(epoch, core.InterfaceConfig{
			Name: "link" + addr[3:4], Addrs: prefixes(addr), Capabilities: phy.Capabilities{Medium: phy.MediumIP, MTU: 1500 - 100*i},
		})
		require.NoError(t, err)
		require.Equal(t, "link"+addr[3:4], ifcs[i].Name())
		require.Equal(t, 1500-100*i, ifcs[i].MTU())
	}
	return c, ifcs[0], ifcs[1]
}

// destinations returns where the packets go that an interface sends now.
func destinations(t *testing.T, now clock.Time, ifc *core.Interface) (to []netip.Addr) {
	b := make([]byte, 1500)
	for {
		n, _ := ifc.Send(now, b)
		if n == 0 {
			return to
		}
		h, _, err := wire.ParseIPv4(b[:n])
		require.NoError(t, err)
		to = append(to, h.Dst)
	}
}

// A socket that is not connected sends on every interface, in order on each.
func TestUDPOnSeveralInterfaces(t *testing.T) {
	c, first, second := multihomed(t)
	s, err := c.OpenUDP(epoch, core.UDPOptions{Broadcast: true})
	require.NoError(t, err)
	one, two := netip.MustParseAddr("10.1.0.9"), netip.MustParseAddr("10.2.0.9")
	for _, to := range []netip.Addr{two, one, one, two, one} {
		require.NoError(t, s.WriteTo(nil, packet.Meta{Remote: at(to, 9)}))
	}
	require.NoError(t, s.WriteTo(nil, packet.Meta{Remote: at(all4, 9), Interface: 2}))
	require.NoError(t, s.WriteTo(nil, packet.Meta{Remote: at(all4, 9), Local: netip.MustParseAddr("10.1.0.1")}))
	require.NoError(t, s.WriteTo(nil, packet.Meta{Remote: at(hosts4, 9)}))
	c.BeginTurn(epoch)
	got := map[*core.Interface][]netip.Addr{}
	for range 5 {
		for _, ifc := range []*core.Interface{first, second} {
			got[ifc] = append(got[ifc], destinations(t, epoch, ifc)...)
		}
	}
	require.Equal(t, []netip.Addr{one, one, one, all4, hosts4}, got[first])
	require.Equal(t, []netip.Addr{two, two, all4}, got[second])
}

// Connections and sockets follow their routes to another interface, wherever
// they wait, and with its MTU.
func TestMoveToInterface(t *testing.T) {
	c, first, second := multihomed(t)
	far := netip.MustParseAddr("198.51.100.9")
	require.NoError(t, c.AddRoute(routeVia("198.51.100.0/24", netip.MustParseAddr("10.1.0.9"))))
	s, err := c.DialTCP(epoch, core.DialOptions{Remote: at(far, 80)})
	require.NoError(t, err)
	_, err = c.DialTCP(epoch, core.DialOptions{Remote: at(netip.MustParseAddr("10.1.0.7"), 80)})
	require.NoError(t, err)
	require.NoError(t, c.AddRoute(routeVia("198.51.100.9/32", netip.MustParseAddr("10.2.0.9"))))
	c.BeginTurn(epoch)
	require.Equal(t, []netip.Addr{netip.MustParseAddr("10.1.0.7")}, destinations(t, epoch, first))
	require.Equal(t, []netip.Addr{far}, destinations(t, epoch, second))
	require.LessOrEqual(t, s.Conn().Info().SendMSS, 1360)
	require.Empty(t, destinations(t, epoch, first))
	// Back again, by its retransmission.
	require.NoError(t, c.RemoveRoute(netip.MustParsePrefix("198.51.100.9/32")))
	later := c.Deadline()
	c.BeginTurn(later)
	require.Empty(t, destinations(t, later, second))
	require.Contains(t, destinations(t, later, first), far)
}

// A connected socket hears of a path that is too narrow, of a neighbour who is
// not there, and of a route that is gone.
func TestConnectedUDPErrors(t *testing.T) {
	for _, remote := range []netip.Addr{x4, x6} {
		w, h := open(t)
		u := &user{}
		s, err := h.c.OpenUDP(w.now, core.UDPOptions{Remote: at(remote, 9)})
		require.NoError(t, err)
		s.SetWaiter(u)
		require.Equal(t, at(remote, 9), s.RemoteAddr())
		require.NoError(t, s.WriteTo(make([]byte, 1400), packet.Meta{}))
		w.run()
		about := h.one().packet
		m := wire.ICMP{Type: wire.ICMPv4Unreachable, Code: wire.ICMPv4FragNeeded, Rest: 1300}
		if remote.Is6() {
			m = wire.ICMP{Type: wire.ICMPv6PacketTooBig, Rest: 1300}
		}
		w.in(h, frameTo(h, unreachable(about[:600], m)))
		require.NotZero(t, u.take()&tcp.EventFailed)
		_, _, _, err = s.ReadFrom(nil)
		require.Equal(t, errno.MsgSize, err)
		require.NoError(t, s.WriteTo(make([]byte, 1400), packet.Meta{}))
		w.run()
		require.Empty(t, h.take())
		require.Equal(t, errno.MsgSize, s.WriteTo(nil, packet.Meta{}))
		s.Learn(packet.Meta{})
		require.Equal(t, errno.MsgSize, s.WriteTo(make([]byte, 1400), packet.Meta{}))
		require.NoError(t, s.WriteTo(make([]byte, 1200), packet.Meta{}))
		w.run()
		h.one()
		// Soft errors are not for UDP.
		w.in(h, frameTo(h, unreachable(about[:600], wire.ICMP{Type: 3, Code: 0})))
		_, _, _, err = s.ReadFrom(nil)
		require.Equal(t, errno.WouldBlock, err)

		dead := netip.MustParseAddr("192.0.2.99")
		d, err := h.c.OpenUDP(w.now, core.UDPOptions{Remote: at(dead, 9)})
		require.NoError(t, err)
		require.NoError(t, d.WriteTo([]byte("x"), packet.Meta{}))
		w.pass(3.5e9)
		_, _, _, err = d.ReadFrom(nil)
		require.Equal(t, errno.HostUnreach, err)
		require.NoError(t, d.WriteTo([]byte("x"), packet.Meta{})) // at once, while the failure is remembered
		w.run()
		require.Equal(t, errno.HostUnreach, d.WriteTo(nil, packet.Meta{}))
	}
}

// Of ICMP's unreachables a connected socket hears those that Linux's hears of: what
// does not get better by itself.
func TestUDPHardErrors(t *testing.T) {
	for _, c := range []struct {
		remote netip.Addr
		typ    uint8
		want   []errno.Errno // of each code
	}{
		{x4, wire.ICMPv4Unreachable, []errno.Errno{
			2: errno.ProtoNoSupport, 3: errno.ConnRefused, 6: errno.NetUnreach, 7: errno.HostUnreach, 8: errno.HostUnreach,
			9: errno.NetUnreach, 10: errno.HostUnreach, 13: errno.HostUnreach, 14: errno.HostUnreach, 15: errno.HostUnreach, 17: errno.OK,
		}},
		{x4, wire.ICMPv4TimeExceeded, []errno.Errno{1: errno.OK}},
		{x6, wire.ICMPv6Unreachable, []errno.Errno{1: errno.Acces, 4: errno.ConnRefused, 5: errno.Acces, 6: errno.Acces, 9: errno.OK}},
		{x6, wire.ICMPv6TimeExceeded, []errno.Errno{1: errno.OK}},
	} {
		w, h := open(t)
		s, err := h.c.OpenUDP(w.now, core.UDPOptions{Remote: at(c.remote, 9)})
		require.NoError(t, err)
		require.NoError(t, s.WriteTo([]byte("x"), packet.Meta{}))
		w.run()
		about := h.one().packet
		for code, want := range c.want {
			if want == errno.OK {
				want = errno.WouldBlock
			}
			w.in(h, frameTo(h, unreachable(about, wire.ICMP{Type: c.typ, Code: uint8(code)})))
			_, _, _, err := s.ReadFrom(nil)
			require.Equal(t, want, err, "type %d code %d", c.typ, code)
		}
	}
}

// An error that arrives while a batch is being written is not the batch's to take.
func TestQueueNextLeavesErrors(t *testing.T) {
	w, h := open(t)
	s, err := h.c.OpenUDP(w.now, core.UDPOptions{Remote: at(x4, 9)})
	require.NoError(t, err)
	s.Learn(packet.Meta{})
	one := [][]byte{[]byte("x")}
	known, err := s.Queue(one, packet.Meta{})
	require.True(t, known)
	require.NoError(t, err)
	s.Flush()
	w.run()
	w.in(h, frameTo(h, unreachable(h.one().packet, port4)))
	_, err = s.QueueNext(one, packet.Meta{})
	require.NoError(t, err)
	_, _, _, err = s.ReadNext(nil, false)
	require.Equal(t, errno.WouldBlock, err)
	_, err = s.Queue(one, packet.Meta{})
	require.Equal(t, errno.ConnRefused, err)
	_, err = s.Queue(one, packet.Meta{})
	require.NoError(t, err)
}

// Addresses of two families in one datagram are refused, on connected sockets too.
func TestUDPMixedFamilies(t *testing.T) {
	w, a, _ := pair(t)
	connected, err := a.c.OpenUDP(w.now, core.UDPOptions{Remote: at(b4, 9)})
	require.NoError(t, err)
	loose, err := a.c.OpenUDP(w.now, core.UDPOptions{})
	require.NoError(t, err)
	require.Equal(t, errno.AFNoSupport, connected.WriteTo(nil, packet.Meta{Local: a6}))
	require.Equal(t, errno.AFNoSupport, loose.WriteTo(nil, packet.Meta{Remote: at(b4, 9), Local: a6}))
	require.Equal(t, errno.AFNoSupport, loose.WriteTo(nil, packet.Meta{Remote: at(b6, 9), Local: a4}))
	w.run()
	require.Zero(t, a.c.Stats().UDPOut)
}

// A socket that is bound to a group or broadcast address in order to hear it sends
// from an address of ours, and if it is connected hears its peer only.
func TestUDPBoundToGroup(t *testing.T) {
	for _, group := range []netip.Addr{bcast4, all4, hosts4} {
		w, a, b := pair(t)
		w.know(b, x4)
		open := func(h *host, local, remote netip.AddrPort) *core.UDP {
			s, err := h.c.OpenUDP(w.now, core.UDPOptions{Local: local, Remote: remote, Broadcast: true, ReuseAddr: true})
			require.NoError(t, err)
			return s
		}
		peer := open(a, at(a4, 9), netip.AddrPort{})
		loose := open(b, at(group, 9), netip.AddrPort{})
		connected := open(b, at(group, 9), at(a4, 9))
		for s, m := range map[*core.UDP]packet.Meta{loose: {Remote: at(a4, 9)}, connected: {}} {
			s.Learn(m)
			require.NoError(t, s.WriteTo([]byte("x"), m))
			w.run()
			_, _, got, err := peer.ReadFrom(nil)
			require.NoError(t, err)
			require.Equal(t, at(b4, 9), got.Remote)
		}
		require.NoError(t, peer.WriteTo([]byte("x"), packet.Meta{Remote: at(group, 9)}))
		w.run()
		w.in(b, frameVia(wire.Broadcast, udp4(x4, group, 9, 9, "stranger")))
		for s, want := range map[*core.UDP]int{loose: 2, connected: 1} {
			n := 0
			for ; ; n++ {
				if _, _, _, err := s.ReadFrom(nil); err != nil {
					require.Equal(t, errno.WouldBlock, err)
					break
				}
			}
			require.Equal(t, want, n, "%v", s.RemoteAddr())
		}
	}
}

// Whatever a socket's user leaves behind, Close gives the memory back: datagrams
// and super-frames, unread, half read, and not sent yet.
func TestCloseGivesDatagramsBack(t *testing.T) {
	for name, leave := range map[string]func(s *core.UDP){
		"unread":    func(*core.UDP) {},
		"half read": func(s *core.UDP) { _, _, _, _ = s.ReadFrom(make([]byte, 10)) },
		"all but one read": func(s *core.UDP) {
			for range 3*40 - 1 {
				_, _, _, err := s.ReadFrom(make([]byte, 10))
				require.NoError(t, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newLinkEnd(t, super, "192.0.2.1/24")
			b := newLinkEnd(t, super, "192.0.2.2/24")
			out, err := a.OpenUDP(epoch, core.UDPOptions{Remote: at(b4, 9)})
			require.NoError(t, err)
			in, err := b.OpenUDP(epoch, core.UDPOptions{Local: at(b4, 9)})
			require.NoError(t, err)
			for range 3 {
				require.NoError(t, out.WriteTo(make([]byte, 40_000), packet.Meta{Segment: 1000}))
			}
			require.Positive(t, a.Stats().Memory)
			out.Close() // what was written is still sent
			b.receive(a.frames())
			require.Zero(t, a.Stats().Memory)
			require.Positive(t, b.Stats().Memory)
			leave(in)
			require.NoError(t, in.WriteTo(make([]byte, 3000), packet.Meta{Remote: at(a4, 9), Segment: 1000}))
			in.Close()
			b.frames()
			require.Zero(t, b.Stats().Memory)
			require.Zero(t, b.Stats().UDPSockets)
		})
	}
}

// Echo requests that cannot go out come back in the place of their replies.
func TestPingErrors(t *testing.T) {
	w, h := alone(t)
	p, err := h.c.OpenPing(w.now, core.PingOptions{Local: a4})
	require.NoError(t, err)
	require.Equal(t, a4, p.LocalAddr())
	require.False(t, p.RemoteAddr().IsValid())
	for _, c := range []struct {
		to   netip.Addr
		n    int
		want errno.Errno
	}{{far4, 0, errno.NetUnreach}, {b4, 1473, errno.MsgSize}, {bcast4, 0, errno.Acces}} {
		require.NoError(t, p.WriteTo(make([]byte, c.n), packet.Meta{Remote: at(c.to, 7)}))
		w.run()
		_, _, m, err := p.ReadFrom(nil)
		require.Equal(t, c.want, err)
		require.Equal(t, at(c.to, 7), m.Remote)
	}
	for _, c := range []struct {
		o    core.PingOptions
		want errno.Errno
	}{
		{core.PingOptions{}, errno.Invalid},
		{core.PingOptions{Local: a4, Remote: b6}, errno.AFNoSupport},
		{core.PingOptions{Local: b4}, errno.AddrNotAvail},
		{core.PingOptions{Remote: far4}, errno.NetUnreach},
	} {
		_, err := h.c.OpenPing(w.now, c.o)
		require.Equal(t, c.want, err)
	}
	// Replies for somebody else's identifier, or from somebody else.
	q, err := h.c.OpenPing(w.now, core.PingOptions{Remote: x4})
	require.NoError(t, err)
	for _, c := range []struct {
		id   uint16
		from netip.Addr
	}{{q.ID() + 1, x4}, {q.ID(), b4}} {
		w.in(h, frameTo(h, icmpPacket(c.from, a4, 64, wire.ICMP{Type: wire.ICMPv4EchoReply, Rest: uint32(c.id) << 16}, nil)))
	}
	_, _, _, err = q.ReadFrom(nil)
	require.Equal(t, errno.WouldBlock, err)
	require.Equal(t, 2, h.drops(wire.DropNoSocket))
}

// A socket is gone when Close returns, also in the midst of a turn: a datagram that
// is sent then is not swallowed, but goes to another socket or is answered.
func TestDatagramAfterClose(t *testing.T) {
	w, h := alone(t)
	bound, err := h.c.OpenUDP(w.now, core.UDPOptions{Local: port(7), ReuseAddr: true})
	require.NoError(t, err)
	connected, err := h.c.OpenUDP(w.now, core.UDPOptions{Local: port(7), Remote: at(x4, 9), ReuseAddr: true})
	require.NoError(t, err)
	frame := frameTo(h, ip(x4, a4, wire.ProtoUDP, 64, udpSegment(x4, a4, 9, 7, "x")))
	w.in(h, frame)
	_, _, _, err = connected.ReadFrom(make([]byte, 1))
	require.NoError(t, err)

	receive := func(closes *core.UDP) {
		h.c.BeginTurn(w.now)
		closes.Close()
		h.eth.Receive(w.now, phy.Frame{Data: frame})
		h.c.EndTurn(w.now)
	}
	receive(connected)
	_, _, _, err = bound.ReadFrom(make([]byte, 1))
	require.NoError(t, err)
	receive(bound)
	require.Equal(t, 1, h.drops(wire.DropNoSocket))
	w.run()
	require.Equal(t, uint64(1), h.c.Stats().ICMPErrorsOut)
	require.Zero(t, h.c.Stats().UDPSockets)

	bound, err = h.c.OpenUDP(w.now, core.UDPOptions{Local: port(7)})
	require.NoError(t, err)
	memory := h.c.Stats().Memory
	frame = frameVia(wire.Broadcast, ip(x4, bcast4, wire.ProtoUDP, 64, udpSegment(x4, bcast4, 9, 7, "x")))
	receive(bound)
	require.Equal(t, 2, h.drops(wire.DropNoSocket))
	require.Equal(t, memory, h.c.Stats().Memory, "it is not kept for nobody")
}

// A core without interfaces answers all the same.
func TestNoInterface(t *testing.T) {
	c, err := core.New(core.Config{})
	require.NoError(t, err)
	u := &user{}
	s, err := c.OpenUDP(epoch, core.UDPOptions{Local: port(7), Waiter: u})
	require.NoError(t, err)
	require.Equal(t, errno.MsgSize, s.WriteTo([]byte("x"), packet.Meta{Remote: at(b4, 9)}), "there is no link that takes it")
	s.Close()
	c.BeginTurn(epoch)
	c.EndTurn(epoch)
	require.Zero(t, c.Deadline())
	require.Zero(t, c.Stats().UDPSockets)
}

// The unspecified address as a destination is this host, as with package net.
func TestUnspecifiedDestination(t *testing.T) {
	for _, to := range []netip.Addr{any4, any6} {
		w, h := alone(t)
		in, err := h.c.OpenUDP(w.now, core.UDPOptions{Local: port(7)})
		require.NoError(t, err)
		in.SetLimits(1<<20, 1<<20)
		connected, err := h.c.OpenUDP(w.now, core.UDPOptions{Remote: at(to, 7)})
		require.NoError(t, err)
		loose, err := h.c.OpenUDP(w.now, core.UDPOptions{})
		require.NoError(t, err)
		require.NoError(t, connected.WriteTo([]byte("x"), packet.Meta{}))
		require.NoError(t, loose.WriteTo([]byte("x"), packet.Meta{Remote: at(to, 7)}))
		w.run()
		for range 2 {
			_, _, m, err := in.ReadFrom(make([]byte, 9))
			require.NoError(t, err)
			require.True(t, m.Local.IsLoopback())
		}
		h.listen(w.now, core.ListenOptions{Local: port(80)})
		c, err := h.c.DialTCP(w.now, core.DialOptions{Remote: at(to, 80)})
		require.NoError(t, err)
		w.run()
		require.True(t, c.Connected())
		require.True(t, c.RemoteAddr().Addr().IsLoopback())
	}
}

// A socket forgets some destinations when it has learnt of too many, and all of
// them when routes change; what it forgot it can learn again.
func TestWaysAreBounded(t *testing.T) {
	c, first, second := multihomed(t)
	s, err := c.OpenUDP(epoch, core.UDPOptions{})
	require.NoError(t, err)
	to := func(i int) packet.Meta {
		return packet.Meta{Remote: at(netip.AddrFrom4([4]byte{10, byte(1 + i%3), byte(i>>8 + 1), byte(i)}), 9)}
	}
	const peers = 5000
	for i := range peers {
		s.Learn(to(i))
		require.True(t, s.Knows(to(i)))
		want := []error{nil, errno.MsgSize, errno.NetUnreach}[i%3] // MTU 1500, 1400, none
		got := s.WriteTo(make([]byte, 1472), to(i))
		require.Equal(t, want, got)
		c.BeginTurn(epoch)
		destinations(t, epoch, first)
		destinations(t, epoch, second)
	}
	known := 0
	for i := range peers {
		if s.Knows(to(i)) {
			known++
		}
	}
	require.Equal(t, 1<<10, known)
	require.NoError(t, c.AddRoute(routeVia("198.51.100.0/24", netip.MustParseAddr("10.1.0.9"))))
	for i := range peers {
		require.False(t, s.Knows(to(i)))
	}
}
