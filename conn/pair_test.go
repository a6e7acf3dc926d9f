package conn_test

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/conn"
	"smolnet/dialer"
	"smolnet/listener"
	"smolnet/netstack"
	"smolnet/phy"
)

// The addresses of the two stacks of a pair.
var (
	addrA  = netip.MustParseAddr("192.0.2.1")
	addrB  = netip.MustParseAddr("192.0.2.2")
	addrA6 = netip.MustParseAddr("fd00::1")
	addrB6 = netip.MustParseAddr("fd00::2")
)

// A cable is the end of a pipe that loses everything that arrives while it is
// cut.
type cable struct {
	phy.Device
	cut atomic.Bool
}

func (c *cable) Receive() (phy.Frame, error) {
	for {
		f, err := c.Device.Receive()
		if err != nil || !c.cut.Load() {
			return f, err
		}
	}
}

// A link is two stacks and what is between them.
type link struct {
	a, b           *netstack.Stack
	cableA, cableB *cable
}

// cut separates the stacks; nobody is told.
func (l *link) cut(on bool) {
	l.cableA.cut.Store(on)
	l.cableB.cut.Store(on)
}

// connect makes two stacks with addresses of both families on a pipe. They are
// closed at the end of the test, which inside synctest proves that they leave
// no goroutine.
func connect(t testing.TB, cfg phy.PipeConfig, change ...func(*netstack.Config)) *link {
	t.Helper()
	x, y, err := phy.Pipe(cfg)
	require.NoError(t, err)
	l := &link{cableA: &cable{Device: x}, cableB: &cable{Device: y}}
	l.a = newStack(t, l.cableA, []netip.Addr{addrA, addrA6}, change...)
	l.b = newStack(t, l.cableB, []netip.Addr{addrB, addrB6}, change...)
	return l
}

func newStack(t testing.TB, dev phy.Device, addrs []netip.Addr, change ...func(*netstack.Config)) *netstack.Stack {
	t.Helper()
	cfg := netstack.Config{Device: dev}
	for _, a := range addrs {
		bits := 24
		if a.Is6() {
			bits = 64
		}
		cfg.Addrs = append(cfg.Addrs, netip.PrefixFrom(a, bits))
	}
	for _, f := range change {
		f(&cfg)
	}
	st, err := netstack.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

// smallBuffers makes connections of which a few kilobytes fill the buffers.
func smallBuffers(cfg *netstack.Config) {
	cfg.TCP.RecvBuffer, cfg.TCP.SendBuffer = 8<<10, 8<<10
}

// dialled returns both ends of a new connection from a to b.
func dialled(t testing.TB, from, to *netstack.Stack, at netip.Addr) (client, server *conn.TCP) {
	t.Helper()
	l := listenTCP(t, to, at)
	defer l.Close()
	client = dial(t, from, l.Addr().(*net.TCPAddr).AddrPort())
	server, err := l.AcceptTCP()
	require.NoError(t, err)
	return client, server
}

// listenTCP listens on a port of the stack's choice, at addrB or at.
func listenTCP(t testing.TB, st *netstack.Stack, at ...netip.Addr) *listener.TCP {
	t.Helper()
	cfg := listener.Config{Stack: st}
	l, err := cfg.ListenTCP("tcp", netip.AddrPortFrom(append(at, addrB)[0], 0))
	require.NoError(t, err)
	return l
}

func dial(t testing.TB, st *netstack.Stack, to netip.AddrPort) *conn.TCP {
	t.Helper()
	d := dialer.Dialer{Stack: st}
	c, err := d.DialTCP(context.Background(), "tcp", netip.AddrPort{}, to)
	require.NoError(t, err)
	return c
}

// established is connect and dialled at once.
func established(t testing.TB, change ...func(*netstack.Config)) (client, server *conn.TCP, l *link) {
	t.Helper()
	l = connect(t, phy.PipeConfig{}, change...)
	client, server = dialled(t, l.a, l.b, addrB)
	return client, server, l
}
