package tcp

import (
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
)

const (
	testMSS = 1000
	testNow = clock.Time(1)
)

func ackOf(n int) AckSample { return AckSample{Acked: n, WindowLimited: true} }

func newReno() *NewReno {
	r := new(NewReno)
	r.Init(testNow, testMSS)
	return r
}

// RFC 6928 2.
func TestInitialWindowOf(t *testing.T) {
	for mss, want := range map[int]int{100: 1000, 536: 5360, 1460: 14600, 2000: 14600, 7300: 14600, 9000: 18000, 65483: 130966} {
		require.Equal(t, want, initialWindow(mss), "MSS %d", mss)
	}
}

func TestNewRenoSlowStart(t *testing.T) {
	r := newReno()
	require.Equal(t, 10*testMSS, r.Window())
	require.Equal(t, maxCongestionWindow, r.SlowStartThreshold())
	r.OnAck(testNow, ackOf(testMSS))
	require.Equal(t, 11*testMSS, r.Window())
	r.OnAck(testNow, ackOf(10))
	require.Equal(t, 11*testMSS+10, r.Window(), "ACK division does not pay")
	r.OnAck(testNow, ackOf(100*testMSS))
	require.Equal(t, 11*testMSS+10+slowStartLimit*testMSS, r.Window(), "RFC 3465")

	before := r.Window()
	r.OnAck(testNow, AckSample{Acked: testMSS})
	r.OnAck(testNow, AckSample{Acked: testMSS, WindowLimited: true, InRecovery: true})
	require.Equal(t, before, r.Window(), "not limited by the window, or recovering")
}

// RFC 5681 3.1: one segment for each window that was acknowledged.
func TestNewRenoCongestionAvoidance(t *testing.T) {
	r := newReno()
	r.OnLoss(testNow, 20*testMSS)
	require.Equal(t, 10*testMSS, r.Window())
	for i := range 9 {
		r.OnAck(testNow, ackOf(testMSS))
		require.Equal(t, 10*testMSS, r.Window(), "segment %d", i)
	}
	r.OnAck(testNow, ackOf(testMSS))
	require.Equal(t, 11*testMSS, r.Window())
	r.OnAck(testNow, ackOf(11*testMSS))
	require.Equal(t, 12*testMSS, r.Window())
	r.OnAck(testNow, ackOf(1000*testMSS))
	require.Equal(t, 13*testMSS, r.Window(), "one segment at a time")
}

func TestNewRenoLoss(t *testing.T) {
	for _, c := range []struct{ inFlight, ssthresh int }{
		{20 * testMSS, 10 * testMSS}, {10*testMSS + 1, 5 * testMSS}, {3 * testMSS, 2 * testMSS}, {0, 2 * testMSS},
	} {
		r := newReno()
		r.OnLoss(testNow, c.inFlight)
		require.Equal(t, c.ssthresh, r.SlowStartThreshold())
		require.Equal(t, c.ssthresh, r.Window())

		r = newReno()
		r.OnTimeout(testNow, c.inFlight)
		require.Equal(t, c.ssthresh, r.SlowStartThreshold())
		require.Equal(t, testMSS, r.Window())
	}
}

// RFC 6582 3.2 step 3, (1): min (ssthresh, max (FlightSize, SMSS) + SMSS).
func TestNewRenoRecovered(t *testing.T) {
	for _, c := range []struct{ inFlight, window int }{
		{0, 2 * testMSS}, {testMSS, 2 * testMSS}, {3 * testMSS, 4 * testMSS}, {50 * testMSS, 10 * testMSS},
	} {
		r := newReno()
		r.OnLoss(testNow, 20*testMSS)
		r.OnRecovered(testNow, c.inFlight)
		require.Equal(t, c.window, r.Window())
	}
}

func TestNewRenoRestarts(t *testing.T) {
	r := newReno()
	for range 20 {
		r.OnAck(testNow, ackOf(testMSS))
	}
	r.OnIdle(testNow)
	require.Equal(t, 10*testMSS, r.Window())
	r.OnTimeout(testNow, 0)
	r.OnIdle(testNow)
	require.Equal(t, testMSS, r.Window(), "idle does not open the window")

	r = newReno()
	r.OnSynLoss(testNow)
	require.Equal(t, testMSS, r.Window())
	require.Equal(t, maxCongestionWindow, r.SlowStartThreshold(), "a lost SYN tells nothing about the window")
	r.SetMSS(4 * testMSS)
	require.Equal(t, 4*testMSS, r.Window(), "never less than a segment")

	for range 10 {
		r.OnAck(testNow, ackOf(maxCongestionWindow))
	}
	require.Positive(t, r.Window())
	require.Zero(t, r.PacingRate())
	require.Equal(t, "newreno", r.Name())
}
