package tcp

// Connections that nobody uses stay open for ever unless somebody wants otherwise.

import (
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
)

// SetIdleTimeout ends the connection, with a reset and errno.TimedOut, once neither side
// has sent text for d, nor waits for an acknowledgment of text or for a window: what is
// under way is the business of other time-outs, and what the peer sends to a window that
// is closed is text too. Keep-alives and their answers do not count. After Close it is
// over. Zero or negative: never.
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

// idleFrom returns since when nothing was under way, as far as is known.
func (c *Conn) idleFrom() clock.Time { return max(c.opened, c.lastText) }

func (c *Conn) idleTimedOut(now clock.Time) {
	next := c.idleFrom().Add(c.idleTimeout)
	if c.outstanding() || c.dataEnd().After(c.snd.nxt) {
		next = now.Add(c.idleTimeout) // progress tells from when on
	}
	if next > now {
		c.timers[timerIdle] = next
		return
	}
	if c.orphan {
		return // other limits are for those whose user has gone
	}
	c.fail(errno.TimedOut)
	c.resetDue = true
}
