package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
)

// keepAlive is the probe: <SEQ=SND.NXT-1>, no data.
func keepAlive(snd, rcv uint32) TCP { return TCP{Seq: snd - 1, Ack: rcv, Flags: ACK} }

// RFC 9293 MUST-25, 3.8.4: "they MUST default to off"
func TestKeepAliveIsOff(t *testing.T) {
	h := newHarness(t)
	h.to(tcp.StateEstablished)
	h.quiet(30 * 24 * time.Hour)
	h.wantState(tcp.StateEstablished)
	require.False(t, h.c.Deadline().IsSet())
}

// RFC 9293 MAY-5, SHLD-12 (a probe has no data) and MUST-24, 3.8.4: "the application MUST be able to turn them on or off
// for each TCP connection". MUST-27: "This interval MUST be configurable"
func TestKeepAlive(t *testing.T) {
	for _, later := range []bool{false, true} {
		each(t, func(t *testing.T, h *harness) {
			if !later {
				h.cfg.KeepAliveIdle, h.cfg.KeepAliveInterval, h.cfg.KeepAliveCount = time.Hour, time.Minute, 3
			}
			h.to(tcp.StateEstablished)
			if later {
				h.c.SetKeepAlive(h.now, time.Hour, time.Minute, 3)
			}
			h.wantAfter(time.Hour, keepAlive(1, 1))
			h.wantNone()
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
			h.wantNone()
			h.wantAfter(time.Hour, keepAlive(1, 1))
			h.wantAfter(time.Minute, keepAlive(1, 1))
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
			h.wantAfter(time.Hour, keepAlive(1, 1))
			h.c.SetKeepAlive(h.now, 0, 0, 0)
			h.quiet(24 * time.Hour)
			h.wantState(tcp.StateEstablished)
		})
	}
}

// RFC 9293 MUST-29, 3.8.4: "it MUST NOT interpret failure to respond to any
// specific probe as a dead connection": only KeepAliveCount in a row do.
func TestKeepAliveGivesUp(t *testing.T) {
	for _, n := range []int{1, 3, 0} {
		each(t, func(t *testing.T, h *harness) {
			h.cfg.KeepAliveIdle, h.cfg.KeepAliveInterval, h.cfg.KeepAliveCount = 2*time.Hour, 10*time.Second, n
			if n == 0 { // both defaults
				n, h.cfg.KeepAliveInterval = 9, 0
			}
			interval := h.cfg.KeepAliveInterval
			if interval == 0 {
				interval = 75 * time.Second
			}
			h.to(tcp.StateEstablished)
			h.wantAfter(2*time.Hour, keepAlive(1, 1))
			for range n - 1 {
				h.wantState(tcp.StateEstablished)
				h.wantAfter(interval, keepAlive(1, 1))
			}
			h.advance(interval - tolerance)
			h.wantNone()
			h.wantState(tcp.StateEstablished)
			h.advance(2 * tolerance)
			h.wantReset(1, 1) // if the peer is there after all, it has to know
			h.wantClosed(errno.TimedOut)
		})
	}
}

// RFC 9293 MUST-26, 3.8.4: "Keep-alive packets MUST only be sent when no sent
// data is outstanding, and no data or acknowledgment packets have been received for the connection within an interval"
func TestKeepAliveOnlyWhenIdle(t *testing.T) {
	t.Run("anything received", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.cfg.KeepAliveIdle = time.Minute
			h.to(tcp.StateEstablished)
			for range 20 {
				h.advance(50 * time.Second)
				h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
				h.wantNone()
			}
			h.wantAfter(time.Minute, keepAlive(1, 1))
		})
	})
	t.Run("data is out", func(t *testing.T) {
		each(t, func(t *testing.T, h *harness) {
			h.cfg.KeepAliveIdle, h.cfg.KeepAliveInterval = 2*time.Second, time.Second
			h.to(tcp.StateEstablished)
			h.write("x")
			h.all()
			for range 6 {
				s, ok := h.next(time.Hour)
				require.True(t, ok)
				require.Equal(t, "x", s.data, "retransmissions only")
			}
			h.in(TCP{Seq: 1, Ack: 2, Flags: ACK})
			h.wantAfter(2*time.Second, keepAlive(2, 1))
		})
	})
}

// RFC 9293 MUST-28, 3.8.4: "and MUST default to no less than two hours": there
// is no default in this package, zero means off; the interval and the count have one.
func TestKeepAliveInOtherStates(t *testing.T) {
	eachState(t, []tcp.State{tcp.StateCloseWait, tcp.StateFinWait2}, func(t *testing.T, h *harness, s tcp.State) {
		snd, rcv := nxt(s)
		h.c.SetKeepAlive(h.now, time.Hour, time.Minute, 2)
		h.wantAfter(time.Hour, keepAlive(snd, rcv))
		h.in(TCP{Seq: rcv, Ack: snd, Flags: ACK})
		h.wantAfter(time.Hour, keepAlive(snd, rcv))
		h.wantAfter(time.Minute, keepAlive(snd, rcv))
		h.quiet(time.Minute - tolerance)
		h.advance(2 * tolerance)
		h.all()
		h.wantClosed(errno.TimedOut)
	})
}

// The peer's probe is answered, with data or without, as RFC 1122 4.2.3.6 asks.
func TestKeepAliveIsAnswered(t *testing.T) {
	for _, garbage := range []string{"", "\x00"} {
		each(t, func(t *testing.T, h *harness) {
			h.to(tcp.StateEstablished)
			for range 5 {
				h.advance(time.Hour)
				h.in(TCP{Seq: 0, Ack: 1, Flags: ACK}, garbage)
				h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
				h.wantNone()
			}
			require.Zero(t, h.c.In.Len())
		})
	}
}

