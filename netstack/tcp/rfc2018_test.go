package tcp_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// An arrival is a segment with the stream's bytes from one place up to another,
// and what its acknowledgment says: how far everything has arrived, and the
// blocks.
type arrival struct {
	from, to uint32
	ack      uint32
	blocks   []wire.SACKBlock
}

// blocks returns the blocks of pairs of numbers.
func blocks(edges ...uint32) (b []wire.SACKBlock) {
	for i := 0; i < len(edges); i += 2 {
		b = append(b, wire.SACKBlock{Start: edges[i], End: edges[i+1]})
	}
	return b
}

// sacks returns the blocks of a segment, with relative numbers.
func (h *harness) sacks(s *segment) (b []wire.SACKBlock) {
	for _, k := range s.Options.SACK[:s.Options.NumSACK] {
		b = append(b, wire.SACKBlock{Start: k.Start - h.irs, End: k.End - h.irs})
	}
	return b
}

// receiver opens the connection to a peer that takes SACK, and has it receive
// everything up to n.
func (h *harness) receiver(n uint32) {
	h.t.Helper()
	h.peer.SACKPermitted = true
	h.establish()
	for at := uint32(1); at < n; {
		to := min(at+1000, n)
		h.arrive([]arrival{{at, to, to, nil}})
		at = to
	}
}

// arrive has segments arrive one by one and demands their acknowledgments.
func (h *harness) arrive(segs []arrival) {
	h.t.Helper()
	for i, a := range segs {
		h.in(TCP{Seq: a.from, Ack: 1, Flags: ACK}, pattern(int(a.to))[a.from-1:a.to-1])
		got, ok := h.send()
		if !ok {
			h.fail("segment %d (%d to %d) is not answered", i, a.from, a.to)
		}
		if got.Ack != a.ack || !slices.Equal(h.sacks(&got), a.blocks) {
			h.fail("segment %d (%d to %d): got ack %d, %v, want ack %d, %v", i, a.from, a.to, got.Ack, h.sacks(&got), a.ack, a.blocks)
		}
		h.wantNone()
	}
}

// RFC 2018 2: SACK-permitted is on our SYN, and on a SYN-ACK if the SYN had it;
// without it on both sides there are no blocks.
func TestSACKPermitted(t *testing.T) {
	for _, peer := range []bool{false, true} {
		for _, off := range []bool{false, true} {
			for _, active := range []bool{false, true} {
				t.Run(fmt.Sprintf("peer %v, ours %v, active %v", peer, !off, active), func(t *testing.T) {
					h := newHarness(t)
					h.cfg.NoSACK = off
					h.peer.SACKPermitted = peer
					if active {
						h.establishActive()
					} else {
						h.establish()
					}
					require.Equal(t, !off && (peer || active), h.own.SACKPermitted)
					h.in(TCP{Seq: 101, Ack: 1, Flags: ACK}, pattern(200)[100:])
					got := h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
					if peer && !off {
						require.Equal(t, blocks(101, 201), h.sacks(&got))
					} else {
						require.Empty(t, h.sacks(&got))
					}
				})
			}
		}
	}
}

// RFC 2018 5: "Assume the left window edge is 5000 and that the data transmitter
// sends a burst of 8 segments, each containing 500 data bytes."
func TestSACKExamples(t *testing.T) {
	for name, segs := range map[string][]arrival{
		"case 1: the first 4 are received, the last 4 dropped": {
			{5000, 5500, 5500, nil}, {5500, 6000, 6000, nil}, {6000, 6500, 6500, nil}, {6500, 7000, 7000, nil},
		},
		"case 2: the first is dropped": {
			{5500, 6000, 5000, blocks(5500, 6000)},
			{6000, 6500, 5000, blocks(5500, 6500)},
			{6500, 7000, 5000, blocks(5500, 7000)},
			{7000, 7500, 5000, blocks(5500, 7500)},
			{7500, 8000, 5000, blocks(5500, 8000)},
			{8000, 8500, 5000, blocks(5500, 8500)},
			{8500, 9000, 5000, blocks(5500, 9000)},
		},
		"case 3: the 2nd, 4th, 6th and 8th are dropped": {
			{5000, 5500, 5500, nil},
			{6000, 6500, 5500, blocks(6000, 6500)},
			{7000, 7500, 5500, blocks(7000, 7500, 6000, 6500)},
			{8000, 8500, 5500, blocks(8000, 8500, 7000, 7500, 6000, 6500)},
			// "Suppose at this point, the 4th packet is received out of order."
			{6500, 7000, 5500, blocks(6000, 7500, 8000, 8500)},
			// "Suppose at this point, the 2nd segment is received."
			{5500, 6000, 7500, blocks(8000, 8500)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.receiver(5000)
				h.arrive(segs)
			})
		})
	}
}

