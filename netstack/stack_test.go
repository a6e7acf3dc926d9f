package netstack_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/dialer"
	"smolnet/listener"
	"smolnet/netstack"
	"smolnet/netstack/core"
	"smolnet/phy"
)

func prefixes(s ...string) (ps []netip.Prefix) {
	for _, p := range s {
		ps = append(ps, netip.MustParsePrefix(p))
	}
	return ps
}

// pair makes two stacks on a pipe, 192.0.2.1 and 192.0.2.2.
func pair(t testing.TB, pipe phy.PipeConfig, change ...func(*netstack.Config)) (a, b *netstack.Stack) {
	t.Helper()
	x, y, err := phy.Pipe(pipe)
	require.NoError(t, err)
	one := func(dev phy.Device, addrs ...string) *netstack.Stack {
		cfg := netstack.Config{Device: dev, Addrs: prefixes(addrs...)}
		for _, f := range change {
			f(&cfg)
		}
		st, err := netstack.New(cfg)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, st.Close()) })
		return st
	}
	return one(x, "192.0.2.1/24"), one(y, "192.0.2.2/24")
}

// connection returns both ends of a connection from a to b.
func connection(t testing.TB, a, b *netstack.Stack) (client, server net.Conn) {
	t.Helper()
	l, err := listener.Listen(b, "tcp", ":0")
	require.NoError(t, err)
	defer l.Close()
	d := dialer.Dialer{Stack: a}
	client, err = d.Dial("tcp", fmt.Sprintf("192.0.2.2:%d", l.Addr().(*net.TCPAddr).Port))
	require.NoError(t, err)
	server, err = l.Accept()
	require.NoError(t, err)
	return client, server
}

