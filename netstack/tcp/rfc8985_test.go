package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/congestion"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// sacking has both sides agree on selective acknowledgments.
func (h *harness) sacking() *harness {
	h.peer.SACKPermitted = true
	return h
}

// stamping has both sides agree on timestamps; full is what a segment then has.
func (h *harness) stamping() *harness {
	h.peer.HasTimestamps = true
	return h
}

// A blk is a SACK block, in segments of ethMSS bytes from the first byte of data on:
// blk{2, 4} is the third and the fourth.
type blk [2]int

// sackOf makes an option of blocks of segments of size bytes.
func sackOf(size int, blocks ...blk) (o Options) {
	for _, b := range blocks {
		o.SACK[o.NumSACK] = wire.SACKBlock{Start: uint32(1 + b[0]*size), End: uint32(1 + b[1]*size)}
		o.NumSACK++
	}
	return o
}

// sack acknowledges n segments, and selectively what blocks say.
func (h *harness) sack(n int, blocks ...blk) {
	h.t.Helper()
	h.in(TCP{Seq: 1, Ack: uint32(1 + n*ethMSS), Flags: ACK, Options: h.absolute(sackOf(ethMSS, blocks...))})
}

// absolute makes the numbers of SACK blocks those on the wire.
func (h *harness) absolute(o Options) Options {
	for i := range o.NumSACK {
		o.SACK[i].Start += h.iss
		o.SACK[i].End += h.iss
	}
	return o
}

// segs tells which segments of ethMSS bytes were sent, by their numbers.
func (h *harness) segs(got []segment) []int {
	h.t.Helper()
	var n []int
	for _, s := range got {
		if len(s.data) == 0 && !s.Flags.Has(FIN) {
			continue
		}
		n = append(n, int(s.Seq-1)/ethMSS)
	}
	return n
}

// wantSegs demands that exactly these full segments are sent now.
func (h *harness) wantSegs(want ...int) {
	h.t.Helper()
	got := h.segs(h.all())
	if len(got) == 0 && len(want) == 0 {
		return
	}
	require.Equal(h.t, want, got, "segments sent\n%s", h.transcript())
}

// RFC 8985 7.4.2 and RFC 6675 4: a tail loss probe that is out does not hide that
// something else is lost.
func TestProbeDoesNotHideLoss(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.sacking().to(tcp.StateEstablished)
		require.Len(t, h.flight(10), 10)
		s, ok := h.next(time.Second)
		require.True(t, ok)
		require.Equal(t, []int{9}, h.segs([]segment{s}), "the probe")
		require.EqualValues(t, 1, h.c.Info().TailProbes)
		h.advance(5 * time.Millisecond)
		h.sack(7, blk{8, 9}) // late: the eighth segment is lost
		h.advance(50 * time.Millisecond)
		h.wantSegs(7)
	})
}

// reordered lets the connection see that the path reorders: RACK.reordering_seen.
func (h *harness) reordered() {
	h.t.Helper()
	n := len(h.out) / ethMSS
	h.write(pattern2(len(h.out), 2*ethMSS))
	require.Len(h.t, h.all(), 2)
	h.advance(roundTrip)
	h.sack(n, blk{n + 1, n + 2})
	h.wantNone()
	h.sack(n + 2)
	h.wantNone()
	require.True(h.t, h.c.Info().Reordering)
	require.Zero(h.t, h.c.Info().FastRecoveries)
}

