package netstack_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
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

// Bounds of the traffic that stacks are closed under.
const (
	closeRounds  = 5
	meetings     = 200
	echoPairs    = 16
	echoWindow   = 8 // datagrams under way between two sockets
	tooLong      = 10 * time.Second
	busyMessages = 200 // what happens before the stack is closed
)

// A commotion is everything that users do at once on two stacks, until the
// stacks end.
type commotion struct {
	t    *testing.T
	wg   sync.WaitGroup
	a, b *netstack.Stack
	n    atomic.Int64 // things done
	far  net.Addr     // where b echoes datagrams
}

// ended reports whether err is one that the end of either stack explains; the
// traffic ends there.
func (m *commotion) ended(err error) bool {
	if err == nil {
		m.n.Add(1)
		return false
	}
	return true
}

// echo sends back every datagram that arrives.
func (m *commotion) echo(u net.PacketConn) {
	buf := make([]byte, 2000)
	for {
		n, from, err := u.ReadFrom(buf)
		if m.ended(err) {
			return
		}
		if _, err := u.WriteTo(buf[:n], from); m.ended(err) {
			return
		}
	}
}

// send and receive are the two halves of one who asks.
func (m *commotion) send(u net.PacketConn) {
	buf := make([]byte, 1000)
	for {
		for range echoWindow {
			if _, err := u.WriteTo(buf, m.far); m.ended(err) {
				return
			}
		}
	}
}

func (m *commotion) receive(u net.PacketConn) {
	buf := make([]byte, 2000)
	for {
		if _, _, err := u.ReadFrom(buf); m.ended(err) {
			return
		}
	}
}

// accept takes connections, and closes those whose peers do.
func (m *commotion) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if m.ended(err) {
			return
		}
		m.wg.Go(func() {
			_, _ = c.Read(make([]byte, 100))
			_ = c.Close()
		})
	}
}

// dial makes one connection after the other. Ports run out, and connections
// are refused when the other stack ends first, so it asks the stack when to stop.
func (m *commotion) dial(st *netstack.Stack, address string) {
	d := dialer.Dialer{Stack: st}
	for {
		select {
		case <-st.Closing():
			return
		case <-m.b.Done():
			return
		default:
		}
		ctx, cancel := context.WithTimeout(m.t.Context(), time.Second)
		c, err := d.DialContext(ctx, "tcp", address)
		cancel()
		if err == nil {
			_, _ = c.Write([]byte("x"))
			_ = c.Close()
			m.n.Add(1)
		}
	}
}

// listen opens and closes listeners.
func (m *commotion) listen(st *netstack.Stack) {
	for {
		l, err := listener.Listen(st, "tcp", ":0")
		if m.ended(err) {
			return
		}
		_ = l.Close()
	}
}

// packetSocket opens a socket on st.
func (m *commotion) packetSocket(st *netstack.Stack, address string) net.PacketConn {
	u, err := listener.ListenPacket(st, "udp", address)
	require.NoError(m.t, err)
	return u
}

func (m *commotion) start() {
	m.far = net.UDPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.2:7"))
	u := m.packetSocket(m.b, "192.0.2.2:7")
	m.wg.Go(func() { m.echo(u) })
	for range 2 {
		u := m.packetSocket(m.a, ":0")
		m.wg.Go(func() { m.send(u) })
		m.wg.Go(func() { m.receive(u) })
	}
	for _, st := range []*netstack.Stack{m.a, m.b} {
		l, err := listener.Listen(st, "tcp", ":80")
		require.NoError(m.t, err)
		m.wg.Go(func() { m.accept(l) })
	}
	for range echoPairs { // on the loopback device, which has room when the other is full
		x, y := m.packetSocket(m.a, "127.0.0.1:0"), m.packetSocket(m.a, "127.0.0.1:0")
		for range echoWindow {
			_, err := x.WriteTo(make([]byte, 1000), y.LocalAddr())
			require.NoError(m.t, err)
		}
		m.wg.Go(func() { m.echo(x) })
		m.wg.Go(func() { m.echo(y) })
	}
	m.wg.Go(func() { m.dial(m.a, "192.0.2.2:80") })
	m.wg.Go(func() { m.dial(m.a, "127.0.0.1:80") })
	m.wg.Go(func() { m.listen(m.a) })
	m.wg.Go(func() { m.listen(m.b) })
}

