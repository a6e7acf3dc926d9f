package core_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/wire"
)

// RFC 4443 4.2: an echo request to a group is answered from a unicast address.
func TestMulticastEcho(t *testing.T) {
	w, h := open(t)
	for _, dst := range []netip.Addr{groupAll, groupA6} {
		w.in(h, frameVia(wire.MulticastHardwareAddr(dst), echoRequest(x6, dst, "who is there")))
		got := h.one()
		require.Equal(t, a6, got.src)
		require.Equal(t, x6, got.dst)
		require.Equal(t, "who is there", string(got.data))
	}
	// To a link-local sender from the link-local address.
	ll := netip.MustParseAddr("fe80::66")
	w.in(h, frameTo(h, ndp(ll, llA, 255, wire.Neighbor{Type: wire.ICMPv6NeighborSolicit, Target: llA, LinkAddr: hwX, HasLink: true})))
	h.take()
	w.in(h, frameVia(wire.MulticastHardwareAddr(groupAll), echoRequest(ll, groupAll, "x")))
	require.Equal(t, llA, h.one().src)
}

// RFC 4443 2.4 (e.1), (e.2): no error about an error, nor about a redirect,
// though nobody knows what to do with either; the same for RFC 1122 3.2.2.
func TestNoErrorAboutErrors(t *testing.T) {
	w, h := open(t)
	quoted4 := udp4(a4, x4, 9, 9, "x")
	quoted6 := ip(a6, x6, wire.ProtoUDP, 64, udpSegment(a6, x6, 9, 9, "x"))
	for typ := range uint8(128) {
		w.in(h, frameTo(h, icmpPacket(x6, a6, 64, wire.ICMP{Type: typ}, quoted6)))
		if typ != wire.ICMPv4Echo {
			w.in(h, frameTo(h, icmpPacket(x4, a4, 64, wire.ICMP{Type: typ}, quoted4)))
		}
	}
	w.in(h, frameTo(h, icmpPacket(x6, a6, 64, wire.ICMP{Type: wire.ICMPv6Redirect}, quoted6)))
	require.Empty(t, h.take())
}
