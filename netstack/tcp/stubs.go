// Package tcp is one TCP connection, RFC 9293: a machine with no I/O and no clock.
package tcp

import (
	"net/netip"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/stream"
	"smolnet/netstack/wire"
)

// A Seq is a sequence number; comparisons are modulo 2^32.
type Seq uint32

func (s Seq) Before(t Seq) bool { return int32(s-t) < 0 }
func (s Seq) After(t Seq) bool  { return int32(s-t) > 0 }
func (s Seq) Add(n int) Seq     { return s + Seq(n) }
func (s Seq) Sub(t Seq) int     { return int(int32(s - t)) } // bytes from t to s, negative if s is before t

type State uint8

const (
	StateClosed State = iota
	StateListen
	StateSynSent
	StateSynReceived
	StateEstablished
	StateFinWait1
	StateFinWait2
	StateCloseWait
	StateClosing
	StateLastAck
	StateTimeWait
)

func (s State) String() string { panic("stub") } // "ESTABLISHED", "FIN-WAIT-1", ...

// An ID names a connection: the demux key.
type ID struct{ Local, Remote netip.AddrPort }

// Config of connections; shared, read-only once in use. Zero means default, negative means off (where that has a meaning).
type Config struct {
	RecvBuffer, SendBuffer int           // stream limits, bytes; default 1 MiB? (builder measures), at least 4 KiB
	MaxMSS                 int           // upper bound on the MSS that we announce; zero: the path's
	NoDelay                bool          // Nagle off
	KeepAliveIdle          time.Duration // zero or negative here: keep-alive off (RFC 9293 MUST-25)
	KeepAliveInterval      time.Duration // default 75 s
	KeepAliveCount         int           // default 9
	UserTimeout            time.Duration // zero: RetransmitLimit decides
	DelayedAck             time.Duration // default 40 ms, negative: ack at once; at most 500 ms
	InitialRTO             time.Duration // 1 s
	MinRTO, MaxRTO         time.Duration // 200 ms, 60 s
	SynRetries             int           // 6
	SynAckRetries          int           // 5
	RetransmitLimit        int           // R2 as a count of retransmissions of one segment: 15
	OrphanRetries          int           // limit after the user closed: 8
	FinWait2Timeout        time.Duration // 60 s, only after Close
	TimeWait               time.Duration // 2 MSL: 60 s; negative: none
	NoTimestamps           bool
	NoWindowScale          bool
	TimerSlack             time.Duration
	NewCongestion          func() Congestion // nil: NewReno
}

// A Congestion is a congestion controller. All byte counts; it sees events and answers with a window.
type Congestion interface {
	Init(now clock.Time, mss int)
	// (builder refines: OnAck(now, CongestionAck{acked, rtt, inFlight, appLimited}), OnLoss enter/exit recovery, OnRTO, OnIdle, SetMSS)
	Window() int // bytes
	SlowStartThreshold() int
	PacingRate() int64 // bytes per second, zero: not paced
	Name() string
}

// Events are what changed for the user or the owner since they were last taken.
type Events uint16

const (
	EventConnected  Events = 1 << iota // reached ESTABLISHED (or beyond)
	EventReadable                      // In grew
	EventWritable                      // Out has given back room
	EventPeerClosed                    // FIN arrived in order: In ends at its End
	EventFailed                        // Err is set: reset, timed out, aborted...
	EventTimeWait                      // entered TIME-WAIT: take the record with TimeWait and drop the Conn
	EventClosed                        // CLOSED: nothing will be sent or accepted any more (a final RST may still be due from Send)
)

// An Action is how the owner answers the very segment that it passed in.
type Action uint8

const (
	ActionNone   Action = iota
	ActionReset         // answer with Reset (RFC 9293 3.10.7.1 form)
	ActionAck           // TIME-WAIT record: answer with its Ack
	ActionReopen        // TIME-WAIT record: this SYN may open a new connection (RFC 6191 / RFC 9293 MAY-2); forget the record
)

// A Segment is what Send wrote.
type Segment struct {
	Len         int    // TCP header and payload, bytes; checksum field zero
	SegmentSize uint16 // not zero: a super-frame, to be cut into pieces of that payload size
}

// A Conn is one connection. Only In and Out (one reader, one writer) and the methods marked so may be used by other goroutines than the owner's.
type Conn struct {
	In  stream.Stream // receive stream; the user consumes
	Out stream.Stream // send stream; the user produces
}

func (c *Conn) Init(id ID, cfg *Config, pool *stream.Pool) { panic("stub") }

// Connect: active OPEN. mtu is the largest IP payload (TCP header and data) that the path takes, e.g. 1480 for IPv4 over Ethernet.
func (c *Conn) Connect(now clock.Time, iss Seq, mtu int) { panic("stub") }

// Accept: passive OPEN by a SYN that the owner's LISTEN checked with CheckListen. State becomes SYN-RECEIVED. The SYN's own data/FIN is not accepted.
func (c *Conn) Accept(now clock.Time, iss Seq, mtu int, syn *wire.TCP) { panic("stub") }

