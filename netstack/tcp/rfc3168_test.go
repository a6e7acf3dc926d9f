package tcp_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/congestion"
	"smolnet/netstack/siphash"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// toECN makes the connection one with ECN that the peer has opened.
func (h *harness) toECN() {
	h.t.Helper()
	h.init()
	syn := h.fromPeer(TCP{Flags: SYN | ECE | CWR, Options: h.peer})
	h.noteSegment("accept <", &TCP{Flags: SYN | ECE | CWR}, "")
	h.c.Accept(h.now, tcp.Seq(h.iss), h.mtu, &syn)
	h.want(TCP{Seq: 0, Ack: 1, Flags: SYN | ACK | ECE})
	h.advance(roundTrip)
	h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
	h.wantState(tcp.StateEstablished)
	require.True(h.t, h.c.Info().ECN)
}

// echo acknowledges everything below n bytes of data, and tells of marks.
func (h *harness) echo(n int) {
	h.t.Helper()
	h.in(TCP{Seq: 1, Ack: uint32(1 + n), Flags: ACK | ECE})
}

// RFC 3168 6.1.1: an active open asks for ECN with ECE and CWR on its SYN if it is to,
// and has it if the SYN-ACK has ECE alone.
func TestECNAsk(t *testing.T) {
	for _, tt := range []struct {
		mode      tcp.ECNMode
		asks, got wire.TCPFlags
		on        bool
	}{
		{tcp.ECNAsk, ECE | CWR, ECE, true},
		{tcp.ECNAsk, ECE | CWR, ECE | wire.AE, true},
		{tcp.ECNAsk, ECE | CWR, 0, false},
		{tcp.ECNAsk, ECE | CWR, ECE | CWR, false}, // sent back by one who does not know them
		{tcp.ECNAsk, ECE | CWR, CWR, false},
		{tcp.ECNAccept, 0, 0, false},
		{tcp.ECNAccept, 0, ECE, false}, // a SYN-ACK that agrees to what was not asked
		{tcp.ECNOff, 0, ECE, false},
	} {
		t.Run(fmt.Sprint(tt.mode, tt.got), func(t *testing.T) {
			h := newHarness(t)
			h.cfg.ECN = tt.mode
			h.connect()
			s := h.want(TCP{Seq: 0, Flags: SYN | tt.asks})
			require.Equal(t, wire.NotECT, s.ecn, "RFC 3168 6.1.1: a SYN has no ECT")
			h.in(TCP{Seq: 0, Ack: 1, Flags: SYN | ACK | tt.got})
			s = h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
			require.Equal(t, wire.NotECT, s.ecn, "RFC 3168 6.1.4: a pure acknowledgment has no ECT")
			require.Equal(t, tt.on, h.c.Info().ECN)
			h.write("x")
			s = h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, "x")
			require.Equal(t, tt.on, s.ecn == wire.ECT0, "RFC 3168 6.1.1: data has ECT only if it was negotiated")
		})
	}
}

// RFC 3168 6.1.1: a passive open answers a SYN that asks with ECE. RFC 3168 6.1.1: the SYN-ACK to other ones is
// without. RFC 3168 6.1.1: who has it off clears both.
// RFC 9768 3.1.2: a SYN with AE as well asks for this too.
func TestECNAccept(t *testing.T) {
	for _, tt := range []struct {
		mode   tcp.ECNMode
		syn    wire.TCPFlags
		answer wire.TCPFlags
	}{
		{tcp.ECNAccept, ECE | CWR, ECE},
		{tcp.ECNAccept, ECE | CWR | wire.AE, ECE},
		{tcp.ECNAsk, ECE | CWR, ECE},
		{tcp.ECNMode(77), ECE | CWR, ECE},
		{tcp.ECNAccept, 0, 0},
		{tcp.ECNAccept, ECE, 0},
		{tcp.ECNAccept, CWR, 0},
		{tcp.ECNAccept, wire.AE, 0},
		{tcp.ECNOff, ECE | CWR, 0}, // and neither a reset nor silence
		{tcp.ECNOff, ECE | CWR | wire.AE, 0},
	} {
		t.Run(fmt.Sprint(tt.mode, tt.syn), func(t *testing.T) {
			h := newHarness(t)
			h.cfg.ECN = tt.mode
			h.init()
			syn := h.fromPeer(TCP{Flags: SYN | tt.syn, Options: h.peer})
			action, drop := tcp.CheckListen(&syn)
			require.Equal(t, [2]any{tcp.ActionNone, wire.DropNone}, [2]any{action, drop})
			h.c.Accept(h.now, tcp.Seq(h.iss), h.mtu, &syn)
			s := h.want(TCP{Seq: 0, Ack: 1, Flags: SYN | ACK | tt.answer})
			require.Equal(t, wire.NotECT, s.ecn, "RFC 3168 6.1.1: a SYN-ACK has no ECT")
			h.wantAfter(time.Second, TCP{Seq: 0, Ack: 1, Flags: SYN | ACK | tt.answer})
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
			require.Equal(t, tt.answer != 0, h.c.Info().ECN)
			h.write("x")
			require.Equal(t, tt.answer != 0, h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, "x").ecn == wire.ECT0)
		})
	}
}

