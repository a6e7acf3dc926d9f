package netsim

import (
	"net/netip"

	"smolnet/netstack/wire"
)

// What routers say of packets that they cannot pass on: RFC 1191 4, RFC 4443 3.2.

const (
	quoteIPv4 = 28   // bytes of the packet at fault in an ICMPv4 error: its header and eight bytes (RFC 792)
	quoteIPv6 = 1232 // in an ICMPv6 error: as much as fits 1280 bytes (RFC 4443 2.4 (c))
	icmpTTL   = 64
)

// Where errors come from that belong to a link between hosts.
func linkAddr4() netip.Addr { return netip.AddrFrom4([4]byte{198, 18, 255, 254}) }
func linkAddr6() netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 4: 0xff, 5: 0xff, 15: 1})
}

// tooBig tells the sender of p that the link takes less.
func (l *Link) tooBig(p *packet) {
	e := l.sim.take()
	switch b := p.data(); {
	case isIPv4(b):
		l.tooBig4(e, b)
	case isIPv6(b):
		l.tooBig6(e, b)
	}
	if e.n == 0 {
		l.sim.give(e)
		return
	}
	l.from.reject(e, l)
}

// tooBig4 writes the error about b to e.
func (l *Link) tooBig4(e *packet, b []byte) {
	h, body, err := wire.ParseIPv4(b)
	if err != nil || h.Protocol == wire.ProtoICMPv4 && (len(body) == 0 || body[0] != wire.ICMPv4Echo) {
		return // RFC 1122 3.2.2: no error about an error
	}
	n := wire.ICMPLen + min(quoteIPv4, len(b))
	ip := wire.IPv4{
		TotalLen: uint16(wire.IPv4Len + n), DontFrag: true, TTL: icmpTTL, Protocol: wire.ProtoICMPv4, Src: linkAddr4(), Dst: h.Src,
	}
	ip.Put(e.buf)
	icmp := wire.ICMP{Type: wire.ICMPv4Unreachable, Code: wire.ICMPv4FragNeeded, Rest: uint32(l.path.MTU)}
	msg := e.buf[wire.IPv4Len : wire.IPv4Len+n]
	icmp.Put(msg)
	copy(msg[wire.ICMPLen:], b)
	sum := ^wire.Sum(msg, 0)
	msg[wire.ICMPChecksumOffset], msg[wire.ICMPChecksumOffset+1] = byte(sum>>8), byte(sum)
	e.n = wire.IPv4Len + n
}

// tooBig6 writes the error about b to e.
func (l *Link) tooBig6(e *packet, b []byte) {
	h, body, err := wire.ParseIPv6(b)
	if err != nil || h.NextHeader == wire.ProtoICMPv6 && (len(body) == 0 || body[0] < 128) {
		return // RFC 4443 2.4 (e.1): the same
	}
	n := wire.ICMPLen + min(quoteIPv6, len(b), len(e.buf)-wire.IPv6Len-wire.ICMPLen)
	ip := wire.IPv6{PayloadLen: uint16(n), NextHeader: wire.ProtoICMPv6, HopLimit: icmpTTL, Src: linkAddr6(), Dst: h.Src}
	ip.Put(e.buf)
	icmp := wire.ICMP{Type: wire.ICMPv6PacketTooBig, Rest: uint32(l.path.MTU)}
	msg := e.buf[wire.IPv6Len : wire.IPv6Len+n]
	icmp.Put(msg)
	copy(msg[wire.ICMPLen:], b)
	wire.SetChecksum(ip.Src, ip.Dst, ip.NextHeader, msg, wire.ICMPChecksumOffset)
	e.n = wire.IPv6Len + n
}