// Receive takes one segment, RFC 9293 3.10.7.3/4. The drop says why it had no effect (counter), and is DropNone otherwise.
func (c *Conn) Receive(now clock.Time, h *wire.TCP, payload []byte) (Action, wire.Drop) {
	panic("stub")
}

// Send runs due timers, then writes the next segment to b (at least TCP header + MSS), or reports false: nothing to say until Deadline, a Receive, or the user.
func (c *Conn) Send(now clock.Time, b []byte) (Segment, bool) { panic("stub") }

// Deadline is when Send must be called next even if nothing happens; zero: never. Timers only.
func (c *Conn) Deadline() clock.Time { panic("stub") }

// User calls, on the owner's goroutine.
func (c *Conn) CloseWrite(now clock.Time) { panic("stub") } // FIN after what is in Out; idempotent
func (c *Conn) CloseRead(now clock.Time)  { panic("stub") } // arriving data is acknowledged and thrown away (shutdown(SHUT_RD))
func (c *Conn) Close(now clock.Time)      { panic("stub") } // the user is gone: FIN, or RST if unread data is left (RFC 2525 2.17); arriving new data is answered by RST
func (c *Conn) Abort(now clock.Time)      { panic("stub") } // RST at once (SetLinger(0)), Err = ConnAborted

func (c *Conn) ID() ID             { panic("stub") }
func (c *Conn) State() State       { panic("stub") }
func (c *Conn) Err() errno.Errno   { panic("stub") } // OK while nothing failed
func (c *Conn) TakeEvents() Events { panic("stub") } // returns and clears
func (c *Conn) Info() Info         { panic("stub") }

// WindowUpdateDue, from any goroutine: the user has read enough that Send would announce a larger window now.
func (c *Conn) WindowUpdateDue() bool { panic("stub") }

// Unreachable: a validated ICMP error (RFC 5927 checked by the owner through InFlight). hard errors end a connection in SYN-SENT/SYN-RECEIVED; soft ones are remembered as the reason of a later timeout (RFC 9293 MUST-56, SHLD-25, 1122 4.2.3.9).
func (c *Conn) Unreachable(now clock.Time, e errno.Errno) { panic("stub") }

// InFlight reports whether seq is data that was sent and not acknowledged (ICMP validation, RFC 5927 4.1).
func (c *Conn) InFlight(seq Seq) bool { panic("stub") }

// SetMTU lowers or raises the path's limit (IP payload bytes); data that is out and too big is sent again in smaller pieces.
func (c *Conn) SetMTU(now clock.Time, mtu int) { panic("stub") }

// Options that the user may change at any time.
func (c *Conn) SetNoDelay(on bool)                                                   { panic("stub") }
func (c *Conn) SetKeepAlive(now clock.Time, idle, interval time.Duration, count int) { panic("stub") } // idle zero: off
func (c *Conn) SetUserTimeout(now clock.Time, d time.Duration)                       { panic("stub") }

// TimeWait returns the record that stands for a connection in TIME-WAIT.
func (c *Conn) TimeWait() TimeWait { panic("stub") }

// A TimeWait is at most 200 bytes.
type TimeWait struct{}

func (w *TimeWait) ID() ID                                                         { panic("stub") }
func (w *TimeWait) Deadline() clock.Time                                           { panic("stub") }
func (w *TimeWait) Receive(now clock.Time, h *wire.TCP, n int) (Action, wire.Drop) { panic("stub") } // n payload bytes
func (w *TimeWait) Ack(now clock.Time, out *wire.TCP)                              { panic("stub") }

// Reset fills out with the RST that answers h, which carried n bytes, where no connection is (RFC 9293 3.10.7.1). False: h must not be answered.
func Reset(h *wire.TCP, n int, out *wire.TCP) bool { panic("stub") }

// CheckListen is the LISTEN state's look at a segment (RFC 9293 3.10.7.2): DropNone: a SYN that may open a connection; ActionReset for an ACK.
func CheckListen(h *wire.TCP) (Action, wire.Drop) { panic("stub") }

// An ISNSource makes initial sequence numbers, RFC 6528.
type ISNSource struct{}

func NewISNSource(key [32]byte) *ISNSource          { panic("stub") }
func (s *ISNSource) Next(now clock.Time, id ID) Seq { panic("stub") }

// Info is what a connection knows of itself (grows).
type Info struct {
	State                                State
	RTT, RTTVar, MinRTT, RTO             time.Duration
	CongestionWindow                     int
	SlowStartThreshold                   int
	CongestionControl                    string
	SendMSS, RecvMSS                     int
	SendWindow, RecvWindow               int // bytes: peer's offer, our offer
	InFlight                             int
	BytesSent, BytesAcked, BytesReceived uint64 // payload; BytesSent counts retransmissions too
	SegmentsSent, SegmentsReceived       uint64
	Retransmits                          uint64 // segments
	Timeouts                             uint64
	FastRecoveries                       uint64
	OutOfOrder                           uint64
	DuplicateAcks                        uint64
	SendQueue, RecvQueue                 int // bytes in Out, In
	Timestamps, WindowScaling            bool
	SendScale, RecvScale                 uint8
}
