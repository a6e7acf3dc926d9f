// Package core is the pure stack: interfaces, IPv4, IPv6, ICMP, ARP and NDP, demultiplexing, sockets.
// One goroutine, the driver, owns it; what other goroutines may touch says so.
package core

import (
	"net/netip"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/packet"
	"smolnet/netstack/route"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
	"smolnet/phy"
)

// Config of a Core. Zero values are defaults.
type Config struct {
	TCP      tcp.Config // default for new connections
	Limits   Limits
	Seed     [32]byte // secret randomness: ISNs, ports, IDs, jitter. Must be unpredictable in production.
	HopLimit uint8    // default 64
	NoEcho   bool     // do not answer echo requests

	// Wake is called, from any goroutine, when a socket has work for the driver (it was put on the dirty list). May be nil (hand-driven).
	Wake func()
}

// Limits are the named bounds; zero means default.
type Limits struct {
	Memory      int64 // pages, rings: bytes; default 256 MiB
	Connections int   // default 1<<20
	TimeWait    int   // records, default 65536; the oldest goes first
	HalfOpen    int   // SYN-RECEIVED in all listeners, default 4096
	Neighbors   int   // default 1024
	Outbox      int   // queued control packets per interface, default 256
	ICMPRate    int   // errors per second, default 1000; burst 50
}

type Core struct{}

func New(cfg Config) (*Core, error) { panic("stub") }

// InterfaceConfig describes an interface.
type InterfaceConfig struct {
	Name         string // "eth0"; for messages
	Capabilities phy.Capabilities
	HardwareAddr wire.HardwareAddr // MediumEthernet: must be unicast
	Addrs        []netip.Prefix    // static addresses; each adds its on-link route
	LinkLocal    bool              // add fe80::/64 + EUI-64 of HardwareAddr (Ethernet only)
}

// An Interface is one attachment to a link. Owned by the driver's goroutine.
type Interface struct{}

// AddInterface: at most MaxInterfaces. An interface whose Capabilities say Loopback carries local delivery (own addresses, 127/8, ::1);
// without one, local destinations are unreachable.
func (c *Core) AddInterface(now clock.Time, cfg InterfaceConfig) (*Interface, error) { panic("stub") }

// Receive takes one frame. It borrows it until it returns, and never transmits.
func (ifc *Interface) Receive(now clock.Time, f phy.Frame) { panic("stub") }

// Send writes the next frame to b (link header + MTU bytes at least) and returns its length; zero: nothing to say on this interface now.
func (ifc *Interface) Send(now clock.Time, b []byte) (int, phy.Offload) { panic("stub") }

func (ifc *Interface) Index() int                                    { panic("stub") } // from 1
func (ifc *Interface) Name() string                                  { panic("stub") }
func (ifc *Interface) MTU() int                                      { panic("stub") }
func (ifc *Interface) HardwareAddr() wire.HardwareAddr               { panic("stub") }
func (ifc *Interface) Addrs() []netip.Prefix                         { panic("stub") }
func (ifc *Interface) AddAddr(now clock.Time, p netip.Prefix) error  { panic("stub") }
func (ifc *Interface) RemoveAddr(now clock.Time, a netip.Addr) error { panic("stub") }

// Deadline is when a Send is due although nothing happened; zero: never. Timers only.
func (c *Core) Deadline() clock.Time { panic("stub") }

// BeginTurn/EndTurn frame one turn of the driver: BeginTurn(now) runs due timers and takes the dirty list into the run queues; EndTurn calls Waiter.Ready once for each socket with events.
func (c *Core) BeginTurn(now clock.Time) { panic("stub") }
func (c *Core) EndTurn(now clock.Time)   { panic("stub") }

// Routes. nil-gateway routes are on-link.
func (c *Core) AddRoute(r route.Route) error     { panic("stub") }
func (c *Core) RemoveRoute(p netip.Prefix) error { panic("stub") }
func (c *Core) Routes() []route.Route            { panic("stub") }

// Neighbors, Stats, Sockets
type Neighbor struct {
	Interface int
	Addr      netip.Addr
	HW        wire.HardwareAddr
	State     string
}

func (c *Core) Neighbors() []Neighbor { panic("stub") }

// Stats are counters since the start (plain struct).
type Stats struct {
	FramesIn, FramesOut, BytesIn, BytesOut uint64
	Drops                                  [wire.NumDrops]uint64
	// ... (builder: per protocol counters: IPv4/IPv6 in/out, ICMP in/out by kind, TCP active/passive opens, resets in/out, retransmits, UDP in/out, ARP, NDP, memory in use, connections, half-open, time-wait)
}

func (c *Core) Stats() Stats       { panic("stub") }
func (c *Core) Pool() *stream.Pool { panic("stub") }

// SocketInfo describes one socket.
type SocketInfo struct {
	Protocol      wire.Protocol
	Local, Remote netip.AddrPort
	State         string
	TCP           tcp.Info // zero for others
}

func (c *Core) Sockets(yield func(SocketInfo) bool) { panic("stub") }

// A Waiter is the user's end of a socket. Ready is called on the driver's goroutine, in EndTurn, and must not block.
type Waiter interface{ Ready(ev tcp.Events) }

