// Package netstack is a TCP/IP stack that many goroutines may use at once: the
// pure core of package core, run by one poll goroutine on a device.
//
// A [Stack] is made by [New] from a [Config] that names a device of package
// phy, and lives until Close, Shutdown, or the failure of its device. Programs
// reach it through the packages dialer, listener and conn, which have the shape
// and the behaviour of package net. The methods here are for what package net
// leaves to the operating system: addresses, routes, neighbours, counters.
//
// The poll goroutine alone touches the core. Whoever needs something of it asks
// by a command ([Stack.Do]), except for bytes: those go through streams and
// rings that both sides share without locks.
package netstack

import (
	"fmt"
	"io"
	"maps"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/core"
	"smolnet/netstack/packet"
	"smolnet/netstack/tcp"
	"smolnet/phy"
)

// Places in Stack.links.
const (
	deviceLink = iota
	loopbackLink
	numLinks
)

// loopbackMTU is the largest IP packet there is.
const loopbackMTU = 65535

// A Stack is a running TCP/IP stack. Its methods may be called from any
// goroutine. On the poll goroutine outside of Do, where devices, Loggers and
// congestion controllers are called, those that only look and Close work as
// elsewhere; those that change something, dials and listens included, return
// [ErrOnLoop].
type Stack struct {
	start time.Time
	cfg   Config
	tcp   tcp.Config
	log   Logger
	core  *core.Core     // the poll goroutine's
	links [numLinks]link // the poll goroutine's, but for Wake

	state      atomic.Int32 // loopRunning, ...
	closeAsked atomic.Bool
	place      atomic.Int32 // inWait, ...: what onLoop is worth asking for
	loopID     atomic.Uint64

	mu       sync.Mutex // guards what follows, up to the blank line
	commands []command
	spare    []command // memory of the commands before; the poll goroutine's
	ended    bool      // no more commands

	// Channels for those who wait. The stack has its own, as one that was made in a
	// bubble of testing/synctest must stay there.
	answers sync.Pool // of chan bool, empty
	slots   sync.Pool // see Slots

	gate gate
	done chan struct{}
	err  error // why it ended; set before done is closed
}

// New makes a stack and starts its poll goroutine. The error says which field
// of cfg makes no sense; the device is not closed then.
func New(cfg Config) (*Stack, error) {
	st, err := newStack(cfg, nil)
	if err != nil {
		return nil, fmt.Errorf("netstack: %w", err)
	}
	st.begin()
	return st, nil
}

// begin starts the poll goroutine.
func (st *Stack) begin() {
	st.log.Debug("stack started", "device", st.cfg.Name, "addrs", st.cfg.Addrs)
	go st.run()
}

// newStack makes a stack that does not run yet. share is nil if it has its link
// for itself.
func newStack(cfg Config, share core.Share) (*Stack, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	caps := cfg.Device.Capabilities()
	hw, err := cfg.hardwareAddr(caps)
	if err != nil {
		return nil, err
	}
	cfg.TCP.Controllers = maps.Clone(cfg.TCP.Controllers)
	if cfg.Name == "" {
		cfg.Name = "eth0"
		if caps.Medium == phy.MediumIP {
			cfg.Name = "tun0"
		}
	}
	st := &Stack{
		start: time.Now(),
		cfg:   cfg,
		tcp:   cfg.TCP.core(cfg.TimerSlack),
		log:   cfg.Logger,
		gate:  newGate(),
		done:  make(chan struct{}),
	}
	if st.log == nil {
		st.log = noLogger{}
	}
	cc := core.Config{
		TCP: st.tcp, Limits: cfg.Limits, HopLimit: uint8(cfg.HopLimit), NoEcho: cfg.NoEcho,
		FastOpenKey: cfg.fastOpenKey, Share: share, Wake: st.wake,
	}
	if _, err := io.ReadFull(cfg.random(), cc.Seed[:]); err != nil {
		return nil, fmt.Errorf("reading Rand: %w", err)
	}
	if st.core, err = core.New(cc); err != nil {
		return nil, err
	}
	return st, st.attach(cfg.Device, hw)
}

// attach adds the interfaces, their addresses and the routes.
func (st *Stack) attach(dev phy.Device, hw [6]byte) error {
	now := st.Now()
	caps := dev.Capabilities()
	ifc, err := st.core.AddInterface(now, core.InterfaceConfig{
		Name:         st.cfg.Name,
		Capabilities: caps,
		HardwareAddr: hw,
		Addrs:        st.cfg.Addrs,
		LinkLocal:    caps.Medium == phy.MediumEthernet,
	})
	if err != nil {
		return err
	}
	st.links[deviceLink] = link{dev: dev, ifc: ifc}
	lo := phy.Loopback(loopbackMTU)
	ifc, err = st.core.AddInterface(now, core.InterfaceConfig{
		Name:         "lo",
		Capabilities: lo.Capabilities(),
		Addrs:        []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")},
	})
	if err != nil {
		return err
	}
	st.links[loopbackLink] = link{dev: lo, ifc: ifc}

	routes := st.cfg.Routes
	if routes == nil && caps.Medium == phy.MediumIP {
		routes = st.defaultRoutes()
	}
	for _, r := range routes {
		if err := st.core.AddRoute(st.completeRoute(r)); err != nil {
			return fmt.Errorf("route to %v: %w", r.Prefix, err)
		}
	}
	return nil
}

// Now returns the time on the stack's clock: nanoseconds, monotonic, from 1 at
// the start.
func (st *Stack) Now() clock.Time { return clock.Time(time.Since(st.start)) + 1 }

// Time returns the instant t of the stack's clock as a time of day. The zero Time is
// for a t that is not set.
func (st *Stack) Time(t clock.Time) time.Time {
	if !t.IsSet() {
		return time.Time{}
	}
	return st.start.Add(time.Duration(t - 1))
}

// Config returns the configuration that the stack was made with, names filled
// in. Slices and maps are shared: do not change them.
func (st *Stack) Config() Config { return st.cfg }

// TCPDefaults returns the settings that connections start with, for those who
// want to dial or listen with others.
func (st *Stack) TCPDefaults() tcp.Config { return st.tcp }

// Slots returns the store of channels that the sockets of package conn wait on.
func (st *Stack) Slots() *sync.Pool { return &st.slots }

// UDPLimits returns the bounds of a datagram socket's queues.
func (st *Stack) UDPLimits() (recv, send packet.Limits) {
	return st.cfg.UDP.recvLimits(), st.cfg.UDP.sendLimits()
}
