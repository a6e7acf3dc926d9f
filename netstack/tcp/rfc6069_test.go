package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/tcp"
)

// RFC 6069 4.2: each message that quotes the segment at SND.UNA takes one doubling
// back, and the timer is that of the last retransmission.
func TestNoRouteTakesBackOff(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.write(pattern(ethMSS))
		require.Len(t, h.all(), 1)
		rto := h.c.Info().RTO
		for range 4 { // time-outs, with their back-off
			_, ok := h.next(time.Minute)
			require.True(t, ok)
			h.all()
		}
		require.Equal(t, 16*rto, h.c.Info().RTO)
		sent := h.now

		noRoute := func(seq uint32) { h.c.NoRoute(h.now, tcp.Seq(h.iss+seq)) }
		noRoute(2) // another segment's
		require.Equal(t, 16*rto, h.c.Info().RTO)
		noRoute(1)
		require.Equal(t, 8*rto, h.c.Info().RTO)
		noRoute(1)
		require.Equal(t, 4*rto, h.c.Info().RTO)
		_, ok := h.next(time.Minute)
		require.True(t, ok)
		require.InDelta(t, float64(sent.Add(4*rto)), float64(h.now), float64(tolerance))
		h.all()
		require.Equal(t, 8*rto, h.c.Info().RTO)

		h.advance(5 * rto) // "if the retransmission timer has expired": at once
		h.wantNone()
		noRoute(1)
		require.NotEmpty(t, h.all())
	})
}

// A router that answers each retransmission has the pace stay, and the connection live
// on: for so long as silence would have been borne, and no longer.
func TestNoRouteKeepsTrying(t *testing.T) {
	h := newHarness(t)
	h.to(tcp.StateEstablished)
	h.write(pattern(ethMSS))
	require.Len(t, h.all(), 1)
	began := h.now
	tries := 0
	for h.c.State() == tcp.StateEstablished {
		_, ok := h.next(10 * time.Minute)
		if !ok {
			break
		}
		h.all()
		tries++
		h.c.NoRoute(h.now, tcp.Seq(h.iss+1))
		require.Less(t, tries, 10_000)
	}
	require.Equal(t, tcp.StateClosed, h.c.State())
	require.Greater(t, tries, 1000)
	took := h.now.Sub(began)
	require.Greater(t, took, 15*time.Minute)
	require.Less(t, took, time.Hour)
}

// Where there is no time-out there is nothing to take back.
func TestNoRouteWithoutTimeout(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.to(tcp.StateEstablished)
		h.c.NoRoute(h.now, tcp.Seq(h.iss+1))
		require.Len(t, h.flight(10), 10)
		at := h.c.Deadline()
		h.c.NoRoute(h.now, tcp.Seq(h.iss+1))
		require.Equal(t, at, h.c.Deadline())
	})
}
