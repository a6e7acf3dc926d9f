package conn

import (
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"smolnet/netstack"
	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
	"smolnet/netstack/tcp"
)

// A UDP is a UDP socket, connected or not. It has the methods of *net.UDPConn
// but for File, SyscallConn and MultipathTCP.
type UDP struct {
	endpoint
	s         *core.UDP
	local     net.UDPAddr
	remote    *net.UDPAddr // nil: not connected
	connected bool
	family    family
	segment   atomic.Uint32 // SetSegmentSize
	joins     atomic.Bool   // SetReceiveSegments
}

var (
	_ net.Conn       = (*UDP)(nil)
	_ net.PacketConn = (*UDP)(nil)
	_ core.Waiter    = (*UDP)(nil)
)

// A family is which addresses a socket takes.
type family uint8

const (
	family4   family = iota // IPv4
	family6                 // IPv6
	familyAny               // both; IPv4 addresses are shown in 16 bytes
)

// wrong is what package net says of an address that is not one of the family.
func (f family) wrong() string {
	if f == family4 {
		return "non-IPv4 address"
	}
	return "non-IPv6 address"
}

// UDPOptions say what kind of UDP socket to open.
type UDPOptions struct {
	// Network is "udp", "udp4" or "udp6".
	Network string
	// Local is where the socket listens. With an invalid or, on "udp", an
	// unspecified address it takes datagrams to all of the stack's addresses
	// of the network's families; with port 0 the stack chooses one.
	Local netip.AddrPort
	// Remote, if valid, connects the socket: it sends there, and takes
	// datagrams from there only.
	Remote netip.AddrPort
	// ReuseAddr lets several sockets listen on one address and port.
	ReuseAddr bool
}

// OpenUDP opens a UDP socket. The error is an [errno.Errno], net.ErrClosed or a
// net.UnknownNetworkError, to be wrapped by the caller with [OpError].
func OpenUDP(st *netstack.Stack, o UDPOptions) (*UDP, error) {
	switch o.Network {
	case "udp", "udp4", "udp6":
	default:
		return nil, net.UnknownNetworkError(o.Network)
	}
	if a := o.Local.Addr().Unmap(); a.IsValid() && !a.IsUnspecified() && !Suits(o.Network, a) {
		return nil, errno.AFNoSupport
	}
	select {
	case <-st.Closing():
		return nil, net.ErrClosed
	default:
	}
	c := &UDP{connected: o.Remote.IsValid()}
	c.init(st, o.Network)
	local := o.Local
	c.family, local = listenFamily(o.Network, local, o.Remote)
	recv, send := st.UDPLimits()
	var err error
	doErr := st.Do(func(co *core.Core) {
		c.s, err = co.OpenUDP(st.Now(), core.UDPOptions{
			Local: local, Remote: o.Remote, ReuseAddr: o.ReuseAddr,
			Broadcast: true, // as package net's sockets
			RecvLimit: recv, SendLimit: send, Waiter: c,
		})
	})
	switch {
	case doErr != nil:
		return nil, doErr
	case err != nil:
		return nil, err
	}
	l := c.s.LocalAddr()
	if !l.Addr().IsValid() { // both families
		l = netip.AddrPortFrom(netip.IPv6Unspecified(), l.Port())
	}
	c.local = *udpAddr(l, c.family == familyAny)
	if c.connected {
		c.remote = udpAddr(c.s.RemoteAddr(), false)
	}
	return c, nil
}

// listenFamily does what package net does to choose a socket's family: both
// for a wildcard address on a network that does not name one. It returns the
// local address as the core wants it.
func listenFamily(network string, local, remote netip.AddrPort) (family, netip.AddrPort) {
	a := local.Addr()
	switch network[len(network)-1] {
	case '4':
		if !a.IsValid() || a.IsUnspecified() {
			a = netip.IPv4Unspecified()
		}
		return family4, netip.AddrPortFrom(a.Unmap(), local.Port())
	case '6':
		if !a.IsValid() || a.IsUnspecified() {
			a = netip.IPv6Unspecified()
		}
		return family6, netip.AddrPortFrom(a, local.Port())
	}
	wildcard := !a.IsValid() || a.IsUnspecified()
	switch {
	case wildcard && !remote.IsValid():
		return familyAny, netip.AddrPortFrom(netip.Addr{}, local.Port())
	case wildcard && remote.Addr().Is4():
		return family4, netip.AddrPortFrom(netip.IPv4Unspecified(), local.Port())
	case wildcard:
		return family6, netip.AddrPortFrom(netip.IPv6Unspecified(), local.Port())
	case a.Unmap().Is4():
		return family4, netip.AddrPortFrom(a.Unmap(), local.Port())
	}
	return family6, local
}

