package tcp

// RFC 9293 3.10.7.4: SEGMENT ARRIVES, in all states but CLOSED, LISTEN and
// SYN-SENT, step by step and in its order. RFC 5961 is worked in, and RFC 7323
// 5.3 comes before the first step.

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
)

// A segment is one that is being received: what is left of it after trimming.
type segment struct {
	h       *wire.TCP
	flags   wire.TCPFlags
	seq     Seq
	ack     Seq
	payload []byte
	drop    wire.Drop // what was left out of it, and why
	marked  bool      // its packet said CE, RFC 3168
}

// len is SEG.LEN: "the number of octets occupied by the data in the segment
// (counting SYN and FIN)".
func (s *segment) len() int {
	n := len(s.payload)
	if s.flags&wire.SYN != 0 {
		n++
	}
	if s.flags&wire.FIN != 0 {
		n++
	}
	return n
}

func (s *segment) has(f wire.TCPFlags) bool { return s.flags&f != 0 }

// Receive takes one segment whose checksum the owner has verified. payload is
// borrowed until Receive returns. The drop says why the segment, or all data
// in it, had no effect; it is DropNone otherwise. Receive never transmits:
// Send has the answer, but for an Action that asks the owner for a RST.
func (c *Conn) Receive(now clock.Time, h *wire.TCP, payload []byte) (Action, wire.Drop) {
	c.stats.segmentsReceived++
	var action Action
	drop, ok := c.receiveExpected(now, h, payload)
	if !ok {
		s := segment{h: h, flags: h.Flags, seq: Seq(h.Seq), ack: Seq(h.Ack), payload: payload}
		action, drop = c.receiveStepwise(now, &s)
	}
	c.check()
	return action, drop
}

// ReceiveMarked is Receive for a segment whose packet a router has marked: the ECN of
// its IP header is [wire.CE], RFC 3168.
func (c *Conn) ReceiveMarked(now clock.Time, h *wire.TCP, payload []byte) (Action, wire.Drop) {
	c.stats.segmentsReceived++
	s := segment{h: h, flags: h.Flags, seq: Seq(h.Seq), ack: Seq(h.Ack), payload: payload, marked: true}
	action, drop := c.receiveStepwise(now, &s)
	c.check()
	return action, drop
}

// receiveStepwise is Receive for whatever segment it may be.
func (c *Conn) receiveStepwise(now clock.Time, s *segment) (Action, wire.Drop) {
	switch c.state {
	case StateClosed, StateListen:
		if s.has(wire.RST) {
			return ActionNone, wire.DropNoConn
		}
		return ActionReset, wire.DropNoConn // RFC 9293 3.10.7.1
	case StateSynSent:
		return c.receiveSynSent(now, s)
	case StateTimeWait:
		return c.receiveTimeWait(now, s)
	}
	return c.receiveSegment(now, s)
}

// receiveSegment is RFC 9293 3.10.7.4.
func (c *Conn) receiveSegment(now clock.Time, s *segment) (Action, wire.Drop) {
	if c.state == StateSynReceived && s.has(wire.SYN) && s.seq == c.rcv.irs {
		if drop := c.receiveOwnSyn(now, s); drop != wire.DropNone {
			return ActionNone, drop
		}
	}
	pending := c.FastPending()
	if pending {
		if drop, ok := c.receiveFastSyn(now, s); ok {
			return ActionNone, drop
		}
	}
	if drop := c.checkTimestamps(now, s); drop != wire.DropNone {
		return ActionNone, drop
	}
	// First, check sequence number: RFC 7323 5.3 step R2.
	if drop := c.checkSequence(now, s); drop != wire.DropNone {
		return ActionNone, drop
	}
	// Second, check the RST bit. SHLD-2: it may carry data, which nobody reads.
	if s.has(wire.RST) {
		return ActionNone, c.receiveReset(now, s)
	}
	// Third, check security: there is none.
	// Fourth, check the SYN bit.
	if s.has(wire.SYN) {
		return ActionNone, c.receiveSyn(now)
	}
	// Fifth, check the ACK field: "if the ACK bit is off, drop the segment".
	if !s.has(wire.ACK) {
		return ActionNone, wire.DropBadFlags
	}
	if pending {
		if action, drop := c.acceptFastAck(now, s); drop != wire.DropNone {
			return action, drop
		}
	}
	if action, drop := c.receiveAck(now, s); drop != wire.DropNone {
		return action, drop
	}
	if c.fast != nil && !c.fast.client {
		c.fast = nil // the handshake is over
	}
	c.lastReceived = now
	c.keep.unanswered = 0
	c.updateRecent(now, s)
	// Sixth, check the URG bit: urgent data comes in line (RFC 6093).
	// Seventh, process the segment text. Eighth, check the FIN bit. RFC 7323 5.3 step R4
	// is these three.
	if c.state.receives() {
		c.receiveText(now, s)
	}
	if c.state.receives() {
		c.receiveFin(now, s)
	}
	return ActionNone, s.drop
}

