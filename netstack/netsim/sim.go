package netsim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"smolnet/netstack/clock"
)

const (
	// epoch is when virtual time starts: at an odd instant, so that nobody can
	// take it for granted that it is a round one.
	epoch clock.Time = 1_000_000_007

	// maxStill is how many events may come at one instant: more is a livelock.
	maxStill = 1 << 20
)

// ErrTime is what a run ends with that was not done within its time.
var ErrTime = errors.New("netsim: not done within the time")

// A Sim is a network in virtual time. [New] makes it.
type Sim struct {
	seed    uint64
	now     clock.Time
	events  queue
	still   int // events since time last passed
	rand    *rand.Rand
	content content

	hosts   []*Host
	routers []*Router
	links   []*Link
	flows   []*Flow
	routed  bool // the routers know their ways

	free    []*packet
	buffer  int // bytes of a packet's buffer
	travel  int // packets that are on their way
	packets uint64

	observers []func(*Event)
	event     Event // that is being observed
	hash      uint64
	err       error
}

// New returns an empty network. Everything that is drawn at random comes from the
// seed.
func New(seed uint64) *Sim {
	s := &Sim{seed: seed, now: epoch, rand: rand.New(rand.NewPCG(seed, 'S')), buffer: DefaultMTU}
	s.content.init(rand.New(rand.NewPCG(seed, 'C')))
	return s
}

// Now returns the present instant on the clock that the stacks are given. It
// starts above zero.
func (s *Sim) Now() clock.Time { return s.now }

// Elapsed returns how much virtual time has passed since New.
func (s *Sim) Elapsed() time.Duration { return s.now.Sub(epoch) }

// Rand returns the network's source of random numbers, for a test's own
// decisions.
func (s *Sim) Rand() *rand.Rand { return s.rand }

// Hosts returns all hosts, in the order of their making.
func (s *Sim) Hosts() []*Host { return s.hosts }

// Links returns all directions of all links, in the order of their making.
func (s *Sim) Links() []*Link { return s.links }

// Packets returns how many packets hosts have sent.
func (s *Sim) Packets() uint64 { return s.packets }

// Hash returns a number that depends on everything that has happened to packets,
// and when: two runs with the same hash were the same.
func (s *Sim) Hash() uint64 { return s.hash }

// After has f called when d has passed; zero or less: at this instant, but not
// before After returns.
func (s *Sim) After(d time.Duration, f func()) {
	s.events.push(event{at: s.now.Add(max(d, 0)), who: call(f)})
}

// A call is a function that waits for its time.
type call func()

func (f call) fire(*packet, clock.Time) { f() }

// Run lets d pass. The error is that of the first host that does not come to an
// end of its turns.
func (s *Sim) Run(d time.Duration) error {
	end := s.now.Add(d)
	for s.step(end) {
	}
	if s.err == nil {
		s.now = max(s.now, end)
	}
	return s.err
}

// RunUntil runs until done reports true, which is asked after each instant.
// [ErrTime]: that has not come when limit has passed.
func (s *Sim) RunUntil(limit time.Duration, done func() bool) error {
	end := s.now.Add(limit)
	for !done() {
		if !s.step(end) {
			break
		}
		for s.events.len() > 0 && s.events.first().at <= s.now && s.step(end) {
		}
	}
	switch {
	case s.err != nil:
		return s.err
	case done():
		return nil
	}
	s.now = max(s.now, end)
	return fmt.Errorf("%w of %v", ErrTime, limit)
}

// step handles the next event that comes until end, and reports whether there
// was one.
func (s *Sim) step(end clock.Time) bool {
	if s.err != nil || s.events.len() == 0 || s.events.first().at > end {
		return false
	}
	s.route()
	e := s.events.pop()
	if e.at > s.now {
		s.now, s.still = e.at, 0
	}
	if s.still++; s.still > maxStill {
		s.err = fmt.Errorf("netsim: %d events at one instant, %v: a livelock", s.still, s.Elapsed())
		return false
	}
	e.who.fire(e.packet, e.at)
	return true
}

// Settle runs until every flow is over and nothing is left of it: no packet is
// on its way, no host has a connection (TIME-WAIT included), a deadline, or
// memory in use, and nobody has anything to say any more. The error says what is
// left, or what has gone wrong with a flow's content; limit is how long it may
// take.
func (s *Sim) Settle(limit time.Duration) error {
	err := s.RunUntil(limit, s.settled)
	for _, f := range s.flows {
		if wrong := f.Check(); wrong != nil {
			return wrong
		}
	}
	if errors.Is(err, ErrTime) {
		return fmt.Errorf("%w: %s", err, s.rest())
	}
	return err
}

// settled reports whether everything is over.
func (s *Sim) settled() bool {
	if s.travel > 0 {
		return false
	}
	for _, f := range s.flows {
		if !f.Done() {
			return false
		}
	}
	for _, h := range s.hosts {
		if h.busy() != "" {
			return false
		}
	}
	return true
}

// rest says why nothing is settled.
func (s *Sim) rest() string {
	for _, f := range s.flows {
		if !f.Done() {
			return f.String()
		}
	}
	for _, h := range s.hosts {
		if why := h.busy(); why != "" {
			return h.name + ": " + why
		}
	}
	return fmt.Sprintf("%d packets are on their way", s.travel)
}

// seedFor returns a seed for part number n of a kind.
func (s *Sim) seedFor(kind byte, n int) (b [32]byte) {
	binary.LittleEndian.PutUint64(b[0:], s.seed)
	binary.LittleEndian.PutUint64(b[8:], uint64(n))
	b[16] = kind
	return b
}
