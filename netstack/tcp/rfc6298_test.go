package tcp_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
)

// An rtoModel is RFC 6298 section 2 to the letter.
type rtoModel struct {
	srtt, rttvar, rto time.Duration
	min, max          time.Duration
}

// G is the granularity that an implementation may have.
const granularity = time.Millisecond

func (m *rtoModel) sample(r time.Duration) {
	if m.srtt == 0 {
		// RFC 6298 2.2: "SRTT <- R, RTTVAR <- R/2, RTO <- SRTT + max (G, K*RTTVAR)"
		m.srtt, m.rttvar = r, r/2
	} else {
		// RFC 6298 2.3: "RTTVAR <- (1 - beta) * RTTVAR + beta * |SRTT - R'|,
		// SRTT <- (1 - alpha) * SRTT + alpha * R'", in this order
		m.rttvar = m.rttvar*3/4 + (m.srtt-r).Abs()/4
		m.srtt = m.srtt*7/8 + r/8
	}
	m.rto = min(max(m.srtt+max(granularity, 4*m.rttvar), m.min), m.max)
}

// check compares within the granularity.
func (m *rtoModel) check(h *harness) {
	h.t.Helper()
	i := h.c.Info()
	for _, c := range []struct {
		name      string
		want, got time.Duration
	}{{"SRTT", m.srtt, i.RTT}, {"RTTVAR", m.rttvar, i.RTTVar}, {"RTO", m.rto, i.RTO}} {
		if (c.want - c.got).Abs() > 4*granularity {
			h.fail("%s is %v, not %v", c.name, c.got, c.want)
		}
	}
}

var lowHigh = rtoModel{min: 200 * time.Millisecond, max: time.Minute}

// RFC 9293 MUST-18, 3.8.1: "The RTO MUST be computed according to the algorithm
// in [10], including Karn's algorithm for taking RTT samples". RFC 6298 2.2, 2.3, to the granularity.
func TestRTO(t *testing.T) {
	for name, samples := range map[string][]int{ // ms; the first one is the handshake's
		"constant":  {100, 100, 100, 100, 100, 100, 100, 100},
		"growing":   {100, 120, 150, 200, 300, 500, 900},
		"shrinking": {900, 500, 300, 200, 100, 50, 20, 10, 5},
		"jumping":   {100, 10, 500, 20, 800, 3, 100, 100, 2000},
		"tiny":      {1, 2, 1, 1, 2},
		"huge":      {20_000, 30_000, 40_000},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				m := lowHigh
				h.cfg.InitialRTO = time.Minute // the handshake is not repeated
				h.accept()
				h.want(TCP{Ack: 1, Flags: SYN | ACK})
				ack := uint32(1)
				for _, ms := range samples {
					d := time.Duration(ms) * time.Millisecond
					if ack > 1 && d >= h.c.Info().RTO {
						d = h.c.Info().RTO - 5*time.Millisecond // else it is retransmitted
					}
					h.advance(d)
					h.in(TCP{Seq: 1, Ack: ack, Flags: ACK})
					m.sample(d)
					m.check(h)
					h.write("x")
					h.want(TCP{Seq: ack, Ack: 1, Flags: ACK}, "x")
					ack++
				}
			})
		})
	}
}

// RFC 6298 2.1: "Until a round-trip time (RTT) measurement has been made ... the
// sender SHOULD set RTO <- 1 second". Config may say otherwise.
func TestInitialRTO(t *testing.T) {
	for _, d := range []time.Duration{0, 500 * time.Millisecond, 3 * time.Second} {
		h := newHarness(t)
		h.cfg.InitialRTO = d
		h.to(tcp.StateSynSent)
		if d == 0 {
			d = time.Second
		}
		require.Equal(t, d, h.c.Info().RTO)
		h.wantAfter(d, TCP{Flags: SYN})
		h.wantAfter(2*d, TCP{Flags: SYN})
	}
}

// RFC 6298 2.4: the RTO is rounded up to a minimum, 2.5: and bounded by a
// maximum. Both can be configured.
func TestRTOBounds(t *testing.T) {
	h := newHarness(t)
	h.cfg.MinRTO, h.cfg.MaxRTO = 2*time.Second, 5*time.Second
	h.to(tcp.StateEstablished)
	require.Equal(t, 2*time.Second, h.c.Info().RTO)
	h.write("x")
	h.all()
	for _, d := range []time.Duration{2, 4, 5, 5, 5} {
		h.wantAfter(d*time.Second, TCP{Seq: 1, Ack: 1, Flags: ACK}, "x")
	}
}

