// Package route is the route table and source address selection.
package route

import "net/netip"

// A Route says where packets to a prefix go.
type Route struct {
	Prefix    netip.Prefix
	Gateway   netip.Addr // invalid: on-link
	Interface int        // index from 1; zero: found from Gateway or left to the owner
	Metric    int
	MTU       int        // zero: the interface's
	Source    netip.Addr // preferred source; invalid: selected
}