// RFC 2018 3: four blocks fit, and three beside timestamps. 4: they are the ones
// that changed last; what they leave out is told when its turn comes.
func TestSACKRoom(t *testing.T) {
	for _, stamps := range []bool{false, true} {
		t.Run(fmt.Sprintf("timestamps %v", stamps), func(t *testing.T) {
			each(t, func(t *testing.T, h *harness) {
				h.peer.HasTimestamps = stamps
				h.peer.TSVal = 7000
				h.receiver(1)
				room := 4 - b2i(stamps)
				var want []wire.SACKBlock
				for i := range uint32(8) {
					from := 1001 + 200*i
					want = append(blocks(from, from+100), want...)
					h.arrive([]arrival{{from, from + 100, 1, want[:min(len(want), room)]}})
				}
				h.arrive([]arrival{{1101, 1201, 1, append(blocks(1001, 1301), want[:room-1]...)}})
			})
		})
	}
}

// A retransmission that opens no gap further on fills the option with what else
// there is: all blocks are told while they fit, whatever was forgotten.
func TestSACKFilled(t *testing.T) {
	h := newHarness(t)
	h.receiver(1)
	for i := range uint32(6) {
		h.in(TCP{Seq: 1001 + 200*i, Ack: 1, Flags: ACK}, pattern(100))
	}
	h.all()
	// The four newest become one, the two others were forgotten.
	for _, at := range []uint32{1501, 1701, 1901} {
		h.in(TCP{Seq: at, Ack: 1, Flags: ACK}, pattern(100))
	}
	got := h.all()
	require.NotEmpty(t, got)
	require.Equal(t, blocks(1001, 1101, 1201, 1301, 1401, 2101), sortBlocks(h.sacks(&got[len(got)-1])))
}

func sortBlocks(b []wire.SACKBlock) []wire.SACKBlock {
	b = slices.Clone(b)
	slices.SortFunc(b, func(x, y wire.SACKBlock) int { return int(int32(x.Start - y.Start)) })
	return b
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// RFC 2018 4: "If sent at all, SACK options SHOULD be included in all ACKs which
// do not ACK the highest sequence number in the data receiver's queue". A data
// segment has them where they fit; where not a segment of their own follows, if
// an acknowledgment is due.
func TestSACKOnData(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		h.peer.HasTimestamps = true
		h.peer.TSVal = 7000
		h.receiver(1)
		h.in(TCP{Seq: 101, Ack: 1, Flags: ACK}, pattern(200)[100:])
		require.Len(t, h.all(), 1)

		full := h.c.Info().SendMSS
		h.write(pattern(full + 100))
		segs := h.all()
		require.Len(t, segs, 2)
		require.Len(t, segs[0].data, full)
		require.Empty(t, h.sacks(&segs[0]), "no room")
		require.Len(t, segs[1].data, 100)
		require.Equal(t, blocks(101, 201), h.sacks(&segs[1]))
		h.in(TCP{Seq: 1, Ack: uint32(full + 101), Flags: ACK})
		h.wantNone()

		// Part of the gap is filled: that is acknowledged at once.
		h.write(pattern2(full+100, full))
		h.in(TCP{Seq: 1, Ack: uint32(full + 101), Flags: ACK}, pattern(50))
		segs = h.all()
		require.Len(t, segs, 2)
		require.Len(t, segs[0].data, full)
		require.EqualValues(t, 51, segs[0].Ack)
		require.Empty(t, segs[1].data)
		require.EqualValues(t, 51, segs[1].Ack)
		require.Equal(t, blocks(101, 201), h.sacks(&segs[1]))
	})
}

