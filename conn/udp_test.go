package conn_test

import (
	"bytes"
	"fmt"
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
	"smolnet/netstack/errno"
	"smolnet/netstack/route"
	"smolnet/phy"
)

func listenUDP(t testing.TB, st *netstack.Stack, network string, a netip.Addr) *conn.UDP {
	t.Helper()
	cfg := listener.Config{Stack: st}
	c, err := cfg.ListenUDP(network, netip.AddrPortFrom(a, 0))
	require.NoError(t, err)
	return c
}

func dialUDP(t testing.TB, st *netstack.Stack, to netip.AddrPort) *conn.UDP {
	t.Helper()
	d := dialer.Dialer{Stack: st}
	c, err := d.DialUDP(t.Context(), "udp", netip.AddrPort{}, to)
	require.NoError(t, err)
	return c
}

func addrPort(c *conn.UDP) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

func TestUDPEcho(t *testing.T) {
	for _, at := range []netip.Addr{addrB, addrB6} {
		t.Run(at.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := connect(t, phy.PipeConfig{})
				s := listenUDP(t, l.b, "udp", at)
				c := dialUDP(t, l.a, addrPort(s))
				require.Equal(t, s.LocalAddr().String(), c.RemoteAddr().String())
				require.Nil(t, s.RemoteAddr())

				for _, size := range []int{0, 1, 1452} {
					msg := bytes.Repeat([]byte{7}, size)
					n, err := c.Write(msg)
					require.NoError(t, err)
					require.Equal(t, size, n)
					b := make([]byte, 2000)
					n, from, err := s.ReadFrom(b)
					require.NoError(t, err)
					require.Equal(t, msg, b[:n])
					require.Equal(t, c.LocalAddr().String(), from.String())
					_, err = s.WriteTo(b[:n], from)
					require.NoError(t, err)
					n, err = c.Read(b)
					require.NoError(t, err)
					require.Equal(t, size, n)
				}
				require.NoError(t, c.Close())
				require.NoError(t, s.Close())
			})
		})
	}
}

// TestUDPBothFamilies: a socket for both families shows IPv4 addresses as
// package net's does, one that was bound to an address does not.
func TestUDPBothFamilies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{})
		s := listenUDP(t, l.b, "udp", netip.Addr{})
		require.Equal(t, "::", s.LocalAddr().(*net.UDPAddr).IP.String())
		port := addrPort(s).Port()
		b := make([]byte, 10)
		for _, at := range []netip.Addr{addrB, addrB6} {
			c := dialUDP(t, l.a, netip.AddrPortFrom(at, port))
			_, err := c.Write([]byte("x"))
			require.NoError(t, err)
			_, from, err := s.ReadFromUDPAddrPort(b)
			require.NoError(t, err)
			require.True(t, from.Addr().Is6())
			require.Equal(t, addrPort(c), netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
			_, err = s.WriteToUDPAddrPort([]byte("y"), from)
			require.NoError(t, err)
			_, err = c.Read(b)
			require.NoError(t, err)
			_, err = s.WriteToUDP([]byte("y"), net.UDPAddrFromAddrPort(from))
			require.NoError(t, err)
			_, err = c.Read(b)
			require.NoError(t, err)
			_, _, err = s.WriteMsgUDPAddrPort([]byte("y"), nil, addrPort(c))
			require.NoError(t, err)
			_, err = c.Read(b)
			require.NoError(t, err)
		}
		s4 := listenUDP(t, l.b, "udp4", netip.Addr{})
		require.Equal(t, "0.0.0.0", s4.LocalAddr().(*net.UDPAddr).IP.String())
		_, err := s4.WriteToUDPAddrPort([]byte("y"), netip.AddrPortFrom(addrA6, 1))
		var ae *net.AddrError
		require.ErrorAs(t, err, &ae)
	})
}

func TestUDPTruncation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{})
		s := listenUDP(t, l.b, "udp", addrB)
		c := dialUDP(t, l.a, addrPort(s))
		send := func() {
			_, err := c.Write([]byte("0123456789"))
			require.NoError(t, err)
		}
		b := make([]byte, 4)
		send()
		n, _, err := s.ReadFrom(b)
		require.NoError(t, err)
		require.Equal(t, "0123", string(b[:n]))
		send()
		n, _, flags, from, err := s.ReadMsgUDP(b, nil)
		require.NoError(t, err)
		require.Equal(t, 4, n)
		require.Equal(t, 0x20, flags, "MSG_TRUNC")
		require.Equal(t, c.LocalAddr().String(), from.String())
		send()
		_, _, flags, _, err = s.ReadMsgUDPAddrPort(make([]byte, 10), nil)
		require.NoError(t, err)
		require.Zero(t, flags)
		send()
		n, _, err = s.ReadFrom(nil) // takes the datagram away
		require.NoError(t, err)
		require.Zero(t, n)
		n, err = s.Read(nil) // returns without one
		require.NoError(t, err)
		require.Zero(t, n)
	})
}

func TestUDPErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{})
		s := listenUDP(t, l.b, "udp", addrB)
		c := dialUDP(t, l.a, addrPort(s))
		to := net.UDPAddrFromAddrPort(addrPort(s))

		_, err := c.WriteTo([]byte("x"), to)
		requireOpError(t, err, "write", net.ErrWriteToConnected)
		_, err = c.WriteToUDP([]byte("x"), to)
		requireOpError(t, err, "write", net.ErrWriteToConnected)
		_, err = c.WriteToUDPAddrPort([]byte("x"), addrPort(s))
		requireOpError(t, err, "write", net.ErrWriteToConnected)
		_, _, err = c.WriteMsgUDP([]byte("x"), nil, to)
		requireOpError(t, err, "write", net.ErrWriteToConnected)
		_, _, err = c.WriteMsgUDP([]byte("x"), nil, nil)
		require.NoError(t, err)
		_, _, err = c.WriteMsgUDP([]byte("x"), []byte{1}, nil)
		requireOpError(t, err, "write", syscall.EINVAL)

		_, err = s.Write([]byte("x"))
		requireOpError(t, err, "write", syscall.EDESTADDRREQ)
		_, err = s.WriteTo([]byte("x"), &net.TCPAddr{})
		requireOpError(t, err, "write", syscall.EINVAL)
		_, err = s.WriteToUDP([]byte("x"), nil)
		require.ErrorContains(t, err, "missing address")
		_, err = s.WriteToUDPAddrPort([]byte("x"), netip.AddrPort{})
		require.ErrorContains(t, err, "missing address")

		_, err = c.Write(make([]byte, 65536))
		requireOpError(t, err, "write", syscall.EMSGSIZE)

		// A connected socket hears that nobody listens, once.
		synctest.Wait() // what was sent before is there
		require.NoError(t, s.Close())
		_, err = c.Write([]byte("x"))
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 1))
		requireOpError(t, err, "read", syscall.ECONNREFUSED)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = c.Read(make([]byte, 1))
		requireTimeout(t, err)

		_, err = s.Read(make([]byte, 1))
		requireOpError(t, err, "read", net.ErrClosed)
		_, err = s.Read(nil)
		requireOpError(t, err, "read", net.ErrClosed)
		_, err = s.Write(nil)
		requireOpError(t, err, "write", net.ErrClosed)
		_, err = s.WriteTo(nil, to)
		requireOpError(t, err, "write", net.ErrClosed)
		requireOpError(t, s.Close(), "close", net.ErrClosed)
		requireOpError(t, s.SetDeadline(time.Time{}), "set", net.ErrClosed)
		requireOpError(t, s.SetReadBuffer(1), "set", net.ErrClosed)
	})
}

// TestOpenUDPRefuses: what no socket can be opened for is an error.
func TestOpenUDPRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{})
		at := func(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, 9) }
		for _, c := range []struct {
			o    conn.UDPOptions
			want error
		}{
			{conn.UDPOptions{}, net.UnknownNetworkError("")},
			{conn.UDPOptions{Network: "tcp"}, net.UnknownNetworkError("tcp")},
			{conn.UDPOptions{Network: "udp4", Local: at(addrA6)}, errno.AFNoSupport},
			{conn.UDPOptions{Network: "udp6", Local: at(addrA)}, errno.AFNoSupport},
			{conn.UDPOptions{Network: "udp4", Remote: at(addrB6)}, errno.AFNoSupport},
			{conn.UDPOptions{Network: "udp6", Remote: at(addrB)}, errno.AFNoSupport},
			{conn.UDPOptions{Network: "udp", Local: at(addrA), Remote: at(addrB6)}, errno.AFNoSupport},
			{conn.UDPOptions{Network: "udp", Local: at(addrB)}, errno.AddrNotAvail},
		} {
			_, err := conn.OpenUDP(l.a, c.o)
			require.Equal(t, c.want, err, "%+v", c.o)
		}
		require.Zero(t, l.a.Stats().UDPSockets)
		for _, o := range []conn.UDPOptions{
			{Network: "udp6", Local: at(netip.IPv4Unspecified())},
			{Network: "udp4", Local: at(netip.IPv6Unspecified())},
		} {
			c, err := conn.OpenUDP(l.a, o)
			require.NoError(t, err, "%+v", o)
			require.NoError(t, c.Close())
		}
	})
}

