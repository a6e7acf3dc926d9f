package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/congestion"
	"smolnet/netstack/tcp"
)

// ackEcho acknowledges n full segments of the connection's with a timestamp of its
// that comes back, and blocks.
func (h *harness) ackEcho(n int, echo uint32, blocks ...blk) {
	h.t.Helper()
	o := h.absolute(sackOf(h.mss(), blocks...))
	o.HasTimestamps, o.TSVal, o.TSEcr = true, h.peerClock(), echo
	h.in(TCP{Seq: 1, Ack: uint32(1 + n*h.mss()), Flags: ACK, Options: o})
}

// eifel opens a connection with timestamps and has n segments out; it returns what they
// were stamped with.
func (h *harness) eifel(n int) (echo uint32) {
	h.t.Helper()
	h.cfg.NoMTUProbing = true
	h.stamping().to(tcp.StateEstablished)
	h.write(pattern(n * h.mss()))
	require.Len(h.t, h.all(), n)
	return h.tsVal
}

// RFC 3522 3.2 steps 2 to 5: the first acknowledgment after a fast retransmit echoes a
// timestamp from before it: an original has arrived, the path reorders. RFC 4015: the
// window is what it was.
func TestEifelAfterFastRetransmit(t *testing.T) {
	for _, sack := range []bool{false, true} {
		each(t, func(t *testing.T, h *harness) {
			h.peer.SACKPermitted = sack
			before := h.eifel(10)
			window := h.cwnd()
			h.advance(roundTrip)
			for i := range 3 {
				h.ackEcho(0, before, blk{1, 2 + i})
			}
			require.Len(t, h.all(), 1)
			require.Equal(t, congestion.Recovery, h.c.Info().Phase)
			h.advance(20 * time.Millisecond)
			h.ackEcho(6, before)
			i := h.c.Info()
			require.Equal(t, congestion.Open, i.Phase)
			require.EqualValues(t, 1, i.SpuriousRecoveries)
			require.GreaterOrEqual(t, i.CongestionWindow, window)
			require.LessOrEqual(t, i.CongestionWindow, window+6*h.mss())
			require.Equal(t, 1<<30, i.SlowStartThreshold)
			h.wantNone()
			require.EqualValues(t, 1, i.Retransmits)
			h.advance(roundTrip)
			h.ackEcho(10, h.tsVal)
			h.wantIdle()
		})
	}
}

// What echoes the retransmission's timestamp, or a later one, was repaired by it.
func TestEifelGenuine(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		before := h.eifel(10)
		h.advance(roundTrip)
		for range 3 {
			h.ackEcho(0, before)
		}
		require.Len(t, h.all(), 1)
		require.NotEqual(t, before, h.tsVal)
		h.advance(roundTrip)
		h.ackEcho(10, h.tsVal)
		require.Zero(t, h.c.Info().SpuriousRecoveries)
		require.Equal(t, 5*h.mss(), h.cwnd())
	})
}

// RFC 3522 3.2 step 2: what counts is the first retransmission. The acknowledgment of
// one of several that is older than a later one is no mistake.
func TestEifelSeveralRetransmissions(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.sacking()
		before := h.eifel(10)
		h.advance(roundTrip)
		h.ackEcho(0, before, blk{6, 7}, blk{8, 10}) // 0 to 5 and 7 are lost
		first := h.segsOf(h.all())
		require.NotEmpty(t, first)
		early := h.tsVal
		h.advance(roundTrip / 2)
		// In crumbs: as each retransmission arrives, another one goes out later.
		for n := 1; n <= 6; n++ {
			h.ackEcho(n, early, blk{6, 7}, blk{8, 10})
			h.advance(5 * time.Millisecond)
			h.all()
		}
		require.Zero(t, h.c.Info().SpuriousRecoveries, h.transcript())
		require.Equal(t, 5*h.mss(), h.c.Info().SlowStartThreshold)
	})
}

// segsOf tells which full segments of the connection's were sent.
func (h *harness) segsOf(got []segment) (n []int) {
	for _, s := range got {
		if len(s.data) > 0 {
			n = append(n, int(s.Seq-1)/h.mss())
		}
	}
	return n
}

// RFC 3522 with a time-out: the delay of a whole flight grew. RFC 4015 3: what was
// taken for lost is under way, nothing of it goes out again, the window is what it
// was, and the timer has learned.
func TestEifelAfterTimeout(t *testing.T) {
	for _, sack := range []bool{false, true} {
		each(t, func(t *testing.T, h *harness) {
			h.peer.SACKPermitted = sack
			before := h.eifel(10)
			i := h.c.Info()
			window, rto := i.CongestionWindow, i.RTO
			h.timeout()
			require.Equal(t, h.mss(), h.cwnd())
			resent := h.c.Info().Retransmits
			h.advance(50 * time.Millisecond) // sooner than any round trip
			h.ackEcho(1, before)
			i = h.c.Info()
			require.Equal(t, congestion.Open, i.Phase)
			require.EqualValues(t, 1, i.SpuriousRecoveries)
			require.GreaterOrEqual(t, i.CongestionWindow, window)
			require.LessOrEqual(t, i.CongestionWindow, window+h.mss())
			require.Equal(t, 1<<30, i.SlowStartThreshold)
			require.Zero(t, i.Backoff)
			require.Greater(t, i.RTO, rto)
			h.wantNone()
			require.Equal(t, resent, h.c.Info().Retransmits)
			h.ackEcho(10, before)
			h.wantIdle()
		})
	}
}

