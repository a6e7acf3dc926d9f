package listener

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"smolnet/conn"
	"smolnet/netstack"
	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
	"smolnet/netstack/tcp"
)

// maxSources is how many destinations a [GroupUDP] remembers the source of.
const maxSources = 1024

var errMissingAddress = errors.New("missing address")

// A GroupUDP is a UDP socket on all stacks of a Group, which is not connected. A
// read takes a datagram from any of them; a write goes through the stack that
// hears the answers. It has the methods of net.PacketConn, and those of
// *net.UDPConn that take a netip.AddrPort.
//
// Datagrams from one peer keep their order, those of several do not. The bounds
// of what waits to be read or sent are each stack's.
type GroupUDP struct {
	g       *netstack.Group
	network string
	bound   netip.AddrPort // as the core was asked, with the port
	local   net.UDPAddr
	parts   []*udpPart
	closing atomic.Bool
	closed  chan struct{}
	in, out deadline

	news   chan struct{} // one slot: a part has something to read
	reader chan struct{} // one slot: whoever reads has put something in
	next   int           // the reader's: where it looks first

	mu      sync.Mutex                // guards what follows
	sources map[netip.Addr]netip.Addr // what we send from, by destination
}

var _ net.PacketConn = (*GroupUDP)(nil)

// A udpPart is the socket on one stack.
type udpPart struct {
	c      *GroupUDP
	st     *netstack.Stack
	s      *core.UDP
	room   chan struct{} // one slot: there may be room to write
	writer chan struct{} // one slot: whoever writes has put something in
}

// Ready implements [core.Waiter].
func (p *udpPart) Ready(ev tcp.Events) {
	const over = tcp.EventFailed | tcp.EventClosed
	if ev&(tcp.EventReadable|over) != 0 {
		signal(p.c.news)
	}
	if ev&(tcp.EventWritable|over) != 0 {
		signal(p.room)
	}
}

func signal(slot chan struct{}) {
	select {
	case slot <- struct{}{}:
	default:
	}
}

// ListenGroupUDP opens a UDP socket on laddr of cfg's Group. The address is as
// for [Config.ListenUDP].
func (cfg *Config) ListenGroupUDP(network string, laddr netip.AddrPort) (*GroupUDP, error) {
	addr := net.UDPAddrFromAddrPort(laddr)
	switch network {
	case "udp", "udp4", "udp6":
	default:
		return nil, listenError("", network, addr, net.UnknownNetworkError(network))
	}
	err := cfg.check(network, laddr)
	if err == nil && cfg.Group == nil {
		err = errNoGroup
	}
	if err != nil {
		return nil, listenError("", network, addr, err)
	}
	c := &GroupUDP{
		g:       cfg.Group,
		network: network,
		closed:  make(chan struct{}),
		news:    make(chan struct{}, 1),
		reader:  make(chan struct{}, 1),
		sources: make(map[netip.Addr]netip.Addr),
	}
	c.in.init()
	c.out.init()
	select {
	case <-c.g.Closing():
		err = net.ErrClosed
	default:
		local, _ := localAddr(network, unmap(laddr))
		err = onAll(c.g.Stacks(), local, func(st *netstack.Stack, local netip.AddrPort) (netip.AddrPort, error) {
			return c.open(st, local, cfg.ReuseAddr)
		}, c.closeParts)
	}
	if err != nil {
		return nil, listenError("bind", network, addr, err)
	}
	c.bound = c.parts[0].s.LocalAddr()
	c.local = *net.UDPAddrFromAddrPort(c.bound)
	return c, nil
}

// open opens the socket on one stack.
func (c *GroupUDP) open(st *netstack.Stack, local netip.AddrPort, reuse bool) (netip.AddrPort, error) {
	p := &udpPart{c: c, st: st, room: make(chan struct{}, 1), writer: make(chan struct{}, 1)}
	recv, send := st.UDPLimits()
	var err error
	doErr := st.Do(func(co *core.Core) {
		p.s, err = co.OpenUDP(st.Now(), core.UDPOptions{
			Local: local, ReuseAddr: reuse,
			Broadcast: true, // as package net's sockets
			RecvLimit: recv, SendLimit: send, Waiter: p,
		})
	})
	switch {
	case doErr != nil:
		return local, doErr
	case err != nil:
		return local, err
	}
	c.parts = append(c.parts, p)
	return p.s.LocalAddr(), nil
}

// closeParts gives up the sockets, when nobody uses them.
func (c *GroupUDP) closeParts() {
	for _, p := range c.parts {
		p.s.Close()
	}
	c.parts = nil
}

func (c *GroupUDP) ok() bool { return c != nil && c.closed != nil }

func (c *GroupUDP) fail(op, call string, addr net.Addr, err error) error {
	return conn.OpError(op, call, c.network, &c.local, addr, err)
}

