package conn

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBufferSize: buffers of all kinds of sockets have bounds, in both
// directions.
func TestBufferSize(t *testing.T) {
	for _, c := range []struct{ ask, get int }{
		{math.MinInt, 4 << 10}, {-1, 4 << 10}, {0, 4 << 10}, {4<<10 + 1, 4<<10 + 1},
		{1 << 20, 1 << 20}, {1 << 30, 1 << 30}, {math.MaxInt, 1 << 30},
	} {
		require.Equal(t, c.get, bufferSize(c.ask), "%d", c.ask)
	}
}
