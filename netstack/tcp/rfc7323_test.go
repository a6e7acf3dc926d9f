package tcp_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// RFC 7323 2.2: "The window field in a segment where the SYN bit is set (i.e., a
// <SYN> or <SYN,ACK>) MUST NOT be scaled."
func TestSYNWindowIsNotScaled(t *testing.T) {
	t.Run("theirs", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.peer.HasWindowScale, h.peer.WindowScale = true, 7
			h.window = 3000
			h.to(tcp.StateSynSent)
			h.in(TCP{Ack: 1, Flags: SYN | ACK, Options: h.peer})
			h.all()
			require.Equal(t, 3000, h.c.Info().SendWindow)
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Window: 100})
			require.Equal(t, 100<<7, h.c.Info().SendWindow)
		})
	})
	t.Run("ours", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.cfg.RecvBuffer = 1 << 20
			h.peer.HasWindowScale = true
			h.accept()
			syn := h.want(TCP{Ack: 1, Flags: SYN | ACK})
			require.True(t, syn.Options.HasWindowScale)
			require.GreaterOrEqual(t, syn.Window, uint16(32768), "as much of it as 16 bits can say")
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
			require.LessOrEqual(t, h.c.Info().RecvWindow, 1<<20)
			require.GreaterOrEqual(t, h.c.Info().RecvWindow, int(syn.Window))
		})
	})
}

// RFC 7323 2.3: the shift is chosen so that the whole buffer can be offered, and
// "MUST be limited to 14".
func TestOurScale(t *testing.T) {
	for _, buffer := range []int{4096, 65535, 65536, 100_000, 1 << 20, 8 << 20, 512 << 20, 1 << 30} {
		h := newHarness(t)
		h.cfg.RecvBuffer = buffer
		h.connect()
		syn := h.want(TCP{Flags: SYN})
		s := syn.Options.WindowScale
		require.LessOrEqual(t, s, uint8(14))
		if buffer <= 65535<<14 {
			require.GreaterOrEqual(t, 65536<<s, buffer)
		}
		if s > 0 && buffer <= 65535 {
			t.Fatalf("a scale of %d for %d bytes", s, buffer)
		}
	}
}

// RFC 7323 2.3: "If a Window Scale option is received with a shift.cnt value
// larger than 14, the TCP SHOULD log the error but MUST use 14". However it is parsed.
func TestTheirScaleIsBounded(t *testing.T) {
	for _, c := range []struct{ in, want uint8 }{{0, 0}, {1, 1}, {14, 14}, {15, 14}, {255, 14}} {
		h := newHarness(t)
		h.peer.HasWindowScale, h.peer.WindowScale = true, c.in
		h.accept()
		h.all()
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Window: 2})
		require.Equal(t, c.want, h.c.Info().SendScale)
		require.Equal(t, 2<<c.want, h.c.Info().SendWindow)
	}
}

// RFC 9293 REC-1, 3.1 and RFC 7323 2.3: a window of 2^30 and what comes with it: no arithmetic overflows.
func TestLargestWindow(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.peer.HasWindowScale, h.peer.WindowScale = true, 14
		h.to(tcp.StateEstablished)
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Window: 65535})
		require.Equal(t, 65535<<14, h.c.Info().SendWindow)
		h.write(pattern(20 * ethMSS))
		require.Len(t, h.all(), 10)
		h.pump()
		h.in(TCP{Seq: 1, Ack: 1 + 10*ethMSS, Flags: ACK, Window: 65535})
		h.pump()
		require.Zero(t, h.c.Out.Len())
		_, d := h.in(TCP{Seq: 1, Ack: 1 + 20*ethMSS + 5, Flags: ACK, Window: 65535}, "evil")
		require.Equal(t, wire.DropBadAck, d)
	})
}

