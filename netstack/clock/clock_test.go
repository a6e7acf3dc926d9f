package clock

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAdd(t *testing.T) {
	tests := []struct {
		t    Time
		d    time.Duration
		want Time
	}{
		{1, 0, 1},
		{1, time.Second, 1_000_000_001},
		{1_000_000_001, -time.Second, 1},
		{1_000_000_000, -time.Second, 1}, // would be "not set"
		{5, -time.Hour, 1},
		{1, math.MinInt64, 1},
		{Never, 0, Never},
		{Never, 1, Never},
		{Never - 1, 1, Never},
		{Never - 1, 2, Never},
		{1, math.MaxInt64, Never},
		{Never, math.MaxInt64, Never},
		{Never, -1, Never - 1},
		{0, time.Second, 1_000_000_000},
		{0, 0, 1},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, tt.t.Add(tt.d), "%d + %d", tt.t, tt.d)
	}
}

func TestSub(t *testing.T) {
	require.Equal(t, 3*time.Second, Time(5e9).Sub(2e9))
	require.Equal(t, -3*time.Second, Time(2e9).Sub(5e9))
	require.Zero(t, Never.Sub(Never))
}

func TestDue(t *testing.T) {
	tests := []struct {
		t, now   Time
		set, due bool
	}{
		{0, 5, false, false},
		{0, 0, false, false},
		{4, 5, true, true},
		{5, 5, true, true},
		{6, 5, true, false},
		{Never, Never - 1, true, false},
	}
	for _, tt := range tests {
		require.Equal(t, tt.set, tt.t.IsSet())
		require.Equal(t, tt.due, tt.t.Due(tt.now), "%d at %d", tt.t, tt.now)
	}
}

func TestEarliest(t *testing.T) {
	tests := []struct{ t, u, want Time }{
		{0, 0, 0},
		{0, 7, 7},
		{7, 0, 7},
		{3, 7, 3},
		{7, 3, 3},
		{7, 7, 7},
		{Never, 7, 7},
		{0, Never, Never},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, Earliest(tt.t, tt.u), "%d %d", tt.t, tt.u)
	}
}
