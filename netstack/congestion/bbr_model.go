package congestion

// The draft, 4.1: the model of the path.

import (
	"time"

	"smolnet/netstack/clock"
)

const (
	rtpropFilter = 10 * time.Second // the draft, 4.1.2: RTpropFilterLen

	// Linux's limit on what the window gains by aggregation: what arrives in so much
	// time.
	maxExtraTime = 100 * time.Millisecond
)

// A bbrModel is what BBR knows of the path.
type bbrModel struct {
	initial   int    // the initial window, bytes
	delivered uint64 // since Start

	// Rounds, the draft, 4.1.1.3: one begins when what was sent in the last one is
	// delivered.
	round      uint64
	nextRound  uint64 // TotalDelivered when the round began
	roundStart bool   // by the present acknowledgment

	bw      roundMax // BtlBw: bytes per second
	limited bool     // the present sample is a lower bound only

	// PROBE_RTT leaves the pipe empty: samples of what was sent in it are limited as
	// if the application were. Both are TotalDelivered of when it was sent.
	lowFrom, lowTo uint64

	rtprop   time.Duration // RTprop; zero: not known
	rtpropAt clock.Time

	full          bool // filled_pipe
	fullRounds    uint8
	fullBandwidth int64

	peerWindow int // the largest Ack.PeerWindow of the present round
	peerGrown  int // the largest of those before by which it had grown

	// How much more was delivered since extraAt than the bandwidth gives.
	extraAt        clock.Time
	extraDelivered int64
	extras         roundMax
}

// bandwidth is BtlBw, zero if it is not known.
func (m *bbrModel) bandwidth() int64 { return m.bw.max }

// update is BBRUpdateRound, and reports whether a round begins.
func (m *bbrModel) update(a *Ack) bool {
	m.roundStart = a.Delivered > 0 && a.PriorDelivered >= m.nextRound
	if m.roundStart {
		m.nextRound = a.TotalDelivered
		m.round++
	}
	m.delivered += uint64(amount(a.Delivered))
	m.peerWindow = max(m.peerWindow, a.PeerWindow)
	return m.roundStart
}

// beginRound begins a round with what is sent after a, in the midst of another.
func (m *bbrModel) beginRound(a *Ack) {
	m.nextRound, m.roundStart = a.TotalDelivered, false
	m.delivered += uint64(amount(a.Delivered))
}

// peerLimited ends a round for what is known of the peer's window. It reports whether
// that held the sender back while it grew, as windows do that are tuned: then the
// bandwidth tells what the peer thinks of the path, and not what it is.
func (m *bbrModel) peerLimited() bool {
	w := m.peerWindow
	m.peerWindow = 0
	if w <= m.peerGrown+m.peerGrown/peerGrowth {
		return false
	}
	first := m.peerGrown == 0
	m.peerGrown = w
	return !first
}

// sample is the draft, 4.1.1.5: BBRUpdateBtlBw.
func (m *bbrModel) sample(a *Ack) {
	low := m.lowTo > 0 && a.PriorDelivered >= m.lowFrom && a.PriorDelivered <= m.lowTo
	m.limited = a.AppLimited || low
	if a.Rate > 0 && a.RateInterval > 0 && (!m.limited || a.Rate >= m.bw.max) {
		m.bw.add(m.round, a.Rate)
	}
}

// low marks what is in flight after a as too little to tell the bandwidth.
func (m *bbrModel) low(a *Ack) { m.lowTo = a.TotalDelivered + uint64(max(amount(a.InFlight), 1)) }

// roundTrip is BBRUpdateRTprop, and reports whether the value that it had was too old.
func (m *bbrModel) roundTrip(now clock.Time, a *Ack) (expired bool) {
	expired = m.rtprop > 0 && now.Sub(m.rtpropAt) > rtpropFilter
	if a.RTT > 0 && (m.rtprop == 0 || a.RTT <= m.rtprop || expired) {
		m.rtprop, m.rtpropAt = a.RTT, now
	}
	return expired
}

// aggregate is draft-cardwell-iccrg-bbr-congestion-control-02 4.5.5,
// BBRUpdateACKAggregation.
func (m *bbrModel) aggregate(now clock.Time, a *Ack, window int) {
	if a.Delivered <= 0 || m.bandwidth() == 0 {
		return
	}
	expected := mulDiv(m.bandwidth(), int64(now.Sub(m.extraAt)), int64(time.Second))
	if m.extraDelivered <= expected {
		m.extraAt, m.extraDelivered, expected = now, 0, 0
	}
	m.extraDelivered = min(m.extraDelivered+int64(amount(a.Delivered)), maxWindow)
	m.extras.add(m.round, min(m.extraDelivered-expected, int64(window)))
}

// extra is what the window gains by aggregation.
func (m *bbrModel) extra() int {
	limit := mulDiv(m.bandwidth(), int64(maxExtraTime), int64(time.Second))
	return int(min(m.extras.max, limit, maxWindow))
}
