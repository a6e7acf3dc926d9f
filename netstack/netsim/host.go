package netsim

import (
	"fmt"
	"net/netip"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/core"
	"smolnet/netstack/route"
	"smolnet/netstack/tcp"
	"smolnet/phy"
)

const (
	// turnFrames is how many frames a turn takes; what has arrived besides is
	// for the next one, at the same instant.
	turnFrames = 256

	// maxHosts is how many hosts a network may have: as many as the addresses
	// that are given to those that name none.
	maxHosts = 1 << 16
)

// A HostConfig describes a host. The zero value is a host with an address of
// each family and the defaults of package core.
type HostConfig struct {
	// Name is for messages. Empty: "host" and a number.
	Name string
	// Addrs are the host's addresses. Nil: one of each family, which no other
	// host has that names none.
	Addrs []netip.Addr
	// MTU of the host's interface, bytes. Zero: [DefaultMTU].
	MTU int

	// Core configures the stack, with TCP as the default for connections. A zero
	// Seed is drawn from that of the Sim; Wake is the host's own.
	Core core.Config

	// ClockTick, if it is more than zero, makes the host's clock a coarse one:
	// the stack is told the last multiple of it, and timers wake it at multiples
	// only.
	ClockTick time.Duration

	// TxQueue is how many packets may be in front of the host's link before its
	// device is full; the stack then waits for room, and the link's queue drops
	// nothing if it is longer. Zero: the device is never full.
	TxQueue int
}

// A Host is a stack with one interface.
type Host struct {
	sim   *Sim
	name  string
	addrs []netip.Addr
	core  *core.Core
	ifc   *core.Interface
	link  *Link // nil: it is not joined yet
	tick  clock.Time
	full  int

	inbox   ring[*packet]
	spare   *packet    // for what Send has to say
	turning bool       // a turn is due at this instant
	roused  bool       // in a turn: another one is to follow
	inTurn  bool       // a turn is going on
	timer   clock.Time // when an event for Deadline comes
	turns   uint64
}

// Host adds a host. The error says what of cfg makes no sense.
func (s *Sim) Host(cfg HostConfig) (*Host, error) {
	n := len(s.hosts) + 1
	h := &Host{sim: s, name: orNumber(cfg.Name, "host", n), addrs: cfg.Addrs, tick: clock.Time(cfg.ClockTick), full: cfg.TxQueue}
	switch {
	case cfg.ClockTick < 0 || cfg.ClockTick > time.Duration(epoch):
		return nil, fmt.Errorf("netsim: ClockTick %v is not between 0 and %v", cfg.ClockTick, time.Duration(epoch))
	case cfg.TxQueue < 0:
		return nil, fmt.Errorf("netsim: TxQueue %d is negative", cfg.TxQueue)
	case n > maxHosts:
		return nil, fmt.Errorf("netsim: %d hosts are the limit", maxHosts)
	}
	if h.addrs == nil {
		h.addrs = []netip.Addr{
			netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}),
			netip.AddrFrom16([16]byte{0: 0xfd, 14: byte(n >> 8), 15: byte(n)}),
		}
	}
	if cfg.MTU == 0 {
		cfg.MTU = DefaultMTU
	}
	if cfg.Core.Seed == [32]byte{} {
		cfg.Core.Seed = s.seedFor('H', n)
	}
	cfg.Core.Wake = h.rouse
	var err error
	if h.core, err = core.New(cfg.Core); err != nil {
		return nil, err
	}
	if err := h.attach(cfg.MTU); err != nil {
		return nil, err
	}
	s.buffer = max(s.buffer, cfg.MTU)
	s.hosts = append(s.hosts, h)
	return h, nil
}

// MustHost is Host for those who know what they ask for: it panics instead of
// returning an error.
func (s *Sim) MustHost(cfg HostConfig) *Host {
	h, err := s.Host(cfg)
	if err != nil {
		panic(err)
	}
	return h
}

