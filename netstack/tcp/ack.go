package tcp

// RFC 9293 3.10.7.4, fifth step: the ACK field. RFC 5681 2 (what a duplicate
// is), RFC 6298 and RFC 7323 4 (round-trip times).
//
// Invariant: SND.UNA only moves forward, and SND.NXT is never behind it.

import (
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/errno"
	"smolnet/netstack/wire"
)

// receiveAck is the fifth step. A drop other than DropNone ends the processing
// of the segment.
func (c *Conn) receiveAck(now clock.Time, s *segment) (Action, wire.Drop) {
	if c.state == StateSynReceived {
		// "If SND.UNA < SEG.ACK =< SND.NXT, then enter ESTABLISHED state";
		// otherwise the segment is answered by <SEQ=SEG.ACK><CTL=RST>.
		if !s.ack.After(c.snd.una) || s.ack.After(c.snd.max) {
			return ActionReset, wire.DropBadAck
		}
		c.acceptHandshake(now, s)
		return ActionNone, wire.DropNone
	}
	// RFC 9293 MAY-12 and RFC 5961 5.2: "((SND.UNA - MAX.SND.WND) =< SEG.ACK
	// =< SND.NXT)"; anything else is a blind guess at injecting data.
	if s.ack.After(c.snd.max) || s.ack.Before(c.snd.una-Seq(c.snd.maxWnd)) {
		return ActionNone, c.challenge(now, wire.DropBadAck)
	}
	news := s.ack.After(c.snd.una)
	if !news && s.ack != c.snd.una {
		return ActionNone, wire.DropNone // "a duplicate ... can be ignored"
	}
	c.ackArrived(now, s, news)
	c.updateWindow(now, s, news)
	if c.snd.finQueued && c.snd.una.After(c.snd.finSeq) {
		c.finAcked(now)
	}
	return ActionNone, wire.DropNone
}

// acceptHandshake goes from SYN-RECEIVED to ESTABLISHED.
func (c *Conn) acceptHandshake(now clock.Time, s *segment) {
	rtt := c.rtt.acked(now, s.ack)
	c.snd.una, c.snd.nxt = s.ack, s.ack
	c.takeWindow(s)
	if rtt > 0 {
		c.rtt.sample(now, rtt, c.cfg.rtoBounds())
	}
	c.established(now, rtt)
}

// ackArrived takes an acknowledgment that may be believed: what has arrived, what is
// lost, and what follows from it.
func (c *Conn) ackArrived(now clock.Time, s *segment, news bool) {
	echo := c.ecnOn() && s.has(wire.ECE)
	if !news && !c.duplicate(s) && (!c.sackOn || s.h.Options.NumSACK == 0) {
		if echo {
			c.receiveEcho(now)
		}
		return
	}
	a := arrival{prior: c.inFlight(), fack: c.rack.fack}
	limited := c.snd.una.Before(c.snd.limitedTo)
	if s.h.Options.NumSACK > 0 && c.sackOn {
		c.takeSacks(now, s, &a)
	}
	if c.ts.on {
		// Only now: of what lies beyond a gap the echo, which is from before the gap
		// (RFC 7323 4.3), does not tell which transmission has arrived.
		a.echo, a.hasEcho = s.h.Options.TSEcr, true
	}
	left := c.snd.left
	rtt := time.Duration(0)
	if news {
		rtt = c.measure(now, s.ack, s.h.Options.TSEcr)
		c.ackNew(now, s.ack, &a)
	} else if !c.sackOn {
		c.ackDuplicate(now, &a)
	}
	if a.rtt.IsSet() {
		rtt = max(now.Sub(a.rtt), 1)
		c.rtt.noteLeast(now, rtt)
		if !news {
			c.measureSacked(now, rtt)
		}
	}
	c.noteDsack(&a)
	c.probeAcked(now, s, &a)
	if a.probed {
		c.probeArrived(now)
	}
	repairing := c.recovery.phase != congestion.Open
	if c.repair(now, &a) && c.outstanding() {
		c.armRetransmit(now) // RFC 6298 5.3
	}
	if echo {
		c.receiveEcho(now)
	}
	// What ends a repair was sent with another window than the one there is now.
	limited = limited && (!repairing || c.recovery.phase != congestion.Open)
	if c.snd.left < left { // told before, by duplicates
		a.delivered = max(a.delivered-(left-c.snd.left), 0)
	}
	if a.delivered > 0 || c.rate.lost > 0 {
		c.tellController(now, &a, rtt, limited, echo)
		c.tuneSend()
		c.armProbe(now)
	}
}

// repair moves the recovery on by an acknowledgment: it ends one, finds out that it
// was a mistake, or begins one. It reports whether the retransmission timer
// restarts, RFC 6298 5.3, if something is new.
func (c *Conn) repair(now clock.Time, a *arrival) bool {
	v := &c.recovery
	restart := a.acked > 0
	if c.undoes(a) || v.phase == congestion.Timeout && c.ackAfterTimeout(a) {
		c.undo(now)
	}
	if v.phase != congestion.Open && a.acked > 0 {
		restart = c.ackInRecovery(now, a.acked)
	}
	if c.board.sacked > 0 || v.phase > congestion.Reducing || c.timers[timerLoss].IsSet() && !c.rack.probing {
		if c.rackDetect(now) && v.phase < congestion.Recovery {
			c.enterRecovery(now, congestion.Loss)
		}
	}
	return restart
}

