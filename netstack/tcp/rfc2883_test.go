package tcp_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// RFC 2883 4.1, 4.2 and 5, the receiver's side: acknowledgments that were lost on
// the way back are those that the receiver has sent all the same.
func TestDSACKExamples(t *testing.T) {
	for name, tt := range map[string]struct {
		start uint32
		segs  []arrival
	}{
		"4.1.1 a duplicate segment": {3000, []arrival{
			{3000, 3500, 3500, nil},
			{3500, 4000, 4000, nil},
			{3000, 3500, 4000, blocks(3000, 3500)},
		}},
		"4.1.2 an out-of-order segment and a duplicate one": {3000, []arrival{
			{3000, 3500, 3500, nil},
			{4000, 4500, 3500, blocks(4000, 4500)},
			{3000, 3500, 3500, blocks(3000, 3500, 4000, 4500)},
		}},
		"4.1.3 a duplicate of an out-of-order segment": {3500, []arrival{
			{3500, 4000, 4000, nil},
			{4500, 5000, 4000, blocks(4500, 5000)},
			{5000, 5500, 4000, blocks(4500, 5500)},
			{5000, 5500, 4000, blocks(5000, 5500, 4500, 5500)},
		}},
		"4.2.1 a single duplicate subsegment": {500, []arrival{
			{500, 1000, 1000, nil},
			{2000, 2500, 1000, blocks(2000, 2500)},
			{1000, 1500, 1500, blocks(2000, 2500)},
			{1000, 2000, 2500, blocks(1000, 1500)},
		}},
		"4.2.1 one in a block that is filled up to": {500, []arrival{
			{1500, 2000, 500, blocks(1500, 2000)},
			{500, 2500, 2500, blocks(1500, 2000)},
		}},
		"4.2.2 two noncontiguous ones below the cumulative acknowledgment": {500, []arrival{
			{500, 1000, 1000, nil},
			{3000, 3500, 1000, blocks(3000, 3500)},
			{1000, 1500, 1500, blocks(3000, 3500)},
			{2000, 2500, 1500, blocks(2000, 2500, 3000, 3500)},
			{1000, 2500, 2500, blocks(1000, 1500, 3000, 3500)},
		}},
		"4.2.3 two noncontiguous ones beyond it": {500, []arrival{
			{500, 1000, 1000, nil},
			{3500, 4000, 1000, blocks(3500, 4000)},
			{1500, 2000, 1000, blocks(1500, 2000, 3500, 4000)},
			{2500, 3000, 1000, blocks(2500, 3000, 1500, 2000, 3500, 4000)},
			{1500, 3000, 1000, blocks(1500, 2000, 1500, 3000, 3500, 4000)},
		}},
		"5.1 replication by the network": {500, []arrival{
			{500, 1000, 1000, nil},
			{1000, 1500, 1500, nil},
			{1000, 1500, 1500, blocks(1000, 1500)},
		}},
		"5.2 false retransmit due to reordering": {500, []arrival{
			{500, 1000, 1000, nil},
			{1500, 2000, 1000, blocks(1500, 2000)},
			{2000, 2500, 1000, blocks(1500, 2500)},
			{2500, 3000, 1000, blocks(1500, 3000)},
			{1000, 1500, 3000, nil},
			{1000, 1500, 3000, blocks(1000, 1500)},
		}},
		"5.3 retransmit timeout due to ACK loss": {500, []arrival{
			{500, 1000, 1000, nil},
			{1000, 1500, 1500, nil},
			{1500, 2000, 2000, nil},
			{2000, 2500, 2500, nil},
			{500, 1000, 2500, blocks(500, 1000)},
		}},
		"5.4 early retransmit timeout": {500, []arrival{
			{500, 1000, 1000, nil},
			{1000, 1500, 1500, nil},
			{1500, 2000, 2000, nil},
			{2000, 2500, 2500, nil},
			{500, 1000, 2500, blocks(500, 1000)},
			{1000, 1500, 2500, blocks(1000, 1500)},
			{1500, 2000, 2500, blocks(1500, 2000)},
			{2000, 2500, 2500, blocks(2000, 2500)},
		}},
		"all of a block": {500, []arrival{
			{1000, 1500, 500, blocks(1000, 1500)},
			{1000, 1500, 500, blocks(1000, 1500, 1000, 1500)},
			{1500, 2000, 500, blocks(1000, 2000)},
		}},
		"part of it is old and part of it in a block": {500, []arrival{
			{500, 1000, 1000, nil},
			{1000, 1200, 1200, nil},
			{1200, 1300, 1300, nil},
			{2000, 2500, 1300, blocks(2000, 2500)},
			{1200, 1500, 1500, blocks(1200, 1300, 2000, 2500)},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.receiver(tt.start)
				h.arrive(tt.segs)
			})
		})
	}
}

// RFC 2883 4: "each duplicate contiguous sequence of data received is reported in
// at most one D-SACK block". Several that come before there is an acknowledgment
// are one if they are contiguous.
func TestDSACKOnce(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.receiver(3001)
		for _, at := range []uint32{1001, 2001} {
			h.in(TCP{Seq: at, Ack: 1, Flags: ACK}, pattern(int(at) + 999)[at-1:])
		}
		got := h.all()
		require.Len(t, got, 1)
		require.Equal(t, blocks(1001, 3001), h.sacks(&got[0]))
		h.arrive([]arrival{{3001, 3100, 3100, nil}, {4001, 4100, 3100, blocks(4001, 4100)}})
		h.in(TCP{Seq: 4001, Ack: 1, Flags: ACK}, pattern(4099)[4000:])
		h.in(TCP{Seq: 1001, Ack: 1, Flags: ACK}, pattern(1500)[1000:])
		seen := 0
		for _, s := range h.all() {
			if b := h.sacks(&s); len(b) == 2 {
				require.Equal(t, blocks(4001, 4100, 4001, 4100), b)
				seen++
			}
		}
		require.Equal(t, 1, seen)
		require.EqualValues(t, 4, h.c.Info().Twice)
	})
}

// A duplicate FIN is one of sequence space, and of a segment that PAWS refuses
// the peer hears as well (RFC 7323 5.3, R1 has it acknowledged).
func TestDSACKOfFINAndOldStamps(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.peer.HasTimestamps = true
		h.peer.TSVal = 7000
		h.receiver(101)
		h.in(TCP{Seq: 51, Ack: 1, Flags: ACK, Options: Options{HasTimestamps: true, TSVal: 5000, TSEcr: h.tsVal}}, pattern(100)[50:])
		got := h.want(TCP{Seq: 1, Ack: 101, Flags: ACK})
		require.Equal(t, blocks(51, 101), h.sacks(&got))
		h.in(TCP{Seq: 101, Ack: 1, Flags: ACK | FIN})
		got = h.want(TCP{Seq: 1, Ack: 102, Flags: ACK})
		require.Empty(t, h.sacks(&got))
		h.in(TCP{Seq: 101, Ack: 1, Flags: ACK | FIN})
		got = h.want(TCP{Seq: 1, Ack: 102, Flags: ACK})
		require.Equal(t, blocks(101, 102), h.sacks(&got))
	})
}

// Without SACK a duplicate is answered by an acknowledgment, and no more.
func TestNoDSACKWithoutSACK(t *testing.T) {
	h := newHarness(t)
	h.establish()
	for range 2 {
		h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, pattern(100))
		got := h.want(TCP{Seq: 1, Ack: 101, Flags: ACK})
		require.Zero(t, got.Options.NumSACK)
	}
}
