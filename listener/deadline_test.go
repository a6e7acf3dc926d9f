package listener

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNoDeadlineAfterClose: a SetDeadline that found the listener open and comes
// to set the timer when it is closed leaves none behind.
func TestNoDeadlineAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d deadline
		d.init()
		require.True(t, d.set(time.Now().Add(time.Hour)))
		d.end()
		require.False(t, d.set(time.Now().Add(time.Hour)))
		require.False(t, d.timer.Stop(), "no timer is running")
		require.False(t, d.set(time.Now()))
		require.False(t, d.over)
	})
}
