//go:build !linux

package link

import (
	"runtime"
	"sync/atomic"
	"time"
)

// coarse is how late timers of the runtime may be.
const coarse = time.Millisecond

// An alarm gets one goroutine up at an instant that others may change. Timers
// of the runtime are too late by most of a millisecond, so the last one is
// spent yielding.
type alarm struct {
	epoch  time.Time
	at     atomic.Int64 // when it goes off, after epoch; 0 if it is not set
	kick   chan struct{}
	closed chan struct{}
	timer  *time.Timer
}

func newAlarm() (*alarm, error) {
	return &alarm{
		epoch:  time.Now(),
		kick:   make(chan struct{}, 1),
		closed: make(chan struct{}),
		timer:  time.NewTimer(time.Hour),
	}, nil
}

// set has wait return in d, and no earlier. It is not called together with
// itself, nor after close.
func (a *alarm) set(d time.Duration) {
	a.at.Store(int64(max(time.Since(a.epoch)+d, 1)))
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// wait sleeps until the alarm goes off, maybe less. False: it was closed.
func (a *alarm) wait() bool {
	for {
		rest := time.Hour
		if at := a.at.Load(); at != 0 {
			rest = time.Duration(at) - time.Since(a.epoch)
			if rest <= 0 && a.at.CompareAndSwap(at, 0) {
				return !a.over()
			}
		}
		if rest <= coarse {
			if a.over() {
				return false
			}
			runtime.Gosched()
			continue
		}
		a.timer.Reset(rest - coarse)
		select {
		case <-a.closed:
			return false
		case <-a.kick:
		case <-a.timer.C:
		}
	}
}

// over says whether the alarm was closed.
func (a *alarm) over() bool {
	select {
	case <-a.closed:
		return true
	default:
		return false
	}
}

// close ends the present wait and all others. It is called once.
func (a *alarm) close() { close(a.closed) }