// udpAddr returns ap as package net's address.
func udpAddr(ap netip.AddrPort, wide bool) *net.UDPAddr {
	a := new(struct { // one allocation for both
		net.UDPAddr
		ip [16]byte
	})
	a.IP, a.Port, a.Zone = ipOf(ap.Addr(), wide, &a.ip), int(ap.Port()), ap.Addr().Zone()
	return &a.UDPAddr
}

// Ready is called by the core.
func (c *UDP) Ready(ev tcp.Events) { c.notify(ev) }

func (c *UDP) ok() bool { return c != nil && c.s != nil }

func (c *UDP) fail(op, call string, addr net.Addr, err error) error {
	return OpError(op, call, c.network, &c.local, addr, err)
}

// peer returns the remote address for errors, where nil must be a nil interface.
func (c *UDP) peer() net.Addr {
	if c.remote == nil {
		return nil
	}
	return c.remote
}

// receive waits for a datagram or an error that the network has reported. With
// join it may be several of one size, see [core.UDP.ReadBuffers].
func (c *UDP) receive(bufs [][]byte, join bool) (n, size int, m packet.Meta, err error) {
	if err := c.enter(&c.in); err != nil {
		return 0, 0, m, err
	}
	defer c.release(&c.in)
	return c.waitRead(bufs, join)
}

// waitRead is receive for who has the direction.
func (c *UDP) waitRead(bufs [][]byte, join bool) (n, size int, m packet.Meta, err error) {
	for {
		if err := c.pending(&c.in); err != nil {
			return 0, 0, m, err
		}
		n, size, m, err = c.s.ReadBuffers(bufs, join)
		if err != errno.WouldBlock {
			return n, size, m, err
		}
		c.wait(&c.in)
	}
}

// receiveOne is receive of one datagram.
func (c *UDP) receiveOne(b []byte) (n, size int, m packet.Meta, err error) {
	bufs := [1][]byte{b}
	return c.receive(bufs[:], false)
}

// send waits until there is room for the datagram.
func (c *UDP) send(b []byte, m packet.Meta) error {
	if err := c.enter(&c.out); err != nil {
		return err
	}
	defer c.release(&c.out)
	bufs := [1][]byte{b}
	for {
		err := c.queue(bufs[:], m, false)
		if err == nil {
			c.s.Flush()
		}
		if err != errno.WouldBlock {
			return err
		}
		c.wait(&c.out)
	}
}

// queue puts a call's first datagram, or with next one that follows, in the queue,
// of which Flush tells the stack, once the way to its destination is known.
func (c *UDP) queue(bufs [][]byte, m packet.Meta, next bool) error {
	for {
		if err := c.pending(&c.out); err != nil {
			return err
		}
		var known bool
		var err error
		if next {
			known, err = c.s.QueueNext(bufs, m)
		} else {
			known, err = c.s.Queue(bufs, m)
		}
		if known {
			return err
		}
		if err := c.learn(c.s, m); err != nil {
			return err
		}
	}
}

// Read implements net.Conn: it reads one datagram. What does not fit in b is
// lost. A read into no room at all returns at once.
func (c *UDP) Read(b []byte) (int, error) {
	if !c.ok() {
		return 0, errInvalid
	}
	if len(b) == 0 {
		if c.closed.Load() {
			return 0, c.fail("read", "", c.peer(), net.ErrClosed)
		}
		return 0, nil
	}
	n, _, _, err := c.receiveOne(b)
	return n, c.fail("read", "read", c.peer(), err)
}

