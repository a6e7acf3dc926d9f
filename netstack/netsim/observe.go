package netsim

import (
	"encoding/binary"

	"smolnet/netstack/clock"
)

// A Kind is what happens to a packet.
type Kind uint8

// The kinds of events.
const (
	Sent       Kind = iota // a node has given it to a link
	Received               // it has come to its host
	Lost                   // a link has lost it by chance
	Overflowed             // a link's queue was full
	Dropped                // a queue was so long that it would have been marked, and its sender does not know of marks
	TooBig                 // it is larger than the MTU of a link
	InOutage               // a link has lost it in an outage
	NoRoute                // a router knows no way for it
	Corrupted              // a link has changed it; it goes on
	Duplicated             // a link has made another one of it; both go on
	Reordered              // a link holds it back for others to overtake
	Marked                 // a link has marked it for congestion; it goes on
	numKinds
)

var kindNames = [numKinds]string{
	"sent", "received", "lost", "overflowed", "dropped", "too big", "in outage", "no route", "corrupted", "duplicated",
	"reordered", "marked",
}

// String returns a word for k.
func (k Kind) String() string {
	if k < numKinds {
		return kindNames[k]
	}
	return "unknown"
}

// Gone reports whether the packet goes no further.
func (k Kind) Gone() bool {
	switch k {
	case Lost, Overflowed, Dropped, TooBig, InOutage, NoRoute:
		return true
	}
	return false
}

// An Event is something that happens to a packet.
type Event struct {
	Kind   Kind
	At     clock.Time
	Host   *Host  // of Received, and of Sent if it was not a router; else nil
	Link   *Link  // of Sent and of what links do; else nil
	Packet []byte // IP packet, without the change that Corrupted stands for; good until the observer returns
}

// Observe has f called with each event from now on, in the order in which they
// happen; f must not keep the event. What a link does to a packet, it does when
// the packet is given to it.
func (s *Sim) Observe(f func(*Event)) { s.observers = append(s.observers, f) }

// note tells of an event.
func (s *Sim) note(k Kind, h *Host, l *Link, p *packet) {
	b := p.data()
	s.mix(uint64(s.now))
	s.mix(uint64(k)<<32 | uint64(len(b)))
	for i := 0; i+8 <= min(len(b), 64); i += 8 { // headers, and where they are in what
		s.mix(binary.LittleEndian.Uint64(b[i:]))
	}
	if l != nil {
		l.stats.Kinds[k]++
		s.mix(uint64(l.index))
	}
	if len(s.observers) == 0 {
		return
	}
	s.event = Event{Kind: k, At: s.now, Host: h, Link: l, Packet: b}
	for _, f := range s.observers {
		f(&s.event)
	}
}

// mix adds a word to the hash.
func (s *Sim) mix(w uint64) {
	const odd = 0x9e3779b97f4a7c15
	x := (s.hash ^ w) * odd
	s.hash = x ^ x>>29
}
