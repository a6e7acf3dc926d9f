package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
)

const ms = time.Millisecond

var testBounds = rtoBounds{min: 200 * ms, max: 60 * time.Second, granularity: ms}

func TestEstimator(t *testing.T) {
	for _, c := range []struct {
		name                     string
		samples                  []time.Duration
		srtt, rttvar, least, rto time.Duration
	}{
		// RFC 6298 2.2: SRTT = R, RTTVAR = R/2, RTO = SRTT + 4*RTTVAR
		{"first", []time.Duration{100 * ms}, 100 * ms, 50 * ms, 100 * ms, 300 * ms},
		// 2.3: RTTVAR = 3/4*50 + 1/4*|100-180|, SRTT = 7/8*100 + 1/8*180
		{"second", []time.Duration{100 * ms, 180 * ms}, 110 * ms, 57500 * time.Microsecond, 100 * ms, 340 * ms},
		{"falls", []time.Duration{100 * ms, 20 * ms}, 90 * ms, 57500 * time.Microsecond, 20 * ms, 320 * ms},
		{"floor", []time.Duration{ms}, ms, ms / 2, ms, 200 * ms},
		{"ceiling", []time.Duration{50 * time.Second}, 50 * time.Second, 25 * time.Second, 50 * time.Second, 60 * time.Second},
		{"nothing", []time.Duration{0}, 1, 0, 1, 200 * ms},
		{"backwards", []time.Duration{-ms}, 1, 0, 1, 200 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			var e estimator
			for _, r := range c.samples {
				e.sample(1, r, testBounds)
			}
			require.Equal(t, c.srtt, e.srtt)
			require.Equal(t, c.rttvar, e.rttvar)
			require.Equal(t, c.least, e.min)
			require.Equal(t, c.rto, e.rto)
		})
	}
}

// RFC 6298 2.3: "if 4*RTTVAR is less than G, RTO = SRTT + G".
func TestEstimatorGranularity(t *testing.T) {
	b := testBounds
	b.granularity = 15 * ms
	var e estimator
	for range 200 {
		e.sample(1, 300*ms, b)
	}
	require.Less(t, e.rttvar, ms)
	require.Equal(t, e.srtt+15*ms, e.rto)
}

// RFC 6298 5.5 to 5.7: doubled by each time-out up to the maximum, and as
// before after a measurement.
func TestBackOff(t *testing.T) {
	var e estimator
	e.sample(1, 100*ms, testBounds)
	for _, want := range []time.Duration{300 * ms, 600 * ms, 1200 * ms, 2400 * ms, 4800 * ms, 9600 * ms, 19200 * ms, 38400 * ms, 60 * time.Second, 60 * time.Second} {
		require.Equal(t, want, e.current(testBounds))
		e.backoff++
	}
	e.sample(1, 100*ms, testBounds)
	require.Less(t, e.current(testBounds), 300*ms)

	require.Equal(t, 5*time.Second, backOff(5*time.Second, maxBackoff, 2*time.Second), "never less than it was")
	require.Equal(t, 90*time.Second, backOff(time.Second, 255, 90*time.Second))
}

// RFC 6298 3, Karn: one segment is timed at a time, and not if it, or anything
// before its end, was sent again.
func TestTiming(t *testing.T) {
	const at = clock.Time(time.Second)
	var e estimator
	require.Zero(t, e.acked(at, 100), "nothing is timed")

	e.start(at, 100)
	e.start(at.Add(ms), 200)
	require.Zero(t, e.acked(at.Add(5*ms), 99), "not all of it")
	require.Equal(t, 10*ms, e.acked(at.Add(10*ms), 150))
	require.Zero(t, e.acked(at.Add(20*ms), 200), "once")

	e.start(at, 300)
	e.resent(300)
	require.True(t, e.timing, "what follows it was sent again")
	e.resent(299)
	require.Zero(t, e.acked(at.Add(10*ms), 300))

	e.start(at, 5) // beyond the wrap
	e.resent(0xffff_ff00)
	require.False(t, e.timing)
	e.start(at, 5)
	require.Zero(t, e.acked(at.Add(ms), 0xffff_ff00))
	require.Positive(t, e.acked(at, 5), "a round trip takes time")
}

// RFC 8985 6.2 step 1: the least round-trip time rises when the path has become longer,
// and falls at once.
func TestLeastRoundTripOfRecentTime(t *testing.T) {
	var e estimator
	const start clock.Time = 1
	for _, c := range []struct {
		after, sample, least time.Duration
	}{
		{0, 10 * ms, 10 * ms},
		{time.Minute, 100 * ms, 10 * ms},
		{2 * time.Minute, 10 * ms, 10 * ms}, // that holds from here on
		{(2 + leastMinutes) * time.Minute, 100 * ms, 10 * ms},
		{(3 + leastMinutes) * time.Minute, 100 * ms, 100 * ms},
		{(3+leastMinutes)*time.Minute + 1, 90 * ms, 90 * ms},
	} {
		e.sample(start.Add(c.after), c.sample, testBounds)
		require.Equal(t, c.least, e.min, "%+v", c)
	}
}
