package wire_test

import (
	"fmt"
	"net/netip"

	"smolnet/netstack/wire"
)

// A datagram is written from its headers, and read back.
func Example() {
	src, dst := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	payload := "hello"
	b := make([]byte, wire.IPv4Len+wire.UDPLen+len(payload))

	ip := wire.IPv4{TotalLen: uint16(len(b)), TTL: 64, Protocol: wire.ProtoUDP, Src: src, Dst: dst}
	ip.Put(b)
	seg := b[wire.IPv4Len:]
	udp := wire.UDP{SrcPort: 5353, DstPort: 53, Len: uint16(len(seg))}
	udp.Put(seg)
	copy(seg[wire.UDPLen:], payload)
	wire.SetChecksum(src, dst, wire.ProtoUDP, seg, wire.UDPChecksumOffset)

	ip, seg, err := wire.ParseIPv4(b)
	if err != nil {
		fmt.Println(err)
		return
	}
	if !wire.VerifyChecksum(ip.Src, ip.Dst, ip.Protocol, seg) {
		fmt.Println(wire.DropBadChecksum)
		return
	}
	udp, data, err := wire.ParseUDP(seg)
	fmt.Println(udp.SrcPort, udp.DstPort, string(data), err)
	fmt.Println(string(wire.Dump(nil, b, false)))
	// Output:
	// 5353 53 hello <nil>
	// IPv4 192.0.2.1 > 192.0.2.2 ttl 64  UDP 5353 > 53 len 5
}
