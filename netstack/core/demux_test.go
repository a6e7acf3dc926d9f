package core_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
	"smolnet/netstack/wire"
)

var any6 = netip.IPv6Unspecified()

func at(a netip.Addr, p uint16) netip.AddrPort { return netip.AddrPortFrom(a, p) }

// binds are pairs of local addresses on one port, and whether both can be.
var binds = []struct {
	first, second netip.Addr
	both          bool
}{
	{netip.Addr{}, netip.Addr{}, false},
	{netip.Addr{}, any4, false},
	{netip.Addr{}, any6, false},
	{netip.Addr{}, a4, false},
	{any4, any6, true},
	{any4, any4, false},
	{any4, a4, false},
	{any4, a6, true},
	{any6, a6, false},
	{a4, a4, false},
	{a4, a6, true},
	{a6, lo4, true},
	{a4, lo4, true},
}

func TestListenConflicts(t *testing.T) {
	for _, c := range binds {
		for _, p := range [][2]netip.Addr{{c.first, c.second}, {c.second, c.first}} {
			w, h := alone(t)
			first := h.listen(w.now, core.ListenOptions{Local: at(p[0], 80)})
			l, err := h.c.ListenTCP(w.now, core.ListenOptions{Local: at(p[1], 80), Accept: func(*core.TCP) {}})
			if c.both {
				require.NoError(t, err, "%v", p)
				l.Close(w.now)
			} else {
				require.Equal(t, errno.AddrInUse, err, "%v", p)
			}
			first.l.Close(w.now)
			h.listen(w.now, core.ListenOptions{Local: at(p[1], 80)})
		}
	}
}

func TestUDPConflicts(t *testing.T) {
	for _, c := range binds {
		w, h := alone(t)
		open := func(a netip.Addr, reuse bool) (*core.UDP, error) {
			return h.c.OpenUDP(w.now, core.UDPOptions{Local: at(a, 80), ReuseAddr: reuse})
		}
		first, err := open(c.first, true)
		require.NoError(t, err)
		second, err := open(c.second, false)
		if c.both {
			require.NoError(t, err)
			second.Close()
		} else {
			require.Equal(t, errno.AddrInUse, err)
		}
		second, err = open(c.second, true)
		require.NoError(t, err)
		first.Close()
		second.Close()
		_, err = open(c.second, false) // closing counts at once
		require.NoError(t, err)
	}
}

// The most exact socket gets the datagram, the connected one first.
func TestUDPChoice(t *testing.T) {
	w, h := open(t)
	sockets := map[string]*core.UDP{}
	for name, o := range map[string]core.UDPOptions{
		"dual":      {Local: at(netip.Addr{}, 7)},
		"family":    {Local: at(any4, 7)},
		"exact":     {Local: at(a4, 7)},
		"connected": {Local: at(a4, 7), Remote: at(x4, 5)},
	} {
		o.ReuseAddr = true
		s, err := h.c.OpenUDP(w.now, o)
		require.NoError(t, err)
		sockets[name] = s
	}
	gets := func(want string, f []byte) {
		t.Helper()
		w.in(h, frameTo(h, f))
		for name, s := range sockets {
			_, _, _, err := s.ReadFrom(make([]byte, 1))
			if name == want {
				require.NoError(t, err, name)
			} else {
				require.Equal(t, errno.WouldBlock, err, name)
			}
		}
	}
	gets("connected", udp4(x4, a4, 5, 7, "x"))
	gets("exact", udp4(x4, a4, 6, 7, "x"))
	gets("dual", ip(x6, a6, wire.ProtoUDP, 64, udpSegment(x6, a6, 5, 7, "x")))
	sockets["connected"].Close()
	delete(sockets, "connected")
	gets("exact", udp4(x4, a4, 5, 7, "x"))
	sockets["exact"].Close()
	delete(sockets, "exact")
	gets("family", udp4(x4, a4, 5, 7, "x"))
}

