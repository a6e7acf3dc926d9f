package tcp_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

var (
	pairRuns = flag.Int("runs", 300, "random runs of two connections over a bad link")
	pairSeed = flag.Uint64("seed", 0, "only the run with this seed, with a transcript")
)

// Bounds on a run, so that a stall, a deadlock and a livelock all end.
const (
	pairTurns = 100_000 // instants at which something happens
	pairTime  = 2 * time.Hour
)

// A packet on its way.
type packet struct {
	at   clock.Time
	to   *end
	data []byte
}

// A link loses, delays, reorders, doubles and cuts what is sent over it.
type link struct {
	rng       *rand.Rand
	delay     time.Duration
	jitter    time.Duration // more than the gap between packets reorders them
	loss, dup float64
	rate      int // bytes per second; zero: infinite
	queue     time.Duration
	mtu       int
	narrows   clock.Time          // when mtu becomes smaller
	dark      [2]clock.Time       // from, to: nothing gets through
	free      map[*end]clock.Time // when the sender's side of the link is idle
	inFlight  []packet
	sent      int
}

// put takes one segment; what is too big for the path is answered by ICMP.
func (l *link) put(now clock.Time, from *end, seg []byte) {
	l.sent++
	if l.narrows.Due(now) {
		l.narrows, l.mtu = 0, l.mtu/2
	}
	if l.dark[0].Due(now) && now < l.dark[1] {
		return
	}
	if len(seg) > l.mtu {
		from.tooBig = true
		return
	}
	if l.rng.Float64() < l.loss {
		return // or its checksum is wrong, which is the same
	}
	at := now
	if l.rate > 0 {
		at = max(now, l.free[from])
		if at.Sub(now) > l.queue {
			return
		}
		at = at.Add(time.Duration(len(seg)) * time.Second / time.Duration(l.rate))
		l.free[from] = at
	}
	n := 1
	if l.rng.Float64() < l.dup {
		n = 2
	}
	for range n {
		arrives := at.Add(l.delay)
		if l.jitter > 0 {
			arrives = arrives.Add(time.Duration(l.rng.Int64N(int64(l.jitter))))
		}
		l.inFlight = append(l.inFlight, packet{arrives, from.peer, bytes.Clone(seg)})
	}
}

// take removes and returns a packet that is due.
func (l *link) take(now clock.Time) (packet, bool) {
	best := -1
	for i, p := range l.inFlight {
		if p.at <= now && (best < 0 || p.at < l.inFlight[best].at) {
			best = i
		}
	}
	if best < 0 {
		return packet{}, false
	}
	p := l.inFlight[best]
	l.inFlight = slices.Delete(l.inFlight, best, best+1)
	return p, true
}

func (l *link) next() (t clock.Time) {
	for _, p := range l.inFlight {
		t = clock.Earliest(t, p.at)
	}
	return t
}

// An end is a connection with its owner and its user. The owner is exact: it
// calls Send only when something has arrived, a deadline has come, the user has
// written or closed, or has read and WindowUpdateDue says so.
type end struct {
	sim        *sim
	name       string
	peer       *end
	id         tcp.ID
	cfg        tcp.Config
	iss        uint32
	mtu        int
	buf        []byte
	c          *tcp.Conn // nil: not open yet, or gone
	wait       *tcp.TimeWait
	out, in    []byte // to be written, was read
	written    int
	chunk      int // largest write and read
	wakes      clock.Time
	idle       time.Duration // between two turns of the user, at most
	readSize   int
	closed     bool // CloseWrite was called
	gone       bool // Close was called
	eof        bool
	closeEarly bool // CloseWrite before reading is done
	kicked     bool
	tooBig     bool
	isDone     bool
}

// A sim is a run.
type sim struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	now   clock.Time
	pool  *stream.Pool
	link  *link
	a, b  *end
	log   strings.Builder
	trace bool
}

func (s *sim) logf(format string, args ...any) {
	if s.trace {
		fmt.Fprintf(&s.log, "%12s ", time.Duration(s.now-epoch))
		fmt.Fprintf(&s.log, format, args...)
		s.log.WriteByte('\n')
	}
}

