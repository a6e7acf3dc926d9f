package netstack

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"smolnet/netstack/congestion"
	"smolnet/netstack/core"
	"smolnet/netstack/packet"
	"smolnet/netstack/route"
	"smolnet/netstack/siphash"
	"smolnet/netstack/tcp"
	"smolnet/phy"
)

// A Config describes a stack. Only Device is required. In every field zero
// means the default; where a field can be switched off, a negative value does.
// New reports values that make no sense.
type Config struct {
	// Device is the interface that the stack sends and receives through. The
	// stack owns it from New on, and closes it. Required.
	Device phy.Device

	// Name of the interface, for messages and as the zone of link-local
	// addresses. Default "eth0" on Ethernet, "tun0" on IP media.
	Name string

	// HardwareAddr is the interface's address on Ethernet. Default: the one
	// that the device asks for, or else a random locally administered one.
	// It must be nil on other media.
	HardwareAddr net.HardwareAddr

	// Addrs are the interface's addresses, each with the prefix that is on
	// its link. On Ethernet a link-local IPv6 address is always added. The
	// loopback interface with 127.0.0.1/8 and ::1 exists without being named.
	Addrs []netip.Prefix

	// Routes beside those to the prefixes of Addrs. Nil: none on Ethernet; on
	// IP media a default route through the device for each family that Addrs
	// has an address of. Empty but not nil: none.
	Routes []Route

	// DNS are the servers that a Resolver over this stack asks: one until it
	// fails, then the next.
	DNS []netip.AddrPort

	TCP    TCPConfig
	UDP    UDPConfig
	Limits Limits

	// Logger hears of the stack's start and end and of its device's failure.
	// Default: nothing is logged. It is called on the poll goroutine: it must
	// not block, nor wait for the stack (see ErrOnLoop).
	Logger Logger

	// Rand is the source of the stack's secret seed and hardware address.
	// Default the operating system's. With a deterministic one sequence numbers and ports
	// are predictable: for tests only.
	Rand io.Reader

	// TimerSlack is how late timers may come on this machine. Loss detection
	// allows for it. Default none.
	TimerSlack time.Duration

	// HopLimit of packets sent (IPv4: time to live), 1 to 255. Default 64.
	HopLimit int

	// fastOpenKey is the secret of the cookies of TCP Fast Open that the stacks of a
	// Group share; zero: the stack's own.
	fastOpenKey siphash.Key

	// NoEcho: do not answer ICMP echo requests.
	NoEcho bool
}

// A Logger is what the stack logs through; a *slog.Logger is one. It is an
// interface so that a small program need not link package slog. A message is
// constant, and args are its attributes, keys and values in turn.
type Logger interface {
	Debug(msg string, args ...any)
	Error(msg string, args ...any)
}

// A noLogger is the default Logger.
type noLogger struct{}

func (noLogger) Debug(string, ...any) {}
func (noLogger) Error(string, ...any) {}

// A Route says where packets to a prefix go.
type Route = route.Route

// Limits bound what the stack holds at one time. Zero fields are defaults;
// negative ones are refused.
type Limits = core.Limits

// An ECNMode says what connections do about explicit congestion notification, see
// TCPConfig.
type ECNMode = tcp.ECNMode

// The modes.
const (
	ECNAccept = tcp.ECNAccept // use it if the peer asks, but do not ask
	ECNAsk    = tcp.ECNAsk    // ask for it, and use it if the peer agrees
	ECNOff    = tcp.ECNOff    // do without
)

// UDPConfig holds defaults for datagram sockets. Zero means default.
type UDPConfig struct {
	RecvBuffer int // bytes that may wait to be read
	SendBuffer int // bytes that may wait to be sent
}

