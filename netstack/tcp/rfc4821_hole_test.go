package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/congestion"
	"smolnet/netstack/tcp"
)

// Black holes that are there from the beginning. The first time-out sends three small
// pieces of what was lost.

const (
	baseMSS = 1200 - 20 - 20
	piece   = ethMSS / 4
)

// An early black hole is what happens before the acknowledgment that may tell of it.
type earlyHole struct {
	name    string
	set     func(h *harness)
	lose    func(h *harness) // up to the time-out
	acked   int
	timeout uint64 // how many there are, zero: one
	found   bool
}

func flight(h *harness) {
	h.write(pattern2(len(h.out), 20_000))
	h.all()
}

func smallOnes(h *harness) {
	h.c.SetNoDelay(true)
	for range 9 {
		h.write(pattern2(len(h.out), 300))
		h.all()
		h.advance(time.Millisecond)
	}
}

// tail has n bytes in full segments and a small one; the small one arrives.
func tail(n int) func(h *harness) {
	return func(h *harness) {
		h.write(pattern(n))
		h.all()
		h.advance(roundTrip)
		h.sackBytes(0, n-n%ethMSS, n)
		h.all()
		h.advance(roundTrip)
	}
}

var earlyHoles = []earlyHole{
	{name: "a small one arrives", lose: flight, acked: piece, found: true},
	{name: "all of them, told at once", lose: flight, acked: 3 * piece, found: true},
	{name: "a small one of before arrived", lose: tail(4000), acked: piece, found: true},
	{name: "a large one was late", lose: flight, acked: ethMSS},
	{name: "no probe without SACK", set: func(h *harness) { h.peer.SACKPermitted = false }, lose: flight, acked: piece},
	{name: "no probing wanted", set: func(h *harness) { h.cfg.NoMTUProbing = true }, lose: flight, acked: piece},
	{name: "small segments are wanted", set: func(h *harness) { h.peer.MSS = 536 }, lose: flight, acked: 536 / 4},
	{name: "and twice", set: func(h *harness) { h.peer.MSS = 536 }, lose: flight, acked: 536 / 4, timeout: 2},
	{name: "a large one has arrived before", acked: ethMSS + piece, lose: func(h *harness) {
		h.write(pattern(ethMSS))
		h.all()
		h.advance(roundTrip)
		h.ack(ethMSS)
		flight(h)
	}},
	{name: "a large one arrived byte by byte", acked: ethMSS + piece, lose: func(h *harness) {
		h.write(pattern(ethMSS))
		h.all()
		h.advance(roundTrip)
		for n := ethMSS / 4; n <= ethMSS; n += ethMSS / 4 {
			h.ack(n)
		}
		flight(h)
	}},
	{name: "small ones are lost as well", acked: piece, lose: func(h *harness) {
		h.c.SetNoDelay(true)
		h.write(pattern(5 * ethMSS))
		h.all()
		h.advance(time.Millisecond)
		h.write(pattern2(len(h.out), 200))
		h.all()
	}},
	{name: "the probe is small", acked: piece, lose: func(h *harness) {
		h.write(pattern(10*ethMSS + 200))
		h.all()
		s, _ := h.next(time.Hour)
		require.Len(h.t, s.data, 200)
	}},
	{name: "small ones only, of which one is lost", acked: 300, lose: func(h *harness) {
		smallOnes(h)
		h.advance(roundTrip)
		h.sackBytes(0, 300, 9*300)
		h.next(time.Hour)
		require.Equal(h.t, congestion.Recovery, h.c.Info().Phase)
	}},
	{name: "the only one was late", acked: ethMSS, lose: func(h *harness) {
		h.write(pattern(ethMSS))
		h.all()
	}},
	{name: "who knows what has arrived", set: func(h *harness) { h.peer.SACKPermitted = false }, acked: piece, lose: func(h *harness) {
		flight(h)
		h.advance(roundTrip)
		for range 3 {
			h.ack(0)
		}
		require.Equal(h.t, congestion.Recovery, h.c.Info().Phase)
	}},
	{name: "small ones only", acked: 300, lose: smallOnes},
	{name: "a probe of before", acked: 300 + piece, lose: func(h *harness) {
		h.write(pattern(300))
		h.all()
		h.next(time.Hour)
		require.EqualValues(h.t, 1, h.c.Info().TailProbes)
		h.ack(300)
		h.advance(5 * time.Second)
		h.write(pattern2(300, 2*ethMSS))
		h.all()
	}},
}