// Listeners: the exact address, the family, both.
func TestListenerChoice(t *testing.T) {
	w, h := open(t)
	exact := h.listen(w.now, core.ListenOptions{Local: at(a4, 8)})
	other := h.listen(w.now, core.ListenOptions{Local: at(any6, 8)})
	w.in(h, frameTo(h, syn(x4, a4, 8)), frameTo(h, syn(x6, a6, 8)))
	for _, f := range h.take() {
		s := parse(t, f)
		peer := x4
		if s.src.Is6() {
			peer = x6
		}
		w.in(h, frameTo(h, tcpPacket(peer, s.src, wire.TCP{SrcPort: 999, DstPort: 8, Seq: 2, Ack: s.tcp.Seq + 1, Flags: wire.ACK, Window: 100}, "")))
	}
	require.Len(t, exact.conns, 1)
	require.Len(t, other.conns, 1)
	require.Equal(t, at(a4, 8), exact.conns[0].LocalAddr())
	require.Equal(t, at(a6, 8), other.conns[0].LocalAddr())
}

// Ports of connections: dialed ones are taken, accepted ones and those in
// TIME-WAIT are not in the way of a new listener.
func TestPortsInUse(t *testing.T) {
	w, a, b := pair(t)
	srv := b.listen(w.now, core.ListenOptions{Local: port(80)})
	c, err := a.c.DialTCP(w.now, core.DialOptions{Local: at(netip.Addr{}, 0), Remote: at(b4, 80)})
	require.NoError(t, err)
	w.run()
	mine := c.LocalAddr()
	for _, local := range []netip.AddrPort{mine, at(any4, mine.Port()), at(netip.Addr{}, mine.Port())} {
		_, err = a.c.ListenTCP(w.now, core.ListenOptions{Local: local, Accept: func(*core.TCP) {}})
		require.Equal(t, errno.AddrInUse, err)
	}
	_, err = a.c.DialTCP(w.now, core.DialOptions{Local: mine, Remote: at(b4, 81)})
	require.Equal(t, errno.AddrInUse, err)
	_, err = b.c.DialTCP(w.now, core.DialOptions{Local: at(b4, 80), Remote: at(a4, 81)})
	require.Equal(t, errno.AddrInUse, err, "a listener has it")
	srv.l.Close(w.now)
	b.listen(w.now, core.ListenOptions{Local: port(80)}).l.Close(w.now) // though a connection is there

	c.Close()
	w.run()
	srv.conns[0].Close()
	w.run()
	require.Equal(t, 1, a.c.Stats().TimeWait)
	_, err = a.c.DialTCP(w.now, core.DialOptions{Local: mine, Remote: at(b4, 80)})
	require.Equal(t, errno.AddrInUse, err, "in TIME-WAIT")
	again, err := a.c.DialTCP(w.now, core.DialOptions{Local: mine, Remote: at(b4, 81)})
	require.NoError(t, err)
	again.Abort()
	a.listen(w.now, core.ListenOptions{Local: mine})
}

// Every port of the range, and then none.
func TestPortsRunOut(t *testing.T) {
	w, h := alone(t)
	seen := map[uint16]bool{}
	for range 16384 {
		s, err := h.c.OpenUDP(w.now, core.UDPOptions{Local: at(a4, 0)})
		require.NoError(t, err)
		p := s.LocalAddr().Port()
		require.False(t, seen[p])
		seen[p] = true
	}
	_, err := h.c.OpenUDP(w.now, core.UDPOptions{Local: at(a4, 0)})
	require.Equal(t, errno.AddrNotAvail, err)
	_, err = h.c.OpenUDP(w.now, core.UDPOptions{Local: at(a6, 0)})
	require.NoError(t, err, "other addresses have their own")
}

