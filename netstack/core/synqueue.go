package core

// The SYN queue of all listeners: who may be half-open, and what becomes of the
// others. Read first: RFC 4987 (SYN floods).
//
// Invariant: the sources' numbers add up to halfOpen, and a source that has none
// is not there.

import (
	"net/netip"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// A source is who a SYN claims to be from: an IPv4 address, or the first half of
// an IPv6 one, as every host has the other half to itself (RFC 7421).
type source struct {
	prefix [8]byte
	v6     bool
}

func sourceOf(a netip.Addr) (s source) {
	if a.Is4() {
		v4 := a.As4()
		copy(s.prefix[:], v4[:])
		return s
	}
	v6 := a.As16()
	copy(s.prefix[:], v6[:])
	s.v6 = true
	return s
}

// A synQueue counts the connections in SYN-RECEIVED.
type synQueue struct {
	halfOpen int
	sources  map[source]int // as many at most as are half-open
}

func (q *synQueue) enter(a netip.Addr) {
	if q.sources == nil {
		q.sources = make(map[source]int)
	}
	q.halfOpen++
	q.sources[sourceOf(a)]++
}

func (q *synQueue) leave(a netip.Addr) {
	s := sourceOf(a)
	q.halfOpen--
	if q.sources[s]--; q.sources[s] == 0 {
		delete(q.sources, s)
	}
}

// enterHalfOpen takes a place in the SYN queue.
func (s *TCP) enterHalfOpen(l *Listener) {
	s.listener = l
	s.halfOpen = true
	l.halfOpen++
	s.core.tcp.syns.enter(s.conn.ID().Remote.Addr())
}

// leaveHalfOpen gives it back.
func (s *TCP) leaveHalfOpen() {
	s.halfOpen = false
	s.listener.halfOpen--
	s.core.tcp.syns.leave(s.conn.ID().Remote.Addr())
}

// crammed reports whether there is no place in the SYN queue for one more from a.
// One source alone takes a part of it only: who floods from an address of his own
// does not keep others out.
func (l *Listener) crammed(a netip.Addr) bool {
	q, limits := &l.core.tcp.syns, &l.core.cfg.Limits
	return l.halfOpen >= l.backlog || q.halfOpen >= limits.HalfOpen || q.sources[sourceOf(a)] >= limits.HalfOpenPerSource
}

// config returns what connections of the listener are configured with.
func (l *Listener) config() *tcp.Config {
	if l.cfg != nil {
		return l.cfg
	}
	return &l.core.cfg.TCP
}

// sendCookie answers a SYN that finds no place. Who is in TIME-WAIT waits: a cookie
// is not sure to lie beyond the old connection's numbers (RFC 9293 MAY-2).
//
// A cookie of Fast Open does not help: who has a good one, from an address of his own,
// could otherwise flood where nobody else gets in. RFC 7413 4.2.2 has the server fall
// back to the usual handshake: the SYN alone is acknowledged, and the client sends its
// text again with the answer. It costs it a round trip while the flood lasts.
func (l *Listener) sendCookie(now clock.Time, in *inbound, h *wire.TCP, old *timeWait) wire.Drop {
	c := l.core
	if l.config().NoSynCookies || old != nil || l.hold != nil {
		return wire.DropListenFull
	}
	p, _, e := c.findPath(in.src, in.dst, in.ifc)
	if e != errno.OK {
		return wire.DropNoRoute
	}
	var synAck wire.TCP
	c.cookies.Answer(now, idOf(in, h), l.config(), c.pool, int(p.mtu)-ipLen(in.dst), h, &synAck)
	if d := c.answerTCP(in, &synAck); d != wire.DropNone {
		return d
	}
	l.lastCookie = now
	c.stats.TCPCookiesSent++
	return wire.DropNone
}

// receiveCookie looks whether an acknowledgment is the answer to a cookie. It
// reports false if not. It looks only while there are cookies that can be
// answered: nobody guesses at a listener that is not flooded.
func (l *Listener) receiveCookie(now clock.Time, in *inbound, h *wire.TCP, payload []byte) (wire.Drop, bool) {
	const forbidden = wire.SYN | wire.RST
	if !l.lastCookie.IsSet() || now.Sub(l.lastCookie) > tcp.CookieLife || h.Flags&(wire.ACK|forbidden) != wire.ACK {
		return wire.DropNone, false
	}
	c := l.core
	k, ok := c.cookies.Check(now, idOf(in, h), h)
	if !ok {
		c.stats.TCPCookiesFailed++
		return wire.DropNone, false
	}
	// What is dropped comes again, as text or its absence makes the peer ask.
	if l.full() {
		return wire.DropListenFull, true
	}
	s, d := l.open(in, h)
	if s == nil {
		return d, true
	}
	c.stats.TCPCookiesAccepted++
	action, d := s.conn.AcceptCookie(now, &k, int(s.path.mtu)-int(s.ipLen), h, payload)
	if action == tcp.ActionReset {
		c.sendReset(in, h, len(payload))
	}
	s.recallMTU(now)
	s.collect(now)
	s.enqueue()
	return d, true
}

// idOf returns the name of the connection that a segment is for.
func idOf(in *inbound, h *wire.TCP) tcp.ID {
	return tcp.ID{
		Local:  netip.AddrPortFrom(in.dst, h.DstPort),
		Remote: netip.AddrPortFrom(in.src, h.SrcPort),
	}
}
