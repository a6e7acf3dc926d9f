package listener

import (
	"sync"
	"time"
)

// A deadline is a channel that is closed when the time has come. Each setting
// that takes a past one back has a channel of its own.
type deadline struct {
	mu      sync.Mutex
	expired chan struct{}
	over    bool // expired is closed
	ended   bool // the listener is closed: no more settings
	timer   *time.Timer
	setting uint64 // counts, so that a timer knows whether it is still meant
}

func (d *deadline) init() { d.expired = make(chan struct{}) }

// wait returns the channel of the present setting.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expired
}

// end clears the deadline for good.
func (d *deadline) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	d.clear()
}

// clear makes the deadline none.
func (d *deadline) clear() {
	d.setting++
	if d.timer != nil {
		d.timer.Stop()
	}
	if d.over {
		d.expired, d.over = make(chan struct{}), false
	}
}

// set moves the deadline, the zero time being none. It reports false, and does
// nothing, after end.
func (d *deadline) set(t time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return false
	}
	d.clear()
	if t.IsZero() {
		return true
	}
	left := time.Until(t)
	if left <= 0 {
		d.expire()
		return true
	}
	setting := d.setting
	d.timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.setting == setting && !d.over {
			d.expire()
		}
	})
	return true
}

func (d *deadline) expire() {
	close(d.expired)
	d.over = true
}
