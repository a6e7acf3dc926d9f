package core

import (
	"net/netip"
	"sync/atomic"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/neighbor"
	"smolnet/netstack/packet"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

// A datagram is what UDP and echo sockets have in common: two rings and a path.
type datagram struct {
	socket
	proto  wire.Protocol
	family wire.EtherType // of a socket for one family, else zero
	local  netip.Addr     // invalid or unspecified: any of ours
	remote netip.AddrPort // valid: connected
	bcast  bool           // may send to broadcast addresses
	open   bool           // in the demultiplexer
	path   path           // to pathTo, from pathFrom
	pathTo netip.Addr
	// pathFrom is what was asked for, pathSrc what came of it.
	pathFrom, pathSrc netip.Addr
	transport         datagramProtocol

	// Shared with the user, see datagram_shared.go.
	in, out packet.Ring
	failure atomic.Uint32 // errno to be reported once
	starved atomic.Bool   // the writer waits for room
	ways    ways
	closed  atomic.Bool // by the user, who has left
	ended   atomic.Bool // by the core, while the user may be anywhere
}

// A datagramProtocol is what the kinds of datagram sockets differ in.
type datagramProtocol interface {
	// header returns the length of the transport header.
	header() int
	// put writes the transport header before the payload in b, and completes
	// it. port is that of the destination, or stands for it. By value: what an
	// interface's method is given a pointer to would be allocated.
	put(ifc *Interface, b []byte, off int, h ipHeader, port uint16) phy.Offload
	// detach takes the socket out of the demultiplexer.
	detach()
}

// init prepares a socket; its owner has set what is its own.
func (s *datagram) init(c *Core, self worker, t datagramProtocol, recv, send packet.Limits) {
	s.core, s.self, s.transport = c, self, t
	s.open = true
	s.in.Init(c.packets, recv)
	s.out.Init(c.packets, send)
	if len(c.ifcs) > 0 {
		s.ifc = c.ifcs[0] // until a destination says otherwise
	}
}

// deliver passes events to the user.
func (s *datagram) deliver(now clock.Time, ev tcp.Events) {
	if s.waiter != nil {
		s.waiter.Ready(ev)
	}
}

// attend looks at what the user wants: there are datagrams to send, or the
// socket is closed. What was written before is still sent.
func (s *datagram) attend(now clock.Time) {
	if s.closed.Load() && s.open {
		s.open = false
		s.waiter = nil
		s.transport.detach()
	}
	if s.ifc == nil {
		if len(s.core.ifcs) == 0 {
			return // and nothing was queued: no link takes it
		}
		s.ifc = s.core.ifcs[0]
	}
	s.enqueue()
}

// sendFailed reports a datagram that could not go out, although the writer was
// told nothing, to the one whom it concerns. Where a socket has many peers that
// is nobody: not a reader, and not one who writes the next datagram.
func (s *datagram) sendFailed(m *packet.Meta, e errno.Errno) {
	switch {
	case s.remote.IsValid() && s.proto == wire.ProtoUDP:
		s.fail(e)
	case s.proto == wire.ProtoUDP:
		// It is counted as dropped.
	default: // an echo request: in the place of the reply
		to := m.Remote
		if s.remote.IsValid() {
			to = netip.AddrPortFrom(s.remote.Addr(), to.Port())
		}
		s.core.drop(s.receive(packet.Meta{Remote: to, Local: m.Local, Err: e}, nil))
	}
}

// fail has the errno reported by the next call of the user.
func (s *datagram) fail(e errno.Errno) {
	s.failure.Store(uint32(e))
	s.notify(tcp.EventFailed)
}

// receive puts an arrived datagram into the ring.
func (s *datagram) receive(m packet.Meta, payload []byte) wire.Drop {
	if !s.in.Push(m, payload) {
		if s.in.Fits(len(payload)) {
			return wire.DropNoMemory
		}
		return wire.DropQueueFull
	}
	s.notify(tcp.EventReadable)
	return wire.DropNone
}

// send writes the next datagram to b, or all that are in one if the device cuts
// them apart. One whose neighbour is not known yet waits with the neighbour, and
// one that cannot be sent is thrown away, so that no destination blocks another;
// the next one's turn is after other sockets', as a user may write as fast as we
// throw away.
func (s *datagram) send(now clock.Time, ifc *Interface, b []byte) (int, phy.Offload) {
	m, payload, ok := s.out.Peek()
	if !ok {
		s.rest()
		return 0, phy.Offload{}
	}
	e := s.findPath(&m)
	if e == errno.OK && s.path.ifc != ifc {
		s.moveTo(s.path.ifc)
		return 0, phy.Offload{}
	}
	n, off := 0, phy.Offload{}
	if e == errno.OK {
		n, off, payload, e = s.build(now, ifc, b, &m, payload)
	} else {
		s.core.drop(wire.DropNoRoute)
	}
	if e == errno.OK {
		s.out.Advance(len(payload))
	} else {
		s.out.Pop()
	}
	// A writer is not woken for every datagram, but when half the queue is free.
	if s.starved.Load() && s.out.Roomy() {
		s.starved.Store(false)
		s.notify(tcp.EventWritable)
	}
	if e != errno.OK {
		s.sendFailed(&m, e)
	}
	if n == 0 {
		s.enqueue()
	}
	return n, off
}

// build writes a datagram to b, and returns its length: zero if it does not go
// out now, because it waits or because of the errno. sent is what of the payload
// is dealt with.
func (s *datagram) build(now clock.Time, ifc *Interface, b []byte, m *packet.Meta, payload []byte) (n int, offload phy.Offload, sent []byte, e errno.Errno) {
	c := s.core
	h := ipHeader{src: s.pathSrc, dst: s.pathTo, proto: s.proto, ttl: m.HopLimit, tos: m.TOS}
	if h.ttl == 0 && h.dst.IsMulticast() {
		h.ttl = 1 // RFC 1112 6.1: "the default time-to-live for all multicast IP datagrams is 1"
	}
	off := ifc.linkLen + ipLen(h.dst)
	head := off + s.transport.header()
	if head+firstSegment(m, payload) > ifc.linkLen+int(s.path.mtu) {
		c.drop(wire.DropTooBig)
		return 0, offload, payload, errno.MsgSize
	}
	hw := s.path.hw
	res := neighbor.Resolved
	if s.path.next.IsValid() {
		hw, res = ifc.resolve(now, s.path.next)
	}
	if res == neighbor.Failed {
		c.drop(wire.DropUnresolved)
		return 0, offload, payload, errno.HostUnreach
	}
	size, super := firstSegment(m, payload), 0
	if res == neighbor.Resolved {
		super = ifc.superPayload(m, payload, head, b)
	}
	payload = payload[:max(size, super)]
	n = head + len(payload)
	c.putIP(b[ifc.linkLen:], &h, n-off)
	copy(b[head:n], payload)
	if res == neighbor.Wait {
		s.transport.put(&plainInterface, b[:n], off, h, m.Remote.Port())
		if !ifc.neigh.Queue(s.path.next, b[ifc.linkLen:n]) {
			c.drop(wire.DropNoMemory)
		}
		return 0, offload, payload, errno.OK
	}
	offload = s.transport.put(ifc, b[:n], off, h, m.Remote.Port())
	if super > 0 {
		offload.GSOType, offload.HeaderLen, offload.SegmentSize = phy.GSOUDP, uint16(head), m.Segment
		s.countSegments(&h, datagrams(len(payload), m.Segment))
	}
	ifc.putLink(b, hw, etherType(b[ifc.linkLen:]))
	return n, offload, payload, errno.OK
}

// plainInterface stands for one that leaves no checksum to its device: packets
// that wait have theirs.
var plainInterface Interface

// findPath looks up where a datagram goes, or finds that the last one went the
// same way.
func (s *datagram) findPath(m *packet.Meta) errno.Errno {
	c := s.core
	dst, src := m.Remote.Addr(), m.Local
	if s.remote.IsValid() {
		dst = s.remote.Addr()
	}
	if !hasSource(src) {
		src = s.local
	}
	asked := src
	var via *Interface
	if i := int(m.Interface); i > 0 && i <= len(c.ifcs) {
		via = c.ifcs[i-1]
	}
	if s.path.gen == c.gen && s.pathTo == dst && s.pathFrom == asked && (via == nil || via == s.path.ifc) {
		return errno.OK
	}
	s.path.gen = 0
	if src == s.local && c.isGroup(src) { // bound to it in order to hear it
		src = netip.Addr{}
	}
	if hasSource(src) && !c.isLocal(src) {
		return errno.AddrNotAvail
	}
	if _, ok := c.isBroadcast(dst); ok && !s.bcast {
		return errno.Acces
	}
	p, from, e := c.findPath(dst, src, via)
	if e != errno.OK {
		return e
	}
	s.path, s.pathTo, s.pathFrom, s.pathSrc = p, dst, asked, from
	return errno.OK
}

// isGroup reports whether a is a multicast or broadcast address.
func (c *Core) isGroup(a netip.Addr) bool {
	_, ok := c.isBroadcast(a)
	return ok || a.IsMulticast()
}

// rest is called when there is nothing to send: the queue's memory is given back
// and, of a socket that its user has closed, that of what arrived too. Of one that
// only the core has closed it is not: the user may be inside the rings.
func (s *datagram) rest() {
	s.out.Trim()
	if !s.open && s.closed.Load() {
		s.in.Reset()
		s.out.Reset()
	}
}

// state is what SocketInfo says.
func (s *datagram) state() string {
	if s.remote.IsValid() {
		return "CONNECTED"
	}
	return "UNCONNECTED"
}

// SetWaiter replaces the user's end; nil: nobody is told. Driver's goroutine.
func (s *datagram) SetWaiter(w Waiter) { s.waiter = w }