// RFC 4821 7.7, with one time-out in the place of repeated ones where large segments never
// arrived, though they were sent again.
func TestBlackHoleFromTheBeginning(t *testing.T) {
	for _, tt := range earlyHoles {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t).sacking()
			if tt.set != nil {
				tt.set(h)
			}
			h.to(tcp.StateEstablished)
			before := h.c.Info()
			tt.lose(h)
			h.timeouts(max(tt.timeout, 1))
			h.ack(tt.acked)
			i := h.c.Info()
			if !tt.found {
				require.Equal(t, before.SendMSS, i.SendMSS)
				require.Zero(t, i.BlackHoles)
				require.Less(t, i.SlowStartThreshold, 20_000, "that was congestion")
				return
			}
			require.Equal(t, baseMSS, i.SendMSS)
			require.EqualValues(t, 1, i.BlackHoles)
			require.Equal(t, before.SlowStartThreshold, i.SlowStartThreshold)
			require.Equal(t, congestion.Open, i.Phase)
			got := h.all()
			require.NotEmpty(t, got)
			require.Equal(t, min(baseMSS, len(h.out)-tt.acked), len(got[0].data), "what was lost goes again")
		})
	}
}

// What has arrived by the time that the acknowledgment comes tells more.
func TestNoBlackHoleAfterAll(t *testing.T) {
	for name, tt := range map[string]struct {
		news func(h *harness)
		mss  int
	}{
		"large ones were late": {func(h *harness) { h.sackBytes(0, ethMSS, 10*ethMSS) }, ethMSS},
		"a router has spoken":  {func(h *harness) { h.c.LimitMTU(h.now, smallMTU, 0) }, smallMSS},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t).sacking()
			h.to(tcp.StateEstablished)
			flight(h)
			h.timeouts(1)
			tt.news(h)
			h.ack(piece)
			require.Zero(t, h.c.Info().BlackHoles)
			require.Equal(t, tt.mss, h.c.Info().SendMSS)
		})
	}
}

// What was too large does not tell of congestion: the window is what it was, nothing that
// was lost so is told to the controller, and what is lost then is.
func TestBlackHoleIsNoCongestion(t *testing.T) {
	spy := new(lossSpy)
	for name, factory := range map[string]congestion.Factory{
		"reno":  reno,
		"cubic": func() congestion.Controller { return new(congestion.Cubic) },
		"bbr":   func() congestion.Controller { return new(congestion.BBR) },
		"spy":   func() congestion.Controller { return spy },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t).sacking()
			h.cfg.Congestion = factory
			h.to(tcp.StateEstablished)
			window := h.cwnd()
			h.write(pattern(100_000))
			h.all()
			h.timeouts(1)
			h.all()
			require.Less(t, h.cwnd(), window)
			h.ack(piece)
			require.EqualValues(t, 1, h.c.Info().BlackHoles)
			require.GreaterOrEqual(t, h.cwnd(), window)
			if name == "spy" {
				require.Zero(t, spy.lost)
			}
			h.drive(100 * time.Millisecond)
			if name == "bbr" {
				return
			}
			window = h.cwnd()
			h.advance(roundTrip)
			at := 3 * piece // lost, and its successors arrive
			h.sackBytes(at, at+baseMSS, at+5*baseMSS)
			require.Equal(t, congestion.Recovery, h.c.Info().Phase)
			h.all()
			require.Less(t, h.c.Info().SlowStartThreshold, window)
		})
	}
}

// Pieces do not keep F-RTO (RFC 5682) from finding out that nothing was lost.
func TestSpuriousTimeoutInPieces(t *testing.T) {
	h := newHarness(t).sacking()
	h.to(tcp.StateEstablished)
	window := h.cwnd()
	h.write(pattern(40 * ethMSS))
	h.all()
	h.timeouts(1)
	resent := h.c.Info().Retransmits
	for n := 1; n <= 3; n++ { // all of it was late
		h.ack(n * ethMSS)
		h.all()
	}
	i := h.c.Info()
	require.EqualValues(t, 1, i.SpuriousRecoveries)
	require.Equal(t, resent, i.Retransmits, "nothing goes again")
	require.GreaterOrEqual(t, i.CongestionWindow, window)
	require.Equal(t, ethMSS, i.SendMSS)
}

