package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/tcp"
)

// A cork lets full segments through only, even where Nagle's algorithm is off; what
// is left goes out when it is taken out.
func TestCork(t *testing.T) {
	for _, noDelay := range []bool{false, true} {
		each(t, func(t *testing.T, h *harness) {
			h.cfg.NoDelay = noDelay
			h.establish()
			h.c.SetCork(true)
			h.write(pattern(100))
			h.wantNone()
			h.advance(100 * time.Millisecond)
			h.write(pattern2(100, 2*ethMSS))
			segs := h.all()
			require.Len(t, segs, 2)
			for _, s := range segs {
				require.Len(t, s.data, ethMSS)
			}
			h.c.SetCork(false)
			segs = h.all()
			require.Len(t, segs, 1)
			require.Len(t, segs[0].data, 100)
			h.write(pattern2(len(h.out), 50))
			if noDelay {
				require.Len(t, h.all(), 1)
			} else {
				h.wantNone() // Nagle's algorithm again
			}
		})
	}
}

// It holds for 200 ms, from each small segment on.
func TestCorkCeiling(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.establish()
		h.c.SetCork(true)
		for range 3 {
			at := len(h.out)
			h.write(pattern2(at, 10))
			h.wantNone()
			h.advance(50 * time.Millisecond)
			h.write(pattern2(at+10, 10))
			h.wantAfter(150*time.Millisecond, TCP{Seq: uint32(1 + at), Ack: 1, Flags: ACK}, pattern2(at, 20))
			h.ackTo(at + 20)
			h.advance(time.Second)
			h.wantNone()
		}
		// What became a full segment in time leaves nothing to be sent early.
		at := len(h.out)
		h.write(pattern2(at, 10))
		h.wantNone()
		h.write(pattern2(at+10, ethMSS-10))
		h.want(TCP{Seq: uint32(1 + at), Ack: 1, Flags: ACK}, pattern2(at, ethMSS))
		h.ackTo(at + ethMSS)
		h.quiet(time.Second)
		h.write(pattern2(at+ethMSS, 10))
		h.wantAfter(200*time.Millisecond, TCP{Seq: uint32(1 + at + ethMSS), Ack: 1, Flags: ACK}, pattern2(at+ethMSS, 10))
	})
}

// A FIN takes all with it.
func TestCorkClose(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.establish()
		h.c.SetCork(true)
		h.write(pattern(10))
		h.wantNone()
		h.closeWrite()
		h.want(TCP{Seq: 1, Ack: 1, Flags: ACK | FIN}, pattern(10))
		h.wantState(tcp.StateFinWait1)
	})
}
