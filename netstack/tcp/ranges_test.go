package tcp

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"smolnet/netstack/stream"
)

func TestRangesAdd(t *testing.T) {
	for _, c := range []struct {
		name string
		add  []span
		want []span
	}{
		{"one", []span{{10, 20}}, []span{{10, 20}}},
		{"nothing", []span{{10, 10}}, nil},
		{"backwards", []span{{10, 5}}, nil},
		{"in order", []span{{10, 20}, {30, 40}}, []span{{10, 20}, {30, 40}}},
		{"out of order", []span{{30, 40}, {10, 20}}, []span{{10, 20}, {30, 40}}},
		{"touches before", []span{{10, 20}, {5, 10}}, []span{{5, 20}}},
		{"touches after", []span{{10, 20}, {20, 25}}, []span{{10, 25}}},
		{"fills", []span{{10, 20}, {30, 40}, {20, 30}}, []span{{10, 40}}},
		{"duplicate", []span{{10, 20}, {10, 20}, {12, 15}}, []span{{10, 20}}},
		{"covers", []span{{10, 20}, {30, 40}, {50, 60}, {5, 45}}, []span{{5, 45}, {50, 60}}},
		{"covers all", []span{{10, 20}, {30, 40}, {50, 60}, {5, 65}}, []span{{5, 65}}},
		{"middle", []span{{10, 20}, {50, 60}, {30, 40}}, []span{{10, 20}, {30, 40}, {50, 60}}},
		{"wraps", []span{{0xffff_fff0, 5}, {10, 20}, {0xffff_ffe0, 0xffff_ffe5}, {5, 7}}, []span{{0xffff_ffe0, 0xffff_ffe5}, {0xffff_fff0, 7}, {10, 20}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r ranges
			for _, s := range c.add {
				require.True(t, r.add(nil, s.start, s.end))
			}
			require.Equal(t, c.want, append([]span(nil), r.spans...))
			require.Equal(t, len(c.want) == 0, r.empty())
		})
	}
}

func TestRangesAdvance(t *testing.T) {
	for _, c := range []struct {
		next, want Seq
		left       int
	}{
		{5, 5, 3}, {10, 20, 2}, {15, 20, 2}, {20, 20, 2}, {29, 29, 2}, {30, 40, 1}, {55, 60, 0}, {100, 100, 0},
	} {
		var r ranges
		for _, s := range []span{{10, 20}, {30, 40}, {50, 60}} {
			r.add(nil, s.start, s.end)
		}
		require.Equal(t, c.want, r.advance(c.next), "from %d", c.next)
		require.Len(t, r.spans, c.left, "from %d", c.next)
	}
}

// A bitmap knows what should be in the set.
func TestRangesAgainstBitmap(t *testing.T) {
	const size = 400
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 7))
		base := Seq(rng.Uint32())
		if seed%3 == 0 {
			base = -Seq(rng.IntN(size))
		}
		var r ranges
		var have [size]bool
		next := 0
		for range 60 {
			start := next + rng.IntN(size-next)
			end := start + rng.IntN(min(40, size-start)+1)
			if rng.IntN(5) > 0 {
				require.True(t, r.add(nil, base.Add(start), base.Add(end)))
				for i := start; i < end; i++ {
					have[i] = true
				}
			} else {
				next = min(next+rng.IntN(60), size-1)
				got := r.advance(base.Add(next)).Sub(base)
				for next < size && have[next] {
					next++
				}
				require.Equal(t, next, got, "seed %d", seed)
				if next == size {
					break
				}
			}
			var in [size]bool
			last := -1
			for _, s := range r.spans {
				a, b := s.start.Sub(base), s.end.Sub(base)
				require.Greater(t, a, last, "seed %d: %v", seed, r.spans)
				require.Greater(t, b, a, "seed %d: %v", seed, r.spans)
				last = b
				for i := a; i < b; i++ {
					in[i] = true
				}
			}
			require.Equal(t, have[next:], in[next:], "seed %d", seed)
		}
	}
}

// The memory is counted, bounded by the budget and by maxSpans, and given back.
func TestRangesMemory(t *testing.T) {
	pool := stream.NewPool(1 << 30)
	var r ranges
	n := 0
	for r.add(pool, Seq(2*n), Seq(2*n+1)) {
		n++
	}
	require.Equal(t, maxSpans, n)
	require.EqualValues(t, maxSpans*spanSize, pool.InUse())
	require.True(t, r.add(pool, 1, 2), "what needs no span is always taken")
	require.Len(t, r.spans, maxSpans-1)
	r.free(pool)
	require.Zero(t, pool.InUse())
	require.True(t, r.empty())
	r.free(pool)
	require.Zero(t, pool.InUse())

	small := stream.NewPool(16 * stream.PageSize)
	require.True(t, small.Reserve(10*stream.PageSize-minSpans*spanSize))
	for i := range minSpans {
		require.True(t, r.add(small, Seq(2*i), Seq(2*i+1)))
	}
	require.False(t, r.add(small, 1000, 1001))
	require.Len(t, r.spans, minSpans)
}
