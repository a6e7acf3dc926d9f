package core

import (
	"encoding/binary"

	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

// maxTemplate is the length of the longest headers before a segment.
const maxTemplate = wire.EthernetLen + wire.IPv6Len

// A template is the link and IP header of one connection's segments, which
// differ in their lengths and what follows from those. Segments come in runs, so
// that an interface keeps that of its last sender, and no connection one of its
// own.
//
// Invariant: what it makes is what putLink, putIP and putChecksum would have made.
type template struct {
	of     *TCP // nil: of nobody
	hw     wire.HardwareAddr
	class  uint8
	v6     bool
	n      int    // length of the headers
	pseudo uint32 // sum of the pseudo-header of an empty segment
	header uint32 // IPv4: sum of the header of an empty packet
	b      [maxTemplate]byte
}

// templateOf returns the template of s, whose next hop has the link address hw.
func (ifc *Interface) templateOf(s *TCP, hw wire.HardwareAddr) *template {
	t := &ifc.template
	if t.of != s || t.hw != hw || t.class != s.class {
		ifc.makeTemplate(s, hw)
	}
	return t
}

// makeTemplate is templateOf for another connection than the last one, or one
// that has changed.
func (ifc *Interface) makeTemplate(s *TCP, hw wire.HardwareAddr) {
	id := s.conn.ID()
	h := ipHeader{src: id.Local.Addr(), dst: id.Remote.Addr(), proto: wire.ProtoTCP, atomic: true, flow: s.flow, tos: s.class}
	t := &ifc.template
	*t = template{of: s, hw: hw, class: s.class, v6: h.dst.Is6(), n: ifc.linkLen + ipLen(h.dst)}
	ip := t.b[ifc.linkLen:]
	ifc.core.fillIP(ip, &h, 0)
	ifc.putLink(t.b[:], hw, etherType(ip))
	t.pseudo = uint32(wire.PseudoSum(h.src, h.dst, h.proto, 0))
	if !t.v6 {
		t.header = uint32(^binary.BigEndian.Uint16(ip[ipv4SumAt:]))
	}
}

// forget lets go of a connection that is over.
func (t *template) forget(s *TCP) {
	if t.of == s {
		t.of = nil
	}
}

// Places in IP headers.
const (
	ipv4TotalLenAt = 2
	ipv4SumAt      = 10
	ipv6LenAt      = 4

	ipv4TOSAt      = 1
	ipv6ClassAt    = 1 // the lower four bits of the traffic class,
	ipv6ClassShift = 4 // which are the upper ones of the byte
)

// put writes the headers of a segment of n bytes to b, with a codepoint of RFC 3168
// in a field that has none in the template.
func (t *template) put(ifc *Interface, b []byte, n int, ecn wire.ECN) {
	if t.n == wire.EthernetLen+wire.IPv4Len { // a length that the compiler knows
		*(*[wire.EthernetLen + wire.IPv4Len]byte)(b) = [wire.EthernetLen + wire.IPv4Len]byte(t.b[:])
	} else {
		copy(b, t.b[:t.n])
	}
	ip := b[ifc.linkLen:]
	if t.v6 {
		binary.BigEndian.PutUint16(ip[ipv6LenAt:], uint16(n))
		ip[ipv6ClassAt] |= byte(ecn) << ipv6ClassShift
		ifc.core.stats.IPv6Out++
		return
	}
	binary.BigEndian.PutUint16(ip[ipv4TotalLenAt:], uint16(wire.IPv4Len+n))
	binary.BigEndian.PutUint16(ip[ipv4SumAt:], ^fold32(t.header+uint32(n)+uint32(ecn))) // the TOS is the lower byte of a word
	if ecn != wire.NotECT {
		ip[ipv4TOSAt] |= byte(ecn)
	}
	ifc.core.stats.IPv4Out++
}

// putChecksum completes the segment in b, whose checksum field is zero: either
// with its checksum, or by leaving it to the device (RFC 9293 MUST-2).
func (t *template) putChecksum(ifc *Interface, b []byte, seg *tcp.Segment) phy.Offload {
	sum := fold32(t.pseudo + uint32(len(b)))
	field := b[wire.TCPChecksumOffset:]
	switch {
	case ifc.caps.TxChecksum:
	case seg.Sum&tcp.HasSum != 0:
		binary.BigEndian.PutUint16(field, ^fold32(uint32(sum)+seg.Sum&^tcp.HasSum))
		return phy.Offload{}
	default:
		binary.BigEndian.PutUint16(field, ^wire.Sum(b, sum))
		return phy.Offload{}
	}
	binary.BigEndian.PutUint16(field, sum)
	return phy.Offload{NeedsChecksum: true, ChecksumStart: uint16(t.n), ChecksumOffset: wire.TCPChecksumOffset}
}

// fold32 returns the ones' complement sum of two numbers of 16 bits, whose sum is
// x.
func fold32(x uint32) uint16 { return uint16(x>>16 + x) }
