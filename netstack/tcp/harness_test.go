package tcp_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// Short names for what every line of these tests is made of.
type (
	TCP     = wire.TCP
	Options = wire.TCPOptions
)

const (
	FIN = wire.FIN
	SYN = wire.SYN
	RST = wire.RST
	PSH = wire.PSH
	ACK = wire.ACK
	URG = wire.URG
	ECE = wire.ECE
	CWR = wire.CWR
)

const (
	ethMTU    = 1480          // IP payload of IPv4 over Ethernet
	ethMSS    = ethMTU - 20   // what fits of it behind a bare TCP header
	burst     = 4096          // more segments than one instant can ever need
	idleTurns = 1000          // deadlines in a row that lead to nothing: a livelock
	epoch     = 1_000_000_007 // when the virtual clock starts, ns
	roundTrip = 100 * time.Millisecond
	tolerance = 2 * time.Millisecond
)

// starts are the initial sequence numbers that each transfer must survive:
// plain ones, and those that make every field wrap at some point.
var starts = []struct {
	name     string
	iss, irs uint32
}{
	{"plain", 1_000_000, 5_000_000},
	{"zero", 0, 0},
	{"syn is last", 0xffff_ffff, 0xffff_ffff},
	{"wraps in data", 0xffff_fff0, 0xffff_fc00},
	{"sign changes", 0x7fff_fffe, 0x8000_0000 - 20},
}

// each runs f on a fresh harness for each of starts.
func each(t *testing.T, f func(t *testing.T, h *harness)) {
	t.Helper()
	for _, s := range starts {
		t.Run(s.name, func(t *testing.T) {
			h := newHarness(t)
			h.iss, h.irs = s.iss, s.irs
			f(t, h)
		})
	}
}

// A harness is one connection, its owner, its user and the peer, played by a
// test in virtual time. Sequence numbers in tests are relative: the SYN of
// either side has number 0, its first byte of data 1. Settings are changed
// before the first of connect, accept and to.
type harness struct {
	t    *testing.T
	cfg  tcp.Config
	id   tcp.ID
	c    *tcp.Conn
	pool *stream.Pool
	now  clock.Time
	iss  uint32 // ours
	irs  uint32 // the peer's
	mtu  int
	room int // of the buffer for Send; zero: mtu

	peer   Options // on the peer's SYN
	window uint16  // of segments from the peer that do not name one

	buf     []byte
	answers []segment // resets that the owner owes
	out     []byte    // all that was ever written to Out; out[0] has number 1
	log     []line

	own      Options // on the connection's SYN
	ts       bool    // both sides' SYNs had timestamps
	scaled   bool    // both sides' SYNs had window scale
	tsVal    uint32  // last one from the connection
	edge     uint32  // peer's offer: highest right edge ever
	offered  bool    // edge is valid
	ourEdge  uint32  // the connection's offer
	ourOffer bool
	rounding bool // the right edge may move back by less than a unit
	marked   bool // what the peer sends next has a mark of congestion
	sentTo   uint32
}

// A segment is what the connection sent, with relative numbers.
type segment struct {
	TCP
	data string
	at   clock.Time
	size uint16 // of the pieces of a super-frame
	ecn  wire.ECN
}

// reno makes the controller whose windows are easily told in advance.
func reno() congestion.Controller { return new(congestion.Reno) }

func newHarness(t *testing.T) *harness {
	return &harness{
		t:   t,
		cfg: tcp.Config{Congestion: reno, DelayedAck: -1, RecvBuffer: 64 << 10, SendBuffer: 256 << 10},
		id: tcp.ID{
			Local:  netip.MustParseAddrPort("192.0.2.1:4321"),
			Remote: netip.MustParseAddrPort("198.51.100.2:80"),
		},
		pool: stream.NewPool(0),
		now:  epoch,
		iss:  starts[0].iss, irs: starts[0].irs,
		mtu:    ethMTU,
		peer:   Options{MSS: ethMSS},
		window: 65535,
	}
}

