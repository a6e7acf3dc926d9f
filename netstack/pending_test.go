package netstack_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/dialer"
	"smolnet/listener"
	"smolnet/phy"
)

// A socket that sent on the loopback interface last sends on the device now: the
// loop does not sleep on it, although it had asked for the device's frames
// before.
func TestDatagramToTheOtherInterface(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, phy.PipeConfig{})
		to, err := listener.ListenPacket(b, "udp", ":9")
		require.NoError(t, err)
		defer to.Close()
		from, err := listener.ListenPacket(a, "udp", ":0")
		require.NoError(t, err)
		defer from.Close()
		d := dialer.Dialer{Stack: a}
		remote := func(s string) (w func()) {
			c, err := d.Dial("udp", s)
			require.NoError(t, err)
			addr := c.RemoteAddr()
			require.NoError(t, c.Close())
			return func() {
				_, err := from.WriteTo([]byte(s), addr)
				require.NoError(t, err)
				synctest.Wait()
			}
		}
		inside, outside := remote("127.0.0.1:9"), remote("192.0.2.2:9")
		for range 3 {
			inside()
			outside()
			require.NoError(t, to.SetReadDeadline(time.Now().Add(5*time.Second)))
			buf := make([]byte, 100)
			n, _, err := to.ReadFrom(buf)
			require.NoError(t, err)
			require.Equal(t, "192.0.2.2:9", string(buf[:n]))
		}
	})
}
