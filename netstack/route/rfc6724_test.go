package route

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// candidate is the address a on interface 1, with a subnet of 64 bits (IPv4: 24)
// and the attributes "deprecated" and "temporary".
func candidate(a string, attributes ...string) Candidate {
	bits := 64
	if ip(a).Is4() {
		bits = 24
	}
	return Candidate{
		Prefix:     netip.PrefixFrom(ip(a), bits),
		Interface:  1,
		Deprecated: slices.Contains(attributes, "deprecated"),
		Temporary:  slices.Contains(attributes, "temporary"),
	}
}

// RFC 6724 section 10.1, all examples but that of home addresses.
func TestSourceExamples(t *testing.T) {
	tests := []struct {
		dst  string
		a, b Candidate
		want string
		rule string
	}{
		{"2001:db8:1::1", candidate("2001:db8:3::1"), candidate("fe80::1"), "2001:db8:3::1", "prefer appropriate scope"},
		{"ff05::1", candidate("2001:db8:3::1"), candidate("fe80::1"), "2001:db8:3::1", "prefer appropriate scope"},
		{"2001:db8:1::1", candidate("2001:db8:1::1", "deprecated"), candidate("2001:db8:2::1"), "2001:db8:1::1", "prefer same address"},
		{"fe80::1", candidate("fe80::2", "deprecated"), candidate("2001:db8:1::1"), "fe80::2", "prefer appropriate scope"},
		{"2001:db8:1::1", candidate("2001:db8:1::2"), candidate("2001:db8:3::2"), "2001:db8:1::2", "longest matching prefix"},
		{"2002:c633:6401::1", candidate("2002:c633:6401::d5e3:7953:13eb:22e8", "temporary"), candidate("2001:db8:1::2"),
			"2002:c633:6401::d5e3:7953:13eb:22e8", "prefer matching label"},
		{"2001:db8:1::d5e3:0:0:1", candidate("2001:db8:1::2"), candidate("2001:db8:1::d5e3:7953:13eb:22e8", "temporary"),
			"2001:db8:1::d5e3:7953:13eb:22e8", "prefer temporary address"},
	}
	for _, tt := range tests {
		for _, from := range [][]Candidate{{tt.a, tt.b}, {tt.b, tt.a}} {
			got, ok := SelectSource(ip(tt.dst), ip(tt.dst), 1, from)
			require.True(t, ok)
			require.Equal(t, ip(tt.want), got, "%s: %s", tt.dst, tt.rule)
		}
	}
}

// RFC 6724 section 10.2, all examples but that of home addresses.
func TestDestinationExamples(t *testing.T) {
	tests := []struct {
		from []Candidate
		want []string // destination and its source, in order
		rule string
	}{
		{[]Candidate{candidate("2001:db8:1::2"), candidate("fe80::1"), candidate("169.254.13.78")},
			[]string{"2001:db8:1::1", "2001:db8:1::2", "198.51.100.121", "169.254.13.78"}, "prefer matching scope"},
		{[]Candidate{candidate("fe80::1"), candidate("198.51.100.117")},
			[]string{"198.51.100.121", "198.51.100.117", "2001:db8:1::1", "fe80::1"}, "prefer matching scope"},
		{[]Candidate{candidate("2001:db8:1::2"), candidate("fe80::1"), candidate("10.1.2.4")},
			[]string{"2001:db8:1::1", "2001:db8:1::2", "10.1.2.3", "10.1.2.4"}, "prefer higher precedence"},
		{[]Candidate{candidate("2001:db8:1::2"), candidate("fe80::2")},
			[]string{"fe80::1", "fe80::2", "2001:db8:1::1", "2001:db8:1::2"}, "prefer smaller scope"},
		{[]Candidate{candidate("2001:db8:1::2"), candidate("fe80::2", "deprecated")},
			[]string{"2001:db8:1::1", "2001:db8:1::2", "fe80::1", "fe80::2"}, "avoid deprecated address"},
		{[]Candidate{candidate("2001:db8:1::2"), candidate("2001:db8:3f44::2"), candidate("fe80::2")},
			[]string{"2001:db8:1::1", "2001:db8:1::2", "2001:db8:3ffe::1", "2001:db8:3f44::2"}, "longest matching prefix"},
		{[]Candidate{candidate("2002:c633:6401::2"), candidate("fe80::2")},
			[]string{"2002:c633:6401::1", "2002:c633:6401::2", "2001:db8:1::1", "2002:c633:6401::2"}, "prefer matching label"},
		{[]Candidate{candidate("2002:c633:6401::2"), candidate("2001:db8:1::2"), candidate("fe80::2")},
			[]string{"2001:db8:1::1", "2001:db8:1::2", "2002:c633:6401::1", "2002:c633:6401::2"}, "prefer higher precedence"},
	}
	for _, tt := range tests {
		var d []Destination
		for i := 0; i < len(tt.want); i += 2 {
			d = append(d, destination(t, tt.want[i], tt.from))
			require.Equal(t, ip(tt.want[i+1]), d[i/2].Source.Addr(), tt.rule)
		}
		want := slices.Clone(d)
		SortDestinations(d)
		require.Equal(t, want, d, tt.rule)
		slices.Reverse(d)
		SortDestinations(d)
		require.Equal(t, want, d, tt.rule)
	}
}

