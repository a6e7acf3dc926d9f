package tcp

// RFC 6528: initial sequence numbers.

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"smolnet/netstack/clock"
)

// isnTick is the tick of the clock in sequence numbers, RFC 9293 MUST-8, 3.4.1:
// "approximately every 4 microseconds".
const isnTick = clock.Time(4 * time.Microsecond)

// isnClock is M of RFC 6528 3.
func isnClock(now clock.Time) uint32 { return uint32(now / isnTick) }

// An ISNSource makes initial sequence numbers. It never changes and may be
// shared.
type ISNSource struct {
	key [32]byte
}

// NewISNSource returns a source with a secret key: random, and kept to oneself
// for the life of the stack (RFC 9293 MUST-9).
func NewISNSource(key [32]byte) *ISNSource { return &ISNSource{key: key} }

// Next returns the number for a connection that begins now: RFC 9293 SHLD-1 and RFC
// 6528 3, "ISN = M + F(localip, localport, remoteip, remoteport, secretkey)". The
// key comes first, and everything has a fixed length, so that the hash cannot
// be extended; all but 32 bits of it stay secret.
func (s *ISNSource) Next(now clock.Time, id ID) Seq {
	const addrLen = 16
	var b [32 + 2*(addrLen+2)]byte
	n := copy(b[:], s.key[:])
	local, remote := id.Local.Addr().As16(), id.Remote.Addr().As16()
	n += copy(b[n:], local[:])
	n += copy(b[n:], remote[:])
	binary.BigEndian.PutUint16(b[n:], id.Local.Port())
	binary.BigEndian.PutUint16(b[n+2:], id.Remote.Port())
	f := sha256.Sum256(b[:])
	return Seq(isnClock(now) + binary.BigEndian.Uint32(f[:]))
}