// RFC 6298 5.5: "The host MUST set RTO <- RTO * 2 ('back off the timer')", for
// each retransmission of the same data.
func TestBackOff(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write("x")
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, "x")
		m := lowHigh
		m.sample(roundTrip)
		d := m.rto
		for range 8 {
			h.wantAfter(d, TCP{Seq: 1, Ack: 1, Flags: ACK}, "x")
			h.wantNone()
			d = min(2*d, time.Minute)
		}
	})
}

// RFC 6298 3, Karn's algorithm: "RTT samples MUST NOT be made using segments
// that were retransmitted". The backed-off RTO stays until there is a sample.
func TestKarn(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		m := lowHigh
		m.sample(roundTrip)
		m.check(h)
		h.write("a")
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, "a")
		h.wantAfter(300*time.Millisecond, TCP{Seq: 1, Ack: 1, Flags: ACK}, "a")
		h.advance(3 * time.Millisecond)
		h.in(TCP{Seq: 1, Ack: 2, Flags: ACK}) // of the first or the second?
		i := h.c.Info()
		require.InDelta(t, float64(roundTrip), float64(i.RTT), float64(granularity))
		h.write("b")
		h.want(TCP{Seq: 2, Ack: 1, Flags: ACK}, "b")
		h.wantAfter(600*time.Millisecond, TCP{Seq: 2, Ack: 1, Flags: ACK}, "b")
		h.advance(3 * time.Millisecond)
		h.in(TCP{Seq: 1, Ack: 3, Flags: ACK})
		h.write("c")
		h.want(TCP{Seq: 3, Ack: 1, Flags: ACK}, "c")
		h.advance(150 * time.Millisecond)
		h.in(TCP{Seq: 1, Ack: 4, Flags: ACK}) // a sample at last
		m.sample(150 * time.Millisecond)
		m.check(h)
	})
}

// RFC 6298 3: with timestamps the ambiguity is gone: the echo of the repeated
// segment is a sample.
func TestKarnWithTimestamps(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.peer.HasTimestamps = true
		h.to(tcp.StateEstablished)
		h.write("a")
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, "a")
		h.wantAfter(300*time.Millisecond, TCP{Seq: 1, Ack: 1, Flags: ACK}, "a")
		h.advance(roundTrip)
		h.in(TCP{Seq: 1, Ack: 2, Flags: ACK})
		require.InDelta(t, float64(roundTrip), float64(h.c.Info().RTT), float64(4*granularity))
		require.Less(t, h.c.Info().RTO, 310*time.Millisecond, "not backed off any more")
	})
}

// RFC 6298 5.1-5.3: the timer runs while data is out, is restarted when new data
// is acknowledged, and stopped when all is.
func TestRTOManagement(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.NoDelay = true
		h.to(tcp.StateEstablished)
		require.False(t, h.c.Deadline().IsSet())
		h.write("a")
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, "a")
		require.Equal(t, h.now.Add(h.c.Info().RTO), h.c.Deadline())
		first := h.c.Deadline()
		h.advance(10 * time.Millisecond)
		h.write("b")
		h.want(TCP{Seq: 2, Ack: 1, Flags: ACK}, "b")
		require.Equal(t, first, h.c.Deadline(), "5.1: if the timer is not running")
		h.advance(90 * time.Millisecond)
		h.in(TCP{Seq: 1, Ack: 2, Flags: ACK})
		require.Equal(t, h.now.Add(h.c.Info().RTO), h.c.Deadline(), "5.3")
		h.advance(10 * time.Millisecond)
		again := h.c.Deadline()
		h.in(TCP{Seq: 1, Ack: 2, Flags: ACK})
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
		require.Equal(t, again, h.c.Deadline(), "nothing new was acknowledged")
		h.in(TCP{Seq: 1, Ack: 3, Flags: ACK})
		h.wantIdle() // 5.2
	})
}

