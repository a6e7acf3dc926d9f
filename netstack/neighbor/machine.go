package neighbor

import (
	"net/netip"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
)

// Read first: RFC 4861 sections 7.3.2 (states), 7.3.3 (node behaviour) and
// appendix C (state table). Invariant: every entry but a permanent one has a
// deadline and is in the list of its rank.

// Lookup returns the link address to send to for addr. It starts a resolution
// if there is no entry, and the reachability test if the entry is stale.
func (c *Cache[W]) Lookup(now clock.Time, addr netip.Addr) (wire.HardwareAddr, Result) {
	e := c.entries[addr]
	if e != nil && e.timer.Deadline().Due(now) && (e.state == Reachable || e.state == Invalid) {
		c.expire(now, e) // the owner has not come round to it yet
		e = c.entries[addr]
	}
	if e == nil {
		if e = c.create(now, addr, rankActive); e == nil {
			return wire.HardwareAddr{}, Failed
		}
		e.used = now
		c.setState(now, e, Incomplete, now) // the first solicitation is due at once
		return wire.HardwareAddr{}, Wait
	}
	e.used = now
	switch e.state {
	case Incomplete:
		return wire.HardwareAddr{}, Wait
	case Invalid:
		return wire.HardwareAddr{}, Failed
	case Stale:
		// RFC 4861 7.3.3: "The first time a node sends a packet to a neighbor whose
		// entry is STALE, the sender changes the state to DELAY and sets a timer to
		// expire in DELAY_FIRST_PROBE_TIME seconds."
		c.setState(now, e, Delay, now.Add(DelayFirstProbe))
	}
	return e.hw, Resolved
}

// Confirm notes that addr was heard of by way of forward progress of an upper
// layer (RFC 4861 7.3.1): it acknowledged something new that we sent. Addresses
// without a link address are ignored.
func (c *Cache[W]) Confirm(now clock.Time, addr netip.Addr) {
	if e := c.entries[addr]; e != nil {
		switch e.state {
		case Reachable, Stale, Delay, Probe:
			c.setReachable(now, e)
		}
	}
}

// Suspect notes that an upper layer makes no progress by way of addr (RFC 1122
// 3.3.1.4: "negative advice"): if its link address is known it is asked now
// whether it is still there. Others are ignored.
func (c *Cache[W]) Suspect(now clock.Time, addr netip.Addr) {
	if e := c.entries[addr]; e != nil {
		switch e.state {
		case Reachable, Stale, Delay:
			c.setState(now, e, Probe, now)
		}
	}
}

// A Solicitation is a neighbour solicitation or ARP request that is to be sent
// now.
type Solicitation struct {
	Addr    netip.Addr
	Unicast bool              // to HW, and to Addr itself
	HW      wire.HardwareAddr // if Unicast; else the group's address, or broadcast
}

// Next runs timers that are due and returns the next solicitation to send, or
// false when there is none left.
func (c *Cache[W]) Next(now clock.Time) (Solicitation, bool) {
	for {
		e, ok := c.timers.Pop(now)
		if !ok {
			return Solicitation{}, false
		}
		if c.expire(now, e) {
			c.stats.Solicited++
			return Solicitation{Addr: e.addr, Unicast: e.state == Probe, HW: e.hw}, true
		}
	}
}

// expire acts on an entry's deadline and reports whether a solicitation is to
// be sent.
func (c *Cache[W]) expire(now clock.Time, e *entry[W]) bool {
	switch e.state {
	case Incomplete:
		if e.tries < MaxMulticastSolicit {
			return c.solicit(now, e)
		}
		// RFC 4861 7.2.2: "If no Neighbor Advertisement is received after
		// MAX_MULTICAST_SOLICIT solicitations, address resolution has failed."
		c.stats.Failed++
		c.finish(e, Unanswered)
		c.setState(now, e, Invalid, now.Add(FailedHold))
	case Reachable:
		c.setState(now, e, Stale, now.Add(StaleTime))
	case Delay:
		// RFC 4861 7.3.3: "If the entry is still in the DELAY state when the timer
		// expires, the entry's state changes to PROBE."
		c.setState(now, e, Probe, now)
		return c.solicit(now, e)
	case Probe:
		if e.tries < MaxUnicastSolicit {
			return c.solicit(now, e)
		}
		// RFC 4861 7.3.3: "If no response is received after waiting RetransTimer
		// milliseconds after sending the MAX_UNICAST_SOLICIT solicitations,
		// retransmissions cease and the entry SHOULD be deleted."
		c.stats.Failed++
		c.delete(e, Unreachable)
	default: // Stale, Invalid
		c.delete(e, Unanswered)
	}
	return false
}

