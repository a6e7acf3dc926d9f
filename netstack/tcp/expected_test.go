package tcp

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/stream"
	"smolnet/netstack/wire"
)

// A stepper is a connection that receives without the short way.
type stepper struct {
	c    Conn
	pool *stream.Pool
	buf  [1 << 16]byte
}

// receive is Conn.Receive, with the short way or without. It reports whether
// that was taken.
func (s *stepper) receive(now clock.Time, h wire.TCP, payload []byte, short bool) (said string, taken bool) {
	var a Action
	var d wire.Drop
	s.c.stats.segmentsReceived++
	if short {
		d, taken = s.c.receiveExpected(now, &h, payload)
	}
	if !taken {
		seg := segment{h: &h, flags: h.Flags, seq: Seq(h.Seq), ack: Seq(h.Ack), payload: payload}
		a, d = s.c.receiveStepwise(now, &seg)
	}
	s.c.check()
	return fmt.Sprint(a, d), taken
}

// state returns everything that a connection is, but for pointers: every field,
// also those that are yet to come, and its streams' content.
func (s *stepper) state() []any {
	c := &s.c
	v := reflect.ValueOf(c).Elem()
	var all []any
	for i := range v.NumField() {
		f := v.Field(i)
		switch name := v.Type().Field(i).Name; name {
		case "In", "Out", "pool", "cfg":
		case "congestion":
			k := &c.congestion // the controller itself with all that it remembers
			all = append(all, k.window, k.paced, k.deaf, k.spared, k.Controller)
		case "shared":
			all = append(all, c.shared.edge.Load(), c.shared.most.Load(), c.shared.wide.Load(),
				c.shared.unit.Load(), c.shared.kept.Load(), c.shared.step.Load())
		default:
			all = append(all, name, reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem().Interface())
		}
	}
	text := make([]byte, c.In.Len())
	c.In.CopyAt(c.In.Start(), text)
	return append(all, string(text), c.In.String(), c.Out.String(), c.Deadline(), s.pool.InUse())
}

// twins are the same connection twice.
type twins struct {
	t        *testing.T
	seed     uint64
	rng      *rand.Rand
	now      clock.Time
	one, two stepper // with the short way, and without
	peer     wire.TCP
	taken    int // segments that took the short way
	answers  int // and acknowledged something
}

// newTwins returns what has yet to be opened. Stream tells tests with the same seed from
// each other.
func newTwins(t *testing.T, seed, stream uint64) *twins {
	return &twins{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, stream)), now: 1_000_000_007}
}

func (w *twins) pick(v ...int) int { return v[w.rng.IntN(len(v))] }

// open opens both with f and sends their SYN or SYN-ACK.
func (w *twins) open(cfg *Config, budget int64, f func(s *stepper)) {
	for _, s := range []*stepper{&w.one, &w.two} {
		s.pool = stream.NewPool(budget)
		s.c.Init(ID{}, cfg, s.pool)
		f(s)
		s.c.Send(w.now, s.buf[:])
	}
}

