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

// A state is the four words of SipHash.
type state struct{ v0, v1, v2, v3 uint64 }

func start(k *Key) state {
	k0 := binary.LittleEndian.Uint64(k[:])
	k1 := binary.LittleEndian.Uint64(k[8:])
	return state{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573}
}

func (s *state) round() {
	s.v0 += s.v1
	s.v2 += s.v3
	s.v1 = bits.RotateLeft64(s.v1, 13) ^ s.v0
	s.v3 = bits.RotateLeft64(s.v3, 16) ^ s.v2
	s.v0 = bits.RotateLeft64(s.v0, 32)
	s.v2 += s.v1
	s.v0 += s.v3
	s.v1 = bits.RotateLeft64(s.v1, 17) ^ s.v2
	s.v3 = bits.RotateLeft64(s.v3, 21) ^ s.v0
	s.v2 = bits.RotateLeft64(s.v2, 32)
}

// word takes eight bytes of the input.
func (s *state) word(m uint64) {
	s.v3 ^= m
	s.round()
	s.round()
	s.v0 ^= m
}

// finish takes the last word, which has the input's length in its top byte.
func (s *state) finish(last uint64) uint64 {
	s.word(last)
	s.v2 ^= 0xff
	for range 4 {
		s.round()
	}
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

// Bytes returns the value for b.
func Bytes(k *Key, b []byte) uint64 {
	s := start(k)
	last := uint64(len(b)) << 56
	for ; len(b) >= 8; b = b[8:] {
		s.word(binary.LittleEndian.Uint64(b))
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
	s := start(k)
	for _, addr := range [2]netip.Addr{a, b} {
		x := addr.As16()
		s.word(binary.LittleEndian.Uint64(x[:]))
		s.word(binary.LittleEndian.Uint64(x[8:]))
	}
	ports := uint64(bits.ReverseBytes16(aPort)) | uint64(bits.ReverseBytes16(bPort))<<16
	return s.finish(tupleLen<<56 | ports)
}
