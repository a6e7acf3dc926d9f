package tcp

import (
	"time"

	"smolnet/netstack/clock"
)

// Challenges bound the challenge ACKs (RFC 5961) of all connections of one owner
// together, besides what each connection allows itself: many connections at once
// must not make a host reflect a flood. They are the owner's goroutine's. The nil
// Challenges have no limit.
//
// A limit that is shared can be read from outside: who has a connection of his own
// counts how much of it somebody else's has used up, and so finds the numbers that
// RFC 5961 is to hide (CVE-2016-5696). The bound of each second is therefore drawn
// at random, and nobody knows how many should have been left; and as a connection's
// own limit comes first, it takes very many of them to come near it.
type Challenges struct {
	PerSecond int             // on average; zero or negative: no limit
	Rand      func(n int) int // a secret random number from 0 to n-1, n > 0

	Sent   uint64 // answers
	Denied uint64 // answers that were not sent for want of a place

	left  int
	until clock.Time
}

// challengePeriod is how long a bound holds.
const challengePeriod = time.Second

// Allow reports whether one more challenge ACK may be sent, and counts it.
func (b *Challenges) Allow(now clock.Time) bool {
	if b == nil {
		return true
	}
	if b.PerSecond > 0 {
		if !b.until.IsSet() || now >= b.until {
			b.until = now.Add(challengePeriod)
			b.left = (b.PerSecond+1)/2 + b.Rand(b.PerSecond)
		}
		if b.left == 0 {
			b.Denied++
			return false
		}
		b.left--
	}
	b.Sent++
	return true
}
