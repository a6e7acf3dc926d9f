// Package stream is the byte stream that a connection shares with its user:
// one goroutine writes, one reads, and neither waits for the other.
//
// A [Stream] is a window of pooled pages addressed by stream offset. It takes
// pages as bytes arrive, gives them back as bytes are consumed, and never
// copies a byte from page to page. One goroutine at a time is its producer and
// one its consumer; a third role, trimming an idle stream, belongs to the poll
// loop, whichever of the two it is.
//
//	var s stream.Stream
//	s.Init(pool, 256<<10)
//	s.Write([]byte("hello")) // producer
//	s.Read(buf)              // consumer
package stream

import (
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
)

// tinyPages is the size of the directory inside the Stream: enough for a
// request and its answer without any other memory than the pages.
const tinyPages = 2

// A directory finds pages: page number n is in slots[n%len(slots)], and the
// length is a power of two.
type directory struct {
	slots []atomic.Pointer[page]
}

// A Stream is a sequence of bytes with one producer and one consumer, which
// may be different goroutines. Offsets count bytes from the start of the
// stream and never wrap.
//
//	Start: everything below was consumed and is gone
//	End:   everything in [Start, End) is readable
//	Next:  everything in [End, Next) will be, once it is published
//	beyond Next: out-of-order islands placed by WriteAt, not readable
//
// The producer calls Write, or WriteAt, Extend, Publish, Next, Room and
// DropAhead; the consumer Read, CopyAt, Peek and Release. Start, End, Len, Limit
// and SetLimit are for any goroutine. A producer other than the poll loop calls
// nothing but Write and Room. A Stream must not be copied.
//
// How it is shared. The producer alone stores pages in slots and replaces the
// directory, always before it publishes an end that needs them. The consumer
// alone empties the slots of pages that it has passed, always before it
// publishes the start that says so. So the pages in [start, end) belong to the
// consumer, those beyond to the producer, and the page in which both meet is
// kept until start leaves it. When the producer replaces the directory while
// the consumer empties a slot of the old one, the new directory keeps a
// pointer to a page that is gone; such a slot lies outside [start, top), nobody
// follows it, and it is emptied before its next page number comes into use.
type Stream struct {
	pool  *Pool
	dir   atomic.Pointer[directory] // nil: tiny is the directory
	start atomic.Uint64             // stored by the consumer
	end   atomic.Uint64             // stored by the producer
	next  uint64                    // end, once it is published; the producer's
	top   uint64                    // highest offset placed and not dropped; producer's, guarded by busy
	offer atomic.Pointer[Offer]     // the consumer waits with a buffer
	tiny  [tinyPages]atomic.Pointer[page]
	limit atomic.Uint32 // bytes
	busy  atomic.Uint32 // Write is at work, or Trim
}

// Init must be called before use, once. limit is the most bytes, counted from
// Start, that may be held; zero or less is none.
func (s *Stream) Init(p *Pool, limit int) {
	s.pool = p
	s.SetLimit(limit)
}

// Limit returns the most bytes that may be held.
func (s *Stream) Limit() int { return int(s.limit.Load()) }

// SetLimit changes the limit; a negative one counts as zero, and 4 GiB and more as
// a little less. It never takes back what is there.
func (s *Stream) SetLimit(limit int) {
	s.limit.Store(uint32(min(uint64(max(limit, 0)), math.MaxUint32)))
}

// Start returns the offset below which everything was consumed.
func (s *Stream) Start() uint64 { return s.start.Load() }

// End returns the offset below which everything was made readable.
func (s *Stream) End() uint64 { return s.end.Load() }

// Len returns the number of readable bytes. To the consumer it is a lower
// bound, to the producer an upper one.
func (s *Stream) Len() int {
	start := s.start.Load() // first: end is never behind an earlier start
	return int(s.end.Load() - start)
}

// Room returns how many bytes the limit allows to be appended, never negative:
// a lower bound. It is the producer's.
func (s *Stream) Room() int { return max(s.Limit()-int(s.next-s.start.Load()), 0) }

// Write appends as much of b as limit and budget allow, makes it readable, and
// returns how much that was. It leaves the last part of the budget to WriteAt.
func (s *Stream) Write(b []byte) int {
	s.lock()
	end := s.next
	b = b[:min(len(b), s.Room())]
	s.next = s.place(end, b, forWrite)
	s.Publish()
	s.unlock()
	return int(s.next - end)
}

