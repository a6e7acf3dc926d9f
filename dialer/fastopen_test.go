package dialer_test

import (
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/dialer"
	"smolnet/internal/twostacks"
	"smolnet/listener"
	"smolnet/phy"
)

// With FastOpen the first dial is one like others; from then on Dial does not wait,
// and the first Write goes with the SYN.
func TestFastOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twostacks.New(t, phy.MediumIP)
		cfg := listener.Config{Stack: b, FastOpen: true}
		l, err := cfg.ListenTCP("tcp", netip.AddrPortFrom(twostacks.B4.Addr(), 80))
		require.NoError(t, err)
		defer l.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}
		}()
		d := dialer.Dialer{Stack: a, FastOpen: true, Timeout: 5 * time.Second}
		for i := range 4 {
			c, err := d.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			require.Equal(t, l.Addr().String(), c.RemoteAddr().String())
			if i == 3 { // the server speaks first, if at all
				require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
				_, err := c.Read(make([]byte, 1))
				var ne net.Error
				require.ErrorAs(t, err, &ne)
				require.True(t, ne.Timeout())
				require.NoError(t, c.SetReadDeadline(time.Time{}))
			}
			_, err = c.Write([]byte("hello"))
			require.NoError(t, err)
			require.NoError(t, c.(interface{ CloseWrite() error }).CloseWrite())
			got, err := io.ReadAll(c)
			require.NoError(t, err)
			require.Equal(t, "hello", string(got))
			require.NoError(t, c.Close())
		}
		require.Equal(t, uint64(2), a.Stats().TCPFastOpenTaken)
		require.Equal(t, uint64(2), b.Stats().TCPFastOpenAccepted)

		// What Dial would have said is for the first Read.
		c, err := d.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		require.NoError(t, l.Close())
		<-done
		_, err = c.Write([]byte("hello"))
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.NoError(t, c.Close())

		// And who closes at once has not dialed.
		time.Sleep(2 * time.Minute)
		before := a.Stats()
		require.Zero(t, before.Connections)
		c, err = d.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		require.NoError(t, c.Close())
		synctest.Wait()
		require.Equal(t, before.TCPOut, a.Stats().TCPOut)
		require.Zero(t, a.Stats().Connections)
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
}

// A listener without FastOpen is dialed as usual.
func TestFastOpenOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := twostacks.New(t, phy.MediumIP)
		l, err := listener.Listen(b, "tcp", netip.AddrPortFrom(twostacks.B4.Addr(), 80).String())
		require.NoError(t, err)
		d := dialer.Dialer{Stack: a, FastOpen: true, Timeout: 5 * time.Second}
		for range 3 {
			c, err := d.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			require.NoError(t, c.Close())
			s, err := l.Accept()
			require.NoError(t, err)
			require.NoError(t, s.Close())
		}
		require.Zero(t, a.Stats().TCPFastOpenSent)
		require.NoError(t, l.Close())
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
}
