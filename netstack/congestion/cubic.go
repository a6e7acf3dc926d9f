package congestion

// RFC 9438 (CUBIC), with the slow start of RFC 9406 (hystart.go).
//
// The RFC counts in segments; here is everything in bytes. Products are rounded
// before they are added, so that no machine fuses the two.

import (
	"math"
	"time"

	"smolnet/netstack/clock"
)

const (
	cubicC    = 0.4                                   // RFC 9438 5: segments for each cubed second
	cubicBeta = 0.7                                   // RFC 9438 4.6; 7, 10 in whole numbers
	alphaReno = 3 * (1 - cubicBeta) / (1 + cubicBeta) // RFC 9438 4.3

	maxEpoch = time.Hour // an age at which any window is the largest; keeps sums small
)

// A Cubic is the congestion controller of RFC 9438. The zero Cubic is ready for
// Start.
type Cubic struct {
	// Pacing spaces segments by twice the window for each smoothed round-trip time
	// in slow start, and by a fifth more than the window otherwise. Round trips below
	// 4 ms and windows of up to 64 KiB are not paced. It is set before Start.
	Pacing bool

	control

	hystart hystart
	curve   curve
	prior   curve // RFC 9438 4.9: of before the present repair or the last one
	fresh   clock.Time
	part    float64 // of a byte by which the window is too small
}

// A curve is what CUBIC's window follows.
type curve struct {
	wMax      int32      // W_max: bytes; zero: no congestion yet, or a time-out
	cwndPrior int32      // cwnd_prior: window before the last reduction
	epoch     clock.Time // t_epoch, later by all the time in which the application was the limit; not set: avoidance did not begin
	k         float64    // K: seconds
	wEst      float64    // W_est: bytes
}

// Start begins slow start with the initial window of RFC 6928.
func (c *Cubic) Start(now clock.Time, s Start) {
	*c = Cubic{Pacing: c.Pacing, fresh: now}
	c.start(s)
}

// OnAck opens the window, or has PRR compute it.
func (c *Cubic) OnAck(now clock.Time, a Ack) {
	grow, n := c.observe(&a)
	// RFC 9406 4.3: "only for the initial slow start", when ssthresh is arbitrarily
	// high. The delay tells of a queue whoever has filled it.
	css := false
	if c.ssthresh == maxWindow && a.Phase == Open {
		if c.hystart.ack(&a) {
			c.setSsthresh(int(c.window))
		}
		css = c.hystart.conservative()
	}
	switch {
	case a.Phase == Open && !a.WindowLimited:
		c.hold(now)
	case !grow:
	case c.slowStart():
		c.open(n, css)
	default:
		c.avoid(now, n)
	}
	c.fresh = now
}

// open is slow start by n bytes.
func (c *Cubic) open(n int, css bool) {
	limit := slowStartLimit * int(c.mss)
	if c.Pacing && c.PacingRate() > 0 {
		limit = maxWindow // RFC 9406 4.3: "L = infinity if paced"
	}
	if css {
		n, limit = n/cssGrowthDivisor, limit/cssGrowthDivisor
	}
	c.openSlowStart(n, limit)
}

// hold keeps the time out of the curve in which the window did not grow. RFC 9438
// 5.8: "t MUST NOT include these periods".
func (c *Cubic) hold(now clock.Time) {
	if c.curve.epoch.IsSet() && now > c.fresh {
		c.curve.epoch = min(c.curve.epoch.Add(now.Sub(c.fresh)), now)
	}
}

// avoid is congestion avoidance after n bytes were acknowledged.
func (c *Cubic) avoid(now clock.Time, n int) {
	v := &c.curve
	if !v.epoch.IsSet() {
		c.begin(now)
	}
	window, mss := float64(c.window), float64(c.mss)

	// RFC 9438 4.3.
	alpha := 1.0
	if v.wEst < float64(v.cwndPrior) {
		alpha = alphaReno
	}
	v.wEst = min(v.wEst+float64(alpha*mss*float64(n)/window), maxWindow)

	age := min(max(now.Sub(v.epoch), 0), maxEpoch)
	if v.at(age, mss) < v.wEst {
		c.part = 0
		c.setWindow(max(int(c.window), int(v.wEst)))
		return
	}
	// RFC 9438 4.2, 4.4 and 4.5: (target - cwnd) / cwnd for each segment.
	target := min(max(v.at(age+min(c.srtt, maxEpoch), mss), window), 1.5*window)
	grown := min(c.part+float64((target-window)*float64(n)/window), target-window)
	c.setWindow(int(c.window) + int(grown))
	c.part = grown - math.Floor(grown)
}