// ---- TCP sockets

// A TCP is a TCP socket. Methods marked "any goroutine" are for the facade: one reader and one writer at a time.
type TCP struct{}

// DialOptions for an active open. Local may be zero: address by source selection, port ephemeral (RFC 6056).
type DialOptions struct {
	Local, Remote netip.AddrPort
	Config        *tcp.Config // nil: the stack's
	Waiter        Waiter
}

// DialTCP starts an active open. Failures at once: errno.NetUnreach (no route), AddrNotAvail, AddrInUse, NoBufs, Invalid (port 0, multicast, broadcast destination).
// Later: EventConnected or EventFailed to the Waiter.
func (c *Core) DialTCP(now clock.Time, o DialOptions) (*TCP, error) { panic("stub") }

// any goroutine
func (s *TCP) Read(b []byte) (int, error)  { panic("stub") } // 0, errno.WouldBlock | io.EOF | the errno that failed the connection (after the data before it was read) | errno.Closed after Close
func (s *TCP) Write(b []byte) (int, error) { panic("stub") } // short count and errno.WouldBlock when full; errno.Pipe after CloseWrite or failure was reported; errno of failure first time
func (s *TCP) CloseWrite()                 { panic("stub") } // after the writer has left
func (s *TCP) CloseRead()                  { panic("stub") }
func (s *TCP) Close()                      { panic("stub") } // after reader and writer have left; the last call on s
func (s *TCP) Abort()                      { panic("stub") } // RST; like Close the last call
func (s *TCP) LocalAddr() netip.AddrPort   { panic("stub") }
func (s *TCP) RemoteAddr() netip.AddrPort  { panic("stub") }
func (s *TCP) Connected() bool             { panic("stub") } // handshake completed (may have failed since)
func (s *TCP) Err() errno.Errno            { panic("stub") }
func (s *TCP) Finished() bool              { panic("stub") } // CLOSED or TIME-WAIT: everything written was acknowledged, or the connection failed
// driver's goroutine
func (s *TCP) Conn() *tcp.Conn    { panic("stub") }
func (s *TCP) SetWaiter(w Waiter) { panic("stub") }

// ListenOptions: Local address zero (invalid Addr): both families; unspecified v4 or v6: that family only.
type ListenOptions struct {
	Local   netip.AddrPort // port 0: ephemeral
	Backlog int            // accept queue and SYN queue each; default 128... (named)
	Config  *tcp.Config
	// Accept is called on the driver's goroutine in EndTurn with each established connection, whose Waiter it sets. It must not block; the core
	// never calls it with more than Backlog connections that were not Taken.
	Accept func(s *TCP)
}

type Listener struct{}

func (c *Core) ListenTCP(now clock.Time, o ListenOptions) (*Listener, error) { panic("stub") }
func (l *Listener) Addr() netip.AddrPort                                     { panic("stub") }
func (l *Listener) Taken()                                                   { panic("stub") } // any goroutine: one connection left the accept queue
func (l *Listener) Close(now clock.Time)                                     { panic("stub") } // half-open connections are reset; what was passed to Accept is the owner's

// ---- UDP and ICMP echo sockets

type UDPOptions struct {
	Local, Remote        netip.AddrPort // Remote valid: connected. Local address zero: both families.
	ReuseAddr            bool
	Broadcast            bool          // allowed to send to broadcast addresses
	RecvLimit, SendLimit packet.Limits // ring bounds, zero default
	Waiter               Waiter
}

type UDP struct{}

func (c *Core) OpenUDP(now clock.Time, o UDPOptions) (*UDP, error) { panic("stub") }

// any goroutine (one reader, one writer)
func (s *UDP) ReadFrom(b []byte) (n int, size int, m packet.Meta, err error) { panic("stub") } // size: the datagram's; queued ICMP errors come as errno
func (s *UDP) WriteTo(b []byte, m packet.Meta) error                         { panic("stub") } // m.Remote zero on connected sockets; WouldBlock, MsgSize, NetUnreach... (routing errors found on the driver come back on the next call)
func (s *UDP) Close()                                                        { panic("stub") }
func (s *UDP) LocalAddr() netip.AddrPort                                     { panic("stub") }
func (s *UDP) RemoteAddr() netip.AddrPort                                    { panic("stub") }

// Ping is an ICMP echo socket: requests out with our identifier, replies (and errors that quote our requests) in. Payload b is the echo data; Meta.Remote.Port carries the sequence number.
type PingOptions struct {
	Local, Remote netip.Addr // Remote valid: connected; the family is Local's or Remote's
	Waiter        Waiter
}
type Ping struct{}

func (c *Core) OpenPing(now clock.Time, o PingOptions) (*Ping, error)         { panic("stub") }
func (s *Ping) ID() uint16                                                    { panic("stub") }
func (s *Ping) ReadFrom(b []byte) (n int, size int, m packet.Meta, err error) { panic("stub") }
func (s *Ping) WriteTo(b []byte, m packet.Meta) error                         { panic("stub") }
func (s *Ping) Close()                                                        { panic("stub") }
