package tcp_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/errno"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// answer is the plain acknowledgment that 3.10.7.4 sends again and again:
// <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>.
func answer(s tcp.State) TCP {
	snd, rcv := nxt(s)
	return TCP{Seq: snd, Ack: rcv, Flags: ACK}
}

// RFC 9293 3.10.7.4, first: "If an incoming segment is not acceptable, an
// acknowledgment should be sent in reply (unless the RST bit is set ...)". Old, partly old and future numbers, with data, FIN and nothing.
func TestUnacceptableSequence(t *testing.T) {
	for _, c := range []struct {
		name string
		off  int // of SEG.SEQ from RCV.NXT
		n    int // bytes
		fin  wire.TCPFlags
	}{
		{"just below, empty", -1, 0, 0},
		{"just below, one byte", -1, 1, 0},
		{"old data", -10, 10, 0},
		{"old fin", -1, 0, FIN},
		{"long ago", -1 << 20, 5, 0},
		{"half the space away", -1 << 31, 5, 0},
		{"at the right edge, data", 65535, 1, 0},
		{"beyond the right edge", 65536, 10, 0},
		{"beyond the right edge, empty", 65536, 0, 0},
		{"far beyond", 1 << 30, 10, FIN},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachState(t, synchronized, func(t *testing.T, h *harness, s tcp.State) {
				snd, rcv := nxt(s)
				off := c.off
				if off == 65535 && gotFIN(s) {
					return // no window is left to be beyond of after the peer's FIN
				}
				want := answer(s)
				if s == tcp.StateSynReceived {
					want = TCP{Seq: snd, Ack: rcv, Flags: ACK}
				}
				_, d := h.in(TCP{Seq: rcv + uint32(off), Ack: una(s), Flags: ACK | c.fin}, pattern(c.n))
				require.Contains(t, []wire.Drop{wire.DropOutOfWindow, wire.DropDuplicate}, d)
				h.want(want)
				h.wantNone()
				h.wantState(s)
				require.Zero(t, h.c.In.Len())
			})
		})
	}
}

// A bare ACK exactly at the right edge is let in, although the table's test has
// "<": a peer that has filled the window acknowledges from there.
func TestACKAtTheRightEdge(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write("hello")
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, "hello")
		h.in(TCP{Seq: h.ourEdge, Ack: 6, Flags: ACK})
		require.Zero(t, h.c.Out.Len())
	})
}

// RFC 9293 3.10.7.4, second, 1): "If the RST bit is set and the sequence number
// is outside the current receive window, silently drop the segment."
func TestResetOutOfWindow(t *testing.T) {
	for _, off := range []int{-1, -100, -1 << 31, 1 << 20, 65536} {
		t.Run(fmt.Sprint(off), func(t *testing.T) {
			eachState(t, synchronized, func(t *testing.T, h *harness, s tcp.State) {
				snd, rcv := nxt(s)
				_, d := h.in(TCP{Seq: rcv + uint32(off), Ack: snd, Flags: RST | ACK})
				require.Equal(t, wire.DropOutOfWindow, d)
				h.wantNone()
				h.wantState(s)
			})
		})
	}
}

// RFC 9293 3.10.7.4, second, 2): "If the RST bit is set and the sequence number
// exactly matches the next expected sequence number (RCV.NXT), then TCP endpoints MUST reset the connection"
// MUST-12: the user learns of it. SHLD-2: data on the reset does not matter.
func TestResetExact(t *testing.T) {
	for name, data := range map[string]string{"bare": "", "with data": "you are not welcome"} {
		for _, flags := range []wire.TCPFlags{RST, RST | ACK} {
			t.Run(fmt.Sprint(name, " ", flags), func(t *testing.T) {
				eachState(t, established, func(t *testing.T, h *harness, s tcp.State) {
					snd, rcv := nxt(s)
					h.in(TCP{Seq: rcv, Ack: snd, Flags: flags}, data)
					h.wantState(tcp.StateClosed)
					h.wantNone()
					require.False(t, h.c.Deadline().IsSet())
					require.Zero(t, h.c.In.Len(), "the data of a reset is not the stream's")
					events := h.c.TakeEvents()
					require.NotZero(t, events&tcp.EventClosed)
					if s != tcp.StateClosing && s != tcp.StateLastAck {
						require.Equal(t, errno.ConnReset, h.c.Err())
						require.NotZero(t, events&tcp.EventFailed)
					}
				})
			})
		}
	}
}

