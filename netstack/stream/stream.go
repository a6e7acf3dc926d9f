// Package stream is the byte stream that a connection shares with its user:
// one goroutine writes, one reads, and neither waits for the other.
package stream

// PageSize is the size in bytes of the pages that streams are made of.
const PageSize = 8 << 10

// A Pool hands out pages to the streams of one stack and counts them against
// the stack's memory budget. It is safe for concurrent use.
type Pool struct{}

// NewPool: limit in bytes; zero or negative is no limit.
func NewPool(limit int64) *Pool      { panic("stub") }
func (p *Pool) Limit() int64         { panic("stub") }
func (p *Pool) InUse() int64         { panic("stub") } // bytes
func (p *Pool) Reserve(n int64) bool { panic("stub") } // counts other memory (rings, records) against the budget
func (p *Pool) Unreserve(n int64)    { panic("stub") }

// A Stream. Offsets count bytes from the start of the stream and never wrap (uint64).
//
//	Start: everything below was consumed and is gone
//	End:   everything in [Start, End) is readable
//	beyond End: out-of-order islands placed by WriteAt, not readable
//
// Producer: Write, WriteAt, Extend. Consumer: Read, CopyAt, Release. Any goroutine: Start, End, Len.
type Stream struct{}

// Init must be called before use, once. limit is the most bytes in [Start, Start+limit) that may be held.
func (s *Stream) Init(p *Pool, limit int) { panic("stub") }

func (s *Stream) Limit() int         { panic("stub") }
func (s *Stream) SetLimit(limit int) { panic("stub") } // any goroutine; never takes back what is there
func (s *Stream) Start() uint64      { panic("stub") }
func (s *Stream) End() uint64        { panic("stub") }
func (s *Stream) Len() int           { panic("stub") } // End-Start
func (s *Stream) Room() int          { panic("stub") } // Limit-Len, never negative

// Write appends as much of b as limit and budget allow and makes it readable.
func (s *Stream) Write(b []byte) int { panic("stub") }

// WriteAt places b at offset off, which may be at or beyond End, without making it readable. Bytes below End are
// skipped (already there), bytes beyond Start+limit or for which there is no page are not taken. It returns the offset up to
// which, starting at off, b is now in place.
func (s *Stream) WriteAt(off uint64, b []byte) uint64 { panic("stub") }

// Extend makes everything below end readable; the caller has placed it all.
func (s *Stream) Extend(end uint64) { panic("stub") }

// Read copies readable bytes to b and releases them.
func (s *Stream) Read(b []byte) int { panic("stub") }

// CopyAt copies readable bytes from off on, without releasing them. off must be in [Start, End].
func (s *Stream) CopyAt(off uint64, b []byte) int { panic("stub") }

// Release gives back everything below off, which must be at most End.
func (s *Stream) Release(off uint64) { panic("stub") }

// Trim, called by the poll loop (which may be either producer or consumer of this stream), gives back the last, partly
// filled page of an empty stream that has no islands beyond its end. It reports whether the stream holds no page now.
func (s *Stream) Trim() bool { panic("stub") }

// Reset gives back every page. Nobody else may use the stream any more.
func (s *Stream) Reset() { panic("stub") }