// usualTwins are any usual connection.
func usualTwins(t *testing.T, seed uint64) *twins {
	w := newTwins(t, seed, 7)
	cfg := &Config{
		RecvBuffer: w.pick(4096, 20_000, 1<<20), DelayedAck: time.Duration(w.pick(0, -1)),
		NoTimestamps: w.rng.IntN(3) == 0, NoWindowScale: w.rng.IntN(3) == 0, NoDelay: true,
		KeepAliveIdle: time.Duration(w.pick(0, 1)) * time.Second, KeepAliveInterval: 100 * time.Millisecond,
		UserTimeout: time.Duration(w.pick(0, 3600)) * time.Second, ECN: ECNAsk,
		IdleTimeout: time.Duration(w.pick(0, 10)) * time.Second,
	}
	budget := int64(w.pick(0, 0, 64<<10))
	active := w.rng.IntN(2) == 0
	syn := wire.TCP{Seq: uint32(w.pick(5, -300)), Flags: wire.SYN, Window: 65535, Options: wire.TCPOptions{
		MSS: 1460, HasTimestamps: true, TSVal: 100, HasWindowScale: true, WindowScale: 3, SACKPermitted: w.rng.IntN(3) > 0,
	}}
	syn.Flags |= wire.TCPFlags(w.pick(0, int(ecnSetup)))
	if active {
		syn.Flags &^= wire.CWR // it agrees
		syn.Flags |= wire.ACK
		syn.Ack = 1001
		syn.Window = 64000 // the next segment's, which then has no news
		if cfg.NoWindowScale {
			syn.Window = 8000
		}
		w.open(cfg, budget, func(s *stepper) { s.c.Connect(w.now, 1000, 1480) })
		w.in(syn, nil)
	} else {
		w.open(cfg, budget, func(s *stepper) { s.c.Accept(w.now, 1000, 1480, &syn) })
	}
	w.peer = wire.TCP{Seq: syn.Seq + 1, Ack: 1001, Flags: wire.ACK, Window: 8000}
	w.peer.Options.HasTimestamps, w.peer.Options.TSVal = w.one.c.ts.on, 100
	if !active {
		w.in(w.peer, nil)
	}
	return w
}

// both does the same to both and compares what it says.
func (w *twins) both(f func(s *stepper) string) {
	w.t.Helper()
	require.Equal(w.t, f(&w.one), f(&w.two), "seed %d", w.seed)
}

// in has both receive a segment, and compares all that there is of them.
func (w *twins) in(h wire.TCP, payload []byte) {
	w.t.Helper()
	news := Seq(h.Ack) != w.one.c.snd.una
	one, taken := w.one.receive(w.now, h, payload, true)
	two, _ := w.two.receive(w.now, h, payload, false)
	w.taken += b2i(taken)
	w.answers += b2i(taken && news)
	require.Equal(w.t, one, two, "seed %d: %+v with %d bytes", w.seed, h, len(payload))
	require.Equal(w.t, w.two.state(), w.one.state(), "seed %d: %+v with %d bytes", w.seed, h, len(payload))
}

// next returns the header of the peer's next segment, without news. What it echoes is
// no older than age.
func (w *twins) next(age time.Duration) wire.TCP {
	c := &w.one.c
	h := w.peer
	h.Seq, h.Ack = uint32(c.rcv.nxt), uint32(c.snd.una)
	h.Options.TSVal = c.ts.recent + uint32(w.rng.IntN(3))
	h.Options.TSEcr = c.ts.now(w.now.Add(-time.Duration(w.rng.Int64N(int64(age)))))
	return h
}

// segment makes one from the peer that is what is expected, or not quite.
func (w *twins) segment() (wire.TCP, []byte) {
	c, rng := &w.one.c, w.rng
	h := w.next(10 * time.Millisecond)
	if rng.IntN(2) == 0 {
		h.Ack = uint32(c.snd.max)
		h.Window = []uint16{h.Window, h.Window, 7000, 9000}[rng.IntN(4)]
	}
	payload := make([]byte, []int{0, 1, 100, 1448, 1460, 5000}[rng.IntN(6)])
	for i := range payload {
		payload[i] = byte(rng.Uint32())
	}
	for rng.IntN(3) == 0 {
		switch rng.IntN(14) {
		case 0:
			h.Flags |= wire.TCPFlags(1) << rng.IntN(9)
			if h.Flags&(wire.RST|wire.SYN) != 0 && rng.IntN(4) != 0 {
				h.Flags &^= wire.RST | wire.SYN
			}
		case 1:
			h.Flags &^= wire.ACK
		case 2:
			h.Seq += uint32(rng.IntN(4000) - 2000)
		case 3:
			h.Ack = uint32(c.snd.una) + uint32(rng.IntN(c.snd.max.Sub(c.snd.una)+3)-1)
		case 4:
			w.peer.Window = uint16([]int{0, 0, 8000, rng.IntN(65536)}[rng.IntN(4)])
			h.Window = w.peer.Window
		case 5:
			h.Options.TSVal -= 50
		case 6:
			h.Options.HasTimestamps = !h.Options.HasTimestamps
		case 7:
			payload = nil
		case 8:
			h.Options.NumSACK = 1
			h.Flags |= wire.FIN // ahead of what is missing
			h.Seq += uint32(rng.IntN(2000))
		case 9: // to the end of the window, and a little further
			n := c.rcv.adv.Sub(c.rcv.nxt)
			payload = make([]byte, min(max(n+rng.IntN(5)-2, 0), 60_000))
		case 10:
			h.Seq += uint32(len(payload))
		default:
			h.Flags |= wire.PSH
		}
	}
	return h, payload
}

