package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/congestion"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// RFC 6675 5 (4.3) and 4: several holes of one window are repaired in one round trip,
// and nothing that was SACKed goes out again; pipe counts what is in the network.
func TestSACKRecoverySeveralHoles(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.sacking().to(tcp.StateEstablished)
		require.Len(t, h.flight(10), 10)
		h.advance(roundTrip)
		// 0, 3 and 6 are lost; the others arrive one by one.
		var got []int
		for _, blocks := range [][]blk{
			{{1, 2}}, {{1, 3}}, {{4, 5}, {1, 3}}, {{4, 6}, {1, 3}},
			{{7, 8}, {4, 6}, {1, 3}}, {{7, 9}, {4, 6}, {1, 3}}, {{7, 10}, {4, 6}, {1, 3}},
		} {
			h.advance(time.Millisecond)
			h.sack(0, blocks...)
			got = append(got, h.segs(h.all())...)
			i := h.c.Info()
			require.Equal(t, i.Outstanding, 10*ethMSS)
			resent := len(got) * ethMSS
			require.Equal(t, 10*ethMSS-i.Sacked-i.Lost+resent, i.InFlight)
			require.LessOrEqual(t, i.InFlight, 10*ethMSS-i.Sacked)
		}
		require.Equal(t, []int{0, 3, 6}, got)
		require.Equal(t, 7*ethMSS, h.c.Info().Sacked)
		require.Equal(t, 3*ethMSS, h.c.Info().Lost)
		require.Equal(t, 3*ethMSS, h.c.Info().InFlight)
		h.advance(roundTrip)
		h.sack(3, blk{4, 6}, blk{7, 10})
		h.sack(6, blk{7, 10})
		require.Equal(t, congestion.Recovery, h.c.Info().Phase)
		h.sack(10)
		i := h.c.Info()
		require.Equal(t, congestion.Open, i.Phase)
		require.Equal(t, 5*ethMSS, i.CongestionWindow)
		require.EqualValues(t, 1, i.FastRecoveries)
		require.EqualValues(t, 3, i.Retransmits)
		require.Zero(t, i.Timeouts)
		require.Zero(t, i.SpuriousRecoveries)
		h.wantIdle()
	})
}

// RFC 6675 5 (C): new data goes out in a recovery, when what is lost is on its way.
func TestSACKRecoverySendsNewData(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.sacking().to(tcp.StateEstablished)
		h.write(pattern(40 * ethMSS))
		require.Len(t, h.all(), 10)
		h.advance(roundTrip)
		var got []int
		for n := 2; n <= 10; n++ {
			h.advance(time.Millisecond)
			h.sack(0, blk{1, n})
			got = append(got, h.segs(h.all())...)
		}
		require.Equal(t, []int{10, 11, 0}, got[:3], "limited transmit, and what is lost") // RFC 3042
		for k, n := range got[3:] {
			require.Equal(t, 12+k, n)
		}
		require.LessOrEqual(t, h.c.Info().InFlight, 5*ethMSS)
		require.GreaterOrEqual(t, h.c.Info().InFlight, 4*ethMSS)
	})
}

// What the peer sends with its data tells as well, and windows that change.
func TestSACKOnDataRepairs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.sacking().to(tcp.StateEstablished)
		require.Len(t, h.flight(5), 5)
		h.advance(roundTrip)
		for k := range 3 {
			h.in(TCP{Seq: uint32(1 + 3*k), Ack: 1, Flags: ACK, Window: uint16(50_000 - k), Options: h.absolute(sackOf(ethMSS, blk{1, 2 + k}))}, "abc")
		}
		require.Equal(t, []int{0}, h.segs(h.all()))
	})
}

// A peer that has not agreed on SACK is not heard about it, and its data is no
// duplicate acknowledgment.
func TestSACKNotNegotiated(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		require.Len(t, h.flight(5), 5)
		h.advance(roundTrip)
		for k := range 4 {
			h.in(TCP{Seq: uint32(1 + 3*k), Ack: 1, Flags: ACK, Options: h.absolute(sackOf(ethMSS, blk{1, 2 + k}))}, "abc")
		}
		require.Empty(t, h.segs(h.all()))
		require.Zero(t, h.c.Info().Sacked)
		require.Zero(t, h.c.Info().DuplicateAcks)
	})
}

