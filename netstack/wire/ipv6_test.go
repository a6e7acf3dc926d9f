package wire

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

const ipv6Dump = `
	6b 81 23 45              ; version 6, class 0xb8, flow 0x12345
	00 0a 11 40              ; payload 10, UDP, hop limit 64
	20 01 0d b8 00 00 00 00  ; 2001:db8::1
	00 00 00 00 00 00 00 01
	20 01 0d b8 00 00 00 00  ; 2001:db8::2
	00 00 00 00 00 00 00 02
	1b 39 9c 40 00 0a 84 82 68 69
`

func TestIPv6(t *testing.T) {
	b := unhex(t, ipv6Dump)
	h, payload, err := ParseIPv6(join(b, make([]byte, 4)))
	require.NoError(t, err)
	require.Equal(t, IPv6{
		TrafficClass: 0xb8, FlowLabel: 0x12345, PayloadLen: 10, NextHeader: ProtoUDP, HopLimit: 64,
		Src: addr("2001:db8::1"), Dst: addr("2001:db8::2"),
	}, h)
	require.Equal(t, b[IPv6Len:], payload)
	require.True(t, VerifyChecksum(h.Src, h.Dst, ProtoUDP, payload))

	var put [IPv6Len]byte
	h.Put(put[:])
	require.Equal(t, b[:IPv6Len], put[:])

	noAllocs(t, func() {
		h, _, sinkErr = ParseIPv6(b)
		h.Put(put[:])
	})
}

func TestIPv6Put(t *testing.T) {
	h := IPv6{FlowLabel: 0xfff12345, Src: netip.Addr{}, Dst: addr("fe80::1%eth0")}
	var b [IPv6Len]byte
	h.Put(b[:])
	got, _, err := ParseIPv6(b[:])
	require.NoError(t, err)
	require.Equal(t, IPv6{FlowLabel: 0x12345, Src: addr("::"), Dst: addr("fe80::1")}, got)
}

func TestIPv6Malformed(t *testing.T) {
	b := unhex(t, ipv6Dump)
	tests := []struct {
		name string
		b    []byte
		want Drop
	}{
		{"empty", nil, DropTruncated},
		{"one byte short of a header", b[:IPv6Len-1], DropTruncated},
		{"one byte short of its length", b[:len(b)-1], DropTruncated},
		{"version 4", with(b, 0, 0x4b), DropBadVersion},
		{"payload length over", with(b, 4, 0xff, 0xff), DropTruncated},
	}
	for _, tt := range tests {
		_, payload, err := ParseIPv6(tt.b)
		require.Equal(t, tt.want, err, tt.name)
		require.Nil(t, payload, tt.name)
	}
	_, payload, err := ParseIPv6Quote(b[:IPv6Len+3])
	require.NoError(t, err)
	require.Equal(t, b[IPv6Len:IPv6Len+3], payload)
	_, _, err = ParseIPv6Quote(b[:IPv6Len-1])
	require.Equal(t, DropTruncated, err)
}

func FuzzIPv6(f *testing.F) {
	f.Add(unhex(f, ipv6Dump))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := ParseIPv6(b)
		if err != nil {
			return
		}
		var put [IPv6Len]byte
		h.Put(put[:])
		require.Equal(t, b[:IPv6Len+int(h.PayloadLen)], join(put[:], payload))
	})
}

func BenchmarkIPv6(b *testing.B) {
	packet := unhex(b, ipv6Dump)
	var h IPv6
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			h, _, sinkErr = ParseIPv6(packet)
		}
	})
	b.Run("put", func(b *testing.B) {
		for b.Loop() {
			h.Put(packet)
		}
	})
}
