package tcp

// RFC 9293 3.8.6 (managing the window), the receiver's side; RFC 7323 2.
//
// MAY-8: the window stays closed for as long as nobody reads.
//
// Invariant: the edge that was announced never moves back (RFC 9293 SHLD-14),
// but for less than a unit of the window's scale once the reserve for rounding
// is used up: see reserveShare. What was announced stays acceptable.

import (
	"math"
	"sync/atomic"

	"smolnet/netstack/stream"
)

const (
	// leastReserve and mostReserve bound the part of the room for a scaled
	// window that is not offered, in wholes of reserveWhole.
	leastReserve = reserveWhole / 64
	mostReserve  = reserveWhole / 3
	reserveWhole = 1 << 16

	// pressureWindow is what is offered while memory is short: every connection
	// moves on.
	pressureWindow = stream.PageSize

	// windowFraction is 1/Fr of RFC 9293 3.8.6.2.2, which recommends one half. With
	// the reserve left out a half cannot become free at once where segments are
	// half as large as the buffer: the peer would wait for room, and we with our
	// acknowledgment.
	windowFraction = 3

	closedEdge = math.MaxUint64 // no window updates: not connected, or FIN received
)

// A sharedWindow is what the reading goroutine has to know of the window. The
// owner's goroutine stores, after it has read In's start; the reader moves In's
// start, then loads: so whoever comes second sees the other.
type sharedWindow struct {
	edge atomic.Uint64 // offset in In up to which the window was announced
	most atomic.Uint32 // largest window that the scale allows; zero: not connected
	wide atomic.Uint32 // largest window that was announced so far
	unit atomic.Uint32 // of the scale
	kept atomic.Uint32 // part of the room that is not offered, of reserveWhole
	step atomic.Uint32 // growth that is always worth a segment of its own
}

// setEdge stores the edge if that is another one: a store waits for all that was
// written before it, such as the data of a segment.
func (w *sharedWindow) setEdge(edge uint64) {
	if w.edge.Load() != edge {
		w.edge.Store(edge)
	}
}

func (w *sharedWindow) close() { w.edge.Store(closedEdge) }

// windowEdge returns the offset in In up to which the window could reach now if
// what has arrived ends at end, a whole number of units from there, and the size
// of the window when In is empty. From any goroutine; start was In's start before
// end was asked for.
func (c *Conn) windowEdge(start, end uint64) (edge, size uint64) {
	most := uint64(c.shared.most.Load())
	size = uint64(c.In.Limit())
	room := size - min(end-start, size)
	unit := uint64(c.shared.unit.Load())
	room -= room * uint64(c.shared.kept.Load()) / reserveWhole
	wnd := min(room, most)
	size = min(size, most)
	if c.pool.At(stream.HoldWindows) {
		pressed := c.pressedWindow(unit)
		wnd, size = min(wnd, pressed), min(size, pressed)
	}
	return end + wnd&^(unit-1), size
}

// pressedWindow returns the largest window that the state of the memory budget
// allows, once it is a matter of that. Steps one and two of [stream.Step].
func (c *Conn) pressedWindow(unit uint64) uint64 {
	least := max(pressureWindow, unit)
	if c.pool.At(stream.ShrinkWindows) {
		return least
	}
	return max(least, uint64(c.shared.wide.Load()))
}

// notePressure counts a window that would be larger with more memory.
func (c *Conn) notePressure() {
	step := stream.HoldWindows
	if c.pool.At(stream.ShrinkWindows) {
		step = stream.ShrinkWindows
	}
	free := uint64(c.In.Room())
	free = min(free-free*uint64(c.shared.kept.Load())/reserveWhole, uint64(c.shared.most.Load()))
	if free > c.pressedWindow(uint64(c.shared.unit.Load())) {
		c.pool.Note(step)
	}
}

// reserveShare returns the part of the room, of reserveWhole, that is not
// offered with a scale and segments of mss bytes. An announced edge has to be a
// whole number of units away from RCV.NXT, so keeping it where it was means
// rounding up by less than a unit for each segment while nothing is read. RFC
// 7323 2.4 allows not to: beyond 64 MiB, where a unit is more than a segment, and
// for peers that send crumbs the reserve is not enough.
func reserveShare(scale uint8, mss uint16) uint32 {
	if scale == 0 {
		return 0
	}
	return min(max(reserveWhole<<scale/uint32(mss), leastReserve), mostReserve)
}

