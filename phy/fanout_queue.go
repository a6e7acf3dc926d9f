package phy

import (
	"sync/atomic"
	"time"
)

const (
	// maxHandoverRun is how many frames in a row a device receives from its
	// inbox before it looks at its own queue, so that neither starves the other.
	maxHandoverRun = 64

	// maxForeignRun is how many frames in a row are handed over before Receive
	// says that there is none, so that a flood for others cannot hold its caller.
	maxForeignRun = 64
)

// A fanoutQueue is one of the devices of a [Fanout]: a queue of the link, and an
// inbox for what arrived at the others.
//
// Its owner announces a sleep before it looks at the inbox for the last time,
// and the others look for a sleeper after they have put something in. One of the
// two sees the other, and nobody wakes an owner who is awake.
type fanoutQueue struct {
	Device // the queue
	fanout *Fanout
	index  int
	medium Medium
	inbox  handover
	asleep atomic.Bool
	closed atomic.Bool

	run int // the owner's: frames received from the inbox since it looked at its queue
}

// Receive implements [Device].
func (q *fanoutQueue) Receive() (Frame, error) {
	if q.closed.Load() {
		return Frame{}, ErrClosed
	}
	if q.run < maxHandoverRun {
		if f, ok := q.inbox.pop(); ok {
			q.run++
			return f, nil
		}
	}
	q.run = 0
	q.inbox.release()
	err := ErrWouldBlock
	for range maxForeignRun {
		var f Frame
		if f, err = q.Device.Receive(); err != nil {
			break
		}
		if q.dispatch(&f) {
			return f, nil
		}
		err = ErrWouldBlock
	}
	if f, ok := q.inbox.pop(); ok {
		return f, nil
	}
	return Frame{}, err
}

// dispatch hands a frame over to others who are to have it. It reports whether
// this device is among those.
func (q *fanoutQueue) dispatch(f *Frame) (ours bool) {
	queues := q.fanout.queues
	if len(queues) == 1 {
		return true
	}
	switch to := q.fanout.route(q.medium, f.Data); to {
	case q.index, fanoutHere:
		return true
	case fanoutAll:
		for _, o := range queues {
			if o != q {
				o.take(f)
			}
		}
		return true
	default:
		queues[to].take(f)
		return false
	}
}

// take puts a copy of a frame that arrived elsewhere into the inbox, and gets
// the owner up. Any owner of the same Fanout may call it.
func (q *fanoutQueue) take(f *Frame) {
	if !q.inbox.push(f) {
		return
	}
	if q.asleep.Load() && q.asleep.CompareAndSwap(true, false) {
		q.Device.Wake()
	}
}

// Wait implements [Device].
func (q *fanoutQueue) Wait(d time.Duration) error {
	q.inbox.release()
	q.asleep.Store(true)
	if !q.inbox.empty() {
		d = 0 // the queue has its flush, and its say
	}
	err := q.Device.Wait(d)
	q.asleep.Store(false)
	return err
}

// Close implements [Device].
func (q *fanoutQueue) Close() error {
	q.closed.Store(true)
	q.inbox.close()
	return q.Device.Close()
}
