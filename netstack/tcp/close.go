package tcp

// RFC 9293 3.6 (closing), 3.10.4 (CLOSE), 3.10.5 (ABORT).

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
)

// CloseWrite is the RFC's CLOSE: a FIN follows what is in Out, where nothing
// may be written any more. It may be called more than once.
//
// RFC 9293 MAY-1 and 3.6: the other direction stays open.
func (c *Conn) CloseWrite(now clock.Time) {
	c.closeWrite()
	c.check()
}

func (c *Conn) closeWrite() {
	if c.snd.finQueued {
		return
	}
	switch c.state {
	case StateSynSent, StateSynReceived:
		// "Queue for processing after entering ESTABLISHED state."
	case StateEstablished:
		c.setState(StateFinWait1)
	case StateCloseWait:
		c.setState(StateLastAck)
	default:
		return
	}
	c.snd.finQueued = true
	c.snd.finSeq = c.outSeq(c.Out.End())
}

// CloseRead has data that arrives from now on acknowledged and thrown away, as
// shutdown(SHUT_RD) does. What is in In can still be read.
func (c *Conn) CloseRead(clock.Time) {
	if c.readClosed || c.rcv.finDone {
		return
	}
	c.readClosed = true
	c.In.DropAhead() // the gaps still say what is to be acknowledged
	c.shared.close()
	c.check()
}

// Close says that the user is gone: nobody reads In or writes to Out any more.
// What is in Out is still sent, and a FIN after it.
//
// RFC 9293 SHLD-3, 3.6.1 and RFC 2525 2.17: if In holds data that nobody has
// read, or more arrives later, the peer hears of the loss by a RST. MUST-12 and
// MUST-37 notwithstanding, a connection without a user is given up sooner:
// Config.OrphanRetries and Config.FinWait2Timeout.
func (c *Conn) Close(now clock.Time) {
	if c.orphan || c.state == StateClosed {
		return
	}
	c.orphan = true
	switch {
	case c.state == StateSynSent && !c.closesFast():
		// RFC 9293 3.10.4: "Delete the TCB".
		c.finish()
	case c.state == StateTimeWait:
	case c.In.Next() > c.In.Start() || !c.rcv.gaps.empty() && !c.readClosed:
		c.finish()
		c.resetDue = true
	default:
		c.closeWrite()
		if c.state == StateFinWait2 {
			c.armFinWait2(now)
		}
	}
	c.check()
}

// armFinWait2 bounds the time in FIN-WAIT-2 of a connection that nobody reads
// from.
func (c *Conn) armFinWait2(now clock.Time) {
	if d := c.cfg.finWait2(); c.orphan && d > 0 {
		c.timers[timerLinger] = now.Add(d)
	}
}

// Abort is the RFC's ABORT: a RST at once, and whatever was queued is lost
// (MUST-12: the peer can tell it from a CLOSE). Err is ConnAborted afterwards.
func (c *Conn) Abort(clock.Time) {
	if c.state == StateClosed {
		return
	}
	c.orphan = true
	// RFC 9293 3.10.5: a RST in SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1,
	// FIN-WAIT-2 and CLOSE-WAIT.
	reset := c.state != StateSynSent && c.state != StateClosing && c.state != StateLastAck && c.state != StateTimeWait
	c.fail(errno.ConnAborted)
	c.resetDue = reset
	c.check()
}

// fail ends the connection for a reason that the user hears of.
func (c *Conn) fail(e errno.Errno) {
	c.failure = e
	c.events |= EventFailed
	c.finish()
}

// finish enters CLOSED.
func (c *Conn) finish() {
	c.setState(StateClosed)
	c.ackNow = false
	c.events |= EventClosed
}
