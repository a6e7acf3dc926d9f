// Package tcp is one TCP connection, RFC 9293: a machine with no I/O and no
// clock. Its owner passes segments in with [Conn.Receive] and fetches segments
// with [Conn.Send]; [Conn.Deadline] says when to fetch although nothing
// happened. Its user shares the two streams In and Out with it, and nothing
// else.
//
//	for every segment that arrives:    c.Receive(now, &h, payload)
//	until it has nothing to say:       c.Send(now, buffer)
//	then look at what happened:        c.TakeEvents()
//	and come back to Send at:          c.Deadline()
//
// Receive never transmits, so that all segments that have arrived are looked
// at before an acknowledgment goes out (RFC 9293 MUST-59). Send decides and
// builds in one go. Checksums, addresses and what is no segment of this
// connection are the owner's business: see [CheckListen], [Reset] and the
// [TimeWait] record.
//
// What is left out: the urgent mechanism (URG is ignored and urgent data comes
// in line, which RFC 6093 advises), IP options and security labels.
package tcp

import (
	"net/netip"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/stream"
	"smolnet/netstack/wire"
)

// An ID names a connection: the demux key.
type ID struct{ Local, Remote netip.AddrPort }

// Events are what changed for the user or the owner since they were last
// taken.
type Events uint16

// The events.
const (
	EventConnected  Events = 1 << iota // reached ESTABLISHED
	EventReadable                      // In grew
	EventWritable                      // Out has given back room
	EventPeerClosed                    // FIN arrived in order: In ends at its End
	EventFailed                        // Err is set: reset, timed out, refused, aborted
	// EventTimeWait: entered TIME-WAIT. Fetch what Send has to say (the
	// acknowledgment of the peer's FIN), then take the record with TimeWait
	// and drop the Conn.
	EventTimeWait
	// EventClosed: entered CLOSED. Nothing will be accepted any more, and
	// nothing be sent but what Send has to say at once: a last RST or ACK.
	EventClosed
	// EventFinAcked: entered FIN-WAIT-2. The peer has all that was written, and
	// knows that it is all.
	EventFinAcked
	// EventHandshake: the peer of a connection that was accepted with text on its
	// SYN (AcceptFast) has shown that the SYN was its own.
	EventHandshake
	// EventPathMTU: it was found out what the path takes, see Info.PathMTU, by
	// probes and not by what a router said.
	EventPathMTU
)

// An Action is how the owner answers the very segment that it passed in.
type Action uint8

// The actions.
const (
	ActionNone   Action = iota
	ActionReset         // answer with Reset (RFC 9293 3.10.7.1 form)
	ActionAck           // TIME-WAIT record: answer with its Ack
	ActionReopen        // TIME-WAIT record: this SYN may open a new connection (RFC 6191 / RFC 9293 MAY-2), with the record's NextISS; if it does, forget the record
)

// HasSum is added to Segment.Sum where there is one.
const HasSum = 1 << 16

// A Segment is what Send wrote. It has no more fields than the compiler keeps in
// registers: it is passed on for every segment.
type Segment struct {
	Len         int    // TCP header and payload, bytes; checksum field zero
	SegmentSize uint16 // not zero: a super-frame, to be cut into pieces of that payload size
	Sum         uint32 // ones' complement sum of the segment, and HasSum; zero: see Conn.Sums

	// ECN is the codepoint that the IP header of the packet is to have, and of each
	// piece of a super-frame: NotECT or ECT0, RFC 3168 5.
	ECN wire.ECN
}

