package netsim

import "smolnet/netstack/clock"

// A firer is what events are for.
type firer interface {
	// fire handles an event that was made for the instant at.
	fire(p *packet, at clock.Time)
}

// An event is something that will happen.
type event struct {
	at     clock.Time
	seq    uint64 // of events at one instant, the older comes first
	who    firer
	packet *packet // may be nil
}

func (e *event) before(f *event) bool { return e.at < f.at || e.at == f.at && e.seq < f.seq }

// A queue has events in the order of time, then of their making: a heap with four
// children to a node.
type queue struct {
	heap []event
	seq  uint64
}

func (q *queue) len() int { return len(q.heap) }

// first returns the next event. There is one.
func (q *queue) first() *event { return &q.heap[0] }

func (q *queue) push(e event) {
	q.seq++
	e.seq = q.seq
	q.heap = append(q.heap, e)
	i := len(q.heap) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(&q.heap[up]) {
			break
		}
		q.heap[i] = q.heap[up]
		i = up
	}
	q.heap[i] = e
}

// pop takes out the next event. There is one.
func (q *queue) pop() event {
	top := q.heap[0]
	n := len(q.heap) - 1
	e := q.heap[n]
	q.heap[n] = event{}
	q.heap = q.heap[:n]
	if n == 0 {
		return top
	}
	i := 0
	for {
		least := i*4 + 1
		if least >= n {
			break
		}
		for c := least + 1; c < min(i*4+5, n); c++ {
			if q.heap[c].before(&q.heap[least]) {
				least = c
			}
		}
		if !q.heap[least].before(&e) {
			break
		}
		q.heap[i] = q.heap[least]
		i = least
	}
	q.heap[i] = e
	return top
}
