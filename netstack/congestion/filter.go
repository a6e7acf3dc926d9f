package congestion

import (
	"math"
	"math/bits"
)

// filterRounds is how many rounds a roundMax remembers.
const filterRounds = 10

// A roundMax is the largest of the values of the last filterRounds rounds. It forgets
// only when a value is added: rounds without values leave it as it is.
type roundMax struct {
	best  [filterRounds]int64 // of each round, by its number
	round uint64              // the latest
	max   int64
}

// add adds a value of a round, which is not earlier than the last one.
func (f *roundMax) add(round uint64, value int64) {
	if round-f.round >= filterRounds {
		*f = roundMax{round: round}
	}
	for f.round < round {
		f.round++
		f.best[f.round%filterRounds] = 0
	}
	at := &f.best[round%filterRounds]
	*at = max(*at, value)
	f.max = 0
	for _, v := range f.best {
		f.max = max(f.max, v)
	}
}

// mulDiv returns a * b / c, at most the largest int64. What is negative counts as zero;
// c is positive.
func mulDiv(a, b, c int64) int64 {
	hi, lo := bits.Mul64(uint64(max(a, 0)), uint64(max(b, 0)))
	if hi >= uint64(c) {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(min(q, math.MaxInt64))
}
