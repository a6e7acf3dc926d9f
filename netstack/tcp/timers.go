package tcp

// RFC 9293 3.10.8 (timeouts), RFC 6298 5 (managing the retransmission timer).
//
// Invariant: whenever something is out and unacknowledged, the retransmission
// or the probe timer is set.

import (
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/errno"
	"smolnet/netstack/stream"
)

// A timerKind is one of a connection's timers.
type timerKind uint8

const (
	timerLoss timerKind = iota // RFC 8985: reordering, or a tail loss probe; before timerRetransmit
	timerRetransmit
	timerProbe // zero window, or too small a window and nothing in flight
	timerDelayedAck
	timerKeepAlive
	timerUser   // user timeout
	timerLinger // FIN-WAIT-2 after Close, and TIME-WAIT
	timerPace
	timerCork
	timerTrim
	timerIdle
	numTimers
)

// timers holds a connection's deadlines, indexed by kind. Setting one is an
// assignment; stopping one is assigning zero; there is nothing to race.
type timers [numTimers]clock.Time

// earliest returns the first deadline, zero if none is set.
func (t *timers) earliest() clock.Time {
	first := ^uint64(0)
	for _, d := range t {
		first = min(first, uint64(d)-1) // none is later than all
	}
	return clock.Time(first + 1)
}

// Deadline returns when Send must be called next even if nothing happens
// until then; zero: never. It reads the timers and nothing else: what is to be
// sent at once is for Send to say.
func (c *Conn) Deadline() clock.Time { return c.timers.earliest() }

// runTimers runs the timers that are due.
func (c *Conn) runTimers(now clock.Time) {
	for kind := range numTimers {
		if !c.timers[kind].Due(now) {
			continue
		}
		c.timers[kind] = 0
		switch kind {
		case timerLoss:
			c.lossTimeout(now)
		case timerRetransmit:
			c.retransmitTimeout(now)
		case timerProbe:
			c.probe.due = true
		case timerDelayedAck:
			c.ackNow = true
		case timerKeepAlive:
			c.keepAliveTimeout(now)
		case timerUser:
			// RFC 9293 3.10.8, USER TIMEOUT.
			c.fail(c.timeoutReason())
		case timerLinger:
			if c.FastPending() {
				c.fastTimeout(now)
			} else {
				c.finish()
			}
		case timerCork:
			c.corkTimeout()
		case timerPace:
			c.paceFired = now
		case timerTrim:
			c.trim(now)
		case timerIdle:
			c.idleTimedOut(now)
		}
	}
}

// retransmitTimeout is RFC 6298 5.4 to 5.6, and RFC 9293 3.10.8.
func (c *Conn) retransmitTimeout(now clock.Time) {
	if c.state.synchronized() && c.snd.wnd == 0 {
		// RFC 9293 SHLD-17, 3.8.6: a sender "SHOULD NOT time out the
		// connection if data beyond the right window edge is not
		// acknowledged"; MUST-35: a window that shrank to nothing is probed.
		c.rewind(now)
		return
	}
	if limit := c.retryLimit(); limit >= 0 && int(c.retries) >= limit {
		c.fail(c.timeoutReason())
		return
	}
	c.retries++
	c.stats.timeouts++
	if c.state.synchronized() {
		c.loseAll(now)
	} else {
		c.snd.nxt = c.snd.una
		c.rtt.resent(c.snd.una)
	}
	c.rtt.backoff = min(c.rtt.backoff+1, maxBackoff) // RFC 6298 5.5
	c.armRetransmit(now)
}

