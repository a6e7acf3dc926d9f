//go:build linux

package compat

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/internal/netns"
	"smolnet/listener"
	"smolnet/netstack"
	"smolnet/phy"
	"smolnet/phy/hostside"
)

// Linux dials a stack whose SYN queue has a single place, many times at once: those
// that got in by a cookie (RFC 4987) are connections like the others.
func TestLinuxCookie(t *testing.T) {
	for _, stamps := range []string{"1", "0"} {
		t.Run("timestamps "+stamps, func(t *testing.T) {
			const dials, size = 64, 100 << 10
			ns := netns.New(t)
			var dev phy.Device
			ns.Do(func() {
				var err error
				dev, err = phy.OpenTUN("tun0", phy.TunConfig{})
				require.NoError(t, err)
				require.NoError(t, hostside.Configure("tun0", hostside.Config{
					Addrs: []netip.Prefix{netip.MustParsePrefix(host4 + "/24")}, Up: true,
				}))
				require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/tcp_timestamps", []byte(stamps), 0o644))
			})
			st, err := netstack.New(netstack.Config{
				Device: dev, Addrs: []netip.Prefix{netip.MustParsePrefix(stack4 + "/24")},
				Limits: netstack.Limits{HalfOpen: 1},
			})
			require.NoError(t, err)
			defer st.Close()
			l, err := listener.Listen(st, "tcp", stack4+":80")
			require.NoError(t, err)
			defer l.Close()
			go echoes(l)

			var wg sync.WaitGroup
			errs := make(chan error, dials)
			for range dials {
				wg.Go(func() {
					var c net.Conn
					var err error
					ns.Do(func() { c, err = net.DialTimeout("tcp", stack4+":80", 10*time.Second) })
					if err != nil {
						errs <- err
						return
					}
					defer c.Close()
					_ = c.SetDeadline(time.Now().Add(20 * time.Second))
					go c.Write(make([]byte, size))
					if _, err = io.ReadFull(c, make([]byte, size)); err != nil {
						errs <- err
					}
				})
			}
			wg.Wait()
			close(errs)
			for err := range errs {
				require.NoError(t, err)
			}
			s := st.Stats()
			t.Logf("%d cookies, %d taken, %d not", s.TCPCookiesSent, s.TCPCookiesAccepted, s.TCPCookiesFailed)
			require.NotZero(t, s.TCPCookiesAccepted)
		})
	}
}
