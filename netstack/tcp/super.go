package tcp

// Super-segments: the data of many segments under one header, for a device that
// cuts them (TCP segmentation offload) or a peer in the same memory, which needs
// no cutting. RFC 9293 knows nothing of them: on the wire they are the segments
// that Send would have made one by one at the same instant.
//
// Invariant: a super-segment holds exactly those segments, as many of them as
// its bounds allow; only its last piece may be short.

import (
	"time"

	"smolnet/netstack/clock"
)

// windowShare bounds a super-segment to this part of the window, congestion
// window or peer's: while the receiver takes one and acknowledges it, the next
// is on its way. A window in one piece would be stop-and-wait.
const windowShare = 2

// superSlowStart bounds a super-segment in slow start, in segments: see burst.
const superSlowStart = 8

// pieces returns how many segments n bytes are on the wire.
func (c *Conn) pieces(n int) int {
	if n <= c.snd.mss {
		return 1
	}
	return (n + c.snd.mss - 1) / c.snd.mss
}

// widen returns how much goes out where a full segment may: as many full
// segments as there is room for, and a small one behind them if that would go
// out now as well. room and unsent are more than a segment.
func (c *Conn) widen(now clock.Time, room, unsent, flight int) int {
	s := &c.snd
	full := s.mss
	window := max(c.congestion.Window(), full)
	offered := int(s.wnd) - flight
	limit := min(unsent, room, offered, window-c.inFlight(), c.burst(now, window, unsent+flight), c.frtoRoom())
	again := s.nxt.Before(s.max)
	if again {
		// What repeats nothing is left to another one, so that every piece of
		// this one is a retransmission.
		limit = min(limit, c.pieces(s.max.Sub(s.nxt))*full)
	}
	n := max(limit-limit%full, full)
	tail := unsent - n
	switch {
	case tail >= full, tail > limit-n, tail+b2i(s.finQueued) > offered-n:
		return n
	case !s.finQueued && !again && c.nagle(tail):
		return n
	}
	return unsent
}

// burst returns the bound on a super-segment of a connection that has want
// bytes to be in flight, with a congestion window of window bytes.
func (c *Conn) burst(now clock.Time, window, want int) int {
	s := &c.snd
	bound := min(window, int(s.maxWnd)) / windowShare
	if rate := c.congestion.PacingRate(); rate > 0 {
		return min(bound, c.paceRoom(now, rate))
	}
	if window < min(want, int(s.wnd)) && window < c.congestion.SlowStartThreshold() {
		// Slow start, and the window is what holds the connection back. RFC
		// 3465 2.3 limits how far one acknowledgment opens it, and a receiver
		// that gets a super-segment whole acknowledges it once: larger ones
		// would double the window no more in a round trip, but open it by that
		// limit for each.
		return min(bound, superSlowStart*s.mss)
	}
	return bound
}

// paceRoom returns how much a paced sender may send at once before it has to
// wait, to the end of the segment that uses it up.
func (c *Conn) paceRoom(now clock.Time, rate int64) int {
	ahead := max(c.paceFree, c.paceFrom(now)).Sub(now)
	free := float64(c.paceQuantum()-ahead) * float64(rate) / float64(time.Second)
	return (int(min(max(free, 0), maxMTU))/c.snd.mss + 1) * c.snd.mss
}
