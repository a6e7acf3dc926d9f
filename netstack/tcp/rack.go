package tcp

// RFC 8985: RACK (which segments are lost, by when they were sent) and TLP (a
// probe for those at the end of a flight).

import (
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
)

// A rack is the state of RFC 8985 5.2 and 7.
type rack struct {
	sent  clock.Time    // RACK.xmit_ts: when the newest segment that has arrived was sent
	rtt   time.Duration // RACK.rtt: its round trip
	order uint32        // of that transmission among all
	end   Seq           // RACK.end_seq
	fack  Seq           // RACK.fack: beyond everything that has arrived

	dsackRound   Seq   // a round trip in which a duplicate was reported ends with it
	windowMult   uint8 // RACK.reo_wnd_mult, less one
	persist      uint8 // recoveries for which it holds
	reordering   bool  // RACK.reordering_seen
	inDsackRound bool

	probing      bool // timerLoss is for a tail loss probe, else for reordering
	probeDue     bool
	probeOut     bool // TLP.end_seq is set
	probeRepeats bool // TLP.is_retrans
	probeEnd     Seq  // TLP.end_seq
}

const (
	// maxWindowMult and windowPersist are of RFC 8985 6.2 step 4: reo_wnd grows "by
	// min_RTT / 4" for each round trip with duplicates, and goes back to the default
	// after 16 recoveries.
	maxWindowMult = 63
	windowPersist = 16

	// maxAckDelay is TLP.max_ack_delay, RFC 8985 7.2: how long a receiver may
	// wait with the acknowledgment of a single segment.
	maxAckDelay = 200 * time.Millisecond

	// leastProbe is the shortest time after which a probe is sent: on a path of
	// microseconds it would come between segments that are merely late.
	leastProbe = 2 * time.Millisecond
)

// rackArrived is RFC 8985 6.2 steps 2 and 3 for a record that has just arrived.
func (c *Conn) rackArrived(now clock.Time, rec *record, a *arrival) {
	k := &c.rack
	if rec.end.Before(a.fack) && !rec.has(recordRepeats) {
		// Step 3: it was sent once, and an earlier acknowledgment told that what was
		// sent later had arrived.
		k.reordering = true
		c.stats.reordered++
	}
	k.fack = maxSeq(k.fack, rec.end)
	rtt := now.Sub(rec.sent)
	if rec.has(recordRepeats | recordJoined) {
		// Step 2: "the sender ... MUST ignore the packet" if the acknowledgment
		// may be of an earlier transmission.
		if rtt < c.rtt.min || a.echoOf(c, rec) {
			return
		}
	}
	k.take(rec, rtt)
	a.last = true
}

// take has a record be the newest that has arrived, unless another one is.
func (k *rack) take(rec *record, rtt time.Duration) {
	if later := int32(rec.order - k.order); !k.sent.IsSet() || later > 0 || later == 0 && rec.end.After(k.end) {
		k.sent, k.order, k.end, k.rtt = rec.sent, rec.order, rec.end, max(rtt, 1)
	}
}

// echoOf reports whether the timestamp that came back is from before the record was
// last sent: it is an earlier transmission that has arrived.
func (a *arrival) echoOf(c *Conn, rec *record) bool {
	return a.hasEcho && int32(a.echo-c.ts.now(rec.sent)) < 0
}

// sentBefore is RACK_sent_after of RFC 8985 6.2 step 2 the other way round. Clocks
// are coarse, and sequence numbers tell the order of what went out at one instant only
// if nothing of it was a retransmission; so transmissions are numbered.
func (k *rack) sentBefore(rec *record) bool {
	return int32(rec.order-k.order) < 0 || rec.order == k.order && rec.end.Before(k.end)
}

// noteDsack is RFC 8985 6.2 step 4: a duplicate says that the reordering window is
// too small. RFC 8985 4: so it adapts to D-SACK, and RFC 8985 3.3.2: it grows with a
// duplicate.
func (c *Conn) noteDsack(a *arrival) {
	k := &c.rack
	if k.inDsackRound && !c.snd.una.Before(k.dsackRound) {
		k.inDsackRound = false
	}
	if a.dsack.start.Before(a.dsack.end) && !k.inDsackRound {
		k.inDsackRound, k.dsackRound = true, c.snd.nxt
		k.windowMult = min(k.windowMult+1, maxWindowMult)
		k.persist = windowPersist
	}
}

// reorderWindow is RACK.reo_wnd, RFC 8985 6.2 step 4, and how late our own timers
// may be. RFC 8985 3.3.2: it is zero in a recovery, and once three segments are known
// to have arrived, while no reordering was seen. RFC 8985 3.3.2: else it is a small
// fraction of the round trip, zero while that is not known.
func (c *Conn) reorderWindow() time.Duration {
	k := &c.rack
	slack := max(c.cfg.TimerSlack, 0)
	if !k.reordering && (c.recovery.phase > congestion.Reducing || c.board.pieces >= dupThreshold) {
		return slack
	}
	wnd := (1 + time.Duration(k.windowMult)) * c.rtt.min / 4
	if c.rtt.srtt > 0 {
		wnd = min(wnd, c.rtt.srtt)
	}
	return wnd + slack
}