// RFC 9293 3.10.7.4, second, 3): "yet is within the current receive window, TCP
// endpoints MUST send an acknowledgment (challenge ACK)"
func TestResetInWindow(t *testing.T) {
	for _, off := range []uint32{1, 2, 100, 65534} {
		t.Run(fmt.Sprint(off), func(t *testing.T) {
			eachState(t, synchronized, func(t *testing.T, h *harness, s tcp.State) {
				snd, rcv := nxt(s)
				if gotFIN(s) {
					return // nothing is expected after the FIN; see TestResetOutOfWindow
				}
				h.in(TCP{Seq: rcv + off, Ack: snd, Flags: RST | ACK})
				h.want(answer(s))
				h.wantNone()
				h.wantState(s)
			})
		})
	}
}

// RFC 9293 3.10.7.4, fourth: "if the SYN bit is set, irrespective of the
// sequence number, TCP endpoints MUST send a 'challenge ACK' to the remote peer"
func TestSYNInSynchronizedState(t *testing.T) {
	for _, off := range []int{0, 1, -1, 100, -100, 1 << 20, -1 << 31} {
		for _, flags := range []wire.TCPFlags{SYN, SYN | ACK} {
			t.Run(fmt.Sprint(flags, off), func(t *testing.T) {
				eachState(t, established, func(t *testing.T, h *harness, s tcp.State) {
					snd, rcv := nxt(s)
					h.in(TCP{Seq: rcv + uint32(off), Ack: snd, Flags: flags, Options: h.peer}, "payload")
					h.want(answer(s))
					h.wantNone()
					h.wantState(s)
					require.Zero(t, h.c.In.Len())
				})
			})
		}
	}
}

// RFC 9293 3.10.7.4, fourth, SYN-RECEIVED: a new SYN for a connection that was
// opened passively must not do harm: either it goes back to LISTEN (it is
// gone), or the SYN is challenged and the handshake can still be completed.
func TestNewSYNInSynReceived(t *testing.T) {
	for _, off := range []uint32{1, 2, 1000, 60000, 1 << 20} {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateSynReceived)
			h.in(TCP{Seq: off, Flags: SYN, Options: h.peer})
			for _, s := range h.all() {
				require.False(t, s.Flags.Has(RST))
			}
			if h.c.State() == tcp.StateClosed {
				h.wantEvents(tcp.EventClosed)
				return
			}
			h.wantState(tcp.StateSynReceived)
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
			h.wantState(tcp.StateEstablished)
		})
	}
}

// RFC 9293 3.10.7.4, fifth: "if the ACK bit is off, drop the segment and return"
func TestNoACK(t *testing.T) {
	for name, flags := range map[string]wire.TCPFlags{"none": 0, "fin": FIN, "psh": PSH, "urg": URG, "ece": ECE, "fin psh urg": FIN | PSH | URG} {
		t.Run(name, func(t *testing.T) {
			eachState(t, synchronized, func(t *testing.T, h *harness, s tcp.State) {
				_, rcv := nxt(s)
				_, d := h.in(TCP{Seq: rcv, Flags: flags}, "data")
				require.NotEqual(t, wire.DropNone, d)
				h.wantNone()
				h.wantState(s)
				require.Zero(t, h.c.In.Len())
			})
		})
	}
}

// SYN and FIN together mean nothing that can be granted: no state changes.
func TestSYNAndFIN(t *testing.T) {
	eachState(t, established, func(t *testing.T, h *harness, s tcp.State) {
		snd, rcv := nxt(s)
		h.in(TCP{Seq: rcv, Ack: snd, Flags: SYN | FIN | ACK, Options: h.peer}, "data")
		for _, got := range h.all() {
			require.Equal(t, ACK, got.Flags)
		}
		h.wantState(s)
		require.Zero(t, h.c.In.Len())
		_, d := h.in(TCP{Seq: rcv, Flags: SYN | FIN, Options: h.peer}, "data")
		require.NotEqual(t, wire.DropNone, d)
		h.wantState(s)
	})
	h := newHarness(t)
	h.to(tcp.StateSynSent)
	_, d := h.in(TCP{Ack: 1, Flags: SYN | FIN | ACK, Options: h.peer})
	if d == wire.DropNone {
		require.Contains(t, []tcp.State{tcp.StateEstablished, tcp.StateCloseWait}, h.c.State())
	} else {
		h.wantState(tcp.StateSynSent)
	}
}

