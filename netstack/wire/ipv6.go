package wire

import (
	"encoding/binary"
	"net/netip"
)

// IPv6Len is the length of an IPv6 header without extension headers, bytes.
const IPv6Len = 40

// An IPv6 is a fixed IPv6 header, RFC 8200 3.
type IPv6 struct {
	TrafficClass uint8  // DSCP and ECN
	FlowLabel    uint32 // 20 bits
	PayloadLen   uint16 // bytes after the fixed header, extension headers included
	NextHeader   Protocol
	HopLimit     uint8
	Src          netip.Addr // without zone
	Dst          netip.Addr
}

// ParseIPv6 reads the header at the start of b and returns it with the
// payload, which aliases b and starts with what NextHeader says: extension
// headers are for WalkIPv6. Bytes past PayloadLen are link padding and left
// out. Jumbograms (RFC 2675) are not known. The error is DropTruncated or
// DropBadVersion.
func ParseIPv6(b []byte) (h IPv6, payload []byte, err error) {
	if err := h.parse(b); err != nil {
		return h, nil, err
	}
	end := IPv6Len + int(h.PayloadLen)
	if end > len(b) {
		return h, nil, DropTruncated
	}
	return h, b[IPv6Len:end], nil
}

// ParseIPv6Quote reads the header of a packet that an ICMPv6 error quotes. The
// payload is what the quote has of it, perhaps nothing. The error is
// DropTruncated or DropBadVersion.
func ParseIPv6Quote(b []byte) (h IPv6, payload []byte, err error) {
	if err := h.parse(b); err != nil {
		return h, nil, err
	}
	return h, b[IPv6Len:min(IPv6Len+int(h.PayloadLen), len(b))], nil
}

// parse reads the fields of a header which must be whole.
func (h *IPv6) parse(b []byte) error {
	if len(b) < IPv6Len {
		return DropTruncated
	}
	first := binary.BigEndian.Uint32(b[0:4])
	if first>>28 != 6 {
		return DropBadVersion
	}
	h.TrafficClass = uint8(first >> 20)
	h.FlowLabel = first & 0xfffff
	h.PayloadLen = binary.BigEndian.Uint16(b[4:6])
	h.NextHeader = Protocol(b[6])
	h.HopLimit = b[7]
	h.Src = netip.AddrFrom16([16]byte(b[8:24]))
	h.Dst = netip.AddrFrom16([16]byte(b[24:40]))
	return nil
}

// Put writes h to b[:IPv6Len]. The zero Addr is written as "::", a zone is
// left out.
func (h *IPv6) Put(b []byte) {
	_ = b[IPv6Len-1]
	binary.BigEndian.PutUint32(b[0:4], 6<<28|uint32(h.TrafficClass)<<20|h.FlowLabel&0xfffff)
	binary.BigEndian.PutUint16(b[4:6], h.PayloadLen)
	b[6] = uint8(h.NextHeader)
	b[7] = h.HopLimit
	putAddr6(b[8:24], h.Src)
	putAddr6(b[24:40], h.Dst)
}

// putAddr6 writes the 16 bytes of a to b.
func putAddr6(b []byte, a netip.Addr) {
	s := a.AsSlice()
	if len(s) != 16 {
		*(*[16]byte)(b) = a.As16()
		return
	}
	// In the halves that AsSlice has just stored: to load all 16 bytes would
	// have to wait for both.
	binary.NativeEndian.PutUint64(b[0:8], binary.NativeEndian.Uint64(s[0:8]))
	binary.NativeEndian.PutUint64(b[8:16], binary.NativeEndian.Uint64(s[8:16]))
}
