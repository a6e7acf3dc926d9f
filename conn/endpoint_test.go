package conn

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack"
	"smolnet/phy"
)

// TestNoDeadlineAfterClose: a SetDeadline that found the endpoint open and comes
// to set the timer when it is closed leaves none behind.
func TestNoDeadlineAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev, _, err := phy.Pipe(phy.PipeConfig{})
		require.NoError(t, err)
		st, err := netstack.New(netstack.Config{Device: dev, Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}})
		require.NoError(t, err)
		defer st.Close()
		var e endpoint
		e.init(st, "tcp")
		require.True(t, e.setDeadline(&e.in, time.Now().Add(time.Hour)))
		require.True(t, e.shut())
		for _, at := range []time.Time{time.Now().Add(time.Hour), time.Now()} {
			require.False(t, e.setDeadline(&e.in, at))
			require.False(t, e.in.timer.Stop(), "no timer is running")
			require.False(t, e.in.expired.Load())
			require.ErrorIs(t, e.deadlines(nil, at, &e.in, &e.out), net.ErrClosed)
		}
	})
}
