package tcp

// The short way of receiving once more, beside losses, repairs, reordering, windows that
// shrink, and other controllers: where what it may not take is close to what it may.

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/congestion"
	"smolnet/netstack/wire"
)

// controllerOf returns what makes the named controller; nil if the name is empty.
func controllerOf(name string) congestion.Factory {
	f, _ := congestion.New(name)
	return f
}

// wideTwins are a connection that was accepted, some of them before the handshake is
// over, of a peer that takes much or little. Sequence numbers begin anew soon.
func wideTwins(t *testing.T, seed uint64) *twins {
	w := newTwins(t, seed, 77)
	cfg := &Config{
		RecvBuffer: w.pick(0, 20_000, 1<<20), SendBuffer: w.pick(0, 0, 20_000), DelayedAck: time.Duration(w.pick(0, -1)),
		NoTimestamps: w.rng.IntN(3) == 0, NoDelay: w.rng.IntN(2) == 0, NoMTUProbing: w.rng.IntN(4) == 0,
		UserTimeout: time.Duration(w.pick(0, 0, 3600)) * time.Second, ECN: ECNAsk,
		Congestion: controllerOf([]string{"", "", "cubic", "reno", "bbr", "none"}[w.rng.IntN(6)]),
		TimerSlack: time.Duration(w.pick(0, 1)) * time.Millisecond,
	}
	budget := int64(w.pick(0, 0, 40<<10, 100<<10))
	mtu := w.pick(1480, 8980)
	syn := wire.TCP{Seq: uint32(w.pick(5, -300)), Flags: wire.SYN, Window: 65535, Options: wire.TCPOptions{
		MSS: uint16(mtu - wire.TCPLen), HasTimestamps: true, TSVal: 100,
		HasWindowScale: true, WindowScale: uint8(w.pick(0, 3, 7)), SACKPermitted: w.rng.IntN(4) > 0,
	}}
	syn.Flags |= wire.TCPFlags(w.pick(0, int(ecnSetup)))
	const iss = 0xffff8000
	fast := w.rng.IntN(4) == 0
	w.open(cfg, budget, func(s *stepper) {
		if fast {
			s.c.AcceptFast(w.now, iss, mtu, &syn, make([]byte, 10))
			return
		}
		s.c.Accept(w.now, iss, mtu, &syn)
	})
	w.pass(30 * time.Millisecond)
	w.peer = wire.TCP{Seq: syn.Seq + 1, Ack: iss + 1, Flags: wire.ACK, Window: uint16(w.pick(8000, 60_000))}
	w.peer.Options.HasTimestamps, w.peer.Options.TSVal = w.one.c.ts.on, 100
	if fast {
		w.exchange() // the first answer ends the handshake
	} else {
		w.in(w.peer, nil)
	}
	return w
}

// pass has time pass, less than most.
func (w *twins) pass(most time.Duration) {
	w.now = w.now.Add(time.Duration(w.rng.Int64N(int64(most))))
}

// wait has time pass until something is due.
func (w *twins) wait() { w.now = max(w.now, w.one.c.Deadline()) }

// ackOnly has the peer acknowledge everything before ack and announce a window.
func (w *twins) ackOnly(ack Seq, window uint16) {
	w.t.Helper()
	h := w.next(30 * time.Millisecond)
	h.Ack, h.Window = uint32(ack), window
	w.in(h, nil)
}

