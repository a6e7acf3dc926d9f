package phy

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"smolnet/netstack/siphash"
	"smolnet/netstack/wire"
)

// Where a frame belongs if it is not one stack alone.
const (
	fanoutHere = -1 // wherever it has arrived
	fanoutAll  = -2
)

// fanoutFirst is the stack that answers what is asked of the host.
const fanoutFirst = 0

// route returns who is to receive a frame: the number of a device, fanoutHere
// or fanoutAll. It reads no further than it must: what is wrong with a frame is
// for the stack to find.
func (f *Fanout) route(medium Medium, b []byte) int {
	group := false
	if medium == MediumEthernet {
		h, body, err := wire.ParseEthernet(b)
		if err != nil {
			return fanoutHere
		}
		if h.Type == wire.EtherTypeARP {
			return routeARP(body)
		}
		if h.Type != wire.EtherTypeIPv4 && h.Type != wire.EtherTypeIPv6 {
			return fanoutHere
		}
		b, group = body, h.Dst.IsMulticast()
	}
	if len(b) == 0 {
		return fanoutHere
	}
	switch b[0] >> 4 {
	case 4:
		return f.routeIPv4(b, group)
	case 6:
		return f.routeIPv6(b, group)
	}
	return fanoutHere
}

// routeARP: the first stack answers requests; what tells of others' addresses is
// news for all (RFC 826; announcements are RFC 5227 3).
func routeARP(b []byte) int {
	h, err := wire.ParseARP(b)
	if err != nil {
		return fanoutHere
	}
	if h.Op == wire.ARPRequest && h.SenderIP != h.TargetIP {
		return fanoutFirst
	}
	return fanoutAll
}

// firstGroupIPv4 is the first octet of the lowest multicast address, RFC 1112 4.
// Above those are addresses that are not in use, and the broadcast address.
const firstGroupIPv4 = 224

func (f *Fanout) routeIPv4(b []byte, group bool) int {
	const srcAt, dstAt = 12, 16
	n := ipv4HeaderLen(b)
	switch {
	case n == 0:
		return fanoutHere
	case group || b[dstAt] >= firstGroupIPv4:
		return fanoutFirst
	}
	src, dst := netip.AddrFrom4([4]byte(b[srcAt:])), netip.AddrFrom4([4]byte(b[dstAt:]))
	body := b[n:]
	if ipv4Fragment(b) {
		return f.flow(src, dst, 0, 0)
	}
	switch wire.Protocol(b[9]) {
	case wire.ProtoTCP, wire.ProtoUDP:
		if len(body) < 4 {
			return fanoutHere
		}
		return f.flow(src, dst, binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:]))
	case wire.ProtoICMPv4:
		if len(body) < wire.ICMPLen {
			return fanoutHere
		}
		switch body[0] {
		case wire.ICMPv4Echo, wire.ICMPv4EchoReply:
			return f.EchoOwner(echoID(body))
		case wire.ICMPv4Unreachable, wire.ICMPv4Redirect, wire.ICMPv4TimeExceeded, wire.ICMPv4ParamProblem:
			return f.routeQuote(body[wire.ICMPLen:])
		}
		return fanoutFirst
	}
	return f.flow(src, dst, 0, 0)
}

// ipv4HeaderLen returns the length of the header at the start of b, zero if
// there is none.
func ipv4HeaderLen(b []byte) int {
	n := int(b[0]&0x0f) * 4
	if n < wire.IPv4Len || n > len(b) {
		return 0
	}
	return n
}

// ipv4Fragment reports whether a packet is a part of one: it has an offset, or
// more fragments follow.
func ipv4Fragment(b []byte) bool {
	const moreAndOffset = 0x3fff
	return binary.BigEndian.Uint16(b[6:])&moreAndOffset != 0
}

func echoID(icmp []byte) uint16 { return binary.BigEndian.Uint16(icmp[4:]) }