// RFC 2018 8: "the data receiver ... MAY discard data in its queue that has not been
// acknowledged ..., even if such data has already been reported in a SACK option": it
// is delivered all the same, wherever it was.
func TestReneging(t *testing.T) {
	for name, renege := range map[string]blk{"all": {1, 10}, "head": {1, 3}, "middle": {4, 6}, "tail": {8, 10}} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.sacking().to(tcp.StateEstablished)
				require.Len(t, h.flight(10), 10)
				h.advance(roundTrip)
				h.sack(0, blk{1, 10})
				have := make([]bool, 10)
				for n := range have {
					have[n] = n > 0 && (n < renege[0] || n >= renege[1])
				}
				take := func(segs []int) {
					for _, n := range segs {
						have[n] = true
					}
				}
				take(h.segs(h.all()))
				for round := 0; h.c.Out.Len() > 0; round++ {
					require.Less(t, round, 20)
					n := 0
					for n < 10 && have[n] {
						n++
					}
					h.advance(roundTrip)
					h.sack(n)
					if h.c.Out.Len() == 0 {
						break
					}
					got := h.segs(h.all())
					if len(got) == 0 {
						s, ok := h.next(time.Minute)
						require.True(t, ok)
						got = append(h.segs([]segment{s}), h.segs(h.all())...)
					}
					take(got)
				}
				require.LessOrEqual(t, h.c.Info().Timeouts, uint64(2))
				h.wantIdle()
			})
		})
	}
}

// RFC 3042 2 with SACK: each of the first two duplicates lets a segment out, beyond
// the congestion window and never beyond the peer's.
func TestLimitedTransmitSACK(t *testing.T) {
	for _, wnd := range []int{65535, 11 * ethMSS, 10 * ethMSS} {
		each(t, func(t *testing.T, h *harness) {
			h.window = uint16(wnd)
			h.sacking().to(tcp.StateEstablished)
			h.write(pattern(30 * ethMSS))
			require.Len(t, h.all(), 10)
			h.advance(roundTrip)
			room := min(wnd/ethMSS, 12)
			var got []int
			for n := 2; n <= 3; n++ {
				h.sack(0, blk{1, n})
				got = append(got, h.segs(h.all())...)
			}
			require.Equal(t, []int{10, 11}[:room-10], append([]int{}, got...))
			require.Zero(t, h.c.Info().Retransmits)
			require.Equal(t, 10*ethMSS, h.cwnd())
		})
	}
}

// A very first flight of two to four segments, of which one is lost: RFC 5827 (early
// retransmit) and RFC 8985 repair it without a time-out, whichever it is.
func TestEarlyRetransmit(t *testing.T) {
	for n := 2; n <= 4; n++ {
		for lost := range n {
			each(t, func(t *testing.T, h *harness) {
				h.cfg.MinRTO = time.Second
				h.sacking().to(tcp.StateEstablished)
				require.Len(t, h.flight(n), n)
				h.advance(roundTrip)
				for k := range n {
					switch {
					case k < lost:
						h.sack(k + 1)
					case k > lost:
						h.sack(lost, blk{lost + 1, k + 1})
					}
				}
				s, ok := h.next(4 * roundTrip)
				require.True(t, ok)
				require.Equal(t, []int{lost}, h.segs([]segment{s}))
				h.advance(roundTrip)
				h.sack(n)
				h.wantIdle()
				i := h.c.Info()
				require.Zero(t, i.Timeouts)
				require.EqualValues(t, 1, i.Retransmits)
			})
		}
	}
}

// A FIN is in the sequence space: it is SACKed, lost, sent again and acknowledged like
// data (RFC 9293 3.4).
func TestSACKOfFIN(t *testing.T) {
	fin := func(h *harness, n int, blocks ...wire.SACKBlock) {
		var o Options
		o.NumSACK = uint8(copy(o.SACK[:], blocks))
		h.in(TCP{Seq: 1, Ack: uint32(n), Flags: ACK, Options: h.absolute(o)})
	}
	t.Run("arrives before data", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.sacking().to(tcp.StateEstablished)
			h.write(pattern(3 * ethMSS))
			h.closeWrite()
			h.all()
			h.advance(roundTrip)
			fin(h, 1, wire.SACKBlock{Start: 1 + ethMSS, End: 2 + 3*ethMSS})
			require.Equal(t, 2*ethMSS+1, h.c.Info().Sacked)
			s, ok := h.next(roundTrip)
			require.True(t, ok)
			require.EqualValues(t, 1, s.Seq)
			require.False(t, s.Flags.Has(FIN))
			h.ackTo(3*ethMSS + 1)
			h.wantState(tcp.StateFinWait2)
		})
	})
	t.Run("lost alone", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.sacking().to(tcp.StateEstablished)
			h.write(pattern(3 * ethMSS))
			h.all()
			h.closeWrite()
			h.all()
			h.advance(roundTrip)
			h.ackTo(3 * ethMSS)
			s, ok := h.next(time.Second)
			require.True(t, ok)
			require.True(t, s.Flags.Has(FIN))
			require.Empty(t, s.data)
			h.ackTo(3*ethMSS + 1)
			h.wantState(tcp.StateFinWait2)
		})
	})
}

