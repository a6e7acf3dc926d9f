package tcp_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// RFC 9293 SHLD-28, 3.9.1.2: "a TCP implementation SHOULD send a maximum-sized
// segment whenever possible". SHLD-27: writes of any size become the largest possible segments.
func TestSegmentation(t *testing.T) {
	for _, write := range []int{1, 100, 1000, 2000, 5000} {
		t.Run(fmt.Sprint(write), func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.to(tcp.StateEstablished)
				data := pattern(5000)
				for at := 0; at < len(data); at += write {
					h.write(data[at:min(at+write, len(data))])
				}
				h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:ethMSS])
				h.want(TCP{Seq: 1 + ethMSS, Ack: 1, Flags: ACK}, data[ethMSS:2*ethMSS])
				h.want(TCP{Seq: 1 + 2*ethMSS, Ack: 1, Flags: ACK}, data[2*ethMSS:3*ethMSS])
				h.want(TCP{Seq: 1 + 3*ethMSS, Ack: 1, Flags: ACK}, data[3*ethMSS:])
				h.wantNone()
			})
		})
	}
}

// RFC 9293 MUST-61, 3.9.1.2: "MUST set the PSH bit in the last buffered segment
// (i.e., when there is no more queued data to be sent)"
func TestPSH(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.NoDelay = true
		h.to(tcp.StateEstablished)
		data := pattern(2*ethMSS + 10)
		h.write(data)
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:ethMSS])
		h.want(TCP{Seq: 1 + ethMSS, Ack: 1, Flags: ACK}, data[ethMSS:2*ethMSS])
		h.want(TCP{Seq: 1 + 2*ethMSS, Ack: 1, Flags: ACK | PSH}, data[2*ethMSS:])
		h.in(TCP{Seq: 1, Ack: 1 + uint32(len(data)), Flags: ACK})
		h.write("single")
		h.want(TCP{Seq: 1 + uint32(len(data)), Ack: 1, Flags: ACK | PSH}, "single")
		require.Zero(t, h.want1(FIN)&PSH, "no data, nothing to push")
	})
}

// want1 closes the sending side and returns the flags of the FIN.
func (h *harness) want1(f wire.TCPFlags) wire.TCPFlags {
	h.t.Helper()
	h.closeWrite()
	s, ok := h.send()
	require.True(h.t, ok && s.Flags.Has(f))
	return s.Flags
}

// RFC 9293 SHLD-7, 3.7.4: "A TCP implementation SHOULD implement the Nagle
// algorithm to coalesce short segments", here in the variant of appendix A.3: only a short one that is out holds the next one back.
func TestNagle(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write("a")
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, "a")
		h.write("b")
		h.wantNone()
		h.write("c")
		h.wantNone()
		h.in(TCP{Seq: 1, Ack: 2, Flags: ACK})
		h.want(TCP{Seq: 2, Ack: 1, Flags: ACK}, "bc")
		h.write(pattern(ethMSS + 5))
		h.want(TCP{Seq: 4, Ack: 1, Flags: ACK}, pattern(ethMSS)) // full-sized: at once
		h.wantNone()
		h.in(TCP{Seq: 1, Ack: 4, Flags: ACK}) // no small one is out any more
		h.want(TCP{Seq: 4 + ethMSS, Ack: 1, Flags: ACK}, pattern(ethMSS + 5)[ethMSS:])
	})
}

// RFC 9293 MUST-17, 3.7.4: "there MUST be a way for an application to disable
// the Nagle algorithm on an individual connection"
func TestNoDelay(t *testing.T) {
	t.Run("config", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.cfg.NoDelay = true
			h.to(tcp.StateEstablished)
			for i := range uint32(5) {
				h.write("x")
				h.want(TCP{Seq: 1 + i, Ack: 1, Flags: ACK}, "x")
			}
		})
	})
	t.Run("later", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateEstablished)
			h.write("x")
			h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, "x")
			h.write("y")
			h.wantNone()
			h.c.SetNoDelay(true)
			h.want(TCP{Seq: 2, Ack: 1, Flags: ACK}, "y")
			h.c.SetNoDelay(false)
			h.write("z")
			h.wantNone()
		})
	})
}

