package core_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/packet"
	"smolnet/netstack/wire"
)

var (
	bcast4 = netip.MustParseAddr("192.0.2.255")
	all4   = netip.MustParseAddr("255.255.255.255")
	hosts4 = netip.MustParseAddr("224.0.0.1")
	lo4    = netip.MustParseAddr("127.0.0.1")
	any4   = netip.IPv4Unspecified()
	far4   = netip.MustParseAddr("198.51.100.9")
)

func echoRequest(src, dst netip.Addr, data string) []byte {
	m := wire.ICMP{Type: wire.ICMPv4Echo, Rest: 0x1234_0001}
	if src.Is6() {
		m.Type = wire.ICMPv6Echo
	}
	return icmpPacket(src, dst, 64, m, []byte(data))
}

func syn(src, dst netip.Addr, to uint16) []byte {
	return tcpPacket(src, dst, wire.TCP{SrcPort: 999, DstPort: to, Seq: 1, Flags: wire.SYN, Window: 1000}, "")
}

// open makes a host that would answer everything it may, and knows the
// stranger.
func open(t testing.TB, opts ...option) (*world, *host) {
	w, h := alone(t, opts...)
	h.listen(w.now, core.ListenOptions{Local: port(80)})
	_, err := h.c.OpenUDP(w.now, core.UDPOptions{Local: port(53)})
	require.NoError(t, err)
	w.know(h, x4, x6)
	return w, h
}

// The bad-input list of IPv4: nothing is answered, and each has its counter.
func TestIPv4Refused(t *testing.T) {
	good := echoRequest(x4, a4, "x")
	change := func(at int, to byte) []byte {
		b := append([]byte(nil), good...)
		b[at] = to
		return b
	}
	rehash := func(b []byte) []byte {
		b[10], b[11] = 0, 0
		binary.BigEndian.PutUint16(b[10:], ^wire.Sum(b[:wire.IPv4Len], 0))
		return b
	}
	options := func(o ...byte) []byte {
		return ip4options(x4, a4, wire.ProtoUDP, o, udpSegment(x4, a4, 1, 9, ""))
	}
	for _, c := range []struct {
		name   string
		packet []byte
		drop   wire.Drop
	}{
		{"truncated header", good[:19], wire.DropTruncated},
		{"truncated packet", good[:28], wire.DropTruncated},
		{"version", change(0, 0x55), wire.DropBadVersion},
		{"header length under 20", change(0, 0x44), wire.DropBadLength},
		{"header longer than packet", rehash(change(0, 0x4f)), wire.DropTruncated},
		{"total length under header", rehash(change(3, 19)), wire.DropBadLength},
		{"header checksum", change(10, good[10]^1), wire.DropBadChecksum},
		{"ICMP checksum", change(22, good[22]^1), wire.DropBadChecksum},
		{"fragment", rehash(change(6, 0x20)), wire.DropBadLength},
		{"last fragment", rehash(change(7, 1)), wire.DropFragment},
		{"another's", echoRequest(x4, b4, "x"), wire.DropNotForUs},
		{"another net's", echoRequest(x4, far4, "x"), wire.DropNotForUs},
		{"from ourselves", echoRequest(a4, a4, "x"), wire.DropMartianSource},
		{"from loopback", echoRequest(lo4, a4, "x"), wire.DropMartianSource},
		{"from a group", echoRequest(hosts4, a4, "x"), wire.DropMartianSource},
		{"from all", echoRequest(all4, a4, "x"), wire.DropMartianSource},
		{"from all of the net", echoRequest(bcast4, a4, "x"), wire.DropMartianSource},
		{"from nobody", echoRequest(any4, a4, "x"), wire.DropMartianSource},
		{"from this network", echoRequest(netip.MustParseAddr("0.0.0.7"), a4, "x"), wire.DropMartianSource},
		{"to loopback", echoRequest(x4, lo4, "x"), wire.DropMartianDest},
		{"to nobody", echoRequest(x4, any4, "x"), wire.DropMartianDest},
		{"option length zero", options(7, 0, 0, 0), wire.DropBadOption},
		{"option past header", options(7, 9, 4, 0), wire.DropBadOption},
		{"loose source route", options(131, 7, 4, 192, 0, 2, 9, 0), wire.DropBadOption},
		{"strict source route behind others", options(1, 7, 3, 4, 137, 3, 4, 0), wire.DropBadOption},
		{"ICMP too short", ip(x4, a4, wire.ProtoICMPv4, 64, []byte{0xff, 0xff}), wire.DropTruncated},
		{"ICMP of unknown type", icmpPacket(x4, a4, 64, wire.ICMP{Type: 42}, nil), wire.DropIgnored},
		{"UDP length over packet", ip(x4, a4, wire.ProtoUDP, 64, []byte{0, 1, 0, 53, 0, 9, 0, 0}), wire.DropBadLength},
		{"UDP length under header", ip(x4, a4, wire.ProtoUDP, 64, []byte{0, 1, 0, 53, 0, 7, 0, 0}), wire.DropBadLength},
		{"IGMP", ip(x4, a4, wire.ProtoIGMP, 1, make([]byte, 8)), wire.DropIgnored},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, h := open(t)
			w.in(h, frameTo(h, c.packet))
			require.Equal(t, 1, h.drops(c.drop), "%v", h.c.Stats().Drops)
			require.Empty(t, h.take())
		})
	}
}

