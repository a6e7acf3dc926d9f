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
// RFC 1071 2: the sum may be taken in parallel, over words of any width (here
// 64 bits) and in either byte order, to be swapped at the end.
func Sum(b []byte, sum uint16) uint16 {
	acc := uint64(bits.ReverseBytes16(sum))
	if len(b) >= 128 {
		// Two chains of carries, short enough for the processor to run them
		// side by side: twice as fast as one.
		var other, c, d uint64
		for len(b) >= 128 {
			p := (*[128]byte)(b)
			acc, c = add32(acc, 0, (*[32]byte)(p[0:32]))
			acc, c = add32(acc, c, (*[32]byte)(p[32:64]))
			acc += c
			other, d = add32(other, 0, (*[32]byte)(p[64:96]))
			other, d = add32(other, d, (*[32]byte)(p[96:128]))
			other += d
			b = b[128:]
		}
		acc = addCarry(acc, other)
	}
	return bits.ReverseBytes16(fold(sumTail(b, acc)))
}

// sumTail adds the last bytes, fewer than 128, to acc.
func sumTail(b []byte, acc uint64) uint64 {
	var c uint64
	for len(b) >= 32 {
		acc, c = add32(acc, 0, (*[32]byte)(b))
		acc += c
		b = b[32:]
	}
	if len(b) >= 16 {
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b[0:8]), 0)
		acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(b[8:16]), c)
		acc += c
		b = b[16:]
	}
	if len(b) >= 8 {
		acc = addCarry(acc, binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	if len(b) >= 4 {
		acc = addCarry(acc, uint64(binary.LittleEndian.Uint32(b)))
		b = b[4:]
	}
	var last uint64
	switch len(b) {
	case 3:
		last = uint64(binary.LittleEndian.Uint16(b)) | uint64(b[2])<<16
	case 2:
		last = uint64(binary.LittleEndian.Uint16(b))
	case 1:
		last = uint64(b[0])
	}
	return addCarry(acc, last)
}

// add32 adds four words and the carry c to acc.
func add32(acc, c uint64, p *[32]byte) (sum, carry uint64) {
	acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[0:8]), c)
	acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[8:16]), c)
	acc, c = bits.Add64(acc, binary.LittleEndian.Uint64(p[16:24]), c)
	return bits.Add64(acc, binary.LittleEndian.Uint64(p[24:32]), c)
}

// addCarry adds one word, with end-around carry.
func addCarry(acc, x uint64) uint64 {
	acc, c := bits.Add64(acc, x, 0)
	return acc + c
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
	return fold(addCarry(addCarry(acc, sumAddr(src)), sumAddr(dst)))
}

// sumAddr adds the words of an address.
func sumAddr(a netip.Addr) uint64 {
	// The slice never leaves the stack. It is four times as fast as As16,
	// whose array is copied in wider pieces than it was just written in.
	b := a.AsSlice()
	switch len(b) {
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 16:
		return addCarry(binary.BigEndian.Uint64(b[0:8]), binary.BigEndian.Uint64(b[8:16]))
	}
	return 0
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
