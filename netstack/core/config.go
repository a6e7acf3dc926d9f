package core

import (
	"errors"
	"fmt"
	"net/netip"

	"smolnet/netstack/neighbor"
	"smolnet/netstack/siphash"
	"smolnet/netstack/tcp"
)

// The defaults of [Limits] and [Config].
const (
	DefaultMemory      = 512 << 20
	DefaultConnections = 1 << 20
	DefaultSockets     = 65536
	DefaultTimeWait    = 65536
	DefaultHalfOpen    = 4096
	DefaultNeighbors   = neighbor.DefaultMaxEntries
	DefaultOutbox      = 256
	DefaultICMPRate    = 1000

	DefaultFastOpenPending = 256
	DefaultChallengeRate   = 1000
	DefaultHopLimit        = 64
	DefaultBacklog         = 128
)

// Bounds that are not configured.
const (
	// MaxInterfaces is the number of interfaces that a core takes.
	MaxInterfaces = 64
	// MaxAddrs is the number of addresses that an interface takes.
	MaxAddrs = 256
	// MaxRoutes is the number of routes, those of on-link prefixes included.
	MaxRoutes = 1 << 14
	// MaxBacklog is the largest backlog of a listener; more counts as this.
	MaxBacklog = 65535
	// maxTimers is how many timers of connections, and as many of TIME-WAIT
	// records, one turn runs or finds moved out: thousands may come at the same
	// instant.
	maxTimers = 1024
	// MaxPings is the number of echo sockets, one for each identifier.
	MaxPings = 1 << 15

	icmpBurst = 50 // ICMP errors at once on average, before ICMPRate counts
)

// Config of a Core. Zero values are defaults.
type Config struct {
	TCP      tcp.Config // default for new connections
	Limits   Limits
	Seed     [32]byte // secret randomness: ISNs, ports, IDs, jitter. Must be unpredictable in production.
	HopLimit uint8    // TTL and hop limit of what is sent (RFC 9293 MUST-49); default 64 (RFC 1700)
	NoEcho   bool     // do not answer echo requests

	// FastOpenKey is the secret of the cookies of TCP Fast Open, for several cores that
	// are one host. Zero: of Seed.
	FastOpenKey siphash.Key

	// Share is what of a link's flows arrives at this core, if it has a link in
	// common with others that have the same addresses. Nil: everything does.
	Share Share

	// Wake is called, from any goroutine, when a socket has work for the
	// driver (it was put on the dirty list). It must not block. It may be nil
	// in a core that is driven by hand.
	Wake func()
}

// A Share is one core's part of the flows on a link. The core chooses ports and
// echo identifiers such that it hears the answers; those that are asked for are
// the asker's responsibility.
type Share interface {
	// Flow reports whether the packets of a TCP or UDP flow arrive here.
	Flow(local, remote netip.AddrPort) bool
	// Echo reports whether ICMP echoes with an identifier do.
	Echo(id uint16) bool
}

// Limits are the named bounds. Zero means default, negative is refused.
type Limits struct {
	// Memory is the budget in bytes: pages of streams, queued packets, 2 KiB
	// for each TCP socket, 200 bytes for each record of TIME-WAIT. Default
	// 512 MiB, of which 100,000 idle connections take 200. Less than 64 KiB is of
	// little use. As it fills, there are five steps, each with a counter in
	// Stats:
	//
	//	at 1/2    receive windows do not grow any more          WindowsHeld
	//	at 5/8    they shrink, as they are not renewed; data
	//	          beyond a gap is not kept                      WindowsShrunk
	//	at 3/4    SYNs are dropped; Dial and Listen fail with
	//	          ENOBUFS                                       OpensNoMemory
	//	at 7/8    Write waits                                   WritesNoMemory
	//	at 15/16  datagrams are dropped, or fail with ENOBUFS   DatagramsNoMemory
	//
	// The rest is for data that arrives in order.
	Memory      int64
	Connections int // TCP connections, half-open ones included; default 1<<20
	Sockets     int // datagram sockets and listeners, default 65536
	TimeWait    int // records, default 65536; the one that is nearest to its end goes first
	HalfOpen    int // SYN-RECEIVED in all listeners, default 4096; further SYNs are answered with cookies (RFC 4987)

	// HalfOpenPerSource is how many of those one source may have: an IPv4 address,
	// or an IPv6 prefix of 64 bits. Default a quarter of HalfOpen, and one at least.
	HalfOpenPerSource int

	// ChallengeRate is how many challenge ACKs (RFC 5961) all connections together
	// send a second, on average: each second's bound is random. Default 1000.
	ChallengeRate int

	// FastOpenPending is how many connections may be accepted with text from their
	// SYN whose handshake is not over (RFC 7413 5.1); further ones wait for it.
	// Default 256.
	FastOpenPending int

	Neighbors int // entries per interface, default 1024
	Outbox    int // queued control packets per interface, default 256
	ICMPRate  int // ICMP errors per second on average, default 1000; bursts of about 50
}

// errNegative is what every negative limit is refused with.
var errNegative = errors.New("core: negative limit")

// withDefaults returns l with its zeros replaced.
func (l Limits) withDefaults() (Limits, error) {
	for _, f := range []struct {
		name  string
		value *int
		def   int
	}{
		{"Connections", &l.Connections, DefaultConnections},
		{"Sockets", &l.Sockets, DefaultSockets},
		{"TimeWait", &l.TimeWait, DefaultTimeWait},
		{"HalfOpen", &l.HalfOpen, DefaultHalfOpen},
		{"Neighbors", &l.Neighbors, DefaultNeighbors},
		{"Outbox", &l.Outbox, DefaultOutbox},
		{"ICMPRate", &l.ICMPRate, DefaultICMPRate},
		{"ChallengeRate", &l.ChallengeRate, DefaultChallengeRate},
		{"FastOpenPending", &l.FastOpenPending, DefaultFastOpenPending},
	} {
		if *f.value < 0 {
			return l, fmt.Errorf("%w: Limits.%s is %d", errNegative, f.name, *f.value)
		}
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	if l.HalfOpenPerSource < 0 {
		return l, fmt.Errorf("%w: Limits.HalfOpenPerSource is %d", errNegative, l.HalfOpenPerSource)
	}
	if l.HalfOpenPerSource == 0 {
		l.HalfOpenPerSource = max(l.HalfOpen/4, 1)
	}
	if l.Memory < 0 {
		return l, fmt.Errorf("%w: Limits.Memory is %d", errNegative, l.Memory)
	}
	if l.Memory == 0 {
		l.Memory = DefaultMemory
	}
	return l, nil
}
