package core_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/wire"
)

// chain puts extension headers, each ending in its own payload's place, before
// an upper layer: kinds and bodies alternate.
func chain(src, dst netip.Addr, headers [][]byte, kinds []wire.Protocol, upper wire.Protocol, payload []byte) []byte {
	var b []byte
	for i, h := range headers {
		next := upper
		if i+1 < len(kinds) {
			next = kinds[i+1]
		}
		h = append([]byte(nil), h...)
		h[0] = byte(next)
		b = append(b, h...)
	}
	first := upper
	if len(kinds) > 0 {
		first = kinds[0]
	}
	return ip(src, dst, first, 64, append(b, payload...))
}

var padding = []byte{0, 0, 1, 4, 0, 0, 0, 0} // an options header with PadN

func TestExtensionHeadersSkipped(t *testing.T) {
	w, h := open(t)
	s, err := h.c.OpenUDP(w.now, core.UDPOptions{Local: port(7)})
	require.NoError(t, err)
	u := udpSegment(x6, a6, 5, 7, "x")
	routing := []byte{0, 0, 0, 0, 0, 0, 0, 0} // no segments left
	atomic := make([]byte, 8)                 // RFC 6946
	w.in(h, frameTo(h, chain(x6, a6, [][]byte{padding, padding, routing, atomic},
		[]wire.Protocol{wire.ProtoHopByHop, wire.ProtoDestOpts, wire.ProtoRouting, wire.ProtoFragment}, wire.ProtoUDP, u)))
	n, _, m, err := s.ReadFrom(make([]byte, 9))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, netip.AddrPortFrom(x6, 5), m.Remote)
	require.Empty(t, h.take())
}

// RFC 8200 4, 4.2, 4.4 and RFC 4443 3.4: what is answered by a parameter
// problem, where it points, and to which destinations.
func TestParameterProblem(t *testing.T) {
	u := udpSegment(x6, a6, 5, 53, "x")
	option := func(kind byte) []byte { return []byte{0, 0, kind, 4, 0, 0, 0, 0} }
	for _, c := range []struct {
		name   string
		dst    netip.Addr
		packet []byte
		code   uint8
		at     uint32
		silent bool
		drop   wire.Drop
	}{
		{"next header", a6, ip(x6, a6, 132, 64, u), wire.ICMPv6UnknownNextHeader, 6, false, wire.DropUnknownProtocol},
		{"ICMPv4", a6, ip(x6, a6, wire.ProtoICMPv4, 64, u), wire.ICMPv6UnknownNextHeader, 6, false, wire.DropUnknownProtocol},
		{"next header, later", a6, chain(x6, a6, [][]byte{padding}, []wire.Protocol{wire.ProtoDestOpts}, 132, u), wire.ICMPv6UnknownNextHeader, 40, false, wire.DropUnknownProtocol},
		{"next header to group", groupAll, ip(x6, groupAll, 132, 64, u), 0, 0, true, wire.DropUnknownProtocol},
		{"option to be skipped", a6, chain(x6, a6, [][]byte{option(0x3e)}, []wire.Protocol{wire.ProtoDestOpts}, wire.ProtoNoNext, nil), 0, 0, true, wire.DropIgnored},
		{"option to be discarded", a6, chain(x6, a6, [][]byte{option(0x7e)}, []wire.Protocol{wire.ProtoDestOpts}, wire.ProtoUDP, u), 0, 0, true, wire.DropBadOption},
		{"option to be reported", a6, chain(x6, a6, [][]byte{option(0xbe)}, []wire.Protocol{wire.ProtoDestOpts}, wire.ProtoUDP, u), wire.ICMPv6UnknownOption, 42, false, wire.DropBadOption},
		{"option to be reported, group", groupAll, chain(x6, groupAll, [][]byte{option(0xbe)}, []wire.Protocol{wire.ProtoDestOpts}, wire.ProtoUDP, u), wire.ICMPv6UnknownOption, 42, false, wire.DropBadOption},
		{"option to be reported unless group", a6, chain(x6, a6, [][]byte{option(0xfe)}, []wire.Protocol{wire.ProtoDestOpts}, wire.ProtoUDP, u), wire.ICMPv6UnknownOption, 42, false, wire.DropBadOption},
		{"option not to be reported, group", groupAll, chain(x6, groupAll, [][]byte{option(0xfe)}, []wire.Protocol{wire.ProtoDestOpts}, wire.ProtoUDP, u), 0, 0, true, wire.DropBadOption},
		{"segments left", a6, chain(x6, a6, [][]byte{{0, 0, 9, 1, 0, 0, 0, 0}}, []wire.Protocol{wire.ProtoRouting}, wire.ProtoUDP, u), wire.ICMPv6ErroneousHeader, 42, false, wire.DropBadHeader},
		{"hop-by-hop not first", a6, chain(x6, a6, [][]byte{padding, padding}, []wire.Protocol{wire.ProtoDestOpts, wire.ProtoHopByHop}, wire.ProtoUDP, u), wire.ICMPv6UnknownNextHeader, 40, false, wire.DropBadHeader},
		// RFC 4443 2.4 (e.1): not even then if it is an ICMPv6 error.
		{"option before an error", a6, chain(x6, a6, [][]byte{option(0xbe)}, []wire.Protocol{wire.ProtoDestOpts}, wire.ProtoICMPv6, []byte{1, 4, 0, 0, 0, 0, 0, 0}), 0, 0, true, wire.DropBadOption},
		{"header past packet", a6, chain(x6, a6, [][]byte{{0, 200, 1, 4, 0, 0, 0, 0}}, []wire.Protocol{wire.ProtoDestOpts}, wire.ProtoUDP, u), 0, 0, true, wire.DropTruncated},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, h := open(t)
			link := hwA
			if c.dst.IsMulticast() {
				link = wire.MulticastHardwareAddr(c.dst)
			}
			w.in(h, frameVia(link, c.packet))
			require.Equal(t, 1, h.drops(c.drop), "%v", h.c.Stats().Drops)
			if c.silent {
				require.Empty(t, h.take())
				return
			}
			got := h.one()
			require.Equal(t, wire.ICMP{Type: wire.ICMPv6ParamProblem, Code: c.code, Checksum: got.icmp.Checksum, Rest: c.at}, got.icmp)
			require.Equal(t, [2]netip.Addr{a6, x6}, [2]netip.Addr{got.src, got.dst})
			require.Equal(t, c.packet, got.data)
		})
	}
}