// WindowUpdateDue reports whether the user has read enough that Send would
// announce a larger window now, in a segment of its own if need be. It may be
// called from any goroutine: a reader calls it after each read and wakes the
// owner if it holds.
//
// It holds when no more than half of the window is left, and the window could
// at least double and grow by the lesser of two segments and a third of the buffer.
// A sender in full flight never waits for it, since it is told of what was
// read by the acknowledgments of what arrives; a receiver whose window closed
// gets past it as soon as it has read two segments; and an exchange of small
// messages, which leaves the window wide open, never meets it.
func (c *Conn) WindowUpdateDue() bool {
	announced := c.shared.edge.Load()
	if announced == closedEdge {
		return false
	}
	start := c.In.Start() // before end, which is never behind an earlier start
	end := c.In.End()
	edge, size := c.windowEdge(start, end)
	if edge <= announced {
		return false
	}
	growth := edge - announced
	left := announced - min(end, announced)
	step := max(min(size/windowFraction, uint64(c.shared.step.Load())), uint64(c.shared.unit.Load()))
	return growth >= step && growth >= left && left <= size/2
}

// openWindow begins the announcing of windows, once the options are agreed on.
func (c *Conn) openWindow() {
	if c.rcv.scale == 0 {
		c.tune.recvMost = 0 // no window is larger than the first buffer
	}
	most := uint32(unscaledMost) << c.rcv.scale
	c.shared.most.Store(most)
	c.shared.unit.Store(1 << c.rcv.scale)
	c.shared.kept.Store(reserveShare(c.rcv.scale, c.rcv.mss))
	c.shared.step.Store(2 * uint32(c.rcv.mss))
	c.shared.wide.Store(uint32(c.rcv.synWindow))
	c.rcv.adv = c.rcv.nxt.Add(int(c.rcv.synWindow))
	c.rcv.lastAck = c.rcv.nxt
}

// chooseSynWindow fixes the scale, and the window of our SYN, which is never
// scaled (RFC 7323 2.2): all copies of the SYN are the same.
func (c *Conn) chooseSynWindow() {
	n := c.In.Limit()
	c.rcv.scale = windowScale(max(n, int(c.tune.recvMost)))
	n -= int(uint64(n) * uint64(reserveShare(c.rcv.scale, c.rcv.mss)) / reserveWhole)
	c.rcv.synWindow = uint16(min(n, unscaledMost))
}

// announce returns the window field of a segment that is not a SYN, and notes
// what it announces.
func (c *Conn) announce() uint16 {
	r := &c.rcv
	edge := c.chooseEdge()
	unit := 1 << r.scale
	wnd := edge.Sub(r.nxt)
	// RFC 7323 2.4: the edge moves in units. To leave it where it is rather
	// than move it back takes a little of the reserve, as long as there is one.
	up := (wnd + unit - 1) &^ (unit - 1)
	if up > wnd && !c.reserveHolds(up) {
		up = wnd &^ (unit - 1)
	}
	field := min(up>>r.scale, unscaledMost) // RFC 7323 2.3: RCV.WND is shifted right
	r.adv = maxSeq(r.adv, r.nxt.Add(field<<r.scale))
	if w := uint32(field) << r.scale; w > c.shared.wide.Load() {
		c.shared.wide.Store(w)
	}
	if c.pool.At(stream.HoldWindows) {
		c.notePressure()
	}
	if c.state.receives() && !c.readClosed { // else no update is ever due
		c.shared.setEdge(c.In.Next() + uint64(r.adv.Sub(r.nxt)))
	}
	return uint16(field)
}

// chooseEdge returns the right edge of the window to be announced: the old one
// or one worth moving to.
func (c *Conn) chooseEdge() Seq {
	r := &c.rcv
	if r.finDone || !c.state.synchronized() {
		return r.adv // there may be another SYN-ACK, which cannot say more
	}
	end := c.In.Next()
	edge, size := c.windowEdge(c.In.Start(), end)
	room := int(edge - end)
	if c.readClosed {
		room = int(size) &^ (1<<r.scale - 1)
	}
	growth := r.nxt.Add(room).Sub(r.adv)
	// RFC 9293 MUST-39, 3.8.6.2.2: the edge stays until it can move by
	// "min( Fr * RCV.BUFF, Eff.snd.MSS )".
	if growth < min(int(size/windowFraction), int(r.mss)) || growth <= 0 {
		return r.adv
	}
	// RFC 5681 2: an acknowledgment with another window is no duplicate, so
	// that while we owe duplicates the window stays unless it really has to
	// open.
	if !r.gaps.empty() && !c.WindowUpdateDue() {
		return r.adv
	}
	return r.nxt.Add(room)
}

// reserveHolds reports whether In has room for a window of wnd bytes. If its
// limit was lowered to less than what was announced there is no keeping that
// promise, and nothing is won by breaking it sooner.
func (c *Conn) reserveHolds(wnd int) bool {
	room := c.In.Room()
	return c.rcv.finDone || c.readClosed || wnd <= room || c.rcv.adv.Sub(c.rcv.nxt) > room
}
