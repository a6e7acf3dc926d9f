package core

import (
	"math"

	"smolnet/netstack/clock"
	"smolnet/netstack/token"
	"smolnet/netstack/wire"
)

// ICMP errors that we send. Invariant: Limits.ICMPRate a second on average, and
// none that RFC 1122 3.2.2 or RFC 4443 2.4 (e) forbid.

const (
	// RFC 1812 4.3.2.3: as much of the packet "as possible without the length
	// of the ICMP datagram exceeding 576 bytes".
	maxErrorIPv4 = 576
	// RFC 4443 2.4 (c): "as much of the IPv6 offending (invoking) packet as
	// possible without making the error message packet exceed the minimum IPv6
	// MTU".
	maxErrorIPv6 = minIPv6MTU
)

// sendError answers in, which was sent to us alone, with an ICMP error.
func (c *Core) sendError(now clock.Time, in *inbound, typ, code uint8, rest uint32) {
	// RFC 1122 3.2.2: never about "a datagram destined to an IP broadcast or
	// IP multicast address" or "a datagram sent as a link-layer broadcast".
	// RFC 4443 2.4 (e.3), (e.4).
	if in.group || in.linkCast {
		c.drop(wire.DropForbiddenReply)
		return
	}
	c.sendErrorAnyway(now, in, typ, code, rest)
}

// sendProblem answers in with an ICMPv6 parameter problem that an extension
// header asked for. It is the one that RFC 4443 2.4 (e.3) excepts, in some
// cases, from the ban on answers to groups; the walk over the headers has
// looked at that.
func (c *Core) sendProblem(now clock.Time, in *inbound, code uint8, pointer uint32) {
	if code != wire.ICMPv6UnknownOption && (in.group || in.linkCast) {
		c.drop(wire.DropForbiddenReply)
		return
	}
	c.sendErrorAnyway(now, in, wire.ICMPv6ParamProblem, code, pointer)
}

func (c *Core) sendErrorAnyway(now clock.Time, in *inbound, typ, code uint8, rest uint32) {
	// RFC 1122 3.2.2, RFC 4443 2.4 (e.6): never to a source "that does not
	// uniquely identify a single node"; groups are no sources at all. (e.1),
	// (e.2): never about an error or a redirect.
	if in.src.IsUnspecified() || isICMPError(in.packet) {
		c.drop(wire.DropForbiddenReply)
		return
	}
	if !c.errors.TakeN(now, c.price) {
		c.drop(wire.DropRateLimited)
		return
	}
	c.drawPrice()
	h := ipHeader{src: in.dst, dst: in.src, proto: wire.ProtoICMPv4}
	size := maxErrorIPv4
	if in.src.Is6() {
		h.proto, size = wire.ProtoICMPv6, maxErrorIPv6
	}
	size = min(size, in.ifc.mtu)
	quote := in.packet[:min(len(in.packet), size-ipLen(h.dst)-wire.ICMPLen)]
	k, d := c.answer(in, &h, wire.ICMPLen+len(quote))
	if d != wire.DropNone {
		c.drop(d)
		return
	}
	m := wire.ICMP{Type: typ, Code: code, Rest: rest}
	m.Put(k.body)
	copy(k.body[wire.ICMPLen:], quote)
	putICMPChecksum(&h, k.body)
	if d := k.post(); d != wire.DropNone {
		c.drop(d)
		return
	}
	c.stats.ICMPOut++
	c.stats.ICMPErrorsOut++
}

// meanPrice is what an ICMP error costs on average, in tokens.
const meanPrice = 2

// drawPrice decides what the next error costs. A limit that can be counted is a
// meter for everybody: who sends packets with many sources and looks at what is
// left learns which ports are open (CVE-2020-25705). The price is drawn before
// it is asked for, or an empty bucket would prefer low ones.
func (c *Core) drawPrice() { c.price = 1 + c.rand.IntN(2*meanPrice-1) }

// newErrorLimit returns the bucket for a mean rate of errors a second.
func newErrorLimit(rate int) token.Bucket {
	return token.Bucket{Rate: min(rate, math.MaxInt/meanPrice) * meanPrice, Burst: icmpBurst * meanPrice}
}

// maxHeaders is how many extension headers isICMPError looks behind.
const maxHeaders = 8

// isICMPError reports whether an IP packet with a good header is, as far as
// can be seen, an ICMP error or a redirect. Extension headers may be bad: that
// may be just why we look.
func isICMPError(b []byte) bool {
	if b[0]>>4 == 4 {
		hlen := int(b[0]&0x0f) * 4
		if wire.Protocol(b[9]) != wire.ProtoICMPv4 || len(b) <= hlen {
			return false
		}
		switch b[hlen] {
		case wire.ICMPv4Echo, wire.ICMPv4EchoReply:
			return false
		}
		return true // queries of other kinds are not answered either
	}
	proto, b := wire.Protocol(b[6]), b[wire.IPv6Len:]
	for range maxHeaders {
		if proto == wire.ProtoICMPv6 {
			const informational = 128 // RFC 4443 2.1: types below are errors
			return len(b) > 0 && (b[0] < informational || b[0] == wire.ICMPv6Redirect)
		}
		if !isExtension(proto) || len(b) < 8 {
			return false
		}
		n := 8
		if proto != wire.ProtoFragment {
			n += 8 * int(b[1])
		}
		if n > len(b) {
			return false
		}
		proto, b = wire.Protocol(b[0]), b[n:]
	}
	return false
}
