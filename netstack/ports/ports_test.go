package ports

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	local  = netip.MustParseAddr("10.0.0.1")
	remote = netip.MustParseAddrPort("192.0.2.1:443")
	secret = [32]byte{1, 2, 3}
)

func free(uint16) bool { return false }

func TestRange(t *testing.T) {
	tests := []struct{ in, want Range }{
		{Range{}, Range{49152, 65535}},
		{Range{0, 100}, Range{49152, 65535}},
		{Range{100, 99}, Range{49152, 65535}},
		{Range{100, 100}, Range{100, 100}},
		{Range{1, 65535}, Range{1, 65535}},
	}
	for _, tt := range tests {
		s := New(secret, tt.in)
		require.Equal(t, tt.want, s.Range())
		for range 2000 {
			p, ok := s.Select(local, remote, free)
			require.True(t, ok)
			require.True(t, p >= tt.want.First && p <= tt.want.Last)
			p, ok = s.Random(free)
			require.True(t, ok)
			require.True(t, p >= tt.want.First && p <= tt.want.Last)
		}
	}
}

// RFC 6056 section 2: a port should be reused as late as possible. Every port of
// the range comes once before any comes again.
func TestSelectVisitsAllBeforeReuse(t *testing.T) {
	for _, r := range []Range{{}, {1000, 1006}, {1, 65535}} {
		s := New(secret, r)
		seen := map[uint16]bool{}
		for range s.size() {
			p, ok := s.Select(local, remote, free)
			require.True(t, ok)
			require.False(t, seen[p])
			seen[p] = true
		}
	}
}

// What one destination sees says nothing about another: neither the first port
// nor the steps.
func TestSelectDiffersByDestination(t *testing.T) {
	s := New(secret, Range{})
	first := map[uint16]int{}
	for i := range 200 {
		to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 443)
		p, _ := s.Select(local, to, free)
		first[p]++
	}
	require.Greater(t, len(first), 190)
	variants := map[uint16]bool{}
	for _, v := range []struct {
		local  netip.Addr
		remote netip.AddrPort
		secret [32]byte
	}{
		{local, remote, secret},
		{netip.MustParseAddr("10.0.0.2"), remote, secret},
		{local, netip.MustParseAddrPort("192.0.2.1:444"), secret},
		{local, netip.MustParseAddrPort("[2001:db8::1]:443"), secret},
		{netip.Addr{}, remote, secret},
		{local, remote, [32]byte{9}},
	} {
		p, _ := New(v.secret, Range{}).Select(v.local, v.remote, free)
		variants[p] = true
	}
	require.Len(t, variants, 6)
}

func TestSameSecretSameChoices(t *testing.T) {
	a, b := New(secret, Range{}), New(secret, Range{})
	for range 100 {
		p, _ := a.Select(local, remote, free)
		q, _ := b.Select(local, remote, free)
		require.Equal(t, p, q)
		p, _ = a.Random(free)
		q, _ = b.Random(free)
		require.Equal(t, p, q)
	}
}

func TestExhaustion(t *testing.T) {
	s := New(secret, Range{2000, 2009})
	for left := 10; left >= 0; left-- {
		asked := 0
		inUse := func(p uint16) bool {
			asked++
			return int(p) >= 2000+left
		}
		p, ok := s.Select(local, remote, inUse)
		require.Equal(t, left > 0, ok)
		require.LessOrEqual(t, asked, 10)
		if ok {
			require.Less(t, int(p), 2000+left)
		} else {
			require.Zero(t, p)
		}
		asked = 0
		p, ok = s.Random(inUse)
		require.Equal(t, left > 0, ok)
		require.LessOrEqual(t, asked, 10+randomTries)
		if ok {
			require.Less(t, int(p), 2000+left)
		} else {
			require.Zero(t, p)
		}
	}
}

// Random is flat: 160,000 draws over 16 ports, 10,000 each give or take five
// standard deviations.
func TestRandomIsFlat(t *testing.T) {
	s := New(secret, Range{5000, 5015})
	var n [16]int
	for range 160_000 {
		p, _ := s.Random(free)
		n[p-5000]++
	}
	for i := range n {
		require.InDelta(t, 10_000, n[i], 5*97)
	}
}

func TestNoAllocations(t *testing.T) {
	s := New(secret, Range{})
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		s.Select(local, remote, free)
		s.Random(free)
	}))
}

func BenchmarkSelect(b *testing.B) {
	s := New(secret, Range{})
	for b.Loop() {
		s.Select(local, remote, free)
	}
}
