package packet

import (
	"sync"

	"smolnet/netstack/stream"
)

// classes are the sizes of buffers in bytes: a query, a frame, a jumbo frame or
// a stretch of a ring, a reassembled or segmented datagram with its record.
var classes = [...]int{512, 2 << 10, stretch, MaxDatagram + 64}

// stretch is the size of the buffers that a ring goes on in when it has more
// than one.
const stretch = 16 << 10

// bufferOverhead is what a Buffer costs the budget besides its class, bytes.
const bufferOverhead = 128

// A Buffer holds one packet, or a stretch of a ring.
type Buffer struct {
	bytes []byte // the packet; its capacity is the class
	class uint8

	// In a ring, see there.
	used int
	next *Buffer
}

// Bytes returns the packet's bytes, which may be written.
func (b *Buffer) Bytes() []byte { return b.bytes }

// Size returns the bytes of memory that the buffer counts for, whatever part
// of it is in use.
func (b *Buffer) Size() int { return classes[b.class] + bufferOverhead }

// A Pool hands out buffers and counts them against a memory budget. It is safe
// for concurrent use.
type Pool struct {
	budget *stream.Pool
	free   [len(classes)]sync.Pool // of *Buffer
}

// NewPool returns a pool whose buffers count against budget.
func NewPool(budget *stream.Pool) *Pool { return &Pool{budget: budget} }

// Get returns a buffer for n bytes with arbitrary content. It is nil if n is
// negative or above [MaxDatagram], or the budget is used up.
func (p *Pool) Get(n int) *Buffer {
	if n < 0 || n > MaxDatagram {
		return nil
	}
	class := classOf(n)
	if !p.budget.Reserve(costOf(class)) {
		return nil
	}
	return p.take(class, n)
}

// forRing is Get for the datagrams of sockets, up to the largest class. It
// leaves the last part of the budget to others.
func (p *Pool) forRing(n int) *Buffer {
	class := classOf(n)
	if !p.budget.ReserveBefore(stream.DropDatagrams, costOf(class)) {
		return nil
	}
	return p.take(class, n)
}

// classOf returns the smallest class for n bytes.
func classOf(n int) (class int) {
	for classes[class] < n {
		class++
	}
	return class
}

// costOf returns what a buffer counts for in the budget.
func costOf(class int) int64 { return int64(classes[class] + bufferOverhead) }

// take returns a buffer that is paid for.
func (p *Pool) take(class, n int) *Buffer {
	b, ok := p.free[class].Get().(*Buffer)
	if !ok {
		b = &Buffer{bytes: make([]byte, classes[class]), class: uint8(class)}
	}
	b.bytes = b.bytes[:n]
	return b
}

// Put takes back a buffer that came from Get; nil is ignored. Nobody may use it
// any more.
func (p *Pool) Put(b *Buffer) {
	if b == nil {
		return
	}
	p.budget.Unreserve(int64(b.Size()))
	b.used, b.next = 0, nil
	p.free[b.class].Put(b)
}
