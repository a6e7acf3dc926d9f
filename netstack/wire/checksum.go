package wire

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Where the checksum field is in a transport header, bytes.
const (
	TCPChecksumOffset  = 16
	UDPChecksumOffset  = 6
	ICMPChecksumOffset = 2
)

// Sum returns the ones' complement sum of b added to sum, not inverted. Only
// the last piece of a message may have odd length.
//
// RFC 1071 2(B): the sum may be taken in words of either byte order, and
// swapped at the end; 2(A) lets it be taken over words of any width.
func Sum(b []byte, sum uint16) uint16 {
	acc := uint64(bits.ReverseBytes16(sum))
	var c uint64
	for len(b) >= 64 {
		p := (*[64]byte)(b)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[0:8]), 0)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[8:16]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[16:24]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[24:32]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[32:40]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[40:48]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[48:56]), c)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[56:64]), c)
		acc += c
		b = b[64:]
	}
	for len(b) >= 8 {
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b), 0)
		acc += c
		b = b[8:]
	}
	var last uint64
	for i, x := range b {
		last |= uint64(x) << (8 * i)
	}
	acc, c = bits.Add64(acc, last, 0)
	acc += c
	return bits.ReverseBytes16(fold(acc))
}

// fold adds the four 16-bit words of acc with end-around carry.
func fold(acc uint64) uint16 {
	s := acc>>32 + acc&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}

// sumHeader is Sum of an IPv4 header, whose length is a multiple of 4.
func sumHeader(b []byte) uint16 {
	var acc uint64
	for len(b) >= 4 {
		acc += uint64(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	return fold(acc)
}

// PseudoSum returns the sum of the pseudo-header of src, dst, proto and n
// transport bytes (RFC 9293 3.1, RFC 8200 8.1). Both addresses are of one
// family; the zero Addr counts as the unspecified address.
func PseudoSum(src, dst netip.Addr, proto Protocol, n int) uint16 {
	acc := uint64(proto) + uint64(uint32(n))
	if src.Is4() || dst.Is4() {
		s, d := as4(src), as4(dst)
		return fold(acc + uint64(binary.BigEndian.Uint32(s[:])) + uint64(binary.BigEndian.Uint32(d[:])))
	}
	s, d := src.As16(), dst.As16()
	var c uint64
	acc, c = bits.Add64(acc, binary.BigEndian.Uint64(s[0:8]), 0)
	acc, c = bits.Add64(acc, binary.BigEndian.Uint64(s[8:16]), c)
	acc, c = bits.Add64(acc, binary.BigEndian.Uint64(d[0:8]), c)
	acc, c = bits.Add64(acc, binary.BigEndian.Uint64(d[8:16]), c)
	return fold(acc + c)
}

// SetChecksum computes the transport checksum of seg, whose checksum field is
// at off, and stores it there. What the field held before does not matter.
func SetChecksum(src, dst netip.Addr, proto Protocol, seg []byte, off int) {
	field := seg[off : off+2]
	field[0], field[1] = 0, 0
	sum := ^Sum(seg, PseudoSum(src, dst, proto, len(seg)))
	if sum == 0 && proto == ProtoUDP {
		// RFC 768: "If the computed checksum is zero, it is transmitted as
		// all ones", since zero stands for no checksum.
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(field, sum)
}

// VerifyChecksum reports whether seg, its checksum included, sums to all ones
// with its pseudo-header. ICMPv4 has none: there it is Sum(b, 0) == 0xffff.
// That a UDP checksum of zero stands for none is the caller's to know.
func VerifyChecksum(src, dst netip.Addr, proto Protocol, seg []byte) bool {
	return Sum(seg, PseudoSum(src, dst, proto, len(seg))) == 0xffff
}

// UpdateChecksum16 returns the checksum of a message after one of its 16-bit
// fields has changed: RFC 1624 3, equation 3.
func UpdateChecksum16(sum, from, to uint16) uint16 {
	s := uint32(^sum) + uint32(^from) + uint32(to)
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return ^uint16(s)
}
