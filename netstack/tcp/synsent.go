package tcp

// RFC 9293 3.10.7.3: SEGMENT ARRIVES in SYN-SENT.

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/wire"
)

func (c *Conn) receiveSynSent(now clock.Time, s *segment) (Action, wire.Drop) {
	// First, check the ACK bit.
	acceptable := s.has(wire.ACK) && s.ack.After(c.snd.iss) && !s.ack.After(c.snd.max)
	if s.has(wire.ACK) && !acceptable {
		if s.has(wire.RST) {
			return ActionNone, wire.DropBadAck
		}
		return ActionReset, wire.DropBadAck
	}
	// Second, check the RST bit. RFC 5961 3.2: only one that acknowledges our
	// SYN counts.
	if s.has(wire.RST) {
		if !acceptable {
			return ActionNone, wire.DropBadAck
		}
		c.fail(errno.ConnRefused)
		return ActionNone, wire.DropNone
	}
	// Third, check security. Fourth, check the SYN bit. Fifth, "if neither of
	// the SYN or RST bits is set, then drop the segment and return".
	if !s.has(wire.SYN) {
		return ActionNone, wire.DropBadFlags
	}
	c.takeSyn(now, s.h)
	c.lastReceived = now
	if !acceptable {
		c.simultaneousOpen(now)
		return ActionNone, wire.DropNone
	}
	c.takeFastAnswer(s.h, s.ack)
	rtt := c.rtt.acked(now, s.ack)
	c.snd.una, c.snd.nxt = s.ack, s.ack
	if rtt > 0 {
		c.rtt.sample(now, rtt, c.cfg.rtoBounds())
	}
	c.established(now, rtt)
	c.ackNow = true
	// "Continue processing at the sixth step", with what is in the segment
	// beside the SYN.
	s.seq++
	s.flags &^= wire.SYN
	c.tailor(s, 0, c.rcv.adv.Sub(c.rcv.nxt))
	if c.state.receives() {
		c.receiveText(now, s)
	}
	if c.state.receives() {
		c.receiveFin(now, s)
	}
	return ActionNone, s.drop
}

// takeSyn takes the peer's SYN: its sequence number, options and window.
func (c *Conn) takeSyn(now clock.Time, h *wire.TCP) {
	c.rcv.irs = Seq(h.Seq)
	c.rcv.nxt = c.rcv.irs + 1
	c.takeSynOptions(now, h)
	c.takeECN(h)
	c.openWindow()
	c.snd.wl1, c.snd.wl2 = Seq(h.Seq), c.snd.iss
	// RFC 7323 2.2: "The window field in a segment where the SYN bit is set
	// ... MUST NOT be scaled."
	c.snd.wnd = uint32(h.Window)
	c.snd.maxWnd = c.snd.wnd
}

// simultaneousOpen answers a SYN that came instead of a SYN-ACK, RFC 9293
// MUST-10, 3.5: SYN-RECEIVED, and our SYN again, with its ACK. Text or a FIN on
// the peer's SYN is left for it to send again: we acknowledge the SYN alone.
func (c *Conn) simultaneousOpen(now clock.Time) {
	c.setState(StateSynReceived)
	c.meetFast()
	c.snd.nxt = c.snd.iss
	c.rtt.timing = false
	c.armRetransmit(now)
}
