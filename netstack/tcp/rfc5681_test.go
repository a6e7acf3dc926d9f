package tcp_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/congestion"
	"smolnet/netstack/tcp"
)

func (h *harness) cwnd() int { return h.c.Info().CongestionWindow }

// ackTo acknowledges everything below n bytes of data.
func (h *harness) ackTo(n int) {
	h.t.Helper()
	h.in(TCP{Seq: 1, Ack: uint32(1 + n), Flags: ACK})
}

// flight writes n full segments and sends as many as there is window for.
func (h *harness) flight(n int) []segment {
	h.t.Helper()
	h.write(pattern(n * ethMSS))
	return h.all()
}

// open lets the connection's congestion window grow to at least n segments and
// leaves nothing in flight. It returns how many bytes were sent.
func (h *harness) open(n int) int {
	h.t.Helper()
	for h.cwnd() < n*ethMSS {
		h.write(pattern2(len(h.out), min(h.cwnd(), h.c.Out.Room())))
		segs := h.all()
		if len(segs) == 0 {
			h.fail("nothing to be sent with cwnd %d", h.cwnd())
		}
		h.advance(roundTrip)
		for _, s := range segs {
			h.in(TCP{Seq: 1, Ack: s.Seq + uint32(len(s.data)), Flags: ACK})
		}
		h.drain()
	}
	return len(h.out)
}

// drain acknowledges what is out, a round trip after another.
func (h *harness) drain() {
	h.t.Helper()
	for range burst {
		segs := h.all()
		if len(segs) == 0 && h.c.Out.Len() == 0 {
			return
		}
		h.advance(roundTrip)
		h.in(TCP{Seq: 1, Ack: 1 + uint32(h.c.Out.Start()) + uint32(h.c.Info().InFlight), Flags: ACK})
	}
	h.fail("the connection does not drain")
}

// pattern2 is what pattern is, from offset at on.
func pattern2(at, n int) string { return pattern(at + n)[at:] }

// RFC 9293 MUST-19, 3.8.2: "A TCP endpoint MUST implement the basic congestion
// control algorithms slow start, congestion avoidance, and exponential backoff of RTO". RFC 6928 2: min (10*MSS, max (2*MSS, 14600)).
func TestInitialWindow(t *testing.T) {
	for _, c := range []struct{ mss, segments int }{
		{536, 10}, {1000, 10}, {1460, 10}, {2000, 7}, {4000, 3}, {7300, 2}, {8960, 2},
	} {
		t.Run(fmt.Sprint(c.mss), func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.mtu, h.peer.MSS = 9000, uint16(c.mss)
				h.to(tcp.StateEstablished)
				h.write(pattern(15 * c.mss))
				full := 0
				sent := 0
				for _, s := range h.all() {
					sent += len(s.data)
					if len(s.data) == c.mss {
						full++
					}
				}
				require.Equal(t, c.segments, full)
				require.LessOrEqual(t, sent, min(10*c.mss, max(2*c.mss, 14600)))
			})
		})
	}
}

// RFC 5681 3.1: "the initial window used by a sender after a correctly
// transmitted SYN MUST be one segment", if SYNs were lost; RFC 6928 forgives the first.
func TestInitialWindowAfterSYNLoss(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateSynSent)
		h.wantAfter(1*time.Second, TCP{Flags: SYN})
		h.wantAfter(2*time.Second, TCP{Flags: SYN})
		h.in(TCP{Ack: 1, Flags: SYN | ACK, Options: h.peer})
		h.all()
		require.Len(t, h.flight(10), 1)
	})
	h := newHarness(t)
	h.to(tcp.StateSynSent)
	h.wantAfter(1*time.Second, TCP{Flags: SYN})
	h.in(TCP{Ack: 1, Flags: SYN | ACK, Options: h.peer})
	h.all()
	require.Len(t, h.flight(10), 10)
}