// RFC 6298 5.4: "Retransmit the earliest segment that has not been acknowledged",
// RFC 5681 3.1: and, with a window of one segment, nothing else.
func TestRTORetransmitsFirst(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		data := pattern(5 * ethMSS)
		h.write(data)
		require.Len(t, h.all(), 5)
		h.wantAfter(300*time.Millisecond, TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:ethMSS])
		h.wantNone()
		// A segment that is lost again goes out in pieces, which together are one.
		const piece = ethMSS / 4
		h.wantAfter(600*time.Millisecond, TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:piece])
		for i := 1; i < 4; i++ {
			h.want(TCP{Seq: uint32(1 + i*piece), Ack: 1, Flags: ACK}, data[i*piece:(i+1)*piece])
		}
		h.wantNone()
		h.in(TCP{Seq: 1, Ack: 1 + 3*piece, Flags: ACK})
		require.NotEmpty(t, h.all())
	})
}

// After a timeout everything that was out is presumed lost: it is sent again as
// the window opens by slow start, without further timeouts.
func TestGoBackAfterRTO(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		data := pattern(8 * ethMSS)
		h.write(data)
		require.Len(t, h.all(), 8)
		h.wantAfter(300*time.Millisecond, TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:ethMSS])
		acked := 1
		rounds := 0
		for acked <= 8 && rounds < 10 {
			h.advance(roundTrip)
			h.in(TCP{Seq: 1, Ack: uint32(1 + acked*ethMSS), Flags: ACK})
			segs := h.all()
			if acked == 8 {
				require.Empty(t, segs)
				break
			}
			require.NotEmpty(t, segs, "round %d: slow start goes on", rounds)
			for _, s := range segs {
				require.EqualValues(t, 1+acked*ethMSS, s.Seq)
				acked++
			}
			rounds++
		}
		require.LessOrEqual(t, rounds, 4, "1, 2, 4, ...")
		require.Zero(t, h.c.Out.Len())
		require.EqualValues(t, 1, h.c.Info().Timeouts)
	})
}

// RFC 6298 5.7: "If the timer expires awaiting the ACK of a SYN segment and the
// TCP implementation is using an RTO less than 3 seconds, the RTO MUST be re-initialized to 3 seconds"
func TestRTOAfterSYNTimeout(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateSynSent)
		h.wantAfter(time.Second, TCP{Flags: SYN})
		h.advance(50 * time.Millisecond)
		h.in(TCP{Ack: 1, Flags: SYN | ACK, Options: h.peer})
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
		h.write("x")
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, "x")
		h.wantAfter(3*time.Second, TCP{Seq: 1, Ack: 1, Flags: ACK}, "x")
	})
}

// RFC 9293 MUST-20, 3.8.3: "(c) When the number of transmissions of the same
// segment reaches a threshold R2 greater than R1, close the connection." SHLD-11: by default after at least 100 s.
func TestR2(t *testing.T) {
	t.Run("default", func(t *testing.T) {
		h := newHarness(t)
		h.to(tcp.StateEstablished)
		h.write("x")
		h.all()
		from := h.now
		n := 0
		for ; n < 100; n++ {
			if _, ok := h.next(time.Hour); !ok {
				break
			}
			require.Equal(t, tcp.StateEstablished, h.c.State())
		}
		require.Equal(t, 15, n)
		h.wantClosed(errno.TimedOut)
		m := lowHigh
		m.sample(roundTrip)
		var sum time.Duration
		for d, i := m.rto, 0; i <= 15; i, d = i+1, min(2*d, time.Minute) {
			sum += d
		}
		require.Greater(t, sum, 100*time.Second)
		_ = from
	})
	// RFC 9293 MUST-21, 3.8.3: "An application MUST be able to set the value for R2 for a particular connection."
	for _, n := range []int{1, 2, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.cfg.RetransmitLimit = n
				h.to(tcp.StateEstablished)
				h.write("x")
				h.all()
				d := 300 * time.Millisecond
				for range n {
					h.wantAfter(d, TCP{Seq: 1, Ack: 1, Flags: ACK}, "x")
					d *= 2
				}
				h.quiet(d - tolerance)
				h.wantState(tcp.StateEstablished)
				h.quiet(2 * tolerance)
				h.wantClosed(errno.TimedOut)
			})
		})
	}
}

