package conn

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"smolnet/netstack"
	"smolnet/netstack/clock"
	"smolnet/netstack/core"
	"smolnet/netstack/packet"
	"smolnet/netstack/tcp"
)

// An endpoint is what all kinds of sockets have in common: two directions, each
// with its deadline and one user at a time, and an end.
//
// Waiting is a receive on the direction's one-slot channel and nothing else.
// Whoever has news (the poll loop, a deadline, Close) stores it first and then
// puts a token in the slot if that is empty; the waiter looks at everything
// again for each token. A token too many costs one look, none is ever missing.
// What only those need who wait is made by the first who does, or, as to channels,
// taken over from one who needs it no longer.
type endpoint struct {
	st      *netstack.Stack
	network string // as package net's OpError says it: "tcp", "udp4", ...
	in, out direction
	mu      sync.Mutex // guards deadlines and turn; held for moments only
	turn    *sync.Cond // for those who wait for a direction; nil: nobody ever did
	closed  atomic.Bool
	opening atomic.Bool // somebody waits who is not the direction's user, see ConnectTCP
}

// A direction is one half of an endpoint: reading or writing.
type direction struct {
	slot    atomic.Pointer[chan struct{}] // nil: nobody has waited yet, or since rest
	busy    atomic.Uint32                 // who uses it: free, taken, wanted
	expired atomic.Bool                   // the deadline has passed
	due     clock.Time                    // when it will, if it is set; guarded by endpoint.mu
	timer   *time.Timer                   // made when first needed; guarded by endpoint.mu
}

// Values of direction.busy.
const (
	free uint32 = iota
	taken
	wanted // taken, and others wait for it on endpoint.turn
)

func (e *endpoint) init(st *netstack.Stack, network string) {
	e.st = st
	e.network = network
}

// signal makes the direction's user look again, after what there is to be seen
// was stored.
func (d *direction) signal() {
	ready := d.slot.Load()
	if ready == nil {
		return // nobody waits, and who comes to looks again first
	}
	select {
	case *ready <- struct{}{}:
	default:
	}
}

// ready returns the channel of d, for d's user: nobody else may wait, as the channel is
// somebody else's once the user has left, or rest was called. The first who asks finds a token in
// it: news may have come while there was no channel.
func (e *endpoint) ready(d *direction) <-chan struct{} {
	ready := d.slot.Load()
	if ready == nil {
		if ready, _ = e.st.Slots().Get().(*chan struct{}); ready == nil {
			ready = new(make(chan struct{}, 1))
		}
		d.slot.Store(ready)
		d.signal()
	}
	return *ready
}

// rest gives the channel of d up, for a time in which nobody is expected to wait.
// Nobody waits now. A signal that is under way to the old channel is not missed:
// its news is there to be seen by the one who asks for another. Who has the old
// one by then gets a token too many.
func (e *endpoint) rest(d *direction) {
	if ready := d.slot.Swap(nil); ready != nil {
		e.st.Slots().Put(ready)
	}
}

// wait sleeps until there is news for d.
func (e *endpoint) wait(d *direction) { <-e.ready(d) }

// waitAtMost sleeps until there is news for d or t has passed.
func (e *endpoint) waitAtMost(d *direction, t time.Duration) {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-e.ready(d):
	case <-timer.C:
	}
}

// acquire waits until the caller is the direction's only user.
func (e *endpoint) acquire(d *direction) {
	if d.busy.CompareAndSwap(free, taken) {
		return
	}
	e.mu.Lock()
	if e.turn == nil {
		e.turn = sync.NewCond(&e.mu)
	}
	for d.busy.Swap(wanted) != free {
		e.turn.Wait()
	}
	e.mu.Unlock()
}

// release lets the next user in.
func (e *endpoint) release(d *direction) {
	if d.busy.Swap(free) == wanted {
		e.mu.Lock()
		e.turn.Broadcast()
		e.mu.Unlock()
	}
}

// enter acquires the direction for a call that may wait; the error is that of
// a closed endpoint, and then nothing is held.
func (e *endpoint) enter(d *direction) error {
	e.acquire(d)
	if e.closed.Load() {
		e.release(d)
		return net.ErrClosed
	}
	return nil
}

