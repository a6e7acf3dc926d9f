package token

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
)

// take counts how many of n takes succeed.
func take(b *Bucket, now clock.Time, n int) (got int) {
	for range n {
		if b.Take(now) {
			got++
		}
	}
	return got
}

func TestBurstThenRate(t *testing.T) {
	b := Bucket{Rate: 1000, Burst: 50}
	now := clock.Time(1)
	require.Equal(t, 50, take(&b, now, 100), "starts full")
	now = now.Add(time.Millisecond - 1)
	require.Zero(t, take(&b, now, 1))
	now = now.Add(1)
	require.Equal(t, 1, take(&b, now, 5))
	now = now.Add(10 * time.Millisecond)
	require.Equal(t, 10, take(&b, now, 50))
	now = now.Add(time.Hour)
	require.Equal(t, 50, take(&b, now, 100), "never above the burst")
}

func TestValues(t *testing.T) {
	tests := []struct {
		name        string
		b           Bucket
		first, then int // of 10 at once, and of 10 after a second
	}{
		{"zero", Bucket{}, 0, 0},
		{"no burst", Bucket{Rate: 100}, 0, 0},
		{"negative burst", Bucket{Rate: 100, Burst: -1}, 0, 0},
		{"never refilled", Bucket{Burst: 3}, 3, 0},
		{"unlimited", Bucket{Rate: -1}, 10, 10},
		{"slow", Bucket{Rate: 1, Burst: 1}, 1, 1},
		{"largest", Bucket{Rate: math.MaxInt, Burst: math.MaxInt}, 10, 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.first, take(&tt.b, 1, 10))
			require.Equal(t, tt.then, take(&tt.b, clock.Time(1).Add(time.Second), 10))
		})
	}
}

func TestTakeN(t *testing.T) {
	b := Bucket{Rate: 10, Burst: 10}
	require.True(t, b.TakeN(1, 7))
	require.False(t, b.TakeN(1, 4), "and takes none")
	require.True(t, b.TakeN(1, 3))
	require.True(t, b.TakeN(1, 0))
	require.True(t, b.TakeN(1, -1))
	require.False(t, b.TakeN(1, math.MaxInt))
}

// Rates that do not divide a second, asked at odd moments: not one token is
// lost or made.
func TestNoDrift(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, rate := range []int{1, 3, 7, 999, 1001, 1_000_003} {
		b := Bucket{Rate: rate, Burst: 10}
		now := clock.Time(1)
		take(&b, now, 10)
		got, steps := 0, 20_000
		for range steps {
			// Steps in which fewer than 10 tokens come.
			now = now.Add(time.Duration(1 + r.Int64N(9*int64(time.Second)/int64(rate))))
			got += take(&b, now, 10)
		}
		want := int64(now-1) / 1e9 * int64(rate)
		want += int64(now-1) % 1e9 * int64(rate) / 1e9
		require.EqualValues(t, want, got, "rate %d", rate)
	}
}

func TestClock(t *testing.T) {
	b := Bucket{Rate: 1000, Burst: 1}
	now := clock.Time(1).Add(time.Hour)
	require.True(t, b.Take(now))
	require.False(t, b.Take(1), "backwards")
	require.False(t, b.Take(now))
	require.True(t, b.Take(clock.Never))
	require.False(t, b.Take(clock.Never))
	b = Bucket{Rate: math.MaxInt, Burst: math.MaxInt}
	require.True(t, b.TakeN(1, 1<<30))
	require.True(t, b.TakeN(clock.Never, math.MaxInt32))
}

func TestBurstLowered(t *testing.T) {
	b := Bucket{Rate: 1, Burst: 100}
	require.True(t, b.Take(1))
	b.Burst = 2
	require.Equal(t, 2, take(&b, 1, 10))
	b.Burst = 100
	require.Equal(t, 5, take(&b, clock.Time(1).Add(5*time.Second), 10))
}