// The bad-input list of IPv6.
func TestIPv6Refused(t *testing.T) {
	good := echoRequest(x6, a6, "x")
	mapped := netip.MustParseAddr("::ffff:192.0.2.66")
	zero := netip.IPv6Unspecified()
	for _, c := range []struct {
		name   string
		packet []byte
		drop   wire.Drop
	}{
		{"truncated header", good[:39], wire.DropTruncated},
		{"truncated packet", good[:48], wire.DropTruncated},
		{"checksum", append(append([]byte(nil), good[:48]...), 'y'), wire.DropBadChecksum},
		{"another's", echoRequest(x6, b6, "x"), wire.DropNotForUs},
		{"from ourselves", echoRequest(a6, a6, "x"), wire.DropMartianSource},
		{"from our link-local", echoRequest(llA, a6, "x"), wire.DropMartianSource},
		{"from loopback", echoRequest(netip.IPv6Loopback(), a6, "x"), wire.DropMartianSource},
		{"from a group", echoRequest(groupAll, a6, "x"), wire.DropMartianSource},
		{"from IPv4", echoRequest(mapped, a6, "x"), wire.DropMartianSource},
		{"from nobody", echoRequest(zero, a6, "x"), wire.DropMartianSource},
		{"UDP from nobody", ip(zero, a6, wire.ProtoUDP, 64, udpSegment(zero, a6, 5, 6, "x")), wire.DropMartianSource},
		{"SYN from nobody", syn(zero, a6, 80), wire.DropMartianSource},
		{"to loopback", echoRequest(x6, netip.IPv6Loopback(), "x"), wire.DropMartianDest},
		{"to IPv4", echoRequest(x6, netip.MustParseAddr("::ffff:192.0.2.1"), "x"), wire.DropMartianDest},
		{"to nobody", echoRequest(x6, zero, "x"), wire.DropMartianDest},
		{"to ff01::1", echoRequest(x6, netip.MustParseAddr("ff01::1"), "x"), wire.DropMartianDest},
		{"to ff00::1", echoRequest(x6, netip.MustParseAddr("ff00::1"), "x"), wire.DropMartianDest},
		// All 24 bits of a solicited-node group count, in the IP layer.
		{"group that shares 16 bits", echoRequest(x6, netip.MustParseAddr("ff02::1:ff01:1"), "x"), wire.DropNotForUs},
		{"group of another prefix", echoRequest(x6, netip.MustParseAddr("ff05::1:ff00:1"), "x"), wire.DropNotForUs},
		{"fragment", chain(x6, a6, [][]byte{{0, 0, 0, 1, 0, 0, 0, 1}}, []wire.Protocol{wire.ProtoFragment}, wire.ProtoUDP, make([]byte, 16)), wire.DropFragment},
		{"no next header", ip(x6, a6, wire.ProtoNoNext, 64, []byte("x")), wire.DropIgnored},
		{"router advertisement", icmpPacket(x6, a6, 255, wire.ICMP{Type: wire.ICMPv6RouterAdvert}, make([]byte, 8)), wire.DropIgnored},
		{"unknown error", icmpPacket(x6, a6, 64, wire.ICMP{Type: 100}, make([]byte, 8)), wire.DropIgnored},
		{"unknown message", icmpPacket(x6, a6, 64, wire.ICMP{Type: 200}, make([]byte, 8)), wire.DropIgnored},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, h := open(t)
			w.in(h, frameTo(h, c.packet))
			require.Equal(t, 1, h.drops(c.drop), "%v", h.c.Stats().Drops)
			require.Empty(t, h.take())
		})
	}
}

// RFC 8200 8.1: a UDP checksum of zero is none in IPv4, and refused in IPv6.
func TestZeroUDPChecksum(t *testing.T) {
	w, h := open(t)
	s, err := h.c.OpenUDP(w.now, core.UDPOptions{Local: port(7)})
	require.NoError(t, err)
	for _, c := range []struct{ from, to netip.Addr }{{x4, a4}, {x6, a6}} {
		u := udpSegment(c.from, c.to, 5, 7, "x")
		u[6], u[7] = 0, 0
		w.in(h, frameTo(h, ip(c.from, c.to, wire.ProtoUDP, 64, u)))
	}
	_, _, m, err := s.ReadFrom(make([]byte, 9))
	require.NoError(t, err)
	require.Equal(t, x4, m.Remote.Addr())
	_, _, _, err = s.ReadFrom(make([]byte, 9))
	require.Error(t, err)
	require.Equal(t, 1, h.drops(wire.DropBadChecksum))
	require.Empty(t, h.take())
}
