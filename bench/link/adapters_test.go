package link

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"smolnet/dialer"
	"smolnet/listener"
	"smolnet/netstack"
	"smolnet/phy"
	"smolnet/phy/phytest"
)

// window is how many packets the conformance tests have under way.
const window = 64

func TestDevice(t *testing.T) {
	for name, cfg := range map[string]Config{
		"at once": {},
		"slow":    {Delay: 200 * us, Rate: 1e9},
	} {
		t.Run(name, func(t *testing.T) {
			phytest.Suite{Window: window, Frames: 2000, Open: func(t *testing.T) (a, b phy.Device) {
				l := newLink(t, cfg, cfg)
				return NewDevice(l.A()), NewDevice(l.B())
			}}.Run(t)
		})
	}
}

// TestDeviceOverrun: what the owner does not come for has a bound.
func TestDeviceOverrun(t *testing.T) {
	l := newLink(t, Config{}, Config{})
	d := NewDevice(l.B())
	for i := range maxInbox + 10 {
		d.arrive([]byte{byte(i), byte(i >> 8)})
	}
	require.Equal(t, uint64(10), d.Overrun())
	f, err := d.Receive()
	require.NoError(t, err)
	require.Equal(t, []byte{0, 0}, f.Data)
}

// TestBridge: a device behind a bridge is as good as the end itself.
func TestBridge(t *testing.T) {
	phytest.Suite{Window: window, Frames: 2000, Open: func(t *testing.T) (a, b phy.Device) {
		l := newLink(t, Config{}, Config{})
		near, far, err := phy.Pipe(phy.PipeConfig{Medium: phy.MediumIP})
		require.NoError(t, err)
		bridge := NewBridge(l.B(), near)
		t.Cleanup(func() {
			require.NoError(t, bridge.Close())
			require.Zero(t, bridge.Overrun())
		})
		return NewDevice(l.A()), far
	}}.Run(t)
}

var (
	addrA = netip.MustParsePrefix("192.0.2.1/24")
	addrB = netip.MustParsePrefix("192.0.2.2/24")
)

// smol puts a stack of this module at an end.
func smol(t *testing.T, e *End, p netip.Prefix) *netstack.Stack {
	st, err := netstack.New(netstack.Config{Device: NewDevice(e), Addrs: []netip.Prefix{p}})
	require.NoError(t, err)
	t.Cleanup(func() { st.Close() })
	return st
}

// gvisor puts a stack of gVisor's at an end.
func gvisor(t *testing.T, e *End, p netip.Prefix) *stack.Stack {
	st := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	t.Cleanup(st.Destroy)
	require.Nil(t, st.CreateNIC(1, NewEndpoint(e)))
	require.Nil(t, st.AddProtocolAddress(1, tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(p.Addr().As4()), PrefixLen: p.Bits()},
	}, stack.AddressProperties{}))
	st.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}})
	return st
}

// TestStacks moves a little over a link that loses some, from smolnet to gVisor
// and back.
func TestStacks(t *testing.T) {
	cfg := Config{Delay: ms, Rate: 100e6, Loss: 0.01, Seed: 1}
	l := newLink(t, cfg, cfg)
	a, b := smol(t, l.A(), addrA), gvisor(t, l.B(), addrB)

	there, err := gonet.ListenTCP(b, tcpip.FullAddress{Port: 80}, ipv4.ProtocolNumber)
	require.NoError(t, err)
	d := dialer.Dialer{Stack: a}
	c, err := d.Dial("tcp4", netip.AddrPortFrom(addrB.Addr(), 80).String())
	require.NoError(t, err)
	transfer(t, c, there)

	back, err := listener.Listen(a, "tcp4", ":80")
	require.NoError(t, err)
	c, err = gonet.DialContextTCP(context.Background(), b,
		tcpip.FullAddress{Addr: tcpip.AddrFrom4(addrA.Addr().As4()), Port: 80}, ipv4.ProtocolNumber)
	require.NoError(t, err)
	transfer(t, c, back)

	s, _ := l.Stats()
	require.Positive(t, s.Delivered)
}

// transfer sends to whoever is accepted by l.
func transfer(t *testing.T, c net.Conn, l net.Listener) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	go func() {
		_, err := c.Write(data)
		if err == nil {
			err = c.Close()
		}
		if err != nil {
			t.Error(err)
		}
	}()
	peer, err := l.Accept()
	require.NoError(t, err)
	got, err := io.ReadAll(peer)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
	require.NoError(t, peer.Close())
	require.NoError(t, l.Close())
}
