package route

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/errno"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func ip(s string) netip.Addr    { return netip.MustParseAddr(s) }

func TestLookup(t *testing.T) {
	var tab Table
	for _, r := range []Route{
		{Prefix: pfx("0.0.0.0/0"), Gateway: ip("10.0.0.1"), Interface: 1, Metric: 100},
		{Prefix: pfx("0.0.0.0/0"), Gateway: ip("10.9.0.1"), Interface: 2, Metric: 50},
		{Prefix: pfx("10.0.0.0/24"), Interface: 1},
		{Prefix: pfx("10.9.0.0/16"), Interface: 2},
		{Prefix: pfx("10.0.0.7/32"), Gateway: ip("10.9.0.7"), Interface: 2, MTU: 1400},
		{Prefix: pfx("10.0.0.128/25"), Interface: 3, Metric: 9},
		{Prefix: pfx("10.0.0.129/25"), Interface: 4, Metric: 9}, // the same prefix
		{Prefix: pfx("fe80::/10"), Interface: 1},
		{Prefix: pfx("fe80::/10"), Interface: 2, Metric: 1},
		{Prefix: pfx("::/0"), Gateway: ip("fe80::1"), Interface: 1},
		{Prefix: pfx("2001:db8::/32"), Interface: 2},
	} {
		require.NoError(t, tab.Add(r))
	}
	tests := []struct {
		dst     string
		ifc     int
		prefix  string
		via     int
		gateway string
	}{
		{"192.0.2.1", 0, "0.0.0.0/0", 2, "10.9.0.1"},
		{"192.0.2.1", 1, "0.0.0.0/0", 1, "10.0.0.1"},
		{"192.0.2.1", 3, "", 0, ""},
		{"10.0.0.1", 0, "10.0.0.0/24", 1, ""},
		{"10.0.0.1", 2, "0.0.0.0/0", 2, "10.9.0.1"},
		{"10.0.0.7", 0, "10.0.0.7/32", 2, "10.9.0.7"},
		{"10.0.0.7", 1, "10.0.0.0/24", 1, ""},
		{"10.0.0.200", 0, "10.0.0.128/25", 3, ""},
		{"10.0.0.200", 4, "10.0.0.128/25", 4, ""},
		{"10.9.255.255", 0, "10.9.0.0/16", 2, ""},
		{"::ffff:10.9.0.1", 0, "10.9.0.0/16", 2, ""},
		{"fe80::5", 0, "fe80::/10", 1, ""},
		{"fe80::5", 2, "fe80::/10", 2, ""},
		{"fe80::5%eth0", 2, "fe80::/10", 2, ""},
		{"2001:db8::1", 0, "2001:db8::/32", 2, ""},
		{"2001:db8::1", 1, "::/0", 1, "fe80::1"},
		{"2001:db9::1", 0, "::/0", 1, "fe80::1"},
		{"2001:db9::1", 2, "", 0, ""},
	}
	for _, tt := range tests {
		r, ok := tab.LookupOn(ip(tt.dst), tt.ifc)
		require.Equal(t, tt.prefix != "", ok, "%s on %d", tt.dst, tt.ifc)
		if !ok {
			require.Zero(t, r)
			continue
		}
		require.Equal(t, tt.prefix, r.Prefix.String(), "%s on %d", tt.dst, tt.ifc)
		require.Equal(t, tt.via, r.Interface, "%s on %d", tt.dst, tt.ifc)
		if tt.gateway != "" {
			require.Equal(t, ip(tt.gateway), r.Gateway)
		}
	}
	_, ok := tab.Lookup(netip.Addr{})
	require.False(t, ok)
	_, ok = new(Table).Lookup(ip("10.0.0.1"))
	require.False(t, ok)
}