// tellController tells the controller of an acknowledgment. RFC 3168 6.1.2: the window
// should not increase by one with ECE. While a time-out is repaired it does: the echo
// of what was reduced for goes on until new data can take our CWR there.
func (c *Conn) tellController(now clock.Time, a *arrival, rtt time.Duration, limited, echo bool) {
	r, k := &c.rate, &c.congestion
	if k.deaf && !limited && !echo && r.lost == 0 && c.recovery.phase == congestion.Open {
		// A window that is not in use does not grow, RFC 7661 4: most exchanges of
		// questions and answers spare the controller.
		r.arrive(now, a.delivered, a.rate.sent)
		k.spared = true
		return
	}
	k = c.control(now)
	if k.spared {
		k.spared = false // it hears that it was not the limit until the last one of them
		k.OnAck(r.deliveredAt, congestion.Ack{Phase: congestion.Open, SRTT: c.rtt.srtt, MinRTT: c.rtt.min})
	}
	prior := a.rate.delivered
	appLimited := a.rate.limited
	rate, interval := r.generate(now, a, c.rtt.min)
	peer := 0
	if a.acked+c.flight()+2*c.snd.mss > int(c.snd.wnd) {
		peer = int(c.snd.maxWnd)
	}
	ack := congestion.Ack{
		Acked: a.acked, Delivered: a.delivered, Lost: int(r.lost),
		PriorInFlight: a.prior, InFlight: c.inFlight(), Phase: c.recovery.phase,
		WindowLimited: limited && !echo, PeerWindow: peer, Marked: echo,
		RTT: rtt, SRTT: c.rtt.srtt, MinRTT: c.rtt.min,
		Rate: rate, RateInterval: interval, AppLimited: appLimited,
		TotalDelivered: r.delivered, PriorDelivered: prior,
	}
	r.lost = 0
	k.OnAck(now, ack)
}

// ackNew takes an acknowledgment of something new.
func (c *Conn) ackNew(now clock.Time, ack Seq, a *arrival) {
	c.takeCumulative(now, ack, a)
	a.acked = c.advance(ack)
	c.notePassed(now, a)
	c.progress(now)
}

// advance moves SND.UNA to ack, and gives up what is acknowledged. It returns how much
// that was.
func (c *Conn) advance(ack Seq) int {
	acked := ack.Sub(c.snd.una)
	data := acked
	if c.snd.finQueued && ack.After(c.snd.finSeq) {
		data--
	}
	c.snd.advance(ack)
	c.recovery.advance(ack)
	c.ecn.until = maxSeq(c.ecn.until, ack-1)
	c.rack.fack = maxSeq(c.rack.fack, ack)
	if data > 0 {
		// What is acknowledged is never sent again: it is gone.
		c.Out.Release(c.Out.Start() + uint64(data))
		c.stats.bytesAcked += uint64(data)
		c.events |= EventWritable
	}
	if c.recovery.phase <= congestion.Reducing {
		c.snd.dupAcks, c.snd.left = 0, 0
	}
	return acked
}

// progress ends what went on for as long as nothing new was acknowledged.
func (c *Conn) progress(now clock.Time) {
	c.retries = 0
	c.lastText = now
	if c.ts.on {
		// Karn's algorithm keeps the back-off until there is a measure, as nobody
		// knows what was acknowledged. The echo tells: a retransmission, which is a
		// measure, or something earlier, and then the time-out was in vain.
		c.rtt.backoff = 0
	}
	c.probe.answered()
	c.soft = errno.OK
	c.timers[timerUser] = 0
	if !c.outstanding() {
		c.timers[timerRetransmit] = 0 // RFC 6298 5.2
		return
	}
	c.armUserTimeout(now)
}

// advance moves SND.UNA. What is remembered of before it is dragged along: left
// where it is, it would seem to lie ahead after 2^31 bytes.
func (s *sendSpace) advance(ack Seq) {
	s.una = ack
	s.nxt = maxSeq(s.nxt, ack)
	s.small = maxSeq(s.small, ack)
	s.resentTo = maxSeq(s.resentTo, ack)
	s.limitedTo = maxSeq(s.limitedTo, ack)
}

// advance is the same for what is remembered of recoveries.
func (v *recovery) advance(ack Seq) {
	v.end = maxSeq(v.end, ack-1) // "covers more than recover"
	v.undoTo = maxSeq(v.undoTo, ack-1)
}

