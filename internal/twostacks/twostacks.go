// Package twostacks joins two stacks by a link in memory, for tests of what
// runs on top of them.
package twostacks

import (
	"net/netip"
	"testing"

	"smolnet/netstack"
	"smolnet/phy"
)

// The addresses of the two stacks: a first, b second.
var (
	A4 = netip.MustParsePrefix("192.168.69.1/24")
	A6 = netip.MustParsePrefix("fdaa::1/64")
	B4 = netip.MustParsePrefix("192.168.69.100/24")
	B6 = netip.MustParsePrefix("fdaa::100/64")
)

// New returns two stacks on one link with an MTU of 1500 bytes. They are closed
// when the test ends.
func New(t testing.TB, medium phy.Medium) (a, b *netstack.Stack) {
	t.Helper()
	x, y, err := phy.Pipe(phy.PipeConfig{Medium: medium, MTU: 1500})
	if err != nil {
		t.Fatal(err)
	}
	return start(t, x, A4, A6), start(t, y, B4, B6)
}

func start(t testing.TB, dev phy.Device, addrs ...netip.Prefix) *netstack.Stack {
	t.Helper()
	st, err := netstack.New(netstack.Config{Device: dev, Addrs: addrs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}
