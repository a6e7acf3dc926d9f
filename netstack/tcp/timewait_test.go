package tcp_test

import (
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// waiting brings a connection to TIME-WAIT and returns its record. Our next
// number is then snd, the peer's rcv.
func (h *harness) waiting() (w tcp.TimeWait, snd, rcv uint32) {
	h.t.Helper()
	h.to(tcp.StateTimeWait)
	h.wantEvents(tcp.EventTimeWait)
	snd, rcv = nxt(tcp.StateTimeWait)
	return h.c.TimeWait(), snd, rcv
}

// late passes a segment to the record, and reads its answer.
func (h *harness) late(w *tcp.TimeWait, s TCP, n int) (tcp.Action, wire.Drop) {
	h.t.Helper()
	rel := s
	s = h.fromPeer(s)
	rel.Options = s.Options
	h.noteSegment("record <", &rel, "")
	a, d := w.Receive(h.now, &s, n)
	if a == tcp.ActionAck {
		var ack TCP
		w.Ack(h.now, &ack)
		require.Equal(h.t, h.id.Local.Port(), ack.SrcPort)
		require.Equal(h.t, h.id.Remote.Port(), ack.DstPort)
		require.Equal(h.t, ACK, ack.Flags)
		require.Equal(h.t, h.iss+2, ack.Seq)
		require.Equal(h.t, h.irs+2, ack.Ack)
		require.Equal(h.t, h.ts, ack.Options.HasTimestamps)
		require.Zero(h.t, ack.Checksum)
	}
	return a, d
}

// The record is small: there may be very many.
func TestTimeWaitSize(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(tcp.TimeWait{}), uintptr(200))
}

// RFC 9293 MUST-13, 3.6.1: "When a connection is closed actively, it MUST linger
// in the TIME-WAIT state for a time 2xMSL"
func TestTimeWaitLasts(t *testing.T) {
	for _, c := range []struct{ cfg, want time.Duration }{{0, time.Minute}, {10 * time.Second, 10 * time.Second}} {
		h := newHarness(t)
		h.cfg.TimeWait = c.cfg
		w, _, _ := h.waiting()
		require.Equal(t, h.id, w.ID())
		require.Equal(t, h.now.Add(c.want), w.Deadline())
	}
}

// A negative TimeWait means none.
func TestNoTimeWait(t *testing.T) {
	h := newHarness(t)
	h.cfg.TimeWait = -1
	h.to(tcp.StateFinWait2)
	h.in(TCP{Seq: 1, Ack: 2, Flags: FIN | ACK})
	h.want(TCP{Seq: 2, Ack: 2, Flags: ACK})
	h.wantClosed(nil)
}

// RFC 9293 3.10.7.4, TIME-WAIT: "The only thing that can arrive in this state is
// a retransmission of the remote FIN. Acknowledge it, and restart the 2 MSL timeout."
func TestTimeWaitFINAgain(t *testing.T) {
	for _, ts := range []bool{false, true} {
		each(t, func(t *testing.T, h *harness) {
			h.peer.HasTimestamps = ts
			w, snd, rcv := h.waiting()
			for range 5 {
				h.advance(30 * time.Second)
				a, _ := h.late(&w, TCP{Seq: rcv - 1, Ack: snd, Flags: FIN | ACK}, 0)
				require.Equal(t, tcp.ActionAck, a)
				require.Equal(t, h.now.Add(time.Minute), w.Deadline())
			}
		})
	}
}

// Until its owner has taken the record, the connection itself does the same.
func TestTimeWaitConn(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateTimeWait)
		end := h.c.Deadline()
		h.advance(time.Second)
		h.in(TCP{Seq: 1, Ack: 2, Flags: ACK}, "x") // old
		h.want(TCP{Seq: 2, Ack: 2, Flags: ACK})
		require.Equal(t, end, h.c.Deadline())
		h.in(TCP{Seq: 1, Ack: 2, Flags: FIN | ACK})
		h.want(TCP{Seq: 2, Ack: 2, Flags: ACK})
		require.Equal(t, h.now.Add(time.Minute), h.c.Deadline())
		h.in(TCP{Seq: 2, Ack: 2, Flags: RST | ACK})
		h.wantNone()
		h.quiet(time.Minute + tolerance)
		h.wantClosed(nil)
	})
}

// The retransmitted FIN may carry the data before it.
func TestTimeWaitFINAgainWithData(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		w, snd, rcv := h.waiting()
		a, _ := h.late(&w, TCP{Seq: rcv - 11, Ack: snd, Flags: FIN | ACK}, 10)
		require.Equal(t, tcp.ActionAck, a)
	})
}

