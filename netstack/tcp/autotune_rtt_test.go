package tcp

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
)

// The round trip that buffers grow by is the least of the last ten seconds; a tick
// of the timestamps is no news about one that is known better.
func TestLeastRoundTrip(t *testing.T) {
	ticks := func(n time.Duration) (lo, hi time.Duration) { return (n-1)*ms + 1, (n+1)*ms - 1 }
	var b bufferTune
	now := clock.Time(time.Hour)
	note := func(lo, hi, want time.Duration) {
		t.Helper()
		b.noteRTT(now, lo, hi)
		require.Equal(t, want, b.rtt)
	}
	note(5*ms, 5*ms, 5*ms)
	lo, hi := ticks(5)
	note(lo, hi, 5*ms)
	lo, hi = ticks(6)
	note(lo, hi, 5*ms)
	lo, hi = ticks(7) // a queue
	note(lo, hi, 5*ms)
	lo, hi = ticks(3)
	note(lo, hi, 4*ms-1)
	now = now.Add(9 * time.Second)
	lo, hi = ticks(80)
	note(lo, hi, 4*ms-1)
	now = now.Add(2 * time.Second) // another path
	note(lo, hi, 79*ms+1)
	lo, hi = ticks(0)
	note(lo, hi, ms-1)
	require.Less(t, b.rtt, tuneFloor, "memory, or nearly")

	b = bufferTune{}
	note(-ms+1, 0, 1)
}

// What a Config says of buffers: sizes that are fixed, bounds, and neither.
func TestTunedBuffer(t *testing.T) {
	for _, tt := range []struct {
		fixed, most int
		size        int
		bound       uint32
	}{
		{0, 0, defaultBuffer, defaultMaxBuffer},
		{-1, 0, defaultBuffer, defaultMaxBuffer},
		{0, -1, defaultBuffer, 0},
		{0, 64 << 20, defaultBuffer, 64 << 20},
		{0, math.MaxInt, defaultBuffer, maxBuffer},
		{0, 1, minBuffer, 0},
		{0, 100_000, 100_000, 0},
		{0, defaultBuffer, defaultBuffer, 0},
		{1, 0, minBuffer, 0},
		{100_000, 64 << 20, 100_000, 0},
		{math.MaxInt, 0, maxBuffer, 0},
	} {
		size, bound := tunedBuffer(tt.fixed, tt.most)
		require.Equal(t, tt.size, size, "%+v", tt)
		require.Equal(t, tt.bound, bound, "%+v", tt)
	}
}
