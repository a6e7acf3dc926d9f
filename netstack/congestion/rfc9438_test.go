package congestion

import (
	"math"
	"math/rand"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
)

// A cubicRun has a Cubic that is always limited by its window, with a constant
// round-trip time.
type cubicRun struct {
	Cubic
	now clock.Time
	rtt time.Duration
}

func newCubicRun(window int, rtt time.Duration) *cubicRun {
	r := &cubicRun{now: testNow, rtt: rtt}
	r.Start(r.now, Start{MSS: testMSS, RTT: rtt, Window: window * testMSS, SlowStartThreshold: testMSS})
	return r
}

// lose has a segment lost and repaired at once.
func (r *cubicRun) lose() {
	r.OnCongestion(r.now, Loss, r.Window())
	r.OnRecovered(r.now, r.Window())
}

// round acknowledges a window, segment by segment, in a round-trip time.
func (r *cubicRun) round(limited bool) {
	segments := max(r.Window()/testMSS, 1)
	for range segments {
		r.now = r.now.Add(r.rtt / time.Duration(segments))
		r.OnAck(r.now, Ack{Acked: testMSS, Delivered: testMSS, WindowLimited: limited, SRTT: r.rtt})
	}
}

func (r *cubicRun) run(d time.Duration) {
	for end := r.now.Add(d); r.now < end; {
		r.round(true)
	}
}

// segments is the window in segments.
func (r *cubicRun) segments() float64 { return float64(r.Window()) / testMSS }

// It is embedded in every connection.
func TestCubicSize(t *testing.T) { require.LessOrEqual(t, unsafe.Sizeof(Cubic{}), uintptr(240)) }

// RFC 9438 4.2, Figures 1 and 2: W_cubic(t) = C (t-K)^3 + W_max, and K = cbrt
// ((W_max - cwnd_epoch) / C).
func TestCubicFunction(t *testing.T) {
	r := newCubicRun(100, 100*time.Millisecond)
	r.lose()
	require.Equal(t, 70*testMSS, r.Window(), "4.6: beta")
	require.Equal(t, 70*testMSS, r.SlowStartThreshold())
	r.OnAck(r.now, ackOf(1))
	require.InDelta(t, 4.2172, r.curve.k, 1e-4, "cbrt (30 / 0.4)")
	for _, c := range []struct {
		at   time.Duration
		want float64 // segments
	}{
		{0, 70},
		{time.Second, 86.6808},
		{2 * time.Second, 95.6403},
		{4217163327 * time.Nanosecond, 100},
		{5 * time.Second, 100.1919},
		{6 * time.Second, 102.2663},
		{10 * time.Second, 177.3543},
	} {
		require.InDelta(t, c.want, r.curve.at(c.at, testMSS)/testMSS, 1e-3, "%v", c.at)
		require.InDelta(t, 0.4*math.Pow(c.at.Seconds()-4.217163327, 3)+100, r.curve.at(c.at, testMSS)/testMSS, 1e-6)
	}
}

// RFC 9438 4.4, 4.5: the window is W_cubic a round trip ahead, concave up to W_max and
// convex beyond it. A long round-trip time keeps Reno out of it.
func TestCubicFollows(t *testing.T) {
	r := newCubicRun(1000, 100*time.Millisecond)
	r.lose()
	epoch := r.now
	var slope []float64
	for before := r.segments(); r.now.Sub(epoch) < 16*time.Second; before = r.segments() {
		r.round(true)
		want := r.curve.at(r.now.Sub(epoch), testMSS) / testMSS
		require.InEpsilon(t, want, r.segments(), 0.03, "%v", r.now.Sub(epoch))
		slope = append(slope, r.segments()-before)
	}
	k := int(r.curve.k * 10) // rounds: 9.085 s
	require.Equal(t, 90, k)
	require.Greater(t, slope[10], slope[k/2])
	require.Greater(t, slope[k/2], slope[k])
	require.Less(t, slope[k], slope[k+20])
	require.Less(t, slope[k+20], slope[k+60])
}

