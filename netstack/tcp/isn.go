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
	return Seq(isnClock(now) + uint32(s.hash(id)))
}

// TimestampOffset returns the offset of the connection's timestamps, which RFC 7323
// 7.1 has so that they do not tell how long the machine has been up: the other half of
// the hash, which tells nothing of the first. Connections with the same name have the
// same, so that their timestamps grow from one to the next and RFC 6191 can tell them
// apart.
func (s *ISNSource) TimestampOffset(id ID) uint32 { return uint32(s.hash(id) >> 32) }

func (s *ISNSource) hash(id ID) uint64 {
	return siphash.Sum(&s.key, id.Local.Addr(), id.Remote.Addr(), id.Local.Port(), id.Remote.Port())
}
