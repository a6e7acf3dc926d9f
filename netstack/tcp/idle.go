package tcp

// Connections that nobody uses. RFC 9293 leaves them open for ever (MUST-25 and 3.8.4:
// even keep-alives are for the user to ask for), and so do we unless told otherwise.

import (
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
)

// SetIdleTimeout ends the connection, with a reset and errno.TimedOut, once neither side
// has sent text for d. Text that is sent again counts, as do window probes: what is under
// way is the business of other time-outs. Keep-alives and acknowledgments do not count.
// After Close it is over. Zero or negative: never.
func (c *Conn) SetIdleTimeout(now clock.Time, d time.Duration) {
	c.idleTimeout = max(d, 0)
	c.timers[timerIdle] = 0
	if c.state.synchronized() && c.state != StateTimeWait {
		c.armIdle(now)
	}
	c.check()
}

// armIdle starts the timer, which is not moved by text: it finds out when it comes.
func (c *Conn) armIdle(now clock.Time) {
	if c.idleTimeout > 0 {
		c.timers[timerIdle] = max(c.idleFrom().Add(c.idleTimeout), now)
	}
}

// idleFrom returns since when nobody has sent text.
func (c *Conn) idleFrom() clock.Time { return max(c.opened, c.lastText) }

func (c *Conn) idleTimedOut(now clock.Time) {
	if next := c.idleFrom().Add(c.idleTimeout); next > now {
		c.timers[timerIdle] = next
		return
	}
	if c.orphan {
		return // other limits are for those whose user has gone
	}
	c.fail(errno.TimedOut)
	c.resetDue = true
}
