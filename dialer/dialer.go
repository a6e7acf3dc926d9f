// Package dialer makes connections over a stack, in the shape of package net's
// Dialer.
//
//	d := &dialer.Dialer{Stack: st}
//	client := &http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
package dialer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"smolnet/conn"
	"smolnet/netstack"
)

// A Dialer connects to addresses over a stack. Its fields are those of
// net.Dialer that make sense here, and Stack or Group, one of which is
// required; the others have useful zero values. A Dialer may be used by many
// goroutines.
type Dialer struct {
	// Stack to dial over.
	Stack *netstack.Stack

	// Group to dial over, in the place of Stack: over any of its stacks or, with
	// a local port in LocalAddr, over the one that hears the answers to it.
	Group *netstack.Group

	// Timeout is the longest that a dial may take, names included. Zero: no
	// limit but the stack's own (some two minutes of retries). If a name has
	// several addresses the time is divided among them.
	Timeout time.Duration

	// Deadline is the instant after which dials fail. Zero: none.
	Deadline time.Time

	// LocalAddr is the address to dial from: a *net.TCPAddr for TCP,
	// *net.UDPAddr for UDP, *net.IPAddr for ping. Nil: the stack chooses.
	LocalAddr net.Addr

	// FallbackDelay is how long the addresses of one family are tried before
	// those of the other are too (RFC 6555, RFC 8305). Zero: 300 ms. Negative:
	// one after the other only.
	FallbackDelay time.Duration

	// KeepAlive is the idle time before keep-alive probes; they are 15 s apart.
	// Zero: the stack's setting, by default 15 s. Negative: none. It is ignored
	// if KeepAliveConfig.Enable is true.
	KeepAlive time.Duration

	// KeepAliveConfig configures keep-alive probes, if its Enable is true.
	KeepAliveConfig net.KeepAliveConfig

	// FastOpen uses TCP Fast Open (RFC 7413), as TCP_FASTOPEN_CONNECT does on Linux:
	// towards a server that has given a cookie before, Dial returns at once, and the
	// first Write goes out with the SYN, so that the answer is there a round trip
	// sooner. A Read or CloseWrite that comes first sends the SYN without text. What
	// Dial would have failed with, such as ECONNREFUSED, is then the error of a Read
	// or a later Write. Other servers are dialed as usual, and asked for a cookie; one
	// with which it does not work is left alone with it for a while.
	//
	// If the SYN is lost the server may get the first Write twice, for two
	// connections: it is for requests that may be repeated, such as those over TLS.
	// A http.Transport gains nothing, as it reads before it writes.
	FastOpen bool

	// CongestionControl is the name of the congestion controller of TCP connections, see
	// conn.TCP.SetCongestionControl. Empty: the stack's.
	CongestionControl string

	// Resolver for host names. Nil: one that asks the stack's DNS servers over
	// the stack, as made by [Resolver] (of a Group one of its stacks).
	Resolver *net.Resolver
}

var (
	errNoStack        = errors.New("dialer: Dialer.Stack is nil, and so is Dialer.Group")
	errTwo            = errors.New("dialer: Dialer.Stack and Dialer.Group are both set")
	errMissingAddress = errors.New("missing address")
)

// Resolver returns a resolver that asks the DNS servers of the stack's Config
// over the stack. It is Go's own resolver, with its use of the machine's hosts
// file; queries go out over UDP and, where an answer was cut, over TCP.
func Resolver(st *netstack.Stack) *net.Resolver { return conn.Resolver(st) }

// Dial is DialContext without a context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects to the address on the named network: "tcp", "udp" or
// "ping" (ICMP echoes), with "4" or "6" for one family only. For TCP and UDP
// the address is "host:port", where host is a literal address, a name, or
// empty for the stack itself, and port a number or a service's name; for ping
// it is the host alone.
//
// If ctx ends before there is a connection the attempt is given up, and the
// error is errors.Is ctx's; afterwards ctx has no meaning for the connection.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := d.context(ctx)
	defer cancel()
	addrs, err := d.resolve(ctx, network, address)
	if err != nil {
		return nil, conn.OpError("dial", "", network, nil, nil, err)
	}
	if d.FallbackDelay >= 0 && network == "tcp" && len(addrs) > 1 {
		return d.parallel(ctx, network, addrs)
	}
	return d.serial(ctx, network, addrs)
}

// DialTCP connects to raddr on network "tcp", "tcp4" or "tcp6". An invalid
// local address or port 0 leaves the choice to the stack; an unspecified
// address in raddr is the stack itself.
func (d *Dialer) DialTCP(ctx context.Context, network string, laddr, raddr netip.AddrPort) (*conn.TCP, error) {
	ctx, cancel := d.context(ctx)
	defer cancel()
	source, addr := net.TCPAddrFromAddrPort(laddr), net.TCPAddrFromAddrPort(raddr)
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, conn.OpError("dial", "", network, source, addr, net.UnknownNetworkError(network))
	}
	c, err := d.dialTCP(ctx, network, laddr, raddr)
	if err != nil {
		return nil, conn.OpError("dial", "connect", network, source, addr, err)
	}
	return c, nil
}