// RFC 9293 3.10.7.4, fifth: "If the ACK acks something not yet sent (SEG.ACK >
// SND.NXT), then send an ACK, drop the segment, and return."
func TestACKOfTheFuture(t *testing.T) {
	for _, off := range []uint32{1, 1000, 1 << 30} {
		t.Run(fmt.Sprint(off), func(t *testing.T) {
			eachState(t, established, func(t *testing.T, h *harness, s tcp.State) {
				snd, rcv := nxt(s)
				_, d := h.in(TCP{Seq: rcv, Ack: snd + off, Flags: ACK}, "data")
				require.Equal(t, wire.DropBadAck, d)
				h.want(answer(s))
				h.wantNone()
				h.wantState(s)
				require.Zero(t, h.c.In.Len())
			})
		})
	}
}

// RFC 9293 MAY-12, 3.10.7.4, fifth: acceptable only "in the range of ((SND.UNA -
// MAX.SND.WND) =< SEG.ACK =< SND.NXT)"; what is older "MUST be discarded and an ACK sent back"
func TestACKOfThePast(t *testing.T) {
	eachState(t, established, func(t *testing.T, h *harness, s tcp.State) {
		snd, rcv := nxt(s)
		_, d := h.in(TCP{Seq: rcv, Ack: una(s) - 65536, Flags: ACK}, "data")
		require.Equal(t, wire.DropBadAck, d)
		h.want(TCP{Seq: snd, Ack: rcv, Flags: ACK})
		h.wantNone()
		h.wantState(s)
		require.Zero(t, h.c.In.Len())
	})
}

// RFC 9293 3.10.7.4, fifth: "If the ACK is a duplicate (SEG.ACK =< SND.UNA), it
// can be ignored." The segment's text cannot.
func TestOldACKWithData(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write(pattern(500))
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, pattern(500))
		h.in(TCP{Seq: 1, Ack: 501, Flags: ACK})
		h.in(TCP{Seq: 1, Ack: 101, Flags: ACK}, "hello")
		h.want(TCP{Seq: 501, Ack: 6, Flags: ACK})
		h.wantRead("hello")
	})
}

// RFC 9293 3.10.7.4: "If a segment's contents straddle the boundary between old
// and new, only the new parts are processed."
func TestTrimLeft(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		data := pattern(3000)
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:1000])
		h.want(TCP{Seq: 1, Ack: 1001, Flags: ACK})
		h.in(TCP{Seq: 501, Ack: 1, Flags: ACK}, data[500:1500])
		h.want(TCP{Seq: 1, Ack: 1501, Flags: ACK})
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK | FIN}, data)
		h.want(TCP{Seq: 1, Ack: 3002, Flags: ACK})
		h.wantRead(data)
		h.wantState(tcp.StateCloseWait)
	})
}

// RFC 9293 3.10.7.4: "trimming off any portions that lie outside the window
// (including SYN and FIN)": what does not fit is not taken, and has to come again.
func TestTrimRight(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.RecvBuffer = 4096
		h.to(tcp.StateEstablished)
		wnd := h.c.Info().RecvWindow
		require.LessOrEqual(t, wnd, 4096)
		data := pattern(wnd + 500)
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK | FIN}, data)
		got, ok := h.send()
		require.True(t, ok)
		require.EqualValues(t, 1+wnd, got.Ack, "what is in the window, and no FIN")
		require.Zero(t, got.Window)
		h.wantState(tcp.StateEstablished)
		h.wantRead(data[:wnd])
	})
}

// RFC 9293 SHLD-31, 3.10.7.4: "Segments with higher beginning sequence numbers
// SHOULD be held for later processing". MAY-13 and RFC 5681 4.2: each is acknowledged at once.
func TestOutOfOrder(t *testing.T) {
	const n = 10
	data := pattern(n * 100)
	orders := [][]int{
		{9, 8, 7, 6, 5, 4, 3, 2, 1, 0},
		{1, 0, 3, 2, 5, 4, 7, 6, 9, 8},
		{1, 3, 5, 7, 9, 0, 2, 4, 6, 8},
		{0, 9, 1, 8, 2, 7, 3, 6, 4, 5},
		{5, 5, 5, 1, 2, 3, 4, 6, 8, 7, 9, 9, 0},
	}
	for _, order := range orders {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.cfg.DelayedAck = 0 // the timer must not matter
				h.to(tcp.StateEstablished)
				var have [n + 1]bool
				next, missing := 0, n
				for _, i := range order {
					gap := i != next
					if !have[i] {
						missing--
					}
					fills := !gap && next < n && missing < n-1-next
					have[i] = true
					for have[next] {
						next++
					}
					h.in(TCP{Seq: uint32(1 + 100*i), Ack: 1, Flags: ACK}, data[100*i:][:100])
					if gap || fills {
						h.want(TCP{Seq: 1, Ack: uint32(1 + 100*next), Flags: ACK})
						h.wantNone()
					} else {
						h.all()
					}
				}
				h.wantRead(data)
			})
		})
	}
}

