package core

import (
	"net/netip"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// ICMP errors that we receive. Read first: RFC 1122 3.2.2, RFC 4443 3, RFC 5927
// (what attackers do with them), RFC 1191 and RFC 8201 (path MTU). Invariant: an
// error touches a socket only if it quotes a packet that the socket can have
// sent, and a connection only if that packet is still in flight.

// minIPv4PathMTU is the least path MTU that an ICMP message can make us
// believe: the smallest of real links in RFC 1191 7.1. Less would only serve to
// make us send tiny segments (RFC 5927 7).
const minIPv4PathMTU = 296

// An unreachable is what an ICMP error says.
type unreachable struct {
	err     errno.Errno // OK: nothing to be told
	hard    bool        // it will not get better by itself: users of UDP are told
	mtu     int         // with tooBig: of the next link; zero: an old router that does not say
	tooBig  bool
	noReply bool // our own finding: the neighbour does not answer
	noRoute bool // a router knows no way, RFC 6069 4
}

// unreachableNeighbor is what becomes of packets whose neighbour does not
// answer.
var unreachableNeighbor = unreachable{err: errno.HostUnreach, noReply: true}

// codesIPv4 are the codes of an ICMPv4 destination unreachable, RFC 1122
// 3.2.2.1 and RFC 1812 5.2.7.1.
var codesIPv4 = [16]errno.Errno{
	0: errno.NetUnreach, 1: errno.HostUnreach, 2: errno.ProtoNoSupport, 3: errno.ConnRefused,
	4: errno.OK, 5: errno.HostUnreach, 6: errno.NetUnreach, 7: errno.HostUnreach,
	8: errno.HostUnreach, 9: errno.NetUnreach, 10: errno.HostUnreach, 11: errno.NetUnreach,
	12: errno.HostUnreach, 13: errno.HostUnreach, 14: errno.HostUnreach, 15: errno.HostUnreach,
}

// hardIPv4 and hardIPv6 are the codes, one bit each, that end all hope in Linux's
// eyes: the host is there and the port or protocol is not, what was asked for is
// unknown, or somebody forbids it (a firewall, as a rule). Routes come back, and
// types of service do not concern us.
const (
	hardIPv4 = 1<<2 | 1<<3 | 1<<6 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<13 | 1<<14 | 1<<15
	hardIPv6 = 1<<1 | 1<<4 | 1<<5 | 1<<6
)

// codeHostIPv4 is "host unreachable": that and 0, the network, are of routes.
const codeHostIPv4 = 1

// codesIPv6 are the codes of an ICMPv6 destination unreachable, RFC 4443 3.1.
var codesIPv6 = [8]errno.Errno{
	0: errno.NetUnreach, 1: errno.Acces, 2: errno.HostUnreach, 3: errno.HostUnreach,
	4: errno.ConnRefused, 5: errno.Acces, 6: errno.Acces, 7: errno.HostUnreach,
}

// unreachableIPv4 reads an ICMPv4 error's header.
func unreachableIPv4(h *wire.ICMP) unreachable {
	switch h.Type {
	case wire.ICMPv4Unreachable:
		if h.Code == wire.ICMPv4FragNeeded {
			return unreachable{tooBig: true, mtu: int(h.Rest & 0xffff)}
		}
		if int(h.Code) < len(codesIPv4) {
			return unreachable{err: codesIPv4[h.Code], hard: hardIPv4>>h.Code&1 != 0, noRoute: h.Code <= codeHostIPv4}
		}
	case wire.ICMPv4TimeExceeded:
		return unreachable{err: errno.HostUnreach}
	}
	return unreachable{}
}

// unreachableIPv6 reads an ICMPv6 error's header.
func unreachableIPv6(h *wire.ICMP) unreachable {
	switch h.Type {
	case wire.ICMPv6Unreachable:
		if int(h.Code) < len(codesIPv6) {
			return unreachable{err: codesIPv6[h.Code], hard: hardIPv6>>h.Code&1 != 0, noRoute: h.Code == 0}
		}
	case wire.ICMPv6PacketTooBig:
		return unreachable{tooBig: true, mtu: int(h.Rest)}
	case wire.ICMPv6TimeExceeded:
		return unreachable{err: errno.HostUnreach}
	case wire.ICMPv6ParamProblem:
		if h.Code == wire.ICMPv6UnknownNextHeader {
			return unreachable{err: errno.ProtoNoSupport, hard: true}
		}
	}
	return unreachable{}
}

// A quote is a packet of ours that an error is about.
type quote struct {
	src, dst netip.Addr
	proto    wire.Protocol
	size     int    // of the whole packet, bytes
	body     []byte // of the transport header on, what there is of it
}

// parseQuote reads the packet at the start of b, as far as it goes.
func parseQuote(b []byte) (q quote, ok bool) {
	if len(b) > 0 && b[0]>>4 == 6 {
		h, body, err := wire.ParseIPv6Quote(b)
		if err != nil {
			return q, false
		}
		q = quote{h.Src, h.Dst, h.NextHeader, wire.IPv6Len + int(h.PayloadLen), body}
		if isExtension(h.NextHeader) {
			chain, upper, err := wire.WalkIPv6(&h, body)
			if err != nil || chain.IsFragment() {
				return q, false
			}
			q.proto, q.body = chain.Protocol, upper
		}
		return q, true
	}
	h, body, err := wire.ParseIPv4Quote(b)
	if err != nil || h.FragOff != 0 { // only the first fragment has the ports
		return q, false
	}
	return quote{h.Src, h.Dst, h.Protocol, int(h.TotalLen), body}, true
}

// receiveError finds whom an ICMP error concerns.
func (c *Core) receiveError(now clock.Time, in *inbound, u unreachable, body []byte) wire.Drop {
	c.stats.ICMPErrorsIn++
	if u == (unreachable{}) {
		return wire.DropIgnored
	}
	q, ok := parseQuote(body)
	if !ok {
		return wire.DropTruncated
	}
	// The quoted packet was sent by the address that now hears of it, in the
	// same IP version, and to one receiver.
	if in.group || q.src != in.dst || q.dst.IsMulticast() || q.dst.IsUnspecified() {
		return wire.DropBadHeader
	}
	return c.deliverError(now, &q, u)
}

// deliverError tells the socket that sent the quoted packet.
func (c *Core) deliverError(now clock.Time, q *quote, u unreachable) wire.Drop {
	switch q.proto {
	case wire.ProtoTCP:
		if u.noReply {
			return wire.DropNone // connections wait for their neighbours themselves
		}
		return c.deliverTCPError(now, q, u)
	case wire.ProtoUDP:
		src, dst, _, err := wire.QuotedPorts(q.body)
		if err != nil {
			return err.(wire.Drop)
		}
		return c.deliverUDPError(netip.AddrPortFrom(q.src, src), netip.AddrPortFrom(q.dst, dst), u)
	case wire.ProtoICMPv4, wire.ProtoICMPv6:
		h, _, err := wire.ParseICMP(q.body)
		if err != nil {
			return err.(wire.Drop)
		}
		return c.deliverEchoError(q, &h, u)
	}
	return wire.DropUnknownProtocol
}

// deliverTCPError passes an error to the connection that it is about.
func (c *Core) deliverTCPError(now clock.Time, q *quote, u unreachable) wire.Drop {
	src, dst, seq, err := wire.QuotedPorts(q.body)
	if err != nil {
		return err.(wire.Drop)
	}
	k := keyOf(q.src, q.dst, src, dst)
	s := c.tcp.conns.find(&k)
	if s == nil {
		return wire.DropNoConn
	}
	// RFC 5927 4.1: "TCP SHOULD check that the TCP sequence number contained in
	// the payload of the ICMP error message is within the range SND.UNA =<
	// SEG.SEQ < SND.NXT".
	if !s.conn.InFlight(tcp.Seq(seq)) {
		return wire.DropOutOfWindow
	}
	if u.tooBig {
		return s.lowerMTU(now, q, u.mtu)
	}
	s.conn.Unreachable(now, u.err)
	if u.noRoute {
		s.conn.NoRoute(now, tcp.Seq(seq))
	}
	s.collect(now)
	s.enqueue()
	return wire.DropNone
}

// lowerMTU believes a router that a segment was too big.
func (s *TCP) lowerMTU(now clock.Time, q *quote, mtu int) wire.Drop {
	if q.dst.Is4() {
		if mtu == 0 {
			mtu = plateau(q.size)
		}
		mtu = max(mtu, minIPv4PathMTU)
	} else if mtu < minIPv6MTU {
		// RFC 8201 4: "A node MUST NOT reduce its estimate of the Path MTU below
		// the IPv6 minimum link MTU" and discards such a message.
		return wire.DropBadHeader
	}
	// Only a packet that was larger can have been refused, and only less than
	// what we use is news. RFC 8201 4: a node "MUST NOT increase its estimate
	// [...] in response to the contents of a Packet Too Big message."
	if mtu >= q.size || mtu >= int(s.path.mtu) {
		return wire.DropIgnored
	}
	before := s.conn.Info().PathMTU
	s.conn.LimitMTU(now, mtu-ipLen(q.dst), 0)
	if s.conn.Info().PathMTU < before {
		s.core.pathMTUs.learn(now, q.dst, mtu)
	}
	s.collect(now)
	s.enqueue()
	return wire.DropNone
}

// plateau returns the next smaller MTU that links have than size: RFC 1191 5,
// table 7-1.
func plateau(size int) int {
	for _, mtu := range [...]int{32000, 17914, 8166, 4352, 2002, 1492, 1006, 508} {
		if mtu < size {
			return mtu
		}
	}
	return minIPv4PathMTU
}
