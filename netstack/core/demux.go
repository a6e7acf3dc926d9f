package core

import (
	"net/netip"

	"smolnet/netstack/clock"
	"smolnet/netstack/siphash"
	"smolnet/netstack/tcp"
)

// A connKey is a 4-tuple in a form that hashes and compares fast. IPv4
// addresses are in their IPv6 form: receiveIPv6 sees to it that nobody else
// comes in that.
type connKey struct {
	local, remote         [16]byte
	localPort, remotePort uint16
}

func keyOf(local, remote netip.Addr, localPort, remotePort uint16) connKey {
	return connKey{local.As16(), remote.As16(), localPort, remotePort}
}

func keyOfPorts(local, remote netip.AddrPort) connKey {
	return keyOf(local.Addr(), remote.Addr(), local.Port(), remote.Port())
}

// A tcpDemux finds who takes a TCP segment.
type tcpDemux struct {
	conns     table[*TCP]
	listeners map[uint16][]*Listener // by port
	dialed    map[netip.AddrPort]int // active opens by local address: these ports cannot be listened on
	syns      synQueue               // connections of listeners in SYN-RECEIVED
	listening int                    // listeners

	// The connection that the last segment was for: segments come in runs.
	last    *TCP
	lastKey connKey
}

func (d *tcpDemux) init(key siphash.Key) {
	d.conns.init(key)
	d.listeners = make(map[uint16][]*Listener)
	d.dialed = make(map[netip.AddrPort]int)
}

// find returns the connection with key k, or nil.
func (d *tcpDemux) find(k *connKey) *TCP {
	if d.last != nil && d.lastKey == *k {
		return d.last
	}
	s := d.conns.find(k)
	if s != nil {
		d.last, d.lastKey = s, *k
	}
	return s
}

// remove takes s, which is in it, out of the table.
func (d *tcpDemux) remove(s *TCP) {
	if d.last == s {
		d.last = nil
	}
	d.conns.remove(s)
}

func (s *TCP) chained() *chain[*TCP] { return &s.chain }

func (s *TCP) named(k connKey) bool { return k.is(s.conn.ID()) }

// is reports whether k is the key of a connection.
func (k *connKey) is(id tcp.ID) bool {
	return k.localPort == id.Local.Port() && k.remotePort == id.Remote.Port() &&
		k.remote == id.Remote.Addr().As16() && k.local == id.Local.Addr().As16()
}

// listener returns the listener for a local address and port: that of exactly
// the address, then that of all addresses of the family, then that of all.
func (d *tcpDemux) listener(a netip.Addr, port uint16) *Listener {
	var best *Listener
	rank := 0
	for _, l := range d.listeners[port] {
		if r := match(l.local.Addr(), a); r > rank {
			best, rank = l, r
		}
	}
	return best
}

// match ranks how well a socket bound to bound fits packets to a; zero: not at
// all. An invalid bound is all addresses of both families, an unspecified one
// all of its family.
func match(bound, a netip.Addr) int {
	switch {
	case !bound.IsValid():
		return 1
	case bound == a:
		return 3
	case bound.IsUnspecified() && bound.Is4() == a.Is4():
		return 2
	}
	return 0
}

// overlap reports whether sockets bound to a and b could both be meant by one
// packet.
func overlap(a, b netip.Addr) bool {
	switch {
	case !a.IsValid(), !b.IsValid(), a == b:
		return true
	case a.Is4() != b.Is4():
		return false
	}
	return a.IsUnspecified() || b.IsUnspecified()
}

// portTaken reports whether a local address, possibly a wildcard, cannot be
// listened on: another listener overlaps, or a connection that was dialed from
// there. Connections that a listener accepted do not stand in the way, nor do
// those in TIME-WAIT: that is what package net has SO_REUSEADDR for.
func (c *Core) portTaken(a netip.Addr, port uint16) bool {
	for _, l := range c.tcp.listeners[port] {
		if overlap(l.local.Addr(), a) {
			return true
		}
	}
	if len(c.tcp.dialed) == 0 {
		return false
	}
	if hasSource(a) {
		return c.tcp.dialed[netip.AddrPortFrom(a, port)] > 0
	}
	for _, own := range c.sources {
		if at := own.Prefix.Addr(); overlap(at, a) && c.tcp.dialed[netip.AddrPortFrom(at, port)] > 0 {
			return true
		}
	}
	return false
}

// foreign reports whether the packets of a flow go to another core that shares
// the link.
func (c *Core) foreign(local netip.Addr, port uint16, remote netip.AddrPort) bool {
	return c.cfg.Share != nil && !c.cfg.Share.Flow(netip.AddrPortFrom(local, port), remote)
}

// nameTaken reports whether there is a connection with a name, or one in TIME-WAIT;
// with reuse only such a one as RFC 6191 does not let a new one follow.
func (c *Core) nameTaken(now clock.Time, k connKey, reuse bool) bool {
	if c.tcp.conns.find(&k) != nil {
		return true
	}
	w := c.timeWait.records.find(&k)
	return w != nil && !(reuse && w.rec.Reusable(now))
}

// tupleTaken reports whether a connection between two addresses cannot be
// opened from a local port that nobody asked for.
//
// With reuse, TIME-WAIT does not stand in the way where it need not.
func (c *Core) tupleTaken(now clock.Time, local netip.Addr, port uint16, remote netip.AddrPort, reuse bool) bool {
	if c.foreign(local, port, remote) {
		return true
	}
	if local == remote.Addr() && port == remote.Port() {
		return true // it would connect to itself
	}
	if c.nameTaken(now, keyOf(local, remote.Addr(), port, remote.Port()), reuse) {
		return true
	}
	return len(c.tcp.listeners[port]) > 0 && c.tcp.listener(local, port) != nil
}