// RFC 9293 MUST-20, 3.8.3, (b): at R1 the IP layer gets "negative advice"; SHLD-10:
// "R1 SHOULD correspond to at least 3 retransmissions"; SHLD-9: the user can hear of it.
func TestR1(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write("x")
		h.all()
		for range 3 {
			require.False(t, h.c.Stalled())
			_, ok := h.next(time.Minute)
			require.True(t, ok)
		}
		require.True(t, h.c.Stalled())
		h.in(TCP{Seq: 1, Ack: 2, Flags: ACK})
		require.False(t, h.c.Stalled())
	})
}

// The count is of one segment: progress starts it anew.
func TestR2CountsOneSegment(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.RetransmitLimit = 3
		h.to(tcp.StateEstablished)
		for i := range uint32(10) {
			h.write("x")
			_, ok := h.send()
			require.True(t, ok)
			for range 2 {
				s, ok := h.next(2 * time.Minute)
				require.True(t, ok)
				require.Equal(t, 1+i, s.Seq)
			}
			h.in(TCP{Seq: 1, Ack: 2 + i, Flags: ACK})
			h.wantState(tcp.StateEstablished)
		}
	})
}

// RFC 9293 3.10.8, USER TIMEOUT: "For any state if the user timeout expires,
// flush all queues, signal the user". Only data that waits can time out.
func TestUserTimeout(t *testing.T) {
	for _, later := range []bool{false, true} {
		each(t, func(t *testing.T, h *harness) {
			if !later {
				h.cfg.UserTimeout = 10 * time.Second
			}
			h.to(tcp.StateEstablished)
			if later {
				h.c.SetUserTimeout(h.now, 10*time.Second)
			}
			h.quiet(time.Hour)
			h.wantState(tcp.StateEstablished)
			h.write("x")
			h.all()
			from := h.now
			for range 50 {
				if _, ok := h.next(time.Hour); !ok {
					break
				}
				require.Less(t, h.now.Sub(from), 10*time.Second+tolerance)
			}
			h.wantClosed(errno.TimedOut)
		})
	}
}

// The clock of the user timeout starts with the oldest unacknowledged byte and
// starts anew with progress.
func TestUserTimeoutRestarts(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.UserTimeout = 10 * time.Second
		h.to(tcp.StateEstablished)
		for i := range uint32(5) {
			h.write("x")
			h.all()
			end := h.now.Add(8 * time.Second)
			for h.now < end {
				if _, ok := h.next(end.Sub(h.now)); !ok {
					break
				}
			}
			h.in(TCP{Seq: 1, Ack: 2 + i, Flags: ACK})
			h.wantState(tcp.StateEstablished)
		}
	})
}

// A user timeout that is longer than what the retransmission limit gives
// prevails: the user asked for it.
func TestLongUserTimeout(t *testing.T) {
	h := newHarness(t)
	h.cfg.UserTimeout = time.Hour
	h.cfg.RetransmitLimit = 3
	h.to(tcp.StateEstablished)
	h.write("x")
	h.all()
	from := h.now
	for range 500 {
		if _, ok := h.next(3 * time.Hour); !ok {
			break
		}
		if h.c.State() == tcp.StateClosed {
			break
		}
	}
	h.wantClosed(errno.TimedOut)
	require.GreaterOrEqual(t, h.now.Sub(from), time.Hour)
}

// RFC 9293 MUST-56, 3.9.2.2 and SHLD-25: a soft error on an established connection is no more
// than the reason that the user hears if the connection times out later.
func TestSoftErrorLater(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.RetransmitLimit = 2
		h.to(tcp.StateEstablished)
		h.write("x")
		h.all()
		h.c.Unreachable(h.now, errno.NetUnreach)
		h.wantState(tcp.StateEstablished)
		require.Equal(t, errno.OK, h.c.Err())
		h.next(time.Minute)
		h.next(time.Minute)
		h.quiet(time.Hour)
		h.wantClosed(errno.NetUnreach)
	})
}

// RFC 5461 4.1, RFC 5927 5: hard errors do not end a synchronised connection.
func TestHardErrorLater(t *testing.T) {
	eachState(t, established, func(t *testing.T, h *harness, s tcp.State) {
		for _, e := range []errno.Errno{errno.ConnRefused, errno.ProtoNoSupport, errno.HostUnreach} {
			h.c.Unreachable(h.now, e)
			h.wantState(s)
			require.Equal(t, errno.OK, h.c.Err())
		}
	})
}
