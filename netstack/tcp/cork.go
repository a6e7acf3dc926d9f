package tcp

import (
	"time"

	"smolnet/netstack/clock"
)

// corkCeiling is how long a small segment is held back at most: a user that forgets
// to take the cork out has its data late, and not never. Linux has the same time.
const corkCeiling = 200 * time.Millisecond

// A cork holds small segments back, whatever Nagle's algorithm says: a user that
// writes in pieces knows better when they are whole.
type cork struct {
	on  bool
	due bool // the time is over: what is there goes out
}

// SetCork has no segment go out that is less than full, until it is taken back,
// there is a FIN, or the oldest such segment is 200 ms old; RFC 9293 3.7.4 leaves it
// to the user when data is pushed. Taken back, what was held goes out as Nagle's
// algorithm allows. Send is to be called afterwards.
func (c *Conn) SetCork(on bool) {
	c.cork = cork{on: on}
	c.timers[timerCork] = 0
}

// armCork begins the time of a small segment that is held back.
func (c *Conn) armCork(now clock.Time) {
	if c.cork.on && !c.timers[timerCork].IsSet() {
		c.timers[timerCork] = now.Add(corkCeiling)
	}
}

// corkTimeout ends it. What was held may have become a full segment meanwhile.
func (c *Conn) corkTimeout() { c.cork.due = c.cork.on && c.dataEnd().After(c.snd.nxt) }

// uncorked notes that a small segment goes out.
func (c *Conn) uncorked() {
	if c.cork.on {
		c.cork.due = false
		c.timers[timerCork] = 0
	}
}
