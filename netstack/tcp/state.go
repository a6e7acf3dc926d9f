package tcp

import (
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
)

// A State is a connection's state, RFC 9293 3.3.2.
type State uint8

// The states. LISTEN is never a Conn's: its owner plays that part, see
// [CheckListen].
const (
	StateClosed State = iota
	StateListen
	StateSynSent
	StateSynReceived
	StateEstablished
	StateFinWait1
	StateFinWait2
	StateCloseWait
	StateClosing
	StateLastAck
	StateTimeWait
	numStates
)

var stateNames = [numStates]string{
	"CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2",
	"CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT",
}

// String returns the RFC's name of the state, such as "FIN-WAIT-1".
func (s State) String() string {
	if s < numStates {
		return stateNames[s]
	}
	return "unknown"
}

// synchronized reports whether both sides know each other's sequence numbers.
func (s State) synchronized() bool { return s >= StateEstablished }

// sends reports whether a connection in this state may have data or a FIN to
// send, for the first time or again.
func (s State) sends() bool {
	switch s {
	case StateEstablished, StateCloseWait, StateFinWait1, StateClosing, StateLastAck:
		return true
	}
	return false
}

// receives reports whether text is taken in this state (RFC 9293 3.10.7.4,
// seventh step); in the others the peer's FIN has been received.
func (s State) receives() bool {
	return s == StateEstablished || s == StateFinWait1 || s == StateFinWait2
}

// setState is the only assignment to the state. A connection that is over has
// no timers, and announces no window.
func (c *Conn) setState(s State) {
	c.state = s
	if s != StateClosed && s != StateTimeWait {
		return
	}
	c.timers = timers{}
	c.shared.close()
	c.dropAhead()
	c.rcv.dupAcks = 0
	c.synAckDue = false
	c.recovery.resend = false
	c.rack.probeDue = false
	c.board.reset(c.snd.una)
	c.board.records.free(c.pool)
	c.probe = probe{}
	c.keep.due = false
}

// established ends the handshake, whose round trip took rtt, zero if that is not
// known; the caller has taken the peer's options.
func (c *Conn) established(now clock.Time, rtt time.Duration) {
	lost := c.retries
	c.retries, c.soft = 0, errno.OK
	c.rtt.backoff = 0
	c.timers[timerRetransmit] = 0
	if lost > 0 {
		// RFC 6298 5.7: "the RTO MUST be re-initialized to 3 seconds when
		// data transmission begins".
		c.rtt.rto = max(c.rtt.rto, rtoAfterSynLoss)
	}
	c.startController(now, rtt, lost > 1)
	c.opened = now
	c.board.reset(c.snd.una)
	c.recovery.end = c.snd.una - 1 // RFC 6582 3.2 step 1: "covers more than recover"
	c.ecn.until = c.snd.una - 1
	c.rack.fack = c.snd.una
	c.setState(StateEstablished)
	c.events |= EventConnected
	c.lastReceived = now
	c.armKeepAlive(now)
	c.armIdle(now)
	if c.snd.finQueued {
		// RFC 9293 3.10.4, CLOSE in SYN-RECEIVED: "queue for processing
		// after entering ESTABLISHED state".
		c.setState(StateFinWait1)
	}
}
