package netstack

import (
	"context"
	"net"
	"time"

	"smolnet/netstack/core"
	"smolnet/netstack/tcp"
	"smolnet/netstack/wire"
)

// Bounds of the interval at which Shutdown looks whether connections are left.
const (
	minDrainCheck = time.Millisecond
	maxDrainCheck = 100 * time.Millisecond
)

// Close ends the stack at once: connections are reset, as far as the device
// takes the segments, every blocked call returns net.ErrClosed, and the device
// is closed. When Close returns the poll goroutine has ended, unless it was
// called on that goroutine (from a function passed to Do): then it ends right
// after. Close may be called from anywhere and more than once. It returns nil.
func (st *Stack) Close() error {
	st.askToClose()
	if !st.onLoop() {
		<-st.done
	}
	return nil
}

// askToClose is Close without the wait.
func (st *Stack) askToClose() {
	st.gate.close()
	st.closeAsked.Store(true)
	st.wake()
}

// Shutdown ends the stack in good order: listeners are closed, connections that
// nobody has accepted yet are reset, all others send a FIN after what was
// written, and Shutdown waits until each of them has been finished by its peer
// too. Then, or when ctx ends, it closes the stack. The error is ctx's if there
// were connections left, net.ErrClosed if the stack had ended before.
//
// On the poll goroutine, which cannot wait, it does nothing and returns
// [ErrOnLoop].
func (st *Stack) Shutdown(ctx context.Context) error {
	if st.onLoop() {
		return ErrOnLoop
	}
	defer st.Close()
	st.gate.close()
	st.gate.callHooks()
	return st.drain(ctx)
}

// drain ends the sending side of all connections and waits until their peers
// have finished, too, or ctx ends.
func (st *Stack) drain(ctx context.Context) error {
	if err := st.closeWrite(); err != nil {
		return err
	}
	for wait := minDrainCheck; ; wait = min(2*wait, maxDrainCheck) {
		if left, err := st.unfinished(); left == 0 || err != nil {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-st.done:
			t.Stop()
			return net.ErrClosed
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// closeWrite ends the sending side of every connection that a user holds. It
// does so through the user's end, which knows about a Write in progress.
func (st *Stack) closeWrite() error {
	var open []interface{ CloseWrite() error }
	err := st.Do(func(c *core.Core) {
		c.Waiters(func(w core.Waiter) bool {
			if w, ok := w.(interface{ CloseWrite() error }); ok {
				open = append(open, w)
			}
			return true
		})
	})
	for _, w := range open {
		_ = w.CloseWrite() // one that has failed or was closed meanwhile is what we want
	}
	return err
}

// unfinished counts the connections on which something is still to come.
func (st *Stack) unfinished() (n int, err error) {
	err = st.Do(func(c *core.Core) {
		c.Sockets(func(s core.SocketInfo) bool {
			if s.Protocol == wire.ProtoTCP {
				switch s.State {
				case tcp.StateListen.String(), tcp.StateTimeWait.String(), tcp.StateClosed.String():
				default:
					n++
				}
			}
			return true
		})
	})
	return n, err
}

// OnShutdown registers a function that Shutdown calls, in its own goroutine,
// before it ends connections; listeners and servers stop accepting there. The
// function that OnShutdown returns takes the registration back. If Shutdown or
// Close was called already, fn is not registered.
func (st *Stack) OnShutdown(fn func()) (stop func()) { return st.gate.register(fn) }

// Closing returns a channel that is closed as soon as Shutdown or Close is
// called or the device fails: nothing new may be dialled or accepted.
func (st *Stack) Closing() <-chan struct{} { return st.gate.closing }

// Done returns a channel that is closed when the stack has ended: by Close, by
// Shutdown, or because its device failed.
func (st *Stack) Done() <-chan struct{} { return st.done }

// Err returns nil until Done is closed, and then why: net.ErrClosed if the
// stack was closed, the device's error if that failed.
func (st *Stack) Err() error {
	select {
	case <-st.done:
		return st.err
	default:
		return nil
	}
}

// end is the last thing the poll goroutine does. err is the device's, nil if
// the user closed the stack.
func (st *Stack) end(err error) {
	st.place.Store(inTurn)
	st.gate.close()
	for _, cmd := range st.takeCommands(true) {
		cmd.done <- false
	}
	now := st.Now()
	st.core.Close(now)
	st.core.BeginTurn(now)
	for i := range st.links { // the resets, as far as the devices take them
		// There is one for each connection, and nobody adds to what is queued.
		for more := true; more; {
			_, more, _ = st.links[i].send(now)
		}
	}
	st.core.EndTurn(now) // users hear of it, whatever became of the device
	if st.err = err; err == nil {
		st.err = net.ErrClosed
		st.log.Debug("stack closed")
	} else {
		st.log.Error("stack ended: device failed", "err", err)
	}
	for i := range st.links {
		_ = st.links[i].dev.Close() // nobody is left who could do something about it
	}
	close(st.done)
}
