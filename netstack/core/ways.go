package core

import (
	"net/netip"

	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
)

// maxWays bounds the destinations that one socket remembers: a few dozen bytes
// each.
const maxWays = 1 << 10

// A way is what a writer has to know of the way to a destination: the largest
// IP packet, or why there is none.
type way struct {
	mtu uint16
	err errno.Errno
}

// ways are what a datagram socket's writer remembers of its destinations, so
// that WriteTo can say at once what is wrong. They are the writer's; Learn fills
// them in while the writer waits.
type ways struct {
	gen   uint32             // of Core.wayGen
	known map[netip.Addr]way // of a connected socket: one, of the invalid address
	// The one that was asked for last, if recent. Most writers stay with one.
	recent bool
	last   netip.Addr
	way    way
}

// Knows reports that Learn would tell WriteTo nothing new of m's destination: it
// was asked already, or m names a source or an interface, of which nothing is
// remembered. Any goroutine, the writer's.
func (s *datagram) Knows(m packet.Meta) bool {
	if s.closed.Load() || s.complete(&m) != errno.OK || !learnable(&m) {
		return true
	}
	_, ok := s.way(&m)
	return ok
}

// Learn looks up the way to m's destination for the WriteTo that follows, and
// those to the same destination that follow that, until addresses, routes or a
// path's MTU have changed. Driver's goroutine, while the writer waits.
func (s *datagram) Learn(m packet.Meta) {
	if s.complete(&m) != errno.OK || !learnable(&m) {
		return
	}
	w := way{err: s.findPath(&m)}
	if w.err == errno.OK {
		w.mtu = s.path.mtu
	}
	k := &s.ways
	if gen := s.core.wayGen.Load(); k.gen != gen || k.known == nil {
		k.gen = gen
		k.known = make(map[netip.Addr]way)
	}
	k.recent = false
	for a := range k.known {
		if len(k.known) < maxWays {
			break
		}
		delete(k.known, a) // any
	}
	k.known[m.Remote.Addr()] = w
}

// way returns what is known of the way of a complete datagram.
func (s *datagram) way(m *packet.Meta) (way, bool) {
	k, to := &s.ways, m.Remote.Addr()
	if k.gen != s.core.wayGen.Load() {
		return way{}, false
	}
	if k.recent && k.last == to {
		return k.way, true
	}
	w, ok := k.known[to]
	if ok {
		k.recent, k.last, k.way = true, to, w
	}
	return w, ok
}

func learnable(m *packet.Meta) bool { return !m.Local.IsValid() && m.Interface == 0 }

// fits says what is wrong with the length of a datagram, or its segments, or the
// way to its destination. Of a way that is not known, of which it says so, it can
// only say that no link takes so much. RFC 4821 4: what TCP has found out of a path is
// no limit here, so that tools for diagnosis can send larger packets.
func (s *datagram) fits(n int, m *packet.Meta) (known bool, e errno.Errno) {
	mtu := int(s.core.maxMTU.Load())
	known = !learnable(m)
	if !known {
		var w way
		if w, known = s.way(m); known {
			if w.err != errno.OK {
				return true, w.err
			}
			mtu = int(w.mtu)
		}
	}
	size, ip := n, s.ipLenTo(m)
	if m.Segment > 0 {
		if n <= int(m.Segment) {
			m.Segment = 0
		} else {
			size = int(m.Segment)
		}
	}
	switch {
	case s.transport.header()+size+ip > mtu, n > maxUDPPayload(ip):
		return known, errno.MsgSize
	case datagrams(n, m.Segment) > MaxSegments:
		return known, errno.Invalid
	}
	return known, errno.OK
}
