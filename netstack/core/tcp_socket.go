package core

import (
	"net/netip"
	"sync/atomic"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/errno"
	"smolnet/netstack/neighbor"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/timer"
	"smolnet/netstack/wire"
)

// A TCP is a TCP socket: a connection and its user's end. Methods marked "any
// goroutine" are for the facade: one reader and one writer at a time.
type TCP struct {
	socket
	chain     chain[*TCP] // in the demultiplexer
	timer     timer.Entry
	path      path
	confirmed clock.Time // when the neighbour was last confirmed
	resolved  clock.Time // when path.hw was taken from the neighbour table: good for that instant
	evicted   clock.Time // when the neighbour it waited for had to make room for another
	flow      uint32     // IPv6 flow label, RFC 6437 3
	applied   intent     // what of the user's intents was carried out
	class     uint8      // Differentiated Services field, RFC 2474
	ipLen     uint8      // IP header, bytes
	failed    errno.Errno
	attached  bool // in the demultiplexer
	dialed    bool // counted in tcpDemux.dialed
	halfOpen  bool // counted as half-open
	parked    bool // waits for the neighbour path.next
	stalled   bool // the connection has reached R1
	held      bool // its SYN waits for Answer
	released  bool // streams and the charge were given back
	fast      bool // dialed: with Fast Open, until it has taught; else counted in fastOpens.pending

	// Shared with the user, see tcp_shared.go.
	status   atomic.Uint32
	intent   atomic.Uint32
	reported atomic.Uint32

	conn tcp.Conn

	// listener is where a passive connection came from, until it was passed
	// to Accept.
	listener *Listener
}

// confirmEvery is how often the progress of one connection is reported to the
// neighbour table: far more often than an entry gets stale, RFC 4861 7.3.1.
const confirmEvery = 1e9 // nanoseconds

// DialOptions for an active open. Local may be zero: address by source
// selection, port ephemeral (RFC 6056).
type DialOptions struct {
	Local, Remote netip.AddrPort // RFC 9293 MUST-43: the local one is optional
	Config        *tcp.Config    // nil: the stack's
	Waiter        Waiter

	// Congestion makes the congestion controller; nil: that of Config.
	Congestion congestion.Factory

	// FastOpen: RFC 7413. Towards a server that is known to take text from SYNs
	// the connection waits for the first Write (or Read, or CloseWrite), which goes
	// out with the SYN, and TCP.Deferred is true; the user may write before the
	// connection is established. Other servers are asked for a cookie with a usual
	// SYN. If the SYN is lost the server may see the text twice: for requests only
	// that may be repeated.
	FastOpen bool
}

// clean returns an address without zone, and IPv4 in its own form.
func clean(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().WithZone("").Unmap(), a.Port())
}

// DialTCP starts an active open. An unspecified remote address means this host,
// as with package net; port 0 is a port like others, on which nobody listens.
// Failures at once: errno.NetUnreach (no route), errno.AddrNotAvail (the local
// address is not ours, or no port is left), errno.AddrInUse, errno.NoBufs,
// errno.AFNoSupport, errno.Invalid (no address, multicast or broadcast). Later:
// EventConnected or EventFailed to the Waiter.
func (c *Core) DialTCP(now clock.Time, o DialOptions) (*TCP, error) {
	c.attend(now)
	if c.closed {
		return nil, errno.Closed
	}
	local, remote := clean(o.Local), clean(o.Remote)
	if remote.IsValid() && remote.Addr().IsUnspecified() {
		to := loopbackIPv4
		if remote.Addr().Is6() {
			to = netip.IPv6Loopback()
		}
		remote = netip.AddrPortFrom(to, remote.Port())
	}
	if e := c.checkTCPRemote(remote); e != errno.OK {
		return nil, e
	}
	if e := c.checkLocal(local.Addr(), remote.Addr()); e != errno.OK {
		return nil, e
	}
	if c.full() {
		return nil, errno.NoBufs
	}
	// RFC 9293 MUST-44: without a local address the IP layer chooses one.
	p, src, e := c.findPath(remote.Addr(), local.Addr(), nil)
	if e != errno.OK {
		return nil, e
	}
	local, e = c.choosePort(now, netip.AddrPortFrom(src, local.Port()), remote)
	if e != errno.OK {
		return nil, e
	}
	s := c.newTCP(tcp.ID{Local: local, Remote: remote}, o.Config, p)
	if s == nil {
		return nil, errno.NoBufs
	}
	if o.Congestion != nil {
		s.conn.SetCongestion(now, o.Congestion)
	}
	s.waiter = o.Waiter
	s.dialed = true
	c.tcp.dialed[local]++
	if o.FastOpen {
		s.dialFast(now)
	} else {
		s.begin(now)
	}
	c.stats.TCPActiveOpens++
	s.enqueue()
	return s, nil
}

// checkTCPRemote says what is wrong with the remote end of a connection. RFC
// 9293 MUST-46: an OPEN to a broadcast or multicast address is refused.
func (c *Core) checkTCPRemote(a netip.AddrPort) errno.Errno {
	if !a.Addr().IsValid() || a.Addr().IsMulticast() {
		return errno.Invalid
	}
	if _, ok := c.isBroadcast(a.Addr()); ok {
		return errno.Invalid
	}
	return errno.OK
}

