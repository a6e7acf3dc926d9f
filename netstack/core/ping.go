package core

import (
	"net/netip"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

// PingOptions say how to open an echo socket.
type PingOptions struct {
	Local, Remote netip.Addr // Remote valid: connected; the family is Local's or Remote's
	Waiter        Waiter
}

// A Ping is an ICMP echo socket: requests out with our identifier, replies (and
// errors that quote our requests) in. The payload is the echo data;
// Meta.Remote.Port carries the sequence number, on connected sockets too.
type Ping struct {
	datagram
	id uint16
}

// A pingKey is an identifier of one ICMP version.
type pingKey struct {
	proto wire.Protocol
	id    uint16
}

// OpenPing opens an echo socket with a random identifier. errno.Invalid (no
// family), errno.AFNoSupport (two of them), errno.AddrNotAvail, errno.NetUnreach
// (connected), errno.NoBufs (there are [MaxPings], or no identifier was found, or
// Limits.Sockets, or the memory budget is nearly used up).
func (c *Core) OpenPing(now clock.Time, o PingOptions) (*Ping, error) {
	c.attend(now)
	if c.closed {
		return nil, errno.Closed
	}
	local, remote := o.Local.WithZone("").Unmap(), o.Remote.WithZone("").Unmap()
	of := local
	if !of.IsValid() {
		of = remote
	}
	if !of.IsValid() {
		return nil, errno.Invalid
	}
	if remote.IsValid() {
		if e := c.checkLocal(local, remote); e != errno.OK {
			return nil, e
		}
	} else if hasSource(local) && !c.isLocal(local) {
		return nil, errno.AddrNotAvail
	}
	if len(c.pings) >= MaxPings || c.crowded() {
		return nil, errno.NoBufs
	}
	s := &Ping{}
	s.waiter = o.Waiter
	s.proto, s.family = wire.ProtoICMPv4, wire.EtherTypeIPv4
	if of.Is6() {
		s.proto, s.family = wire.ProtoICMPv6, wire.EtherTypeIPv6
	}
	s.local = local
	s.init(c, s, s, packet.Limits{}, packet.Limits{})
	if remote.IsValid() {
		s.remote = netip.AddrPortFrom(remote, 0)
		var m packet.Meta
		if e := s.findPath(&m); e != errno.OK {
			return nil, e
		}
		s.local = s.pathSrc
	}
	for range maxIDTries {
		s.id = uint16(c.rand.Uint32())
		if c.pings[s.key()] == nil && (c.cfg.Share == nil || c.cfg.Share.Echo(s.id)) {
			c.pings[s.key()] = s
			return s, nil
		}
	}
	return nil, errno.NoBufs
}

// maxIDTries is how often an identifier is drawn: half of them are free at least,
// and one in some hundred is ours where many cores share a link.
const maxIDTries = 1 << 12

func (s *Ping) key() pingKey { return pingKey{s.proto, s.id} }

// ID returns the identifier of the requests. Any goroutine.
func (s *Ping) ID() uint16 { return s.id }

// LocalAddr returns the local address, which may be unspecified. Any goroutine.
func (s *Ping) LocalAddr() netip.Addr { return s.local }

// RemoteAddr returns the peer of a connected socket. Any goroutine.
func (s *Ping) RemoteAddr() netip.Addr { return s.remote.Addr() }

// WriteTo queues an echo request with b as data. m.Remote.Port is its sequence
// number; on a connected socket m.Remote's address must not be valid. Otherwise
// as for UDP.
func (s *Ping) WriteTo(b []byte, m packet.Meta) error {
	return s.datagram.WriteTo(b, m)
}

func (s *Ping) detach() { delete(s.core.pings, s.key()) }

func (s *Ping) header() int { return wire.ICMPLen }

func (s *Ping) put(ifc *Interface, b []byte, off int, h ipHeader, seq uint16) phy.Offload {
	req := wire.ICMP{Type: wire.ICMPv4Echo, Rest: uint32(s.id)<<16 | uint32(seq)}
	if s.proto == wire.ProtoICMPv6 {
		req.Type = wire.ICMPv6Echo
	}
	req.Put(b[off:])
	putICMPChecksum(&h, b[off:])
	s.core.stats.PingOut++
	s.core.stats.ICMPOut++
	return phy.Offload{}
}

// receiveEchoReply passes a reply to the socket whose identifier it has.
func (c *Core) receiveEchoReply(in *inbound, h *wire.ICMP, data []byte) wire.Drop {
	id, seq := h.Echo()
	s := c.pings[pingKey{in.proto, id}]
	if s == nil || s.remote.IsValid() && s.remote.Addr() != in.src || hasSource(s.local) && s.local != in.dst {
		return wire.DropNoSocket
	}
	c.stats.PingIn++
	return s.receive(packet.Meta{
		Remote: netip.AddrPortFrom(in.src, seq), Local: in.dst,
		HopLimit: in.ttl, TOS: in.tos, Interface: uint32(in.ifc.index),
	}, data)
}

// deliverEchoError passes an error to the socket whose request it quotes, in
// place of the reply: Meta.Remote is the destination and the sequence number.
func (c *Core) deliverEchoError(q *quote, h *wire.ICMP, u unreachable) wire.Drop {
	if h.Type != wire.ICMPv4Echo && h.Type != wire.ICMPv6Echo {
		return wire.DropIgnored
	}
	id, seq := h.Echo()
	s := c.pings[pingKey{q.proto, id}]
	if s == nil || s.remote.IsValid() && s.remote.Addr() != q.dst || hasSource(s.local) && s.local != q.src {
		return wire.DropNoSocket
	}
	e := u.err
	if u.tooBig {
		e = errno.MsgSize
	}
	return s.receive(packet.Meta{Remote: netip.AddrPortFrom(q.dst, seq), Local: q.src, Err: e}, nil)
}