// pending returns why a call on d must not go on, or go on waiting.
func (e *endpoint) pending(d *direction) error {
	switch {
	case e.closed.Load():
		return net.ErrClosed
	case d.expired.Load():
		return os.ErrDeadlineExceeded
	}
	return nil
}

// shut closes the endpoint to its users and waits until all of them have left.
// It reports false if that was done before.
func (e *endpoint) shut() bool {
	if e.closed.Swap(true) {
		return false
	}
	for _, d := range []*direction{&e.in, &e.out} {
		d.signal()
		e.acquire(d)
		if !e.opening.Load() {
			e.rest(d)
		}
		e.release(d) // who comes from now on finds the endpoint closed
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.in.clearDeadline()
	e.out.clearDeadline()
	return true
}

// clearDeadline takes back the deadline. The caller holds endpoint.mu.
func (d *direction) clearDeadline() {
	if d.timer != nil {
		d.timer.Stop() // if it fires all the same, expire finds out
	}
	d.due = 0
	d.expired.Store(false)
}

// setDeadline moves the direction's deadline, the zero time being none. It
// reports false, and does nothing, if the endpoint is closed: shut, which closes
// it first, clears the deadlines that were set before.
func (e *endpoint) setDeadline(d *direction, t time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed.Load() {
		return false
	}
	d.clearDeadline()
	if t.IsZero() {
		return true
	}
	left := time.Until(t)
	if left <= 0 {
		d.expired.Store(true)
		d.signal()
		return true
	}
	d.due = e.st.Now().Add(left)
	if d.timer == nil {
		d.timer = time.AfterFunc(left, func() { e.expire(d) })
	} else {
		d.timer.Reset(left)
	}
	return true
}

// expire is the timer's function. It believes only the clock, so that a timer
// which fired just before it was moved does no harm.
func (e *endpoint) expire(d *direction) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !d.due.IsSet() {
		return
	}
	if left := d.due.Sub(e.st.Now()); left > 0 {
		d.timer.Reset(left)
		return
	}
	d.due = 0
	d.expired.Store(true)
	d.signal()
}

// deadlines is the body of the SetDeadline methods.
func (e *endpoint) deadlines(local net.Addr, t time.Time, ds ...*direction) error {
	for _, d := range ds {
		if !e.setDeadline(d, t) {
			return OpError("set", "", e.network, nil, local, net.ErrClosed)
		}
	}
	return nil
}

// notify is the body of the Ready methods.
func (e *endpoint) notify(ev tcp.Events) {
	const over = tcp.EventFailed | tcp.EventClosed | tcp.EventTimeWait
	if ev&(tcp.EventReadable|tcp.EventPeerClosed|over) != 0 {
		e.in.signal()
	}
	if ev&(tcp.EventWritable|tcp.EventFinAcked|tcp.EventConnected|over) != 0 {
		e.out.signal()
	}
}

// A pathfinder is a socket that can be told about the way to a destination.
type pathfinder interface {
	Knows(m packet.Meta) bool
	Learn(m packet.Meta)
}

// learn has s learn the way to a datagram's destination if it does not know it,
// so that its WriteTo fails where Linux's sendto would. The loop is asked once
// for each destination, and again when routes have changed.
func (e *endpoint) learn(s pathfinder, m packet.Meta) error {
	if s.Knows(m) {
		return nil
	}
	return e.st.Do(func(*core.Core) { s.Learn(m) })
}

// errInvalid is what package net's methods say to a nil connection.
const errInvalid = syscall.EINVAL

// ipOf returns the bytes of a as package net's sockets have them: four for a
// socket of IPv4, sixteen for one of IPv6, which may serve IPv4 too (wide).
// They are stored in buf.
func ipOf(a netip.Addr, wide bool, buf *[16]byte) net.IP {
	switch {
	case !a.IsValid():
		return nil
	case a.Unmap().Is4() && !wide:
		*(*[4]byte)(buf[:]) = a.Unmap().As4()
		return buf[:4:4]
	}
	*buf = a.As16()
	return buf[:]
}

// widen returns a as a socket that serves both families shows it.
func widen(a netip.AddrPort, wide bool) netip.AddrPort {
	if wide && a.Addr().Is4() {
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
	}
	return a
}