// fail ends the run, telling how to see it again.
func (s *sim) fail(format string, args ...any) {
	s.t.Helper()
	state := ""
	for _, e := range []*end{s.a, s.b} {
		state += fmt.Sprintf("%s: ", e.name)
		if e.c != nil {
			state += fmt.Sprintf("%v err %v deadline %v, %+v\n  ", e.c.State(), e.c.Err(), e.c.Deadline().Sub(epoch), e.c.Info())
		}
		state += fmt.Sprintf("written %d/%d, read %d, closed %v eof %v gone %v done %v\n",
			e.written, len(e.out), len(e.in), e.closed, e.eof, e.gone, e.isDone)
	}
	s.t.Fatalf("%s\n%s\nnow %v, link %+v, %d packets in flight\n%s\n\nagain with: -run '^TestPair$' -seed %d",
		s.log.String(), fmt.Sprintf(format, args...), s.now.Sub(epoch), *s.link, len(s.link.inFlight), state, s.seed)
}

// newSim makes everything random.
func newSim(t *testing.T, seed uint64) *sim {
	rng := rand.New(rand.NewPCG(seed, 0x5eed))
	s := &sim{t: t, seed: seed, rng: rng, now: epoch, pool: stream.NewPool(0)}
	pick := func(v ...int) int { return v[rng.IntN(len(v))] }
	s.link = &link{
		rng:    rng,
		delay:  time.Duration(pick(0, 1, 10, 50, 300)) * time.Millisecond,
		jitter: time.Duration(pick(0, 0, 1, 5, 100)) * time.Millisecond,
		loss:   float64(pick(0, 0, 1, 5, 10, 20)) / 100,
		dup:    float64(pick(0, 0, 1, 20)) / 100,
		rate:   pick(0, 0, 0, 10_000, 1_000_000),
		queue:  time.Duration(pick(50, 500)) * time.Millisecond,
		mtu:    pick(1480, 1480, 556, 8980, 1000),
		free:   map[*end]clock.Time{},
	}
	after := func(d time.Duration) clock.Time { return s.now.Add(time.Duration(rng.Int64N(int64(d)))) }
	if rng.IntN(4) == 0 {
		s.link.narrows = after(2 * time.Second)
	}
	if rng.IntN(4) == 0 {
		s.link.dark[0] = after(2 * time.Second)
		s.link.dark[1] = s.link.dark[0].Add(time.Duration(rng.Int64N(int64(10 * time.Second))))
	}
	ids := [2]netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:4321"), netip.MustParseAddrPort("192.0.2.2:80")}
	if rng.IntN(4) == 0 {
		ids = [2]netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:4321"), netip.MustParseAddrPort("[2001:db8::2]:80")}
	}
	size := pick(0, 1, 1000, 20_000, 100_000, 500_000)
	makeEnd := func(name string, local, remote netip.AddrPort) *end {
		e := &end{sim: s, name: name, id: tcp.ID{Local: local, Remote: remote}}
		e.cfg = tcp.Config{
			RecvBuffer: pick(4096, 5000, 16384, 65536, 200_000),
			SendBuffer: pick(4096, 16384, 65536, 200_000),
			NoDelay:    rng.IntN(2) == 0, NoTimestamps: rng.IntN(3) == 0, NoWindowScale: rng.IntN(3) == 0,
			DelayedAck: time.Duration(pick(-1, 0, 200)) * time.Millisecond,
			SynRetries: 40, SynAckRetries: 40, RetransmitLimit: 60, OrphanRetries: 60,
			MaxRTO:      10 * time.Second,
			MinRTO:      time.Duration(pick(0, 0, 50)) * time.Millisecond,
			MaxMSS:      pick(0, 0, 0, 536, 100),
			UserTimeout: time.Duration(pick(0, 0, 0, 3600)) * time.Second,
		}
		if rng.IntN(4) == 0 {
			e.cfg.KeepAliveIdle, e.cfg.KeepAliveInterval, e.cfg.KeepAliveCount = 10*time.Second, time.Second, 60
		}
		e.iss = rng.Uint32()
		if rng.IntN(3) == 0 {
			e.iss = -uint32(rng.IntN(20_000))
		}
		e.mtu = s.link.mtu
		if rng.IntN(5) == 0 {
			e.mtu = 1480 // until ICMP says otherwise
		}
		e.buf = make([]byte, max(e.mtu, 1480))
		if rng.IntN(3) == 0 {
			e.buf = make([]byte, 64<<10)
		}
		e.out = make([]byte, size*rng.IntN(3)/2)
		for i := range e.out {
			e.out[i] = byte(rng.Uint32())
		}
		e.chunk = pick(1, 100, 1460, 5000, 100_000)
		e.chunk = max(e.chunk, size/200)
		e.readSize = max(pick(1, 100, 5000, 100_000), size/200)
		e.idle = time.Duration(pick(0, 1, 20, 300)) * time.Millisecond
		e.closeEarly = rng.IntN(2) == 0
		return e
	}
	s.a, s.b = makeEnd("a", ids[0], ids[1]), makeEnd("b", ids[1], ids[0])
	s.a.peer, s.b.peer = s.b, s.a
	if !s.b.closeEarly {
		s.a.closeEarly = true // or both wait for the other to begin
	}
	return s
}

