package core

import (
	"encoding/binary"
	"net/netip"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/wire"
)

// ICMP, RFC 792 and RFC 1122 3.2.2; ICMPv6, RFC 4443. What is received here is
// dispatched; errors received are in icmp_error.go, errors sent in icmp_send.go,
// neighbour discovery in ndp.go.

// receiveICMPv4 takes an ICMP message.
func (c *Core) receiveICMPv4(now clock.Time, in *inbound) wire.Drop {
	if !in.intact && wire.Sum(in.payload, 0) != 0xffff {
		return wire.DropBadChecksum
	}
	h, body, err := wire.ParseICMP(in.payload)
	if err != nil {
		return err.(wire.Drop)
	}
	c.stats.ICMPIn++
	switch h.Type {
	case wire.ICMPv4Echo:
		// RFC 1122 3.2.2.6: an echo request to a broadcast or multicast
		// address "MAY be silently discarded".
		if in.group || in.linkCast || in.src.IsUnspecified() {
			return wire.DropForbiddenReply
		}
		return c.echo(now, in, wire.ICMPv4EchoReply)
	case wire.ICMPv4EchoReply:
		return c.receiveEchoReply(in, &h, body)
	case wire.ICMPv4Unreachable, wire.ICMPv4TimeExceeded, wire.ICMPv4ParamProblem:
		return c.receiveError(now, in, unreachableIPv4(&h), body)
	}
	// RFC 1122 3.2.2: "If an ICMP message of unknown type is received, it
	// MUST be silently discarded." Redirects are not obeyed, source quench is
	// dead (RFC 6633).
	return wire.DropIgnored
}

// receiveICMPv6 takes an ICMPv6 message.
func (c *Core) receiveICMPv6(now clock.Time, in *inbound) wire.Drop {
	if !in.intact && !wire.VerifyChecksum(in.src, in.dst, wire.ProtoICMPv6, in.payload) {
		return wire.DropBadChecksum
	}
	h, body, err := wire.ParseICMP(in.payload)
	if err != nil {
		return err.(wire.Drop)
	}
	c.stats.ICMPIn++
	if in.src.IsUnspecified() && h.Type != wire.ICMPv6NeighborSolicit {
		return wire.DropMartianSource
	}
	switch h.Type {
	case wire.ICMPv6Echo:
		// RFC 4443 4.2: "An Echo Reply SHOULD be sent in response to an Echo
		// Request message sent to an IPv6 multicast or anycast address. In this
		// case, the source address of the reply MUST be a unicast address".
		return c.echo(now, in, wire.ICMPv6EchoReply)
	case wire.ICMPv6EchoReply:
		return c.receiveEchoReply(in, &h, body)
	case wire.ICMPv6Unreachable, wire.ICMPv6PacketTooBig, wire.ICMPv6TimeExceeded, wire.ICMPv6ParamProblem:
		return c.receiveError(now, in, unreachableIPv6(&h), body)
	case wire.ICMPv6NeighborSolicit, wire.ICMPv6NeighborAdvert:
		return in.ifc.receiveNDP(now, in)
	}
	// RFC 4443 2.4 (b): unknown informational messages "MUST be silently
	// discarded"; (a): unknown errors go to a process that we do not have.
	return wire.DropIgnored
}

// echo answers an echo request: the same message with another type.
func (c *Core) echo(now clock.Time, in *inbound, reply uint8) wire.Drop {
	c.stats.EchoRequestsIn++
	if c.cfg.NoEcho {
		return wire.DropIgnored
	}
	h := ipHeader{src: in.dst, dst: in.src, proto: in.proto, tos: in.tos &^ wire.ECNMask}
	k, d := c.answer(in, &h, len(in.payload))
	if d != wire.DropNone {
		return d
	}
	copy(k.body, in.payload)
	k.body[0] = reply
	putICMPChecksum(&h, k.body)
	if d := k.post(); d != wire.DropNone {
		return d
	}
	c.stats.ICMPOut++
	c.stats.EchoRepliesOut++
	return wire.DropNone
}

// answer starts a control packet to the sender of in. If h has a group as
// source, it gets an address of ours instead.
func (c *Core) answer(in *inbound, h *ipHeader, n int) (control, wire.Drop) {
	if in.group {
		h.src = netip.Addr{}
	}
	p, src, e := c.findPath(h.dst, h.src, in.ifc)
	if e != errno.OK {
		return control{}, wire.DropNoRoute
	}
	h.src = src
	return c.control(&p, h, n)
}

// putICMPChecksum completes an ICMP message of either version.
func putICMPChecksum(h *ipHeader, b []byte) {
	if h.proto == wire.ProtoICMPv6 {
		wire.SetChecksum(h.src, h.dst, h.proto, b, wire.ICMPChecksumOffset)
		return
	}
	b[2], b[3] = 0, 0
	binary.BigEndian.PutUint16(b[wire.ICMPChecksumOffset:], ^wire.Sum(b, 0))
}
