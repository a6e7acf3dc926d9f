// Package token is the token bucket that limits rates: of ICMP errors,
// challenge ACKs, answers to strangers.
package token

import "smolnet/netstack/clock"

// unit is one token. The level is kept in billionths, so that one nanosecond
// adds exactly Rate of them and nothing is ever rounded away.
const unit = 1_000_000_000

// maxCount bounds Rate and Burst: more counts as this, and the level of a full
// bucket fits an int64.
const maxCount = 1 << 32

// A Bucket lets Burst events pass at once and Rate per second in the long run.
// It starts full. The fields may be changed at any time. The zero Bucket lets
// nothing pass.
type Bucket struct {
	Rate  int // tokens per second; zero: it is never refilled; negative: no limit
	Burst int // tokens that it holds; zero or negative: nothing passes, unless there is no limit

	level int64 // units
	last  clock.Time
}

// Take takes one token and reports whether there was one.
func (b *Bucket) Take(now clock.Time) bool { return b.TakeN(now, 1) }

// TakeN takes n tokens and reports whether there were so many; if not it takes
// none. No or fewer tokens are always there. A clock that stands or steps back
// adds none.
func (b *Bucket) TakeN(now clock.Time, n int) bool {
	if b.Rate < 0 || n <= 0 {
		return true
	}
	b.fill(now)
	if int64(n) > b.level/unit {
		return false
	}
	b.level -= int64(n) * unit
	return true
}

// fill adds what has come since the last call.
func (b *Bucket) fill(now clock.Time) {
	rate := min(int64(b.Rate), maxCount)
	full := max(min(int64(b.Burst), maxCount), 0) * unit
	elapsed := int64(now) - int64(b.last)
	switch {
	case !b.last.IsSet():
		b.level = full
	case elapsed <= 0:
		b.level = min(b.level, full)
		return
	case rate > 0 && elapsed > (full-min(b.level, full))/rate:
		b.level = full
	default:
		b.level = min(b.level+elapsed*rate, full)
	}
	b.last = now
}
