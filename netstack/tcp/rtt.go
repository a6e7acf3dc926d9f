package tcp

// RFC 6298: computing the retransmission timer. The estimator is arithmetic;
// timers.go says what happens when the timer expires.
//
// Invariant: the RTO is within its bounds, backed off or not.

import (
	"time"

	"smolnet/netstack/clock"
)

// rtoBounds are what an RTO is computed with, besides the samples.
type rtoBounds struct {
	min, max    time.Duration
	granularity time.Duration // G
}

// An estimator follows the round-trip time, and times one segment in each
// round trip: RFC 7323 4.2, more measurements would shorten its memory.
type estimator struct {
	srtt, rttvar time.Duration // zero before the first sample
	min          time.Duration // least sample of the last leastMinutes
	rto          time.Duration // without back-off
	backoff      uint8         // doublings since the last sample
	timing       bool          // timedSeq and timedAt hold
	minMinute    uint16        // of the clock, in which min was measured last
	timedSeq     Seq           // an acknowledgment from here on ends the timing
	timedAt      clock.Time
}

// maxBackoff is enough to take any RTO to its upper bound.
const maxBackoff = 16

// leastMinutes is for how long the least sample holds. RFC 8985 6.2 step 1: it should
// "adapt when migrating to significantly longer paths". Linux has the same time.
const leastMinutes = 5

// sample takes a measurement, RFC 6298 2.2 to 2.5. It ends the back-off.
func (e *estimator) sample(now clock.Time, r time.Duration, b rtoBounds) {
	r = max(r, 1)
	if e.srtt == 0 {
		e.srtt, e.rttvar = r, r/2
	} else {
		// RTTVAR first: "the values ... MUST be computed in the above order".
		diff := e.srtt - r
		if diff < 0 {
			diff = -diff
		}
		e.rttvar += (diff - e.rttvar) / 4
		e.srtt += (r - e.srtt) / 8
	}
	e.noteLeast(now, r)
	// RFC 6298 2.4 rounds up to one second. Two tenths of it are what the
	// field uses since the clocks are better than those of 1988.
	e.rto = min(max(e.srtt+max(b.granularity, 4*e.rttvar), b.min), b.max)
	e.backoff = 0
}

// noteLeast takes a measurement that may be the least one yet, and nothing else.
func (e *estimator) noteLeast(now clock.Time, r time.Duration) {
	minute := uint16(now / clock.Time(time.Minute))
	if e.min == 0 || r <= e.min || minute-e.minMinute > leastMinutes {
		e.min, e.minMinute = r, minute
	}
}

// current returns the RTO with its back-off, RFC 6298 5.5.
func (e *estimator) current(b rtoBounds) time.Duration {
	return backOff(e.rto, e.backoff, b.max)
}

// backOff returns d doubled n times, at most limit but never less than d.
func backOff(d time.Duration, n uint8, limit time.Duration) time.Duration {
	for ; n > 0 && d < limit; n-- {
		d *= 2
		if d > limit {
			d = limit
		}
	}
	return d
}

// start times the segment that ends before end, unless one is timed already.
func (e *estimator) start(now clock.Time, end Seq) {
	if !e.timing {
		e.timing, e.timedSeq, e.timedAt = true, end, now
	}
}

// resent is Karn's rule, RFC 6298 3: what was sent again is not measured, for
// nobody knows which copy was acknowledged. Everything from seq on may be.
func (e *estimator) resent(seq Seq) {
	if e.timing && seq.Before(e.timedSeq) {
		e.timing = false
	}
}

// acked returns the round-trip time that an acknowledgment up to ack measures,
// zero if it measures none.
func (e *estimator) acked(now clock.Time, ack Seq) time.Duration {
	if !e.timing || ack.Before(e.timedSeq) {
		return 0
	}
	e.timing = false
	return max(now.Sub(e.timedAt), 1)
}
