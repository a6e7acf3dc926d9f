package conn_test

import (
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/conn"
	"smolnet/dialer"
	"smolnet/netstack"
	"smolnet/phy"
)

func TestKeepAlive(t *testing.T) {
	on := func(c *conn.TCP) error { return c.SetKeepAlive(true) }
	off := func(c *conn.TCP) error { return c.SetKeepAlive(false) }
	period := func(d time.Duration) func(*conn.TCP) error {
		return func(c *conn.TCP) error { return c.SetKeepAlivePeriod(d) }
	}
	config := func(enable bool, idle, interval time.Duration, count int) func(*conn.TCP) error {
		return func(c *conn.TCP) error {
			return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: enable, Idle: idle, Interval: interval, Count: count})
		}
	}
	type calls []func(*conn.TCP) error
	const usual = 15*time.Second + 9*15*time.Second
	dialOff := dialer.Dialer{KeepAlive: -1}
	dialOwn := dialer.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 7 * time.Second, Interval: time.Second, Count: 2}}
	for _, set := range []struct {
		name   string
		dialer dialer.Dialer
		off    bool // in the stack's settings
		do     calls
		want   time.Duration // until a dead peer is noticed; zero: never
	}{
		{name: "default", want: usual},
		{name: "config", do: calls{config(true, 5*time.Second, time.Second, 3)}, want: 8 * time.Second},
		{name: "period", do: calls{period(time.Minute)}, want: time.Minute + 9*15*time.Second},
		{name: "off and on", do: calls{off, on}, want: usual},
		{name: "off", do: calls{off}},
		{name: "off by config", do: calls{config(false, 5*time.Second, time.Second, 3)}},
		{name: "off by config, on", do: calls{config(false, 5*time.Second, time.Second, 3), on}, want: 8 * time.Second},
		{name: "off, period", do: calls{off, period(time.Minute)}},
		{name: "off, period, on", do: calls{off, period(time.Minute), on}, want: time.Minute + 9*15*time.Second},
		{name: "stack off", off: true},
		{name: "stack off, on", off: true, do: calls{on}, want: usual},
		{name: "stack off, config without times", off: true, do: calls{config(true, -1, -1, -1)}, want: usual},
		{name: "stack off, dialer without times", off: true, want: usual,
			dialer: dialer.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: -1}}},
		{name: "dialer off", dialer: dialOff},
		{name: "dialer off, period", dialer: dialOff, do: calls{period(30 * time.Second)}},
		{name: "dialer off, on", dialer: dialOff, do: calls{on}, want: usual},
		{name: "dialer's own", dialer: dialOwn, want: 9 * time.Second},
		{name: "dialer's own, off and on", dialer: dialOwn, do: calls{off, on}, want: 9 * time.Second},
		{name: "dialer's own, count", dialer: dialOwn, do: calls{config(true, -1, -1, 5)}, want: 12 * time.Second},
	} {
		t.Run(set.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := connect(t, phy.PipeConfig{Medium: phy.MediumIP}, func(cfg *netstack.Config) { // no neighbours to be missed
					if set.off {
						cfg.TCP.KeepAliveIdle = -1
					}
				})
				ln := listenTCP(t, l.b)
				defer ln.Close()
				d := set.dialer
				d.Stack = l.a
				nc, err := d.Dial("tcp", ln.Addr().String())
				require.NoError(t, err)
				c := nc.(*conn.TCP)
				for _, f := range set.do {
					require.NoError(t, f(c))
				}
				l.cut(true)
				start := time.Now()
				require.NoError(t, c.SetReadDeadline(start.Add(time.Hour)))
				_, err = c.Read(make([]byte, 1))
				if set.want == 0 {
					require.Equal(t, time.Hour, time.Since(start))
					return
				}
				requireOpError(t, err, "read", syscall.ETIMEDOUT)
				require.InDelta(t, set.want.Seconds(), time.Since(start).Seconds(), 1)
			})
		})
	}
}