// RFC 8985 6.2 step 3: an original that arrives after what was sent later means
// reordering. What one acknowledgment tells has no order, and a retransmission proves
// nothing.
func TestRACKReorderingSeen(t *testing.T) {
	for _, c := range []struct {
		name string
		f    func(h *harness)
		want bool
	}{
		{"filled by a SACK", func(h *harness) { h.sack(0, blk{2, 3}); h.sack(0, blk{1, 3}) }, true},
		{"filled by an acknowledgment", func(h *harness) { h.sack(0, blk{1, 2}); h.sack(2) }, true},
		{"in order", func(h *harness) { h.sack(0, blk{1, 2}); h.sack(0, blk{1, 3}) }, false},
		{"with news in order before it", func(h *harness) { h.sack(1, blk{2, 3}) }, false},
		{"blocks, the newest first", func(h *harness) { h.sack(0, blk{4, 5}, blk{2, 3}) }, false},
		{"a retransmission", func(h *harness) {
			h.sack(0, blk{1, 4})
			h.advance(50 * time.Millisecond)
			require.Equal(h.t, []int{0}, h.segs(h.all()))
			h.advance(roundTrip)
			h.sack(5)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.sacking().to(tcp.StateEstablished)
				require.Len(t, h.flight(5), 5)
				h.advance(roundTrip)
				c.f(h)
				require.Equal(t, c.want, h.c.Info().Reordering)
				require.Equal(t, c.want, h.c.Info().Reordered > 0)
			})
		})
	}
}

// RFC 8985 6.2 step 4: while no reordering was seen, three segments beyond a hole
// count as before (RFC 6675 DupThresh), and fewer of them after min_RTT/4.
func TestRACKDupThreshold(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.sacking().to(tcp.StateEstablished)
		require.Len(t, h.flight(6), 6)
		h.advance(roundTrip)
		h.sack(0, blk{1, 2})
		h.wantNone()
		h.sack(0, blk{1, 3})
		h.wantNone()
		require.Equal(t, roundTrip/4, h.c.Info().ReorderingWindow)
		h.sack(0, blk{1, 4})
		h.wantSegs(0)
		i := h.c.Info()
		require.EqualValues(t, 1, i.FastRecoveries)
		require.Equal(t, congestion.Recovery, i.Phase)
		require.Zero(t, i.ReorderingWindow, "none in a recovery")
		h.advance(roundTrip)
		h.sack(6)
		h.wantIdle()
		require.Zero(t, h.c.Info().Timeouts)
	})
}

// RFC 8985 6.2 step 5: "RACK_detect_loss_and_arm_timer": with one segment beyond the
// hole the timer finds the loss, RACK.rtt and the window after it was sent.
func TestRACKTimer(t *testing.T) {
	for _, slack := range []time.Duration{0, 3 * time.Millisecond} {
		each(t, func(t *testing.T, h *harness) {
			h.cfg.TimerSlack = slack
			h.sacking().to(tcp.StateEstablished)
			data := pattern(4 * ethMSS)
			require.Len(t, h.flight(4), 4)
			h.advance(roundTrip)
			h.sack(0, blk{1, 2})
			h.wantAfter(roundTrip/4+slack, TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:ethMSS])
			require.Equal(t, congestion.Recovery, h.c.Info().Phase)
			h.wantNone()
			h.advance(roundTrip)
			h.sack(4)
			h.wantIdle()
			i := h.c.Info()
			require.Zero(t, i.Timeouts)
			require.EqualValues(t, 1, i.Retransmits)
		})
	}
}

// Once reordering was seen it is time alone that decides, and not the number of
// segments beyond the hole; what arrives within the window was not lost.
func TestRACKReorderingWindow(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.sacking().to(tcp.StateEstablished)
		h.reordered()
		h.write(pattern2(len(h.out), 8*ethMSS))
		require.Len(t, h.all(), 8)
		h.advance(roundTrip)
		h.sack(2, blk{3, 10}) // seven
		h.wantNone()
		h.quiet(roundTrip/4 - tolerance)
		h.sack(10)
		h.wantIdle()
		require.Zero(t, h.c.Info().Retransmits)
		require.Zero(t, h.c.Info().FastRecoveries)

		h.write(pattern2(len(h.out), 8*ethMSS))
		require.Len(t, h.all(), 8)
		h.advance(roundTrip)
		h.sack(10, blk{11, 18})
		s, ok := h.next(roundTrip/4 + tolerance)
		require.True(t, ok)
		require.EqualValues(t, 1+10*ethMSS, s.Seq)
	})
}