// What a segment has of headers and data is never more than a full segment
// without blocks, whatever there is to be told.
func TestSACKNeverTooLong(t *testing.T) {
	for _, stamps := range []bool{false, true} {
		h := newHarness(t)
		h.peer.HasTimestamps = stamps
		h.peer.TSVal = 7000
		h.room = 64 << 10
		h.receiver(1)
		h.write(pattern(64 << 10)[:0])
		for i := range uint32(5) {
			h.in(TCP{Seq: 1001 + 200*i, Ack: 1, Flags: ACK}, pattern(100))
		}
		h.all()
		told := 0
		for n := h.c.Info().SendMSS - 60; n <= h.c.Info().SendMSS+20; n++ {
			at := len(h.out)
			h.write(pattern2(at, n))
			for _, s := range h.all() {
				if s.size == 0 {
					require.LessOrEqual(t, s.HeaderLen()+len(s.data), ethMTU, "%d bytes", n)
				} else {
					require.LessOrEqual(t, s.HeaderLen()+int(s.size), ethMTU, "%d bytes", n)
				}
				told += len(h.sacks(&s))
			}
			h.in(TCP{Seq: 1, Ack: uint32(len(h.out) + 1), Flags: ACK})
			h.all()
		}
		require.NotZero(t, told)
	}
}

// RFC 5681 4.2: segments out of order are acknowledged at once. With SACK the
// blocks are the news, and segments of one turn that make the same block longer
// share acknowledgments, but for the first three; without, each has its own.
func TestDuplicateACKsOfOneTurn(t *testing.T) {
	for _, sack := range []bool{false, true} {
		for n := 1; n <= 40; n++ {
			h := newHarness(t)
			h.peer.SACKPermitted = sack
			h.establish()
			for i := range n {
				h.in(TCP{Seq: uint32(101 + 100*i), Ack: 1, Flags: ACK}, pattern(100))
			}
			want := n
			if sack && n > 3 {
				want = 3 + (n-3)/2
			}
			got := h.all()
			require.Len(t, got, want, "%d segments, SACK %v", n, sack)
			if sack {
				require.Equal(t, blocks(101, uint32(101+100*n)), h.sacks(&got[0]))
			}
		}
	}
	// Alone, each has one.
	h := newHarness(t)
	h.receiver(1)
	for i := range uint32(20) {
		h.arrive([]arrival{{101 + 100*i, 201 + 100*i, 1, blocks(101, 201+100*i)}})
	}
	// Blocks of their own, too.
	for i := range uint32(20) {
		h.in(TCP{Seq: 5001 + 200*i, Ack: 1, Flags: ACK}, pattern(100))
	}
	require.Len(t, h.all(), 20)
}

// A gapModel is what RFC 2018 4 says of a receiver, naively: the bytes that have
// arrived, and when the block that they are in was reported first the last time.
type gapModel struct {
	next    uint32
	blocks  []wire.SACKBlock // newest first
	crowded bool             // there were more than a connection remembers the order of
}

// arrive takes text and returns what has arrived twice of it, first piece.
func (m *gapModel) arrive(from, to uint32) (dup wire.SACKBlock) {
	if from < m.next {
		dup = wire.SACKBlock{Start: from, End: min(to, m.next)}
		from = min(m.next, to)
	}
	if from == to {
		return dup
	}
	if dup.End == 0 {
		first := wire.SACKBlock{}
		for _, b := range m.blocks {
			lap := wire.SACKBlock{Start: max(from, b.Start), End: min(to, b.End)}
			if lap.Start < lap.End && (first.End == 0 || lap.Start < first.Start) {
				first = lap
			}
		}
		dup = first
	}
	grown := wire.SACKBlock{Start: from, End: to}
	rest := m.blocks[:0:0]
	for _, b := range m.blocks {
		if b.Start <= grown.End && grown.Start <= b.End {
			grown = wire.SACKBlock{Start: min(b.Start, grown.Start), End: max(b.End, grown.End)}
		}
	}
	for _, b := range m.blocks {
		if b.Start > grown.End || b.End < grown.Start {
			rest = append(rest, b)
		}
	}
	m.blocks = append([]wire.SACKBlock{grown}, rest...)
	if grown.Start <= m.next {
		m.next = max(m.next, grown.End)
		m.blocks = rest
	}
	m.crowded = len(m.blocks) > 4 || m.crowded && len(m.blocks) > 0
	return dup
}

