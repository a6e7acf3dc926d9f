package core

import (
	"sync/atomic"

	"smolnet/netstack/clock"
	"smolnet/netstack/tcp"
	"smolnet/phy"
)

// A Waiter is the user's end of a socket. Ready is called on the driver's
// goroutine, in EndTurn, at most once a turn, and must not block. It may use
// the socket and the core.
type Waiter interface{ Ready(ev tcp.Events) }

// A worker is a socket as the run queues and the dirty list see it.
type worker interface {
	// attend looks at what the user wants.
	attend(now clock.Time)
	// send writes the socket's next frame for ifc to b, after the socket was
	// taken out of ifc's run queue. Zero: there is none. A socket that has more
	// to do than to wait then has queued itself again, here or elsewhere, and
	// has got on by a step, so that it cannot do so for ever.
	send(now clock.Time, ifc *Interface, b []byte) (int, phy.Offload)
	// deliver passes events to the user.
	deliver(now clock.Time, ev tcp.Events)
}

// A socket is what sockets of all kinds have in common. All of it but dirty is
// the driver's; dirtyNext belongs to whoever owns the socket's place on the
// dirty list.
type socket struct {
	core      *Core
	self      worker // what this is part of
	waiter    Waiter
	ifc       *Interface // whose run queue it joins
	runNext   *socket
	dirtyNext *socket
	dirty     atomic.Uint32 // 1: on the dirty list
	events    tcp.Events    // for the user, since the last EndTurn
	queued    bool          // in the run queue of ifc
}

// kick tells the driver, from any goroutine, that the socket wants attention.
func (s *socket) kick() {
	// Wake is called by everybody who added something, not only by the first
	// one: that one may be suspended between the two.
	if s.core.dirty.push(s) && s.core.cfg.Wake != nil {
		s.core.cfg.Wake()
	}
}

// notify adds to the events that EndTurn delivers.
func (s *socket) notify(ev tcp.Events) {
	if ev == 0 {
		return
	}
	if s.events == 0 {
		s.core.ready = append(s.core.ready, s)
	}
	s.events |= ev
}

// enqueue puts the socket in the run queue of its interface.
func (s *socket) enqueue() {
	if !s.queued {
		s.ifc.run.pushBack(s)
	}
}

// moveTo puts the socket in the run queue of another interface.
func (s *socket) moveTo(ifc *Interface) {
	if s.queued {
		s.ifc.run.remove(s)
	}
	s.ifc = ifc
	s.enqueue()
}

// A runQueue holds the sockets that may have something to send, first come
// first served.
type runQueue struct {
	head, tail *socket
}

func (q *runQueue) empty() bool { return q.head == nil }

func (q *runQueue) pushBack(s *socket) {
	s.queued = true
	s.runNext = nil
	if q.tail == nil {
		q.head = s
	} else {
		q.tail.runNext = s
	}
	q.tail = s
}

func (q *runQueue) pushFront(s *socket) {
	s.queued = true
	s.runNext = q.head
	q.head = s
	if q.tail == nil {
		q.tail = s
	}
}

// pop takes the first socket out. The queue is not empty.
func (q *runQueue) pop() *socket {
	s := q.head
	q.head = s.runNext
	if q.head == nil {
		q.tail = nil
	}
	s.runNext = nil
	s.queued = false
	return s
}

// remove takes s out, wherever it stands. It is for rare occasions: routes
// have changed.
func (q *runQueue) remove(s *socket) {
	var rest runQueue
	for !q.empty() {
		if x := q.pop(); x != s {
			rest.pushBack(x)
		}
	}
	*q = rest
}

// crowded reports whether there is no room for another datagram socket or
// listener: they are too many, or the last part of the memory budget has begun,
// which is for what exists.
func (c *Core) crowded() bool {
	return c.udp.open+len(c.pings)+c.tcp.listening >= c.cfg.Limits.Sockets || c.short()
}
