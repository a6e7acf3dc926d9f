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

// reference is SipHash-c-d as the paper defines it.
func reference(k *Key, msg []byte, c, d int) uint64 {
	s := start(k)
	msg = append(append(msg, make([]byte, 7-len(msg)%8)...), byte(len(msg)))
	for ; len(msg) > 0; msg = msg[8:] {
		m := binary.LittleEndian.Uint64(msg)
		s.v3 ^= m
		for range c {
			s = s.round()
		}
		s.v0 ^= m
	}
	s.v2 ^= 0xff
	for range d {
		s = s.round()
	}
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

func TestTable(t *testing.T) {
	k := Key{1, 2, 3}
	require.Equal(t, Bytes(&k, []byte("reference")), reference(&k, []byte("reference"), 2, 4))
	for _, tt := range []struct {
		a, b string
		skip int // bytes of each address that are left out
	}{
		{"192.0.2.1:80", "198.51.100.7:49152", 12},
		{"0.0.0.0:0", "255.255.255.255:65535", 12},
		{"[2001:db8::1]:443", "[2001:db8::2]:65535", 0},
		{"[::]:443", "[::192.0.2.1]:65535", 0},
		{"192.0.2.1:443", "[2001:db8::2]:1", 0},
	} {
		a, b := netip.MustParseAddrPort(tt.a), netip.MustParseAddrPort(tt.b)
		x, y := a.Addr().As16(), b.Addr().As16()
		in := append(append([]byte{}, x[tt.skip:]...), y[tt.skip:]...)
		in = binary.LittleEndian.AppendUint16(in, a.Port())
		in = binary.LittleEndian.AppendUint16(in, b.Port())
		require.Equal(t, reference(&k, in, 1, 3), Table(&k, &x, &y, a.Port(), b.Port()), "%s %s", tt.a, tt.b)
	}
}

func TestAllocs(t *testing.T) {
	k := Key{1}
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	var sum uint64
	require.Zero(t, testing.AllocsPerRun(100, func() { sum += Sum(&k, a, b, 1, 2) }))
	x, y := a.As16(), b.As16()
	require.Zero(t, testing.AllocsPerRun(100, func() { sum += Table(&k, &x, &y, 1, 2) }))
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

func BenchmarkTable(b *testing.B) {
	k := Key{1}
	x, y := netip.MustParseAddr("192.0.2.1").As16(), netip.MustParseAddr("198.51.100.7").As16()
	var sum uint64
	for b.Loop() {
		sum += Table(&k, &x, &y, 80, 49152)
	}
	_ = sum
}
