// Package conn holds the connections and packet sockets that programs hold in
// their hands: [TCP], [UDP] and [Ping] have the methods of package net's
// TCPConn, UDPConn and (for want of one there) a socket for ICMP echoes, and
// behave as those do on Linux, errors included.
//
// They are made by the packages dialer and listener. All methods may be called
// from any goroutine; calls on the same direction of a connection take turns.
//
// A Read or Write that need not wait copies bytes and returns: it takes no lock
// that the stack's poll loop ever takes and waits for no other goroutine.
package conn

import (
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"smolnet/netstack"
	"smolnet/netstack/core"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
)

// A TCP is a TCP connection. It has the methods of *net.TCPConn but for File,
// SyscallConn and MultipathTCP.
type TCP struct {
	endpoint
	s         *core.TCP
	names     atomic.Pointer[names] // nil: nobody has asked yet
	done      atomic.Pointer[ending]
	offer     *core.Offer  // the reader's; nil: none was made yet
	linger    atomic.Int64 // seconds, negative: off
	wide      bool         // addresses are shown as by a socket for both families
	readShut  atomic.Bool
	writeShut atomic.Bool
	over      atomic.Bool // nothing more can be read that has not arrived, nor written
}

// names are the two ends of a connection as package net shows them.
type names struct {
	local, remote     net.TCPAddr
	localIP, remoteIP [16]byte
}

var (
	_ net.Conn      = (*TCP)(nil)
	_ io.ReaderFrom = (*TCP)(nil)
	_ io.WriterTo   = (*TCP)(nil)
	_ core.Waiter   = (*TCP)(nil)
)

// NewTCP returns the user's end of s, whose Waiter it becomes. It is called on
// the stack's poll goroutine, for connections that the core has accepted.
// network is what errors say, usually "tcp"; wide says that addresses are to be
// shown as by a socket for both families: IPv4 in 16 bytes.
func NewTCP(st *netstack.Stack, s *core.TCP, network string, wide bool) *TCP {
	c := newTCP(st, network)
	c.bind(s, wide)
	s.SetWaiter(c)
	return c
}

func newTCP(st *netstack.Stack, network string) *TCP {
	c := new(TCP)
	c.init(st, network)
	c.linger.Store(-1)
	return c
}

// bind gives the connection its socket.
func (c *TCP) bind(s *core.TCP, wide bool) { c.s, c.wide = s, wide }

// ends returns the connection's addresses, always the same ones.
func (c *TCP) ends() *names {
	n := c.names.Load()
	if n == nil {
		l, r := c.s.LocalAddr(), c.s.RemoteAddr()
		n = new(names)
		n.local = net.TCPAddr{IP: ipOf(l.Addr(), c.wide, &n.localIP), Port: int(l.Port()), Zone: l.Addr().Zone()}
		n.remote = net.TCPAddr{IP: ipOf(r.Addr(), c.wide, &n.remoteIP), Port: int(r.Port()), Zone: r.Addr().Zone()}
		if !c.names.CompareAndSwap(nil, n) {
			n = c.names.Load()
		}
	}
	return n
}

// Ready is called by the core. Done is closed first: whoever is woken because the
// connection is over may look there.
func (c *TCP) Ready(ev tcp.Events) {
	if ev&(tcp.EventFailed|tcp.EventClosed|tcp.EventTimeWait) != 0 {
		c.finish()
	}
	c.notify(ev)
}

func (c *TCP) ok() bool { return c != nil && c.s != nil }

// fail makes the error of an operation on c. A stack that has ended fails its
// connections with errno.Closed, which core reports once only.
func (c *TCP) fail(op, call string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := err.(errno.Errno); ok && c.s.Err() == errno.Closed {
		err = net.ErrClosed
	}
	ends := c.ends()
	return OpError(op, call, c.network, &ends.local, &ends.remote, err)
}

// Read implements net.Conn. At the end of what the peer sent it returns a bare
// io.EOF.
func (c *TCP) Read(b []byte) (int, error) {
	if !c.ok() {
		return 0, errInvalid
	}
	n, err := c.read(b)
	if err == io.EOF {
		if c.s.Err() != errno.Closed {
			return n, io.EOF
		}
		err = net.ErrClosed // the stack has ended, not the peer
	}
	return n, c.fail("read", "read", err)
}

