package core_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/core"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

const (
	epoch    = 1_000_000_007 // when virtual time starts, ns
	maxTurns = 20_000        // of one run: more is a livelock
	testMTU  = 1500

	// loopPerTurn bounds the frames that a turn takes from the loopback interface:
	// a user may write as fast as they are taken.
	loopPerTurn = 256
)

var (
	hwA = wire.HardwareAddr{2, 0, 0, 0, 0, 0xa}
	hwB = wire.HardwareAddr{2, 0, 0, 0, 0, 0xb}
	hwX = wire.HardwareAddr{2, 0, 0, 0, 0, 0xee} // a stranger

	a4 = netip.MustParseAddr("192.0.2.1")
	b4 = netip.MustParseAddr("192.0.2.2")
	x4 = netip.MustParseAddr("192.0.2.66")
	a6 = netip.MustParseAddr("2001:db8::1")
	b6 = netip.MustParseAddr("2001:db8::2")
	x6 = netip.MustParseAddr("2001:db8::66")

	llA = wire.LinkLocal(hwA)
)

func prefixes(s ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range s {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

// A host is a core with a link and a loopback interface.
type host struct {
	t      testing.TB
	c      *core.Core
	eth    *core.Interface
	lo     *core.Interface
	inbox  []phy.Frame // frames on the way to eth
	loopin []phy.Frame
	out    [][]byte // frames that eth sent, if nobody takes them
	peer   *host
	wakes  atomic.Int32
	full   bool // the device takes nothing
	lose   func(frame []byte) bool
}

// An option changes a host before it is made.
type option func(*core.Config, *core.InterfaceConfig)

func newHost(t testing.TB, hw wire.HardwareAddr, addrs []netip.Prefix, opts ...option) *host {
	h := &host{t: t}
	cfg := core.Config{Seed: [32]byte{hw[5]}}
	link := core.InterfaceConfig{
		Name: "eth0", HardwareAddr: hw, Addrs: addrs, LinkLocal: true,
		Capabilities: phy.Capabilities{Medium: phy.MediumEthernet, MTU: testMTU},
	}
	for _, o := range opts {
		o(&cfg, &link)
	}
	cfg.Wake = func() { h.wakes.Add(1) }
	var err error
	h.c, err = core.New(cfg)
	require.NoError(t, err)
	h.eth, err = h.c.AddInterface(epoch, link)
	require.NoError(t, err)
	h.lo, err = h.c.AddInterface(epoch, core.InterfaceConfig{
		Name: "lo", Addrs: prefixes("127.0.0.1/8", "::1/128"),
		Capabilities: phy.Capabilities{Medium: phy.MediumIP, MTU: 65535, Loopback: true, TxChecksum: true, RxChecksum: true},
	})
	require.NoError(t, err)
	return h
}

// bareIP makes the host's link one without link addresses.
func bareIP(_ *core.Config, l *core.InterfaceConfig) {
	l.Capabilities.Medium = phy.MediumIP
	l.HardwareAddr = wire.HardwareAddr{}
}

// A world is hosts and their virtual time.
type world struct {
	t     testing.TB
	now   clock.Time
	hosts []*host
}

func newWorld(t testing.TB, hosts ...*host) *world {
	w := &world{t: t, now: epoch, hosts: hosts}
	if len(hosts) == 2 {
		hosts[0].peer, hosts[1].peer = hosts[1], hosts[0]
	}
	w.run()
	return w
}

// pair is two hosts on one link.
func pair(t testing.TB, opts ...option) (*world, *host, *host) {
	a := newHost(t, hwA, prefixes("192.0.2.1/24", "2001:db8::1/64"), opts...)
	b := newHost(t, hwB, prefixes("192.0.2.2/24", "2001:db8::2/64"), opts...)
	return newWorld(t, a, b), a, b
}

// alone is one host whose frames the test sees.
func alone(t testing.TB, opts ...option) (*world, *host) {
	a := newHost(t, hwA, prefixes("192.0.2.1/24", "2001:db8::1/64"), opts...)
	w := newWorld(t, a)
	a.take()
	return w, a
}

// turn is one turn of a host's driver. It reports whether anything moved.
func (h *host) turn(now clock.Time) bool {
	moved := len(h.inbox)+len(h.loopin) > 0
	h.c.BeginTurn(now)
	for _, f := range h.inbox {
		h.eth.Receive(now, f)
	}
	h.inbox = h.inbox[:0]
	loop := h.loopin
	h.loopin = nil
	for _, f := range loop {
		h.lo.Receive(now, f)
	}
	for !h.full {
		b := make([]byte, 14+testMTU)
		n, off := h.eth.Send(now, b)
		if n == 0 {
			break
		}
		moved = true
		h.transmit(phy.Frame{Data: b[:n], Offload: off})
	}
	for range loopPerTurn {
		b := make([]byte, 65535)
		n, off := h.lo.Send(now, b)
		if n == 0 {
			break
		}
		moved = true
		h.loopin = append(h.loopin, phy.Frame{Data: b[:n], Offload: off})
	}
	h.c.EndTurn(now)
	return moved
}

func (h *host) transmit(f phy.Frame) {
	switch {
	case h.lose != nil && h.lose(f.Data):
	case h.peer != nil:
		h.peer.inbox = append(h.peer.inbox, f)
	default:
		h.out = append(h.out, f.Data)
	}
}

// run turns until nothing moves any more, without time passing.
func (w *world) run() {
	w.t.Helper()
	for range maxTurns {
		moved := false
		for _, h := range w.hosts {
			wakes := h.wakes.Load()
			moved = h.turn(w.now) || moved || h.wakes.Load() != wakes
		}
		if !moved {
			return
		}
	}
	w.t.Fatal("livelock")
}

// pass lets time pass, stopping at every deadline.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	end := w.now.Add(d)
	w.run()
	for range maxTurns {
		next := end
		for _, h := range w.hosts {
			if at := h.c.Deadline(); at.IsSet() && at < next {
				next = at
			}
		}
		w.now = max(next, w.now)
		w.run()
		if w.now >= end {
			return
		}
		if next <= w.now { // a deadline in the past must not come for ever
			w.now++
		}
	}
	w.t.Fatal("time does not pass: deadlines without end")
}

// in passes frames to the host and runs.
func (w *world) in(h *host, frames ...[]byte) {
	w.t.Helper()
	for _, f := range frames {
		h.inbox = append(h.inbox, phy.Frame{Data: f})
	}
	w.run()
}

// take returns what was sent since it was last called.
func (h *host) take() [][]byte {
	out := h.out
	h.out = nil
	return out
}

// drops returns how often packets were dropped for d.
func (h *host) drops(d wire.Drop) int { return int(h.c.Stats().Drops[d]) }

// A user is a socket's user: it remembers events, and counts calls.
type user struct {
	ev    tcp.Events
	calls int
}

func (u *user) Ready(ev tcp.Events) { u.ev |= ev; u.calls++ }

// take returns the events since it was last called.
func (u *user) take() tcp.Events {
	ev := u.ev
	u.ev = 0
	return ev
}

// A server accepts everything.
type server struct {
	l     *core.Listener
	conns []*core.TCP
	users []*user
}

func (h *host) listen(now clock.Time, o core.ListenOptions) *server {
	h.t.Helper()
	s := &server{}
	o.Accept = func(c *core.TCP) {
		u := &user{}
		c.SetWaiter(u)
		s.conns = append(s.conns, c)
		s.users = append(s.users, u)
	}
	var err error
	s.l, err = h.c.ListenTCP(now, o)
	require.NoError(h.t, err)
	return s
}

func port(p uint16) netip.AddrPort { return netip.AddrPortFrom(netip.Addr{}, p) }

// readAll reads what is there.
func readAll(s *core.TCP) (string, error) {
	var got []byte
	b := make([]byte, 1000)
	for {
		n, err := s.Read(b)
		got = append(got, b[:n]...)
		if err != nil {
			return string(got), err
		}
	}
}

// connected returns both ends of a connection between two hosts.
func connected(t testing.TB, w *world, a, b *host, to netip.Addr) (client, serverEnd *core.TCP, srv *server, u *user) {
	t.Helper()
	srv = b.listen(w.now, core.ListenOptions{Local: port(80)})
	u = &user{}
	client, err := a.c.DialTCP(w.now, core.DialOptions{Remote: netip.AddrPortFrom(to, 80), Waiter: u})
	require.NoError(t, err)
	w.run()
	require.True(t, client.Connected())
	require.Len(t, srv.conns, 1)
	srv.l.Taken()
	return client, srv.conns[0], srv, u
}
