package tcp_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// A wireEnd is a connection whose super-segments, if it has room for them, are
// cut, and what is on the wire of it.
type wireEnd struct {
	c     tcp.Conn
	buf   []byte
	wire  []string // segments as bytes
	super int      // how many super-segments there were
	marks []wire.ECN
}

// open is a passive open by syn.
func (e *wireEnd) open(t *testing.T, cfg *tcp.Config, room int, now clock.Time, syn *TCP) {
	e.buf = make([]byte, room)
	e.c.Init(newHarness(t).id, cfg, stream.NewPool(0))
	e.c.Accept(now, 1000, ethMTU, syn)
}

// send takes everything that the connection has to say.
func (e *wireEnd) send(t *testing.T, now clock.Time) {
	e.wire, e.marks = e.wire[:0], e.marks[:0]
	for n := 0; ; n++ {
		require.Less(t, n, burst)
		w, ok := e.c.Send(now, e.buf)
		if !ok {
			return
		}
		require.LessOrEqual(t, w.Len, len(e.buf))
		if w.SegmentSize == 0 {
			require.LessOrEqual(t, w.Len, ethMTU)
			e.wire = append(e.wire, string(e.buf[:w.Len]))
			e.marks = append(e.marks, w.ECN)
			continue
		}
		e.super++
		e.cut(t, w)
	}
}

// cut does what a device does.
func (e *wireEnd) cut(t *testing.T, w tcp.Segment) {
	var h TCP
	payload, err := wire.ParseTCP(e.buf[:w.Len], &h)
	require.NoError(t, err)
	require.Greater(t, len(payload), int(w.SegmentSize))
	flags := h.Flags
	for len(payload) > 0 {
		n := min(len(payload), int(w.SegmentSize))
		h.Flags = flags
		if n < len(payload) {
			h.Flags &^= FIN | PSH
		}
		b := make([]byte, h.HeaderLen()+n)
		copy(b[h.Put(b):], payload[:n])
		e.wire = append(e.wire, string(b))
		e.marks = append(e.marks, w.ECN)
		payload = payload[n:]
		h.Seq += uint32(n)
	}
}

// Super-segments change nothing on the wire: whatever the peer and the user do,
// a connection that may make them sends the same segments at the same instants
// as one that may not, and counts them alike.
func TestSuperSegmentsAreTheSameSegments(t *testing.T) {
	supers := 0
	for seed := range uint64(400) {
		supers += runTwins(t, seed)
	}
	require.Greater(t, supers, 10_000, "super-segments were made")
}