// The number of gaps is bounded by memory only: every second byte of a window
// arrives first. Some may be let go, but the rest must still come together.
func TestManyGaps(t *testing.T) {
	h := newHarness(t)
	h.to(tcp.StateEstablished)
	data := pattern(2000)
	for i := 1; i < len(data); i += 2 {
		h.in(TCP{Seq: uint32(1 + i), Ack: 1, Flags: ACK}, data[i:i+1])
		h.all()
	}
	for i := 0; i < len(data); i++ { // what was let go comes again
		h.in(TCP{Seq: uint32(1 + i), Ack: 1, Flags: ACK}, data[i:i+1])
		h.all()
	}
	h.wantRead(data)
}

// Overlaps of every kind between what is held and what comes.
func TestOverlaps(t *testing.T) {
	data := pattern(1000)
	for _, segs := range [][][2]int{
		{{500, 600}, {400, 700}, {0, 1000}},
		{{500, 600}, {550, 650}, {450, 550}, {0, 500}, {600, 1000}},
		{{200, 300}, {400, 500}, {600, 700}, {100, 800}, {0, 150}, {800, 1000}},
		{{200, 300}, {300, 400}, {100, 200}, {0, 100}, {400, 1000}},
		{{900, 1000}, {100, 901}, {0, 101}},
		{{100, 1000}, {0, 1000}},
		{{1, 999}, {999, 1000}, {0, 1}},
	} {
		t.Run(fmt.Sprint(segs), func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.to(tcp.StateEstablished)
				for _, s := range segs {
					h.in(TCP{Seq: uint32(1 + s[0]), Ack: 1, Flags: ACK}, data[s[0]:s[1]])
					h.all()
				}
				h.wantRead(data)
				h.in(TCP{Seq: 1001, Ack: 1, Flags: ACK})
				h.wantNone()
			})
		})
	}
}

// RFC 9293 MUST-66, 3.10.7.4, first: "If the RCV.WND is zero, no segments will be
// acceptable, but special allowance should be made to accept valid ACKs, URGs, and RSTs." MAY-8: it may stay so.
func TestZeroReceiveWindow(t *testing.T) {
	full := func(t *testing.T, f func(t *testing.T, h *harness, next uint32)) {
		each(t, func(t *testing.T, h *harness) {
			h.cfg.RecvBuffer = 4096
			h.to(tcp.StateEstablished)
			wnd := h.c.Info().RecvWindow
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, pattern(wnd))
			got := h.want(TCP{Seq: 1, Ack: uint32(1 + wnd), Flags: ACK})
			require.Zero(t, got.Window)
			h.wantNone()
			f(t, h, uint32(1+wnd))
		})
	}
	t.Run("probe is answered", func(t *testing.T) {
		full(t, func(t *testing.T, h *harness, next uint32) {
			for range 3 {
				h.advance(5 * time.Second)
				h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, "x")
				got := h.want(TCP{Seq: 1, Ack: next, Flags: ACK})
				require.Zero(t, got.Window)
			}
		})
	})
	t.Run("empty segment", func(t *testing.T) {
		full(t, func(t *testing.T, h *harness, next uint32) {
			h.in(TCP{Seq: next, Ack: 1, Flags: ACK})
			h.wantNone()
		})
	})
	t.Run("ack on probe", func(t *testing.T) {
		full(t, func(t *testing.T, h *harness, next uint32) {
			h.write("hello")
			h.want(TCP{Seq: 1, Ack: next, Flags: ACK}, "hello")
			h.in(TCP{Seq: next, Ack: 6, Flags: ACK}, "x")
			h.want(TCP{Seq: 6, Ack: next, Flags: ACK})
			require.Zero(t, h.c.Out.Len(), "the acknowledgment counts")
		})
	})
	t.Run("old and new", func(t *testing.T) { // our ACK was lost, and there is more
		for _, fin := range []wire.TCPFlags{0, FIN} {
			full(t, func(t *testing.T, h *harness, next uint32) {
				for range 3 {
					h.advance(time.Second)
					data := pattern(100)
					if fin != 0 {
						data = pattern(99) // the FIN alone is new
					}
					h.in(TCP{Seq: next - 99, Ack: 1, Flags: ACK | fin}, data)
					got := h.want(TCP{Seq: 1, Ack: next, Flags: ACK})
					require.Zero(t, got.Window)
				}
				h.wantState(tcp.StateEstablished)
			})
		}
	})
	t.Run("reset", func(t *testing.T) {
		full(t, func(t *testing.T, h *harness, next uint32) {
			h.in(TCP{Seq: next, Flags: RST})
			h.wantClosed(errno.ConnReset)
		})
	})
	t.Run("reset next to it", func(t *testing.T) {
		full(t, func(t *testing.T, h *harness, next uint32) {
			h.in(TCP{Seq: next + 1, Flags: RST})
			h.wantState(tcp.StateEstablished)
			h.in(TCP{Seq: next - 1, Flags: RST})
			h.wantState(tcp.StateEstablished)
		})
	})
	t.Run("fin waits", func(t *testing.T) {
		full(t, func(t *testing.T, h *harness, next uint32) {
			h.in(TCP{Seq: next, Ack: 1, Flags: FIN | ACK}) // taken or not: both are done in the field
			got, ok := h.send()
			require.True(t, ok)
			require.Contains(t, []uint32{next, next + 1}, got.Ack)
			h.read(1 << 20)
			h.all()
			h.in(TCP{Seq: next, Ack: 1, Flags: FIN | ACK})
			h.want(TCP{Seq: 1, Ack: next + 1, Flags: ACK})
			h.wantState(tcp.StateCloseWait)
		})
	})
}

