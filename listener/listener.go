// Package listener announces addresses of a stack, in the shape of package
// net's Listen, ListenPacket and ListenConfig.
//
//	l, err := listener.Listen(st, "tcp", ":80")
//	http.Serve(l, handler)
package listener

import (
	"context"
	"net"
	"net/netip"
	"time"

	"smolnet/conn"
	"smolnet/netstack"
)

// DefaultBacklog is the Backlog of a [Config] that names none: Linux's
// net.core.somaxconn, which package net uses.
const DefaultBacklog = 4096

// A Config says how to listen. Only Stack or Group is required.
type Config struct {
	// Stack to listen on.
	Stack *netstack.Stack

	// Group to listen on, in the place of Stack: on all of its stacks, by one
	// listener or packet socket.
	Group *netstack.Group

	// Backlog is how many connections may wait for Accept, and how many may be
	// in their handshake. Zero or less means [DefaultBacklog]. The stacks of a
	// Group have equal parts of it, one at least.
	Backlog int

	// KeepAlive is the idle time and interval of keep-alive probes on accepted
	// connections. Zero means the stack's setting, by default 15 s; negative
	// switches them off. It is ignored if KeepAliveConfig.Enable is true.
	KeepAlive time.Duration

	// KeepAliveConfig configures keep-alive probes on accepted connections, if
	// its Enable is true.
	KeepAliveConfig net.KeepAliveConfig

	// FastOpen has connections accepted with text from their SYN, if the client has
	// shown before that it is where it says (RFC 7413). After a loss the same request
	// may so arrive twice: for protocols only whose requests may be repeated. False:
	// the stack's TCPConfig.FastOpen decides.
	FastOpen bool

	// CongestionControl is the name of the congestion controller of accepted connections,
	// see conn.TCP.SetCongestionControl. Empty: the stack's.
	CongestionControl string

	// ReuseAddr lets several packet sockets share an address and port.
	ReuseAddr bool

	// Resolver for host names; nil means one over Stack or Group.
	Resolver *net.Resolver
}

// Listen announces on a local TCP address of st. The network is "tcp", "tcp4"
// or "tcp6". An empty host, or an unspecified address on "tcp", listens on all
// addresses of both families; port 0 lets the stack choose.
func Listen(st *netstack.Stack, network, address string) (net.Listener, error) {
	cfg := Config{Stack: st}
	return cfg.Listen(context.Background(), network, address)
}

// ListenPacket announces on a local UDP address of st. The network is "udp",
// "udp4" or "udp6"; the address is as for [Listen].
func ListenPacket(st *netstack.Stack, network, address string) (net.PacketConn, error) {
	cfg := Config{Stack: st}
	return cfg.ListenPacket(context.Background(), network, address)
}

// Listen announces on a local TCP address, as the function Listen does. ctx is
// for resolving a host name; it does not affect the listener.
func (cfg *Config) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	a, err := cfg.resolve(ctx, network, address)
	if err != nil {
		return nil, listenError("", network, nil, err)
	}
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, listenError("", network, net.UDPAddrFromAddrPort(a), unexpected(address))
	}
	l, err := cfg.ListenTCP(network, a)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// ListenPacket announces on a local UDP address, as the function ListenPacket
// does. ctx is for resolving a host name; it does not affect the socket.
func (cfg *Config) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	a, err := cfg.resolve(ctx, network, address)
	if err != nil {
		return nil, listenError("", network, nil, err)
	}
	switch network {
	case "udp", "udp4", "udp6":
	default:
		return nil, listenError("", network, net.TCPAddrFromAddrPort(a), unexpected(address))
	}
	if cfg.Group != nil {
		c, err := cfg.ListenGroupUDP(network, a)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	c, err := cfg.ListenUDP(network, a)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// ListenUDP opens a UDP socket on laddr. An invalid or unspecified address is
// all addresses of the network's families; port 0 lets the stack choose. It is
// for a Stack; [Config.ListenGroupUDP] is for a Group.
func (cfg *Config) ListenUDP(network string, laddr netip.AddrPort) (*conn.UDP, error) {
	addr := net.UDPAddrFromAddrPort(laddr)
	switch network {
	case "udp", "udp4", "udp6":
	default:
		return nil, listenError("", network, addr, net.UnknownNetworkError(network))
	}
	if err := cfg.check(network, laddr); err != nil {
		return nil, listenError("", network, addr, err)
	}
	if cfg.Group != nil {
		return nil, listenError("", network, addr, errIsGroup)
	}
	c, err := conn.OpenUDP(cfg.Stack, conn.UDPOptions{Network: network, Local: unmap(laddr), ReuseAddr: cfg.ReuseAddr})
	if err != nil {
		return nil, listenError("bind", network, addr, err)
	}
	return c, nil
}

// resolve returns the one address to listen on. As package net does, it
// prefers IPv4 if a name has both.
func (cfg *Config) resolve(ctx context.Context, network, address string) (netip.AddrPort, error) {
	_, stacks, err := cfg.host()
	if err != nil {
		return netip.AddrPort{}, err
	}
	addrs, err := conn.Resolve(ctx, stacks[0], cfg.Resolver, network, address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for _, a := range addrs {
		if a.Addr().Is4() {
			return a, nil
		}
	}
	return addrs[0], nil
}

// check finds what package net refuses before it asks the system.
func (cfg *Config) check(network string, laddr netip.AddrPort) error {
	if _, _, err := cfg.host(); err != nil {
		return err
	}
	switch a := laddr.Addr().Unmap(); {
	case !a.IsValid() || conn.Suits(network, a):
		return nil
	case a == netip.IPv4Unspecified(): // stands for "::", too
		return nil
	case a.Is4():
		return &net.AddrError{Err: "non-IPv6 address", Addr: a.String()}
	default:
		return &net.AddrError{Err: "non-IPv4 address", Addr: a.String()}
	}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

func unexpected(address string) error {
	return &net.AddrError{Err: "unexpected address type", Addr: address}
}

func listenError(call, network string, addr net.Addr, err error) error {
	return conn.OpError("listen", call, network, nil, addr, err)
}
