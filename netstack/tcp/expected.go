package tcp

// The segment that nearly all are: the next data of a connection whose other
// direction is silent. The steps of RFC 9293 3.10.7.4 come to little for it, so
// that looking at what it is not takes less time than taking them one by one
// (Van Jacobson's header prediction).
//
// Invariant: what receiveExpected takes it takes exactly as receiveStepwise would;
// where that is not clear at a glance it leaves the segment to it.

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
)

// receiveExpected takes a segment that brings the next data and no other news,
// and reports whether it was one.
func (c *Conn) receiveExpected(now clock.Time, h *wire.TCP, payload []byte) (wire.Drop, bool) {
	r, s := &c.rcv, &c.snd
	seq := Seq(h.Seq)
	n := len(payload)
	switch {
	case c.state != StateEstablished, c.fast != nil, // and so nobody has closed
		h.Flags&^wire.PSH != wire.ACK, h.Options.HasTimestamps != c.ts.on, h.Options.NumSACK > 0,
		seq != r.nxt, n == 0, n > r.adv.Sub(r.nxt), r.finSeen, // the next text, inside the window
		Seq(h.Ack) != s.una, uint32(h.Window)<<s.scale != s.wnd, s.wl1.After(seq), // no news in the ACK field
		c.timers[timerProbe].IsSet(), c.probe.unanswered > 0: // where that is news as well
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
	s.wl1, s.wl2 = seq, s.una
	c.lastReceived = now
	c.keep.unanswered = 0
	drop := c.takeText(now, payload)
	if c.tune.recvMost != 0 {
		c.tuneRecv(now, h.Options.TSEcr)
	}
	return drop, true
}