func TestAddRejects(t *testing.T) {
	var tab Table
	for _, r := range []Route{
		{},
		{Prefix: netip.PrefixFrom(ip("10.0.0.0"), 33)},
		{Prefix: netip.PrefixFrom(ip("10.0.0.0"), -1)},
		{Prefix: pfx("::ffff:0:0/96")},
		{Prefix: pfx("10.0.0.0/8"), Gateway: ip("fe80::1")},
		{Prefix: pfx("10.0.0.0/8"), Gateway: ip("::ffff:10.0.0.1")},
		{Prefix: pfx("10.0.0.0/8"), Gateway: ip("0.0.0.0")},
		{Prefix: pfx("10.0.0.0/8"), Gateway: ip("224.0.0.1")},
		{Prefix: pfx("::/0"), Gateway: ip("10.0.0.1")},
		{Prefix: pfx("::/0"), Source: ip("10.0.0.1")},
		{Prefix: pfx("10.0.0.0/8"), Metric: -1},
		{Prefix: pfx("10.0.0.0/8"), MTU: -1},
		{Prefix: pfx("10.0.0.0/8"), Interface: -1},
	} {
		require.ErrorIs(t, tab.Add(r), errno.Invalid, "%+v", r)
		require.ErrorIs(t, tab.Replace(r), errno.Invalid, "%+v", r)
	}
	require.Zero(t, tab.Len())
}

func TestBound(t *testing.T) {
	for _, limit := range []int{0, 5} {
		tab := Table{Max: limit}
		if limit == 0 {
			limit = DefaultMaxRoutes
		}
		at := func(i int) Route {
			return Route{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i)}), 24), Interface: 1}
		}
		for i := range limit {
			require.NoError(t, tab.Add(at(i)))
		}
		require.ErrorIs(t, tab.Add(at(limit)), errno.NoBufs)
		require.ErrorIs(t, tab.Replace(at(limit)), errno.NoBufs)
		require.NoError(t, tab.Add(at(0)), "there already")
		require.NoError(t, tab.Replace(at(1)))
		require.Equal(t, limit, tab.Len())
	}
}

func TestReplaceAndRemove(t *testing.T) {
	var tab Table
	p := pfx("10.0.0.0/8")
	require.NoError(t, tab.Add(Route{Prefix: p, Interface: 1, MTU: 1500}))
	require.NoError(t, tab.Add(Route{Prefix: p, Interface: 1, MTU: 1400}), "the same way, another MTU")
	require.Equal(t, []Route{{Prefix: p, Interface: 1, MTU: 1400}}, tab.All())
	require.NoError(t, tab.Add(Route{Prefix: p, Interface: 2}))
	require.NoError(t, tab.Add(Route{Prefix: p, Interface: 3, Metric: 7}))
	require.NoError(t, tab.Replace(Route{Prefix: p, Interface: 4}))
	require.Equal(t, []Route{{Prefix: p, Interface: 4}, {Prefix: p, Interface: 3, Metric: 7}}, tab.All())
	require.Zero(t, tab.Remove(pfx("10.0.0.0/9")))
	require.Equal(t, 2, tab.Remove(pfx("10.1.2.3/8")))
	require.Zero(t, tab.Len())
	_, ok := tab.Lookup(ip("10.0.0.1"))
	require.False(t, ok)
}

func TestExpire(t *testing.T) {
	var tab Table
	require.False(t, tab.Deadline().IsSet())
	require.NoError(t, tab.Add(Route{Prefix: pfx("10.0.0.0/8"), Interface: 1, Expires: 300}))
	require.NoError(t, tab.Add(Route{Prefix: pfx("::/0"), Interface: 1, Expires: 100}))
	require.NoError(t, tab.Add(Route{Prefix: pfx("0.0.0.0/0"), Interface: 1}))
	require.EqualValues(t, 100, tab.Deadline())
	require.Zero(t, tab.Expire(99))
	require.Equal(t, 1, tab.Expire(100))
	require.EqualValues(t, 300, tab.Deadline())
	require.NoError(t, tab.Add(Route{Prefix: pfx("10.0.0.0/8"), Interface: 1, Expires: 400}), "renewed")
	require.Zero(t, tab.Expire(300))
	require.Equal(t, 1, tab.Expire(1000))
	require.False(t, tab.Deadline().IsSet())
	require.Equal(t, 1, tab.Len())
}

