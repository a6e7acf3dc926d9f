package conn

import (
	"net"
	"net/netip"
	"syscall"
	"time"

	"smolnet/netstack"
	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
	"smolnet/netstack/tcp"
)

// A Ping is a socket for ICMP echoes (RFC 792, RFC 4443 4.1). WriteEcho sends
// requests, ReadEcho reads the replies to them; identifier, type and checksum
// are the stack's business. As a net.Conn or net.PacketConn it carries the data
// of echoes and counts their sequence numbers up by itself.
//
// An ICMP error in answer to a request comes back as the error of a read.
type Ping struct {
	endpoint
	s      *core.Ping
	local  net.IPAddr
	remote *net.IPAddr // nil: not connected
	is6    bool
	seq    uint16 // of the next request; guarded by the direction out
}

var (
	_ net.Conn       = (*Ping)(nil)
	_ net.PacketConn = (*Ping)(nil)
	_ core.Waiter    = (*Ping)(nil)
)

// OpenPing opens an echo socket. network is "ping", "ping4" or "ping6", for
// errors. The family is that of remote, which connects the socket, or else of
// local; either may be invalid, but not both. The error is an [errno.Errno] or
// net.ErrClosed, to be wrapped by the caller with [OpError].
func OpenPing(st *netstack.Stack, network string, local, remote netip.Addr) (*Ping, error) {
	select {
	case <-st.Closing():
		return nil, net.ErrClosed
	default:
	}
	c := new(Ping)
	c.init(st, network)
	var err error
	doErr := st.Do(func(co *core.Core) {
		c.s, err = co.OpenPing(st.Now(), core.PingOptions{Local: local.Unmap(), Remote: remote.Unmap(), Waiter: c})
	})
	switch {
	case doErr != nil:
		return nil, doErr
	case err != nil:
		return nil, err
	}
	if remote.IsValid() {
		c.remote = ipAddr(remote)
		local = c.s.LocalAddr().WithZone(local.Zone())
	}
	c.local = *ipAddr(local)
	c.is6 = local.Unmap().Is6()
	return c, nil
}

func ipAddr(a netip.Addr) *net.IPAddr {
	return &net.IPAddr{IP: ipOf(a, false, new([16]byte)), Zone: a.Zone()}
}

// Ready is called by the core.
func (c *Ping) Ready(ev tcp.Events) { c.notify(ev) }

func (c *Ping) ok() bool { return c != nil && c.s != nil }

func (c *Ping) fail(op, call string, addr net.Addr, err error) error {
	return OpError(op, call, c.network, &c.local, addr, err)
}

func (c *Ping) remoteAddr() net.Addr {
	if c.remote == nil {
		return nil
	}
	return c.remote
}

// ID returns the identifier of the socket's requests.
func (c *Ping) ID() uint16 {
	if !c.ok() {
		return 0
	}
	return c.s.ID()
}

// ReadEcho reads the next reply: its data, its sender, and the sequence number
// of the request that it answers. Data that does not fit in b is lost. With the
// error of a request that failed, from is where that was sent to and seq its
// number; with other errors from is not valid.
func (c *Ping) ReadEcho(b []byte) (n int, from netip.Addr, seq uint16, err error) {
	if !c.ok() {
		return 0, from, 0, errInvalid
	}
	n, m, err := c.receive(b)
	from, seq = m.Remote.Addr(), m.Remote.Port()
	if err != nil {
		addr := c.remoteAddr()
		if from.IsValid() {
			addr = ipAddr(from)
		}
		return 0, from, seq, c.fail("read", "recvfrom", addr, err)
	}
	return n, from, seq, nil
}

func (c *Ping) receive(b []byte) (int, packet.Meta, error) {
	if err := c.enter(&c.in); err != nil {
		return 0, packet.Meta{}, err
	}
	defer c.release(&c.in)
	for {
		if err := c.pending(&c.in); err != nil {
			return 0, packet.Meta{}, err
		}
		n, _, m, err := c.s.ReadFrom(b)
		if err != errno.WouldBlock {
			return n, m, err
		}
		c.wait(&c.in)
	}
}

// WriteEcho sends a request with the data b and a sequence number. to is
// invalid on a connected socket, and only there.
func (c *Ping) WriteEcho(b []byte, to netip.Addr, seq uint16) error {
	if !c.ok() {
		return errInvalid
	}
	return c.write(b, to, &seq)
}