// TCPConfig holds defaults for connections, which are those of package net
// over Linux where that has any. Zero means default, negative off where that
// is said.
type TCPConfig struct {
	RecvBuffer int // bytes received and not read yet, the largest window; at least 1024; default MaxRecvBuffer decides
	SendBuffer int // bytes written and not acknowledged yet; at least 1024; default MaxSendBuffer decides

	// MaxRecvBuffer and MaxSendBuffer are up to where buffers grow that are not
	// fixed by RecvBuffer and SendBuffer: from 512 KiB on, to twice what a
	// connection has under way. At least 1024, default 4 MiB; a negative value
	// leaves them at 512 KiB.
	MaxRecvBuffer, MaxSendBuffer int

	MaxMSS int // upper bound of the segment size that we announce; default what the path takes

	// Nagle delays small segments while others are unacknowledged (RFC 9293
	// 3.7.4). Default off, as in package net; SetNoDelay changes it.
	Nagle bool

	KeepAliveIdle     time.Duration // default 15 s; negative: no keep-alive
	KeepAliveInterval time.Duration // default 15 s
	KeepAliveCount    int           // unanswered probes; default 9

	UserTimeout     time.Duration // how long data may stay unacknowledged (RFC 5482); default RetransmitLimit decides
	IdleTimeout     time.Duration // ends connections on which neither side sends text; default never
	DelayedAck      time.Duration // default 40 ms, at most 500 ms; negative: acknowledge at once
	InitialRTO      time.Duration // default 1 s (RFC 6298)
	MinRTO          time.Duration // default 200 ms
	MaxRTO          time.Duration // default 60 s
	SynRetries      int           // default 6
	SynAckRetries   int           // default 5
	RetransmitLimit int           // retransmissions of one segment; default 15
	OrphanRetries   int           // the same after Close; default 8
	FinWait2Timeout time.Duration // after Close; default 60 s
	TimeWait        time.Duration // default 60 s; negative: none

	NoTimestamps  bool // do not offer timestamps (RFC 7323)
	NoWindowScale bool // do not offer window scaling (RFC 7323)
	NoSACK        bool // do not offer selective acknowledgments (RFC 2018)

	// ECN says what connections do about explicit congestion notification (RFC 3168).
	// The default, ECNAccept, uses it where the peer asks for it, and does not ask, as
	// Linux does; ECNAsk asks as well; ECNOff does without.
	ECN ECNMode

	// NoSynCookies: SYNs that find the SYN queue full are dropped, and not answered
	// with a cookie (RFC 4987 3.6).
	NoSynCookies bool

	// FastOpen: listeners take text from the SYNs of clients that have shown before
	// that they are where they say (RFC 7413). After a loss the same request may so
	// arrive twice: for servers only whose requests may be repeated. Dialer.FastOpen
	// is the other side.
	FastOpen bool

	// NoMTUProbing: what segments a path takes is learnt from routers alone. Otherwise,
	// if large ones vanish and nobody says why, smaller ones are sent, and it is found
	// out by probes what gets through (RFC 4821, RFC 8899).
	NoMTUProbing bool

	// CongestionControl is the name of the congestion controller of connections that
	// are given no other one: one of congestion.Names, or of Controllers. Default
	// "cubic" (RFC 9438). A Dialer, a listener and a connection may name others.
	CongestionControl string

	// Controllers are congestion controllers of your own, by names that
	// congestion.Names does not have. New takes a copy. Factories and what they make
	// are called on the poll goroutine: they must not block, nor wait for the stack
	// (see ErrOnLoop).
	Controllers map[string]congestion.Factory

	// Congestion, in the place of CongestionControl, makes the controllers without
	// a name. It is called as those of Controllers are.
	Congestion congestion.Factory
}

// The defaults that package net sets on its connections.
const (
	defaultKeepAliveIdle     = 15 * time.Second
	defaultKeepAliveInterval = 15 * time.Second
	defaultKeepAliveCount    = 9
)

// Bounds of what a Config may ask for.
const (
	minTCPBuffer  = 1 << 10
	maxTCPBuffer  = 1 << 30 // RFC 7323 2.3: windows stay below 2^30
	minMSS        = 48
	maxMSS        = 65495
	maxDelayedAck = 500 * time.Millisecond // RFC 9293 MUST-40
	maxHopLimit   = 255
)

