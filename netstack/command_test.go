package netstack_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/dialer"
	"smolnet/listener"
	"smolnet/netstack"
	"smolnet/netstack/core"
	"smolnet/phy"
)

// TestOnLoop: what a tracer, which runs on the poll goroutine, does with the
// stack ends, in one way or the other; the stack goes on.
func TestOnLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y, err := phy.Pipe(phy.PipeConfig{})
		require.NoError(t, err)
		var st *netstack.Stack
		calls := 0
		check := func() {
			calls++
			require.ErrorIs(t, st.Do(func(*core.Core) { t.Error("called in the middle of a turn") }), netstack.ErrOnLoop)
			require.ErrorIs(t, st.AddAddr(netip.MustParsePrefix("192.0.2.9/24")), netstack.ErrOnLoop)
			require.ErrorIs(t, st.Shutdown(t.Context()), netstack.ErrOnLoop)
			d := dialer.Dialer{Stack: st}
			_, err := d.Dial("tcp", "192.0.2.2:80")
			require.ErrorIs(t, err, netstack.ErrOnLoop)
			_, err = listener.Listen(st, "tcp", ":80")
			require.ErrorIs(t, err, netstack.ErrOnLoop)
			_, err = listener.ListenPacket(st, "udp", ":80")
			require.ErrorIs(t, err, netstack.ErrOnLoop)
			require.NotEmpty(t, st.Addrs())
			require.NotEmpty(t, st.Routes())
			require.NotZero(t, st.Stats().FramesOut)
			for range st.Sockets() {
				break
			}
			_ = st.Neighbors()
		}
		running := false // the stack's own first frames come before st is set
		st, err = netstack.New(netstack.Config{Device: phy.NewTracer(x, func([]byte) {
			if running {
				check()
			}
		}), Addrs: prefixes("192.0.2.1/24")})
		require.NoError(t, err)
		other, err := netstack.New(netstack.Config{Device: y, Addrs: prefixes("192.0.2.2/24")})
		require.NoError(t, err)
		<-time.After(time.Minute)
		require.NoError(t, st.Do(func(*core.Core) { running = true }))
		d := dialer.Dialer{Stack: st, Timeout: time.Minute}
		_, err = d.Dial("tcp", "192.0.2.2:80") // refused, once frames have passed
		require.Error(t, err)
		require.NotErrorIs(t, err, netstack.ErrOnLoop)
		require.Positive(t, calls)
		require.NoError(t, st.Close())
		require.NoError(t, other.Close())
	})
}

// BenchmarkDo is what a command costs its caller while the loop sleeps.
func BenchmarkDo(b *testing.B) {
	st, _ := pair(b, phy.PipeConfig{})
	for b.Loop() {
		_ = st.Do(func(*core.Core) {})
	}
}
