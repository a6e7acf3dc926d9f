package packet

import (
	"encoding/binary"
	"sync/atomic"

	"smolnet/netstack/stream"
)

// A Ring is a bounded queue of datagrams with one producer and one consumer,
// which may be different goroutines. The producer calls Fits, Reserve, Commit
// and Push; the consumer Peek, Advance, Pop, Read, Trim and Drain; Len, Bytes,
// Roomy and SetMaxBytes are for any goroutine. A Ring must not be copied.
//
// Datagrams stand one after the other, each behind its record, in buffers that
// form a chain. The producer writes to the last one, which it takes out of open
// while it is at it; the consumer gives back those that it has left. Trim gives
// back the last one too, if it gets it out of open.
type Ring struct {
	pool       *Pool
	maxBytes   atomic.Int64
	maxPackets atomic.Uint32
	follows    bool // maxPackets changes with maxBytes

	_ [cacheLine]byte
	// The producer's, but that all may look at tail.
	tail  atomic.Uint64 // mark of what was pushed, ever
	taken mark          // what the consumer had taken, as last looked at
	held  *Buffer       // out of open, between Reserve and Commit
	room  int           // that Reserve lent, bytes

	_ [cacheLine]byte
	// The consumer's, but that all may look at head.
	head atomic.Uint64 // mark of what was popped, ever
	at   mark          // the same
	made mark          // what the producer had pushed, as last looked at
	cur  *Buffer       // that the first datagram is in; nil: it is in begin
	pos  int           // of its record
	done int           // bytes of it that are taken already
	shut *Buffer       // the last one of the chain that was taken out of open

	_ [cacheLine]byte
	// Exchanged.
	open  atomic.Pointer[Buffer] // the last of the chain; nil: there is none, or somebody has it
	begin atomic.Pointer[Buffer] // a chain that the producer began as open was nil
	spare atomic.Pointer[Buffer] // one that was read, kept for the producer
}

// cacheLine keeps what one core writes off the lines that another reads.
const cacheLine = 64

// A mark is how far one side of a ring has come. Both numbers wrap.
type mark struct{ packets, bytes uint32 }

func (m mark) pack() uint64      { return uint64(m.packets)<<32 | uint64(m.bytes) }
func unpack(v uint64) mark       { return mark{uint32(v >> 32), uint32(v)} }
func (m mark) plus(n int) mark   { return mark{m.packets + 1, m.bytes + uint32(n)} }
func (m mark) minus(o mark) mark { return mark{m.packets - o.packets, m.bytes - o.bytes} }

// Init must be called before use, once.
func (r *Ring) Init(p *Pool, l Limits) {
	r.pool = p
	r.follows = l.Packets <= 0
	r.limit(l)
}

// limit puts bounds into force.
func (r *Ring) limit(l Limits) {
	l = l.orDefault()
	r.maxPackets.Store(uint32(l.Packets))
	r.maxBytes.Store(int64(l.Bytes))
}

// Limits returns the bounds in force.
func (r *Ring) Limits() Limits {
	return Limits{Packets: int(r.maxPackets.Load()), Bytes: int(r.maxBytes.Load())}
}

// SetMaxBytes changes the limit of bytes, and that of datagrams with it unless
// Init was told one; zero or less means default. It never takes back what is
// there.
func (r *Ring) SetMaxBytes(n int) {
	l := Limits{Bytes: n}
	if !r.follows {
		l.Packets = int(r.maxPackets.Load())
	}
	r.limit(l)
}

// used returns what is in the ring. To the consumer it is a lower bound, to the
// producer an upper one.
func (r *Ring) used() mark {
	head := unpack(r.head.Load()) // first: tail is never behind an earlier head
	return unpack(r.tail.Load()).minus(head)
}

// Len returns the number of datagrams, those of one Segment counting as one. To
// the consumer it is a lower bound, to the producer an upper one.
func (r *Ring) Len() int { return int(r.used().packets) }

