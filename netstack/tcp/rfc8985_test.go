package tcp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/congestion"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// sacking has both sides agree on selective acknowledgments.
func (h *harness) sacking() *harness {
	h.peer.SACKPermitted = true
	return h
}

// stamping has both sides agree on timestamps; full is what a segment then has.
func (h *harness) stamping() *harness {
	h.peer.HasTimestamps = true
	return h
}

// A blk is a SACK block, in segments of ethMSS bytes from the first byte of data on:
// blk{2, 4} is the third and the fourth.
type blk [2]int

// sackOf makes an option of blocks of segments of size bytes.
func sackOf(size int, blocks ...blk) (o Options) {
	for _, b := range blocks {
		o.SACK[o.NumSACK] = wire.SACKBlock{Start: uint32(1 + b[0]*size), End: uint32(1 + b[1]*size)}
		o.NumSACK++
	}
	return o
}

// sack acknowledges n segments, and selectively what blocks say.
func (h *harness) sack(n int, blocks ...blk) {
	h.t.Helper()
	h.in(TCP{Seq: 1, Ack: uint32(1 + n*ethMSS), Flags: ACK, Options: h.absolute(sackOf(ethMSS, blocks...))})
}

// absolute makes the numbers of SACK blocks those on the wire.
func (h *harness) absolute(o Options) Options {
	for i := range o.NumSACK {
		o.SACK[i].Start += h.iss
		o.SACK[i].End += h.iss
	}
	return o
}

// segs tells which segments of ethMSS bytes were sent, by their numbers.
func (h *harness) segs(got []segment) []int {
	h.t.Helper()
	var n []int
	for _, s := range got {
		if len(s.data) == 0 && !s.Flags.Has(FIN) {
			continue
		}
		n = append(n, int(s.Seq-1)/ethMSS)
	}
	return n
}

// wantSegs demands that exactly these full segments are sent now.
func (h *harness) wantSegs(want ...int) {
	h.t.Helper()
	got := h.segs(h.all())
	if len(got) == 0 && len(want) == 0 {
		return
	}
	require.Equal(h.t, want, got, "segments sent\n%s", h.transcript())
}

// RFC 8985 7.4.2 and RFC 6675 4: a tail loss probe that is out does not hide that
// something else is lost.
func TestProbeDoesNotHideLoss(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.sacking().to(tcp.StateEstablished)
		require.Len(t, h.flight(10), 10)
		s, ok := h.next(time.Second)
		require.True(t, ok)
		require.Equal(t, []int{9}, h.segs([]segment{s}), "the probe")
		require.EqualValues(t, 1, h.c.Info().TailProbes)
		h.advance(5 * time.Millisecond)
		h.sack(7, blk{8, 9}) // late: the eighth segment is lost
		h.advance(50 * time.Millisecond)
		h.wantSegs(7)
	})
}

var _ = congestion.Open
