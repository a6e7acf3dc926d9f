package siphash

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// The key 00 01 ... 0f, and the message of 15 bytes 00 01 ... 0e, are the example
// of the paper's appendix A; the other values are of the authors' table of test
// vectors for the messages 00 01 ... with as many bytes.
func TestVectors(t *testing.T) {
	var k Key
	msg := make([]byte, 16)
	for i := range k {
		k[i], msg[i] = byte(i), byte(i)
	}
	for n, want := range map[int]uint64{
		0:  0x726fdb47dd0e0e31,
		1:  0x74f839c593dc67fd,
		8:  0x93f5f5799a932462,
		15: 0xa129ca6149be45e5,
	} {
		require.Equal(t, want, Bytes(&k, msg[:n]), "%d bytes", n)
	}
}

func TestSum(t *testing.T) {
	k := Key{1, 2, 3}
	for _, tt := range []struct{ a, b string }{
		{"192.0.2.1:80", "198.51.100.7:49152"},
		{"[2001:db8::1]:443", "[2001:db8::2]:65535"},
	} {
		a, b := netip.MustParseAddrPort(tt.a), netip.MustParseAddrPort(tt.b)
		x, y := a.Addr().As16(), b.Addr().As16()
		in := append(x[:], y[:]...)
		in = binary.BigEndian.AppendUint16(in, a.Port())
		in = binary.BigEndian.AppendUint16(in, b.Port())
		require.Equal(t, Bytes(&k, in), Sum(&k, a.Addr(), b.Addr(), a.Port(), b.Port()))
		require.NotEqual(t, Sum(&k, a.Addr(), b.Addr(), a.Port(), b.Port()), Sum(&k, b.Addr(), a.Addr(), b.Port(), a.Port()))
		require.NotEqual(t, Sum(&k, a.Addr(), b.Addr(), a.Port(), b.Port()), Sum(&Key{}, a.Addr(), b.Addr(), a.Port(), b.Port()))
	}
	require.Equal(t, Bytes(&k, make([]byte, tupleLen)), Sum(&k, netip.Addr{}, netip.IPv6Unspecified(), 0, 0))
}

func TestAllocs(t *testing.T) {
	k := Key{1}
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	var sum uint64
	require.Zero(t, testing.AllocsPerRun(100, func() { sum += Sum(&k, a, b, 1, 2) }))
}

func BenchmarkSum(b *testing.B) {
	k := Key{1}
	x, y := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.7")
	var sum uint64
	for b.Loop() {
		sum += Sum(&k, x, y, 80, 49152)
	}
	_ = sum
}