// Against a plain search of all routes.
func TestModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	addr := func() netip.Addr { // few distinct bits, so that prefixes nest
		if r.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, byte(r.IntN(3)), byte(r.IntN(4) << 6), byte(r.IntN(4))})
		}
		return netip.AddrFrom16([16]byte{0x20, 1, byte(r.IntN(3)), 6: byte(r.IntN(256)), 15: byte(r.IntN(4))})
	}
	var tab Table
	var all []Route // in the order of Add
	for range 3000 {
		a := addr()
		p, err := a.Prefix(r.IntN(a.BitLen() + 1))
		require.NoError(t, err)
		switch {
		case r.IntN(3) > 0 && len(all) < 200:
			n := Route{Prefix: p, Interface: 1 + r.IntN(3), Metric: r.IntN(3), MTU: r.IntN(9000)}
			kept := all[:0]
			for _, q := range all {
				if !q.same(&n) {
					kept = append(kept, q)
				}
			}
			all = append(kept, n)
			require.NoError(t, tab.Add(n))
		case len(all) > 0:
			p = all[r.IntN(len(all))].Prefix
			kept := all[:0]
			for _, q := range all {
				if q.Prefix != p {
					kept = append(kept, q)
				}
			}
			require.Equal(t, len(all)-len(kept), tab.Remove(p))
			all = kept
		}
		dst, ifc := addr(), r.IntN(4)
		var want *Route
		for i := range all {
			q := &all[i]
			if !q.Prefix.Contains(dst) || ifc != 0 && q.Interface != ifc {
				continue
			}
			if want == nil || q.Prefix.Bits() > want.Prefix.Bits() ||
				q.Prefix.Bits() == want.Prefix.Bits() && q.Metric < want.Metric {
				want = q
			}
		}
		got, ok := tab.LookupOn(dst, ifc)
		require.Equal(t, want != nil, ok)
		if ok {
			require.Equal(t, *want, got)
		}
		require.Equal(t, len(all), tab.Len())
	}
}

func small() *Table {
	var tab Table
	for _, r := range []Route{
		{Prefix: pfx("10.0.0.0/24"), Interface: 1},
		{Prefix: pfx("0.0.0.0/0"), Gateway: ip("10.0.0.1"), Interface: 1},
		{Prefix: pfx("fe80::/64"), Interface: 1},
		{Prefix: pfx("2001:db8::/64"), Interface: 1},
		{Prefix: pfx("::/0"), Gateway: ip("fe80::1"), Interface: 1},
	} {
		if err := tab.Add(r); err != nil {
			panic(err)
		}
	}
	return &tab
}

func TestNoAllocations(t *testing.T) {
	tab := small()
	from := []Candidate{{Prefix: pfx("2001:db8::2/64"), Interface: 1}, {Prefix: pfx("fe80::2/64"), Interface: 1}}
	v4, v6 := ip("192.0.2.1"), ip("2001:db8:1::1")
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		tab.Lookup(v4)
		tab.Lookup(v6)
		SelectSource(v6, v6, 1, from)
	}))
}

func BenchmarkLookupSmall(b *testing.B) {
	tab := small()
	dst := ip("192.0.2.1")
	for b.Loop() {
		tab.Lookup(dst)
	}
}

func BenchmarkLookup1000(b *testing.B) {
	var tab Table
	for i := range 1000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i)}), 20+i%8)
		if err := tab.Add(Route{Prefix: p, Interface: 1}); err != nil {
			b.Fatal(err)
		}
	}
	dst := ip("10.1.20.1")
	for b.Loop() {
		tab.Lookup(dst)
	}
}
