package core

import (
	"net/netip"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/tcp"
)

// What is known of paths that take less than their first link. RFC 4821 5.2: it is stored
// for all of the host's connections, here and not in TCP. RFC 4821 5.2: a destination stands for its path (RFC 4821 5.2: a subnet does not), and new connections
// begin with what others have learnt. Only what connections have validated gets here (RFC 5927 7, or probes), not
// what ICMP says of datagrams, which anybody can forge.
//
// Invariant: index has the places of all entries with an MTU.

const (
	// maxPathMTUs bounds the paths that are known; the one learnt first makes room.
	maxPathMTUs = 1024
	// pathMTULife is how long what is known holds: RFC 8899 5.1.1, RFC 1191 6.3 and RFC
	// 8201 5.3 have ten minutes.
	pathMTULife = 10 * time.Minute
)

// A pathMTU is what is known of one path.
type pathMTU struct {
	dst   netip.Addr
	until clock.Time
	mtu   uint16 // bytes of IP packet; zero: this place is free
}

// pathMTUs are those of a core.
type pathMTUs struct {
	index   map[netip.Addr]uint16
	entries []pathMTU
	next    int // the place that is taken next, once there are maxPathMTUs
}

// learn remembers the MTU of the path to dst.
func (t *pathMTUs) learn(now clock.Time, dst netip.Addr, mtu int) {
	e := pathMTU{dst: dst, until: now.Add(pathMTULife), mtu: uint16(mtu)}
	if i, ok := t.index[dst]; ok {
		t.entries[i] = e
		return
	}
	if t.index == nil {
		t.index = make(map[netip.Addr]uint16)
	}
	i := len(t.entries)
	if i < maxPathMTUs {
		t.entries = append(t.entries, e)
	} else {
		i = t.next
		t.next = (t.next + 1) % maxPathMTUs
		if old := t.entries[i]; old.mtu != 0 {
			delete(t.index, old.dst)
		}
		t.entries[i] = e
	}
	t.index[dst] = uint16(i)
}

// find returns what is known of the path to dst. False: nothing.
func (t *pathMTUs) find(now clock.Time, dst netip.Addr) (pathMTU, bool) {
	i, ok := t.index[dst]
	if !ok {
		return pathMTU{}, false
	}
	if e := t.entries[i]; now < e.until {
		return e, true
	}
	t.forget(dst)
	return pathMTU{}, false
}

// forget has nothing known of the path to dst.
func (t *pathMTUs) forget(dst netip.Addr) {
	if i, ok := t.index[dst]; ok {
		t.entries[i].mtu = 0
		delete(t.index, dst)
	}
}

// recallMTU tells a connection that is about to begin what others have learnt of its
// path.
func (s *TCP) recallMTU(now clock.Time) {
	if e, ok := s.core.pathMTUs.find(now, s.conn.ID().Remote.Addr()); ok {
		s.conn.LimitMTU(now, int(e.mtu)-int(s.ipLen), e.until)
	}
}

// notePathMTU remembers what the connection has found out of its path.
func (s *TCP) notePathMTU(now clock.Time) {
	i, dst := s.conn.Info(), s.conn.ID().Remote.Addr()
	switch {
	case i.PathMTUState != tcp.MTUComplete:
	case i.PathMTU < i.PathMTULimit:
		s.core.pathMTUs.learn(now, dst, i.PathMTU+int(s.ipLen))
	default:
		s.core.pathMTUs.forget(dst)
	}
}
