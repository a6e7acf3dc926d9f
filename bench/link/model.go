package link

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Bounds of a [Config], and what its zero values stand for.
const (
	// DefaultMTU is the MTU of a direction that names none, that of Ethernet.
	DefaultMTU = 1500
	// DefaultQueue is the Queue of a direction that has a Rate and names none.
	DefaultQueue = 250

	// MaxMTU is the largest MTU, bytes: what a 16-bit length can say.
	MaxMTU = 65535
	// MaxQueue is the largest Queue, packets.
	MaxQueue = 1 << 16
	// MaxDelay is the longest Delay, and the largest Jitter.
	MaxDelay = time.Minute
	// MaxOutages is how many Outages a direction may have.
	MaxOutages = 1024
)

// An Outage is a time in which a direction carries nothing.
type Outage struct {
	// Start counts from the making of the link.
	Start time.Duration
	// Length is how long it lasts: what leaves the queue at Start is lost,
	// what leaves it at Start+Length is not.
	Length time.Duration
}

// A Config says what one direction of a link is like. The zero value moves
// packets of up to 1500 bytes at once.
type Config struct {
	// Delay is how long a packet travels after it has left the queue, from 0
	// to [MaxDelay].
	Delay time.Duration
	// Jitter makes each packet travel longer, by a random time of up to so
	// much. A packet does not overtake the one before it, unless Reorder
	// lets it.
	Jitter  time.Duration
	Reorder bool

	// Rate is how many bits of packets leave the queue each second. Zero: as
	// many as come, and there is no queue.
	Rate int64
	// Queue is how many packets may be in front of the link, with the one that
	// is just leaving: whoever finds as many is dropped. Zero means
	// [DefaultQueue].
	Queue int

	// Loss is the chance of each packet to be lost behind the queue, from 0
	// to 1. What is lost has had its share of the rate.
	Loss float64
	// Outages are in order of time and do not touch. What leaves the queue
	// in one of them is lost.
	Outages []Outage

	// MTU is the longest packet, bytes. Longer ones are dropped. Zero means
	// [DefaultMTU].
	MTU int
	// Seed makes loss and jitter repeatable: packet number n of those that
	// leave the queue meets the same luck in every run.
	Seed uint64
}

// check says what is wrong with c, and fills in what its zero values mean.
func (c *Config) check() error {
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	if c.Queue == 0 {
		c.Queue = DefaultQueue
	}
	switch {
	case c.Delay < 0 || c.Delay > MaxDelay:
		return fmt.Errorf("delay %v is not between 0 and %v", c.Delay, MaxDelay)
	case c.Jitter < 0 || c.Jitter > MaxDelay:
		return fmt.Errorf("jitter %v is not between 0 and %v", c.Jitter, MaxDelay)
	case c.Rate < 0:
		return fmt.Errorf("rate %d is negative", c.Rate)
	case c.Queue < 1 || c.Queue > MaxQueue:
		return fmt.Errorf("queue %d is not between 1 and %d", c.Queue, MaxQueue)
	case math.IsNaN(c.Loss) || c.Loss < 0 || c.Loss > 1:
		return fmt.Errorf("loss %v is not between 0 and 1", c.Loss)
	case c.MTU < 1 || c.MTU > MaxMTU:
		return fmt.Errorf("MTU %d is not between 1 and %d", c.MTU, MaxMTU)
	case len(c.Outages) > MaxOutages:
		return fmt.Errorf("%d outages are more than %d", len(c.Outages), MaxOutages)
	}
	end := time.Duration(-1)
	for _, o := range c.Outages {
		if o.Length <= 0 || o.Start <= end || o.Start > math.MaxInt64-o.Length {
			return errors.New("outages are not in order, apart and longer than nothing")
		}
		end = o.Start + o.Length
	}
	return nil
}

// A Fate is what becomes of a packet.
type Fate uint8

// The fates of packets.
const (
	Delivered Fate = iota // it arrives
	QueueFull             // dropped: as many were in front of the link as may be
	TooLong               // dropped: longer than the MTU
	Lost                  // left, and was lost by chance
	InOutage              // left, and was lost in an outage
	Overflow              // dropped: the emulation has no memory for it
	numFates
)

// String returns a word for f.
func (f Fate) String() string {
	names := [numFates]string{"delivered", "queue full", "too long", "lost", "in outage", "overflow"}
	if f < numFates {
		return names[f]
	}
	return "unknown"
}