// answerSegment makes one from the peer that acknowledges something, all that is out as
// often as not, or tells of what has arrived otherwise.
func (w *twins) answerSegment() (wire.TCP, []byte) {
	c, rng := &w.one.c, w.rng
	h := w.next(30 * time.Millisecond)
	r := &c.board.records
	switch rng.IntN(6) {
	case 0, 1, 2:
		h.Ack = uint32(c.snd.max)
	case 3:
		if r.len() > 0 {
			h.Ack = uint32(r.at(rng.IntN(r.len())).end)
		}
	case 4:
		h.Ack = uint32(c.snd.una) + uint32(min(c.snd.mss*rng.IntN(4), c.snd.max.Sub(c.snd.una)))
	}
	if rng.IntN(4) == 0 {
		h.Window = uint16(rng.IntN(1 << 16))
	}
	if rng.IntN(40) == 0 {
		h.Window = 0
	}
	payload := make([]byte, w.pick(0, 0, 0, 1, 1400))
	if c.sackOn && rng.IntN(3) == 0 {
		w.addSacks(&h)
	}
	switch rng.IntN(30) {
	case 0, 5:
		h.Flags |= wire.ECE
	case 1:
		h.Flags |= wire.PSH
	case 2:
		h.Flags |= wire.CWR
	case 3:
		h.Seq += uint32(rng.IntN(1000))
	case 4:
		payload = nil
	}
	return h, payload
}

// addSacks has a segment tell of what has arrived twice, or beyond a gap, or both.
func (w *twins) addSacks(h *wire.TCP) {
	c, rng := &w.one.c, w.rng
	add := func(start, end uint32) {
		o := &h.Options
		o.SACK[o.NumSACK] = wire.SACKBlock{Start: start, End: end}
		o.NumSACK++
	}
	if rng.IntN(3) == 0 {
		add(h.Ack-1000, h.Ack-uint32(rng.IntN(900)))
	}
	r := &c.board.records
	if c.snd.max.Sub(Seq(h.Ack)) <= 2 || r.len() == 0 {
		return
	}
	rec := r.at(rng.IntN(r.len()))
	start, end := rec.start, rec.end
	if rng.IntN(2) == 0 && rec.len() > 2 {
		start = start.Add(rng.IntN(rec.len() - 1))
	}
	if rng.IntN(2) == 0 {
		end = c.snd.nxt
	}
	h.Ack = uint32(c.snd.una)
	add(uint32(start), uint32(end))
}

// answer has a segment of answerSegment arrive.
func (w *twins) answer() {
	w.t.Helper()
	h, payload := w.answerSegment()
	w.in(h, payload)
}

// exchange has all that is written go out, and an answer come, at once or later.
func (w *twins) exchange() {
	w.t.Helper()
	w.write(1 + w.rng.IntN(w.pick(10, 3000)))
	w.send(50, 8980)
	if w.rng.IntN(16) > 0 {
		w.pass(30 * time.Millisecond)
	}
	w.answer()
	w.send(3, 8980)
}

// overlap has two transmissions go out, of which the later one has the shorter round trip,
// and each be acknowledged by itself.
func (w *twins) overlap() {
	w.t.Helper()
	c := &w.one.c
	w.ackOnly(c.snd.max, w.peer.Window)
	w.write(c.snd.mss)
	w.send(1, 1<<16)
	w.pass(30 * time.Millisecond)
	first := c.snd.max
	w.write(c.snd.mss)
	w.send(1, 1<<16)
	w.pass(time.Millisecond)
	w.ackOnly(first, w.peer.Window)
	w.ackOnly(c.snd.max, w.peer.Window)
}

// override has the peer's window be too small to send, until it has waited long enough,
// and shut while what was sent then is out and the probe is still due.
func (w *twins) override() {
	w.t.Helper()
	c := &w.one.c
	w.ackOnly(c.snd.max, 1)
	w.write(500)
	w.send(5, 1480)
	w.ackOnly(c.snd.una, 60_000)
	w.now = w.now.Add(time.Second)
	w.send(1, 1<<16)
	w.ackOnly(c.snd.una, uint16(w.pick(0, 0, 60_000)))
	w.ackOnly(c.snd.max, w.peer.Window)
}