// destination selects the source for dst.
func destination(t *testing.T, dst string, from []Candidate) Destination {
	src, ok := SelectSource(ip(dst), ip(dst), 1, from)
	require.True(t, ok)
	for _, c := range from {
		if c.Prefix.Addr() == src {
			return Destination{Addr: ip(dst), Source: c.Prefix, Deprecated: c.Deprecated}
		}
	}
	t.Fatal("source is no candidate")
	return Destination{}
}

func TestUnusableDestinationsAreLast(t *testing.T) {
	src := pfx("2001:db8::2/64")
	d := []Destination{
		{Addr: ip("2001:db8::5")},
		{Addr: ip("192.0.2.1")},
		{Addr: ip("2001:db8:9::1"), Source: src},
		{Addr: ip("2001:db8::1"), Source: src},
		{Addr: ip("2001:db8:8::1"), Source: src},
	}
	SortDestinations(d)
	var got []string
	for _, x := range d {
		got = append(got, x.Addr.String())
	}
	require.Equal(t, []string{"2001:db8::1", "2001:db8:9::1", "2001:db8:8::1", "2001:db8::5", "192.0.2.1"}, got)
	SortDestinations(nil)
}

// IPv4-mapped destinations are IPv4 destinations, and IPv4 is compared with
// IPv4 by the source's subnet only: nobody far away is near.
func TestIPv4Destinations(t *testing.T) {
	src := pfx("192.168.1.2/24")
	d := []Destination{
		{Addr: ip("203.0.113.1"), Source: src},
		{Addr: ip("192.0.2.1"), Source: src},
		{Addr: ip("::ffff:192.168.1.9"), Source: src},
	}
	SortDestinations(d)
	require.Equal(t, "::ffff:192.168.1.9", d[0].Addr.String())
}

// The comparison is an order: sorting any permutation gives equal ranks.
func TestDestinationOrderIsConsistent(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	addrs := []string{"::1", "fe80::1", "fec0::1", "fc00::1", "2001:db8::1", "2002::1", "2001::1", "3ffe::1", "::2",
		"10.0.0.1", "169.254.0.1", "127.0.0.1", "ff02::1", "192.0.2.1"}
	random := func() Destination {
		return Destination{
			Addr:       ip(addrs[r.IntN(len(addrs))]),
			Source:     candidate(addrs[r.IntN(len(addrs))]).Prefix,
			Deprecated: r.IntN(2) == 0,
		}
	}
	for range 20_000 {
		a, b := random(), random()
		require.Zero(t, preferDestination(a, a))
		require.Equal(t, preferDestination(a, b), -preferDestination(b, a), "%v %v", a, b)
	}
}

