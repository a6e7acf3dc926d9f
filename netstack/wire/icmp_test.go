package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	icmpEchoDump = `
		08 00                    ; echo, code 0
		4b 3d                    ; checksum
		1b 2c                    ; identifier
		00 01                    ; sequence number
		61 62 63 64 65 66 67 68  ; abcdefgh
	`
	icmpUnreachableDump = `
		03 03                    ; unreachable: port
		4c a4                    ; checksum
		00 00 00 00              ; unused
		45 00 00 21 00 01 00 00  ; the packet it is about, 28 bytes of 33
		3f 11 70 15              ; ttl 63, UDP
		c0 a8 45 64 c0 a8 45 01  ; 192.168.69.100 to 192.168.69.1
		14 e9 00 35 00 0d 9b 2d  ; 5353 to 53
	`
)

func TestICMP(t *testing.T) {
	b := unhex(t, icmpEchoDump)
	h, payload, err := ParseICMP(b)
	require.NoError(t, err)
	require.Equal(t, ICMP{Type: ICMPv4Echo, Checksum: 0x4b3d, Rest: 0x1b2c0001}, h)
	require.Equal(t, "abcdefgh", string(payload))
	id, seq := h.Echo()
	require.Equal(t, uint16(0x1b2c), id)
	require.Equal(t, uint16(1), seq)
	require.Equal(t, uint16(0xffff), Sum(b, 0))

	var put [ICMPLen]byte
	h.Put(put[:])
	require.Equal(t, b[:ICMPLen], put[:])

	noAllocs(t, func() {
		h, _, sinkErr = ParseICMP(b)
		h.Put(put[:])
	})
}

func TestICMPTruncated(t *testing.T) {
	b := unhex(t, icmpEchoDump)
	for n := range ICMPLen {
		_, _, err := ParseICMP(b[:n])
		require.Equal(t, DropTruncated, err)
	}
}

// An error's quote is a packet cut short, with a checksum that may be stale.
func TestICMPQuote(t *testing.T) {
	h, quote, err := ParseICMP(unhex(t, icmpUnreachableDump))
	require.NoError(t, err)
	require.Equal(t, uint8(ICMPv4Unreachable), h.Type)
	require.Equal(t, uint8(ICMPv4PortUnreachable), h.Code)

	_, _, err = ParseIPv4(quote)
	require.Equal(t, DropTruncated, err, "not a packet")
	quote = with(quote, 8, 0x01) // a router has counted the TTL down
	ip, upper, err := ParseIPv4Quote(quote)
	require.NoError(t, err)
	require.Equal(t, addr("192.168.69.100"), ip.Src)
	require.Equal(t, ProtoUDP, ip.Protocol)

	src, dst, seq, err := QuotedPorts(upper)
	require.NoError(t, err)
	require.Equal(t, uint16(5353), src)
	require.Equal(t, uint16(53), dst)
	require.Equal(t, uint32(0x000d9b2d), seq)
	_, _, _, err = QuotedPorts(upper[:7])
	require.Equal(t, DropTruncated, err)
}

func FuzzICMP(f *testing.F) {
	f.Add(unhex(f, icmpEchoDump))
	f.Add(unhex(f, icmpUnreachableDump))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := ParseICMP(b)
		if err != nil {
			require.Less(t, len(b), ICMPLen)
			return
		}
		var put [ICMPLen]byte
		h.Put(put[:])
		require.Equal(t, b, join(put[:], payload))
	})
}