// RFC 3168 6.1.1.1: after two SYNs that were lost the next one does not ask. Whatever is
// answered, the connection sends no ECT; but if the answer is to one that asked, the
// peer's marks are echoed.
func TestECNFallback(t *testing.T) {
	for _, answer := range []wire.TCPFlags{0, ECE} {
		h := newHarness(t)
		h.cfg.ECN = tcp.ECNAsk
		h.connect()
		h.want(TCP{Seq: 0, Flags: SYN | ECE | CWR})
		h.wantAfter(time.Second, TCP{Seq: 0, Flags: SYN | ECE | CWR})
		h.wantAfter(2*time.Second, TCP{Seq: 0, Flags: SYN})
		h.wantAfter(4*time.Second, TCP{Seq: 0, Flags: SYN})
		h.in(TCP{Seq: 0, Ack: 1, Flags: SYN | ACK | answer})
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
		require.False(t, h.c.Info().ECN)
		h.marked = true
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "data")
		h.want(TCP{Seq: 1, Ack: 5, Flags: ACK | answer})
		h.write("x")
		require.Equal(t, wire.NotECT, h.want(TCP{Seq: 1, Ack: 5, Flags: ACK | answer}, "x").ecn)
	}
}

// RFC 3168 6.1.1: a SYN that comes again without ECE and CWR ends what the first one had
// begun.
func TestECNPeerFallback(t *testing.T) {
	h := newHarness(t)
	h.init()
	syn := h.fromPeer(TCP{Flags: SYN | ECE | CWR, Options: h.peer})
	h.c.Accept(h.now, tcp.Seq(h.iss), h.mtu, &syn)
	h.want(TCP{Seq: 0, Ack: 1, Flags: SYN | ACK | ECE})
	h.in(TCP{Seq: 0, Flags: SYN, Options: h.peer})
	h.want(TCP{Seq: 0, Ack: 1, Flags: SYN | ACK})
	h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
	require.False(t, h.c.Info().ECN)
}

// Simultaneous opens have ECN if both SYNs ask, RFC 3168 6.1.1.
func TestECNSimultaneousOpen(t *testing.T) {
	for _, tt := range []struct {
		mode        tcp.ECNMode
		syn, synAck wire.TCPFlags
		on          bool
	}{
		{tcp.ECNAsk, ECE | CWR, ECE, true},
		{tcp.ECNAsk, ECE | CWR, 0, false},
		{tcp.ECNAsk, 0, 0, false},
		{tcp.ECNAccept, ECE | CWR, 0, false},
	} {
		h := newHarness(t)
		h.cfg.ECN = tt.mode
		h.connect()
		h.all()
		h.in(TCP{Seq: 0, Flags: SYN | tt.syn, Options: h.peer})
		s, _ := h.send()
		require.Equal(t, tt.mode == tcp.ECNAsk && tt.syn != 0, s.Flags.Has(ECE))
		require.False(t, s.Flags.Has(CWR))
		h.in(TCP{Seq: 0, Ack: 1, Flags: SYN | ACK | tt.synAck})
		h.wantState(tcp.StateEstablished)
		require.Equal(t, tt.on, h.c.Info().ECN)
	}
}

