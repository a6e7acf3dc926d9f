package tcp

// RFC 5681 3.2 and RFC 6582 3.2 (fast retransmit and fast recovery), RFC 3042
// (limited transmit).
//
// How much has left the network without being acknowledged is kept apart from
// the controller's window: instead of inflating cwnd, as the RFCs put it, by
// each segment that has left, the amount in flight is taken to be so much less.

import "smolnet/netstack/clock"

// dupThreshold is DupThresh of RFC 5681 3.2.
const dupThreshold = 3

// ackDuplicate counts a duplicate acknowledgment.
func (c *Conn) ackDuplicate(now clock.Time) {
	s := &c.snd
	if s.dupAcks < 1<<16-1 {
		s.dupAcks++
	}
	switch {
	case s.recovering:
		// RFC 6582 3.2 has 3.2 step 4 of RFC 5681: each further duplicate
		// means that one more segment has left the network.
		s.left = min(s.left+s.mss, s.max.Sub(s.una))
	case s.dupAcks == dupThreshold && s.una.After(s.recover):
		// RFC 6582 3.2 step 2: unless the acknowledgment "covers more than
		// recover", these duplicates may come from segments that were sent
		// again in vain after the last loss.
		c.enterRecovery(now)
	case s.dupAcks < dupThreshold && s.nxt == s.max:
		// RFC 3042: the first two let one new segment out each.
		s.left = min(int(s.dupAcks)*s.mss, s.max.Sub(s.una))
	}
}

// enterRecovery is RFC 6582 3.2 steps 2 and 3.
func (c *Conn) enterRecovery(now clock.Time) {
	s := &c.snd
	c.stats.fastRecoveries++
	// RFC 5681 3.2 step 2: what limited transmit sent "MUST NOT be included
	// in this calculation"; without it the window bounds what is in flight.
	c.congestion.OnLoss(now, min(c.flight(), c.congestion.Window()))
	s.recovering, s.firstPartial = true, true
	s.recover = s.max
	s.left = min(dupThreshold*s.mss, s.max.Sub(s.una))
	s.resend = true
	c.armRetransmit(now)
}

// ackInRecovery takes an acknowledgment of acked new bytes, with SND.UNA
// already moved, and reports whether the retransmission timer restarts.
func (c *Conn) ackInRecovery(now clock.Time, acked int) bool {
	s := &c.snd
	if !s.una.Before(s.recover) {
		// RFC 6582 3.2 step 3, full acknowledgment.
		s.recovering = false
		s.dupAcks, s.left, s.resend = 0, 0, false
		c.congestion.OnRecovered(now, c.flight())
		return true
	}
	// Partial acknowledgment: the next hole begins at SND.UNA. "Deflate the
	// congestion window by the amount of new data acknowledged", and "if the
	// partial ACK acknowledges at least one SMSS of new data, then add back
	// SMSS bytes". A retransmission is cut by our MSS, not as what it repeats
	// was, so that it may fill many small holes: what it covers is not sent yet
	// again for each of them.
	s.resend = !s.una.Before(s.resentTo)
	if acked >= s.mss {
		acked -= s.mss
	}
	s.left = min(max(s.left-acked, 0), s.max.Sub(s.una))
	// "For the first partial ACK that arrives during fast recovery, also reset
	// the retransmit timer": with many holes, one a round trip, slow start is
	// faster.
	first := s.firstPartial
	s.firstPartial = false
	return first
}

// cancelRecovery ends a recovery without success. RFC 6582 3.2 step 4: "record
// the highest sequence number transmitted in the variable recover".
func (c *Conn) cancelRecovery() {
	s := &c.snd
	s.recovering, s.resend = false, false
	s.dupAcks, s.left = 0, 0
	s.recover = s.max
}