// checkTimestamps is RFC 7323 5.3, R1, and 3.2.
func (c *Conn) checkTimestamps(now clock.Time, s *segment) wire.Drop {
	if !c.ts.on || s.has(wire.RST) {
		// RFC 7323 5.2: "RST segments ... MUST NOT be subjected to the PAWS
		// check", for they may come from a host that knows no timestamps.
		return wire.DropNone
	}
	if !s.h.Options.HasTimestamps {
		if s.has(wire.SYN) {
			// The peer may have restarted, without them: RFC 5961 4.2 has it
			// find out.
			return wire.DropNone
		}
		// RFC 7323 3.2: "the TCP SHOULD silently drop the segment". RFC 7323 3.2: it
		// "MUST NOT abort" for that.
		return wire.DropPAWS
	}
	if c.ts.old(now, s.h.Options.TSVal) {
		// R1: "Send an acknowledgment in reply ... and drop the segment."
		c.ackUnacceptable(now, s)
		return wire.DropPAWS
	}
	return wire.DropNone
}

// updateRecent is RFC 7323 5.3, R3, for a segment that has passed the fifth step:
// a guessed one without a credible ACK would otherwise set TS.Recent far ahead
// and have everything that the peer sends taken for old.
func (c *Conn) updateRecent(now clock.Time, s *segment) {
	o := &s.h.Options
	if !c.ts.on || !o.HasTimestamps || s.has(wire.RST) || s.seq.After(c.rcv.lastAck) {
		return
	}
	// An old timestamp got here only because TS.Recent is outdated (5.5).
	c.ts.recent, c.ts.recentAt = o.TSVal, now
}

// checkSequence is the first step: it refuses segments that have nothing in
// the window, and trims the others to it.
func (c *Conn) checkSequence(now clock.Time, s *segment) wire.Drop {
	wnd := c.rcv.adv.Sub(c.rcv.nxt)
	start := s.seq.Sub(c.rcv.nxt)
	n := s.len()
	switch {
	case wnd == 0 && start <= 0 && start+n > 0 && !s.has(wire.RST):
		// MUST-66: "If the RCV.WND is zero ... special allowance should be
		// made to accept valid ACKs, URGs, and RSTs". What is new in it is
		// refused, and the peer has to hear of that: it may be repeating what
		// closed the window, with something new behind.
		if start < 0 {
			c.noteDuplicate(s.seq, c.rcv.nxt)
		}
		if len(s.payload) > 0 {
			c.lastText = now
		}
		s.seq, s.payload, s.drop = c.rcv.nxt, nil, wire.DropOutOfWindow
		s.flags &^= wire.FIN
		c.ackNow = true
		return wire.DropNone
	case start == 0: // the usual case
	case n == 0:
		// A bare ACK at the right edge is in order too: a peer that has sent
		// all that the window allows acknowledges from there while what it
		// sent is lost on the way.
		if start < 0 || start > wnd || (start == wnd && s.has(wire.RST)) {
			return c.unacceptable(now, s, wire.DropOutOfWindow)
		}
	case start >= wnd:
		return c.unacceptable(now, s, wire.DropOutOfWindow)
	case start+n <= 0:
		return c.unacceptable(now, s, wire.DropDuplicate)
	}
	c.tailor(s, start, wnd)
	return wire.DropNone
}