// core returns c as the machine wants it, with the defaults filled in that are
// not the machine's own.
func (c *TCPConfig) core(slack time.Duration) tcp.Config {
	idle := c.KeepAliveIdle
	switch {
	case idle == 0:
		idle = defaultKeepAliveIdle
	case idle < 0:
		idle = 0
	}
	return tcp.Config{
		RecvBuffer:        c.RecvBuffer,
		SendBuffer:        c.SendBuffer,
		MaxRecvBuffer:     c.MaxRecvBuffer,
		MaxSendBuffer:     c.MaxSendBuffer,
		MaxMSS:            c.MaxMSS,
		NoDelay:           !c.Nagle,
		KeepAliveIdle:     idle,
		KeepAliveInterval: defaultTo(c.KeepAliveInterval, defaultKeepAliveInterval),
		KeepAliveCount:    defaultTo(c.KeepAliveCount, defaultKeepAliveCount),
		UserTimeout:       c.UserTimeout,
		IdleTimeout:       c.IdleTimeout,
		DelayedAck:        c.DelayedAck,
		InitialRTO:        c.InitialRTO,
		MinRTO:            c.MinRTO,
		MaxRTO:            c.MaxRTO,
		SynRetries:        c.SynRetries,
		SynAckRetries:     c.SynAckRetries,
		RetransmitLimit:   c.RetransmitLimit,
		OrphanRetries:     c.OrphanRetries,
		FinWait2Timeout:   c.FinWait2Timeout,
		TimeWait:          c.TimeWait,
		NoTimestamps:      c.NoTimestamps,
		NoWindowScale:     c.NoWindowScale,
		NoSACK:            c.NoSACK,
		NoSynCookies:      c.NoSynCookies,
		FastOpen:          c.FastOpen,
		ECN:               c.ECN,
		NoMTUProbing:      c.NoMTUProbing,
		TimerSlack:        slack,
		Congestion:        c.factory(),
	}
}

