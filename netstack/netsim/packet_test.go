package netsim

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/clock"
	"smolnet/netstack/wire"
)

// TestMarkPackets: RFC 3168 5: only ECT(0) and ECT(1) become CE, and the header's
// checksum goes with it, right or wrong.
func TestMarkPackets(t *testing.T) {
	for ecn := range uint8(4) {
		b := make([]byte, 40)
		h := wire.IPv4{TOS: 0xb8 | ecn, TotalLen: 40, TTL: 9, Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2")}
		h.Put(b)
		require.Equal(t, ecn != 0, mark(b))
		got, _, err := wire.ParseIPv4(b)
		require.NoError(t, err)
		want := uint8(0xb8)
		if ecn != 0 {
			want |= 3
		}
		require.Equal(t, want, got.TOS)

		h.Put(b)
		b[12] ^= 1
		mark(b)
		_, _, err = wire.ParseIPv4(b)
		require.Error(t, err, "a mark must not repair a header")

		h6 := wire.IPv6{TrafficClass: 0xb8 | ecn, FlowLabel: 0xabcde, Src: netip.MustParseAddr("fd00::1"), Dst: netip.MustParseAddr("fd00::2")}
		h6.Put(b)
		require.Equal(t, ecn != 0, mark(b))
		got6, _, err := wire.ParseIPv6(b)
		require.NoError(t, err)
		require.Equal(t, want, got6.TrafficClass)
		require.EqualValues(t, 0xabcde, got6.FlowLabel)
	}
	require.False(t, mark(nil))
}

// TestQueueOrder: events come by time, and those of one instant in the order of
// their making.
func TestQueueOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var q queue
	var last event
	for range 20000 {
		if q.len() > 0 && random.IntN(2) == 0 {
			e := q.pop()
			require.False(t, e.before(&last))
			last = e
			continue
		}
		q.push(event{at: last.at + clock.Time(random.IntN(50))})
	}
	for q.len() > 0 {
		e := q.pop()
		require.False(t, e.before(&last))
		last = e
	}
}

func TestRing(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var r ring[int]
	var model []int
	for i := range 10000 {
		if r.n > 0 && random.IntN(5) < 2 {
			require.Equal(t, model[0], r.pop())
			model = model[1:]
			continue
		}
		r.push(i)
		model = append(model, i)
		require.Equal(t, len(model), r.n)
		require.Equal(t, i, *r.at(r.n - 1))
	}
}

// TestSpans compares spans with a set of numbers.
func TestSpans(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const n = 60
	var s spans
	var set [n + 1]bool
	for range 20000 {
		from := random.Int64N(n)
		to := from + 1 + random.Int64N(n-from)
		switch random.IntN(3) {
		case 0:
			s.add(from, to)
			for i := from; i < to; i++ {
				set[i] = true
			}
		case 1:
			s.remove(from, to)
			for i := from; i < to; i++ {
				set[i] = false
			}
		default:
			require.Equal(t, !slices.Contains(set[from:to], false), s.has(from, to), "%v has %d-%d", s, from, to)
			var in int64
			for _, x := range s.overlapping(from, to) {
				in += min(x.to, to) - max(x.from, from)
			}
			for i := from; i < to; i++ {
				if set[i] {
					in--
				}
			}
			require.Zero(t, in)
		}
		for i := 1; i < len(s); i++ {
			require.Less(t, s[i-1].to, s[i].from, "%v", s)
		}
		for _, x := range s {
			require.Less(t, x.from, x.to, "%v", s)
		}
	}
}
