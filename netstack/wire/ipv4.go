package wire

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// A Protocol is what an IPv4 packet or an IPv6 header is followed by
// (the IANA protocol number).
type Protocol uint8

// The protocols that a stack speaks, IPv6 extension headers included.
const (
	ProtoHopByHop Protocol = 0
	ProtoICMPv4   Protocol = 1
	ProtoIGMP     Protocol = 2
	ProtoTCP      Protocol = 6
	ProtoUDP      Protocol = 17
	ProtoRouting  Protocol = 43
	ProtoFragment Protocol = 44
	ProtoICMPv6   Protocol = 58
	ProtoNoNext   Protocol = 59
	ProtoDestOpts Protocol = 60
)

// String returns the protocol's name, or "proto" and the number.
func (p Protocol) String() string {
	if name := p.name(); name != "" {
		return name
	}
	return "proto " + strconv.Itoa(int(p))
}

// name returns the protocol's name, or "".
func (p Protocol) name() string {
	switch p {
	case ProtoHopByHop:
		return "HopByHop"
	case ProtoICMPv4:
		return "ICMP"
	case ProtoIGMP:
		return "IGMP"
	case ProtoTCP:
		return "TCP"
	case ProtoUDP:
		return "UDP"
	case ProtoRouting:
		return "Routing"
	case ProtoFragment:
		return "Fragment"
	case ProtoICMPv6:
		return "ICMPv6"
	case ProtoNoNext:
		return "NoNext"
	case ProtoDestOpts:
		return "DestOpts"
	}
	return ""
}

const (
	// IPv4Len is the length of an IPv4 header without options, bytes.
	IPv4Len = 20
	// IPv4MaxLen is the length of the longest IPv4 header, bytes.
	IPv4MaxLen = 60
)

// The flags that share 16 bits with the fragment offset, RFC 791 3.1.
const (
	ipv4DontFrag  = 0x4000
	ipv4MoreFrags = 0x2000
)

// An IPv4 is an IPv4 header without its options, RFC 791.
type IPv4 struct {
	HeaderLen uint8 // bytes, 20..60, multiple of 4; Put takes 0 as 20
	TOS       uint8 // DSCP and ECN
	TotalLen  uint16
	ID        uint16
	DontFrag  bool
	MoreFrags bool
	FragOff   uint16 // bytes, multiple of 8
	TTL       uint8
	Protocol  Protocol
	Checksum  uint16 // as received; Put computes its own
	Src       netip.Addr
	Dst       netip.Addr
}

// IsFragment reports whether the packet is a part of one, not a whole.
func (h *IPv4) IsFragment() bool { return h.MoreFrags || h.FragOff != 0 }

// ParseIPv4 reads the header at the start of b and returns it with the
// payload, which aliases b. Version, lengths, header checksum and a fragment's
// place are verified. Options, if any, are b[IPv4Len:h.HeaderLen], and are for
// CheckIPv4Options. Bytes past TotalLen are link padding and left out. The
// error is DropTruncated, DropBadVersion, DropBadLength or DropBadChecksum.
func ParseIPv4(b []byte) (h IPv4, payload []byte, err error) {
	if err := h.parse(b); err != nil {
		return h, nil, err
	}
	hlen, total := int(h.HeaderLen), int(h.TotalLen)
	switch {
	case total < hlen:
		return h, nil, DropBadLength
	case total > len(b):
		return h, nil, DropTruncated
	case sumHeader(b[:hlen]) != 0xffff:
		return h, nil, DropBadChecksum
	}
	payload = b[hlen:total]
	if h.IsFragment() {
		// RFC 791 3.2: every fragment but the last is a multiple of 8 bytes
		// long. One that is empty, or ends past the largest datagram (the
		// "ping of death"), was made to hurt.
		n := len(payload)
		if n == 0 || h.MoreFrags && n%8 != 0 || hlen+int(h.FragOff)+n > 65535 {
			return h, nil, DropBadLength
		}
	}
	return h, payload, nil
}

