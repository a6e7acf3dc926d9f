package compat

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// closedPort returns an address at which nobody listens any more.
func closedPort(t *testing.T, e env) string {
	t.Helper()
	l, err := e.listen("tcp4", e.host+":0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

var openBodies = []body{
	{"dial to a closed port", func(t *testing.T, e env, tr *transcript) {
		_, err := e.dial(context.Background(), "tcp4", closedPort(t, e))
		tr.note("%v", err)
		_, err = e.dial(context.Background(), "tcp", closedPort(t, e))
		tr.note("%v", err)
	}},
	{"dial with a context that is over", func(t *testing.T, e env, tr *transcript) {
		addr := closedPort(t, e)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := e.dial(ctx, "tcp", addr)
		tr.note("cancelled: %v", err)
		ctx, cancel = context.WithDeadline(context.Background(), past)
		defer cancel()
		_, err = e.dial(ctx, "tcp", addr)
		tr.note("late: %v", err)
	}},
	{"dial to a bad address", func(t *testing.T, e env, tr *transcript) {
		for _, c := range []struct{ network, addr string }{
			{"tcp", ""}, {"tcp", e.host}, {"tcp", e.host + ":99999"}, {"tcp", e.host + ":-1"}, {"tcp", e.host + ":nosuchservice"},
			{"tcp4", "[::1]:80"}, {"tcp6", "127.0.0.1:80"}, {"bogus", e.host + ":80"}, {"udp", e.host}, {"tcp", e.host + ":0"},
		} {
			_, err := e.dial(context.Background(), c.network, c.addr)
			require.Error(t, err, "%v", c)
			tr.note("%v", err)
		}
	}},
	{"listen at a bad address", func(t *testing.T, e env, tr *transcript) {
		for _, c := range []struct{ network, addr string }{
			{"tcp", e.host}, {"tcp", e.host + ":99999"}, {"tcp", "192.0.2.1:0"}, {"tcp4", "[::1]:0"}, {"tcp6", "127.0.0.1:0"}, {"bogus", ":0"}, {"udp", ":0"},
		} {
			_, err := e.listen(c.network, c.addr)
			require.Error(t, err, "%v", c)
			tr.note("%v", err)
		}
		for _, c := range []struct{ network, addr string }{
			{"udp", e.host}, {"udp", "192.0.2.1:0"}, {"bogus", ":0"}, {"tcp", ":0"},
		} {
			_, err := e.listenPacket(c.network, c.addr)
			require.Error(t, err, "%v", c)
			tr.note("packet: %v", err)
		}
	}},
	{"listen at a busy port", func(t *testing.T, e env, tr *transcript) {
		l, err := e.listen("tcp4", e.host+":0")
		require.NoError(t, err)
		defer l.Close()
		_, err = e.listen("tcp4", l.Addr().String())
		tr.note("tcp: %v", err)
		pc, err := e.listenPacket("udp4", e.host+":0")
		require.NoError(t, err)
		defer pc.Close()
		_, err = e.listenPacket("udp4", pc.LocalAddr().String())
		tr.note("udp: %v", err)
	}},
	{"listen again at once", func(t *testing.T, e env, tr *transcript) {
		l, err := e.listen("tcp4", e.host+":0")
		require.NoError(t, err)
		c, err := e.dial(context.Background(), "tcp4", l.Addr().String())
		require.NoError(t, err)
		s, err := l.Accept()
		require.NoError(t, err)
		require.NoError(t, s.Close()) // the server's side goes to TIME-WAIT
		require.NoError(t, c.Close())
		require.NoError(t, l.Close())
		l, err = e.listen("tcp4", l.Addr().String())
		tr.note("%v", err)
		if err == nil {
			l.Close()
		}
	}},
	{"addresses", func(t *testing.T, e env, tr *transcript) {
		for _, c := range []struct{ network, host string }{{"tcp", e.host}, {"tcp4", e.host}, {"tcp", e.host6}, {"tcp6", e.host6}} {
			l, err := e.listen(c.network, net.JoinHostPort(c.host, "0"))
			require.NoError(t, err)
			conn, err := e.dial(context.Background(), c.network, l.Addr().String())
			require.NoError(t, err)
			s, err := l.Accept()
			require.NoError(t, err)
			tr.note("%T %s", l.Addr(), l.Addr().Network())
			tr.note("%T %s %T", conn.LocalAddr(), conn.LocalAddr().Network(), conn.RemoteAddr())
			tr.note("%d %d", len(conn.LocalAddr().(*net.TCPAddr).IP), len(s.RemoteAddr().(*net.TCPAddr).IP))
			tr.note("%t %t", conn.LocalAddr().String() == s.RemoteAddr().String(), conn.RemoteAddr().String() == s.LocalAddr().String())
			conn.Close()
			s.Close()
			l.Close()
		}
	}},
	{"wildcard listeners", func(t *testing.T, e env, tr *transcript) {
		for _, c := range []struct{ network, addr string }{{"tcp", ":0"}, {"tcp4", ":0"}, {"tcp6", ":0"}, {"tcp", "0.0.0.0:0"}, {"tcp", "[::]:0"}} {
			l, err := e.listen(c.network, c.addr)
			require.NoError(t, err)
			_, port, err := net.SplitHostPort(l.Addr().String())
			require.NoError(t, err)
			tr.note("%s %s: %s", c.network, c.addr, l.Addr().(*net.TCPAddr).IP)
			for _, host := range []string{e.host, e.host6} {
				conn, err := e.dial(context.Background(), "tcp", net.JoinHostPort(host, port))
				tr.note("  dial: %v", err)
				if err != nil {
					continue
				}
				s, err := l.Accept()
				require.NoError(t, err)
				tr.note("  server address: %d", len(s.LocalAddr().(*net.TCPAddr).IP))
				conn.Close()
				s.Close()
			}
			l.Close()
		}
	}},
	{"a connection that is made before accept", func(t *testing.T, e env, tr *transcript) {
		l, err := e.listen("tcp4", e.host+":0")
		require.NoError(t, err)
		defer l.Close()
		c, err := e.dial(context.Background(), "tcp4", l.Addr().String())
		require.NoError(t, err)
		writeAll(t, c, "early")
		require.NoError(t, c.Close())
		time.Sleep(10 * time.Millisecond)
		s, err := l.Accept()
		tr.note("accept: %v", err)
		b := make([]byte, 16)
		n, err := s.Read(b)
		tr.note("read: %q %v", b[:n], err)
		n, err = s.Read(b)
		tr.note("read: %d %v", n, err)
		s.Close()
	}},
}
