//go:build linux

package compat

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/dialer"
	"smolnet/listener"
	"smolnet/phy"
)

// Linux's numbers of socket options that package syscall does not name.
const (
	tcpFastOpen        = 23 // TCP_FASTOPEN: the length of a listener's queue
	tcpFastOpenConnect = 30 // TCP_FASTOPEN_CONNECT
	fastOpenBoth       = "3"
)

// sockopt is a Control function that sets a TCP option.
func sockopt(option, value int) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		ctlErr := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, option, value) })
		if ctlErr != nil {
			return ctlErr
		}
		return err
	}
}

// echoOnce sends a request on a connection and demands the same back. Only then
// does it end its side: Linux gives up a connection whose SYN is not answered yet.
func echoOnce(t *testing.T, c net.Conn) {
	t.Helper()
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	_, err := c.Write([]byte("request"))
	require.NoError(t, err)
	got := make([]byte, len("request"))
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, "request", string(got))
	require.NoError(t, c.(interface{ CloseWrite() error }).CloseWrite())
	got, err = io.ReadAll(c)
	require.NoError(t, err)
	require.Empty(t, got)
	require.NoError(t, c.Close())
}

// echoes serves until l is closed.
func echoes(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}()
	}
}

// Fast Open between the stack and Linux, both ways: the second connection of each
// has its request on the SYN, and the other side takes it.
func TestLinuxFastOpen(t *testing.T) {
	onLinux(t, phy.FaultConfig{}, func(t *testing.T, p *linuxPeer) {
		p.ns.Do(func() {
			require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/tcp_fastopen", []byte(fastOpenBoth), 0o644))
		})
		t.Run("to Linux", func(t *testing.T) {
			var l net.Listener
			p.ns.Do(func() {
				var err error
				cfg := net.ListenConfig{Control: sockopt(tcpFastOpen, 16)}
				l, err = cfg.Listen(context.Background(), "tcp", net.JoinHostPort(host4, "0"))
				require.NoError(t, err)
			})
			defer l.Close()
			go echoes(l)
			d := dialer.Dialer{Stack: p.st, FastOpen: true, Timeout: 5 * time.Second}
			for range 3 {
				c, err := d.Dial("tcp", l.Addr().String())
				require.NoError(t, err)
				echoOnce(t, c)
			}
			st := p.st.Stats()
			require.Equal(t, [2]uint64{2, 2}, [2]uint64{st.TCPFastOpenSent, st.TCPFastOpenTaken})
		})
		t.Run("from Linux", func(t *testing.T) {
			cfg := listener.Config{Stack: p.st, FastOpen: true}
			l, err := cfg.ListenTCP("tcp", netip.AddrPortFrom(netip.MustParseAddr(stack4), 80))
			require.NoError(t, err)
			defer l.Close()
			go echoes(l)
			for range 3 {
				var c net.Conn
				p.ns.Do(func() {
					d := net.Dialer{Timeout: 5 * time.Second, Control: sockopt(tcpFastOpenConnect, 1)}
					c, err = d.Dial("tcp", l.Addr().String())
				})
				require.NoError(t, err)
				echoOnce(t, c)
			}
			st := p.st.Stats()
			require.Equal(t, uint64(2), st.TCPFastOpenAccepted)
			require.Zero(t, st.TCPFastOpenRefused)
		})
	})
}
