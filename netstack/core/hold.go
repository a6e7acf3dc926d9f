package core

// Connections whose SYN waits for an answer of the user's: whoever forwards
// connections first finds out whether there is somebody to forward them to.

import (
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

// An Answer is what becomes of a SYN that is held back, see ListenOptions.Hold.
type Answer uint8

// The answers.
const (
	AnswerAccept Answer = iota // a SYN-ACK
	AnswerReject               // a reset: the peer's Dial fails with ECONNREFUSED
	AnswerDrop                 // none: the peer tries again, and gives up in the end
)

// holdLimit is how long a SYN is held back at most: then it is dropped. Peers try
// again for longer.
const holdLimit = time.Minute

// eventHeld has EndTurn pass the socket to Hold. It is no event of the connection's.
const eventHeld tcp.Events = 1 << 15

// hold keeps a connection in SYN-RECEIVED from answering.
func (s *TCP) hold(now clock.Time) {
	s.held = true
	s.core.timers.Set(&s.timer, s, now.Add(holdLimit))
	s.notify(eventHeld)
}

// Answer answers the SYN of a connection that was passed to Hold. False: it is too
// late, the peer has given up, the listener was closed, or a minute has passed.
// Driver's goroutine.
func (s *TCP) Answer(now clock.Time, a Answer) bool {
	if !s.held || !s.attached {
		return false
	}
	s.held = false
	s.core.timers.Set(&s.timer, s, 0)
	switch a {
	case AnswerAccept:
		s.enqueue()
	case AnswerReject:
		s.drop(now)
	default:
		s.discard(now)
	}
	return true
}

// discard ends a half-open connection without a word.
func (s *TCP) discard(now clock.Time) {
	s.held = false
	s.conn.Discard()
	s.collect(now)
	s.enqueue() // to be released
}

// expireHold is TCP.send for a connection that is held back: nobody but its timer has
// it asked.
func (s *TCP) expireHold(now clock.Time) (int, phy.Offload) {
	s.discard(now)
	return 0, phy.Offload{}
}

// receiveHeld is TCP.receive for a connection that is held back: only a reset
// counts, and the SYN that comes again is not to be answered yet.
func (s *TCP) receiveHeld(now clock.Time, h *wire.TCP, payload []byte) wire.Drop {
	if !h.Flags.Has(wire.RST) {
		return wire.DropIgnored
	}
	_, d := s.conn.Receive(now, h, payload)
	s.collect(now)
	if !s.attached {
		s.held = false
		s.enqueue()
	}
	return d
}
