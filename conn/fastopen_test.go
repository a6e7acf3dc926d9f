package conn_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/conn"
	"smolnet/dialer"
	"smolnet/listener"
	"smolnet/netstack"
	"smolnet/phy"
)

func fastOpen(cfg *netstack.Config) { cfg.TCP.FastOpen = true }

// fastPair is two stacks, of which the first has a cookie of a listener on the second.
func fastPair(t *testing.T) (l *link, ln *listener.TCP, open func() *conn.TCP) {
	l = connect(t, phy.PipeConfig{Medium: phy.MediumIP}, fastOpen)
	ln = listenTCP(t, l.b)
	d := dialer.Dialer{Stack: l.a, FastOpen: true, KeepAlive: -1}
	open = func() *conn.TCP {
		c, err := d.DialTCP(context.Background(), "tcp", netip.AddrPort{}, ln.Addr().(*net.TCPAddr).AddrPort())
		require.NoError(t, err)
		return c
	}
	c := open()
	s, err := ln.AcceptTCP()
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.NoError(t, s.Close())
	return l, ln, open
}

// Close lingers for what was written before there was a connection, too.
func TestLingerFastOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, ln, open := fastPair(t)
		defer ln.Close()
		for _, first := range []func(*conn.TCP){
			func(*conn.TCP) {},
			func(*conn.TCP) { synctest.Wait() }, // the SYN is out
		} {
			c := open()
			require.NoError(t, c.SetLinger(30))
			l.cut(true)
			time.AfterFunc(500*time.Millisecond, func() { l.cut(false) })
			start := time.Now()
			_, err := c.Write([]byte("request"))
			require.NoError(t, err)
			first(c)
			require.NoError(t, c.Close())
			took := time.Since(start)
			require.GreaterOrEqual(t, took, 500*time.Millisecond, "the peer had none of it")
			require.Less(t, took, 10*time.Second)
			s, err := ln.AcceptTCP()
			require.NoError(t, err)
			got, err := io.ReadAll(s)
			require.NoError(t, err)
			require.Equal(t, "request", string(got))
			require.NoError(t, s.Close())
			time.Sleep(10 * time.Minute) // Fast Open failed: it is left alone for a while
		}
	})
}

// A connection that waits for its text is used from all sides at once: nothing hangs,
// nothing is left over.
func TestFastOpenRaces(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(seed, 0))
		l, ln, open := fastPair(t)
		var servers sync.WaitGroup
		servers.Go(func() {
			for {
				s, err := ln.AcceptTCP()
				if err != nil {
					return
				}
				servers.Go(func() {
					_, _ = io.Copy(s, s)
					_ = s.Close()
				})
			}
		})
		uses := []func(*conn.TCP){
			func(c *conn.TCP) { _, _ = c.Write([]byte("request")) },
			func(c *conn.TCP) { _, _ = c.Write(make([]byte, 10_000)) },
			func(c *conn.TCP) { _, _ = c.Read(make([]byte, 10)) },
			func(c *conn.TCP) { _ = c.SetDeadline(time.Now()) },
			func(c *conn.TCP) { _ = c.SetDeadline(time.Now().Add(time.Millisecond)) },
			func(c *conn.TCP) { _ = c.Info() },
			func(c *conn.TCP) { _ = c.SetCongestionControl("bbr") },
			func(c *conn.TCP) { _ = c.SetCork(true) },
			func(c *conn.TCP) { _ = c.SetCork(false) },
			func(c *conn.TCP) { _ = c.SetLinger(1) },
			func(c *conn.TCP) { _ = c.SetReadBuffer(8 << 10) },
			func(c *conn.TCP) { _ = c.SetWriteBuffer(8 << 10) },
			func(c *conn.TCP) { _ = c.CloseWrite() },
			func(c *conn.TCP) { _ = c.CloseRead() },
			func(c *conn.TCP) { _ = c.Close() },
			func(c *conn.TCP) { _ = c.Abort() },
		}
		for range 300 {
			c := open()
			var users sync.WaitGroup
			for range 2 + random.IntN(5) {
				use := uses[random.IntN(len(uses))]
				users.Go(func() { use(c) })
			}
			time.AfterFunc(time.Second, func() { _ = c.Abort() })
			users.Wait()
			time.Sleep(time.Second + time.Millisecond)
		}
		require.NoError(t, ln.Close())
		servers.Wait()
		time.Sleep(5 * time.Minute)
		require.NotZero(t, l.a.Stats().TCPFastOpenTaken)
		for _, st := range []*netstack.Stack{l.a, l.b} {
			require.Zero(t, st.Stats().Connections)
			require.Zero(t, st.Stats().HalfOpen)
			require.Zero(t, st.Stats().Memory)
		}
	})
}
