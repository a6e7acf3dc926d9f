package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseStat(t *testing.T) {
	s, ok := parseStat("cpu  100 20 300 99999 77 4 50 6 1000 0\ncpu0 1 2 3\n")
	require.True(t, ok)
	require.InDelta(t, 4.8, s, 1e-9)
	for _, bad := range []string{"", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8 9", "cpu a b c d e f g h"} {
		_, ok := parseStat(bad)
		require.False(t, ok, bad)
	}
}

func TestOthersBusy(t *testing.T) {
	share, ok := othersBusy(context.Background(), 20*time.Millisecond)
	require.True(t, ok)
	require.Less(t, share, 1e3)
}
