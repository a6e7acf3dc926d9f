package listener

import (
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"smolnet/conn"
	"smolnet/netstack"
	"smolnet/netstack/core"
)

// A TCP is a listening TCP socket, with the methods of *net.TCPListener but for
// File and SyscallConn.
type TCP struct {
	host    host
	network string
	wide    bool // serves both families
	parts   []*part
	addr    net.TCPAddr
	queue   chan accepted // established, waiting for Accept
	closed  chan struct{}
	closing atomic.Bool
	stop    func() // takes back the registration with the stack

	deadline deadline
}

var _ net.Listener = (*TCP)(nil)

// ListenTCP announces on laddr. An invalid or unspecified address is all
// addresses of the network's families; port 0 lets the stack choose.
func (cfg *Config) ListenTCP(network string, laddr netip.AddrPort) (*TCP, error) {
	addr := net.TCPAddrFromAddrPort(laddr)
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, listenError("", network, addr, net.UnknownNetworkError(network))
	}
	if err := cfg.check(network, laddr); err != nil {
		return nil, listenError("", network, addr, err)
	}
	l, err := cfg.listen(network, unmap(laddr))
	if err != nil {
		return nil, listenError("bind", network, addr, err)
	}
	return l, nil
}

func (cfg *Config) listen(network string, laddr netip.AddrPort) (*TCP, error) {
	h, stacks, err := cfg.host()
	if err != nil {
		return nil, err
	}
	backlog := cfg.Backlog
	if backlog <= 0 {
		backlog = DefaultBacklog
	}
	backlog = (min(backlog, core.MaxBacklog) + len(stacks) - 1) / len(stacks)
	l := &TCP{
		host:    h,
		network: network,
		queue:   make(chan accepted, backlog*len(stacks)),
		closed:  make(chan struct{}),
	}
	l.deadline.init()
	select {
	case <-h.Closing():
		return nil, net.ErrClosed
	default:
	}
	local, wide := localAddr(network, laddr)
	l.wide = wide
	err = onAll(stacks, local, func(st *netstack.Stack, local netip.AddrPort) (netip.AddrPort, error) {
		return l.open(st, cfg, core.ListenOptions{Local: local, Backlog: backlog})
	}, func() {
		l.closeParts()
		l.parts = nil
	})
	if err != nil {
		return nil, err
	}
	a := l.parts[0].l.Addr()
	ip := net.IP(a.Addr().AsSlice())
	if l.wide {
		ip = net.IPv6zero
	}
	l.addr = net.TCPAddr{IP: ip, Port: int(a.Port()), Zone: a.Addr().Zone()}
	l.stop = h.OnShutdown(func() {
		if !l.closing.Swap(true) {
			l.end()
		}
	})
	select {
	case <-h.Closing(): // perhaps before that, and then nobody ends l
		_ = l.Close()
		return nil, net.ErrClosed
	default:
		return l, nil
	}
}

// A part of a listener is what it has on one stack.
type part struct {
	st *netstack.Stack
	l  *core.Listener
}

// An accepted connection, and the listener that is to hear of its being taken.
type accepted struct {
	c *conn.TCP
	l *core.Listener
}

// open listens on one stack.
func (l *TCP) open(st *netstack.Stack, cfg *Config, o core.ListenOptions) (netip.AddrPort, error) {
	p := &part{st: st}
	if err := cfg.configure(st, &o); err != nil {
		return netip.AddrPort{}, err
	}
	o.Accept = func(s *core.TCP) { l.enqueue(p, s) }
	var err error
	doErr := st.Do(func(c *core.Core) { p.l, err = c.ListenTCP(st.Now(), o) })
	switch {
	case doErr != nil:
		return netip.AddrPort{}, doErr
	case err != nil:
		return netip.AddrPort{}, err
	}
	l.parts = append(l.parts, p)
	return p.l.Addr(), nil
}

// configure sets what cfg says of accepted connections, if it says anything.
func (cfg *Config) configure(st *netstack.Stack, o *core.ListenOptions) error {
	defaults := st.TCPDefaults()
	o.Config = conn.KeepAlive(defaults, cfg.KeepAlive, cfg.KeepAliveConfig)
	if o.Config == nil && (cfg.FastOpen || cfg.CongestionControl != "") {
		o.Config = &defaults
	}
	if cfg.FastOpen {
		o.Config.FastOpen = true
	}
	if cfg.CongestionControl != "" {
		f, err := st.Congestion(cfg.CongestionControl)
		if err != nil {
			return err
		}
		o.Config.Congestion = f
	}
	return nil
}

// closeParts ends what open has begun, and resets the connections that nobody
// has accepted.
func (l *TCP) closeParts() {
	for _, p := range l.parts {
		_ = p.st.Do(func(*core.Core) { p.l.Close(p.st.Now()) }) // a stack that has ended has no listeners
	}
	for {
		select {
		case a := <-l.queue:
			a.l.Taken()
			_ = a.c.Abort()
		default:
			return
		}
	}
}

// enqueue is called on a poll goroutine with each new connection. The core
// sees to it that there is room.
func (l *TCP) enqueue(p *part, s *core.TCP) {
	c := conn.NewTCP(p.st, s, l.network, l.wide)
	select {
	case l.queue <- accepted{c, p.l}:
	default:
		s.Abort()
	}
}

// AcceptTCP waits for the next connection.
func (l *TCP) AcceptTCP() (*conn.TCP, error) {
	if l == nil || len(l.parts) == 0 {
		return nil, syscall.EINVAL
	}
	c, err := l.accept()
	if err != nil {
		return nil, conn.OpError("accept", "accept", l.network, nil, &l.addr, err)
	}
	return c, nil
}

// Accept implements net.Listener.
func (l *TCP) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (l *TCP) accept() (*conn.TCP, error) {
	expired := l.deadline.wait()
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	case <-l.host.Closing():
		return nil, net.ErrClosed
	default:
	}
	select {
	case <-expired:
		return nil, os.ErrDeadlineExceeded
	default:
	}
	select {
	case a := <-l.queue:
		a.l.Taken()
		return a.c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-l.host.Closing():
		return nil, net.ErrClosed
	case <-expired:
		return nil, os.ErrDeadlineExceeded
	}
}

// Close stops listening. Blocked calls of Accept return net.ErrClosed;
// connections that nobody has accepted are reset.
func (l *TCP) Close() error {
	if l == nil || len(l.parts) == 0 {
		return syscall.EINVAL
	}
	if l.closing.Swap(true) {
		return conn.OpError("close", "", l.network, nil, &l.addr, net.ErrClosed)
	}
	l.stop()
	l.end()
	return nil
}

// end is Close and what Shutdown does, for the one who has set closing.
func (l *TCP) end() {
	close(l.closed)
	l.deadline.end()
	l.closeParts()
}

// Addr returns the listener's address, a *net.TCPAddr. It is shared by all
// calls: do not change it.
func (l *TCP) Addr() net.Addr { return &l.addr }

// SetDeadline sets the instant after which Accept fails, also one that waits
// already. The zero time is none.
func (l *TCP) SetDeadline(t time.Time) error {
	if l == nil || len(l.parts) == 0 {
		return syscall.EINVAL
	}
	if l.closing.Load() || !l.deadline.set(t) {
		return conn.OpError("set", "", l.network, nil, &l.addr, net.ErrClosed)
	}
	return nil
}
