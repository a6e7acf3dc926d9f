package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/congestion"
	"smolnet/netstack/tcp"
)

// RFC 6582 4.1: the careful variant: duplicates that come after a recovery has ended,
// and say no more than "recover", are of what was sent again in vain, and begin no
// other recovery; once more than that is acknowledged, three do.
func TestNewRenoCareful(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write(pattern(40 * ethMSS))
		require.Len(t, h.all(), 10)
		h.advance(roundTrip)
		for range 3 {
			h.ackTo(0)
		}
		require.Contains(t, h.segs(h.all()), 0)
		recover := h.c.Info().Outstanding // what was out when it began, and limited transmit
		h.advance(roundTrip)
		h.ackTo(recover)
		require.Equal(t, congestion.Open, h.c.Info().Phase)
		h.all()
		before := h.c.Info()
		h.timeoutAt(recover)
		h.advance(roundTrip)
		for range 5 {
			h.ackTo(recover)
			h.all()
		}
		i := h.c.Info()
		require.Equal(t, before.FastRecoveries, i.FastRecoveries)
		require.Equal(t, congestion.Timeout, i.Phase)
		h.ackTo(int(h.c.Out.Start()) + i.Outstanding)
		require.Equal(t, congestion.Open, h.c.Info().Phase)
		h.drain()
		h.open(5)
		h.write(pattern2(len(h.out), 10*ethMSS))
		require.GreaterOrEqual(t, len(h.all()), 4)
		h.advance(roundTrip)
		una := int(h.c.Out.Start())
		h.ackTo(una + ethMSS)
		h.all()
		for range 3 {
			h.ackTo(una + ethMSS)
		}
		require.EqualValues(t, before.FastRecoveries+1, h.c.Info().FastRecoveries)
		require.Equal(t, []int{una/ethMSS + 1}, h.segs(h.all())[:1])
	})
}

// timeoutAt waits for a time-out whose segment begins n bytes into the data.
func (h *harness) timeoutAt(n int) {
	h.t.Helper()
	timeouts := h.c.Info().Timeouts
	s, ok := h.next(time.Minute)
	require.True(h.t, ok)
	require.EqualValues(h.t, 1+n, s.Seq)
	require.Equal(h.t, timeouts+1, h.c.Info().Timeouts)
	h.all()
}

// RFC 6582 3.2 step 3: many holes, one for each round trip: only the first partial
// acknowledgment restarts the timer ("Impatient"), and a time-out ends it if they are
// too many.
func TestNewRenoImpatient(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		require.Len(t, h.flight(10), 10)
		h.advance(roundTrip)
		for range 3 {
			h.ackTo(0)
		}
		h.wantSegs(0)
		from := h.now
		timeouts := func() uint64 { return h.c.Info().Timeouts }
		rto := h.c.Info().RTO
		for k := 1; k < 10 && timeouts() == 0; k++ {
			for end := h.now.Add(roundTrip); h.now < end && timeouts() == 0; {
				h.next(end.Sub(h.now))
			}
			if timeouts() == 0 {
				h.ackTo(k * ethMSS)
				h.wantSegs(k)
			}
		}
		require.EqualValues(t, 1, timeouts(), h.transcript())
		require.InDelta(t, float64(roundTrip+rto), float64(h.now.Sub(from)), float64(roundTrip))
	})
}