// checkLocal says what is wrong with a local address that the user chose for
// packets to remote.
func (c *Core) checkLocal(local, remote netip.Addr) errno.Errno {
	switch {
	case !local.IsValid():
	case local.Is4() != remote.Is4():
		return errno.AFNoSupport
	case !local.IsUnspecified() && !c.isLocal(local):
		return errno.AddrNotAvail
	}
	return errno.OK
}

// full reports whether there is no room for another connection: they are too
// many, or what is left of the memory budget is for those that exist.
func (c *Core) full() bool {
	return c.tcp.conns.len() >= c.cfg.Limits.Connections || c.short()
}

// short reports whether there is no memory for another socket, and counts it.
func (c *Core) short() bool {
	if !c.pool.At(stream.RefuseOpens) {
		return false
	}
	c.pool.Note(stream.RefuseOpens)
	return true
}

// choosePort completes local.
func (c *Core) choosePort(now clock.Time, local, remote netip.AddrPort) (netip.AddrPort, errno.Errno) {
	a := local.Addr()
	if port := local.Port(); port != 0 {
		if c.portTaken(a, port) || c.nameTaken(now, keyOfPorts(local, remote), true) {
			return local, errno.AddrInUse
		}
		return local, errno.OK
	}
	port, ok := c.ports.Select(a, remote, func(port uint16) bool { return c.tupleTaken(now, a, port, remote, false) })
	if !ok { // rather than none, one that is in TIME-WAIT
		port, ok = c.ports.Select(a, remote, func(port uint16) bool { return c.tupleTaken(now, a, port, remote, true) })
	}
	if !ok {
		return local, errno.AddrNotAvail
	}
	return netip.AddrPortFrom(a, port), errno.OK
}

// socketCharge is what a TCP socket counts for in the memory budget, besides
// its pages: this object, its places in the demultiplexer and in the timer queue,
// and what the outer half has of it, with somebody who waits in Read. rest gives
// it back.
const socketCharge = 4 << 9

// newTCP makes a socket and adds it to the demultiplexer. Without memory for it
// it returns nil.
func (c *Core) newTCP(id tcp.ID, cfg *tcp.Config, p path) *TCP {
	if !c.pool.Reserve(socketCharge) {
		return nil
	}
	if cfg == nil {
		cfg = &c.cfg.TCP
	}
	s := &TCP{path: p, attached: true, flow: c.rand.Uint32() >> 12, ipLen: uint8(ipLen(id.Remote.Addr()))}
	s.core, s.self, s.ifc = c, s, p.ifc
	s.conn.Init(id, cfg, c.pool)
	s.conn.SetTimestampOffset(c.isn.TimestampOffset(id))
	s.conn.HoldText = true // until collect or deliver
	s.conn.Challenges = &c.challenges
	k := keyOfPorts(id.Local, id.Remote)
	c.tcp.conns.add(&k, s)
	return s
}

// Conn returns the connection. It is the driver's goroutine's; whoever changes
// it must not call Send or Receive, and calls Kick afterwards.
func (s *TCP) Conn() *tcp.Conn { return &s.conn }

// Kick makes the driver look at the socket: after a change to its Conn. Any
// goroutine.
func (s *TCP) Kick() { s.kick() }

// SetTrafficClass sets the Differentiated Services field (RFC 2474) of what is
// sent from now on: the upper six bits of class. The lower two belong to
// congestion notification (RFC 3168) and are ignored. RFC 9293 MUST-48, SHLD-21:
// it may change while the connection is open. SHLD-22: it goes out as it is.
// Driver's goroutine.
func (s *TCP) SetTrafficClass(class uint8) { s.class = class &^ wire.ECNMask }

// SetWaiter replaces the user's end; nil: nobody is told. Driver's goroutine.
func (s *TCP) SetWaiter(w Waiter) { s.waiter = w }

// deliver passes a new connection to its listener, and events to the user.
func (s *TCP) deliver(now clock.Time, ev tcp.Events) {
	if ev&eventHeld != 0 {
		if s.held {
			s.listener.hold(s)
		}
		if ev &^= eventHeld; ev == 0 {
			return
		}
	}
	if l := s.listener; l != nil && !s.halfOpen && ev&tcp.EventConnected != 0 {
		s.listener = nil
		if l.closed {
			s.drop(now)
			return
		}
		l.accept(s)
	}
	if ev&tcp.EventReadable != 0 {
		s.conn.In.Publish()
	}
	if s.waiter != nil {
		s.waiter.Ready(ev)
	}
}

// drop ends a connection that no user has, with a reset.
func (s *TCP) drop(now clock.Time) {
	s.held = false
	s.applied |= intentAbort
	s.conn.Abort(now)
	s.collect(now)
	s.enqueue()
}

