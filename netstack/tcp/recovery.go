package tcp

// When losses are repaired: RFC 6675 5 and RFC 8985 with SACK, RFC 5681 3.2 and RFC
// 6582 3.2 (NewReno) without, RFC 3042 (limited transmit). How large the window is
// meanwhile is the controller's business.
//
// Without SACK how much has left the network without being acknowledged is told by
// duplicate acknowledgments: instead of inflating cwnd by each, as the RFCs put it,
// the amount in flight is taken to be so much less.

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
)

// dupThreshold is DupThresh of RFC 5681 3.2.
const dupThreshold = 3

// A recovery is what the sender is at.
type recovery struct {
	phase        congestion.Phase
	firstPartial bool // no partial acknowledgment in this recovery yet
	resend       bool // the first segment that is lost goes out whatever the window
	reduced      bool // the controller was told, and may be told to undo it
	marked       bool // but for a mark too, RFC 3168, and that was no mistake
	stamped      bool // stamp is set
	frto         frto
	end          Seq    // RFC 6582 recover: beyond everything sent when it began
	stamp        uint32 // timestamp of the first retransmission, RFC 3522
	undoTo       Seq    // the controller may be told until this is acknowledged, once in phase Open
	newFrom      Seq    // where the new data of frtoNew begins
	repeated     int32  // bytes sent again and not reported as duplicates
	repeats      span   // where they are
}

// ackDuplicate counts a duplicate acknowledgment of a peer without SACK.
func (c *Conn) ackDuplicate(now clock.Time, a *arrival) {
	s := &c.snd
	if s.dupAcks < 1<<16-1 {
		s.dupAcks++
	}
	limit := s.nxt.Sub(s.una)
	switch {
	case c.recovery.phase == congestion.Recovery:
		// RFC 6582 3.2 has 3.2 step 4 of RFC 5681: each further duplicate
		// means that one more segment has left the network.
		c.leave(a, min(s.left+s.mss, limit))
	case c.recovery.phase == congestion.Timeout:
	case s.dupAcks == dupThreshold && (s.una.After(c.recovery.end) || c.recovery.phase == congestion.Reducing):
		// RFC 6582 3.2 step 2: unless the acknowledgment "covers more than
		// recover", these duplicates may come from segments that were sent
		// again in vain after the last loss.
		c.leave(a, min(dupThreshold*s.mss, limit))
		c.loseHead()
		c.enterRecovery(now, congestion.Loss)
	case s.dupAcks < dupThreshold:
		// RFC 3042: the first two let one new segment out each.
		c.leave(a, min(int(s.dupAcks)*s.mss, limit))
	}
}

// leave sets how much has left the network unacknowledged.
func (c *Conn) leave(a *arrival, n int) {
	a.delivered += max(n-c.snd.left, 0)
	c.snd.left = n
}

// loseHead takes the segment at SND.UNA for lost: a full one, whatever went out
// there.
func (c *Conn) loseHead() {
	r := &c.board.records
	end := c.snd.una.Add(c.snd.mss)
	for i := 0; i < r.len() && r.at(i).start.Before(end); i++ {
		if r.at(i).end.After(end) {
			r.split(c.pool, i, end) // else a little more is sent again
		}
		if r.at(i).has(recordProbe) && c.search.out {
			c.probeRefused() // without SACK nobody knows better
		}
		c.markLost(r.at(i))
	}
}

// enterRecovery begins the repair of a loss, or the reaction to a mark, unless one
// is going on.
func (c *Conn) enterRecovery(now clock.Time, why congestion.Cause) {
	v := &c.recovery
	phase := congestion.Recovery
	if why == congestion.Mark {
		phase = congestion.Reducing
	}
	if v.phase >= phase {
		return
	}
	if phase == congestion.Recovery {
		c.stats.fastRecoveries++
		v.resend = true
		v.firstPartial = true
		c.stopProbe()
		c.armRetransmit(now)
	}
	v.end = c.snd.nxt
	if v.phase == congestion.Open { // else the controller has reacted in this round trip
		v.reduced = phase == congestion.Recovery && c.certain()
		v.marked = phase == congestion.Reducing
		v.repeated, v.stamped = 0, false
		c.noteReduction()
		c.control(now).OnCongestion(now, why, c.inFlight())
	}
	v.phase = phase
}

// stopProbe calls a tail loss probe off: RFC 8985 7.2, none in a recovery.
func (c *Conn) stopProbe() {
	k := &c.rack
	if k.probing {
		k.probing = false
		c.timers[timerLoss] = 0
	}
	k.probeDue, k.probeOut = false, false
}

// ackInRecovery looks whether the recovery, or the repair after a time-out, is over,
// with SND.UNA already moved. It reports whether the retransmission timer restarts.
func (c *Conn) ackInRecovery(now clock.Time, acked int) bool {
	s, v := &c.snd, &c.recovery
	if !s.una.Before(v.end) {
		c.endRecovery(now)
		return true
	}
	if c.sackOn || v.phase != congestion.Recovery {
		return true
	}
	// RFC 6582 3.2 step 3, partial acknowledgment: the next hole begins at SND.UNA.
	// "Deflate the congestion window by the amount of new data acknowledged", and
	// "if the partial ACK acknowledges at least one SMSS of new data, then add back
	// SMSS bytes". A retransmission is cut by our MSS, not as what it repeats was, so
	// that it may fill many small holes: what it covers is not sent yet again for
	// each of them.
	if !s.una.Before(s.resentTo) {
		c.loseHead()
		v.resend = true
	}
	if acked >= s.mss {
		acked -= s.mss
	}
	s.left = min(max(s.left-acked, 0), s.nxt.Sub(s.una))
	// "For the first partial ACK that arrives during fast recovery, also reset
	// the retransmit timer": with many holes, one a round trip, slow start is
	// faster.
	first := v.firstPartial
	v.firstPartial = false
	return first
}

// endRecovery is the end of a recovery: all that was out when it began has arrived.
func (c *Conn) endRecovery(now clock.Time) {
	v := &c.recovery
	if v.phase > congestion.Reducing && c.rack.persist > 0 {
		// RFC 8985 6.2 step 4: the window for reordering falls back in time.
		if c.rack.persist--; c.rack.persist == 0 {
			c.rack.windowMult = 0
		}
	}
	if v.phase == congestion.Reducing {
		v.end = c.snd.una - 1 // nothing was sent twice, RFC 6582 3.2 step 2
	}
	v.phase = congestion.Open
	v.resend, v.frto = false, frtoOff
	v.undoTo = c.snd.nxt // duplicates may be reported a round trip later
	c.snd.dupAcks, c.snd.left = 0, 0
	c.control(now).OnRecovered(now, c.inFlight())
}

// rewind takes everything in flight for unsent, as it is where the peer's window has
// shrunk to nothing.
func (c *Conn) rewind(now clock.Time) {
	s, v := &c.snd, &c.recovery
	repairing := v.phase != congestion.Open
	c.board.reset(s.una)
	c.search.out = false
	c.stopProbe()
	c.timers[timerLoss] = 0
	s.nxt = s.una
	s.dupAcks, s.left = 0, 0
	v.phase, v.resend, v.reduced, v.frto = congestion.Open, false, false, frtoOff
	v.end = s.max // RFC 6582 3.2 step 4
	if repairing {
		c.congestion.OnRecovered(now, 0)
	}
}