// RFC 9293 3.5.2: "any unacceptable segment ... must be responded to with an
// empty acknowledgment segment". Anything but the FIN does not prolong the wait.
func TestTimeWaitOldSegments(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		w, snd, rcv := h.waiting()
		end := w.Deadline()
		h.advance(time.Second)
		a, d := h.late(&w, TCP{Seq: rcv - 5, Ack: snd, Flags: ACK}, 4)
		require.Equal(t, tcp.ActionAck, a)
		require.NotEqual(t, wire.DropNone, d)
		require.Equal(t, end, w.Deadline())
		for _, s := range []TCP{{Seq: rcv + 1, Ack: snd}, {Seq: rcv - 1, Ack: snd}, {Seq: rcv, Ack: snd + 1}} {
			s.Flags = ACK
			a, _ = h.late(&w, s, 0)
			require.Equal(t, tcp.ActionAck, a, "seq %d ack %d", s.Seq, s.Ack)
		}
		a, _ = h.late(&w, TCP{Seq: rcv, Ack: snd, Flags: ACK}, 0) // nothing to say about
		require.Equal(t, tcp.ActionNone, a)
		require.Equal(t, end, w.Deadline())
		a, _ = h.late(&w, TCP{Seq: rcv, Flags: 0}, 0)
		require.Equal(t, tcp.ActionNone, a)
		require.Equal(t, end, w.Deadline())
	})
}

// RFC 1337 3: "Ignore RST segments in TIME-WAIT state." A reset must neither
// cut the wait short, unless it has the very next number, nor be answered.
func TestTimeWaitReset(t *testing.T) {
	for _, off := range []uint32{1, 100, 1 << 20, 0xffff_ffff, 1 << 31} {
		each(t, func(t *testing.T, h *harness) {
			w, snd, rcv := h.waiting()
			end := w.Deadline()
			h.advance(time.Second)
			a, d := h.late(&w, TCP{Seq: rcv + off, Ack: snd, Flags: RST | ACK}, 0)
			require.Equal(t, tcp.ActionNone, a)
			require.NotEqual(t, wire.DropNone, d)
			require.Equal(t, end, w.Deadline())
		})
	}
	h := newHarness(t)
	w, snd, rcv := h.waiting()
	a, _ := h.late(&w, TCP{Seq: rcv, Ack: snd, Flags: RST | ACK}, 0)
	require.Equal(t, tcp.ActionNone, a)
}

// RFC 9293 MAY-2, 3.6.1: "it MAY accept a new SYN from the remote TCP endpoint
// to reopen the connection directly from TIME-WAIT state"; SHLD-4: RFC 6191 2 by timestamps.
func TestTimeWaitReopen(t *testing.T) {
	for _, c := range []struct {
		name   string
		oldTS  bool // the old connection had timestamps
		newTS  bool // the SYN has
		tsOff  int  // of the SYN's from the last one seen
		seqOff int  // of the SYN's number from the next expected one
		reopen bool
	}{
		{"both, newer, higher number", true, true, 1, 1000, true},
		{"both, newer, lower number", true, true, 1, -1000, true},
		{"both, same, higher number", true, true, 0, 1000, true},
		{"both, same, lower number", true, true, 0, -1000, false},
		{"both, older, lower number", true, true, -1, -1000, false},
		{"old only, higher number", true, false, 0, 1000, true},
		{"old only, lower number", true, false, 0, -1000, false},
		{"new only, higher number", false, true, 0, 1000, true},
		{"new only, lower number", false, true, 0, -1000, true},
		{"none, higher number", false, false, 0, 1000, true},
		{"none, same as the FIN", false, false, 0, -1, false},
		{"none, lower number", false, false, 0, -1000, false},
		{"none, far ahead", false, false, 0, 1<<31 - 1, true},
		{"none, half the space behind", false, false, 0, -1 << 31, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.peer.HasTimestamps = c.oldTS
				w, _, rcv := h.waiting()
				last := h.peerClock()
				end := w.Deadline()
				h.advance(time.Second)
				syn := TCP{Seq: rcv + uint32(c.seqOff), Flags: SYN, Options: Options{MSS: 1460}}
				if c.newTS {
					syn.Options.HasTimestamps = true
					syn.Options.TSVal = last + uint32(c.tsOff)
				}
				a, _ := h.late(&w, syn, 0)
				if c.reopen {
					require.Equal(t, tcp.ActionReopen, a)
				} else {
					// RFC 6191 drops it silently, RFC 9293 3.10.7.4 acknowledges it.
					require.Contains(t, []tcp.Action{tcp.ActionNone, tcp.ActionAck}, a)
					require.Equal(t, end, w.Deadline())
				}
			})
		})
	}
}