func defaultTo[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

func (c *TCPConfig) validate() error {
	buffer := func(n int) bool { return n == 0 || (n >= minTCPBuffer && n <= maxTCPBuffer) }
	switch {
	case !buffer(c.RecvBuffer):
		return fmt.Errorf("TCP.RecvBuffer %d is not between %d and %d", c.RecvBuffer, minTCPBuffer, maxTCPBuffer)
	case !buffer(c.SendBuffer):
		return fmt.Errorf("TCP.SendBuffer %d is not between %d and %d", c.SendBuffer, minTCPBuffer, maxTCPBuffer)
	case !buffer(max(c.MaxRecvBuffer, 0)):
		return fmt.Errorf("TCP.MaxRecvBuffer %d is not between %d and %d", c.MaxRecvBuffer, minTCPBuffer, maxTCPBuffer)
	case !buffer(max(c.MaxSendBuffer, 0)):
		return fmt.Errorf("TCP.MaxSendBuffer %d is not between %d and %d", c.MaxSendBuffer, minTCPBuffer, maxTCPBuffer)
	case c.MaxMSS != 0 && (c.MaxMSS < minMSS || c.MaxMSS > maxMSS):
		return fmt.Errorf("TCP.MaxMSS %d is not between %d and %d", c.MaxMSS, minMSS, maxMSS)
	case c.DelayedAck > maxDelayedAck:
		return fmt.Errorf("TCP.DelayedAck %v is more than %v", c.DelayedAck, maxDelayedAck)
	case c.MinRTO > 0 && c.MaxRTO > 0 && c.MinRTO > c.MaxRTO:
		return fmt.Errorf("TCP.MinRTO %v is more than TCP.MaxRTO %v", c.MinRTO, c.MaxRTO)
	case c.ECN > ECNOff:
		return fmt.Errorf("TCP.ECN %d is no ECNMode", c.ECN)
	}
	if err := c.validateControllers(); err != nil {
		return err
	}
	for _, d := range []struct {
		name string
		v    time.Duration
	}{
		{"KeepAliveInterval", c.KeepAliveInterval}, {"UserTimeout", c.UserTimeout}, {"IdleTimeout", c.IdleTimeout}, {"InitialRTO", c.InitialRTO},
		{"MinRTO", c.MinRTO}, {"MaxRTO", c.MaxRTO}, {"FinWait2Timeout", c.FinWait2Timeout},
	} {
		if d.v < 0 {
			return fmt.Errorf("TCP.%s %v is negative", d.name, d.v)
		}
	}
	for _, n := range []struct {
		name string
		v    int
	}{
		{"KeepAliveCount", c.KeepAliveCount}, {"SynRetries", c.SynRetries}, {"SynAckRetries", c.SynAckRetries},
		{"RetransmitLimit", c.RetransmitLimit}, {"OrphanRetries", c.OrphanRetries},
	} {
		if n.v < 0 {
			return fmt.Errorf("TCP.%s %d is negative", n.name, n.v)
		}
	}
	return nil
}

// validate checks what can be checked without the device's capabilities.
func (c *Config) validate() error {
	switch {
	case c.Device == nil:
		return errors.New("a Device is required")
	case c.HopLimit < 0 || c.HopLimit > maxHopLimit:
		return fmt.Errorf("HopLimit %d is not between 1 and %d", c.HopLimit, maxHopLimit)
	case c.TimerSlack < 0:
		return fmt.Errorf("TimerSlack %v is negative", c.TimerSlack)
	case c.UDP.RecvBuffer < 0:
		return fmt.Errorf("UDP.RecvBuffer %d is negative", c.UDP.RecvBuffer)
	case c.UDP.SendBuffer < 0:
		return fmt.Errorf("UDP.SendBuffer %d is negative", c.UDP.SendBuffer)
	}
	for _, p := range c.Addrs {
		if !p.IsValid() || p.Addr().IsUnspecified() || p.Addr().IsMulticast() {
			return fmt.Errorf("Addrs has %v, which no interface can have", p)
		}
	}
	for _, r := range c.Routes {
		if err := validateRoute(r); err != nil {
			return fmt.Errorf("Routes: %w", err)
		}
	}
	for _, s := range c.DNS {
		if !s.IsValid() || s.Port() == 0 {
			return fmt.Errorf("DNS has %v, which is no address and port", s)
		}
	}
	if err := validateLimits(c.Limits); err != nil {
		return err
	}
	return c.TCP.validate()
}

func validateLimits(l Limits) error {
	for _, n := range []struct {
		name string
		v    int64
	}{
		{"Memory", l.Memory}, {"Connections", int64(l.Connections)}, {"Sockets", int64(l.Sockets)}, {"TimeWait", int64(l.TimeWait)}, {"HalfOpen", int64(l.HalfOpen)}, {"HalfOpenPerSource", int64(l.HalfOpenPerSource)}, {"FastOpenPending", int64(l.FastOpenPending)}, {"ChallengeRate", int64(l.ChallengeRate)},
		{"Neighbors", int64(l.Neighbors)}, {"Outbox", int64(l.Outbox)}, {"ICMPRate", int64(l.ICMPRate)},
	} {
		if n.v < 0 {
			return fmt.Errorf("value of Limits.%s %d is negative", n.name, n.v)
		}
	}
	return nil
}

func validateRoute(r Route) error {
	switch {
	case !r.Prefix.IsValid():
		return errors.New("a route without a prefix")
	case r.Gateway.IsValid() && r.Gateway.Is4() != r.Prefix.Addr().Is4():
		return fmt.Errorf("route to %v through %v, which is of the other family", r.Prefix, r.Gateway)
	case r.MTU < 0:
		return fmt.Errorf("route to %v with negative MTU %d", r.Prefix, r.MTU)
	}
	return nil
}

// hardwareAddr chooses the interface's address on Ethernet: what the user
// said, what the device wants, or a random one.
func (c *Config) hardwareAddr(caps phy.Capabilities) (hw [6]byte, err error) {
	switch {
	case caps.Medium != phy.MediumEthernet:
		if c.HardwareAddr != nil {
			err = fmt.Errorf("HardwareAddr %v on a device without such addresses", c.HardwareAddr)
		}
		return hw, err
	case c.HardwareAddr == nil && caps.HardwareAddr != hw:
		return caps.HardwareAddr, nil
	case c.HardwareAddr == nil:
		if _, err := io.ReadFull(c.random(), hw[:]); err != nil {
			return hw, fmt.Errorf("reading Rand: %w", err)
		}
		hw[0] = hw[0]&^groupBit | localBit
		return hw, nil
	case len(c.HardwareAddr) != len(hw) || c.HardwareAddr[0]&groupBit != 0:
		return hw, fmt.Errorf("HardwareAddr %v is not a 48-bit unicast address", c.HardwareAddr)
	}
	copy(hw[:], c.HardwareAddr)
	return hw, nil
}

// The two flag bits in the first octet of an IEEE 802 address.
const (
	groupBit = 0x01
	localBit = 0x02
)

func (c *Config) random() io.Reader {
	if c.Rand != nil {
		return c.Rand
	}
	return systemRandom{}
}

// recvLimits and sendLimits are the bounds of a datagram socket's rings.
func (c *UDPConfig) recvLimits() packet.Limits { return packet.Limits{Bytes: c.RecvBuffer} }
func (c *UDPConfig) sendLimits() packet.Limits { return packet.Limits{Bytes: c.SendBuffer} }