// settle takes a connection past the start, where an implementation may
// acknowledge every segment to help the peer's slow start.
func (h *harness) settle() (next uint32) {
	h.t.Helper()
	next = 1
	for range 50 {
		h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, pattern(ethMSS))
		next += ethMSS
		h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, pattern(ethMSS))
		next += ethMSS
		h.read(1 << 20)
		h.all()
		h.advance(10 * time.Millisecond)
	}
	h.next(time.Second)
	h.wantNone()
	return next
}

// RFC 9293 SHLD-18, 3.8.6.3: "A TCP endpoint SHOULD implement a delayed ACK".
// SHLD-19: "An ACK SHOULD be generated for at least every second full-sized segment"
func TestDelayedACK(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.DelayedAck = 100 * time.Millisecond
		h.to(tcp.StateEstablished)
		next := h.settle()
		for range 5 {
			h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, pattern(ethMSS))
			next += ethMSS
			h.wantNone()
			h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, pattern(ethMSS))
			next += ethMSS
			h.want(TCP{Seq: 1, Ack: next, Flags: ACK})
			h.wantNone()
			h.read(1 << 20)
			h.wantNone()
		}
	})
}

// RFC 9293 MUST-40, 3.8.6.3: "the delay MUST be less than 0.5 seconds", whatever
// the configuration says.
func TestDelayedACKTimer(t *testing.T) {
	for _, c := range []struct{ cfg, want time.Duration }{
		{0, 40 * time.Millisecond}, {10 * time.Millisecond, 10 * time.Millisecond},
		{200 * time.Millisecond, 200 * time.Millisecond}, {time.Hour, 500*time.Millisecond - 1},
	} {
		each(t, func(t *testing.T, h *harness) {
			h.cfg.DelayedAck = c.cfg
			h.to(tcp.StateEstablished)
			next := h.settle()
			h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, "x")
			from := h.now
			h.wantAfter(c.want, TCP{Seq: 1, Ack: next + 1, Flags: ACK})
			require.Less(t, h.now.Sub(from), 500*time.Millisecond)
			h.quiet(time.Hour)
		})
	}
}

// A delayed ACK rides on data, and its timer is then off.
func TestDelayedACKRides(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.DelayedAck = 100 * time.Millisecond
		h.to(tcp.StateEstablished)
		next := h.settle()
		h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, "ping")
		h.wantNone()
		h.advance(50 * time.Millisecond)
		h.write("pong")
		h.want(TCP{Seq: 1, Ack: next + 4, Flags: ACK}, "pong")
		h.in(TCP{Seq: next + 4, Ack: 5, Flags: ACK})
		h.quiet(time.Hour)
	})
}

// RFC 5681 4.2: "Out-of-order data segments SHOULD be acknowledged immediately",
// and "a segment that fills in all or part of a gap"; so must a FIN.
func TestNoDelayOnGaps(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.DelayedAck = 100 * time.Millisecond
		h.to(tcp.StateEstablished)
		next := h.settle()
		for i := range uint32(3) { // each one is a duplicate ACK for the peer
			h.in(TCP{Seq: next + 100*(i+1), Ack: 1, Flags: ACK}, pattern(100))
			h.want(TCP{Seq: 1, Ack: next, Flags: ACK})
			h.wantNone()
		}
		h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, pattern(50)) // part of the gap
		h.want(TCP{Seq: 1, Ack: next + 50, Flags: ACK})
		h.in(TCP{Seq: next + 50, Ack: 1, Flags: ACK}, pattern(50))
		h.want(TCP{Seq: 1, Ack: next + 400, Flags: ACK})
		h.in(TCP{Seq: next + 400, Ack: 1, Flags: FIN | ACK})
		h.want(TCP{Seq: 1, Ack: next + 401, Flags: ACK})
		h.quiet(time.Hour)
	})
}

// Many small segments, none of them full-sized, are one delayed ACK, or one for
// each two segments' worth of bytes.
func TestDelayedACKOfSmallSegments(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.DelayedAck = 100 * time.Millisecond
		h.to(tcp.StateEstablished)
		next := h.settle()
		from := h.now
		acks := 0
		for range 20 {
			h.in(TCP{Seq: next, Ack: 1, Flags: ACK}, "keystroke")
			next += 9
			acks += len(h.all())
			h.advance(time.Millisecond)
		}
		require.LessOrEqual(t, acks, 10, "an ACK for every second segment at most")
		h.next(h.now.Sub(from) + 500*time.Millisecond)
		h.wantNone()
	})
}

// RFC 1122 4.2.3.2: a delay of zero: every turn acknowledges.
func TestNoDelayedACK(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.DelayedAck = -1
		h.to(tcp.StateEstablished)
		for i := range uint32(10) {
			h.in(TCP{Seq: 1 + i, Ack: 1, Flags: ACK}, "x")
			h.want(TCP{Seq: 1, Ack: 2 + i, Flags: ACK})
		}
	})
}

// RFC 9293 MUST-55, 3.9.2.2: a source quench never comes as far as this; what
// does come by Unreachable does not slow a connection down.
func TestUnreachableDoesNotSlowDown(t *testing.T) {
	h := newHarness(t)
	h.to(tcp.StateEstablished)
	h.write(pattern(10 * ethMSS))
	require.Len(t, h.all(), 10)
	before := h.c.Info().CongestionWindow
	h.c.Unreachable(h.now, errno.HostUnreach)
	require.Equal(t, before, h.c.Info().CongestionWindow)
	h.wantNone()
}
