package phy

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHandoverModel compares the ring with a list, over sizes that go round it
// many times; the frame that is lent stays as it was throughout.
func TestHandoverModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var h handover
	var want [][]byte
	var lent, lentCopy []byte
	dropped, total := 0, 0
	for i := range 30000 {
		switch i / 2000 % 3 { // grows, shrinks, hovers
		case 0:
			total = 3
		case 1:
			total = 1
		default:
			total = 2
		}
		if r.IntN(4) < total {
			b := bytes.Repeat([]byte{byte(i)}, 1+r.IntN(1<<(6+r.IntN(11))))
			if h.push(&Frame{Data: b, Offload: Offload{SegmentSize: uint16(i)}}) {
				want = append(want, b)
			} else {
				dropped++
				held := 0
				for _, b := range want {
					held += len(b)
				}
				require.Greater(t, held+len(lent)+2*(1<<16), maxHandoverBytes-1<<17, "refused with much room left")
			}
		} else {
			require.Equal(t, len(want) == 0, h.empty())
			f, ok := h.pop()
			require.Equal(t, len(want) > 0, ok)
			if lent = nil; ok {
				require.True(t, bytes.Equal(want[0], f.Data))
				want, lent, lentCopy = want[1:], f.Data, bytes.Clone(f.Data)
			} else {
				h.release()
			}
		}
		require.True(t, lent == nil || bytes.Equal(lent, lentCopy), "changed while it was lent")
	}
	require.EqualValues(t, dropped, h.stats().Dropped)
	require.NotZero(t, dropped, "the bound was never met")
	h.close()
	require.True(t, h.empty())
	require.False(t, h.push(&Frame{Data: []byte{1}}))
	_, ok := h.pop()
	require.False(t, ok)
}
