package tcp

// RFC 6528: initial sequence numbers.

import (
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/siphash"
)

// isnTick is the tick of the clock in sequence numbers, RFC 9293 MUST-8, 3.4.1:
// "approximately every 4 microseconds".
const isnTick = clock.Time(4 * time.Microsecond)

// isnClock is M of RFC 6528 3.
func isnClock(now clock.Time) uint32 { return uint32(now / isnTick) }

// An ISNSource makes initial sequence numbers. It never changes and may be
// shared.
type ISNSource struct {
	key siphash.Key
}

// NewISNSource returns a source with a secret key: random, and kept to oneself
// for the life of the stack (RFC 9293 MUST-9).
func NewISNSource(key siphash.Key) *ISNSource { return &ISNSource{key: key} }

// Next returns the number for a connection that begins now: RFC 9293 SHLD-1 and RFC
// 6528 3, "ISN = M + F(localip, localport, remoteip, remoteport, secretkey)", with
// a pseudorandom function for F, of which half the bits stay secret.
func (s *ISNSource) Next(now clock.Time, id ID) Seq {
	f := siphash.Sum(&s.key, id.Local.Addr(), id.Remote.Addr(), id.Local.Port(), id.Remote.Port())
	return Seq(isnClock(now) + uint32(f))
}
