package env

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"smolnet/internal/netns"
)

// kernel is a host that is a network namespace.
type kernel struct {
	ns   *netns.NS
	addr netip.Addr
}

// makeKernel joins two network namespaces by a veth pair; a loopback, and a link
// with its MTU, is the lo of one. On a link with checksums and without
// super-frames all offloads of the veth pair are off, so that every segment and
// every checksum is real; otherwise they are as the kernel has them, on. Nothing
// else is set but the buffers that were asked for.
//
// Sockets are made by moving the calling goroutine's thread to the namespace for
// the one system call that makes them, which costs about a microsecond.
func makeKernel(cfg Config) (*Pair, error) {
	if err := raiseFiles(cfg.Connections); err != nil {
		return nil, err
	}
	client, err := newKernel(cfg, clientPrefix.Addr())
	if err != nil {
		return nil, err
	}
	if cfg.Link.Loopback || cfg.Link.MTU >= loopbackMTU {
		client.addr = loopbackPrefix.Addr()
		return NewPair(client, client, nil), nil
	}
	server, err := newKernel(cfg, serverPrefix.Addr())
	if err != nil {
		client.Close()
		return nil, err
	}
	p := NewPair(client, server, nil)
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
	err = h.inside(func() error {
		if cfg.Buffers == 0 {
			return nil
		}
		size := strconv.Itoa(cfg.Buffers)
		for _, file := range []string{"tcp_rmem", "tcp_wmem"} {
			value := strings.Join([]string{"4096", size, size}, " ")
			if err := os.WriteFile("/proc/sys/net/ipv4/"+file, []byte(value), 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
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

// socketInside calls open, which makes one socket of package net, and takes it
// through the namespace: there while the socket is made, back as soon as control
// is called, which is between the making and all that may wait.
func (h *kernel) socketInside(open func(control func(string, string, syscall.RawConn) error) error) error {
	leave, err := h.ns.Enter()
	if err != nil {
		return err
	}
	back := false
	err = open(func(string, string, syscall.RawConn) error {
		if back {
			return errors.New("more than one socket for one address")
		}
		back = true
		return leave()
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
	err = h.socketInside(func(control func(string, string, syscall.RawConn) error) (err error) {
		cfg := net.ListenConfig{Control: control}
		l, err = cfg.Listen(context.Background(), network, addr)
		return err
	})
	return l, err
}

func (h *kernel) Dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	err = h.socketInside(func(control func(string, string, syscall.RawConn) error) (err error) {
		d := net.Dialer{Control: control}
		c, err = d.DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

func (h *kernel) ListenPacket(network, addr string) (c net.PacketConn, err error) {
	err = h.socketInside(func(control func(string, string, syscall.RawConn) error) (err error) {
		cfg := net.ListenConfig{Control: control}
		c, err = cfg.ListenPacket(context.Background(), network, addr)
		return err
	})
	if err != nil {
		return nil, err
	}
	// Beyond net.core.rmem_max this is cut down without an error.
	return c, c.(*net.UDPConn).SetReadBuffer(datagramBuffer)
}

// raiseFiles raises the process's limit of open files for n connections, both
// ends of which are here.
func raiseFiles(n int) error {
	const others = 256
	want := uint64(2*n + others)
	var have unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &have); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if have.Cur >= want {
		return nil
	}
	raised := unix.Rlimit{Cur: want, Max: max(have.Max, want)}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err != nil {
		return fmt.Errorf("%w: %d connections need %d open files, of which %d are allowed: %w", ErrUnavailable, n, want, have.Max, err)
	}
	return nil
}