// A time-out whose first copy was lost is none to be undone, nor is a second one in a
// row of which the first was right.
func TestEifelTimeoutGenuine(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.eifel(10)
		h.timeout()
		first := h.tsVal
		h.quiet(h.c.Info().RTO - 100*time.Millisecond)
		s, ok := h.next(time.Minute)
		require.True(t, ok)
		require.EqualValues(t, 1, s.Seq)
		h.all()
		h.advance(10 * time.Millisecond)
		h.ackEcho(1, first)
		require.Zero(t, h.c.Info().SpuriousRecoveries)
		require.Less(t, h.c.Info().SlowStartThreshold, 10*h.mss())
	})
}

// RFC 3708 3 and RFC 2883 5: without timestamps duplicate SACKs tell, also after the
// recovery has ended: as soon as all that was sent again has arrived twice.
func TestDsackUndo(t *testing.T) {
	for _, resent := range []int{1, 3} {
		each(t, func(t *testing.T, h *harness) {
			h.sacking().to(tcp.StateEstablished)
			window := h.cwnd()
			require.Len(t, h.flight(10), 10)
			h.advance(roundTrip)
			h.sack(0, blk{resent, 10})
			got := h.segs(h.all())
			require.NotEmpty(t, got)
			for len(got) < resent {
				h.advance(5 * time.Millisecond)
				h.sack(len(got), blk{resent, 10})
				more := h.segs(h.all())
				require.NotEmpty(t, more)
				got = append(got, more...)
			}
			h.advance(roundTrip / 4)
			h.sack(10)
			require.Equal(t, congestion.Open, h.c.Info().Phase)
			require.Less(t, h.cwnd(), window)
			for n := range resent {
				require.Zero(t, h.c.Info().SpuriousRecoveries)
				h.sack(10, blk{n, n + 1})
			}
			i := h.c.Info()
			require.EqualValues(t, 1, i.SpuriousRecoveries)
			require.Equal(t, window, i.CongestionWindow)
			require.Equal(t, 1<<30, i.SlowStartThreshold)
			require.EqualValues(t, resent, i.DuplicatesReported)
			h.sack(10, blk{0, 1})
			require.EqualValues(t, 1, h.c.Info().SpuriousRecoveries, "once")
		})
	}
}

// RFC 3708 3: a duplicate of what was not sent again is the network's, one that is
// reported twice is counted once, and one of long ago is none of this recovery: the
// loss was one.
func TestDsackNoUndo(t *testing.T) {
	for name, f := range map[string]func(h *harness){
		"of what was sent once": func(h *harness) { h.sack(20, blk{15, 17}) },
		"of what was before":    func(h *harness) { h.sack(20, blk{3, 5}) },
		"never sent":            func(h *harness) { h.sack(20, blk{30, 32}, blk{29, 33}) },
		"part of it":            func(h *harness) { h.sack(20, blk{10, 11}) },
		"part of it, twice":     func(h *harness) { h.sack(20, blk{10, 11}); h.sack(20, blk{10, 11}) },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.sacking().to(tcp.StateEstablished)
				require.Len(t, h.flight(10), 10)
				h.advance(roundTrip)
				h.sack(10)
				require.Len(t, h.flight2(10), 10)
				h.advance(roundTrip)
				h.sack(10, blk{12, 20}) // 10 and 11 are lost
				got := h.segs(h.all())
				require.Equal(t, 10, got[0])
				h.advance(roundTrip)
				h.sack(11, blk{12, 20})
				h.all()
				h.advance(roundTrip)
				h.sack(20)
				require.Equal(t, congestion.Open, h.c.Info().Phase)
				require.EqualValues(t, 2, h.c.Info().Retransmits)
				f(h)
				require.Zero(t, h.c.Info().SpuriousRecoveries)
				require.Less(t, h.cwnd(), 18*ethMSS)
			})
		})
	}
}

// What is reported a round trip and more after a recovery has ended counts for
// nothing: RFC 3708 3 and RFC 4015 are about the last reduction.
func TestDsackTooLate(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.sacking().to(tcp.StateEstablished)
		require.Len(t, h.flight(10), 10)
		h.advance(roundTrip)
		h.sack(0, blk{1, 10})
		h.wantSegs(0)
		h.advance(roundTrip)
		h.sack(10)
		h.more()
		h.more()
		h.sack(12, blk{0, 1})
		require.Zero(t, h.c.Info().SpuriousRecoveries)
	})
}

// RFC 4015: nothing was lost, and the controller does not hear of losses after the
// reduction was taken back, or BBR would take them from the window once more.
func TestEifelForgetsLosses(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.sacking()
		h.cfg.Congestion = func() congestion.Controller { return new(congestion.BBR) }
		h.stamping().to(tcp.StateEstablished)
		h.write(pattern(10 * h.mss()))
		h.all()
		h.advance(20 * time.Millisecond) // they are paced
		for h.c.Info().Outstanding < 5*h.mss() {
			_, ok := h.next(roundTrip)
			require.True(t, ok)
		}
		window, before := h.cwnd(), h.tsVal
		for h.c.Info().Timeouts == 0 {
			_, ok := h.next(time.Minute)
			require.True(t, ok)
		}
		h.advance(50 * time.Millisecond)
		h.ackEcho(1, before)
		require.EqualValues(t, 1, h.c.Info().SpuriousRecoveries)
		require.GreaterOrEqual(t, h.cwnd(), window)
	})
}
