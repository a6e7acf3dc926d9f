package tcp

// RFC 9293 3.7.4 (Nagle), 3.8 (data communication), 3.8.6.1 (zero-window
// probes), 3.8.6.2.1 (silly window syndrome, the sender's side).
//
// Each function here decides and builds in one go: there is no second place
// that knows when something is due.

import (
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/wire"
)

// RFC 9293 3.8.6.2.1, (4): "the override timeout ... should be in the range
// 0.1 - 1.0 seconds".
const (
	minOverride = 100 * time.Millisecond
	maxOverride = time.Second
)

// Send runs the timers that are due, then writes the next segment to b, which
// should have room for what the first link takes (see Connect and SetMTU), or reports
// false: there is nothing to say until Deadline, a Receive, or the user. The
// checksum field is zero. A b that is longer than that
// asks for super-segments, which somebody below cuts: Segment.SegmentSize.
func (c *Conn) Send(now clock.Time, b []byte) (Segment, bool) {
	if first := c.timers.earliest(); first.Due(now) {
		c.runTimers(now)
	}
	if len(b) <= wire.TCPMaxLen {
		return Segment{}, false
	}
	seg, ok := c.send(now, b)
	c.check()
	return seg, ok
}

// send has the order in which what is due is said.
func (c *Conn) send(now clock.Time, b []byte) (Segment, bool) {
	if c.resetDue {
		return c.sendReset(now, b), true
	}
	if c.synAckDue {
		return c.sendFastSynAck(now, b), true
	}
	if c.state == StateSynSent || c.state == StateSynReceived {
		if seg, ok := c.sendSyn(now, b); ok || c.state == StateSynSent {
			return seg, ok
		}
	}
	if c.state.sends() {
		if c.board.waiting > 0 {
			if seg, ok := c.sendLost(now, b); ok {
				return seg, true
			}
		}
		if c.rack.probeDue {
			if seg, ok := c.sendTailProbe(now, b); ok {
				return seg, true
			}
		}
		if seg, ok := c.sendData(now, b); ok {
			return seg, true
		}
		if c.frtoStuck() {
			c.recovery.frto = frtoOff
			if seg, ok := c.sendLost(now, b); ok {
				return seg, true
			}
		}
		if c.probe.due {
			if seg, ok := c.sendProbe(now, b); ok {
				return seg, true
			}
		}
	}
	if c.keep.due {
		return c.sendKeepAlive(now, b), true
	}
	return c.sendAck(now, b)
}

// sendSyn sends the SYN or SYN-ACK, for the first time or again.
func (c *Conn) sendSyn(now clock.Time, b []byte) (Segment, bool) {
	s := &c.snd
	if s.nxt != s.iss {
		return Segment{}, false
	}
	h := c.synHeader(now)
	if c.state == StateSynReceived {
		c.ackNow = false
	}
	n := 0
	if c.state == StateSynSent {
		n = c.putFastOpen(&h, b)
	}
	s.nxt = s.iss + 1 + Seq(n)
	if s.max == s.iss {
		s.max = s.nxt
		c.rtt.start(now, s.iss+1)
	} else {
		c.stats.retransmits++
	}
	if !c.timers[timerRetransmit].IsSet() {
		c.armRetransmit(now)
	}
	c.stats.segmentsSent++
	head := h.Put(b)
	c.Out.CopyAt(c.Out.Start(), b[head:head+n])
	return Segment{Len: head + n}, true
}

// sendLost sends what is lost again, RFC 6675 4 NextSeg (1), from the oldest on.
//
// A retransmission is cut by our MSS, not as what it repeats was.
func (c *Conn) sendLost(now clock.Time, b []byte) (Segment, bool) {
	s, v := &c.snd, &c.recovery
	i := c.board.firstWaiting()
	if i == c.board.records.len() || v.frto == frtoNew {
		return Segment{}, false
	}
	c.gather(i)
	start := c.board.records.at(i).start
	// RFC 9293 SHLD-16, 3.8.6: old data is sent again "if it is within the
	// window".
	n := min(c.waiting(i, len(b)), s.una.Add(int(s.wnd)).Sub(start))
	full := c.segmentRoom(b)
	if n <= 0 {
		return Segment{}, false
	}
	if v.phase == congestion.Timeout && int(c.retries) >= min(c.holeTimeouts(), holeTimeouts) {
		full = min(full, max(s.mss/smallShare, minMSS))
		b = b[:min(len(b), int(c.search.limit))]
	}
	if v.resend {
		n = min(n, full)
	} else {
		room := max(c.congestion.Window(), s.mss) - c.inFlight()
		if v.phase == congestion.Timeout && c.retries == 1 && full < s.mss {
			room = min(room, s.mss-1-c.inFlight()) // they are told from what they repeat
		}
		if min(n, full) > room || c.timers[timerPace].IsSet() {
			return Segment{}, false
		}
		if n > full {
			wide := full
			if len(b) > int(c.search.limit) {
				wide = min(n, len(b)-c.headerLen(), room, c.burst(now, c.congestion.Window(), n))
			}
			n = max(wide-wide%full, full)
		}
	}
	v.resend = false
	n = c.repeat(now, i, n)
	if c.sackOn && start == s.una && v.phase == congestion.Recovery {
		// The timer is about the last transmission of what it waits for: SACKs, which
		// do not restart it, show that the repair goes on.
		c.armRetransmit(now)
	}
	return c.sendRange(now, b, start, n), true
}

