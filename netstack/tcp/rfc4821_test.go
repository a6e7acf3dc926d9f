package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/tcp"
)

const (
	smallMTU  = 1000
	smallMSS  = smallMTU - 20
	raiseTime = 10 * time.Minute
)

// narrow opens a connection that was told that its path takes smallMTU, a while ago: it
// may look whether it takes more by now. The window is what the test says.
func (h *harness) narrow(window int) *harness {
	h.cfg.Congestion = func() congestion.Controller { return &fixed{window: window} }
	h.to(tcp.StateEstablished)
	h.c.LimitMTU(h.now, smallMTU, 0)
	require.Equal(h.t, smallMSS, h.c.Info().SendMSS)
	h.advance(raiseTime)
	return h
}

// sizes returns how much data each segment had.
func sizes(got []segment) (n []int) {
	for _, s := range got {
		n = append(n, len(s.data))
	}
	return n
}

// ack acknowledges all bytes below n.
func (h *harness) ack(n int) {
	h.t.Helper()
	h.in(TCP{Seq: 1, Ack: uint32(1 + n), Flags: ACK})
}

// sackBytes acknowledges up to n, and selectively from start up to end.
func (h *harness) sackBytes(n, start, end int) {
	h.t.Helper()
	o := sackOf(1, blk{start, end})
	h.in(TCP{Seq: 1, Ack: uint32(1 + n), Flags: ACK, Options: h.absolute(o)})
}

// RFC 4821 7.5 and 7.6: a probe is one segment of new data that is larger than the
// others. If it arrives, it is the new size; RFC 8899 5.1.1: ten minutes after the old
// one was found.
func TestSizeProbe(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.narrow(30_000)
		i := h.c.Info()
		require.Equal(t, smallMTU, i.PathMTU)
		require.Equal(t, ethMTU, i.PathMTULimit)
		require.Equal(t, tcp.MTUComplete, i.PathMTUState)
		h.write(pattern(10_000))
		got := h.all()
		require.Equal(t, []int{ethMSS, smallMSS, smallMSS}, sizes(got[:3]))
		require.Zero(t, got[0].size)
		require.EqualValues(t, 1, h.c.Info().PathMTUProbes)
		require.Equal(t, tcp.MTUSearching, h.c.Info().PathMTUState)
		h.advance(roundTrip)
		h.ack(10_000)
		h.wantEvents(tcp.EventPathMTU)
		require.Equal(t, ethMTU, h.c.Info().PathMTU)
		require.Equal(t, tcp.MTUComplete, h.c.Info().PathMTUState)
		h.write(pattern(5000))
		require.Equal(t, ethMSS, len(h.all()[0].data))
		require.EqualValues(t, 1, h.c.Info().PathMTUProbes)
		require.EqualValues(t, 0, h.c.Info().Retransmits)
	})
}

// Not before its time, and without a timer: an idle connection has nothing to try with.
func TestSizeProbeWaits(t *testing.T) {
	h := newHarness(t)
	h.to(tcp.StateEstablished)
	h.c.LimitMTU(h.now, smallMTU, 0)
	h.wantIdle()
	h.advance(raiseTime - 3*time.Second)
	h.write(pattern(10_000))
	require.Equal(t, smallMSS, len(h.all()[0].data))
}

// RFC 4821 7.4: there is enough data for the probe and for what follows it, the windows
// have room, and nothing is lost.
func TestSizeProbePreconditions(t *testing.T) {
	const all = ethMSS + 2*smallMSS
	for _, tt := range []struct {
		name          string
		write, window int // the latter of congestion
		offer         uint16
		want          bool
	}{
		{"enough", all, all, all, true},
		{"little data", all - 1, all, all, false},
		{"small congestion window", all, all - 1, all, false},
		{"small offer", all, all, all - 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			h.window = tt.offer
			h.narrow(tt.window)
			h.write(pattern(tt.write))
			if tt.want {
				require.Equal(t, ethMSS, len(h.all()[0].data))
				return
			}
			require.Equal(t, smallMSS, len(h.all()[0].data))
		})
	}
	t.Run("no room now", func(t *testing.T) {
		// Other segments wait until there is: acknowledgments are to come.
		h := newHarness(t)
		h.narrow(all)
		h.write(pattern(smallMSS))
		require.Len(t, h.all(), 1)
		h.write(pattern(3 * smallMSS))
		require.Len(t, h.all(), 2, "not enough to try with")
		h.write(pattern(20_000))
		h.wantNone()
		h.ack(smallMSS)
		require.Equal(t, ethMSS, len(h.all()[0].data))
	})
	t.Run("cork", func(t *testing.T) {
		h := newHarness(t)
		h.narrow(30_000)
		h.c.SetCork(true)
		h.write(pattern(10_000))
		require.Equal(t, smallMSS, len(h.all()[0].data))
	})
	t.Run("no room in the buffer", func(t *testing.T) {
		h := newHarness(t)
		h.room = smallMTU
		h.narrow(30_000)
		h.write(pattern(10_000))
		require.Equal(t, smallMSS, len(h.all()[0].data))
	})
	t.Run("peer's MSS", func(t *testing.T) {
		h := newHarness(t)
		h.peer.MSS = 1200
		h.narrow(30_000)
		h.write(pattern(10_000))
		require.Equal(t, 1200, len(h.all()[0].data))
	})
}