// RFC 5681 3.1, (2): "cwnd += min (N, SMSS)" for each acknowledgment.
func TestSlowStart(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 65535
		h.to(tcp.StateEstablished)
		h.write(pattern(40 * ethMSS))
		require.Len(t, h.all(), 10)
		for i := 1; i <= 10; i++ {
			before := h.cwnd()
			h.ackTo(i * ethMSS)
			require.Equal(t, before+ethMSS, h.cwnd())
			require.Len(t, h.all(), 2, "one for the acknowledged, one for the growth")
		}
	})
}

// RFC 3465 2.3: acknowledging in crumbs must not open the window faster than the
// bytes do, nor one giant acknowledgment by more than L segments.
func TestACKDivision(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write(pattern(40 * ethMSS))
		require.Len(t, h.all(), 10)
		before := h.cwnd()
		for i := 1; i <= 2*ethMSS; i += 10 {
			h.ackTo(i)
		}
		require.LessOrEqual(t, h.cwnd(), before+2*ethMSS)
		before = h.cwnd()
		h.all()
		h.ackTo(10 * ethMSS)
		require.LessOrEqual(t, h.cwnd(), before+8*ethMSS)
	})
}

// RFC 7661 4: a window that is not used must not grow.
func TestWindowDoesNotGrowUnused(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		before := h.cwnd()
		for i := range 100 {
			h.write("x")
			require.Len(t, h.all(), 1)
			h.advance(10 * time.Millisecond)
			h.ackTo(i + 1)
		}
		require.LessOrEqual(t, h.cwnd(), before)
	})
}

// RFC 5681 3.2, 1-3: the third duplicate acknowledgment, and not the second,
// retransmits; ssthresh is half of what was out.
func TestFastRetransmit(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		data := pattern(10 * ethMSS)
		require.Len(t, h.flight(10), 10)
		h.advance(roundTrip)
		h.ackTo(0) // the same window, no data: a duplicate
		h.wantNone()
		h.ackTo(0)
		h.wantNone()
		h.ackTo(0)
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:ethMSS])
		i := h.c.Info()
		require.Equal(t, 5*ethMSS, i.SlowStartThreshold)
		require.EqualValues(t, 1, i.FastRecoveries)
		require.EqualValues(t, 3, i.DuplicateAcks)
		require.Zero(t, i.Timeouts)
		h.wantNone()
		h.advance(roundTrip)
		h.ackTo(10 * ethMSS)
		require.LessOrEqual(t, h.cwnd(), 5*ethMSS)
		require.Positive(t, h.cwnd())
		h.wantIdle()
		require.Zero(t, h.c.Info().Timeouts)
	})
}

// The retransmission has an RTO of its own to be acknowledged, however long ago
// the first copy was sent.
func TestFastRetransmitRestartsTimer(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		require.Len(t, h.flight(10), 10)
		h.advance(290 * time.Millisecond) // the RTO is 300 ms
		for range 3 {
			h.ackTo(0)
		}
		require.Len(t, h.all(), 1)
		h.quiet(300*time.Millisecond - tolerance)
		require.Zero(t, h.c.Info().Timeouts)
	})
}

// RFC 5681 3.2, 4: each further duplicate says that a segment has left the
// network; half of the flight later new data goes out.
func TestFastRecoverySendsNewData(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write(pattern(30 * ethMSS))
		require.Len(t, h.all(), 10)
		h.advance(roundTrip)
		sent := 0
		for range 9 { // all but the first arrived
			h.ackTo(0)
			for _, s := range h.all() {
				if s.Seq != 1 {
					require.GreaterOrEqual(t, s.Seq, uint32(1+10*ethMSS), "new data only")
					sent++
				}
			}
		}
		// Two by limited transmit. Then cwnd is 5+3 segments, 12 are out, and
		// each of six more duplicates adds one: up to 14.
		require.Equal(t, 4, sent)
		h.ackTo(10 * ethMSS)
		require.LessOrEqual(t, h.c.Info().SlowStartThreshold, 6*ethMSS)
		require.LessOrEqual(t, h.cwnd(), h.c.Info().SlowStartThreshold+ethMSS)
	})
}