func runTwins(t *testing.T, seed uint64) int {
	rng := rand.New(rand.NewPCG(seed, 0x5e6))
	pick := func(v ...int) int { return v[rng.IntN(len(v))] }
	cfg := tcp.Config{
		SendBuffer: pick(20_000, 100_000, 1<<20), NoDelay: rng.IntN(2) == 0,
		NoTimestamps: rng.IntN(2) == 0, NoWindowScale: rng.IntN(4) == 0, RetransmitLimit: -1,
	}
	if window := pick(0, 0, 0, 5*ethMSS, 1<<20); window > 0 {
		cfg.Congestion = func() congestion.Controller { return &fixed{window: window} }
	} else if rate := pick(0, 0, 100_000, 5_000_000, 200_000_000); rate > 0 {
		cfg.Congestion = func() congestion.Controller { return &paced{rate: int64(rate)} }
	}
	now := clock.Time(epoch)
	syn := TCP{Seq: 77, Flags: SYN | wire.TCPFlags(pick(0, int(ECE|CWR))), Window: 65535, Options: Options{
		MSS: uint16(pick(ethMSS, 536)), HasTimestamps: true, TSVal: 1, HasWindowScale: true, WindowScale: 5,
	}}
	var one, many wireEnd
	one.open(t, &cfg, ethMTU, now, &syn)
	many.open(t, &cfg, pick(4000, 30_000, 65_535), now, &syn)
	both := func(f func(e *wireEnd)) { f(&one); f(&many) }
	echoes := pick(0, 0, 3, 20)

	peer := TCP{Seq: 78, Ack: 1001, Flags: ACK, Window: uint16(pick(65535, 20_000, 3000))}
	sent := uint32(1001) // beyond everything that was on the wire
	data := make([]byte, 200_000)
	for step := range 150 {
		both(func(e *wireEnd) { e.send(t, now) })
		require.Equal(t, one.wire, many.wire, "seed %d, step %d", seed, step)
		require.Equal(t, one.marks, many.marks, "seed %d, step %d", seed, step)
		require.Equal(t, one.c.Info(), many.c.Info(), "seed %d, step %d", seed, step)
		require.Equal(t, one.c.Deadline(), many.c.Deadline(), "seed %d, step %d", seed, step)
		for _, s := range one.wire {
			var h TCP
			payload, err := wire.ParseTCP([]byte(s), &h)
			require.NoError(t, err)
			peer.Options = Options{HasTimestamps: h.Options.HasTimestamps, TSVal: uint32(step), TSEcr: h.Options.TSVal}
			if end := h.Seq + uint32(len(payload)); h.Flags&(SYN|FIN) == 0 && int32(end-sent) > 0 {
				sent = end
			}
		}
		now = now.Add(time.Duration(rng.Int64N(int64(pick(1000, 1e6, 50e6)))))
		peer.Flags = ACK
		if echoes > 0 && rng.IntN(echoes) == 0 {
			peer.Flags |= ECE
		}
		switch what := rng.IntN(20); {
		case what < 8: // the peer acknowledges some, or repeats itself
			peer.Ack += uint32(rng.IntN(int(sent-peer.Ack) + 1))
			if rng.IntN(4) == 0 {
				peer.Window = uint16(pick(65535, 20_000, 3000, 0, rng.IntN(3000)))
			}
			both(func(e *wireEnd) { h := peer; e.c.Receive(now, &h, nil) })
		case what < 10:
			n := rng.IntN(6)
			both(func(e *wireEnd) {
				for range n {
					h := peer
					e.c.Receive(now, &h, nil)
				}
			})
		case what < 16:
			n := pick(1, 100, ethMSS, 10*ethMSS, rng.IntN(len(data)))
			both(func(e *wireEnd) { e.c.Out.Write(data[:n]) })
		case what < 18: // whatever is due
			if d := one.c.Deadline(); d.IsSet() {
				now = max(now, d)
			}
		case what == 18 && rng.IntN(10) == 0:
			mtu := pick(1000, 600, ethMTU)
			both(func(e *wireEnd) { e.c.SetMTU(now, mtu) })
		case what == 18 && one.c.Info().Outstanding == 0: // and more may be tried at once
			mtu := pick(1000, 600, 300)
			both(func(e *wireEnd) { e.c.LimitMTU(now, mtu, now) })
		case what == 19 && step > 100 && rng.IntN(4) == 0:
			both(func(e *wireEnd) { e.c.CloseWrite(now); e.c.Out.SetLimit(0) })
		}
	}
	return many.super
}

// The small end of what was written goes with the rest exactly when it would
// have gone alone: with its FIN, if that has room in the window as well.
func TestSuperSegmentTail(t *testing.T) {
	data := pattern(2*ethMSS + 100)
	for _, tt := range []struct {
		window, first int
		fin           bool
	}{
		{len(data) + 1, len(data), true},
		{len(data), 2 * ethMSS, false}, // no room for the FIN: 100 bytes are too few for a segment
		{len(data) - 1, 2 * ethMSS, false},
		{2*ethMSS + 1, 2 * ethMSS, false},
		{2 * ethMSS, 2 * ethMSS, false},
	} {
		h := newHarness(t)
		h.room = 64 << 10
		h.cfg.Congestion = func() congestion.Controller { return &fixed{window: 1 << 20} }
		h.to(tcp.StateEstablished)
		// The largest window there was is larger, or half of it were the bound.
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Window: 65535})
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Window: uint16(tt.window)})
		h.write(data)
		h.closeWrite()
		flags := ACK
		if tt.fin {
			flags |= FIN | PSH
		}
		s := h.want(TCP{Seq: 1, Ack: 1, Flags: flags}, data[:tt.first])
		require.EqualValues(t, ethMSS, s.size)
		h.wantNone()
	}
}

