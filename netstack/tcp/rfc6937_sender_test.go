package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/congestion"
	"smolnet/netstack/tcp"
)

// RFC 6937 3 and RFC 9937 6: while one loss is repaired, what goes out follows what
// arrives: with half a window arriving for each that may stay, every second
// acknowledgment lets a segment out, none a burst, and at the end ssthresh is in flight.
func TestPRRPacesRepair(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.SendBuffer = 1 << 20
		h.sacking().to(tcp.StateEstablished)
		n := h.open(20) / ethMSS
		window := h.cwnd()
		w := window / ethMSS
		h.write(pattern2(len(h.out), 3*window))
		require.Len(t, h.all(), w)
		h.advance(roundTrip)
		sent, most := 0, 0
		for k := 2; k <= w; k++ {
			h.advance(time.Millisecond)
			h.sack(n, blk{n + 1, n + k})
			got := h.segs(h.all())
			most = max(most, len(got))
			sent += len(got)
		}
		require.LessOrEqual(t, most, 2)
		i := h.c.Info()
		require.Equal(t, congestion.Recovery, i.Phase)
		threshold := i.SlowStartThreshold
		require.InDelta(t, window/2, threshold, ethMSS)
		require.InDelta(t, threshold/ethMSS, sent, 2, "limited transmit is beyond it")
		require.LessOrEqual(t, i.InFlight, threshold+2*ethMSS)
		require.GreaterOrEqual(t, i.InFlight, threshold-2*ethMSS)
		h.advance(roundTrip)
		h.ackTo(int(h.c.Out.Start()) + h.c.Info().Outstanding)
		require.Equal(t, threshold, h.cwnd())
	})
}

// RFC 9937 6.2: after losses so heavy that less is in flight than ssthresh, what goes
// out grows at most as slow start does: two segments for one that arrives.
func TestPRRHeavyLoss(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.cfg.SendBuffer = 1 << 20
		h.sacking().to(tcp.StateEstablished)
		n := h.open(20) / ethMSS
		w := h.cwnd() / ethMSS
		h.write(pattern2(len(h.out), 2*h.cwnd()))
		require.Len(t, h.all(), w)
		h.advance(roundTrip)
		for k := w - 4; k < w; k++ { // all but the last four are lost
			h.advance(time.Millisecond)
			h.sack(n, blk{n + w - 4, n + k + 1})
			require.LessOrEqual(t, len(h.segs(h.all())), 2)
		}
		threshold := h.c.Info().SlowStartThreshold
		require.Less(t, h.c.Info().InFlight, threshold)
		acked := n
		for range 40 {
			h.advance(10 * time.Millisecond)
			acked++
			h.sack(acked, blk{n + w - 4, n + w})
			require.LessOrEqual(t, len(h.segs(h.all())), 2, "acknowledgment %d", acked)
			require.LessOrEqual(t, h.c.Info().InFlight, threshold)
			if acked == n+w-5 {
				break
			}
		}
		h.advance(roundTrip)
		h.ackTo(int(h.c.Out.Start()) + h.c.Info().Outstanding)
		require.Equal(t, congestion.Open, h.c.Info().Phase)
		require.LessOrEqual(t, h.cwnd(), threshold)
		require.Zero(t, h.c.Info().Timeouts)
	})
}
