package conn

import (
	"net"
	"net/netip"
	"syscall"

	"smolnet/netstack/packet"
)

// An addrPort is a netip.AddrPort as the address in an error.
type addrPort struct{ netip.AddrPort }

// Network returns "udp".
func (addrPort) Network() string { return "udp" }

// WriteToUDPAddrPort sends b as one datagram to addr. The socket must not be
// connected.
func (c *UDP) WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	if !c.ok() {
		return 0, errInvalid
	}
	if err := c.sendTo(b, addr); err != nil {
		return 0, c.fail("write", "sendto", addrPort{addr}, err)
	}
	return len(b), nil
}

// WriteTo implements net.PacketConn: it sends b as one datagram to addr, a
// *net.UDPAddr. The socket must not be connected.
func (c *UDP) WriteTo(b []byte, addr net.Addr) (int, error) {
	if !c.ok() {
		return 0, errInvalid
	}
	a, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, c.failWith("write", addr, errInvalid)
	}
	return c.WriteToUDP(b, a)
}

// WriteToUDP is WriteTo with a *net.UDPAddr.
func (c *UDP) WriteToUDP(b []byte, addr *net.UDPAddr) (int, error) {
	if !c.ok() {
		return 0, errInvalid
	}
	ap, err := c.destination(addr)
	if err == nil {
		err = c.sendTo(b, ap)
	}
	if err != nil {
		return 0, c.fail("write", "sendto", opAddr(addr), err)
	}
	return len(b), nil
}

// WriteMsgUDPAddrPort sends b as one datagram to addr or, if the socket is
// connected and addr invalid, to its peer. oob is empty or a control message that
// says how b is to be cut, see [UDP.SetSegmentSize]; everything else is EINVAL.
func (c *UDP) WriteMsgUDPAddrPort(b, oob []byte, addr netip.AddrPort) (n, oobn int, err error) {
	if !c.ok() {
		return 0, 0, errInvalid
	}
	if err := c.sendMsg(b, oob, addr); err != nil {
		return 0, 0, c.fail("write", "sendmsg", addrPort{addr}, err)
	}
	return len(b), len(oob), nil
}

// WriteMsgUDP is WriteMsgUDPAddrPort with a *net.UDPAddr, nil on a connected
// socket.
func (c *UDP) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	if !c.ok() {
		return 0, 0, errInvalid
	}
	var ap netip.AddrPort
	if addr != nil {
		ap, err = c.destination(addr)
	}
	if err == nil {
		err = c.sendMsg(b, oob, ap)
	}
	if err != nil {
		return 0, 0, c.fail("write", "sendmsg", opAddr(addr), err)
	}
	return len(b), len(oob), nil
}

func (c *UDP) sendMsg(b, oob []byte, addr netip.AddrPort) error {
	m, err := c.head(addr, !addr.IsValid())
	if err == nil {
		m.Segment, err = c.segmentSizeOf(oob)
	}
	if err != nil {
		return err
	}
	return c.send(b, m)
}

// sendTo sends b to addr, after the checks that package net makes.
func (c *UDP) sendTo(b []byte, addr netip.AddrPort) error {
	m, err := c.head(addr, false)
	if err != nil {
		return err
	}
	m.Segment = c.segmentSize()
	return c.send(b, m)
}

// head returns what precedes a datagram to addr or, if the socket is connected
// and toPeer, to its peer. It says what package net finds wrong with addr.
func (c *UDP) head(addr netip.AddrPort, toPeer bool) (m packet.Meta, err error) {
	a := addr.Addr()
	switch {
	case c.closed.Load():
		err = net.ErrClosed
	case c.connected && toPeer:
	case c.connected:
		err = net.ErrWriteToConnected
	case !addr.IsValid():
		err = errMissingAddress
	case c.family == family4 && !a.Is4() && !a.Is4In6():
		err = &net.AddrError{Err: c.family.wrong(), Addr: a.String()}
	case c.family == family6 && a.Unmap().Is4():
		err = syscall.ENETUNREACH // an IPv4 address to a socket of IPv6 only, on Linux
	default:
		m.Remote = netip.AddrPortFrom(a.Unmap(), addr.Port())
	}
	return m, err
}

// destination returns addr as the socket's family understands it: no address
// stands for the unspecified one, which reaches the stack itself, and that is
// IPv6's where the socket speaks IPv6. Nil, for no destination, is not valid.
func (c *UDP) destination(addr *net.UDPAddr) (netip.AddrPort, error) {
	if addr == nil {
		return netip.AddrPort{}, nil
	}
	if c.connected {
		return netip.AddrPort{}, net.ErrWriteToConnected // whatever else is wrong
	}
	a := netip.IPv4Unspecified()
	if len(addr.IP) > 0 {
		var ok bool
		if a, ok = netip.AddrFromSlice(addr.IP); !ok {
			return netip.AddrPort{}, &net.AddrError{Err: c.family.wrong(), Addr: addr.IP.String()}
		}
	}
	if c.family != family4 && a.Unmap() == netip.IPv4Unspecified() {
		a = netip.IPv6Unspecified()
	}
	if addr.Port < 0 || addr.Port > 0xffff {
		return netip.AddrPort{}, syscall.EINVAL
	}
	if addr.Zone != "" {
		a = a.WithZone(addr.Zone)
	}
	return netip.AddrPortFrom(a, uint16(addr.Port)), nil
}

// failWith is fail for an error that package net does not take for one of a
// system call.
func (c *UDP) failWith(op string, addr net.Addr, err error) error {
	return &net.OpError{Op: op, Net: c.network, Source: &c.local, Addr: addr, Err: err}
}

// opAddr returns addr for an error, where nil must be a nil interface.
func opAddr(addr *net.UDPAddr) net.Addr {
	if addr == nil {
		return nil
	}
	return addr
}
