package compat

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// packets opens an unconnected socket on the listening side and a connected
// one on the other.
func packets(t *testing.T, e env) (server net.PacketConn, client net.Conn) {
	t.Helper()
	server, err := e.listenPacket("udp4", e.host+":0")
	require.NoError(t, err)
	client, err = e.dial(context.Background(), "udp4", server.LocalAddr().String())
	require.NoError(t, err)
	t.Cleanup(func() { server.Close(); client.Close() })
	return server, client
}

var datagramBodies = []body{
	{"datagrams both ways", func(t *testing.T, e env, tr *transcript) {
		server, client := packets(t, e)
		for _, s := range []string{"hello", "", "x"} {
			n, err := client.Write([]byte(s))
			tr.note("write: %d %v", n, err)
			b := make([]byte, 100)
			n, from, err := server.ReadFrom(b)
			tr.note("read: %q %T %t %v", b[:n], from, from.String() == client.LocalAddr().String(), err)
			n, err = server.WriteTo(b[:n], from)
			tr.note("answer: %d %v", n, err)
			n, err = client.Read(b)
			tr.note("got: %q %v", b[:n], err)
		}
		tr.note("%T %T %s", client.LocalAddr(), client.RemoteAddr(), client.LocalAddr().Network())
	}},
	{"datagram longer than the buffer", func(t *testing.T, e env, tr *transcript) {
		server, client := packets(t, e)
		for _, s := range []string{"0123456789", "next"} {
			_, err := client.Write([]byte(s))
			require.NoError(t, err)
		}
		b := make([]byte, 4)
		for range 2 {
			n, _, err := server.ReadFrom(b)
			tr.note("%q %v", b[:n], err)
		}
	}},
	{"datagram read of zero bytes", func(t *testing.T, e env, tr *transcript) {
		server, client := packets(t, e)
		_, err := client.Write([]byte("data"))
		require.NoError(t, err)
		_, err = client.Write([]byte("more"))
		require.NoError(t, err)
		n, _, err := server.ReadFrom(nil)
		tr.note("%d %v", n, err)
		b := make([]byte, 10)
		n, _, err = server.ReadFrom(b)
		tr.note("%q %v", b[:n], err)
		require.NoError(t, server.SetReadDeadline(soon()))
		n, _, err = server.ReadFrom(nil)
		tr.note("nothing there: %d %v", n, err)
	}},
	{"datagram to a closed port", func(t *testing.T, e env, tr *transcript) {
		server, client := packets(t, e)
		require.NoError(t, server.Close())
		_, err := client.Write([]byte("x"))
		tr.note("write: %v", err)
		_, err = client.Read(make([]byte, 1))
		tr.note("read: %v", err)
		require.NoError(t, client.SetReadDeadline(soon()))
		_, err = client.Read(make([]byte, 1))
		tr.note("read again: %v", err)
	}},
	{"the next write hears that the port is closed", func(t *testing.T, e env, tr *transcript) {
		server, client := packets(t, e)
		require.NoError(t, server.Close())
		_, err := client.Write([]byte("x"))
		require.NoError(t, err)
		time.Sleep(50 * time.Millisecond)
		_, err = client.Write([]byte("x"))
		tr.note("write: %v", err)
	}},
	{"datagram that is too large", func(t *testing.T, e env, tr *transcript) {
		server, client := packets(t, e)
		n, err := client.Write(make([]byte, 65508))
		tr.note("write: %d %v", n, err)
		n, err = server.WriteTo(make([]byte, 65508), client.LocalAddr())
		tr.note("write to: %d %v", n, err)
	}},
	{"datagram after one that is too large", func(t *testing.T, e env, tr *transcript) {
		server, client := packets(t, e)
		b := make([]byte, 100)
		for range 2 {
			_, err := client.Write(make([]byte, 65508))
			tr.note("write: %v", err)
			n, err := client.Write([]byte("small"))
			tr.note("write: %d %v", n, err)
			n, _, err = server.ReadFrom(b)
			tr.note("read: %q %v", b[:n], err)
			_, err = server.WriteTo(make([]byte, 65508), client.LocalAddr())
			tr.note("write to: %v", err)
			n, err = server.WriteTo([]byte("small"), client.LocalAddr())
			tr.note("write to: %d %v", n, err)
			n, err = client.Read(b)
			tr.note("read: %q %v", b[:n], err)
		}
	}},
	{"wrong calls on datagram sockets", func(t *testing.T, e env, tr *transcript) {
		server, client := packets(t, e)
		c := client.(net.PacketConn)
		_, err := c.WriteTo([]byte("x"), server.LocalAddr())
		tr.note("WriteTo on a connected socket: %v", err)
		_, err = server.(net.Conn).Write([]byte("x"))
		tr.note("Write on an unconnected socket: %v", err)
		tr.note("remote address: %t", server.(net.Conn).RemoteAddr() == nil)
		_, err = server.WriteTo([]byte("x"), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1})
		tr.note("WriteTo a TCP address: %v", err)
		_, err = server.WriteTo([]byte("x"), &net.UDPAddr{IP: net.ParseIP("2001:db8::1"), Port: 1})
		tr.note("WriteTo another family: %v", err)
		for _, to := range []net.UDPAddr{{IP: net.IP{1, 2, 3}, Port: 1}, {IP: net.IPv4(127, 0, 0, 1), Port: -1}, {IP: net.IPv4(127, 0, 0, 1)}} {
			_, err = server.WriteTo([]byte("x"), &to)
			tr.note("WriteTo a wrong address: %v", err)
		}
		_, err = c.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IP{1, 2, 3}, Port: 1})
		tr.note("WriteTo a wrong address on a connected socket: %v", err)
		require.NoError(t, server.(net.Conn).SetWriteDeadline(time.Now().Add(-time.Second)))
		_, err = server.(net.Conn).Write([]byte("x"))
		tr.note("Write on an unconnected socket, too late: %v", err)
	}},
	{"a connected socket hears only its peer", func(t *testing.T, e env, tr *transcript) {
		server, client := packets(t, e)
		stranger, err := e.listenPacket("udp4", e.host+":0")
		require.NoError(t, err)
		defer stranger.Close()
		_, err = stranger.WriteTo([]byte("stranger"), client.LocalAddr())
		require.NoError(t, err)
		_, err = server.WriteTo([]byte("peer"), client.LocalAddr())
		require.NoError(t, err)
		b := make([]byte, 100)
		n, err := client.Read(b)
		tr.note("%q %v", b[:n], err)
	}},
}
