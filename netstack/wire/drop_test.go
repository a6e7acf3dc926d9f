package wire

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDropNames(t *testing.T) {
	seen := map[string]bool{}
	for d := DropNone; d < NumDrops; d++ {
		require.NotEmpty(t, d.String(), "drop %d", d)
		require.False(t, seen[d.String()], "%v twice", d)
		seen[d.String()] = true
	}
	require.Equal(t, "bad-checksum", DropBadChecksum.String())
	require.Equal(t, "closed", DropClosed.String())
	require.Equal(t, "unknown", NumDrops.String())
	require.Equal(t, "packet dropped: paws", DropPAWS.Error())
}

func TestDropIsError(t *testing.T) {
	err := fmt.Errorf("in: %w", DropTruncated)
	require.ErrorIs(t, err, DropTruncated)
	var d Drop
	require.True(t, errors.As(err, &d))
	require.Equal(t, DropTruncated, d)
}

// A Drop becomes an error on every malformed packet: a flood of them must not
// make work for the garbage collector.
func TestDropAsErrorDoesNotAllocate(t *testing.T) {
	d := DropNone
	noAllocs(t, func() {
		d = (d + 1) % NumDrops
		sinkErr = d
	})
}
