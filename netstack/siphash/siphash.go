// Package siphash is SipHash-2-4 (J.-P. Aumasson and D. J. Bernstein, 2012): a
// pseudorandom function that is as fast on short inputs as an ordinary hash.
// Who does not know the key can neither predict a value nor find inputs with
// equal ones. The stack uses it for what it shows to strangers (initial sequence
// numbers, ports) and for tables that strangers fill.
package siphash

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// A Key is the secret: random, and never shown.
type Key [16]byte

// A state is the four words of SipHash. It is passed by value, to stay in
// registers.
type state struct{ v0, v1, v2, v3 uint64 }

func start(k *Key) state {
	k0 := binary.LittleEndian.Uint64(k[:])
	k1 := binary.LittleEndian.Uint64(k[8:])
	return state{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
}

func (s state) round() state {
	s.v0 += s.v1
	s.v2 += s.v3
	s.v1 = bits.RotateLeft64(s.v1, 13) ^ s.v0
	s.v3 = bits.RotateLeft64(s.v3, 16) ^ s.v2
	s.v2 += s.v1
	s.v0 = bits.RotateLeft64(s.v0, 32) + s.v3
	s.v1 = bits.RotateLeft64(s.v1, 17) ^ s.v2
	s.v3 = bits.RotateLeft64(s.v3, 21) ^ s.v0
	s.v2 = bits.RotateLeft64(s.v2, 32)
	return s
}

// word takes eight bytes of the input.
func (s state) word(m uint64) state {
	s.v3 ^= m
	s = s.round().round()
	s.v0 ^= m
	return s
}

// finish takes the last word, which has the input's length in its top byte.
func (s state) finish(last uint64) uint64 {
	s = s.word(last)
	s.v2 ^= 0xff
	s = s.round().round().round().round()
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

// Bytes returns the value for b.
func Bytes(k *Key, b []byte) uint64 {
	s := start(k)
	last := uint64(len(b)) << 56
	for ; len(b) >= 8; b = b[8:] {
		s = s.word(binary.LittleEndian.Uint64(b))
	}
	for i, c := range b {
		last |= uint64(c) << (8 * i)
	}
	return s.finish(last)
}

// tupleLen is the length of the input of Sum: two addresses and two ports.
const tupleLen = 16 + 16 + 2 + 2

// Sum returns the value for two ends of a connection, the same as that of Bytes
// for the addresses in 16 bytes each and the ports in big-endian order. IPv4
// addresses count as their IPv6 form, the invalid address as ::.
func Sum(k *Key, a, b netip.Addr, aPort, bPort uint16) uint64 {
	x, y := a.As16(), b.As16()
	s := start(k)
	s = s.word(binary.LittleEndian.Uint64(x[:]))
	s = s.word(binary.LittleEndian.Uint64(x[8:]))
	s = s.word(binary.LittleEndian.Uint64(y[:]))
	s = s.word(binary.LittleEndian.Uint64(y[8:]))
	ports := uint64(bits.ReverseBytes16(aPort)) | uint64(bits.ReverseBytes16(bPort))<<16
	return s.finish(tupleLen<<56 | ports)
}

// shortLen is the length of the input of Table for IPv4.
const shortLen = 4 + 4 + 2 + 2

// Table is what tables find two ends of a connection by: SipHash-1-3, which has half
// of the rounds. That is enough for values that are never shown. The input is that of
// Sum, but with the ports in little-endian order; of IPv4 addresses, which are in
// their IPv6 form, the last four bytes are enough.
func Table(k *Key, a, b *[16]byte, aPort, bPort uint16) uint64 {
	a0, a1 := binary.LittleEndian.Uint64(a[:]), binary.LittleEndian.Uint64(a[8:])
	b0, b1 := binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
	words, n := [5]uint64{a0, a1, b0, b1, tupleLen << 56}, 5
	if a0|b0 == 0 && uint32(a1) == mapped && uint32(b1) == mapped {
		words[0], words[1], n = a1>>32|b1&^(1<<32-1), shortLen<<56, 2
	}
	words[n-1] |= uint64(aPort) | uint64(bPort)<<16
	s := start(k)
	for _, m := range words[:n] {
		s.v3 ^= m
		s = s.round()
		s.v0 ^= m
	}
	s.v2 ^= 0xff
	s = s.round().round().round()
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

// mapped is the third quarter of an IPv4 address in its IPv6 form, RFC 4291 2.5.5.2, as
// a little-endian number.
const mapped = 0xffff0000