// Write implements net.Conn: it sends b as one datagram to the address that the
// socket is connected to.
func (c *UDP) Write(b []byte) (int, error) {
	if !c.ok() {
		return 0, errInvalid
	}
	err := c.pending(&c.out)
	switch {
	case err != nil:
	case c.connected:
		err = c.send(b, packet.Meta{Segment: c.segmentSize()})
	default:
		err = syscall.EDESTADDRREQ
	}
	if err != nil {
		return 0, c.fail("write", "write", c.peer(), err)
	}
	return len(b), nil
}

// ReadFromUDPAddrPort is ReadFrom with a netip.AddrPort. On a socket for both
// families, addresses of IPv4 are in their IPv6 form; Unmap undoes that.
func (c *UDP) ReadFromUDPAddrPort(b []byte) (n int, addr netip.AddrPort, err error) {
	if !c.ok() {
		return 0, addr, errInvalid
	}
	n, _, m, err := c.receiveOne(b)
	if err != nil {
		return 0, addr, c.fail("read", "recvfrom", c.peer(), err)
	}
	return n, widen(m.Remote, c.family == familyAny), nil
}

// ReadFrom implements net.PacketConn: it reads one datagram. What does not fit
// in b is lost.
func (c *UDP) ReadFrom(b []byte) (int, net.Addr, error) {
	n, addr, err := c.ReadFromUDP(b)
	if addr == nil {
		return n, nil, err
	}
	return n, addr, err
}

// ReadFromUDP is ReadFrom with a *net.UDPAddr.
func (c *UDP) ReadFromUDP(b []byte) (int, *net.UDPAddr, error) {
	n, ap, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	return n, udpAddr(ap, c.family == familyAny), nil
}

// ReadMsgUDPAddrPort is ReadFromUDPAddrPort with flags and control messages.
// Flags of 0x20, Linux's MSG_TRUNC, say that the datagram did not fit in b. The
// one control message there is tells a size of segments, see
// [UDP.SetReceiveSegments].
func (c *UDP) ReadMsgUDPAddrPort(b, oob []byte) (n, oobn, flags int, addr netip.AddrPort, err error) {
	if !c.ok() {
		return 0, 0, 0, addr, errInvalid
	}
	bufs := [1][]byte{b}
	n, size, m, err := c.receive(bufs[:], c.joinsInto(oob))
	if err != nil {
		return 0, 0, 0, addr, c.fail("read", "recvmsg", c.peer(), err)
	}
	if size > n {
		flags = msgTrunc
	}
	return n, putSegmentSize(oob, m.Segment), flags, widen(m.Remote, c.family == familyAny), nil
}

// ReadMsgUDP is ReadMsgUDPAddrPort with a *net.UDPAddr.
func (c *UDP) ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	n, oobn, flags, ap, err := c.ReadMsgUDPAddrPort(b, oob)
	if ap.IsValid() {
		addr = udpAddr(ap, c.family == familyAny)
	}
	return n, oobn, flags, addr, err
}

// Close closes the socket. Blocked calls return net.ErrClosed.
func (c *UDP) Close() error {
	if !c.ok() {
		return errInvalid
	}
	if !c.shut() {
		return c.fail("close", "", c.peer(), net.ErrClosed)
	}
	c.s.Close()
	return nil
}

// LocalAddr returns the local address, a *net.UDPAddr. It is shared by all
// calls: do not change it.
func (c *UDP) LocalAddr() net.Addr {
	if !c.ok() {
		return nil
	}
	return &c.local
}

// RemoteAddr returns the address that the socket is connected to, a
// *net.UDPAddr, or nil. It is shared by all calls: do not change it.
func (c *UDP) RemoteAddr() net.Addr {
	if !c.ok() {
		return nil
	}
	return c.peer()
}

// SetDeadline implements net.Conn.
func (c *UDP) SetDeadline(t time.Time) error {
	if !c.ok() {
		return errInvalid
	}
	return c.deadlines(&c.local, t, &c.in, &c.out)
}

// SetReadDeadline implements net.Conn. A deadline in the past ends a read in
// progress at once.
func (c *UDP) SetReadDeadline(t time.Time) error {
	if !c.ok() {
		return errInvalid
	}
	return c.deadlines(&c.local, t, &c.in)
}

// SetWriteDeadline implements net.Conn.
func (c *UDP) SetWriteDeadline(t time.Time) error {
	if !c.ok() {
		return errInvalid
	}
	return c.deadlines(&c.local, t, &c.out)
}