// RFC 9293 MUST-60, 3.9.1.2: "MUST NOT buffer data indefinitely": what Nagle
// holds back goes out with the FIN, or when what is out is acknowledged.
func TestNagleAndFIN(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write("a")
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, "a")
		h.write("b")
		h.wantNone()
		h.closeWrite()
		h.want(TCP{Seq: 2, Ack: 1, Flags: FIN | ACK}, "b")
	})
}

// RFC 9293 MUST-38, 3.8.6.2.1: "A TCP implementation MUST include a SWS
// avoidance algorithm in the sender". The window opens in crumbs; no crumb of a segment is sent.
func TestSenderSWS(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.NoDelay = true // it is not Nagle that helps
		h.window = 10 * ethMSS
		h.to(tcp.StateEstablished)
		data := pattern(12 * ethMSS)
		h.write(data)
		require.Len(t, h.all(), 10)
		ack := uint32(1 + 10*ethMSS)
		h.window = 0
		h.in(TCP{Seq: 1, Ack: ack, Flags: ACK, Window: 100}) // a crumb
		h.wantNone()
		h.in(TCP{Seq: 1, Ack: ack, Flags: ACK, Window: 500})
		h.wantNone()
		h.in(TCP{Seq: 1, Ack: ack, Flags: ACK, Window: ethMSS - 1})
		h.wantNone()
		h.in(TCP{Seq: 1, Ack: ack, Flags: ACK, Window: ethMSS})
		h.want(TCP{Seq: ack, Ack: 1, Flags: ACK}, data[10*ethMSS:11*ethMSS])
		h.wantNone()
	})
}

// RFC 9293 3.8.6.2.1, (3): "at least a fraction Fs of the maximum window can be
// sent": a peer whose whole buffer is smaller than a segment must get data at once.
func TestSenderSWSSmallPeer(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 500
		h.to(tcp.StateEstablished)
		data := pattern(1500)
		h.write(data)
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:500])
		h.wantNone()
		h.in(TCP{Seq: 1, Ack: 501, Flags: ACK, Window: 250})
		h.want(TCP{Seq: 501, Ack: 1, Flags: ACK}, data[500:750])
		h.in(TCP{Seq: 1, Ack: 751, Flags: ACK, Window: 500})
		h.want(TCP{Seq: 751, Ack: 1, Flags: ACK}, data[750:1250])
	})
}

// RFC 9293 3.8.6.2.1, (4): "or if the override timeout occurs." A window that
// stays small must not be a deadlock.
func TestSWSOverride(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.NoDelay = true
		h.window = 10 * ethMSS
		h.to(tcp.StateEstablished)
		data := pattern(11 * ethMSS)
		h.write(data)
		require.Len(t, h.all(), 10)
		ack := uint32(1 + 10*ethMSS)
		h.in(TCP{Seq: 1, Ack: ack, Flags: ACK, Window: 100})
		got, ok := h.next(2 * time.Second)
		require.True(t, ok, "a timer must override")
		require.Equal(t, ack, got.Seq)
		require.NotEmpty(t, got.data)
		require.LessOrEqual(t, len(got.data), 100)
	})
}

// RFC 9293 MUST-34, 3.8.6: "a sending TCP peer MUST be robust against window
// shrinking, which may cause the 'usable window' to become negative". SHLD-15: no new data then.
// SHLD-16: the old data within the window is retransmitted normally.
func TestWindowShrinks(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 4 * ethMSS
		h.to(tcp.StateEstablished)
		data := pattern(8 * ethMSS)
		h.write(data)
		require.Len(t, h.all(), 4)
		h.window = 2 * ethMSS
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}) // two segments beyond the edge now
		h.wantNone()
		h.wantAfter(h.c.Info().RTO, TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:ethMSS])
		h.wantNone()
		h.in(TCP{Seq: 1, Ack: 1 + 2*ethMSS, Flags: ACK})
		for _, s := range h.all() {
			require.LessOrEqual(t, s.Seq+uint32(len(s.data)), uint32(1+4*ethMSS), "nothing new")
		}
		h.in(TCP{Seq: 1, Ack: 1 + 4*ethMSS, Flags: ACK, Window: 65535})
		segs := h.all()
		require.NotEmpty(t, segs)
		require.EqualValues(t, 1+4*ethMSS, segs[0].Seq)
	})
}

