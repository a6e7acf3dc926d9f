package stream

import (
	"math"
	"sync"
	"sync/atomic"
)

// PageSize is the size in bytes of the pages that streams are made of.
const PageSize = 8 << 10

// A page is exactly one size class of the allocator; it carries no header.
type page [PageSize]byte

// A Step is what a stack does without, to save memory, while its budget is
// filled beyond a certain point. The steps are in the order in which they come;
// what is left after the last one is for data that arrives in order, whose reader
// gives it back, and for the few packets with which protocols work.
type Step uint8

// The steps.
const (
	// HoldWindows: no receive window becomes larger than it has been.
	HoldWindows Step = iota
	// ShrinkWindows: receive windows are renewed to a little only, without
	// taking back what was announced, and data beyond a gap is not kept: no
	// reader can drain it, so that a few peers that never fill their gaps could
	// otherwise stop every connection.
	ShrinkWindows
	// RefuseOpens: there are no new sockets. Those that exist could otherwise do
	// nothing any more.
	RefuseOpens
	// HoldWrites: what users want to send waits. It could otherwise keep out
	// what arrives, and on a stack that talks to itself nothing would ever drain.
	HoldWrites
	// DropDatagrams: datagrams are dropped, in both directions.
	DropDatagrams
	numSteps
)

// left is how much of the budget is left when a step comes: so many sixteenths,
// and as many pages at least, so that with the smallest of budgets there is a
// page for each of the users that come later.
var left = [numSteps]struct{ sixteenths, pages int64 }{
	HoldWindows:   {8, 6},
	ShrinkWindows: {6, 5},
	RefuseOpens:   {4, 4},
	HoldWrites:    {2, 2},
	DropDatagrams: {1, 1},
}

// A Pool hands out pages to the streams of one stack and counts them against
// the stack's memory budget. It is safe for concurrent use.
//
// Pages that were given back are kept for reuse until the garbage collector
// wants their memory; they do not count as in use.
type Pool struct {
	pages sync.Pool // of *page
	limit int64
	from  [numSteps]int64 // where the steps begin, bytes in use
	used  atomic.Int64
	noted [numSteps]atomic.Uint64
}

// NewPool returns a pool whose pages and reservations together stay within
// limit bytes. A limit of zero or less is no limit.
func NewPool(limit int64) *Pool {
	p := &Pool{limit: max(limit, 0)}
	for s, l := range left {
		p.from[s] = math.MaxInt64
		if p.limit > 0 {
			p.from[s] = max(p.limit-max(p.limit/16*l.sixteenths, l.pages*PageSize), 0)
		}
	}
	return p
}

// Limit returns the budget in bytes, zero if there is none.
func (p *Pool) Limit() int64 { return p.limit }

// At reports whether the budget is so full that step s is taken.
func (p *Pool) At(s Step) bool { return p.used.Load() >= p.from[s] }

// Note counts that step s has denied somebody something.
func (p *Pool) Note(s Step) { p.noted[s].Add(1) }

// Noted returns how often step s has denied somebody something.
func (p *Pool) Noted(s Step) uint64 { return p.noted[s].Load() }

// InUse returns the bytes that are handed out as pages or reserved.
func (p *Pool) InUse() int64 { return p.used.Load() }

// Reserve counts n bytes of other memory (records, queues) against the budget.
// It reports false, and counts nothing, if they do not fit or n is negative.
func (p *Pool) Reserve(n int64) bool { return p.reserve(n, p.limit) }

// ReserveBefore is Reserve for what step s does without: it leaves the rest of
// the budget alone. Who gives up because it refused calls Note.
func (p *Pool) ReserveBefore(s Step, n int64) bool { return p.reserve(n, p.from[s]) }

func (p *Pool) reserve(n, limit int64) bool {
	if n < 0 {
		return false
	}
	if p.limit == 0 {
		p.used.Add(n)
		return true
	}
	for {
		used := p.used.Load()
		if n > limit-used {
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

// get returns a page with arbitrary content, nil if what is left of the budget
// is not for that use: anything, or what is done without from a step on.
func (p *Pool) get(u use) *page {
	switch {
	case u == forArrival:
		if !p.Reserve(PageSize) {
			return nil
		}
	case !p.ReserveBefore(u.step(), PageSize):
		p.Note(u.step())
		return nil
	}
	if pg, ok := p.pages.Get().(*page); ok {
		return pg
	}
	return new(page)
}

// A use is what a page is wanted for.
type use uint8

const (
	forArrival use = iota // data in order
	forWrite              // what a user wants to send
	forAhead              // data beyond a gap
)

func (u use) step() Step {
	if u == forAhead {
		return ShrinkWindows
	}
	return HoldWrites
}

func (p *Pool) put(pg *page) {
	p.pages.Put(pg)
	p.Unreserve(PageSize)
}