func TestDialErrors(t *testing.T) {
	w, h := alone(t)
	nowhere := newHost(t, hwB, nil, func(_ *core.Config, l *core.InterfaceConfig) { l.LinkLocal = false })
	for _, c := range []struct {
		h             *host
		local, remote netip.AddrPort
		want          errno.Errno
	}{
		{h, netip.AddrPort{}, netip.AddrPort{}, errno.Invalid},
		{h, netip.AddrPort{}, at(bcast4, 80), errno.Invalid},
		{h, netip.AddrPort{}, at(all4, 80), errno.Invalid},
		{h, netip.AddrPort{}, at(hosts4, 80), errno.Invalid},
		{h, netip.AddrPort{}, at(groupAll, 80), errno.Invalid},
		{h, netip.AddrPort{}, at(far4, 80), errno.NetUnreach},
		{h, at(b4, 0), at(x4, 80), errno.AddrNotAvail},
		{h, at(a6, 0), at(x4, 80), errno.AFNoSupport},
		{h, at(lo4, 0), at(x4, 80), errno.AddrNotAvail},
		{nowhere, netip.AddrPort{}, at(b4, 80), errno.NetUnreach},
	} {
		_, err := c.h.c.DialTCP(w.now, core.DialOptions{Local: c.local, Remote: c.remote})
		require.Equal(t, c.want, err, "%v to %v", c.local, c.remote)
	}
	require.Zero(t, h.c.Stats().Connections)
	// Without an interface for local delivery we cannot reach ourselves.
	c, err := core.New(core.Config{})
	require.NoError(t, err)
	_, err = c.DialTCP(w.now, core.DialOptions{Remote: at(lo4, 80)})
	require.Equal(t, errno.NetUnreach, err)
}

func TestUDPErrors(t *testing.T) {
	w, h := alone(t)
	for _, c := range []struct {
		o    core.UDPOptions
		want errno.Errno
	}{
		{core.UDPOptions{Local: at(b4, 7)}, errno.AddrNotAvail},
		{core.UDPOptions{Local: at(a4, 7), Remote: at(b6, 7)}, errno.AFNoSupport},
		{core.UDPOptions{Remote: at(b4, 0)}, errno.Invalid},
		{core.UDPOptions{Remote: at(bcast4, 7)}, errno.Acces},
		{core.UDPOptions{Remote: at(far4, 7)}, errno.NetUnreach},
	} {
		_, err := h.c.OpenUDP(w.now, c.o)
		require.Equal(t, c.want, err)
	}
	s, err := h.c.OpenUDP(w.now, core.UDPOptions{Local: at(any4, 0)})
	require.NoError(t, err)
	big := make([]byte, 65536)
	require.Equal(t, errno.MsgSize, s.WriteTo(big, packet.Meta{Remote: at(b4, 7)}))
	require.Equal(t, errno.AFNoSupport, s.WriteTo(nil, packet.Meta{Remote: at(b6, 7)}))
	require.Equal(t, errno.Invalid, s.WriteTo(nil, packet.Meta{}))
	// What only the driver knows is known to those who have it asked.
	for _, c := range []struct {
		to   netip.Addr
		n    int
		want errno.Errno
	}{{b4, 1473, errno.MsgSize}, {far4, 1, errno.NetUnreach}, {bcast4, 1, errno.Acces}} {
		require.NoError(t, s.WriteTo(big[:c.n], packet.Meta{Remote: at(c.to, 7)}))
		w.run()
		_, _, _, err = s.ReadFrom(big)
		require.Equal(t, errno.WouldBlock, err, "readers have nothing to do with it")
		require.NoError(t, s.WriteTo(nil, packet.Meta{Remote: at(lo4, 7)}), "nor has the next datagram")

		m := packet.Meta{Remote: at(c.to, 7)}
		require.False(t, s.Knows(m))
		s.Learn(m)
		require.True(t, s.Knows(m))
		require.Equal(t, c.want, s.WriteTo(big[:c.n], m), "the very one")
		if c.want == errno.MsgSize {
			require.NoError(t, s.WriteTo(big[:c.n-1], packet.Meta{Remote: at(lo4, 7)}))
		}
	}
	require.Equal(t, 1, h.drops(wire.DropTooBig))
	require.Equal(t, 2, h.drops(wire.DropNoRoute))
	w.run()
	require.Empty(t, h.take())
	connected, err := h.c.OpenUDP(w.now, core.UDPOptions{Remote: at(b4, 7)})
	require.NoError(t, err)
	require.Equal(t, errno.IsConn, connected.WriteTo(nil, packet.Meta{Remote: at(b4, 7)}))
	connected.Close()
	require.Equal(t, errno.Closed, connected.WriteTo(nil, packet.Meta{}))
	_, _, _, err = connected.ReadFrom(big)
	require.Equal(t, errno.Closed, err)
}