// The same for frames.
func TestFramesRefused(t *testing.T) {
	good := echoRequest(x4, a4, "x")
	for _, c := range []struct {
		name  string
		frame []byte
		drop  wire.Drop
	}{
		{"too short", make([]byte, 13), wire.DropTruncated},
		{"another's", frameVia(hwB, good), wire.DropNotForUs},
		{"a group that we are not in", frameVia(wire.HardwareAddr{1, 0, 0x5e, 0, 0, 9}, good), wire.DropNotForUs},
		{"from a group", ether(hwA, wire.HardwareAddr{1}, wire.EtherTypeIPv4, good), wire.DropMartianSource},
		{"type", ether(hwA, hwX, 0x88cc, good), wire.DropUnknownProtocol},
		{"IPv6 type", ether(hwA, hwX, wire.EtherTypeIPv6, echoRequest(x6, a6, "")[:39]), wire.DropTruncated},
		{"IPv4 in IPv6 type", ether(hwA, hwX, wire.EtherTypeIPv6, append(good, make([]byte, 20)...)), wire.DropBadVersion},
		// RFC 1122 3.3.6.
		{"broadcast frame, unicast packet", frameVia(wire.Broadcast, good), wire.DropNotForUs},
		{"group frame, unicast packet", frameVia(wire.MulticastHardwareAddr(hosts4), good), wire.DropNotForUs},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, h := open(t)
			w.in(h, c.frame)
			require.Equal(t, 1, h.drops(c.drop), "%v", h.c.Stats().Drops)
			require.Empty(t, h.take())
		})
	}
}

// RFC 1122 3.2.2.6: the reply has the request's data, whole.
func TestEchoReply(t *testing.T) {
	for _, to := range []netip.Addr{a4, a6} {
		w, h := open(t)
		from := x4
		if to.Is6() {
			from = x6
		}
		w.in(h, frameTo(h, echoRequest(from, to, "abcdefghi")))
		got := h.one()
		require.Equal(t, [2]netip.Addr{to, from}, [2]netip.Addr{got.src, got.dst})
		require.Equal(t, uint8(64), got.hop)
		require.Equal(t, "abcdefghi", string(got.data))
		require.Equal(t, uint32(0x1234_0001), got.icmp.Rest)
		require.Zero(t, got.icmp.Code)
	}
}

func TestNoEcho(t *testing.T) {
	w, h := open(t, func(c *core.Config, _ *core.InterfaceConfig) { c.NoEcho = true })
	w.in(h, frameTo(h, echoRequest(x4, a4, "x")), frameTo(h, echoRequest(x6, a6, "x")))
	require.Empty(t, h.take())
	require.Equal(t, 2, h.drops(wire.DropIgnored))
}

