package congestion

import (
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
)

const (
	testMSS = 1000
	testNow = clock.Time(1)
)

// ackOf is an acknowledgment of n bytes in order, in the open phase.
func ackOf(n int) *Ack { return &Ack{Acked: n, Delivered: n, WindowLimited: true} }

func newReno() *Reno {
	r := new(Reno)
	r.Start(testNow, Start{MSS: testMSS})
	return r
}

func TestRenoSlowStart(t *testing.T) {
	r := newReno()
	require.Equal(t, 10*testMSS, r.Window())
	require.Equal(t, maxWindow, r.SlowStartThreshold())
	r.OnAck(testNow, ackOf(testMSS))
	require.Equal(t, 11*testMSS, r.Window())
	r.OnAck(testNow, ackOf(10))
	require.Equal(t, 11*testMSS+10, r.Window(), "ACK division does not pay")
	r.OnAck(testNow, ackOf(100*testMSS))
	require.Equal(t, 11*testMSS+10+slowStartLimit*testMSS, r.Window(), "RFC 3465")

	before := r.Window()
	r.OnAck(testNow, &Ack{Acked: testMSS})
	r.OnAck(testNow, &Ack{Acked: testMSS, Delivered: testMSS, WindowLimited: true, Phase: Recovery})
	require.Equal(t, before, r.Window(), "not limited by the window, or recovering")
}