// RFC 8985 6.2 step 5: what counts is when a segment was sent. What was sent after
// the newest that arrived is not lost, whatever its number.
func TestRACKTimeOrder(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.sacking().to(tcp.StateEstablished)
		require.Len(t, h.flight(6), 6)
		h.advance(roundTrip / 2)
		h.write(pattern2(len(h.out), 4*ethMSS))
		require.Len(t, h.all(), 4)
		h.advance(roundTrip / 2)
		h.sack(0, blk{1, 3}, blk{4, 6}) // 0 and 3 are lost; 6 to 9 are under way
		h.wantSegs(0)                   // half of the window is full
		require.Equal(t, 2*ethMSS, h.c.Info().Lost)
		h.advance(roundTrip / 2)
		h.sack(0, blk{1, 3}, blk{4, 10})
		h.wantSegs(3)
		h.advance(roundTrip)
		h.sack(10)
		h.wantIdle()
		require.EqualValues(t, 2, h.c.Info().Retransmits)
		require.Zero(t, h.c.Info().Timeouts)
	})
}

// RFC 8985 4 and 6.2: a retransmission that is lost is found by what was sent after
// it, and goes out once more without a time-out.
func TestRACKLostRetransmission(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.MinRTO = 10 * time.Second
		h.sacking().to(tcp.StateEstablished)
		h.write(pattern(40 * ethMSS))
		require.Len(t, h.all(), 10)
		h.advance(roundTrip)
		h.sack(0, blk{1, 10})
		got := h.segs(h.all())
		require.Equal(t, 0, got[0])
		require.Contains(t, got, 10)
		last := got[len(got)-1]
		h.advance(roundTrip)
		h.sack(0, blk{1, last + 1}) // all but the retransmission
		got = h.segs(h.all())
		require.Equal(t, 0, got[0], h.transcript())
		i := h.c.Info()
		require.Zero(t, i.Timeouts)
		require.EqualValues(t, 2, i.Retransmits)
		require.EqualValues(t, 1, i.FastRecoveries)
		h.advance(roundTrip)
		h.sack(got[len(got)-1] + 1)
		h.drain()
		require.Zero(t, h.c.Info().Timeouts)
	})
}

// RFC 8985 6.2 step 2: an acknowledgment of a retransmission that comes sooner than
// any round trip, or echoes an older timestamp, is of the original: it says nothing of
// when the retransmission was received.
func TestRACKAmbiguous(t *testing.T) {
	for _, stamps := range []bool{false, true} {
		each(t, func(t *testing.T, h *harness) {
			h.peer.HasTimestamps = stamps
			h.sacking().to(tcp.StateEstablished)
			size := h.mss()
			h.write(pattern(8 * size))
			require.Len(t, h.all(), 8)
			old := h.tsVal
			h.advance(roundTrip)
			ack := func(n int, blocks ...blk) {
				o := h.absolute(sackOf(size, blocks...))
				if stamps {
					o.HasTimestamps, o.TSVal, o.TSEcr = true, h.peerClock(), old
				}
				h.in(TCP{Seq: 1, Ack: uint32(1 + n*size), Flags: ACK, Options: o})
			}
			ack(0, blk{2, 3}, blk{4, 6}) // 0, 1 and 3 are lost
			got := h.all()
			require.NotEmpty(t, got)
			wait := 10 * time.Millisecond
			if stamps {
				wait = roundTrip + 10*time.Millisecond // here the echo alone tells
			}
			h.advance(wait)
			before := h.c.Info().Retransmits
			ack(1, blk{2, 3}, blk{4, 6}) // of the original
			h.all()
			require.LessOrEqual(t, h.c.Info().Retransmits-before, uint64(2), "what waited, and nothing twice")
			for _, s := range got {
				require.LessOrEqual(t, s.Seq, uint32(1+6*size))
			}
		})
	}
}