// collect acts on the connection's events and publishes them.
func (s *TCP) collect(now clock.Time) {
	ev := s.conn.TakeEvents()
	if ev&tcp.EventPathMTU != 0 {
		s.notePathMTU(now)
		ev &^= tcp.EventPathMTU
	}
	if ev == 0 {
		return
	}
	c := s.core
	if s.fast {
		s.settleFast(now, ev)
	}
	old := s.status.Load()
	st := old
	if ev&tcp.EventConnected != 0 {
		st |= statusConnected
		c.stats.TCPEstablished++
		if s.halfOpen {
			s.leaveHalfOpen()
			s.listener.untaken.Add(1)
		}
	}
	if ev&tcp.EventPeerClosed != 0 {
		st |= statusPeerClosed
	}
	if e := s.conn.Err(); e != errno.OK && st&statusFailed == 0 {
		if s.failed != errno.OK {
			e = s.failed
		}
		st |= statusFailed | uint32(e)<<statusErrnoShift
		ev |= tcp.EventFailed
		c.stats.TCPFailed++
	}
	if ev&(tcp.EventTimeWait|tcp.EventClosed) != 0 {
		st |= statusFinished
	}
	if st != old {
		s.conn.In.Publish() // what the status says holds for all that has arrived
		s.status.Store(st)
	}
	if ev&tcp.EventTimeWait != 0 {
		if c.timeWait.add(s.conn.TimeWait()) {
			c.stats.TCPTimeWaitEvicted++
		}
	}
	if st&statusFinished != 0 {
		s.detach()
	}
	s.notify(ev)
}

// detach takes the socket out of the demultiplexer. The user may still read
// what has arrived.
func (s *TCP) detach() {
	if !s.attached {
		return
	}
	s.attached = false
	c, id := s.core, s.conn.ID()
	s.conn.AddTo(&c.stats.TCPEnded)
	c.tcp.remove(s)
	c.timers.Set(&s.timer, s, 0)
	if s.dialed {
		if c.tcp.dialed[id.Local]--; c.tcp.dialed[id.Local] == 0 {
			delete(c.tcp.dialed, id.Local)
		}
	}
	if s.halfOpen {
		// It failed before it was connected: no user ever hears of it.
		s.leaveHalfOpen()
		s.listener = nil
		s.applied |= intentAbort
	}
}

// attend carries out what the user has asked for since the last time.
func (s *TCP) attend(now clock.Time) {
	want := intent(s.intent.Load())
	fresh := want &^ s.applied
	if s.awaited(fresh) {
		s.beginDeferred(now)
		if s.path.ifc == nil {
			s.unreachable(now, errno.NetUnreach)
		}
	}
	s.applied |= fresh
	if s.attached {
		if fresh&intentCloseWrite != 0 {
			s.conn.CloseWrite(now)
		}
		if fresh&intentClose != 0 {
			s.conn.Close(now)
		}
		if fresh&intentAbort != 0 {
			s.conn.Abort(now)
		}
		s.collect(now)
	}
	if fresh&(intentClose|intentAbort) != 0 {
		s.waiter = nil // the user has gone
	}
	s.enqueue()
}

// unpark puts the socket back to work: its neighbour has answered, or not.
func (s *TCP) unpark(now clock.Time, ifc *Interface, o *neighbor.Outcome[*TCP]) {
	if s.path.ifc != ifc || s.path.next != o.Addr {
		return // it waited, and goes another way by now
	}
	s.parked = false
	switch o.Reason {
	case neighbor.Unanswered:
		if s.path.gen == s.core.gen { // else there may be a better way
			s.unreachable(now, errno.HostUnreach)
		}
	case neighbor.Evicted:
		s.evicted = now
	}
	s.enqueue()
}

// unreachable tells the connection that there is no way to its peer. While it
// opens that is the end of it: this is our own finding, not a router's, and the
// user is better served at once.
func (s *TCP) unreachable(now clock.Time, e errno.Errno) {
	if !s.attached {
		return
	}
	if s.conn.State() == tcp.StateSynSent {
		s.failed = e
		s.conn.Abort(now)
	} else {
		s.conn.Unreachable(now, e)
	}
	s.collect(now)
}

// rest is called when the connection has nothing to send: it waits for its
// next timer or, if it is over and its user gone, gives back its memory.
func (s *TCP) rest() {
	if s.attached {
		s.core.timers.Set(&s.timer, s, s.conn.Deadline())
		return
	}
	if !s.released && s.applied&(intentClose|intentAbort) != 0 {
		s.released = true
		s.conn.In.Reset()
		s.conn.Out.Reset()
		s.core.pool.Unreserve(socketCharge)
	}
}

// confirm tells the neighbour table that the peer hears us: RFC 4861 7.3.1.
func (s *TCP) confirm(now clock.Time) {
	if s.path.next.IsValid() && (!s.confirmed.IsSet() || now.Sub(s.confirmed) >= confirmEvery) {
		s.confirmed = now
		s.path.ifc.neigh.Confirm(now, s.path.next)
	}
}

// sendReset answers a segment that is for no connection, RFC 9293 3.10.7.1.
func (c *Core) sendReset(in *inbound, h *wire.TCP, n int) {
	var rst wire.TCP
	if tcp.Reset(h, n, &rst) {
		c.drop(c.answerTCP(in, &rst))
	}
}