// A Model is the arithmetic of one direction: it says what becomes of a packet
// that is sent at some instant. It knows no clock and moves nothing, so it is
// as exact as its caller's clock.
//
// Packets leave the queue one after the other, each as long after the later of
// its coming and its predecessor's leaving as its bits take. How many are in
// the queue follows from those instants alone.
type Model struct {
	cfg    Config
	random *rand.Rand

	now     time.Duration // the last packet came
	left    time.Duration // the last packet leaves the queue
	arrival time.Duration // of the last packet
	outage  int           // the first one that is not over

	leaving instants // when those in the queue leave it
}

// NewModel returns a direction in which nothing has been sent. The error says
// which value of cfg is out of its range.
func NewModel(cfg Config) (*Model, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	m := &Model{cfg: cfg, random: rand.New(rand.NewPCG(cfg.Seed, 'L'))}
	if cfg.Rate > 0 {
		m.leaving.at = make([]time.Duration, cfg.Queue)
	}
	return m, nil
}

// MTU returns the longest packet, bytes.
func (m *Model) MTU() int { return m.cfg.MTU }

// Offer says what becomes of a packet of n bytes that is sent at the instant
// now, and if it is Delivered when it arrives. Instants count from the making
// of the link and do not go back: an earlier now is taken for the last one.
func (m *Model) Offer(now time.Duration, n int) (fate Fate, arrives time.Duration) {
	now = max(now, m.now)
	m.now = now
	if n > m.cfg.MTU {
		return TooLong, 0
	}
	leaves := now
	if m.cfg.Rate > 0 {
		m.leaving.forget(now)
		if m.leaving.full() {
			return QueueFull, 0
		}
		leaves = max(now, m.left) + m.transmission(n)
		m.leaving.add(leaves)
	}
	m.left = leaves
	// Both are drawn for every packet that leaves, whatever its fate, so that
	// the luck of the others does not depend on it.
	lost := m.cfg.Loss > 0 && m.random.Float64() < m.cfg.Loss
	arrives = leaves + m.cfg.Delay + m.jitter()
	switch {
	case m.inOutage(leaves):
		return InOutage, 0
	case lost:
		return Lost, 0
	}
	if !m.cfg.Reorder {
		arrives = max(arrives, m.arrival)
		m.arrival = arrives
	}
	return Delivered, arrives
}

// Interrupt adds an outage, which must begin after all others have ended.
func (m *Model) Interrupt(o Outage) error {
	cfg := m.cfg
	cfg.Outages = append(cfg.Outages[m.outage:len(cfg.Outages):len(cfg.Outages)], o)
	if err := cfg.check(); err != nil {
		return err
	}
	m.cfg, m.outage = cfg, 0
	return nil
}

// Queued returns how many packets are in front of the link at the instant now.
func (m *Model) Queued(now time.Duration) int {
	m.leaving.forget(now)
	return m.leaving.n
}

// transmission is how long n bytes take at the direction's rate.
func (m *Model) transmission(n int) time.Duration {
	bits := time.Duration(n) * 8 * time.Second // 2^49 at most
	return (bits + time.Duration(m.cfg.Rate) - 1) / time.Duration(m.cfg.Rate)
}

func (m *Model) jitter() time.Duration {
	if m.cfg.Jitter == 0 {
		return 0
	}
	return time.Duration(m.random.Int64N(int64(m.cfg.Jitter) + 1))
}

// inOutage says whether nothing is carried at t, which does not go back.
func (m *Model) inOutage(t time.Duration) bool {
	for m.outage < len(m.cfg.Outages) {
		o := m.cfg.Outages[m.outage]
		if t < o.Start+o.Length {
			return t >= o.Start
		}
		m.outage++
	}
	return false
}

// instants is a queue of points in time, never more than it was made for.
type instants struct {
	at       []time.Duration
	first, n int
}

func (q *instants) full() bool { return q.n == len(q.at) }

func (q *instants) add(t time.Duration) {
	q.at[(q.first+q.n)%len(q.at)] = t
	q.n++
}

// forget takes out what is not later than now.
func (q *instants) forget(now time.Duration) {
	for q.n > 0 && q.at[q.first] <= now {
		q.first = (q.first + 1) % len(q.at)
		q.n--
	}
}