func TestConfigErrors(t *testing.T) {
	dev := func(m phy.Medium) phy.Device {
		x, _, err := phy.Pipe(phy.PipeConfig{Medium: m})
		require.NoError(t, err)
		return x
	}
	for _, c := range []struct {
		name string
		cfg  netstack.Config
		want string
	}{
		{"no device", netstack.Config{}, "Device is required"},
		{"hardware address length", netstack.Config{Device: dev(phy.MediumEthernet), HardwareAddr: net.HardwareAddr{2, 1}}, "HardwareAddr"},
		{"group address", netstack.Config{Device: dev(phy.MediumEthernet), HardwareAddr: net.HardwareAddr{1, 0, 0, 0, 0, 1}}, "unicast"},
		{"hardware address on IP", netstack.Config{Device: dev(phy.MediumIP), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}, "HardwareAddr"},
		{"address", netstack.Config{Device: dev(phy.MediumIP), Addrs: []netip.Prefix{{}}}, "Addrs"},
		{"multicast address", netstack.Config{Device: dev(phy.MediumIP), Addrs: prefixes("224.0.0.1/24")}, "Addrs"},
		{"route", netstack.Config{Device: dev(phy.MediumIP), Routes: []netstack.Route{{}}}, "Routes"},
		{"gateway", netstack.Config{Device: dev(phy.MediumIP), Routes: []netstack.Route{
			{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("fd00::1")},
		}}, "other family"},
		{"DNS", netstack.Config{Device: dev(phy.MediumIP), DNS: []netip.AddrPort{{}}}, "DNS"},
		{"hop limit", netstack.Config{Device: dev(phy.MediumIP), HopLimit: 256}, "HopLimit"},
		{"slack", netstack.Config{Device: dev(phy.MediumIP), TimerSlack: -1}, "TimerSlack"},
		{"memory", netstack.Config{Device: dev(phy.MediumIP), Limits: netstack.Limits{Memory: -1}}, "Limits.Memory"},
		{"sockets", netstack.Config{Device: dev(phy.MediumIP), Limits: netstack.Limits{Sockets: -1}}, "Limits.Sockets"},
		{"outbox", netstack.Config{Device: dev(phy.MediumIP), Limits: netstack.Limits{Outbox: -1}}, "Limits.Outbox"},
		{"UDP buffer", netstack.Config{Device: dev(phy.MediumIP), UDP: netstack.UDPConfig{RecvBuffer: -1}}, "UDP.RecvBuffer"},
		{"small buffer", netstack.Config{Device: dev(phy.MediumIP), TCP: netstack.TCPConfig{RecvBuffer: 100}}, "TCP.RecvBuffer"},
		{"small bound", netstack.Config{Device: dev(phy.MediumIP), TCP: netstack.TCPConfig{MaxRecvBuffer: 1000}}, "TCP.MaxRecvBuffer"},
		{"large bound", netstack.Config{Device: dev(phy.MediumIP), TCP: netstack.TCPConfig{MaxSendBuffer: 1<<30 + 1}}, "TCP.MaxSendBuffer"},
		{"large buffer", netstack.Config{Device: dev(phy.MediumIP), TCP: netstack.TCPConfig{SendBuffer: 1<<30 + 1}}, "TCP.SendBuffer"},
		{"MSS", netstack.Config{Device: dev(phy.MediumIP), TCP: netstack.TCPConfig{MaxMSS: 10}}, "TCP.MaxMSS"},
		{"delayed ack", netstack.Config{Device: dev(phy.MediumIP), TCP: netstack.TCPConfig{DelayedAck: time.Second}}, "TCP.DelayedAck"},
		{"RTO", netstack.Config{Device: dev(phy.MediumIP), TCP: netstack.TCPConfig{MinRTO: 2, MaxRTO: 1}}, "TCP.MinRTO"},
		{"negative time", netstack.Config{Device: dev(phy.MediumIP), TCP: netstack.TCPConfig{InitialRTO: -1}}, "TCP.InitialRTO"},
		{"negative count", netstack.Config{Device: dev(phy.MediumIP), TCP: netstack.TCPConfig{SynRetries: -1}}, "TCP.SynRetries"},
		{"ECN", netstack.Config{Device: dev(phy.MediumIP), TCP: netstack.TCPConfig{ECN: netstack.ECNOff + 1}}, "TCP.ECN"},
		{"randomness", netstack.Config{Device: dev(phy.MediumIP), Rand: errReader{}}, "Rand"},
	} {
		t.Run(c.name, func(t *testing.T) {
			st, err := netstack.New(c.cfg)
			require.ErrorContains(t, err, c.want)
			require.Nil(t, st)
		})
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("no entropy") }

// TestZeroConfig: a Device is enough.
func TestZeroConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y, err := phy.Pipe(phy.PipeConfig{})
		require.NoError(t, err)
		a, err := netstack.New(netstack.Config{Device: x})
		require.NoError(t, err)
		b, err := netstack.New(netstack.Config{Device: y})
		require.NoError(t, err)
		addrs := b.Addrs()
		require.Len(t, addrs, 1)
		require.True(t, addrs[0].Addr().IsLinkLocalUnicast())
		require.NotEqual(t, a.Addrs(), addrs, "hardware addresses are random")

		l, err := listener.Listen(b, "tcp", ":80")
		require.NoError(t, err)
		d := dialer.Dialer{Stack: a}
		c, err := d.Dial("tcp", fmt.Sprintf("[%s%%eth0]:80", addrs[0].Addr()))
		require.NoError(t, err)
		_, err = l.Accept()
		require.NoError(t, err)
		require.NoError(t, c.Close())
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
}

func TestRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		prefixesOf := func(rs []netstack.Route) (ps []string) {
			for _, r := range rs {
				if r.Interface == 1 {
					ps = append(ps, r.Prefix.String())
				}
			}
			return ps
		}
		a, _ := pair(t, phy.PipeConfig{Medium: phy.MediumIP})
		require.ElementsMatch(t, []string{"192.0.2.0/24", "0.0.0.0/0"}, prefixesOf(a.Routes()))
		require.NoError(t, a.AddAddr(netip.MustParsePrefix("198.51.100.7/28")))
		require.Contains(t, a.Addrs(), netip.MustParsePrefix("198.51.100.7/28"))
		require.Contains(t, prefixesOf(a.Routes()), "198.51.100.0/28")
		require.NoError(t, a.SetRoutes([]netstack.Route{{Prefix: netip.MustParsePrefix("203.0.113.9/24"), Gateway: netip.MustParseAddr("192.0.2.2")}}))
		require.ElementsMatch(t, []string{"192.0.2.0/24", "198.51.100.0/28", "203.0.113.0/24"}, prefixesOf(a.Routes()))
		require.Error(t, a.AddRoute(netstack.Route{}))
		require.NoError(t, a.RemoveRoute(netip.MustParsePrefix("203.0.113.0/24")))
		require.NoError(t, a.RemoveAddr(netip.MustParseAddr("198.51.100.7")))
		require.ElementsMatch(t, []string{"192.0.2.0/24"}, prefixesOf(a.Routes()))

		e, _ := pair(t, phy.PipeConfig{})
		require.NotContains(t, prefixesOf(e.Routes()), "0.0.0.0/0")
	})
}

