package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/congestion"
	"smolnet/netstack/tcp"
)

// RFC 4015 3: what a mistaken time-out has taken for lost is under way for the first
// time, and counts as in flight again; the timer is without back-off; the next
// acknowledgments are those of an undisturbed connection, which neither sends
// anything again nor slows down.
func TestUndoLeavesNothingBehind(t *testing.T) {
	for name, factory := range map[string]congestion.Factory{
		"reno": reno, "cubic": func() congestion.Controller { return new(congestion.Cubic) },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.cfg.Congestion = factory
				h.sacking()
				before := h.eifel(10)
				window, threshold := h.cwnd(), h.c.Info().SlowStartThreshold
				h.timeout()
				resent := h.c.Info().Retransmits
				h.advance(20 * time.Millisecond)
				for n := 1; n <= 10; n++ {
					h.advance(time.Millisecond)
					h.ackEcho(n, before)
					h.wantNone()
					i := h.c.Info()
					require.Equal(t, congestion.Open, i.Phase)
					require.Zero(t, i.Backoff)
					require.GreaterOrEqual(t, i.CongestionWindow, window)
					require.Equal(t, threshold, i.SlowStartThreshold)
					require.Equal(t, resent, i.Retransmits)
				}
				require.Zero(t, h.c.Info().Lost)
				require.Zero(t, h.c.Info().InFlight)
				require.EqualValues(t, 1, h.c.Info().SpuriousRecoveries)
				h.wantIdle()
			})
		})
	}
}

// A repair that was undone can be begun again: nothing that it knew is in the way of
// the next loss.
func TestLossAfterUndo(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.sacking()
		before := h.eifel(10)
		size := h.mss()
		h.timeout()
		h.advance(20 * time.Millisecond)
		h.ackEcho(1, before)
		require.EqualValues(t, 1, h.c.Info().SpuriousRecoveries)
		h.advance(time.Millisecond)
		h.ackEcho(1, before, blk{2, 10}) // 1 is lost, for sure
		s, ok := h.next(roundTrip)
		require.True(t, ok)
		require.EqualValues(t, 1+size, s.Seq)
		require.Equal(t, congestion.Recovery, h.c.Info().Phase)
		h.advance(roundTrip)
		h.ackEcho(10, h.tsVal)
		i := h.c.Info()
		require.EqualValues(t, 1, i.SpuriousRecoveries)
		require.EqualValues(t, 1, i.Timeouts)
		require.Less(t, i.CongestionWindow, 10*size)
		h.wantIdle()
	})
}

// RFC 4015 4: two mistakes in a row are undone both; window and threshold are those of
// before the first.
func TestUndoTwice(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		before := h.eifel(10)
		window := h.cwnd()
		n := 0
		for k := 1; k <= 2; k++ {
			timeouts := h.c.Info().Timeouts
			for h.c.Info().Timeouts == timeouts {
				_, ok := h.next(time.Minute)
				require.True(t, ok)
			}
			h.advance(10 * time.Millisecond)
			n++
			h.ackEcho(n, before)
			require.EqualValues(t, k, h.c.Info().SpuriousRecoveries)
			require.GreaterOrEqual(t, h.cwnd(), window)
			require.Equal(t, 1<<30, h.c.Info().SlowStartThreshold)
			h.wantNone()
		}
		h.ackEcho(10, before)
		h.wantState(tcp.StateEstablished)
		h.wantIdle()
	})
}