// begin begins a stage of congestion avoidance.
func (c *Cubic) begin(now clock.Time) {
	v := &c.curve
	v.epoch = now
	v.wEst = float64(c.window)
	c.part = 0
	if v.cwndPrior == 0 {
		v.cwndPrior = c.window // RFC 9438 4.10: slow start ended without a loss
	}
	if v.wMax <= c.window {
		// RFC 9438 4.8 after a time-out, and 4.10.
		v.wMax, v.k = c.window, 0
		return
	}
	v.k = math.Cbrt(float64(v.wMax-c.window) / float64(c.mss) / cubicC) // RFC 9438 4.2, Figure 2
}

// at is W_cubic(age), RFC 9438 4.2, Figure 1, in bytes.
func (v *curve) at(age time.Duration, mss float64) float64 {
	t := age.Seconds() - v.k
	return float64(cubicC*mss*t*t*t) + float64(v.wMax)
}

// OnCongestion reduces the window to 0.7 of what it is.
func (c *Cubic) OnCongestion(_ clock.Time, why Cause, inFlight int) {
	c.keep()
	flight := c.flight()
	wMax := flight
	if flight < int(c.curve.wMax) {
		wMax = scale(flight, 17, 20) // RFC 9438 4.7, fast convergence: (1 + beta) / 2
	}
	c.curve = curve{wMax: int32(wMax), cwndPrior: int32(flight)}
	// RFC 9438 4.6 allows cwnd for flight_size where the window does not grow but
	// while it is the limit.
	c.reduce(scale(flight, 7, 10), why, inFlight)
}

// OnTimeout falls back to slow start from one segment.
func (c *Cubic) OnTimeout(clock.Time, int) {
	c.keep()
	flight := c.flight()
	if c.repair != reducing {
		c.curve.cwndPrior = int32(flight)
	}
	// RFC 9438 4.8: the next curve begins at its own W_max.
	c.curve = curve{cwndPrior: c.curve.cwndPrior}
	c.restart(scale(flight, 7, 10))
}

// scale returns n * p / q.
func scale(n, p, q int) int { return int(int64(n) * int64(p) / int64(q)) }

// keep keeps the curve for OnUndo.
func (c *Cubic) keep() {
	if c.healthy() {
		c.prior = c.curve
	}
}

// OnUndo restores the window and the curve, RFC 9438 4.9.
func (c *Cubic) OnUndo(clock.Time) {
	if c.undo() {
		c.curve = c.prior
	}
}

// OnIdle takes the window down to the restart window, RFC 5681 4.1.
func (c *Cubic) OnIdle(now clock.Time) {
	before := c.window
	c.idle()
	c.hold(now)
	if c.window < before {
		c.curve.epoch = 0 // avoidance begins anew after slow start
	}
	// The queue that was seen is gone.
	c.hystart = hystart{windowEnd: c.hystart.windowEnd}
	c.fresh = now
}

// PacingRate returns the rate if Pacing is set and the round-trip time is known.
func (c *Cubic) PacingRate() int64 {
	if !c.Pacing {
		return 0
	}
	return c.pacingRate()
}

// Name returns "cubic".
func (c *Cubic) Name() string { return "cubic" }

// Mode returns "slow start", "conservative slow start", "congestion avoidance",
// "recovery" or "timeout".
func (c *Cubic) Mode() string {
	m := c.mode()
	if m == "slow start" && c.ssthresh == maxWindow && c.hystart.conservative() {
		return "conservative slow start"
	}
	return m
}