// RFC 8985 6.2 step 4: each round trip with a D-SACK widens the window by min_RTT/4,
// at most to SRTT; after 16 recoveries without it is as before.
func TestRACKWindowAdapts(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.Congestion = func() congestion.Controller { return congestion.None{} }
		h.sacking().to(tcp.StateEstablished)
		h.reordered()
		n := 2
		round := func(ack func()) {
			h.write(pattern2(len(h.out), 4*ethMSS))
			require.Len(t, h.all(), 4)
			h.advance(roundTrip)
			n += 4
			ack()
			h.all()
		}
		require.Equal(t, roundTrip/4, h.c.Info().ReorderingWindow)
		for k := 2; k <= 6; k++ {
			round(func() {
				h.sack(n-1, blk{n - 3, n - 2})
				h.sack(n-1, blk{n - 2, n - 1}) // in the same round trip: no more
				h.sack(n)
			})
			require.Equal(t, min(time.Duration(k)*roundTrip/4, roundTrip), h.c.Info().ReorderingWindow)
		}
		for k := range 16 {
			require.Equal(t, roundTrip, h.c.Info().ReorderingWindow, "recovery %d", k)
			round(func() {
				h.sack(n-4, blk{n - 3, n})
				_, ok := h.next(2 * roundTrip)
				require.True(t, ok)
				require.Equal(t, congestion.Recovery, h.c.Info().Phase)
				h.advance(roundTrip)
				h.sack(n)
				require.Equal(t, congestion.Open, h.c.Info().Phase)
			})
		}
		require.LessOrEqual(t, h.c.Info().ReorderingWindow, roundTrip/4)
		require.Zero(t, h.c.Info().Timeouts)
	})
}

// RFC 8985 6.2 step 4, "when exiting Fast or RTO recovery": repairs after time-outs
// count as well.
func TestRACKWindowPersistsThroughTimeouts(t *testing.T) {
	h := newHarness(t)
	h.sacking().to(tcp.StateEstablished)
	h.reordered()
	n := 2
	h.sack(n, blk{1, 2}) // a duplicate
	require.Equal(t, roundTrip/2, h.c.Info().ReorderingWindow)
	for range 16 {
		h.write(pattern2(len(h.out), ethMSS))
		timeouts := h.c.Info().Timeouts
		for h.c.Info().Timeouts == timeouts {
			_, ok := h.next(time.Minute)
			require.True(t, ok)
		}
		h.advance(roundTrip)
		n++
		h.sack(n)
		require.Equal(t, congestion.Open, h.c.Info().Phase)
	}
	require.Equal(t, roundTrip/4, h.c.Info().ReorderingWindow)
}

// RFC 8985 7.2: PTO is two round trips and, with one segment in flight, what a
// receiver may delay its acknowledgment by.
func TestProbeTimeout(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.MinRTO = 3 * time.Second
		h.sacking().to(tcp.StateEstablished)
		data := pattern(3 * ethMSS)
		require.Len(t, h.flight(2), 2)
		h.wantAfter(2*roundTrip, TCP{Seq: 1 + ethMSS, Ack: 1, Flags: ACK}, data[ethMSS:2*ethMSS])
		h.advance(roundTrip)
		h.sack(2, blk{1, 2}) // both copies have arrived
		h.write(pattern2(len(h.out), ethMSS))
		require.Len(t, h.all(), 1)
		srtt := h.c.Info().RTT
		h.wantAfter(2*srtt+200*time.Millisecond, TCP{Seq: 1 + 2*ethMSS, Ack: 1, Flags: ACK}, data[2*ethMSS:])
		i := h.c.Info()
		require.EqualValues(t, 2, i.TailProbes)
		require.Zero(t, i.Timeouts)
		require.EqualValues(t, 2, i.Retransmits)
	})
}

// RFC 8985 7.2: "If Now() + PTO > TCP_RTO_expiration(): PTO = TCP_RTO_expiration() -
// Now()": the probe goes out when the time-out would be, 7.3: and the timer starts
// anew.
func TestProbeInPlaceOfTimeout(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.NoMTUProbing = true
		h.sacking().to(tcp.StateEstablished)
		data := pattern(ethMSS)
		require.Len(t, h.flight(1), 1)
		rto := h.c.Info().RTO
		require.Less(t, rto, 2*roundTrip+200*time.Millisecond)
		h.wantAfter(rto, TCP{Seq: 1, Ack: 1, Flags: ACK}, data)
		i := h.c.Info()
		require.EqualValues(t, 1, i.TailProbes)
		require.Zero(t, i.Timeouts)
		require.Equal(t, congestion.Open, i.Phase)
		h.wantAfter(rto, TCP{Seq: 1, Ack: 1, Flags: ACK}, data)
		i = h.c.Info()
		require.EqualValues(t, 1, i.TailProbes, "one only")
		require.EqualValues(t, 1, i.Timeouts)
	})
}

