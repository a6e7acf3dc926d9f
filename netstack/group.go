package netstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"sync"

	"smolnet/netstack/core"
	"smolnet/phy"
)

// A Group is several stacks that act as one host, so that more cores can share
// its work: a stack is one core wide. Each has a queue of the host's link, and
// the flows that fall to it by [phy.Fanout]; addresses, routes and the hardware
// address are the same in all, everything else each has for itself, Limits
// included.
//
// Package listener listens on all stacks of a Group at once, and package dialer
// dials from any of them, so that programs see one host. What is done on one of
// the stacks alone must heed what that can hear: connections that it dials are
// fine, as it chooses ports that are its own; a datagram socket that is not
// connected, or a local port of the user's, is not.
//
// A connection from the host to itself, by a loopback address or one of its own,
// stays within a stack.
//
// Stacks of a Group end together: one whose device fails takes the others with
// it. The methods may be called from any goroutine; those that change something
// or wait not from functions passed to a Stack's Do.
type Group struct {
	fanout *phy.Fanout
	stacks []*Stack

	gate gate
	done chan struct{}

	mu      sync.Mutex // guards what follows
	running int        // stacks that have not ended
	err     error      // why the first of them did
}

// NewGroup makes a stack for each device of f and starts them. cfg is that of
// all; its Device must be nil. The error says which field makes no sense; no
// device is closed then. Once it has succeeded the Group owns f.
func NewGroup(cfg Config, f *phy.Fanout) (*Group, error) {
	g, err := newGroup(cfg, f)
	if err != nil {
		return nil, fmt.Errorf("netstack: group: %w", err)
	}
	for _, st := range g.stacks {
		st.begin()
		go g.watch(st)
	}
	return g, nil
}

func newGroup(cfg Config, f *phy.Fanout) (*Group, error) {
	switch {
	case f == nil:
		return nil, errors.New("a Fanout is required")
	case cfg.Device != nil:
		return nil, errors.New("the Config of a group has a Device: those of the Fanout are used")
	}
	devs := f.Devices()
	caps := devs[0].Capabilities()
	hw, err := cfg.hardwareAddr(caps)
	if err != nil {
		return nil, err
	}
	if caps.Medium == phy.MediumEthernet {
		cfg.HardwareAddr = hw[:]
	}
	g := &Group{
		fanout:  f,
		running: len(devs),
		gate:    newGate(),
		done:    make(chan struct{}),
	}
	if _, err := io.ReadFull(cfg.random(), cfg.fastOpenKey[:]); err != nil {
		return nil, fmt.Errorf("reading Rand: %w", err)
	}
	for i, dev := range devs {
		cfg.Device = dev
		st, err := newStack(cfg, member{f, i})
		if err != nil {
			return nil, err
		}
		g.stacks = append(g.stacks, st)
	}
	return g, nil
}

// A member is a stack's part of the flows of a Group.
type member struct {
	fanout *phy.Fanout
	index  int
}

// Flow implements [core.Share].
func (m member) Flow(local, remote netip.AddrPort) bool {
	return m.fanout.Owner(local, remote) == m.index
}

// Echo implements [core.Share].
func (m member) Echo(id uint16) bool { return m.fanout.EchoOwner(id) == m.index }

// Stacks returns the stacks, one for each device of the Fanout and in the same
// order. The slice is shared: do not change it.
func (g *Group) Stacks() []*Stack { return g.stacks }

// Any returns one of the stacks at random, for what may be done on any.
func (g *Group) Any() *Stack { return g.stacks[rand.IntN(len(g.stacks))] }

// Owner returns the stack that receives the packets of a TCP or UDP flow. A
// local address that is not valid, or not specified, stands for the one that the
// group sends to remote from: [Group.SourceFor].
func (g *Group) Owner(local, remote netip.AddrPort) *Stack {
	if a := local.Addr(); !a.IsValid() || a.IsUnspecified() {
		local = netip.AddrPortFrom(g.SourceFor(remote.Addr()), local.Port())
	}
	return g.stacks[g.OwnerIndex(local, remote)]
}

// OwnerIndex is Owner as an index of Stacks, for a local address that is known.
func (g *Group) OwnerIndex(local, remote netip.AddrPort) int { return g.fanout.Owner(local, remote) }

