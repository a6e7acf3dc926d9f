package wire

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	ipv4Dump = `
		45 00 00 21     ; version 4, header 20, tos 0, total 33
		00 01 00 00     ; id 1, no flags
		40 11 6f 15     ; ttl 64, UDP, checksum
		c0 a8 45 64     ; 192.168.69.100
		c0 a8 45 01     ; 192.168.69.1
		14 e9 00 35 00 0d 9b 2d 68 65 6c 6c 6f
	`
	ipv4OptionsDump = `
		46 c0 00 28     ; header 24, tos 0xc0, total 40
		00 00 40 00     ; id 0, don't fragment
		01 02 fd ec     ; ttl 1, IGMP, checksum
		c0 a8 45 64     ; 192.168.69.100
		e0 00 00 16     ; 224.0.0.22
		94 04 00 00     ; router alert, RFC 2113
		22 00 f9 02 00 00 00 01 04 00 00 00 e0 00 00 fb
	`
	ipv4FragmentDump = `
		45 00 00 24     ; total 36
		be ef 20 b9     ; id 0xbeef, more fragments, offset 185*8
		40 11 8f 6a     ; ttl 64, UDP, checksum
		c0 a8 45 64     ; 192.168.69.100
		c0 a8 45 01     ; 192.168.69.1
		00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f
	`
)

func TestIPv4(t *testing.T) {
	tests := []struct {
		name, dump string
		want       IPv4
	}{
		{"plain", ipv4Dump, IPv4{
			HeaderLen: 20, TotalLen: 33, ID: 1, TTL: 64, Protocol: ProtoUDP, Checksum: 0x6f15,
			Src: addr("192.168.69.100"), Dst: addr("192.168.69.1"),
		}},
		{"options", ipv4OptionsDump, IPv4{
			HeaderLen: 24, TOS: 0xc0, TotalLen: 40, DontFrag: true, TTL: 1, Protocol: ProtoIGMP, Checksum: 0xfdec,
			Src: addr("192.168.69.100"), Dst: addr("224.0.0.22"),
		}},
		{"fragment", ipv4FragmentDump, IPv4{
			HeaderLen: 20, TotalLen: 36, ID: 0xbeef, MoreFrags: true, FragOff: 1480, TTL: 64, Protocol: ProtoUDP, Checksum: 0x8f6a,
			Src: addr("192.168.69.100"), Dst: addr("192.168.69.1"),
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := unhex(t, tt.dump)
			h, payload, err := ParseIPv4(join(b, make([]byte, 13))) // link padding
			require.NoError(t, err)
			require.Equal(t, tt.want, h)
			require.Equal(t, b[h.HeaderLen:], payload)
			require.NoError(t, CheckIPv4Options(b[IPv4Len:h.HeaderLen]))
			require.Equal(t, tt.want.FragOff != 0, h.IsFragment())

			put := make([]byte, h.HeaderLen)
			copy(put[IPv4Len:], b[IPv4Len:])
			h.Checksum = 0xdead // is computed
			h.Put(put)
			require.Equal(t, b[:h.HeaderLen], put)

			noAllocs(t, func() {
				h, _, sinkErr = ParseIPv4(b)
				h.Put(put)
			})
		})
	}
}

func TestIPv4PutDefaults(t *testing.T) {
	h := IPv4{TotalLen: 20, TTL: 64, Protocol: ProtoUDP, Dst: addr("255.255.255.255")} // a DHCP client has no address yet
	var b [IPv4Len]byte
	h.Put(b[:])
	got, _, err := ParseIPv4(b[:])
	require.NoError(t, err)
	require.Equal(t, uint8(20), got.HeaderLen)
	require.Equal(t, addr("0.0.0.0"), got.Src)
}

// withIPv4 changes bytes and makes the header checksum good again.
func withIPv4(b []byte, off int, bytes ...byte) []byte {
	b = with(b, off, bytes...)
	n := int(b[0]&15) * 4
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], ^naiveSum(b[:n], 0))
	return b
}

