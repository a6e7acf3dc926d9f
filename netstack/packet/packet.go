// Package packet is the bounded datagram ring between the poll loop and a user
// goroutine, and the pooled buffers that hold single packets.
//
// A [Ring] keeps datagrams whole: each has its bytes, which may be none, and
// its [Meta]. One goroutine at a time pushes and one takes; neither waits for
// the other.
//
//	var r packet.Ring
//	r.Init(pool, packet.Limits{})
//	r.Push(packet.Meta{Remote: from}, payload) // producer
//	n, size, m, ok := r.Read(buf)              // consumer
//
// Datagrams of one size between the same ends can travel as one, in segments,
// and be taken apart again by the consumer.
package packet

import (
	"net/netip"

	"smolnet/netstack/errno"
)

// The bounds of a ring.
const (
	DefaultBytes = 256 << 10 // Limits.Bytes of zero
	MaxBytes     = 1 << 30   // more cannot be asked for in Limits.Bytes
	MaxPackets   = 1 << 14   // more cannot be asked for in Limits.Packets; the default may be more
	MaxDatagram  = 64 << 10  // bytes of one datagram, or of the segments in one

	// bytesPerPacket gives Limits.Packets of zero: one datagram for so many of
	// Limits.Bytes, so that records, of 48 bytes, never take up more than what
	// they are for.
	bytesPerPacket = 64
	// leastPackets is the least that comes of it.
	leastPackets = 256
)

// Limits bound a ring. Zero means default, and so does a negative value.
type Limits struct {
	// Packets is how many datagrams, at most [MaxPackets]. The default is one
	// for 64 bytes of Bytes, and 256 at least.
	Packets int
	// Bytes is how many bytes of datagrams, without metadata, at most [MaxBytes].
	// An empty ring takes one datagram of any size.
	Bytes int
}

// orDefault returns l with defaults and bounds applied.
func (l Limits) orDefault() Limits {
	if l.Bytes <= 0 {
		l.Bytes = DefaultBytes
	}
	l.Bytes = min(l.Bytes, MaxBytes)
	if l.Packets <= 0 {
		return Limits{Packets: max(leastPackets, l.Bytes/bytesPerPacket), Bytes: l.Bytes}
	}
	l.Packets = min(l.Packets, MaxPackets)
	return l
}

// Meta is what is known of a datagram besides its bytes. A ring does not keep
// the zones of addresses.
type Meta struct {
	Remote    netip.AddrPort // received: the sender; to send: the destination
	Local     netip.Addr     // received: the destination; to send: the source, invalid if it is to be selected
	HopLimit  uint8          // TTL or hop limit; zero: default when sending
	TOS       uint8          // DSCP and ECN
	Err       errno.Errno    // an error queued in place of a datagram
	Segment   uint16         // bytes of each datagram but the last, if there are several in one; else zero
	Interface uint32         // index of the interface; zero: not known, or any
}