// RFC 3168 6.1.3: a mark sets ECE in all acknowledgments, also those on data, until CWR
// arrives; a CWR that is marked itself sets it anew. RFC 3168 6.1.5: marks on what lies
// outside of the window are ignored, and so are those without data.
func TestECNReceiver(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.toECN()
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, "a")
		h.want(TCP{Seq: 1, Ack: 2, Flags: ACK})
		h.marked = true
		h.in(TCP{Seq: 2, Ack: 1, Flags: ACK}, "b")
		h.want(TCP{Seq: 1, Ack: 3, Flags: ACK | ECE})
		h.in(TCP{Seq: 3, Ack: 1, Flags: ACK}, "c")
		h.want(TCP{Seq: 1, Ack: 4, Flags: ACK | ECE})
		h.write("x")
		h.want(TCP{Seq: 1, Ack: 4, Flags: ACK | ECE}, "x")
		h.in(TCP{Seq: 4, Ack: 2, Flags: ACK | CWR}) // without data: no packet that is new
		h.in(TCP{Seq: 4, Ack: 2, Flags: ACK}, "d")
		h.want(TCP{Seq: 2, Ack: 5, Flags: ACK | ECE})
		h.in(TCP{Seq: 5, Ack: 2, Flags: ACK | CWR}, "e")
		h.want(TCP{Seq: 2, Ack: 6, Flags: ACK})
		h.marked = true
		h.in(TCP{Seq: 6, Ack: 2, Flags: ACK | CWR}, "f")
		h.want(TCP{Seq: 2, Ack: 7, Flags: ACK | ECE})
		h.in(TCP{Seq: 7, Ack: 2, Flags: ACK | CWR}, "g")
		h.want(TCP{Seq: 2, Ack: 8, Flags: ACK})
		h.marked = true
		h.in(TCP{Seq: 9, Ack: 2, Flags: ACK}, "i") // beyond a gap
		h.want(TCP{Seq: 2, Ack: 8, Flags: ACK | ECE})
		h.in(TCP{Seq: 8, Ack: 2, Flags: ACK | CWR}, "h")
		h.want(TCP{Seq: 2, Ack: 10, Flags: ACK})
		require.EqualValues(t, 3, h.c.Info().MarksReceived)

		for _, s := range []struct {
			at   uint32
			data string
		}{{1, "a"}, {80_000, "z"}, {10, ""}} {
			h.marked = true
			h.in(TCP{Seq: s.at, Ack: 2, Flags: ACK}, s.data)
			h.all()
		}
		h.in(TCP{Seq: 10, Ack: 2, Flags: ACK}, "j")
		h.want(TCP{Seq: 2, Ack: 11, Flags: ACK})
		require.EqualValues(t, 3, h.c.Info().MarksReceived)
	})
}

// RFC 3168 6.1.3: a delayed acknowledgment has ECE if any of the packets that it covers
// was marked; the first mark is not delayed.
func TestECNDelayedAck(t *testing.T) {
	h := newHarness(t)
	h.cfg.DelayedAck = 40 * time.Millisecond
	h.toECN()
	seq := uint32(1)
	for range 40 { // until acknowledgments are delayed
		h.in(TCP{Seq: seq, Ack: 1, Flags: ACK}, "x")
		h.next(time.Second)
		seq++
	}
	h.in(TCP{Seq: seq, Ack: 1, Flags: ACK}, "x")
	h.wantNone()
	h.marked = true
	h.in(TCP{Seq: seq + 1, Ack: 1, Flags: ACK}, "x")
	h.want(TCP{Seq: 1, Ack: seq + 2, Flags: ACK | ECE})
	h.in(TCP{Seq: seq + 2, Ack: 1, Flags: ACK}, "x")
	h.wantAfter(40*time.Millisecond, TCP{Seq: 1, Ack: seq + 3, Flags: ACK | ECE})
}