// Without a measured round trip PTO is one second: RFC 8985 7.2.
func TestProbeWithoutMeasure(t *testing.T) {
	h := newHarness(t)
	h.sacking().to(tcp.StateSynSent)
	h.wantAfter(time.Second, TCP{Flags: SYN})
	h.in(TCP{Ack: 1, Flags: SYN | ACK, Options: h.peer})
	h.all()
	data := pattern(2 * ethMSS)
	require.Len(t, h.flight(2), 2)
	require.Zero(t, h.c.Info().RTT)
	h.wantAfter(time.Second, TCP{Seq: 1 + ethMSS, Ack: 1, Flags: ACK}, data[ethMSS:])
	require.EqualValues(t, 1, h.c.Info().TailProbes)
}

// RFC 8985 7.3: new data goes before the last segment, even if the congestion window
// is full or Nagle's algorithm holds it back.
func TestProbeIsNewData(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.sacking().to(tcp.StateEstablished)
		h.write(pattern(10*ethMSS + 100))
		require.Len(t, h.all(), 10)
		h.wantAfter(2*roundTrip, TCP{Seq: 1 + 10*ethMSS, Ack: 1, Flags: ACK}, pattern2(10*ethMSS, 100))
		require.Zero(t, h.c.Info().Retransmits)
		require.EqualValues(t, 1, h.c.Info().TailProbes)
		h.quiet(h.c.Info().RTO - tolerance)
	})
	h := newHarness(t)
	h.sacking().to(tcp.StateEstablished)
	h.write("first")
	require.Len(t, h.all(), 1)
	h.write("second")
	h.wantNone()
	s, ok := h.next(time.Second)
	require.True(t, ok)
	require.Equal(t, "second", s.data)
}

// RFC 8985 7.3: beyond the peer's window nothing new goes out: the last segment does.
func TestProbeInFullWindow(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 3 * ethMSS
		h.sacking().to(tcp.StateEstablished)
		data := pattern(6 * ethMSS)
		h.write(data)
		require.Len(t, h.all(), 3)
		h.wantAfter(2*roundTrip, TCP{Seq: 1 + 2*ethMSS, Ack: 1, Flags: ACK}, data[2*ethMSS:3*ethMSS])
	})
}

// A window that was closed, though data is out, is not probed by a tail loss probe:
// RFC 9293 SHLD-16, 3.8.6, has old data sent again only within the window.
func TestNoProbeInClosedWindow(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.sacking().to(tcp.StateEstablished)
		require.Len(t, h.flight(4), 4)
		h.advance(roundTrip)
		h.in(TCP{Seq: 1, Ack: 1 + ethMSS, Flags: ACK, Window: 1})
		h.all()
		s, ok := h.next(h.c.Info().RTO - tolerance)
		if ok {
			require.LessOrEqual(t, int(s.Seq)+len(s.data), 1+ethMSS+1, h.transcript())
		}
	})
}

// The FIN is at the tail as well, alone or with data: RFC 8985 7.3.
func TestProbeWithFIN(t *testing.T) {
	for _, n := range []int{0, 10, ethMSS} {
		each(t, func(t *testing.T, h *harness) {
			h.cfg.MinRTO = 3 * time.Second
			h.sacking().to(tcp.StateEstablished)
			h.write(pattern(2*ethMSS + n))
			h.closeWrite()
			h.all()
			s, ok := h.next(time.Second)
			require.True(t, ok)
			require.True(t, s.Flags.Has(FIN))
			require.EqualValues(t, 1, h.c.Info().TailProbes)
			require.EqualValues(t, 1+2*ethMSS+n, int(s.Seq)+len(s.data))
			h.ackTo(2*ethMSS + n + 1)
			h.wantState(tcp.StateFinWait2)
		})
	}
}

