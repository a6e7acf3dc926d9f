package netstack

import (
	"iter"
	"net/netip"

	"smolnet/netstack/core"
	"smolnet/netstack/route"
)

// AddAddr adds an address to the device's interface, and a route to its
// prefix. The error is net.ErrClosed, or says what is wrong with p.
func (st *Stack) AddAddr(p netip.Prefix) error {
	return st.command(func(*core.Core) error {
		return st.links[deviceLink].ifc.AddAddr(st.Now(), p)
	})
}

// RemoveAddr removes an address from the device's interface. Connections that
// use it go on until their next segment finds no source.
func (st *Stack) RemoveAddr(a netip.Addr) error {
	return st.command(func(*core.Core) error {
		return st.links[deviceLink].ifc.RemoveAddr(st.Now(), a)
	})
}

// Addrs returns the addresses of the device's interface; those of the loopback
// interface are left out.
func (st *Stack) Addrs() (addrs []netip.Prefix) {
	st.read(func(*core.Core) { addrs = st.links[deviceLink].ifc.Addrs() })
	return addrs
}

// AddRoute adds a route. A zero Interface stands for the device's.
func (st *Stack) AddRoute(r Route) error {
	if err := validateRoute(r); err != nil {
		return err
	}
	return st.command(func(c *core.Core) error { return c.AddRoute(st.completeRoute(r)) })
}

// RemoveRoute removes the routes to exactly this prefix.
func (st *Stack) RemoveRoute(p netip.Prefix) error {
	return st.command(func(c *core.Core) error { return c.RemoveRoute(p) })
}

// SetRoutes replaces the routes through the device, except those to the
// prefixes of its addresses, by the ones given. If one of them makes no sense,
// nothing is changed.
func (st *Stack) SetRoutes(routes []Route) error {
	for _, r := range routes {
		if err := validateRoute(r); err != nil {
			return err
		}
	}
	return st.command(func(c *core.Core) error {
		ifc := st.links[deviceLink].ifc
		onLink := make(map[netip.Prefix]bool)
		for _, p := range ifc.Addrs() {
			onLink[p.Masked()] = true
		}
		for _, r := range c.Routes() {
			if r.Interface != ifc.Index() || (onLink[r.Prefix] && !r.Gateway.IsValid()) {
				continue
			}
			if err := c.RemoveRoute(r.Prefix); err != nil {
				return err
			}
		}
		for _, r := range routes {
			if err := c.AddRoute(st.completeRoute(r)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Routes returns the route table.
func (st *Stack) Routes() (routes []Route) {
	st.read(func(c *core.Core) { routes = c.Routes() })
	return routes
}

// SortAddrs returns addrs in the order in which they are best dialled, by the
// rules of RFC 6724 section 6: those that cannot be reached come last.
func (st *Stack) SortAddrs(addrs []netip.Addr) []netip.Addr {
	list := make([]route.Destination, len(addrs))
	st.read(func(c *core.Core) {
		for i, a := range addrs {
			list[i].Addr = a.Unmap()
			list[i].Source, _ = c.SourceFor(a)
		}
	})
	route.SortDestinations(list)
	sorted := make([]netip.Addr, len(list))
	for i, d := range list {
		sorted[i] = d.Addr
	}
	return sorted
}

// completeRoute fills in the interface, of which users know only one.
func (st *Stack) completeRoute(r Route) Route {
	r.Prefix = r.Prefix.Masked()
	if r.Interface == 0 {
		r.Interface = st.links[deviceLink].ifc.Index()
	}
	return r
}

// defaultRoutes are for media where everything goes to the one other end.
func (st *Stack) defaultRoutes() (routes []Route) {
	var has4, has6 bool
	for _, p := range st.cfg.Addrs {
		has4 = has4 || p.Addr().Is4()
		has6 = has6 || p.Addr().Is6()
	}
	if has4 {
		routes = append(routes, Route{Prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0)})
	}
	if has6 {
		routes = append(routes, Route{Prefix: netip.PrefixFrom(netip.IPv6Unspecified(), 0)})
	}
	return routes
}

// Neighbors returns the neighbours that the stack knows on its links.
func (st *Stack) Neighbors() (list []core.Neighbor) {
	st.read(func(c *core.Core) { list = c.Neighbors() })
	return list
}

// Sockets returns the sockets that there are when the iteration begins.
func (st *Stack) Sockets() iter.Seq[core.SocketInfo] {
	return func(yield func(core.SocketInfo) bool) {
		var list []core.SocketInfo
		st.read(func(c *core.Core) {
			c.Sockets(func(s core.SocketInfo) bool {
				list = append(list, s)
				return true
			})
		})
		for _, s := range list {
			if !yield(s) {
				return
			}
		}
	}
}

// Stats returns the counters since the start. They stay readable after Close.
func (st *Stack) Stats() (s core.Stats) {
	st.read(func(c *core.Core) { s = c.Stats() })
	return s
}

// command runs fn on the poll goroutine and returns its error, or that of Do.
func (st *Stack) command(fn func(*core.Core) error) (err error) {
	if doErr := st.Do(func(c *core.Core) { err = fn(c) }); doErr != nil {
		return doErr
	}
	return err
}