// RFC 9293 SHLD-16, 3.8.6: the sender "SHOULD retransmit normally the old
// unacknowledged data between SND.UNA and SND.UNA+SND.WND", however little that is.
func TestRetransmitInSmallWindow(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 4 * ethMSS
		h.to(tcp.StateEstablished)
		h.write(pattern(4 * ethMSS))
		require.Len(t, h.all(), 4)
		h.window = 100
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
		h.wantNone()
		h.wantAfter(h.c.Info().RTO, TCP{Seq: 1, Ack: 1, Flags: ACK}, pattern(100))
		h.wantNone()
		h.in(TCP{Seq: 1, Ack: 101, Flags: ACK})
		h.want(TCP{Seq: 101, Ack: 1, Flags: ACK}, pattern(200)[100:])
	})
}

// RFC 9293 SHLD-17, 3.8.6: "SHOULD NOT time out the connection if data beyond the
// right window edge is not acknowledged". MUST-35: the window that shrank to zero is probed. MUST-37: as long as the peer answers.
func TestWindowShrinksToZero(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.RetransmitLimit = 3
		h.window = 4 * ethMSS
		h.to(tcp.StateEstablished)
		h.write(pattern(4 * ethMSS))
		require.Len(t, h.all(), 4)
		h.window = 0
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
		for range 30 {
			got, ok := h.next(2 * time.Minute)
			require.True(t, ok, "the window must be probed")
			require.NotEmpty(t, got.data)
			h.all()
			h.advance(roundTrip)
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
		}
		h.wantState(tcp.StateEstablished)
		h.window = 65535
		h.in(TCP{Seq: 1, Ack: 1 + 4*ethMSS, Flags: ACK})
		require.Zero(t, h.c.Out.Len())
	})
}

// RFC 9293 MUST-36, 3.8.6.1: "Probing of zero (offered) windows MUST be
// supported". SHLD-29: the first after an RTO; SHLD-30: "SHOULD increase exponentially the interval between successive probes"
func TestZeroWindowProbes(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write("hello")
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, "hello")
		h.window = 0
		h.advance(roundTrip)
		h.in(TCP{Seq: 1, Ack: 6, Flags: ACK})
		h.write(pattern(3000))
		h.wantNone()
		d := h.c.Info().RTO
		for range 4 {
			got := h.probe(d)
			require.EqualValues(t, 6, got.Seq)
			require.Len(t, got.data, 1)
			h.wantNone()
			h.in(TCP{Seq: 1, Ack: 6, Flags: ACK})
			h.wantNone()
			d *= 2
		}
		h.window = 65535
		h.in(TCP{Seq: 1, Ack: 6, Flags: ACK})
		h.want(TCP{Seq: 6, Ack: 1, Flags: ACK}, pattern(3000)[:ethMSS])
	})
}

// probe waits for a window probe, which comes after d.
func (h *harness) probe(d time.Duration) segment {
	h.t.Helper()
	from := h.now
	got, ok := h.next(d + tolerance)
	if !ok {
		h.fail("no probe for %v", d)
	}
	if took := h.now.Sub(from); took < d-tolerance {
		h.fail("probe after %v, not %v", took, d)
	}
	return got
}

// RFC 9293 MUST-37, 3.8.6.1: "As long as the receiving TCP peer continues to send
// acknowledgments in response to the probe segments, the sending TCP peer MUST allow the connection to stay open"
func TestProbesForEver(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.RetransmitLimit = 3
		if h.iss == 0 {
			h.cfg.UserTimeout = 10 * time.Second // is of unanswered data
		}
		h.to(tcp.StateEstablished)
		h.window = 0
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
		h.write("waiting")
		end := h.now.Add(24 * time.Hour)
		n := 0
		for h.now < end {
			_, ok := h.next(2 * time.Minute)
			require.True(t, ok, "probing must not stop")
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
			n++
		}
		h.wantState(tcp.StateEstablished)
		require.Less(t, n, 24*60*3, "and stay slow")
		h.window = 65535
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, "waiting")
	})
}

// RFC 6429 3: a window that a peer keeps closed does not hold the memory of a
// connection for ever whose user has gone.
func TestOrphanProbes(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.OrphanRetries = 4
		h.to(tcp.StateEstablished)
		h.window = 0
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
		h.write("waiting")
		h.close()
		n := 0
		for ; n < 50; n++ {
			if _, ok := h.next(time.Hour); !ok {
				break
			}
			if h.c.State() != tcp.StateClosed {
				h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
			}
		}
		h.wantState(tcp.StateClosed)
		require.Less(t, n, 8)
	})
}

