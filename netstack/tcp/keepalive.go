package tcp

// RFC 9293 MAY-5, 3.8.4: keep-alives.

import (
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
)

// keepAlive is a connection's keep-alive. MUST-24: it can be turned on and off
// at any time; MUST-25: it is off unless somebody turns it on.
type keepAlive struct {
	idle, interval time.Duration // MUST-27; idle zero: off
	limit          int16
	unanswered     int16
	due            bool
}

// maxKeepAliveCount bounds the probes.
const maxKeepAliveCount = 1<<15 - 1

func (k *keepAlive) set(idle, interval time.Duration, count int) {
	k.idle = max(idle, 0)
	k.interval = orDefault(max(interval, 0), defaultKeepAliveInterval)
	k.limit = int16(min(orDefault(max(count, 0), defaultKeepAliveCount), maxKeepAliveCount))
	k.unanswered, k.due = 0, false
}

// SetKeepAlive has the connection probed after idle without a sign of the peer,
// then every interval, and ended after count probes without an answer (RFC 9293
// MUST-24, MUST-27). Zero or negative: idle: off; interval: 75 s; count: 9.
func (c *Conn) SetKeepAlive(now clock.Time, idle, interval time.Duration, count int) {
	c.keep.set(idle, interval, count)
	c.timers[timerKeepAlive] = 0
	if c.state.synchronized() && c.state != StateTimeWait {
		c.armKeepAlive(now)
	}
	c.check()
}

func (c *Conn) armKeepAlive(now clock.Time) {
	if c.keep.idle > 0 {
		c.timers[timerKeepAlive] = now.Add(c.keep.idle)
	}
}

// keepAliveTimeout looks whether the connection has been idle. The timer is not
// moved by every segment that arrives; it finds out when it comes.
func (c *Conn) keepAliveTimeout(now clock.Time) {
	k := &c.keep
	next := c.lastReceived.Add(k.idle)
	if next > now {
		c.timers[timerKeepAlive] = next
		return
	}
	// MUST-26: only "when no sent data is outstanding": the retransmission
	// timer and the window probes do the same work.
	if c.outstanding() || c.timers[timerProbe].IsSet() || c.probe.due {
		c.armKeepAlive(now)
		return
	}
	// MUST-29: one probe without an answer is no proof: "ACK segments that
	// contain no data are not reliably transmitted".
	if k.unanswered >= k.limit {
		c.fail(c.timeoutReason())
		c.resetDue = true
		return
	}
	k.unanswered++
	k.due = true
	c.timers[timerKeepAlive] = now.Add(k.interval)
}

// sendKeepAlive sends a probe, RFC 9293 3.8.4: "SEG.SEQ = SND.NXT-1". SHLD-12: it
// carries no data.
func (c *Conn) sendKeepAlive(now clock.Time, b []byte) Segment {
	c.keep.due = false
	return c.sendBare(now, b, c.snd.max-1, wire.ACK)
}
