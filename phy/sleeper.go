package phy

import (
	"sync/atomic"
	"time"
)

// A sleeper is where the owner of a memory device sleeps, and how others get
// it up. Everything is arranged so that nobody pays for an owner who is awake.
//
// No notification is lost: the owner announces its sleep and then looks again
// at what it waits for, the others change that and then look for a sleeper.
// Atomics in Go are totally ordered, so one of the two sees the other.
type sleeper struct {
	asleep atomic.Bool
	woken  atomic.Bool   // wake was called and no Wait has ended since
	alarm  chan struct{} // one slot; a left-over only makes a Wait short
	timer  *time.Timer   // the owner's; made when first needed
}

func newSleeper() sleeper { return sleeper{alarm: make(chan struct{}, 1)} }

// notify gets the owner up if it sleeps. What it is to find has been stored
// before.
func (s *sleeper) notify() {
	if s.asleep.Load() && s.asleep.CompareAndSwap(true, false) {
		select {
		case s.alarm <- struct{}{}:
		default:
		}
	}
}

// wake is notify, remembered until a Wait has ended.
func (s *sleeper) wake() {
	// If it is remembered already, whoever did that takes care of the rest.
	if !s.woken.Load() {
		s.woken.Store(true)
		s.notify()
	}
}

// announce is the owner's first step to sleep. Then it looks at everything it
// waits for; then, either way, it calls park or rise.
func (s *sleeper) announce() { s.asleep.Store(true) }

// park sleeps, if wake was not called, for d or, if that is negative, without
// limit.
func (s *sleeper) park(d time.Duration) {
	switch {
	case s.woken.Load():
	case d < 0:
		<-s.alarm
	default:
		if s.timer == nil {
			s.timer = time.NewTimer(d)
		} else {
			s.timer.Reset(d)
		}
		select {
		case <-s.alarm:
			s.timer.Stop()
		case <-s.timer.C:
		}
	}
	s.rise()
}

// rise ends a sleep. Whatever wake stood for is to be looked at after it.
func (s *sleeper) rise() {
	s.asleep.Store(false)
	s.woken.Store(false)
}
