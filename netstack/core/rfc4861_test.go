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

var (
	groupAll = netip.MustParseAddr("ff02::1")
	groupA6  = wire.SolicitedNode(a6)
)

func solicitation(target netip.Addr) wire.Neighbor {
	return wire.Neighbor{Type: wire.ICMPv6NeighborSolicit, Target: target, LinkAddr: hwX, HasLink: true}
}

// RFC 4861 7.2.4: the advertisement that answers.
func TestNeighborSolicitation(t *testing.T) {
	for _, dst := range []netip.Addr{a6, groupA6} {
		w, h := alone(t)
		to := hwA
		if dst.IsMulticast() {
			to = wire.MulticastHardwareAddr(dst)
		}
		w.in(h, frameVia(to, ndp(x6, dst, 255, solicitation(a6))))
		got := h.one()
		require.Equal(t, wire.Ethernet{Dst: hwX, Src: hwA, Type: wire.EtherTypeIPv6}, got.eth)
		require.Equal(t, [2]netip.Addr{a6, x6}, [2]netip.Addr{got.src, got.dst})
		require.Equal(t, uint8(255), got.hop)
		n, err := wire.ParseNeighbor(got.payload)
		require.NoError(t, err)
		require.Equal(t, wire.Neighbor{Type: wire.ICMPv6NeighborAdvert, Solicited: true, Override: true, Target: a6, LinkAddr: hwA, HasLink: true}, n)
		hw, state := h.knows(x6)
		require.Equal(t, hwX, hw)
		require.Equal(t, "delay", state, "learned stale, and used for the answer")
	}
}

// RFC 4861 7.2.4: somebody checks whether the address is free.
func TestNeighborProbe(t *testing.T) {
	w, h := alone(t)
	probe := wire.Neighbor{Type: wire.ICMPv6NeighborSolicit, Target: a6}
	w.in(h, frameVia(wire.MulticastHardwareAddr(groupA6), ndp(netip.IPv6Unspecified(), groupA6, 255, probe)))
	got := h.one()
	require.Equal(t, groupAll, got.dst)
	require.Equal(t, wire.MulticastHardwareAddr(groupAll), got.eth.Dst)
	n, err := wire.ParseNeighbor(got.payload)
	require.NoError(t, err)
	require.Equal(t, wire.Neighbor{Type: wire.ICMPv6NeighborAdvert, Override: true, Target: a6, LinkAddr: hwA, HasLink: true}, n)
	require.Empty(t, h.c.Neighbors())
}

// RFC 4861 7.1.1 and 7.1.2: what must be discarded silently.
func TestNeighborMessagesRefused(t *testing.T) {
	zero := netip.IPv6Unspecified()
	advert := wire.Neighbor{Type: wire.ICMPv6NeighborAdvert, Solicited: true, Override: true, Target: x6, LinkAddr: hwB, HasLink: true}
	other := netip.MustParseAddr("2001:db8::77")
	for _, c := range []struct {
		name   string
		packet []byte
		drop   wire.Drop
	}{
		{"hop limit", ndp(x6, a6, 254, solicitation(a6)), wire.DropHopLimit},
		{"target is multicast", ndp(x6, a6, 255, solicitation(groupAll)), wire.DropBadHeader},
		{"target is another's", ndp(x6, a6, 255, solicitation(other)), wire.DropNotForUs},
		{"probe with link address", ndp(zero, groupA6, 255, solicitation(a6)), wire.DropBadHeader},
		{"probe to unicast", ndp(zero, a6, 255, wire.Neighbor{Type: wire.ICMPv6NeighborSolicit, Target: a6}), wire.DropBadHeader},
		{"group link address", ndp(x6, a6, 255, wire.Neighbor{Type: wire.ICMPv6NeighborSolicit, Target: a6, LinkAddr: wire.Broadcast, HasLink: true}), wire.DropMartianSource},
		{"our link address", ndp(x6, a6, 255, wire.Neighbor{Type: wire.ICMPv6NeighborSolicit, Target: a6, LinkAddr: hwA, HasLink: true}), wire.DropMartianSource},
		{"advertised hop limit", ndp(x6, a6, 64, advert), wire.DropHopLimit},
		{"solicited, to all", ndp(x6, groupAll, 255, advert), wire.DropBadHeader},
		{"our own address", ndp(x6, a6, 255, wire.Neighbor{Type: wire.ICMPv6NeighborAdvert, Override: true, Target: a6, LinkAddr: hwB, HasLink: true}), wire.DropMartianSource},
		{"from nobody", ndp(zero, a6, 255, advert), wire.DropMartianSource},
		{"option of length zero", badNeighborOption(), wire.DropBadOption},
		{"code", badNeighborCode(), wire.DropBadHeader},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, h := alone(t)
			w.know(h, x6)
			w.in(h, frameTo(h, c.packet))
			require.Empty(t, h.take())
			require.Equal(t, 1, h.drops(c.drop))
			require.Len(t, h.c.Neighbors(), 1)
			hw, _ := h.knows(x6)
			require.Equal(t, hwX, hw)
		})
	}
}

func badNeighborOption() []byte {
	n := solicitation(a6)
	b := make([]byte, n.Len())
	n.Put(b)
	b[25] = 0
	return ip(x6, a6, sumICMP(x6, a6, b), 255, b)
}