// send has both send what they have to say, up to most segments into a buffer of size
// bytes.
func (w *twins) send(most, size int) {
	w.t.Helper()
	w.both(func(s *stepper) string {
		out := ""
		for range most {
			seg, ok := s.c.Send(w.now, s.buf[:size])
			if !ok {
				break
			}
			out += fmt.Sprint(seg) + string(s.buf[:min(seg.Len, 100)]) // all text is the same
		}
		return out + fmt.Sprint(s.c.TakeEvents())
	})
}

// write has both users write n bytes.
func (w *twins) write(n int) {
	w.t.Helper()
	w.both(func(s *stepper) string { return fmt.Sprint(s.c.Out.Write(make([]byte, n))) })
}

// read has both users read n bytes.
func (w *twins) read(n int) {
	w.t.Helper()
	w.both(func(s *stepper) string { b := make([]byte, n); return string(b[:s.c.In.Read(b)]) })
}

func (w *twins) step() {
	rng := w.rng
	w.now = w.now.Add(time.Duration(rng.Int64N(int64([]time.Duration{1000, 1e6, 1e9}[rng.IntN(3)]))))
	switch what := rng.IntN(44); {
	case what < 24:
		h, payload := w.segment()
		if rng.IntN(20) == 0 {
			w.both(func(s *stepper) string { return fmt.Sprint(s.c.ReceiveMarked(w.now, &h, payload)) })
		} else {
			w.in(h, payload)
		}
	case what < 32:
		w.send(100, 1480)
	case what < 35:
		w.read(1 + rng.IntN(20_000))
	case what < 37:
		w.write(rng.IntN(3000))
	case what >= 40: // a question, and its answer
		w.write(1 + rng.IntN(2000))
		w.send(100, 1480)
		w.now = w.now.Add(time.Duration(rng.Int64N(1e6)))
		h, payload := w.segment()
		w.in(h, payload)
	case what == 37 && rng.IntN(20) == 0:
		w.both(func(s *stepper) string { s.c.CloseRead(w.now); return "" })
	case what == 38 && rng.IntN(20) == 0:
		w.both(func(s *stepper) string { s.c.CloseWrite(w.now); return "" })
	case what == 39 && rng.IntN(40) == 0:
		w.both(func(s *stepper) string { s.c.Close(w.now); return "" })
	}
}

// The short way of receiving makes no difference: whatever arrives, a connection
// that has it and one that has not are the same in every field, and say the same.
func TestExpectedSegmentsAreNoDifference(t *testing.T) {
	taken, answers := 0, 0
	for seed := range uint64(150) {
		w := usualTwins(t, seed)
		if seed%3 == 0 {
			w.peer.Window = 0 // probes
			w.in(w.peer, nil)
		}
		for range 200 {
			w.step()
		}
		taken += w.taken
		answers += w.answers
	}
	require.Greater(t, taken, 900, "segments that took the short way")
	require.Greater(t, answers, 150, "answers among them")
}
