package hostside

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	addrWait = time.Second      // how long new addresses may take to be in use
	addrPoll = time.Millisecond // how often they are looked at meanwhile
)

// Configure gives the interface of that name, in the network namespace of
// the calling thread, what cfg says. What it has already stays, so doing it
// again changes nothing. It takes the kernel as it finds it: where IPv6 is off,
// an IPv6 address is an error.
//
// The error satisfies [os.ErrNotExist] if there is no such interface, and
// [os.ErrPermission] without the right to change it.
func Configure(name string, cfg Config) error {
	if err := configure(name, cfg); err != nil {
		return fmt.Errorf("hostside: configure %q: %w", name, err)
	}
	return nil
}

func configure(name string, cfg Config) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		if errors.As(err, new(netlink.LinkNotFoundError)) {
			err = fmt.Errorf("no such interface: %w", fs.ErrNotExist)
		}
		return explainHost(err)
	}
	if cfg.MTU != 0 && cfg.MTU != link.Attrs().MTU {
		if err := netlink.LinkSetMTU(link, cfg.MTU); err != nil {
			return explainHost(fmt.Errorf("MTU %d: %w", cfg.MTU, err))
		}
	}
	for _, p := range cfg.Addrs {
		if err := addAddr(link, name, p); err != nil {
			return explainHost(fmt.Errorf("address %s: %w", p, err))
		}
	}
	if cfg.Up || len(cfg.Routes) > 0 {
		if err := netlink.LinkSetUp(link); err != nil {
			return explainHost(fmt.Errorf("up: %w", err))
		}
	}
	if err := awaitAddrs(name, cfg.Addrs); err != nil {
		return explainHost(err)
	}
	for _, r := range cfg.Routes {
		if err := addRoute(link, r); err != nil {
			return explainHost(fmt.Errorf("route to %s: %w", r.Dst, err))
		}
	}
	return nil
}

// explainHost adds to err what it most likely means.
func explainHost(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w (needs root or CAP_NET_ADMIN)", err)
	}
	return err
}

func addAddr(link netlink.Link, name string, p netip.Prefix) error {
	if !p.IsValid() {
		return errors.New("not a prefix")
	}
	addr := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		if ipv6Off(name) {
			return errors.New("IPv6 is disabled here (see sysctl net.ipv6.conf, or an MTU under 1280)")
		}
		addr.Flags = unix.IFA_F_NODAD
	}
	return netlink.AddrReplace(link, addr)
}

// awaitAddrs waits until the kernel takes packets to the IPv6 addresses for its
// own, which on an interface that carries frames it does a moment after it
// has said that they are there. One that takes longer than addrWait, or that
// the interface has lost again, is not an error.
func awaitAddrs(name string, addrs []netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if link.Attrs().RawFlags&unix.IFF_UP == 0 || link.Attrs().RawFlags&unix.IFF_RUNNING == 0 {
		return nil
	}
	end := time.Now().Add(addrWait)
	for _, p := range addrs {
		for p.Addr().Is6() && !isLocal(link, p.Addr()) && time.Now().Before(end) {
			time.Sleep(addrPoll)
		}
	}
	return nil
}

// isLocal says whether packets that arrive on the link with that destination
// are the kernel's own.
func isLocal(link netlink.Link, a netip.Addr) bool {
	routes, err := netlink.RouteGetWithOptions(a.AsSlice(), &netlink.RouteGetOptions{Iif: link.Attrs().Name})
	return err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL
}

// ipv6Off says whether the interface takes no IPv6 addresses: because it was
// told so, or because the kernel has no IPv6 or its MTU is too small for it,
// which both show in that the setting is missing.
func ipv6Off(name string) bool {
	b, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6")
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return !bytes.HasPrefix(b, []byte("0"))
}

func addRoute(link netlink.Link, r Route) error {
	if !r.Dst.IsValid() {
		return errors.New("not a prefix")
	}
	route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(r.Dst.Masked())}
	if r.Via.IsValid() {
		route.Gw = r.Via.AsSlice()
	} else {
		route.Scope = netlink.SCOPE_LINK
	}
	return netlink.RouteReplace(route)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
