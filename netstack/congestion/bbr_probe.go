package congestion

// The draft, 4.3: the states.

import (
	"time"

	"smolnet/netstack/clock"
)

const (
	fullGrowth = 1250 // the draft, 4.3.2.2: the bandwidth grows if it does by a quarter, in gainUnit
	peerGrowth = 8    // a window has grown if it did by one part of so many
	fullRounds = 3    // rounds without growth after which the pipe is full

	probeUp      = 1250 // the draft, 4.3.4.2: pacing gains of the cycle
	probeDown    = 750
	cycleLen     = 8
	probeRTTTime = 200 * time.Millisecond // the draft, 4.3.5: ProbeRTTDuration
)

// A bbrState is a state of BBR.
type bbrState uint8

const (
	bbrStartup  bbrState = iota // finds the bandwidth by doubling
	bbrDrain                    // empties the queue that this has made
	bbrProbeBW                  // sends at the bandwidth, and a little more and less in turn
	bbrProbeRTT                 // sends next to nothing, to see the path without a queue
)

var bbrStateNames = [...]string{"startup", "drain", "probe bandwidth", "probe round trip"}

// String returns the state's name.
func (s bbrState) String() string { return bbrStateNames[s] }

// enterStartup is the draft, 4.3.2.1.
func (b *BBR) enterStartup() {
	b.state, b.pacingGain, b.windowGain = bbrStartup, highGain, highGain
}

// checkFull is the draft, 4.3.2.2: BBRCheckFullPipe.
func (b *BBR) checkFull(a *Ack) {
	m := &b.model
	if m.full || !m.roundStart {
		return
	}
	grown := m.peerLimited()
	if m.limited || m.bandwidth() == 0 {
		return
	}
	if m.bandwidth() >= mulDiv(m.fullBandwidth, fullGrowth, gainUnit) {
		m.fullBandwidth, m.fullRounds = m.bandwidth(), 0
		return
	}
	if grown {
		return
	}
	m.fullRounds++
	m.full = m.fullRounds >= fullRounds
}

// checkDrain is the draft, 4.3.3.
func (b *BBR) checkDrain(now clock.Time, a *Ack) {
	if b.state == bbrStartup && b.model.full {
		b.state, b.pacingGain, b.windowGain = bbrDrain, drainGain, highGain
	}
	if b.state == bbrDrain && amount(a.InFlight) <= b.inFlight(gainUnit) {
		b.enterProbeBW(now)
	}
}

// enterProbeBW is the draft, 4.3.4.3: it begins in any phase but the second, which
// empties a queue that there is not.
func (b *BBR) enterProbeBW(now clock.Time) {
	b.state, b.windowGain = bbrProbeBW, cruiseGain
	b.setPhase(now, uint8((2+mix(b.Seed^uint64(now)^b.model.delivered)%(cycleLen-1))%cycleLen))
}

// mix makes all bits of the result depend on all of x: the finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (b *BBR) setPhase(now clock.Time, phase uint8) {
	b.phase, b.phaseAt = phase, now
	switch phase {
	case 0:
		b.pacingGain = probeUp
	case 1:
		b.pacingGain = probeDown
	default:
		b.pacingGain = gainUnit
	}
}

// checkPhase is the draft, 4.3.4.3: BBRCheckCyclePhase.
func (b *BBR) checkPhase(now clock.Time, a *Ack) {
	if b.state != bbrProbeBW {
		return
	}
	next, prior := now.Sub(b.phaseAt) > b.model.rtprop, amount(a.PriorInFlight)
	switch {
	case b.pacingGain > gainUnit:
		next = next && (a.Lost > 0 || prior >= b.inFlight(b.pacingGain))
	case b.pacingGain < gainUnit:
		next = next || prior <= b.inFlight(gainUnit)
	}
	if next {
		b.setPhase(now, (b.phase+1)%cycleLen)
	}
}

// checkProbeRTT is the draft, 4.3.5: BBRCheckProbeRTT. expired: the round-trip time of
// the model was too old.
func (b *BBR) checkProbeRTT(now clock.Time, a *Ack, expired bool) {
	if b.state != bbrProbeRTT && expired && !b.idle {
		b.save()
		b.state, b.pacingGain, b.windowGain = bbrProbeRTT, gainUnit, gainUnit
		b.probeDone, b.probeRound = 0, false
		b.model.lowFrom = a.TotalDelivered
	}
	if b.state == bbrProbeRTT {
		b.handleProbeRTT(now, a)
	}
	if a.Delivered > 0 {
		b.idle = false
	}
}

// handleProbeRTT is BBRHandleProbeRTT.
func (b *BBR) handleProbeRTT(now clock.Time, a *Ack) {
	m := &b.model
	m.low(a)
	switch {
	case !b.probeDone.IsSet():
		if amount(a.InFlight) <= b.minPipe() {
			b.probeDone, b.probeRound = now.Add(probeRTTTime), false
			m.nextRound = a.TotalDelivered
		}
	case m.roundStart:
		b.probeRound = true
		fallthrough
	default:
		if b.probeRound && b.probeDone.Due(now) {
			b.exitProbeRTT(now)
		}
	}
}

// exitProbeRTT is BBRExitProbeRTT.
func (b *BBR) exitProbeRTT(now clock.Time) {
	b.model.rtpropAt = now
	b.restore()
	if b.model.full {
		b.enterProbeBW(now)
		return
	}
	b.enterStartup()
}