// A SYN with ACK, FIN or RST opens nothing.
func TestTimeWaitNoReopen(t *testing.T) {
	for _, flags := range []wire.TCPFlags{SYN | ACK, SYN | FIN, SYN | RST, SYN | ACK | RST, ACK, FIN, FIN | ACK, 0} {
		h := newHarness(t)
		w, snd, rcv := h.waiting()
		a, _ := h.late(&w, TCP{Seq: rcv + 1000, Ack: snd, Flags: flags, Options: Options{MSS: 99}}, 0)
		require.NotEqual(t, tcp.ActionReopen, a, "%v", flags)
		require.NotEqual(t, tcp.ActionReset, a, "%v", flags)
	}
}

// RFC 1337 2: data of an old duplicate in the TIME-WAIT window is acknowledged
// and thrown away; a storm of it is not answered one for one.
func TestTimeWaitStorm(t *testing.T) {
	h := newHarness(t)
	w, snd, rcv := h.waiting()
	acks := 0
	const storm = 10_000
	for i := range uint32(storm) {
		if a, _ := h.late(&w, TCP{Seq: rcv + 1000 + i, Ack: snd + 1000, Flags: ACK}, 10); a == tcp.ActionAck {
			acks++
		}
	}
	require.Less(t, acks, storm/10, "rate limited (RFC 5961 7)")
	require.Positive(t, acks)
}

// Whatever comes, the record's wait has an end: at most 2 MSL from the last FIN.
func TestTimeWaitIsBounded(t *testing.T) {
	h := newHarness(t)
	w, snd, rcv := h.waiting()
	fin := h.now
	for i := range 500 {
		h.advance(100 * time.Millisecond)
		flags := wire.TCPFlags(i) & 0x1ff &^ FIN
		h.lateQuietly(&w, TCP{Seq: rcv + uint32(i)*77 - 900, Ack: snd, Flags: flags, Options: Options{MSS: uint16(i)}}, i%20)
		require.LessOrEqual(t, w.Deadline(), fin.Add(time.Minute))
	}
}

func (h *harness) lateQuietly(w *tcp.TimeWait, s TCP, n int) {
	s = h.fromPeer(s)
	w.Receive(h.now, &s, n)
}

// The timestamps of the record's ACK go on from the connection's clock.
func TestTimeWaitTimestamps(t *testing.T) {
	h := newHarness(t)
	h.peer.HasTimestamps = true
	w, snd, rcv := h.waiting()
	before := h.tsVal
	h.advance(10 * time.Second)
	fin := h.fromPeer(TCP{Seq: rcv - 1, Ack: snd, Flags: FIN | ACK})
	a, _ := w.Receive(h.now, &fin, 0)
	require.Equal(t, tcp.ActionAck, a)
	var ack TCP
	w.Ack(h.now, &ack)
	require.True(t, ack.Options.HasTimestamps)
	require.Positive(t, int32(ack.Options.TSVal-before), "the clock runs on")
	require.Less(t, ack.Options.TSVal-before, uint32(20_000), "at most 1 ms a tick and not reset")
	require.Equal(t, fin.Options.TSVal, ack.Options.TSEcr)
}

// No allocation for a segment to a record.
func TestTimeWaitAllocs(t *testing.T) {
	h := newHarness(t)
	w, snd, rcv := h.waiting()
	fin := h.fromPeer(TCP{Seq: rcv - 1, Ack: snd, Flags: FIN | ACK})
	var ack TCP
	require.Zero(t, testing.AllocsPerRun(100, func() {
		h.now = h.now.Add(time.Second)
		w.Receive(h.now, &fin, 0)
		w.Ack(h.now, &ack)
	}))
	require.Less(t, clock.Time(0), w.Deadline())
}

// The number that a reopened connection begins with lies beyond the old one's,
// also where they wrap.
func TestTimeWaitNextISS(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateTimeWait)
		snd, _ := nxt(tcp.StateTimeWait)
		w := h.c.TimeWait()
		least := tcp.Seq(h.iss+snd) + 65537
		require.Equal(t, least, w.NextISS(tcp.Seq(h.iss)))
		require.Equal(t, least, w.NextISS(least-1))
		require.Equal(t, least+1, w.NextISS(least+1))
	})
}
