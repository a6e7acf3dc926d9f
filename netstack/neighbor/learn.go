package neighbor

import (
	"net/netip"

	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
)

// Flags say what kind of packet told us a link address.
//
//	neighbour advertisement      its Solicited and Override bits; IsRouter or NotRouter
//	solicitation, RS to us       Override|Create
//	router advertisement         Override|Create|IsRouter
//	ARP reply to us              Solicited|Override
//	ARP request for our address  Override|Create
//	other ARP, gratuitous        Override
type Flags uint8

// The flags.
const (
	Solicited Flags = 1 << iota // answers a solicitation: proves reachability both ways
	Override                    // replaces the link address that we know
	IsRouter                    // the sender forwards packets
	NotRouter                   // the sender says that it does not
	Create                      // makes an entry if there is none
)

// Learn takes in that addr has the link address hw, which is zero if the
// packet did not say. A group address is not believed (RFC 1812 3.3.2). It
// reports whether a router became a host, which must then no longer be used as a
// router (RFC 4861 7.2.5).
//
// An entry that is made here, by the Create flag, never takes the room of one
// that we use or try to resolve.
func (c *Cache[W]) Learn(now clock.Time, addr netip.Addr, hw wire.HardwareAddr, f Flags) (routerLost bool) {
	known := hw != wire.HardwareAddr{}
	if hw[0]&1 != 0 {
		return false
	}
	e := c.entries[addr]
	switch {
	case e == nil:
		// RFC 4861 7.2.5: "If no entry exists, the advertisement SHOULD be silently
		// discarded." 7.2.3: a solicitation makes one, in state STALE.
		if f&Create == 0 || !known {
			return false
		}
		if e = c.create(now, addr, rankUnused); e == nil {
			return false
		}
		e.hw = hw
		e.router = f&IsRouter != 0
		c.setState(now, e, Stale, now.Add(StaleTime))
		return false
	case e.state == Permanent:
		return false
	case e.state == Incomplete || e.state == Invalid:
		// RFC 4861 7.2.5: the Override flag does not matter here, and without a link
		// address the packet says nothing.
		if !known {
			return false
		}
		c.resolve(now, e, hw, f)
	case !c.update(now, e, hw, known, f):
		return false
	}
	routerLost = e.router && f&NotRouter != 0
	switch {
	case f&IsRouter != 0:
		e.router = true
	case f&NotRouter != 0:
		e.router = false
	}
	return routerLost
}

// resolve completes an entry that had no link address.
func (c *Cache[W]) resolve(now clock.Time, e *entry[W], hw wire.HardwareAddr, f Flags) {
	e.hw = hw
	if f&Solicited != 0 {
		c.setReachable(now, e)
	} else {
		c.setState(now, e, Stale, now.Add(StaleTime))
	}
	c.stats.Resolved++
	c.finish(e, Answered)
}

// update applies a packet to an entry that has a link address, by the rules I
// and II of RFC 4861 7.2.5. It reports false if the packet is not believed.
func (c *Cache[W]) update(now clock.Time, e *entry[W], hw wire.HardwareAddr, known bool, f Flags) bool {
	differs := known && hw != e.hw
	if differs && f&Override == 0 {
		// Rule I: "a. If the state of the entry is REACHABLE, set it to STALE, but do
		// not update the entry in any other way. b. Otherwise, the received
		// advertisement should be ignored".
		if e.state == Reachable {
			c.setState(now, e, Stale, now.Add(StaleTime))
		}
		return false
	}
	if differs {
		e.hw = hw
	}
	switch {
	case f&Solicited != 0:
		c.setReachable(now, e)
	case differs:
		// "If the Solicited flag is zero and the link-layer address was updated with a
		// different address, the state MUST be set to STALE."
		c.setState(now, e, Stale, now.Add(StaleTime))
	}
	return true
}

// Add makes a permanent entry, which no packet changes and no shortage evicts.
// It reports false if addr or hw is not valid or the table is full of others of
// its kind.
func (c *Cache[W]) Add(now clock.Time, addr netip.Addr, hw wire.HardwareAddr) bool {
	if hw == (wire.HardwareAddr{}) || hw[0]&1 != 0 {
		return false
	}
	e := c.entries[addr]
	if e == nil {
		if e = c.create(now, addr, rankActive); e == nil {
			return false
		}
	}
	e.hw = hw
	c.setState(now, e, Permanent, 0)
	c.finish(e, Answered)
	return true
}

// Remove removes the entry of addr, permanent or not, and reports whether there
// was one. Those who wait for it hear [Evicted].
func (c *Cache[W]) Remove(addr netip.Addr) bool {
	e := c.entries[addr]
	if e != nil {
		c.delete(e, Evicted)
	}
	return e != nil
}

// Flush removes all entries that are not permanent, as when the link went down.
// Those who wait hear [Evicted].
func (c *Cache[W]) Flush() {
	for _, e := range c.entries {
		if e.state != Permanent {
			c.delete(e, Evicted)
		}
	}
}
