package errno

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNames(t *testing.T) {
	seen := make(map[string]Errno)
	for e := OK; e < numErrnos; e++ {
		require.NotEmpty(t, e.String())
		require.NotContains(t, seen, e.String(), "two reasons with one name")
		seen[e.String()] = e
		require.Equal(t, e.String(), e.Error())
	}
	require.Equal(t, "unknown error", numErrnos.String())
}

func TestErr(t *testing.T) {
	require.NoError(t, OK.Err())
	require.ErrorIs(t, ConnReset.Err(), ConnReset)
	require.False(t, errors.Is(ConnReset.Err(), ConnRefused))
}

func TestNoAllocation(t *testing.T) {
	var err error
	require.Zero(t, testing.AllocsPerRun(100, func() { err = ConnReset.Err() }))
	require.Error(t, err)
}
