// Package ports chooses ephemeral ports that an outsider cannot guess: RFC
// 6056.
package ports

import (
	"math/rand/v2"
	"net/netip"

	"smolnet/netstack/siphash"
)

// The default range, which RFC 6335 section 6 sets aside for dynamic ports.
const (
	DefaultFirst = 49152
	DefaultLast  = 65535
)

// tableSize is the number of counters of RFC 6056 algorithm 4 (TABLE_LENGTH).
const tableSize = 256

// randomTries is how often Random draws a port before it searches one by one.
const randomTries = 16

// A Range is the ports from First to Last, both included. One that is empty or
// has port 0 in it stands for the default range.
type Range struct {
	First, Last uint16
}

func (r Range) orDefault() Range {
	if r.First == 0 || r.First > r.Last {
		return Range{First: DefaultFirst, Last: DefaultLast}
	}
	return r
}

// A Selector chooses ports from a range. It belongs to one goroutine.
type Selector struct {
	ports Range
	key   siphash.Key
	rand  *rand.Rand
	table [tableSize]uint16 // counters, each below the size of the range
}

// New returns a Selector. The secret must be unpredictable; the same secret
// gives the same choices.
func New(secret [32]byte, r Range) *Selector {
	source := rand.NewChaCha8(secret)
	s := &Selector{ports: r.orDefault(), rand: rand.New(source)}
	source.Read(s.key[:]) // never fails
	for i := range s.table {
		s.table[i] = uint16(s.rand.Uint32N(s.size()))
	}
	return s
}

// Range returns the range in use.
func (s *Selector) Range() Range { return s.ports }

// Select returns a local port for a connection from local to remote for which
// inUse is false; it is false itself if there is none. Connections to one
// destination get one port after the other, so that a port is reused as late as
// possible, from a place that nobody else can tell. RFC 6056 section 3.3.4,
// algorithm 4.
func (s *Selector) Select(local netip.Addr, remote netip.AddrPort, inUse func(port uint16) bool) (uint16, bool) {
	// offset = F(local_IP, remote_IP, remote_port, secret_key1), index = G(... secret_key2):
	// two parts of one keyed hash.
	h := siphash.Sum(&s.key, local, remote.Addr(), 0, remote.Port())
	offset, counter := uint32(h)%s.size(), &s.table[h>>32%tableSize]
	for range s.size() {
		port := s.at(offset + uint32(*counter))
		*counter = uint16((uint32(*counter) + 1) % s.size())
		if !inUse(port) {
			return port, true
		}
	}
	return 0, false
}

// Random returns a random port for which inUse is false, for sockets whose port
// is all that protects them from forged answers; it is false itself if there is
// none. RFC 6056 section 3.3.2, algorithm 2, and then algorithm 1.
func (s *Selector) Random(inUse func(port uint16) bool) (uint16, bool) {
	for range randomTries {
		if port := s.at(s.rand.Uint32N(s.size())); !inUse(port) {
			return port, true
		}
	}
	start := s.rand.Uint32N(s.size())
	for i := range s.size() {
		if port := s.at(start + i); !inUse(port) {
			return port, true
		}
	}
	return 0, false
}

// size returns the number of ports in the range.
func (s *Selector) size() uint32 { return uint32(s.ports.Last-s.ports.First) + 1 }

// at returns the port at offset i of the range, which is a ring.
func (s *Selector) at(i uint32) uint16 { return s.ports.First + uint16(i%s.size()) }