// RFC 9293 3.10.7.4, eighth: the transitions by a FIN, alone and with text.
func TestFINTransitions(t *testing.T) {
	for _, c := range []struct {
		from, to tcp.State
		acksFIN  bool // the segment acknowledges our FIN as well
	}{
		{tcp.StateSynReceived, tcp.StateCloseWait, false},
		{tcp.StateEstablished, tcp.StateCloseWait, false},
		{tcp.StateFinWait1, tcp.StateClosing, false},
		{tcp.StateFinWait1, tcp.StateTimeWait, true},
		{tcp.StateFinWait2, tcp.StateTimeWait, true},
	} {
		for _, data := range []string{"", "bye"} {
			t.Run(fmt.Sprintf("%v-%v %q", c.from, c.to, data), func(t *testing.T) {
				eachState(t, []tcp.State{c.from}, func(t *testing.T, h *harness, s tcp.State) {
					snd, rcv := nxt(s)
					ack := uint32(1)
					if c.acksFIN {
						ack = 2
					}
					h.in(TCP{Seq: rcv, Ack: ack, Flags: FIN | ACK}, data)
					h.wantState(c.to)
					h.want(TCP{Seq: snd, Ack: rcv + uint32(len(data)) + 1, Flags: ACK})
					h.wantNone()
					h.wantRead(data)
					h.wantEvents(tcp.EventPeerClosed)
					if c.to == tcp.StateTimeWait {
						h.wantEvents(0)
					}
				})
			})
		}
	}
}

// RFC 9293 3.10.7.4, eighth: "CLOSE-WAIT: Remain", "CLOSING: Remain", "LAST-ACK:
// Remain": the FIN comes again because our ACK was lost, and is acknowledged again.
func TestFINAgain(t *testing.T) {
	eachState(t, []tcp.State{tcp.StateCloseWait, tcp.StateClosing, tcp.StateLastAck}, func(t *testing.T, h *harness, s tcp.State) {
		for range 3 {
			h.advance(roundTrip)
			h.in(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK})
			var last segment
			for _, last = range h.all() {
			}
			require.Equal(t, ACK, last.Flags&^FIN)
			require.EqualValues(t, 2, last.Ack)
			h.wantState(s)
		}
	})
}

// RFC 9293 3.10.7.4, seventh: "CLOSE-WAIT, CLOSING, LAST-ACK: This should not
// occur since a FIN has been received from the remote side. Ignore the segment text."
func TestTextAfterFIN(t *testing.T) {
	eachState(t, []tcp.State{tcp.StateCloseWait, tcp.StateClosing, tcp.StateLastAck}, func(t *testing.T, h *harness, s tcp.State) {
		_, rcv := nxt(s)
		for _, seq := range []uint32{rcv - 1, rcv, rcv + 1, rcv + 1000} {
			for _, fin := range []wire.TCPFlags{0, FIN} {
				h.in(TCP{Seq: seq, Ack: una(s), Flags: ACK | fin}, "zombie")
				for _, got := range h.all() {
					require.Equal(t, rcv, got.Ack)
					require.False(t, got.Flags.Has(RST))
				}
				h.wantState(s)
				require.Zero(t, h.c.In.Len())
			}
		}
	})
}

