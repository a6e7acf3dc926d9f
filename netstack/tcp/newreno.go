package tcp

// RFC 5681 3.1 (slow start and congestion avoidance), RFC 6582 (NewReno), RFC
// 6928 (initial window). Here is the window alone: which segments to send again
// and how the window is inflated meanwhile is recovery.go's.
//
// Invariant: window and threshold are at least one segment.

import "smolnet/netstack/clock"

const (
	initialWindowSegments = 10        // RFC 6928 2
	initialWindowBytes    = 14600     // RFC 6928 2
	maxCongestionWindow   = maxBuffer // more than that is never in flight

	// slowStartLimit is L of RFC 3465: segments by which one acknowledgment
	// may open the window in slow start. RFC 5681 counts one segment for each
	// acknowledgment and so assumes one for every second segment; a receiver
	// that looks at all arrived segments before it answers (RFC 9293 MUST-59)
	// sends far fewer. RFC 9406 4.2 has 8.
	slowStartLimit = 8
)

// A NewReno is the congestion controller of RFC 5681 and RFC 6582. The zero
// NewReno is ready for Init.
type NewReno struct {
	mss      int
	window   int
	ssthresh int
	acked    int // since the window grew last, in congestion avoidance
}

// initialWindow is RFC 6928 2, (1): min (10*MSS, max (2*MSS, 14600)).
func initialWindow(mss int) int {
	return min(initialWindowSegments*mss, max(2*mss, initialWindowBytes))
}

// Init starts slow start with the initial window of RFC 6928.
func (r *NewReno) Init(_ clock.Time, mss int) {
	// RFC 5681 3.1: "The initial value of ssthresh SHOULD be set arbitrarily
	// high".
	*r = NewReno{mss: mss, window: initialWindow(mss), ssthresh: maxCongestionWindow}
}

// OnSynLoss takes the initial window down to one segment, RFC 5681 3.1.
func (r *NewReno) OnSynLoss(clock.Time) { r.window = r.mss }

// OnSend does nothing.
func (r *NewReno) OnSend(clock.Time, int, int) {}

// OnAck opens the window.
func (r *NewReno) OnAck(_ clock.Time, a AckSample) {
	// A window that the sender does not use tells nothing about the path: RFC
	// 7661 has why it must not grow on.
	if a.InRecovery || !a.WindowLimited {
		return
	}
	if r.window < r.ssthresh {
		r.window = min(r.window+min(a.Acked, slowStartLimit*r.mss), maxCongestionWindow)
		return
	}
	// RFC 5681 3.1: "a TCP ... counts the number of bytes that have been
	// acknowledged", and opens by one segment for each full window of them.
	r.acked += a.Acked
	if r.acked >= r.window {
		r.acked -= r.window
		r.window = min(r.window+r.mss, maxCongestionWindow)
		r.acked = min(r.acked, r.window)
	}
}

// OnLoss halves the window, RFC 5681 3.2 step 2. What step 3 adds for the
// segments that left the network the connection adds itself.
func (r *NewReno) OnLoss(_ clock.Time, inFlight int) {
	r.reduce(inFlight)
	r.window = r.ssthresh
}

// OnRecovered ends a recovery, RFC 6582 3.2 step 3, with the first of the two
// choices there: it avoids a burst where little is in flight.
func (r *NewReno) OnRecovered(_ clock.Time, inFlight int) {
	r.window = min(r.ssthresh, max(inFlight, r.mss)+r.mss)
	r.acked = 0
}

// OnTimeout falls back to slow start from the loss window of one segment, RFC
// 5681 3.1.
func (r *NewReno) OnTimeout(_ clock.Time, inFlight int) {
	r.reduce(inFlight)
	r.window = r.mss
}

// OnIdle takes the window down to the restart window, RFC 5681 4.1: "RW =
// min(IW,cwnd)".
func (r *NewReno) OnIdle(clock.Time) { r.window = min(r.window, initialWindow(r.mss)) }

// SetMSS changes the segment size.
func (r *NewReno) SetMSS(mss int) {
	r.mss = mss
	r.window = max(r.window, mss)
	r.ssthresh = max(r.ssthresh, mss)
}

// reduce is RFC 5681 3.1, (4): ssthresh = max (FlightSize / 2, 2*SMSS).
func (r *NewReno) reduce(inFlight int) {
	r.ssthresh = max(inFlight/2, 2*r.mss)
	r.acked = 0
}

// Window returns cwnd.
func (r *NewReno) Window() int { return r.window }

// SlowStartThreshold returns ssthresh.
func (r *NewReno) SlowStartThreshold() int { return r.ssthresh }

// PacingRate returns zero: not paced.
func (r *NewReno) PacingRate() int64 { return 0 }

// Name returns "newreno".
func (r *NewReno) Name() string { return "newreno" }
