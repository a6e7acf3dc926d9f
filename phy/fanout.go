package phy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"smolnet/netstack/siphash"
)

// MaxFanout is how many queues a [Fanout] takes: as many as a TUN interface of
// Linux has.
const MaxFanout = 256

// A FanoutConfig says how a [Fanout] deals out flows. The zero value is right
// unless two of them face each other.
type FanoutConfig struct {
	// Key of the hash that decides on owners. Zero: a random one, so that
	// nobody outside can choose flows that all fall to one stack. Two Fanouts
	// at the ends of the same links agree on every owner, and so hand nothing
	// over, if they have the same key and number of queues.
	Key [16]byte
}

// FanoutStats count what went from one queue of a [Fanout] to the stack of
// another.
type FanoutStats struct {
	HandedOver uint64 // frames that were taken over
	Dropped    uint64 // frames whose owner had no room for them, or was closed
}

// A Fanout joins several queues of one link (those of a multi-queue TUN, or
// some pipes), so that as many stacks can act as one host on it. It has one
// [Device] for each queue and stack. A stack sends by its own queue; a frame
// that arrives at any of them is received by the stack that owns its flow.
//
//   - TCP and UDP: the owner follows from a keyed hash of addresses and ports,
//     the same in both directions.
//   - ICMP echo: from the identifier alone, which its sender can choose.
//   - ICMP errors: the owner is that of the packet that they quote.
//   - ARP replies and announcements, neighbour and router advertisements and
//     redirects go to all stacks, each of which has a neighbour cache.
//   - Requests for our link address, multicast and broadcast, and the rest of
//     ICMP go to the first stack, so that one answers.
//   - Fragments and other protocols: from the addresses.
//   - What is no IP packet, or a broken one, stays where it arrived.
//
// Frames of one flow keep their order as long as the link keeps the flow on one
// queue.
type Fanout struct {
	key    siphash.Key
	queues []*fanoutQueue
}

// NewFanout joins queues, whose owner it becomes. They must have the same
// [Capabilities]. The error says what is wrong with them; they are left as they
// are then.
func NewFanout(queues []Device, cfg FanoutConfig) (*Fanout, error) {
	if len(queues) == 0 || len(queues) > MaxFanout {
		return nil, fmt.Errorf("phy: fanout of %d queues: there must be between 1 and %d", len(queues), MaxFanout)
	}
	if slices.Contains(queues, nil) {
		return nil, errors.New("phy: fanout: a queue is nil")
	}
	f := &Fanout{key: cfg.Key}
	if f.key == (siphash.Key{}) {
		// The runtime's generator, which the system seeds: what it protects is
		// an even load, not a secret.
		binary.LittleEndian.PutUint64(f.key[:], rand.Uint64())
		binary.LittleEndian.PutUint64(f.key[8:], rand.Uint64())
	}
	caps := queues[0].Capabilities()
	for i, dev := range queues {
		if c := dev.Capabilities(); c != caps {
			return nil, fmt.Errorf("phy: fanout: queue %d is %+v and the first one %+v", i, c, caps)
		}
		f.queues = append(f.queues, &fanoutQueue{Device: dev, fanout: f, index: i, medium: caps.Medium})
	}
	return f, nil
}

// Devices returns the devices, one for each queue and in the same order. Each
// may have an owner of its own. What goes through one that is closed is lost.
func (f *Fanout) Devices() []Device {
	devs := make([]Device, len(f.queues))
	for i, q := range f.queues {
		devs[i] = q
	}
	return devs
}

// Owner returns the number of the device that receives the packets of a flow of
// TCP or UDP between a and b. Their order makes no difference, nor do zones.
func (f *Fanout) Owner(a, b netip.AddrPort) int {
	x, y := a.Addr().WithZone("").Unmap(), b.Addr().WithZone("").Unmap()
	return f.flow(x, y, a.Port(), b.Port())
}

// EchoOwner returns the number of the device that receives the ICMP echoes with
// an identifier.
func (f *Fanout) EchoOwner(id uint16) int {
	return f.pick(siphash.Bytes(&f.key, []byte{byte(id >> 8), byte(id)}))
}

// Stats returns what was counted so far, of all devices together. It may be
// called from any goroutine.
func (f *Fanout) Stats() (s FanoutStats) {
	for _, q := range f.queues {
		n := q.inbox.stats()
		s.HandedOver += n.HandedOver
		s.Dropped += n.Dropped
	}
	return s
}
