package tcp

import (
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/stream"
)

// RFC 7323 2.3: the shift is enough for all of the buffer but a unit, and no
// more than that.
func TestWindowScaleOf(t *testing.T) {
	for n, want := range map[int]uint8{
		4096: 0, 65535: 0, 65536: 0, 65537: 1, 131072: 1, 131073: 2, 1 << 20: 4, 1<<20 + 1: 5, maxBuffer: 14,
	} {
		got := windowScale(n)
		require.Equal(t, want, got, "%d", n)
		require.GreaterOrEqual(t, unscaledMost<<got+1<<got, n)
	}
}

// While the memory budget is nearly used up windows are not renewed beyond
// pressureWindow, but what was announced is kept; and they open again after.
func TestWindowUnderPressure(t *testing.T) {
	const budget = 1 << 20
	pool := stream.NewPool(budget)
	p := newCoupleOf(t, nil, pool)
	send := func(n int) {
		t.Helper()
		p.a.Out.Write(make([]byte, n))
		for range 10 {
			p.pass(t, &p.a, &p.b)
			p.pass(t, &p.b, &p.a)
		}
		require.Zero(t, p.a.Out.Len())
		p.b.In.Read(make([]byte, n))
	}
	send(10_000)
	open := p.b.Info().RecvWindow
	require.Greater(t, open, 400_000)

	const hog = budget * 15 / 16
	require.True(t, pool.Reserve(hog))
	edge := p.b.rcv.adv
	send(30_000)
	require.Equal(t, edge, p.b.rcv.adv, "kept, not renewed")
	for p.b.Info().RecvWindow > pressureWindow {
		send(30_000)
	}
	edge = p.b.rcv.adv
	send(4000)
	send(4000)
	require.True(t, p.b.rcv.adv.After(edge), "every connection moves on")
	require.LessOrEqual(t, p.b.Info().RecvWindow, pressureWindow+p.b.snd.mss)

	pool.Unreserve(hog)
	require.True(t, p.b.WindowUpdateDue())
	p.pass(t, &p.b, &p.a)
	require.Greater(t, p.b.Info().RecvWindow, 400_000)
}
