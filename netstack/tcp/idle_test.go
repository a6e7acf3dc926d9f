package tcp_test

import (
	"strings"
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

// It can be turned off.
func TestIdleTimeoutOff(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		idle(h, false)
		h.quiet(4 * time.Second)
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

// Text that is not acknowledged is not idle, however rarely it is sent again.
func TestIdleTimeoutOut(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.RetransmitLimit = -1
		idle(h, false)
		h.write("x")
		h.all()
		for range 10 {
			if _, ok := h.next(70 * time.Second); !ok {
				h.fail("nothing was sent again")
			}
			if h.c.State() != tcp.StateEstablished {
				h.fail("ended while text was out")
			}
		}
	})
}

// Nor is text that waits for a window.
func TestIdleTimeoutWithClosedWindow(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		idle(h, false)
		h.window = 0
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
		h.write("xyzxyz")
		h.all()
		for range 12 {
			if _, ok := h.next(70 * time.Second); !ok {
				break
			}
			if h.c.State() != tcp.StateEstablished {
				h.fail("ended while probes were answered")
			}
			h.in(TCP{Seq: 1, Ack: 1, Flags: ACK})
		}
	})
}

// Nor is a peer whose text our window keeps out.
func TestIdleTimeoutOfPeersProbes(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.RecvBuffer = 2048
		idle(h, false)
		for range 4 {
			h.in(TCP{Seq: 1 + uint32(h.c.In.Len()), Ack: 1, Flags: ACK}, strings.Repeat("x", 1024))
			h.all()
		}
		for range 30 {
			h.in(TCP{Seq: 1 + uint32(h.c.In.Len()), Ack: 1, Flags: ACK}, "x")
			h.all()
			h.advance(time.Second)
			h.all()
			if h.c.State() != tcp.StateEstablished {
				h.fail("ended while the peer probed")
			}
		}
	})
}