// Nothing leaks, whatever ends a connection in the midst of a recovery.
func TestEndsInRecovery(t *testing.T) {
	for name, end := range map[string]func(h *harness){
		"abort": func(h *harness) { h.abort() },
		"reset": func(h *harness) { h.in(TCP{Seq: 1, Flags: RST}) },
		"timeout": func(h *harness) {
			h.c.SetUserTimeout(h.now, time.Second)
			for h.c.State() != tcp.StateClosed {
				h.next(time.Second)
			}
		},
		"close": func(h *harness) {
			h.close()
			h.all()
			h.in(TCP{Seq: 1, Ack: uint32(1 + len(h.out)), Flags: ACK})
			h.all()
			h.in(TCP{Seq: 1, Ack: uint32(2 + len(h.out)), Flags: ACK | FIN})
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.cfg.NoDelay = true
				h.sacking().to(tcp.StateEstablished)
				for range 30 {
					h.write(pattern2(len(h.out), 300))
					h.all()
					h.advance(time.Millisecond)
				}
				h.advance(roundTrip)
				var o Options
				for k := range 3 {
					o.SACK[k] = wire.SACKBlock{Start: uint32(601 + 900*k), End: uint32(901 + 900*k)}
				}
				o.NumSACK = 3
				for range 3 {
					h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Options: h.absolute(o)})
				}
				h.all()
				require.Equal(t, congestion.Recovery, h.c.Info().Phase)
				require.Positive(t, h.pool.InUse()%stream.PageSize, "records")
				end(h)
				h.all()
				h.c.In.Reset()
				h.c.Out.Reset()
				require.Zero(t, h.pool.InUse())
			})
		})
	}
}

// What a large flight took is given back when the connection is idle, also if it is
// half closed, and its FIN was on its way for long.
func TestRecordsGivenBack(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.NoDelay = true
		h.sacking().to(tcp.StateEstablished)
		for range 30 {
			h.write(pattern2(len(h.out), 300))
			h.all()
			h.advance(time.Millisecond)
		}
		require.Positive(t, h.pool.InUse()%stream.PageSize, "records")
		h.advance(roundTrip)
		h.ackTo(len(h.out))
		h.closeWrite()
		require.Len(t, h.all(), 1)
		for range 4 { // the FIN is lost for a while
			_, ok := h.next(time.Minute)
			require.True(t, ok)
		}
		h.ackTo(len(h.out) + 1)
		h.wantState(tcp.StateFinWait2)
		h.wantIdle()
	})
}

// RFC 9293 MUST-34, 3.8.6: a window that shrinks below what is in flight, in the midst
// of a recovery, or that closes, leaves nothing behind in the scoreboard.
func TestWindowShrinksInRecovery(t *testing.T) {
	for _, wnd := range []uint16{1, 100, ethMSS, 3 * ethMSS, 6 * ethMSS} {
		for _, sack := range []bool{false, true} {
			each(t, func(t *testing.T, h *harness) {
				h.peer.SACKPermitted = sack
				h.to(tcp.StateEstablished)
				h.write(pattern(20 * ethMSS))
				require.Len(t, h.all(), 10)
				h.advance(roundTrip)
				for k := range 4 {
					h.sack(0, blk{2, 4}, blk{5, 6 + k})
				}
				h.all()
				shrunk := h.window
				h.window = wnd
				if wnd == 1 {
					h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Window: 1}) // as good as zero
				}
				h.ackTo(0)
				h.ackTo(ethMSS)
				for range 6 {
					if _, ok := h.next(10 * time.Second); !ok {
						break
					}
				}
				h.window = shrunk
				h.in(TCP{Seq: 2, Ack: 1 + ethMSS, Flags: ACK})
				h.in(TCP{Seq: 1, Ack: 1 + ethMSS, Flags: ACK})
				for round := 0; h.c.Out.Len() > 0; round++ {
					require.Less(t, round, 200)
					if segs := h.all(); len(segs) == 0 {
						_, ok := h.next(time.Minute)
						require.True(t, ok)
					}
					h.advance(roundTrip)
					una := int(h.c.Out.Start())
					h.ackTo(min(una+4*ethMSS, una+max(h.c.Info().Outstanding, 1)))
				}
				h.wantIdle()
			})
		}
	}
}

