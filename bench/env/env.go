// Package env has the environments that the benchmarks compare: smolnet, gVisor
// netstack and the Linux kernel, each as a pair of hosts on one link, behind
// what package net offers.
//
//	p, err := env.Make(env.Smolnet, env.Config{Link: env.Link{MTU: 1500, Checksums: true}})
//	...
//	l, err := p.Server.Listen("tcp4", netip.AddrPortFrom(p.Server.Addr(), 0).String())
//	c, err := p.Client.Dial(ctx, "tcp4", l.Addr().String())
//
// All three are set up as somebody would who knows them well; what that means
// for each stands at its Make function.
package env

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// An Env is one host: its sockets are made here, and used as those of package
// net. Addresses are literal, networks "tcp4" and "udp4".
type Env interface {
	// Name of the stack that the host runs.
	Name() string
	Listen(network, addr string) (net.Listener, error)
	// Dial connects a socket. ctx ends the attempt, not the connection.
	Dial(ctx context.Context, network, addr string) (net.Conn, error)
	ListenPacket(network, addr string) (net.PacketConn, error)
	// Addr is the host's address on the link.
	Addr() netip.Addr
	// Close ends the host. Connections that are still open fail.
	Close() error
}

// A Pair is two hosts on one link. On a loopback both are the same.
type Pair struct {
	Client, Server Env
	// Connections that can be open at one time, of those that the configuration
	// announced.
	Connections int

	name  string
	once  sync.Once
	err   error         // of the first Close
	close func() error  // what is left to do after the hosts are closed; nil for nothing
	lost  func() uint64 // nil: the link cannot lose
}

// Lost is how many packets the pair's own link has lost because somebody did not
// come for them: what no figure should have suffered from. Losses that a link
// emulates are not among them.
func (p *Pair) Lost() uint64 {
	if p.lost == nil {
		return 0
	}
	return p.lost()
}

// Name is that of the stack under test.
func (p *Pair) Name() string { return p.name }

// Close ends both hosts and the link. It may be called more than once, also at
// the same time.
func (p *Pair) Close() error {
	p.once.Do(func() { p.err = p.end() })
	return p.err
}

func (p *Pair) end() error {
	if p.Client == nil {
		return nil
	}
	err := p.Client.Close()
	if p.Server != p.Client {
		err = errors.Join(err, p.Server.Close())
	}
	if p.close != nil {
		err = errors.Join(err, p.close())
	}
	return err
}

// NewPair returns a pair of two hosts that were made elsewhere, to measure the
// stack of the client. closing, if not nil, is called once after both were
// closed.
func NewPair(client, server Env, closing func() error) *Pair {
	return &Pair{Client: client, Server: server, name: client.Name(), close: closing}
}

// Bare returns a pair without hosts, for what can be measured of a stack without
// running it.
func Bare(name string) *Pair { return &Pair{name: name} }

// A Link is what a pair is joined by.
type Link struct {
	// MTU in bytes. It is 65535 for a loopback.
	MTU int
	// SuperFrames travel on the link in place of the segments that they are made
	// of, without checksums, as between a host and a virtual network card.
	SuperFrames bool
	// Checksums are computed by the sender and verified by the receiver.
	Checksums bool
	// Loopback joins a host with itself.
	Loopback bool
}

// String describes the link in a few words.
func (l Link) String() string {
	switch {
	case l.Loopback:
		return "loopback"
	case l.SuperFrames:
		return fmt.Sprintf("MTU %d, super-frames", l.MTU)
	case l.Checksums:
		return fmt.Sprintf("MTU %d, checksums", l.MTU)
	}
	return fmt.Sprintf("MTU %d, no checksums", l.MTU)
}

// loopbackMTU is that of a loopback; Linux's lo has one byte more.
const loopbackMTU = 65535

// A Config says what pair to make.
type Config struct {
	Link Link
	// Buffers is the size of each connection's receive and send buffer, bytes,
	// and its upper bound where a stack tunes it. Zero leaves all at their
	// defaults, see the stacks.
	Buffers int
	// Connections that will be open at one time, for limits that must be
	// raised. Zero: no more than defaults allow.
	Connections int
}

// The names of the stacks.
const (
	Smolnet = "smolnet"
	GVisor  = "gvisor"
	Kernel  = "kernel"
)

// Names returns the stacks in the order in which they are compared.
func Names() []string { return []string{Smolnet, GVisor, Kernel} }

// ErrUnavailable is the kind of error that says that a stack cannot be measured
// here: on this system, or without some right.
var ErrUnavailable = errors.New("not available here")

// Make makes a pair of the named stack. The error is [ErrUnavailable] with the
// reason if there can be none.
func Make(name string, cfg Config) (*Pair, error) {
	if cfg.Link.Loopback {
		cfg.Link.MTU = loopbackMTU
	}
	var p *Pair
	var err error
	switch name {
	case Smolnet:
		p, err = makeSmolnet(cfg)
	case GVisor:
		p, err = makeGVisor(cfg)
	case Kernel:
		p, err = makeKernel(cfg)
	default:
		return nil, fmt.Errorf("no stack is named %q", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s, %v: %w", name, cfg.Link, err)
	}
	if name != Kernel {
		p.Connections = cfg.Connections
	}
	return p, nil
}

// The prefixes of the two hosts on a link.
var (
	clientPrefix   = netip.MustParsePrefix("10.77.0.1/24")
	serverPrefix   = netip.MustParsePrefix("10.77.0.2/24")
	loopbackPrefix = netip.MustParsePrefix("127.0.0.1/8")
)

// datagramBuffer is how many bytes may wait in a datagram socket to be read,
// where a stack's default is less; the kernel is asked for as much, too.
const datagramBuffer = 1 << 20
