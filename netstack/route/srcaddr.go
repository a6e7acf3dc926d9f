package route

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"
)

// Read first: RFC 6724, sections 2.1 (policy table), 2.2 (common prefix
// length), 3 (scopes), 5 (source), 6 (destination). Not done: rules 4 (no
// mobility), 5.5 (prefixes of next hops) and destination rule 7 (no transition
// mechanism is an interface here).

// A Scope is how far an address reaches, RFC 6724 section 3.1; a multicast
// address says it itself (RFC 4291 2.7).
type Scope uint8

// The scopes that unicast addresses have.
const (
	ScopeLink   Scope = 0x2
	ScopeSite   Scope = 0x5
	ScopeGlobal Scope = 0xe
)

var siteLocal = netip.MustParsePrefix("fec0::/10")

// ScopeOf returns the scope of a.
func ScopeOf(a netip.Addr) Scope {
	a = a.Unmap()
	switch {
	case a.Is6() && a.IsMulticast():
		return Scope(a.As16()[1] & 0xf)
	// RFC 6724 3.2, 3.4: 169.254/16 and the loopback addresses of both families
	// have link-local scope.
	case a.IsLoopback(), a.IsLinkLocalUnicast(), a.IsLinkLocalMulticast():
		return ScopeLink
	case siteLocal.Contains(a.WithZone("")):
		return ScopeSite
	}
	return ScopeGlobal
}

// policies is the default policy table, RFC 6724 section 2.1, longest prefix
// first.
var policies = []struct {
	prefix     netip.Prefix
	precedence int
	label      int
}{
	{netip.MustParsePrefix("::1/128"), 50, 0},
	{netip.MustParsePrefix("::ffff:0:0/96"), 35, 4},
	{netip.MustParsePrefix("::/96"), 1, 3},
	{netip.MustParsePrefix("2001::/32"), 5, 5},
	{netip.MustParsePrefix("2002::/16"), 30, 2},
	{netip.MustParsePrefix("3ffe::/16"), 1, 12},
	{netip.MustParsePrefix("fec0::/10"), 1, 11},
	{netip.MustParsePrefix("fc00::/7"), 3, 13},
	{netip.MustParsePrefix("::/0"), 40, 1},
}

// policyOf returns precedence and label of a; an IPv4 address counts as
// IPv4-mapped.
func policyOf(a netip.Addr) (precedence, label int) {
	for i := range policies {
		// By bits: netip.Prefix does not find IPv4 in ::ffff:0:0/96.
		if p := &policies[i]; commonBits(p.prefix.Addr(), a) >= p.prefix.Bits() {
			return p.precedence, p.label
		}
	}
	return 0, 0 // not reached: the last prefix contains all
}

// commonBits returns how many leading bits of the 16-byte forms agree.
func commonBits(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			return i*8 + bits.LeadingZeros8(d)
		}
	}
	return 128
}

// commonPrefixLen is CommonPrefixLen of RFC 6724 section 2.2: the leading bits
// that source and destination share, at most the length of the source's prefix.
func commonPrefixLen(src netip.Prefix, dst netip.Addr) int {
	a, dst := src.Addr().Unmap(), dst.Unmap()
	if a.Is4() != dst.Is4() {
		return 0
	}
	n := commonBits(a, dst)
	if a.Is4() {
		n -= 96
	}
	return min(n, src.Bits())
}

// A Candidate is one of our addresses.
type Candidate struct {
	Prefix     netip.Prefix // the address and the length of its subnet
	Interface  int          // that it is assigned to
	Deprecated bool         // its preferred lifetime is over (RFC 4862)
	Temporary  bool         // RFC 8981
}

// SelectSource returns the candidate to use as source for packets to dst that
// leave on the interface ifc by way of next, which is dst itself if it is
// on-link or not known. It reports false if there is none. RFC 6724 section 5;
// for IPv4 its rules 1 to 5 and then the subnet that contains next. Of equals
// the first is chosen.
//
// Addresses on other interfaces are no candidates for link-local and multicast
// destinations, nor loopback addresses for destinations that are not.
func SelectSource(dst, next netip.Addr, ifc int, from []Candidate) (netip.Addr, bool) {
	dst, next = dst.Unmap().WithZone(""), next.Unmap().WithZone("")
	// RFC 6724 section 4: "For multicast and link-local destination addresses, the
	// set of candidate source addresses MUST only include addresses assigned to
	// interfaces belonging to the same link as the outgoing interface."
	onLink := dst.IsMulticast() || ScopeOf(dst) == ScopeLink && !dst.IsLoopback()
	best := -1
	for i := range from {
		c := &from[i]
		a := c.Prefix.Addr()
		switch {
		case !a.IsValid(), a.Is4() != dst.Is4(), a.IsUnspecified(), a.IsMulticast(),
			a.IsLoopback() && !dst.IsLoopback(), onLink && ifc != 0 && c.Interface != ifc:
			continue
		}
		if best < 0 || preferSource(dst, next, ifc, c, &from[best]) < 0 {
			best = i
		}
	}
	if best < 0 {
		return netip.Addr{}, false
	}
	return from[best].Prefix.Addr(), true
}