// RFC 6582 3.2, 3: a partial acknowledgment retransmits the next hole at once,
// without three duplicates or a timeout; the recovery ends at "recover".
func TestPartialACK(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		data := pattern(10 * ethMSS)
		require.Len(t, h.flight(10), 10)
		h.advance(roundTrip)
		for range 3 {
			h.ackTo(0)
		}
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:ethMSS])
		for _, hole := range []int{3, 4, 8} {
			h.advance(roundTrip)
			h.ackTo(hole * ethMSS)
			segs := h.all()
			require.NotEmpty(t, segs, "the hole at %d", hole)
			require.EqualValues(t, 1+hole*ethMSS, segs[0].Seq)
			require.Len(t, segs, 1)
		}
		h.advance(roundTrip)
		h.ackTo(10 * ethMSS)
		h.wantNone()
		i := h.c.Info()
		require.Zero(t, i.Timeouts)
		require.EqualValues(t, 1, i.FastRecoveries)
		require.EqualValues(t, 4, i.Retransmits)
		require.LessOrEqual(t, i.CongestionWindow, 5*ethMSS)
	})
}

// The last hole has the FIN: it goes again with it.
func TestPartialACKWithFIN(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		data := pattern(6*ethMSS + 10)
		h.write(data)
		h.closeWrite()
		require.Len(t, h.all(), 7)
		h.advance(roundTrip)
		for range 3 {
			h.ackTo(0)
		}
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:ethMSS])
		h.advance(roundTrip)
		h.ackTo(6 * ethMSS)
		h.want(TCP{Seq: 1 + 6*ethMSS, Ack: 1, Flags: FIN | ACK}, data[6*ethMSS:])
		h.wantNone()
		h.ackTo(6*ethMSS + 11)
		h.wantState(tcp.StateFinWait2)
	})
}

// RFC 5681 2: what is no duplicate acknowledgment, (a) to (e).
func TestNoDuplicateACK(t *testing.T) {
	for name, f := range map[string]func(h *harness, i uint32){
		"with data": func(h *harness, i uint32) {
			h.in(TCP{Seq: 1 + 4*i, Ack: 1, Flags: ACK}, "data")
		},
		"window update": func(h *harness, i uint32) {
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Window: 50_000 + uint16(i)})
		},
		"old ack": func(h *harness, i uint32) {
			h.in(TCP{Seq: 1, Ack: 1 - i - 1, Flags: ACK})
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.to(tcp.StateEstablished)
				require.Len(t, h.flight(10), 10)
				for i := range uint32(6) {
					h.advance(time.Millisecond)
					f(h, i)
					for _, s := range h.all() {
						require.Empty(t, s.data)
					}
				}
				require.Zero(t, h.c.Info().Retransmits)
				require.Zero(t, h.c.Info().FastRecoveries)
			})
		})
	}
	t.Run("nothing out", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateEstablished)
			for range 10 {
				h.ackTo(0)
			}
			h.write("x")
			h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, "x")
			h.wantNone()
			require.Zero(t, h.c.Info().FastRecoveries)
		})
	})
}

// RFC 3042 2: on the first two duplicates a new segment each, if there is one,
// beyond the congestion window but within the peer's.
func TestLimitedTransmit(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		data := pattern(30 * ethMSS)
		h.write(data)
		require.Len(t, h.all(), 10)
		h.advance(roundTrip)
		h.ackTo(0)
		h.want(TCP{Seq: 1 + 10*ethMSS, Ack: 1, Flags: ACK}, data[10*ethMSS:11*ethMSS])
		h.wantNone()
		h.ackTo(0)
		h.want(TCP{Seq: 1 + 11*ethMSS, Ack: 1, Flags: ACK}, data[11*ethMSS:12*ethMSS])
		h.wantNone()
		h.ackTo(0)
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:ethMSS])
		// RFC 5681 3.2, 2: "the FlightSize ... MUST NOT include the additional data"
		require.Equal(t, 5*ethMSS, h.c.Info().SlowStartThreshold)
	})
}