// TestUDPBadAddresses: what is wrong with a destination is said as package net and
// Linux do, in their order.
func TestUDPBadAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{})
		any := listenUDP(t, l.b, "udp", netip.Addr{})
		s4, s6 := listenUDP(t, l.b, "udp4", netip.Addr{}), listenUDP(t, l.b, "udp6", netip.Addr{})
		c := dialUDP(t, l.a, addrPort(s4))
		const port = 9
		short, lo6 := net.IP{1, 2, 3}, net.IPv6loopback
		for _, x := range []struct {
			s    *conn.UDP
			to   net.UDPAddr
			want string
		}{
			{any, net.UDPAddr{IP: short, Port: port}, "address ?010203: non-IPv6 address"},
			{s6, net.UDPAddr{IP: short, Port: port}, "address ?010203: non-IPv6 address"},
			{s4, net.UDPAddr{IP: short, Port: port}, "address ?010203: non-IPv4 address"},
			{s4, net.UDPAddr{IP: lo6, Port: port}, "address ::1: non-IPv4 address"},
			{s6, net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}, "sendto: network is unreachable"},
			{any, net.UDPAddr{IP: lo6, Port: 65536}, "sendto: invalid argument"},
			{s4, net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: -1}, "sendto: invalid argument"},
			{s4, net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, "sendto: invalid argument"},
			{c, net.UDPAddr{IP: short, Port: port}, net.ErrWriteToConnected.Error()},
		} {
			_, err := x.s.WriteToUDP([]byte("x"), &x.to)
			require.Error(t, err)
			require.Equal(t, x.want, err.(*net.OpError).Err.Error(), "%v", x.to)
		}
		_, _, err := c.WriteMsgUDP([]byte("x"), nil, &net.UDPAddr{IP: short})
		require.ErrorIs(t, err, net.ErrWriteToConnected)

		// The unspecified address is this host, IPv6's where that is spoken.
		b := make([]byte, 9)
		for _, s := range []*conn.UDP{any, s6, s4} {
			want := lo6
			if s == s4 {
				want = net.IPv4(127, 0, 0, 1)
			}
			for _, ip := range []net.IP{nil, net.IPv4zero, net.IPv4zero.To4()} {
				_, err := s.WriteToUDP([]byte("x"), &net.UDPAddr{IP: ip, Port: s.LocalAddr().(*net.UDPAddr).Port})
				require.NoError(t, err)
				_, from, err := s.ReadFromUDP(b)
				require.NoError(t, err)
				require.True(t, want.Equal(from.IP), "%v", from)
			}
		}

		// A deadline is older than what is wrong with the call.
		require.NoError(t, s4.SetWriteDeadline(time.Now()))
		_, err = s4.Write([]byte("x"))
		requireTimeout(t, err)
		_, err = s4.WriteBatch(messages(1, 1), 0)
		requireTimeout(t, err)
		_, err = s4.WriteTo([]byte("x"), nil)
		requireOpError(t, err, "write", syscall.EINVAL)
	})
}