// RFC 9438 4.2: never by more than a half in a round trip, and never down.
func TestCubicTarget(t *testing.T) {
	r := newCubicRun(1000, 100*time.Millisecond)
	r.lose()
	r.OnAck(r.now, ackOf(1))
	r.now = r.now.Add(time.Hour)
	r.OnAck(r.now, Ack{Acked: 700 * testMSS, WindowLimited: true})
	require.Equal(t, 1050*testMSS, r.Window())
	r.OnAck(r.now, Ack{Acked: 1050 * testMSS * 100, WindowLimited: true})
	require.Equal(t, 1575*testMSS, r.Window(), "an acknowledgment of more than a window is one of a window")

	r = newCubicRun(1000, 100*time.Millisecond)
	r.lose()
	r.OnAck(r.now, ackOf(1))
	r.setWindow(2000 * testMSS)
	r.OnAck(r.now, ackOf(testMSS))
	require.Equal(t, 2000*testMSS, r.Window())
}

// RFC 9438 4.3: W_est grows by alpha segments for each window, 9/17 of one until it
// is what the window was before, then one.
func TestCubicRenoFriendly(t *testing.T) {
	require.InDelta(t, 9.0/17, float64(alphaReno), 1e-12)
	r := newCubicRun(20, time.Millisecond)
	r.lose()
	require.Equal(t, 14*testMSS, r.Window())
	r.OnAck(r.now, ackOf(1))
	for r.curve.wEst < 20*testMSS-300 {
		before := r.curve.wEst
		r.OnAck(r.now, ackOf(r.Window()))
		require.InDelta(t, 9.0/17, (r.curve.wEst-before)/testMSS, 1e-6)
		require.InDelta(t, r.curve.wEst, r.Window(), 1, "cwnd is W_est")
	}
	r.OnAck(r.now, ackOf(r.Window()))
	for range 10 {
		before := r.curve.wEst
		r.OnAck(r.now, ackOf(r.Window()))
		require.InDelta(t, 1.0, (r.curve.wEst-before)/testMSS, 1e-6, "W_est has reached cwnd_prior")
	}
}

// RFC 9438 4.7.
func TestCubicFastConvergence(t *testing.T) {
	r := newCubicRun(100, 100*time.Millisecond)
	for _, want := range []struct{ window, wMax int }{
		{70_000, 100_000}, // a first loss
		{49_000, 59_500},  // 70 < 100: 70 * 0.85
		{34_300, 41_650},  // 49 < 59.5
		{24_010, 29_155},
	} {
		r.lose()
		require.InDelta(t, want.window, r.Window(), 1)
		require.InDelta(t, want.wMax, r.curve.wMax, 1)
	}
	r.setWindow(35 * testMSS)
	r.lose()
	require.EqualValues(t, 35_000, r.curve.wMax, "more than before: no convergence")
}

// RFC 9438 4.6: two segments at least, and one after marks.
func TestCubicLeast(t *testing.T) {
	r := newCubicRun(3, time.Second)
	for range 5 {
		r.lose()
		require.Equal(t, max(2*testMSS, r.Window()), r.Window())
	}
	for range 5 {
		r.OnCongestion(r.now, Mark, 0)
		r.OnRecovered(r.now, 0)
	}
	require.Equal(t, testMSS, r.Window())
	require.Equal(t, 2*testMSS, r.SlowStartThreshold())
}

// RFC 9438 4.8: K is zero and W_max the window where avoidance begins.
func TestCubicTimeout(t *testing.T) {
	r := newCubicRun(100, 100*time.Millisecond)
	r.lose()
	r.setWindow(90 * testMSS)
	r.OnTimeout(r.now, r.Window())
	require.Equal(t, testMSS, r.Window())
	require.Equal(t, 63*testMSS, r.SlowStartThreshold())
	require.EqualValues(t, 90*testMSS, r.curve.cwndPrior)
	for r.Window() < r.SlowStartThreshold() {
		r.now = r.now.Add(time.Second)
		r.OnAck(r.now, Ack{Delivered: 8 * testMSS, Phase: Timeout})
	}
	r.OnRecovered(r.now, 0)
	r.OnAck(r.now, ackOf(1))
	require.Zero(t, r.curve.k)
	require.EqualValues(t, 63*testMSS, r.curve.wMax)
	require.InDelta(t, 63*testMSS, r.curve.wEst, 10)
}

// RFC 9438 4.9: what was saved comes back, the curve as well.
func TestCubicUndo(t *testing.T) {
	r := newCubicRun(100, 100*time.Millisecond)
	r.lose()
	r.run(2 * time.Second)
	curve, window := r.curve, r.Window()
	require.Positive(t, curve.k)
	r.OnCongestion(r.now, Loss, r.Window())
	r.OnTimeout(r.now, r.Window())
	r.OnUndo(r.now)
	require.Equal(t, curve, r.curve)
	require.Equal(t, window, r.Window())
	r.OnUndo(r.now)
	require.Equal(t, window, r.Window())
}

