package wire

import (
	"encoding/binary"
	"net/netip"
)

// A HardwareAddr is a 48-bit link address. The zero HardwareAddr is no
// address of anybody.
type HardwareAddr [6]byte

// Broadcast is the link address of everybody on an Ethernet.
var Broadcast = HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

const hexDigits = "0123456789abcdef"

// AppendTo appends the text form of a to b.
func (a HardwareAddr) AppendTo(b []byte) []byte {
	for i, x := range a {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hexDigits[x>>4], hexDigits[x&15])
	}
	return b
}

// String returns a in the form "02:00:5e:10:00:01".
func (a HardwareAddr) String() string {
	var b [17]byte
	return string(a.AppendTo(b[:0]))
}

// IsMulticast reports whether a has the group bit, as broadcast does too.
func (a HardwareAddr) IsMulticast() bool { return a[0]&1 != 0 }

// IsUnicast reports whether a can be one station's address: neither a group
// nor zero.
func (a HardwareAddr) IsUnicast() bool { return a[0]&1 == 0 && a != HardwareAddr{} }

// MulticastHardwareAddr returns the link address that a multicast group maps
// to: 01:00:5e and the low 23 bits for IPv4 (RFC 1112 6.4), 33:33 and the low
// 32 bits for IPv6 (RFC 2464 7). The zero Addr gives the zero HardwareAddr.
func MulticastHardwareAddr(group netip.Addr) HardwareAddr {
	switch {
	case group.Is4():
		g := group.As4()
		return HardwareAddr{0x01, 0x00, 0x5e, g[1] & 0x7f, g[2], g[3]}
	case group.Is6():
		g := group.As16()
		return HardwareAddr{0x33, 0x33, g[12], g[13], g[14], g[15]}
	}
	return HardwareAddr{}
}

// SolicitedNode returns the solicited-node multicast address of an IPv6
// address, ff02::1:ffXX:XXXX (RFC 4291 2.7.1), without a zone. The address
// must be IPv6; any other gives the zero Addr.
func SolicitedNode(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return netip.Addr{}
	}
	b := a.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 0x01, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}

// LinkLocal returns the link-local address that belongs to a link address:
// fe80::/64 and the modified EUI-64 (RFC 4291 appendix A, RFC 2464 5).
func LinkLocal(a HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{
		0: 0xfe, 1: 0x80,
		8: a[0] ^ 0x02, 9: a[1], 10: a[2], 11: 0xff, 12: 0xfe, 13: a[3], 14: a[4], 15: a[5],
	})
}

// as4 returns the number that an IPv4 address is, zero for the zero Addr.
func as4(a netip.Addr) uint32 {
	if !a.IsValid() {
		return 0
	}
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}
