package wire

import (
	"encoding/binary"
	"net/netip"
)

// An upperDump reads what an IP packet carries.
type upperDump struct {
	src, dst netip.Addr
	depth    int
	partial  bool // a quote or a fragment: not all of it is there
}

// dump reads the payload b, or only its length if it does not start with a
// header.
func (u *upperDump) dump(dst []byte, p Protocol, b []byte, header bool) []byte {
	dst = append(dst, "  "...)
	if header {
		switch p {
		case ProtoTCP:
			return u.tcp(dst, b)
		case ProtoUDP:
			return u.udp(dst, b)
		case ProtoICMPv4:
			return u.icmpv4(dst, b)
		case ProtoICMPv6:
			return u.icmpv6(dst, b)
		}
	}
	dst = dumpProtocol(dst, p)
	return dumpField(dst, " len ", uint64(len(b)))
}

// checksum appends a word if the checksum of b, at off, is wrong. A device
// that completes checksums is handed frames with the pseudo-header's sum
// there.
func (u *upperDump) checksum(dst []byte, p Protocol, b []byte, off int) []byte {
	field := binary.BigEndian.Uint16(b[off : off+2])
	if u.partial || VerifyChecksum(u.src, u.dst, p, b) ||
		field == PseudoSum(u.src, u.dst, p, len(b)) {
		return dst
	}
	return append(dst, " bad-checksum"...)
}

func (u *upperDump) udp(dst, b []byte) []byte {
	dst = append(dst, "UDP"...)
	if u.partial {
		src, to, _, err := QuotedPorts(b)
		if err != nil {
			return dumpMalformed(dst, err)
		}
		return dumpPorts(dst, src, to)
	}
	h, payload, err := ParseUDP(b)
	if err != nil {
		return dumpMalformed(dst, err)
	}
	dst = dumpPorts(dst, h.SrcPort, h.DstPort)
	if h.Checksum != 0 || u.src.Is6() { // RFC 8200 8.1: over IPv6 it must be there
		dst = u.checksum(dst, ProtoUDP, b[:h.Len], UDPChecksumOffset)
	}
	return dumpField(dst, " len ", uint64(len(payload)))
}

func dumpPorts(dst []byte, src, to uint16) []byte {
	return dumpField(dumpField(dst, " ", uint64(src)), " > ", uint64(to))
}

func (u *upperDump) tcp(dst, b []byte) []byte {
	dst = append(dst, "TCP"...)
	if u.partial {
		src, to, seq, err := QuotedPorts(b)
		if err != nil {
			return dumpMalformed(dst, err)
		}
		return dumpField(dumpPorts(dst, src, to), " seq ", uint64(seq))
	}
	var h TCP
	payload, err := ParseTCP(b, &h)
	if err == DropTruncated {
		return dumpMalformed(dst, err)
	}
	dst = dumpPorts(dst, h.SrcPort, h.DstPort)
	dst = append(h.Flags.AppendTo(append(dst, " ["...)), ']')
	if err != nil {
		return dumpMalformed(dst, err)
	}
	dst = u.checksum(dst, ProtoTCP, b, TCPChecksumOffset)
	dst = dumpField(dst, " seq ", uint64(h.Seq))
	if h.Flags&ACK != 0 {
		dst = dumpField(dst, " ack ", uint64(h.Ack))
	}
	dst = dumpField(dst, " win ", uint64(h.Window))
	if h.Flags&URG != 0 {
		dst = dumpField(dst, " urg ", uint64(h.Urgent))
	}
	dst = dumpTCPOptions(dst, b[TCPLen:len(b)-len(payload)])
	return dumpField(dst, " len ", uint64(len(payload)))
}

// dumpTCPOptions reads options, in their order, that ParseTCP has passed.
func dumpTCPOptions(dst, b []byte) []byte {
	sep := " <"
	for len(b) > 0 && b[0] != tcpOptEnd {
		dst = append(dst, sep...)
		sep = ","
		if b[0] == tcpOptNop {
			dst = append(dst, "nop"...)
			b = b[1:]
			continue
		}
		dst = dumpTCPOption(dst, b[0], b[2:b[1]])
		b = b[b[1]:]
	}
	if sep == "," {
		dst = append(dst, '>')
	}
	return dst
}

// dumpTCPOption reads the data d of an option, of a length that may be wrong.
func dumpTCPOption(dst []byte, kind uint8, d []byte) []byte {
	switch {
	case kind == tcpOptMSS && len(d) == 2:
		return dumpField(dst, "mss ", uint64(binary.BigEndian.Uint16(d)))
	case kind == tcpOptWindowScale && len(d) == 1:
		return dumpField(dst, "wscale ", uint64(d[0]))
	case kind == tcpOptSACKPermitted && len(d) == 0:
		return append(dst, "sackOK"...)
	case kind == tcpOptSACK && len(d)%8 == 0:
		dst = append(dst, "sack"...)
		for ; len(d) > 0; d = d[8:] {
			dst = dumpField(dst, " ", uint64(binary.BigEndian.Uint32(d[0:4])))
			dst = dumpField(dst, "-", uint64(binary.BigEndian.Uint32(d[4:8])))
		}
		return dst
	case kind == tcpOptTimestamps && len(d) == 8:
		dst = dumpField(dst, "ts ", uint64(binary.BigEndian.Uint32(d[0:4])))
		return dumpField(dst, " ", uint64(binary.BigEndian.Uint32(d[4:8])))
	case kind == tcpOptUserTimeout && len(d) == 2:
		// RFC 5482 3.1: the top bit makes the rest minutes.
		v := binary.BigEndian.Uint16(d)
		dst = dumpField(dst, "uto ", uint64(v&0x7fff))
		return append(dst, "sm"[v>>15])
	case kind == tcpOptFastOpen && fastOpenLenValid(len(d)):
		dst = append(dst, "tfo"...)
		if len(d) > 0 {
			dst = append(dst, ' ')
		}
		for _, x := range d {
			dst = append(dst, hexDigits[x>>4], hexDigits[x&15])
		}
		return dst
	}
	dst = dumpField(dst, "opt ", uint64(kind))
	return dumpField(dst, ":", uint64(len(d)))
}