// A Conn is one connection. Only In and Out (one reader, one writer) and
// WindowUpdateDue may be used by other goroutines than the owner's. It must
// not be copied, and must be told its name by Init before anything else.
//
// The first byte of Out has the sequence number ISS+1, the first byte of In
// IRS+1.
type Conn struct {
	// What every segment touches, so that it is together: with many
	// connections nothing costs more than fetching these lines.
	id      ID
	cfg     *Config
	pool    *stream.Pool
	state   State
	passive bool // opened by Accept, RFC 9293 MUST-11
	v6      bool

	noDelay    bool
	orphan     bool // the user has closed, or aborted
	readClosed bool // arriving data is thrown away
	resetDue   bool // Send owes a RST
	ackNow     bool // Send owes an acknowledgment
	synAckDue  bool // Send owes the SYN-ACK of AcceptFast
	sackOn     bool // both SYNs had SACK-permitted, RFC 2018 2
	ecn        ecn
	cork       cork

	events      Events
	failure     errno.Errno // why the connection ended; OK: it did not fail
	soft        errno.Errno // soft ICMP error since the last progress
	peerMSS     uint16
	trimBackoff uint8
	retries     int32 // retransmission time-outs since the last progress

	snd          sendSpace
	rcv          receiveSpace
	timers       timers
	ts           timestamps
	lastReceived clock.Time // a segment to be believed
	lastSent     clock.Time // data
	lastText     clock.Time // when text arrived, or an acknowledgment of some; not set before
	rtt          estimator
	congestion   steering
	probe        probe
	recovery     recovery
	mtu          int32 // path's limit on header and data, bytes, as far as is known: PLPMTU
	rack         rack
	rate         rateState
	board        scoreboard

	// Sums has Send sum up the segments of synchronized states, see Segment: it
	// knows what it writes, and whoever reads that again waits for the writing.
	Sums bool

	// HoldText has Receive leave it to the owner to publish In, once for all
	// segments of a batch.
	HoldText bool

	In     stream.Stream // receive stream; the user consumes
	shared sharedWindow
	Out    stream.Stream // send stream; the user produces
	stats  counters

	// What is rarely needed.
	opened      clock.Time // when the handshake was over; not set before
	lastResent  clock.Time // data, not for the first time
	paceFree    clock.Time // when a paced sender has made up for what it sent
	paceFired   clock.Time // when it went on, the last time it had to wait
	userTimeout time.Duration
	idleTimeout time.Duration // zero: none
	search      mtuSearch
	challenges  limiter

	// Challenges are what the owner's connections share for challenge ACKs; nil: no
	// limit but each connection's own. It is set after Init, once.
	Challenges *Challenges

	tune bufferTune
	fast *fastOpen // nil: Fast Open plays no part, or none any more
	keep keepAlive
}

// sendSpace is RFC 9293 3.3.1, the send sequence variables.
type sendSpace struct {
	una      Seq    // SND.UNA: oldest unacknowledged
	nxt      Seq    // SND.NXT: next to send
	max      Seq    // nxt, or beyond it where a window probe has been, or the window that shrank
	iss      Seq    // Out begins after it
	wnd      uint32 // SND.WND, scaled: RFC 9293 REC-1 and MUST-1, 32 bits without sign
	maxWnd   uint32 // the largest wnd so far
	wl1, wl2 Seq    // segment that the window was last taken from
	mss      int    // largest segment, without options: Eff.snd.MSS
	left     int    // bytes that duplicate acknowledgments say have left the network
	dupAcks  uint16
	scale    uint8 // of the peer's windows

	finQueued bool // the user has closed its side: FIN follows the data

	small     Seq // end of the last small segment sent (Minshall)
	resentTo  Seq // beyond everything that was sent more than once
	limitedTo Seq // beyond everything sent while the congestion window was in use
	finSeq    Seq // of our FIN
}

// receiveSpace is RFC 9293 3.3.1, the receive sequence variables.
type receiveSpace struct {
	irs     Seq
	nxt     Seq // RCV.NXT
	adv     Seq // RCV.NXT + RCV.WND: the rightmost edge ever announced
	lastAck Seq // Last.ACK.sent, RFC 7323
	scale   uint8
	finSeen bool // a FIN has arrived, perhaps ahead of data
	finDone bool // and all data before it
	finSeq  Seq

	synWindow uint16 // of our SYN
	quickAcks uint8  // segments still to be acknowledged at once
	dupAcks   uint8  // duplicate acknowledgments owed for segments out of order
	segment   uint16 // largest payload seen, for "every second full-sized segment"
	mss       uint16 // what we announced
	gaps      ranges // what has arrived beyond nxt
	sack      sackReport
}

// Init names the connection and gives it its configuration, nil meaning the
// defaults, and the pool that its streams take their pages from. It is called
// once.
func (c *Conn) Init(id ID, cfg *Config, pool *stream.Pool) {
	if cfg == nil {
		cfg = &defaults
	}
	c.id, c.cfg, c.pool = id, cfg, pool
	c.v6 = isV6(id)
	c.initBuffers(pool)
	c.shared.close()
	c.noDelay = cfg.NoDelay
	c.userTimeout = max(cfg.UserTimeout, 0)
	c.idleTimeout = max(cfg.IdleTimeout, 0)
	c.keep.set(KeepAlive{cfg.KeepAliveIdle > 0, cfg.KeepAliveIdle, cfg.KeepAliveInterval, cfg.KeepAliveCount})
	c.congestion = steer(ownController(cfg.Congestion))
}

func isV6(id ID) bool { return id.Remote.Addr().Is6() && !id.Remote.Addr().Is4In6() }

// Connect is an active OPEN: Send has a SYN afterwards. iss is the initial
// sequence number, see [ISNSource]. mtu is the largest IP payload (TCP header
// and data, bytes) that the path takes, such as 1480 for IPv4 over Ethernet.
func (c *Conn) Connect(now clock.Time, iss Seq, mtu int) {
	c.open(now, iss, mtu)
	c.setState(StateSynSent)
	c.check()
}