// RFC 6582 3.2, 1 and 4: the duplicates that our own retransmissions after a
// timeout cause are no news of a loss.
func TestNoFastRetransmitAfterRTO(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		data := pattern(10 * ethMSS)
		require.Len(t, h.flight(10), 10)
		h.wantAfter(300*time.Millisecond, TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:ethMSS])
		h.advance(roundTrip)
		h.ackTo(5 * ethMSS) // only the first was missing, up to 5
		h.all()
		threshold := h.c.Info().SlowStartThreshold
		for range 6 {
			h.ackTo(5 * ethMSS)
			h.all()
		}
		require.Zero(t, h.c.Info().FastRecoveries)
		require.Equal(t, threshold, h.c.Info().SlowStartThreshold)
	})
}

// RFC 5681 3.1, (4): "ssthresh = max (FlightSize / 2, 2*SMSS)" and "cwnd MUST be
// set to no more than the loss window, LW, which equals 1 full-sized segment"; a repeated timeout keeps ssthresh.
func TestTimeoutWindow(t *testing.T) {
	for _, n := range []int{10, 8, 3, 1} {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateEstablished)
			require.Len(t, h.flight(n), n)
			want := max(n*ethMSS/2, 2*ethMSS)
			for range 3 {
				_, ok := h.next(time.Minute)
				require.True(t, ok)
				require.Equal(t, ethMSS, h.cwnd())
				require.Equal(t, want, h.c.Info().SlowStartThreshold)
			}
		})
	}
}

// RFC 5681 3.1: above ssthresh the window grows by one segment in a round trip.
func TestCongestionAvoidance(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.SendBuffer = 4 << 20
		h.to(tcp.StateEstablished)
		require.Len(t, h.flight(10), 10)
		h.advance(roundTrip)
		for range 3 {
			h.ackTo(0)
		}
		h.all()
		h.advance(roundTrip)
		h.ackTo(10 * ethMSS)
		h.open(5) // slow start again up to the threshold, if it fell below
		h.write(pattern2(len(h.out), 200_000))
		acked := len(h.out) - 200_000
		for round := range 8 {
			before := h.cwnd()
			segs := h.all()
			if len(segs) == 0 {
				break
			}
			h.advance(roundTrip)
			for _, s := range segs {
				acked += len(s.data)
				h.ackTo(acked)
			}
			grown := h.cwnd() - before
			require.LessOrEqual(t, grown, ethMSS+ethMSS/4, "round %d", round)
			if round > 0 {
				require.GreaterOrEqual(t, grown, ethMSS/2, "round %d", round)
			}
		}
	})
}

// RFC 5681 4.1: "A TCP SHOULD set cwnd to no more than RW before beginning
// transmission if the TCP has not sent data in an interval exceeding the retransmission timeout."
func TestIdleRestart(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 65535
		h.to(tcp.StateEstablished)
		h.open(20)
		require.GreaterOrEqual(t, h.cwnd(), 20*ethMSS)
		h.advance(time.Minute)
		h.write(pattern2(len(h.out), 30*ethMSS))
		require.LessOrEqual(t, len(h.all()), 10)
	})
}

// RFC 6582 3.2, 4: a timeout in the middle of a recovery ends it; the data is
// still delivered, and the window is one segment.
func TestTimeoutInRecovery(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		require.Len(t, h.flight(10), 10)
		h.advance(roundTrip)
		for range 5 {
			h.ackTo(0)
			h.all()
		}
		_, ok := h.next(time.Minute) // the retransmission was lost as well
		require.True(t, ok)
		require.Equal(t, ethMSS, h.cwnd())
		h.drain()
		require.Zero(t, h.c.Out.Len())
		require.Zero(t, h.c.Info().InFlight)
	})
}

