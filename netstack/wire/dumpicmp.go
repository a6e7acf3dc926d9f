package wire

import (
	"encoding/binary"
	"net/netip"
)

// Names of the codes of some types, by code; "" is not named.
var (
	dumpUnreachable4 = []string{"net", "host", "protocol", "port", "frag needed", "source route"}
	dumpUnreachable6 = []string{"no route", "prohibited", "beyond scope", "address", "port"}
	dumpExceeded     = []string{"in transit", "in reassembly"}
	dumpProblem6     = []string{"header", "next header", "option", "incomplete first fragment"}
)

// dumpCode appends the type's name and the code's, or its number.
func dumpCode(dst []byte, typ string, codes []string, code uint8) []byte {
	dst = append(append(dst, typ...), ": "...)
	if int(code) < len(codes) {
		return append(dst, codes[code]...)
	}
	return dumpField(dst, "code ", uint64(code))
}

// quote appends, in parentheses, the packet that an error quotes.
func (u *upperDump) quote(dst, b []byte) []byte {
	if u.depth >= maxDumpDepth {
		return append(dst, "  (...)"...)
	}
	dst = dumpIP(append(dst, "  ("...), b, u.depth+1)
	return append(dst, ')')
}

func dumpEcho(dst []byte, name string, h *ICMP, payload []byte) []byte {
	id, seq := h.Echo()
	dst = dumpField(append(dst, name...), " id ", uint64(id))
	dst = dumpField(dst, " seq ", uint64(seq))
	return dumpField(dst, " len ", uint64(len(payload)))
}

func dumpType(dst []byte, h *ICMP, payload []byte) []byte {
	dst = dumpField(dst, "type ", uint64(h.Type))
	dst = dumpField(dst, " code ", uint64(h.Code))
	return dumpField(dst, " len ", uint64(len(payload)))
}

func (u *upperDump) icmpv4(dst, b []byte) []byte {
	dst = append(dst, "ICMP"...)
	h, payload, err := ParseICMP(b)
	if err != nil {
		return dumpMalformed(dst, err)
	}
	if !u.partial && Sum(b, 0) != 0xffff {
		dst = append(dst, " bad-checksum"...)
	}
	dst = append(dst, ' ')
	switch h.Type {
	case ICMPv4Echo:
		return dumpEcho(dst, "echo", &h, payload)
	case ICMPv4EchoReply:
		return dumpEcho(dst, "echo reply", &h, payload)
	case ICMPv4Unreachable:
		dst = dumpCode(dst, "unreachable", dumpUnreachable4, h.Code)
		if h.Code == ICMPv4FragNeeded {
			dst = dumpField(dst, " mtu ", uint64(h.Rest&0xffff)) // RFC 1191 4
		}
	case ICMPv4TimeExceeded:
		dst = dumpCode(dst, "time exceeded", dumpExceeded, h.Code)
	case ICMPv4ParamProblem:
		dst = dumpCode(dst, "parameter problem", nil, h.Code)
		dst = dumpField(dst, " at ", uint64(h.Rest>>24))
	case ICMPv4Redirect:
		dst = dumpCode(dst, "redirect", nil, h.Code)
		var gateway [4]byte
		binary.BigEndian.PutUint32(gateway[:], h.Rest)
		dst = netip.AddrFrom4(gateway).AppendTo(append(dst, " to "...))
	default:
		return dumpType(dst, &h, payload)
	}
	return u.quote(dst, payload)
}

func (u *upperDump) icmpv6(dst, b []byte) []byte {
	dst = append(dst, "ICMPv6"...)
	h, payload, err := ParseICMP(b)
	if err != nil {
		return dumpMalformed(dst, err)
	}
	dst = u.checksum(dst, ProtoICMPv6, b, ICMPChecksumOffset)
	dst = append(dst, ' ')
	switch h.Type {
	case ICMPv6Echo:
		return dumpEcho(dst, "echo", &h, payload)
	case ICMPv6EchoReply:
		return dumpEcho(dst, "echo reply", &h, payload)
	case ICMPv6RouterSolicit:
		return dumpField(dst, "router solicitation len ", uint64(len(payload)))
	case ICMPv6RouterAdvert:
		return dumpField(dst, "router advertisement len ", uint64(len(payload)))
	case ICMPv6Redirect:
		return dumpField(dst, "redirect len ", uint64(len(payload)))
	case ICMPv6NeighborSolicit, ICMPv6NeighborAdvert:
		return u.neighbor(dst, b)
	case ICMPv6Unreachable:
		dst = dumpCode(dst, "unreachable", dumpUnreachable6, h.Code)
	case ICMPv6PacketTooBig:
		dst = dumpField(dst, "packet too big mtu ", uint64(h.Rest))
	case ICMPv6TimeExceeded:
		dst = dumpCode(dst, "time exceeded", dumpExceeded, h.Code)
	case ICMPv6ParamProblem:
		dst = dumpCode(dst, "parameter problem", dumpProblem6, h.Code)
		dst = dumpField(dst, " at ", uint64(h.Rest))
	default:
		return dumpType(dst, &h, payload)
	}
	return u.quote(dst, payload)
}

func (u *upperDump) neighbor(dst, b []byte) []byte {
	name := "neighbour solicitation"
	if b[0] == ICMPv6NeighborAdvert {
		name = "neighbour advertisement"
	}
	dst = append(dst, name...)
	if u.partial {
		return dst
	}
	h, err := ParseNeighbor(b)
	if err != nil {
		return dumpMalformed(dst, err)
	}
	if h.Type == ICMPv6NeighborSolicit {
		dst = h.Target.AppendTo(append(dst, " who-has "...))
		if h.HasLink {
			dst = h.LinkAddr.AppendTo(append(dst, " tell "...))
		}
		return dst
	}
	dst = h.Target.AppendTo(append(dst, ' '))
	if h.HasLink {
		dst = h.LinkAddr.AppendTo(append(dst, " is-at "...))
	}
	for _, f := range [3]struct {
		on   bool
		name string
	}{{h.Router, " router"}, {h.Solicited, " solicited"}, {h.Override, " override"}} {
		if f.on {
			dst = append(dst, f.name...)
		}
	}
	return dst
}