// smallShare divides the segment that was lost again and again: from the second
// time-out in a row on, and from the first if large ones are suspect, the loss window,
// one full-sized segment (RFC 5681 3.1), goes out in so many pieces. One that arrives is
// enough to go on, each has a chance of its own, and where a path swallows large packets
// small ones get through.
const smallShare = 4

// gather takes for lost as well what follows record number i, up to a full segment,
// where that is less: what went out in crumbs is sent again in one piece, and not each
// of them when its time comes.
func (c *Conn) gather(i int) {
	r := &c.board.records
	end := r.at(i).start.Add(c.snd.mss)
	for i++; i < r.len() && !r.at(i).end.After(end) && !r.at(i).has(recordSacked|recordResent); i++ {
		if !r.at(i).has(recordLost) {
			c.markLost(r.at(i))
		}
	}
}

// waiting returns how many bytes from record number i on are lost without gap and
// not on their way again: at least as many as there are up to most.
func (c *Conn) waiting(i, most int) int {
	r := &c.board.records
	n := 0
	for ; i < r.len() && n < most && r.at(i).waits(); i++ {
		n += r.at(i).len()
	}
	return n
}

// sendRange sends n sequence numbers from seq on, which may end with the FIN.
func (c *Conn) sendRange(now clock.Time, b []byte, seq Seq, n int) Segment {
	fin := c.snd.finQueued && seq.Add(n).After(c.snd.finSeq)
	return c.sendSegment(now, b, seq, n-b2i(fin), finIf(fin))
}

// sendTailProbe sends a tail loss probe, RFC 8985 7.3: new data if there is some and
// the peer's window has room for it, else the last segment again. RFC 8985 7.3: one
// probe is outstanding at a time, as armProbe sets no timer while probeOut.
func (c *Conn) sendTailProbe(now clock.Time, b []byte) (Segment, bool) {
	k, s, r := &c.rack, &c.snd, &c.board.records
	k.probeDue = false
	if r.len() == 0 || c.recovery.phase > congestion.Reducing {
		return Segment{}, false
	}
	k.probeOut = true
	room := min(c.segmentRoom(b), int(s.wnd)-c.flight())
	if n := min(c.dataEnd().Sub(s.nxt), room); n > 0 && !s.nxt.Before(s.max) {
		k.probeRepeats = false
		fin := s.finQueued && s.nxt.Add(n) == s.finSeq && n < room
		seq := s.nxt
		if c.record(now, n+b2i(fin)) {
			k.probeEnd = s.nxt
			if n < s.mss {
				s.small = s.nxt
			}
			c.stats.tailProbes++
			return c.sendNew(now, b, seq, n, fin), true
		}
	}
	i := r.len() - 1
	full := c.segmentRoom(b)
	if n := r.at(i).len(); n > full && r.split(c.pool, i, r.at(i).end.Add(-full)) {
		i++
	}
	// RFC 9293 SHLD-16: old data goes out within the window only.
	if last := r.at(i); last.len() > full || last.has(recordSacked) || last.end.After(s.una.Add(int(s.wnd))) {
		k.probeOut = false
		return Segment{}, false
	}
	k.probeRepeats, k.probeEnd = true, s.nxt
	c.stats.tailProbes++
	seq := r.at(i).start
	return c.sendRange(now, b, seq, c.repeat(now, i, r.at(i).len())), true
}