// measure returns the round-trip time that an acknowledgment tells and feeds it
// to the estimator; zero if it tells none.
//
// The one segment that is timed gives the finest measure. RFC 7323 4 would take
// one from each echoed timestamp as well, at a millisecond's grain and, by its
// appendix G, with smaller weights. They are used where the clock is no help:
// for what was sent more than once (RFC 6298 3, Karn), and where the
// acknowledgment that should have ended the timing was lost: the next one echoes
// what has arrived since. Even then an echo from before the last retransmission is
// no measure: had the acknowledgment of the first copy been lost, it would count
// the time until we noticed. It is one if the retransmission cannot have brought
// the acknowledgment about, so soon after it.
func (c *Conn) measure(now clock.Time, ack Seq, stamp uint32) time.Duration {
	rtt := c.rtt.acked(now, ack)
	switch {
	case !c.ts.on:
	case rtt > 0:
		if echo := c.ts.rtt(now, stamp); echo > 0 && echo < rtt-time.Duration(timestampTick) {
			rtt = echo
		}
	case !c.rtt.timing && c.snd.una.Before(c.snd.resentTo):
		rtt = c.ts.rtt(now, stamp)
		if since := now.Sub(c.lastResent); rtt > since+time.Duration(timestampTick) && since >= c.rtt.min {
			rtt = 0
		}
	}
	if rtt > 0 {
		c.rtt.sample(now, rtt, c.cfg.rtoBounds())
	}
	return rtt
}

// measureSacked takes a round-trip time that a SACK has brought, at most one in a round
// trip: RFC 6298 3, measurement. What is timed may be lost, or lie behind a gap, and a
// time-out that does not know how long the queue has grown comes in the midst of the
// repair.
func (c *Conn) measureSacked(now clock.Time, rtt time.Duration) {
	e, b := &c.rtt, c.cfg.rtoBounds()
	if now.Sub(e.timedAt) < e.srtt || c.recovery.phase == congestion.Timeout {
		return
	}
	e.timing, e.timedAt = false, now
	old := e.current(b)
	e.sample(now, rtt, b)
	if at := &c.timers[timerRetransmit]; at.IsSet() {
		*at = at.Add(max(e.current(b)-old, 0)) // as if it had been known when it was set
	}
}

// duplicate looks at an acknowledgment of nothing new, and reports whether it is a
// duplicate that tells of a segment that has left the network.
func (c *Conn) duplicate(s *segment) bool {
	if c.timers[timerProbe].IsSet() || c.probe.unanswered > 0 {
		// RFC 9293 MUST-37, 3.8.6.1: "As long as the receiving TCP peer
		// continues to send acknowledgments in response to the probe
		// segments, the sending TCP peer MUST allow the connection to stay
		// open."
		c.probe.answered()
		c.timers[timerUser] = 0
	}
	// RFC 5681 2: a duplicate acknowledgment has (a) data outstanding, (b) no
	// data in it, (c) neither SYN nor FIN, (d) the greatest acknowledgment
	// number so far, and (e) the window of the last one.
	if !c.outstanding() || len(s.payload) > 0 || s.drop != wire.DropNone || s.has(wire.FIN) ||
		c.windowOf(s) != c.snd.wnd {
		return false
	}
	c.stats.duplicateAcks++
	return true
}

// windowOf returns the window that a segment announces.
func (c *Conn) windowOf(s *segment) uint32 {
	if s.h.Flags.Has(wire.SYN) {
		return uint32(s.h.Window)
	}
	return uint32(s.h.Window) << c.snd.scale
}

// updateWindow takes the window of a segment unless it is an older one: "If
// (SND.WL1 < SEG.SEQ or (SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK))". One that
// acknowledges news is no older one, though its data may be: to move SND.UNA
// without the window would move the right edge to where the peer never put it.
func (c *Conn) updateWindow(now clock.Time, s *segment, news bool) {
	if !news && !c.snd.wl1.Before(s.seq) && (c.snd.wl1 != s.seq || c.snd.wl2.After(s.ack)) {
		return
	}
	closed := c.snd.wnd == 0
	c.takeWindow(s)
	if closed && c.snd.wnd > 0 {
		c.probe = probe{}
		c.timers[timerProbe] = 0 // awaitWindow starts it for what the window is now
		if c.outstanding() && !c.timers[timerRetransmit].IsSet() {
			c.armRetransmit(now) // what the probes sent is ordinary data now
		}
	}
}

// takeWindow sets SND.WND, SND.WL1 and SND.WL2. MUST-34: the right edge may
// have moved back behind what is in flight; nothing counts on it that it did
// not, and SHLD-15: nothing new is sent until there is room again.
func (c *Conn) takeWindow(s *segment) {
	c.snd.wnd = c.windowOf(s)
	c.snd.maxWnd = max(c.snd.maxWnd, c.snd.wnd)
	c.snd.wl1, c.snd.wl2 = maxSeq(c.snd.wl1, s.seq), s.ack
}

// finAcked changes state when everything including our FIN is acknowledged.
func (c *Conn) finAcked(now clock.Time) {
	switch c.state {
	case StateFinWait1:
		c.setState(StateFinWait2)
		c.events |= EventFinAcked
		c.armFinWait2(now)
	case StateClosing:
		c.enterTimeWait(now)
	case StateLastAck:
		c.finish()
	}
}