func (c *TCP) read(b []byte) (int, error) {
	if err := c.enter(&c.in); err != nil {
		return 0, err
	}
	defer c.release(&c.in)
	if len(b) == 0 {
		return 0, nil
	}
	for {
		if err := c.pending(&c.in); err != nil {
			return 0, err
		}
		n, err := c.s.Read(b)
		if n > 0 || err != errno.WouldBlock {
			return n, err
		}
		if c.readShut.Load() {
			return 0, io.EOF
		}
		if n := c.await(b); n > 0 {
			return n, nil
		}
	}
}

// await sleeps until there is news for the reader. What arrives meanwhile goes to
// b if that is large; it returns how much did.
func (c *TCP) await(b []byte) int {
	if len(b) < core.LeastOffer {
		c.wait(&c.in)
		return 0
	}
	if c.offer == nil {
		c.offer = new(core.Offer)
	}
	c.s.Offer(c.offer, b)
	for {
		c.wait(&c.in)
		if n, ok := c.s.Withdraw(c.offer); ok {
			return n
		}
	}
}

// Write implements net.Conn. It returns when all of b has been put in the send
// buffer; if that fails halfway, with the number of bytes that have. The bytes
// of one Write are never mixed with those of others.
func (c *TCP) Write(b []byte) (int, error) {
	if !c.ok() {
		return 0, errInvalid
	}
	if err := c.enter(&c.out); err != nil {
		return 0, c.fail("write", "write", err)
	}
	n, err := c.write(b)
	c.release(&c.out)
	return n, c.fail("write", "write", err)
}

// memoryRetry is how long a Write waits when the stack's memory budget is used
// up by others, whose giving back nobody tells it.
const memoryRetry = 10 * time.Millisecond

// write is Write for one who has entered.
func (c *TCP) write(b []byte) (int, error) {
	n := 0
	for {
		if err := c.pending(&c.out); err != nil {
			return n, err
		}
		if c.writeShut.Load() {
			return n, errno.Pipe
		}
		m, err := c.s.Write(b[n:])
		n += m
		switch {
		case n == len(b) && err == nil:
			return n, nil
		case err == errno.NoBufs:
			c.waitAtMost(&c.out, memoryRetry)
		case err != nil && err != errno.WouldBlock:
			return n, err
		default:
			c.wait(&c.out)
		}
	}
}

// Close closes the connection. Blocked calls return net.ErrClosed. What was
// written is still sent, in the background, before the peer hears of the end,
// unless SetLinger said otherwise; if there is data that was received and not
// read, the connection is reset, as the peer must not believe that it was
// delivered (RFC 2525, 2.17).
func (c *TCP) Close() error {
	if !c.ok() {
		return errInvalid
	}
	if !c.shut() {
		return c.fail("close", "", net.ErrClosed)
	}
	switch sec := c.linger.Load(); {
	case sec == 0:
		c.s.Abort()
	case sec > 0:
		c.drain(time.Duration(sec) * time.Second)
		c.s.Close()
	default:
		c.s.Close()
	}
	c.finish()
	return nil
}

// Abort closes the connection at once: blocked calls return net.ErrClosed, what
// was not sent is thrown away, and the peer gets a reset.
func (c *TCP) Abort() error {
	if !c.ok() {
		return errInvalid
	}
	if !c.shut() {
		return c.fail("close", "", net.ErrClosed)
	}
	c.s.Abort()
	c.finish()
	return nil
}

// drain ends the sending side and waits, at most d, until the peer has
// acknowledged everything: what Linux does in close with SO_LINGER.
func (c *TCP) drain(d time.Duration) {
	if c.unread() {
		return // Close is going to reset
	}
	c.s.CloseWrite()
	t := time.NewTimer(d)
	defer t.Stop()
	for !c.delivered() {
		select {
		case <-c.ready(&c.out):
		case <-t.C:
			return
		case <-c.st.Done():
			return
		}
	}
}

