package core_test

// What happens to Fast Open beside RFC 7413: ways that go, users who leave, and SYNs that
// come again.

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// Fast Open fails with the server while a connection waits for its text: that arrives all
// the same, although the user is done.
func TestFastOpenFailsMeanwhile(t *testing.T) {
	f := newFastPair(t, b4)
	late, _ := f.dial()
	first, _ := f.dial()
	f.a.losing(1, 0)
	_, err := first.Write([]byte("first"))
	require.NoError(t, err)
	f.pass(1500 * time.Millisecond)
	require.True(t, first.Connected())
	f.drop(first)
	f.a.lose = nil
	require.True(t, late.Deferred())
	_, err = late.Write([]byte("request"))
	require.NoError(t, err)
	late.Close()
	f.run()
	require.Len(t, f.srv.conns, 1)
	got, err := readAll(f.srv.conns[0])
	require.Equal(t, "request", got)
	require.ErrorContains(t, err, "EOF")
	require.Equal(t, uint64(1), f.a.c.Stats().TCPFastOpenSent, "that of the first one")
}

// A connection waits for its text while the way to the server goes and comes back.
func TestFastOpenRoute(t *testing.T) {
	for _, how := range []string{"back", "gone", "closed"} {
		f := newFastPair(t, b4)
		c, u := f.dial()
		require.NoError(t, f.a.eth.RemoveAddr(f.now, a4))
		c.Kick()
		f.run()
		if how == "closed" {
			f.a.c.Close(f.now)
			require.Equal(t, errno.Closed, c.Err())
			continue
		}
		if how == "back" {
			require.NoError(t, f.a.eth.AddAddr(f.now, netip.MustParsePrefix(a4.String()+"/24")))
		}
		_, err := c.Write([]byte("request"))
		require.NoError(t, err)
		f.run()
		if how == "back" {
			require.True(t, c.Connected())
			require.Len(t, f.srv.conns, 1)
			require.Equal(t, 1460-12, f.srv.conns[0].Conn().Info().SendMSS)
			continue
		}
		require.NotZero(t, u.take()&tcp.EventFailed)
		require.Equal(t, errno.NetUnreach, c.Err())
	}
}

// SYNs that come again are answered, and do not use up the patience with the peer.
func TestFastOpenSynAgain(t *testing.T) {
	w, h, srv, cookie := fastServer(t)
	w.in(h, fastSyn(h, 2, cookie, "hello"))
	iss := h.one().tcp.Seq
	for range 8 {
		w.in(h, fastSyn(h, 2, cookie, "hello"))
		again := h.one()
		require.Equal(t, wire.SYN|wire.ACK, again.tcp.Flags)
		require.False(t, again.tcp.Options.HasFastOpen)
	}
	w.pass(20 * time.Second)
	require.Equal(t, errno.OK, srv.conns[0].Err())
	w.in(h, fromX(h, 2, 106, iss+1, wire.ACK, "more"))
	got, _ := readAll(srv.conns[0])
	require.Equal(t, "hellomore", got)
}

// A user who hangs up before the peer has shown its face frees no place at once either.
func TestFastOpenHungUp(t *testing.T) {
	for name, end := range map[string]func(*core.TCP){"unread": (*core.TCP).Close, "abort": (*core.TCP).Abort} {
		t.Run(name, func(t *testing.T) {
			w, h, srv, cookie := fastServer(t, func(c *core.Config, _ *core.InterfaceConfig) { c.Limits.FastOpenPending = 1 })
			w.in(h, fastSyn(h, 10, cookie, "hello"))
			require.Len(t, srv.conns, 1)
			end(srv.conns[0])
			w.run()
			require.Zero(t, h.c.Stats().Connections)
			w.in(h, fastSyn(h, 11, cookie, "hello"))
			require.Len(t, srv.conns, 1)
			require.Equal(t, uint64(1), h.c.Stats().TCPFastOpenOverflow)
			w.pass(time.Minute)
			w.know(h, x4)
			w.in(h, fastSyn(h, 12, cookie, "hello"))
			require.Len(t, srv.conns, 2)
		})
	}
}

// With a full SYN queue a good cookie of Fast Open counts for nothing: a SYN cookie
// answers, nothing is kept of the text, and that comes again at once.
func TestFastOpenFlooded(t *testing.T) {
	f := newFastPair(t, b4)
	require.NoError(t, f.b.c.AddRoute(routeVia("10.0.0.0/8", a4)))
	flood(f.world, f.b, 0, core.DefaultBacklog)
	require.Equal(t, core.DefaultBacklog, f.b.c.Stats().HalfOpen)
	c, _ := f.dial()
	require.True(t, c.Deferred())
	before := f.b.c.Stats().Memory
	n, err := c.Write([]byte("request"))
	require.NoError(t, err)
	f.a.lose = func(frame []byte) bool { return isTCP(frame, wire.SYN|wire.ACK, wire.ACK) }
	f.run()
	st := f.b.c.Stats()
	require.Equal(t, [3]uint64{1, 0, 0}, [3]uint64{st.TCPCookiesSent, st.TCPFastOpenAccepted, st.TCPCookiesAccepted})
	require.Equal(t, before, st.Memory)
	f.a.lose = nil
	f.pass(500 * time.Millisecond)
	require.True(t, c.Connected())
	require.Len(t, f.srv.conns, 1)
	got, _ := readAll(f.srv.conns[0])
	require.Len(t, got, n)
	f.drop(c)
	c, _ = f.dial()
	require.False(t, c.Deferred(), "the server has other things to do")
}