// RFC 9293 MUST-20, 3.8.3: probes that nobody answers end the connection.
func TestProbesUnanswered(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.RetransmitLimit = 5
		h.to(tcp.StateEstablished)
		h.window = 0
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
		h.write("waiting")
		n := 0
		for ; n < 50; n++ {
			if _, ok := h.next(time.Hour); !ok {
				break
			}
		}
		require.Equal(t, 5, n)
		h.wantClosed(errno.TimedOut)
	})
}

// The probe's byte may have been taken: the next data starts after it.
func TestProbeByteIsTaken(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.window = 0
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
		h.write("waiting")
		got, ok := h.next(time.Minute)
		require.True(t, ok)
		h.window = 65535
		n := uint32(len(got.data))
		h.in(TCP{Seq: 1, Ack: 1 + n, Flags: ACK})
		h.want(TCP{Seq: 1 + n, Ack: 1, Flags: ACK}, "waiting"[n:])
		h.in(TCP{Seq: 1, Ack: 8, Flags: ACK})
		require.Zero(t, h.c.Out.Len())
		h.wantIdle()
	})
}

// A FIN needs room in the window as well, and gets out of a closed one.
func TestFINAndZeroWindow(t *testing.T) {
	for _, data := range []string{"", "data"} {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateEstablished)
			h.window = 0
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
			if data != "" {
				h.write(data)
			}
			h.closeWrite()
			for range 3 {
				if _, ok := h.next(time.Minute); ok {
					h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
				}
			}
			h.window = 1000
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
			end := uint32(2 + len(data))
			got, ok := h.next(time.Minute)
			require.True(t, ok)
			for range 5 {
				if got.Flags.Has(FIN) {
					break
				}
				got, ok = h.next(time.Minute)
				require.True(t, ok)
			}
			require.Equal(t, end, got.Seq+uint32(len(got.data))+1)
			h.in(TCP{Seq: 1, Ack: end, Flags: ACK})
			h.wantState(tcp.StateFinWait2)
		})
	}
}

// RFC 9293 3.8.6: a window that is lost on its way, in an update that nobody
// acknowledges, is found again by a probe.
func TestLostWindowUpdate(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.window = 1000
		h.to(tcp.StateEstablished)
		h.write(pattern(3000))
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, pattern(1000))
		h.window = 0
		h.in(TCP{Seq: 1, Ack: 1001, Flags: ACK})
		// the update with 1000 is lost here
		_, ok := h.next(time.Minute)
		require.True(t, ok, "somebody has to ask")
		h.window = 1000
		h.in(TCP{Seq: 1, Ack: 1001, Flags: ACK})
		h.want(TCP{Seq: 1001, Ack: 1, Flags: ACK}, pattern(2000)[1000:])
	})
}

// RFC 9293 MUST-39, 3.8.6.2.2: "A TCP implementation MUST include a SWS
// avoidance algorithm in the receiver": RCV.NXT+RCV.WND stays until min(RCV.BUFF/2, MSS) can be added.
func TestReceiverSWS(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.RecvBuffer = 8 * ethMSS
		h.to(tcp.StateEstablished)
		wnd := h.c.Info().RecvWindow
		require.Positive(t, wnd)
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, pattern(wnd))
		edge := uint32(1 + wnd)
		got := h.want(TCP{Seq: 1, Ack: edge, Flags: ACK})
		require.Zero(t, got.Window)
		require.False(t, h.c.WindowUpdateDue())
		for range 10 { // crumbs
			h.read(ethMSS / 12)
			require.False(t, h.c.WindowUpdateDue())
			h.wantNone()
		}
		h.in(TCP{Seq: edge, Ack: 1, Flags: ACK}, "x") // probe
		got = h.want(TCP{Seq: 1, Ack: edge, Flags: ACK})
		require.Zero(t, got.Window, "no crumb of a window")
		h.read(2 * ethMSS)
		require.True(t, h.c.WindowUpdateDue())
		got = h.want(TCP{Seq: 1, Ack: edge, Flags: ACK})
		require.GreaterOrEqual(t, got.Window, uint16(ethMSS))
		h.wantNone()
		require.False(t, h.c.WindowUpdateDue())
	})
}

