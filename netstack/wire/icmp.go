package wire

import "encoding/binary"

// ICMPLen is the length of what all ICMP messages start with, bytes.
const ICMPLen = 8

// An ICMP is the header of an ICMPv4 (RFC 792) or ICMPv6 (RFC 4443) message,
// which have one layout: type, code, checksum and four bytes that depend on
// the type.
type ICMP struct {
	Type     uint8
	Code     uint8
	Checksum uint16
	Rest     uint32 // identifier<<16|sequence, MTU, pointer, ...
}

// The ICMPv4 types and codes that a stack speaks.
const (
	ICMPv4EchoReply    = 0
	ICMPv4Unreachable  = 3
	ICMPv4Redirect     = 5
	ICMPv4Echo         = 8
	ICMPv4TimeExceeded = 11
	ICMPv4ParamProblem = 12

	ICMPv4NetUnreachable  = 0 // codes of Unreachable
	ICMPv4HostUnreachable = 1
	ICMPv4ProtUnreachable = 2
	ICMPv4PortUnreachable = 3
	ICMPv4FragNeeded      = 4
)

// The ICMPv6 types and codes that a stack speaks.
const (
	ICMPv6Unreachable     = 1
	ICMPv6PacketTooBig    = 2
	ICMPv6TimeExceeded    = 3
	ICMPv6ParamProblem    = 4
	ICMPv6Echo            = 128
	ICMPv6EchoReply       = 129
	ICMPv6RouterSolicit   = 133
	ICMPv6RouterAdvert    = 134
	ICMPv6NeighborSolicit = 135
	ICMPv6NeighborAdvert  = 136
	ICMPv6Redirect        = 137

	ICMPv6NoRoute         = 0 // codes of Unreachable
	ICMPv6AdminProhibited = 1
	ICMPv6AddrUnreachable = 3
	ICMPv6PortUnreachable = 4

	ICMPv6ErroneousHeader     = 0 // codes of ParamProblem
	ICMPv6UnknownNextHeader   = 1
	ICMPv6UnknownOption       = 2
	ICMPv6IncompleteFirstFrag = 3 // RFC 7112 5
)

// Echo returns the identifier and sequence number of an echo or its reply.
func (h *ICMP) Echo() (id, seq uint16) { return uint16(h.Rest >> 16), uint16(h.Rest) }

// ParseICMP reads the header at the start of b and returns it with the
// payload, which aliases b. The checksum covers the whole message (and for
// ICMPv6 a pseudo-header) and is the caller's to verify. The error is
// DropTruncated.
func ParseICMP(b []byte) (h ICMP, payload []byte, err error) {
	if len(b) < ICMPLen {
		return h, nil, DropTruncated
	}
	h.Type = b[0]
	h.Code = b[1]
	h.Checksum = binary.BigEndian.Uint16(b[2:4])
	h.Rest = binary.BigEndian.Uint32(b[4:8])
	return h, b[ICMPLen:], nil
}

// Put writes h to b[:ICMPLen].
func (h *ICMP) Put(b []byte) {
	_ = b[ICMPLen-1]
	b[0] = h.Type
	b[1] = h.Code
	binary.BigEndian.PutUint16(b[2:4], h.Checksum)
	binary.BigEndian.PutUint32(b[4:8], h.Rest)
}

// QuotedPorts reads what every ICMP error has of the TCP or UDP header that it
// quotes, the first 8 bytes (RFC 792): the ports and, for TCP, the sequence
// number. The error is DropTruncated.
func QuotedPorts(b []byte) (src, dst uint16, seq uint32, err error) {
	if len(b) < 8 {
		return 0, 0, 0, DropTruncated
	}
	return binary.BigEndian.Uint16(b[0:2]), binary.BigEndian.Uint16(b[2:4]), binary.BigEndian.Uint32(b[4:8]), nil
}
