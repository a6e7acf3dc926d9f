// Package timer holds many deadlines and gives them back in order, at a cost
// that does not grow with every change of one.
package timer

import "smolnet/netstack/clock"

// An Entry is one owner's place in a Queue; embed it in the owner. The zero Entry is not queued.
type Entry struct{}

// A Queue is a min-heap of entries with lazy updates: Set to a later time leaves the entry where it is; Pop notices and moves it.
// The zero Queue is empty.
type Queue[T any] struct{}

// Set makes t the deadline of e, owned by v. A zero t removes the deadline.
func (q *Queue[T]) Set(e *Entry, v T, t clock.Time) { panic("stub") }

// Next returns the earliest instant at which Pop may return something (may be early because of lazy updates, never late); zero when nothing is set.
func (q *Queue[T]) Next() clock.Time { panic("stub") }

// Pop removes and returns one owner whose deadline is due.
func (q *Queue[T]) Pop(now clock.Time) (v T, ok bool) { panic("stub") }
func (q *Queue[T]) Len() int                          { panic("stub") }