// rackDetect is RFC 8985 6.2 step 5: it takes for lost what was sent before the
// newest that has arrived, and long enough. It reports whether there was anything.
func (c *Conn) rackDetect(now clock.Time) bool {
	k := &c.rack
	if !k.probing {
		c.timers[timerLoss] = 0
	}
	if !c.sackOn || !k.sent.IsSet() {
		return false
	}
	r := &c.board.records
	wnd := c.reorderWindow()
	lost, probe := false, false // and of probes of the path's MTU
	var wait time.Duration
	for i := range r.len() {
		rec := r.at(i)
		if rec.has(recordSacked) || rec.waits() {
			continue
		}
		if !k.sentBefore(rec) {
			if !rec.has(recordRepeats) && !rec.start.Before(c.snd.resentTo) {
				break // so is everything behind it
			}
			continue
		}
		remaining := rec.sent.Add(k.rtt + wnd).Sub(now)
		if remaining <= 0 {
			// RFC 4821 7.6: a lost probe, if nothing else is lost, is not congestion. RFC
			// 4821 4: the loss of an isolated probe alone does not lower the rate. RFC 4821
			// 4: congestion control acts on all other losses.
			alone := rec.has(recordProbe) && c.board.lost == 0 && c.recovery.phase <= congestion.Reducing
			probe, lost = probe || alone, lost || !alone
			c.markLost(rec)
		} else {
			wait = max(wait, remaining)
		}
	}
	if wait > 0 {
		k.probing = false
		c.timers[timerLoss] = now.Add(wait)
	}
	if probe && !lost {
		c.probeRefused()
		c.armRetransmit(now)
	}
	return lost
}

// lossTimeout is what becomes of timerLoss.
func (c *Conn) lossTimeout(now clock.Time) {
	if c.rack.probing {
		c.rack.probing = false
		c.rack.probeDue = true
		c.armRetransmit(now) // 7.3: "rearm RTO"
		return
	}
	if c.rackDetect(now) {
		c.enterRecovery(now, congestion.Loss)
	}
}

// armProbe schedules a tail loss probe, RFC 8985 7.2, or makes that there is none. RFC
// 8985 4: TLP is for those connections only that have RACK, which is those with SACK.
func (c *Conn) armProbe(now clock.Time) {
	k := &c.rack
	if c.timers[timerLoss].IsSet() && !k.probing {
		return
	}
	c.timers[timerLoss] = 0
	k.probing = false
	if !c.sackOn || c.recovery.phase > congestion.Reducing || c.board.sacked > 0 || k.probeOut ||
		!c.state.sends() || c.snd.nxt == c.snd.una || c.snd.wnd == 0 {
		return
	}
	pto := time.Second
	if c.rtt.srtt > 0 {
		pto = max(2*c.rtt.srtt, leastProbe)
		if c.snd.nxt.Sub(c.snd.una) <= c.snd.mss {
			pto += maxAckDelay
		}
	}
	at := now.Add(pto + max(c.cfg.TimerSlack, 0))
	// "If Now() + PTO > TCP_RTO_expiration(): PTO = TCP_RTO_expiration() - Now()":
	// the first time-out of a flight is a probe's, whose loss costs less.
	if rto := c.timers[timerRetransmit]; rto.IsSet() {
		at = min(at, rto)
	}
	k.probing = true
	c.timers[timerLoss] = at
}

// probeAcked is RFC 8985 7.4: what an acknowledgment tells of a probe that is out.
func (c *Conn) probeAcked(now clock.Time, s *segment, a *arrival) {
	k := &c.rack
	if !k.probeOut || s.ack.Before(k.probeEnd) {
		return
	}
	switch {
	case !k.probeRepeats:
		k.probeOut = false
	case a.dsack.start.Before(a.dsack.end):
		// The probe was in vain: nothing was lost.
		k.probeOut = false
	case s.ack.After(k.probeEnd):
		// The probe repaired a loss, which has to count: "the sender MUST invoke
		// a congestion control response".
		k.probeOut = false
		if c.recovery.phase == congestion.Open {
			c.noteReduction()
			c.control(now).OnCongestion(now, congestion.Loss, c.inFlight())
			c.control(now).OnRecovered(now, c.inFlight())
		}
	case a.acked == 0 && len(s.payload) == 0 && s.h.Options.NumSACK == 0:
		// The same acknowledgment again: both copies have arrived.
		k.probeOut = false
	}
}
