package netstack

import (
	"errors"
	"runtime"
	"time"

	"smolnet/netstack/clock"
	"smolnet/netstack/core"
	"smolnet/phy"
)

// Bounds of one turn of the poll loop, so that a flood in one direction starves
// neither the other one, nor timers, nor users.
const (
	maxFramesIn  = 256 // received per interface and turn
	maxFramesOut = 256 // sent per interface and turn
)

// fullRetry is how long the loop sleeps at most when a timer is due and the
// device has no room for what the timer wants to send.
const fullRetry = time.Millisecond

// States of the poll loop, for those who want to wake it.
const (
	loopRunning  int32 = iota // it will look at everything that was there before it said so
	loopSleeping              // it sleeps in Device.Wait, or is about to
	loopKicked                // somebody has work for it: it will not sleep before it has looked
)

// Places of the poll goroutine.
const (
	inWait    int32 = iota // in Device.Wait or between the others: nobody is called
	inCommand              // in a function that was passed to Do, which may use the core
	inTurn                 // in a turn, or ending: what is called from there may not
)

// A link is an interface and the device behind it.
type link struct {
	dev  phy.Device
	ifc  *core.Interface
	full bool // the device had no room in this turn
}

// receive passes on what has arrived. It reports whether there may be more.
func (l *link) receive(now clock.Time) (more bool, err error) {
	for range maxFramesIn {
		f, err := l.dev.Receive()
		if err != nil {
			return false, ignoreWouldBlock(err)
		}
		l.ifc.Receive(now, f)
	}
	return true, nil
}

// send asks the core for frames until it has none or the device is full. It
// returns how many there were, and whether there may be more.
func (l *link) send(now clock.Time) (sent int, more bool, err error) {
	l.full = false
	for sent < maxFramesOut {
		b, err := l.dev.TxBuffer()
		if err != nil {
			l.full = errors.Is(err, phy.ErrWouldBlock)
			return sent, false, errors.Join(ignoreWouldBlock(err), l.flush(sent))
		}
		n, off := l.ifc.Send(now, b)
		if n == 0 {
			return sent, false, l.flush(sent)
		}
		if err := l.dev.Commit(n, off); err != nil {
			return sent, false, err
		}
		sent++
	}
	return sent, true, l.flush(sent)
}

func (l *link) flush(sent int) error {
	if sent == 0 && !l.full {
		return nil
	}
	return ignoreWouldBlock(l.dev.Flush())
}

func ignoreWouldBlock(err error) error {
	if errors.Is(err, phy.ErrWouldBlock) {
		return nil
	}
	return err
}

// run is the poll goroutine: it alone uses the core.
func (st *Stack) run() {
	st.loopID.Store(goroutineID())
	err := st.poll()
	st.end(err)
}

// poll turns until the stack is closed or its device fails.
func (st *Stack) poll() error {
	for {
		st.state.Store(loopRunning)
		st.runCommands()
		if st.closeAsked.Load() {
			return nil
		}
		more, err := st.turn(st.Now())
		if err != nil {
			return err
		}
		if more {
			continue
		}
		if err := st.sleep(); err != nil {
			return err
		}
	}
}

// turn does everything that can be done at the instant now. It reports whether
// it left work for another turn.
func (st *Stack) turn(now clock.Time) (more bool, err error) {
	st.place.Store(inTurn)
	defer st.place.Store(inWait)
	st.core.BeginTurn(now)
	for i := range st.links {
		m, err := st.links[i].receive(now)
		if err != nil {
			return false, err
		}
		more = more || m
	}
	for i := range st.links {
		l := &st.links[i]
		sent, m, err := l.send(now)
		if err != nil {
			return false, err
		}
		// What went out on the loopback device is there to be received.
		more = more || m || (sent > 0 && i == loopbackLink)
	}
	st.core.EndTurn(now)
	return more, nil
}

// sleep waits for the device, the core's deadline or a wake, unless somebody
// had work for the loop since the turn began.
func (st *Stack) sleep() error {
	// Those whom the turn has got up go first. What they ask for in answer is
	// then there before the loop sleeps: it need not be woken, and finds the
	// answers of all of them at once rather than one a turn.
	runtime.Gosched()
	limit := time.Duration(-1)
	if due := st.core.Deadline(); due.IsSet() {
		limit = due.Sub(st.Now())
		if limit <= 0 {
			if !st.links[deviceLink].full {
				return nil
			}
			limit = fullRetry
		}
	}
	// From here on wake calls Device.Wake. Work that was announced before this
	// line makes the exchange fail.
	if !st.state.CompareAndSwap(loopRunning, loopSleeping) {
		return nil
	}
	return st.links[deviceLink].dev.Wait(limit)
}

// wake makes the poll loop take another look. It may be called by any
// goroutine, and costs an atomic load or exchange while the loop runs.
func (st *Stack) wake() {
	if st.state.Load() == loopKicked {
		return
	}
	if st.state.Swap(loopKicked) == loopSleeping {
		st.links[deviceLink].dev.Wake()
	}
}