// TestUDPBlockedWrite: a Write that finds the queue full waits, until there is
// room, its deadline has passed, or Close.
func TestUDPBlockedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y, err := phy.Pipe(phy.PipeConfig{Queue: 8})
		require.NoError(t, err)
		st := newStack(t, x, []netip.Addr{addrA})
		defer y.Close()
		c := listenUDP(t, st, "udp4", netip.Addr{})
		require.NoError(t, c.SetWriteBuffer(8000))
		all := &net.UDPAddr{IP: net.IPv4bcast, Port: 9}
		write := func() error {
			for {
				if _, err := c.WriteTo(make([]byte, 1000), all); err != nil {
					return err
				}
			}
		}
		blocked := func() chan error {
			done := make(chan error, 1)
			go func() { done <- write() }()
			synctest.Wait()
			require.Empty(t, done)
			return done
		}
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
		start := time.Now()
		requireTimeout(t, write())
		require.Equal(t, time.Second, time.Since(start))
		require.NoError(t, c.SetWriteDeadline(time.Time{}))

		done := blocked()
		for range 100 { // more than queue and device hold
			_, err := y.Receive()
			require.NoError(t, err)
			synctest.Wait()
		}
		require.Empty(t, done)
		require.NoError(t, c.SetWriteDeadline(time.Now()))
		requireTimeout(t, <-done)
		require.NoError(t, c.SetWriteDeadline(time.Time{}))

		done = blocked()
		require.NoError(t, c.Close())
		requireOpError(t, <-done, "write", net.ErrClosed)
		for frames := 0; frames < 2; { // what was written is sent, and then nothing is held
			synctest.Wait()
			if _, err := y.Receive(); err != nil {
				frames++
			}
		}
		require.Zero(t, st.Stats().Memory)
	})
}

// TestUDPErrorsAreOfTheirWrite: what is wrong with a destination is the error of
// the very Write to it, and costs no other datagram.
func TestUDPErrorsAreOfTheirWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{})
		peer := listenUDP(t, l.b, "udp", addrB)
		s := listenUDP(t, l.a, "udp", netip.Addr{})
		c := dialUDP(t, l.a, addrPort(peer))
		far := netip.MustParseAddrPort("203.0.113.1:9")
		b := make([]byte, 2000)
		for range 2 {
			_, err := s.WriteToUDPAddrPort([]byte("x"), far)
			requireOpError(t, err, "write", syscall.ENETUNREACH)
			_, err = s.WriteToUDPAddrPort(make([]byte, 1473), addrPort(peer))
			requireOpError(t, err, "write", syscall.EMSGSIZE)
			_, err = c.Write(make([]byte, 3000))
			requireOpError(t, err, "write", syscall.EMSGSIZE)
			for _, size := range []int{5, 1472} {
				_, err = s.WriteToUDPAddrPort(b[:size], addrPort(peer))
				require.NoError(t, err)
				_, err = c.Write(b[:size])
				require.NoError(t, err)
				for range 2 {
					n, err := peer.Read(b)
					require.NoError(t, err)
					require.Equal(t, size, n)
				}
			}
		}
		// The socket hears of new routes, and of their end.
		require.NoError(t, l.a.AddRoute(route.Route{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Gateway: addrB}))
		_, err := s.WriteToUDPAddrPort([]byte("x"), far)
		require.NoError(t, err)
		require.NoError(t, l.a.RemoveRoute(netip.MustParsePrefix("203.0.113.0/24")))
		_, err = s.WriteToUDPAddrPort([]byte("x"), far)
		requireOpError(t, err, "write", syscall.ENETUNREACH)
	})
}

// TestPingErrorsAreOfTheirWrite is the same for echo requests.
func TestPingErrorsAreOfTheirWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{})
		p, err := conn.OpenPing(l.a, "ping", addrA, netip.Addr{})
		require.NoError(t, err)
		requireOpError(t, p.WriteEcho(nil, netip.MustParseAddr("203.0.113.1"), 1), "write", syscall.ENETUNREACH)
		requireOpError(t, p.WriteEcho(make([]byte, 1473), addrB, 2), "write", syscall.EMSGSIZE)
		require.NoError(t, p.WriteEcho(make([]byte, 1472), addrB, 3))
		n, _, seq, err := p.ReadEcho(make([]byte, 2000))
		require.NoError(t, err)
		require.Equal(t, 1472, n)
		require.EqualValues(t, 3, seq)
	})
}