// A receiver that did not agree ignores marks and CWR, and a sender ECE.
func TestECNWithoutAgreement(t *testing.T) {
	h := newHarness(t)
	h.to(tcp.StateEstablished)
	h.marked = true
	h.in(TCP{Seq: 1, Ack: 1, Flags: ACK | CWR}, "a")
	h.want(TCP{Seq: 1, Ack: 2, Flags: ACK})
	at := h.cwnd()
	segs := h.flight(4)
	require.Len(t, segs, 4)
	h.in(TCP{Seq: 2, Ack: uint32(1 + 4*ethMSS), Flags: ACK | ECE})
	require.GreaterOrEqual(t, h.cwnd(), at)
	i := h.c.Info()
	require.Zero(t, i.MarksReceived+i.MarksEchoed+i.MarkReductions)
}

// RFC 3168 6.1.2: ECE halves the window as a loss does, once for a window of data: what
// was out then is acknowledged with ECE as well. The next new data has CWR, the data after
// it has not, and all new data has ECT(0).
func TestECNSender(t *testing.T) {
	for _, sack := range []bool{false, true} {
		t.Run(fmt.Sprint("sack ", sack), func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.peer.SACKPermitted = sack
				h.toECN()
				n := h.open(20)
				from := h.cwnd()
				h.write(pattern2(len(h.out), 40*ethMSS))
				segs := h.all()
				require.Equal(t, from/ethMSS, len(segs))
				// RFC 3168 6.1.2: acknowledgments with ECE do not increase the window.
				last := from
				for i, s := range segs {
					require.LessOrEqual(t, h.cwnd(), last)
					last = h.cwnd()
					require.Equal(t, wire.ECT0, s.ecn)
					require.False(t, s.Flags.Has(CWR))
					h.advance(time.Millisecond)
					h.echo(n + (i+1)*ethMSS)
					if i == 0 {
						require.Equal(t, congestion.Reducing, h.c.Info().Phase)
						require.LessOrEqual(t, h.c.Info().SlowStartThreshold, from/2+ethMSS)
					}
				}
				require.Equal(t, congestion.Open, h.c.Info().Phase)
				require.InDelta(t, from/2, h.cwnd(), ethMSS)
				more := h.all()
				require.NotEmpty(t, more)
				require.True(t, more[0].Flags.Has(CWR))
				require.Equal(t, uint32(1+n+len(segs)*ethMSS), more[0].Seq)
				for _, s := range more[1:] {
					require.False(t, s.Flags.Has(CWR))
				}
				i := h.c.Info()
				require.EqualValues(t, 1, i.MarkReductions)
				require.EqualValues(t, len(segs), i.MarksEchoed)
				require.Zero(t, i.Retransmits)

				// Duplicates and window updates with ECE from before the CWR: nothing new.
				h.in(TCP{Seq: 1, Ack: more[0].Seq, Flags: ACK | ECE, Window: 65000})
				require.EqualValues(t, 1, h.c.Info().MarkReductions)
				// The CWR has arrived: ECE now tells of another mark.
				h.in(TCP{Seq: 1, Ack: more[1].Seq, Flags: ACK | ECE})
				require.EqualValues(t, 2, h.c.Info().MarkReductions)
				require.Equal(t, congestion.Reducing, h.c.Info().Phase)
			})
		})
	}
}

// RFC 3168 6.1.2: new data segments have ECT, and CWR is set correctly: it goes out while the window is being
// reduced, as soon as that lets new data out, and only once.
func TestECNReducingSends(t *testing.T) {
	h := newHarness(t)
	h.toECN()
	n := h.open(20)
	h.write(pattern2(len(h.out), 100*ethMSS))
	segs := h.all()
	cwr := 0
	for i := range segs {
		h.advance(time.Millisecond)
		h.echo(n + (i+1)*ethMSS)
		for _, s := range h.all() {
			if cwr == 0 {
				require.True(t, s.Flags.Has(CWR))
			}
			cwr += b2i(s.Flags.Has(CWR))
			require.Equal(t, wire.ECT0, s.ecn)
		}
	}
	require.Equal(t, 1, cwr)
	require.EqualValues(t, 1, h.c.Info().MarkReductions)
}

