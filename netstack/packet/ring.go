package packet

import (
	"math/bits"
	"sync/atomic"
)

// A Ring is a bounded queue of datagrams with one producer and one consumer,
// which may be different goroutines. The producer calls Push, Push2 and Fits;
// the consumer Peek, Pop, Read and Drain; Len, Bytes and SetMaxBytes are for any
// goroutine. A Ring must not be copied.
//
// An empty ring holds no buffers. Its slots, 8 bytes for each packet of the
// limit, exist from the first datagram on.
type Ring struct {
	pool       *Pool
	slots      []*Buffer     // a power of two of them; those in [head, tail) are the consumer's
	head       atomic.Uint32 // stored by the consumer
	tail       atomic.Uint32 // stored by the producer
	bytes      atomic.Int64  // in [head, tail)
	maxBytes   atomic.Int64
	maxPackets uint32
}

// Init must be called before use, once.
func (r *Ring) Init(p *Pool, l Limits) {
	l = l.orDefault()
	r.pool = p
	r.maxPackets = uint32(l.Packets)
	r.maxBytes.Store(int64(l.Bytes))
}

// Limits returns the bounds in force.
func (r *Ring) Limits() Limits {
	return Limits{Packets: int(r.maxPackets), Bytes: int(r.maxBytes.Load())}
}

// SetMaxBytes changes the limit of bytes; zero or less means default. It never
// takes back what is there.
func (r *Ring) SetMaxBytes(n int) { r.maxBytes.Store(int64(Limits{Bytes: n}.orDefault().Bytes)) }

// Len returns the number of datagrams. To the consumer it is a lower bound, to
// the producer an upper one.
func (r *Ring) Len() int {
	head := r.head.Load() // first: tail is never behind an earlier head
	return int(r.tail.Load() - head)
}

// Bytes returns the bytes of the datagrams, without metadata.
func (r *Ring) Bytes() int { return int(max(r.bytes.Load(), 0)) }

// Fits reports whether the limits allow a datagram of n bytes to be pushed now.
// If they do and Push refuses it, the memory budget is used up.
func (r *Ring) Fits(n int) bool {
	used := uint32(r.Len())
	if n > MaxDatagram || used >= r.maxPackets {
		return false
	}
	// One datagram larger than the limit must not be stuck for ever.
	return used == 0 || r.bytes.Load()+int64(n) <= r.maxBytes.Load()
}

// Push appends a copy of the datagram b. It reports false, and appends nothing,
// if the ring is full, b is longer than [MaxDatagram], or the memory budget is
// used up.
func (r *Ring) Push(m Meta, b []byte) bool { return r.Push2(m, nil, b) }

// Push2 is Push of the datagram that consists of hdr followed by b.
func (r *Ring) Push2(m Meta, hdr, b []byte) bool {
	n := len(hdr) + len(b)
	if !r.Fits(n) {
		return false
	}
	buf := r.pool.Get(n)
	if buf == nil {
		return false
	}
	buf.meta = m
	copy(buf.bytes[copy(buf.bytes, hdr):], b)
	if r.slots == nil {
		r.slots = make([]*Buffer, 1<<bits.Len32(r.maxPackets-1))
	}
	tail := r.tail.Load()
	r.slots[r.index(tail)] = buf
	r.bytes.Add(int64(n))
	r.tail.Store(tail + 1)
	return true
}

// Peek returns the first datagram without taking it. Its bytes are valid until
// the consumer pops it.
func (r *Ring) Peek() (m Meta, b []byte, ok bool) {
	head := r.head.Load()
	if head == r.tail.Load() {
		return Meta{}, nil, false
	}
	buf := r.slots[r.index(head)]
	return buf.meta, buf.bytes, true
}

// Pop removes the first datagram and reports whether there was one.
func (r *Ring) Pop() bool {
	head := r.head.Load()
	if head == r.tail.Load() {
		return false
	}
	slot := &r.slots[r.index(head)]
	buf := *slot
	*slot = nil
	r.bytes.Add(-int64(len(buf.bytes)))
	r.head.Store(head + 1)
	r.pool.Put(buf)
	return true
}

// Read copies the first datagram to b and removes it. It returns how many bytes
// it copied and how many the datagram had: what does not fit is lost.
func (r *Ring) Read(b []byte) (n, size int, m Meta, ok bool) {
	m, data, ok := r.Peek()
	if !ok {
		return 0, 0, m, false
	}
	n, size = copy(b, data), len(data)
	r.Pop()
	return n, size, m, true
}

// Drain, called by the consumer, removes the datagrams that are there and
// returns how many there were.
func (r *Ring) Drain() int {
	n := r.Len()
	for range n {
		r.Pop()
	}
	return n
}

// Reset gives back all memory. Nobody else may use the ring any more.
// Afterwards it is empty and could be used again.
func (r *Ring) Reset() {
	r.Drain()
	r.slots = nil
}

// index returns where the slot of position i is.
func (r *Ring) index(i uint32) uint32 { return i & uint32(len(r.slots)-1) }