// RFC 4821 7.6: the loss of a probe and of nothing else is no congestion. What it had is
// sent again in segments of the usual size, and it is tried again; after three times
// the size is given up.
func TestSizeProbeLost(t *testing.T) {
	h := newHarness(t).sacking()
	h.narrow(20_000)
	at, probes := 0, []int{}
	for range 40 {
		h.write(pattern(6000))
		got := h.all()
		if n := len(got[0].data); n > smallMSS {
			probes = append(probes, n)
			h.advance(roundTrip)
			h.sackBytes(at, at+n, at+6000)
			h.advance(roundTrip)
			h.sackBytes(at, at+n, at+6000)
			require.Equal(t, congestion.Open, h.c.Info().Phase)
			again := h.all()
			require.Equal(t, []int{smallMSS, n - smallMSS}, sizes(again))
			require.Equal(t, got[0].Seq, again[0].Seq)
		}
		h.advance(roundTrip)
		at += 6000
		h.ack(at)
	}
	require.Zero(t, h.c.Info().FastRecoveries)
	require.Zero(t, h.c.Info().Timeouts)
	require.Equal(t, smallMSS, h.c.Info().SendMSS)
	require.Equal(t, tcp.MTUComplete, h.c.Info().PathMTUState)
	// 1500, and the plausible sizes next to the middle of what is left each time.
	require.Equal(t, []int{1460, 1460, 1460, 1240, 1240, 1240}, probes[:6])
	for i, n := range probes {
		require.Equal(t, probes[i-i%3], n)
	}
	require.LessOrEqual(t, len(probes), 24)
	require.EqualValues(t, len(probes), h.c.Info().PathMTUProbes)
}

// RFC 4821 7.6: with other losses beside it nothing is known, and they are congestion.
func TestSizeProbeAndOtherLosses(t *testing.T) {
	h := newHarness(t).sacking()
	h.narrow(20_000)
	for range 5 {
		at := len(h.out)
		h.write(pattern(9000))
		got := h.all()
		require.Equal(t, ethMSS, len(got[0].data))
		before := h.c.Info().FastRecoveries
		h.advance(roundTrip)
		// The probe and the segment behind it.
		end := at + ethMSS + smallMSS
		h.sackBytes(at, end, at+9000)
		h.advance(roundTrip)
		h.sackBytes(at, end, at+9000)
		require.Equal(t, before+1, h.c.Info().FastRecoveries)
		h.all()
		h.advance(roundTrip)
		h.ack(len(h.out))
		require.Equal(t, congestion.Open, h.c.Info().Phase)
	}
	// And at last it arrives.
	h.write(pattern(9000))
	h.all()
	h.advance(roundTrip)
	h.ack(len(h.out))
	require.Equal(t, ethMSS, h.c.Info().SendMSS)
}

// A retransmission of what a lost probe had is one like others: if it is lost too, that
// is congestion.
func TestSizeProbeRepairLost(t *testing.T) {
	h := newHarness(t).sacking()
	h.narrow(20_000)
	h.write(pattern(9000))
	h.all()
	h.advance(roundTrip)
	h.sackBytes(0, ethMSS, 5000)
	h.advance(roundTrip)
	h.sackBytes(0, ethMSS, 5000)
	require.NotEmpty(t, h.all())
	require.Zero(t, h.c.Info().FastRecoveries)
	h.write(pattern(9000))
	h.all()
	h.advance(roundTrip)
	h.sackBytes(0, ethMSS, 15_000) // sent after the repair
	h.advance(roundTrip)
	h.sackBytes(0, ethMSS, 16_000)
	require.EqualValues(t, 1, h.c.Info().FastRecoveries)
}

// hole has full-sized segments vanish: after two time-outs in a row small ones are out,
// and have had the time to arrive.
func (h *harness) hole(n int) {
	h.t.Helper()
	h.write(pattern(n))
	h.all()
	h.timeouts(2)
}