// Options that are well formed are skipped.
func TestIPv4OptionsSkipped(t *testing.T) {
	w, h := open(t)
	s, err := h.c.OpenUDP(w.now, core.UDPOptions{Local: port(7)})
	require.NoError(t, err)
	w.in(h, frameTo(h, ip4options(x4, a4, wire.ProtoUDP, []byte{1, 148, 4, 0, 0, 7, 3, 4, 0, 255, 255, 255}, udpSegment(x4, a4, 5, 7, "x"))))
	n, _, _, err := s.ReadFrom(make([]byte, 10))
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// RFC 1122 4.1.3.1, RFC 4443 3.1 code 4: nobody listens on the port. The error
// quotes what there is room for (RFC 1812 4.3.2.3, RFC 4443 2.4 (c)).
func TestPortUnreachable(t *testing.T) {
	for _, c := range []struct {
		from, to netip.Addr
		size     int // of the datagram's payload
		whole    int // of the error's IP packet
		icmp     wire.ICMP
	}{
		{x4, a4, 10, 20 + 8 + 38, wire.ICMP{Type: wire.ICMPv4Unreachable, Code: wire.ICMPv4PortUnreachable}},
		{x4, a4, 1400, 576, wire.ICMP{Type: wire.ICMPv4Unreachable, Code: wire.ICMPv4PortUnreachable}},
		{x6, a6, 10, 40 + 8 + 58, wire.ICMP{Type: wire.ICMPv6Unreachable, Code: wire.ICMPv6PortUnreachable}},
		{x6, a6, 1400, 1280, wire.ICMP{Type: wire.ICMPv6Unreachable, Code: wire.ICMPv6PortUnreachable}},
	} {
		w, h := open(t)
		p := ip(c.from, c.to, wire.ProtoUDP, 64, udpSegment(c.from, c.to, 5, 6, string(make([]byte, c.size))))
		w.in(h, append(frameTo(h, p), make([]byte, 20)...)) // with link padding
		got := h.one()
		require.Len(t, got.packet, c.whole)
		c.icmp.Checksum = got.icmp.Checksum
		require.Equal(t, c.icmp, got.icmp)
		require.Equal(t, p[:len(got.data)], got.data)
		require.Equal(t, [2]netip.Addr{c.to, c.from}, [2]netip.Addr{got.src, got.dst})
		require.Equal(t, 1, h.drops(wire.DropNoSocket))
	}
}

// RFC 1122 3.2.2.1, code 2.
func TestProtocolUnreachable(t *testing.T) {
	w, h := open(t)
	w.in(h, frameTo(h, ip(x4, a4, 132, 64, []byte("whatever"))))
	require.Equal(t, uint8(wire.ICMPv4ProtUnreachable), h.one().icmp.Code)
	require.Equal(t, 1, h.drops(wire.DropUnknownProtocol))
}

// RFC 1122 3.2.2 and RFC 4443 2.4 (e): what no error may answer; 3.2.2.6 for
// echo; and what no reset may answer, RFC 9293 MUST-57 (fault of others: a SYN
// to everybody closes a listener).
func TestForbiddenAnswers(t *testing.T) {
	groups := map[netip.Addr]wire.HardwareAddr{
		bcast4: wire.Broadcast, all4: wire.Broadcast, hosts4: wire.MulticastHardwareAddr(hosts4),
		groupAll: wire.MulticastHardwareAddr(groupAll), groupA6: wire.MulticastHardwareAddr(groupA6),
	}
	for dst, hw := range groups {
		from := x4
		if dst.Is6() {
			from = x6
		}
		for name, p := range map[string][]byte{
			"closed UDP port": ip(from, dst, wire.ProtoUDP, 64, udpSegment(from, dst, 5, 6, "x")),
			"no protocol":     ip(from, dst, 132, 64, []byte("whatever")),
			"SYN":             syn(from, dst, 80),
			"SYN to nobody":   syn(from, dst, 81),
			"ACK":             tcpPacket(from, dst, wire.TCP{SrcPort: 9, DstPort: 80, Flags: wire.ACK}, ""),
		} {
			for _, link := range []wire.HardwareAddr{hw, hwA} { // as it should come, and as it should not
				t.Run(dst.String()+" "+name, func(t *testing.T) {
					w, h := open(t)
					w.in(h, frameVia(link, p))
					require.Empty(t, h.take())
					require.Zero(t, h.c.Stats().Connections)
					require.Zero(t, h.c.Stats().ICMPErrorsOut)
					w.in(h, frameTo(h, syn(x4, a4, 80)))
					require.Equal(t, wire.SYN|wire.ACK, h.one().tcp.Flags, "the listener is as it was")
				})
			}
		}
		if dst.Is4() {
			w, h := open(t)
			w.in(h, frameVia(hw, echoRequest(from, dst, "x")))
			require.Empty(t, h.take())
		}
	}
}

// A SYN whose source is everybody does nothing either.
func TestSynFromGroups(t *testing.T) {
	for _, from := range []netip.Addr{bcast4, all4, hosts4, any4, lo4, a4} {
		w, h := open(t)
		w.in(h, frameTo(h, syn(from, a4, 80)))
		require.Empty(t, h.take())
		require.Zero(t, h.c.Stats().Connections)
		require.Equal(t, 1, h.drops(wire.DropMartianSource))
	}
}

// RFC 1812 4.3.2.8: a limited rate, of which nobody can tell how much is left.
func TestErrorRate(t *testing.T) {
	bursts := map[int]bool{}
	for seed := range byte(10) {
		w, h := open(t, func(c *core.Config, _ *core.InterfaceConfig) {
			c.Limits.ICMPRate, c.Seed[1] = 10, seed
		})
		f := frameTo(h, udp4(x4, a4, 5, 6, "x"))
		flood := func(n int) int {
			for range n {
				w.in(h, f)
			}
			return len(h.take())
		}
		burst := flood(120)
		require.Equal(t, 120-burst, h.drops(wire.DropRateLimited))
		require.InDelta(t, 50, burst, 20)
		bursts[burst] = true
		sum := 0
		for range 100 {
			w.now = w.now.Add(time.Second)
			w.know(h, x4)
			sum += flood(40)
		}
		require.InDelta(t, 1000, sum, 100, "errors in 100 s")
	}
	require.Greater(t, len(bursts), 3)
}

// The queue of answers is bounded, and what does not fit is counted.
func TestOutboxFull(t *testing.T) {
	w, h := open(t, func(c *core.Config, _ *core.InterfaceConfig) { c.Limits.Outbox = 16 })
	f := frameTo(h, echoRequest(x4, a4, "x"))
	for range 100 {
		h.eth.Receive(w.now, phyFrame(f))
	}
	w.run()
	require.Len(t, h.take(), 16)
	require.Equal(t, 84, h.drops(wire.DropQueueFull))
	w.in(h, f)
	require.Len(t, h.take(), 1)
}

// A device that is full loses nothing.
func TestDeviceFull(t *testing.T) {
	w, h := open(t)
	h.full = true
	w.in(h, frameTo(h, echoRequest(x4, a4, "x")), frameTo(h, syn(x4, a4, 80)))
	w.pass(3 * time.Second)
	require.Empty(t, h.take())
	h.full = false
	w.run()
	out := h.take()
	require.Len(t, out, 2)
	require.Equal(t, wire.ProtoICMPv4, parse(t, out[0]).proto)
	require.Equal(t, wire.SYN|wire.ACK, parse(t, out[1]).tcp.Flags)
}

// RFC 1122 4.1.3.6 and 3.2.1.3: broadcasts are sent on request, and received.
func TestBroadcast(t *testing.T) {
	for _, dst := range []netip.Addr{bcast4, all4, hosts4} {
		w, a, b := pair(t)
		in, err := b.c.OpenUDP(w.now, core.UDPOptions{Local: port(9)})
		require.NoError(t, err)
		again, err := b.c.OpenUDP(w.now, core.UDPOptions{Local: netip.AddrPortFrom(any4, 10)})
		require.NoError(t, err)
		out, err := a.c.OpenUDP(w.now, core.UDPOptions{Broadcast: true})
		require.NoError(t, err)
		require.NoError(t, out.WriteTo([]byte("all"), packet.Meta{Remote: netip.AddrPortFrom(dst, 9)}))
		w.run()
		buf := make([]byte, 10)
		n, _, m, err := in.ReadFrom(buf)
		require.NoError(t, err)
		require.Equal(t, "all", string(buf[:n]))
		require.Equal(t, dst, m.Local)
		require.Equal(t, a4, m.Remote.Addr())
		if dst.IsMulticast() {
			require.Equal(t, uint8(1), m.HopLimit) // RFC 1112 6.1
		}
		_, _, _, err = again.ReadFrom(buf)
		require.Error(t, err)
	}
}