// A window update goes out as soon as a user who was slow has read; a user who
// keeps up causes none.
func TestWindowUpdate(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.RecvBuffer = 16384
		h.to(tcp.StateEstablished)
		wnd := h.c.Info().RecvWindow
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, pattern(wnd/2))
		h.all()
		h.in(TCP{Seq: uint32(1 + wnd/2), Ack: 1, Flags: ACK}, pattern(wnd-wnd/2))
		h.all()
		h.wantNone()
		h.read(1 << 20)
		require.True(t, h.c.WindowUpdateDue())
		got := h.want(TCP{Seq: 1, Ack: uint32(1 + wnd), Flags: ACK})
		require.GreaterOrEqual(t, int(got.Window), wnd/2)
		h.wantNone()
		h.wantIdle() // updates are not retransmitted
	})
}

// What WindowUpdateDue says, Send does: not before the connection is open, and
// not for a reader who wants no more.
func TestNoWindowUpdate(t *testing.T) {
	t.Run("syn-received", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.cfg.RecvBuffer = 200_000
			h.peer.HasWindowScale = true
			h.to(tcp.StateSynReceived)
			h.in(TCP{Seq: 0, Ack: 1, Flags: ACK}) // a keep-alive of who thinks that it is open
			h.all()
			require.False(t, h.c.WindowUpdateDue())
			h.wantNone()
		})
	})
	t.Run("close read", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.cfg.RecvBuffer = 8192
			h.to(tcp.StateEstablished)
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, pattern(8192))
			h.all()
			h.closeRead()
			h.all()
			h.in(TCP{Seq: 8193, Ack: 1, Flags: ACK}, "x")
			h.all()
			h.read(1 << 20)
			require.False(t, h.c.WindowUpdateDue())
			h.wantNone()
		})
	})
}

// After the peer's FIN there is nothing to open a window for.
func TestNoWindowUpdateAfterFIN(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.RecvBuffer = 8192
		h.to(tcp.StateEstablished)
		h.in(TCP{Seq: 1, Ack: 1, Flags: FIN | ACK}, pattern(7000))
		h.want(TCP{Seq: 1, Ack: 7002, Flags: ACK})
		h.read(1 << 20)
		h.wantNone()
		require.False(t, h.c.WindowUpdateDue())
	})
}

// RFC 9293 SHLD-14, 3.8.6, "SHOULD NOT shrink the window": checked by the laws of the harness
// while a user reads now and then and segments of all sizes arrive.
func TestRightEdgeNeverMovesBack(t *testing.T) {
	for _, scale := range []bool{false, true} {
		for _, buffer := range []int{4096, 5000, 65535, 65536, 100_000, 300_001, 1 << 20} {
			each(t, func(t *testing.T, h *harness) {
				h.cfg.RecvBuffer = buffer
				h.peer.HasWindowScale = scale
				h.to(tcp.StateEstablished)
				next := uint32(1)
				for i := range 400 {
					room := int(int32(h.ourEdge - next))
					n := min(1+i*37%1400, room)
					if n > 0 {
						h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, pattern(n))
						next += uint32(n)
					} else {
						h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, "x")
					}
					h.all()
					if i%7 == 0 {
						h.read(i * 13 % 5000)
						h.all()
					}
				}
			})
		}
	}
}

// A buffer that is reduced while the connection is open shrinks the window
// only as data arrives.
func TestRecvBufferShrinks(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.RecvBuffer = 32768
		h.to(tcp.StateEstablished)
		edge := h.ourEdge
		h.c.In.SetLimit(4096)
		next := uint32(1)
		for int32(edge-next) >= 1000 {
			h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, pattern(1000))
			got := h.all()
			if len(got) == 0 || got[0].Ack != next+1000 {
				return // the limit was reached: it was not taken, which is allowed
			}
			next += 1000
		}
	})
}