// Bytes returns the bytes of the datagrams, without metadata.
func (r *Ring) Bytes() int { return int(r.used().bytes) }

// Roomy reports whether half of the ring, in both measures, is free: enough for
// a producer who waits for room to be worth waking.
func (r *Ring) Roomy() bool {
	u := r.used()
	return u.packets <= r.maxPackets.Load()/2 && int64(u.bytes) <= r.maxBytes.Load()/2
}

// Fits reports whether the limits allow a datagram of n bytes to be pushed now.
// If they do and Push refuses it, the memory budget is used up.
func (r *Ring) Fits(n int) bool {
	if n < 0 || n > MaxDatagram {
		return false
	}
	if r.fits(n) {
		return true
	}
	r.taken = unpack(r.head.Load())
	return r.fits(n)
}

// fits is Fits going by what was last known of the consumer.
func (r *Ring) fits(n int) bool {
	u := unpack(r.tail.Load()).minus(r.taken)
	// One datagram larger than the limit must not be stuck for ever.
	return u.packets == 0 || u.packets < r.maxPackets.Load() && int64(u.bytes)+int64(n) <= r.maxBytes.Load()
}

// Push appends a copy of the datagram b. It reports false, and appends nothing,
// if the ring is full, b is longer than [MaxDatagram], or the memory budget is
// used up.
func (r *Ring) Push(m Meta, b []byte) bool {
	room, ok := r.Reserve(len(b))
	if ok {
		copy(room, b)
		r.Commit(&m)
	}
	return ok
}

// Reserve returns room for a datagram of n bytes, which Commit, the producer's
// next call, appends. It reports false, and Commit must not be called, where
// Push would.
func (r *Ring) Reserve(n int) (room []byte, ok bool) {
	if !r.Fits(n) {
		return nil, false
	}
	b := r.open.Swap(nil)
	if b == nil || len(b.bytes)-b.used < recordLen+n {
		next := r.extend(b, recordLen+n)
		if next == nil {
			r.open.Store(b)
			return nil, false
		}
		b = next
	}
	r.held, r.room = b, n
	at := b.used + recordLen
	return b.bytes[at : at+n : at+n], true
}

// Commit appends the datagram whose bytes were written to Reserve's room.
func (r *Ring) Commit(m *Meta) {
	b := r.held
	putRecord(b.bytes[b.used:], m, r.room)
	b.used = min((b.used+recordLen+r.room+7)&^7, len(b.bytes))
	// In this order: who gets a buffer out of open must see what is in it.
	r.tail.Store(unpack(r.tail.Load()).plus(r.room).pack())
	r.held = nil
	r.open.Store(b)
}

// extend returns a buffer with room for need bytes, which follows last in the
// chain or, if that is nil, begins a new one. It is nil if the budget is used up.
func (r *Ring) extend(last *Buffer, need int) *Buffer {
	b := r.spare.Swap(nil)
	if b != nil && len(b.bytes) < need {
		r.pool.Put(b)
		b = nil
	}
	if b == nil && last != nil && need < stretch {
		b = r.pool.forRing(stretch) // a queue builds up
	}
	if b == nil {
		b = r.pool.forRing(need)
	}
	if b == nil {
		r.pool.budget.Note(stream.DropDatagrams)
		return nil
	}
	b.bytes = b.bytes[:cap(b.bytes)]
	if last == nil {
		r.begin.Store(b)
		return b
	}
	if len(last.bytes)-last.used >= recordLen {
		binary.NativeEndian.PutUint32(last.bytes[last.used:], endOfStretch)
	}
	last.next = b
	return b
}

// Peek returns the first datagram without taking it. Its bytes are valid until
// the consumer pops it. Of a datagram in segments it is what was not advanced
// over yet; m.Segment is zero if that is one segment at most.
func (r *Ring) Peek() (m Meta, b []byte, ok bool) {
	if !r.find() {
		return Meta{}, nil, false
	}
	rec := r.cur.bytes[r.pos:]
	getRecord(rec, &m)
	end := recordLen + recordSize(rec)
	b = rec[recordLen+r.done : end : end]
	if int(m.Segment) >= len(b) {
		m.Segment = 0
	}
	return m, b, true
}