// A super-segment leaves at least half of the window for the next one.
func TestSuperSegmentShareOfWindow(t *testing.T) {
	for _, tt := range []struct{ window, cwnd, want int }{
		{65535, 1 << 20, 22 * ethMSS},
		{20_000, 1 << 20, 6 * ethMSS},
		{65535, 30 * ethMSS, 15 * ethMSS},
		{65535, ethMSS, ethMSS},
	} {
		h := newHarness(t)
		h.room, h.window = 65_535, uint16(tt.window)
		h.cfg.Congestion = func() congestion.Controller { return &fixed{window: tt.cwnd} }
		h.to(tcp.StateEstablished)
		// Beyond slow start: its threshold is half of what is lost here.
		h.write(pattern(ethMSS))
		h.all()
		h.now = h.c.Deadline()
		h.all()
		h.in(TCP{Seq: 1, Ack: 1 + ethMSS, Flags: ACK})
		h.write(pattern(100_000))
		s, ok := h.send()
		require.True(t, ok)
		require.Len(t, s.data, tt.want, "%+v", tt)
	}
}

// RFC 5681 3.1 and RFC 3465: slow start doubles the window in a round trip, with
// a receiver that acknowledges every super-segment once, however large they may
// be. Nor are they small when the congestion window holds nothing back.
func TestSlowStartWithSuperSegments(t *testing.T) {
	h := newHarness(t)
	h.room = 65_535
	h.cfg.SendBuffer = 2 << 20
	h.peer.HasWindowScale, h.peer.WindowScale = true, 5
	h.to(tcp.StateEstablished)
	h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Window: 65535})
	data := pattern(1 << 20)
	for round := 0; h.c.Info().CongestionWindow < 1<<20; round++ {
		require.Less(t, round, 8, "window %d", h.c.Info().CongestionWindow)
		before := h.c.Info().CongestionWindow
		h.write(data[:h.c.Out.Room()/2])
		flight := h.all()
		h.advance(roundTrip)
		for _, s := range flight {
			h.in(TCP{Seq: 1, Ack: s.Seq + uint32(len(s.data)), Flags: ACK, Window: 65535})
		}
		require.GreaterOrEqual(t, h.c.Info().CongestionWindow, min(2*before-2*ethMSS, 1<<20), "round %d", round)
	}
	h.in(TCP{Seq: 1, Ack: 1 + uint32(len(h.out)-h.c.Info().SendQueue), Flags: ACK, Window: 65535})
	h.write(data[:100_000])
	s, ok := h.send()
	require.True(t, ok)
	require.Greater(t, len(s.data), 40*ethMSS)
}

// RFC 9293 SHLD-19: a super-frame that arrives is acknowledged at once, and is no
// reason to let more than every second segment go without acknowledgment after
// it.
func TestAckOfSuperFrame(t *testing.T) {
	for _, stamps := range []bool{false, true} {
		h := newHarness(t)
		h.cfg.DelayedAck = 100 * time.Millisecond
		h.peer.HasTimestamps = stamps
		h.to(tcp.StateEstablished)
		full := ethMSS
		if stamps {
			full -= 12
		}
		seq := uint32(1)
		in := func(n int) {
			h.in(TCP{Seq: seq, Ack: 1, Flags: ACK}, pattern(n))
			seq += uint32(n)
		}
		for range 16 { // a new connection acknowledges everything at once
			in(10)
			h.want(TCP{Seq: 1, Ack: seq, Flags: ACK})
		}
		in(20 * full)
		h.want(TCP{Seq: 1, Ack: seq, Flags: ACK})
		for range 3 {
			in(full)
			h.wantNone()
			in(full)
			h.want(TCP{Seq: 1, Ack: seq, Flags: ACK})
		}
	}
}

// What is sent again at one instant counts as one transmission, whether a device cuts it
// or we do: a small segment behind it waits in neither case.
func TestRepeatedSuperSegment(t *testing.T) {
	const n = 20
	for _, room := range []int{ethMTU, 64 << 10} {
		h := newHarness(t)
		h.room = room
		h.cfg.NoDelay = true
		h.cfg.Congestion = func() congestion.Controller { return &fixed{window: n * ethMSS} }
		h.sacking().to(tcp.StateEstablished)
		h.flight(n)
		h.advance(roundTrip)
		h.sack(0, blk{n - 1, n})
		_, ok := h.next(roundTrip) // RACK waits for what is merely late
		require.True(t, ok)
		h.all()
		require.EqualValues(t, n-1, h.c.Info().Retransmits)
		h.write("small")
		got := h.all()
		require.Len(t, got, 1, "room %d", room)
		require.Equal(t, "small", got[0].data)
	}
}
