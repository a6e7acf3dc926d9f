package core

import "sync/atomic"

// A dirtyList is how users tell the driver that a socket wants its attention.
// Any goroutine adds to it, without a lock; the driver takes all of it at once.
// A socket is on it at most once: its dirty flag is set by whoever adds it and
// cleared by the driver before the driver looks at the socket, so that what a
// user does after the look puts it on the list again.
type dirtyList struct {
	head atomic.Pointer[socket]
}

// push adds s, and reports whether it was not on the list before.
func (d *dirtyList) push(s *socket) bool {
	if !s.dirty.CompareAndSwap(0, 1) {
		return false
	}
	for {
		head := d.head.Load()
		s.dirtyNext = head
		if d.head.CompareAndSwap(head, s) {
			return true
		}
	}
}

// empty reports whether nobody is on the list.
func (d *dirtyList) empty() bool { return d.head.Load() == nil }

// take empties the list and returns its head; pop walks on.
func (d *dirtyList) take() *socket {
	if d.head.Load() == nil {
		return nil
	}
	return d.head.Swap(nil)
}

// pop takes s off a list that was taken, and returns the next one of it. From
// here on s can be pushed again.
func (s *socket) pop() (next *socket) {
	next, s.dirtyNext = s.dirtyNext, nil
	s.dirty.Store(0)
	return next
}