func (e *end) open() {
	e.c = new(tcp.Conn)
	e.c.Init(e.id, &e.cfg, e.sim.pool)
	e.wakes = e.sim.now
	e.kicked = true
}

// receive is the owner's demultiplexing.
func (e *end) receive(b []byte) {
	s := e.sim
	var h TCP
	payload, err := wire.ParseTCP(b, &h)
	require.NoError(s.t, err)
	s.logf("%s < %s", e.name, show(&h, string(payload)))
	var action tcp.Action
	switch {
	case e.c != nil:
		action, _ = e.c.Receive(s.now, &h, payload)
		e.kicked = true
	case e.wait != nil:
		if action, _ = e.wait.Receive(s.now, &h, len(payload)); action == tcp.ActionAck {
			var ack TCP
			e.wait.Ack(s.now, &ack)
			e.transmit(&ack)
		}
	case !e.isDone:
		var drop wire.Drop
		if action, drop = tcp.CheckListen(&h); drop == wire.DropNone {
			e.open()
			e.c.Accept(s.now, tcp.Seq(e.iss), e.mtu, &h)
		}
	default:
		action = tcp.ActionReset
	}
	if action == tcp.ActionReset {
		var rst TCP
		if tcp.Reset(&h, len(payload), &rst) {
			e.transmit(&rst)
		}
	}
}

// transmit sends a header.
func (e *end) transmit(h *TCP) {
	var b [wire.TCPMaxLen]byte
	e.sim.logf("%s > %s (owner)", e.name, show(h, ""))
	e.sim.link.put(e.sim.now, e, b[:h.Put(b[:])])
}

// user is a turn of the application.
func (e *end) user() {
	s := e.sim
	if e.c == nil || !e.wakes.Due(s.now) {
		return
	}
	e.wakes = 0
	if e.gone {
		return
	}
	if n := min(len(e.out)-e.written, 1+s.rng.IntN(e.chunk)); n > 0 && !e.closed {
		if n = e.c.Out.Write(e.out[e.written:][:n]); n > 0 {
			e.written += n
			e.kicked = true
			s.logf("%s writes %d", e.name, n)
		}
	}
	b := make([]byte, 1+s.rng.IntN(e.readSize))
	if n := e.c.In.Read(b); n > 0 {
		e.in = append(e.in, b[:n]...)
		e.kicked = e.kicked || e.c.WindowUpdateDue()
		s.logf("%s reads %d, update due %v", e.name, n, e.c.WindowUpdateDue())
	}
	done := e.eof && e.c.In.Len() == 0
	if !e.closed && e.written == len(e.out) && (e.closeEarly || done) {
		s.logf("%s closes its side", e.name)
		e.c.CloseWrite(s.now)
		e.closed, e.kicked = true, true
	}
	if e.closed && done {
		s.logf("%s closes", e.name)
		e.c.Close(s.now)
		e.gone, e.kicked = true, true
	}
	if !e.gone && (e.c.In.Len() > 0 || e.written < len(e.out) && e.c.Out.Room() > 0) {
		e.wake() // more to do; else an event has to come
	}
}

