package tcp

// The segments that nearly all are: the next data of a connection whose other
// direction is silent, and the acknowledgment of all that is out, alone or with an answer.
// The steps of RFC 9293 3.10.7.4 come to little for them, so that looking at what they
// are not takes less time than taking the steps one by one (Van Jacobson's header
// prediction).
//
// Invariant: what receiveExpected takes it takes exactly as receiveStepwise would;
// where that is not clear at a glance it leaves the segment to it.

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/wire"
)

// receiveExpected takes a segment that brings the next data, or the news of answered, or
// both, and reports whether it was one.
func (c *Conn) receiveExpected(now clock.Time, h *wire.TCP, payload []byte) (wire.Drop, bool) {
	r, s := &c.rcv, &c.snd
	seq, ack := Seq(h.Seq), Seq(h.Ack)
	wnd := uint32(h.Window) << s.scale
	n := len(payload)
	switch {
	case c.state != StateEstablished, c.fast != nil, // and so nobody has closed
		h.Flags&^wire.PSH != wire.ACK, h.Options.HasTimestamps != c.ts.on, h.Options.NumSACK > 0,
		seq != r.nxt, n == 0 && ack == s.una, n > r.adv.Sub(r.nxt), r.finSeen, // the next text, inside the window
		s.wl1.After(seq),
		c.timers[timerProbe].IsSet(), c.probe.unanswered > 0: // where more is news
		return wire.DropNone, false
	}
	news := ack != s.una
	if news && (wnd == 0 || !c.answered(ack)) || !news && wnd != s.wnd {
		return wire.DropNone, false
	}
	if c.ts.on {
		if int32(h.Options.TSVal-c.ts.recent) < 0 {
			return wire.DropNone, false
		}
		if !seq.After(r.lastAck) { // RFC 7323 4.3, (2)
			c.ts.recent, c.ts.recentAt = h.Options.TSVal, now
		}
	}
	if news {
		c.takeAnswer(now, ack, h.Options.TSEcr)
		s.wnd, s.maxWnd = wnd, max(s.maxWnd, wnd)
	}
	s.wl1, s.wl2 = seq, ack
	c.lastReceived = now
	c.keep.unanswered = 0
	if n == 0 {
		return wire.DropNone, true
	}
	drop := c.takeText(now, payload)
	if c.tune.recvMost != 0 {
		c.tuneRecv(now, h.Options.TSEcr)
	}
	return drop, true
}

// answered reports whether an acknowledgment is that of the one transmission that is
// out, which was sent once, while nothing is repaired and the windows are wide open.
func (c *Conn) answered(ack Seq) bool {
	b, k := &c.board, &c.congestion
	if b.records.n != 1 || ack != c.snd.max || c.snd.wnd == 0 || c.snd.left != 0 ||
		c.recovery.phase != congestion.Open || c.recovery.reduced ||
		c.rack.probeOut || c.rack.inDsackRound || c.timers[timerLoss].IsSet() && !c.rack.probing ||
		!k.deaf || c.rate.lost != 0 || c.snd.una.Before(c.snd.limitedTo) {
		return false
	}
	rec := b.records.at(0)
	return rec.flags&^recordLimited == 0 && rec.end == ack && !ack.Before(c.rack.fack)
}

// takeAnswer is ackArrived for what answered allows.
func (c *Conn) takeAnswer(now clock.Time, ack Seq, echo uint32) {
	b := &c.board
	rec := b.records.at(0)
	c.measure(now, ack, echo)
	rtt := max(now.Sub(rec.sent), 1)
	n := c.advance(ack)
	c.search.proved = c.search.proved || n >= c.snd.mss
	c.rack.take(rec, rtt)
	c.rate.arrive(now, n, rec.sent)
	b.records.pop()
	b.pieces, b.waitFrom = 0, maxSeq(b.waitFrom, ack)
	b.known = [2]span{}
	c.progress(now)
	c.rtt.noteLeast(now, rtt)
	c.congestion.spared = true
	c.tuneSend()
	c.timers[timerLoss] = 0
	c.rack.probing = false
}
