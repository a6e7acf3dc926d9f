package core

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
)

// IPv6, RFC 8200 and RFC 4291. Invariant: as for IPv4; and no address that has
// an IPv4 one inside gets past, since sockets of both families share tables.

func (ifc *Interface) receiveIPv6(now clock.Time, b []byte, in *inbound) wire.Drop {
	c := ifc.core
	h, payload, err := wire.ParseIPv6(b)
	if err != nil {
		return err.(wire.Drop)
	}
	if d := ifc.checkIPv6(&h, in); d != wire.DropNone {
		return d
	}
	c.stats.IPv6In++
	in.src, in.dst = h.Src, h.Dst
	in.ttl, in.tos = h.HopLimit, h.TrafficClass
	in.packet = b[:wire.IPv6Len+int(h.PayloadLen)]
	in.proto, in.payload = h.NextHeader, payload
	var at uint16 = 6 // the place of the Next Header field
	if isExtension(h.NextHeader) {
		chain, upper, err := wire.WalkIPv6(&h, payload)
		if err != nil {
			if chain.Report {
				c.sendProblem(now, in, chain.Code, chain.Pointer)
			}
			return err.(wire.Drop)
		}
		if chain.IsFragment() {
			return wire.DropFragment
		}
		in.proto, in.payload, at = chain.Protocol, upper, chain.ProtocolAt
	}
	// RFC 4291 2.5.2: the unspecified address is that of a node that does not
	// have one yet, and so it asks with it, and no more.
	if h.Src.IsUnspecified() && in.proto != wire.ProtoICMPv6 {
		return wire.DropMartianSource
	}
	switch in.proto {
	case wire.ProtoTCP:
		return c.receiveTCP(now, in)
	case wire.ProtoUDP:
		return c.receiveUDP(now, in)
	case wire.ProtoICMPv6:
		return c.receiveICMPv6(now, in)
	case wire.ProtoNoNext:
		return wire.DropIgnored
	}
	// RFC 8200 4: unrecognized: "send an ICMP Parameter Problem message to
	// the source of the packet, with an ICMP Code value of 1".
	c.sendError(now, in, wire.ICMPv6ParamProblem, wire.ICMPv6UnknownNextHeader, uint32(at))
	return wire.DropUnknownProtocol
}

// isExtension reports whether p is an extension header that is walked over.
func isExtension(p wire.Protocol) bool {
	switch p {
	case wire.ProtoHopByHop, wire.ProtoRouting, wire.ProtoFragment, wire.ProtoDestOpts:
		return true
	}
	return false
}

// checkIPv6 looks at the addresses, and notes whether the destination is a
// group.
func (ifc *Interface) checkIPv6(h *wire.IPv6, in *inbound) wire.Drop {
	if ifc.isMartian(h.Src) {
		return wire.DropMartianSource
	}
	if h.Dst.IsUnspecified() || h.Dst.Is4In6() || h.Dst.IsLoopback() && !ifc.caps.Loopback {
		return wire.DropMartianDest
	}
	// RFC 4291 2.7: scope 0 must not be used, and scope 1 spans one interface.
	if h.Dst.IsMulticast() && !ifc.caps.Loopback && h.Dst.As16()[1]&0x0f <= 1 {
		return wire.DropMartianDest
	}
	switch ifc.deliveryOf(h.Dst) {
	case notOurs:
		return wire.DropNotForUs
	case toGroup:
		in.group = true
	}
	return wire.DropNone
}