// preferSource is negative if a is the better source, positive if b is, and
// zero if the rules of RFC 6724 section 5 do not tell.
func preferSource(dst, next netip.Addr, ifc int, a, b *Candidate) int {
	x, y := a.Prefix.Addr(), b.Prefix.Addr()
	// Rule 1: Prefer same address.
	if c := first(x == dst, y == dst); c != 0 {
		return c
	}
	// Rule 2: Prefer appropriate scope: the smallest that reaches, else the largest.
	if sx, sy, d := ScopeOf(x), ScopeOf(y), ScopeOf(dst); sx != sy {
		if min(sx, sy) < d {
			return cmp.Compare(sy, sx)
		}
		return cmp.Compare(sx, sy)
	}
	// Rule 3: Avoid deprecated addresses. Rule 5: Prefer outgoing interface.
	if c := cmp.Or(first(!a.Deprecated, !b.Deprecated), first(a.Interface == ifc, b.Interface == ifc)); c != 0 {
		return c
	}
	if dst.Is4() {
		in := func(p netip.Prefix) int {
			if !p.Contains(next) {
				return -1
			}
			return p.Bits()
		}
		return cmp.Compare(in(b.Prefix), in(a.Prefix))
	}
	_, lx := policyOf(x)
	_, ly := policyOf(y)
	_, ld := policyOf(dst)
	return cmp.Or(
		// Rule 6: Prefer matching label.
		first(lx == ld, ly == ld),
		// Rule 7: Prefer temporary addresses.
		first(a.Temporary, b.Temporary),
		// Rule 8: Use longest matching prefix.
		cmp.Compare(commonPrefixLen(b.Prefix, dst), commonPrefixLen(a.Prefix, dst)),
	)
}

// first is negative if only a is true, positive if only b is.
func first(a, b bool) int {
	switch {
	case a && !b:
		return -1
	case b && !a:
		return 1
	}
	return 0
}

// A Destination is an address to connect to and what would be the source.
type Destination struct {
	Addr       netip.Addr
	Source     netip.Prefix // with the length of its subnet; invalid: Addr cannot be reached
	Deprecated bool         // Source is
}

// SortDestinations sorts d by RFC 6724 section 6, the best first. Where its rules
// do not tell, the order stays.
func SortDestinations(d []Destination) {
	slices.SortStableFunc(d, preferDestination)
}

// preferDestination is negative if a is the better destination.
func preferDestination(a, b Destination) int {
	// Rule 1: Avoid unusable destinations.
	if c := first(a.Source.IsValid(), b.Source.IsValid()); c != 0 || !a.Source.IsValid() {
		return c
	}
	scope, other := ScopeOf(a.Addr), ScopeOf(b.Addr)
	precedence, label := policyOf(a.Addr)
	otherPrecedence, otherLabel := policyOf(b.Addr)
	_, source := policyOf(a.Source.Addr())
	_, otherSource := policyOf(b.Source.Addr())
	c := cmp.Or(
		// Rule 2: Prefer matching scope.
		first(scope == ScopeOf(a.Source.Addr()), other == ScopeOf(b.Source.Addr())),
		// Rule 3: Avoid deprecated addresses.
		first(!a.Deprecated, !b.Deprecated),
		// Rule 5: Prefer matching label.
		first(label == source, otherLabel == otherSource),
		// Rule 6: Prefer higher precedence.
		cmp.Compare(otherPrecedence, precedence),
		// Rule 8: Prefer smaller scope.
		cmp.Compare(scope, other),
	)
	// Rule 9: Use longest matching prefix, "when DA and DB belong to the same
	// address family".
	if c == 0 && a.Addr.Unmap().Is4() == b.Addr.Unmap().Is4() {
		c = cmp.Compare(commonPrefixLen(b.Source, b.Addr), commonPrefixLen(a.Source, a.Addr))
	}
	return c // Rule 10: Otherwise, leave the order unchanged.
}
