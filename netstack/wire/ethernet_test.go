package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const ethernetDump = `
	02 00 00 00 00 02  ; destination
	02 00 00 00 00 01  ; source
	08 00              ; IPv4
	45 00              ; payload
`

func TestEthernet(t *testing.T) {
	b := unhex(t, ethernetDump)
	h, payload, err := ParseEthernet(b)
	require.NoError(t, err)
	require.Equal(t, Ethernet{Dst: hw2, Src: hw1, Type: EtherTypeIPv4}, h)
	require.Equal(t, []byte{0x45, 0x00}, payload)
	require.Same(t, &b[EthernetLen], &payload[0])

	var put [EthernetLen]byte
	h.Put(put[:])
	require.Equal(t, b[:EthernetLen], put[:])

	noAllocs(t, func() {
		h, _, sinkErr = ParseEthernet(b)
		h.Put(put[:])
	})
}

func TestEthernetTruncated(t *testing.T) {
	b := unhex(t, ethernetDump)
	for n := range EthernetLen {
		_, payload, err := ParseEthernet(b[:n])
		require.Equal(t, DropTruncated, err)
		require.Nil(t, payload)
	}
	_, payload, err := ParseEthernet(b[:EthernetLen])
	require.NoError(t, err)
	require.Empty(t, payload)
}

func TestEtherTypeString(t *testing.T) {
	require.Equal(t, "IPv4", EtherTypeIPv4.String())
	require.Equal(t, "IPv6", EtherTypeIPv6.String())
	require.Equal(t, "ARP", EtherTypeARP.String())
	require.Equal(t, "0x88cc", EtherType(0x88cc).String())
}

func FuzzEthernet(f *testing.F) {
	f.Add(unhex(f, ethernetDump))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := ParseEthernet(b)
		if err != nil {
			require.Equal(t, DropTruncated, err)
			return
		}
		var put [EthernetLen]byte
		h.Put(put[:])
		require.Equal(t, b, join(put[:], payload))
	})
}