// fail ends the test with the transcript.
func (h *harness) fail(format string, args ...any) {
	h.t.Helper()
	state := "not open"
	if h.c != nil {
		state = fmt.Sprintf("%v, err %v, deadline %s", h.c.State(), h.c.Err(), h.when(h.c.Deadline()))
	}
	h.t.Fatalf("%s\n\ntranscript (> is from the connection, numbers are relative):\n%s\nnow %s: %s",
		fmt.Sprintf(format, args...), h.transcript(), h.when(h.now), state)
}

// when renders an instant as time since the start of the test.
func (h *harness) when(at clock.Time) string {
	if !at.IsSet() {
		return "never"
	}
	return fmt.Sprintf("%.3fs", at.Sub(epoch).Seconds())
}

// A line of the transcript: a remark, or a segment.
type line struct {
	at     clock.Time
	remark string
	seg    TCP
	data   string
}

// keepLines of the transcript are shown when a test fails.
const keepLines = 400

func (h *harness) add(l line) {
	if len(h.log) >= 2*keepLines {
		h.log = append(h.log[:0], h.log[keepLines:]...)
	}
	l.at = h.now
	h.log = append(h.log, l)
}

func (h *harness) note(remark string) { h.add(line{remark: remark}) }
func (h *harness) noteSegment(dir string, s *TCP, data string) {
	h.add(line{remark: dir, seg: *s, data: data})
}

