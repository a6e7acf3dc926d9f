package congestion

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Reno and CUBIC at the pipe, with PRR and all.

func TestLossBasedFillThePipe(t *testing.T) {
	for _, c := range []Controller{new(Reno), new(Cubic), &Cubic{Pacing: true}} {
		p := newPipe(c, mbit20, rtt50, bdp, 1)
		p.run(5 * time.Second)
		got := p.run(10 * time.Second)
		t.Logf("%s: %.3f of the link", c.Name(), got/mbit20)
		require.Greater(t, got, 0.95*mbit20, c.Name())
		require.LessOrEqual(t, p.timeouts, 1)
	}
}

// HyStart++ ends slow start without a loss, however long the queue is.
func TestHystartAtThePipe(t *testing.T) {
	for _, c := range []*Cubic{{}, {Pacing: true}} {
		p := newPipe(c, mbit20, rtt50, 1000*bdp, 1)
		p.run(3 * time.Second)
		require.Equal(t, "congestion avoidance", c.Mode())
		require.Equal(t, noRepair, c.repair)
		require.Less(t, c.SlowStartThreshold(), 10*bdp)
		require.Greater(t, c.SlowStartThreshold(), bdp)
		require.Less(t, p.maxQueue, 10*rtt50)
	}
}

// Random losses: RFC 9438 4.3, Figure 3, with 100 ms.
func TestCubicUnderRandomLoss(t *testing.T) {
	for _, loss := range []float64{0.005, 0.01, 0.02} {
		var windows []float64
		for _, c := range []Controller{new(Reno), new(Cubic)} {
			p := newPipe(c, 100*mbit20, 100*time.Millisecond, 32<<10, 3)
			p.loss = loss
			p.run(10 * time.Second)
			windows = append(windows, p.run(200*time.Second)*0.1/testMSS/(1-loss))
			require.LessOrEqual(t, p.timeouts, 100)
		}
		t.Logf("loss %v: Reno %.1f, CUBIC %.1f segments; sqrt(1.5/p) %.1f, sqrt(2.83/p) %.1f", loss, windows[0], windows[1], math.Sqrt(1.5/loss), math.Sqrt(2.83/loss))
		require.Greater(t, windows[1], windows[0])
		require.Greater(t, windows[1], math.Sqrt(1.5/loss))
	}
}

// A black-out ends, whoever controls.
func TestLossBasedComeBack(t *testing.T) {
	for _, c := range lossBased() {
		p := newPipe(c, mbit20, rtt50, bdp, 1)
		p.run(5 * time.Second)
		p.black = true
		p.run(5 * time.Second)
		require.Positive(t, p.timeouts)
		require.Equal(t, testMSS, c.Window())
		p.black = false
		p.run(15 * time.Second)
		require.Greater(t, p.run(20*time.Second), 0.85*mbit20, c.Name())
	}
}