func TestObservers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, phy.PipeConfig{})
		c, s := connection(t, a, b)
		var found bool
		for info := range b.Sockets() {
			if info.State == "ESTABLISHED" {
				found = true
				require.Equal(t, s.RemoteAddr().String(), info.Remote.String())
				require.Equal(t, s.LocalAddr().String(), info.Local.String())
			}
		}
		require.True(t, found)
		require.NotEmpty(t, a.Neighbors())
		require.Equal(t, netip.MustParseAddr("192.0.2.2"), a.Neighbors()[0].Addr)
		require.NotZero(t, a.Stats().FramesOut)
		require.Positive(t, a.Now())
		require.Equal(t, "eth0", a.Config().Name)
		require.NoError(t, c.Close())
		require.NoError(t, a.Close())
		require.NotZero(t, a.Stats().FramesOut, "readable after the end")
		for range a.Sockets() {
			break
		}
	})
}

func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := pair(t, phy.PipeConfig{})
		n := 0
		require.NoError(t, a.Do(func(*core.Core) {
			n++
			require.NoError(t, a.Do(func(*core.Core) { n++ })) // from the loop itself
		}))
		require.Equal(t, 2, n)
		require.NoError(t, a.Close())
		require.ErrorIs(t, a.Do(func(*core.Core) { n++ }), net.ErrClosed)
		require.Equal(t, 2, n)
		require.ErrorIs(t, a.AddAddr(netip.MustParsePrefix("10.0.0.1/8")), net.ErrClosed)
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, phy.PipeConfig{})
		c, s := connection(t, a, b)
		l, err := listener.Listen(a, "tcp", ":80")
		require.NoError(t, err)
		u, err := listener.ListenPacket(a, "udp", ":80")
		require.NoError(t, err)
		require.NoError(t, a.Err())

		errs := make(chan error, 5)
		go func() { _, err := c.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := c.Write(make([]byte, 100<<20)); errs <- err }()
		go func() { _, err := l.Accept(); errs <- err }()
		go func() { _, _, err := u.ReadFrom(make([]byte, 1)); errs <- err }()
		go func() {
			d := dialer.Dialer{Stack: a}
			_, err := d.Dial("tcp", "192.0.2.99:1") // nobody answers
			errs <- err
		}()
		synctest.Wait()
		require.NoError(t, a.Close())
		for range cap(errs) {
			require.ErrorIs(t, <-errs, net.ErrClosed)
		}
		<-a.Done()
		<-a.Closing()
		require.ErrorIs(t, a.Err(), net.ErrClosed)
		require.NoError(t, a.Close())
		require.NoError(t, c.Close())
		require.NoError(t, l.Close())
		require.NoError(t, u.Close())

		// The peer heard of it before its cable went dead.
		_, err = io.Copy(io.Discard, s)
		require.Error(t, err)
	})
}

// TestCloseFromTheLoop: Close does not wait for the goroutine that calls it.
func TestCloseFromTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := pair(t, phy.PipeConfig{})
		require.NoError(t, a.Do(func(*core.Core) { require.NoError(t, a.Close()) }))
		<-a.Done()
	})
}

// TestCloseByMany closes stacks while they are at work, from many goroutines.
func TestCloseByMany(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		a, b := pair(t, phy.PipeConfig{})
		c, s := connection(t, a, b)
		go io.Copy(io.Discard, s)
		go c.Write(make([]byte, 10<<20))
		var wg sync.WaitGroup
		for i := range 4 {
			st := []*netstack.Stack{a, b}[i%2]
			wg.Go(func() { st.Close() })
			wg.Go(func() { st.Do(func(*core.Core) {}) })
			wg.Go(func() { st.Stats() })
		}
		wg.Wait()
		if err := a.Err(); !errors.Is(err, phy.ErrClosed) { // b was the first to go, and the cable with it
			require.ErrorIs(t, err, net.ErrClosed)
		}
	}
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, 5*time.Second, time.Millisecond)
}

// A brokenDevice fails when told to.
type brokenDevice struct {
	phy.Device
	broken atomic.Bool
}

var errBroken = errors.New("cable on fire")

func (d *brokenDevice) Receive() (phy.Frame, error) {
	if d.broken.Load() {
		return phy.Frame{}, errBroken
	}
	return d.Device.Receive()
}

func TestDeviceFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, _, err := phy.Pipe(phy.PipeConfig{})
		require.NoError(t, err)
		dev := &brokenDevice{Device: x}
		st, err := netstack.New(netstack.Config{Device: dev})
		require.NoError(t, err)
		l, err := listener.Listen(st, "tcp", "127.0.0.1:80")
		require.NoError(t, err)
		d := dialer.Dialer{Stack: st}
		c, err := d.Dial("tcp", "127.0.0.1:80")
		require.NoError(t, err)
		failed := make(chan error)
		go func() { _, err := c.Read(make([]byte, 1)); failed <- err }()
		synctest.Wait()
		dev.broken.Store(true)
		dev.Wake()
		require.ErrorIs(t, <-failed, net.ErrClosed)
		<-st.Done()
		require.ErrorIs(t, st.Err(), errBroken)
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, st.Close())
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, phy.PipeConfig{})
		c, s := connection(t, a, b)
		l, err := listener.Listen(a, "tcp", ":80")
		require.NoError(t, err)
		accepted := make(chan error)
		go func() { _, err := l.Accept(); accepted <- err }()
		_, err = c.Write(make([]byte, 600<<10)) // more than the peer has room for
		require.NoError(t, err)
		hooks := 0
		a.OnShutdown(func() { hooks++ })
		a.OnShutdown(func() { hooks += 10 })() // taken back

		go func() { // the peer reads to the end, thinks about it, and closes
			n, err := io.Copy(io.Discard, s)
			if n != 600<<10 || err != nil {
				t.Errorf("the peer read %d bytes, %v", n, err)
			}
			<-time.After(time.Minute)
			s.Close()
		}()
		start := time.Now()
		require.NoError(t, a.Shutdown(t.Context()))
		require.GreaterOrEqual(t, time.Since(start), time.Minute)
		require.ErrorIs(t, <-accepted, net.ErrClosed)
		require.Equal(t, 1, hooks)
		require.ErrorIs(t, a.Err(), net.ErrClosed)
		require.ErrorIs(t, a.Shutdown(t.Context()), net.ErrClosed)
	})
}

func TestShutdownTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, phy.PipeConfig{})
		_, s := connection(t, a, b)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, a.Shutdown(ctx), context.DeadlineExceeded)
		n, err := s.Read(make([]byte, 1)) // the FIN came first
		require.Zero(t, n)
		require.Error(t, err)
		d := dialer.Dialer{Stack: a}
		_, err = d.Dial("tcp", "192.0.2.2:1")
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// TestWakeups has many goroutines play ping-pong at once: a lost wake-up would
// stop one of them for good.
func TestWakeups(t *testing.T) {
	for _, local := range []bool{false, true} {
		t.Run(fmt.Sprint("local=", local), func(t *testing.T) {
			a, b := pair(t, phy.PipeConfig{Queue: 16})
			if local {
				a = b
			}
			const conns, rounds = 32, 200
			var wg sync.WaitGroup
			for range conns {
				c, s := connection(t, a, b)
				play := func(c net.Conn, first bool) {
					buf := make([]byte, 1)
					for range rounds {
						if first {
							if _, err := c.Write(buf); err != nil {
								t.Error(err)
								return
							}
						}
						c.SetReadDeadline(time.Now().Add(30 * time.Second))
						if _, err := io.ReadFull(c, buf); err != nil {
							t.Error(err)
							return
						}
						if !first {
							if _, err := c.Write(buf); err != nil {
								t.Error(err)
								return
							}
						}
					}
				}
				wg.Go(func() { play(c, true) })
				wg.Go(func() { play(s, false) })
			}
			for range 4 { // and commands in between
				wg.Go(func() {
					for range rounds {
						a.Do(func(*core.Core) {})
					}
				})
			}
			wg.Wait()
		})
	}
}

func Example() {
	x, y, _ := phy.Pipe(phy.PipeConfig{})
	server, _ := netstack.New(netstack.Config{Device: x, Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}})
	client, _ := netstack.New(netstack.Config{Device: y, Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")}})
	defer server.Close()
	defer client.Close()

	l, _ := listener.Listen(server, "tcp", ":7")
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.Copy(c, c)
		c.Close()
	}()

	d := dialer.Dialer{Stack: client}
	c, err := d.Dial("tcp", "192.0.2.1:7")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Fprint(c, "hello")
	c.(interface{ CloseWrite() error }).CloseWrite()
	b, _ := io.ReadAll(c)
	fmt.Println(string(b))
	// Output: hello
}
