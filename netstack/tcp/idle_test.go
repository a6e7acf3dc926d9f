package tcp_test

import (
	"testing"
	"time"

	"smolnet/netstack/errno"
	"smolnet/netstack/tcp"
)

// idle opens a connection that ends after ten seconds without text.
func idle(h *harness, later bool) {
	if !later {
		h.cfg.IdleTimeout = 10 * time.Second
	}
	h.to(tcp.StateEstablished)
	if later {
		h.quiet(3 * time.Second)
		h.c.SetIdleTimeout(h.now, 10*time.Second)
	}
}

// wantEnd wants nothing but a reset with number seq, after d.
func wantEnd(h *harness, d time.Duration, seq, ack uint32) {
	h.t.Helper()
	h.wantAfter(d, TCP{Seq: seq, Ack: ack, Flags: RST | ACK})
	h.wantClosed(errno.TimedOut)
}

// The time counts from the handshake, also where it was asked for later.
func TestIdleTimeout(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		idle(h, false)
		wantEnd(h, 10*time.Second, 1, 1)
	})
	each(t, func(t *testing.T, h *harness) {
		idle(h, true)
		wantEnd(h, 7*time.Second, 1, 1)
	})
}

// Text either way begins it anew; keep-alives of both sides and their answers do not.
func TestIdleTimeoutOfText(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		idle(h, false)
		at := uint32(1)
		for range 3 {
			h.quiet(9 * time.Second)
			h.in(TCP{Seq: at, Ack: at, Flags: ACK}, "x")
			h.all()
			h.quiet(9 * time.Second)
			h.write("x")
			h.all()
			at++
			h.in(TCP{Seq: at, Ack: at, Flags: ACK})
		}
		h.quiet(5 * time.Second)
		h.in(TCP{Seq: at - 1, Ack: at, Flags: ACK}) // a keep-alive of the peer's
		h.all()
		wantEnd(h, 5*time.Second, at, at)
	})
	each(t, func(t *testing.T, h *harness) {
		h.cfg.KeepAliveIdle, h.cfg.KeepAliveInterval = 4*time.Second, time.Second
		idle(h, false)
		for range 2 {
			h.wantAfter(4*time.Second, TCP{Seq: 0, Ack: 1, Flags: ACK})
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
		}
		wantEnd(h, 2*time.Second, 1, 1)
	})
}

// What is not acknowledged is not idle, and it can be turned off.
func TestIdleTimeoutNot(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.RetransmitLimit = -1
		h.cfg.MaxRTO = 5 * time.Second
		idle(h, false)
		h.write("x")
		h.all()
		for range 50 {
			if _, ok := h.next(5*time.Second + tolerance); !ok {
				h.fail("nothing was sent again")
			}
		}
		h.in(TCP{Seq: 1, Ack: 2, Flags: ACK})
		h.quiet(4 * time.Second)
		h.wantState(tcp.StateEstablished)
		h.c.SetIdleTimeout(h.now, -1)
		h.quiet(24 * time.Hour)
		h.wantState(tcp.StateEstablished)
	})
}

// One side that is closed may be idle as well; a user who has gone has other limits.
func TestIdleTimeoutHalfClosed(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		idle(h, false)
		h.closeWrite()
		h.all()
		h.in(TCP{Seq: 1, Ack: 2, Flags: ACK})
		h.wantState(tcp.StateFinWait2)
		wantEnd(h, 10*time.Second, 2, 1)
	})
	each(t, func(t *testing.T, h *harness) {
		idle(h, false)
		h.close()
		h.all()
		h.in(TCP{Seq: 1, Ack: 2, Flags: ACK})
		h.quiet(59 * time.Second)
		h.wantState(tcp.StateFinWait2)
	})
}
