package packet

import (
	"encoding/binary"
	"net/netip"

	"smolnet/netstack/errno"
)

// A record is what a ring writes before a datagram's bytes, in the machine's
// byte order:
//
//	0  size of what follows, bytes; endOfStretch: go on in the next buffer
//	4  interface
//	8  remote port
//	10 segment
//	12 hop limit, TOS, errno, kinds of the addresses
//	16 remote address
//	32 local address
const recordLen = 48

// endOfStretch stands in the place of a size.
const endOfStretch = 1<<31 - 1

// Kinds of addresses in a record; the local one's is shifted by kindBits.
const (
	kindNone = iota
	kind4
	kind6
	kindBits = 2
)

// putRecord writes the record of a datagram of n bytes to b.
func putRecord(b []byte, m *Meta, n int) {
	_ = b[recordLen-1]
	o := binary.NativeEndian
	o.PutUint32(b[0:], uint32(n))
	o.PutUint32(b[4:], m.Interface)
	o.PutUint16(b[8:], m.Remote.Port())
	o.PutUint16(b[10:], m.Segment)
	b[12], b[13], b[14] = m.HopLimit, m.TOS, uint8(m.Err)
	b[15] = putAddr(b[16:32], m.Remote.Addr()) | putAddr(b[32:48], m.Local)<<kindBits
}

// getRecord reads what putRecord wrote, but for the size.
func getRecord(b []byte, m *Meta) {
	_ = b[recordLen-1]
	o := binary.NativeEndian
	m.Interface = o.Uint32(b[4:])
	m.Segment = o.Uint16(b[10:])
	m.HopLimit, m.TOS, m.Err = b[12], b[13], errno.Errno(b[14])
	m.Remote = netip.AddrPortFrom(getAddr(b[16:32], b[15]), o.Uint16(b[8:]))
	m.Local = getAddr(b[32:48], b[15]>>kindBits)
}

func putAddr(b []byte, a netip.Addr) (kind uint8) {
	switch {
	case a.Is4():
		*(*[4]byte)(b) = a.As4()
		return kind4
	case a.IsValid():
		*(*[16]byte)(b) = a.As16()
		return kind6
	}
	return kindNone
}

func getAddr(b []byte, kind uint8) netip.Addr {
	switch kind & (1<<kindBits - 1) {
	case kind4:
		return netip.AddrFrom4([4]byte(b))
	case kind6:
		return netip.AddrFrom16([16]byte(b))
	}
	return netip.Addr{}
}