// solicit counts a solicitation and sets the time of the next.
func (c *Cache[W]) solicit(now clock.Time, e *entry[W]) bool {
	e.tries++
	c.timers.Set(&e.timer, e, now.Add(c.retrans))
	return true
}

// setState is the only place that changes an entry's state.
func (c *Cache[W]) setState(now clock.Time, e *entry[W], s State, deadline clock.Time) {
	e.state, e.tries = s, 0
	c.timers.Set(&e.timer, e, deadline)
	r := rankActive
	switch s {
	case Incomplete:
		r = rankIncomplete
	case Invalid:
		r = rankFailed
	case Permanent:
		r = rankNone
	case Stale:
		r = rankStale
		if !e.used.IsSet() {
			r = rankUnused
		}
	}
	if r == e.rank && r == rankActive {
		return // its place among those in use follows from used
	}
	c.unlist(e)
	if r != rankNone {
		c.ranks[r].push(e)
	}
	e.rank, e.listed = r, now
}

func (c *Cache[W]) setReachable(now clock.Time, e *entry[W]) {
	// RFC 4861 6.3.2: a uniformly distributed random value between 0.5 and 1.5
	// times the base, computed anew at least every few hours.
	if c.random.Due(now) || !c.random.IsSet() {
		c.random = now.Add(rerandomise)
		c.reachable = c.base
		if c.rand != nil {
			c.reachable = c.base/2 + time.Duration(c.rand()%uint64(c.base))
		}
	}
	if e.state == Reachable {
		c.timers.Set(&e.timer, e, now.Add(c.reachable))
		return
	}
	c.setState(now, e, Reachable, now.Add(c.reachable))
}

// create adds an entry for addr, in no state yet, and makes room for it by
// giving up an entry of rank most or lower. It returns nil if there is none.
func (c *Cache[W]) create(now clock.Time, addr netip.Addr, most rank) *entry[W] {
	// An outcome that nobody has taken counts as an entry, so that outcomes are
	// bounded too.
	if !addr.IsValid() || len(c.outcomes) >= c.max {
		return nil
	}
	if len(c.entries) >= c.max && !c.evict(now, most) {
		return nil
	}
	e := &entry[W]{addr: addr, rank: rankNone}
	c.entries[addr] = e
	return e
}

// evict gives up the least useful entry of rank most or lower.
func (c *Cache[W]) evict(now clock.Time, most rank) bool {
	for r := range most + 1 {
		l := &c.ranks[r]
		// Entries in use are not moved with every packet, but here: one that was
		// used since it was listed goes to the end. Each is moved at most once.
		for r == rankActive && l.first != nil && l.first.used > l.first.listed && l.first.listed != now {
			e := l.first
			l.remove(e)
			l.push(e)
			e.listed = now
		}
		if e := l.first; e != nil {
			c.stats.Evicted++
			c.delete(e, Evicted)
			return true
		}
	}
	return false
}

// delete removes e, telling those who wait for it why.
func (c *Cache[W]) delete(e *entry[W], why Reason) {
	if why == Unreachable || len(e.waiters) > 0 || e.pending.len() > 0 {
		c.finish(e, why)
	}
	c.timers.Set(&e.timer, e, 0)
	c.unlist(e)
	delete(c.entries, e.addr)
}

func (c *Cache[W]) unlist(e *entry[W]) {
	if e.rank != rankNone {
		c.ranks[e.rank].remove(e)
		e.rank = rankNone
	}
}