// pending returns why a call must not go on, or go on waiting.
func (c *GroupUDP) pending(expired <-chan struct{}) error {
	select {
	case <-c.closed:
		return net.ErrClosed
	default:
	}
	select {
	case <-expired:
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

// receive waits for a datagram.
func (c *GroupUDP) receive(b []byte) (n int, from netip.AddrPort, err error) {
	c.reader <- struct{}{}
	defer func() { <-c.reader }()
	for {
		expired := c.in.wait()
		if err := c.pending(expired); err != nil {
			return 0, from, err
		}
		for range c.parts {
			p := c.parts[c.next]
			c.next = (c.next + 1) % len(c.parts)
			n, _, m, err := p.s.ReadFrom(b)
			if err != errno.WouldBlock {
				return n, m.Remote, err
			}
		}
		select {
		case <-c.news:
		case <-c.closed:
		case <-expired:
		}
	}
}

// ReadFromUDPAddrPort is ReadFrom with a netip.AddrPort. Addresses of IPv4 are in
// their own form on every socket.
func (c *GroupUDP) ReadFromUDPAddrPort(b []byte) (n int, addr netip.AddrPort, err error) {
	if !c.ok() {
		return 0, addr, syscall.EINVAL
	}
	if n, addr, err = c.receive(b); err != nil {
		return 0, netip.AddrPort{}, c.fail("read", "recvfrom", nil, err)
	}
	return n, addr, nil
}

// ReadFrom implements net.PacketConn: it reads one datagram. What does not fit
// in b is lost. The address is a *net.UDPAddr.
func (c *GroupUDP) ReadFrom(b []byte) (int, net.Addr, error) {
	n, addr, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		return 0, nil, err
	}
	return n, net.UDPAddrFromAddrPort(addr), nil
}

// WriteToUDPAddrPort sends b as one datagram to addr.
func (c *GroupUDP) WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	if err := c.sendTo(b, addr); err != nil {
		return 0, c.fail("write", "sendto", net.UDPAddrFromAddrPort(addr), err)
	}
	return len(b), nil
}

// WriteTo implements net.PacketConn: it sends b as one datagram to addr, a
// *net.UDPAddr.
func (c *GroupUDP) WriteTo(b []byte, addr net.Addr) (int, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	a, ok := addr.(*net.UDPAddr)
	if !ok || a == nil {
		return 0, &net.OpError{Op: "write", Net: c.network, Source: &c.local, Addr: addr, Err: syscall.EINVAL}
	}
	if err := c.sendTo(b, a.AddrPort()); err != nil {
		return 0, c.fail("write", "sendto", addr, err)
	}
	return len(b), nil
}

// sendTo sends b to addr, after the checks that package net makes.
func (c *GroupUDP) sendTo(b []byte, addr netip.AddrPort) error {
	a := addr.Addr().Unmap()
	switch {
	case c.closing.Load():
		return net.ErrClosed
	case !addr.IsValid():
		return errMissingAddress
	case c.network == "udp4" && !a.Is4():
		return &net.AddrError{Err: "non-IPv4 address", Addr: a.String()}
	case c.network == "udp6" && a.Is4():
		return syscall.ENETUNREACH // an IPv4 address to a socket of IPv6 only, on Linux
	}
	to := netip.AddrPortFrom(a, addr.Port())
	return c.route(to).send(b, packet.Meta{Remote: to})
}

// route returns the socket on the stack that hears the answers to a datagram. It
// remembers what we send from: if that has changed meanwhile, answers still come
// to the socket, by way of a stack more.
func (c *GroupUDP) route(to netip.AddrPort) *udpPart {
	local := c.bound
	if local.Addr().IsUnspecified() {
		local = netip.AddrPortFrom(c.sourceFor(to.Addr()), local.Port())
	}
	return c.parts[c.g.OwnerIndex(local, to)]
}

func (c *GroupUDP) sourceFor(to netip.Addr) netip.Addr {
	c.mu.Lock()
	src, ok := c.sources[to]
	c.mu.Unlock()
	if ok {
		return src
	}
	src = c.g.SourceFor(to)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sources) >= maxSources {
		clear(c.sources)
	}
	c.sources[to] = src
	return src
}

// send waits until there is room for the datagram.
func (p *udpPart) send(b []byte, m packet.Meta) error {
	p.writer <- struct{}{}
	defer func() { <-p.writer }()
	for {
		expired := p.c.out.wait()
		if err := p.c.pending(expired); err != nil {
			return err
		}
		if !p.s.Knows(m) {
			if err := p.learn(m); err != nil {
				return err
			}
		}
		if err := p.s.WriteTo(b, m); err != errno.WouldBlock {
			return err
		}
		select {
		case <-p.room:
		case <-p.c.closed:
		case <-expired:
		}
	}
}

// learn has the socket learn the way to a datagram's destination, so that WriteTo
// fails where Linux's sendto would.
func (p *udpPart) learn(m packet.Meta) error {
	return p.st.Do(func(*core.Core) { p.s.Learn(m) })
}

// Close closes the socket. Blocked calls return net.ErrClosed.
func (c *GroupUDP) Close() error {
	if !c.ok() {
		return syscall.EINVAL
	}
	if c.closing.Swap(true) {
		return c.fail("close", "", nil, net.ErrClosed)
	}
	close(c.closed)
	c.in.end()
	c.out.end()
	c.reader <- struct{}{} // whoever comes from now on finds the socket closed
	<-c.reader
	for _, p := range c.parts {
		p.writer <- struct{}{}
		<-p.writer
		p.s.Close()
	}
	return nil
}

// LocalAddr returns the local address, a *net.UDPAddr. It is shared by all
// calls: do not change it.
func (c *GroupUDP) LocalAddr() net.Addr {
	if !c.ok() {
		return nil
	}
	return &c.local
}

// SetDeadline implements net.PacketConn.
func (c *GroupUDP) SetDeadline(t time.Time) error { return c.setDeadline(t, true, true) }

// SetReadDeadline implements net.PacketConn.
func (c *GroupUDP) SetReadDeadline(t time.Time) error { return c.setDeadline(t, true, false) }

// SetWriteDeadline implements net.PacketConn.
func (c *GroupUDP) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, false, true) }

func (c *GroupUDP) setDeadline(t time.Time, in, out bool) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	if in && !c.in.set(t) || out && !c.out.set(t) {
		return c.fail("set", "", &c.local, net.ErrClosed)
	}
	return nil
}