// RFC 3168 6.1.2: a reduction because of a loss has CWR on the next new data too, no
// retransmission has CWR or ECT (6.1.5), and ECE in that window reduces no more.
func TestECNAfterLoss(t *testing.T) {
	for _, sack := range []bool{false, true} {
		t.Run(fmt.Sprint("sack ", sack), func(t *testing.T) {
			h := newHarness(t)
			h.peer.SACKPermitted = sack
			h.toECN()
			n := h.open(20)
			h.write(pattern2(len(h.out), 80*ethMSS))
			segs := h.all()
			h.advance(roundTrip)
			edge := uint32(1 + n + len(segs)*ethMSS)
			cwr, resent := 0, 0
			for i := 1; i < len(segs); i++ {
				s := TCP{Seq: 1, Ack: uint32(1 + n), Flags: ACK | ECE}
				if i < 3 {
					s.Flags = ACK
				}
				if sack {
					s.Options.SACK[0] = wire.SACKBlock{Start: h.iss + segs[1].Seq, End: h.iss + segs[i].Seq + ethMSS}
					s.Options.NumSACK = 1
				}
				h.in(s)
				for _, s := range h.all() {
					switch {
					case s.Seq < edge:
						resent++
					case resent == 0:
						edge = s.Seq + ethMSS // limited transmit, RFC 3042
						require.False(t, s.Flags.Has(CWR))
					default:
						cwr += b2i(s.Flags.Has(CWR))
					}
				}
			}
			require.Equal(t, 1, resent)
			require.Equal(t, 1, cwr)
			require.Equal(t, congestion.Recovery, h.c.Info().Phase)
			h.advance(roundTrip)
			h.in(TCP{Seq: 1, Ack: edge, Flags: ACK | ECE})
			require.Equal(t, congestion.Open, h.c.Info().Phase)
			require.Zero(t, h.c.Info().MarkReductions, "that was one congestion")
			h.all()
			h.in(TCP{Seq: 1, Ack: edge + ethMSS, Flags: ACK | ECE})
			require.EqualValues(t, 1, h.c.Info().MarkReductions)
		})
	}
}

// A loss in the window that a mark has reduced is repaired by three duplicates, and
// reduces no more; so is the loss of the segment that has the CWR, which does.
func TestECNLossAfterMark(t *testing.T) {
	for _, first := range []bool{false, true} {
		t.Run(fmt.Sprint("CWR lost: ", first), func(t *testing.T) {
			h := newHarness(t)
			h.toECN()
			n := h.open(20)
			h.write(pattern2(len(h.out), 80*ethMSS))
			segs := h.all()
			h.advance(roundTrip)
			h.echo(n + ethMSS)
			lost := uint32(1 + n + ethMSS)
			if first {
				h.echo(n + len(segs)*ethMSS)
				lost = uint32(1 + n + len(segs)*ethMSS)
				more := h.all()
				require.True(t, more[0].Flags.Has(CWR))
				require.Greater(t, len(more), 4)
				h.advance(roundTrip)
			}
			reduced := h.c.Info().SlowStartThreshold
			for range 3 {
				h.in(TCP{Seq: 1, Ack: lost, Flags: ACK | ECE})
			}
			require.Equal(t, congestion.Recovery, h.c.Info().Phase)
			all := h.all()
			require.NotEmpty(t, all)
			require.Equal(t, lost, all[0].Seq)
			require.Equal(t, wire.NotECT, all[0].ecn)
			require.EqualValues(t, 1, h.c.Info().MarkReductions)
			if first {
				require.Less(t, h.c.Info().SlowStartThreshold, reduced)
			} else {
				require.Equal(t, reduced, h.c.Info().SlowStartThreshold)
			}
		})
	}
}

