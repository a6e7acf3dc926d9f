package wire

import "encoding/binary"

// UDPLen is the length of a UDP header, bytes.
const UDPLen = 8

// A UDP is a UDP header, RFC 768.
type UDP struct {
	SrcPort  uint16
	DstPort  uint16
	Len      uint16 // header and payload, bytes
	Checksum uint16 // zero: not computed; the caller verifies
}

// ParseUDP reads the header at the start of b and returns it with the payload,
// which aliases b. Bytes after the UDP length are link padding and left out.
// The error is DropTruncated, or DropBadLength for a length that does not
// cover the header or is more than there is.
func ParseUDP(b []byte) (h UDP, payload []byte, err error) {
	if len(b) < UDPLen {
		return h, nil, DropTruncated
	}
	h.SrcPort = binary.BigEndian.Uint16(b[0:2])
	h.DstPort = binary.BigEndian.Uint16(b[2:4])
	h.Len = binary.BigEndian.Uint16(b[4:6])
	h.Checksum = binary.BigEndian.Uint16(b[6:8])
	// A length of zero is a jumbogram's (RFC 2675 4), which no link here takes.
	if h.Len < UDPLen || int(h.Len) > len(b) {
		return h, nil, DropBadLength
	}
	return h, b[UDPLen:h.Len], nil
}

// Put writes h to b[:UDPLen]. SetChecksum then puts the checksum in.
func (h *UDP) Put(b []byte) {
	_ = b[UDPLen-1]
	binary.BigEndian.PutUint16(b[0:2], h.SrcPort)
	binary.BigEndian.PutUint16(b[2:4], h.DstPort)
	binary.BigEndian.PutUint16(b[4:6], h.Len)
	binary.BigEndian.PutUint16(b[6:8], h.Checksum)
}
