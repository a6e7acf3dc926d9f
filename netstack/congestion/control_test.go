package congestion

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
)

const (
	testMSS = 1000
	testNow = clock.Time(1)
)

// ackOf is an acknowledgment of n bytes in order, in the open phase.
func ackOf(n int) Ack { return Ack{Acked: n, Delivered: n, WindowLimited: true} }

// started returns c after Start with segments of testMSS.
func started[C Controller](c C) C {
	c.Start(testNow, Start{MSS: testMSS})
	return c
}

// at has c begin with a window and a threshold, in segments.
func at[C Controller](c C, window, ssthresh int) C {
	c.Start(testNow, Start{MSS: testMSS, Window: window * testMSS, SlowStartThreshold: ssthresh * testMSS})
	return c
}

func TestNames(t *testing.T) {
	for _, name := range Names() {
		f, ok := New(name)
		require.True(t, ok, name)
		require.Equal(t, name, f().Name())
	}
	require.IsIncreasing(t, Names())
	_, ok := New("vegas")
	require.False(t, ok)
}

func TestNone(t *testing.T) {
	c := started(new(None))
	c.OnCongestion(testNow, Loss, 0)
	c.OnTimeout(testNow, 0)
	require.Equal(t, 1<<30, c.Window())
	require.Equal(t, 1<<30, c.SlowStartThreshold())
	require.Zero(t, c.PacingRate())
	require.Equal(t, "none", c.Mode())
}

// lossBased are Reno and CUBIC, which share what is tested here.
func lossBased() []Controller { return []Controller{new(Reno), new(Cubic)} }

func TestTakesOver(t *testing.T) {
	for _, c := range lossBased() {
		c.Start(testNow, Start{MSS: testMSS, Window: 77_000, SlowStartThreshold: 50_000})
		require.Equal(t, 77_000, c.Window())
		require.Equal(t, 50_000, c.SlowStartThreshold())
		require.Equal(t, "congestion avoidance", c.Mode())
		c.Start(testNow, Start{MSS: testMSS, Window: 1, SlowStartThreshold: 1})
		require.Equal(t, testMSS, c.Window())
		require.Equal(t, testMSS, c.SlowStartThreshold())
	}
}

func TestSegmentSizes(t *testing.T) {
	for _, c := range lossBased() {
		c.Start(testNow, Start{MSS: -1})
		require.Positive(t, c.Window())
		c = at(c, 1, 2)
		c.SetMSS(4 * testMSS)
		require.Equal(t, 4*testMSS, c.Window(), "never less than a segment")
		require.Equal(t, 4*testMSS, c.SlowStartThreshold())
	}
}

func TestUndo(t *testing.T) {
	for _, c := range lossBased() {
		c.OnUndo(testNow)
		c = at(c, 100, 80)
		c.OnUndo(testNow)
		require.Equal(t, 100*testMSS, c.Window(), "%s: nothing to undo", c.Name())

		c.OnCongestion(testNow, Loss, 99*testMSS)
		require.Equal(t, "recovery", c.Mode())
		c.OnTimeout(testNow, 50*testMSS)
		require.Equal(t, "timeout", c.Mode())
		require.Equal(t, testMSS, c.Window())
		c.OnUndo(testNow)
		require.Equal(t, 100*testMSS, c.Window(), "%s: the whole episode", c.Name())
		require.Equal(t, 80*testMSS, c.SlowStartThreshold())

		c.OnCongestion(testNow, Loss, 99*testMSS)
		c.OnRecovered(testNow, 10*testMSS)
		require.Less(t, c.Window(), 100*testMSS)
		c.OnUndo(testNow)
		require.Equal(t, 100*testMSS, c.Window(), "%s: a mistake that shows later", c.Name())
		c.OnCongestion(testNow, Loss, 99*testMSS)
		c.OnRecovered(testNow, 10*testMSS)
		c.OnCongestion(testNow, Loss, 50*testMSS)
		c.OnUndo(testNow)
		require.Less(t, c.Window(), 100*testMSS, "%s: of the last episode only", c.Name())
	}
}

func TestTimeoutInTheMidstOfARecovery(t *testing.T) {
	for _, c := range lossBased() {
		c = at(c, 100, 80)
		c.OnCongestion(testNow, Loss, 99*testMSS)
		ssthresh := c.SlowStartThreshold()
		c.OnTimeout(testNow, 60*testMSS)
		require.Equal(t, ssthresh, c.SlowStartThreshold(), "%s: the same losses", c.Name())

		// Slow start goes on up to the threshold, by what arrives and not by what an
		// acknowledgment jumps over.
		c.OnAck(testNow, Ack{Acked: 50 * testMSS, Delivered: testMSS, Phase: Timeout})
		require.Equal(t, 2*testMSS, c.Window())
		for range 100 {
			c.OnAck(testNow, Ack{Delivered: 8 * testMSS, Phase: Timeout})
			if c.Window() >= ssthresh {
				break
			}
		}
		require.Equal(t, ssthresh, c.Window())
		c.OnRecovered(testNow, 0)
		require.Equal(t, ssthresh, c.Window())
	}
}