// transcript renders the log.
func (h *harness) transcript() string {
	var b strings.Builder
	for _, l := range h.log {
		fmt.Fprintf(&b, "%10s %s", h.when(l.at), l.remark)
		if l.seg != (TCP{}) {
			b.WriteString(" " + show(&l.seg, l.data))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// flagNames are tcpdump's.
func flagNames(f wire.TCPFlags) string {
	s := ""
	for _, l := range []struct {
		f wire.TCPFlags
		s string
	}{{FIN, "F"}, {SYN, "S"}, {RST, "R"}, {PSH, "P"}, {ACK, "."}, {URG, "U"}, {ECE, "E"}, {CWR, "W"}} {
		if f.Has(l.f) {
			s += l.s
		}
	}
	if s == "" {
		return "none"
	}
	return s
}

// show renders a segment with relative numbers like tcpdump.
func show(s *TCP, data string) string {
	b := fmt.Sprintf("[%s] seq %d", flagNames(s.Flags), int32(s.Seq))
	if s.Flags.Has(ACK) {
		b += fmt.Sprintf(" ack %d", int32(s.Ack))
	}
	b += fmt.Sprintf(" win %d", s.Window)
	if s.Flags.Has(URG) {
		b += fmt.Sprintf(" urg %d", s.Urgent)
	}
	o := &s.Options
	if o.MSS != 0 {
		b += fmt.Sprintf(" mss %d", o.MSS)
	}
	if o.HasWindowScale {
		b += fmt.Sprintf(" wscale %d", o.WindowScale)
	}
	if o.SACKPermitted {
		b += " sackOK"
	}
	if o.HasTimestamps {
		b += fmt.Sprintf(" TS %d %d", o.TSVal, o.TSEcr)
	}
	if o.NumSACK > 0 {
		b += fmt.Sprintf(" sack %v", o.SACK[:o.NumSACK])
	}
	b += fmt.Sprintf(" length %d", len(data))
	if len(data) > 0 {
		b += fmt.Sprintf(" %.24q", data)
	}
	return b
}

// connect does an active OPEN.
func (h *harness) connect() {
	h.init()
	h.note("connect")
	h.c.Connect(h.now, tcp.Seq(h.iss), h.mtu)
}

// accept does a passive OPEN by the peer's SYN.
func (h *harness) accept() {
	h.init()
	syn := h.fromPeer(TCP{Flags: SYN, Options: h.peer})
	h.peer = syn.Options
	h.noteSegment("accept <", &TCP{Flags: SYN, Window: syn.Window, Options: h.peer}, "")
	h.c.Accept(h.now, tcp.Seq(h.iss), h.mtu, &syn)
}

func (h *harness) init() {
	h.t.Helper()
	if h.c != nil {
		h.fail("connection is open already")
	}
	h.c = new(tcp.Conn)
	h.c.Init(h.id, &h.cfg, h.pool)
	if h.room == 0 {
		h.room = h.mtu
	}
	h.buf = make([]byte, h.room)
}

// fromPeer fills in what a test's literal left out, makes the numbers
// absolute, and remembers what the peer offers.
func (h *harness) fromPeer(s TCP) TCP {
	s.SrcPort, s.DstPort = h.id.Remote.Port(), h.id.Local.Port()
	if s.Window == 0 {
		s.Window = h.window
	}
	o := &s.Options
	if h.ts && !s.Flags.Has(SYN) && !s.Flags.Has(RST) {
		o.HasTimestamps = true
	}
	if o.HasTimestamps && o.TSVal == 0 {
		o.TSVal = h.peerClock()
		if o.TSEcr == 0 && s.Flags.Has(ACK) {
			o.TSEcr = h.tsVal
		}
	}
	h.noteOffer(&s)
	s.Seq += h.irs
	if s.Flags.Has(ACK) {
		s.Ack += h.iss
	}
	return s
}

// peerClock is the peer's timestamp clock: milliseconds.
func (h *harness) peerClock() uint32 {
	return 7000 + uint32(h.now.Sub(epoch)/time.Millisecond)
}

// noteOffer moves the right edge of what the connection may send.
func (h *harness) noteOffer(s *TCP) {
	ack := uint32(1) // a SYN without ACK: data starts there
	if s.Flags.Has(ACK) {
		ack = s.Ack
	} else if !s.Flags.Has(SYN) {
		return
	}
	if off := int32(ack - uint32(len(h.out))); off > 2 || off < -1<<30 {
		return // an attack, not an offer
	}
	wnd := uint32(s.Window)
	if h.scaled && !s.Flags.Has(SYN) {
		wnd <<= min(h.peer.WindowScale, 14)
	}
	if e := ack + wnd; !h.offered || int32(e-h.edge) > 0 {
		h.edge, h.offered = e, true
	}
}

// negotiate notes what both SYNs together make of the options.
func (h *harness) negotiate() {
	h.ts = h.own.HasTimestamps && h.peer.HasTimestamps
	h.scaled = h.own.HasWindowScale && h.peer.HasWindowScale
}

// in passes a segment from the peer to the connection and, as its owner must,
// keeps the reset that it wants to be sent.
func (h *harness) in(s TCP, data ...string) (tcp.Action, wire.Drop) {
	h.t.Helper()
	payload := strings.Join(data, "")
	rel := s
	s = h.fromPeer(s)
	rel.Window, rel.Options = s.Window, s.Options
	h.noteSegment("<", &rel, payload)
	before := h.c.State()
	receive := h.c.Receive
	if h.marked {
		h.marked = false
		h.note("the next one is marked")
		receive = h.c.ReceiveMarked
	}
	a, d := receive(h.now, &s, []byte(payload))
	if before == tcp.StateSynSent && h.c.State() != before && s.Flags.Has(SYN) {
		h.peer = s.Options
		h.negotiate()
	}
	if a == tcp.ActionReset {
		h.reset(&s, len(payload))
	}
	return a, d
}

// reset is the owner's part of ActionReset.
func (h *harness) reset(s *TCP, n int) {
	h.t.Helper()
	var r TCP
	if !tcp.Reset(s, n, &r) {
		h.fail("ActionReset for a segment that must not be answered")
	}
	require.Equal(h.t, s.DstPort, r.SrcPort)
	require.Equal(h.t, s.SrcPort, r.DstPort)
	r.Seq -= h.iss
	if r.Flags.Has(ACK) {
		r.Ack -= h.irs
	}
	h.answers = append(h.answers, segment{TCP: r, at: h.now})
}

// send asks the connection for its next segment and holds it against the laws
// that no segment may break.
func (h *harness) send() (segment, bool) {
	h.t.Helper()
	if len(h.answers) > 0 {
		s := h.answers[0]
		h.answers = h.answers[1:]
		h.noteSegment("owner >", &s.TCP, "")
		return s, true
	}
	w, ok := h.c.Send(h.now, h.buf)
	if !ok {
		if w != (tcp.Segment{}) {
			h.fail("Send has nothing to say and returns %+v", w)
		}
		if d := h.c.Deadline(); d.IsSet() && d <= h.now {
			h.fail("Send has nothing to say, but Deadline is due: %s", h.when(d))
		}
		return segment{}, false
	}
	if w.Len > len(h.buf) || w.Len < wire.TCPLen {
		h.fail("Send wrote %d bytes to a buffer of %d", w.Len, len(h.buf))
	}
	s := segment{at: h.now, size: w.SegmentSize, ecn: w.ECN}
	payload, err := wire.ParseTCP(h.buf[:w.Len], &s.TCP)
	if err != nil {
		h.fail("Send wrote what cannot be read: %v", err)
	}
	s.data = string(payload)
	s.Seq -= h.iss
	if s.Flags.Has(ACK) {
		s.Ack -= h.irs
	}
	h.noteSegment(">", &s.TCP, s.data)
	if s.Options.HasTimestamps {
		h.tsVal = s.Options.TSVal
	}
	h.laws(&s)
	return s, true
}

// laws are what holds for every segment that a connection sends, whatever the
// test is about.
func (h *harness) laws(s *segment) {
	h.t.Helper()
	if s.SrcPort != h.id.Local.Port() || s.DstPort != h.id.Remote.Port() {
		h.fail("ports %d > %d", s.SrcPort, s.DstPort)
	}
	if s.Checksum != 0 {
		h.fail("checksum field is not zero")
	}
	o := &s.Options
	if s.Flags.Has(SYN) {
		h.lawsOfSYN(s)
	} else {
		// RFC 9293 MUST-65, 3.2: "This field may be sent in the initial connection
		// request (i.e., in segments with the SYN control bit set) and MUST NOT be sent in other segments"
		if o.MSS != 0 || o.HasWindowScale || o.SACKPermitted {
			h.fail("an option of SYNs on a segment that is none")
		}
		if !s.Flags.Has(ACK) && !s.Flags.Has(RST) {
			h.fail("neither SYN, ACK nor RST")
		}
	}
	// RFC 7323 3.2: "Once TSopt has been successfully negotiated, that is both <SYN>
	// and <SYN,ACK> contain TSopt, the TSopt MUST be sent in every non-<RST> segment"
	if h.ts && !o.HasTimestamps && !s.Flags.Has(RST) {
		h.fail("timestamps were negotiated and are missing")
	}
	if !h.ts && o.HasTimestamps && !s.Flags.Has(SYN) {
		h.fail("timestamps were not negotiated")
	}
	if o.NumSACK > 0 && !h.peer.SACKPermitted {
		h.fail("SACK was not negotiated")
	}
	if n := s.HeaderLen() + len(s.data); s.size == 0 && n > h.mtu {
		h.fail("a segment of %d bytes for an MTU of %d", n, h.mtu)
	}
	h.lawsOfECN(s)
	h.lawsOfData(s)
	if !s.Flags.Has(RST) && s.Flags.Has(ACK) {
		h.lawsOfWindow(s)
	}
}

func (h *harness) lawsOfSYN(s *segment) {
	h.t.Helper()
	if s.Seq != 0 {
		h.fail("SYN has another number than ISS")
	}
	o := &s.Options
	h.own = *o
	if s.Flags.Has(ACK) && (o.HasTimestamps && !h.peer.HasTimestamps || o.HasWindowScale && !h.peer.HasWindowScale) {
		h.fail("SYN,ACK has an option that the SYN had not")
	}
	h.negotiate()
	if len(s.data) > 0 {
		h.fail("data on a SYN")
	}
}

// lawsOfECN: RFC 3168 6.1.4 to 6.1.6, nothing but data that was never sent before may
// be marked, and 6.1.2, so may what has CWR, which stands for itself.
func (h *harness) lawsOfECN(s *segment) {
	h.t.Helper()
	fresh := len(s.data) > 0 && int32(s.Seq-h.sentTo) >= 0
	if s.ecn != wire.NotECT && (s.ecn != wire.ECT0 || !fresh || !h.c.Info().ECN) {
		h.fail("%v, which is no new data of a connection with ECN", s.ecn)
	}
	if s.Flags.Has(CWR) && !s.Flags.Has(SYN) && (s.ecn != wire.ECT0 || s.size != 0) {
		h.fail("CWR on what is no segment of new data")
	}
	if end := s.Seq + uint32(len(s.data)); int32(end-h.sentTo) > 0 {
		h.sentTo = end
	}
}

// lawsOfData: the bytes are the user's at that place, the FIN comes after the
// last, and nothing but a probe of one byte goes beyond what the peer offered.
func (h *harness) lawsOfData(s *segment) {
	h.t.Helper()
	n := uint32(len(s.data))
	if s.Flags.Has(RST) && n > 0 {
		h.fail("data on a reset")
	}
	if n > 0 {
		at := int(int32(s.Seq - 1))
		if at < 0 || at+int(n) > len(h.out) || string(h.out[at:at+int(n)]) != s.data {
			h.fail("these are not the bytes at %d", s.Seq)
		}
		if h.offered && int32(s.Seq+n-h.edge) > 1 {
			h.fail("data up to %d, beyond the offered edge %d", s.Seq+n, h.edge)
		}
	}
	if s.Flags.Has(FIN) && s.Seq+n != uint32(len(h.out))+1 {
		h.fail("FIN at %d, after %d bytes of data", s.Seq+n, len(h.out))
	}
}

// RFC 9293 SHLD-14, 3.8.6: "A TCP receiver SHOULD NOT shrink the window, i.e.,
// move the right window edge to the left"
func (h *harness) lawsOfWindow(s *segment) {
	h.t.Helper()
	if s.Flags.Has(SYN) && h.ourOffer {
		return // a repeated SYN,ACK: its window cannot be scaled
	}
	wnd := uint32(s.Window)
	if h.scaled && !s.Flags.Has(SYN) {
		wnd <<= h.own.WindowScale
	}
	e := s.Ack + wnd
	slack := int32(0)
	if h.rounding && h.scaled {
		slack = 1<<h.own.WindowScale - 1
	}
	if h.ourOffer && int32(e-h.ourEdge) < -slack {
		h.fail("right edge moved back from %d to %d", h.ourEdge, e)
	}
	h.ourEdge, h.ourOffer = e, true
}

// matches compares what a test can say about a segment: numbers, flags (PSH
// only if it is wanted), window and options if the test names any, data.
func matches(want *TCP, data string, got *segment) bool {
	flags := got.Flags
	if !want.Flags.Has(PSH) {
		flags &^= PSH
	}
	return flags == want.Flags && got.Seq == want.Seq && data == got.data &&
		(!want.Flags.Has(ACK) || got.Ack == want.Ack) &&
		(want.Window == 0 || got.Window == want.Window) &&
		(want.Options == Options{} || got.Options == want.Options)
}

// want demands that the connection's next segment, now, is s. It returns it.
func (h *harness) want(s TCP, data ...string) segment {
	h.t.Helper()
	payload := strings.Join(data, "")
	got, ok := h.send()
	if !ok {
		h.fail("nothing was sent\nwant %s", show(&s, payload))
	}
	if !matches(&s, payload, &got) {
		h.fail("wrong segment\nwant %s\ngot  %s", show(&s, payload), show(&got.TCP, got.data))
	}
	return got
}

// wantNone demands that the connection has nothing to say now.
func (h *harness) wantNone() {
	h.t.Helper()
	if got, ok := h.send(); ok {
		h.fail("nothing should be sent\ngot  %s", show(&got.TCP, got.data))
	}
}

// all returns whatever the connection says now.
func (h *harness) all() []segment {
	h.t.Helper()
	var got []segment
	for {
		s, ok := h.send()
		if !ok {
			return got
		}
		got = append(got, s)
		if len(got) > burst {
			h.fail("Send does not come to an end")
		}
	}
}

// next lets time pass until the connection speaks, at most d.
func (h *harness) next(d time.Duration) (segment, bool) {
	h.t.Helper()
	end := h.now.Add(d)
	for range idleTurns {
		if s, ok := h.send(); ok {
			return s, true
		}
		t := h.c.Deadline()
		if !t.IsSet() || t > end {
			h.now = end
			return segment{}, false
		}
		h.now = t
	}
	h.fail("%d deadlines and nothing said", idleTurns)
	return segment{}, false
}

// wantAfter demands that the connection is silent for d, give or take
// tolerance, and then sends s.
func (h *harness) wantAfter(d time.Duration, s TCP, data ...string) segment {
	h.t.Helper()
	payload := strings.Join(data, "")
	from := h.now
	got, ok := h.next(d + tolerance)
	if !ok {
		h.fail("nothing was sent for %v\nwant %s", d, show(&s, payload))
	}
	if !matches(&s, payload, &got) {
		h.fail("wrong segment\nwant %s\ngot  %s", show(&s, payload), show(&got.TCP, got.data))
	}
	if took := h.now.Sub(from); took < d-tolerance {
		h.fail("sent after %v, not %v: %s", took, d, show(&got.TCP, got.data))
	}
	return got
}

// quiet demands that the connection says nothing for d.
func (h *harness) quiet(d time.Duration) {
	h.t.Helper()
	if got, ok := h.next(d); ok {
		h.fail("should be silent\ngot  %s", show(&got.TCP, got.data))
	}
}

// advance lets time pass and demands that nothing is due meanwhile.
func (h *harness) advance(d time.Duration) {
	h.now = h.now.Add(d)
}

// write is the user's: all of it must fit.
func (h *harness) write(data string) {
	h.t.Helper()
	if n := h.c.Out.Write([]byte(data)); n != len(data) {
		h.fail("Out takes %d of %d bytes", n, len(data))
	}
	h.out = append(h.out, data...)
	h.note(fmt.Sprintf("user writes %d bytes", len(data)))
}

// read is the user's: up to n bytes.
func (h *harness) read(n int) string {
	b := make([]byte, n)
	b = b[:h.c.In.Read(b)]
	h.note(fmt.Sprintf("user reads %d bytes", len(b)))
	return string(b)
}

// wantRead demands that exactly data can be read.
func (h *harness) wantRead(data string) {
	h.t.Helper()
	if got := h.read(len(data) + 1); got != data {
		h.fail("user reads %d bytes %.40q, not %d bytes %.40q", len(got), got, len(data), data)
	}
}

func (h *harness) wantState(s tcp.State) {
	h.t.Helper()
	if got := h.c.State(); got != s {
		h.fail("state %v, not %v", got, s)
	}
}

// user calls, with a line in the transcript.
func (h *harness) closeWrite() {
	h.note("user: CloseWrite")
	h.c.CloseWrite(h.now)
	h.c.Out.SetLimit(0)
}
func (h *harness) closeRead() { h.note("user: CloseRead"); h.c.CloseRead(h.now) }
func (h *harness) close()     { h.note("user: Close"); h.c.Close(h.now); h.c.Out.SetLimit(0) }
func (h *harness) abort()     { h.note("user: Abort"); h.c.Abort(h.now); h.c.Out.SetLimit(0) }

// wantEvents demands that these events, among others, have happened.
func (h *harness) wantEvents(e tcp.Events) {
	h.t.Helper()
	if got := h.c.TakeEvents(); got&e != e {
		h.fail("events %09b, which lack %09b", got, e&^got)
	}
}

// wantIdle demands that nothing is to be done any more, once the streams have
// given their last pages back.
func (h *harness) wantIdle() {
	h.t.Helper()
	h.quiet(2 * time.Second)
	if d := h.c.Deadline(); d.IsSet() {
		h.fail("an idle connection has a deadline: %s", h.when(d))
	}
	if n := h.pool.InUse(); n != 0 {
		h.fail("an idle connection holds %d bytes", n)
	}
}

// wantClosed demands that the connection is over for the reason err, has told
// so, is silent from now on, and keeps no timer.
func (h *harness) wantClosed(err error) {
	h.t.Helper()
	h.wantState(tcp.StateClosed)
	if got := h.c.Err().Err(); got != err {
		h.fail("error %v, not %v", got, err)
	}
	want := tcp.EventClosed
	if err != nil {
		want |= tcp.EventFailed
	}
	h.wantEvents(want)
	h.wantNone()
	if d := h.c.Deadline(); d.IsSet() {
		h.fail("a closed connection has a deadline: %s", h.when(d))
	}
}

// pattern returns n bytes that differ from each other's neighbourhood.
func pattern(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + (i+i/26+i/1000)%26)
	}
	return string(b)
}
