package core

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/neighbor"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

// tcpFlagsAt is the place of the flags in a TCP header, tcpOffsetAt that of the
// header's length.
const (
	tcpOffsetAt = 12
	tcpFlagsAt  = 13
)

// send writes the connection's next segment to b: link and IP header before
// the place where the connection writes TCP header and data, all of it once.
func (s *TCP) send(now clock.Time, ifc *Interface, b []byte) (int, phy.Offload) {
	c := s.core
	if s.held {
		return s.expireHold(now)
	}
	if s.path.gen != c.gen && !s.reroute(now) {
		return 0, phy.Offload{} // it is another interface's now
	}
	lost := wire.DropNone
	hw := s.path.hw
	switch {
	case s.path.ifc == nil:
		lost = wire.DropNoRoute
	case s.evicted == now:
		// To look the neighbour up again would evict another's in turn, and so
		// on for ever. The retransmission does it, later.
		lost = wire.DropUnresolved
	case s.path.next.IsValid() && s.resolved != now:
		var res neighbor.Result
		hw, res = ifc.resolve(now, s.path.next)
		if res == neighbor.Wait && s.park() {
			return 0, phy.Offload{}
		}
		if res == neighbor.Resolved {
			s.path.hw, s.resolved = hw, now
		} else {
			lost = wire.DropUnresolved
		}
	}
	off := ifc.linkLen + int(s.ipLen)
	s.conn.In.Publish() // so that the segment offers what has gone to a waiting reader
	s.conn.Sums = !ifc.caps.TxChecksum
	seg, ok := s.conn.Send(now, b[off:ifc.roomFor(&s.path, b)])
	s.collect(now)
	if stalled := s.conn.Stalled(); stalled != s.stalled {
		s.stalled = stalled
		s.suspect(now)
	}
	if !ok {
		if !s.attached {
			ifc.template.forget(s)
		}
		s.rest()
		return 0, phy.Offload{}
	}
	if lost != wire.DropNone {
		// There is no way to the peer. The segment is lost, as it would be on a
		// way that is broken further off: so timers run, and end what they end.
		c.drop(lost)
		s.enqueue()
		return 0, phy.Offload{}
	}
	n := off + seg.Len
	t := ifc.templateOf(s, hw) // not before: those who have nothing to say leave it to the others
	t.put(ifc, b, seg.Len, seg.ECN)
	c.stats.TCPOut++
	if b[off+tcpFlagsAt]&byte(wire.RST) != 0 {
		c.stats.TCPResetsOut++
	}
	offload := t.putChecksum(ifc, b[off:n], &seg)
	if seg.SegmentSize != 0 {
		offload.HeaderLen = uint16(off) + uint16(b[off+tcpOffsetAt]>>4)*4
		offload.SegmentSize = seg.SegmentSize
		offload.GSOType = phy.GSOTCPv4
		if t.v6 {
			offload.GSOType = phy.GSOTCPv6
		}
	}
	return n, offload
}

// suspect passes on the negative advice of a connection that has begun to
// stall: RFC 9293 MUST-20, 3.8.3 (b). A neighbour that is gone, or has another
// link address now, is found out long before the connection gives up. Routes
// need no advice: whoever changes them moves the generation on.
func (s *TCP) suspect(now clock.Time) {
	if s.stalled && s.path.next.IsValid() {
		s.path.ifc.neigh.Suspect(now, s.path.next)
	}
}

// roomFor returns where in b the segments of a path end: at the path's MTU, or
// at the largest super-frame that the device cuts up for us.
func (ifc *Interface) roomFor(p *path, b []byte) int {
	room := int(p.mtu)
	if room == 0 {
		room = ifc.mtu // there is no path: the segment is lost anyway
	}
	if ifc.caps.TxChecksum && ifc.caps.MaxSuperFrame > room {
		room = min(ifc.caps.MaxSuperFrame, maxMTU)
	}
	return min(ifc.linkLen+room, len(b))
}

// park waits for the neighbour, and reports false if too many wait already.
func (s *TCP) park() bool {
	if !s.parked {
		s.parked = s.path.ifc.neigh.Wait(s.path.next, s)
	}
	return s.parked
}

// reroute looks up the path again, after routes or addresses have changed. It
// reports false if the socket has moved to another interface's run queue.
func (s *TCP) reroute(now clock.Time) bool {
	id := s.conn.ID()
	p, _, e := s.core.findPath(id.Remote.Addr(), id.Local.Addr(), s.ifc)
	if e == errno.OK && !s.core.isLocal(id.Local.Addr()) {
		e = errno.NetUnreach // the address was removed
	}
	if e != errno.OK {
		s.path, s.parked = path{gen: s.core.gen}, false
		s.unreachable(now, e)
		return true
	}
	other := p.ifc != s.path.ifc || p.next != s.path.next
	if other {
		s.parked = false // unpark does not listen to the old neighbour any more
		s.core.pathMTUs.forget(id.Remote.Addr())
	}
	if other || p.mtu != s.path.mtu { // else what was learnt of the path stays
		s.conn.SetMTU(now, int(p.mtu)-ipLen(id.Remote.Addr()))
	}
	s.path, s.resolved = p, 0
	if p.ifc != s.ifc {
		s.ifc.template.forget(s)
		s.moveTo(p.ifc)
		return false
	}
	return true
}

// answerTCP sends a segment without data that no connection stands behind to
// the sender of in.
func (c *Core) answerTCP(in *inbound, seg *wire.TCP) wire.Drop {
	h := ipHeader{src: in.dst, dst: in.src, proto: wire.ProtoTCP, atomic: true}
	k, d := c.answer(in, &h, seg.HeaderLen())
	if d != wire.DropNone {
		return d
	}
	seg.Put(k.body)
	wire.SetChecksum(h.src, h.dst, h.proto, k.body, wire.TCPChecksumOffset)
	if d := k.post(); d != wire.DropNone {
		return d
	}
	c.stats.TCPOut++
	if seg.Flags.Has(wire.RST) {
		c.stats.TCPResetsOut++
	}
	return wire.DropNone
}
