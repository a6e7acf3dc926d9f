package congestion

// RFC 5681 (slow start, congestion avoidance), RFC 6582 (NewReno), RFC 6928 (initial
// window), RFC 3465 (byte counting).

import "smolnet/netstack/clock"

// A Reno is the congestion controller of RFC 5681 and RFC 6582, with PRR (RFC 6937)
// in the place of the inflated window. The zero Reno is ready for Start.
type Reno struct {
	// Pacing spaces segments by twice the window for each smoothed round-trip time
	// in slow start, and by a fifth more than the window otherwise. Round trips below
	// 4 ms and windows of up to 64 KiB are not paced. It is set before Start.
	Pacing bool

	control

	acked int32 // since the window grew last, in congestion avoidance
}

// Start begins slow start with the initial window of RFC 6928.
func (r *Reno) Start(_ clock.Time, s Start) {
	r.acked = 0
	r.start(s)
}

// OnAck opens the window, or has PRR compute it.
func (r *Reno) OnAck(_ clock.Time, a Ack) {
	grow, n := r.observe(&a)
	if !grow {
		return
	}
	if r.slowStart() {
		r.openSlowStart(n, slowStartLimit*int(r.mss))
		return
	}
	// RFC 5681 3.1: "a TCP ... counts the number of bytes that have been
	// acknowledged", and opens by one segment for each full window of them.
	acked := sum(int(r.acked), n)
	if window := int(r.window); acked >= window {
		r.setWindow(window + int(r.mss))
		acked = min(acked-window, int(r.window))
	}
	r.acked = int32(acked)
}

// OnCongestion halves the window, RFC 5681 3.2 step 2.
//
// FlightSize is there so that a window is not taken for used that is not; ours grows
// only while it is used (RFC 9438 4.6 argues so), and inFlight leaves out what is lost.
func (r *Reno) OnCongestion(_ clock.Time, why Cause, inFlight int) {
	r.reduce(r.flight()/2, why, inFlight)
	r.acked = 0
}

// OnTimeout falls back to slow start from one segment, RFC 5681 3.1.
func (r *Reno) OnTimeout(_ clock.Time, inFlight int) {
	r.restart(min(r.flight(), inFlight) / 2)
	r.acked = 0
}

// OnUndo restores window and threshold, RFC 4015 4.
func (r *Reno) OnUndo(clock.Time) { r.undo() }

// OnIdle takes the window down to the restart window, RFC 5681 4.1.
func (r *Reno) OnIdle(clock.Time) { r.idle() }

// PacingRate returns the rate if Pacing is set and the round-trip time is known.
func (r *Reno) PacingRate() int64 {
	if !r.Pacing {
		return 0
	}
	return r.pacingRate()
}

// Name returns "reno".
func (r *Reno) Name() string { return "reno" }

// Mode returns "slow start", "congestion avoidance", "recovery" or "timeout".
func (r *Reno) Mode() string { return r.mode() }
