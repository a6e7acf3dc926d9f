package neighbor

import (
	"net/netip"

	"smolnet/netstack/packet"
	"smolnet/netstack/wire"
)

// pending are the packets that wait for one address, oldest first.
type pending struct {
	packets []*packet.Buffer
	bytes   int
}

func (p *pending) len() int { return len(p.packets) }

// Queue keeps a copy of the packet b until addr is resolved or fails. It
// reports false, and keeps nothing, unless the last Lookup of addr said [Wait],
// or if the memory budget is used up. When a bound is reached the oldest packet
// makes room: that of the same address first, then that of the address whose
// packets have waited longest.
func (c *Cache[W]) Queue(addr netip.Addr, b []byte) bool {
	e := c.entries[addr]
	if e == nil || e.state != Incomplete || c.packets == nil {
		return false
	}
	buf := c.packets.Get(len(b))
	if buf == nil {
		c.stats.Overflowed++
		return false
	}
	copy(buf.Bytes(), b)
	// RFC 4861 7.2.2: "The queue MUST hold at least one packet [...] When a queue
	// overflows, the new arrival SHOULD replace the oldest entry."
	for n := e.pending.len(); n > 0 && (n >= MaxPending || e.pending.bytes+len(b) > MaxPendingBytes); n-- {
		c.dropOldest(e)
	}
	for c.pendingPackets > 0 && (c.pendingPackets >= MaxAllPending || c.pendingBytes+buf.Size() > MaxAllBytes) {
		c.dropOldest(c.holders.first)
	}
	if e.pending.len() == 0 {
		c.holders.push(e)
	}
	e.pending.packets = append(e.pending.packets, buf)
	e.pending.bytes += len(b)
	c.pendingPackets++
	c.pendingBytes += buf.Size()
	return true
}

// dropOldest gives up the oldest packet that waits for e.
func (c *Cache[W]) dropOldest(e *entry[W]) {
	buf := e.pending.packets[0]
	n := copy(e.pending.packets, e.pending.packets[1:])
	e.pending.packets[n] = nil
	e.pending.packets = e.pending.packets[:n]
	e.pending.bytes -= len(buf.Bytes())
	c.pendingPackets--
	c.pendingBytes -= buf.Size()
	c.stats.Overflowed++
	if n == 0 {
		c.holders.remove(e)
	}
	c.packets.Put(buf)
}

// Wait keeps w until addr is resolved or fails. It reports false, and keeps
// nothing, unless the last Lookup of addr said [Wait], or if too many wait. A
// waiter that has lost interest meanwhile is told all the same, within a few
// seconds.
func (c *Cache[W]) Wait(addr netip.Addr, w W) bool {
	e := c.entries[addr]
	if e == nil || e.state != Incomplete || c.waiting >= MaxWaiters {
		return false
	}
	e.waiters = append(e.waiters, w)
	c.waiting++
	return true
}

// Waiters calls yield with everything that waits. The cache must not be changed
// meanwhile.
func (c *Cache[W]) Waiters(yield func(W)) {
	for e := c.ranks[rankIncomplete].first; e != nil; e = e.links[linkRank].next {
		for _, w := range e.waiters {
			yield(w)
		}
	}
}

// A Reason is why those who waited for an address are told.
type Reason uint8

// The reasons.
const (
	Answered    Reason = iota // resolved
	Unanswered                // nobody answered: host unreachable
	Unreachable               // was resolved, and does not answer any more; nobody waited
	Evicted                   // the entry made room, or was removed: a new Lookup may do better
)

// String returns the reason in lower case.
func (r Reason) String() string {
	switch r {
	case Answered:
		return "answered"
	case Unanswered:
		return "unanswered"
	case Unreachable:
		return "unreachable"
	case Evicted:
		return "evicted"
	}
	return "unknown"
}

// An Outcome is what came of a resolution, with everything that waited for it.
type Outcome[W any] struct {
	Addr    netip.Addr
	HW      wire.HardwareAddr // if Answered
	Reason  Reason
	Waiters []W              // in the order of their Wait
	Packets []*packet.Buffer // in the order of their Queue; the owner's now, to be Put to the pool
}

// Drain returns the next outcome. The owner calls it after Lookup, Learn, Next,
// Add, Remove and Flush until there are none. Failures are told even if nobody
// waited, success only if somebody did.
//
// While outcomes pile up, no new entries are made.
func (c *Cache[W]) Drain() (Outcome[W], bool) {
	if len(c.outcomes) == 0 {
		return Outcome[W]{}, false
	}
	o := c.outcomes[0]
	c.outcomes[0] = Outcome[W]{}
	if c.outcomes = c.outcomes[1:]; len(c.outcomes) == 0 {
		c.outcomes = nil
	}
	return o, true
}

// finish takes what waits for e and makes an outcome of it.
func (c *Cache[W]) finish(e *entry[W], why Reason) {
	if why == Answered && len(e.waiters) == 0 && e.pending.len() == 0 {
		return
	}
	o := Outcome[W]{Addr: e.addr, Reason: why, Waiters: e.waiters, Packets: e.pending.packets}
	if why == Answered {
		o.HW = e.hw
	}
	c.waiting -= len(e.waiters)
	if len(o.Packets) > 0 {
		c.holders.remove(e)
	}
	for _, buf := range o.Packets {
		c.pendingPackets--
		c.pendingBytes -= buf.Size()
	}
	e.waiters, e.pending = nil, pending{}
	c.outcomes = append(c.outcomes, o)
}