// SourceFor returns the address that packets to a are sent from. It is not valid
// if there is no way to a. It takes a command to a stack.
func (g *Group) SourceFor(a netip.Addr) (src netip.Addr) {
	g.stacks[0].read(func(c *core.Core) {
		p, _ := c.SourceFor(a)
		src = p.Addr()
	})
	return src
}

// each calls fn on every stack, until one fails. What is wrong with a request
// is so on all: the first refuses it before any has changed.
func (g *Group) each(fn func(*Stack) error) error {
	for _, st := range g.stacks {
		if err := fn(st); err != nil {
			return err
		}
	}
	return nil
}

// AddAddr is [Stack.AddAddr] on every stack. If it fails on one, stacks before
// that have the address.
func (g *Group) AddAddr(p netip.Prefix) error {
	return g.each(func(st *Stack) error { return st.AddAddr(p) })
}

// RemoveAddr is [Stack.RemoveAddr] on every stack.
func (g *Group) RemoveAddr(a netip.Addr) error {
	return g.each(func(st *Stack) error { return st.RemoveAddr(a) })
}

// Addrs returns the addresses of the group's interface.
func (g *Group) Addrs() []netip.Prefix { return g.stacks[0].Addrs() }

// AddRoute is [Stack.AddRoute] on every stack.
func (g *Group) AddRoute(r Route) error {
	return g.each(func(st *Stack) error { return st.AddRoute(r) })
}

// RemoveRoute is [Stack.RemoveRoute] on every stack.
func (g *Group) RemoveRoute(p netip.Prefix) error {
	return g.each(func(st *Stack) error { return st.RemoveRoute(p) })
}

// SetRoutes is [Stack.SetRoutes] on every stack.
func (g *Group) SetRoutes(routes []Route) error {
	return g.each(func(st *Stack) error { return st.SetRoutes(routes) })
}

// Routes returns the route table.
func (g *Group) Routes() []Route { return g.stacks[0].Routes() }

// Close ends all stacks at once, as [Stack.Close] does, and waits for them,
// unless it was called on a poll goroutine of one of them. It returns nil.
func (g *Group) Close() error {
	g.gate.close()
	wait := true
	for _, st := range g.stacks {
		st.askToClose()
		wait = wait && !st.onLoop()
	}
	if wait {
		<-g.done
	}
	return nil
}

// Shutdown ends all stacks in good order, as [Stack.Shutdown] does, and none
// before all are done. The error is that of one of them.
func (g *Group) Shutdown(ctx context.Context) error {
	for _, st := range g.stacks {
		if st.onLoop() {
			return ErrOnLoop
		}
	}
	defer g.Close()
	g.gate.close()
	for _, st := range g.stacks {
		st.gate.close()
	}
	g.gate.callHooks()
	errs := make([]error, len(g.stacks))
	var all sync.WaitGroup
	for i, st := range g.stacks {
		all.Go(func() {
			st.gate.callHooks()
			errs[i] = st.drain(ctx)
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// OnShutdown registers a function that Shutdown calls before it ends
// connections, as [Stack.OnShutdown] does.
func (g *Group) OnShutdown(fn func()) (stop func()) { return g.gate.register(fn) }

// Closing returns a channel that is closed as soon as Shutdown or Close is
// called or a device fails: nothing new may be dialled or accepted.
func (g *Group) Closing() <-chan struct{} { return g.gate.closing }

// Done returns a channel that is closed when all stacks have ended.
func (g *Group) Done() <-chan struct{} { return g.done }

// Err returns nil until Done is closed, and then why the first of the stacks
// ended: net.ErrClosed if it was closed, its device's error if that failed.
func (g *Group) Err() error {
	select {
	case <-g.done:
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.err
	default:
		return nil
	}
}

// watch waits for the end of a stack, which is that of the others.
func (g *Group) watch(st *Stack) {
	<-st.done
	g.mu.Lock()
	if g.err == nil {
		g.err = st.err
	}
	g.mu.Unlock()
	if !g.gate.isShut() {
		g.gate.close()
		for _, other := range g.stacks {
			other.askToClose()
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.running--; g.running == 0 {
		close(g.done)
	}
}
