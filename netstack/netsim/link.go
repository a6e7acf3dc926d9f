package netsim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"smolnet/netstack/clock"
)

// A Node is what links join: a [Host] or a [Router].
type Node interface {
	// Name returns the node's name.
	Name() string
	// free says why no link of s can join the node.
	free(s *Sim) error
	// join tells the node of a link that it can send by.
	join(l *Link)
	// arrive gives it a packet that is its own from now on.
	arrive(p *packet)
	// reject gives it an error about a packet that it has sent by l.
	reject(e *packet, l *Link)
}

// A Link is one direction of a link: a [Path] between two nodes.
//
// Packets leave its queue one after the other, each as long after the later of
// its coming and its predecessor's leaving as its bits take. How many are in the
// queue follows from these instants alone, so that the queue needs no events.
type Link struct {
	sim   *Sim
	index int
	from  Node
	to    Node
	path  Path
	rand  *rand.Rand
	stats LinkStats

	left    clock.Time // the last packet leaves the queue
	arrival clock.Time // of the last packet that is not overtaken
	outage  int        // the first one that is not over
	bad     bool       // in the bad state of Bursts

	leaving ring[leaver] // those in front of the link
	waiting int          // bytes of those
	flight  ring[flyer]  // in the order of arrival
	held    []holder     // to be overtaken
}

// A leaver is a packet in front of a link.
type leaver struct {
	at   clock.Time // it is gone
	size int
}

// A flyer is a packet on its way.
type flyer struct {
	at     clock.Time
	packet *packet
}

// A holder is a packet that waits for others to overtake it.
type holder struct {
	packet *packet
	left   int // how many have not arrived
}

// LinkStats count what has happened on one direction of a link.
type LinkStats struct {
	Packets, Bytes uint64           // offered
	Kinds          [numKinds]uint64 // what happened to packets, by [Kind]
	MaxQueue       int              // the most packets in front of the link
	MaxQueueTime   time.Duration    // the longest time that a packet spent in the queue
}

// Gone returns how many packets were lost or dropped.
func (st LinkStats) Gone() (n uint64) {
	for k := range numKinds {
		if k.Gone() {
			n += st.Kinds[k]
		}
	}
	return n
}

// Link joins two nodes: ab is what the way from a to b is like, ba the other one.
// A host has one link, to another node. The error says what makes no sense, and then
// there is no link.
func (s *Sim) Link(a, b Node, ab, ba Path) (there, back *Link, err error) {
	if a == nil || b == nil || a == b {
		return nil, nil, errors.New("netsim: a link joins two nodes")
	}
	if err := errors.Join(a.free(s), b.free(s), ab.check(), ba.check()); err != nil {
		return nil, nil, fmt.Errorf("link of %s and %s: %w", a.Name(), b.Name(), err)
	}
	there, back = s.newLink(a, b, ab), s.newLink(b, a, ba)
	a.join(there)
	b.join(back)
	s.routed = false
	return there, back, nil
}

// MustLink is Link for those who know what they ask for: it panics instead of
// returning an error.
func (s *Sim) MustLink(a, b Node, ab, ba Path) (there, back *Link) {
	there, back, err := s.Link(a, b, ab, ba)
	if err != nil {
		panic(err)
	}
	return there, back
}

// newLink adds a direction whose path was checked.
func (s *Sim) newLink(from, to Node, p Path) *Link {
	p.Outages = slices.Clone(p.Outages)
	l := &Link{sim: s, index: len(s.links) + 1, from: from, to: to, path: p}
	l.rand = rand.New(rand.NewPCG(s.seed, uint64(l.index)<<8|'L'))
	s.links = append(s.links, l)
	return l
}

// String returns the names of the nodes, from and to.
func (l *Link) String() string { return l.from.Name() + "->" + l.to.Name() }

// Stats returns the counters.
func (l *Link) Stats() LinkStats { return l.stats }

// Path returns what the link is like, with its defaults filled in.
func (l *Link) Path() Path { return l.path }

// SetPath makes the link another one for the packets that come from now on; what
// is in its queue has its time already. The error says what makes no sense.
func (l *Link) SetPath(p Path) error {
	p.Outages = slices.Clone(p.Outages)
	if err := p.check(); err != nil {
		return err
	}
	l.path, l.outage = p, 0
	return nil
}

// Queued returns how many packets are in front of the link, with the one that is
// leaving.
func (l *Link) Queued() int {
	for l.leaving.n > 0 && l.leaving.at(0).at <= l.sim.now {
		l.waiting -= l.leaving.pop().size
	}
	return l.leaving.n
}

// drop is the end of a packet.
func (l *Link) drop(k Kind, p *packet) {
	l.sim.note(k, nil, l, p)
	l.sim.give(p)
}

// enter takes a packet that is sent now.
func (l *Link) enter(p *packet) {
	l.stats.Packets++
	l.stats.Bytes += uint64(p.n)
	h, _ := l.from.(*Host)
	l.sim.note(Sent, h, l, p)
	if p.n > l.path.MTU {
		if !l.path.BlackHole {
			l.tooBig(p)
		}
		l.drop(TooBig, p)
		return
	}
	leaves, ok := l.line(p)
	if !ok {
		return
	}
	// All is drawn for every packet that leaves, whatever becomes of it, so that
	// the luck of the others does not depend on it.
	path := &l.path
	lost := l.chance(path.Loss)
	lost = l.burst() || lost
	corrupt := l.chance(path.Corrupt)
	double := l.chance(path.Duplicate)
	late := l.chance(path.Reorder)
	at := leaves.Add(path.Delay)
	if path.Jitter > 0 {
		at = at.Add(time.Duration(l.rand.Int64N(int64(path.Jitter) + 1)))
	}
	switch {
	case l.out(leaves):
		l.drop(InOutage, p)
		return
	case lost:
		l.drop(Lost, p)
		return
	}
	if corrupt && !p.bad {
		p.bad = true // by two changes a checksum can become right again
		l.sim.note(Corrupted, nil, l, p)
		l.corrupt(p)
	}
	if double {
		l.sim.note(Duplicated, nil, l, p)
		l.deliver(at, l.sim.copyOf(p))
	}
	if late {
		l.hold(at, p)
		return
	}
	l.deliver(at, p)
}