func recordSize(rec []byte) int { return int(binary.NativeEndian.Uint32(rec)) }

// find has cur and pos say where the first record is. It reports false if there
// is none.
func (r *Ring) find() bool {
	if r.at == r.made {
		if r.made = unpack(r.tail.Load()); r.at == r.made {
			return false
		}
	}
	for {
		switch b := r.cur; {
		case b == nil:
			r.cur = r.begin.Swap(nil)
		case b == r.shut:
			// Nobody writes to it any more, not even what ends it.
			if r.pos < b.used {
				return true
			}
			r.shut, r.cur = nil, nil
			r.recycle(b)
		case len(b.bytes)-r.pos >= recordLen && recordSize(b.bytes[r.pos:]) != endOfStretch:
			return true
		default:
			r.cur = b.next
			r.recycle(b)
		}
	}
}

// recycle gives back a buffer that was read.
func (r *Ring) recycle(b *Buffer) {
	r.pos = 0
	if len(b.bytes) == stretch && r.spare.Load() == nil {
		b.used, b.next = 0, nil
		b = r.spare.Swap(b) // nil: nobody else puts one there
	}
	r.pool.Put(b)
}

// Advance takes the next n bytes of the first datagram, and all of it if no
// more are left.
func (r *Ring) Advance(n int) {
	if !r.find() {
		return
	}
	if r.done += n; r.done >= recordSize(r.cur.bytes[r.pos:]) {
		r.Pop()
	}
}

// Pop removes the first datagram, or what is left of it, and reports whether
// there was one.
func (r *Ring) Pop() bool {
	if !r.find() {
		return false
	}
	n := recordSize(r.cur.bytes[r.pos:])
	r.pos = min((r.pos+recordLen+n+7)&^7, len(r.cur.bytes))
	r.done = 0
	r.at.packets++
	r.at.bytes += uint32(n)
	r.head.Store(r.at.pack())
	return true
}

// Read copies the first datagram, or the first segment of it, to b and removes
// it. It returns how many bytes it copied and how many the datagram had: what
// does not fit is lost.
func (r *Ring) Read(b []byte) (n, size int, m Meta, ok bool) {
	m, data, ok := r.Peek()
	if !ok {
		return 0, 0, m, false
	}
	if m.Segment > 0 {
		data = data[:m.Segment]
		m.Segment = 0
	}
	n, size = copy(b, data), len(data)
	r.Advance(size)
	return n, size, m, true
}

// Trim, called by a consumer who has found the ring empty and has nothing else
// to do, gives back its memory. While the producer is about to push it does not;
// it can be called again after that.
func (r *Ring) Trim() {
	if r.at != r.made {
		return
	}
	if b := r.cur; b != nil && b == r.shut && r.pos >= b.used {
		r.shut, r.cur, r.pos = nil, nil, 0
		r.pool.Put(b)
	}
	if r.cur != nil {
		if r.shut != nil || r.open.Load() == nil {
			return
		}
		b := r.open.Swap(nil)
		r.shut = b
		if b == nil || unpack(r.tail.Load()) != r.at {
			return // something was pushed: it is read first
		}
		// Whoever has read everything stands in the last buffer.
		r.shut, r.cur, r.pos = nil, nil, 0
		r.pool.Put(b)
	}
	if r.spare.Load() != nil {
		r.pool.Put(r.spare.Swap(nil))
	}
}

// Drain, called by the consumer, removes the datagrams that are there and
// returns how many there were.
func (r *Ring) Drain() int {
	n := r.Len()
	for range n {
		r.Pop()
	}
	r.Trim()
	return n
}

// Reset gives back all memory. Nobody else may use the ring any more.
// Afterwards it is empty and could be used again.
func (r *Ring) Reset() { r.Drain() }
