package core

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// receiveTCP finds who takes a segment.
func (c *Core) receiveTCP(now clock.Time, in *inbound) wire.Drop {
	// RFC 9293 MUST-57, 3.9.2.3: "A TCP implementation MUST silently discard an
	// incoming SYN segment that is addressed to a broadcast or multicast
	// address." Nothing else that is sent to many can be a segment of ours
	// either.
	if in.group || in.linkCast {
		return wire.DropNotForUs
	}
	h := &c.header
	payload, err := wire.ParseTCP(in.payload, h)
	if err != nil {
		return err.(wire.Drop)
	}
	// RFC 9293 MUST-3: the receiver checks it, unless it was checked below.
	if !in.intact && !wire.VerifyChecksum(in.src, in.dst, wire.ProtoTCP, in.payload) {
		return wire.DropBadChecksum
	}
	c.stats.TCPIn++
	if h.Flags.Has(wire.RST) {
		c.stats.TCPResetsIn++
	}
	k := keyOf(in.dst, in.src, h.DstPort, h.SrcPort)
	if s := c.tcp.find(&k); s != nil {
		return s.receive(now, in, h, payload)
	}
	w := c.timeWait.records.find(&k)
	if w != nil {
		if d, done := c.receiveTimeWait(now, in, w, h, payload); done {
			return d
		}
	}
	if l := c.tcp.listener(in.dst, h.DstPort); l != nil {
		return l.receive(now, in, h, payload, w)
	}
	c.sendReset(in, h, len(payload))
	return wire.DropNoConn
}

// receive passes a segment to the connection.
func (s *TCP) receive(now clock.Time, in *inbound, h *wire.TCP, payload []byte) wire.Drop {
	if s.held {
		return s.receiveHeld(now, h, payload)
	}
	if s.halfOpen && h.Flags.Has(wire.ACK) && !h.Flags.Has(wire.RST) && s.listener.full() {
		// As Linux does: the peer, or our own SYN-ACK, tries again until the
		// application has come round to accept. A reset is not repeated.
		return wire.DropListenFull
	}
	acked, arrived := s.conn.Out.Start(), s.conn.In.Next()
	var action tcp.Action
	var d wire.Drop
	if wire.ECNOf(in.tos) == wire.CE {
		action, d = s.conn.ReceiveMarked(now, h, payload)
	} else {
		action, d = s.conn.Receive(now, h, payload)
	}
	if action == tcp.ActionReset {
		s.core.sendReset(in, h, len(payload))
	}
	s.collect(now)
	// RFC 4861 7.3.1: new acknowledgments show that our segments arrive, and
	// "arrival of new (non-duplicate) data indicates that earlier
	// acknowledgments are being delivered to the remote peer."
	if s.conn.Out.Start() != acked || s.conn.In.Next() != arrived {
		s.confirm(now)
	}
	s.enqueue()
	return d
}