// segmentRoom returns how much payload the next segment can have. In a buffer that takes
// less than the path, SACKs find room for themselves before data does.
func (c *Conn) segmentRoom(b []byte) int {
	room := len(b) - c.headerLen()
	if room < c.snd.mss {
		return room - c.sackLen(0)
	}
	return c.snd.mss
}

// sendData sends what is next: new data and the FIN.
func (c *Conn) sendData(now clock.Time, b []byte) (Segment, bool) {
	s := &c.snd
	unsent := c.dataEnd().Sub(s.nxt)
	fin := s.finQueued && unsent >= 0 // else it is out already
	if unsent <= 0 && !fin {
		if !c.outstanding() {
			c.timers[timerProbe] = 0
		}
		c.noteIdle()
		return Segment{}, false
	}
	flight := c.flight()
	if flight == 0 {
		c.restartAfterIdle(now)
	}
	full := c.segmentRoom(b)
	n := min(unsent, full)
	fin = fin && n == unsent
	// RFC 9293 3.8.6: SND.UNA+SND.WND is the limit, for the FIN too.
	if room := int(s.wnd) - flight; n+b2i(fin) > room {
		fin = false
		n = max(min(n, room), 0)
		if n == 0 || c.silly(n) {
			return c.awaitWindow(now, flight)
		}
	}
	again := s.nxt.Before(s.max)
	if n < full && !fin && !again && c.nagle(n) {
		c.armCork(now)
		if n < unsent {
			return c.awaitWindow(now, flight)
		}
		return Segment{}, false
	}
	if n == full && !again && c.search.next.Due(now) {
		if seg, ok, hold := c.sendSizeProbe(now, b, unsent, flight); ok || hold {
			return seg, ok
		}
	}
	if n > min(max(c.congestion.Window(), s.mss)-c.inFlight(), c.frtoRoom()) || c.timers[timerPace].IsSet() {
		return Segment{}, false
	}
	// RFC 3168 6.1.2: CWR is for one packet, and a super-segment's is on each.
	if n == full && n < unsent && len(b) > int(c.search.limit) && !c.ecn.cwr {
		n = c.widen(now, len(b)-c.headerLen(), unsent, flight)
		fin = s.finQueued && n == unsent && n < int(s.wnd)-flight
	}
	seq := s.nxt
	if !c.record(now, n+b2i(fin)) {
		return Segment{}, false
	}
	if again {
		return c.sendSegment(now, b, seq, n, finIf(fin)), true
	}
	if n%full != 0 {
		s.small = s.nxt
		c.uncorked()
	}
	return c.sendNew(now, b, seq, n, fin), true
}

// dataEnd returns the sequence number after the last byte in Out.
func (c *Conn) dataEnd() Seq {
	if c.snd.finQueued {
		return c.snd.finSeq
	}
	return c.outSeq(c.Out.End())
}

// silly reports whether n bytes, which is what the peer's window has room for,
// are too few to send. RFC 9293 MUST-38, 3.8.6.2.1, (3): less than a full segment
// is worth sending if it is "at least a fraction Fs of the maximum window",
// one half. What was out already goes out again whatever the window.
func (c *Conn) silly(n int) bool {
	s := &c.snd
	return n < s.mss && n < int(s.maxWnd)/2 && !s.nxt.Before(s.max)
}

// nagle reports whether less than a full segment has to wait. RFC 9293 SHLD-7,
// 3.7.4, in Minshall's variant (its appendix A.3): while a small segment is
// unacknowledged. The end of a large write is so not held up by its beginning,
// and still no more than one small segment is under way. With a cork, see SetCork:
// always, for a time.
func (c *Conn) nagle(n int) bool {
	if c.cork.on {
		return n > 0 && !c.cork.due
	}
	return n > 0 && (!c.noDelay && c.snd.small.After(c.snd.una) || c.crowded())
}

// crowded reports whether so many transmissions are out that another small segment has
// to wait, and grow. A congestion window counts bytes, and so is no bound on packets where
// they are small: the path carries those as well. Of what went out at one instant, a
// record, the last segment alone may be small, so that records bound their number.
func (c *Conn) crowded() bool {
	return c.board.records.len() >= max(c.congestion.Window()/c.snd.mss, leastCrowd)
}

// leastCrowd is what every path takes: the initial window of RFC 6928, in segments.
const leastCrowd = 10

