package congestion

// RFC 9406, HyStart++: slow start that looks at the least round-trip time of each
// round, grows slowly when it rises, and ends when it stays up.

import "time"

const (
	minRTTThresh     = 4 * time.Millisecond  // RFC 9406 4.3
	maxRTTThresh     = 16 * time.Millisecond // RFC 9406 4.3
	minRTTDivisor    = 8                     // RFC 9406 4.3
	rttSamples       = 8                     // RFC 9406 4.3: N_RTT_SAMPLE
	cssGrowthDivisor = 4                     // RFC 9406 4.3
	cssRounds        = 5                     // RFC 9406 4.3
)

// A hystart is the state of RFC 9406. Durations are zero where the RFC says
// infinity. The zero hystart begins with the next acknowledgment.
type hystart struct {
	windowEnd  uint64        // TotalDelivered when the round began: it ends when what is sent since then arrives
	lastMin    time.Duration // lastRoundMinRTT
	currentMin time.Duration // currentRoundMinRTT
	baseline   time.Duration // cssBaselineMinRtt; zero: standard slow start, else conservative
	samples    uint8         // rttSampleCount, up to rttSamples
	rounds     uint8         // of conservative slow start that are over
}

// ack looks at an acknowledgment in the first slow start, and reports whether slow
// start is over.
func (h *hystart) ack(a *Ack) (over bool) {
	// RFC 9406 4.2 has SND.NXT for windowEnd; what is sent when TotalDelivered is
	// windowEnd comes after it.
	if a.Delivered > 0 && a.PriorDelivered >= h.windowEnd {
		h.windowEnd = a.TotalDelivered
		over = h.nextRound()
	}
	if a.RTT > 0 {
		if h.currentMin == 0 || a.RTT < h.currentMin {
			h.currentMin = a.RTT
		}
		h.samples = min(h.samples+1, rttSamples)
	}
	if h.samples < rttSamples {
		return over
	}
	switch {
	case h.baseline != 0:
		// RFC 9406 4.2: the rise was a mistake, and slow start goes on.
		if h.currentMin < h.baseline {
			h.baseline, h.rounds = 0, 0
			return false
		}
	case h.lastMin != 0:
		thresh := max(minRTTThresh, min(h.lastMin/minRTTDivisor, maxRTTThresh))
		if h.currentMin-h.lastMin >= thresh {
			h.baseline, h.rounds = h.currentMin, 0
		}
	}
	return over
}

// nextRound begins a round. RFC 9406 4.2: "If the transition into CSS happens in the
// middle of a round, that partial round counts towards the limit".
func (h *hystart) nextRound() (over bool) {
	h.lastMin, h.currentMin, h.samples = h.currentMin, 0, 0
	if h.baseline != 0 {
		h.rounds++
	}
	return h.rounds >= cssRounds
}

// conservative reports whether slow start is to be slow.
func (h *hystart) conservative() bool { return h.baseline != 0 }