// timeouts waits for some time-outs, and a round trip.
func (h *harness) timeouts(n uint64) {
	h.t.Helper()
	before := h.c.Info().Timeouts
	for h.c.Info().Timeouts < before+n {
		_, ok := h.next(time.Hour)
		require.True(h.t, ok)
	}
	h.all()
	h.advance(roundTrip)
}

// RFC 4821 7.7: repeated timeouts of full-sized segments, while smaller ones pass, are a
// black hole. RFC 8899 5.1.2: 1200 bytes get through nearly everywhere.
func TestBlackHoleFound(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		h := newHarness(t).sacking()
		base := 1200 - 20 - 20
		if v6 {
			h.v6()
			base = 1280 - 40 - 20
		}
		h.to(tcp.StateEstablished)
		h.hole(20_000)
		h.ack(ethMSS / 4)
		i := h.c.Info()
		require.Equal(t, base, i.SendMSS)
		require.Equal(t, tcp.MTUBase, i.PathMTUState)
		require.EqualValues(t, 1, i.BlackHoles)
		require.Equal(t, base, len(h.all()[0].data), "what was lost goes in such segments")
	}
}

// What is no black hole: a time-out alone, small segments only, no probing wanted.
func TestNoBlackHoleFound(t *testing.T) {
	t.Run("one time-out", func(t *testing.T) {
		h := newHarness(t)
		h.to(tcp.StateEstablished)
		h.write(pattern(20_000))
		h.all()
		for h.c.Info().Timeouts < 1 {
			h.next(time.Hour)
		}
		h.advance(roundTrip)
		h.ack(ethMSS)
		require.Equal(t, ethMSS, h.c.Info().SendMSS)
	})
	t.Run("small segments", func(t *testing.T) {
		h := newHarness(t)
		h.to(tcp.StateEstablished)
		h.hole(1000)
		h.ack(ethMSS / 4)
		require.Equal(t, ethMSS, h.c.Info().SendMSS)
	})
	t.Run("unwanted", func(t *testing.T) {
		h := newHarness(t)
		h.cfg.NoMTUProbing = true
		h.to(tcp.StateEstablished)
		h.hole(20_000)
		h.ack(ethMSS / 4)
		require.Equal(t, ethMSS, h.c.Info().SendMSS)
	})
	t.Run("the original has arrived", func(t *testing.T) {
		h := newHarness(t).sacking().stamping()
		h.to(tcp.StateEstablished)
		sent := h.tsVal
		h.hole(20_000)
		o := Options{HasTimestamps: true, TSVal: h.peerClock(), TSEcr: sent}
		h.in(TCP{Seq: 1, Ack: 1 + ethMSS - 12, Flags: ACK, Options: o})
		require.Equal(t, ethMSS-12, h.c.Info().SendMSS)
	})
}

// What was in use before is the first thing to be tried again: it may have been an outage.
// The next one has to last for longer.
func TestOutageIsNoBlackHole(t *testing.T) {
	h := newHarness(t).sacking()
	h.cfg.Congestion = func() congestion.Controller { return &fixed{window: 20_000} }
	h.to(tcp.StateEstablished)
	h.hole(20_000)
	h.ack(ethMSS / 4)
	h.drain()
	require.NotEqual(t, ethMSS, h.c.Info().SendMSS)
	h.write(pattern(10_000))
	require.Equal(t, ethMSS, len(h.all()[0].data))
	h.advance(roundTrip)
	h.ack(len(h.out))
	require.Equal(t, ethMSS, h.c.Info().SendMSS)
	require.Equal(t, tcp.MTUComplete, h.c.Info().PathMTUState)

	at := len(h.out)
	h.hole(20_000)
	h.ack(at + ethMSS/4)
	require.Equal(t, ethMSS, h.c.Info().SendMSS, "two time-outs are no proof any more")
	require.EqualValues(t, 1, h.c.Info().BlackHoles)
}

// RFC 8899 4.6.2: what a router says of a probe tells what to try next, and lowers nothing.
func TestRouterRefusesProbe(t *testing.T) {
	h := newHarness(t).sacking()
	h.narrow(20_000)
	h.write(pattern(10_000))
	require.Equal(t, ethMSS, len(h.all()[0].data))
	h.c.LimitMTU(h.now, 1380, 0)
	require.Equal(t, smallMSS, h.c.Info().SendMSS)
	h.advance(roundTrip)
	h.sackBytes(0, ethMSS, 10_000)
	h.advance(roundTrip)
	h.sackBytes(0, ethMSS, 10_000)
	h.all()
	h.advance(roundTrip)
	h.ack(len(h.out))
	h.write(pattern(10_000))
	require.Equal(t, 1360, len(h.all()[0].data))
	h.advance(roundTrip)
	h.ack(len(h.out))
	require.Equal(t, 1360, h.c.Info().SendMSS)
	require.Equal(t, tcp.MTUComplete, h.c.Info().PathMTUState)
}

