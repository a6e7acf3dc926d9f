package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDump(t *testing.T) {
	tests := []struct {
		name     string
		ethernet bool
		frame    string
		want     string
	}{
		{"SYN over Ethernet", true, `
			02000000000202000000000108004500003c0000000040066f06c0a84564c0a8
			4501a8ca00500000007b00000000a002faf097c20000020405b40402080a0000
			00010000000001030307
		`, "02:00:00:00:00:01 > 02:00:00:00:00:02  IPv4 192.168.69.100 > 192.168.69.1 ttl 64  TCP 43210 > 80 [SYN] seq 123 win 64240 <mss 1460,sackOK,ts 1 0,nop,wscale 7> len 0"},
		{"TCP data", false, `
			450200390000400040062f07c0a84564c0a84501a8ca00500000007c000003e7
			803801f6f0f200030101080a0000000200000009474554202f
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64 tos 0x2 DF  TCP 43210 > 80 [PSH,ACK,URG] seq 124 ack 999 win 502 urg 3 <nop,nop,ts 2 9> len 5"},
		{"TCP SACK, user timeout, unknown", false, `
			450000480000000040066efac0a84564c0a845010050a8ca000000050000007c
			d01001f52c620000010105120000000100000005000000090000000c1c048005
			fd04abcd01010000
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64  TCP 80 > 43210 [ACK] seq 5 ack 124 win 501 <nop,nop,sack 1-5 9-12,uto 5m,opt 253:2,nop,nop> len 0"},
		{"TCP fast open, bad MSS length", false, `
			450000340000000040066f0ec0a84564c0a845010050a8ca0000000500000000
			800201f579f90000220601020304220202030501
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64  TCP 80 > 43210 [SYN] seq 5 win 501 <tfo 01020304,tfo,opt 2:1,nop> len 0"},
		{"TCP bad checksum", false, `
			450000280000000040066f1ac0a84564c0a845010050a8ca0000000500000000
			500001f512340000
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64  TCP 80 > 43210 [none] bad-checksum seq 5 win 501 len 0"},
		{"TCP checksum left to the device", false, `
			450000280000000040066f1ac0a84564c0a845010050a8ca0000000500000000
			500401f50bd10000
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64  TCP 80 > 43210 [RST] seq 5 win 501 len 0"},
		{"TCP bad option", false, `
			4500002c0000000040066f16c0a84564c0a845010050a8ca0000000500000000
			600201f5e713000002000000
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64  TCP 80 > 43210 [SYN] malformed: bad-option"},
		{"TCP bad data offset", false, `
			450000280000000040066f1ac0a84564c0a845010050a8ca0000000500000000
			400201f500000000
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64  TCP 80 > 43210 [SYN] malformed: bad-length"},
		{"TCP truncated", false, `
			450000270000000040066f1bc0a84564c0a845010050a8ca0000000500000000
			500201f5000000
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64  TCP malformed: truncated"},
		{"UDP", false, `
			46000025000000004011da0dc0a84564c0a845019404000014e90035000d9b2d
			68656c6c6f
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64 options 4  UDP 5353 > 53 len 5"},
		{"UDP without checksum", false, `
			450000210000000040116f16c0a84564c0a8450114e90035000d000068656c6c
			6f
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64  UDP 5353 > 53 len 5"},
		{"UDP bad length", false, `
			450000200000000040116f17c0a84564c0a8450114e90035000d9b2d68656c6c
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64  UDP malformed: bad-length"},
		{"IPv4 fragment, first", false, `
			45000024beef200040119023c0a84564c0a8450114e90035000d9b2d68656c6c
			6f000000
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64 frag 0xbeef at 0+  UDP 5353 > 53"},
		{"IPv4 fragment, last", false, `
			45000021beef00b94011af6dc0a84564c0a8450114e90035000d9b2d68656c6c
			6f
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64 frag 0xbeef at 1480  UDP len 13"},
		{"IPv4 bad checksum", false, `
			450000210000000040110000c0a84564c0a8450114e90035000d9b2d68656c6c
			6f
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64 malformed: bad-checksum"},
		{"IPv4 bad option", false, `
			460000250000000040116712c0a84564c0a845010700000014e90035000d9b2d
			68656c6c6f
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64 options 4 malformed: bad-option"},
		{"IPv4 truncated", false, `
			450000210000000040116f16
		`, "IPv4 malformed: truncated"},
		{"unknown protocol", false, `
			450000210000000040846ea3c0a84564c0a8450114e90035000d9b2d68656c6c
			6f
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64  proto 132 len 13"},
		{"IGMP", false, `
			4500001c000000000102d3bdc0a84564e00000162200f90200000001
		`, "IPv4 192.168.69.100 > 224.0.0.22 ttl 1  IGMP len 8"},
		{"echo", false, `
			450000200000000040016f27c0a84564c0a84501080033300007000261626364
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64  ICMP echo id 7 seq 2 len 4"},
		{"echo reply, bad checksum", false, `
			450000200000000040016f27c0a84564c0a8450100003b300007000261626378
		`, "IPv4 192.168.69.100 > 192.168.69.1 ttl 64  ICMP bad-checksum echo reply id 7 seq 2 len 4"},
		{"port unreachable", false, `
			450000380000000040016f0fc0a84501c0a8456403034ca40000000045000021
			000000003f117016c0a84564c0a8450114e90035000d9b2d
		`, "IPv4 192.168.69.1 > 192.168.69.100 ttl 64  ICMP unreachable: port  (IPv4 192.168.69.100 > 192.168.69.1 ttl 63  UDP 5353 > 53)"},
		{"fragmentation needed", false, `
			450000380000000040016f0fc0a84501c0a8456403044ded0000057845000039
			000000000106ae09c0a84564c0a84501a8ca00500000007c
		`, "IPv4 192.168.69.1 > 192.168.69.100 ttl 64  ICMP unreachable: frag needed mtu 1400  (IPv4 192.168.69.100 > 192.168.69.1 ttl 1  TCP 43210 > 80 seq 124)"},
		{"time exceeded", false, `
			450000380000000040016f0fc0a84501c0a845640b004b690000000045000039
			000000000106ae09c0a84564c0a84501a8ca00500000007c
		`, "IPv4 192.168.69.1 > 192.168.69.100 ttl 64  ICMP time exceeded: in transit  (IPv4 192.168.69.100 > 192.168.69.1 ttl 1  TCP 43210 > 80 seq 124)"},
		{"parameter problem", false, `
			450000380000000040016f0fc0a84501c0a845640c002fa71400000045000021
			000000003f117016c0a84564c0a8450114e90035000d9b2d
		`, "IPv4 192.168.69.1 > 192.168.69.100 ttl 64  ICMP parameter problem: code 0 at 20  (IPv4 192.168.69.100 > 192.168.69.1 ttl 63  UDP 5353 > 53)"},
		{"redirect", false, `
			450000380000000040016f0fc0a84501c0a84564050144fbc0a8450245000021
			000000003f117016c0a84564c0a8450114e90035000d9b2d
		`, "IPv4 192.168.69.1 > 192.168.69.100 ttl 64  ICMP redirect: code 1 to 192.168.69.2  (IPv4 192.168.69.100 > 192.168.69.1 ttl 63  UDP 5353 > 53)"},
		{"unreachable, unknown code, empty quote", false, `
			4500001c0000000040016f2bc0a84501c0a84564030dfcf200000000
		`, "IPv4 192.168.69.1 > 192.168.69.100 ttl 64  ICMP unreachable: code 13  (IP malformed: truncated)"},
		{"short quote", false, `
			450000340000000040016f13c0a84501c0a845640301e7e00000000045000021
			000000003f117016c0a84564c0a8450114e90035
		`, "IPv4 192.168.69.1 > 192.168.69.100 ttl 64  ICMP unreachable: host  (IPv4 192.168.69.100 > 192.168.69.1 ttl 63  UDP malformed: truncated)"},
		{"error about an error about an error", false, `
			450000700000000040016ed7c0a84501c0a845640301fcfe0000000045000054
			0000000040016ef3c0a84564c0a845010301fcfe000000004500003800000000
			40016f0fc0a84564c0a8450103014ca60000000045000021000000003f117016
			c0a84564c0a8450114e90035000d9b2d
		`, "IPv4 192.168.69.1 > 192.168.69.100 ttl 64  ICMP unreachable: host  (IPv4 192.168.69.100 > 192.168.69.1 ttl 64  ICMP unreachable: host  (IPv4 192.168.69.100 > 192.168.69.1 ttl 64  ICMP unreachable: host  (...)))"},
		{"ICMP timestamp", false, `
			4500001c0000000040016f2bc0a84501c0a845640d00f2fe00000001
		`, "IPv4 192.168.69.1 > 192.168.69.100 ttl 64  ICMP type 13 code 0 len 0"},
		{"ICMP truncated", false, `
			450000170000000040016f30c0a84501c0a84564080000
		`, "IPv4 192.168.69.1 > 192.168.69.100 ttl 64  ICMP malformed: truncated"},
		{"UDP over IPv6", false, `
			6b812345000a114020010db800000000000000000000000120010db800000000
			00000000000000021b399c40000a84826869
		`, "IPv6 2001:db8::1 > 2001:db8::2 hlim 64 class 0xb8 flow 0x12345  UDP 6969 > 40000 len 2"},
		{"UDP over IPv6 without checksum", false, `
			60000000000a114020010db800000000000000000000000120010db800000000
			00000000000000021b399c40000a00006869
		`, "IPv6 2001:db8::1 > 2001:db8::2 hlim 64  UDP 6969 > 40000 bad-checksum len 2"},
		{"IPv6 echo", false, `
			60000000000c3a4020010db800000000000000000000000120010db800000000
			000000000000000280005f740007000261626364
		`, "IPv6 2001:db8::1 > 2001:db8::2 hlim 64  ICMPv6 echo id 7 seq 2 len 4"},
		{"IPv6 echo reply", false, `
			60000000000c3a4020010db800000000000000000000000120010db800000000
			000000000000000281005e740007000261626364
		`, "IPv6 2001:db8::1 > 2001:db8::2 hlim 64  ICMPv6 echo reply id 7 seq 2 len 4"},
		{"neighbour solicitation over Ethernet", true, `
			3333ff00000202000000000186dd6000000000203afffe800000000000000000
			000000000001ff0200000000000000000001ff00000287007a9700000000fe80
			00000000000000000000000000020101020000000001
		`, "02:00:00:00:00:01 > 33:33:ff:00:00:02  IPv6 fe80::1 > ff02::1:ff00:2 hlim 255  ICMPv6 neighbour solicitation who-has fe80::2 tell 02:00:00:00:00:01"},
		{"neighbour advertisement", false, `
			6000000000203afffe800000000000000000000000000002fe80000000000000
			000000000000000188009819e0000000fe800000000000000000000000000002
			0201020000000002
		`, "IPv6 fe80::2 > fe80::1 hlim 255  ICMPv6 neighbour advertisement fe80::2 is-at 02:00:00:00:00:02 router solicited override"},
		{"neighbour advertisement, bad option", false, `
			6000000000203afffe800000000000000000000000000002fe80000000000000
			00000000000000018800981ae0000000fe800000000000000000000000000002
			0200020000000002
		`, "IPv6 fe80::2 > fe80::1 hlim 255  ICMPv6 neighbour advertisement malformed: bad-option"},
		{"router solicitation", false, `
			6000000000083afffe800000000000000000000000000002ff02000000000000
			000000000000000285007d3500000000
		`, "IPv6 fe80::2 > ff02::2 hlim 255  ICMPv6 router solicitation len 0"},
		{"router advertisement", false, `
			6000000000083afffe800000000000000000000000000002ff02000000000000
			000000000000000286007c3500000000
		`, "IPv6 fe80::2 > ff02::2 hlim 255  ICMPv6 router advertisement len 0"},
		{"IPv6 redirect", false, `
			6000000000083afffe800000000000000000000000000002ff02000000000000
			00000000000000028900793500000000
		`, "IPv6 fe80::2 > ff02::2 hlim 255  ICMPv6 redirect len 0"},
		{"multicast listener report", false, `
			6000000000083afffe800000000000000000000000000002ff02000000000000
			00000000000000028f00733500000000
		`, "IPv6 fe80::2 > ff02::2 hlim 255  ICMPv6 type 143 code 0 len 0"},
		{"IPv6 port unreachable", false, `
			60000000003a3a4020010db800000000000000000000000220010db800000000
			0000000000000001010431e30000000060000000000a114020010db800000000
			000000000000000120010db80000000000000000000000021b399c40000a8482
			6869
		`, "IPv6 2001:db8::2 > 2001:db8::1 hlim 64  ICMPv6 unreachable: port  (IPv6 2001:db8::1 > 2001:db8::2 hlim 64  UDP 6969 > 40000)"},
		{"packet too big", false, `
			60000000003a3a4020010db800000000000000000000000220010db800000000
			000000000000000102002be70000050060000000000a114020010db800000000
			000000000000000120010db80000000000000000000000021b399c40000a8482
			6869
		`, "IPv6 2001:db8::2 > 2001:db8::1 hlim 64  ICMPv6 packet too big mtu 1280  (IPv6 2001:db8::1 > 2001:db8::2 hlim 64  UDP 6969 > 40000)"},
		{"IPv6 time exceeded", false, `
			60000000003a3a4020010db800000000000000000000000220010db800000000
			000000000000000103012fe60000000060000000000a114020010db800000000
			000000000000000120010db80000000000000000000000021b399c40000a8482
			6869
		`, "IPv6 2001:db8::2 > 2001:db8::1 hlim 64  ICMPv6 time exceeded: in reassembly  (IPv6 2001:db8::1 > 2001:db8::2 hlim 64  UDP 6969 > 40000)"},
		{"IPv6 parameter problem", false, `
			60000000003a3a4020010db800000000000000000000000220010db800000000
			000000000000000104012ee00000000660000000000a114020010db800000000
			000000000000000120010db80000000000000000000000021b399c40000a8482
			6869
		`, "IPv6 2001:db8::2 > 2001:db8::1 hlim 64  ICMPv6 parameter problem: next header at 6  (IPv6 2001:db8::1 > 2001:db8::2 hlim 64  UDP 6969 > 40000)"},
		{"error about a solicitation", false, `
			6000000000503a4020010db800000000000000000000000220010db800000000
			000000000000000101030838000000006000000000203afffe80000000000000
			0000000000000001ff0200000000000000000001ff00000287007a9700000000
			fe8000000000000000000000000000020101020000000001
		`, "IPv6 2001:db8::2 > 2001:db8::1 hlim 64  ICMPv6 unreachable: address  (IPv6 fe80::1 > ff02::1:ff00:2 hlim 255  ICMPv6 neighbour solicitation)"},
		{"IPv6 headers", false, `
			600000000010000120010db8000000000000000000000001ff02000000000000
			00000000000000163a000502000001008f0043ea00000000
		`, "IPv6 2001:db8::1 > ff02::16 hlim 1 headers 8 router-alert 0  ICMPv6 type 143 code 0 len 0"},
		{"IPv6 fragment", false, `
			6000000000203c4020010db800000000000000000000000120010db800000000
			00000000000000022c00010400000000110005a9deadbeef0000000000000000
			0000000000000000
		`, "IPv6 2001:db8::1 > 2001:db8::2 hlim 64 headers 8 frag 0xdeadbeef at 1448+  UDP len 16"},
		{"IPv6 segments left", false, `
			6000000000122b4020010db800000000000000000000000120010db800000000
			000000000000000211000001000000001b399c40000a84826869
		`, "IPv6 2001:db8::1 > 2001:db8::2 hlim 64  Routing malformed: bad-header"},
		{"IPv6 truncated", false, `
			60000000000a114020010db800000000000000000000000120010db800000000
			00000000000000021b399c40000a848268
		`, "IPv6 2001:db8::1 > 2001:db8::2 hlim 64 malformed: truncated"},
		{"IPv6 header truncated", false, `
			60000000000a114020010db800000000000000000000000120010db800000000
			00000000000000
		`, "IPv6 malformed: truncated"},
		{"ARP request", true, `
			ffffffffffff02000000000108060001080006040001020000000001c0a84564
			000000000000c0a84501
		`, "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff  ARP request who-has 192.168.69.1 tell 192.168.69.100 at 02:00:00:00:00:01"},
		{"ARP reply", true, `
			02000000000102000000000208060001080006040002020000000002c0a84501
			020000000001c0a84564
		`, "02:00:00:00:00:02 > 02:00:00:00:00:01  ARP reply 192.168.69.1 is-at 02:00:00:00:00:02 to 192.168.69.100"},
		{"ARP, another operation", true, `
			ffffffffffff02000000000108060001080006040008020000000001c0a84564
			000000000000c0a84501
		`, "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff  ARP op 8"},
		{"ARP, another hardware", true, `
			ffffffffffff02000000000108060006080006040001020000000001c0a84564
			000000000000c0a84501
		`, "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff  ARP malformed: bad-header"},
		{"unknown type", true, `
			02000000000202000000000188cc000000000000000000000000000000000000
			00000000000000000000000000000000000000000000000000000000
		`, "02:00:00:00:00:01 > 02:00:00:00:00:02  type 0x88cc len 46"},
		{"Ethernet truncated", true, `
			02000000000202000000000188
		`, "Ethernet malformed: truncated"},
		{"TCP short quote", false, `
			450000370000000040016f10c0a84501c0a84564030153e40000000045000039
			000000000106ae09c0a84564c0a84501a8ca0050000000
		`, "IPv4 192.168.69.1 > 192.168.69.100 ttl 64  ICMP unreachable: host  (IPv4 192.168.69.100 > 192.168.69.1 ttl 1  TCP malformed: truncated)"},
		{"ICMPv6 truncated", false, `
			6000000000043a4020010db800000000000000000000000120010db800000000
			000000000000000280000000
		`, "IPv6 2001:db8::1 > 2001:db8::2 hlim 64  ICMPv6 malformed: truncated"},
		{"nothing", false, `
		`, "IP malformed: truncated"},
		{"no IP version", false, `
			50000000000000000000000000000000000000000000000000000000000000
		`, "IP malformed: bad-version"},
	}
	buf := make([]byte, 0, 1000)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := unhex(t, tt.frame)
			require.Equal(t, tt.want, string(Dump(nil, b, tt.ethernet)))
			require.Equal(t, "12:00 "+tt.want, string(Dump([]byte("12:00 "), b, tt.ethernet)))
			noAllocs(t, func() { Dump(buf, b, tt.ethernet) })
		})
	}
}

func FuzzDump(f *testing.F) {
	for _, dump := range []string{ipv4Dump, ipv4OptionsDump, ipv4FragmentDump, ipv6Dump} {
		f.Add(unhex(f, dump), false)
	}
	// Checksums keep the fuzzer out of most of what IP can carry: an error's
	// quote has none, nor have IPv6 headers.
	error4 := unhex(f, "45000000 00000000 40010000 c0a84501 c0a84564 0b000000 00000000")
	quote4 := unhex(f, "45000000 00000000 40060000 c0a84564 c0a84501")
	for _, dump := range []string{tcpSYNDump, tcpFullDump, udpDump, icmpUnreachableDump} {
		seg := unhex(f, dump)
		for _, b := range [][]byte{error4, quote4} {
			b = withIPv4(b, 3, byte(len(b)+len(seg)))
			f.Add(join(b, seg), false)
		}
	}
	f.Add(join(hw1[:], hw2[:], []byte{0x08, 0x06}, unhex(f, arpDump)), true)
	ip := IPv6{HopLimit: 255, Src: addr("fe80::1"), Dst: addr("fe80::2"), NextHeader: ProtoICMPv6, PayloadLen: 32}
	neighbour := make([]byte, IPv6Len, 100)
	ip.Put(neighbour)
	f.Add(append(neighbour, unhex(f, solicitDump)...), false)
	f.Fuzz(func(t *testing.T, b []byte, ethernet bool) {
		require.NotEmpty(t, Dump(nil, b, ethernet))
		u := upperDump{src: ip.Src, dst: ip.Dst}
		for _, p := range []Protocol{ProtoTCP, ProtoUDP, ProtoICMPv4, ProtoICMPv6} {
			require.NotContains(t, string(u.dump(nil, p, b, true)), "\n")
		}
	})
}