// Blocks and their order against the model, for random arrivals.
func TestSACKAgainstModel(t *testing.T) {
	stream, read, inOrder := pattern(200_000), make([]byte, 64<<10), 0
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 2018))
		h := newHarness(t)
		h.irs = rng.Uint32()
		h.peer.HasTimestamps = rng.IntN(2) == 0
		h.peer.TSVal = 7000
		room := 4 - b2i(h.peer.HasTimestamps)
		h.receiver(1)
		m := gapModel{next: 1}
		spread, ordered := 6+rng.IntN(35), 0
		for range 300 {
			from := m.next + uint32(rng.IntN(spread))*100
			if rng.IntN(3) == 0 && m.next > 500 {
				from = m.next - uint32(rng.IntN(5))*100
			}
			to := from + 100*uint32(1+rng.IntN(4))
			if int(to) >= len(stream) {
				break
			}
			dup := m.arrive(from, to)
			h.in(TCP{Seq: from, Ack: 1, Flags: ACK}, stream[from-1:to-1])
			got, ok := h.send()
			require.True(t, ok, "seed %d", seed)
			h.wantNone()
			h.c.In.Read(read)
			require.Equal(t, m.next, got.Ack, "seed %d", seed)
			checkBlocks(t, h, &m, h.sacks(&got), dup, room, seed)
			ordered += b2i(!m.crowded && len(m.blocks) > 2)
		}
		inOrder += ordered
	}
	require.Greater(t, inOrder, 1000, "orders looked at")
}

// checkBlocks demands what is told to be the duplicate, the block that it is in,
// and the newest blocks in their order. The connection remembers the order of
// four; what was older may stand in any.
func checkBlocks(t *testing.T, h *harness, m *gapModel, got []wire.SACKBlock, dup wire.SACKBlock, room int, seed uint64) {
	t.Helper()
	want := m.blocks
	if dup.End != 0 {
		if len(got) == 0 || got[0] != dup {
			h.fail("seed %d: got %v, not the duplicate %v first", seed, got, dup)
		}
		got = got[1:]
		room--
		if i := slices.IndexFunc(want, func(b wire.SACKBlock) bool { return b.Start <= dup.Start && dup.End <= b.End }); i > 0 {
			want = append([]wire.SACKBlock{want[i]}, slices.Delete(slices.Clone(want), i, i+1)...)
		}
	}
	require.Len(t, got, min(len(m.blocks), room), "seed %d: %v of %v", seed, got, m.blocks)
	if len(got) == 0 {
		return
	}
	require.Equal(t, want[0], got[0], "seed %d", seed)
	if !m.crowded {
		require.Equal(t, want[:len(got)], got, "seed %d", seed)
	}
	for i, b := range got {
		require.Contains(t, m.blocks, b, "seed %d", seed)
		require.NotContains(t, got[:i], b, "seed %d: told twice", seed)
	}
}

// RFC 2018 8: what was reported is dropped only where the memory is used up, and
// then is reported no more.
func TestSACKReneging(t *testing.T) {
	h := newHarness(t)
	h.pool = stream.NewPool(64 << 10)
	h.receiver(1)
	h.in(TCP{Seq: 20001, Ack: 1, Flags: ACK}, pattern(1000))
	got := h.want(TCP{Seq: 1, Ack: 1, Flags: ACK})
	require.Equal(t, blocks(20001, 21001), h.sacks(&got))
	require.True(t, h.pool.Reserve(h.pool.Limit()-h.pool.InUse()))
	h.in(TCP{Seq: 1, Ack: 1, Flags: ACK}, pattern(1000))
	for _, s := range h.all() {
		require.Empty(t, h.sacks(&s))
		require.EqualValues(t, 1001, s.Ack)
	}
	h.wantState(tcp.StateEstablished)
	require.EqualValues(t, 1, h.c.Info().Reneged)
}
