package wire

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

const arpDump = `
	00 01              ; hardware: Ethernet
	08 00              ; protocol: IPv4
	06 04              ; address lengths
	00 01              ; request
	02 00 00 00 00 01  ; sender
	c0 a8 45 64        ; 192.168.69.100
	00 00 00 00 00 00  ; target: wanted
	c0 a8 45 01        ; 192.168.69.1
`

func TestARP(t *testing.T) {
	b := unhex(t, arpDump)
	h, err := ParseARP(join(b, make([]byte, 18))) // padded to Ethernet's least
	require.NoError(t, err)
	require.Equal(t, ARP{
		Op: ARPRequest, SenderHW: hw1, SenderIP: addr("192.168.69.100"), TargetIP: addr("192.168.69.1"),
	}, h)

	var put [ARPLen]byte
	h.Put(put[:])
	require.Equal(t, b, put[:])

	noAllocs(t, func() {
		h, sinkErr = ParseARP(b)
		h.Put(put[:])
	})
}

func TestARPProbe(t *testing.T) {
	h := ARP{Op: ARPRequest, SenderHW: hw1, TargetIP: addr("192.168.69.100")}
	var put [ARPLen]byte
	h.Put(put[:])
	got, err := ParseARP(put[:])
	require.NoError(t, err)
	h.SenderIP = netip.IPv4Unspecified()
	require.Equal(t, h, got)
}

func TestARPMalformed(t *testing.T) {
	b := unhex(t, arpDump)
	tests := []struct {
		name string
		b    []byte
		want Drop
	}{
		{"empty", nil, DropTruncated},
		{"one byte short", b[:ARPLen-1], DropTruncated},
		{"hardware", with(b, 0, 0, 6), DropBadHeader},
		{"protocol", with(b, 2, 0x86, 0xdd), DropBadHeader},
		{"hardware length", with(b, 4, 8), DropBadHeader},
		{"protocol length", with(b, 5, 16), DropBadHeader},
	}
	for _, tt := range tests {
		_, err := ParseARP(tt.b)
		require.Equal(t, tt.want, err, tt.name)
	}
	h, err := ParseARP(with(b, 6, 0, 8))
	require.NoError(t, err, "other operations are not malformed")
	require.Equal(t, "op 8", h.Op.String())
	require.Equal(t, "request", ARPRequest.String())
	require.Equal(t, "reply", ARPReply.String())
}

func FuzzARP(f *testing.F) {
	f.Add(unhex(f, arpDump))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseARP(b)
		if err != nil {
			return
		}
		var put [ARPLen]byte
		h.Put(put[:])
		require.Equal(t, b[:ARPLen], put[:])
	})
}