// RFC 8985 7.2: no probe in a recovery, nor while something was sacked: RACK is at
// work there.
func TestNoProbeInRecovery(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.MinRTO = 2 * time.Second
		h.sacking().to(tcp.StateEstablished)
		require.Len(t, h.flight(6), 6)
		h.advance(roundTrip)
		h.sack(0, blk{1, 5})
		h.wantSegs(0)
		h.quiet(2*time.Second - tolerance)
		require.Zero(t, h.c.Info().TailProbes)
	})
}

// probed has n segments out, and a probe that repeats the last of them.
func (h *harness) probed(n int) {
	h.t.Helper()
	require.Len(h.t, h.flight(n), n)
	s, ok := h.next(time.Second)
	require.True(h.t, ok)
	require.Equal(h.t, []int{n - 1}, h.segs([]segment{s}))
	require.EqualValues(h.t, 1, h.c.Info().TailProbes)
	h.advance(roundTrip)
}

// RFC 8985 7.4.2: what the acknowledgment of a probe tells.
func TestProbeAcked(t *testing.T) {
	for _, c := range []struct {
		name    string
		ack     func(h *harness)
		reduced bool
	}{
		// "TLP.end_seq ... Repaired the single loss": the congestion window is
		// reduced, once.
		{"repaired a loss", func(h *harness) {
			h.sack(6)
			h.write(pattern2(len(h.out), ethMSS))
			require.Len(h.t, h.all(), 1)
			h.advance(roundTrip)
			h.sack(7)
		}, true},
		{"D-SACK", func(h *harness) { h.sack(6); h.sack(6, blk{5, 6}); h.more() }, false},
		{"D-SACK at once", func(h *harness) { h.sack(6, blk{5, 6}); h.more() }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.sacking().to(tcp.StateEstablished)
				before := h.cwnd()
				h.probed(6)
				c.ack(h)
				i := h.c.Info()
				if c.reduced {
					require.Less(t, i.CongestionWindow, before)
					require.GreaterOrEqual(t, i.CongestionWindow, before/2)
					after := i.CongestionWindow
					h.more()
					require.GreaterOrEqual(t, h.cwnd(), after, "once")
				} else {
					require.GreaterOrEqual(t, i.CongestionWindow, before)
				}
				require.Equal(t, congestion.Open, i.Phase)
				require.Zero(t, i.Timeouts)
			})
		})
	}
}

// more sends a segment and has it acknowledged.
func (h *harness) more() {
	h.t.Helper()
	h.write(pattern2(len(h.out), ethMSS))
	h.all()
	h.advance(roundTrip)
	h.sack(len(h.out) / ethMSS)
}

// RFC 8985 7.4.2: "a duplicate ACK without any SACK option" at TLP.end_seq: both
// copies have arrived. No receiver that reports SACK does that, but some lose the option.
func TestProbeAckedByDuplicate(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.sacking().to(tcp.StateEstablished)
		before := h.cwnd()
		h.probed(6)
		h.sack(6)
		h.write(pattern2(len(h.out), 2*ethMSS))
		require.Len(t, h.all(), 2)
		h.sack(6)
		h.advance(roundTrip)
		h.sack(8)
		require.GreaterOrEqual(t, h.cwnd(), before)
	})
}

// RFC 8985 7.2: one probe at a time: until it is acknowledged there is none, then
// there may be one again.
func TestOneProbe(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.MinRTO = 2 * time.Second
		h.sacking().to(tcp.StateEstablished)
		h.probed(3)
		h.sack(1) // not up to the probe
		h.quiet(time.Second)
		require.EqualValues(t, 1, h.c.Info().TailProbes)
		h.sack(3, blk{2, 3})
		require.Len(t, h.flight2(2), 2)
		_, ok := h.next(time.Second)
		require.True(t, ok)
		require.EqualValues(t, 2, h.c.Info().TailProbes)
		require.Zero(t, h.c.Info().Timeouts)
	})
}

// flight2 is flight for a connection that has sent before.
func (h *harness) flight2(n int) []segment {
	h.t.Helper()
	h.write(pattern2(len(h.out), n*ethMSS))
	return h.all()
}