// WriteAt places b at offset off, which may be at or beyond End, without
// making it readable. Bytes below End are skipped (they are there already),
// bytes beyond Start+Limit or for which there is no page are not taken. Islands leave
// the last part of the budget to what is in order. It returns the offset up to which, starting at off, b is now in place; off
// itself if nothing is.
func (s *Stream) WriteAt(off uint64, b []byte) uint64 {
	start, end := s.start.Load(), s.next
	if off < end {
		skip := end - off
		if uint64(len(b)) <= skip {
			return off + uint64(len(b))
		}
		off, b = end, b[skip:]
	}
	limit := uint64(s.limit.Load())
	if off-start >= limit {
		return off
	}
	b = b[:min(uint64(len(b)), limit-(off-start))]
	u := forArrival
	if off > end {
		u = forAhead
	}
	return s.place(off, b, u)
}

// Extend makes everything below end readable once Publish is called; the caller
// has placed it all. An end that is not beyond the present one changes nothing.
func (s *Stream) Extend(end uint64) {
	if end > s.top {
		if invariants {
			panic(fmt.Sprintf("stream: Extend(%d) beyond what was placed: %v", end, s))
		}
		end = s.top
	}
	s.next = max(s.next, end)
}

// Next returns the offset below which everything was made readable or will be
// by Publish. It is the producer's.
func (s *Stream) Next() uint64 { return s.next }

// Publish shows the consumer what Extend was told. It is the producer's, and
// costs more than all else does for a few packets: it waits for what was written.
func (s *Stream) Publish() {
	if s.next != s.end.Load() {
		s.end.Store(s.next)
		s.publishOffer()
	}
}

// DropAhead gives back the pages of everything that was placed beyond End: the
// islands are lost. It is the producer's.
func (s *Stream) DropAhead() {
	end := s.next
	slots := s.slots()
	for n := pagesBelow(end); n < pagesBelow(s.top); n++ {
		s.drop(slotOf(slots, n))
	}
	s.top = end
	s.check()
}

// place copies b to the pages at off, taking those that are missing, and
// returns the offset up to which it did. The caller holds the producer's side.
func (s *Stream) place(off uint64, b []byte, u use) uint64 {
	for len(b) > 0 {
		pg := s.pageFor(off/PageSize, u)
		if pg == nil {
			break
		}
		n := copy(pg[off%PageSize:], b)
		b = b[n:]
		off += uint64(n)
		s.top = max(s.top, off)
	}
	s.check()
	return off
}

// pageFor returns page number no, which is not below start, or nil if it would
// be a new one and the budget is used up.
func (s *Stream) pageFor(no uint64, u use) *page {
	slots := s.slots()
	first := s.start.Load() / PageSize
	if no-first >= uint64(len(slots)) {
		slots = s.grow(first, no)
	}
	// Slots whose page numbers come into use now may name pages of long ago.
	for n := pagesBelow(s.top); n <= no; n++ {
		if slot := slotOf(slots, n); slot.Load() != nil {
			slot.Store(nil)
		}
	}
	slot := slotOf(slots, no)
	pg := slot.Load()
	if pg == nil {
		if pg = s.pool.get(u); pg != nil {
			slot.Store(pg)
		}
	}
	return pg
}

// grow replaces the directory by one that has room for pages first to last.
// The consumer may pass pages meanwhile: it finds all that it needs in the old
// directory.
func (s *Stream) grow(first, last uint64) []atomic.Pointer[page] {
	old := s.slots()
	size := len(old)
	for uint64(size) <= last-first {
		size *= 2
	}
	d := &directory{slots: make([]atomic.Pointer[page], size)}
	for n := first; n < pagesBelow(s.top); n++ {
		slotOf(d.slots, n).Store(slotOf(old, n).Load())
	}
	s.dir.Store(d)
	return d.slots
}

// Read copies readable bytes to b, releases them, and returns how many it
// were: as many as there are and fit.
func (s *Stream) Read(b []byte) int {
	start := s.start.Load()
	n := s.copyOut(start, s.end.Load(), b)
	if n > 0 {
		s.release(start, start+uint64(n))
	}
	return n
}

// CopyAt copies readable bytes from off on, without releasing them, and
// returns how many it were. Outside of [Start, End] there are none.
func (s *Stream) CopyAt(off uint64, b []byte) int {
	if off < s.start.Load() {
		return 0
	}
	return s.copyOut(off, s.end.Load(), b)
}

// Peek returns readable bytes from Start on without copying them: at most up to
// the end of their page, none if the stream is empty. They stay valid until the
// consumer reads or releases them.
func (s *Stream) Peek() []byte { return s.PeekAt(s.start.Load()) }

// PeekAt is Peek from off on. Outside of [Start, End) there is nothing.
func (s *Stream) PeekAt(off uint64) []byte {
	start, end := s.start.Load(), s.end.Load()
	if off < start || off >= end {
		return nil
	}
	pg := slotOf(s.slots(), off/PageSize).Load()
	if pg == nil {
		return nil // as in copyOut
	}
	at := off % PageSize
	return pg[at:min(at+(end-off), PageSize)]
}

