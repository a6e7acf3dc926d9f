package env

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"smolnet/internal/netns"
)

// kernel is a host that is a network namespace.
type kernel struct {
	ns      *netns.NS
	addr    netip.Addr
	isCubic bool // sockets are CUBIC without being told

	congestion string // if not CUBIC, "" for that
}

// makeKernel joins two network namespaces by a veth pair; a loopback, and a link
// with its MTU, is the lo of one. On a link with checksums and without
// super-frames all offloads of the veth pair are off, so that every segment and
// every checksum is real; otherwise they are as the kernel has them, on. What
// machines like to have differently is set: CUBIC, and Linux's default buffers.
//
// Sockets are made by moving the calling goroutine's thread to the namespace for
// the one system call that makes them, which costs about a microsecond.
func makeKernel(cfg Config) (*Pair, error) {
	conns, err := fitFiles(cfg.Connections)
	if err != nil {
		return nil, err
	}
	client, err := newKernel(cfg, clientPrefix.Addr())
	if err != nil {
		return nil, err
	}
	if cfg.Link.Loopback || cfg.Link.MTU >= loopbackMTU {
		client.addr = loopbackPrefix.Addr()
		p := NewPair(client, client, nil)
		p.Connections = conns
		return p, nil
	}
	server, err := newKernel(cfg, serverPrefix.Addr())
	if err != nil {
		client.Close()
		return nil, err
	}
	p := NewPair(client, server, nil)
	p.Connections = conns
	if err := joinVeth(cfg.Link, client.ns, server.ns); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func newKernel(cfg Config, addr netip.Addr) (*kernel, error) {
	ns, err := netns.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	h := &kernel{ns: ns, addr: addr}
	err = h.inside(func() (err error) {
		h.isCubic, err = setSysctls(cfg.Buffers)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// cubic is the congestion control of all connections; the other stacks have it,
// too.
const cubic = "cubic"

// setSysctls sets the namespace of the calling thread to Linux's default buffers,
// or those that were asked for, and looks whether its congestion control is
// CUBIC: outside of the first namespace that cannot be set if it is not among
// those that everybody may use.
func setSysctls(buffers int) (isCubic bool, err error) {
	const folder = "/proc/sys/net/ipv4/"
	recv, send := "4096 131072 6291456", "4096 16384 4194304"
	if buffers != 0 {
		recv = fmt.Sprintf("4096 %d %d", buffers, buffers)
		send = recv
	}
	for file, value := range map[string]string{"tcp_rmem": recv, "tcp_wmem": send} {
		if err := os.WriteFile(folder+file, []byte(value), 0); err != nil {
			return false, err
		}
	}
	have, err := os.ReadFile(folder + "tcp_congestion_control")
	return strings.TrimSpace(string(have)) == cubic, err
}

// setCongestion sets the congestion control of a socket, which those that it
// accepts inherit.
func (h *kernel) setCongestion(c syscall.RawConn) error {
	name := cmp.Or(h.congestion, cubic)
	if h.isCubic && name == cubic {
		return nil
	}
	var set error
	err := c.Control(func(fd uintptr) {
		set = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
	})
	return errors.Join(err, set)
}

// inside calls fn on a thread in the namespace.
func (h *kernel) inside(fn func() error) error { return inside(h.ns, fn) }

func inside(ns *netns.NS, fn func() error) error {
	leave, err := ns.Enter()
	if err != nil {
		return err
	}
	err = fn()
	return errors.Join(err, leave())
}

// A control is called by package net between the making of a socket and all that
// may wait.
type control func(network, addr string, c syscall.RawConn) error

// socketInside calls open, which makes one socket of package net, and takes it
// through the namespace: there while the socket is made, and back when the
// control is called that open is given.
func (h *kernel) socketInside(network string, open func(control) error) error {
	leave, err := h.ns.Enter()
	if err != nil {
		return err
	}
	back := false
	err = open(func(_, _ string, c syscall.RawConn) error {
		if back {
			return errors.New("more than one socket for one address")
		}
		back = true
		if err := leave(); err != nil || !strings.HasPrefix(network, "tcp") {
			return err
		}
		return h.setCongestion(c)
	})
	if !back {
		err = errors.Join(err, leave())
	}
	return err
}

func (h *kernel) Name() string     { return Kernel }
func (h *kernel) Addr() netip.Addr { return h.addr }
func (h *kernel) Close() error     { return h.ns.Close() }

func (h *kernel) Listen(network, addr string) (l net.Listener, err error) {
	err = h.socketInside(network, func(ctl control) (err error) {
		cfg := net.ListenConfig{Control: ctl}
		l, err = cfg.Listen(context.Background(), network, addr)
		return err
	})
	return l, err
}

func (h *kernel) Dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	err = h.socketInside(network, func(ctl control) (err error) {
		d := net.Dialer{Control: ctl}
		c, err = d.DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

func (h *kernel) ListenPacket(network, addr string) (c net.PacketConn, err error) {
	err = h.socketInside(network, func(ctl control) (err error) {
		cfg := net.ListenConfig{Control: ctl}
		c, err = cfg.ListenPacket(context.Background(), network, addr)
		return err
	})
	if err != nil {
		return nil, err
	}
	// Beyond net.core.rmem_max this is cut down without an error.
	return c, c.(*net.UDPConn).SetReadBuffer(datagramBuffer)
}

// fitFiles raises the process's limit of open files for the connections that the
// configuration wants, both ends of which are here, and returns how many there
// can be. Where the limit is fixed a tenth less will do.
func fitFiles(want int) (conns int, err error) {
	const others = 256
	files := uint64(2*want + others)
	var have unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &have); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	if have.Cur >= files {
		return want, nil
	}
	raised := unix.Rlimit{Cur: files, Max: max(have.Max, files)}
	if err = unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err == nil {
		return want, nil
	}
	conns = max(int(have.Cur)-others, 0) / 2
	if conns < want-want/10 {
		return 0, fmt.Errorf("%w: %d connections need %d open files, of which %d are allowed: %w", ErrUnavailable, want, files, have.Cur, err)
	}
	return conns, nil
}