// write sends a request. Without seq it takes the next number.
func (c *Ping) write(b []byte, to netip.Addr, seq *uint16) error {
	err := c.send(b, to, seq)
	if err == nil {
		return nil
	}
	addr := c.remoteAddr()
	if to.IsValid() {
		addr = ipAddr(to)
	}
	return c.fail("write", "sendto", addr, err)
}

// send queues a request, once there is room for it.
func (c *Ping) send(b []byte, to netip.Addr, seq *uint16) error {
	if err := c.checkDestination(to); err != nil {
		return err
	}
	if err := c.enter(&c.out); err != nil {
		return err
	}
	defer c.release(&c.out)
	if seq == nil {
		n := c.seq
		seq = &n
		c.seq++
	}
	m := packet.Meta{Remote: netip.AddrPortFrom(to.Unmap(), *seq)}
	for {
		if err := c.pending(&c.out); err != nil {
			return err
		}
		if err := c.learn(c.s, m); err != nil {
			return err
		}
		if err := c.s.WriteTo(b, m); err != errno.WouldBlock {
			return err
		}
		c.wait(&c.out)
	}
}

func (c *Ping) checkDestination(to netip.Addr) error {
	switch {
	case c.closed.Load():
		return net.ErrClosed
	case c.remote != nil && to.IsValid():
		return net.ErrWriteToConnected
	case c.remote == nil && !to.IsValid():
		return syscall.EDESTADDRREQ
	case to.IsValid() && to.Unmap().Is6() != c.is6:
		return syscall.EAFNOSUPPORT
	}
	return nil
}

// Read implements net.Conn: it reads the data of the next reply. A read into no
// room at all returns at once.
func (c *Ping) Read(b []byte) (int, error) {
	if c.ok() && len(b) == 0 && !c.closed.Load() {
		return 0, nil
	}
	n, _, _, err := c.ReadEcho(b)
	return n, err
}

// Write implements net.Conn: it sends a request with the data b to the address
// that the socket is connected to.
func (c *Ping) Write(b []byte) (int, error) {
	if !c.ok() {
		return 0, errInvalid
	}
	if err := c.write(b, netip.Addr{}, nil); err != nil {
		return 0, err
	}
	return len(b), nil
}

// ReadFrom implements net.PacketConn: it reads the data of the next reply. The
// address is a *net.IPAddr.
func (c *Ping) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, _, err := c.ReadEcho(b)
	if err != nil {
		return 0, nil, err
	}
	return n, ipAddr(from), nil
}

// WriteTo implements net.PacketConn: it sends a request with the data b to
// addr, a *net.IPAddr or *net.UDPAddr, whose port is ignored.
func (c *Ping) WriteTo(b []byte, addr net.Addr) (int, error) {
	if !c.ok() {
		return 0, errInvalid
	}
	var ip net.IP
	var zone string
	switch a := addr.(type) {
	case *net.IPAddr:
		if a != nil {
			ip, zone = a.IP, a.Zone
		}
	case *net.UDPAddr:
		if a != nil {
			ip, zone = a.IP, a.Zone
		}
	}
	to, ok := netip.AddrFromSlice(ip)
	if !ok {
		return 0, c.fail("write", "sendto", addr, syscall.EINVAL)
	}
	if err := c.write(b, to.Unmap().WithZone(zone), nil); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close closes the socket. Blocked calls return net.ErrClosed.
func (c *Ping) Close() error {
	if !c.ok() {
		return errInvalid
	}
	if !c.shut() {
		return c.fail("close", "", c.remoteAddr(), net.ErrClosed)
	}
	c.s.Close()
	return nil
}

// LocalAddr returns the local address, a *net.IPAddr; it is empty if the stack
// chooses one for each request.
func (c *Ping) LocalAddr() net.Addr {
	if !c.ok() {
		return nil
	}
	return &c.local
}

// RemoteAddr returns the address that the socket is connected to, a
// *net.IPAddr, or nil.
func (c *Ping) RemoteAddr() net.Addr {
	if !c.ok() {
		return nil
	}
	return c.remoteAddr()
}

// SetDeadline implements net.Conn.
func (c *Ping) SetDeadline(t time.Time) error {
	if !c.ok() {
		return errInvalid
	}
	return c.deadlines(&c.local, t, &c.in, &c.out)
}

// SetReadDeadline implements net.Conn.
func (c *Ping) SetReadDeadline(t time.Time) error {
	if !c.ok() {
		return errInvalid
	}
	return c.deadlines(&c.local, t, &c.in)
}

// SetWriteDeadline implements net.Conn.
func (c *Ping) SetWriteDeadline(t time.Time) error {
	if !c.ok() {
		return errInvalid
	}
	return c.deadlines(&c.local, t, &c.out)
}