// restartAfterIdle is RFC 5681 4.1: "a TCP SHOULD set cwnd to no more than RW
// before beginning transmission if the TCP has not sent data in an interval
// exceeding the retransmission timeout".
func (c *Conn) restartAfterIdle(now clock.Time) {
	if !c.lastSent.IsSet() || c.outstanding() || now.Sub(c.lastSent) <= c.rtt.current(c.cfg.rtoBounds()) {
		return
	}
	c.lastSent = now
	c.congestion.OnIdle(now)
}

// A probe is the state of window probing.
type probe struct {
	due        bool
	backoff    uint8
	unanswered int32 // probes since the peer was last heard of
}

func (p *probe) answered() { p.unanswered = 0 }

// awaitWindow waits for the peer's window to open: for an acknowledgment if
// there is something in flight, else with a timer, so that a window update
// that was lost does not stop the connection.
func (c *Conn) awaitWindow(now clock.Time, flight int) (Segment, bool) {
	if flight > 0 || c.timers[timerProbe].IsSet() || c.probe.due {
		return Segment{}, false
	}
	c.timers[timerRetransmit] = 0
	// RFC 9293 SHLD-29, 3.8.6.1: the first probe "when a zero window has existed
	// for the retransmission timeout period"; SHLD-30: then ever more rarely.
	b := c.cfg.rtoBounds()
	wait := backOff(c.rtt.rto, c.probe.backoff, b.max)
	if c.snd.wnd > 0 {
		wait = min(max(wait, minOverride), maxOverride)
	}
	c.timers[timerProbe] = now.Add(wait)
	return Segment{}, false
}

// sendProbe sends what the window has no room for, or too little. RFC 9293
// MUST-36, 3.8.6.1: a zero window is probed, with one byte of new data (or the
// FIN) that the peer takes if its window has opened meanwhile. MAY-7: where the
// window has shrunk that is old data, beyond SND.UNA+SND.WND.
func (c *Conn) sendProbe(now clock.Time, b []byte) (Segment, bool) {
	s := &c.snd
	c.probe.due = false
	unsent := c.dataEnd().Sub(s.nxt)
	if unsent < 0 || unsent == 0 && !s.finQueued || c.flight() > 0 {
		return Segment{}, false
	}
	if s.wnd > 0 { // the override timeout: what the window takes
		n := min(unsent, int(s.wnd), c.segmentRoom(b))
		fin := s.finQueued && n == unsent && n < int(s.wnd)
		seq := s.nxt
		if !c.record(now, n+b2i(fin)) {
			return Segment{}, false
		}
		return c.sendSegment(now, b, seq, n, finIf(fin)), true
	}
	if c.probesExhausted() {
		c.fail(c.timeoutReason())
		return Segment{}, false
	}
	c.probe.unanswered++
	c.probe.backoff = min(c.probe.backoff+1, maxBackoff)
	// The probe's byte stays unsent as far as SND.NXT knows, but the peer may
	// acknowledge it.
	if s.nxt.Before(s.max) {
		c.stats.retransmits++
		c.rtt.resent(s.nxt)
	}
	s.max = maxSeq(s.max, s.nxt+1)
	seg := c.sendSegment(now, b, s.nxt, min(unsent, 1), finIf(unsent == 0))
	c.timers[timerRetransmit] = 0
	c.awaitWindow(now, 0)
	return seg, true
}

// probesExhausted reports whether probing has to end. RFC 9293 MUST-37 and RFC
// 6429: never while the peer answers. A connection whose user has gone is
// another matter (RFC 6429 3: resources may be reclaimed): a peer that never
// opens its window again does not hold it for ever.
func (c *Conn) probesExhausted() bool {
	limit := c.retryLimit()
	if limit < 0 {
		return false
	}
	return int(c.probe.unanswered) >= limit || c.orphan && int(c.probe.backoff) >= limit
}

// sendAck sends a bare acknowledgment if one is owed, or worth its while.
func (c *Conn) sendAck(now clock.Time, b []byte) (Segment, bool) {
	switch {
	case c.ackNow:
	case c.rcv.dupAcks > 0:
		c.rcv.dupAcks--
	case c.state.receives() && !c.readClosed && c.WindowUpdateDue():
	default:
		return Segment{}, false
	}
	return c.put(now, b, c.ackSeq(), 0), true
}

// ackSeq returns the sequence number of a segment without data: SND.NXT, unless
// the peer's window ends before it (RFC 7323 2.4: it may shrink; or a probe lies beyond it):
// there the peer would take it for out of window.
func (c *Conn) ackSeq() Seq {
	s := &c.snd
	return minSeq(s.max, s.una.Add(int(s.wnd)))
}
