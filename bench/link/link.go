// Package link emulates a link in real time: what is sent at one end arrives
// at the other as late as delay, rate and queue have it, or not at all.
// Packets are opaque, so any stack can stand at either end: [NewDevice] makes
// an end a device for smolnet, [NewEndpoint] one for gVisor, and [NewBridge]
// joins it to a device of the operating system, behind which its kernel is.
//
//	l, err := link.New(link.Config{Delay: 20 * time.Millisecond, Rate: 100e6}, link.Config{Delay: 20 * time.Millisecond})
//	...
//	st, err := netstack.New(netstack.Config{Device: link.NewDevice(l.A()), ...})
//
// What becomes of a packet is decided when it is sent, by a [Model]: when it
// leaves the queue and arrives is computed, not waited for, so that neither
// the rate nor the place where a queue overflows depends on how punctual
// goroutines are. Only handing over waits for the clock. How late it was is
// among the [Stats].
package link

import (
	"fmt"
	"math"
	"sync"
	"time"
)

const (
	// MaxMemory is how many bytes of packets may be under way in a direction.
	MaxMemory = 64 << 20
	// MaxUnderWay is how many packets there may be under way in a direction.
	MaxUnderWay = 1 << 16

	// grain is the shortest time that a direction sleeps once it is awake, as
	// a network card moderates its interrupts: what is due meanwhile is handed
	// over together, up to so much late.
	grain = 100 * time.Microsecond

	// batchLen is how many packets are handed over under one lock.
	batchLen = 64
)

// Stats are the counts of one direction.
type Stats struct {
	Sent      uint64 // packets offered
	Delivered uint64
	UnderWay  uint64

	// Why others were not delivered, see [Fate].
	QueueFull uint64
	TooLong   uint64
	Lost      uint64
	InOutage  uint64
	Overflow  uint64

	Lateness Lateness // of those delivered
}

// A Link is two ends and a direction from each to the other.
type Link struct {
	there, back direction
	a, b        End
}

// New returns a link whose direction from A to B is as there says, and the
// other as back. Its time begins now. The error says which value is out of its
// range, or that the system has no timer for it.
func New(there, back Config) (*Link, error) {
	l := new(Link)
	epoch := time.Now()
	if err := l.there.init(there, epoch); err != nil {
		return nil, fmt.Errorf("link: from A to B: %w", err)
	}
	if err := l.back.init(back, epoch); err != nil {
		l.there.close()
		return nil, fmt.Errorf("link: from B to A: %w", err)
	}
	l.a = End{tx: &l.there, rx: &l.back}
	l.b = End{tx: &l.back, rx: &l.there}
	return l, nil
}

// A returns one end.
func (l *Link) A() *End { return &l.a }

// B returns the other end.
func (l *Link) B() *End { return &l.b }

// Interrupt plans an outage of both directions that begins after some time and
// lasts for so long. What is in a queue already is decided, so the outage is
// exact if the queues are empty by then. The error says that others are not
// over.
func (l *Link) Interrupt(after, length time.Duration) error {
	if err := l.there.interrupt(after, length); err != nil {
		return fmt.Errorf("link: from A to B: %w", err)
	}
	if err := l.back.interrupt(after, length); err != nil {
		return fmt.Errorf("link: from B to A: %w", err)
	}
	return nil
}

// Stats returns what was counted so far, in the direction from A to B and in
// the other. It may be called from any goroutine.
func (l *Link) Stats() (there, back Stats) { return l.there.stats(), l.back.stats() }

// Close ends the link: nothing is taken or handed over any more, and when it
// returns no receiver runs. It is not for receivers to call. It may be called
// more than once.
func (l *Link) Close() {
	l.there.close()
	l.back.close()
	l.there.running.Wait()
	l.back.running.Wait()
}

// An End is where packets enter and leave a link. Its methods may be called
// from any goroutine.
type End struct {
	tx, rx *direction
}

// MTU returns the longest packet that the end takes, bytes.
func (e *End) MTU() int { return e.tx.model.MTU() }

