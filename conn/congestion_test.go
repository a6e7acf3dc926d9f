package conn_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/conn"
	"smolnet/dialer"
	"smolnet/listener"
	"smolnet/netstack"
	"smolnet/netstack/congestion"
	"smolnet/netstack/tcp"
	"smolnet/phy"
)

// A homemade controller is Reno under another name.
type homemade struct{ congestion.Reno }

func (*homemade) Name() string { return "homemade" }

// withHomemade adds it to a stack.
func withHomemade(cfg *netstack.Config) {
	cfg.TCP.Controllers = map[string]congestion.Factory{
		"homemade": func() congestion.Controller { return new(homemade) },
	}
}

// Controllers change while data is on its way, and it arrives.
func TestSetCongestionControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := established(t, withHomemade)
		require.Equal(t, "cubic", c.Info().CongestionControl)
		const size = 4 << 20
		go func() {
			b := make([]byte, 64<<10)
			for range size / len(b) {
				_, err := c.Write(b)
				require.NoError(t, err)
			}
			require.NoError(t, c.CloseWrite())
		}()
		b := make([]byte, 256<<10)
		for n := 0; n < size; n += len(b) {
			_, err := io.ReadFull(s, b)
			require.NoError(t, err)
			for _, name := range []string{"bbr", "reno", "homemade", "none", "cubic"} {
				require.NoError(t, c.SetCongestionControl(name))
				i := c.Info()
				require.Equal(t, name, i.CongestionControl)
				require.GreaterOrEqual(t, i.CongestionWindow, i.SendMSS)
			}
		}
		_, err := s.Read(b)
		require.Equal(t, io.EOF, err)
		require.Equal(t, "cubic", s.Info().CongestionControl)
	})
}

func TestSetCongestionControlErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _ := established(t, withHomemade)
		err := c.SetCongestionControl("vegas")
		require.ErrorIs(t, err, syscall.ENOENT)
		require.ErrorContains(t, err, `no congestion controller is called "vegas": there are bbr, cubic, homemade, none, reno`)
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, "set", op.Op)
		require.Equal(t, c.LocalAddr(), op.Source)
		require.Equal(t, "cubic", c.Info().CongestionControl)
		require.NoError(t, c.Close())
		require.ErrorIs(t, c.SetCongestionControl("bbr"), net.ErrClosed)
		require.ErrorIs(t, c.SetCongestionControl("vegas"), net.ErrClosed)
		require.ErrorIs(t, new(conn.TCP).SetCongestionControl("bbr"), syscall.EINVAL)
	})
}

// The stack's, the listener's and the dialer's choice.
func TestCongestionControlOfNewConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{}, withHomemade, func(cfg *netstack.Config) { cfg.TCP.CongestionControl = "reno" })
		ends := func(listens, dials string) (client, server string) {
			lc := listener.Config{Stack: l.b, CongestionControl: listens, KeepAlive: -1}
			ln, err := lc.ListenTCP("tcp", netip.AddrPortFrom(addrB, 0))
			require.NoError(t, err)
			defer ln.Close()
			d := dialer.Dialer{Stack: l.a, CongestionControl: dials}
			c, err := d.DialTCP(context.Background(), "tcp", netip.AddrPort{}, ln.Addr().(*net.TCPAddr).AddrPort())
			require.NoError(t, err)
			s, err := ln.AcceptTCP()
			require.NoError(t, err)
			return c.Info().CongestionControl, s.Info().CongestionControl
		}
		c, s := ends("", "")
		require.Equal(t, [2]string{"reno", "reno"}, [2]string{c, s})
		c, s = ends("homemade", "bbr")
		require.Equal(t, [2]string{"bbr", "homemade"}, [2]string{c, s})

		lc := listener.Config{Stack: l.b, CongestionControl: "vegas"}
		_, err := lc.Listen(context.Background(), "tcp", ":0")
		require.ErrorIs(t, err, syscall.ENOENT)
		d := dialer.Dialer{Stack: l.a, CongestionControl: "vegas"}
		_, err = d.Dial("tcp", netip.AddrPortFrom(addrB, 1).String())
		require.ErrorIs(t, err, syscall.ENOENT)
		require.False(t, errors.Is(err, syscall.ECONNREFUSED))
	})
}

// Times of Info are times of day.
func TestInfoTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := connect(t, phy.PipeConfig{})
		time.Sleep(time.Hour)
		c, s := dialled(t, l.a, l.b, addrB6)
		i := c.Info()
		require.Equal(t, tcp.StateEstablished, i.State)
		require.InDelta(t, time.Hour, i.Established.Sub(start), float64(time.Second))
		require.True(t, i.LastSent.IsZero(), "no data yet")
		require.Equal(t, 1500, i.PathMTU)
		require.Equal(t, 1500, i.PathMTULimit)
		require.Zero(t, i.SlowStartThreshold, "none yet")
		time.Sleep(time.Minute)
		_, err := c.Write([]byte("x"))
		require.NoError(t, err)
		_, err = s.Read(make([]byte, 1))
		require.NoError(t, err)
		synctest.Wait()
		i = c.Info()
		require.InDelta(t, time.Minute, i.LastSent.Sub(i.Established), float64(time.Second))
		require.False(t, i.LastReceived.After(time.Now()))
		require.NoError(t, c.Close())
		require.Zero(t, c.Info())
		require.Zero(t, new(conn.TCP).Info())
	})
}