// Release gives back everything below off, which must be at most End. What is
// below Start already is ignored.
func (s *Stream) Release(off uint64) {
	start, end := s.start.Load(), s.end.Load()
	if off > end {
		if invariants {
			panic(fmt.Sprintf("stream: Release(%d) beyond what is readable: %v", off, s))
		}
		off = end
	}
	if off > start {
		s.release(start, off)
	}
}

// copyOut copies bytes of [off, end) to b. The end was loaded before, so that
// the directory that is loaded now has their pages.
func (s *Stream) copyOut(off, end uint64, b []byte) int {
	if off >= end {
		return 0
	}
	if uint64(len(b)) > end-off {
		b = b[:end-off]
	}
	slots := s.slots()
	done := 0
	for done < len(b) {
		pg := slotOf(slots, off/PageSize).Load()
		if pg == nil { // made readable without having been placed
			if invariants {
				panic(fmt.Sprintf("stream: hole at %d: %v", off, s))
			}
			break
		}
		n := copy(b[done:], pg[off%PageSize:])
		done += n
		off += uint64(n)
	}
	return done
}

// release gives back the pages that end at or below to, then moves start
// there. In this order: whoever sees the new start finds the consumer done.
func (s *Stream) release(start, to uint64) {
	if first, next := start/PageSize, to/PageSize; first < next {
		slots := s.slots()
		for n := first; n < next; n++ {
			s.drop(slotOf(slots, n))
		}
	}
	s.start.Store(to)
}

// drop gives back the page in slot, if there is one.
func (s *Stream) drop(slot *atomic.Pointer[page]) {
	if pg := slot.Load(); pg != nil {
		slot.Store(nil)
		s.pool.put(pg)
	}
}

// Trim, called by the poll loop (which may be either producer or consumer of
// this stream), gives back the last, partly filled page of an empty stream that
// has no islands beyond its end, and its directory. It reports whether the
// stream holds no page now. It never waits: if the producer is at work it does
// nothing.
func (s *Stream) Trim() bool {
	// Loop is consumer: the flag keeps the producer out. Loop is producer: a
	// consumer that has moved start up to end touches no page before end moves.
	if !s.busy.CompareAndSwap(0, 1) {
		return false
	}
	start := s.start.Load()
	idle := start == s.end.Load() && s.top == start
	if idle {
		if start%PageSize != 0 { // else its page was never in use
			s.drop(slotOf(s.slots(), start/PageSize))
		}
		s.forget()
	}
	s.unlock()
	return idle
}

// Reset gives back every page; what was readable is lost. Nobody else may use
// the stream any more. Afterwards the stream is empty and could be used again,
// from the highest offset ever placed on.
func (s *Stream) Reset() {
	slots := s.slots()
	for n := s.start.Load() / PageSize; n < pagesBelow(s.top); n++ {
		s.drop(slotOf(slots, n))
	}
	s.forget()
	s.start.Store(s.top)
	s.next = s.top
	s.end.Store(s.top)
}

// forget returns to the tiny directory, with nothing in it.
func (s *Stream) forget() {
	s.dir.Store(nil)
	for i := range s.tiny {
		s.tiny[i].Store(nil)
	}
}

// lock marks the producer as at work. The only other holder is Trim, for a few
// nanoseconds.
func (s *Stream) lock() {
	for !s.busy.CompareAndSwap(0, 1) {
		runtime.Gosched()
	}
}

func (s *Stream) unlock() { s.busy.Store(0) }

func (s *Stream) slots() []atomic.Pointer[page] {
	if d := s.dir.Load(); d != nil {
		return d.slots
	}
	return s.tiny[:]
}

// slotOf returns the slot of page number no.
func slotOf(slots []atomic.Pointer[page], no uint64) *atomic.Pointer[page] {
	return &slots[no&uint64(len(slots)-1)]
}

// pagesBelow returns the number of pages that begin below off.
func pagesBelow(off uint64) uint64 { return (off + PageSize - 1) / PageSize }

// check panics, in builds with the tag invariants, if the producer's view of
// the stream contradicts itself.
func (s *Stream) check() {
	if !invariants {
		return
	}
	start, end := s.start.Load(), s.end.Load()
	switch {
	case start > end, end > s.next, s.next > s.top:
		panic(fmt.Sprintf("stream: out of order: %v", s))
	case pagesBelow(s.top) > max(start, s.delivered())/PageSize+uint64(len(s.slots())):
		panic(fmt.Sprintf("stream: directory too small: %v", s))
	}
}

// String returns the stream's offsets, for messages.
func (s *Stream) String() string {
	return fmt.Sprintf("start %d end %d top %d limit %d pages %d",
		s.start.Load(), s.end.Load(), s.top, s.limit.Load(), len(s.slots()))
}