// A FIN beyond a gap takes effect when the gap is filled, and only then.
func TestFINOutOfOrder(t *testing.T) {
	for name, fin := range map[string]string{"with data": "world", "alone": ""} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.to(tcp.StateEstablished)
				data := "hello world"
				at := uint32(1 + len(data) - len(fin))
				if fin == "" {
					h.in(TCP{Seq: 7, Ack: 1, Flags: ACK}, "world")
					h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
				}
				h.in(TCP{Seq: at, Ack: 1, Flags: FIN | ACK}, fin)
				h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
				h.wantState(tcp.StateEstablished)
				require.Zero(t, h.c.TakeEvents()&tcp.EventPeerClosed)
				h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "hello ")
				got, ok := h.send()
				require.True(t, ok)
				if got.Ack == 12 { // the FIN itself need not be remembered
					h.in(TCP{Seq: at, Ack: 1, Flags: FIN | ACK}, fin)
					got, ok = h.send()
					require.True(t, ok)
				}
				require.EqualValues(t, 13, got.Ack)
				h.wantState(tcp.StateCloseWait)
				h.wantEvents(tcp.EventPeerClosed)
				h.wantRead(data)
			})
		})
	}
}

// A second FIN at another place, or data beyond a FIN that is held: whatever
// an attacker or a bug sends, no byte beyond the first FIN is delivered and
// the stream ends once.
func TestContradictingFINs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.in(TCP{Seq: 6, Ack: 1, Flags: FIN | ACK}, "world") // ends at 11
		h.all()
		h.in(TCP{Seq: 8, Ack: 1, Flags: FIN | ACK}, "x") // ends at 9?
		h.all()
		_, d := h.in(TCP{Seq: 20, Ack: 1, Flags: ACK}, "beyond")
		require.NotEqual(t, wire.DropNone, d)
		h.all()
		h.in(TCP{Seq: 30, Ack: 1, Flags: FIN | ACK}, "beyond")
		h.all()
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "hello")
		h.all()
		h.in(TCP{Seq: 6, Ack: 1, Flags: FIN | ACK}, "world")
		h.all()
		h.wantState(tcp.StateCloseWait)
		got := h.read(100)
		require.LessOrEqual(t, len(got), 10)
		require.Equal(t, "hello", got[:5])
	})
}

// RFC 6093 6: urgent data stays in line, "on the receive side", whatever its
// length; a wild pointer does no harm.
func TestUrgent(t *testing.T) {
	for _, up := range []uint16{0, 1, 3, 5, 6, 1000, 65535} {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateEstablished)
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK | URG, Urgent: up}, "hello")
			h.want(TCP{Seq: 1, Ack: 6, Flags: ACK})
			h.in(TCP{Seq: 6, Ack: 1, Flags: ACK | URG, Urgent: up})
			h.in(TCP{Seq: 12, Ack: 1, Flags: ACK | URG | FIN, Urgent: up}, "world")
			h.all()
			h.in(TCP{Seq: 6, Ack: 1, Flags: ACK | URG, Urgent: up}, " other")
			h.all()
			h.in(TCP{Seq: 12, Ack: 1, Flags: ACK | URG | FIN, Urgent: up}, "world")
			h.all()
			h.wantRead("hello otherworld")
			h.wantState(tcp.StateCloseWait)
		})
	}
}

// RFC 9293 3.10.7.4, sixth: "CLOSE-WAIT ...: This should not occur since a FIN
// has been received from the remote side. Ignore the URG."
func TestUrgentAfterFIN(t *testing.T) {
	eachState(t, []tcp.State{tcp.StateCloseWait, tcp.StateClosing, tcp.StateLastAck}, func(t *testing.T, h *harness, s tcp.State) {
		_, rcv := nxt(s)
		h.in(TCP{Seq: rcv, Ack: una(s), Flags: ACK | URG, Urgent: 100})
		h.all()
		h.wantState(s)
		require.Zero(t, h.c.In.Len())
	})
}

