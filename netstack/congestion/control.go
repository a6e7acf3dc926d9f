package congestion

// What Reno and CUBIC have in common: both have a window that slow start opens
// (RFC 5681 3.1), that PRR computes while losses are repaired (prr.go), that falls
// to one segment at a time-out, and that is restored if all that was a mistake.
//
// Invariant: mss <= window <= maxWindow, and the same for ssthresh.

import (
	"time"

	"smolnet/netstack/clock"
)

const (
	initialWindowSegments = 10    // RFC 6928 2
	initialWindowBytes    = 14600 // RFC 6928 2

	maxWindow = 1 << 30 // RFC 7323 2.3: no peer's window is larger
	maxMSS    = 1 << 16

	// slowStartLimit is L of RFC 3465: segments by which one acknowledgment
	// may open the window in slow start. RFC 5681 counts one segment for each
	// acknowledgment and so assumes one for every second segment; a receiver
	// that looks at all arrived segments before it answers (RFC 9293 MUST-59)
	// sends far fewer. RFC 9406 4.2 has 8.
	slowStartLimit = 8

	// minPacedRTT is the least smoothed round-trip time at which segments are
	// paced: below it the timers of the machine are coarser than the gaps.
	minPacedRTT = 4 * time.Millisecond

	// unpacedWindow is the largest window, bytes, that is not paced: as much as
	// goes out at once where segments are cut by a device, and queues have room for.
	// Where many flows have such windows, those that lose by their own bursts share
	// more evenly than those that lose by others'.
	unpacedWindow = 64 << 10
)

// A repair is what a controller is at since it was told of congestion.
type repair uint8

const (
	noRepair  repair = iota
	reducing         // PRR computes the window
	restarted        // slow start after a time-out
)

// A control is the state that Reno and CUBIC share.
type control struct {
	mss      int32
	window   int32
	ssthresh int32

	// RFC 4015 4, RFC 9438 4.9: window and ssthresh of before the present repair
	// or, if there is none, the last one; zero if there was none or it was undone.
	priorWindow   int32
	priorSsthresh int32

	target int32 // window at the end of the reduction
	prr    prr
	repair repair
	taken  bool // another controller has begun the repair
	srtt   time.Duration
}

// InitialWindow returns what may be in flight when a connection begins, with segments of
// mss bytes: RFC 6928 2.
func InitialWindow(mss int) int { return initialWindow(segment(mss)) }

// initialWindow is RFC 6928 2, (1): min (10*MSS, max (2*MSS, 14600)).
func initialWindow(mss int) int {
	return min(initialWindowSegments*mss, max(2*mss, initialWindowBytes))
}

// segment returns mss as far as it is sensible.
func segment(mss int) int { return min(max(mss, 1), maxMSS) }

// amount returns n as an amount of bytes: neither negative nor more than maxWindow.
func amount(n int) int { return min(max(n, 0), maxWindow) }

// sum returns a + b, at most maxWindow.
func sum(a, b int) int { return int(min(int64(a)+int64(b), maxWindow)) }

func (c *control) start(s Start) {
	mss := segment(s.MSS)
	// RFC 5681 3.1: "The initial value of ssthresh SHOULD be set arbitrarily
	// high".
	*c = control{mss: int32(mss), ssthresh: maxWindow, srtt: max(s.RTT, 0)}
	c.setWindow(initialWindow(mss))
	if s.SynLost {
		c.window = c.mss // RFC 6928 2
	}
	if s.Window > 0 {
		c.setWindow(s.Window)
	}
	if s.SlowStartThreshold > 0 {
		c.setSsthresh(s.SlowStartThreshold)
	}
}

func (c *control) setWindow(n int)   { c.window = int32(min(max(n, int(c.mss)), maxWindow)) }
func (c *control) setSsthresh(n int) { c.ssthresh = int32(min(max(n, int(c.mss)), maxWindow)) }

func (c *control) slowStart() bool { return c.window < c.ssthresh }

// observe takes from a what all phases need, and reports whether and by how many
// bytes the window may grow.
func (c *control) observe(a *Ack) (grow bool, n int) {
	if a.SRTT > 0 {
		c.srtt = a.SRTT
	}
	switch a.Phase {
	case Open:
		// A window that the sender does not use tells nothing about the path: RFC
		// 7661 has why it must not grow on.
		n = amount(a.Acked)
		return a.WindowLimited && n > 0, n
	case Timeout:
		// RFC 3465 2.3 has a small limit here, because an acknowledgment that fills
		// a hole jumps over what had arrived long ago. Delivered leaves that out.
		// What is repaired was sent when the window was the limit, or is sent now.
		n = amount(a.Delivered)
		return n > 0, n
	default:
		if c.repair == noRepair {
			c.adopt()
		}
		if a.Phase == Reducing {
			c.prr = prr{} // it begins with a loss
		} else if c.repair == reducing {
			if w, ok := c.prr.ack(a, int(c.target), int(c.mss)); ok {
				c.setWindow(w)
			}
		}
		return false, 0
	}
}

// openSlowStart is RFC 5681 3.1 with the byte counting of RFC 3465: n bytes are
// acknowledged, and one acknowledgment opens by limit bytes at most.
func (c *control) openSlowStart(n, limit int) {
	c.setWindow(min(sum(int(c.window), min(n, limit)), int(c.ssthresh)))
}