// TestEndInCommotion ends stacks whose users are at work in every place. The
// race detector looks on; that all users come back is what is asserted.
func TestEndInCommotion(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(context.Context, *netstack.Stack) error
	}{
		{"Close", func(_ context.Context, st *netstack.Stack) error { return st.Close() }},
		{"Shutdown", func(ctx context.Context, st *netstack.Stack) error { return st.Shutdown(ctx) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range closeRounds {
				a, b := pair(t, phy.PipeConfig{})
				m := &commotion{t: t, a: a, b: b}
				m.start()
				require.Eventually(t, func() bool { return m.n.Load() >= busyMessages }, tooLong, time.Millisecond)
				ctx, cancel := context.WithTimeout(t.Context(), tooLong)
				require.NoError(t, c.end(ctx, a))
				_ = c.end(ctx, b) // its cable is dead
				cancel()
				back := make(chan struct{})
				go func() { m.wg.Wait(); close(back) }()
				select {
				case <-back:
				case <-time.After(tooLong):
					t.Fatal("users of a stack that has ended are still waiting")
				}
			}
		})
	}
}

// TestListenDuringShutdown: a listener that comes to be while Shutdown looks for
// listeners does not outlive the call that made it.
func TestListenDuringShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, phy.PipeConfig{})
		_, s := connection(t, a, b) // keeps Shutdown waiting
		release, listening, down := make(chan struct{}), make(chan error), make(chan error)
		go func() { _ = a.Do(func(*core.Core) { <-release }) }()
		synctest.Wait()
		go func() { _, err := listener.Listen(a, "tcp", ":80"); listening <- err }()
		synctest.Wait()
		go func() { down <- a.Shutdown(t.Context()) }()
		synctest.Wait()
		close(release)
		require.ErrorIs(t, <-listening, net.ErrClosed)
		d := dialer.Dialer{Stack: b}
		_, err := d.Dial("tcp", "192.0.2.1:80")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.NoError(t, s.Close())
		require.NoError(t, <-down)
	})
}

// TestShutdownMeets has Shutdown meet listeners and connections at the moment
// in which they come to be.
func TestShutdownMeets(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*netstack.Stack) error
	}{
		{"Listen", func(st *netstack.Stack) error {
			_, err := listener.Listen(st, "tcp", ":80")
			return err
		}},
		{"Dial", func(st *netstack.Stack) error {
			d := dialer.Dialer{Stack: st}
			_, err := d.Dial("tcp", "192.0.2.2:80")
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i := range meetings {
				a, b := pair(t, phy.PipeConfig{})
				l, err := listener.Listen(b, "tcp", ":80")
				require.NoError(t, err)
				go func() {
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						go func() { _, _ = c.Read(make([]byte, 1)); _ = c.Close() }()
					}
				}()
				met := make(chan error)
				go func() { met <- c.do(a) }()
				<-time.After(time.Duration(i) * time.Microsecond) // each time a bit later
				ctx, cancel := context.WithTimeout(t.Context(), tooLong)
				require.NoError(t, a.Shutdown(ctx))
				cancel()
				if err := <-met; err != nil {
					require.ErrorIs(t, err, net.ErrClosed)
				}
				require.NoError(t, b.Close())
			}
		})
	}
}

// TestCloseResetsAll: every connection is reset, however many there are.
func TestCloseResetsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const conns = 600 // more than are sent in one turn
		a, b := pair(t, phy.PipeConfig{Queue: 2 * conns})
		l, err := listener.Listen(b, "tcp", ":80")
		require.NoError(t, err)
		d := dialer.Dialer{Stack: a}
		var peers []net.Conn
		for range conns {
			_, err := d.Dial("tcp", "192.0.2.2:80")
			require.NoError(t, err)
			s, err := l.Accept()
			require.NoError(t, err)
			peers = append(peers, s)
		}
		resets := b.Stats().TCPResetsIn
		require.NoError(t, a.Close())
		for _, s := range peers {
			_, err := s.Read(make([]byte, 1))
			if !errors.Is(err, net.ErrClosed) { // b ended with its cable, if it has read everything
				require.ErrorIs(t, err, syscall.ECONNRESET)
			}
		}
		require.EqualValues(t, conns, b.Stats().TCPResetsIn-resets)
	})
}
