package core

import (
	"fmt"
	"net/netip"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/route"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

// A path is how packets get from here to a destination. It is looked up once
// and kept, until the core's generation moves on.
type path struct {
	ifc  *Interface
	next netip.Addr        // the neighbour that takes the packets; not valid: hw is known
	hw   wire.HardwareAddr // zero on media without link addresses
	gen  uint32            // of the core when this was looked up
	mtu  uint16            // bytes of IP packet
}

// findPath returns how to get to dst, and the source address for it. src, if
// valid, is that source, which must be ours. via is the interface for
// destinations that do not name one (link-local, multicast, broadcast), nil if
// there is no preference. The errors are errno.NetUnreach and
// errno.AddrNotAvail (there is no source address).
func (c *Core) findPath(dst, src netip.Addr, via *Interface) (path, netip.Addr, errno.Errno) {
	if c.isLocal(dst) {
		return c.localPath(dst, src)
	}
	// RFC 1122 3.2.1.3 (g): loopback addresses must not get outside.
	if src.IsValid() && src.IsLoopback() {
		return path{}, src, errno.AddrNotAvail
	}
	if owner, ok := c.isBroadcast(dst); ok || dst.IsMulticast() {
		if owner == nil {
			owner = c.groupInterface(dst, src, via)
		}
		return c.linkPath(owner, dst, src)
	}
	if via != nil && route.ScopeOf(dst) == route.ScopeLink && via.onLink(dst) {
		return c.linkPath(via, dst, src)
	}
	r, ok := c.routes.Lookup(dst)
	if !ok {
		return path{}, src, errno.NetUnreach
	}
	ifc := c.ifcs[r.Interface-1]
	next := dst
	if r.Gateway.IsValid() {
		next = r.Gateway
	}
	if !hasSource(src) {
		src = r.Source
		if !hasSource(src) {
			src, ok = route.SelectSource(dst, next, ifc.index, c.sources)
		}
		if !ok {
			return path{}, src, errno.AddrNotAvail
		}
	}
	p := ifc.pathOnLink(next)
	if r.MTU > 0 && r.MTU < int(p.mtu) {
		p.mtu = uint16(max(r.MTU, minMTU))
	}
	return p, src, errno.OK
}

// hasSource reports whether src names an address, and is not left to us.
func hasSource(src netip.Addr) bool { return src.IsValid() && !src.IsUnspecified() }

// localPath is the way to ourselves.
func (c *Core) localPath(dst, src netip.Addr) (path, netip.Addr, errno.Errno) {
	ifc := c.local
	if ifc == nil || dst.Is6() && ifc.mtu < minIPv6MTU {
		return path{}, src, errno.NetUnreach
	}
	if !hasSource(src) {
		// Between own addresses the destination is the best source (RFC 6724 5,
		// rule 1), and in 127/8 it is 127.0.0.1.
		src = dst
		if dst.Is4() && dst.IsLoopback() {
			src = loopbackIPv4
		}
	}
	return path{ifc: ifc, hw: ifc.hw, gen: c.gen, mtu: uint16(ifc.mtu)}, src, errno.OK
}

// linkPath is the way to a destination on the link of ifc itself.
func (c *Core) linkPath(ifc *Interface, dst, src netip.Addr) (path, netip.Addr, errno.Errno) {
	if ifc == nil {
		return path{}, src, errno.NetUnreach
	}
	if !hasSource(src) {
		var ok bool
		if src, ok = route.SelectSource(dst, dst, ifc.index, c.sources); !ok {
			return path{}, src, errno.AddrNotAvail
		}
	}
	return ifc.pathOnLink(dst), src, errno.OK
}

// groupInterface chooses the interface for a multicast or the limited broadcast
// address: the one asked for, that of the source, that of the route, or the
// first that has an address of the family.
func (c *Core) groupInterface(dst, src netip.Addr, via *Interface) *Interface {
	if via != nil {
		return via
	}
	if owner, _ := c.findAddr(src); owner != nil {
		return owner
	}
	if r, ok := c.routes.Lookup(dst); ok {
		return c.ifcs[r.Interface-1]
	}
	for _, ifc := range c.ifcs {
		if !ifc.caps.Loopback && ifc.sourceFor(dst).IsValid() {
			return ifc
		}
	}
	return nil
}

// pathOnLink returns the path to a neighbour or group on the link.
func (ifc *Interface) pathOnLink(next netip.Addr) path {
	p := path{ifc: ifc, gen: ifc.core.gen, mtu: uint16(ifc.mtu)}
	switch {
	case ifc.caps.Medium != phy.MediumEthernet:
	case next.IsMulticast(), next == limitedBcast, ifc.isDirected(next):
		p.hw = hardwareAddrFor(next)
	default:
		p.next = next
	}
	return p
}

// sourceFor returns the address to ask a neighbour with: one of its subnet, or
// at least of its family. It is not valid if there is none.
func (ifc *Interface) sourceFor(target netip.Addr) netip.Addr {
	var any netip.Addr
	for i := range ifc.addrs {
		a := &ifc.addrs[i]
		if a.addr.Is4() != target.Is4() {
			continue
		}
		if a.prefix.Contains(target) {
			return a.addr
		}
		if !any.IsValid() {
			any = a.addr
		}
	}
	return any
}

// AddRoute adds a route, or replaces the one with the same prefix, gateway and
// interface. A route without gateway is on-link. An Interface of zero is found:
// the one whose addresses have the gateway on their link; without gateway the
// only one that is not Loopback.
//
// The error says what is wrong and wraps errno.Invalid, errno.NetUnreach (the
// gateway is on no link) or errno.NoBufs.
func (c *Core) AddRoute(r route.Route) error {
	r.Gateway = r.Gateway.WithZone("")
	fail := func(e errno.Errno, why string) error {
		return fmt.Errorf("core: route %v via %v: %s: %w", r.Prefix, r.Gateway, why, e)
	}
	if r.Interface < 0 || r.Interface > len(c.ifcs) {
		return fail(errno.Invalid, fmt.Sprintf("there is no interface %d", r.Interface))
	}
	if r.Gateway.IsValid() && c.isLocal(r.Gateway) {
		return fail(errno.Invalid, "the gateway is ourselves")
	}
	if r.Interface == 0 {
		ifc := c.interfaceFor(r.Gateway)
		if ifc == nil {
			if r.Gateway.IsValid() {
				return fail(errno.NetUnreach, "the gateway is on no link")
			}
			return fail(errno.Invalid, "the interface is not clear")
		}
		r.Interface = ifc.index
	}
	if err := c.routes.Add(r); err != nil {
		return fmt.Errorf("core: route %v via %v: %w", r.Prefix, r.Gateway, err)
	}
	c.changed()
	return nil
}

// interfaceFor returns the interface that has gateway on its link, or for no
// gateway the only real one. It is nil if that is not clear.
func (c *Core) interfaceFor(gateway netip.Addr) *Interface {
	var only *Interface
	for _, ifc := range c.ifcs {
		if gateway.IsValid() {
			if ifc.onLink(gateway) {
				return ifc
			}
			continue
		}
		if !ifc.caps.Loopback {
			if only != nil {
				return nil
			}
			only = ifc
		}
	}
	return only
}

// RemoveRoute removes all routes to exactly the prefix p. errno.Invalid: there
// is none.
func (c *Core) RemoveRoute(p netip.Prefix) error {
	if c.routes.Remove(p) == 0 {
		return fmt.Errorf("core: route %v: there is none: %w", p, errno.Invalid)
	}
	c.changed()
	return nil
}

// Routes returns the route table, on-link prefixes included: IPv4 before IPv6,
// the longest prefix first.
func (c *Core) Routes() []route.Route { return c.routes.All() }

// addOnLink adds the route of an address's prefix.
func (c *Core) addOnLink(ifc *Interface, p netip.Prefix) error {
	if err := c.routes.Add(route.Route{Prefix: p, Interface: ifc.index}); err != nil {
		return fmt.Errorf("core: address %v on interface %q: route: %w", p, ifc.name, err)
	}
	return nil
}

func (c *Core) removeOnLink(ifc *Interface, p netip.Prefix) {
	p = p.Masked()
	c.routes.RemoveFunc(func(r route.Route) bool {
		return r.Prefix == p && r.Interface == ifc.index && !r.Gateway.IsValid()
	})
}

// changed notes that addresses or routes have changed: every path is looked up
// anew before it is next used.
func (c *Core) changed() {
	c.gen++
	c.wayGen.Add(1)
	c.sources = c.sources[:0]
	for _, ifc := range c.ifcs {
		for i := range ifc.addrs {
			c.sources = append(c.sources, route.Candidate{Prefix: ifc.addrs[i].prefix, Interface: ifc.index})
		}
		if ifc.neigh != nil { // who waits for a neighbour may not need it any more
			ifc.neigh.Waiters(func(s *TCP) { s.enqueue() })
		}
	}
}

// expireRoutes drops the routes whose time is over.
func (c *Core) expireRoutes(now clock.Time) {
	if c.routes.Deadline().Due(now) && c.routes.Expire(now) > 0 {
		c.changed()
	}
}