// RFC 7323 2.2: "all windows are scaled" once both have said so: the receiver
// takes all of what it offered, and the whole buffer is offered.
func TestScaledReceiveWindow(t *testing.T) {
	for _, buffer := range []int{100_000, 300_000, 1 << 20} {
		t.Run(fmt.Sprint(buffer), func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.cfg.RecvBuffer = buffer
				h.peer.HasWindowScale = true
				h.to(tcp.StateEstablished)
				next := uint32(1)
				for range 10_000 {
					n := min(int(int32(h.ourEdge-next)), ethMSS)
					if n <= 0 {
						break
					}
					_, d := h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, pattern(n))
					require.Equal(t, wire.DropNone, d)
					next += uint32(n)
					h.all()
				}
				require.EqualValues(t, h.c.In.Len(), next-1, "all that was offered was taken")
				require.LessOrEqual(t, h.c.In.Len(), buffer)
				require.GreaterOrEqual(t, h.c.In.Len(), buffer-(2<<h.own.WindowScale)-ethMSS)
			})
		})
	}
}

// RFC 7323 2.4: windows come in units, so that an edge that is to stay where it
// was has to be rounded, again and again if crumbs arrive and nobody reads. When
// there is nothing left to round up with it may move back by less than a unit,
// but more than the buffer holds is never offered.
func TestWindowInCrumbs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.RecvBuffer = 300_000
		h.peer.HasWindowScale = true
		h.rounding = true
		h.to(tcp.StateEstablished)
		next := uint32(1)
		put := func(n int) {
			_, d := h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, pattern(n))
			require.Equal(t, wire.DropNone, d)
			next += uint32(n)
			require.EqualValues(t, next-1, h.c.In.Len(), "all that was offered is taken")
			h.all()
		}
		for range 10_000 {
			put(1)
		}
		for h.ourEdge != next {
			put(min(int(h.ourEdge-next), ethMSS))
		}
		require.Greater(t, h.c.In.Len(), 280_000)
		require.LessOrEqual(t, h.c.In.Len(), 300_000)
	})
}

// RFC 7323 3.2: the SYN carries TSval with TSecr zero, everything after it the
// peer's latest TSval in order.
func TestTimestamps(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.peer = Options{MSS: ethMSS, HasTimestamps: true, TSVal: 4_000_000_000}
		h.accept()
		syn := h.want(TCP{Ack: 1, Flags: SYN | ACK})
		require.Equal(t, uint32(4_000_000_000), syn.Options.TSEcr)
		h.advance(roundTrip)
		ts := func(v uint32) Options { return Options{HasTimestamps: true, TSVal: v, TSEcr: h.tsVal} }
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Options: ts(4_000_000_100)}, "a")
		got := h.want(TCP{Seq: 1, Ack: 2, Flags: ACK})
		require.Equal(t, uint32(4_000_000_100), got.Options.TSEcr)
		// RFC 7323 4.3: of an out of order segment the echo stays that of the last in order
		h.in(TCP{Seq: 3, Ack: 1, Flags: ACK, Options: ts(4_000_000_300)}, "c")
		got = h.want(TCP{Seq: 1, Ack: 2, Flags: ACK})
		require.Equal(t, uint32(4_000_000_100), got.Options.TSEcr)
		h.in(TCP{Seq: 2, Ack: 1, Flags: ACK, Options: ts(4_000_000_200)}, "b")
		got = h.want(TCP{Seq: 1, Ack: 4, Flags: ACK})
		require.Equal(t, uint32(4_000_000_200), got.Options.TSEcr)
	})
}

// RFC 7323 4.3, (2): with a delayed ACK it is the first segment's TSval that is
// echoed, so that the sender's RTT includes the delay.
func TestEchoOfDelayedACK(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.peer.HasTimestamps = true
		h.to(tcp.StateEstablished)
		at := func(v uint32) Options { return Options{HasTimestamps: true, TSVal: v, TSEcr: h.tsVal} }
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Options: at(20_000)}, "a")
		h.in(TCP{Seq: 2, Ack: 1, Flags: ACK, Options: at(20_005)}, "b")
		got := h.want(TCP{Seq: 1, Ack: 3, Flags: ACK})
		require.EqualValues(t, 20_000, got.Options.TSEcr)
	})
}

