// Package neighbor finds the link addresses of neighbours and notices when
// they are gone: the machine of RFC 4861 section 7.3, shared by ARP and NDP.
//
// A [Cache] belongs to one interface and one goroutine. It sends nothing: the
// owner asks [Cache.Lookup] before it transmits, feeds what it hears to
// [Cache.Learn], sends the solicitations that [Cache.Next] asks for, and takes
// what came of it from [Cache.Drain]. Packets and waiters for an address that
// is being resolved are kept in the cache meanwhile.
//
//	hw, res := cache.Lookup(now, hop)
//	switch res {
//	case neighbor.Resolved: // send to hw
//	case neighbor.Wait:     cache.Queue(hop, packet)
//	case neighbor.Failed:   // host unreachable
//	}
package neighbor

import (
	"net/netip"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/packet"
	"smolnet/netstack/timer"
	"smolnet/netstack/wire"
)

// The constants of RFC 4861 section 10, and our own.
const (
	MaxMulticastSolicit = 3                // MAX_MULTICAST_SOLICIT
	MaxUnicastSolicit   = 3                // MAX_UNICAST_SOLICIT
	DelayFirstProbe     = 5 * time.Second  // DELAY_FIRST_PROBE_TIME
	ReachableTime       = 30 * time.Second // REACHABLE_TIME, before randomisation
	RetransTimer        = time.Second      // RETRANS_TIMER, and so the rate limit per target

	// RFC 1122 2.3.2.1 has cache entries time out after "on the order of a
	// minute". An entry that is not used lives so long after it became stale.
	StaleTime = time.Minute

	// FailedHold is how long an address that did not answer is not asked again.
	// One second keeps to one solicitation a second for an application that
	// tries again and again, and is over before TCP's first retransmission and a
	// pinger's next echo make their own attempt.
	FailedHold = time.Second
)

// The bounds of a cache.
const (
	DefaultMaxEntries = 1024
	MaxPending        = 16       // packets that wait for one address
	MaxPendingBytes   = 64 << 10 // their bytes; one packet may always wait
	MaxAllPending     = 1024     // packets that wait in the whole cache
	MaxAllBytes       = 1 << 20  // the memory of their buffers
	MaxWaiters        = 1 << 16  // waiters in the whole cache

	maxReachable = time.Hour             // RFC 4861 6.2.1: AdvReachableTime is no more
	minRetrans   = 10 * time.Millisecond // whatever a router says
	rerandomise  = 2 * time.Hour         // RFC 4861 6.3.2: "at least every few hours"
)

// A State is where an entry is in the machine of RFC 4861 section 7.3.2.
type State uint8

// The states.
const (
	Incomplete State = iota // being resolved
	Reachable               // heard of within the reachable time
	Stale                   // not heard of for longer, and not used since
	Delay                   // used: wait for a confirmation before asking
	Probe                   // asked: no answer yet
	Invalid                 // did not answer; not asked again for a moment
	Permanent               // configured; never changes
	numStates
)

var stateNames = [numStates]string{"incomplete", "reachable", "stale", "delay", "probe", "failed", "permanent"}

// String returns the state's name as "ip neighbour" prints it, in lower case.
func (s State) String() string {
	if s < numStates {
		return stateNames[s]
	}
	return "unknown"
}

// A Result is the answer to a Lookup.
type Result uint8

// The results.
const (
	Resolved Result = iota // the address is valid: send
	Wait                   // resolution is under way: Queue the packet or Wait
	Failed                 // the neighbour does not answer
)

// String returns "resolved", "wait" or "failed".
func (r Result) String() string {
	switch r {
	case Resolved:
		return "resolved"
	case Wait:
		return "wait"
	case Failed:
		return "failed"
	}
	return "unknown"
}

// Config of a Cache. Zero values are defaults.
type Config struct {
	// MaxEntries bounds the table, [DefaultMaxEntries] if zero or negative.
	MaxEntries int

	// Packets is where buffers for waiting packets come from. If nil no packet
	// can wait.
	Packets *packet.Pool

	// Rand returns random numbers that spread the reachable time over 0.5 to
	// 1.5 of its base. If nil it is not spread.
	Rand func() uint64
}