// ParseIPv4Quote reads the header of a packet that an ICMP error quotes. The
// payload is what the quote has of it, perhaps nothing. Only the header must be
// whole, and its checksum is not verified: routers on the way have changed the
// TTL, and not all of them the checksum with it. The error is DropTruncated,
// DropBadVersion or DropBadLength.
func ParseIPv4Quote(b []byte) (h IPv4, payload []byte, err error) {
	if err := h.parse(b); err != nil {
		return h, nil, err
	}
	hlen, total := int(h.HeaderLen), int(h.TotalLen)
	if total < hlen {
		return h, nil, DropBadLength
	}
	return h, b[hlen:min(total, len(b))], nil
}

// parse reads the fields of a header which must be whole.
func (h *IPv4) parse(b []byte) error {
	if len(b) < IPv4Len {
		return DropTruncated
	}
	if b[0]>>4 != 4 {
		return DropBadVersion
	}
	hlen := b[0] & 0x0f * 4
	if hlen < IPv4Len {
		return DropBadLength
	}
	if int(hlen) > len(b) {
		return DropTruncated
	}
	frag := binary.BigEndian.Uint16(b[6:8])
	h.HeaderLen = hlen
	h.TOS = b[1]
	h.TotalLen = binary.BigEndian.Uint16(b[2:4])
	h.ID = binary.BigEndian.Uint16(b[4:6])
	h.DontFrag = frag&ipv4DontFrag != 0
	h.MoreFrags = frag&ipv4MoreFrags != 0
	h.FragOff = frag << 3
	h.TTL = b[8]
	h.Protocol = Protocol(b[9])
	h.Checksum = binary.BigEndian.Uint16(b[10:12])
	h.Src = netip.AddrFrom4([4]byte(b[12:16]))
	h.Dst = netip.AddrFrom4([4]byte(b[16:20]))
	return nil
}

// Put writes the header to b[:HeaderLen] and computes its checksum. Options
// must be in place in b before. The zero Addr is written as 0.0.0.0; an IPv6
// address panics.
func (h *IPv4) Put(b []byte) {
	hlen := h.HeaderLen
	if hlen == 0 {
		hlen = IPv4Len
	}
	b = b[:hlen]
	_ = b[IPv4Len-1]
	frag := h.FragOff >> 3
	if h.DontFrag {
		frag |= ipv4DontFrag
	}
	if h.MoreFrags {
		frag |= ipv4MoreFrags
	}
	// The words are summed before they are written: reading them back in
	// other sizes than they were stored in would stall.
	w := [5]uint32{
		(4<<4|uint32(hlen)/4)<<24 | uint32(h.TOS)<<16 | uint32(h.TotalLen),
		uint32(h.ID)<<16 | uint32(frag),
		uint32(h.TTL)<<24 | uint32(h.Protocol)<<16,
		as4(h.Src),
		as4(h.Dst),
	}
	sum := uint64(w[0]) + uint64(w[1]) + uint64(w[2]) + uint64(w[3]) + uint64(w[4])
	if hlen > IPv4Len {
		sum += uint64(sumHeader(b[IPv4Len:]))
	}
	w[2] |= uint32(^fold(sum))
	binary.BigEndian.PutUint32(b[0:4], w[0])
	binary.BigEndian.PutUint32(b[4:8], w[1])
	binary.BigEndian.PutUint32(b[8:12], w[2])
	binary.BigEndian.PutUint32(b[12:16], w[3])
	binary.BigEndian.PutUint32(b[16:20], w[4])
}

// The IPv4 options that are one byte long, RFC 791 3.1.
const (
	ipv4OptEnd = 0
	ipv4OptNop = 1
)

// CheckIPv4Options walks over the options in b, a header's bytes from IPv4Len
// to its length, and reports whether they are well formed. None is acted upon.
// The error is DropBadOption.
func CheckIPv4Options(b []byte) error {
	for len(b) > 0 {
		switch b[0] {
		case ipv4OptEnd:
			return nil
		case ipv4OptNop:
			b = b[1:]
			continue
		}
		// The length counts the type and itself: a shorter one would never
		// let the walk get on.
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return DropBadOption
		}
		b = b[b[1]:]
	}
	return nil
}
