package tcp

// draft-cheng-iccrg-delivery-rate-estimation-02: how fast what was sent arrives.
//
// A sample covers the time from when the newest segment that has just arrived was
// sent to now, and the same span at the sender: the longer of the two, so that
// neither compressed acknowledgments nor bursts make the path look faster than
// it is.

import (
	"time"

	"smolnet/netstack/clock"
)

// A rateState is the connection's part, C of the draft.
type rateState struct {
	delivered   uint64     // bytes that have arrived
	deliveredAt clock.Time // when that last grew
	firstSent   clock.Time // when the newest segment of those that had arrived by then was sent
	order       uint32     // of the last transmission
	lost        int32      // bytes taken for lost since the controller was last told
	limitedTo   uint64     // the application was the limit until so much is delivered; zero: it is not
	rate        int64      // of the last sample that counts, bytes per second
}

// A rateSample is rs of the draft.
type rateSample struct {
	set       bool
	limited   bool
	delivered uint64
	at        clock.Time
	sent      clock.Time
	firstSent clock.Time
}

// take looks at a record that has arrived: 3.3, the newest one counts.
func (s *rateSample) take(rec *record) {
	if s.set && (rec.delivered < s.delivered || rec.delivered == s.delivered && rec.sent < s.sent) {
		return
	}
	*s = rateSample{
		set: true, limited: rec.has(recordLimited),
		delivered: rec.delivered, at: rec.deliveredAt, sent: rec.sent, firstSent: rec.firstSent,
	}
}

// stamp notes in a record what is known when it is sent, 3.2.
func (r *rateState) stamp(now clock.Time, rec *record, idle bool) {
	if idle {
		r.firstSent, r.deliveredAt = now, now
	}
	rec.sent, rec.firstSent, rec.deliveredAt, rec.delivered = now, r.firstSent, r.deliveredAt, r.delivered
	r.order++
	rec.order = r.order
	rec.flags &^= recordLimited
	if r.limitedTo != 0 {
		rec.flags |= recordLimited
	}
}

// generate completes the sample of an acknowledgment, 3.3: the rate, and the time
// that it was taken over; zero if there is none.
func (r *rateState) generate(now clock.Time, a *arrival, least time.Duration) (rate int64, interval time.Duration) {
	r.arrive(now, a.delivered, a.rate.sent)
	if a.delivered == 0 || !a.rate.set {
		return 0, 0
	}
	interval = max(a.rate.sent.Sub(a.rate.firstSent), now.Sub(a.rate.at))
	if interval <= 0 || interval < least {
		// "No reliable sample": less than a round trip, which hints at a repeated
		// segment whose first copy was acknowledged.
		return 0, 0
	}
	n := r.delivered - a.rate.delivered
	rate = int64(float64(n) * float64(time.Second) / float64(interval))
	if rate >= r.rate || !a.rate.limited {
		r.rate = rate
	}
	return rate, interval
}

// arrive counts n bytes that an acknowledgment tells to have arrived, of which the
// newest were sent at sent; that may not be known.
func (r *rateState) arrive(now clock.Time, n int, sent clock.Time) {
	if n == 0 {
		return
	}
	r.delivered += uint64(n)
	r.deliveredAt = now
	if r.limitedTo != 0 && r.delivered > r.limitedTo {
		r.limitedTo = 0
	}
	if sent.IsSet() {
		r.firstSent = sent
	}
}
