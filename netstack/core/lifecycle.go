package core

import (
	"net/netip"
	"slices"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
)

// Waiters calls yield with the user's end of every TCP, UDP and echo socket that
// has one and is not over, in no particular order, until it returns false. The
// core must not be changed meanwhile. Driver's goroutine.
func (c *Core) Waiters(yield func(Waiter) bool) {
	for s := range c.tcp.conns.all() {
		if s.waiter != nil && !yield(s.waiter) {
			return
		}
	}
	c.datagrams(func(s *datagram) bool { return s.waiter == nil || yield(s.waiter) })
}

// datagrams calls yield with every open datagram socket until it returns false.
func (c *Core) datagrams(yield func(*datagram) bool) {
	for _, p := range c.udp.ports {
		for _, s := range p.all {
			if !yield(&s.datagram) {
				return
			}
		}
	}
	for _, s := range c.pings {
		if !yield(&s.datagram) {
			return
		}
	}
}

// Close is the end of a core: listeners stop listening, every connection is
// reset and fails with errno.Closed, as do datagram sockets. Send has the
// resets, and the next EndTurn tells the users; what arrives is dropped, nothing
// can be opened any more, and the counters can still be read. It may be called
// more than once. Driver's goroutine.
func (c *Core) Close(now clock.Time) {
	c.attend(now)
	if c.closed {
		return
	}
	c.closed = true
	var listeners []*Listener
	for _, ls := range c.tcp.listeners {
		listeners = append(listeners, ls...)
	}
	for _, l := range listeners {
		l.Close(now)
	}
	for _, s := range slices.Collect(c.tcp.conns.all()) {
		s.failed = errno.Closed
		if s.Deferred() {
			s.beginDeferred(now) // or there is nothing to abort
		}
		s.conn.Abort(now)
		s.collect(now)
		s.enqueue()
	}
	var open []*datagram
	c.datagrams(func(s *datagram) bool {
		open = append(open, s)
		return true
	})
	for _, s := range open {
		s.ended.Store(true)
		s.open = false
		s.transport.detach()
		s.notify(tcp.EventFailed)
	}
}

// SetLimits changes how many bytes may wait in the socket's queues; zero or
// less leaves a limit as it is. Any goroutine.
func (s *datagram) SetLimits(recv, send int) {
	if recv > 0 {
		s.in.SetMaxBytes(recv)
	}
	if send > 0 {
		s.out.SetMaxBytes(send)
	}
}

// SourceFor returns the address that packets to dst would come from, with the
// length of its subnet. It reports false if dst cannot be reached. Driver's
// goroutine.
func (c *Core) SourceFor(dst netip.Addr) (netip.Prefix, bool) {
	_, src, e := c.findPath(dst.WithZone("").Unmap(), netip.Addr{}, nil)
	if e != errno.OK {
		return netip.Prefix{}, false
	}
	for _, own := range c.sources {
		if own.Prefix.Addr() == src {
			return own.Prefix, true
		}
	}
	return netip.PrefixFrom(src, src.BitLen()), true
}
