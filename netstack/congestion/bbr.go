package congestion

// BBR version 1: draft-cardwell-iccrg-bbr-congestion-control-00, here "the draft",
// by delivery rates of draft-cheng-iccrg-delivery-rate-estimation-02, which the
// connection measures. Read first: the draft's section 3. Here is what the connection
// calls, and the window (4.2.3); bbr_model.go has the model of the path (4.1),
// bbr_probe.go the states (4.3).
//
// In two things it follows later texts. The window has room for acknowledgments that
// come in bunches (extra_acked), by draft-cardwell-iccrg-bbr-congestion-control-02
// 4.5.5 and with the limits of Linux's version 1. And a restart from idle may end
// PROBE_RTT, as there.

import (
	"time"

	"smolnet/netstack/clock"
)

const (
	gainUnit   = 1000
	highGain   = 2885 // the draft, 4.3.2: 2/ln(2), BBRHighGain
	drainGain  = 347  // the draft, 4.3.3: 1/BBRHighGain
	cruiseGain = 2000 // the draft, 4.3.4.1: cwnd_gain

	minPipeSegments = 4 // the draft, 4.2.3.3: BBRMinPipeCwnd

	// The draft, 4.2.2: up to 1.2 Mbit/s one segment, up to 24 Mbit/s two, then what
	// goes out in a millisecond.
	oneSegmentRate  = 1_200_000 / 8
	twoSegmentsRate = 24_000_000 / 8
	maxQuantum      = 64 << 10
)

// A BBR is a controller that models the path by its bandwidth and round-trip time and
// sends accordingly: version 1, draft-cardwell-iccrg-bbr-congestion-control-00. Loss
// and marks are no signals to it, but for a round trip of packet conservation when a
// recovery begins. It needs pacing. The zero BBR is ready for Start.
type BBR struct {
	// Seed adds to what the phase is chosen by in which bandwidth probing begins, so
	// that connections do not probe in step. Zero is as good as any: the instant counts
	// as well.
	Seed uint64

	mss    int
	window int
	pacing int64 // bytes per second

	model bbrModel
	state bbrState

	pacingGain int64 // in gainUnit
	windowGain int64 // in gainUnit

	// PROBE_BW: the phase, and since when.
	phase   uint8
	phaseAt clock.Time

	// PROBE_RTT: when it may end, not set while too much is in flight; and whether a
	// round has passed in it.
	probeDone  clock.Time
	probeRound bool

	idle bool // restarts from idle

	// Recovery: prior_cwnd, what the window was before; whether one is going on, has
	// just begun, and is in its first round.
	prior      int
	recovering bool
	entering   bool
	conserving bool
}

// Start begins with the initial window of RFC 6928, paced as if the round-trip time
// were a millisecond where it is not known.
func (b *BBR) Start(now clock.Time, s Start) {
	mss := segment(s.MSS)
	*b = BBR{Seed: b.Seed, mss: mss}
	initial := initialWindow(mss)
	if s.SynLost {
		initial = mss // RFC 6928 2
	}
	b.setWindow(initial)
	if s.Window > 0 {
		b.setWindow(s.Window)
	}
	b.model = bbrModel{initial: initial, rtprop: max(s.RTT, 0), rtpropAt: now, extraAt: now}
	b.enterStartup()
	b.startPacing(s.RTT)
}

func (b *BBR) setWindow(n int) { b.window = min(max(n, b.mss), maxWindow) }

// minPipe is the least window that keeps acknowledgments coming in spite of delayed
// ones.
func (b *BBR) minPipe() int { return min(minPipeSegments*b.mss, maxWindow) }

// OnSend sees restarts from idle.
func (b *BBR) OnSend(now clock.Time, n, inFlight int) {
	if inFlight > n || b.recovering {
		return
	}
	// The draft, 4.3.4.4: "BBRHandleRestartFromIdle". Nothing was in flight, and
	// nothing is repaired: there was nothing to send.
	b.idle = true
	switch b.state {
	case bbrProbeBW:
		b.pace(gainUnit)
	case bbrProbeRTT:
		if b.probeRound && b.probeDone.Due(now) {
			b.exitProbeRTT(now)
		}
	}
}

// OnAck is the draft, 4.1: "BBRUpdateModelAndState" and
// "BBRUpdateControlParameters".
func (b *BBR) OnAck(now clock.Time, a Ack) {
	m := &b.model
	if b.entering {
		m.beginRound(&a)
	} else if m.update(&a) {
		b.conserving = false // after a round trip
	}
	m.sample(&a)
	m.aggregate(now, &a, b.window)
	b.checkPhase(now, &a)
	b.checkFull(&a)
	b.checkDrain(now, &a)
	if m.rtprop == 0 && a.RTT > 0 {
		b.startPacing(a.RTT)
	}
	expired := m.roundTrip(now, &a)
	b.checkProbeRTT(now, &a, expired)

	b.pace(b.pacingGain)
	b.openWindow(&a)
}