func TestIPv4Malformed(t *testing.T) {
	b, frag := unhex(t, ipv4Dump), unhex(t, ipv4FragmentDump)
	long := make([]byte, 65535)
	copy(long, frag)
	tests := []struct {
		name string
		b    []byte
		want Drop
	}{
		{"empty", nil, DropTruncated},
		{"one byte short of a header", b[:IPv4Len-1], DropTruncated},
		{"one byte short of its length", b[:len(b)-1], DropTruncated},
		{"version 6", with(b, 0, 0x65), DropBadVersion},
		{"header length zero", with(b, 0, 0x40), DropBadLength},
		{"header length under 20", with(b, 0, 0x44), DropBadLength},
		{"header length over the packet", with(b, 0, 0x4f), DropTruncated},
		{"total length zero", withIPv4(b, 2, 0, 0), DropBadLength},
		{"total length under the header's", withIPv4(b, 2, 0, 19), DropBadLength},
		{"total length over", withIPv4(b, 2, 0xff, 0xff), DropTruncated},
		{"checksum", with(b, 10, 0x6f, 0x16), DropBadChecksum},
		{"TTL changed", with(b, 8, 63), DropBadChecksum},
		{"fragment of odd size", withIPv4(frag, 2, 0, 35), DropBadLength},
		{"empty fragment", withIPv4(frag, 2, 0, 20), DropBadLength},
		{"empty last fragment", withIPv4(frag, 2, 0, 20, 0xbe, 0xef, 0, 0xb9), DropBadLength},
		{"ping of death", withIPv4(frag, 6, 0x1f, 0xff), DropBadLength},
		{"ping of death, larger", withIPv4(long, 2, 0xff, 0xff, 0xbe, 0xef, 0x00, 0x01), DropBadLength},
	}
	for _, tt := range tests {
		_, payload, err := ParseIPv4(tt.b)
		require.Equal(t, tt.want, err, tt.name)
		require.Nil(t, payload, tt.name)
	}
	_, payload, err := ParseIPv4(withIPv4(b, 2, 0, 20))
	require.NoError(t, err)
	require.Empty(t, payload)
	_, payload, err = ParseIPv4(withIPv4(frag, 6, 0x1f, 0xfb)) // 0x1ffb*8+16+20 is 65516
	require.NoError(t, err)
	require.Len(t, payload, 16)
}

func TestIPv4Quote(t *testing.T) {
	b := unhex(t, ipv4Dump)
	_, payload, err := ParseIPv4Quote(b[:28])
	require.NoError(t, err)
	require.Equal(t, b[20:28], payload)
	_, payload, err = ParseIPv4Quote(b[:20])
	require.NoError(t, err)
	require.Empty(t, payload)
	_, payload, err = ParseIPv4Quote(join(b, []byte{1, 2}))
	require.NoError(t, err)
	require.Equal(t, b[20:], payload)
	_, _, err = ParseIPv4Quote(b[:19])
	require.Equal(t, DropTruncated, err)
	_, _, err = ParseIPv4Quote(with(b, 2, 0, 19))
	require.Equal(t, DropBadLength, err)
}

func TestIPv4Options(t *testing.T) {
	tests := []struct {
		name, opts string
		want       error
	}{
		{"none", "", nil},
		{"router alert", "94 04 00 00", nil},
		{"record route", "07 07 04 00 00 00 00 00", nil},
		{"no-ops", "01 01 01 01", nil},
		{"end, then garbage", "00 07 00 ff", nil},
		{"no-op, then an option to the last byte", "01 94 03 00", nil},
		{"length zero", "07 00 04 00", DropBadOption},
		{"length one", "07 01 04 00", DropBadOption},
		{"length past the end", "07 05 04 00", DropBadOption},
		{"longest", "07 ff 04 00", DropBadOption},
		{"no length", "01 01 01 07", DropBadOption},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, CheckIPv4Options(unhex(t, tt.opts)), tt.name)
	}
}

func TestProtocolString(t *testing.T) {
	for p, want := range map[Protocol]string{
		ProtoHopByHop: "HopByHop", ProtoICMPv4: "ICMP", ProtoIGMP: "IGMP", ProtoTCP: "TCP", ProtoUDP: "UDP",
		ProtoRouting: "Routing", ProtoFragment: "Fragment", ProtoICMPv6: "ICMPv6", ProtoNoNext: "NoNext",
		ProtoDestOpts: "DestOpts", 132: "proto 132",
	} {
		require.Equal(t, want, p.String())
	}
}

func FuzzIPv4(f *testing.F) {
	b := unhex(f, ipv4Dump)
	f.Add(b)
	f.Add(unhex(f, ipv4OptionsDump))
	f.Add(unhex(f, ipv4FragmentDump))
	f.Add(with(b, 0, 0x44))
	f.Add(withIPv4(unhex(f, ipv4OptionsDump), 20, 7, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= IPv4Len && len(b) >= int(b[0]&15)*4 {
			b = withIPv4(b, 0) // or few would get past the checksum
		}
		h, payload, err := ParseIPv4(b)
		if err != nil {
			require.Nil(t, payload)
			return
		}
		require.Len(t, payload, int(h.TotalLen)-int(h.HeaderLen))
		sinkErr = CheckIPv4Options(b[IPv4Len:h.HeaderLen])
		put := with(b, 0, make([]byte, IPv4Len)...)
		h.Put(put)
		again, _, err := ParseIPv4(put)
		require.NoError(t, err)
		h.Checksum = again.Checksum // a reserved flag may have been lost
		require.Equal(t, h, again)
	})
}

func BenchmarkIPv4(b *testing.B) {
	packet := unhex(b, ipv4Dump)
	var h IPv4
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			h, _, sinkErr = ParseIPv4(packet)
		}
	})
	b.Run("put", func(b *testing.B) {
		for b.Loop() {
			h.Put(packet)
		}
	})
}