// open sets up what active and passive opens have in common.
func (c *Conn) open(now clock.Time, iss Seq, mtu int) {
	s := &c.snd
	s.iss, s.una, s.nxt, s.max = iss, iss, iss, iss
	s.small, s.resentTo, s.limitedTo = iss, iss, iss
	c.mtu = clampMTU(mtu)
	c.search = mtuSearch{limit: uint16(c.mtu)}
	c.peerMSS = defaultMSS(c.v6)
	c.rcv.mss = c.announcedMSS()
	c.rcv.segment = min(c.rcv.mss, defaultMSS4)
	c.rcv.quickAcks = quickAcks
	c.chooseSynWindow()
	c.rtt.rto = c.cfg.initialRTO()
	c.updateMSS()
}

// ID returns the connection's name.
func (c *Conn) ID() ID { return c.id }

// State returns the connection's state.
func (c *Conn) State() State { return c.state }

// Err returns why the connection ended, OK while it has not or if it ended
// well.
func (c *Conn) Err() errno.Errno { return c.failure }

// TakeEvents returns what has happened since it was last called.
func (c *Conn) TakeEvents() Events {
	e := c.events
	c.events = 0
	return e
}

// Unreachable takes an ICMP error that the owner has validated (RFC 5927, see
// InFlight).
//
// RFC 9293 SHLD-26, 3.9.2.2: hard errors (ConnRefused, ProtoNoSupport) end a
// connection that is not synchronised; on others RFC 5927 5.2 has them treated
// as soft ones. MUST-56: soft errors "MUST NOT abort the connection"; they are
// remembered as the reason if it times out before it makes progress. In SYN-SENT
// they do end it: RFC 5461 4.1 describes that for programs that have other
// addresses to try, and Linux does so.
func (c *Conn) Unreachable(_ clock.Time, e errno.Errno) {
	if e == errno.OK || c.state == StateClosed || c.state == StateTimeWait {
		return
	}
	hard := e == errno.ConnRefused || e == errno.ProtoNoSupport
	if c.state == StateSynSent || hard && !c.state.synchronized() {
		c.fail(e)
		return
	}
	if !hard {
		c.soft = e
	}
}

// InFlight reports whether seq was sent and is not acknowledged: RFC 5927 4.1
// believes only ICMP errors that quote such a segment.
func (c *Conn) InFlight(seq Seq) bool {
	return !seq.Before(c.snd.una) && seq.Before(c.snd.max)
}

// SetNoDelay turns Nagle's algorithm off or on (RFC 9293 MUST-17).
func (c *Conn) SetNoDelay(on bool) { c.noDelay = on }

// SetUserTimeout changes how long sent data may stay unacknowledged; zero or
// negative leaves it to Config.RetransmitLimit.
func (c *Conn) SetUserTimeout(now clock.Time, d time.Duration) {
	c.userTimeout = max(d, 0)
	c.timers[timerUser] = 0
	if c.state.synchronized() && c.state != StateTimeWait && c.outstanding() {
		c.armUserTimeout(now)
	}
}

// outstanding reports whether anything was sent and is not acknowledged.
func (c *Conn) outstanding() bool { return c.snd.una.Before(c.snd.max) }

// flight returns how much is out, FlightSize of RFC 5681 2: what counts against
// the peer's window.
func (c *Conn) flight() int { return c.snd.nxt.Sub(c.snd.una) }

// Streams and sequence numbers: both count from the byte after the SYN.

// outSeq returns the sequence number of the byte at an offset of Out.
func (c *Conn) outSeq(off uint64) Seq { return c.snd.iss + 1 + Seq(uint32(off)) }

// outOffset returns the offset in Out of a sequence number in flight.
func (c *Conn) outOffset(seq Seq) uint64 {
	start := c.Out.Start()
	return start + uint64(uint32(seq-c.outSeq(start)))
}

// inOffset returns the offset in In of a sequence number at or beyond RCV.NXT,
// before the FIN was received.
func (c *Conn) inOffset(seq Seq) uint64 { return c.In.Next() + uint64(uint32(seq-c.rcv.nxt)) }

// limiter bounds how often something is done, RFC 5961 7.
type limiter struct {
	since clock.Time
	count uint8
}

// allow reports whether it may be done once more.
func (l *limiter) allow(now clock.Time) bool {
	if !l.since.IsSet() || now.Sub(l.since) >= challengeWindow {
		*l = limiter{since: now}
	}
	if l.count >= challengeLimit {
		return false
	}
	l.count++
	return true
}

// RFC 5961 7: "no more than X challenge ACKs in any Y second window"; its
// example is ten in five seconds. The count is the connection's own: a shared
// one tells an attacker about other connections (CVE-2016-5696).
const (
	challengeLimit  = 10
	challengeWindow = 5 * time.Second
)