// startPacing is the draft, 4.2.1: BBRInitPacingRate.
func (b *BBR) startPacing(rtt time.Duration) {
	if rtt <= 0 {
		rtt = time.Millisecond
	}
	b.pacing = mulDiv(mulDiv(int64(b.window), int64(time.Second), int64(rtt)), b.pacingGain, gainUnit)
}

// pace is the draft, 4.2.1: BBRSetPacingRateWithGain. Until the pipe is full the rate
// does not fall.
func (b *BBR) pace(gain int64) {
	rate := mulDiv(b.model.bandwidth(), gain, gainUnit)
	if rate > 0 && (b.model.full || rate > b.pacing) {
		b.pacing = rate
	}
}

// quantum is the draft, 4.2.2: what may go out at once, BBRSetSendQuantum.
func (b *BBR) quantum() int64 {
	switch mss := int64(b.mss); {
	case b.pacing < oneSegmentRate:
		return mss
	case b.pacing < twoSegmentsRate:
		return 2 * mss
	default:
		return max(min(b.pacing/1000, maxQuantum), mss)
	}
}

// inFlight is the draft, 4.2.3.2: gain times what fills the pipe, and what is at the
// ends in bunches; BBRInflight.
func (b *BBR) inFlight(gain int64) int {
	m := &b.model
	if m.rtprop == 0 || m.bandwidth() == 0 {
		return m.initial
	}
	bdp := mulDiv(m.bandwidth(), int64(m.rtprop), int64(time.Second))
	return sum(int(min(mulDiv(bdp, gain, gainUnit), maxWindow)), int(3*b.quantum()))
}

// openWindow is the draft, 4.2.3.6: BBRSetCwnd.
func (b *BBR) openWindow(a *Ack) {
	delivered, w := amount(a.Delivered), b.window
	// 4.2.3.4, BBRModulateCwndForRecovery.
	w = max(w-amount(a.Lost), b.mss)
	target := b.inFlight(b.windowGain)
	if b.model.full {
		target = sum(target, b.model.extra())
	}
	switch {
	case b.entering:
		w = sum(amount(a.InFlight), max(delivered, b.mss))
		b.entering = false
	case b.conserving:
		w = max(w, sum(amount(a.InFlight), delivered))
	case b.model.full:
		w = max(min(sum(w, delivered), target), b.minPipe())
	default:
		if w < target || b.model.delivered < uint64(b.model.initial) {
			w = sum(w, delivered)
		}
		w = max(w, b.minPipe())
	}
	if b.state == bbrProbeRTT {
		w = min(w, b.minPipe()) // 4.2.3.5, BBRModulateCwndForProbeRTT
	}
	b.setWindow(w)
}

// save is the draft, 4.2.3.4: BBRSaveCwnd.
func (b *BBR) save() {
	if b.recovering || b.state == bbrProbeRTT {
		b.prior = max(b.prior, b.window)
		return
	}
	b.prior = b.window
}

// restore is BBRRestoreCwnd.
func (b *BBR) restore() { b.setWindow(max(b.window, b.prior)) }

// OnCongestion begins a round trip of packet conservation, if a loss is the cause. A
// mark is no signal (RFC 3168 would have it be one: who marks to keep queues short is
// better served by another controller).
func (b *BBR) OnCongestion(_ clock.Time, why Cause, inFlight int) {
	if why != Loss {
		return
	}
	b.save()
	b.recovering, b.entering, b.conserving = true, true, true
	b.setWindow(min(b.window, sum(amount(inFlight), b.mss)))
}

// OnRecovered restores the window.
func (b *BBR) OnRecovered(clock.Time, int) {
	if b.recovering {
		b.recovering, b.entering, b.conserving = false, false, false
		b.restore()
	}
}

// OnTimeout begins anew with a window of one segment, the draft, 4.2.3.4. What is
// known of the path stays.
func (b *BBR) OnTimeout(clock.Time, int) {
	b.save()
	b.recovering, b.entering, b.conserving = true, false, false
	b.model.fullBandwidth = 0 // the next rounds are no measure of growth
	b.window = b.mss
}

// OnUndo restores the window.
func (b *BBR) OnUndo(clock.Time) {
	b.recovering, b.entering, b.conserving = false, false, false
	b.model.fullBandwidth, b.model.fullRounds = 0, 0
	b.restore()
}

// OnIdle does nothing: pacing keeps a restart from being a burst, and OnSend sees it.
func (b *BBR) OnIdle(clock.Time) {}

// SetMSS changes the segment size.
func (b *BBR) SetMSS(mss int) {
	b.mss = segment(mss)
	b.setWindow(b.window)
}

// Window returns cwnd.
func (b *BBR) Window() int { return b.window }

// SlowStartThreshold returns 1<<30: there is none.
func (b *BBR) SlowStartThreshold() int { return maxWindow }

// PacingRate returns the rate, which is never zero.
func (b *BBR) PacingRate() int64 { return max(b.pacing, 1) }

// Name returns "bbr".
func (b *BBR) Name() string { return "bbr" }

// Mode returns "startup", "drain", "probe bandwidth" or "probe round trip".
func (b *BBR) Mode() string { return b.state.String() }
