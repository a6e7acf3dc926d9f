package link

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTransit compares with a slice that is sorted anew each time.
func TestTransit(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var way transit
	var model []parcel
	_, ok := way.next()
	require.False(t, ok)
	for i := range 5000 {
		if random.IntN(100) < 55 {
			p := parcel{at: time.Duration(random.IntN(50)), pkt: []byte{byte(i), byte(i >> 8)}}
			way.add(p)
			model = append(model, p)
			slices.SortStableFunc(model, func(a, b parcel) int { return int(a.at - b.at) })
		} else {
			now := time.Duration(random.IntN(40))
			got := way.due(now, make([]parcel, 0, 3))
			n := 0
			for n < min(3, len(model)) && model[n].at <= now {
				n++
			}
			require.Len(t, got, n)
			for j := range got {
				require.Equal(t, model[j], got[j])
			}
			model = model[n:]
		}
		at, ok := way.next()
		require.Equal(t, len(model) > 0, ok)
		if ok {
			require.Equal(t, model[0].at, at)
		}
	}
}

func TestStore(t *testing.T) {
	s := store{size: 10, limit: 2}
	a := s.take([]byte("abc"), nil, []byte("defghij"))
	require.Equal(t, "abcdefghij", string(a))
	b := s.take()
	require.NotNil(t, b)
	require.Empty(t, b)
	require.Nil(t, s.take())
	s.give(b)
	s.give(a)
	c := s.take([]byte("x"))
	require.Equal(t, "x", string(c))
	require.Same(t, &a[0], &c[0], "the last one back is the first one out")
}

func TestHistogram(t *testing.T) {
	var h histogram
	require.Equal(t, Lateness{}, h.lateness())
	h.add(-5)
	require.Equal(t, Lateness{}, h.lateness())

	h = histogram{}
	for i := range 1000 {
		h.add(time.Duration(i+1) * us)
	}
	l := h.lateness()
	require.Equal(t, 1000*us, l.Max)
	require.Equal(t, 500500*time.Nanosecond, l.Mean)
	require.InEpsilon(t, 990*us, l.P99, 1.0/(1<<lateBits))

	for _, v := range []uint64{0, 1, 15, 16, 31, 32, 33, 1000, 1 << 40, 1<<63 - 1} {
		i := class(v)
		require.GreaterOrEqual(t, ceiling(i), v)
		require.LessOrEqual(t, float64(ceiling(i)), float64(v)*(1+1.0/(1<<lateBits)))
		require.Less(t, i, len(h.classes))
		if i > 0 {
			require.Less(t, ceiling(i-1), v)
		}
	}
}