// delivered says whether the peer has acknowledged our FIN, or never will.
func (c *TCP) delivered() bool {
	done := true
	_ = c.st.Do(func(*core.Core) {
		switch c.s.Conn().State() {
		case tcp.StateFinWait2, tcp.StateTimeWait:
		default: // CLOSED too, while the SYN waits for the user
			done = c.s.Finished()
		}
	})
	return done
}

// unread says whether there is data that nobody will read now.
func (c *TCP) unread() bool {
	return c.s.Conn().In.Len() > 0
}

// CloseRead shuts down the reading side: a Read that would have to wait returns
// io.EOF instead. The peer hears nothing of it, and what it sends can still be
// read, as on Linux. Most callers should just use Close.
func (c *TCP) CloseRead() error {
	if !c.ok() {
		return errInvalid
	}
	return c.closeHalf(&c.in, &c.readShut, c.s.CloseRead)
}

// CloseWrite shuts down the writing side: the peer gets a FIN after what was
// written. A Write that is blocked fails with EPIPE, as do later ones. Most
// callers should just use Close.
func (c *TCP) CloseWrite() error {
	if !c.ok() {
		return errInvalid
	}
	return c.closeHalf(&c.out, &c.writeShut, c.s.CloseWrite)
}

// closeHalf ends the direction d: who uses it now sees shut and leaves, then
// end is called.
func (c *TCP) closeHalf(d *direction, shut *atomic.Bool, end func()) error {
	if c.closed.Load() {
		return c.fail("close", "", net.ErrClosed)
	}
	if c.s.Finished() {
		return c.fail("close", "shutdown", syscall.ENOTCONN)
	}
	shut.Store(true)
	d.signal()
	if err := c.enter(d); err != nil {
		return c.fail("close", "", err)
	}
	end()
	c.release(d)
	return nil
}

// LocalAddr returns the local address, a *net.TCPAddr. It is shared by all
// calls: do not change it.
func (c *TCP) LocalAddr() net.Addr {
	if !c.ok() {
		return nil
	}
	return &c.ends().local
}

// RemoteAddr returns the peer's address, a *net.TCPAddr. It is shared by all
// calls: do not change it.
func (c *TCP) RemoteAddr() net.Addr {
	if !c.ok() {
		return nil
	}
	return &c.ends().remote
}

// SetDeadline implements net.Conn.
func (c *TCP) SetDeadline(t time.Time) error {
	if !c.ok() {
		return errInvalid
	}
	return c.moveDeadlines(t, &c.in, &c.out)
}

// SetReadDeadline implements net.Conn. A deadline in the past ends a Read in
// progress at once.
func (c *TCP) SetReadDeadline(t time.Time) error {
	if !c.ok() {
		return errInvalid
	}
	return c.moveDeadlines(t, &c.in)
}

// SetWriteDeadline implements net.Conn. A Write that it ends says how much of
// its bytes are on their way.
func (c *TCP) SetWriteDeadline(t time.Time) error {
	if !c.ok() {
		return errInvalid
	}
	return c.moveDeadlines(t, &c.out)
}

// moveDeadlines is the body of the SetDeadline methods.
func (c *TCP) moveDeadlines(t time.Time, ds ...*direction) error {
	for _, d := range ds {
		if !c.setDeadline(d, t) {
			return OpError("set", "", c.network, nil, &c.ends().local, net.ErrClosed)
		}
	}
	return nil
}

// An ending is the channel of Done.
type ending struct {
	ch     chan struct{}
	closed atomic.Bool
}

func (e *ending) end() {
	if !e.closed.Swap(true) {
		close(e.ch)
	}
}

// Done returns a channel that is closed when the connection is over: it failed,
// both sides have ended it, or it was closed here. Data that arrived before
// can still be read, unless it was closed here.
func (c *TCP) Done() <-chan struct{} {
	e := c.done.Load()
	if e == nil {
		e = &ending{ch: make(chan struct{})}
		if !c.done.CompareAndSwap(nil, e) {
			e = c.done.Load()
		}
	}
	if c.over.Load() {
		e.end()
	}
	return e.ch
}

func (c *TCP) finish() {
	c.over.Store(true)
	if e := c.done.Load(); e != nil {
		e.end()
	}
}
