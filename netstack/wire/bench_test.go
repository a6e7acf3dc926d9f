package wire

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func BenchmarkSum(b *testing.B) {
	for _, n := range []int{20, 40, 60, 64, 127, 536, 1448, 1500, 9000, 65535} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := make([]byte, n)
			b.SetBytes(int64(n))
			var s uint16
			for b.Loop() {
				s = Sum(p, s)
			}
		})
	}
}

func naive(b []byte, sum uint16) uint16 {
	s := uint32(sum)
	for i, x := range b {
		if i%2 == 0 {
			s += uint32(x) << 8
		} else {
			s += uint32(x)
		}
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

func TestSmoke(t *testing.T) {
	b := make([]byte, 400)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	for n := range 300 {
		for o := range 16 {
			require.Equal(t, naive(b[o:o+n], 0xfedc), Sum(b[o:o+n], 0xfedc), "%d %d", n, o)
		}
	}
	var seg [60]byte
	h := TCP{SrcPort: 1, DstPort: 2, Flags: SYN, Options: TCPOptions{MSS: 1460, SACKPermitted: true, HasTimestamps: true, TSVal: 3, HasWindowScale: true, WindowScale: 7}}
	n := h.Put(seg[:])
	require.Equal(t, 40, n)
	a := netip.MustParseAddr("fe80::1")
	SetChecksum(a, a, ProtoTCP, seg[:n], TCPChecksumOffset)
	require.True(t, VerifyChecksum(a, a, ProtoTCP, seg[:n]))
	var g TCP
	_, err := ParseTCP(seg[:n], &g)
	require.NoError(t, err)
	g.Checksum = 0
	require.Equal(t, h, g)
}

func BenchmarkTCP(b *testing.B) {
	var seg [60]byte
	h := TCP{SrcPort: 1, DstPort: 2, Flags: ACK, Options: TCPOptions{HasTimestamps: true, TSVal: 3}}
	b.Run("put", func(b *testing.B) {
		for b.Loop() {
			h.Put(seg[:])
		}
	})
	n := h.Put(seg[:])
	b.Run("parse", func(b *testing.B) {
		for b.Loop() {
			_, _ = ParseTCP(seg[:n], &h)
		}
	})
	b.Run("len", func(b *testing.B) {
		for b.Loop() {
			_ = h.HeaderLen()
		}
	})
}