// The path's limit changes: what is out and too big goes again, smaller.
func TestSetMTU(t *testing.T) {
	t.Run("lower", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateEstablished)
			data := pattern(6 * ethMSS)
			h.write(data)
			require.Len(t, h.all(), 6)
			h.mtu = 1020
			h.c.SetMTU(h.now, 1020)
			require.Equal(t, 1000, h.c.Info().SendMSS)
			h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, data[:1000])
			acked := 0
			for range 100 {
				if acked == len(data) {
					break
				}
				h.advance(roundTrip)
				acked = min(acked+1000, len(data))
				h.in(TCP{Seq: 1, Ack: uint32(1 + acked), Flags: ACK})
				h.all()
			}
			require.Zero(t, h.c.Out.Len())
		})
	})
	t.Run("higher", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.mtu, h.room = 1020, ethMTU
			h.to(tcp.StateEstablished)
			h.write(pattern(5000))
			h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, pattern(1000))
			h.mtu = ethMTU
			h.c.SetMTU(h.now, ethMTU)
			h.want(TCP{Seq: 1001, Ack: 1, Flags: ACK}, pattern(5000)[1000:][:ethMSS])
		})
	})
	t.Run("not above the peer's MSS", func(t *testing.T) {
		h := newHarness(t)
		h.peer.MSS = 900
		h.to(tcp.StateEstablished)
		h.c.SetMTU(h.now, 9000)
		require.Equal(t, 900, h.c.Info().SendMSS)
	})
	t.Run("silly", func(t *testing.T) {
		for _, mtu := range []int{-1, 0, 1, 20, 21, 40, 68} {
			h := newHarness(t)
			h.to(tcp.StateEstablished)
			h.write(pattern(300))
			h.all()
			h.c.SetMTU(h.now, mtu)
			require.Positive(t, h.c.Info().SendMSS)
			h.mtu = ethMTU // a floor is in order
			h.pump()
			for range 50 {
				if h.c.Out.Len() == 0 {
					break
				}
				s, ok := h.next(time.Minute)
				require.True(t, ok)
				h.in(TCP{Seq: 1, Ack: s.Seq + uint32(len(s.data)), Flags: ACK})
			}
			require.Zero(t, h.c.Out.Len())
		}
	})
}

// RFC 5927 4.1: InFlight says what an ICMP error may be about.
func TestInFlight(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		is := func(seq uint32) bool { return h.c.InFlight(tcp.Seq(h.iss + seq)) }
		h.to(tcp.StateSynSent)
		require.True(t, is(0))
		require.False(t, is(1))
		h.in(TCP{Ack: 1, Flags: SYN | ACK, Options: h.peer})
		h.all()
		require.False(t, is(0))
		require.False(t, is(1))
		h.write(pattern(100))
		require.False(t, is(1), "not sent yet")
		h.all()
		require.True(t, is(1))
		require.True(t, is(100))
		require.False(t, is(0))
		require.False(t, is(1<<31))
		h.in(TCP{Seq: 1, Ack: 51, Flags: ACK})
		require.False(t, is(50))
		require.True(t, is(51))
		h.closeWrite()
		h.all()
		require.True(t, is(101), "the FIN")
		h.in(TCP{Seq: 1, Ack: 102, Flags: ACK})
		require.False(t, is(101))
	})
}

// A super-frame is cut by the device: it holds whole segments, respects both
// windows, and its bytes are in order.
func TestSuperFrame(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.room = 64 << 10
		h.peer.HasTimestamps = true
		h.to(tcp.StateEstablished)
		data := pattern(60_000)
		h.write(data)
		var sent int
		for _, s := range h.all() {
			require.EqualValues(t, 1+sent, s.Seq)
			if s.size != 0 {
				require.EqualValues(t, ethMSS-12, s.size)
				require.Greater(t, len(s.data), int(s.size))
			}
			sent += len(s.data)
		}
		require.LessOrEqual(t, sent, 10*ethMSS, "no more than the initial window")
		require.Greater(t, sent, 8*ethMSS)
		acked := 0
		for range 100 {
			if acked == len(data) {
				break
			}
			h.advance(roundTrip)
			acked = sent
			h.in(TCP{Seq: 1, Ack: uint32(1 + acked), Flags: ACK})
			for _, s := range h.all() {
				require.EqualValues(t, 1+sent, s.Seq)
				sent += len(s.data)
			}
		}
		require.Zero(t, h.c.Out.Len())
	})
}

