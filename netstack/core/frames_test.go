package core_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/wire"
	"smolnet/phy"
)

// Frames made by hand. Builders of upper layers return IP packets; to puts an
// Ethernet header before them.

func ether(dst, src wire.HardwareAddr, typ wire.EtherType, payload []byte) []byte {
	b := make([]byte, wire.EthernetLen, wire.EthernetLen+len(payload))
	h := wire.Ethernet{Dst: dst, Src: src, Type: typ}
	h.Put(b)
	return append(b, payload...)
}

// frameTo wraps an IP packet in a frame from the stranger to the host.
func frameTo(h *host, packet []byte) []byte { return frameVia(h.eth.HardwareAddr(), packet) }

func frameVia(dst wire.HardwareAddr, packet []byte) []byte {
	typ := wire.EtherTypeIPv4
	if packet[0]>>4 == 6 {
		typ = wire.EtherTypeIPv6
	}
	return ether(dst, hwX, typ, packet)
}

// ip makes a packet of either version.
func ip(src, dst netip.Addr, proto wire.Protocol, hop uint8, payload []byte) []byte {
	if src.Is4() {
		h := wire.IPv4{TotalLen: uint16(wire.IPv4Len + len(payload)), TTL: hop, Protocol: proto, Src: src, Dst: dst}
		b := make([]byte, wire.IPv4Len)
		h.Put(b)
		return append(b, payload...)
	}
	h := wire.IPv6{PayloadLen: uint16(len(payload)), NextHeader: proto, HopLimit: hop, Src: src, Dst: dst}
	b := make([]byte, wire.IPv6Len)
	h.Put(b)
	return append(b, payload...)
}

// ip4options makes an IPv4 packet with options.
func ip4options(src, dst netip.Addr, proto wire.Protocol, options, payload []byte) []byte {
	n := wire.IPv4Len + len(options)
	b := make([]byte, n)
	copy(b[wire.IPv4Len:], options)
	h := wire.IPv4{HeaderLen: uint8(n), TotalLen: uint16(n + len(payload)), TTL: 64, Protocol: proto, Src: src, Dst: dst}
	h.Put(b)
	return append(b, payload...)
}

func udpSegment(src, dst netip.Addr, from, to uint16, data string) []byte {
	b := make([]byte, wire.UDPLen, wire.UDPLen+len(data))
	h := wire.UDP{SrcPort: from, DstPort: to, Len: uint16(wire.UDPLen + len(data))}
	h.Put(b)
	b = append(b, data...)
	wire.SetChecksum(src, dst, wire.ProtoUDP, b, wire.UDPChecksumOffset)
	return b
}

func udp4(src, dst netip.Addr, from, to uint16, data string) []byte {
	return ip(src, dst, wire.ProtoUDP, 64, udpSegment(src, dst, from, to, data))
}

// tcpPacket makes a segment in an IP packet.
func tcpPacket(src, dst netip.Addr, h wire.TCP, data string) []byte {
	b := make([]byte, h.HeaderLen())
	h.Put(b)
	b = append(b, data...)
	wire.SetChecksum(src, dst, wire.ProtoTCP, b, wire.TCPChecksumOffset)
	return ip(src, dst, wire.ProtoTCP, 64, b)
}

// icmpPacket makes an ICMP message of the version that the addresses are of.
func icmpPacket(src, dst netip.Addr, hop uint8, m wire.ICMP, body []byte) []byte {
	b := make([]byte, wire.ICMPLen)
	m.Put(b)
	b = append(b, body...)
	return ip(src, dst, sumICMP(src, dst, b), hop, b)
}

// sumICMP completes a message and returns its protocol.
func sumICMP(src, dst netip.Addr, b []byte) wire.Protocol {
	b[2], b[3] = 0, 0
	if src.Is4() {
		s := ^wire.Sum(b, 0)
		b[2], b[3] = byte(s>>8), byte(s)
		return wire.ProtoICMPv4
	}
	wire.SetChecksum(src, dst, wire.ProtoICMPv6, b, wire.ICMPChecksumOffset)
	return wire.ProtoICMPv6
}

// ndp makes a neighbour solicitation or advertisement.
func ndp(src, dst netip.Addr, hop uint8, n wire.Neighbor) []byte {
	b := make([]byte, n.Len())
	n.Put(b)
	return ip(src, dst, sumICMP(src, dst, b), hop, b)
}

func arpFrame(dst wire.HardwareAddr, a wire.ARP) []byte {
	b := make([]byte, wire.ARPLen)
	a.Put(b)
	return ether(dst, a.SenderHW, wire.EtherTypeARP, b)
}

// A sent is a frame of ours, taken apart.
type sent struct {
	eth     wire.Ethernet
	arp     wire.ARP
	src     netip.Addr
	dst     netip.Addr
	hop     uint8
	proto   wire.Protocol
	v4      wire.IPv4
	packet  []byte // the IP packet
	payload []byte
	tcp     wire.TCP
	udp     wire.UDP
	icmp    wire.ICMP
	data    []byte // of the transport
}

// parse takes a frame apart, and demands that its checksums are right.
func parse(t testing.TB, frame []byte) (s sent) {
	t.Helper()
	var err error
	var b []byte
	s.eth, b, err = wire.ParseEthernet(frame)
	require.NoError(t, err)
	s.packet = b
	switch s.eth.Type {
	case wire.EtherTypeARP:
		s.arp, err = wire.ParseARP(b)
		require.NoError(t, err)
		return s
	case wire.EtherTypeIPv4:
		s.v4, s.payload, err = wire.ParseIPv4(b)
		require.NoError(t, err)
		s.src, s.dst, s.hop, s.proto = s.v4.Src, s.v4.Dst, s.v4.TTL, s.v4.Protocol
	default:
		var h wire.IPv6
		h, s.payload, err = wire.ParseIPv6(b)
		require.NoError(t, err)
		s.src, s.dst, s.hop, s.proto = h.Src, h.Dst, h.HopLimit, h.NextHeader
	}
	switch s.proto {
	case wire.ProtoTCP:
		s.data, err = wire.ParseTCP(s.payload, &s.tcp)
	case wire.ProtoUDP:
		s.udp, s.data, err = wire.ParseUDP(s.payload)
	case wire.ProtoICMPv4:
		s.icmp, s.data, err = wire.ParseICMP(s.payload)
		require.Equal(t, uint16(0xffff), wire.Sum(s.payload, 0), "ICMP checksum")
		require.NoError(t, err)
		return s
	case wire.ProtoICMPv6:
		s.icmp, s.data, err = wire.ParseICMP(s.payload)
	}
	require.NoError(t, err)
	require.True(t, wire.VerifyChecksum(s.src, s.dst, s.proto, s.payload), "checksum")
	return s
}

// one demands that the host has sent one frame, and takes it apart.
func (h *host) one() sent {
	h.t.Helper()
	out := h.take()
	require.Len(h.t, out, 1)
	return parse(h.t, out[0])
}

// know makes the host know the link address of others.
func (w *world) know(h *host, addrs ...netip.Addr) {
	w.t.Helper()
	for _, a := range addrs {
		if a.Is4() {
			w.in(h, arpFrame(hwA, wire.ARP{Op: wire.ARPRequest, SenderHW: hwX, SenderIP: a, TargetIP: a4}))
		} else {
			w.in(h, frameTo(h, ndp(a, a6, 255, wire.Neighbor{Type: wire.ICMPv6NeighborSolicit, Target: a6, LinkAddr: hwX, HasLink: true})))
		}
		h.take()
	}
}

func phyFrame(b []byte) phy.Frame { return phy.Frame{Data: b} }
