package congestion

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func newReno() *Reno { return started(new(Reno)) }

// RFC 6928 2.
func TestInitialWindow(t *testing.T) {
	for mss, want := range map[int]int{100: 1000, 536: 5360, 1460: 14600, 2000: 14600, 7300: 14600, 9000: 18000, 65483: 130966} {
		require.Equal(t, want, initialWindow(mss), "MSS %d", mss)
		for _, c := range lossBased() {
			c.Start(testNow, Start{MSS: mss})
			require.Equal(t, want, c.Window(), "MSS %d", mss)
			c.Start(testNow, Start{MSS: mss, SynLost: true})
			require.Equal(t, mss, c.Window(), "RFC 6928 2: SYN lost")
			require.Equal(t, maxWindow, c.SlowStartThreshold(), "a lost SYN tells nothing about the window")
		}
	}
}

// RFC 5681 3.1, RFC 3465.
func TestSlowStart(t *testing.T) {
	r := newReno()
	require.Equal(t, 10*testMSS, r.Window())
	require.Equal(t, maxWindow, r.SlowStartThreshold())
	require.Equal(t, "slow start", r.Mode())
	r.OnAck(testNow, ackOf(testMSS))
	require.Equal(t, 11*testMSS, r.Window())
	r.OnAck(testNow, ackOf(10))
	require.Equal(t, 11*testMSS+10, r.Window(), "ACK division does not pay")
	r.OnAck(testNow, ackOf(100*testMSS))
	require.Equal(t, 11*testMSS+10+slowStartLimit*testMSS, r.Window(), "RFC 3465")

	before := r.Window()
	r.OnAck(testNow, Ack{Acked: testMSS})
	r.OnAck(testNow, Ack{Acked: testMSS, WindowLimited: true, Phase: Recovery})
	require.Equal(t, before, r.Window(), "not limited by the window, or recovering")

	r = at(r, 10, 12)
	r.OnAck(testNow, ackOf(8*testMSS))
	require.Equal(t, 12*testMSS, r.Window(), "up to the threshold")
	require.Equal(t, "congestion avoidance", r.Mode())
}

// RFC 5681 3.1: one segment for each window that was acknowledged.
func TestCongestionAvoidance(t *testing.T) {
	r := at(new(Reno), 10, 10)
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

// RFC 5681 3.1, (4), and RFC 3168 6.1.2: a mark halves down to one segment.
func TestHalving(t *testing.T) {
	for _, c := range []struct{ window, ssthresh, marked int }{
		{20 * testMSS, 10 * testMSS, 10 * testMSS}, {10*testMSS + 1, 5 * testMSS, 5 * testMSS},
		{3 * testMSS, 2 * testMSS, 1500}, {testMSS, 2 * testMSS, testMSS},
	} {
		r := newReno()
		begin := func() { r.Start(testNow, Start{MSS: testMSS, Window: c.window}) }
		begin()
		r.OnCongestion(testNow, Loss, 0)
		require.Equal(t, c.ssthresh, r.SlowStartThreshold())
		r.OnRecovered(testNow, 0)
		require.Equal(t, c.ssthresh, r.Window())

		begin()
		r.OnCongestion(testNow, Mark, 0)
		require.Equal(t, c.ssthresh, r.SlowStartThreshold())
		r.OnRecovered(testNow, 0)
		require.Equal(t, c.marked, r.Window())

		begin()
		r.OnTimeout(testNow, c.window)
		require.Equal(t, c.ssthresh, r.SlowStartThreshold())
		require.Equal(t, testMSS, r.Window())
	}
}

// A retransmission is lost as well: what is halved is what was to be left, and not
// what PRR has made of it.
func TestHalvingTwice(t *testing.T) {
	r := at(new(Reno), 40, 40)
	r.OnCongestion(testNow, Loss, 3*testMSS)
	require.Equal(t, 4*testMSS, r.Window())
	r.OnCongestion(testNow, Loss, 3*testMSS)
	require.Equal(t, 10*testMSS, r.SlowStartThreshold())
}

// Also where an int has 32 bits.
func TestSlowStartSaturates(t *testing.T) {
	c := &Cubic{Pacing: true}
	c.Start(testNow, Start{MSS: testMSS, RTT: time.Second, Window: maxWindow - 1})
	c.OnAck(testNow, ackOf(maxWindow))
	require.Equal(t, maxWindow, c.Window())

	r := at(new(Reno), 20, 20)
	r.OnCongestion(testNow, Loss, 0)
	for range 3 {
		r.OnSend(testNow, maxWindow, maxWindow)
	}
	require.EqualValues(t, maxWindow, r.prr.out)
}

func TestRenoSaturates(t *testing.T) {
	r := newReno()
	for range 200_000 {
		r.OnAck(testNow, ackOf(maxWindow))
	}
	require.Equal(t, maxWindow, r.Window())
	r = at(r, maxWindow/testMSS, 1)
	for range 200_000 {
		r.OnAck(testNow, ackOf(1<<31-1))
	}
	require.Equal(t, maxWindow, r.Window())
}
