package work

import (
	"math"
	"math/bits"
	"time"
)

// A Histogram counts durations in buckets that are one 128th of their value
// wide, so that recording takes a few instructions and no memory. The zero value
// is empty.
type Histogram struct {
	counts [histogramBuckets]uint32
	total  uint64
}

const (
	histogramBits    = 7 // of precision below the leading one
	histogramSub     = 1 << histogramBits
	histogramLargest = 40 // bits: durations of more than 18 minutes count as that
	histogramBuckets = (histogramLargest-histogramBits)<<histogramBits + histogramSub
)

// bucket returns the number of the bucket of v.
func bucket(v uint64) int {
	v = min(v, 1<<histogramLargest-1)
	if v < histogramSub {
		return int(v)
	}
	exp := bits.Len64(v) - 1 - histogramBits
	return exp<<histogramBits + int(v>>exp)
}

// middle returns the value in the middle of a bucket.
func middle(i int) uint64 {
	if i < 2*histogramSub {
		return uint64(i)
	}
	exp := i>>histogramBits - 1
	low := uint64(i-exp<<histogramBits) << exp
	return low + 1<<exp/2
}

// Add counts d. Negative durations count as zero.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)))]++
	h.total++
}

// Merge adds what another histogram has counted.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
}

// Count returns how many durations were counted.
func (h *Histogram) Count() uint64 { return h.total }

// Quantile returns the duration that a share q of all is not longer than, off by
// less than 1 %. Q is from 0 to 1; of nothing the answer is zero.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := max(uint64(math.Ceil(q*float64(h.total))), 1)
	seen := uint64(0)
	for i, n := range h.counts {
		seen += uint64(n)
		if seen >= rank {
			return time.Duration(middle(i))
		}
	}
	return 0
}
