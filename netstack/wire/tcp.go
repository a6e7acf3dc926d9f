package wire

import "encoding/binary"

const (
	// TCPLen is the length of a TCP header without options, bytes.
	TCPLen = 20
	// TCPMaxLen is the length of the longest TCP header, bytes.
	TCPMaxLen = 60
)

// TCPFlags are the nine control bits of a TCP header, RFC 9293 3.1 and, for
// AE, RFC 9768.
type TCPFlags uint16

// The control bits.
const (
	FIN TCPFlags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
	AE
)

// Has reports whether f has every flag of g.
func (f TCPFlags) Has(g TCPFlags) bool { return f&g == g }

var tcpFlagNames = [9]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"}

// AppendTo appends the text form of f to b.
func (f TCPFlags) AppendTo(b []byte) []byte {
	start := len(b)
	for i, name := range tcpFlagNames {
		if f&(1<<i) == 0 {
			continue
		}
		if len(b) > start {
			b = append(b, ',')
		}
		b = append(b, name...)
	}
	if len(b) == start {
		b = append(b, "none"...)
	}
	return b
}

// String returns the names of the flags, such as "SYN,ACK", or "none".
func (f TCPFlags) String() string {
	var b [40]byte
	return string(f.AppendTo(b[:0]))
}

// A TCP is a TCP header with its options, RFC 9293 3.1.
type TCP struct {
	SrcPort  uint16
	DstPort  uint16
	Seq      uint32
	Ack      uint32
	Flags    TCPFlags
	Window   uint16 // unscaled
	Checksum uint16
	Urgent   uint16
	Options  TCPOptions
}

// ParseTCP reads the header at the start of b into h and returns the payload,
// which aliases b. The checksum is the caller's to verify, and so is the sense
// of flags and urgent pointer. The error is DropTruncated, DropBadLength for a
// data offset out of range, or DropBadOption; h is then half filled.
func ParseTCP(b []byte, h *TCP) (payload []byte, err error) {
	if len(b) < TCPLen {
		return nil, DropTruncated
	}
	h.SrcPort = binary.BigEndian.Uint16(b[0:2])
	h.DstPort = binary.BigEndian.Uint16(b[2:4])
	h.Seq = binary.BigEndian.Uint32(b[4:8])
	h.Ack = binary.BigEndian.Uint32(b[8:12])
	// RFC 9293 3.1: the three bits between the data offset and AE "must be
	// ignored in received segments".
	h.Flags = TCPFlags(binary.BigEndian.Uint16(b[12:14]) & 0x1ff)
	h.Window = binary.BigEndian.Uint16(b[14:16])
	h.Checksum = binary.BigEndian.Uint16(b[16:18])
	h.Urgent = binary.BigEndian.Uint16(b[18:20])
	n := int(b[12] >> 4 * 4)
	if n < TCPLen || n > len(b) {
		return nil, DropBadLength
	}
	if err := h.Options.parse(b[TCPLen:n], h.Flags); err != nil {
		return nil, err
	}
	return b[n:], nil
}

// HeaderLen returns the length of the header with its options: bytes, a
// multiple of 4, at most TCPMaxLen.
func (h *TCP) HeaderLen() int {
	if h.Options.onlyTimestamps() {
		return TCPLen + tcpTimestampsLen
	}
	l := h.Options.layout(h.Flags)
	return TCPLen + int(l.n)
}

// Put writes h to b[:h.HeaderLen()] and returns that length. Options that do
// not fit are left out, see TCPOptions. SetChecksum then puts the checksum in.
func (h *TCP) Put(b []byte) int {
	n := TCPLen
	if h.Options.onlyTimestamps() {
		n += tcpTimestampsLen
		h.Options.putTimestamps(b[TCPLen:n])
	} else {
		l := h.Options.layout(h.Flags)
		n += int(l.n)
		h.Options.put(b[TCPLen:n], &l)
	}
	_ = b[TCPLen-1]
	binary.BigEndian.PutUint16(b[0:2], h.SrcPort)
	binary.BigEndian.PutUint16(b[2:4], h.DstPort)
	binary.BigEndian.PutUint32(b[4:8], h.Seq)
	binary.BigEndian.PutUint32(b[8:12], h.Ack)
	binary.BigEndian.PutUint16(b[12:14], uint16(n/4)<<12|uint16(h.Flags)&0x1ff)
	binary.BigEndian.PutUint16(b[14:16], h.Window)
	binary.BigEndian.PutUint16(b[16:18], h.Checksum)
	binary.BigEndian.PutUint16(b[18:20], h.Urgent)
	return n
}

// PutSum is Put, and returns the ones' complement sum of what it wrote as well.
// It reads nothing back: a processor can take long over memory that it has just
// written in other pieces.
func (h *TCP) PutSum(b []byte) (n int, sum uint16) {
	n = h.Put(b)
	acc := uint64(h.SrcPort) + uint64(h.DstPort) + uint64(h.Seq) + uint64(h.Ack) +
		uint64(n/4<<12) + uint64(h.Flags&0x1ff) + uint64(h.Window) + uint64(h.Checksum) + uint64(h.Urgent)
	switch {
	case n == TCPLen:
	case h.Options.onlyTimestamps():
		acc += tcpTimestampsAt + uint64(h.Options.TSVal) + uint64(h.Options.TSEcr)
	default:
		return n, Sum(b[:n], 0)
	}
	return n, fold(acc)
}
