package wire

import (
	"encoding/binary"
	"strconv"
)

// An EtherType names what an Ethernet frame carries. Values under 0x0600 are
// no types but IEEE 802.3 lengths, of frames that nobody here understands.
type EtherType uint16

// The EtherTypes that a stack speaks.
const (
	EtherTypeIPv4 EtherType = 0x0800
	EtherTypeARP  EtherType = 0x0806
	EtherTypeIPv6 EtherType = 0x86dd
)

// String returns the protocol's name, or the number in hex.
func (t EtherType) String() string {
	switch t {
	case EtherTypeIPv4:
		return "IPv4"
	case EtherTypeARP:
		return "ARP"
	case EtherTypeIPv6:
		return "IPv6"
	}
	return "0x" + strconv.FormatUint(uint64(t), 16)
}

// EthernetLen is the length of an Ethernet II header, bytes.
const EthernetLen = 14

// An Ethernet is an Ethernet II header (RFC 894, RFC 2464).
type Ethernet struct {
	Dst  HardwareAddr
	Src  HardwareAddr
	Type EtherType
}

// ParseEthernet reads the header at the start of b and returns it with the
// payload, which aliases b and may end in link padding. Whether the addresses
// and the type are of interest is the caller's question. The error is
// DropTruncated.
func ParseEthernet(b []byte) (h Ethernet, payload []byte, err error) {
	if len(b) < EthernetLen {
		return h, nil, DropTruncated
	}
	h.Dst = HardwareAddr(b[0:6])
	h.Src = HardwareAddr(b[6:12])
	h.Type = EtherType(binary.BigEndian.Uint16(b[12:14]))
	return h, b[EthernetLen:], nil
}

// Put writes h to b[:EthernetLen].
func (h *Ethernet) Put(b []byte) {
	_ = b[EthernetLen-1]
	*(*HardwareAddr)(b[0:6]) = h.Dst
	*(*HardwareAddr)(b[6:12]) = h.Src
	binary.BigEndian.PutUint16(b[12:14], uint16(h.Type))
}