// RFC 7323 3.2, 5.4: the clock ticks at least once a second and at most once a
// millisecond, and never backwards; connections do not show one another's.
func TestTimestampClock(t *testing.T) {
	h := newHarness(t)
	h.cfg.NoDelay = true
	h.peer.HasTimestamps = true
	h.to(tcp.StateEstablished)
	var last uint32
	var at clock.Time
	for i := range uint32(100) {
		h.advance(time.Duration(i) * 10 * time.Millisecond)
		h.write("x")
		got, ok := h.send()
		require.True(t, ok)
		if i == 0 {
			last, at = got.Options.TSVal, h.now
		}
		ticks := got.Options.TSVal - last
		ms := uint32(h.now.Sub(at) / time.Millisecond)
		require.LessOrEqual(t, ticks, ms+1)
		require.GreaterOrEqual(t, ticks, ms/1000)
		last, at = got.Options.TSVal, h.now
		h.in(TCP{Seq: 1, Ack: 2 + i, Flags: ACK})
	}
}

// RFC 7323 4.1: RTT samples come from the echo, also for each of many in
// flight, and a wild echo is not believed.
func TestRTTM(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.peer.HasTimestamps = true
		h.to(tcp.StateEstablished)
		h.write("x")
		h.all()
		sent := h.tsVal
		h.advance(100 * time.Millisecond)
		h.in(TCP{Seq: 1, Ack: 2, Flags: ACK, Options: Options{HasTimestamps: true, TSVal: h.peerClock(), TSEcr: sent}})
		require.InDelta(t, 100, float64(h.c.Info().RTT/time.Millisecond), 4)
		for _, wild := range []uint32{sent + 100_000, sent - 1<<31, sent + 1<<30, 1} {
			h.write("y")
			h.all()
			h.advance(100 * time.Millisecond)
			h.in(TCP{Seq: 1, Ack: uint32(1 + len(h.out)), Flags: ACK, Options: Options{HasTimestamps: true, TSVal: h.peerClock(), TSEcr: wild}})
			require.LessOrEqual(t, h.c.Info().RTO, time.Minute)
			require.GreaterOrEqual(t, h.c.Info().RTO, 200*time.Millisecond)
			require.Positive(t, h.c.Info().RTT)
		}
	})
}

// RFC 7323 5.2, R1: "If there is a Timestamps option in the arriving segment,
// SEG.TSval < TS.Recent, TS.Recent is valid ... and if the RST bit is not set, then treat the arriving segment as not acceptable: Send an acknowledgment ... and drop the segment."
func TestPAWS(t *testing.T) {
	for _, back := range []uint32{1, 1000, 1<<31 - 1} {
		for _, s := range established {
			t.Run(fmt.Sprint(s, back), func(t *testing.T) {
				each(t, func(t *testing.T, h *harness) {
					h.peer.HasTimestamps = true
					h.to(s)
					snd, rcv := nxt(s)
					old := Options{HasTimestamps: true, TSVal: h.peerClock() - back, TSEcr: h.tsVal}
					_, d := h.in(TCP{Seq: rcv, Ack: snd, Flags: ACK, Options: old}, "old")
					require.Equal(t, wire.DropPAWS, d)
					h.want(answer(s))
					h.wantNone()
					h.wantState(s)
					require.Zero(t, h.c.In.Len())
				})
			})
		}
	}
}

