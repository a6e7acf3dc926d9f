// Package core is the pure stack: interfaces, IPv4, IPv6, ICMP, ARP and NDP,
// demultiplexing, sockets. It has no goroutine, lock, clock or device: one
// goroutine, the driver, owns it and obeys one law.
//
//	c.BeginTurn(now)
//	for each frame that has arrived (a bounded number): ifc.Receive(now, frame)
//	until it returns zero, or the device is full:       ifc.Send(now, buffer)
//	c.EndTurn(now)
//	sleep until c.Deadline(), a frame, room in the device, or a Wake
//
// Send does a bounded amount of work. What is left, and what sockets have for an
// interface that was asked before, is pending: EndTurn then calls Wake, and
// Deadline says that a turn is due.
//
// Everything belongs to the driver's goroutine but the methods of sockets that
// say "any goroutine". What those share with the driver is the list in
// tcp_shared.go and datagram_shared.go.
//
// Read first: RFC 1122 (hosts), RFC 8504 (IPv6 nodes).
package core

import (
	"math/rand/v2"
	"sync/atomic"

	"smolnet/netstack/clock"
	"smolnet/netstack/packet"
	"smolnet/netstack/ports"
	"smolnet/netstack/route"
	"smolnet/netstack/siphash"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/timer"
	"smolnet/netstack/token"
	"smolnet/netstack/wire"
)

// A Core is one stack.
type Core struct {
	cfg     Config
	pool    *stream.Pool
	packets *packet.Pool
	rand    *rand.Rand
	isn     *tcp.ISNSource
	cookies *tcp.Cookies

	challenges tcp.Challenges

	ports *ports.Selector
	ids   ipIDs

	ifcs    []*Interface
	local   *Interface // carries local delivery; nil: none does
	routes  route.Table
	sources []route.Candidate // all addresses
	gen     uint32            // of addresses and routes: paths of another one are out of date

	tcp      tcpDemux
	timeWait timeWaits
	fast     fastOpens
	pathMTUs pathMTUs
	udp      udpDemux
	pings    map[pingKey]*Ping
	timers   timer.Queue[*TCP]
	errors   token.Bucket // ICMP errors that may be sent
	price    int          // of the next one, tokens

	ready  []*socket  // with events for their users
	turn   clock.Time // when the last turn began
	closed bool
	stats  Stats
	header wire.TCP // of the segment being received

	// Shared with users.
	dirty  dirtyList
	maxMTU atomic.Int32  // the largest of all interfaces
	wayGen atomic.Uint32 // of what sockets remember of their destinations
}

// New returns a core without interfaces. The error says which part of cfg makes
// no sense.
func New(cfg Config) (*Core, error) {
	limits, err := cfg.Limits.withDefaults()
	if err != nil {
		return nil, err
	}
	cfg.Limits = limits
	if cfg.HopLimit == 0 {
		cfg.HopLimit = DefaultHopLimit
	}
	source := rand.NewChaCha8(cfg.Seed)
	var isnKey, tableKey, cookieKey, fastKey siphash.Key
	var portKey [32]byte
	source.Read(isnKey[:]) // never fails
	source.Read(portKey[:])
	source.Read(tableKey[:])
	source.Read(cookieKey[:])
	source.Read(fastKey[:])
	if cfg.FastOpenKey != (siphash.Key{}) {
		fastKey = cfg.FastOpenKey
	}
	pool := stream.NewPool(limits.Memory)
	c := &Core{
		cfg:     cfg,
		pool:    pool,
		packets: packet.NewPool(pool),
		rand:    rand.New(source),
		isn:     tcp.NewISNSource(isnKey),
		ports:   ports.New(portKey, ports.Range{}),
		gen:     1,
		pings:   make(map[pingKey]*Ping),
		errors:  newErrorLimit(limits.ICMPRate),
	}
	c.cookies = tcp.NewCookies(cookieKey, c.isn)
	c.fast.keys = tcp.NewFastKeys(fastKey)
	c.challenges = tcp.Challenges{PerSecond: limits.ChallengeRate, Rand: c.rand.IntN}
	c.routes.Max = MaxRoutes
	c.ids.init(c.rand)
	c.drawPrice()
	c.tcp.init(tableKey)
	c.timeWait.init(tableKey, limits.TimeWait, pool)
	c.udp.init()
	return c, nil
}

// Pool returns the memory budget.
func (c *Core) Pool() *stream.Pool { return c.pool }

// BeginTurn starts a turn of the driver: it runs what timers are due, and takes
// what users have asked for since the last one.
func (c *Core) BeginTurn(now clock.Time) {
	c.turn = now
	for _, ifc := range c.ifcs {
		ifc.silent = false
	}
	for range maxTimers { // if there are more, Deadline has passed
		s, due, more := c.timers.Step(now)
		if due {
			s.enqueue()
		}
		if !more {
			break
		}
	}
	c.timeWait.expire(now)
	c.expireRoutes(now)
	c.attend(now)
	for _, ifc := range c.ifcs {
		ifc.solicit(now)
	}
}

// attend looks at the sockets that their users have touched. Whatever opens or
// binds a socket calls it first, so that what was closed before is gone.
func (c *Core) attend(now clock.Time) {
	for s := c.dirty.take(); s != nil; {
		next := s.pop()
		s.self.attend(now)
		s = next
	}
}

// EndTurn ends a turn: it passes new connections to their listeners' Accept,
// and calls Waiter.Ready once for each socket that has events. What those do in
// turn brings events in the next turn.
func (c *Core) EndTurn(now clock.Time) {
	n := len(c.ready)
	for i := range n {
		s := c.ready[i]
		ev := s.events
		s.events = 0
		s.self.deliver(now, ev)
	}
	left := copy(c.ready, c.ready[n:])
	clear(c.ready[left:])
	c.ready = c.ready[:left]
	// The driver is about to sleep: work that is left must not.
	if c.cfg.Wake != nil && c.Pending() {
		c.cfg.Wake()
	}
}

// Pending reports whether there is work that waits for nothing but a turn: users
// have asked for something or have events to come, or an interface has
// something to send although its last Send of the turn, if there was one, had
// no frame. What an interface still had to say when the driver stopped asking
// waits for room in the device and does not count. Driver's goroutine.
func (c *Core) Pending() bool {
	if len(c.ready) > 0 || !c.dirty.empty() {
		return true
	}
	for _, ifc := range c.ifcs {
		if ifc.silent && ifc.busy() {
			return true
		}
	}
	return false
}

// Deadline returns when a turn is due although nothing happened; zero: never.
// While work is [Core.Pending] that is an instant that has passed; else it is
// the first timer's.
func (c *Core) Deadline() clock.Time {
	if c.Pending() {
		return max(c.turn, 1)
	}
	d := clock.Earliest(c.timers.Next(), c.timeWait.timers.Next())
	d = clock.Earliest(d, c.routes.Deadline())
	for _, ifc := range c.ifcs {
		if ifc.neigh != nil {
			d = clock.Earliest(d, ifc.neigh.Deadline())
		}
	}
	return d
}

// packetFailed tells the socket that sent packet, which is a whole one, that
// its neighbour does not answer.
func (c *Core) packetFailed(now clock.Time, packet []byte) {
	q, ok := parseQuote(packet)
	if ok {
		c.deliverError(now, &q, unreachableNeighbor)
	}
}