// leastIPv6MTU is the least MTU of a link that carries IPv6, RFC 8200 5.
const leastIPv6MTU = 1280

// attach gives the host its interface, by which everything can be reached.
func (h *Host) attach(mtu int) (err error) {
	cfg := core.InterfaceConfig{Name: h.name, Capabilities: phy.Capabilities{Medium: phy.MediumIP, MTU: mtu}}
	var kept []netip.Addr
	for _, a := range h.addrs {
		if a.Is6() && mtu < leastIPv6MTU {
			continue
		}
		kept = append(kept, a)
		cfg.Addrs = append(cfg.Addrs, netip.PrefixFrom(a, a.BitLen()))
	}
	h.addrs = kept
	if h.ifc, err = h.core.AddInterface(h.clock(), cfg); err != nil {
		return err
	}
	for _, a := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if err := h.core.AddRoute(route.Route{Prefix: netip.PrefixFrom(a, 0), Interface: h.ifc.Index()}); err != nil {
			return err
		}
	}
	return nil
}

// orNumber returns a name for part number n of a kind.
func orNumber(name, kind string, n int) string {
	if name == "" {
		return fmt.Sprintf("%s%d", kind, n)
	}
	return name
}

// Name implements [Node].
func (h *Host) Name() string { return h.name }

// Core returns the host's stack. Whoever uses it outside of the functions of
// package netsim takes its time from [Host.Now], and calls [Host.Turn] if that
// does not wake the stack by itself.
func (h *Host) Core() *core.Core { return h.core }

// Addr4 returns the first IPv4 address, not valid if there is none.
func (h *Host) Addr4() netip.Addr { return h.addr(netip.Addr.Is4) }

// Addr6 returns the first IPv6 address, not valid if there is none.
func (h *Host) Addr6() netip.Addr { return h.addr(netip.Addr.Is6) }

func (h *Host) addr(fits func(netip.Addr) bool) netip.Addr {
	for _, a := range h.addrs {
		if fits(a) {
			return a
		}
	}
	return netip.Addr{}
}

// Now returns the time on the host's clock.
func (h *Host) Now() clock.Time { return h.clock() }

// clock returns the present instant as the stack is told.
func (h *Host) clock() clock.Time {
	if h.tick > 1 {
		return h.sim.now - h.sim.now%h.tick
	}
	return h.sim.now
}

// Turns returns how many turns the stack has had.
func (h *Host) Turns() uint64 { return h.turns }

// DialTCP opens a connection from this host and sees to it that it gets on.
func (h *Host) DialTCP(o core.DialOptions) (*core.TCP, error) {
	defer h.Turn()
	return h.core.DialTCP(h.clock(), o)
}

// ListenTCP listens on this host.
func (h *Host) ListenTCP(o core.ListenOptions) (*core.Listener, error) {
	return h.core.ListenTCP(h.clock(), o)
}

func (h *Host) free(s *Sim) error {
	switch {
	case h.sim != s:
		return fmt.Errorf("netsim: %s belongs to another network", h.name)
	case h.link != nil:
		return fmt.Errorf("netsim: a host has one link, and %s has it", h.name)
	}
	return nil
}

func (h *Host) join(l *Link) { h.link = l }

// arrive puts a packet where the next turn takes it from.
func (h *Host) arrive(p *packet) {
	h.sim.note(Received, h, nil, p)
	h.inbox.push(p)
	h.Turn()
}

// reject has an error arrive from somewhere on the link: it takes as long to come
// back as the link's delay says.
func (h *Host) reject(e *packet, l *Link) {
	h.sim.events.push(event{at: h.sim.now.Add(l.path.Delay), who: (*rejected)(h), packet: e})
}

// A rejected is a host when an error comes back to it from its link.
type rejected Host

func (h *rejected) fire(p *packet, _ clock.Time) { (*Host)(h).arrive(p) }

