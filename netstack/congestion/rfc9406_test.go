package congestion

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A hystartRun feeds a Cubic in its first slow start with rounds of acknowledgments.
type hystartRun struct {
	Cubic
	delivered uint64
}

func newHystartRun(pacing bool) *hystartRun {
	r := &hystartRun{Cubic: Cubic{Pacing: pacing}}
	r.Start(testNow, Start{MSS: testMSS, RTT: 50 * time.Millisecond})
	return r
}

// round acknowledges a window in n parts, each of which measures rtt. What is
// acknowledged was sent when the last round had arrived.
func (r *hystartRun) round(n int, rtt time.Duration) {
	prior, part := r.delivered, r.Window()/n
	for range n {
		r.delivered += uint64(part)
		r.OnAck(testNow, Ack{
			Acked: part, Delivered: part, WindowLimited: true, RTT: rtt, SRTT: rtt,
			TotalDelivered: r.delivered, PriorDelivered: prior,
		})
	}
}

const ms = time.Millisecond

// RFC 9406 4.2: RttThresh = max(MIN_RTT_THRESH, min(lastRoundMinRTT /
// MIN_RTT_DIVISOR, MAX_RTT_THRESH)).
func TestHystartThreshold(t *testing.T) {
	for _, c := range []struct {
		base, rise time.Duration
		css        bool
	}{
		{10 * ms, 4*ms - 1, false}, {10 * ms, 4 * ms, true},
		{80 * ms, 10*ms - 1, false}, {80 * ms, 10 * ms, true},
		{800 * ms, 16*ms - 1, false}, {800 * ms, 16 * ms, true},
	} {
		r := newHystartRun(false)
		r.round(10, c.base)
		r.round(10, c.base)
		require.Equal(t, "slow start", r.Mode())
		r.round(10, c.base+c.rise)
		require.Equal(t, c.css, r.Mode() == "conservative slow start", "%v + %v", c.base, c.rise)
	}
}

// RFC 9406 4.2: N_RTT_SAMPLE samples or no decision.
func TestHystartSamples(t *testing.T) {
	r := newHystartRun(false)
	r.round(10, 50*ms)
	r.round(7, 100*ms)
	require.Equal(t, "slow start", r.Mode())
	r.round(8, 200*ms)
	require.Equal(t, "conservative slow start", r.Mode())
}

// RFC 9406 4.2: growth by a quarter, and CSS_ROUNDS rounds, the first of them the one
// in which the rise was seen; then congestion avoidance.
func TestHystartRounds(t *testing.T) {
	r := newHystartRun(false)
	r.round(10, 50*ms)
	require.Equal(t, 20*testMSS, r.Window())
	r.round(10, 50*ms)
	require.Equal(t, 40*testMSS, r.Window())
	r.round(10, 100*ms)
	require.Equal(t, (40+7*4+3)*testMSS, r.Window(), "seven samples, then three that grow by a quarter")
	for range 4 {
		before := r.Window()
		r.round(25, 100*ms)
		require.Equal(t, "conservative slow start", r.Mode())
		require.InDelta(t, float64(before)*1.25, r.Window(), 100)
	}
	before := r.Window()
	r.round(10, 100*ms)
	require.Equal(t, "congestion avoidance", r.Mode())
	require.Equal(t, before, r.SlowStartThreshold())
	require.Less(t, r.Window(), before+2*testMSS)

	// RFC 9438 4.10: the curve begins at its own W_max.
	require.Zero(t, r.curve.k)
	require.EqualValues(t, before, r.curve.wMax)
	require.EqualValues(t, before, r.curve.cwndPrior)
}

// RFC 9406 4.2: a round trip below the base of the rise takes slow start up again.
func TestHystartResumes(t *testing.T) {
	r := newHystartRun(false)
	r.round(10, 50*ms)
	r.round(10, 100*ms)
	r.round(10, 100*ms)
	require.Equal(t, "conservative slow start", r.Mode())
	r.round(10, 99*ms)
	require.Equal(t, "slow start", r.Mode())
	r.round(10, 99*ms)
	r.round(10, 99*ms)
	require.Equal(t, "slow start", r.Mode())
	r.round(10, 150*ms)
	require.Equal(t, "conservative slow start", r.Mode())
	for range 4 {
		r.round(10, 150*ms)
	}
	require.Equal(t, "conservative slow start", r.Mode(), "rounds are counted anew")
}

// RFC 9406 4.3: "only for the initial slow start", and a loss ends it.
func TestHystartOnce(t *testing.T) {
	r := newHystartRun(false)
	r.round(10, 50*ms)
	r.OnTimeout(testNow, r.Window())
	r.OnRecovered(testNow, 0)
	r.setSsthresh(maxWindow - 1)
	for range 10 {
		r.round(10, 50*ms)
		r.round(10, 500*ms)
		require.Equal(t, "slow start", r.Mode())
	}

	r = newHystartRun(false)
	r.round(10, 50*ms)
	r.round(10, 100*ms)
	r.OnIdle(testNow)
	require.Equal(t, "slow start", r.Mode())
	r.round(10, 100*ms)
	r.round(10, 100*ms)
	require.Equal(t, "slow start", r.Mode(), "rounds of before a pause are no measure")
}

// RFC 9406 4.3: L is 8 segments, and unlimited where segments are paced.
func TestHystartLimit(t *testing.T) {
	for pacing, want := range map[bool]int{false: 108 * testMSS, true: 200 * testMSS} {
		r := newHystartRun(pacing)
		r.setWindow(100 * testMSS)
		r.round(1, 50*ms)
		require.Equal(t, want, r.Window(), "pacing %v", pacing)
	}
	r := &hystartRun{Cubic: Cubic{Pacing: true}}
	r.Start(testNow, Start{MSS: testMSS, RTT: 10 * time.Microsecond})
	r.round(1, 10*time.Microsecond)
	require.Equal(t, 18*testMSS, r.Window(), "not paced in fact")
}
