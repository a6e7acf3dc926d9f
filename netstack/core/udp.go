package core

import (
	"net/netip"
	"slices"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

// UDP, RFC 768 and RFC 1122 4.1.

// UDPOptions say how to open a UDP socket.
type UDPOptions struct {
	// Local: port 0: ephemeral. Address zero (invalid): both families;
	// unspecified: that family only; a group or broadcast address: only what is
	// sent to that. A connected socket gets a source address if it has none.
	Local                netip.AddrPort
	Remote               netip.AddrPort // valid: connected
	ReuseAddr            bool           // other sockets that say so too may have the same local address
	Broadcast            bool           // allowed to send to broadcast addresses
	RecvLimit, SendLimit packet.Limits  // ring bounds, zero default
	Waiter               Waiter
}

// A UDP is a UDP socket.
type UDP struct {
	datagram
	port  uint16
	reuse bool
}

// A udpDemux finds the sockets that take a datagram.
type udpDemux struct {
	connected map[connKey]*UDP
	ports     map[uint16]*udpPort
	open      int
}

// A udpPort is the sockets of one local port.
type udpPort struct {
	all   []*UDP
	bound []*UDP // those that are not connected
}

func (d *udpDemux) init() {
	d.connected = make(map[connKey]*UDP)
	d.ports = make(map[uint16]*udpPort)
}

// taken reports whether a socket may not be bound to a and port.
func (d *udpDemux) taken(a netip.Addr, port uint16, reuse bool) bool {
	p := d.ports[port]
	if p == nil {
		return false
	}
	for _, s := range p.all {
		if !(reuse && s.reuse) && overlap(s.local, a) {
			return true
		}
	}
	return false
}

// OpenUDP opens a socket. errno.AddrInUse, errno.AddrNotAvail (the address is
// not ours, or no port is left), errno.AFNoSupport, errno.Invalid (remote port
// 0), errno.NetUnreach, errno.Acces (connected to a broadcast address without
// Broadcast), errno.NoBufs (Limits.Sockets, or the memory budget is nearly
// used up).
func (c *Core) OpenUDP(now clock.Time, o UDPOptions) (*UDP, error) {
	c.attend(now)
	if c.closed {
		return nil, errno.Closed
	}
	s := &UDP{reuse: o.ReuseAddr}
	s.waiter = o.Waiter
	s.proto = wire.ProtoUDP
	s.bcast = o.Broadcast
	local := clean(o.Local)
	s.local, s.port = local.Addr(), local.Port()
	if e := c.checkBind(s.local); e != errno.OK {
		return nil, e
	}
	s.init(c, s, s, o.RecvLimit, o.SendLimit)
	if o.Remote.IsValid() {
		s.remote = clean(o.Remote)
		if e := s.connect(); e != errno.OK {
			return nil, e
		}
	}
	if s.local.IsValid() {
		s.family = wire.EtherTypeIPv6
		if s.local.Is4() {
			s.family = wire.EtherTypeIPv4
		}
	}
	if s.port == 0 {
		var ok bool
		s.port, ok = c.ports.Random(func(p uint16) bool {
			return c.udp.taken(s.local, p, false) || s.remote.IsValid() && c.foreign(s.local, p, s.remote)
		})
		if !ok {
			return nil, errno.AddrNotAvail
		}
	} else if c.udp.taken(s.local, s.port, s.reuse) {
		return nil, errno.AddrInUse
	}
	if s.remote.IsValid() && c.udp.connected[s.key()] != nil {
		return nil, errno.AddrInUse
	}
	if c.crowded() {
		return nil, errno.NoBufs
	}
	s.attach()
	return s, nil
}

// checkBind says what is wrong with an address to bind to.
func (c *Core) checkBind(a netip.Addr) errno.Errno {
	if !hasSource(a) || a.IsMulticast() || c.isLocal(a) {
		return errno.OK
	}
	if _, ok := c.isBroadcast(a); ok {
		return errno.OK
	}
	return errno.AddrNotAvail
}

// connect finds the source for the socket's remote address.
func (s *UDP) connect() errno.Errno {
	if s.remote.Port() == 0 {
		return errno.Invalid
	}
	if s.remote.Addr().IsUnspecified() {
		m := packet.Meta{Remote: s.remote}
		to := s.remote
		s.remote = netip.AddrPort{}
		s.checkRemote(&m)
		s.remote = netip.AddrPortFrom(m.Remote.Addr(), to.Port())
	}
	if s.local.IsValid() && s.local.Is4() != s.remote.Addr().Is4() {
		return errno.AFNoSupport
	}
	var m packet.Meta
	if e := s.findPath(&m); e != errno.OK {
		return e
	}
	if !hasSource(s.local) {
		s.local = s.pathSrc
	}
	return errno.OK
}

func (s *UDP) key() connKey {
	return keyOf(s.local, s.remote.Addr(), s.port, s.remote.Port())
}

func (s *UDP) attach() {
	d := &s.core.udp
	p := d.ports[s.port]
	if p == nil {
		p = &udpPort{}
		d.ports[s.port] = p
	}
	p.all = append(p.all, s)
	if !s.remote.IsValid() {
		p.bound = append(p.bound, s)
	} else {
		d.connected[s.key()] = s
	}
	d.open++
}

func (s *UDP) detach() {
	d := &s.core.udp
	is := func(x *UDP) bool { return x == s }
	p := d.ports[s.port]
	p.all = slices.DeleteFunc(p.all, is)
	p.bound = slices.DeleteFunc(p.bound, is)
	if len(p.all) == 0 {
		delete(d.ports, s.port)
	}
	if s.remote.IsValid() {
		delete(d.connected, s.key())
	}
	d.open--
}

// LocalAddr returns the local end; the address is unspecified if it is any of
// ours. Any goroutine.
func (s *UDP) LocalAddr() netip.AddrPort { return wildcard(netip.AddrPortFrom(s.local, s.port)) }

// RemoteAddr returns the peer of a connected socket, the zero AddrPort of
// others. Any goroutine.
func (s *UDP) RemoteAddr() netip.AddrPort { return s.remote }

func (s *UDP) header() int { return wire.UDPLen }

func (s *UDP) put(ifc *Interface, b []byte, off int, h ipHeader, to uint16) phy.Offload {
	if s.remote.IsValid() {
		to = s.remote.Port()
	}
	u := wire.UDP{SrcPort: s.port, DstPort: to, Len: uint16(len(b) - off)}
	u.Put(b[off:])
	s.core.stats.UDPOut++
	return ifc.putChecksum(b, off, len(b), &h, wire.UDPChecksumOffset)
}

// receiveUDP finds who takes a datagram.
func (c *Core) receiveUDP(now clock.Time, in *inbound) wire.Drop {
	h, payload, err := wire.ParseUDP(in.payload)
	if err != nil {
		return err.(wire.Drop)
	}
	switch {
	case h.Checksum == 0:
		// RFC 8200 8.1: IPv6 receivers "must discard UDP packets containing a
		// zero checksum". RFC 768: in IPv4 it "means that the transmitter
		// generated no checksum".
		if in.src.Is6() {
			return wire.DropBadChecksum
		}
	case !in.intact && !wire.VerifyChecksum(in.src, in.dst, wire.ProtoUDP, in.payload[:h.Len]):
		return wire.DropBadChecksum
	}
	c.stats.UDPIn += uint64(datagrams(len(payload), in.segment))
	if in.group {
		return c.receiveUDPGroup(in, &h, payload)
	}
	s := c.findUDP(in, &h)
	for s != nil && s.closed.Load() { // in the course of this turn: who sends after Close finds nobody
		s.attend(now)
		s = c.findUDP(in, &h)
	}
	if s == nil {
		c.sendError(now, in, portUnreachable(in.src), portUnreachableCode(in.src), 0)
		return wire.DropNoSocket
	}
	return s.take(in, &h, payload)
}

// portUnreachable returns the ICMP type that says so to a.
func portUnreachable(a netip.Addr) uint8 {
	if a.Is4() {
		return wire.ICMPv4Unreachable
	}
	return wire.ICMPv6Unreachable
}

func portUnreachableCode(a netip.Addr) uint8 {
	if a.Is4() {
		return wire.ICMPv4PortUnreachable
	}
	return wire.ICMPv6PortUnreachable
}

// findUDP returns the socket for a unicast datagram: the connected one, or the
// one that is bound most exactly, of equals the latest.
func (c *Core) findUDP(in *inbound, h *wire.UDP) *UDP {
	if len(c.udp.connected) > 0 {
		if s := c.udp.connected[keyOf(in.dst, in.src, h.DstPort, h.SrcPort)]; s != nil {
			return s
		}
	}
	p := c.udp.ports[h.DstPort]
	if p == nil {
		return nil
	}
	var best *UDP
	rank := 0
	for _, s := range p.bound {
		if r := match(s.local, in.dst); r > 0 && r >= rank {
			best, rank = s, r
		}
	}
	return best
}

// receiveUDPGroup delivers a copy to every socket that hears the group: those
// bound to it, of which a connected one hears its peer only, or to all addresses
// (RFC 1122 4.1.3.3 leaves it to us).
func (c *Core) receiveUDPGroup(in *inbound, h *wire.UDP, payload []byte) wire.Drop {
	p := c.udp.ports[h.DstPort]
	d := wire.DropNoSocket
	if p == nil {
		return d
	}
	from := netip.AddrPortFrom(in.src, h.SrcPort)
	for _, s := range p.all {
		if s.closed.Load() || match(s.local, in.dst) == 0 || s.remote.IsValid() && s.remote != from {
			continue
		}
		if got := s.take(in, h, payload); d != wire.DropNone {
			d = got
		}
	}
	return d
}

// take puts a datagram, or those of a super-frame, into the ring. The reader takes
// them apart.
func (s *UDP) take(in *inbound, h *wire.UDP, payload []byte) wire.Drop {
	m := packet.Meta{
		Remote: netip.AddrPortFrom(in.src, h.SrcPort), Local: in.dst,
		HopLimit: in.ttl, TOS: in.tos, Interface: uint32(in.ifc.index),
	}
	if size := int(in.segment); size > 0 && len(payload) > size {
		m.Segment = in.segment
		d := s.receive(m, payload)
		if d == wire.DropNone {
			return d
		}
		// There is no room for all: those that it is there for.
		for m.Segment = 0; len(payload) > size; payload = payload[size:] {
			if d := s.receive(m, payload[:size]); d != wire.DropNone {
				return d
			}
		}
	}
	return s.receive(m, payload)
}

// deliverUDPError tells a connected socket that its peer cannot be reached. As
// on Linux only what ends all hope is reported; and our own finding that the
// neighbour does not answer.
func (c *Core) deliverUDPError(local, remote netip.AddrPort, u unreachable) wire.Drop {
	s := c.udp.connected[keyOfPorts(local, remote)]
	switch {
	case s == nil:
		return wire.DropNoSocket
	case u.tooBig:
		return s.lowerMTU(remote.Addr(), u.mtu)
	case !u.hard && !u.noReply:
		return wire.DropIgnored
	}
	s.fail(u.err)
	return wire.DropNone
}

// lowerMTU makes datagrams that are too big for the path fail here.
func (s *UDP) lowerMTU(remote netip.Addr, mtu int) wire.Drop {
	least := minIPv4PathMTU
	if remote.Is6() {
		least = minIPv6MTU
	}
	if s.path.gen != s.core.gen || mtu < least || mtu >= int(s.path.mtu) {
		return wire.DropIgnored
	}
	s.path.mtu = uint16(mtu)
	s.core.wayGen.Add(1)
	s.fail(errno.MsgSize)
	return wire.DropNone
}
