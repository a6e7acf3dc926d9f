// Package packet is the bounded datagram ring between the poll loop and a user goroutine.
package packet

import (
	"net/netip"

	"smolnet/netstack/errno"
)

// Limits bound a ring; zero means default.
type Limits struct {
	Packets int
	Bytes   int
}

// Meta is what is known of a datagram besides its bytes.
type Meta struct {
	Remote    netip.AddrPort
	Local     netip.Addr
	HopLimit  uint8 // zero: default when sending
	TOS       uint8
	Err       errno.Errno // an error queued in place of a datagram
	Interface uint32
}
