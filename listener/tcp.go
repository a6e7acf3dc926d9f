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
)

var errNoStack = errors.New("listener: Config.Stack is nil")

// A TCP is a listening TCP socket, with the methods of *net.TCPListener but for
// File and SyscallConn.
type TCP struct {
	st      *netstack.Stack
	network string
	wide    bool // serves both families
	l       *core.Listener
	addr    net.TCPAddr
	queue   chan *conn.TCP // established, waiting for Accept
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
	backlog := cfg.Backlog
	if backlog <= 0 {
		backlog = DefaultBacklog
	}
	backlog = min(backlog, core.MaxBacklog)
	l := &TCP{
		st:      cfg.Stack,
		network: network,
		queue:   make(chan *conn.TCP, backlog),
		closed:  make(chan struct{}),
	}
	l.deadline.init()
	select {
	case <-l.st.Closing():
		return nil, net.ErrClosed
	default:
	}
	local := l.local(laddr)
	var err error
	doErr := l.st.Do(func(c *core.Core) {
		l.l, err = c.ListenTCP(l.st.Now(), core.ListenOptions{
			Local:   local,
			Backlog: backlog,
			Config:  conn.KeepAlive(l.st.TCPDefaults(), cfg.KeepAlive, cfg.KeepAliveConfig),
			Accept:  l.enqueue,
		})
	})
	switch {
	case doErr != nil:
		return nil, doErr
	case err != nil:
		return nil, err
	}
	a := l.l.Addr()
	ip := net.IP(a.Addr().AsSlice())
	if l.wide {
		ip = net.IPv6zero
	}
	l.addr = net.TCPAddr{IP: ip, Port: int(a.Port()), Zone: a.Addr().Zone()}
	l.stop = l.st.OnShutdown(func() {
		if !l.closing.Swap(true) {
			l.end()
		}
	})
	select {
	case <-l.st.Closing(): // perhaps before that, and then nobody ends l
		_ = l.Close()
		return nil, net.ErrClosed
	default:
		return l, nil
	}
}

// local returns the address as the core wants it: not valid for both families,
// unspecified for one. It decides whether the listener serves both.
func (l *TCP) local(a netip.AddrPort) netip.AddrPort {
	if a.Addr().IsValid() && !a.Addr().IsUnspecified() {
		return a
	}
	switch l.network {
	case "tcp4":
		return netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port())
	case "tcp6":
		return netip.AddrPortFrom(netip.IPv6Unspecified(), a.Port())
	}
	l.wide = true
	return netip.AddrPortFrom(netip.Addr{}, a.Port())
}

// enqueue is called on the poll goroutine with each new connection. The core
// sees to it that there is room.
func (l *TCP) enqueue(s *core.TCP) {
	c := conn.NewTCP(l.st, s, l.network, l.wide)
	select {
	case l.queue <- c:
	default:
		s.Abort()
	}
}

// AcceptTCP waits for the next connection.
func (l *TCP) AcceptTCP() (*conn.TCP, error) {
	if l == nil || l.l == nil {
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
	case <-l.st.Closing():
		return nil, net.ErrClosed
	default:
	}
	select {
	case <-expired:
		return nil, os.ErrDeadlineExceeded
	default:
	}
	select {
	case c := <-l.queue:
		l.l.Taken()
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-l.st.Closing():
		return nil, net.ErrClosed
	case <-expired:
		return nil, os.ErrDeadlineExceeded
	}
}

// Close stops listening. Blocked calls of Accept return net.ErrClosed;
// connections that nobody has accepted are reset.
func (l *TCP) Close() error {
	if l == nil || l.l == nil {
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
	_ = l.st.Do(func(*core.Core) { l.l.Close(l.st.Now()) }) // a stack that has ended has no listeners
	for {
		select {
		case c := <-l.queue:
			l.l.Taken()
			_ = c.Abort()
		default:
			return
		}
	}
}

// Addr returns the listener's address, a *net.TCPAddr. It is shared by all
// calls: do not change it.
func (l *TCP) Addr() net.Addr { return &l.addr }

// SetDeadline sets the instant after which Accept fails, also one that waits
// already. The zero time is none.
func (l *TCP) SetDeadline(t time.Time) error {
	if l == nil || l.l == nil {
		return syscall.EINVAL
	}
	if l.closing.Load() || !l.deadline.set(t) {
		return conn.OpError("set", "", l.network, nil, &l.addr, net.ErrClosed)
	}
	return nil
}

// A deadline is a channel that is closed when the time has come. Each setting
// that takes a past one back has a channel of its own.
type deadline struct {
	mu      sync.Mutex
	expired chan struct{}
	over    bool // expired is closed
	ended   bool // the listener is closed: no more settings
	timer   *time.Timer
	setting uint64 // counts, so that a timer knows whether it is still meant
}

func (d *deadline) init() { d.expired = make(chan struct{}) }

// wait returns the channel of the present setting.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expired
}

// end clears the deadline for good.
func (d *deadline) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	d.clear()
}

// clear makes the deadline none.
func (d *deadline) clear() {
	d.setting++
	if d.timer != nil {
		d.timer.Stop()
	}
	if d.over {
		d.expired, d.over = make(chan struct{}), false
	}
}

// set moves the deadline, the zero time being none. It reports false, and does
// nothing, after end.
func (d *deadline) set(t time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return false
	}
	d.clear()
	if t.IsZero() {
		return true
	}
	left := time.Until(t)
	if left <= 0 {
		d.expire()
		return true
	}
	setting := d.setting
	d.timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.setting == setting && !d.over {
			d.expire()
		}
	})
	return true
}

func (d *deadline) expire() {
	close(d.expired)
	d.over = true
}