// RFC 9293 3.10.7.4, fifth: "If (SND.WL1 < SEG.SEQ or (SND.WL1 = SEG.SEQ and
// SND.WL2 =< SEG.ACK)), set SND.WND <- SEG.WND"
func TestWindowUpdateOrder(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		sees := func(want int) { h.t.Helper(); require.Equal(t, want, h.c.Info().SendWindow) }
		h.write(pattern(200))
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, pattern(200))
		h.in(TCP{Seq: 1, Ack: 101, Flags: ACK, Window: 1000})
		sees(1000)
		h.in(TCP{Seq: 1, Ack: 101, Flags: ACK, Window: 2000}) // same place: newer or equal
		sees(2000)
		h.in(TCP{Seq: 1, Ack: 51, Flags: ACK, Window: 9000}) // older ACK
		sees(2000)
		h.in(TCP{Seq: 1, Ack: 201, Flags: ACK, Window: 3000}, "hello")
		sees(3000)
		h.in(TCP{Seq: 6, Ack: 201, Flags: ACK, Window: 4000}, "world")
		sees(4000)
		h.in(TCP{Seq: 1, Ack: 201, Flags: ACK, Window: 9000}, "hello world") // older SEQ
		h.all()
		require.Contains(t, []int{4000, 9000}, h.c.Info().SendWindow) // its new part starts at 11
		h.in(TCP{Seq: 12, Ack: 201, Flags: ACK, Window: 500})
		sees(500)
	})
}

// RFC 9293 3.8.6: "act on the window information from segments that carry the
// highest acknowledgment number": the peer repeats an old segment with a new ACK and a smaller window.
func TestWindowOfRetransmission(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 8 * ethMSS
		h.to(tcp.StateEstablished)
		h.write(pattern(30 * ethMSS))
		require.Len(t, h.all(), 8)
		h.in(TCP{Seq: 101, Ack: 1, Flags: ACK}, pattern(100)) // its first segment was lost
		h.all()
		h.in(TCP{Seq: 1, Ack: 1 + 8*ethMSS, Flags: ACK, Window: 2 * ethMSS}, pattern(100))
		require.Equal(t, 2*ethMSS, h.c.Info().SendWindow)
		require.Len(t, h.all(), 2)
	})
}

// RFC 9293 MUST-1, 3.1: "The window size MUST be treated as an unsigned number"
func TestWindowIsUnsigned(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 0xffff
		h.to(tcp.StateEstablished)
		require.Equal(t, 0xffff, h.c.Info().SendWindow)
		h.write(pattern(3 * ethMSS))
		require.Len(t, h.all(), 3)
	})
}

// RFC 9293 MUST-5, 3.1: "A TCP implementation MUST be able to receive a TCP
// Option in any segment". Those that belong on a SYN mean nothing elsewhere.
func TestOptionsElsewhere(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		before := h.c.Info()
		o := Options{MSS: 99, HasWindowScale: true, WindowScale: 9, SACKPermitted: true,
			HasTimestamps: true, TSVal: 5, TSEcr: 6, HasUserTimeout: true, UserTimeout: 3}
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Options: o}, "hello")
		h.want(TCP{Seq: 1, Ack: 6, Flags: ACK})
		h.wantRead("hello")
		after := h.c.Info()
		require.Equal(t, before.SendMSS, after.SendMSS)
		require.Equal(t, before.SendScale, after.SendScale)
		require.Equal(t, before.SendWindow, after.SendWindow)
		require.False(t, after.Timestamps)
	})
}

// SACK blocks that were not negotiated, or that are nonsense, are ignored.
func TestWildSACK(t *testing.T) {
	for _, permitted := range []bool{false, true} {
		each(t, func(t *testing.T, h *harness) {
			h.peer.SACKPermitted = permitted
			h.to(tcp.StateEstablished)
			data := pattern(5 * ethMSS)
			h.write(data)
			require.Len(t, h.all(), 5)
			una := h.iss + 1
			for _, blocks := range [][wire.MaxSACKBlocks]wire.SACKBlock{
				{{Start: una + 10, End: una + 5}},
				{{Start: una - 500, End: una - 100}},
				{{Start: una, End: una + 1<<30}},
				{{Start: una + 100_000, End: una + 200_000}},
				{{Start: una + 5, End: una + 5}},
				{{Start: 0, End: 0xffff_ffff}, {Start: 0xffff_ffff, End: 0}, {}, {Start: una + 1<<31, End: una + 1<<31 + 1}},
			} {
				o := Options{NumSACK: wire.MaxSACKBlocks, SACK: blocks}
				h.in(TCP{Seq: 1, Ack: 1, Flags: ACK, Options: o})
				h.all()
			}
			for i := uint32(1); i <= 5; i++ {
				h.in(TCP{Seq: 1, Ack: 1 + i*ethMSS, Flags: ACK})
				h.all()
			}
			require.Zero(t, h.c.Out.Len())
			require.Zero(t, h.c.Info().InFlight)
		})
	}
}

