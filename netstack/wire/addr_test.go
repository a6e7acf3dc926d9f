package wire

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHardwareAddr(t *testing.T) {
	tests := []struct {
		a                  HardwareAddr
		s                  string
		multicast, unicast bool
	}{
		{HardwareAddr{}, "00:00:00:00:00:00", false, false},
		{Broadcast, "ff:ff:ff:ff:ff:ff", true, false},
		{HardwareAddr{0x02, 0x1a, 0xbc, 0, 0xef, 9}, "02:1a:bc:00:ef:09", false, true},
		{HardwareAddr{0x01, 0, 0x5e, 0, 0, 0xfb}, "01:00:5e:00:00:fb", true, false},
		{HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, "33:33:00:00:00:01", true, false},
	}
	for _, tt := range tests {
		require.Equal(t, tt.s, tt.a.String())
		require.Equal(t, tt.multicast, tt.a.IsMulticast(), tt.s)
		require.Equal(t, tt.unicast, tt.a.IsUnicast(), tt.s)
	}
}

func TestMulticastHardwareAddr(t *testing.T) {
	tests := []struct {
		group netip.Addr
		want  string
	}{
		{addr("224.0.0.251"), "01:00:5e:00:00:fb"},
		{addr("239.255.255.250"), "01:00:5e:7f:ff:fa"}, // the 24th bit is not taken
		{addr("224.129.2.3"), "01:00:5e:01:02:03"},
		{addr("ff02::1"), "33:33:00:00:00:01"},
		{addr("ff02::1:ff12:3456"), "33:33:ff:12:34:56"},
		{netip.Addr{}, "00:00:00:00:00:00"},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, MulticastHardwareAddr(tt.group).String(), "%v", tt.group)
	}
}

func TestSolicitedNode(t *testing.T) {
	// The example of RFC 4291 2.7.1.
	require.Equal(t, addr("ff02::1:ff0e:8c6c"), SolicitedNode(addr("4037::01:800:200e:8c6c")))
	require.Equal(t, addr("ff02::1:ff00:2"), SolicitedNode(addr("fe80::2%eth0")))
	require.Equal(t, netip.Addr{}, SolicitedNode(addr("192.0.2.1")))
	require.Equal(t, netip.Addr{}, SolicitedNode(netip.Addr{}))
}

func TestLinkLocal(t *testing.T) {
	// The example of RFC 2464 4: 34-56-78-9A-BC-DE has the identifier
	// 36-56-78-FF-FE-9A-BC-DE.
	a := HardwareAddr{0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde}
	require.Equal(t, addr("fe80::3656:78ff:fe9a:bcde"), LinkLocal(a))
	require.Equal(t, addr("fe80::ff:fe00:1"), LinkLocal(hw1))
}