// rouse is the stack's Wake.
func (h *Host) rouse() {
	if h.inTurn {
		h.roused = true
		return
	}
	h.Turn()
}

// Turn has the stack take a turn at this instant, after what else happens at it.
func (h *Host) Turn() {
	if !h.turning {
		h.turning = true
		h.sim.events.push(event{at: h.sim.now, who: (*turner)(h)})
	}
}

// A turner is a host whose turn it is.
type turner Host

func (h *turner) fire(*packet, clock.Time) { (*Host)(h).turn() }

// turn is one turn of the stack's driver.
func (h *Host) turn() {
	h.turning, h.inTurn = false, true
	h.turns++
	now := h.clock()
	h.core.BeginTurn(now)
	for range min(h.inbox.n, turnFrames) {
		p := h.inbox.pop()
		h.ifc.Receive(now, phy.Frame{Data: p.data()})
		h.sim.give(p)
	}
	// Applications are as fast as can be: what they read is read before it is
	// acknowledged, and what they answer goes with the acknowledgment.
	h.core.EndTurn(now)
	h.core.BeginTurn(now)
	room := h.send(now)
	h.core.EndTurn(now)
	h.inTurn = false
	if h.roused || h.inbox.n > 0 {
		h.roused = false
		h.Turn()
		return
	}
	h.wait(room)
}

// send gives the link what the stack has to say. If the device is full it returns
// when that has room again.
func (h *Host) send(now clock.Time) (room clock.Time) {
	if h.link == nil {
		return 0
	}
	for {
		if h.full > 0 && h.link.Queued() >= h.full {
			return h.link.leaving.at(h.link.leaving.n - h.full).at
		}
		if h.spare == nil || len(h.spare.buf) < h.sim.buffer {
			h.spare = h.sim.take()
			h.sim.travel-- // until it has something in it
		}
		n, _ := h.ifc.Send(now, h.spare.buf)
		if n == 0 {
			return 0
		}
		p := h.spare
		h.spare = nil
		p.n = n
		h.sim.travel++
		h.sim.packets++
		h.link.enter(p)
	}
}

// wait arranges for the next turn, which is due at the stack's deadline or when
// there is room.
func (h *Host) wait(room clock.Time) {
	d := h.core.Deadline()
	if d.IsSet() && h.tick > 1 && d < clock.Never-h.tick {
		d = (d + h.tick - 1) / h.tick * h.tick
	}
	d = clock.Earliest(d, room)
	if !d.IsSet() {
		return
	}
	if d <= h.sim.now {
		h.Turn()
		return
	}
	// A timer that moves out leaves its event alone, which is then found to be
	// early: there is one that counts for each host.
	if !h.timer.IsSet() || d < h.timer {
		h.timer = d
		h.sim.events.push(event{at: d, who: h})
	}
}

// fire is for a deadline that may have moved.
func (h *Host) fire(_ *packet, at clock.Time) {
	if at != h.timer {
		return // another one has come earlier since
	}
	h.timer = 0
	if d := h.core.Deadline(); d.Due(h.clock()) || h.full > 0 {
		h.Turn()
		return
	}
	h.wait(0)
}

// busy says what keeps the host from being at rest, "" if nothing does.
func (h *Host) busy() string {
	st := h.core.Stats()
	switch {
	case h.turning || h.inbox.n > 0:
		return "a turn is due"
	case st.Connections > 0:
		for s := range h.core.Sockets {
			if s.State != tcp.StateListen.String() {
				return fmt.Sprintf("%d connections, one %v-%v in %s", st.Connections, s.Local, s.Remote, s.State)
			}
		}
	case st.TimeWait > 0:
		return fmt.Sprintf("%d in TIME-WAIT", st.TimeWait)
	case h.core.Deadline().IsSet():
		return "a deadline is set"
	case st.Memory != 0:
		return fmt.Sprintf("%d bytes in use", st.Memory)
	}
	return ""
}
