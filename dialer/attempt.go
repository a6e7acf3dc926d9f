package dialer

import (
	"context"
	"net"
	"net/netip"
	"time"

	"smolnet/conn"
	"smolnet/netstack"
	"smolnet/netstack/core"
)

const (
	defaultFallbackDelay = 300 * time.Millisecond

	// minShare is the least time that an address gets when several share what
	// there is until the deadline, as long as there is that much.
	minShare = 2 * time.Second
)

// A result is what became of trying the addresses of one family.
type result struct {
	c       net.Conn
	err     error
	primary bool
}

// parallel tries the addresses of the first one's family and, if that has not
// succeeded after the FallbackDelay or fails sooner, those of the other family
// beside them. The first connection wins; the error is that of the first
// family.
func (d *Dialer) parallel(ctx context.Context, network string, addrs []netip.AddrPort) (net.Conn, error) {
	primaries, fallbacks := partition(addrs)
	if len(fallbacks) == 0 {
		return d.serial(ctx, network, primaries)
	}
	return d.race(ctx, network, primaries, fallbacks)
}

// race is parallel for addresses of both families. Its goroutines may outlive the
// call and use a copy: for the many dials without a race no Dialer need be on the heap.
func (d *Dialer) race(ctx context.Context, network string, primaries, fallbacks []netip.AddrPort) (net.Conn, error) {
	own := *d
	// The loser is told to give up, and closes what it may have got already.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan result)
	won := make(chan struct{})
	defer close(won)
	try := func(primary bool, addrs []netip.AddrPort) {
		c, err := own.serial(ctx, network, addrs)
		select {
		case results <- result{c, err, primary}:
		case <-won:
			if c != nil {
				_ = c.Close()
			}
		}
	}
	delay := d.FallbackDelay
	if delay == 0 {
		delay = defaultFallbackDelay
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	go try(true, primaries)
	running := 1
	var primaryErr error
	for {
		select {
		case <-timer.C:
			go try(false, fallbacks)
			running++
			fallbacks = nil
		case r := <-results:
			if r.err == nil {
				return r.c, nil
			}
			running--
			if r.primary {
				primaryErr = r.err
				if fallbacks != nil {
					timer.Reset(0) // no reason to wait any longer
					continue
				}
			}
			if running == 0 {
				return nil, primaryErr
			}
		}
	}
}

// partition splits addresses by family, the first one's family first.
func partition(addrs []netip.AddrPort) (primaries, fallbacks []netip.AddrPort) {
	for _, a := range addrs {
		if a.Addr().Is4() == addrs[0].Addr().Is4() {
			primaries = append(primaries, a)
		} else {
			fallbacks = append(fallbacks, a)
		}
	}
	return primaries, fallbacks
}

// serial tries one address after the other, each with a fair share of the time
// that is left. The error is that of the first one.
func (d *Dialer) serial(ctx context.Context, network string, addrs []netip.AddrPort) (net.Conn, error) {
	var first error
	for i, addr := range addrs {
		err := ctx.Err()
		if err == nil {
			var c net.Conn
			if c, err = d.single(ctx, network, addr, len(addrs)-i); err == nil {
				return c, nil
			}
		} else {
			err = d.fail(network, addr, err)
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// single dials one address, which may use its share of the time until ctx's
// deadline.
func (d *Dialer) single(ctx context.Context, network string, addr netip.AddrPort, sharers int) (c net.Conn, err error) {
	if deadline, ok := ctx.Deadline(); ok && sharers > 1 {
		left := time.Until(deadline)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, min(left, max(left/time.Duration(sharers), minShare)))
		defer cancel()
	}
	local, err := localAddr(network, d.LocalAddr)
	if err != nil {
		return nil, d.fail(network, addr, err)
	}
	switch family(network) {
	case "tcp":
		c, err = d.dialTCP(ctx, network, local, addr)
	case "udp":
		c, err = d.dialUDP(ctx, network, local, addr)
	default:
		c, err = d.dialPing(ctx, network, local.Addr(), addr.Addr())
	}
	if err != nil {
		return nil, d.fail(network, addr, err) // c is an interface with a nil pointer
	}
	return c, nil
}

func (d *Dialer) fail(network string, addr netip.AddrPort, err error) error {
	var to net.Addr
	switch family(network) {
	case "tcp":
		to = net.TCPAddrFromAddrPort(addr)
	case "udp":
		to = net.UDPAddrFromAddrPort(addr)
	default:
		to = ipAddr(addr.Addr())
	}
	return conn.OpError("dial", "connect", network, d.LocalAddr, to, err)
}

// dialTCP opens one connection.
func (d *Dialer) dialTCP(ctx context.Context, network string, local, remote netip.AddrPort) (*conn.TCP, error) {
	local, remote, err := d.addresses(network, local, remote)
	if err != nil {
		return nil, err
	}
	return overAny(d, local, remote, func(st *netstack.Stack) (*conn.TCP, error) {
		o := core.DialOptions{Local: local, Remote: remote, FastOpen: d.FastOpen}
		o.Config = conn.KeepAlive(st.TCPDefaults(), d.KeepAlive, d.KeepAliveConfig)
		if d.CongestionControl != "" {
			f, err := st.Congestion(d.CongestionControl)
			if err != nil {
				return nil, err
			}
			o.Congestion = f
		}
		return conn.ConnectTCP(ctx, st, network, o)
	})
}

// dialUDP opens one connected socket.
func (d *Dialer) dialUDP(ctx context.Context, network string, local, remote netip.AddrPort) (*conn.UDP, error) {
	local, remote, err := d.addresses(network, local, remote)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return overAny(d, local, remote, func(st *netstack.Stack) (*conn.UDP, error) {
		return conn.OpenUDP(st, conn.UDPOptions{Network: network, Local: local, Remote: remote})
	})
}

// dialPing opens one connected echo socket.
func (d *Dialer) dialPing(ctx context.Context, network string, local, remote netip.Addr) (*conn.Ping, error) {
	l, r, err := d.addresses(network, netip.AddrPortFrom(local, 0), netip.AddrPortFrom(remote, 0))
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return overAny(d, l, r, func(st *netstack.Stack) (*conn.Ping, error) {
		return conn.OpenPing(st, network, l.Addr(), r.Addr())
	})
}

// addresses checks a pair of addresses as package net does before it asks the
// system, and makes them what the core wants: IPv4 in four bytes, the local one
// not valid if it is left to the stack, and the loopback address where the
// remote one is not specified, which means the stack itself.
func (d *Dialer) addresses(network string, local, remote netip.AddrPort) (l, r netip.AddrPort, err error) {
	la, ra := local.Addr().Unmap(), remote.Addr().Unmap()
	if la.IsUnspecified() {
		la = netip.Addr{}
	}
	if !ra.IsValid() || ra.IsUnspecified() {
		ra = itself(network, la, ra)
	}
	for _, a := range []netip.Addr{ra, la} {
		switch {
		case !a.IsValid() || conn.Suits(network, a):
		case a.Is4():
			return l, r, &net.AddrError{Err: "non-IPv6 address", Addr: a.String()}
		default:
			return l, r, &net.AddrError{Err: "non-IPv4 address", Addr: a.String()}
		}
	}
	return netip.AddrPortFrom(la, local.Port()), netip.AddrPortFrom(ra, remote.Port()), nil
}

// itself returns the loopback address of the family in question: the network's,
// or else the remote or local address's, or else IPv4.
func itself(network string, local, remote netip.Addr) netip.Addr {
	v6 := remote.Is6() || (!remote.IsValid() && local.Is6())
	switch network[len(network)-1] {
	case '4':
		v6 = false
	case '6':
		v6 = true
	}
	if v6 {
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}