// RFC 5927 7.2: what has arrived contradicts the message. It is believed, and tested at once.
func TestRouterContradicted(t *testing.T) {
	h := newHarness(t).sacking()
	h.cfg.Congestion = func() congestion.Controller { return &fixed{window: 20_000} }
	h.to(tcp.StateEstablished)
	h.write(pattern(10_000))
	h.all()
	h.advance(roundTrip)
	h.ack(len(h.out))
	h.c.LimitMTU(h.now, 600, 0)
	require.Equal(t, 580, h.c.Info().SendMSS)
	h.write(pattern(10_000))
	require.Equal(t, ethMSS, len(h.all()[0].data))
	h.c.LimitMTU(h.now, 600, 0) // it was not forged: here is the next one
	require.Equal(t, tcp.MTUComplete, h.c.Info().PathMTUState)
	h.drain()
	require.Equal(t, 580, h.c.Info().SendMSS)
}

// RFC 1191 6.3: without probing what was learnt ends with time, and routers tell again.
func TestLimitEndsWithoutProbing(t *testing.T) {
	h := newHarness(t)
	h.cfg.NoMTUProbing = true
	h.narrow(20_000)
	h.write(pattern(10_000))
	h.all()
	require.Equal(t, ethMSS, h.c.Info().SendMSS)
	require.Zero(t, h.c.Info().PathMTUProbes)
}

// Without SACK three duplicates tell of a lost probe, as of any loss: they are believed to
// be congestion, and what it had arrives.
func TestSizeProbeWithoutSACK(t *testing.T) {
	h := newHarness(t)
	h.narrow(20_000)
	for n := range 9 {
		at := len(h.out)
		h.write(pattern(9000))
		got := h.all()
		if n < 3 {
			require.Equal(t, ethMSS, len(got[0].data))
		}
		h.advance(roundTrip)
		for range len(got) - 1 {
			h.ack(at)
		}
		require.EqualValues(t, n+1, h.c.Info().FastRecoveries)
		h.advance(roundTrip)
		h.drain()
		h.write(pattern(100)) // RFC 6582 3.2 step 2: what is new since the recovery
		h.drain()
	}
	require.Equal(t, smallMSS, h.c.Info().SendMSS)
}

// The search neither allocates nor is there a limit on how often it goes on.
func TestSizeProbeAllocs(t *testing.T) {
	h := newHarness(t).sacking()
	h.narrow(20_000)
	h.write(pattern(100_000))
	h.all()
	b := make([]byte, ethMTU)
	at := 0
	require.Zero(t, testing.AllocsPerRun(20, func() {
		h.c.LimitMTU(h.now, smallMTU, h.now)
		at += smallMSS
		s := TCP{SrcPort: 80, DstPort: 4321, Seq: h.irs + 1, Ack: h.iss + 1 + uint32(at), Flags: ACK, Window: 65535}
		h.c.Receive(h.now, &s, nil)
		for ok := true; ok; {
			_, ok = h.c.Send(h.now, b)
		}
	}))
}

// What ends then is a limit on segments that were being made: the next ones are of the
// new size, and keep to the windows, as super-segments too.
func TestLimitEndsWithinWindow(t *testing.T) {
	for _, room := range []int{ethMTU, 64 << 10} {
		h := newHarness(t)
		h.room = room
		h.cfg.NoMTUProbing = true
		h.narrow(20_000)
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Window: smallMSS + 100})
		h.write(pattern(10_000))
		h.wantNone() // less than a segment has room now, RFC 9293 MUST-38
		require.Equal(t, ethMSS, h.c.Info().SendMSS)
		s, ok := h.next(time.Second)
		require.True(t, ok)
		require.Len(t, s.data, smallMSS+100)
	}
}

// A lossSpy is Reno, and counts the bytes that it hears to be lost.
type lossSpy struct {
	congestion.Reno
	lost int
}

func (s *lossSpy) OnAck(now clock.Time, a congestion.Ack) {
	s.lost += a.Lost
	s.Reno.OnAck(now, a)
}

// RFC 4821 4: what is sent again because it is too big is no loss to the controller.
func TestTooBigIsNoLoss(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		s := new(lossSpy)
		h.cfg.Congestion = func() congestion.Controller { return s }
		h.sacking().to(tcp.StateEstablished)
		require.Len(t, h.flight(4), 4)
		h.c.LimitMTU(h.now, smallMTU, 0)
		require.NotEmpty(t, h.all())
		h.advance(roundTrip)
		h.ack(ethMSS)
		require.Zero(t, s.lost)
	})
}