// DialUDP opens a UDP socket that is connected to raddr on network "udp",
// "udp4" or "udp6". The addresses are as for DialTCP.
func (d *Dialer) DialUDP(ctx context.Context, network string, laddr, raddr netip.AddrPort) (*conn.UDP, error) {
	source, addr := net.UDPAddrFromAddrPort(laddr), net.UDPAddrFromAddrPort(raddr)
	switch network {
	case "udp", "udp4", "udp6":
	default:
		return nil, conn.OpError("dial", "", network, source, addr, net.UnknownNetworkError(network))
	}
	ctx, cancel := d.context(ctx)
	defer cancel()
	c, err := d.dialUDP(ctx, network, laddr, raddr)
	if err != nil {
		return nil, conn.OpError("dial", "connect", network, source, addr, err)
	}
	return c, nil
}

// DialPing opens a socket for ICMP echoes with raddr on network "ping",
// "ping4" or "ping6". An invalid laddr leaves the choice to the stack.
func (d *Dialer) DialPing(ctx context.Context, network string, laddr, raddr netip.Addr) (*conn.Ping, error) {
	source, addr := ipAddr(laddr), ipAddr(raddr)
	switch network {
	case "ping", "ping4", "ping6":
	default:
		return nil, conn.OpError("dial", "", network, source, addr, net.UnknownNetworkError(network))
	}
	ctx, cancel := d.context(ctx)
	defer cancel()
	c, err := d.dialPing(ctx, network, laddr, raddr)
	if err != nil {
		return nil, conn.OpError("dial", "connect", network, source, addr, err)
	}
	return c, nil
}

func ipAddr(a netip.Addr) net.Addr {
	return &net.IPAddr{IP: a.AsSlice(), Zone: a.Zone()}
}

// context returns ctx with the earliest of its own deadline and the Dialer's.
func (d *Dialer) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx == nil {
		panic("nil context")
	}
	var deadline time.Time
	if d.Timeout != 0 { // a negative one has passed
		deadline = time.Now().Add(d.Timeout)
	}
	if !d.Deadline.IsZero() && (deadline.IsZero() || d.Deadline.Before(deadline)) {
		deadline = d.Deadline
	}
	if deadline.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, deadline)
}

// resolve returns the addresses to try, those that LocalAddr cannot reach left
// out.
func (d *Dialer) resolve(ctx context.Context, network, address string) ([]netip.AddrPort, error) {
	st, err := d.stack(netip.AddrPort{}, netip.AddrPort{})
	if err != nil {
		return nil, err
	}
	if address == "" {
		// Package net knows the network first, then misses the address.
		if _, err := conn.Resolve(ctx, st, d.Resolver, network, ":0"); err != nil {
			return nil, err
		}
		return nil, errMissingAddress
	}
	addrs, err := conn.Resolve(ctx, st, d.Resolver, network, address)
	if err != nil || d.LocalAddr == nil {
		return addrs, err
	}
	local, err := localAddr(network, d.LocalAddr)
	if err != nil {
		return nil, err
	}
	if !local.Addr().IsValid() || local.Addr().IsUnspecified() {
		return addrs, nil
	}
	var suited []netip.AddrPort
	for _, a := range addrs {
		ip := a.Addr()
		if !ip.IsValid() || ip.IsUnspecified() || ip.Is4() == local.Addr().Is4() {
			suited = append(suited, a)
		}
	}
	if len(suited) == 0 {
		return nil, &net.AddrError{Err: "no suitable address found", Addr: d.LocalAddr.String()}
	}
	return suited, nil
}

// localAddr reads the LocalAddr of a Dialer, which must be of the network's
// type. Nil, also inside the interface, gives the zero address.
func localAddr(network string, a net.Addr) (netip.AddrPort, error) {
	var ip net.IP
	var zone, kind string
	var port int
	switch a := a.(type) {
	case nil:
		return netip.AddrPort{}, nil
	case *net.TCPAddr:
		if kind = "tcp"; a != nil {
			ip, zone, port = a.IP, a.Zone, a.Port
		}
	case *net.UDPAddr:
		if kind = "udp"; a != nil {
			ip, zone, port = a.IP, a.Zone, a.Port
		}
	case *net.IPAddr:
		if kind = "ping"; a != nil {
			ip, zone = a.IP, a.Zone
		}
	}
	if kind == "" || kind != family(network) || port < 0 || port > 0xffff {
		return netip.AddrPort{}, &net.AddrError{Err: "mismatched local address type", Addr: a.String()}
	}
	addr, _ := netip.AddrFromSlice(ip)
	if addr = addr.Unmap(); zone != "" {
		addr = addr.WithZone(zone)
	}
	return netip.AddrPortFrom(addr, uint16(port)), nil
}

// family returns a network's name without the version of IP.
func family(network string) string {
	if n := len(network) - 1; n > 0 && (network[n] == '4' || network[n] == '6') {
		return network[:n]
	}
	return network
}