// RFC 3168 6.1.2: a retransmission timeout has CWR on the next new data, and ECE from
// before that reduces no more.
func TestECNAfterTimeout(t *testing.T) {
	h := newHarness(t)
	h.toECN()
	h.write(pattern(40 * ethMSS))
	segs := h.all()
	s, ok := h.next(5 * time.Second)
	require.True(t, ok)
	require.EqualValues(t, 1, s.Seq)
	require.Equal(t, wire.NotECT, s.ecn)
	reduced := h.c.Info().SlowStartThreshold
	edge := uint32(1 + len(segs)*ethMSS)
	cwr := 0
	for h.c.Info().Phase != congestion.Open {
		h.advance(roundTrip)
		top := uint32(1)
		for _, s := range append(h.all(), s) {
			top = max(top, s.Seq+uint32(len(s.data)))
			if s.Seq >= edge {
				require.Equal(t, cwr == 0, s.Flags.Has(CWR))
				cwr++
			} else {
				require.False(t, s.Flags.Has(CWR))
			}
		}
		h.in(TCP{Seq: 1, Ack: min(top, edge), Flags: ACK | ECE})
	}
	require.Zero(t, h.c.Info().MarkReductions)
	require.LessOrEqual(t, h.c.Info().SlowStartThreshold, reduced)
	if cwr == 0 {
		require.True(t, h.all()[0].Flags.Has(CWR))
	}
}

// A time-out in the window that a mark has reduced turns out to be a mistake: what the
// mark has brought about stays.
func TestECNMarkIsNoMistake(t *testing.T) {
	h := newHarness(t)
	h.peer.HasTimestamps, h.peer.TSVal = true, 7000
	h.peer.SACKPermitted = true
	h.toECN()
	n := h.open(20)
	h.write(pattern2(len(h.out), 60*ethMSS))
	segs := h.all()
	size := len(segs[0].data)
	echo := segs[0].Options.TSVal
	from := h.cwnd()
	h.advance(roundTrip)
	h.echo(n + size)
	half := h.c.Info().SlowStartThreshold
	require.Less(t, half, from)
	h.all()
	for h.c.Info().Timeouts == 0 {
		_, ok := h.next(5 * time.Second)
		require.True(t, ok)
	}
	h.all()
	h.advance(time.Millisecond)
	for i := 2; i < 12; i++ {
		h.in(TCP{Seq: 1, Ack: uint32(1 + n + i*size), Flags: ACK, Options: Options{HasTimestamps: true, TSVal: h.peerClock(), TSEcr: echo}})
		h.all()
		h.advance(time.Millisecond)
	}
	require.LessOrEqual(t, h.c.Info().SlowStartThreshold, half)
	require.Less(t, h.cwnd(), from)
}

// RFC 3168 6.1.2: with a window of one segment, ECE has the sender wait for the
// retransmission timer before it sends on.
func TestECNWindowOfOne(t *testing.T) {
	h := newHarness(t)
	h.cfg.Congestion = func() congestion.Controller { return &fixed{window: ethMSS} }
	h.toECN()
	h.write(pattern(10 * ethMSS))
	h.want(TCP{Seq: 1, Ack: 1, Flags: ACK}, pattern(10 * ethMSS)[:ethMSS])
	h.advance(roundTrip)
	h.echo(ethMSS)
	rto := h.c.Info().RTO
	require.GreaterOrEqual(t, rto, 200*time.Millisecond)
	s := h.wantAfter(rto, TCP{Seq: 1 + ethMSS, Ack: 1, Flags: ACK | CWR}, pattern(10 * ethMSS)[ethMSS:2*ethMSS])
	require.Equal(t, wire.ECT0, s.ecn)
	require.Zero(t, h.c.Info().Timeouts)
	h.advance(roundTrip)
	h.ackTo(2 * ethMSS) // no mark any more, and no waiting
	h.want(TCP{Seq: 1 + 2*ethMSS, Ack: 1, Flags: ACK}, pattern(10 * ethMSS)[2*ethMSS:3*ethMSS])
}