// wake lets the user's next turn come, after a while.
func (e *end) wake() {
	if e.wakes.IsSet() {
		return
	}
	e.wakes = e.sim.now
	if e.idle > 0 {
		e.wakes = e.wakes.Add(time.Duration(e.sim.rng.Int64N(int64(e.idle))))
	}
}

// send is the owner's turn.
func (e *end) send() {
	s := e.sim
	if e.c == nil || !e.kicked && !e.c.Deadline().Due(s.now) {
		return
	}
	e.kicked = false
	for n := 0; ; n++ {
		w, ok := e.c.Send(s.now, e.buf)
		if !ok {
			break
		}
		if n > burst {
			s.fail("%s: Send does not come to an end", e.name)
		}
		e.cut(w)
	}
	if e.c.Deadline().Due(s.now) {
		s.fail("%s: nothing to send, and the deadline is due", e.name)
	}
	if e.c.WindowUpdateDue() {
		s.fail("%s: Send has not sent the window update that is due", e.name)
	}
	if e.tooBig {
		e.tooBig = false
		s.logf("%s: path MTU is %d", e.name, s.link.mtu)
		e.c.LimitMTU(s.now, s.link.mtu, 0)
		e.kicked = true
	}
	e.events()
}

// cut is the device's segmentation of super-frames.
func (e *end) cut(w tcp.Segment) {
	s := e.sim
	if w.SegmentSize == 0 {
		s.logShow(e, e.buf[:w.Len])
		s.link.put(s.now, e, e.buf[:w.Len])
		return
	}
	var h TCP
	payload, err := wire.ParseTCP(e.buf[:w.Len], &h)
	require.NoError(s.t, err)
	last := h.Flags
	for len(payload) > 0 {
		n := min(len(payload), int(w.SegmentSize))
		h.Flags = last
		if n < len(payload) {
			h.Flags &^= FIN | PSH
		}
		b := make([]byte, h.HeaderLen()+n)
		copy(b[h.Put(b):], payload[:n])
		s.logShow(e, b)
		s.link.put(s.now, e, b)
		payload = payload[n:]
		h.Seq += uint32(n)
	}
}

func (s *sim) logShow(e *end, b []byte) {
	if s.trace {
		var h TCP
		payload, _ := wire.ParseTCP(b, &h)
		s.logf("%s > %s", e.name, show(&h, string(payload)))
	}
}

// events wakes the user, as the facade does, and takes leave of connections.
func (e *end) events() {
	s := e.sim
	ev := e.c.TakeEvents()
	if ev&tcp.EventPeerClosed != 0 {
		e.eof = true
	}
	if ev&tcp.EventFailed != 0 {
		s.fail("%s failed: %v", e.name, e.c.Err())
	}
	if ev&(tcp.EventConnected|tcp.EventReadable|tcp.EventWritable|tcp.EventPeerClosed) != 0 {
		e.wake()
	}
	if e.c.State() == tcp.StateTimeWait || e.c.State() == tcp.StateClosed {
		if ev&(tcp.EventTimeWait|tcp.EventClosed) == 0 && !e.gone && e.wait == nil && !e.eof {
			s.fail("%s is %v and has not said so", e.name, e.c.State())
		}
		if !e.gone {
			return // the user still reads what is left
		}
		if e.c.State() == tcp.StateTimeWait {
			w := e.c.TimeWait()
			e.wait = &w
		} else if e.c.Deadline().IsSet() {
			s.fail("%s: closed, and a timer is left", e.name)
		}
		e.c.In.Trim()
		e.c.Out.Trim()
		e.isDone, e.wakes = true, 0
		e.c = nil
	}
}

// run lets time go by until both are done.
func (s *sim) run() {
	s.a.open()
	s.a.c.Connect(s.now, tcp.Seq(s.a.iss), s.a.mtu)
	for turn := 0; !s.a.isDone || !s.b.isDone; turn++ {
		if turn > pairTurns {
			s.fail("no end in sight")
		}
		for {
			p, ok := s.link.take(s.now)
			if !ok {
				break
			}
			p.to.receive(p.data)
			if s.rng.IntN(3) == 0 { // else: several in a turn
				break
			}
		}
		for _, e := range []*end{s.a, s.b} {
			e.send()
			e.user()
			e.send()
		}
		next := s.link.next()
		for _, e := range []*end{s.a, s.b} {
			if e.c != nil {
				next = clock.Earliest(next, clock.Earliest(e.wakes, e.c.Deadline()))
				if e.kicked {
					next = s.now
				}
			}
			if e.wait != nil && e.wait.Deadline().Due(s.now) {
				e.wait = nil
			}
		}
		if s.a.isDone && s.b.isDone {
			break
		}
		if !next.IsSet() {
			s.fail("deadlock: nothing is due")
		}
		s.now = max(s.now, next)
		if s.now.Sub(epoch) > pairTime {
			s.fail("stall: %v have gone by", pairTime)
		}
	}
}