// The last segments of a flight are lost: there are no duplicates, and it is
// the timer that finds out; every byte arrives in the end.
func TestTailLoss(t *testing.T) {
	for lost := 1; lost <= 4; lost++ {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateEstablished)
			require.Len(t, h.flight(6), 6)
			h.advance(roundTrip)
			have := 6 - lost
			h.ackTo(have * ethMSS)
			for range 20 {
				if have == 6 {
					break
				}
				s, ok := h.next(time.Minute)
				require.True(t, ok)
				require.EqualValues(t, 1+have*ethMSS, s.Seq)
				have++
				for _, s := range h.all() {
					if s.Seq == uint32(1+have*ethMSS) {
						have++
					}
				}
				h.advance(roundTrip)
				h.ackTo(have * ethMSS)
			}
			require.Zero(t, h.c.Out.Len())
		})
	}
}

// A fixed is a controller that never moves.
type fixed struct {
	congestion.Reno
	window int
}

func (f *fixed) Window() int  { return f.window }
func (f *fixed) Name() string { return "fixed" }

// A controller of one's own is asked, whatever it says: a window under a segment
// counts as one, or nothing would ever be sent.
func TestOwnCongestionControl(t *testing.T) {
	for _, c := range []struct{ window, segments int }{{0, 1}, {1, 1}, {3 * ethMSS, 3}, {1 << 30, 20}} {
		each(t, func(t *testing.T, h *harness) {
			h.cfg.Congestion = func() congestion.Controller { return &fixed{window: c.window} }
			h.to(tcp.StateEstablished)
			require.Equal(t, "fixed", h.c.Info().CongestionControl)
			require.Len(t, h.flight(20), c.segments)
			h.drain()
			require.Zero(t, h.c.Out.Len())
		})
	}
}

// RFC 5681 3: what is in flight is never more than the smaller of both windows.
func TestFlightIsBounded(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 20_000
		h.to(tcp.StateEstablished)
		h.write(pattern(200_000))
		acked := 0
		for acked < 200_000 {
			h.all()
			i := h.c.Info()
			require.LessOrEqual(t, i.InFlight, min(20_000, max(i.CongestionWindow, ethMSS)))
			h.advance(roundTrip)
			acked = min(acked+ethMSS, int(h.c.Out.Start())+i.InFlight)
			h.ackTo(acked)
		}
		require.Zero(t, h.c.Out.Len())
	})
}

// A paced is a controller with a rate.
type paced struct {
	congestion.Reno
	rate int64
}

func (p *paced) PacingRate() int64 { return p.rate }

// A controller's rate is kept, whatever it is, and Deadline says when the next
// segment may go.
func TestPacing(t *testing.T) {
	for _, rate := range []int64{14_600, 146_000, 14_600_000} {
		each(t, func(t *testing.T, h *harness) {
			h.cfg.Congestion = func() congestion.Controller { return &paced{rate: rate} }
			h.cfg.MinRTO = time.Minute // what is paced must not time out here
			h.to(tcp.StateEstablished)
			h.write(pattern(10 * ethMSS))
			from := h.now
			sent := 0
			for sent < 10*ethMSS {
				s, ok := h.next(time.Minute)
				require.True(t, ok)
				sent += len(s.data)
				allowed := int64(h.now.Sub(from)+time.Millisecond) * rate / int64(time.Second)
				require.LessOrEqual(t, int64(sent-2*ethMSS), allowed)
			}
			took := h.now.Sub(from)
			least := time.Duration(8 * ethMSS * int64(time.Second) / rate)
			require.GreaterOrEqual(t, took+2*time.Millisecond, least)
			require.Less(t, took, 2*least+10*time.Millisecond)
		})
	}
}