func TestSelectSourceIPv4(t *testing.T) {
	on := func(ifc int, s string) Candidate { return Candidate{Prefix: pfx(s), Interface: ifc} }
	deprecated := on(1, "10.0.0.5/24")
	deprecated.Deprecated = true
	from := []Candidate{
		on(0, "127.0.0.1/8"), on(1, "169.254.3.4/16"), deprecated, on(1, "10.0.0.2/24"), on(1, "10.0.0.3/16"),
		on(1, "172.16.0.2/12"), on(2, "192.168.1.2/24"), on(1, "2001:db8::1/64"),
	}
	tests := []struct {
		dst, next string
		ifc       int
		want      string
	}{
		{"10.0.0.9", "10.0.0.9", 1, "10.0.0.2"},
		{"10.0.7.9", "10.0.7.9", 1, "10.0.0.3"},
		{"8.8.8.8", "172.16.0.1", 1, "172.16.0.2"},
		{"8.8.8.8", "10.0.0.1", 1, "10.0.0.2"},
		{"8.8.8.8", "8.8.8.8", 1, "10.0.0.2"}, // in no subnet: the first
		{"8.8.8.8", "192.168.1.1", 2, "192.168.1.2"},
		{"8.8.8.8", "8.8.8.8", 7, "10.0.0.2"}, // nothing on this interface: another's
		{"10.0.0.5", "10.0.0.5", 1, "10.0.0.5"},
		{"169.254.9.9", "169.254.9.9", 1, "169.254.3.4"},
		{"127.0.0.1", "127.0.0.1", 0, "127.0.0.1"},
		{"::ffff:8.8.8.8", "::ffff:172.16.0.1", 1, "172.16.0.2"},
		{"169.254.9.9", "169.254.9.9", 2, "192.168.1.2"},
		{"224.0.0.1", "224.0.0.1", 7, ""},
	}
	for _, tt := range tests {
		got, ok := SelectSource(ip(tt.dst), ip(tt.next), tt.ifc, from)
		require.Equal(t, tt.want != "", ok, "%+v", tt)
		if ok {
			require.Equal(t, tt.want, got.String(), "%+v", tt)
		}
	}
}

func TestSelectSourceCandidates(t *testing.T) {
	dst := ip("2001:db8::1")
	for _, c := range []Candidate{{}, candidate("::"), candidate("ff02::1"), candidate("::1"), candidate("10.0.0.1")} {
		_, ok := SelectSource(dst, dst, 1, []Candidate{c})
		require.False(t, ok, "%v", c)
	}
	_, ok := SelectSource(dst, dst, 1, nil)
	require.False(t, ok)
	_, ok = SelectSource(netip.Addr{}, dst, 1, []Candidate{candidate("fe80::1")})
	require.True(t, ok, "nothing is known of the destination")

	// RFC 6724 rule 5, and section 4: the same link only.
	other := candidate("2001:db8:7::1")
	other.Interface = 2
	got, ok := SelectSource(dst, dst, 1, []Candidate{other, candidate("2001:db8:8::1")})
	require.True(t, ok)
	require.Equal(t, "2001:db8:8::1", got.String())
	_, ok = SelectSource(ip("fe80::9%eth0"), ip("fe80::9"), 1, []Candidate{other})
	require.False(t, ok)
	got, ok = SelectSource(ip("::1"), ip("::1"), 1, []Candidate{other, candidate("::1")})
	require.True(t, ok)
	require.Equal(t, "::1", got.String())
}

func TestScopeAndPolicy(t *testing.T) {
	tests := []struct {
		addr              string
		scope             Scope
		precedence, label int
	}{
		{"::1", ScopeLink, 50, 0},
		{"2001:db8::1", ScopeGlobal, 40, 1},
		{"192.0.2.1", ScopeGlobal, 35, 4},
		{"10.0.0.1", ScopeGlobal, 35, 4},
		{"::ffff:192.0.2.1", ScopeGlobal, 35, 4},
		{"127.0.0.1", ScopeLink, 35, 4},
		{"169.254.1.1", ScopeLink, 35, 4},
		{"2002::1", ScopeGlobal, 30, 2},
		{"2001:0:1::1", ScopeGlobal, 5, 5},
		{"fc00::1", ScopeGlobal, 3, 13},
		{"fd12::1", ScopeGlobal, 3, 13},
		{"::5", ScopeGlobal, 1, 3},
		{"fec0::1", ScopeSite, 1, 11},
		{"3ffe::1", ScopeGlobal, 1, 12},
		{"fe80::1", ScopeLink, 40, 1},
		{"fe80::1%eth0", ScopeLink, 40, 1},
		{"ff02::1", ScopeLink, 40, 1},
		{"ff05::1", ScopeSite, 40, 1},
		{"ff0e::1", ScopeGlobal, 40, 1},
		{"224.0.0.1", ScopeLink, 35, 4},
	}
	for _, tt := range tests {
		precedence, label := policyOf(ip(tt.addr))
		require.Equal(t, tt.precedence, precedence, tt.addr)
		require.Equal(t, tt.label, label, tt.addr)
		require.Equal(t, tt.scope, ScopeOf(ip(tt.addr)), tt.addr)
	}
}