// RFC 7323 5.2: the same TSval again is fine, and a newer one may have wrapped.
func TestPAWSAccepts(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.peer = Options{MSS: ethMSS, HasTimestamps: true, TSVal: 0xffff_fff0}
		h.accept()
		h.all()
		for i, v := range []uint32{0xffff_fff0, 0xffff_fff0, 0xffff_ffff, 0, 5, 5, 1 << 30} {
			o := Options{HasTimestamps: true, TSVal: v, TSEcr: h.tsVal}
			s := h.fromPeer(TCP{Seq: uint32(1 + i), Ack: 1, Flags: ACK})
			s.Options = o
			_, d := h.c.Receive(h.now, &s, []byte("x"))
			require.Equal(t, wire.DropNone, d, "%x", v)
			h.all()
		}
		require.Equal(t, 7, h.c.In.Len())
	})
}

// RFC 7323 5.2: a reset is not subject to PAWS, and needs no timestamps.
func TestPAWSAndReset(t *testing.T) {
	for name, o := range map[string]Options{
		"none": {}, "old": {HasTimestamps: true, TSVal: 1, TSEcr: 1},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.peer.HasTimestamps = true
				h.to(tcp.StateEstablished)
				h.in(TCP{Seq: 1, Ack: 1, Flags: RST | ACK, Options: o})
				h.wantClosed(errno.ConnReset)
			})
		})
	}
}

// RFC 7323 5.5: "TS.Recent ... invalidated" after 24 days of silence: a
// connection that slept for longer than the clock's half turn must go on.
func TestPAWSAfterLongIdle(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.peer.HasTimestamps = true
		h.to(tcp.StateEstablished)
		h.quiet(25 * 24 * time.Hour)
		old := Options{HasTimestamps: true, TSVal: h.peerClock(), TSEcr: h.tsVal} // looks older now
		_, d := h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Options: old}, "good morning")
		require.Equal(t, wire.DropNone, d)
		h.wantRead("good morning")
	})
}

// RFC 7323 3.2: "If a non-<RST> segment is received without a TSopt, a TCP SHOULD
// silently drop the segment." The connection survives; some take it, as middleboxes strip options.
func TestMissingTimestamps(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.peer.HasTimestamps = true
		h.to(tcp.StateEstablished)
		s := h.fromPeer(TCP{Seq: 1, Ack: 1, Flags: ACK})
		s.Options = Options{}
		h.c.Receive(h.now, &s, []byte("bare"))
		h.all()
		h.wantState(tcp.StateEstablished)
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "bare")
		h.want(TCP{Seq: 1, Ack: 5, Flags: ACK})
		h.wantRead("bare")
	})
}

// RFC 7323 3.2: timestamps that were not negotiated are ignored, old or new.
func TestUnexpectedTimestamps(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		for i, v := range []uint32{1000, 1, 0x8000_0000, 5} {
			o := Options{HasTimestamps: true, TSVal: v, TSEcr: v}
			_, d := h.in(TCP{Seq: uint32(1 + i), Ack: 1, Flags: ACK, Options: o}, "x")
			require.Equal(t, wire.DropNone, d)
			h.want(TCP{Seq: 1, Ack: uint32(2 + i), Flags: ACK})
		}
	})
}

// RFC 7323 2.3, 2.4: a sender must use the peer's shift, and a window that the peer
// rounds down moves the edge back by less than a unit; old data is not lost by it.
func TestPeerRoundsDown(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.peer.HasWindowScale, h.peer.WindowScale = true, 10
		h.window = 20
		h.to(tcp.StateEstablished)
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Window: 4})
		require.Equal(t, 4096, h.c.Info().SendWindow)
		h.write(pattern(10_000))
		segs := h.all()
		require.NotEmpty(t, segs)
		next := segs[0].Seq + uint32(len(segs[0].data))
		h.window = 3 // the true window is 4096-1460, of which it can say 2 or 3 units
		for range 200 {
			if next == 10_001 {
				break
			}
			h.advance(roundTrip)
			h.in(TCP{Seq: 1, Ack: next, Flags: ACK})
			for {
				s, ok := h.next(time.Minute)
				if !ok {
					break
				}
				if e := s.Seq + uint32(len(s.data)); int32(e-next) > 0 {
					next = e
					break
				}
			}
		}
		require.EqualValues(t, 10_001, next)
	})
}