// RFC 8985 7.1: the probe of a tail that is lost has RACK repair all of it, without a
// time-out.
func TestProbeStartsRecovery(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.MinRTO = 2 * time.Second
		h.sacking().to(tcp.StateEstablished)
		h.probed(8) // 4 to 7 are lost
		h.sack(4, blk{7, 8})
		h.wantSegs(4, 5, 6)
		i := h.c.Info()
		require.Equal(t, congestion.Recovery, i.Phase)
		require.Less(t, i.SlowStartThreshold, 10*ethMSS)
		h.advance(roundTrip)
		h.sack(8)
		h.wantIdle()
		require.Zero(t, h.c.Info().Timeouts)
	})
}

// Without SACK there is neither RACK nor a probe: a time-out is a time-out.
func TestNoProbeWithoutSACK(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		require.Len(t, h.flight(6), 6)
		h.wantAfter(h.c.Info().RTO, TCP{Seq: 1, Ack: 1, Flags: ACK}, pattern(ethMSS))
		require.Zero(t, h.c.Info().TailProbes)
		require.EqualValues(t, 1, h.c.Info().Timeouts)
	})
}

// A mark of explicit congestion notification is no loss: RFC 8985 6.2 step 4 speaks
// of recoveries. Nor is a round trip that was not measured one of zero.
func TestRACKWindowWithoutMeasure(t *testing.T) {
	h := newHarness(t)
	h.sacking().to(tcp.StateSynSent)
	h.wantAfter(time.Second, TCP{Flags: SYN})
	h.in(TCP{Ack: 1, Flags: SYN | ACK, Options: h.peer})
	h.all()
	require.Len(t, h.flight(4), 4)
	require.Zero(t, h.c.Info().RTT)
	h.advance(roundTrip)
	h.sack(0, blk{1, 2})
	h.wantNone()
	h.advance(roundTrip / 10)
	h.sack(2)
	require.EqualValues(t, 1, h.c.Info().Retransmits, "the SYN")
	require.Zero(t, h.c.Info().FastRecoveries)
}

// RFC 8985 7.2: new data has a probe scheduled, after a silence too, and if all of it is
// one super-segment.
func TestProbeAfterSilence(t *testing.T) {
	for _, room := range []int{ethMTU, 64 << 10} {
		h := newHarness(t)
		h.room = room
		h.cfg.MinRTO = 2 * time.Second
		h.sacking().to(tcp.StateEstablished)
		require.Len(t, h.flight(1), 1)
		h.advance(roundTrip)
		h.sack(1)
		h.advance(time.Minute)
		h.flight2(4)
		s, ok := h.next(time.Second)
		require.True(t, ok, "room %d", room)
		require.EqualValues(t, 1+4*ethMSS, s.Seq)
		require.EqualValues(t, 1, h.c.Info().TailProbes)
	}
}

// A slow controller paces a segment a second.
type slow struct{ fixed }

func (*slow) PacingRate() int64 { return ethMSS }

// RFC 8985 7.3: a probe is previously unsent data, or the last segment. What was out when
// the window shrank to nothing is neither, if it waits for its turn to be sent again.
func TestProbeOfUnsentAgain(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.Congestion = func() congestion.Controller { return &slow{fixed{window: 10 * ethMSS}} }
		h.sacking().to(tcp.StateEstablished)
		require.Len(t, h.flight(2), 1)
		s, ok := h.next(time.Second) // a probe
		require.True(t, ok)
		require.Equal(t, []int{1}, h.segs([]segment{s}))
		h.window = 0
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
		s, ok = h.next(time.Minute)
		require.True(t, ok)
		require.Len(t, s.data, 1) // the window is probed
		h.window = 65535
		h.advance(2 * time.Second)
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
		h.wantSegs(0)
		s, ok = h.next(time.Second / 2)
		require.True(t, ok)
		require.EqualValues(t, 2, h.c.Info().TailProbes)
		require.Equal(t, []int{0}, h.segs([]segment{s}))
	})
}
