package phy

import (
	"math/bits"
	"sync/atomic"
)

// A ring is a queue with one producer and one consumer. It does not know full:
// its users never have more items under way than it was made for. What the
// producer pushes, it publishes when it likes: for the line of memory that tells
// of it has to move from core to core and back each time.
type ring[T any] struct {
	slots []T
	mask  uint32
	_     [cacheLine]byte

	made atomic.Uint32 // items published, ever
	_    [cacheLine]byte

	// The producer's own.
	pushed uint32 // items pushed, ever
	_      [cacheLine]byte

	// The consumer's own.
	taken uint32 // items popped, ever
	seen  uint32 // made, as last looked at
	_     [cacheLine]byte
}

// cacheLine keeps what one core writes off the lines that another reads. It is
// a pair of the usual 64 bytes, as they are fetched in pairs.
const cacheLine = 128

func newRing[T any](n int) ring[T] {
	size := uint32(1) << bits.Len32(uint32(n-1))
	return ring[T]{slots: make([]T, size), mask: size - 1}
}

// push appends v, which the consumer sees when it is published: the producer's.
func (r *ring[T]) push(v T) {
	r.slots[r.pushed&r.mask] = v
	r.pushed++
}

// unpublished returns how many items the consumer does not see yet: the
// producer's.
func (r *ring[T]) unpublished() int { return int(r.pushed - r.made.Load()) }

// publish shows the consumer what was pushed: the producer's. It costs both
// cores far more than a push.
func (r *ring[T]) publish() {
	if r.pushed != r.made.Load() {
		r.made.Store(r.pushed)
	}
}

// empty says whether there is nothing to pop: the consumer's.
func (r *ring[T]) empty() bool {
	if r.taken == r.seen {
		r.seen = r.made.Load()
	}
	return r.taken == r.seen
}

// pop takes the oldest item, if there is one: the consumer's.
func (r *ring[T]) pop() (v T, ok bool) {
	if r.empty() {
		return v, false
	}
	v = r.slots[r.taken&r.mask]
	r.taken++
	return v, true
}

// next returns the item that pop is going to take, or nil if it would have to ask
// for it: the consumer's.
func (r *ring[T]) next() *T {
	if r.taken == r.seen {
		return nil
	}
	return &r.slots[r.taken&r.mask]
}

// len returns how many items there are at least: the consumer's.
func (r *ring[T]) len() int { return int(r.made.Load() - r.taken) }