// probeWindow has the peer's window be shut, and probed. Then text comes, beside an
// answer or none, and a user who is more patient or less, or has no room for the next
// probe just now.
func (w *twins) probeWindow() {
	w.t.Helper()
	c, rng := &w.one.c, w.rng
	w.ackOnly(c.snd.max, 0)
	w.write(500)
	w.send(5, 1480)
	for range 1 + rng.IntN(3) {
		w.wait()
		w.send(5, 1480)
	}
	switch rng.IntN(3) {
	case 0:
		w.wait()
		w.send(1, wire.TCPMaxLen)
	case 1:
		w.ackOnly(c.snd.una, 0)
		w.both(func(s *stepper) string { s.c.SetUserTimeout(w.now, time.Hour); return "" })
	}
	h := w.next(30 * time.Millisecond)
	h.Window = 0
	w.in(h, make([]byte, 1))
	w.ackOnly(c.snd.una, w.peer.Window)
}

// takeBack has the peer's window shut while something is out, which after a time counts
// as unsent. Its acknowledgment comes late, when the window has opened.
func (w *twins) takeBack() {
	w.t.Helper()
	c := &w.one.c
	w.ackOnly(c.snd.max, w.peer.Window)
	w.write(500)
	w.send(1, 1<<16)
	w.ackOnly(c.snd.una, 0)
	for range 2 + w.rng.IntN(3) {
		w.wait()
		w.send(1, 1480)
	}
	w.ackOnly(c.snd.una, w.peer.Window)
	w.ackOnly(c.snd.max, w.peer.Window)
}

// fill has the user write more than the send stream holds, of which one transmission
// at a time goes out and is acknowledged, with no congestion window in the way.
func (w *twins) fill() {
	w.t.Helper()
	c := &w.one.c
	w.steer("none")
	w.write(600_000)
	w.ackOnly(c.snd.max, w.peer.Window)
	for range 1 + w.rng.IntN(3) {
		w.send(1, w.pick(1480, 1<<16))
		w.pass(30 * time.Millisecond)
		w.ackOnly(c.snd.max, w.peer.Window)
	}
}

// steer has the named controller take over.
func (w *twins) steer(name string) {
	w.t.Helper()
	w.both(func(s *stepper) string { s.c.SetCongestion(w.now, controllerOf(name)); return "" })
}

// arrange has the user or a router change something.
func (w *twins) arrange() {
	w.t.Helper()
	rng := w.rng
	switch rng.IntN(3) {
	case 0:
		mtu := 500 + rng.IntN(8000)
		w.both(func(s *stepper) string { s.c.LimitMTU(w.now, mtu, w.now.Add(time.Second)); return "" })
	case 1:
		w.steer(congestion.Names()[rng.IntN(4)])
	case 2:
		on := rng.IntN(2) == 0
		w.both(func(s *stepper) string { s.c.SetCork(on); return "" })
	}
}

func (w *twins) wideStep() {
	w.t.Helper()
	rng := w.rng
	w.pass([]time.Duration{1000, 1e6, 1e7, 1e8, 1e9}[rng.IntN(5)])
	switch what := rng.IntN(160); {
	case what < 56:
		w.answer()
	case what < 96:
		w.send(1+rng.IntN(30), w.pick(1480, 8980, 20_000, 65_000))
	case what < 108:
		w.read(1 + rng.IntN(60_000))
	case what < 132:
		w.write(rng.IntN(w.pick(100, 3000, 60_000)))
	case what < 148:
		w.exchange()
	case what < 151:
		w.arrange()
	case what < 154:
		w.wait()
		w.send(1+rng.IntN(3), 1480)
	case what < 155:
		w.override()
	case what < 157:
		w.probeWindow()
	case what < 158:
		w.takeBack()
	default:
		w.overlap()
	}
}

// The short way of receiving makes no difference either where things go wrong.
func TestExpectedSegmentsAreNoDifferenceInTrouble(t *testing.T) {
	taken, answers := 0, 0
	for seed := range uint64(150) {
		w := wideTwins(t, seed)
		if seed%5 == 0 {
			w.fill()
		}
		for range 200 {
			w.wideStep()
		}
		taken += w.taken
		answers += w.answers
	}
	require.Greater(t, taken, 2000, "segments that took the short way")
	require.Greater(t, answers, 800, "answers among them")
}
