package core

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/route"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

// Whatever order connections send in, and whatever changes between two segments
// of one, the headers are those that are written without a template.
func TestTemplate(t *testing.T) {
	for _, medium := range []phy.Medium{phy.MediumEthernet, phy.MediumIP} {
		for _, checksums := range []bool{false, true} {
			t.Run(fmt.Sprint(medium, checksums), func(t *testing.T) { checkTemplate(t, medium, checksums) })
		}
	}
}

func checkTemplate(t *testing.T, medium phy.Medium, checksums bool) {
	rng := rand.New(rand.NewPCG(1, 2))
	c, err := New(Config{HopLimit: 37})
	require.NoError(t, err)
	caps := phy.Capabilities{Medium: medium, MTU: 1500, TxChecksum: checksums}
	if medium == phy.MediumEthernet {
		caps.HardwareAddr = wire.HardwareAddr{2, 0, 0, 0, 0, 1}
	}
	ifc, err := c.AddInterface(1, InterfaceConfig{Name: "x", Capabilities: caps})
	require.NoError(t, err)
	var conns []*TCP
	for i := range 6 {
		ends := [2]string{"192.0.2.1:80", fmt.Sprintf("198.51.100.%d:9", i/2)}
		if i%2 == 1 {
			ends = [2]string{"[2001:db8::1]:80", fmt.Sprintf("[2001:db8::%d:2]:9", i/2)}
		}
		id := tcp.ID{Local: netip.MustParseAddrPort(ends[0]), Remote: netip.MustParseAddrPort(ends[1])}
		s := c.newTCP(id, nil, path{ifc: ifc})
		require.NotNil(t, s)
		conns = append(conns, s)
	}
	made := 0
	var hw wire.HardwareAddr
	for i := range 3000 {
		s := conns[rng.IntN(2)]
		switch rng.IntN(20) {
		case 0:
			s = conns[rng.IntN(len(conns))]
		case 1:
			s.SetTrafficClass(uint8(rng.Uint32()))
		case 2:
			hw[5] = byte(rng.Uint32())
		}
		if f := &ifc.template; f.of != s || f.hw != hw || f.class != s.class {
			made++
		}
		id := s.conn.ID()
		h := ipHeader{src: id.Local.Addr(), dst: id.Remote.Addr(), proto: wire.ProtoTCP, atomic: true, flow: s.flow, tos: s.class}
		ecn := []wire.ECN{wire.NotECT, wire.ECT0, wire.ECT0}[rng.IntN(3)]
		h.tos |= uint8(ecn)
		off := ifc.linkLen + ipLen(h.dst)
		n := wire.TCPLen + []int{0, rng.IntN(1400), rng.IntN(65535 - wire.IPv6Len - wire.TCPLen + 1)}[rng.IntN(3)]
		want := make([]byte, off+n)
		for i := range want {
			want[i] = byte(rng.Uint32())
		}
		got := append([]byte(nil), want...)
		got[off+wire.TCPChecksumOffset], got[off+wire.TCPChecksumOffset+1] = 0, 0

		before := c.stats
		c.putIP(want[ifc.linkLen:], &h, n)
		ifc.putLink(want, hw, etherType(want[ifc.linkLen:]))
		wantOff := ifc.putChecksum(want, off, len(want), &h, wire.TCPChecksumOffset)
		counted := c.stats
		c.stats = before

		f := ifc.templateOf(s, hw)
		require.Equal(t, off, f.n)
		f.put(ifc, got, n, ecn)
		seg := tcp.Segment{Len: n}
		if i%2 == 0 {
			seg.Sum = tcp.HasSum | uint32(wire.Sum(got[off:], 0))
		}
		require.Equal(t, wantOff, f.putChecksum(ifc, got[off:], &seg))
		require.Equal(t, counted, c.stats)
		if !bytes.Equal(want, got) { // the diff of all of it is long
			require.Equal(t, want[:off+wire.TCPLen], got[:off+wire.TCPLen])
			t.Fatal("the payload has changed")
		}
	}
	require.Less(t, made, 2500, "templates are used again")
	require.Greater(t, made, 150)
}

// A connection that is over is not held by the interface, nor one that has gone
// to another.
func TestTemplateForgets(t *testing.T) {
	c, err := New(Config{})
	require.NoError(t, err)
	var ifcs [2]*Interface
	for i := range ifcs {
		ifcs[i], err = c.AddInterface(1, InterfaceConfig{
			Name: "x", Capabilities: phy.Capabilities{Medium: phy.MediumIP, MTU: 1500},
			Addrs: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("192.0.%d.1/24", i))},
		})
		require.NoError(t, err)
	}
	b := make([]byte, 1500)
	syn := func() *TCP {
		s, err := c.DialTCP(1, DialOptions{Remote: netip.MustParseAddrPort("192.0.1.9:80")})
		require.NoError(t, err)
		n, _ := ifcs[1].Send(1, b)
		require.Positive(t, n)
		require.Same(t, s, ifcs[1].template.of)
		return s
	}
	s := syn()
	s.conn.Abort(1)
	s.collect(1)
	s.enqueue()
	n, _ := ifcs[1].Send(1, b)
	require.Zero(t, n)
	require.Nil(t, ifcs[1].template.of)

	s = syn()
	require.NoError(t, c.AddRoute(route.Route{Prefix: netip.MustParsePrefix("192.0.1.9/32"), Interface: 1}))
	s.enqueue()
	n, _ = ifcs[1].Send(1, b)
	require.Zero(t, n)
	require.Nil(t, ifcs[1].template.of)
}
