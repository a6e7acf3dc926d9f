package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/congestion"
	"smolnet/netstack/tcp"
)

// frtoCases are all that F-RTO has to do without and with: its result is the same.
func frtoCases(t *testing.T, f func(t *testing.T, h *harness)) {
	t.Helper()
	for name, set := range map[string]func(h *harness){
		"plain": func(*harness) {},
		"SACK":  func(h *harness) { h.sacking() },
		// What comes back is the last timestamp sent, so that Eifel detection has no
		// part in it.
		"timestamps": func(h *harness) { h.sacking().stamping() },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.cfg.NoMTUProbing = true // the time-out is about nothing else
				set(h)
				f(t, h)
			})
		})
	}
}

// ackSegs acknowledges n segments of the size that h has, with the last timestamp
// that the connection sent.
func (h *harness) ackSegs(n int) {
	h.t.Helper()
	h.ackTo(n * h.mss())
}

// mss is the size of the connection's full segments.
func (h *harness) mss() int { return h.c.Info().SendMSS }

// news tells how many of the segments have data beyond n full segments, and wants
// nothing else among them.
func (h *harness) news(n int) int {
	h.t.Helper()
	count := 0
	for _, s := range h.all() {
		require.GreaterOrEqual(h.t, s.Seq, uint32(1+n*h.mss()), "new data only\n%s", h.transcript())
		count++
	}
	return count
}

// RFC 5682 2.1 and 3.1, step 2b: "transmit up to two new (previously unsent)
// segments"; step 3b: the next acknowledgment of what was never sent again shows
// that the time-out was a mistake, and window and threshold are as before.
func TestFRTOSpurious(t *testing.T) {
	frtoCases(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write(pattern(40 * ethMSS))
		out := len(h.all())
		before := h.c.Info()
		h.timeout()
		require.Equal(t, h.mss(), h.cwnd())
		h.advance(roundTrip)
		h.ackSegs(1)
		require.Equal(t, congestion.Timeout, h.c.Info().Phase)
		require.Equal(t, 2, h.news(out))
		h.advance(time.Millisecond)
		h.ackSegs(2)
		i := h.c.Info()
		require.Equal(t, congestion.Open, i.Phase)
		require.EqualValues(t, 1, i.SpuriousRecoveries)
		require.GreaterOrEqual(t, i.CongestionWindow, before.CongestionWindow)
		require.LessOrEqual(t, i.CongestionWindow, before.CongestionWindow+2*h.mss())
		require.Equal(t, before.SlowStartThreshold, i.SlowStartThreshold)
		require.Zero(t, i.Backoff)
		require.LessOrEqual(t, i.Retransmits, uint64(2), "the probe and the timer's")
		h.news(out)
		h.drain()
		require.EqualValues(t, 1, h.c.Info().Timeouts)
	})
}

// timeout waits for the timer and takes what it sends: a probe first, perhaps.
func (h *harness) timeout() {
	h.t.Helper()
	for h.c.Info().Timeouts == 0 {
		_, ok := h.next(time.Minute)
		require.True(h.t, ok)
	}
	h.wantNone()
}

// Step 2b: no more than two, however much one acknowledgment opens the window.
func TestFRTOTwoSegments(t *testing.T) {
	frtoCases(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write(pattern(40 * ethMSS))
		out := len(h.all())
		h.timeout()
		h.advance(roundTrip)
		h.ackSegs(8)
		require.Greater(t, h.cwnd(), 3*h.mss())
		require.Equal(t, 2, h.news(out))
	})
	// The same in one super-segment.
	h := newHarness(t)
	h.room = 64 << 10
	h.to(tcp.StateEstablished)
	h.write(pattern(40 * ethMSS))
	out := 0
	for _, s := range h.all() {
		out += len(s.data)
	}
	h.timeout()
	h.advance(roundTrip)
	h.ackSegs(8)
	n := 0
	for _, s := range h.all() {
		require.GreaterOrEqual(t, s.Seq, uint32(1+out))
		n += len(s.data)
	}
	require.Equal(t, 2*ethMSS, n)
}

// Step 3a: a duplicate acknowledgment means that there was a loss: conventional
// recovery, with what was lost and not with more new data.
func TestFRTOGenuine(t *testing.T) {
	for _, sack := range []bool{false, true} {
		each(t, func(t *testing.T, h *harness) {
			h.peer.SACKPermitted = sack
			h.cfg.NoMTUProbing = true
			h.to(tcp.StateEstablished)
			h.write(pattern(40 * ethMSS))
			require.Len(t, h.all(), 10)
			h.timeout() // with SACK a probe was sent, the eleventh
			h.advance(roundTrip)
			h.ackTo(ethMSS)
			require.Equal(t, 2, h.news(10))
			h.advance(roundTrip)
			if sack {
				h.sack(1, blk{11, 12})
			} else {
				h.ackTo(ethMSS)
			}
			got := h.segs(h.all())
			require.NotEmpty(t, got)
			require.Equal(t, 1, got[0], "what was lost goes out again")
			require.Zero(t, h.c.Info().SpuriousRecoveries)
			require.Equal(t, congestion.Timeout, h.c.Info().Phase)
		})
	}
}

// Step 2a: the first acknowledgment after the time-out is a duplicate: conventional
// recovery at once.
func TestFRTODuplicateFirst(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.NoMTUProbing = true
		h.sacking().to(tcp.StateEstablished)
		h.write(pattern(40 * ethMSS))
		require.Len(t, h.all(), 10)
		h.timeout()
		h.advance(roundTrip)
		h.sack(0, blk{5, 6})
		h.advance(time.Millisecond)
		h.ackTo(ethMSS)
		for _, n := range h.segs(h.all()) {
			require.Less(t, n, 10, "no new data before the old")
		}
		require.Zero(t, h.c.Info().SpuriousRecoveries)
	})
}

// RFC 5682 2.1 step 2: without new data, or room for it, the conventional recovery
// goes on at once: a time-out is not followed by another one.
func TestFRTOWithoutNewData(t *testing.T) {
	for name, f := range map[string]func(h *harness){
		"nothing to send": func(*harness) {},
		"Nagle": func(h *harness) { // a small segment is out, another one waits
			h.write("small")
			require.Len(h.t, h.all(), 1)
			h.write("waits")
			h.wantNone()
		},
		"peer's window": func(h *harness) {
			h.window = 5 * ethMSS
			h.ackTo(0) // a window update
			h.write(pattern2(len(h.out), 20*ethMSS))
			h.wantNone()
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.to(tcp.StateEstablished)
				require.Len(t, h.flight(5), 5)
				f(h)
				h.timeout()
				h.advance(roundTrip)
				if h.window < 65535 {
					h.window = 4 * ethMSS // the right edge stays
				}
				h.ackTo(ethMSS)
				require.Equal(t, []int{1, 2}, h.segs(h.all()), h.transcript())
			})
		})
	}
}

// RFC 5682 2.1 step 1: a time-out in a recovery, and one that follows another one, are
// none that F-RTO looks at.
func TestFRTONotInRecovery(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write(pattern(40 * ethMSS))
		require.Len(t, h.all(), 10)
		h.advance(roundTrip)
		for range 3 {
			h.ackTo(0)
			h.all()
		}
		require.Equal(t, congestion.Recovery, h.c.Info().Phase)
		h.timeout()
		h.advance(roundTrip)
		h.ackTo(ethMSS)
		require.Equal(t, []int{1, 2}, h.segs(h.all()))
		require.Zero(t, h.c.Info().SpuriousRecoveries)
	})
}
