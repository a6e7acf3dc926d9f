package core

import (
	"net/netip"

	"smolnet/netstack/packet"
	"smolnet/netstack/wire"
)

// maxOutboxBytes bounds the memory of the packets in one outbox.
const maxOutboxBytes = 1 << 20

// An outgoing is a finished packet, without its link header, and where it goes.
type outgoing struct {
	buf  *packet.Buffer
	typ  wire.EtherType
	hw   wire.HardwareAddr // the receiver, if next is not valid
	next netip.Addr        // the neighbour that takes it, to be resolved
}

// An outbox is a bounded queue of packets that no socket sends: answers,
// errors, resets, solicitations.
type outbox struct {
	ring  []outgoing // slots, allocated with the first packet
	limit int
	head  int
	n     int
	bytes int
}

func (o *outbox) init(limit int) { o.limit = limit }

// room reports whether another packet may be put.
func (o *outbox) room() bool { return o.n < o.limit && o.bytes < maxOutboxBytes }

// put appends p, and reports false if there is no room.
func (o *outbox) put(p outgoing) bool {
	if !o.room() {
		return false
	}
	if o.n == len(o.ring) {
		o.grow()
	}
	o.ring[(o.head+o.n)%len(o.ring)] = p
	o.n++
	o.bytes += p.buf.Size()
	return true
}

// grow doubles the slots, up to the limit.
func (o *outbox) grow() {
	const first = 16
	ring := make([]outgoing, min(max(2*len(o.ring), first), o.limit))
	for i := range o.n {
		ring[i] = o.ring[(o.head+i)%len(o.ring)]
	}
	o.ring, o.head = ring, 0
}

// take removes the first packet. The outbox is not empty.
func (o *outbox) take() outgoing {
	slot := &o.ring[o.head]
	p := *slot
	*slot = outgoing{}
	o.head = (o.head + 1) % len(o.ring)
	o.n--
	o.bytes -= p.buf.Size()
	return p
}
