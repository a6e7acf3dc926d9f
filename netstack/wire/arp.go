package wire

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// ARPLen is the length of an ARP packet for IPv4 over Ethernet, bytes.
const ARPLen = 28

// An ARPOp is what an ARP packet wants. Others than the two named exist
// (RARP, inverse ARP) and are of no interest.
type ARPOp uint16

// The operations, RFC 826.
const (
	ARPRequest ARPOp = 1
	ARPReply   ARPOp = 2
)

// String returns "request", "reply" or the number.
func (op ARPOp) String() string {
	switch op {
	case ARPRequest:
		return "request"
	case ARPReply:
		return "reply"
	}
	return "op " + strconv.Itoa(int(op))
}

// An ARP is an ARP packet for IPv4 over Ethernet, RFC 826.
type ARP struct {
	Op       ARPOp
	SenderHW HardwareAddr
	SenderIP netip.Addr
	TargetHW HardwareAddr
	TargetIP netip.Addr
}

// arpEthernetIPv4 is how every packet of interest starts: hardware type 1,
// protocol type 0x0800, address lengths 6 and 4.
const arpEthernetIPv4 = 0x0001_0800_06_04

// ParseARP reads the packet at the start of b; what follows is link padding.
// Any operation is taken. The error is DropTruncated, or DropBadHeader for
// another hardware or protocol.
func ParseARP(b []byte) (h ARP, err error) {
	if len(b) < ARPLen {
		return h, DropTruncated
	}
	if binary.BigEndian.Uint64(b[0:8])>>16 != arpEthernetIPv4 {
		return h, DropBadHeader
	}
	h.Op = ARPOp(binary.BigEndian.Uint16(b[6:8]))
	h.SenderHW = HardwareAddr(b[8:14])
	h.SenderIP = netip.AddrFrom4([4]byte(b[14:18]))
	h.TargetHW = HardwareAddr(b[18:24])
	h.TargetIP = netip.AddrFrom4([4]byte(b[24:28]))
	return h, nil
}

// Put writes h to b[:ARPLen]. The zero Addr is written as 0.0.0.0, as a
// sender has it in a probe (RFC 5227 2.1.1).
func (h *ARP) Put(b []byte) {
	_ = b[ARPLen-1]
	binary.BigEndian.PutUint64(b[0:8], arpEthernetIPv4<<16|uint64(h.Op))
	*(*HardwareAddr)(b[8:14]) = h.SenderHW
	binary.BigEndian.PutUint32(b[14:18], as4(h.SenderIP))
	*(*HardwareAddr)(b[18:24]) = h.TargetHW
	binary.BigEndian.PutUint32(b[24:28], as4(h.TargetIP))
}