// Marks with nothing in flight: the last data was marked, and its acknowledgment tells.
func TestECNNothingInFlight(t *testing.T) {
	h := newHarness(t)
	h.toECN()
	n := h.open(20)
	from := h.cwnd()
	segs := h.flight(4)
	n += len(segs) * ethMSS
	h.out = h.out[:n]
	h.advance(roundTrip)
	h.echo(n)
	i := h.c.Info()
	require.EqualValues(t, 1, i.MarkReductions)
	require.Equal(t, congestion.Open, i.Phase)
	require.Less(t, i.CongestionWindow, from)
	h.in(TCP{Seq: 1, Ack: uint32(1 + n), Flags: ACK | ECE}, "data of the peer")
	require.EqualValues(t, 1, h.c.Info().MarkReductions)
	h.all()
	h.write("x")
	h.want(TCP{Seq: uint32(1 + n), Ack: 17, Flags: ACK | CWR}, "x")
	h.in(TCP{Seq: 17, Ack: uint32(2 + n), Flags: ACK | ECE}, "data of the peer")
	require.EqualValues(t, 2, h.c.Info().MarkReductions)
}

// RFC 3168 6.1.6: a window probe has neither ECT nor CWR.
func TestECNWindowProbe(t *testing.T) {
	h := newHarness(t)
	h.toECN()
	segs := h.flight(1)
	require.Len(t, segs, 1)
	h.in(TCP{Seq: 1, Ack: 1 + ethMSS, Flags: ACK | ECE})
	h.in(TCP{Seq: 1, Ack: 1 + ethMSS, Flags: ACK, Window: 0})
	h.c.Receive(h.now, &TCP{SrcPort: 80, DstPort: 4321, Seq: h.irs + 1, Ack: h.iss + 1 + ethMSS, Flags: ACK}, nil)
	h.write("xyz")
	s, ok := h.next(5 * time.Second)
	require.True(t, ok)
	require.Equal(t, "x", s.data)
	require.Equal(t, wire.NotECT, s.ecn)
	require.False(t, s.Flags.Has(CWR))
	h.in(TCP{Seq: 1, Ack: 1 + ethMSS, Flags: ACK})
	s, ok = h.send() // its first byte was on its way already
	require.True(t, ok)
	require.Equal(t, "xyz", s.data)
	require.Equal(t, wire.NotECT, s.ecn)
	h.in(TCP{Seq: 1, Ack: 4 + ethMSS, Flags: ACK})
	h.write("new")
	h.want(TCP{Seq: 4 + ethMSS, Ack: 1, Flags: ACK | CWR}, "new")
}

// RFC 3168 6.1.2: CWR is on one segment, so that one is no super-segment. Those behind
// it are.
func TestECNSuperSegment(t *testing.T) {
	h := newHarness(t)
	h.room = 64 << 10
	h.toECN()
	n := h.open(20)
	h.flight(2)
	h.advance(roundTrip)
	n += 2 * ethMSS
	h.echo(n)
	segs := h.flight(20)
	require.Greater(t, len(segs), 1)
	require.True(t, segs[0].Flags.Has(CWR))
	require.Len(t, segs[0].data, ethMSS)
	require.Zero(t, segs[0].size)
	require.NotZero(t, segs[1].size)
	for _, s := range segs {
		require.Equal(t, wire.ECT0, s.ecn)
	}
}

// A heard is a controller that remembers what it is told of marks.
type heard struct {
	congestion.Reno
	marked, unmarked, reactions int
	phase                       congestion.Phase
}

func (c *heard) OnAck(now clock.Time, a congestion.Ack) {
	if a.Marked {
		c.marked++
		c.phase = a.Phase
	} else {
		c.unmarked++
	}
	c.Reno.OnAck(now, a)
}

func (c *heard) OnCongestion(now clock.Time, why congestion.Cause, n int) {
	if why == congestion.Mark {
		c.reactions++
	}
	c.Reno.OnCongestion(now, why, n)
}

// The controller hears of every acknowledgment with ECE, and is told to react once.
func TestECNController(t *testing.T) {
	h := newHarness(t)
	k := new(heard)
	h.cfg.Congestion = func() congestion.Controller { return k }
	h.toECN()
	segs := h.flight(8)
	require.Len(t, segs, 8)
	h.advance(roundTrip)
	for i := range segs {
		if i == 0 {
			h.ackTo(ethMSS)
		} else {
			h.echo((i + 1) * ethMSS)
		}
	}
	require.Equal(t, 7, k.marked)
	require.Equal(t, 1, k.unmarked)
	require.Equal(t, 1, k.reactions)
}

