package netsim

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Bounds of a [Path], and what its zero values stand for.
const (
	// DefaultMTU is the MTU of hosts and paths that name none, bytes of IP
	// packet.
	DefaultMTU = 1500
	// DefaultQueue is the Queue of a path that has a Rate and names no bound of
	// its queue, packets.
	DefaultQueue = 250
	// DefaultHold is the ReorderDelay of a path that reorders and names none.
	DefaultHold = 10 * time.Millisecond

	// MaxMTU is the largest MTU, what a 16-bit length can say.
	MaxMTU = 65535
	// MaxQueue is the largest Queue, packets.
	MaxQueue = 1 << 20
	// MaxDelay is the longest Delay, Jitter or ReorderDelay.
	MaxDelay = time.Hour
)

// An Outage is a time in which a path carries nothing: what leaves its queue at
// From or later, and before To, is lost. Both count from the making of the Sim.
type Outage struct{ From, To time.Duration }

// A GilbertElliott makes losses come in bursts: the path is good or bad, and each
// packet may change that, before it is lost or not (Gilbert 1960, Elliott 1963).
// The zero value is good for ever.
type GilbertElliott struct {
	P    float64 // chance that a good path becomes bad
	R    float64 // chance that a bad path becomes good
	Good float64 // chance of loss while it is good
	Bad  float64 // chance of loss while it is bad
}

// A Path says what one direction of a link is like. The zero value carries packets
// of up to 1500 bytes at once. Chances are from 0 to 1.
type Path struct {
	// Delay is how long a packet travels after it has left the queue.
	Delay time.Duration
	// Jitter makes each travel longer by a random time of up to so much. A
	// packet does not overtake another one by that: see Reorder.
	Jitter time.Duration

	// Rate is how many bits of IP packets leave the queue in a second. Zero: as
	// many as come, and there is no queue.
	Rate int64
	// Queue is how many packets may be in front of the path, with the one that
	// is just leaving; whoever finds as many is dropped. Zero: no bound, unless
	// QueueBytes is zero as well: then [DefaultQueue].
	Queue int
	// QueueBytes is how many bytes may be there, counted in the same way: who
	// would make it more is dropped, but one packet always has room. Zero: no
	// bound.
	QueueBytes int
	// Mark is how many packets are found in front of the path by those that are
	// marked for congestion, if their senders know of that (RFC 3168). Zero:
	// nobody is marked.
	Mark int
	// MarkOrDrop drops what would be marked if the sender knew of it, as active
	// queue management does.
	MarkOrDrop bool

	// Loss is the chance of each packet to be lost behind the queue: it has had
	// its share of the rate.
	Loss float64
	// Bursts are losses besides those.
	Bursts GilbertElliott
	// Outages are in the order of time and apart.
	Outages []Outage

	// Corrupt is the chance of a packet to have one to three bits of one byte
	// turned over, which no Internet checksum fails to notice; once on its way at
	// most.
	Corrupt float64
	// Duplicate is the chance of a packet to arrive twice.
	Duplicate float64

	// Reorder is the chance of a packet to be overtaken. With ReorderBy it is
	// held back until a random number of others, of 1 to ReorderBy, have arrived,
	// and not longer than ReorderDelay. Without, it arrives by a random time of
	// up to ReorderDelay later. Zero ReorderDelay: [DefaultHold].
	Reorder      float64
	ReorderBy    int
	ReorderDelay time.Duration

	// MTU is the largest packet, bytes. Larger ones are dropped, and their
	// senders told by ICMP unless BlackHole is set. Zero: [DefaultMTU].
	MTU       int
	BlackHole bool
}

// check says what is wrong with a path, and fills in what its zero values mean.
func (p *Path) check() error {
	if p.MTU == 0 {
		p.MTU = DefaultMTU
	}
	if p.Queue == 0 && p.QueueBytes == 0 {
		p.Queue = DefaultQueue
	}
	if p.ReorderDelay == 0 {
		p.ReorderDelay = DefaultHold
	}
	for _, d := range []struct {
		name string
		v    time.Duration
	}{{"Delay", p.Delay}, {"Jitter", p.Jitter}, {"ReorderDelay", p.ReorderDelay}} {
		if d.v < 0 || d.v > MaxDelay {
			return fmt.Errorf("netsim: %s %v is not between 0 and %v", d.name, d.v, MaxDelay)
		}
	}
	b := p.Bursts
	for _, c := range []struct {
		name string
		v    float64
	}{
		{"Loss", p.Loss}, {"Corrupt", p.Corrupt}, {"Duplicate", p.Duplicate}, {"Reorder", p.Reorder},
		{"Bursts.P", b.P}, {"Bursts.R", b.R}, {"Bursts.Good", b.Good}, {"Bursts.Bad", b.Bad},
	} {
		if math.IsNaN(c.v) || c.v < 0 || c.v > 1 {
			return fmt.Errorf("netsim: %s %v is not between 0 and 1", c.name, c.v)
		}
	}
	switch {
	case p.Rate < 0:
		return fmt.Errorf("netsim: Rate %d is negative", p.Rate)
	case p.Queue < 0 || p.Queue > MaxQueue:
		return fmt.Errorf("netsim: Queue %d is not between 0 and %d", p.Queue, MaxQueue)
	case p.QueueBytes < 0:
		return fmt.Errorf("netsim: QueueBytes %d is negative", p.QueueBytes)
	case p.Mark < 0:
		return fmt.Errorf("netsim: Mark %d is negative", p.Mark)
	case p.ReorderBy < 0:
		return fmt.Errorf("netsim: ReorderBy %d is negative", p.ReorderBy)
	case p.MTU < leastMTU || p.MTU > MaxMTU:
		return fmt.Errorf("netsim: MTU %d is not between %d and %d", p.MTU, leastMTU, MaxMTU)
	}
	end := time.Duration(-1)
	for _, o := range p.Outages {
		if o.From <= end || o.To <= o.From {
			return errors.New("netsim: Outages are not in order, apart and longer than nothing")
		}
		end = o.To
	}
	return nil
}

// leastMTU is what every link carries, RFC 791 3.2.
const leastMTU = 68
