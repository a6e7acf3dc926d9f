package core

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
)

// IPv4, RFC 791 and RFC 1122 3.2.1. Invariant: what gets past receiveIPv4 has a
// source that can be a sender, and a destination that is ours.

// The options that would have us forward, RFC 791 3.1.
const (
	ipv4OptEnd         = 0
	ipv4OptNop         = 1
	ipv4OptLooseRoute  = 131
	ipv4OptStrictRoute = 137
)

func (ifc *Interface) receiveIPv4(now clock.Time, b []byte, in *inbound) wire.Drop {
	c := ifc.core
	h, payload, err := wire.ParseIPv4(b)
	if err != nil {
		return err.(wire.Drop)
	}
	if d := ifc.checkIPv4(&h, in); d != wire.DropNone {
		return d
	}
	if h.HeaderLen > wire.IPv4Len {
		if d := checkIPv4Options(b[wire.IPv4Len:h.HeaderLen]); d != wire.DropNone {
			return d
		}
	}
	if h.IsFragment() {
		return wire.DropFragment
	}
	c.stats.IPv4In++
	in.src, in.dst = h.Src, h.Dst
	in.ttl, in.tos, in.proto = h.TTL, h.TOS, h.Protocol
	in.packet, in.payload = b[:h.TotalLen], payload
	switch h.Protocol {
	case wire.ProtoTCP:
		return c.receiveTCP(now, in)
	case wire.ProtoUDP:
		return c.receiveUDP(now, in)
	case wire.ProtoICMPv4:
		return c.receiveICMPv4(now, in)
	case wire.ProtoIGMP:
		return wire.DropIgnored
	}
	// RFC 1122 3.2.2.1: code 2 "when the designated transport protocol is
	// not supported".
	c.sendError(now, in, wire.ICMPv4Unreachable, wire.ICMPv4ProtUnreachable, 0)
	return wire.DropUnknownProtocol
}

// checkIPv4 looks at the addresses, and notes whether the destination is a
// group.
func (ifc *Interface) checkIPv4(h *wire.IPv4, in *inbound) wire.Drop {
	// RFC 9293 MUST-63: a SYN with an invalid source is ignored. So is all else.
	if ifc.isMartian(h.Src) {
		return wire.DropMartianSource
	}
	if h.Src.As4()[0] == 0 {
		// RFC 1122 3.2.1.3 (a), (b): this host on this network, "only during
		// initialization", as in DHCP: to all, by UDP.
		if !h.Src.IsUnspecified() || h.Dst != limitedBcast || h.Protocol != wire.ProtoUDP {
			return wire.DropMartianSource
		}
	}
	if h.Dst.IsUnspecified() || h.Dst.IsLoopback() && !ifc.caps.Loopback {
		return wire.DropMartianDest
	}
	switch ifc.deliveryOf(h.Dst) {
	case notOurs:
		return wire.DropNotForUs
	case toGroup:
		in.group = true
	default:
		// RFC 1122 3.3.6: a host "SHOULD silently discard a datagram that is
		// received via a link-layer broadcast [...] but does not specify an IP
		// multicast or broadcast destination address".
		if in.linkCast {
			return wire.DropNotForUs
		}
	}
	return wire.DropNone
}

// checkIPv4Options refuses what is malformed, and source routes: RFC 1122
// 3.2.1.8 (c) would have us forward them. All else is skipped.
func checkIPv4Options(b []byte) wire.Drop {
	// RFC 9293 MUST-50: options that nobody knows are skipped.
	if err := wire.CheckIPv4Options(b); err != nil {
		return err.(wire.Drop)
	}
	for len(b) > 0 && b[0] != ipv4OptEnd {
		switch b[0] {
		case ipv4OptNop:
			b = b[1:]
		case ipv4OptLooseRoute, ipv4OptStrictRoute:
			return wire.DropBadOption
		default:
			b = b[b[1]:]
		}
	}
	return wire.DropNone
}
