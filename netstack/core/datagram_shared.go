package core

import (
	"net/netip"

	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
	"smolnet/netstack/wire"
)

// What a datagram socket shares with its user's goroutines: the two rings, the
// errno to be reported, whether the writer waits for room, what it remembers of its
// destinations, and two flags, each set once: closed by the user, ended by the
// driver.

// ReadFrom copies the next datagram to b: n bytes of size; what does not fit is
// lost. The error is errno.WouldBlock, errno.Closed, or on connected sockets,
// once, what an ICMP error or a failed WriteTo of earlier left behind, which goes
// before datagrams; no other socket's reader hears of those. An
// echo socket's ICMP errors stand in the place of the reply: m says of which
// request, and m.Err is the error. Any goroutine, one reader at a time.
func (s *datagram) ReadFrom(b []byte) (n, size int, m packet.Meta, err error) {
	bufs := [1][]byte{b}
	return s.ReadBuffers(bufs[:], false)
}

// ReadBuffers is ReadFrom into several buffers, of which each is filled before the
// next one. With join, what waits from the same source and is of the same size is
// copied with it, as far as it fits and up to [MaxSegments] datagrams. m.Segment
// is then their size, which only the last may fall short of; it is zero if it is
// one datagram after all.
func (s *datagram) ReadBuffers(bufs [][]byte, join bool) (n, size int, m packet.Meta, err error) {
	if e := s.refusal(); e != errno.OK {
		return 0, 0, m, e
	}
	return s.ReadNext(bufs, join)
}

// ReadNext is ReadBuffers for the same reader's next datagram of one call: what
// an ICMP error left behind stays for the next call.
func (s *datagram) ReadNext(bufs [][]byte, join bool) (n, size int, m packet.Meta, err error) {
	m, data, ok := s.in.Peek()
	if !ok {
		s.in.Trim()
		return 0, 0, m, errno.WouldBlock
	}
	if join && m.Err == errno.OK {
		if n, ok := s.join(bufs, &m, data); ok {
			return n, n, m, nil
		}
	}
	size = firstSegment(&m, data)
	m.Segment = 0
	n = scatter(bufs, 0, data[:size])
	s.in.Advance(size)
	return n, size, m, m.Err.Err()
}

// takeFailure returns the pending errno to the first who asks.
func (s *datagram) takeFailure() errno.Errno {
	if s.failure.Load() == 0 {
		return errno.OK
	}
	return errno.Errno(s.failure.Swap(0))
}

// WriteTo queues a datagram. m.Remote must be zero on connected sockets
// (errno.IsConn) and valid on others (errno.Invalid); m.Local, m.HopLimit, m.TOS
// and m.Interface may be left zero. The error is errno.WouldBlock (the queue is
// full), errno.NoBufs (memory), errno.AFNoSupport, errno.Closed; if the way to
// the destination was learnt, what is wrong with it (errno.MsgSize,
// errno.NetUnreach, errno.AddrNotAvail, errno.Acces), and else errno.MsgSize
// only if it is sure; or on connected sockets, once, what an ICMP error left
// behind. A datagram of a socket that is not connected which fails later is a
// packet that was lost. Any goroutine, one writer at a time.
func (s *datagram) WriteTo(b []byte, m packet.Meta) error {
	if e := s.refusal(); e != errno.OK {
		return e.Err()
	}
	bufs := [1][]byte{b}
	_, e := s.queue(bufs[:], &m, true)
	if e == errno.OK {
		s.kick()
	}
	return e.Err()
}

// Queue is WriteTo for the datagram that bufs make up together, but for telling
// the driver, which is left to Flush. It reports false, and has done nothing, if
// the way to the destination is to be learnt first. Any goroutine, one writer at a
// time.
//
// With m.Segment these are several datagrams, of that many bytes each and a last
// one that may be shorter; errno.Invalid: they are more than [MaxSegments].
func (s *datagram) Queue(bufs [][]byte, m packet.Meta) (known bool, err error) {
	if e := s.refusal(); e != errno.OK {
		return true, e.Err()
	}
	return s.QueueNext(bufs, m)
}

// QueueNext is Queue for the same writer's next datagram of one call: what an ICMP
// error left behind stays for the next call.
func (s *datagram) QueueNext(bufs [][]byte, m packet.Meta) (known bool, err error) {
	known, e := s.queue(bufs, &m, false)
	return known, e.Err()
}

// Flush tells the driver that there is something in the queue. Any goroutine.
func (s *datagram) Flush() { s.kick() }

// refusal says why a call is not begun: the socket is closed, or an error is to be
// reported.
func (s *datagram) refusal() errno.Errno {
	if s.closed.Load() || s.ended.Load() {
		return errno.Closed
	}
	return s.takeFailure()
}

// queue is QueueNext. With blind, ways need not be known.
func (s *datagram) queue(bufs [][]byte, m *packet.Meta, blind bool) (known bool, e errno.Errno) {
	if e := s.complete(m); e != errno.OK {
		return true, e
	}
	n := length(bufs)
	if known, e := s.fits(n, m); e != errno.OK || !known && !blind {
		return known, e
	}
	// Asked before Reserve, not after: the driver may take datagrams out meanwhile.
	if !s.out.Fits(n) {
		s.starved.Store(true)
		if !s.out.Fits(n) { // again: the driver looked before it was told
			return true, errno.WouldBlock
		}
	}
	room, ok := s.out.Reserve(n)
	if !ok {
		return true, errno.NoBufs
	}
	at := 0
	for _, b := range bufs {
		at += copy(room[at:], b)
	}
	s.out.Commit(m)
	return true, errno.OK
}

// complete gives m the form that the driver wants, and says what is wrong with
// its addresses.
func (s *datagram) complete(m *packet.Meta) errno.Errno {
	if s.proto != wire.ProtoUDP {
		m.Segment = 0
	}
	m.Local = m.Local.WithZone("").Unmap()
	m.Remote = clean(m.Remote)
	return s.checkRemote(m)
}

// checkRemote says what is wrong with a destination, or with a source for it.
func (s *datagram) checkRemote(m *packet.Meta) errno.Errno {
	to := m.Remote.Addr()
	switch {
	case s.remote.IsValid() && to.IsValid():
		return errno.IsConn
	case s.remote.IsValid() && m.Local.IsValid() && m.Local.Is4() != s.remote.Addr().Is4():
		return errno.AFNoSupport
	case s.remote.IsValid():
		return errno.OK
	case !to.IsValid(), s.proto == wire.ProtoUDP && m.Remote.Port() == 0:
		return errno.Invalid
	case to.Is4() && s.family == wire.EtherTypeIPv6, to.Is6() && s.family == wire.EtherTypeIPv4:
		return errno.AFNoSupport
	case m.Local.IsValid() && m.Local.Is4() != to.Is4():
		return errno.AFNoSupport
	}
	if to.IsUnspecified() { // this host, as with package net
		self := netip.IPv6Loopback()
		if to.Is4() {
			self = loopbackIPv4
		}
		m.Remote = netip.AddrPortFrom(self, m.Remote.Port())
	}
	return errno.OK
}

func (s *datagram) ipLenTo(m *packet.Meta) int {
	if s.remote.IsValid() {
		return ipLen(s.remote.Addr())
	}
	return ipLen(m.Remote.Addr())
}

// Close gives up the socket, after reader and writer have left; it is the last
// call. What was written is still sent. Any goroutine.
func (s *datagram) Close() {
	if !s.closed.Swap(true) {
		s.kick()
	}
}
