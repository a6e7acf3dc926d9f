package conn

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"smolnet/netstack"
)

// Resolve returns the addresses that an address like "host:port" or
// "[fe80::1%eth0]:http" means on a network: "tcp", "udp" or (where it has no
// port) "ping", with "4" or "6" for one family only. An empty host gives one
// address that is not valid, with the port. There is at least one address if
// there is no error; errors are those that package net wraps in a *net.OpError.
//
// Addresses of a name are in the order of RFC 6724 as seen from st: the best
// first. r answers for names; nil is one that [Resolver] makes if there are any.
func Resolve(ctx context.Context, st *netstack.Stack, r *net.Resolver, network, address string) ([]netip.AddrPort, error) {
	if !knownNetwork(network) {
		return nil, net.UnknownNetworkError(network)
	}
	host, port := address, uint16(0)
	if address != "" && !strings.HasPrefix(network, "ping") {
		var service string
		var err error
		if host, service, err = net.SplitHostPort(address); err != nil {
			return nil, err
		}
		if port, err = lookupPort(ctx, st, r, network, service); err != nil {
			return nil, err
		}
	}
	if host == "" {
		return []netip.AddrPort{netip.AddrPortFrom(netip.Addr{}, port)}, nil
	}
	ips, err := lookup(ctx, st, r, host)
	if err != nil {
		return nil, err
	}
	var addrs []netip.AddrPort
	for _, ip := range ips {
		if ip = ip.Unmap(); Suits(network, ip) {
			addrs = append(addrs, netip.AddrPortFrom(ip, port))
		}
	}
	if len(addrs) == 0 {
		return nil, &net.AddrError{Err: "no suitable address found", Addr: host}
	}
	return addrs, nil
}

// lookupPort returns a service's port. For a number it needs no resolver.
func lookupPort(ctx context.Context, st *netstack.Stack, r *net.Resolver, network, service string) (uint16, error) {
	if n, err := strconv.ParseUint(service, 10, 16); err == nil {
		return uint16(n), nil
	}
	port, err := orResolver(r, st).LookupPort(ctx, network, service)
	return uint16(port), err
}

// lookup returns what host says if it is a literal address, and what the
// resolver knows of it if not.
func lookup(ctx context.Context, st *netstack.Stack, r *net.Resolver, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.WithZone("") == netip.IPv6Unspecified() {
			// Whoever listens on "::" may do so for IPv4 alone: dial it next.
			return []netip.Addr{ip, netip.IPv4Unspecified()}, nil
		}
		return []netip.Addr{ip}, nil
	}
	ips, err := orResolver(r, st).LookupNetIP(ctx, "ip", host)
	if err != nil || len(ips) < 2 {
		return ips, err
	}
	// Go's resolver has sorted by what the machine can reach, not the stack.
	return st.SortAddrs(ips), nil
}

// orResolver returns r, or a new resolver in the place of nil.
func orResolver(r *net.Resolver, st *netstack.Stack) *net.Resolver {
	if r == nil {
		r = Resolver(st)
	}
	return r
}

// Suits reports whether a network's name allows addresses of a's family.
func Suits(network string, a netip.Addr) bool {
	switch network[len(network)-1] {
	case '4':
		return a.Is4()
	case '6':
		return a.Is6()
	}
	return true
}

func knownNetwork(network string) bool {
	switch network {
	case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6", "ping", "ping4", "ping6":
		return true
	}
	return false
}