// What goes again in one piece after the hole is found shows that it passes: an outage later
// on does not make segments smaller still.
func TestOutageAfterBlackHole(t *testing.T) {
	h := newHarness(t).sacking()
	h.cfg.Congestion = func() congestion.Controller { return &fixed{window: 20_000} }
	h.to(tcp.StateEstablished)
	h.write(pattern(10 * ethMSS))
	h.all()
	h.timeouts(1)
	h.ack(piece)
	h.all()
	h.advance(roundTrip)
	h.ack(10 * ethMSS)
	require.Equal(t, baseMSS, h.c.Info().SendMSS)
	h.write(pattern2(len(h.out), 3*baseMSS))
	h.all()
	h.timeouts(2)
	h.ack(10*ethMSS + baseMSS/4)
	require.Equal(t, baseMSS, h.c.Info().SendMSS)
	require.EqualValues(t, 1, h.c.Info().BlackHoles)
}

// What a probe has proved does not have to be proved again.
func TestNoBlackHoleAfterProbe(t *testing.T) {
	h := newHarness(t).sacking()
	h.narrow(20_000)
	h.write(pattern(10_000))
	require.Len(t, h.all()[0].data, ethMSS)
	h.advance(roundTrip)
	h.ack(10_000)
	require.Equal(t, ethMSS, h.c.Info().SendMSS)
	h.write(pattern2(10_000, 10*ethMSS))
	h.all()
	h.timeouts(1)
	h.ack(10_000 + piece)
	require.Zero(t, h.c.Info().BlackHoles)
}

// Small pieces that arrive all at once do not show that one segment of their size does.
func TestBlackHoleBelowBase(t *testing.T) {
	h := newHarness(t).sacking()
	h.to(tcp.StateEstablished)
	flight(h)
	h.timeouts(1)
	h.ack(piece)
	require.Equal(t, baseMSS, h.c.Info().SendMSS)
	h.all()
	h.timeouts(2)
	h.ack(piece + baseMSS)
	require.EqualValues(t, 2, h.c.Info().BlackHoles)
	require.Equal(t, (1200-20)/2-20, h.c.Info().SendMSS)
}

// After a second time-out all that was lost may have gone in pieces: a hole is found, but that
// it is one is not that sure.
func TestBlackHoleNotSure(t *testing.T) {
	h := newHarness(t).sacking()
	h.to(tcp.StateEstablished)
	flight(h)
	h.timeouts(2)
	h.ack(ethMSS)
	require.EqualValues(t, 1, h.c.Info().BlackHoles)
	require.Equal(t, baseMSS, h.c.Info().SendMSS)
	require.Less(t, h.c.Info().SlowStartThreshold, 20_000)
}

// Where large ones turn out to have arrived, further time-outs are about congestion.
func TestBlackHoleLaterOn(t *testing.T) {
	h := newHarness(t).sacking()
	h.to(tcp.StateEstablished)
	flight(h)
	h.timeouts(1)
	h.sackBytes(0, ethMSS, 2*ethMSS)
	h.timeouts(1)
	h.ack(piece)
	require.EqualValues(t, 1, h.c.Info().BlackHoles)
	require.Less(t, h.c.Info().SlowStartThreshold, 20_000)
}

// drive sends what there is to send for some time.
func (h *harness) drive(d time.Duration) {
	h.t.Helper()
	for end := h.now.Add(d); h.now < end; {
		h.all()
		h.advance(time.Millisecond)
	}
}

// Marks are what they are: those of before the time-out keep the window small, and those that
// come with the acknowledgment, or later, count.
func TestBlackHoleAndMarks(t *testing.T) {
	for _, c := range []struct {
		name         string
		before, with bool // the time-out, the acknowledgment of the piece
		least, most  int
		reducing     bool
	}{
		{name: "none", least: 14_600, most: 20_000},
		{name: "before", before: true, most: 8000},
		{name: "with", with: true, least: 5000, most: 8000, reducing: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t).sacking()
			h.toECN()
			at := 0
			if c.before {
				h.write(pattern(300))
				h.all()
				h.advance(roundTrip)
				at = 300
			}
			h.write(pattern2(at, 60_000))
			h.all()
			if c.before {
				h.in(TCP{Seq: 1, Ack: uint32(1 + at), Flags: ACK | ECE})
				require.Equal(t, congestion.Reducing, h.c.Info().Phase)
				h.all()
			}
			h.timeouts(1)
			ack := TCP{Seq: 1, Ack: uint32(1 + at + piece), Flags: ACK}
			if c.with {
				ack.Flags |= ECE
			}
			h.in(ack)
			i := h.c.Info()
			require.EqualValues(t, 1, i.BlackHoles)
			require.GreaterOrEqual(t, i.CongestionWindow, c.least)
			require.LessOrEqual(t, i.CongestionWindow, c.most)
			require.Equal(t, c.reducing, i.Phase == congestion.Reducing)
		})
	}
}