// Events tell the user when there is room again.
func TestWritableEvent(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.SendBuffer = 8192
		h.to(tcp.StateEstablished)
		h.c.TakeEvents()
		h.write(pattern(8192))
		require.Zero(t, h.c.Out.Room())
		h.all()
		require.Zero(t, h.c.TakeEvents()&tcp.EventWritable)
		h.in(TCP{Seq: 1, Ack: 1 + 4096, Flags: ACK})
		h.wantEvents(tcp.EventWritable)
		require.Zero(t, h.c.TakeEvents())
		require.Equal(t, 4096, h.c.Out.Room())
	})
}

// Data that is out can be acknowledged in any portions, and the stream gives
// back exactly that much.
func TestPartialACKs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		data := pattern(5 * ethMSS)
		h.write(data)
		require.Len(t, h.all(), 5)
		for _, n := range []uint32{1, 2, 1000, ethMSS, ethMSS + 1, 3*ethMSS - 1, 5 * ethMSS} {
			h.in(TCP{Seq: 1, Ack: 1 + n, Flags: ACK})
			h.wantNone()
			require.EqualValues(t, n, h.c.Out.Start())
			require.Equal(t, 5*ethMSS-int(n), h.c.Info().InFlight)
		}
		h.wantIdle()
	})
}

// The counters of Info are the truth.
func TestInfoCounters(t *testing.T) {
	h := newHarness(t)
	h.to(tcp.StateEstablished)
	h.write(pattern(3 * ethMSS))
	require.Len(t, h.all(), 3)
	h.in(TCP{Seq: 1, Ack: 1 + ethMSS, Flags: ACK}, "hello")
	h.all()
	h.in(TCP{Seq: 100, Ack: 1 + ethMSS, Flags: ACK}, "later")
	h.all()
	i := h.c.Info()
	require.Equal(t, tcp.StateEstablished, i.State)
	require.EqualValues(t, 1+3+2, i.SegmentsSent)     // SYN,ACK, data, ACKs
	require.EqualValues(t, 1+1+1, i.SegmentsReceived) // the SYN was the listener's
	require.EqualValues(t, 3*ethMSS, i.BytesSent)
	require.EqualValues(t, ethMSS, i.BytesAcked)
	require.EqualValues(t, 5, i.BytesReceived)
	require.Equal(t, 2*ethMSS, i.InFlight)
	require.Equal(t, 2*ethMSS, i.SendQueue)
	require.Equal(t, 5, i.RecvQueue)
	require.EqualValues(t, 1, i.OutOfOrder)
	require.Zero(t, i.Retransmits)
	h.next(time.Minute) // RTO
	i = h.c.Info()
	require.EqualValues(t, 1, i.Retransmits)
	require.EqualValues(t, 1, i.Timeouts)
	require.EqualValues(t, 4*ethMSS, i.BytesSent)
	require.NotEmpty(t, i.CongestionControl)
}

// RFC 9293 3.8.6.2.1, (4): a window that opens by less than is worth a segment is used
// after the override timeout, however rarely it was probed while it was closed.
func TestOverrideAfterProbes(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write("hello")
		h.all()
		h.window = 0
		h.in(TCP{Seq: 1, Ack: 6, Flags: ACK})
		h.write(pattern(3000))
		for range 8 {
			_, ok := h.next(time.Minute)
			require.True(t, ok)
			h.in(TCP{Seq: 1, Ack: 6, Flags: ACK})
		}
		h.window = 500
		h.in(TCP{Seq: 1, Ack: 7, Flags: ACK}) // it has taken the probe
		got, ok := h.next(time.Second + tolerance)
		require.True(t, ok)
		require.Len(t, got.data, 500)
	})
}

// A buffer that is smaller than the path's MTU has room for what is sent and no more,
// with blocks of SACK as well.
func TestSmallBuffer(t *testing.T) {
	for room := 61; room <= ethMTU; room += 3 {
		h := newHarness(t)
		h.room = room
		h.sacking().stamping().to(tcp.StateEstablished)
		h.in(TCP{Seq: 11, Ack: 1, Flags: ACK}, "later")
		h.in(TCP{Seq: 31, Ack: 1, Flags: ACK}, "and later")
		h.write(pattern(3000))
		for h.c.Info().Outstanding < 3000 {
			_, ok := h.next(time.Minute)
			require.True(t, ok)
		}
	}
}
