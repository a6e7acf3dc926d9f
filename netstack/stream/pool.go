package stream

import (
	"sync"
	"sync/atomic"
)

// PageSize is the size in bytes of the pages that streams are made of.
const PageSize = 8 << 10

// A page is exactly one size class of the allocator; it carries no header.
type page [PageSize]byte

// A Pool hands out pages to the streams of one stack and counts them against
// the stack's memory budget. It is safe for concurrent use.
//
// Pages that were given back are kept for reuse until the garbage collector
// wants their memory; they do not count as in use.
type Pool struct {
	pages sync.Pool // of *page
	limit int64
	used  atomic.Int64
}

// NewPool returns a pool whose pages and reservations together stay within
// limit bytes. A limit of zero or less is no limit.
func NewPool(limit int64) *Pool {
	return &Pool{limit: max(limit, 0)}
}

// Limit returns the budget in bytes, zero if there is none.
func (p *Pool) Limit() int64 { return p.limit }

// InUse returns the bytes that are handed out as pages or reserved.
func (p *Pool) InUse() int64 { return p.used.Load() }

// Reserve counts n bytes of other memory (rings, records, queues) against the
// budget. It reports false, and counts nothing, if they do not fit or n is
// negative.
func (p *Pool) Reserve(n int64) bool {
	if n < 0 {
		return false
	}
	if p.limit == 0 {
		p.used.Add(n)
		return true
	}
	for {
		used := p.used.Load()
		if n > p.limit-used {
			return false
		}
		if p.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// Unreserve takes back a reservation of n bytes. A negative n is ignored.
func (p *Pool) Unreserve(n int64) {
	if n <= 0 {
		return
	}
	if used := p.used.Add(-n); invariants && used < 0 {
		panic("stream: more memory given back than was taken")
	}
}

// Parts of the budget, one in so many, that are kept for those who need them
// more.
const (
	// arrivalShare is what Write leaves to data that arrives in order. What
	// users want to send could otherwise keep it out, and on a stack that talks
	// to itself nothing would ever drain.
	arrivalShare = 8
	// aheadShare is what data that arrives ahead of a gap leaves to all others.
	// No reader can drain it, so that a few peers that never fill their gaps
	// could otherwise stop every connection.
	aheadShare = 4
)

// A use is what a page is wanted for.
type use uint8

const (
	forWrite   use = iota // what a user wants to send
	forArrival            // in order
	forAhead              // ahead of a gap
)

// Tight reports whether only that last part of the budget is left. It is the
// time to refuse new connections.
func (p *Pool) Tight() bool {
	return p.limit > 0 && p.used.Load() >= p.limit-p.limit/arrivalShare
}

// Short reports whether only that part of the budget is left that is not for
// data ahead of a gap, or for the records of it.
func (p *Pool) Short() bool {
	return p.limit > 0 && p.used.Load() >= p.limit-p.limit/aheadShare
}

// get returns a page with arbitrary content, nil if what is left of the budget
// is not for that use.
func (p *Pool) get(u use) *page {
	if u == forWrite && p.Tight() || u == forAhead && p.Short() || !p.Reserve(PageSize) {
		return nil
	}
	if pg, ok := p.pages.Get().(*page); ok {
		return pg
	}
	return new(page)
}

func (p *Pool) put(pg *page) {
	p.pages.Put(pg)
	p.Unreserve(PageSize)
}