// Send sends the packet that the parts hold together. It neither blocks nor
// keeps them. It says whether the packet was taken: false means that it was
// dropped at once (the queue is full, the packet too long, the link closed).
// One that is taken may still be lost.
func (e *End) Send(parts ...[]byte) bool { return e.tx.send(parts...) }

// Receive has fn called with each packet that arrives from now on, one after
// the other, by a goroutine of the link's own. The packet is fn's until it
// returns. Packets that arrived before are handed over late, at once.
//
// It is called once for an end.
func (e *End) Receive(fn func(pkt []byte)) {
	e.rx.running.Go(func() { e.rx.run(fn) })
}

// A direction is the way from one end to the other.
type direction struct {
	epoch   time.Time
	alarm   *alarm
	running sync.WaitGroup

	mu     sync.Mutex
	model  *Model
	way    transit
	store  store
	armed  time.Duration // the alarm is set for, or soonest or never
	fates  [numFates]uint64
	sent   uint64
	late   histogram
	closed bool
}

// The instants at which no alarm is set: because the direction is awake and
// will look by itself, and because nothing is under way.
const (
	soonest time.Duration = math.MinInt64
	never   time.Duration = math.MaxInt64
)

func (d *direction) init(cfg Config, epoch time.Time) (err error) {
	if d.model, err = NewModel(cfg); err != nil {
		return err
	}
	d.epoch = epoch
	d.armed = never
	d.store = store{size: d.model.MTU(), limit: min(MaxMemory/d.model.MTU(), MaxUnderWay)}
	d.alarm, err = newAlarm()
	return err
}

// now returns the instant on the link's clock.
func (d *direction) now() time.Duration { return time.Since(d.epoch) }

func (d *direction) send(parts ...[]byte) bool {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.sent++
	now := d.now()
	fate, at := d.model.Offer(now, n)
	if fate == Delivered {
		if pkt := d.store.take(parts...); pkt == nil {
			fate = Overflow
		} else {
			d.way.add(parcel{at: at, pkt: pkt})
			if at < d.armed {
				d.arm(now, at)
			}
			return true // counted when it arrives
		}
	}
	d.fates[fate]++
	return fate == Lost || fate == InOutage
}

// arm sets the alarm for the instant at, or for right now.
func (d *direction) arm(now, at time.Duration) {
	d.armed = at
	d.alarm.set(max(at-now, 0))
}

// run hands over what arrives, until the direction is closed.
func (d *direction) run(fn func(pkt []byte)) {
	batch := make([]parcel, 0, batchLen)
	for {
		if batch = d.collect(batch); len(batch) == 0 {
			if !d.alarm.wait() {
				return
			}
			continue
		}
		for i := range batch {
			p := &batch[i]
			p.at = d.now() - p.at // how late
			fn(p.pkt)
		}
	}
}

// collect takes back what was handed over and returns what is due. If that is
// nothing, it has set the alarm.
func (d *direction) collect(done []parcel) (batch []parcel) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range done {
		d.store.give(p.pkt)
		d.late.add(p.at)
	}
	d.fates[Delivered] += uint64(len(done))
	if d.closed {
		return done[:0]
	}
	now := d.now()
	batch = d.way.due(now, done[:0])
	if len(batch) > 0 {
		d.armed = soonest
		return batch
	}
	d.armed = never
	if at, ok := d.way.next(); ok {
		d.arm(now, max(at, now+grain))
	}
	return batch
}

func (d *direction) interrupt(after, length time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.model.Interrupt(Outage{Start: d.now() + after, Length: length})
}

func (d *direction) stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := Stats{
		Sent:      d.sent,
		Delivered: d.fates[Delivered],
		QueueFull: d.fates[QueueFull],
		TooLong:   d.fates[TooLong],
		Lost:      d.fates[Lost],
		InOutage:  d.fates[InOutage],
		Overflow:  d.fates[Overflow],
		Lateness:  d.late.lateness(),
	}
	s.UnderWay = s.Sent
	for _, n := range d.fates {
		s.UnderWay -= n
	}
	return s
}

func (d *direction) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.closed = true
		d.alarm.close()
	}
}
