// Package timer holds many deadlines and gives them back in order, at a cost
// that does not grow with every change of one.
//
// Most deadlines of a network stack are moved again and again and never come:
// each acknowledgement pushes the retransmission further out. A [Queue]
// therefore only notes a later deadline in its [Entry] and lets the heap find
// out when the old one comes.
package timer

import "smolnet/netstack/clock"

// An Entry is one owner's place in a [Queue]; embed it in the owner. The zero
// Entry is not queued. An Entry belongs to one Queue and must not be copied
// while it is queued.
type Entry struct {
	deadline clock.Time // zero: not queued
	pos      int32      // in the heap, while queued
}

// Deadline returns the deadline that was set last, zero if none is.
func (e *Entry) Deadline() clock.Time { return e.deadline }

// item is an entry's node in the heap. Its key is never later than the entry's
// deadline.
type item[T any] struct {
	key   clock.Time
	entry *Entry
	owner T
}

// arity is the number of children of a node: four keep them in two cache
// lines and halve the depth.
const arity = 4

// minCap is the capacity below which the heap's memory is not given back.
const minCap = 256

// A Queue is a min-heap of entries with lazy updates: Set to a later time
// leaves the entry where it is; Pop notices and moves it. The zero Queue is
// empty. A Queue is used by one goroutine.
type Queue[T any] struct {
	heap []item[T]
}

// Set makes t the deadline of e, owned by v. A zero t removes the deadline. It
// costs O(1) if e is queued and t is not earlier than its place in the queue,
// O(log n) otherwise.
func (q *Queue[T]) Set(e *Entry, v T, t clock.Time) {
	queued := e.deadline.IsSet()
	switch {
	case !t.IsSet():
		if queued {
			q.remove(int(e.pos))
		}
		return
	case !queued:
		e.pos = int32(len(q.heap))
		q.heap = append(q.heap, item[T]{key: t, entry: e, owner: v})
		q.up(int(e.pos))
	default:
		it := &q.heap[e.pos]
		it.owner = v
		if t < it.key {
			it.key = t
			q.up(int(e.pos))
		}
	}
	e.deadline = t
}

// Next returns the earliest instant at which Pop may return something; zero
// when nothing is set. It may be early, because of lazy updates, but not late.
func (q *Queue[T]) Next() clock.Time {
	if len(q.heap) == 0 {
		return 0
	}
	return q.heap[0].key
}

// Pop removes and returns one owner whose deadline is due. Called until ok is
// false, it returns all of them, the earliest first, and Next is later than now.
func (q *Queue[T]) Pop(now clock.Time) (v T, ok bool) {
	// Every round but the last moves an entry to its deadline, so that there are
	// at most as many as entries.
	for more := true; more && !ok; {
		v, ok, more = q.Step(now)
	}
	return v, ok
}

// Step is a part of Pop, for those who have to bound what they do at once: it
// looks at one entry whose place says that it is due. If its deadline is, it
// removes the entry and returns the owner; if that was moved out, the entry goes
// to its new place. It reports whether there was such an entry; if not, Next is
// later than now.
func (q *Queue[T]) Step(now clock.Time) (v T, ok, more bool) {
	if len(q.heap) == 0 || q.heap[0].key > now {
		return v, false, false
	}
	it := &q.heap[0]
	if it.key != it.entry.deadline {
		it.key = it.entry.deadline
		q.down(0)
		return v, false, true
	}
	v = it.owner
	q.remove(0)
	return v, true, true
}

// Len returns the number of deadlines that are set.
func (q *Queue[T]) Len() int { return len(q.heap) }

// remove takes the item at i out of the heap.
func (q *Queue[T]) remove(i int) {
	q.heap[i].entry.deadline = 0
	last := len(q.heap) - 1
	if i != last {
		q.heap[i] = q.heap[last]
		q.heap[i].entry.pos = int32(i)
	}
	q.heap[last] = item[T]{}
	q.heap = q.heap[:last]
	if i != last && !q.up(i) {
		q.down(i)
	}
	if c := cap(q.heap); c > minCap && last < c/4 {
		q.heap = append(make([]item[T], 0, c/2), q.heap...)
	}
}

// up moves the item at i towards the root and reports whether it moved.
func (q *Queue[T]) up(i int) bool {
	h, at := q.heap, i
	it := h[i]
	for i > 0 {
		parent := (i - 1) / arity
		if h[parent].key <= it.key {
			break
		}
		h[i] = h[parent]
		h[i].entry.pos = int32(i)
		i = parent
	}
	h[i] = it
	it.entry.pos = int32(i)
	return i != at
}

// down moves the item at i towards the leaves.
func (q *Queue[T]) down(i int) {
	h := q.heap
	it := h[i]
	for {
		first := i*arity + 1
		if first >= len(h) {
			break
		}
		least := first
		for c := first + 1; c < min(first+arity, len(h)); c++ {
			if h[c].key < h[least].key {
				least = c
			}
		}
		if it.key <= h[least].key {
			break
		}
		h[i] = h[least]
		h[i].entry.pos = int32(i)
		i = least
	}
	h[i] = it
	it.entry.pos = int32(i)
}