func (f *Fanout) routeIPv6(b []byte, group bool) int {
	const srcAt, dstAt = 8, 24
	if len(b) < wire.IPv6Len {
		return fanoutHere
	}
	src, dst := netip.AddrFrom16([16]byte(b[srcAt:])), netip.AddrFrom16([16]byte(b[dstAt:]))
	group = group || dst.IsMulticast()
	proto, body := wire.Protocol(b[6]), b[wire.IPv6Len:]
	if proto != wire.ProtoTCP && proto != wire.ProtoUDP && proto != wire.ProtoICMPv6 {
		h, payload, err := wire.ParseIPv6(b)
		if err != nil {
			return fanoutHere
		}
		chain, upper, err := wire.WalkIPv6(&h, payload)
		if err != nil {
			return fanoutHere // and one stack complains
		}
		proto, body = chain.Protocol, upper
	}
	if proto == wire.ProtoICMPv6 {
		return f.routeICMPv6(body, group)
	}
	if group {
		return fanoutFirst
	}
	if proto != wire.ProtoTCP && proto != wire.ProtoUDP { // fragments, too
		return f.flow(src, dst, 0, 0)
	}
	if len(body) < 4 {
		return fanoutHere
	}
	return f.flow(src, dst, binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:]))
}

func (f *Fanout) routeICMPv6(b []byte, group bool) int {
	const informational = 128 // RFC 4443 2.1: types below are errors
	if len(b) < wire.ICMPLen {
		return fanoutHere
	}
	switch typ := b[0]; {
	case typ == wire.ICMPv6RouterAdvert, typ == wire.ICMPv6NeighborAdvert, typ == wire.ICMPv6Redirect:
		return fanoutAll
	case group:
		return fanoutFirst
	case typ == wire.ICMPv6Echo, typ == wire.ICMPv6EchoReply:
		return f.EchoOwner(echoID(b))
	case typ < informational:
		return f.routeQuote(b[wire.ICMPLen:])
	}
	return fanoutFirst
}

// routeQuote returns the owner of the packet that an ICMP error quotes, which
// one of ours has sent. There may be little of it (RFC 792: 8 bytes after its
// header).
func (f *Fanout) routeQuote(b []byte) int {
	if len(b) > 0 && b[0]>>4 == 6 {
		h, body, err := wire.ParseIPv6Quote(b)
		if err != nil {
			return fanoutFirst
		}
		if chain, upper, err := wire.WalkIPv6(&h, body); err == nil {
			h.NextHeader, body = chain.Protocol, upper
		}
		return f.routeQuoted(h.Src, h.Dst, h.NextHeader, body)
	}
	h, body, err := wire.ParseIPv4Quote(b)
	if err != nil {
		return fanoutFirst
	}
	if h.IsFragment() {
		body = nil
	}
	return f.routeQuoted(h.Src, h.Dst, h.Protocol, body)
}

// routeQuoted looks at a quoted packet, whose transport header b starts with.
func (f *Fanout) routeQuoted(src, dst netip.Addr, proto wire.Protocol, b []byte) int {
	switch proto {
	case wire.ProtoTCP, wire.ProtoUDP:
		if len(b) >= 4 {
			return f.flow(src, dst, binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]))
		}
	case wire.ProtoICMPv4, wire.ProtoICMPv6:
		if len(b) >= wire.ICMPLen {
			return f.EchoOwner(echoID(b)) // nobody has errors about others than echoes
		}
	}
	return f.flow(src, dst, 0, 0)
}

// flow returns the owner of what goes between two addresses and, where there are
// any, ports. The ends are put in order first, so that both directions have the
// same.
func (f *Fanout) flow(a, b netip.Addr, aPort, bPort uint16) int {
	if c := a.Compare(b); c > 0 || c == 0 && aPort > bPort {
		a, b, aPort, bPort = b, a, bPort, aPort
	}
	return f.pick(siphash.Sum(&f.key, a, b, aPort, bPort))
}

// pick maps a hash evenly to the devices.
func (f *Fanout) pick(h uint64) int {
	n, _ := bits.Mul64(h, uint64(len(f.queues)))
	return int(n)
}