// Connections with ECN and marks in both directions allocate nothing for a segment.
func TestECNAllocations(t *testing.T) {
	cfg := &tcp.Config{ECN: tcp.ECNAsk}
	p := newWirePair(t, cfg, ethMTU)
	require.True(t, p.a.Info().ECN && p.b.Info().ECN)
	data, sink := make([]byte, 3*ethMSS), make([]byte, 8*ethMSS)
	buf := make([]byte, ethMTU)
	move := func(from, to *tcp.Conn) {
		for n := 0; ; n++ {
			w, ok := from.Send(p.now, buf)
			if !ok {
				return
			}
			payload, err := wire.ParseTCP(buf[:w.Len], &p.h)
			if err != nil {
				panic(err)
			}
			if w.ECN == wire.ECT0 && n%2 == 0 {
				to.ReceiveMarked(p.now, &p.h, payload)
			} else {
				to.Receive(p.now, &p.h, payload)
			}
		}
	}
	round := func() {
		p.now = p.now.Add(time.Millisecond)
		p.a.Out.Write(data)
		p.b.Out.Write(data)
		for range 4 {
			move(&p.a, &p.b)
			move(&p.b, &p.a)
		}
		p.a.In.Read(sink)
		p.b.In.Read(sink)
		if d := p.a.Deadline(); d.IsSet() {
			p.now = max(p.now, d)
		}
	}
	for range 200 {
		round()
	}
	require.Positive(t, p.a.Info().MarkReductions)
	require.Positive(t, p.b.Info().MarksReceived)
	require.Zero(t, testing.AllocsPerRun(500, round))
	require.Zero(t, p.a.Info().Retransmits)
}

// A cookie without timestamps has no place for ECN, and one with them brings it back.
func TestECNCookie(t *testing.T) {
	var isn tcp.ISNSource
	k := tcp.NewCookies(siphash.Key{1, 2}, &isn)
	id := newHarness(t).id
	for _, stamps := range []bool{false, true} {
		pool := stream.NewPool(0)
		syn := TCP{SrcPort: 80, DstPort: 4321, Seq: 77, Flags: SYN | ECE | CWR, Window: 65535}
		syn.Options = Options{MSS: ethMSS, HasTimestamps: stamps, TSVal: 5}
		var answer TCP
		k.Answer(epoch, id, nil, pool, ethMTU, &syn, &answer)
		require.Equal(t, stamps, answer.Flags.Has(ECE))
		ack := TCP{SrcPort: 80, DstPort: 4321, Seq: 78, Ack: answer.Seq + 1, Flags: ACK, Window: 65535}
		ack.Options = Options{HasTimestamps: stamps, TSVal: 6, TSEcr: answer.Options.TSVal}
		cookie, ok := k.Check(epoch, id, &ack)
		require.True(t, ok)
		var c tcp.Conn
		c.Init(id, nil, pool)
		c.AcceptCookie(epoch, &cookie, ethMTU, &ack, nil)
		require.Equal(t, tcp.StateEstablished, c.State())
		require.Equal(t, stamps, c.Info().ECN)
	}
}

func TestECNNames(t *testing.T) {
	require.Equal(t, "[accept ask off unknown]", fmt.Sprint([]tcp.ECNMode{tcp.ECNAccept, tcp.ECNAsk, tcp.ECNOff, 3}))
	require.Equal(t, "[Not-ECT ECT(1) ECT(0) CE CE]", fmt.Sprint([]wire.ECN{wire.NotECT, wire.ECT1, wire.ECT0, wire.CE, 7}))
	require.Equal(t, wire.CE, wire.ECNOf(0xff))
}

// ECE counts also on a segment that acknowledges nothing new, and is no duplicate.
func TestECNEchoOnData(t *testing.T) {
	h := newHarness(t)
	h.toECN()
	require.Len(t, h.flight(4), 4)
	h.in(TCP{Seq: 1, Ack: 1, Flags: ACK | ECE}, "data of the peer")
	require.EqualValues(t, 1, h.c.Info().MarkReductions)
	require.Equal(t, congestion.Reducing, h.c.Info().Phase)
}
