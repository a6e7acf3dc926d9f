package tcp

// Mistakes: retransmissions that nobody needed. RFC 3522 (Eifel detection by
// timestamps), RFC 2883 and RFC 3708 (by duplicate SACKs), RFC 5682 (F-RTO, by what
// is acknowledged after a time-out); RFC 4015 (what to do then).

import (
	"math"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
)

// frto is the step of RFC 5682 3.1.
type frto uint8

const (
	frtoOff  frto = iota
	frtoHead      // step 1 done: the time-out, and SND.UNA sent again
	frtoNew       // step 2 done: new data is let out instead of more of the old
)

// frtoSegments is how much new data is let out, RFC 5682 2.1 step 2b: "up to two new
// (previously unsent) segments".
const frtoSegments = 2

// noteRepeat takes note of a retransmission of n bytes.
func (c *Conn) noteRepeat(now clock.Time, start Seq, n int) {
	v := &c.recovery
	k := span{start, start.Add(n)}
	if v.repeated == 0 {
		v.stamped = true
		v.stamp = c.ts.now(now) // RFC 3522 3.2 step 2: RetransmitTS, of the first one
		v.repeats = k
	}
	v.repeats = span{minSeq(v.repeats.start, k.start), maxSeq(v.repeats.end, k.end)}
	v.repeated += int32(n)
}

// certain reports whether what comes back will tell of the retransmissions to come: the
// segment at SND.UNA was sent once, so that its acknowledgment, if it echoes what was
// sent before them, is of the original. A tail loss probe does not matter.
func (c *Conn) certain() bool {
	r := &c.board.records
	return r.len() == 0 || !r.at(0).has(recordRepeats)
}

// undoes reports whether an acknowledgment shows that the last reduction was a
// mistake.
func (c *Conn) undoes(a *arrival) bool {
	v := &c.recovery
	if !v.reduced {
		return false
	}
	if v.phase == congestion.Open && c.snd.una.After(v.undoTo) {
		v.reduced = false
		return false
	}
	if a.acked > 0 && a.hasEcho && v.stamped {
		v.stamped = false // only the first one counts, RFC 3522 3.2 step 3
		// Step 5: "If the value of the Timestamp Echo Reply field ... is smaller
		// than the value of RetransmitTS": an original has arrived.
		if int32(a.echo-v.stamp) < 0 {
			return true
		}
	}
	d := a.dsack
	if n := int32(d.end.Sub(d.start)); n > 0 && v.repeated > 0 && !d.start.Before(v.repeats.start) && !d.end.After(v.repeats.end) {
		// RFC 3708 3: every retransmission has turned out to be a duplicate. One that
		// is reported twice counts once: they are in order.
		v.repeats.start = d.end
		v.repeated -= min(n, v.repeated)
		return v.repeated == 0
	}
	return false
}

// undo takes a reduction back, RFC 4015 3.
func (c *Conn) undo(now clock.Time) {
	v, b := &c.recovery, &c.board
	c.stats.spurious++
	for i := range b.records.len() {
		// What is lost and not on its way again is on its way for the first time.
		if rec := b.records.at(i); rec.waits() {
			b.mark(rec, rec.flags&^recordLost)
		}
	}
	c.rate.lost = 0 // nor does the controller hear of it
	v.phase = congestion.Open
	v.resend, v.reduced, v.stamped, v.frto = false, false, false, frtoOff
	c.snd.dupAcks, c.snd.left = 0, 0
	c.rtt.backoff, c.retries = 0, 0
	if v.marked { // no mistake
		c.control(now).OnRecovered(now, c.inFlight())
		return
	}
	c.forgetReduction()
	c.control(now).OnUndo(now)
}

// ackAfterTimeout is RFC 5682 3.1, the SACK-enhanced F-RTO, and without SACK 2.1, for
// an acknowledgment in the phase after a time-out. It reports whether the time-out
// was a mistake.
func (c *Conn) ackAfterTimeout(a *arrival) bool {
	v := &c.recovery
	switch v.frto {
	case frtoHead:
		// Step 2: a duplicate has the sender "revert to the conventional RTO
		// recovery"; news lets new data out first, if there is some and room for it.
		v.frto = frtoOff
		if a.acked > 0 && c.dataEnd().After(c.snd.nxt) && c.snd.nxt.Sub(c.snd.una) < int(c.snd.wnd) {
			v.frto = frtoNew
			v.newFrom = c.snd.nxt
		}
	case frtoNew:
		// Step 3: news of "data that was not retransmitted after the timeout" shows
		// that it was sent in vain.
		v.frto = frtoOff
		// Else: "set the congestion window to no more than 3 * MSS, and proceed with
		// the conventional RTO recovery". Two are out, the third is the first of those
		// that are lost.
		v.resend = !a.original
		return a.original
	}
	return false
}

// frtoRoom returns how much new data may go out: all that other limits allow, but in
// step 2 of RFC 5682.
func (c *Conn) frtoRoom() int {
	v := &c.recovery
	if v.frto != frtoNew {
		return math.MaxInt
	}
	return frtoSegments*c.snd.mss - c.snd.nxt.Sub(v.newFrom)
}

// frtoStuck reports whether nothing new could go out in step 2 of RFC 5682, for
// instance because Nagle's algorithm holds it back: nothing would tell then whether
// the time-out was a mistake, and what is lost must not wait for that.
func (c *Conn) frtoStuck() bool {
	v := &c.recovery
	return v.frto == frtoNew && c.snd.nxt == v.newFrom && !c.timers[timerPace].IsSet()
}