// flight is the window that congestion is about. While losses are repaired PRR's
// window is what is left of one that was reduced already.
func (c *control) flight() int {
	if c.repair == reducing {
		return int(c.target)
	}
	return int(c.window)
}

// healthy reports whether this controller has begun no repair that is going on.
func (c *control) healthy() bool { return c.repair == noRepair || c.taken }

// save keeps what a mistake would be undone to. An episode of several repairs is
// undone to its beginning.
func (c *control) save() {
	if c.healthy() {
		c.priorWindow, c.priorSsthresh = c.window, c.ssthresh
	}
	c.taken = false
}

// reduce begins a reduction to target, which PRR carries out.
//
// A mark reduces the window at once, RFC 3168 6.1.2: what PRR would let out meanwhile
// meets the very queue that has marked, and marks on that have the window reduced twice.
func (c *control) reduce(target int, why Cause, inFlight int) {
	c.save()
	// RFC 5681 3.1, (4), RFC 9438 4.6: two segments at least, but a mark goes on to
	// reduce the window, "until it reaches a value of 1 SMSS".
	c.setSsthresh(max(target, 2*int(c.mss)))
	if why == Loss {
		target = int(c.ssthresh)
	}
	c.target = int32(min(max(target, int(c.mss)), maxWindow))
	c.repair = reducing
	c.prr = prr{}
	if why == Mark {
		c.setWindow(int(c.target))
		return
	}
	// RFC 9937 6.2: one segment, the lost one, goes out at once, or with the first
	// acknowledgment if more than the target is in flight.
	c.setWindow(min(sum(amount(inFlight), int(c.mss)), int(c.target)))
}

// adopt goes on with a reduction that another controller has begun, which this one has
// taken over from: to the threshold, and if that one had none, as BBR, to the window.
func (c *control) adopt() {
	if c.ssthresh == maxWindow {
		c.setSsthresh(max(int(c.window), 2*int(c.mss)))
	}
	c.target = c.ssthresh
	c.repair, c.taken = reducing, true
	c.prr = prr{}
}

// restart falls back to slow start from the loss window of one segment, RFC 5681
// 3.1.
//
// A time-out in the midst of a reduction is about losses that the threshold has been
// lowered for already, and leaves it; so does Linux.
func (c *control) restart(ssthresh int) {
	c.save()
	if c.repair != reducing {
		c.setSsthresh(max(ssthresh, 2*int(c.mss)))
	}
	c.repair = restarted
	c.window = c.mss
}

// undo restores what was before the last repair, and reports whether there is any
// to undo.
func (c *control) undo() bool {
	if c.priorWindow == 0 {
		return false
	}
	c.window, c.ssthresh = max(c.window, c.priorWindow), max(c.ssthresh, c.priorSsthresh)
	c.priorWindow, c.priorSsthresh = 0, 0
	c.repair, c.taken = noRepair, false
	return true
}

// idle takes the window down to the restart window, RFC 5681 4.1: "RW =
// min(IW,cwnd)".
func (c *control) idle() {
	// RFC 7661 4.4.3, after RFC 2861: ssthresh remembers three quarters of what the
	// path has carried.
	c.setSsthresh(max(int(c.ssthresh), int(c.window)/4*3))
	c.setWindow(min(int(c.window), initialWindow(int(c.mss))))
}

// OnSend counts what goes out while losses are repaired.
func (c *control) OnSend(_ clock.Time, n, _ int) {
	if c.repair == reducing {
		c.prr.send(n)
	}
}

// OnRecovered ends a repair.
func (c *control) OnRecovered(clock.Time, int) {
	if c.repair == reducing {
		c.setWindow(int(c.target)) // RFC 9937 6.4; RFC 6582 3.2 step 3, (2)
	}
	c.repair, c.taken = noRepair, false
}

// SetMSS changes the segment size.
func (c *control) SetMSS(mss int) {
	c.mss = int32(segment(mss))
	c.window, c.ssthresh = max(c.window, c.mss), max(c.ssthresh, c.mss)
}

// Window returns cwnd.
func (c *control) Window() int { return int(c.window) }

// SlowStartThreshold returns ssthresh, 1<<30 while there was no congestion.
func (c *control) SlowStartThreshold() int { return int(c.ssthresh) }

// pacingRate is twice the window for each round trip where slow start is about to
// double it, and a fifth more elsewhere, so that the window and not the rate is the
// limit; the factors are Linux's.
func (c *control) pacingRate() int64 {
	w := int64(c.window)
	if c.repair == reducing {
		w = max(w, int64(c.target)) // PRR spreads what goes out already
	}
	if c.srtt < minPacedRTT || w <= unpacedWindow {
		return 0
	}
	if c.window < c.ssthresh/2 {
		w *= 2
	} else {
		w += w / 5
	}
	return w * int64(time.Second) / int64(c.srtt)
}

func (c *control) mode() string {
	switch {
	case c.repair == reducing:
		return "recovery"
	case c.repair == restarted:
		return "timeout"
	case c.slowStart():
		return "slow start"
	}
	return "congestion avoidance"
}
