package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const udpDump = `
	14 e9           ; from 5353
	00 35           ; to 53
	00 0d           ; length 13
	9b 2d           ; checksum, between 192.168.69.100 and 192.168.69.1
	68 65 6c 6c 6f  ; hello
`

func TestUDP(t *testing.T) {
	b := unhex(t, udpDump)
	h, payload, err := ParseUDP(join(b, []byte{0, 0, 0}))
	require.NoError(t, err)
	require.Equal(t, UDP{SrcPort: 5353, DstPort: 53, Len: 13, Checksum: 0x9b2d}, h)
	require.Equal(t, "hello", string(payload))
	require.True(t, VerifyChecksum(addr("192.168.69.100"), addr("192.168.69.1"), ProtoUDP, b))

	var put [UDPLen]byte
	h.Put(put[:])
	require.Equal(t, b[:UDPLen], put[:])

	noAllocs(t, func() {
		h, _, sinkErr = ParseUDP(b)
		h.Put(put[:])
	})
}

func TestUDPMalformed(t *testing.T) {
	b := unhex(t, udpDump)
	tests := []struct {
		name string
		b    []byte
		want Drop
	}{
		{"empty", nil, DropTruncated},
		{"one byte short of a header", b[:UDPLen-1], DropTruncated},
		{"one byte short of its length", b[:len(b)-1], DropBadLength},
		{"length zero", with(b, 4, 0, 0), DropBadLength},
		{"length under the header's", with(b, 4, 0, 7), DropBadLength},
		{"length over", with(b, 4, 0xff, 0xff), DropBadLength},
	}
	for _, tt := range tests {
		_, payload, err := ParseUDP(tt.b)
		require.Equal(t, tt.want, err, tt.name)
		require.Nil(t, payload, tt.name)
	}
	_, payload, err := ParseUDP(with(b, 4, 0, 8))
	require.NoError(t, err)
	require.Empty(t, payload)
}

func FuzzUDP(f *testing.F) {
	f.Add(unhex(f, udpDump))
	f.Add(with(unhex(f, udpDump), 4, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := ParseUDP(b)
		if err != nil {
			return
		}
		var put [UDPLen]byte
		h.Put(put[:])
		require.Equal(t, b[:h.Len], join(put[:], payload))
	})
}
