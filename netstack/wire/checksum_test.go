package wire

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// naiveSum is RFC 1071 4.1, word by word.
func naiveSum(b []byte, sum uint16) uint16 {
	s := uint32(sum)
	for len(b) > 1 {
		s += uint32(binary.BigEndian.Uint16(b))
		s = s>>16 + s&0xffff
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return uint16(s>>16 + s&0xffff)
}

func TestSumRFC1071(t *testing.T) {
	// The example of RFC 1071 3.
	require.Equal(t, uint16(0xddf2), Sum(unhex(t, "0001 f203 f4f5 f6f7"), 0))
}

// Every length and alignment that the unrolled loops tell apart, over bytes
// that carry a lot and bytes that carry at random.
func TestSum(t *testing.T) {
	const maxLen, aligns = 300, 9
	rng := rand.New(rand.NewPCG(1, 2))
	random, ones := make([]byte, maxLen+aligns), make([]byte, maxLen+aligns)
	for i := range random {
		random[i], ones[i] = byte(rng.Uint32()), 0xff
	}
	for _, buf := range [][]byte{random, ones} {
		for n := range maxLen + 1 {
			for at := range aligns {
				for _, sum := range []uint16{0, 1, 0xff00, 0xffff} {
					if want, got := naiveSum(buf[at:at+n], sum), Sum(buf[at:at+n], sum); want != got {
						t.Fatalf("%d bytes at %d from %#x: %#x, want %#x", n, at, sum, got, want)
					}
				}
			}
		}
	}
	require.Equal(t, uint16(0), Sum(make([]byte, 200), 0), "only zeroes sum to zero")
}

func TestSumInPieces(t *testing.T) {
	b := make([]byte, 1000)
	for i := range b {
		b[i] = byte(i * 7)
	}
	for at := 0; at <= len(b); at += 2 {
		require.Equal(t, Sum(b, 5), Sum(b[at:], Sum(b[:at], 5)))
	}
}

func TestPseudoSum(t *testing.T) {
	tests := []struct{ src, dst, header string }{
		{"192.168.69.100", "10.0.0.255", "c0a84564 0a0000ff 00 06 1234"},
		{"255.255.255.255", "255.255.255.255", "ffffffff ffffffff 00 06 1234"},
		{"2001:db8::1", "fe80::fffe", "20010db8000000000000000000000001 fe80000000000000000000000000fffe 00001234 000000 06"},
		{
			"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
			"ffffffffffffffffffffffffffffffff ffffffffffffffffffffffffffffffff 00001234 000000 06",
		},
	}
	for _, tt := range tests {
		got := PseudoSum(addr(tt.src), addr(tt.dst), ProtoTCP, 0x1234)
		require.Equal(t, naiveSum(unhex(t, tt.header), 0), got, tt.src)
	}
	v4, v6 := addr("192.0.2.1"), addr("2001:db8::1")
	none := netip.Addr{}
	require.Equal(t, PseudoSum(addr("0.0.0.0"), v4, ProtoUDP, 8), PseudoSum(none, v4, ProtoUDP, 8))
	require.Equal(t, PseudoSum(addr("::"), v6, ProtoUDP, 8), PseudoSum(none, v6, ProtoUDP, 8))
	require.Equal(t, PseudoSum(v6, v6, ProtoUDP, 65536+8), naiveSum(
		unhex(t, "20010db8000000000000000000000001 20010db8000000000000000000000001 00010008 000000 11"), 0))
}

func TestSetChecksum(t *testing.T) {
	src, dst := addr("192.168.69.100"), addr("192.168.69.1")
	b := unhex(t, udpDump)
	for _, before := range []byte{0x00, 0x9b, 0xff} {
		got := with(b, UDPChecksumOffset, before, before)
		SetChecksum(src, dst, ProtoUDP, got, UDPChecksumOffset)
		require.Equal(t, b, got)
	}
	require.True(t, VerifyChecksum(src, dst, ProtoUDP, b))
	for i := range b {
		require.False(t, VerifyChecksum(src, dst, ProtoUDP, with(b, i, b[i]^0x10)), "byte %d", i)
	}
	require.False(t, VerifyChecksum(src, addr("192.168.69.2"), ProtoUDP, b))
	require.False(t, VerifyChecksum(src, dst, ProtoTCP, b))
	noAllocs(t, func() {
		SetChecksum(src, dst, ProtoUDP, b, UDPChecksumOffset)
		VerifyChecksum(src, dst, ProtoUDP, b)
	})
}

// A checksum that comes out as zero stands for "none" with UDP, and so is sent
// as 0xffff; with TCP it is sent as it is.
func TestSetChecksumZero(t *testing.T) {
	src, dst := addr("2001:db8::1"), addr("2001:db8::2")
	for proto, want := range map[Protocol]uint16{ProtoUDP: 0xffff, ProtoTCP: 0} {
		seg := make([]byte, 20)
		binary.BigEndian.PutUint16(seg, 0xffff^PseudoSum(src, dst, proto, len(seg)))
		SetChecksum(src, dst, proto, seg, UDPChecksumOffset)
		require.Equal(t, want, binary.BigEndian.Uint16(seg[UDPChecksumOffset:]), "%v", proto)
		require.True(t, VerifyChecksum(src, dst, proto, seg), "%v", proto)
	}
}

func TestUpdateChecksum16(t *testing.T) {
	// The example of RFC 1624 4, where the equation of RFC 1141 errs.
	require.Equal(t, uint16(0x0000), UpdateChecksum16(0xdd2f, 0x5555, 0x3285))

	b := unhex(t, ipv4Dump)[:IPv4Len]
	for v := range 1 << 16 {
		c := binary.BigEndian.Uint16(b[10:])
		from := binary.BigEndian.Uint16(b[8:])
		binary.BigEndian.PutUint16(b[8:], uint16(v))
		binary.BigEndian.PutUint16(b[10:], UpdateChecksum16(c, from, uint16(v)))
		if naiveSum(b, 0) != 0xffff {
			t.Fatalf("wrong after %#x became %#x", from, v)
		}
	}
}

func FuzzSum(f *testing.F) {
	f.Add([]byte("\xff\xff\x01"), uint16(0xffff))
	f.Add(make([]byte, 129), uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, sum uint16) {
		require.Equal(t, naiveSum(b, sum), Sum(b, sum))
	})
}

func BenchmarkSum(b *testing.B) {
	for _, n := range []int{20, 64, 1500, 9000, 65535} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := make([]byte, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				Sum(p, 0)
			}
		})
	}
}

func BenchmarkPseudoSum(b *testing.B) {
	for _, s := range []string{"192.0.2.1", "2001:db8::1"} {
		b.Run(s, func(b *testing.B) {
			a := addr(s)
			for b.Loop() {
				PseudoSum(a, a, ProtoTCP, 1480)
			}
		})
	}
}
