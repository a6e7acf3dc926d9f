package core

import (
	"smolnet/netstack/clock"
	"smolnet/netstack/siphash"
	"smolnet/netstack/stream"
	"smolnet/netstack/tcp"
	"smolnet/netstack/timer"
	"smolnet/netstack/wire"
)

// A timeWait stands for a connection in TIME-WAIT.
type timeWait struct {
	rec   tcp.TimeWait
	timer timer.Entry
	chain chain[*timeWait]
}

// recordCharge is what a record counts for in the memory budget, with its place
// in the table and in the timer queue.
const recordCharge = 200

// timeWaits are the records of all connections in TIME-WAIT. There are at most
// limit: the one that is nearest to its end makes room.
type timeWaits struct {
	records table[*timeWait]
	timers  timer.Queue[*timeWait]
	limit   int
	pool    *stream.Pool
}

func (t *timeWaits) init(key siphash.Key, limit int, pool *stream.Pool) {
	t.records.init(key)
	t.limit = limit
	t.pool = pool
}

// add keeps a record, and reports whether another one had to go, or this one for
// want of memory.
func (t *timeWaits) add(rec tcp.TimeWait) (lost bool) {
	if t.records.len() >= t.limit {
		if old, ok := t.timers.Pop(clock.Never); ok {
			t.forget(old)
			lost = true
		}
	}
	if !t.pool.Reserve(recordCharge) {
		return true
	}
	w := &timeWait{rec: rec}
	id := w.rec.ID()
	k := keyOfPorts(id.Local, id.Remote)
	t.records.add(&k, w)
	t.timers.Set(&w.timer, w, rec.Deadline())
	return lost
}

func (w *timeWait) chained() *chain[*timeWait] { return &w.chain }

func (w *timeWait) named(k connKey) bool { return k.is(w.rec.ID()) }

func (t *timeWaits) forget(w *timeWait) {
	t.timers.Set(&w.timer, w, 0)
	t.records.remove(w)
	t.pool.Unreserve(recordCharge)
}

// expire forgets the records whose time is over; it looks at a bounded number.
func (t *timeWaits) expire(now clock.Time) {
	for range maxTimers {
		w, due, more := t.timers.Step(now)
		if due {
			t.forget(w)
		}
		if !more {
			return
		}
	}
}

// receiveTimeWait passes a segment to a record. It reports whether the segment
// is dealt with: it is not if it may open a new connection.
func (c *Core) receiveTimeWait(now clock.Time, in *inbound, w *timeWait, h *wire.TCP, payload []byte) (wire.Drop, bool) {
	action, d := w.rec.Receive(now, h, len(payload))
	switch action {
	case tcp.ActionReopen:
		return wire.DropNone, false
	case tcp.ActionReset:
		c.sendReset(in, h, len(payload))
	case tcp.ActionAck:
		if d != wire.DropDuplicate && !c.challenges.Allow(now) {
			d = wire.DropRateLimited // a challenge, not the answer to a FIN
			break
		}
		var ack wire.TCP
		w.rec.Ack(now, &ack)
		c.drop(c.answerTCP(in, &ack))
	}
	c.timeWait.timers.Set(&w.timer, w, w.rec.Deadline())
	return d, true
}