func badNeighborCode() []byte {
	n := solicitation(a6)
	b := make([]byte, n.Len())
	n.Put(b)
	b[1] = 1
	return ip(x6, a6, sumICMP(x6, a6, b), 255, b)
}

// An advertisement that nobody asked for makes no entry, and one without the
// override flag changes none (RFC 4861 7.2.5).
func TestNeighborAdvertisement(t *testing.T) {
	w, h := alone(t)
	lie := wire.Neighbor{Type: wire.ICMPv6NeighborAdvert, Target: x6, LinkAddr: hwB, HasLink: true}
	w.in(h, frameTo(h, ndp(x6, a6, 255, lie)))
	require.Empty(t, h.c.Neighbors())
	w.know(h, x6)
	w.in(h, frameTo(h, ndp(x6, a6, 255, lie)))
	hw, _ := h.knows(x6)
	require.Equal(t, hwX, hw)
	lie.Override = true
	w.in(h, frameTo(h, ndp(x6, a6, 255, lie)))
	hw, _ = h.knows(x6)
	require.Equal(t, hwB, hw, "the address has moved")
}

// A solicitation from another link makes no entry.
func TestNeighborOffLink(t *testing.T) {
	w, h := alone(t)
	require.NoError(t, h.c.AddRoute(routeVia("::/0", x6)))
	w.in(h, frameTo(h, ndp(netip.MustParseAddr("2001:db8:ffff::1"), a6, 255, solicitation(a6))))
	hw, _ := h.knows(netip.MustParseAddr("2001:db8:ffff::1"))
	require.Zero(t, hw)
}

// RFC 4861 7.2.2: three questions, a second apart, then failure. A dead
// neighbour is told to the connection, and blocks nobody.
func TestDeadNeighbor(t *testing.T) {
	for _, dead := range []netip.Addr{x4, x6} {
		w, a, b := pair(t)
		b.listen(w.now, core.ListenOptions{Local: port(80)})
		u := &user{}
		c, err := a.c.DialTCP(w.now, core.DialOptions{Remote: netip.AddrPortFrom(dead, 80), Waiter: u})
		require.NoError(t, err)
		w.run()
		start := w.now
		live, err := a.c.DialTCP(w.now, core.DialOptions{Remote: netip.AddrPortFrom(b4, 80)})
		require.NoError(t, err)
		w.run()
		require.True(t, live.Connected())
		require.Equal(t, errno.OK, c.Err())
		for c.Err() == errno.OK && w.now.Sub(start) < time.Minute {
			w.pass(time.Second)
		}
		require.Equal(t, errno.HostUnreach, c.Err())
		require.InDelta(t, 3, w.now.Sub(start).Seconds(), 1.1)
		_, err = c.Read(make([]byte, 1))
		require.Equal(t, errno.HostUnreach, err)
		c.Close()
		w.run()
		require.Equal(t, 1, a.c.Stats().Connections)
		require.Equal(t, uint64(1), a.c.Stats().NotResolved)
	}
}

// A neighbour that dies in the middle of a connection: data is sent again and
// again, and the connection goes on when the neighbour is back.
func TestNeighborComesBack(t *testing.T) {
	w, a, b := pair(t)
	c, s, _, _ := connected(t, w, a, b, b4)
	gone := true
	b.lose = func([]byte) bool { return gone }
	a.lose = func([]byte) bool { return gone }
	_, err := c.Write([]byte("late"))
	require.NoError(t, err)
	w.pass(3 * time.Minute)
	require.Equal(t, errno.OK, c.Err())
	require.NotZero(t, a.c.Stats().NotResolved)
	require.NotZero(t, a.drops(wire.DropUnresolved))
	gone = false
	w.pass(2 * time.Minute)
	got, _ := readAll(s)
	require.Equal(t, "late", got)
}

// RFC 4861 7.3.1: progress of TCP confirms the neighbour, so that no question
// is ever asked while data flows.
func TestProgressConfirms(t *testing.T) {
	w, a, b := pair(t)
	c, s, _, _ := connected(t, w, a, b, b6)
	asked := a.c.Stats().NDPOut
	for range 300 {
		_, err := c.Write([]byte("x"))
		require.NoError(t, err)
		w.pass(time.Second)
		_, _ = readAll(s)
	}
	require.Equal(t, asked, a.c.Stats().NDPOut)
	_, state := a.knows(b6)
	require.Equal(t, "reachable", state)
}

// A stale neighbour is asked by unicast, and its answer keeps the entry.
func TestUnreachabilityDetection(t *testing.T) {
	w, a, b := pair(t)
	connected(t, w, a, b, b6)
	w.pass(50 * time.Second)
	_, state := a.knows(b6)
	require.Equal(t, "stale", state)
	p, err := a.c.OpenPing(w.now, core.PingOptions{Remote: b6})
	require.NoError(t, err)
	require.NoError(t, p.WriteTo(nil, packet.Meta{}))
	w.run()
	_, state = a.knows(b6)
	require.Equal(t, "delay", state)
	sent := a.c.Stats().NDPOut
	w.pass(6 * time.Second)
	require.Equal(t, sent+2, a.c.Stats().NDPOut, "one question, and one answer to b's")
	_, state = a.knows(b6)
	require.Equal(t, "reachable", state)
}