// The proof by weather: two connections over a link that does everything wrong,
// with users of all habits, exchange exactly their bytes, come to an end, and
// leave neither timer nor memory behind.
func TestPair(t *testing.T) {
	if *pairSeed != 0 {
		s := newSim(t, *pairSeed)
		s.trace = true
		s.check()
		t.Log(s.log.String())
		return
	}
	for seed := range uint64(*pairRuns) {
		newSim(t, 1+seed).check()
	}
}

func (s *sim) check() {
	s.t.Helper()
	s.run()
	for _, e := range []*end{s.a, s.b} {
		if !bytes.Equal(e.in, e.peer.out) {
			s.fail("%s read something else than %s wrote", e.name, e.peer.name)
		}
		if !e.eof {
			s.fail("%s never heard of the FIN", e.name)
		}
	}
	if n := s.pool.InUse(); n != 0 {
		s.fail("%d bytes of pages are left", n)
	}
}

// A connection that nobody serves any more, in the middle of a transfer: its
// other end gives up by itself, for a reason, and in bounded time.
func TestPairPeerVanishes(t *testing.T) {
	for seed := range uint64(40) {
		s := newSim(t, 1000+seed)
		s.a.out = make([]byte, 50_000)
		s.a.cfg.UserTimeout = 0
		s.a.cfg.RetransmitLimit, s.a.cfg.OrphanRetries, s.a.cfg.SynRetries = 5, 5, 5
		s.a.cfg.KeepAliveIdle, s.a.cfg.KeepAliveInterval, s.a.cfg.KeepAliveCount = time.Minute, time.Second, 5
		s.link.loss = 0
		s.a.open()
		s.a.c.Connect(s.now, tcp.Seq(s.a.iss), s.a.mtu)
		gone := s.now.Add(time.Duration(s.rng.Int64N(int64(3 * time.Second))))
		for range pairTurns {
			if s.now >= gone {
				s.link.loss = 1
				s.b.c = nil
				s.b.isDone = true
			}
			for p, ok := s.link.take(s.now); ok; p, ok = s.link.take(s.now) {
				p.to.receive(p.data)
			}
			s.b.send()
			s.b.user()
			s.b.send()
			if s.a.c.State() == tcp.StateClosed {
				break
			}
			for n := 0; ; n++ {
				w, ok := s.a.c.Send(s.now, s.a.buf)
				if !ok {
					break
				}
				require.Less(t, n, burst)
				s.a.cut(w)
			}
			s.a.written += s.a.c.Out.Write(s.a.out[s.a.written:])
			var sink [4096]byte
			for s.a.c.In.Read(sink[:]) > 0 {
			}
			if s.a.c.State() == tcp.StateClosed {
				break
			}
			next := clock.Earliest(s.link.next(), s.a.c.Deadline())
			if s.now < gone {
				next = clock.Earliest(next, clock.Earliest(gone, s.b.wakes))
				if s.b.c != nil {
					next = clock.Earliest(next, s.b.c.Deadline())
				}
			}
			if !next.IsSet() {
				s.fail("a waits for ever")
			}
			s.now = max(s.now.Add(1), next)
		}
		switch s.a.c.State() {
		case tcp.StateClosed:
			require.Contains(t, []errno.Errno{errno.TimedOut, errno.OK}, s.a.c.Err(), "seed %d", s.seed)
			require.Less(t, s.now.Sub(gone), 30*time.Minute)
		case tcp.StateTimeWait, tcp.StateFinWait2:
		default:
			s.fail("a is %v for ever", s.a.c.State())
		}
	}
}