// tailor cuts off what lies outside of the window: RFC 9293 3.10.7.4, "one could
// tailor actual segments to fit this assumption by trimming off any portions
// that lie outside the window (including SYN and FIN)". The SYN stays for the
// fourth step, and a RST is judged by where it stood.
func (c *Conn) tailor(s *segment, start, wnd int) {
	if s.has(wire.SYN | wire.RST) {
		return
	}
	if start < 0 {
		c.noteDuplicate(s.seq, c.rcv.nxt)
		s.payload = s.payload[min(-start, len(s.payload)):]
		s.seq = c.rcv.nxt
		start = 0
	}
	if start+s.len() > wnd {
		s.flags &^= wire.FIN
		s.payload = s.payload[:min(len(s.payload), wnd-start)]
	}
}

// unacceptable answers a segment that lies outside of the window. "If the RST
// bit is set, drop" without an answer: RFC 5961 3.2 says the same.
func (c *Conn) unacceptable(now clock.Time, s *segment, drop wire.Drop) wire.Drop {
	if !s.has(wire.RST) {
		c.ackUnacceptable(now, s)
	}
	return drop
}

// ackUnacceptable owes the acknowledgment that answers an unacceptable
// segment. Data always gets one, as the last one may be lost; of the rest no
// more than the connection's limit, so that two confused ends cannot acknowledge
// each other's acknowledgments for ever. What all connections share is not for
// these: keep-alives are among them (RFC 9293 3.8.4), and whose probes are not
// answered gives up a connection that is well.
func (c *Conn) ackUnacceptable(now clock.Time, s *segment) {
	if len(s.payload) > 0 || s.has(wire.FIN) {
		if end := s.seq.Add(s.len()); !end.After(c.rcv.nxt) && !s.has(wire.SYN) {
			c.noteDuplicate(s.seq, end)
		}
		c.ackNow = true
		return
	}
	if s.has(wire.SYN) {
		c.challengeAck(now) // RFC 5961 4.2: wherever it lies
	} else if c.challenges.allow(now) {
		c.ackNow = true
	}
}

// challengeAck owes an acknowledgment to a segment that may be an attacker's,
// RFC 5961. It reports false if there have been too many of late.
func (c *Conn) challengeAck(now clock.Time) bool {
	if !c.challenges.allow(now) || !c.Challenges.Allow(now) {
		return false
	}
	c.ackNow = true
	return true
}

// challenge is challengeAck for a segment that is dropped because of drop.
func (c *Conn) challenge(now clock.Time, drop wire.Drop) wire.Drop {
	if !c.challengeAck(now) {
		return wire.DropRateLimited
	}
	return drop
}

// receiveReset is the second step. RFC 9293 3.10.7.4 and RFC 5961 3.2: only the
// exact RCV.NXT resets; elsewhere in the window it earns a challenge, whose
// answer will be exact if the peer means it.
func (c *Conn) receiveReset(now clock.Time, s *segment) wire.Drop {
	if s.seq != c.rcv.nxt {
		return c.challenge(now, wire.DropOutOfWindow)
	}
	c.reset()
	return wire.DropNone
}

// receiveSyn is the fourth step, for a SYN somewhere in the window.
func (c *Conn) receiveSyn(now clock.Time) wire.Drop {
	if c.state == StateSynReceived && c.passive {
		// "If the connection was initiated with a passive OPEN, then return
		// this connection to the LISTEN state and return."
		c.finish()
		return wire.DropNone
	}
	// RFC 5961 4.2: "irrespective of the sequence number, TCP MUST send an
	// ACK".
	return c.challenge(now, wire.DropBadFlags)
}

// receiveOwnSyn looks at a SYN that we have in SYN-RECEIVED already.
//
// RFC 9293 MUST-10, 3.5: with a simultaneous open it is the peer's SYN-ACK,
// whose SYN is trimmed off and whose ACK counts. Otherwise our SYN-ACK was
// lost: a bare acknowledgment, which the first step would send, is nothing
// that a peer in SYN-SENT could use, so the SYN-ACK goes out again.
func (c *Conn) receiveOwnSyn(now clock.Time, s *segment) wire.Drop {
	if s.has(wire.ACK) && s.ack == c.snd.max && c.outstanding() && !s.has(wire.RST) {
		s.flags &^= wire.SYN
		s.seq++
		c.ackNow = true
		c.checkOwnSynECN(s.flags)
		return wire.DropNone
	}
	if !s.has(wire.ACK|wire.RST) && c.challenges.allow(now) {
		c.checkOwnSynECN(s.flags)
		c.snd.nxt = c.snd.iss
		c.rtt.resent(c.snd.iss)
	}
	return wire.DropDuplicate
}