// TestUDPNoAllocations: a datagram to a known destination costs no memory, however
// it is written and read, as long as nobody wants a net.Addr of its own.
func TestUDPNoAllocations(t *testing.T) {
	for _, at := range []netip.Addr{addrB, addrB6} {
		for _, both := range []bool{false, true} {
			t.Run(fmt.Sprint(at, both), func(t *testing.T) {
				l := connect(t, phy.PipeConfig{})
				bind := at
				if both {
					bind = netip.Addr{}
				}
				peer := listenUDP(t, l.b, "udp", bind)
				s := listenUDP(t, l.a, "udp", netip.Addr{})
				to := netip.AddrPortFrom(at, addrPort(peer).Port())
				addr := net.UDPAddrFromAddrPort(to)
				c := dialUDP(t, l.a, to)
				b, got, oob := make([]byte, 100), make([]byte, 100), make([]byte, 24)
				require.NoError(t, peer.SetReceiveSegments(true))
				writes := []func() error{
					func() error { _, err := s.WriteToUDPAddrPort(b, to); return err },
					func() error { _, err := s.WriteTo(b, addr); return err },
					func() error { _, _, err := s.WriteMsgUDPAddrPort(b, nil, to); return err },
					func() error { _, _, err := s.WriteMsgUDP(b, nil, addr); return err },
					func() error { _, err := c.Write(b); return err },
					func() error { _, _, err := c.WriteMsgUDP(b, nil, nil); return err },
				}
				reads := []func() error{
					func() error { _, _, err := peer.ReadFromUDPAddrPort(got); return err },
					func() error { _, err := peer.Read(got); return err },
					func() error { _, _, _, _, err := peer.ReadMsgUDPAddrPort(got, oob); return err },
				}
				i := 0
				f := func() {
					for _, write := range writes {
						if err := write(); err != nil {
							t.Error(err)
						}
						if err := reads[i%len(reads)](); err != nil {
							t.Error(err)
						}
						i++
					}
				}
				f()
				f()
				if raceEnabled {
					return // sync.Pool forgets on purpose, so that buffers are made anew
				}
				require.Zero(t, testing.AllocsPerRun(200, f))
			})
		}
	}
}

func TestUDPCloseUnblocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{})
		s := listenUDP(t, l.a, "udp", netip.Addr{})
		errs := make(chan error, 2)
		for range cap(errs) {
			go func() {
				_, _, err := s.ReadFrom(make([]byte, 1))
				errs <- err
			}()
		}
		synctest.Wait()
		require.NoError(t, s.Close())
		for range cap(errs) {
			requireOpError(t, <-errs, "read", net.ErrClosed)
		}
	})
}

// TestUDPFlood: a writer who is faster than the link waits instead of losing
// what it wrote on its own side.
func TestUDPFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, phy.PipeConfig{Queue: 8})
		s := listenUDP(t, l.b, "udp", addrB)
		const count, size = 5000, 1000
		require.NoError(t, s.SetReadBuffer(count*size))
		c := dialUDP(t, l.a, addrPort(s))
		require.NoError(t, c.SetWriteBuffer(16*size))
		b := make([]byte, size)
		_, err := c.Write(nil) // asks for the neighbour, where little can wait
		require.NoError(t, err)
		_, _, err = s.ReadFrom(b)
		require.NoError(t, err)
		for range count {
			_, err := c.Write(b)
			require.NoError(t, err)
		}
		synctest.Wait()
		require.EqualValues(t, 1+count, l.a.Stats().UDPOut)
		for range count {
			n, err := s.Read(b)
			require.NoError(t, err)
			require.Equal(t, size, n)
		}
		require.NoError(t, s.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = s.Read(b)
		requireTimeout(t, err)
		require.Zero(t, l.a.Stats().Memory)
		require.Zero(t, l.b.Stats().Memory)
	})
}

func TestPing(t *testing.T) {
	for _, at := range []netip.Addr{addrB, addrB6} {
		t.Run(at.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := connect(t, phy.PipeConfig{})
				d := dialer.Dialer{Stack: l.a}
				c, err := d.DialPing(t.Context(), "ping", netip.Addr{}, at)
				require.NoError(t, err)
				b := make([]byte, 100)
				require.NoError(t, c.WriteEcho([]byte("hello"), netip.Addr{}, 42))
				n, from, seq, err := c.ReadEcho(b)
				require.NoError(t, err)
				require.Equal(t, "hello", string(b[:n]))
				require.Equal(t, at, from)
				require.EqualValues(t, 42, seq)

				for i := range 3 { // sequence numbers count up by themselves
					_, err = c.Write([]byte("again"))
					require.NoError(t, err)
					_, _, seq, err = c.ReadEcho(b)
					require.NoError(t, err)
					require.EqualValues(t, i, seq)
				}
				_, err = c.WriteTo([]byte("x"), &net.IPAddr{IP: at.AsSlice()})
				requireOpError(t, err, "write", net.ErrWriteToConnected)
				require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
				_, err = c.Read(b)
				requireTimeout(t, err)
				require.NoError(t, c.Close())
				_, err = c.Read(b)
				requireOpError(t, err, "read", net.ErrClosed)
				require.NotZero(t, c.ID())
			})
		})
	}
}