// One dead neighbour and one unroutable destination block nobody, of the same
// socket neither.
func TestUDPNoBlocking(t *testing.T) {
	w, a, b := pair(t)
	in, err := b.c.OpenUDP(w.now, core.UDPOptions{Local: at(b4, 9)})
	require.NoError(t, err)
	out, err := a.c.OpenUDP(w.now, core.UDPOptions{})
	require.NoError(t, err)
	for i := range 100 {
		for _, to := range []netip.Addr{x4, far4, b4} {
			require.NoError(t, out.WriteTo([]byte{byte(i)}, packet.Meta{Remote: at(to, 9)}))
			w.run()
		}
		n, _, _, err := in.ReadFrom(make([]byte, 9))
		require.NoError(t, err)
		require.Equal(t, 1, n)
	}
	w.pass(10 * time.Second)
	require.Zero(t, a.c.Stats().Memory)
}

// Datagrams go both ways, to ourselves too, in order; bounded.
func TestUDPEcho(t *testing.T) {
	for _, to := range []netip.Addr{b4, b6, a4, a6, lo4, netip.IPv6Loopback()} {
		w, a, b := pair(t)
		if to != b4 && to != b6 {
			b = a
		}
		in, err := b.c.OpenUDP(w.now, core.UDPOptions{Local: port(9), RecvLimit: packet.Limits{Packets: 4}})
		require.NoError(t, err)
		out, err := a.c.OpenUDP(w.now, core.UDPOptions{Remote: at(to, 9)})
		require.NoError(t, err)
		for i := range byte(6) {
			require.NoError(t, out.WriteTo([]byte{i, i}, packet.Meta{TOS: 0x20}))
		}
		w.run()
		buf := make([]byte, 9)
		for i := range byte(4) {
			n, size, m, err := in.ReadFrom(buf[:1])
			require.NoError(t, err)
			require.Equal(t, [3]int{1, 2, int(i)}, [3]int{n, size, int(buf[0])})
			require.Equal(t, to, m.Local)
			require.Equal(t, uint8(0x20), m.TOS)
			require.NoError(t, in.WriteTo(buf[:1], packet.Meta{Remote: m.Remote, Local: m.Local}))
		}
		_, _, _, err = in.ReadFrom(buf)
		require.Equal(t, errno.WouldBlock, err)
		require.Equal(t, 2, b.drops(wire.DropQueueFull))
		w.run()
		n, _, m, err := out.ReadFrom(buf)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, at(to, 9), m.Remote)
		require.Equal(t, out.LocalAddr().Addr(), m.Local)
		in.Close()
		require.NoError(t, out.WriteTo([]byte("last words"), packet.Meta{}))
		out.Close()
		w.run()
		require.Zero(t, a.c.Stats().UDPSockets)
		require.NotZero(t, b.drops(wire.DropNoSocket), "what was written before Close was sent")
		require.Zero(t, a.c.Stats().Memory)
		require.Zero(t, b.c.Stats().Memory)
	}
}
