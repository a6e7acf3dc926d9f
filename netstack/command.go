package netstack

import (
	"errors"
	"net"
	"runtime"

	"smolnet/netstack/core"
)

// ErrOnLoop is returned by what cannot be done on the poll goroutine outside of
// Do: where a device's tracer, a Logger, Congestion or a Waiter is called, the
// loop is in the middle of its work, and cannot wait for itself.
var ErrOnLoop = errors.New("netstack: called on the poll goroutine")

// A command is a function that waits for its turn on the poll goroutine.
type command struct {
	fn   func(*core.Core)
	done chan bool // one answer: whether fn was called
}

// Do calls fn on the poll goroutine, where the core may be used, and returns
// when fn has. fn must not block: the whole stack waits for it. It may call Do
// and Close. If fn was not called the error is net.ErrClosed, as the stack has
// ended, or [ErrOnLoop].
//
// Do is the way to everything that has no method of its own; what fn learns of
// the core is stale as soon as Do returns.
func (st *Stack) Do(fn func(*core.Core)) error {
	if place := st.place.Load(); place != inWait && st.onLoop() {
		if place == inTurn {
			return ErrOnLoop
		}
		fn(st.core)
		return nil
	}
	done, _ := st.answers.Get().(chan bool)
	if done == nil {
		done = make(chan bool, 1)
	}
	st.mu.Lock()
	if st.ended {
		st.mu.Unlock()
		st.answers.Put(done)
		return net.ErrClosed
	}
	st.commands = append(st.commands, command{fn, done})
	st.mu.Unlock()
	st.wake()
	ran := <-done
	st.answers.Put(done) // empty again: each command has one answer
	if !ran {
		return net.ErrClosed
	}
	return nil
}

// runCommands does what users have asked for, in the order in which they did.
func (st *Stack) runCommands() {
	cmds := st.takeCommands(false)
	if len(cmds) == 0 {
		return
	}
	st.place.Store(inCommand)
	for _, cmd := range cmds {
		cmd.fn(st.core)
		cmd.done <- true
	}
	st.place.Store(inWait)
	clear(cmds)
	st.spare = cmds[:0]
}

// takeCommands returns the waiting commands. With last, no more are accepted.
func (st *Stack) takeCommands(last bool) []command {
	st.mu.Lock()
	defer st.mu.Unlock()
	if last {
		st.ended = true
	}
	cmds := st.commands
	if len(cmds) > 0 {
		st.commands, st.spare = st.spare, nil
	}
	return cmds
}

// read calls fn where it may look at the core: on the poll goroutine, in the
// middle of a turn too, or, once that has ended, here.
func (st *Stack) read(fn func(*core.Core)) {
	switch st.Do(fn) {
	case nil:
		return
	case ErrOnLoop:
		fn(st.core)
		return
	}
	<-st.done
	st.mu.Lock()
	defer st.mu.Unlock()
	fn(st.core)
}

// onLoop reports whether the caller runs on the poll goroutine.
func (st *Stack) onLoop() bool { return goroutineID() == st.loopID.Load() }

// goroutineID returns the number of the calling goroutine. The runtime tells it
// in tracebacks only, which is slow: this is for calls that are rare and would
// deadlock on the poll goroutine.
func goroutineID() uint64 {
	var buf [64]byte
	b := buf[:runtime.Stack(buf[:], false)]
	const prefix = len("goroutine ")
	var id uint64
	for _, c := range b[min(prefix, len(b)):] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uint64(c-'0')
	}
	return id
}
