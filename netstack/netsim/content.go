package netsim

import (
	"bytes"
	"math/rand/v2"
)

// period is how long the content is before it repeats: a prime, so that no error
// by a number of segments, pages or powers of two goes unnoticed.
const period = 65521

// A content is what flows send: endless and random, each flow from another place
// on.
type content struct {
	twice []byte // two periods, so that one can be had from any place
	sink  []byte // what is read
}

func (c *content) init(random *rand.Rand) {
	c.twice = make([]byte, 2*period)
	for i := range period {
		c.twice[i] = byte(random.Uint32())
	}
	copy(c.twice[period:], c.twice[:period])
	c.sink = make([]byte, period)
}

// from returns what is at the offset off of a stream that begins at the place
// start: a period of it.
func (c *content) from(start int, off int64) []byte {
	i := int((int64(start) + off) % period)
	return c.twice[i : i+period]
}

// differs returns the place of the first byte of b, at most a period, that is not
// what belongs at the offset off; less than zero if there is none.
func (c *content) differs(b []byte, start int, off int64) int {
	want := c.from(start, off)
	if bytes.Equal(b, want[:len(b)]) {
		return -1
	}
	for i := range b {
		if b[i] != want[i] {
			return i
		}
	}
	return -1
}
