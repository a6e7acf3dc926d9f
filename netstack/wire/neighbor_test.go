package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	solicitDump = `
		87 00 7a 97              ; neighbour solicitation, checksum
		00 00 00 00              ; reserved
		fe 80 00 00 00 00 00 00  ; target fe80::2
		00 00 00 00 00 00 00 02
		01 01 02 00 00 00 00 01  ; source link-layer address
	`
	advertDump = `
		88 00 18 1a              ; neighbour advertisement, checksum
		60 00 00 00              ; solicited, override
		fe 80 00 00 00 00 00 00  ; target fe80::2
		00 00 00 00 00 00 00 02
		02 01 02 00 00 00 00 02  ; target link-layer address
	`
	probeDump = `
		87 00 7c 23              ; neighbour solicitation, checksum
		00 00 00 00              ; reserved
		fe 80 00 00 00 00 00 00  ; target fe80::2
		00 00 00 00 00 00 00 02
	`
)

func TestNeighbor(t *testing.T) {
	tests := []struct {
		name, dump string
		src, dst   string
		want       Neighbor
	}{
		{"solicitation", solicitDump, "fe80::1", "ff02::1:ff00:2", Neighbor{
			Type: ICMPv6NeighborSolicit, Target: addr("fe80::2"), LinkAddr: hw1, HasLink: true,
		}},
		{"duplicate address detection", probeDump, "::", "ff02::1:ff00:2", Neighbor{
			Type: ICMPv6NeighborSolicit, Target: addr("fe80::2"),
		}},
		{"advertisement", advertDump, "fe80::2", "fe80::1", Neighbor{
			Type: ICMPv6NeighborAdvert, Solicited: true, Override: true, Target: addr("fe80::2"), LinkAddr: hw2, HasLink: true,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := unhex(t, tt.dump)
			h, err := ParseNeighbor(b)
			require.NoError(t, err)
			require.Equal(t, tt.want, h)
			require.Equal(t, len(b), h.Len())

			put := make([]byte, h.Len())
			for i := range put {
				put[i] = 0xff
			}
			h.Put(put)
			require.Equal(t, with(b, 2, 0, 0), put)
			SetChecksum(addr(tt.src), addr(tt.dst), ProtoICMPv6, put, ICMPChecksumOffset)
			require.Equal(t, b, put)

			noAllocs(t, func() {
				h, sinkErr = ParseNeighbor(b)
				h.Put(put)
			})
		})
	}
}

func TestNeighborOptions(t *testing.T) {
	ns, na := unhex(t, solicitDump), unhex(t, advertDump)
	nonce := unhex(t, "0e 01 01 02 03 04 05 06")            // RFC 3971 5.3.2
	long := unhex(t, "01 02 0102030405060708 000000000000") // an EUI-64, of another link
	tests := []struct {
		name string
		b    []byte
		want HardwareAddr
	}{
		{"none", ns[:neighborLen], HardwareAddr{}},
		{"unknown before", join(ns[:neighborLen], nonce, ns[neighborLen:]), hw1},
		{"unknown after", join(ns, nonce), hw1},
		{"target's in a solicitation", join(ns[:neighborLen], na[neighborLen:]), HardwareAddr{}},
		{"source's in an advertisement", join(na[:neighborLen], ns[neighborLen:]), HardwareAddr{}},
		{"another link's", join(ns[:neighborLen], long), HardwareAddr{}},
	}
	for _, tt := range tests {
		h, err := ParseNeighbor(tt.b)
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.want, h.LinkAddr, tt.name)
		require.Equal(t, tt.want != HardwareAddr{}, h.HasLink, tt.name)
	}
}

func TestNeighborMalformed(t *testing.T) {
	b := unhex(t, solicitDump)
	tests := []struct {
		name string
		b    []byte
		want Drop
	}{
		{"empty", nil, DropTruncated},
		{"one byte short", b[:neighborLen-1], DropTruncated},
		{"another type", with(b, 0, ICMPv6Echo), DropBadHeader},
		{"code", with(b, 1, 1), DropBadHeader},
		{"multicast target", with(b, 8, 0xff, 0x02), DropBadHeader},
		{"option length zero", with(b, neighborLen+1, 0), DropBadOption},
		{"option past the end", with(b, neighborLen+1, 2), DropBadOption},
		{"longest option", with(b, neighborLen+1, 255), DropBadOption},
		{"option without length", b[:neighborLen+1], DropBadOption},
		{"option cut short", b[:len(b)-1], DropBadOption},
		{"second option length zero", join(b, []byte{14, 0, 0, 0, 0, 0, 0, 0}), DropBadOption},
	}
	for _, tt := range tests {
		_, err := ParseNeighbor(tt.b)
		require.Equal(t, tt.want, err, tt.name)
	}
}

func FuzzNeighbor(f *testing.F) {
	b := unhex(f, solicitDump)
	f.Add(b)
	f.Add(unhex(f, advertDump))
	f.Add(with(b, neighborLen+1, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseNeighbor(b)
		if err != nil {
			return
		}
		put := make([]byte, h.Len())
		h.Put(put)
		again, err := ParseNeighbor(put)
		require.NoError(t, err)
		require.Equal(t, h, again)
	})
}
