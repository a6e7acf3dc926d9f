package conn_test

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/conn"
	"smolnet/phy"
)

// TestPingErrorSaysWhich: the error of a request comes with its destination and
// sequence number.
func TestPingErrorSaysWhich(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{})
		dead := netip.MustParseAddr("192.0.2.99")
		loose, err := conn.OpenPing(l.a, "ping", addrA, netip.Addr{})
		require.NoError(t, err)
		connected, err := conn.OpenPing(l.a, "ping", netip.Addr{}, dead)
		require.NoError(t, err)
		for _, p := range []*conn.Ping{loose, connected} {
			to := dead
			if p == connected {
				to = netip.Addr{}
			}
			require.NoError(t, p.WriteEcho([]byte("x"), to, 42))
			_, from, seq, err := p.ReadEcho(make([]byte, 9))
			requireOpError(t, err, "read", syscall.EHOSTUNREACH)
			require.Equal(t, dead, from)
			require.EqualValues(t, 42, seq)
			require.Equal(t, dead.String(), err.(*net.OpError).Addr.String())

			require.NoError(t, p.SetReadDeadline(time.Now().Add(time.Second)))
			_, from, _, err = p.ReadEcho(make([]byte, 9))
			requireTimeout(t, err)
			require.False(t, from.IsValid())
		}
	})
}

// TestPingLocalAddr: a connected socket knows which address it sends from.
func TestPingLocalAddr(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{})
		for local, remote := range map[netip.Addr]netip.Addr{addrA: addrB, addrA6: addrB6} {
			for _, from := range []netip.Addr{{}, local} {
				p, err := conn.OpenPing(l.a, "ping", from, remote)
				require.NoError(t, err)
				require.Equal(t, local.String(), p.LocalAddr().String())
				require.Equal(t, remote.String(), p.RemoteAddr().String())
				n, err := p.Read(nil) // returns without a reply
				require.NoError(t, err)
				require.Zero(t, n)
				require.NoError(t, p.Close())
				_, err = p.Read(nil)
				requireOpError(t, err, "read", net.ErrClosed)
			}
			p, err := conn.OpenPing(l.a, "ping", local, netip.Addr{})
			require.NoError(t, err)
			require.Equal(t, local.String(), p.LocalAddr().String())
			require.Nil(t, p.RemoteAddr())
		}
	})
}

// TestPingNoAllocations: a request and its reply cost no memory.
func TestPingNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool forgets on purpose")
	}
	l := connect(t, phy.PipeConfig{})
	loose, err := conn.OpenPing(l.a, "ping", addrA, netip.Addr{})
	require.NoError(t, err)
	connected, err := conn.OpenPing(l.a, "ping", netip.Addr{}, addrB6)
	require.NoError(t, err)
	b := make([]byte, 56)
	f := func() {
		if err := loose.WriteEcho(b, addrB, 1); err != nil {
			t.Error(err)
		}
		if _, err := connected.Write(b); err != nil {
			t.Error(err)
		}
		for _, p := range []*conn.Ping{loose, connected} {
			if n, _, _, err := p.ReadEcho(b); n != len(b) || err != nil {
				t.Error(n, err)
			}
		}
	}
	f()
	require.Zero(t, testing.AllocsPerRun(200, f))
}

func TestPingWrongAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{})
		p, err := conn.OpenPing(l.a, "ping", addrA, netip.Addr{})
		require.NoError(t, err)
		for _, to := range []net.Addr{nil, (*net.IPAddr)(nil), (*net.UDPAddr)(nil), &net.IPAddr{}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2)}} {
			_, err := p.WriteTo([]byte("x"), to)
			requireOpError(t, err, "write", syscall.EINVAL)
			require.NotEmpty(t, err.Error())
		}
	})
}
