package link

import (
	"math/bits"
	"time"
)

// lateBits is how finely lateness is told apart: the p99 is right to one part
// in 1<<lateBits.
const lateBits = 4

// Lateness says how much later than the model's instants packets were handed
// over: how far the emulation is from the link that it stands for.
type Lateness struct {
	Mean time.Duration
	P99  time.Duration // right to a sixteenth
	Max  time.Duration
}

// A histogram counts durations in classes that grow with them.
type histogram struct {
	classes [(64 - lateBits + 1) << lateBits]uint64
	n       uint64
	sum     time.Duration
	max     time.Duration
}

// add counts d. A negative one counts as zero.
func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.classes[class(uint64(d))]++
	h.n++
	h.sum += d
	h.max = max(h.max, d)
}

// class returns the index for v: the position of its first bit and the
// lateBits that follow.
func class(v uint64) int {
	shift := max(bits.Len64(v)-lateBits-1, 0)
	return shift<<lateBits + int(v>>shift)
}

// ceiling returns the largest value of class i.
func ceiling(i int) uint64 {
	shift := max(i>>lateBits-1, 0)
	return uint64(i-shift<<lateBits+1)<<shift - 1
}

func (h *histogram) lateness() Lateness {
	if h.n == 0 {
		return Lateness{}
	}
	l := Lateness{Mean: h.sum / time.Duration(h.n), Max: h.max}
	rest := (h.n*99 + 99) / 100
	for i, n := range h.classes {
		if n >= rest {
			l.P99 = min(time.Duration(ceiling(i)), h.max)
			break
		}
		rest -= n
	}
	return l
}