// loseAll takes everything in flight for lost. RFC 5681 3.1: after a time-out it is
// sent again from SND.UNA on, as slow start allows; what turns out to have arrived is
// left out.
func (c *Conn) loseAll(now clock.Time) {
	v, r := &c.recovery, &c.board.records
	if c.retries == 1 {
		// RFC 5681 3.1, (4): only "when ... the given segment has not yet
		// been resent by way of the retransmission timer".
		c.search.suspect = c.suspects()
		v.frto = frtoOff
		if v.phase <= congestion.Reducing {
			v.frto = frtoHead // RFC 5682 2.1 step 1: not in a recovery
		}
		v.reduced, v.stamped, v.repeated = c.certain(), false, 0
		v.marked = v.marked && v.phase != congestion.Open
		c.noteReduction()
		c.control(now).OnTimeout(now, c.flight())
	}
	if r.len() > 0 && r.at(0).has(recordSacked) {
		c.forgetSacks() // what was acknowledged selectively is gone, or SND.UNA were beyond it
	}
	c.stopProbe()
	c.timers[timerLoss] = 0
	c.timers[timerPace] = 0 // a time-out later than the rate would have it
	c.markAllLost()
	v.phase = congestion.Timeout
	v.end = c.snd.nxt
	c.snd.dupAcks, c.snd.left = 0, 0
	c.rtt.resent(c.snd.una)
}

// retryLimit returns R2 for what is out now, in retransmissions; negative: no
// limit.
func (c *Conn) retryLimit() int {
	cfg := c.cfg
	switch {
	case c.state == StateSynReceived && c.passive:
		return orDefault(cfg.SynAckRetries, defaultSynAckRetries)
	case !c.state.synchronized():
		// RFC 9293 MUST-22, 3.8.3: SYNs follow the same rules.
		return orDefault(cfg.SynRetries, defaultSynRetries)
	case c.orphan:
		return orDefault(cfg.OrphanRetries, defaultOrphanRetries)
	case c.userTimeout > 0:
		return -1 // RFC 9293 MUST-21, 3.8.3: the user has set R2, as a time
	}
	return orDefault(cfg.RetransmitLimit, defaultRetransmitLimit)
}

// timeoutReason returns what a connection that gives up fails with. RFC 9293
// SHLD-25, 3.9.2.2: a soft error that was heard of explains the silence.
func (c *Conn) timeoutReason() errno.Errno {
	if c.soft != errno.OK {
		return c.soft
	}
	return errno.TimedOut
}

// Stalled reports whether retransmissions have reached R1 (RFC 9293 MUST-20,
// 3.8.3): the owner should look for another way to the peer, by asking whether
// the neighbour is still there. It is also for a user who wants to hear of
// trouble before the connection fails (SHLD-9).
func (c *Conn) Stalled() bool { return c.retries >= r1Retries }

func (c *Conn) armRetransmit(now clock.Time) {
	c.timers[timerRetransmit] = now.Add(c.rtt.current(c.cfg.rtoBounds()))
}

// armUserTimeout starts the user timeout if it is on and not running; it runs
// while data, or a window probe, waits for an acknowledgment.
func (c *Conn) armUserTimeout(now clock.Time) {
	if c.userTimeout > 0 && !c.timers[timerUser].IsSet() {
		c.timers[timerUser] = now.Add(c.userTimeout)
	}
}

// trimAfter is the silence after which streams that are empty give back their
// last page. While one of them is not, the look is repeated ever more rarely,
// up to trimAfter<<maxTrimBackoff: a reader who empties the stream says nothing.
const (
	trimAfter      = time.Second
	maxTrimBackoff = 6
)

// armTrim is called with all text, either way: a stream may have taken a page.
func (c *Conn) armTrim(now clock.Time) {
	c.timers[timerTrim] = now.Add(trimAfter)
	c.trimBackoff = 0
}

// trim gives idle memory back; the timer is gone once there is none. What waits
// behind a gap while the peer is silent counts as idle when memory is short.
func (c *Conn) trim(now clock.Time) {
	if c.pool.At(stream.ShrinkWindows) && !c.rcv.gaps.empty() && !c.readClosed {
		c.dropAhead()
	}
	if c.rcv.gaps.empty() {
		c.freeGaps()
	}
	if c.board.records.len() == 0 {
		c.board.records.free(c.pool)
	}
	in, out := c.In.Trim(), c.Out.Trim()
	if in && out && c.board.records.ring == nil { // else a FIN is out
		return
	}
	c.trimBackoff = min(c.trimBackoff+1, maxTrimBackoff)
	c.timers[timerTrim] = now.Add(trimAfter << c.trimBackoff)
}
