package phytest

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"smolnet/netstack/wire"
	"smolnet/phy"
)

const (
	// ipHeaderLen is the length of the header that frames on MediumIP have,
	// so that the kernel takes them for packets, of a protocol and between
	// addresses that it knows nothing about (RFC 3692, RFC 5737).
	ipHeaderLen = 20
	// seqLen is the length of the number that follows the headers.
	seqLen = 4
)

// frameLen returns the length of frame number seq: the shortest, the longest
// and everything between come up.
func frameLen(c *phy.Capabilities, seq uint32) int {
	lo := c.Medium.HeaderLen() + ipHeaderLen + seqLen
	hi := c.Medium.HeaderLen() + min(c.MTU, longest)
	switch seq % 8 {
	case 0:
		return hi
	case 1:
		return lo
	}
	return lo + int(mix(seq)%uint32(hi-lo+1))
}

// longest keeps tests of links with a huge MTU from being slow.
const longest = 9000

// fill writes frame number seq to b and returns its length.
func (e *end) fill(b []byte, seq uint32) int {
	n := frameLen(&e.caps, seq)
	b = b[:n]
	p := b
	if e.caps.Medium == phy.MediumEthernet {
		h := wire.Ethernet{
			Dst:  wire.HardwareAddr{2, 0, 0, 0, 0, 2},
			Src:  wire.HardwareAddr{2, 0, 0, 0, 0, 1},
			Type: 0x88b5, // IEEE 802, local experimental EtherType 1
		}
		h.Put(b)
		p = b[wire.EthernetLen:]
	}
	clear(p[:ipHeaderLen])
	p[0] = 0x45
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	p[8], p[9] = 64, 253
	copy(p[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
	binary.BigEndian.PutUint16(p[10:], ^wire.Sum(p[:ipHeaderLen], 0))
	p = p[ipHeaderLen:]
	binary.BigEndian.PutUint32(p, seq)
	copy(p[seqLen:], e.pattern[byte(mix(seq)):])
	return n
}

// newPattern returns the octets that frames are filled with, from any of the
// first 256 on: in one copy, as fills are most of what the tests do.
func newPattern() []byte {
	b := make([]byte, 1<<8+longest)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// check says whether data is frame number seq.
func (e *end) check(data []byte, seq uint32) error {
	n := e.fill(e.scratch, seq)
	if bytes.Equal(data, e.scratch[:n]) {
		return nil
	}
	at := e.caps.Medium.HeaderLen() + ipHeaderLen
	if len(data) < at+seqLen {
		return fmt.Errorf("frame %d: got %d bytes %x", seq, len(data), data)
	}
	return fmt.Errorf("frame %d of %d bytes: got frame %d, %d bytes, or it was changed",
		seq, n, binary.BigEndian.Uint32(data[at:]), len(data))
}

// mix scatters the bits of x.
func mix(x uint32) uint32 {
	x ^= x >> 16
	x *= 0x7feb352d
	x ^= x >> 15
	x *= 0x846ca68b
	return x ^ x>>16
}