// RFC 9293 MUST-58, 3.10.7.4: "the processing of received segments MUST be
// implemented to aggregate ACK segments whenever possible". MUST-59: "it MUST process them all before sending any ACK"
func TestACKsAreAggregated(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		data := pattern(20 * 1000)
		for i := range 20 {
			h.in(TCP{Seq: uint32(1 + 1000*i), Ack: 1, Flags: ACK}, data[1000*i:][:1000])
		}
		h.in(TCP{Seq: 20_001, Ack: 1, Flags: FIN | ACK})
		h.want(TCP{Seq: 1, Ack: 20_002, Flags: ACK})
		h.wantNone()
		h.wantRead(data)
	})
}

// An acknowledgment rides on data that goes out anyway.
func TestACKRidesOnData(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "question")
		h.write("answer")
		h.want(TCP{Seq: 1, Ack: 9, Flags: ACK}, "answer")
		h.wantNone()
	})
}

// A segment that was received before is dropped, counted and acknowledged.
func TestDuplicateSegment(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "hello")
		h.want(TCP{Seq: 1, Ack: 6, Flags: ACK})
		_, d := h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "hello")
		require.Contains(t, []wire.Drop{wire.DropDuplicate, wire.DropOutOfWindow}, d)
		h.want(TCP{Seq: 1, Ack: 6, Flags: ACK})
		h.wantNone()
		h.wantRead("hello")
		require.EqualValues(t, 5, h.c.Info().BytesReceived)
	})
}

// Bytes of one place never change once they are acknowledged, and never once
// they have been read.
func TestAcknowledgedBytesStay(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "hello")
		h.want(TCP{Seq: 1, Ack: 6, Flags: ACK})
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "HELLO world")
		h.want(TCP{Seq: 1, Ack: 12, Flags: ACK})
		h.wantRead("hello world")
	})
}

// When the memory budget is used up, what arrives is not acknowledged, nothing
// breaks, and the data that comes again later is taken.
func TestNoMemoryForData(t *testing.T) {
	h := newHarness(t)
	h.pool = stream.NewPool(2 * stream.PageSize)
	h.to(tcp.StateEstablished)
	require.True(t, h.pool.Reserve(2*stream.PageSize))
	_, d := h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "hello")
	require.Equal(t, wire.DropNoMemory, d)
	for _, s := range h.all() {
		require.EqualValues(t, 1, s.Ack)
	}
	h.in(TCP{Seq: 100, Ack: 1, Flags: ACK | FIN}, "later")
	for _, s := range h.all() {
		require.EqualValues(t, 1, s.Ack)
	}
	h.wantState(tcp.StateEstablished)
	h.pool.Unreserve(2 * stream.PageSize)
	h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "hello")
	h.want(TCP{Seq: 1, Ack: 6, Flags: ACK})
	h.wantRead("hello")
}

// A device may have merged segments: one of many times the MSS is taken whole,
// and is more than two segments' worth of acknowledging.
func TestReceiveSuperFrame(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.DelayedAck = 200 * time.Millisecond
		h.cfg.RecvBuffer = 1 << 20
		h.to(tcp.StateEstablished)
		next := h.settle()
		h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, pattern(40_000))
		h.want(TCP{Seq: 1, Ack: next + 40_000, Flags: ACK})
		h.wantRead(pattern(40_000))
	})
}

// A closed connection takes nothing and asks for the answer that 3.10.7.1
// gives where no connection is, or for none.
func TestReceiveWhenClosed(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.in(TCP{Seq: 1, Flags: RST})
		h.wantClosed(errno.ConnReset)
		a, d := h.in(TCP{Seq: 1, Ack: 1, Flags: RST | ACK})
		require.Equal(t, tcp.ActionNone, a)
		require.NotEqual(t, wire.DropNone, d)
		_, d = h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "data")
		require.NotEqual(t, wire.DropNone, d)
		for _, s := range h.all() {
			require.True(t, s.Flags.Has(RST))
		}
		h.wantState(tcp.StateClosed)
		require.Zero(t, h.c.In.Len())
	})
}
