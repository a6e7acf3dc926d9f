package core

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/route"
	"smolnet/phy"
)

// dialed returns an interface without link addresses, and connections from it that
// have each sent a SYN.
func dialed(t *testing.T, n int) (*Interface, []*TCP) {
	c, err := New(Config{})
	require.NoError(t, err)
	ifc, err := c.AddInterface(1, InterfaceConfig{
		Name: "x", Capabilities: phy.Capabilities{Medium: phy.MediumIP, MTU: 1500},
		Addrs: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")},
	})
	require.NoError(t, err)
	var conns []*TCP
	for range n {
		s, err := c.DialTCP(1, DialOptions{Remote: netip.MustParseAddrPort("192.0.2.9:80")})
		require.NoError(t, err)
		conns = append(conns, s)
	}
	b := make([]byte, 1500)
	for range n {
		sent, _ := ifc.Send(1, b)
		require.Positive(t, sent)
	}
	return ifc, conns
}

// A socket that is asked and has nothing to say leaves the interface's headers to
// the one who spoke last, and its part of the turn to the next.
func TestNothingToSay(t *testing.T) {
	ifc, conns := dialed(t, 2)
	require.Same(t, conns[1], ifc.template.of)
	require.Positive(t, ifc.burst)
	conns[0].enqueue()
	n, _ := ifc.Send(1, make([]byte, 1500))
	require.Zero(t, n)
	require.Same(t, conns[1], ifc.template.of)
	require.Zero(t, ifc.burst)
}

// A path's MTU that was learned stays when routes change and the path does not.
func TestRerouteKeepsMTU(t *testing.T) {
	ifc, conns := dialed(t, 1)
	s := conns[0]
	s.conn.LimitMTU(1, 600, 0)
	require.NoError(t, ifc.core.AddRoute(route.Route{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Interface: ifc.index}))
	require.NotEqual(t, s.path.gen, ifc.core.gen)
	require.True(t, s.reroute(1))
	require.Equal(t, s.path.gen, ifc.core.gen)
	require.Equal(t, 600, s.conn.Info().PathMTU)
	require.Equal(t, 1480, s.conn.Info().PathMTULimit)
}