// RFC 9438 5.8: "t MUST NOT include these periods".
func TestCubicApplicationLimited(t *testing.T) {
	r, busy := newCubicRun(100, 100*time.Millisecond), newCubicRun(100, 100*time.Millisecond)
	r.lose()
	busy.lose()
	r.run(time.Second)
	busy.run(time.Second)
	before := r.Window()
	for range 600 {
		r.round(false)
	}
	require.Equal(t, before, r.Window())
	r.run(time.Second)
	busy.run(time.Second)
	require.InDelta(t, busy.Window(), r.Window(), 100)

	// A pause that leaves the window where it is.
	r = newCubicRun(6, 100*time.Millisecond)
	r.lose()
	r.run(300 * time.Millisecond)
	age := r.now.Sub(r.curve.epoch)
	r.now = r.now.Add(time.Hour)
	r.OnIdle(r.now)
	require.Equal(t, age, r.now.Sub(r.curve.epoch))

	// One that does not: slow start, then a new curve to the same W_max.
	r = newCubicRun(100, 100*time.Millisecond)
	r.lose()
	r.run(time.Second)
	r.OnIdle(r.now)
	require.Equal(t, 10*testMSS, r.Window())
	require.Equal(t, 70*testMSS, r.SlowStartThreshold())
	r.run(time.Second)
	require.EqualValues(t, 100*testMSS, r.curve.wMax)
	require.GreaterOrEqual(t, r.Window(), 70*testMSS)
}

// Fractions of a byte add up.
func TestCubicSmallSteps(t *testing.T) {
	small, large := newCubicRun(1000, 100*time.Millisecond), newCubicRun(1000, 100*time.Millisecond)
	for _, r := range []*cubicRun{small, large} {
		r.lose()
		r.OnAck(r.now, ackOf(1))
		r.now = r.now.Add(time.Second)
	}
	for range 70_000 {
		small.OnAck(small.now, ackOf(10))
	}
	for range 7 {
		large.OnAck(large.now, ackOf(100*testMSS))
	}
	require.InEpsilon(t, large.Window(), small.Window(), 0.01)
}

func TestCubicSaturates(t *testing.T) {
	r := newCubicRun(1<<30/testMSS, time.Hour)
	r.lose()
	for range 1000 {
		r.now = r.now.Add(1000 * time.Hour)
		r.OnAck(r.now, Ack{Acked: 1<<31 - 1, WindowLimited: true, SRTT: math.MaxInt64})
	}
	require.Equal(t, maxWindow, r.Window())
	r.now = clock.Never
	r.OnAck(r.now, ackOf(1))
	require.Equal(t, maxWindow, r.Window())
}

// averageWindow is the mean window in segments over rounds of 100 ms, if each
// segment is lost with probability p and a loss is repaired in a round trip.
func averageWindow(c Controller, p float64, rounds int, random *rand.Rand) float64 {
	now, sum := testNow, 0.0
	for range rounds {
		segments := max(c.Window()/testMSS, 1)
		sum += float64(segments)
		lost := false
		for range segments {
			now = now.Add(100 * time.Millisecond / time.Duration(segments))
			lost = lost || random.Float64() < p
			if !lost {
				c.OnAck(now, Ack{Acked: testMSS, Delivered: testMSS, WindowLimited: true, SRTT: 100 * time.Millisecond})
			}
		}
		if lost {
			c.OnCongestion(now, Loss, c.Window())
			c.OnRecovered(now, c.Window())
		}
	}
	return sum / float64(rounds)
}

// RFC 9438 4.3, Figure 3: at least what Reno has.
func TestCubicAverageWindow(t *testing.T) {
	const seed = 1
	for _, p := range []float64{0.02, 0.01, 0.001} {
		cubic := averageWindow(at(new(Cubic), 20, 20), p, 30_000, rand.New(rand.NewSource(seed)))
		reno := averageWindow(at(new(Reno), 20, 20), p, 30_000, rand.New(rand.NewSource(seed)))
		t.Logf("seed %d, p %v: CUBIC %.1f, Reno %.1f, sqrt(1.5/p) %.1f, sqrt(2.83/p) %.1f", seed, p, cubic, reno, math.Sqrt(1.5/p), math.Sqrt(2.83/p))
		require.Greater(t, cubic, reno)
	}
}
