package wire

import (
	"net/netip"
	"strconv"
)

// maxDumpDepth is how many packets within packets Dump looks into: an ICMP
// error's quote, and the quote of a quoted error, which nobody may send.
const maxDumpDepth = 2

// Dump appends a one-line, human reading of a frame, much like tcpdump's,
// without a newline. ethernet says whether b starts with an Ethernet header or
// an IP packet. Dump never fails: where a frame is malformed the line says so,
// with the Drop, and ends. Checksums are verified except in fragments and
// quotes; a transport checksum that was left to a device to complete passes.
// Dump allocates nothing but dst's growth.
func Dump(dst []byte, b []byte, ethernet bool) []byte {
	if !ethernet {
		return dumpIP(dst, b, 0)
	}
	h, payload, err := ParseEthernet(b)
	if err != nil {
		return dumpMalformed(append(dst, "Ethernet"...), err)
	}
	dst = h.Src.AppendTo(dst)
	dst = append(dst, " > "...)
	dst = h.Dst.AppendTo(dst)
	dst = append(dst, "  "...)
	switch h.Type {
	case EtherTypeIPv4:
		return dumpIPv4(dst, payload, 0)
	case EtherTypeIPv6:
		return dumpIPv6(dst, payload, 0)
	case EtherTypeARP:
		return dumpARP(dst, payload)
	}
	dst = append(dst, "type 0x"...)
	dst = strconv.AppendUint(dst, uint64(h.Type), 16)
	return dumpField(dst, " len ", uint64(len(payload)))
}

// dumpMalformed ends a line whose last words say where.
func dumpMalformed(dst []byte, err error) []byte {
	d, _ := err.(Drop) // as all errors here
	return append(append(dst, " malformed: "...), d.String()...)
}

func dumpField(dst []byte, name string, v uint64) []byte {
	return strconv.AppendUint(append(dst, name...), v, 10)
}

func dumpHexField(dst []byte, name string, v uint64) []byte {
	return strconv.AppendUint(append(append(dst, name...), "0x"...), v, 16)
}

// dumpPair appends "src > dst".
func dumpPair(dst []byte, from, to netip.Addr) []byte {
	dst = from.AppendTo(dst)
	dst = append(dst, " > "...)
	return to.AppendTo(dst)
}

func dumpARP(dst, b []byte) []byte {
	dst = append(dst, "ARP"...)
	h, err := ParseARP(b)
	if err != nil {
		return dumpMalformed(dst, err)
	}
	switch h.Op {
	case ARPRequest:
		dst = h.TargetIP.AppendTo(append(dst, " request who-has "...))
		dst = h.SenderIP.AppendTo(append(dst, " tell "...))
		dst = h.SenderHW.AppendTo(append(dst, " at "...))
	case ARPReply:
		dst = h.SenderIP.AppendTo(append(dst, " reply "...))
		dst = h.SenderHW.AppendTo(append(dst, " is-at "...))
		dst = h.TargetIP.AppendTo(append(dst, " to "...))
	default:
		dst = dumpField(dst, " op ", uint64(h.Op))
	}
	return dst
}

// dumpIP reads the packet in b by its version. A depth above zero is a quote.
func dumpIP(dst, b []byte, depth int) []byte {
	switch {
	case len(b) == 0:
		return dumpMalformed(append(dst, "IP"...), DropTruncated)
	case b[0]>>4 == 4:
		return dumpIPv4(dst, b, depth)
	case b[0]>>4 == 6:
		return dumpIPv6(dst, b, depth)
	}
	return dumpMalformed(append(dst, "IP"...), DropBadVersion)
}

func dumpIPv4(dst, b []byte, depth int) []byte {
	dst = append(dst, "IPv4 "...)
	h, payload, quoteErr := ParseIPv4Quote(b)
	if quoteErr != nil {
		return dumpMalformed(dst[:len(dst)-1], quoteErr)
	}
	dst = dumpPair(dst, h.Src, h.Dst)
	dst = dumpField(dst, " ttl ", uint64(h.TTL))
	if h.TOS != 0 {
		dst = dumpHexField(dst, " tos ", uint64(h.TOS))
	}
	if h.DontFrag {
		dst = append(dst, " DF"...)
	}
	if n := h.HeaderLen - IPv4Len; n > 0 {
		dst = dumpField(dst, " options ", uint64(n))
		if err := CheckIPv4Options(b[IPv4Len:h.HeaderLen]); err != nil {
			return dumpMalformed(dst, err)
		}
	}
	if h.IsFragment() {
		dst = dumpFragment(dst, uint32(h.ID), h.FragOff, h.MoreFrags)
	}
	if depth == 0 {
		if _, _, err := ParseIPv4(b); err != nil {
			return dumpMalformed(dst, err)
		}
	}
	u := upperDump{src: h.Src, dst: h.Dst, depth: depth, partial: depth > 0 || h.IsFragment()}
	return u.dump(dst, h.Protocol, payload, h.FragOff == 0)
}

func dumpFragment(dst []byte, id uint32, off uint16, more bool) []byte {
	dst = dumpHexField(dst, " frag ", uint64(id))
	dst = dumpField(dst, " at ", uint64(off))
	if more {
		dst = append(dst, '+')
	}
	return dst
}

func dumpIPv6(dst, b []byte, depth int) []byte {
	dst = append(dst, "IPv6 "...)
	h, payload, err := ParseIPv6Quote(b)
	if err != nil {
		return dumpMalformed(dst[:len(dst)-1], err)
	}
	dst = dumpPair(dst, h.Src, h.Dst)
	dst = dumpField(dst, " hlim ", uint64(h.HopLimit))
	if h.TrafficClass != 0 {
		dst = dumpHexField(dst, " class ", uint64(h.TrafficClass))
	}
	if h.FlowLabel != 0 {
		dst = dumpHexField(dst, " flow ", uint64(h.FlowLabel))
	}
	if depth == 0 && len(payload) < int(h.PayloadLen) {
		return dumpMalformed(dst, DropTruncated)
	}
	c, upper, err := WalkIPv6(&h, payload)
	if n := c.HeaderAt - IPv6Len; n > 0 {
		dst = dumpField(dst, " headers ", uint64(n))
	}
	if c.HasRouterAlert {
		dst = dumpField(dst, " router-alert ", uint64(c.RouterAlert))
	}
	if err != nil {
		dst = append(dst, "  "...)
		dst = dumpProtocol(dst, c.Protocol)
		return dumpMalformed(dst, err)
	}
	u := upperDump{src: h.Src, dst: h.Dst, depth: depth, partial: depth > 0 || c.IsFragment()}
	if !c.IsFragment() {
		return u.dump(dst, c.Protocol, upper, true)
	}
	f := &c.Fragment
	dst = dumpFragment(dst, f.ID, f.FragOff, f.MoreFrags)
	return u.dump(dst, f.NextHeader, upper, f.FragOff == 0)
}

func dumpProtocol(dst []byte, p Protocol) []byte {
	if name := p.name(); name != "" {
		return append(dst, name...)
	}
	return dumpField(dst, "proto ", uint64(p))
}
