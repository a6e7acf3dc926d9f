package tcp

// RFC 9293 MAY-5, 3.8.4: keep-alives.

import (
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
)

// A KeepAlive is the keep-alive setting of a connection. The times are kept
// while it is off.
type KeepAlive struct {
	On       bool          // it is off all the same while Idle is not above zero
	Idle     time.Duration // silence before the first probe
	Interval time.Duration // between probes without an answer; zero or negative: 75 s
	Count    int           // probes without an answer that end the connection; zero or negative: 9
}

// keepAlive is a connection's keep-alive. MUST-24: it can be turned on and off
// at any time; MUST-25: it is off unless somebody turns it on.
type keepAlive struct {
	idle, interval time.Duration // MUST-27
	limit          int16
	unanswered     int16
	on, due        bool
}

// maxKeepAliveCount bounds the probes.
const maxKeepAliveCount = 1<<15 - 1

func (k *keepAlive) set(v KeepAlive) {
	k.idle = max(v.Idle, 0)
	k.on = v.On && k.idle > 0
	k.interval = orDefault(max(v.Interval, 0), defaultKeepAliveInterval)
	k.limit = int16(min(orDefault(max(v.Count, 0), defaultKeepAliveCount), maxKeepAliveCount))
	k.unanswered, k.due = 0, false
}

// SetKeepAlive has the connection probed after idle without a sign of the peer,
// then every interval, and ended after count probes without an answer (RFC 9293
// MUST-24, MUST-27). Zero or negative: idle: off; interval: 75 s; count: 9.
func (c *Conn) SetKeepAlive(now clock.Time, idle, interval time.Duration, count int) {
	c.ChangeKeepAlive(now, func(k *KeepAlive) { *k = KeepAlive{idle > 0, idle, interval, count} })
}

// ChangeKeepAlive has fn change the present setting.
func (c *Conn) ChangeKeepAlive(now clock.Time, fn func(*KeepAlive)) {
	v := KeepAlive{c.keep.on, c.keep.idle, c.keep.interval, int(c.keep.limit)}
	fn(&v)
	c.keep.set(v)
	c.timers[timerKeepAlive] = 0
	if c.state.synchronized() && c.state != StateTimeWait {
		c.armKeepAlive(now)
	}
	c.check()
}

func (c *Conn) armKeepAlive(now clock.Time) {
	if c.keep.on {
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
	return c.put(now, b, c.snd.max-1, wire.ACK)
}