// RFC 5681 4.1, RFC 7661 4.4.3.
func TestIdle(t *testing.T) {
	for _, c := range lossBased() {
		c = at(c, 100, 20)
		c.OnIdle(testNow)
		require.Equal(t, 10*testMSS, c.Window())
		require.Equal(t, 75*testMSS, c.SlowStartThreshold())
		c.OnTimeout(testNow, 0)
		c.OnIdle(testNow)
		require.Equal(t, testMSS, c.Window(), "idle does not open the window")
	}
}

func TestPacing(t *testing.T) {
	for _, c := range []Controller{&Reno{Pacing: true}, &Cubic{Pacing: true}} {
		c = started(c)
		require.Zero(t, c.PacingRate(), "%s: round trip unknown", c.Name())
		c.Start(testNow, Start{MSS: testMSS, RTT: 100 * time.Millisecond})
		require.Zero(t, c.PacingRate(), "%s: little goes out at once", c.Name())
		c.Start(testNow, Start{MSS: testMSS, RTT: 100 * time.Millisecond, Window: 200 * testMSS})
		require.EqualValues(t, 2*200*testMSS*10, c.PacingRate(), "%s: slow start", c.Name())
		c.Start(testNow, Start{MSS: testMSS, RTT: 100 * time.Millisecond, Window: 200 * testMSS, SlowStartThreshold: 390 * testMSS})
		require.EqualValues(t, 240*testMSS*10, c.PacingRate(), "%s: slow start is about to end", c.Name())
		c.OnAck(testNow, Ack{SRTT: time.Second})
		require.EqualValues(t, 240*testMSS, c.PacingRate())
		c.Start(testNow, Start{MSS: testMSS, RTT: time.Second, Window: 400 * testMSS, SlowStartThreshold: 400 * testMSS})
		c.OnCongestion(testNow, Loss, 0)
		require.GreaterOrEqual(t, c.PacingRate(), int64(c.SlowStartThreshold()), "%s: PRR spreads", c.Name())
		c.OnAck(testNow, Ack{SRTT: minPacedRTT - 1})
		require.Zero(t, c.PacingRate(), "%s: too short", c.Name())

		c.Start(testNow, Start{MSS: testMSS, RTT: minPacedRTT, Window: maxWindow})
		require.InDelta(t, float64(maxWindow)*1.2/minPacedRTT.Seconds(), c.PacingRate(), 1000)
	}
	for _, c := range lossBased() {
		c.Start(testNow, Start{MSS: testMSS, RTT: time.Second})
		require.Zero(t, c.PacingRate())
	}
}

func TestAllocations(t *testing.T) {
	for _, name := range Names() {
		f, _ := New(name)
		c := started(f())
		a := ackOf(testMSS)
		a.RTT, a.SRTT, a.Rate, a.RateInterval = time.Second, time.Second, 1e6, time.Second
		now := testNow
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			now = now.Add(time.Millisecond)
			a.TotalDelivered += testMSS
			a.PriorDelivered = a.TotalDelivered / 2
			c.OnSend(now, testMSS, testMSS)
			c.OnAck(now, a)
		}), name)
	}
}

// A controller that takes over in the midst of a repair goes on with it: PRR computes
// the window, up to the threshold that the one before has chosen, and an undo of what
// happened before is not its own.
func TestTakesOverInRepair(t *testing.T) {
	for _, c := range lossBased() {
		c.Start(testNow, Start{MSS: testMSS, Window: 2 * testMSS, SlowStartThreshold: 10 * testMSS})
		inFlight := 2 * testMSS
		for range 40 { // slow start, as long as less is in flight than should be
			inFlight -= testMSS
			c.OnAck(testNow, Ack{Acked: testMSS, Delivered: testMSS, PriorInFlight: inFlight + testMSS, InFlight: inFlight, Phase: Recovery})
			require.LessOrEqual(t, c.Window(), 10*testMSS)
			if n := c.Window() - inFlight; n > 0 {
				inFlight += n
				c.OnSend(testNow, n, inFlight)
			}
		}
		require.Equal(t, "recovery", c.Mode())
		require.Equal(t, 10*testMSS, inFlight)
		c.OnRecovered(testNow, inFlight)
		require.Equal(t, 10*testMSS, c.Window())
		require.Equal(t, "congestion avoidance", c.Mode())
	}
}

// The same after a controller that knows no threshold: the window is the goal.
func TestTakesOverInRepairWithoutThreshold(t *testing.T) {
	for _, c := range lossBased() {
		c.Start(testNow, Start{MSS: testMSS, Window: 20 * testMSS, SlowStartThreshold: 1 << 30})
		c.OnAck(testNow, Ack{Delivered: testMSS, PriorInFlight: 30 * testMSS, InFlight: 29 * testMSS, Phase: Recovery})
		require.Equal(t, 20*testMSS, c.SlowStartThreshold())
		// A time-out meanwhile is about the same losses.
		c.OnTimeout(testNow, 29*testMSS)
		require.Equal(t, testMSS, c.Window())
		require.Equal(t, 20*testMSS, c.SlowStartThreshold())
		c.OnUndo(testNow)
		require.GreaterOrEqual(t, c.Window(), 20*testMSS)
	}
}