// line puts a packet in the queue, and returns when it leaves that. It reports
// false if the packet is dropped.
func (l *Link) line(p *packet) (clock.Time, bool) {
	now := l.sim.now
	if l.path.Rate == 0 {
		l.left = max(now, l.left)
		return l.left, true
	}
	n := l.Queued()
	switch {
	case l.path.Queue > 0 && n >= l.path.Queue, l.path.QueueBytes > 0 && n > 0 && l.waiting+p.n > l.path.QueueBytes:
		l.drop(Overflowed, p)
		return 0, false
	case l.path.Mark > 0 && n >= l.path.Mark:
		if mark(p.data()) {
			l.sim.note(Marked, nil, l, p)
		} else if l.path.MarkOrDrop {
			l.drop(Dropped, p)
			return 0, false
		}
	}
	rate := uint64(l.path.Rate)
	took := (uint64(p.n)*8*uint64(time.Second) + rate - 1) / rate
	l.left = max(now, l.left).Add(time.Duration(took))
	l.leaving.push(leaver{l.left, p.n})
	l.waiting += p.n
	l.stats.MaxQueue = max(l.stats.MaxQueue, n+1)
	l.stats.MaxQueueTime = max(l.stats.MaxQueueTime, l.left.Sub(now))
	return l.left, true
}

func (l *Link) chance(p float64) bool { return p > 0 && l.rand.Float64() < p }

// burst reports whether a packet is lost in a burst.
func (l *Link) burst() bool {
	b := &l.path.Bursts
	if *b == (GilbertElliott{}) {
		return false
	}
	if l.bad {
		l.bad = !l.chance(b.R)
	} else {
		l.bad = l.chance(b.P)
	}
	if l.bad {
		return l.chance(b.Bad)
	}
	return l.chance(b.Good)
}

// out reports whether nothing is carried at t, which does not go back.
func (l *Link) out(t clock.Time) bool {
	d := t.Sub(epoch)
	for l.outage < len(l.path.Outages) {
		if o := l.path.Outages[l.outage]; d < o.To {
			return d >= o.From
		}
		l.outage++
	}
	return false
}

// corrupt turns over one to three bits of a byte. That changes the Internet
// checksum for sure: by no multiple of 65535.
func (l *Link) corrupt(p *packet) {
	if p.n == 0 {
		return
	}
	b := &p.data()[l.rand.IntN(p.n)]
	var bits byte
	for range 1 + l.rand.IntN(3) {
		bits |= 1 << l.rand.IntN(8)
	}
	*b ^= bits
}

// deliver has a packet arrive at the instant at, or right behind the one before.
func (l *Link) deliver(at clock.Time, p *packet) {
	at = max(at, l.arrival)
	l.arrival = at
	l.fly(at, p)
	kept := l.held[:0]
	for _, h := range l.held {
		if h.left--; h.left <= 0 {
			l.fly(at, h.packet)
			continue
		}
		kept = append(kept, h)
	}
	clear(l.held[len(kept):])
	l.held = kept
}

// fly adds a packet to those that arrive in their order.
func (l *Link) fly(at clock.Time, p *packet) {
	l.flight.push(flyer{at, p})
	if l.flight.n == 1 {
		l.sim.events.push(event{at: at, who: l})
	}
}

// hold has a packet that would arrive at the instant at arrive later.
func (l *Link) hold(at clock.Time, p *packet) {
	l.sim.note(Reordered, nil, l, p)
	if l.path.ReorderBy > 0 {
		l.held = append(l.held, holder{p, 1 + l.rand.IntN(l.path.ReorderBy)})
		l.sim.events.push(event{at: at.Add(l.path.ReorderDelay), who: (*overtaken)(l), packet: p})
		return
	}
	late := time.Duration(l.rand.Int64N(int64(l.path.ReorderDelay)))
	l.sim.events.push(event{at: at.Add(1 + late), who: (*straggler)(l), packet: p})
}

// fire hands over what arrives now.
func (l *Link) fire(_ *packet, at clock.Time) {
	for l.flight.n > 0 && l.flight.at(0).at <= at {
		l.to.arrive(l.flight.pop().packet)
	}
	if l.flight.n > 0 {
		l.sim.events.push(event{at: l.flight.at(0).at, who: l})
	}
}

// A straggler is a link when a packet arrives out of turn.
type straggler Link

func (l *straggler) fire(p *packet, _ clock.Time) { l.to.arrive(p) }

// An overtaken is a link when a packet has been held back for long enough.
type overtaken Link

func (l *overtaken) fire(p *packet, _ clock.Time) {
	for i := range l.held {
		if l.held[i].packet == p {
			l.held = slices.Delete(l.held, i, i+1)
			l.to.arrive(p)
			return
		}
	}
}
