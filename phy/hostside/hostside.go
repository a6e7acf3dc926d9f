// Package hostside configures the host's side of a TUN or TAP device, or of
// another interface: addresses, MTU, routes. On Linux it speaks netlink, which
// programs that leave this to others need not carry.
package hostside

import "net/netip"

// A Config is what the host's side of an interface, usually that of a TUN
// or TAP device, is to have. The zero value changes nothing.
type Config struct {
	// Addrs are the host's addresses, each with the length of the prefix that
	// is reached over the interface. IPv6 addresses are usable at once, as no
	// duplicate address detection is made for them. A TUN interface does not
	// get a link-local address that one could know: name one (fe80::100/64).
	Addrs []netip.Prefix
	// MTU in bytes; zero leaves it alone. IPv6 needs 1280.
	MTU int
	// Routes are what else is reached over the interface.
	Routes []Route
	// Up brings the interface up. It is implied by Routes, which need it.
	Up bool
}

// A Route is a route of the host over an interface.
type Route struct {
	Dst netip.Prefix // where to; 0.0.0.0/0 and ::/0 for everything
	Via netip.Addr   // the next hop; the zero Addr for a destination on the link
}