// RFC 1191 6.5: a path that became narrower in the midst of a recovery: everything
// goes out in smaller pieces, what was SACKed does not.
func TestMTUChangesInRecovery(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.sacking().to(tcp.StateEstablished)
		require.Len(t, h.flight(10), 10)
		h.advance(roundTrip)
		h.sack(0, blk{2, 4}, blk{6, 9})
		h.all()
		h.mtu = 596
		h.buf = h.buf[:h.mtu]
		h.c.SetMTU(h.now, h.mtu)
		sent := h.all()
		for round := 0; h.c.Out.Len() > 0; round++ {
			require.Less(t, round, 50)
			for _, s := range sent {
				require.LessOrEqual(t, len(s.data), 576)
				for n := int(s.Seq); n < int(s.Seq)+len(s.data); n++ {
					k := (n - 1) / ethMSS
					require.False(t, h.c.Info().Timeouts == 0 && (k >= 2 && k < 4 || k >= 6 && k < 9), "SACKed: %d", k)
				}
			}
			h.advance(roundTrip)
			una := int(h.c.Out.Start())
			h.ackTo(min(una+2*ethMSS, 10*ethMSS))
			sent = h.all()
			if len(sent) == 0 && h.c.Out.Len() > 0 {
				s, ok := h.next(time.Minute)
				require.True(t, ok)
				sent = append(h.all(), s)
			}
		}
		require.Zero(t, h.c.Info().Sacked)
		h.wantIdle()
	})
}

// An attacker's acknowledgments: RFC 5681 (ACK division), RFC 5961 5 (beyond what was
// sent), RFC 2018 (of what was never sent), RFC 3708 (D-SACKs). The window never grows
// faster than bytes arrive.
func TestHostileAcknowledgments(t *testing.T) {
	for name, f := range map[string]func(h *harness, k int){
		"beyond":           func(h *harness, k int) { h.in(TCP{Seq: 1, Ack: uint32(len(h.out) + 10_000), Flags: ACK}) },
		"duplicates":       func(h *harness, k int) { h.ackTo(0) },
		"SACK never sent":  func(h *harness, k int) { h.sack(0, blk{40 + k, 45 + k}) },
		"SACK in crumbs":   func(h *harness, k int) { h.crumb(3*ethMSS+2*k, 1) },
		"D-SACKs":          func(h *harness, k int) { h.sack(0, blk{k % 5, k%5 + 1}, blk{0, 6}) },
		"D-SACKs from old": func(h *harness, k int) { h.sack(0, blk{-k - 1, -k}) },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.sacking().to(tcp.StateEstablished)
				h.write(pattern(40 * ethMSS))
				require.Len(t, h.all(), 10)
				h.advance(roundTrip)
				before := h.cwnd()
				for k := range 200 {
					f(h, k)
					h.all()
					i := h.c.Info()
					require.LessOrEqual(t, i.CongestionWindow, before, "nothing was acknowledged")
					require.LessOrEqual(t, i.InFlight, before+3*ethMSS)
					require.LessOrEqual(t, i.Outstanding, 40*ethMSS)
					require.LessOrEqual(t, i.ReorderingWindow, max(i.RTT, i.MinRTT))
				}
				h.ackTo(10 * ethMSS)
				h.drain()
				require.Zero(t, h.c.Out.Len())
			})
		})
	}
}

// crumb acknowledges n bytes selectively.
func (h *harness) crumb(at, n int) {
	o := Options{NumSACK: 1}
	o.SACK[0] = wire.SACKBlock{Start: uint32(1 + at), End: uint32(1 + at + n)}
	h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Options: h.absolute(o)})
}