// An entry is one neighbour.
type entry[W any] struct {
	timer   timer.Entry
	addr    netip.Addr
	hw      wire.HardwareAddr
	state   State
	router  bool
	tries   uint8      // solicitations sent in this state
	rank    rank       // the list it is in
	used    clock.Time // last Lookup; zero: never
	listed  clock.Time // when it was put at the end of its list
	links   [numLinks]link[W]
	pending pending
	waiters []W
}

// A Cache is the table of an interface's neighbours. W is what waits for a
// resolution, such as a socket; the cache only keeps it and gives it back.
type Cache[W any] struct {
	max       int
	packets   *packet.Pool
	rand      func() uint64
	base      time.Duration // BaseReachableTime
	reachable time.Duration // ReachableTime, random around base
	random    clock.Time    // when to choose reachable anew
	retrans   time.Duration

	entries  map[netip.Addr]*entry[W]
	timers   timer.Queue[*entry[W]]
	ranks    [numRanks]list[W]
	holders  list[W] // entries with packets, oldest first
	outcomes []Outcome[W]

	pendingPackets int
	pendingBytes   int
	waiting        int
	stats          Stats
}

// Stats are counters since the start.
type Stats struct {
	Solicited  uint64 // solicitations asked for by Next
	Resolved   uint64 // addresses that answered
	Failed     uint64 // addresses that did not
	Evicted    uint64 // entries that made room for others
	Overflowed uint64 // waiting packets dropped because of a bound or the budget
}

// New returns an empty cache.
func New[W any](cfg Config) *Cache[W] {
	if cfg.MaxEntries <= 0 {
		cfg.MaxEntries = DefaultMaxEntries
	}
	c := &Cache[W]{
		max:     cfg.MaxEntries,
		packets: cfg.Packets,
		rand:    cfg.Rand,
		retrans: RetransTimer,
		entries: make(map[netip.Addr]*entry[W]),
		holders: list[W]{which: linkHolder},
	}
	c.SetReachableTime(ReachableTime)
	return c
}

// SetReachableTime changes the base of the reachable time, as a router
// advertisement may (RFC 4861 6.3.4). Zero or less means [ReachableTime]; more
// than an hour counts as an hour.
func (c *Cache[W]) SetReachableTime(d time.Duration) {
	if d <= 0 {
		d = ReachableTime
	}
	if d = min(d, maxReachable); d != c.base {
		c.base, c.random = d, 0
	}
}

// SetRetransTimer changes the time between solicitations, as a router
// advertisement may (RFC 4861 6.3.4). Zero or less means [RetransTimer].
func (c *Cache[W]) SetRetransTimer(d time.Duration) {
	if d <= 0 {
		d = RetransTimer
	}
	c.retrans = max(d, minRetrans)
}

// Deadline returns when Next must be called even if nothing happens; zero:
// never. It may be early.
func (c *Cache[W]) Deadline() clock.Time { return c.timers.Next() }

// Len returns the number of entries.
func (c *Cache[W]) Len() int { return len(c.entries) }

// Stats returns the counters.
func (c *Cache[W]) Stats() Stats { return c.stats }

// Pending returns the number of packets that wait in the cache, and the bytes
// of memory of their buffers.
func (c *Cache[W]) Pending() (packets, bytes int) { return c.pendingPackets, c.pendingBytes }

// An Info describes an entry.
type Info struct {
	Addr   netip.Addr
	HW     wire.HardwareAddr // zero while incomplete or failed
	State  State
	Router bool
}

// All calls yield with every entry, in no order, until it returns false. The
// cache must not be changed meanwhile.
func (c *Cache[W]) All(yield func(Info) bool) {
	for _, e := range c.entries {
		if !yield(Info{Addr: e.addr, HW: e.hw, State: e.state, Router: e.router}) {
			return
		}
	}
}
