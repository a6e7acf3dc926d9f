// Package route is the route table and address selection: where a packet goes,
// which source it carries, and which of several destinations to try first.
//
// A [Table] belongs to one goroutine; [SelectSource] and [SortDestinations] are
// pure functions.
package route

import (
	"cmp"
	"net/netip"
	"slices"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
)

// DefaultMaxRoutes bounds a table unless it says otherwise.
const DefaultMaxRoutes = 1024

// A Route says where packets to a prefix go.
type Route struct {
	Prefix    netip.Prefix
	Gateway   netip.Addr // invalid: on-link
	Interface int        // index from 1; zero: found from Gateway or left to the owner
	Metric    int        // lower is better; not negative
	MTU       int        // zero: the interface's
	Source    netip.Addr // preferred source; invalid: selected
	Expires   clock.Time // when the table drops it; zero: never
}

// valid reports whether r makes sense by itself.
func (r *Route) valid() bool {
	a := r.Prefix.Addr()
	fits := func(b netip.Addr) bool {
		return !b.IsValid() || b.Is4() == a.Is4() && !b.Is4In6() && !b.IsUnspecified() && !b.IsMulticast()
	}
	return r.Prefix.IsValid() && !a.Is4In6() && fits(r.Gateway) && fits(r.Source) &&
		r.Interface >= 0 && r.Metric >= 0 && r.MTU >= 0
}

// same reports whether r and q go the same way to the same prefix.
func (r *Route) same(q *Route) bool {
	return r.Prefix == q.Prefix && r.Gateway == q.Gateway && r.Interface == q.Interface
}

// A group is the routes of one family and prefix length: routes[first:next].
type group struct {
	is4         bool
	bits        int
	first, next int
}

// A Table holds routes. The zero Table is empty and takes [DefaultMaxRoutes].
type Table struct {
	// Max is the most routes that the table takes; zero or negative is
	// [DefaultMaxRoutes].
	Max int

	routes []Route // by family, longest prefix, address, metric; then in the order of Add
	groups []group
	next   clock.Time // the earliest Expires
}

// Add adds r, or replaces the route with the same prefix, gateway and
// interface. Bits of the prefix's address beyond its length are ignored. The
// error is errno.Invalid if r makes no sense (families that differ, IPv4-mapped
// prefixes, negative numbers), errno.NoBufs if the table is full.
func (t *Table) Add(r Route) error {
	r.Prefix = r.Prefix.Masked()
	if !r.valid() {
		return errno.Invalid
	}
	limit := t.Max
	if limit <= 0 {
		limit = DefaultMaxRoutes
	}
	if i := slices.IndexFunc(t.routes, func(q Route) bool { return q.same(&r) }); i >= 0 {
		t.routes = slices.Delete(t.routes, i, i+1)
	} else if len(t.routes) >= limit {
		return errno.NoBufs
	}
	at, _ := slices.BinarySearchFunc(t.routes, r, func(q, r Route) int {
		if c := compare(&q, &r); c != 0 {
			return c
		}
		return -1 // after its equals
	})
	t.routes = slices.Insert(t.routes, at, r)
	t.index()
	return nil
}

// Replace makes r the only route to its prefix with its metric. Its errors are
// Add's, and then nothing has changed.
func (t *Table) Replace(r Route) error {
	r.Prefix = r.Prefix.Masked()
	if !r.valid() {
		return errno.Invalid
	}
	t.RemoveFunc(func(q Route) bool { return q.Prefix == r.Prefix && q.Metric == r.Metric })
	return t.Add(r)
}

// Remove removes all routes to exactly the prefix p and returns how many they
// were.
func (t *Table) Remove(p netip.Prefix) int {
	p = p.Masked()
	return t.RemoveFunc(func(r Route) bool { return r.Prefix == p })
}

// RemoveFunc removes the routes for which f is true and returns how many they
// were.
func (t *Table) RemoveFunc(f func(Route) bool) int {
	before := len(t.routes)
	t.routes = slices.DeleteFunc(t.routes, f)
	t.index()
	return before - len(t.routes)
}

// Deadline returns when the next route expires; zero: none does.
func (t *Table) Deadline() clock.Time { return t.next }

// Expire removes the routes whose time is over and returns how many they were.
func (t *Table) Expire(now clock.Time) int {
	if !t.next.Due(now) {
		return 0
	}
	return t.RemoveFunc(func(r Route) bool { return r.Expires.Due(now) })
}

// Len returns the number of routes.
func (t *Table) Len() int { return len(t.routes) }

// All returns a copy of the routes: IPv4 before IPv6, the longest prefix first.
func (t *Table) All() []Route { return slices.Clone(t.routes) }

// Lookup returns the route for dst: that with the longest prefix, of these the
// one with the lowest metric, of these the oldest.
func (t *Table) Lookup(dst netip.Addr) (Route, bool) { return t.LookupOn(dst, 0) }

// LookupOn is Lookup among the routes of one interface; zero is any. An
// IPv4-mapped address counts as IPv4; a zone is ignored.
func (t *Table) LookupOn(dst netip.Addr, ifc int) (Route, bool) {
	dst = dst.Unmap().WithZone("")
	for i := range t.groups {
		g := &t.groups[i]
		if g.is4 != dst.Is4() {
			continue
		}
		p, err := dst.Prefix(g.bits)
		if err != nil { // dst is not valid
			break
		}
		routes := t.routes[g.first:g.next]
		// The first route whose prefix is not below p, by hand: a function to
		// compare would cost more than all the rest.
		low, high := 0, len(routes)
		for low < high {
			mid := (low + high) / 2
			if routes[mid].Prefix.Addr().Less(p.Addr()) {
				low = mid + 1
			} else {
				high = mid
			}
		}
		for ; low < len(routes) && routes[low].Prefix == p; low++ {
			if ifc == 0 || routes[low].Interface == ifc {
				return routes[low], true
			}
		}
	}
	return Route{}, false
}

// compare is the order of the table.
func compare(r, q *Route) int {
	return cmp.Or(
		cmp.Compare(r.Prefix.Addr().BitLen(), q.Prefix.Addr().BitLen()),
		cmp.Compare(q.Prefix.Bits(), r.Prefix.Bits()),
		r.Prefix.Addr().Compare(q.Prefix.Addr()),
		cmp.Compare(r.Metric, q.Metric),
	)
}

// index finds groups and deadline anew after a change.
func (t *Table) index() {
	t.groups, t.next = t.groups[:0], 0
	for i := range t.routes {
		r := &t.routes[i]
		t.next = clock.Earliest(t.next, r.Expires)
		is4, bits := r.Prefix.Addr().Is4(), r.Prefix.Bits()
		if n := len(t.groups); n > 0 && t.groups[n-1].is4 == is4 && t.groups[n-1].bits == bits {
			t.groups[n-1].next = i + 1
			continue
		}
		t.groups = append(t.groups, group{is4: is4, bits: bits, first: i, next: i + 1})
	}
}
