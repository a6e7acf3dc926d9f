package core

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// ListenOptions say where to listen. A Local address of zero (invalid Addr)
// means both families; an unspecified IPv4 or IPv6 address that family only.
type ListenOptions struct {
	Local   netip.AddrPort // port 0: ephemeral
	Backlog int            // accept queue and SYN queue each; zero or negative: DefaultBacklog
	Config  *tcp.Config    // nil: the stack's

	// Accept is called on the driver's goroutine in EndTurn with each
	// established connection, whose Waiter it sets. It must not block; the core
	// never calls it with more than Backlog connections that were not Taken.
	Accept func(s *TCP)

	// Hold, if it is not nil, is called on the driver's goroutine in EndTurn with each
	// connection that a SYN asks for, and the SYN waits for its Answer, a minute at
	// most. Those that wait have places in the SYN queue; what finds none is dropped,
	// without a cookie, and text on SYNs is not taken. It must not block.
	Hold func(s *TCP)
}

// A Listener takes connections to a local address.
type Listener struct {
	core       *Core
	local      netip.AddrPort // as it was asked for, with the port
	cfg        *tcp.Config
	accept     func(*TCP)
	hold       func(*TCP) // nil: SYNs are answered at once
	backlog    int
	halfOpen   int        // connections in SYN-RECEIVED
	lastCookie clock.Time // when the last SYN cookie was sent
	untaken    atomic.Int64
	closed     bool
}

// ListenTCP listens. errno.AddrInUse, errno.AddrNotAvail (the address is not
// ours, or no port is left), errno.Invalid (no Accept, multicast or broadcast),
// errno.NoBufs (Limits.Sockets, or the memory budget is nearly used up).
func (c *Core) ListenTCP(now clock.Time, o ListenOptions) (*Listener, error) {
	c.attend(now)
	if c.closed {
		return nil, errno.Closed
	}
	local := clean(o.Local)
	a := local.Addr()
	if o.Accept == nil || a.IsMulticast() {
		return nil, errno.Invalid
	}
	if hasSource(a) && !c.isLocal(a) {
		return nil, errno.AddrNotAvail
	}
	port := local.Port()
	if port == 0 {
		var ok bool
		port, ok = c.ports.Random(func(p uint16) bool { return c.portTaken(a, p) })
		if !ok {
			return nil, errno.AddrNotAvail
		}
	} else if c.portTaken(a, port) {
		return nil, errno.AddrInUse
	}
	l := &Listener{core: c, local: netip.AddrPortFrom(a, port), cfg: o.Config, accept: o.Accept, hold: o.Hold, backlog: o.Backlog}
	if l.backlog <= 0 {
		l.backlog = DefaultBacklog
	}
	l.backlog = min(l.backlog, MaxBacklog)
	if c.crowded() {
		return nil, errno.NoBufs
	}
	c.tcp.listening++
	c.tcp.listeners[port] = append(c.tcp.listeners[port], l)
	return l, nil
}

// Addr returns the local address; that of a listener for both families is [::],
// as with package net. Any goroutine.
func (l *Listener) Addr() netip.AddrPort { return wildcard(l.local) }

// wildcard shows "both families" as the unspecified IPv6 address.
func wildcard(a netip.AddrPort) netip.AddrPort {
	if a.Addr().IsValid() {
		return a
	}
	return netip.AddrPortFrom(netip.IPv6Unspecified(), a.Port())
}

// Taken notes that one connection has left the accept queue. Any goroutine.
func (l *Listener) Taken() { l.untaken.Add(-1) }

// full reports whether the accept queue is full.
func (l *Listener) full() bool { return l.untaken.Load() >= int64(l.backlog) }

// Close stops listening. Half-open connections are reset; what was passed to
// Accept is the owner's. Driver's goroutine.
func (l *Listener) Close(now clock.Time) {
	if l.closed {
		return
	}
	l.closed = true
	l.core.tcp.listening--
	c, port := l.core, l.local.Port()
	ls := slices.DeleteFunc(c.tcp.listeners[port], func(x *Listener) bool { return x == l })
	if len(ls) == 0 {
		delete(c.tcp.listeners, port)
	} else {
		c.tcp.listeners[port] = ls
	}
	if l.halfOpen == 0 {
		return
	}
	var half []*TCP
	for s := range c.tcp.conns.all() {
		if s.halfOpen && s.listener == l {
			half = append(half, s)
		}
	}
	for _, s := range half {
		s.drop(now)
	}
}

// receive is the LISTEN state, RFC 9293 3.10.7.2. old is what is left of a
// connection of the same name, or nil: a new one replaces it, but until there is
// one it stays.
func (l *Listener) receive(now clock.Time, in *inbound, h *wire.TCP, payload []byte, old *timeWait) wire.Drop {
	c := l.core
	if d, ok := l.receiveCookie(now, in, h, payload); ok {
		return d
	}
	action, d := tcp.CheckListen(h)
	if action == tcp.ActionReset {
		c.sendReset(in, h, len(payload))
	}
	if d != wire.DropNone || action != tcp.ActionNone {
		return d
	}
	if l.full() {
		return wire.DropListenFull
	}
	if l.crammed(in.src) {
		return l.sendCookie(now, in, h, old)
	}
	s, d := l.open(in, h)
	if s == nil {
		return d
	}
	iss := c.isn.Next(now, s.conn.ID())
	if old != nil {
		iss = old.rec.NextISS(iss)
		defer s.conn.Succeed(&old.rec)
		c.timeWait.forget(old)
	}
	if l.hold != nil {
		s.conn.Accept(now, iss, int(s.path.mtu)-int(s.ipLen), h)
		s.recallMTU(now)
		s.hold(now)
		return wire.DropNone
	}
	if h.Options.HasFastOpen && l.config().FastOpen {
		l.acceptFast(now, s, iss, in, h, payload)
	} else {
		s.conn.Accept(now, iss, int(s.path.mtu)-int(s.ipLen), h)
	}
	s.recallMTU(now)
	s.collect(now)
	s.enqueue()
	return wire.DropNone
}

// open makes the socket of a connection that a segment asks for, with a place in
// the SYN queue. If it is nil, the drop says why.
func (l *Listener) open(in *inbound, h *wire.TCP) (*TCP, wire.Drop) {
	c := l.core
	if c.full() {
		return nil, wire.DropNoMemory
	}
	p, _, e := c.findPath(in.src, in.dst, in.ifc)
	if e != errno.OK {
		return nil, wire.DropNoRoute
	}
	s := c.newTCP(idOf(in, h), l.cfg, p)
	if s == nil {
		return nil, wire.DropNoMemory
	}
	s.enterHalfOpen(l)
	c.stats.TCPPassiveOpens++
	return s, wire.DropNone
}
